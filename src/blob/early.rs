//! In: bytes of a blob of absolute words: Mac OS X 10.6 and iOS 4 to 12 (FORMAT.md §1.1 to §1.4, §2, §4). Out: [`Decoded`], as for later containers. Never: bytes of such a blob; they are not written.
//!
//! Links and offsets are 8-byte words from the start of the blob. The regex table lies right behind the
//! nodes, lengths have four bytes, and up to iOS 9 a string has a type in front of it in place of a
//! program. Of iOS 10 to 12 no blob was at hand.

use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::decode::{Decoded, User, unreached};
use super::layout::{Header, NODE, field_values, words};
use super::pool::{Pool, unaccounted};
use super::{BlobError, automaton, program, slice};
use crate::pattern::order::{Asked, tree_of};
use crate::pattern::regex::Automaton;
use crate::pattern::tree::Tree;
use crate::pattern::{Part, StringKind, StringPattern};
use crate::policy::collection::{Collection, Profile};
use crate::policy::graph::{Argument, Graph, Modifier, ModifierArgument, Node, NodeId, Terminal, Test};
use crate::vocabulary::{
    EarlyLayout, EarlyPatterns, EarlyTerminal, FilterId, FilterKind, HeaderField, ModifierArgumentKind, RecordFlags,
    RecordWord, Release,
};

/// Bytes of a word, in which links and offsets count.
const WORD: usize = 8;

/// Bits of a string's type (FORMAT.md §4.5).
mod string_type {
    /// The path itself and what is below it.
    pub const SUBPATH: u8 = 0x01;
    /// A beginning.
    pub const PREFIX: u8 = 0x02;
    /// `${…}` in the text is a variable.
    pub const VARIABLES: u8 = 0x04;
    /// Each variable that is in the text has its bit.
    pub const NAMES: [(u8, &str); 2] = [(0x08, "HOME"), (0x10, "FRONT_USER_HOME")];
}

