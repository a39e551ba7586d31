//! In: bytes of a compiled profile or collection. Out: [`Decoded`]: the graph, the header, and an account
//! of every byte. Never: an allocation or a loop by a size that the blob merely claims.

use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::layout::{Header, NODE, Record, Section};
use super::pool::{Pool, unaccounted};
use super::{BlobError, automaton, program, slice, word};
use crate::pattern::regex::Automaton;
use crate::pattern::tree::Tree;
use crate::policy::collection::{Collection, Profile};
use crate::policy::graph::{Argument, Graph, Modifier, ModifierArgument, Node, NodeId, Terminal, Test};
use crate::vocabulary::{FilterId, FilterKind, ModifierArgumentKind, ModifierId, OperationId, Release, TerminalForm};

/// An object behind the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolObject {
    /// Its bytes, without padding.
    pub range: Range<usize>,
    /// What it is: `pattern`, `regex`, `string`, `set`, `mask`, `address`, `modifiers`.
    pub kind: &'static str,
    /// Who refers to it, the first of several.
    pub user: User,
}

/// What refers to a pool object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// The node with this number in the graph.
    Node(usize),
    /// The record of the profile with this number.
    Profile(usize),
    /// An entry of the table with this name, and its number; no node refers to the object.
    Table(&'static str, usize),
}

/// Bytes or nodes that nothing refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The bytes.
    pub range: Range<usize>,
    /// What they are.
    pub what: String,
}

/// A decoded blob.
#[derive(Debug)]
pub struct Decoded {
    /// The profiles. Their nodes have the order of the blob, but for early containers in which links
    /// lead back.
    pub collection: Collection,
    /// The policy of the first profile, which is the only one where the blob is no collection.
    pub graph: Graph,
    /// Header, tables.
    pub header: Header,
    /// Sections; together the whole blob.
    pub sections: Vec<Section>,
    /// Pool objects by offset.
    pub objects: Vec<PoolObject>,
    /// What the decoder could not account for; empty for every blob that Apple's compiler makes.
    pub leftover: Vec<Leftover>,
    /// The number in the blob of each node of the graph; empty where both are the same.
    pub(super) origins: Vec<NodeId>,
}

impl Decoded {
    /// Where a node of the graph lies in the blob.
    #[must_use]
    pub fn node_offset(&self, index: usize) -> usize {
        self.header.nodes.start + NODE * self.origins.get(index).map_or(index, |origin| origin.index())
    }

    /// The number in the graph of each node of the blob, in the order of the blob.
    #[must_use]
    pub fn nodes_of_blob(&self) -> Vec<usize> {
        let mut numbers: Vec<usize> = (0..self.graph.nodes.len()).collect();
        numbers.sort_by_key(|index| self.node_offset(*index));
        numbers
    }
}

/// Decodes a single profile or a collection.
///
/// # Errors
/// The first field that makes no sense, with its offset.
pub fn decode(bytes: &[u8], release: &'static Release) -> Result<Decoded, BlobError> {
    if let Some(layout) = release.early_layout() {
        return super::early::decode(bytes, release, layout);
    }
    let header = Header::read(bytes, release)?;
    let layout = release.layout()?;
    let mut decoder = Decoder {
        bytes,
        release,
        header: &header,
        terminal: layout.terminal,
        pool: Pool::new(bytes.len()),
        patterns: FxHashMap::default(),
        regexes: FxHashMap::default(),
    };
    let count = header.nodes.len() / NODE;
    // An iterator that knows its length is collected into its place at once; through a vector the nodes
    // would be there twice.
    let mut failed = None;
    let nodes: Arc<[Node]> = (0..count)
        .map(|index| {
            decoder.pool.user = User::Node(index);
            let none = || Node::Terminal(Terminal { flags: 0, modifiers: Vec::new() });
            if failed.is_some() {
                return none();
            }
            decoder.node(index).unwrap_or_else(|error| {
                failed = Some(error);
                none()
            })
        })
        .collect();
    if let Some(error) = failed {
        return Err(error);
    }
    let [variables, states, flag_names, references] =
        ["variables", "states", "profile_flags", "profile_flag_references"].map(|table| decoder.names(table));
    let (variables, states): (Arc<[_]>, Arc<[_]>) = (variables?.into(), states?.into());
    let references: Arc<[_]> = references?.into();
    let profile_flags = flag_names?;
    let _messages = decoder.names("messages")?;
    let mut profiles = Vec::with_capacity(header.records.len());
    for (number, record) in header.records.iter().enumerate() {
        decoder.pool.user = User::Profile(number);
        let start = record.operations_start;
        let mut entries = Vec::with_capacity(record.operations.len());
        for (operation, entry) in record.operations.iter().enumerate() {
            let field = || format!("entry of operation {operation}");
            entries.push(decoder.link(field, start + 2 * operation, *entry)?);
        }
        let graph = Graph {
            release,
            flags: record.flags,
            entries,
            nodes: nodes.clone(),
            variables: variables.clone(),
            states: states.clone(),
            profile_flags: references.clone(),
        };
        profiles.push(decoder.profile(record, graph, profile_flags.len())?);
    }
    let mut variable_order: Vec<u16> = (0..u16::try_from(variables.len()).unwrap_or(u16::MAX)).collect();
    variable_order.sort_by_key(|number| header.table("variables").get(usize::from(*number)).copied());
    let mut collection =
        Collection { release, is_collection: header.is_collection, profiles, profile_flags, variable_order };
    // Bits that follow from the graph are worked out again when it is encoded.
    let has_filters = |node: &Node| matches!(node, Node::Terminal(end) if end.message_filters().next().is_some());
    if header.message_filter_flag != 0 && nodes.iter().any(has_filters) {
        let filtering = collection.filters_messages();
        for (profile, filters) in collection.profiles.iter_mut().zip(filtering) {
            if filters {
                profile.graph.flags &= !header.message_filter_flag;
            }
        }
    }
    let graph = collection.profiles[0].graph.clone();
    let objects = decoder.pool.objects();
    let sections = header.sections(bytes.len());
    let mut leftover = unaccounted(bytes, header.nodes.end, &objects)?;
    leftover.extend(unreached(&collection, |index| header.nodes.start + NODE * index));
    Ok(Decoded { collection, graph, header, sections, objects, leftover, origins: Vec::new() })
}

/// Nodes that no operation of any profile leads to; `place` is where a node lies.
pub(super) fn unreached(collection: &Collection, place: impl Fn(usize) -> usize) -> Vec<Leftover> {
    let Some(first) = collection.profiles.first() else { return Vec::new() };
    let nodes = &first.graph.nodes;
    let mut reached = vec![false; nodes.len()];
    for entry in collection.profiles.iter().flat_map(|profile| &profile.graph.entries) {
        reached[entry.index()] = true;
    }
    // Every child has a higher number, so that one pass finds all; but for the graphs of message filters.
    let mut filters = false;
    for (index, node) in nodes.iter().enumerate() {
        match node {
            Node::Test { matched, unmatched, .. } if reached[index] => {
                reached[matched.index()] = true;
                reached[unmatched.index()] = true;
            }
            Node::Test { .. } => {}
            Node::Terminal(terminal) => filters |= terminal.message_filters().next().is_some(),
        }
    }
    if let Some(all) = collection.whole().filter(|_| filters) {
        all.reachable().into_iter().for_each(|id| reached[id.index()] = true);
    }
    let unreached = reached.iter().enumerate().filter(|(_, reached)| !**reached);
    unreached
        .map(|(index, _)| {
            let start = place(index);
            Leftover { range: start..start + NODE, what: format!("node {index}, which no operation leads to") }
        })
        .collect()
}

struct Decoder<'a> {
    bytes: &'a [u8],
    release: &'static Release,
    header: &'a Header,
    terminal: TerminalForm,
    pool: Pool,
    /// What has been read, by pool offset: many nodes may have one argument.
    patterns: FxHashMap<u16, Arc<Tree>>,
    regexes: FxHashMap<u16, Arc<Automaton>>,
}

impl<'a> Decoder<'a> {
    /// A link: it must lead to a node.
    fn link(&self, field: impl FnOnce() -> String, offset: usize, value: u16) -> Result<NodeId, BlobError> {
        if usize::from(value) * NODE >= self.header.nodes.len() {
            let count = self.header.nodes.len() / NODE;
            return Err(BlobError::bad(field(), offset, format!("leads to node {value} of {count}")));
        }
        Ok(NodeId(u32::from(value)))
    }