/// Decodes a single profile or a collection.
///
/// # Errors
/// The first field that makes no sense, with its offset.
pub(super) fn decode(bytes: &[u8], release: &'static Release, layout: &EarlyLayout) -> Result<Decoded, BlobError> {
    let (header, tables) = read_header(bytes, release, layout)?;
    let pool_start = header.tables_behind_nodes.as_ref().map_or(header.nodes.end, |tables| tables.end);
    let mut decoder = Decoder {
        bytes,
        release,
        header: &header,
        layout,
        pool_start,
        known_flags: known_flags(release),
        pool: Pool::new(bytes.len()),
        patterns: FxHashMap::default(),
        regexes: FxHashMap::default(),
        variables: Vec::new(),
    };
    for (name, range) in tables {
        decoder.pool.user = User::Table(name, 0);
        if range.start < pool_start {
            return Err(BlobError::bad(format!("{name} table"), range.start, "lies before the end of the regex table"));
        }
        decoder.pool.account(range.start, range.len(), "table")?;
    }
    // All that the tables refer to, asked for or not.
    decoder.variables = decoder.names("variables")?;
    decoder.names("messages")?;
    for number in 0..header.table("regexes").len() {
        decoder.pool.user = User::Table("regexes", number);
        decoder.regex(number)?;
    }
    let mut read = Vec::with_capacity(header.nodes.len() / NODE);
    for index in 0..header.nodes.len() / NODE {
        decoder.pool.user = User::Node(index);
        read.push(decoder.node(index)?);
    }
    let leads_on = |(index, node): (usize, &Node)| match node {
        Node::Test { matched, unmatched, .. } => matched.index() > index && unmatched.index() > index,
        Node::Terminal(_) => true,
    };
    // Empty where each node stays where it lies.
    let mut places = Vec::new();
    let mut origins = Vec::new();
    if !read.iter().enumerate().all(leads_on) {
        places = in_order(&read).map_err(|index| {
            let offset = header.nodes.start + NODE * index;
            BlobError::bad(format!("links of node {index}"), offset, "lead back to it, so that a walk has no end")
        })?;
        (read, origins) = placed(read, &places);
    }
    let nodes: Arc<[Node]> = read.into();
    let mut names = Vec::with_capacity(header.records.len());
    let mut tables = Vec::with_capacity(header.records.len());
    for (number, record) in header.records.iter().enumerate() {
        decoder.pool.user = User::Profile(number);
        names.push(if header.is_collection { decoder.c_string(record.name)? } else { Vec::new() });
        let start = record.operations_start;
        let mut entries = Vec::with_capacity(record.operations.len());
        for (operation, entry) in record.operations.iter().enumerate() {
            let found = decoder.link(|| format!("entry of operation {operation}"), start + 2 * operation, *entry)?;
            entries.push(places.get(found.index()).copied().unwrap_or(found));
        }
        tables.push(entries);
    }
    let variables: Arc<[Vec<u8>]> = decoder.variables.into();
    let none: Arc<[Vec<u8>]> = Vec::new().into();
    let profiles: Vec<Profile> = header
        .records
        .iter()
        .zip(names)
        .zip(tables)
        .map(|((record, name), entries)| {
            let graph = Graph {
                release,
                flags: record.flags,
                entries,
                nodes: nodes.clone(),
                variables: variables.clone(),
                states: none.clone(),
                profile_flags: none.clone(),
            };
            Profile::new(name, graph)
        })
        .collect();
    let mut objects = decoder.pool.objects();
    for object in &mut objects {
        if let User::Node(index) = &mut object.user {
            *index = places.get(*index).map_or(*index, |place| place.index());
        }
    }
    let variable_order = (0..u16::try_from(variables.len()).unwrap_or(u16::MAX)).collect();
    let graph = profiles[0].graph.clone();
    let collection = Collection {
        release,
        is_collection: header.is_collection,
        profiles,
        profile_flags: Vec::new(),
        variable_order,
    };
    let sections = header.sections(bytes.len());
    let mut leftover = unaccounted(bytes, pool_start, &objects)?;
    let place = |index: usize| origins.get(index).map_or(index, |origin| origin.index());
    leftover.extend(unreached(&collection, |index| header.nodes.start + NODE * place(index)));
    Ok(Decoded { collection, graph, header, sections, objects, leftover, origins })
}

/// Flag bits of terminals that the release's vocabulary has a name for.
fn known_flags(release: &Release) -> u32 {
    let modifiers = release.modifiers().iter().filter(|modifier| modifier.argument == ModifierArgumentKind::None);
    modifiers.fold(Terminal::DENY, |flags, modifier| flags | modifier.mask)
}