    /// A profile with what its record says; `flags` is the number of profile flags.
    fn profile(&mut self, record: &Record, mut graph: Graph, flags: usize) -> Result<Profile, BlobError> {
        if !self.header.is_collection {
            return Ok(Profile::new(Vec::new(), graph));
        }
        let name = self.c_string(record.name)?;
        // Each of these two has a flag bit that says that it is there. The offset 0 does not say that
        // it is not: the first profile's name may stand there.
        let mut optional = |value: u16, bit: u16, what: &str| {
            let is_there = graph.flags & bit != 0;
            if value != 0 && !is_there {
                let reason = format!("flags 0x{:04x} say that there is none, and the offset is {value}", graph.flags);
                return Err(BlobError::bad(what, record.offset, reason));
            }
            graph.flags &= !bit;
            Ok(is_there.then_some(value))
        };
        let bits = self.header.record_flags;
        let base = optional(record.base, bits.based, "base of a profile")?;
        let flag_set = optional(record.flag_set, bits.flag_set, "profile flags of a profile")?;
        let base = base.map(|offset| self.c_string(offset)).transpose()?;
        let flag_set = flag_set.map(|offset| self.bit_set(offset)).transpose()?;
        if let Some(flag) = flag_set.iter().flatten().find(|flag| usize::from(**flag) >= flags) {
            let reason = format!("flag {flag} of {flags}");
            return Err(BlobError::bad("profile flags of a profile", record.offset, reason));
        }
        Ok(Profile { name, base, flag_set, graph })
    }

    fn node(&mut self, index: usize) -> Result<Node, BlobError> {
        let offset = self.header.nodes.start + NODE * index;
        let raw = slice(self.bytes, "node", offset, NODE)?;
        match raw[0] {
            0 => {
                let test = self.test(index, offset, raw[1], u16::from_le_bytes([raw[2], raw[3]]))?;
                let mut links = [NodeId(0); 2];
                for (slot, (name, at)) in links.iter_mut().zip([("match", 4), ("unmatch", 6)]) {
                    let value = u16::from_le_bytes([raw[at], raw[at + 1]]);
                    let field = || format!("{name} link of node {index}");
                    *slot = self.link(field, offset + at, value)?;
                    // Every child has a higher number than its parent (FORMAT.md §2.4), so every
                    // walk ends.
                    if usize::from(value) <= index {
                        return Err(BlobError::bad(field(), offset + at, format!("leads back to node {value}")));
                    }
                }
                Ok(Node::Test { test, matched: links[0], unmatched: links[1] })
            }
            1 => self.terminal(index, offset, raw).map(Node::Terminal),
            other => {
                Err(BlobError::bad(format!("type of node {index}"), offset, format!("is {other}, must be 0 or 1")))
            }
        }
    }

    fn test(&mut self, index: usize, offset: usize, raw_filter: u8, value: u16) -> Result<Test, BlobError> {
        let id = FilterId(raw_filter & 0x7f);
        let second_form = raw_filter & 0x80 != 0;
        let field = || format!("filter of node {index}");
        let filter = self.release.filter(id).ok_or_else(|| {
            let reason = format!("0x{raw_filter:02x} is no filter of {}", self.release.name());
            BlobError::bad(field(), offset + 1, reason)
        })?;
        let argument = match (filter.kind, second_form) {
            (FilterKind::Pattern | FilterKind::Path, false) => Argument::Pattern(match self.patterns.get(&value) {
                Some(known) => known.clone(),
                None => {
                    let (start, object) = self.counted("pattern", value)?;
                    let tree = Arc::new(program::read(object, start)?);
                    self.patterns.insert(value, tree.clone());
                    tree
                }
            }),
            (FilterKind::Pattern | FilterKind::Path, true) => {
                let table = self.header.table("regexes");
                let place = *table.get(usize::from(value)).ok_or_else(|| {
                    BlobError::bad(
                        format!("regex number of node {index}"),
                        offset + 2,
                        format!("{value} of {}", table.len()),
                    )
                })?;
                Argument::Regex(match self.regexes.get(&place) {
                    Some(known) => known.clone(),
                    None => {
                        let (start, object) = self.counted("regex", place)?;
                        let automaton = Arc::new(automaton::read(object, start)?);
                        self.regexes.insert(place, automaton.clone());
                        automaton
                    }
                })
            }
            (FilterKind::String, false) => Argument::Text(self.c_string(value)?),
            (FilterKind::StateFlag, false) => {
                let count = self.header.table("states").len();
                if usize::from(value) >= count {
                    return Err(BlobError::bad(
                        format!("state flag of node {index}"),
                        offset + 2,
                        format!("{value} of {count}"),
                    ));
                }
                Argument::StateFlag(value)
            }
            (FilterKind::ProfileFlag, false) => {
                let count = self.header.table("profile_flag_references").len();
                if usize::from(value) >= count {
                    let field = format!("profile flag of node {index}");
                    return Err(BlobError::bad(field, offset + 2, format!("{value} of {count}")));
                }
                Argument::ProfileFlag(value)
            }
            (FilterKind::Mask, false) => self.mask(value)?,
            (FilterKind::Network, false) => Argument::Address(self.pool.address(self.bytes, self.address_of(value))?),
            (FilterKind::Boolean | FilterKind::Bitfield | FilterKind::Enum | FilterKind::Integer, false) => {
                Argument::Number(value)
            }
            (FilterKind::Integer, true) => Argument::Numbers(self.bit_set(value)?),
            (_, true) => {
                return Err(BlobError::bad(
                    field(),
                    offset + 1,
                    format!("0x{raw_filter:02x}: filter '{}' has no second form", filter.name),
                ));
            }
        };
        Ok(Test { filter: id, argument })
    }

    fn terminal(&mut self, index: usize, offset: usize, raw: &[u8]) -> Result<Terminal, BlobError> {
        if self.terminal == TerminalForm::SignalAndMessage {
            return self.terminal_with_signal(index, offset, raw);
        }
        let flags = u32::from_le_bytes([raw[1], raw[2], raw[3], 0]);
        let inline = flags & Terminal::INLINE != 0;
        let area = [raw[4], raw[5], raw[6], raw[7]];
        let mut modifiers = Vec::new();
        if inline {
            modifiers.push(self.modifier(index, offset + 4, area)?);
        } else if area[0] != 0 {
            let start = self.address_of(u16::from_le_bytes([area[2], area[3]]));
            let count = usize::from(area[0]);
            if area[1] != 0 || count < 2 {
                return Err(BlobError::bad(
                    format!("modifier list of node {index}"),
                    offset + 4,
                    "count or padding makes no sense",
                ));
            }
            let list = slice(self.bytes, "modifier list", start, 4 * count)?;
            self.pool.account(start, list.len(), "modifiers")?;
            self.pool.copy(start, count * size_of::<Modifier>())?;
            for (place, entry) in list.chunks_exact(4).enumerate() {
                modifiers.push(self.modifier(index, start + 4 * place, [entry[0], entry[1], entry[2], entry[3]])?);
            }
        } else if area != [0; 4] {
            return Err(BlobError::bad(
                format!("modifier area of node {index}"),
                offset + 4,
                "is not zero, and no modifier is marked",
            ));
        }
        Ok(Terminal { flags: flags & !Terminal::INLINE, modifiers })
    }

    /// FORMAT.md §2.2, iOS 13: flags, a signal, the number of a message counted from 1.
    fn terminal_with_signal(&mut self, index: usize, offset: usize, raw: &[u8]) -> Result<Terminal, BlobError> {
        let field = || format!("modifiers of node {index}");
        let known = |name: &str| {
            let unknown = || BlobError::bad(field(), offset, format!("{} has no '{name}'", self.release.name()));
            self.release.modifier_named(name).map(|modifier| modifier.id).ok_or_else(unknown)
        };
        if raw[3] != 0 || raw[5..] != [0; 3] {
            return Err(BlobError::bad(field(), offset + 2, "bytes that must be zero are not"));
        }
        let mut modifiers = Vec::new();
        if raw[2] != 0 {
            let id = known("send-signal")?;
            modifiers.push(Modifier { id, argument: ModifierArgument::Number(u16::from(raw[2])) });
        }
        if raw[4] != 0 {
            let id = known("message")?;
            let table = self.header.table("messages");
            let place = table
                .get(usize::from(raw[4]) - 1)
                .copied()
                .ok_or_else(|| BlobError::bad(field(), offset + 4, format!("message {} of {}", raw[4], table.len())))?;
            modifiers.push(Modifier { id, argument: ModifierArgument::Text(self.c_string(place)?) });
        }
        Ok(Terminal { flags: u32::from(raw[1]), modifiers })
    }