/// Names of tables behind the regex table, and where they are.
type Tables = Vec<(&'static str, Range<usize>)>;

/// The names of tables that may lie behind the regex table.
const MORE_TABLES: [&str; 2] = ["variables", "messages"];

fn read_header(bytes: &[u8], release: &Release, layout: &EarlyLayout) -> Result<(Header, Tables), BlobError> {
    let mut header = Header {
        fields: Vec::with_capacity(layout.fields.len() + 1),
        field_offsets: Vec::new(),
        tables: Vec::new(),
        tables_behind_nodes: None,
        is_collection: false,
        records: Vec::new(),
        operations: Vec::new(),
        records_start: 0,
        length: 0,
        message_filter_flag: 0,
        record_flags: RecordFlags::default(),
        padding: 0..0,
        nodes: 0..0,
    };
    let read = |header: &mut Header, fields: &[HeaderField]| -> Result<(), BlobError> {
        header.fields.extend(field_values(bytes, fields)?);
        header.field_offsets.extend(fields.iter().map(|field| field.offset));
        header.length = fields.last().map_or(header.length, |field| field.offset + field.width);
        Ok(())
    };
    read(&mut header, &layout.fields)?;
    let mut count = 1;
    let mut record_words: &[RecordWord] = &[];
    if let Some(collection) = &layout.collection
        && header.field("flags") & collection.flag != 0
    {
        if header.field("flags") != collection.flag {
            let reason = format!("0x{:04x}: a collection has no other flag", header.field("flags"));
            return Err(BlobError::bad("flags", 0, reason));
        }
        read(&mut header, &collection.fields)?;
        header.is_collection = true;
        record_words = &collection.record;
        count = usize::from(header.field("profiles"));
        if count == 0 {
            return Err(BlobError::bad("profiles", header.length - 2, "a collection without profiles"));
        }
    }
    let slots = release.operation_slots();
    let offset = header.length;
    let start = header.read_records(bytes, (count, record_words), slots, offset, layout.alignment)?;
    let end = WORD * usize::from(header.field("regex_table"));
    let place = layout.fields.iter().find(|field| field.name == "regex_table").map_or(0, |field| field.offset);
    let Some(length) = end.checked_sub(start).filter(|length| length.is_multiple_of(NODE)) else {
        let reason = format!("{end} is no end of a node array that starts at {start}");
        return Err(BlobError::bad("regex_table", place, reason));
    };
    slice(bytes, "nodes", start, length)?;
    header.nodes = start..end;
    let mut behind = end;
    let table = words(bytes, "regexes table", &mut behind, usize::from(header.field("regexes")))?;
    header.tables.push(("regexes".to_owned(), table));
    header.tables_behind_nodes = Some(end..behind);
    let mut tables = Tables::new();
    for table in &layout.tables {
        let count = usize::from(header.field(&table.name));
        let known = MORE_TABLES.into_iter().find(|name| *name == table.name).filter(|_| count > 0);
        let start = WORD * usize::from(header.field(&table.place));
        let mut end = start;
        let entries = match known {
            Some(_) => words(bytes, &format!("{} table", table.name), &mut end, count)?,
            None => Vec::new(),
        };
        tables.extend(known.map(|name| (name, start..end)));
        header.tables.push((table.name.clone(), entries));
    }
    Ok((header, tables))
}

/// A number for each node, so that every link leads to a higher one. Where that cannot be, a node that leads back to itself.
fn in_order(nodes: &[Node]) -> Result<Vec<NodeId>, usize> {
    let links = |index: usize| match &nodes[index] {
        Node::Test { matched, unmatched, .. } => Some([*matched, *unmatched]),
        Node::Terminal(_) => None,
    };
    let mut parents: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    let mut waits_for = vec![0u8; nodes.len()];
    let mut ready = BinaryHeap::new();
    for (index, waits) in waits_for.iter_mut().enumerate() {
        match links(index) {
            Some(children) => {
                *waits = 2;
                children.iter().for_each(|child| parents[child.index()].push(index));
            }
            None => ready.push(index),
        }
    }
    let mut places: Vec<Option<NodeId>> = vec![None; nodes.len()];
    let mut next = nodes.len();
    // The last place first: nodes whose links all have their places, the highest of them.
    while let Some(index) = ready.pop() {
        next -= 1;
        places[index] = Some(NodeId(u32::try_from(next).unwrap_or(u32::MAX)));
        for parent in &parents[index] {
            waits_for[*parent] -= 1;
            if waits_for[*parent] == 0 {
                ready.push(*parent);
            }
        }
    }
    // A node without a place leads to another one, so as many steps as there are nodes end in a circle.
    if let Some(mut at) = places.iter().position(Option::is_none) {
        for _ in 0..nodes.len() {
            let onward = links(at).and_then(|links| links.into_iter().find(|link| places[link.index()].is_none()));
            at = onward.map_or(at, NodeId::index);
        }
        return Err(at);
    }
    Ok(places.into_iter().flatten().collect())
}

/// The nodes at their places, and where each of them was.
fn placed(nodes: Vec<Node>, places: &[NodeId]) -> (Vec<Node>, Vec<NodeId>) {
    let mut moved: Vec<(NodeId, NodeId, Node)> = nodes
        .into_iter()
        .zip(places)
        .zip(0u32..)
        .map(|((node, place), origin)| {
            let node = match node {
                Node::Test { test, matched, unmatched } => {
                    Node::Test { test, matched: places[matched.index()], unmatched: places[unmatched.index()] }
                }
                Node::Terminal(terminal) => Node::Terminal(terminal),
            };
            (*place, NodeId(origin), node)
        })
        .collect();
    moved.sort_by_key(|(place, ..)| *place);
    moved.into_iter().map(|(_, origin, node)| (node, origin)).unzip()
}

struct Decoder<'a> {
    bytes: &'a [u8],
    release: &'static Release,
    header: &'a Header,
    layout: &'a EarlyLayout,
    /// No object lies before it.
    pool_start: usize,
    known_flags: u32,
    pool: Pool,
    /// What has been read, by offset: many nodes may have one argument.
    patterns: FxHashMap<usize, Arc<Tree>>,
    regexes: FxHashMap<usize, Arc<Automaton>>,
    /// Names of variables: those of the table, or where there is none the two that strings may have, in the
    /// order in which nodes ask for them.
    variables: Vec<Vec<u8>>,
}