    fn modifier(&mut self, index: usize, offset: usize, raw: [u8; 4]) -> Result<Modifier, BlobError> {
        let id = ModifierId(raw[0]);
        let value = u16::from_le_bytes([raw[2], raw[3]]);
        let field = || format!("modifier of node {index}");
        let entry = self.release.modifier(id).ok_or_else(|| {
            BlobError::bad(field(), offset, format!("{} is no modifier of {}", id.0, self.release.name()))
        })?;
        let argument = match entry.argument {
            ModifierArgumentKind::MessageFilter => {
                let operation = OperationId(u16::from(raw[1]));
                if !self.release.operation_entry(operation).is_some_and(|entry| entry.message_filter) {
                    return Err(BlobError::bad(
                        field(),
                        offset + 1,
                        format!("{} is no message operation of {}", raw[1], self.release.name()),
                    ));
                }
                let table = self.header.table("policies");
                let root = table.get(usize::from(value)).ok_or_else(|| {
                    BlobError::bad(
                        format!("message filter of node {index}"),
                        offset + 2,
                        format!("{value} of {}", table.len()),
                    )
                })?;
                let entry = self.link(|| format!("message filter {value}"), offset + 2, *root)?;
                ModifierArgument::MessageFilter { operation, entry }
            }
            _ if raw[1] != 0 => {
                return Err(BlobError::bad(field(), offset + 1, "names a message operation, and is no message filter"));
            }
            ModifierArgumentKind::Text => ModifierArgument::Text(self.c_string(value)?),
            ModifierArgumentKind::Number => ModifierArgument::Number(value),
            ModifierArgumentKind::None => {
                return Err(BlobError::bad(field(), offset, format!("modifier '{}' carries nothing", entry.name)));
            }
        };
        Ok(Modifier { id, argument })
    }

    /// Blob offset of a pool offset.
    fn address_of(&self, offset: u16) -> usize {
        self.header.nodes.end + 8 * usize::from(offset)
    }

    /// An object with its length in front; the offset and bytes behind the length.
    fn counted(&mut self, kind: &'static str, offset: u16) -> Result<(usize, &'a [u8]), BlobError> {
        let start = self.address_of(offset);
        let length = usize::from(word(self.bytes, kind, start)?);
        let object = slice(self.bytes, kind, start + 2, length)?;
        self.pool.account(start, 2 + length, kind)?;
        Ok((start + 2, object))
    }

    fn c_string(&mut self, offset: u16) -> Result<Vec<u8>, BlobError> {
        let (start, object) = self.counted("string", offset)?;
        self.pool.copy(start, object.len())?;
        match object.split_last() {
            Some((0, text)) => Ok(text.to_vec()),
            _ => Err(BlobError::bad("string", start, "does not end in a NUL")),
        }
    }

    fn names(&mut self, table: &'static str) -> Result<Vec<Vec<u8>>, BlobError> {
        let header = self.header;
        let entries = header.table(table).iter().enumerate();
        let name = |(number, offset): (usize, &u16)| {
            self.pool.user = User::Table(table, number);
            self.c_string(*offset)
        };
        entries.map(name).collect()
    }

    fn bit_set(&mut self, offset: u16) -> Result<Vec<u16>, BlobError> {
        let start = self.address_of(offset);
        let mark = word(self.bytes, "set", start)?;
        if mark != 1 {
            return Err(BlobError::bad("set", start, format!("starts with {mark}, must be 1")));
        }
        let length = usize::from(word(self.bytes, "set length", start + 2)?);
        let bits = slice(self.bytes, "set", start + 4, length)?;
        if length > 8192 || bits.last().is_none_or(|last| *last == 0) {
            return Err(BlobError::bad("set length", start + 2, "is too large, or the last byte is zero"));
        }
        self.pool.account(start, 4 + length, "set")?;
        let count: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
        self.pool.copy(start, length + size_of::<u16>() * count as usize)?;
        let numbers = (0..length * 8).filter(|bit| bits[bit / 8] & (1 << (bit % 8)) != 0);
        Ok(numbers.filter_map(|bit| u16::try_from(bit).ok()).collect())
    }

    /// A set with its width in front (iOS 13.0: 531 bits; not in FORMAT.md, read off that blob).
    fn mask(&mut self, offset: u16) -> Result<Argument, BlobError> {
        let start = self.address_of(offset);
        let width = word(self.bytes, "mask", start)?;
        let length = usize::from(width).div_ceil(8);
        let bits = slice(self.bytes, "mask", start + 2, length)?;
        let beyond = usize::from(width) % 8;
        if width == 0 || (beyond != 0 && bits.last().is_some_and(|last| last >> beyond != 0)) {
            return Err(BlobError::bad("mask", start, "has bits beyond its width, or no width"));
        }
        self.pool.account(start, 2 + length, "mask")?;
        let count: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
        self.pool.copy(start, length + size_of::<u16>() * count as usize)?;
        let numbers = (0..width).filter(|bit| bits[usize::from(bit / 8)] & (1 << (bit % 8)) != 0).collect();
        Ok(Argument::Mask { width, numbers })
    }
}