impl<'a> Decoder<'a> {
    /// A link: it must lead to a node.
    fn link(&self, field: impl FnOnce() -> String, offset: usize, value: u16) -> Result<NodeId, BlobError> {
        let place = WORD * usize::from(value);
        let nodes = &self.header.nodes;
        if !nodes.contains(&place) {
            let reason = format!("leads to byte {place}; the nodes are from {} to {}", nodes.start, nodes.end);
            return Err(BlobError::bad(field(), offset, reason));
        }
        Ok(NodeId(u32::try_from((place - nodes.start) / NODE).unwrap_or(u32::MAX)))
    }

    /// The node, with the numbers that nodes have in the blob.
    fn node(&mut self, index: usize) -> Result<Node, BlobError> {
        let offset = self.header.nodes.start + NODE * index;
        let raw = slice(self.bytes, "node", offset, NODE)?;
        let pair = |at: usize| u16::from_le_bytes([raw[at], raw[at + 1]]);
        match raw[0] {
            0 => {
                let test = self.test(index, offset, raw[1], pair(2))?;
                let matched = self.link(|| format!("match link of node {index}"), offset + 4, pair(4))?;
                let unmatched = self.link(|| format!("unmatch link of node {index}"), offset + 6, pair(6))?;
                Ok(Node::Test { test, matched, unmatched })
            }
            1 if self.layout.terminal == EarlyTerminal::SignalAndMessage => {
                self.terminal_with_signal(index, offset, raw).map(Node::Terminal)
            }
            // FORMAT.md §2.2, first form: a zero, 16 flag bits, zeros.
            1 => {
                let flags = u32::from(pair(2));
                let field = || format!("flags of node {index}");
                if raw[1] != 0 || raw[4..] != [0; 4] {
                    return Err(BlobError::bad(field(), offset, "bytes that must be zero are not"));
                }
                self.refuse_unknown(flags, field, offset + 2)?;
                Ok(Node::Terminal(Terminal { flags, modifiers: Vec::new() }))
            }
            other => {
                Err(BlobError::bad(format!("type of node {index}"), offset, format!("is {other}, must be 0 or 1")))
            }
        }
    }

    /// Flag bits that the release has no name for are refused.
    fn refuse_unknown(&self, flags: u32, field: impl FnOnce() -> String, offset: usize) -> Result<(), BlobError> {
        match flags & !self.known_flags {
            0 => Ok(()),
            unknown => {
                let reason = format!("0x{unknown:04x} has no known meaning in {}", self.release.name());
                Err(BlobError::bad(field(), offset, reason))
            }
        }
    }

    /// FORMAT.md §2.2, second form: flags, a signal, the number of a message counted from 1.
    fn terminal_with_signal(&mut self, index: usize, offset: usize, raw: &[u8]) -> Result<Terminal, BlobError> {
        let field = || format!("modifiers of node {index}");
        let flags = u32::from(raw[1]);
        self.refuse_unknown(flags, field, offset + 1)?;
        if raw[3] != 0 || raw[5..] != [0; 3] {
            return Err(BlobError::bad(field(), offset + 2, "bytes that must be zero are not"));
        }
        let known = |name: &str| {
            let unknown = || BlobError::bad(field(), offset, format!("{} has no '{name}'", self.release.name()));
            self.release.modifier_named(name).map(|modifier| modifier.id).ok_or_else(unknown)
        };
        let mut modifiers = Vec::new();
        if raw[2] != 0 {
            let argument = ModifierArgument::Number(u16::from(raw[2]));
            modifiers.push(Modifier { id: known("send-signal")?, argument });
        }
        if let Some(number) = usize::from(raw[4]).checked_sub(1) {
            let id = known("message")?;
            let table = self.header.table("messages");
            let place = table
                .get(number)
                .copied()
                .ok_or_else(|| BlobError::bad(field(), offset + 4, format!("message {} of {}", raw[4], table.len())))?;
            modifiers.push(Modifier { id, argument: ModifierArgument::Text(self.c_string(place)?) });
        }
        Ok(Terminal { flags, modifiers })
    }

    fn test(&mut self, index: usize, offset: usize, raw_filter: u8, value: u16) -> Result<Test, BlobError> {
        let id = FilterId(raw_filter & 0x7f);
        let field = || format!("filter of node {index}");
        let filter = self.release.filter(id).ok_or_else(|| {
            let reason = format!("0x{raw_filter:02x} is no filter of {}", self.release.name());
            BlobError::bad(field(), offset + 1, reason)
        })?;
        let argument = match (filter.kind, raw_filter & 0x80 != 0, self.layout.patterns) {
            (FilterKind::Pattern | FilterKind::Path, false, EarlyPatterns::Strings) => {
                Argument::Pattern(self.string(value)?)
            }
            (FilterKind::Pattern | FilterKind::Path, false, EarlyPatterns::Programs) => {
                Argument::Pattern(self.program(value)?)
            }
            (FilterKind::Pattern | FilterKind::Path, true, EarlyPatterns::Strings | EarlyPatterns::Programs)
            | (FilterKind::Pattern | FilterKind::Path, false, EarlyPatterns::Regexes) => {
                let count = self.header.table("regexes").len();
                if usize::from(value) >= count {
                    let field = format!("regex number of node {index}");
                    return Err(BlobError::bad(field, offset + 2, format!("{value} of {count}")));
                }
                Argument::Regex(self.regex(usize::from(value))?)
            }
            (FilterKind::String, false, _) => Argument::Text(self.c_string(value)?),
            (FilterKind::Network, false, _) => {
                let start = self.place("address", value)?;
                Argument::Address(self.pool.address(self.bytes, start)?)
            }
            (FilterKind::Boolean | FilterKind::Bitfield | FilterKind::Enum | FilterKind::Integer, false, _) => {
                Argument::Number(value)
            }
            (FilterKind::Mask | FilterKind::StateFlag | FilterKind::ProfileFlag, ..) | (_, true, _) => {
                let reason = format!("0x{raw_filter:02x}: filter '{}' has no such form here", filter.name);
                return Err(BlobError::bad(field(), offset + 1, reason));
            }
        };
        Ok(Test { filter: id, argument })
    }

    /// Where an object starts, and that it lies behind the tables.
    fn place(&self, kind: &'static str, offset: u16) -> Result<usize, BlobError> {
        let start = WORD * usize::from(offset);
        if start < self.pool_start {
            let reason = format!("lies before the end of the tables at {}", self.pool_start);
            return Err(BlobError::bad(kind, start, reason));
        }
        Ok(start)
    }

    /// An object with its length in front, which does not count `more` bytes behind it: the offset and
    /// the bytes behind the length.
    fn counted(&mut self, kind: &'static str, offset: u16, more: usize) -> Result<(usize, &'a [u8]), BlobError> {
        let start = self.place(kind, offset)?;
        let raw = slice(self.bytes, kind, start, 4)?;
        let length = u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]);
        let length = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(more);
        let object = slice(self.bytes, kind, start + 4, length)?;
        self.pool.account(start, 4 + length, kind)?;
        Ok((start + 4, object))
    }

    fn c_string(&mut self, offset: u16) -> Result<Vec<u8>, BlobError> {
        let (start, object) = self.counted("string", offset, 0)?;
        self.pool.copy(start, object.len())?;
        match object.split_last() {
            Some((0, text)) => Ok(text.to_vec()),
            _ => Err(BlobError::bad("string", start, "does not end in a NUL")),
        }
    }

    /// The expression with this number in the table.
    fn regex(&mut self, number: usize) -> Result<Arc<Automaton>, BlobError> {
        let offset = self.header.table("regexes")[number];
        let (start, object) = self.counted("regex", offset, 0)?;
        if let Some(known) = self.regexes.get(&start) {
            return Ok(known.clone());
        }
        let automaton = Arc::new(automaton::read(object, start)?);
        self.regexes.insert(start, automaton.clone());
        Ok(automaton)
    }

    /// A pattern program.
    fn program(&mut self, offset: u16) -> Result<Arc<Tree>, BlobError> {
        let (start, object) = self.counted("pattern", offset, 0)?;
        if let Some(known) = self.patterns.get(&start) {
            return Ok(known.clone());
        }
        let tree = Arc::new(program::read(object, start)?);
        self.patterns.insert(start, tree.clone());
        Ok(tree)
    }

    /// The names that a table refers to.
    fn names(&mut self, table: &'static str) -> Result<Vec<Vec<u8>>, BlobError> {
        let header = self.header;
        let mut names = Vec::new();
        for (number, offset) in header.table(table).iter().enumerate() {
            self.pool.user = User::Table(table, number);
            names.push(self.c_string(*offset)?);
        }
        Ok(names)
    }

    /// A string with its type (FORMAT.md §4.5) as the tree that a program of it would have.
    fn string(&mut self, offset: u16) -> Result<Arc<Tree>, BlobError> {
        let (start, object) = self.counted("pattern", offset, 1)?;
        if let Some(known) = self.patterns.get(&start) {
            return Ok(known.clone());
        }
        let bad = |reason: String| BlobError::bad("pattern", start, reason);
        let Some((form, text)) = object.split_first() else { return Err(bad("has no type".to_owned())) };
        let kind = match form & (string_type::SUBPATH | string_type::PREFIX) {
            0 => StringKind::Literal,
            string_type::SUBPATH => StringKind::Subpath,
            string_type::PREFIX => StringKind::Prefix,
            _ => return Err(bad("is both a subpath and a prefix".to_owned())),
        };
        let has_variables = form & string_type::VARIABLES != 0;
        let pattern = StringPattern::new(kind, text, has_variables).map_err(|error| bad(error.to_string()))?;
        let mut expected = form & (string_type::SUBPATH | string_type::PREFIX | string_type::VARIABLES);
        for part in &pattern.parts {
            let Part::Variable(name) = part else { continue };
            let known = string_type::NAMES.iter().find(|(_, known)| known == name);
            let Some((bit, _)) = known else { return Err(bad(format!("names the unknown variable '{name}'"))) };
            expected |= bit;
        }
        if *form != expected {
            return Err(bad(format!("has type 0x{form:02x}, but its text is of type 0x{expected:02x}")));
        }
        let variables = &mut self.variables;
        let number = |name: &str| {
            let known = variables.iter().position(|known| known == name.as_bytes());
            let number = known.unwrap_or_else(|| {
                variables.push(name.as_bytes().to_vec());
                variables.len() - 1
            });
            u16::try_from(number).unwrap_or(u16::MAX)
        };
        let tree = tree_of(&[Asked::String(&pattern)], number, self.release.programs().saved)
            .map_err(|_| bad("has too many parts".to_owned()))?;
        let tree = Arc::new(tree);
        self.patterns.insert(start, tree.clone());
        Ok(tree)
    }
}
