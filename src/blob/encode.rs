//! In: a [`Graph`] or a [`Collection`]. Out: the blob that Apple's compiler makes of it. Never: a choice about the
//! graph; order of nodes, indexes and pool objects follow from it by FORMAT.md §2.5 and
//! COMPILER.md §4 (proven on 133,009 nodes of real blobs and on all hashed cases).

use std::collections::HashMap;
use std::sync::Arc;

use super::layout::NODE;
use super::{automaton, program};
use crate::policy::collection::{Collection, Profile};
use crate::policy::graph::{Argument, Graph, Modifier, ModifierArgument, Node, NodeId, Terminal, Test};
use crate::vocabulary::{Layout, RecordWord, TerminalForm, UnknownFormat};

/// Why a graph has no blob. Nothing has been written then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Something is larger than its field.
    #[error("{what}: {count} do not fit the format (limit {limit}); split the profile or use fewer, wider filters")]
    TooMany {
        /// What.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// One argument is larger than the format can say.
    #[error("an argument of filter '{filter}' does not fit the format: {reason}")]
    Argument {
        /// The filter.
        filter: String,
        /// What is wrong.
        reason: String,
    },
    /// A terminal says more than the release's terminals can.
    #[error("terminals of {release} have no place for {what}")]
    Modifier {
        /// The release.
        release: String,
        /// What does not fit.
        what: String,
    },
    /// Blobs of absolute words (FORMAT.md §1.1 to §1.3) are read only.
    #[error("sbtool reads blobs of {release} and does not write them")]
    ReadOnly {
        /// The release.
        release: String,
    },
    /// The release has no binary format yet.
    #[error(transparent)]
    UnknownFormat(#[from] UnknownFormat),
    /// The graph is damaged: a link leads nowhere, or an operation has no entry.
    #[error("the policy graph is damaged: {0}")]
    Damaged(String),
}

/// The blob of a graph: a single profile.
///
/// # Errors
/// [`EncodeError`] where it does not fit the format.
pub fn encode(graph: &Graph) -> Result<Vec<u8>, EncodeError> {
    encode_collection(&Collection::single(graph.clone()))
}

/// The blob of a collection, or of the only profile.
///
/// # Errors
/// [`EncodeError`] where it does not fit the format.
pub fn encode_collection(collection: &Collection) -> Result<Vec<u8>, EncodeError> {
    if collection.release.early_layout().is_some() {
        return Err(EncodeError::ReadOnly { release: collection.release.name().to_owned() });
    }
    let layout = collection.release.layout()?;
    let slots = collection.release.operation_slots();
    let Some(first) = collection.profiles.first() else {
        return Err(EncodeError::Damaged("no profile".to_owned()));
    };
    for Profile { graph, .. } in &collection.profiles {
        if graph.entries.len() != slots {
            return Err(EncodeError::Damaged(format!("{} entries for {slots} operations", graph.entries.len())));
        }
        if !Arc::ptr_eq(&graph.nodes, &first.graph.nodes) {
            return Err(EncodeError::Damaged("profiles that do not share their nodes".to_owned()));
        }
    }
    let mut encoder = Encoder::new(collection, &first.graph, layout);
    // By file name, whatever the order of the records (FORMAT.md §2.5, rules 2 and 6).
    let mut order: Vec<&Profile> = collection.profiles.iter().collect();
    order.sort_by_cached_key(|profile| [profile.name.as_slice(), b".sb"].concat());
    encoder.place_modifier_lists(&order)?;
    for profile in &order {
        if collection.is_collection {
            encoder.pool.intern_name(&profile.name)?;
            // That its base and flag set follow its name is guessed: no collection with them was at hand.
            if let Some(base) = &profile.base {
                encoder.pool.intern_name(base)?;
            }
            if let Some(set) = &profile.flag_set {
                encoder.pool.intern(&bit_set(set))?;
            }
        }
        for entry in &profile.graph.entries {
            encoder.emit(*entry)?;
        }
    }
    encoder.finish()
}

/// What is left to do, innermost last.
enum Task {
    Enter(NodeId),
    Write(NodeId),
}

struct Encoder<'g> {
    collection: &'g Collection,
    /// One of the profiles; all share nodes and names.
    graph: &'g Graph,
    layout: &'g Layout,
    /// Nodes in the order in which they are written: the first one gets the highest index.
    written: Vec<NodeId>,
    position: Vec<Option<usize>>,
    pool: Pool,
    /// Pool offset of each node's argument.
    arguments: HashMap<NodeId, u16>,
    lists: HashMap<NodeId, u16>,
}

impl<'g> Encoder<'g> {
    fn new(collection: &'g Collection, graph: &'g Graph, layout: &'g Layout) -> Self {
        Self {
            collection,
            graph,
            layout,
            written: Vec::new(),
            position: vec![None; graph.nodes.len()],
            pool: Pool::default(),
            arguments: HashMap::new(),
            lists: HashMap::new(),
        }
    }

    fn node(&self, id: NodeId) -> Result<&'g Node, EncodeError> {
        self.graph.node(id).ok_or_else(|| EncodeError::Damaged(format!("no node {}", id.0)))
    }

    /// Lists of several modifiers stand first in the pool (FORMAT.md §2.5, rule 5); their order is
    /// that of the visit (chosen).
    fn place_modifier_lists(&mut self, profiles: &[&Profile]) -> Result<(), EncodeError> {
        if self.layout.terminal == TerminalForm::SignalAndMessage {
            return Ok(());
        }
        for id in self.visit_order(profiles)? {
            if let Node::Terminal(terminal) = self.node(id)?
                && terminal.modifiers.len() > 1
            {
                let offset = self.pool.reserve(4 * terminal.modifiers.len())?;
                self.lists.insert(id, offset);
            }
        }
        Ok(())
    }

    /// Nodes in the order in which `emit` first sees them.
    fn visit_order(&self, profiles: &[&Profile]) -> Result<Vec<NodeId>, EncodeError> {
        let mut seen = vec![false; self.graph.nodes.len()];
        let mut order = Vec::new();
        for entry in profiles.iter().flat_map(|profile| &profile.graph.entries) {
            let mut work = vec![*entry];
            while let Some(id) = work.pop() {
                let node = self.node(id)?;
                if std::mem::replace(&mut seen[id.index()], true) {
                    continue;
                }
                order.push(id);
                match node {
                    Node::Test { matched, unmatched, .. } => work.extend([*unmatched, *matched]),
                    Node::Terminal(terminal) => {
                        let mut roots: Vec<NodeId> = terminal.message_filters().map(|(_, entry)| entry).collect();
                        roots.reverse();
                        work.extend(roots);
                    }
                }
            }
        }
        Ok(order)
    }

    /// FORMAT.md §2.5, rule 3: argument data on the way in; match child, then unmatch child, then
    /// the node itself; a terminal takes its place before its message filters.
    fn emit(&mut self, root: NodeId) -> Result<(), EncodeError> {
        let mut tasks = vec![Task::Enter(root)];
        while let Some(task) = tasks.pop() {
            match task {
                Task::Write(id) => self.write(id)?,
                Task::Enter(id) => {
                    let node = self.node(id)?;
                    if self.position[id.index()].is_some() || self.arguments.contains_key(&id) {
                        continue;
                    }
                    match node {
                        Node::Test { test, matched, unmatched } => {
                            let offset = self.intern_argument(test)?;
                            self.arguments.insert(id, offset);
                            tasks.extend([Task::Write(id), Task::Enter(*unmatched), Task::Enter(*matched)]);
                        }
                        Node::Terminal(terminal) => {
                            for modifier in &terminal.modifiers {
                                if let ModifierArgument::Text(text) = &modifier.argument {
                                    self.pool.intern(&c_string(text).ok_or(too_long("modifier text"))?)?;
                                }
                            }
                            self.write(id)?;
                            let roots: Vec<NodeId> = terminal.message_filters().map(|(_, entry)| entry).collect();
                            tasks.extend(roots.into_iter().rev().map(Task::Enter));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, id: NodeId) -> Result<(), EncodeError> {
        self.position[id.index()] = Some(self.written.len());
        self.written.push(id);
        let limit = usize::from(u16::MAX);
        if self.written.len() > limit {
            return Err(EncodeError::TooMany { what: "nodes", count: self.written.len(), limit });
        }
        Ok(())
    }

    /// Puts a test's argument into the pool, if it lives there; its offset.
    fn intern_argument(&mut self, test: &Test) -> Result<u16, EncodeError> {
        let name = || self.graph.release.filter_name(test.filter).into_owned();
        let fail = |reason: &str| EncodeError::Argument { filter: name(), reason: reason.to_owned() };
        let object = match &test.argument {
            Argument::Number(_) | Argument::StateFlag(_) | Argument::ProfileFlag(_) => return Ok(0),
            Argument::Mask { width, numbers } => {
                mask(*width, numbers).ok_or_else(|| fail("a number beyond its width"))?
            }
            Argument::Numbers(numbers) => bit_set(numbers),
            Argument::Text(text) => c_string(text).ok_or_else(|| fail("string longer than 65,534 bytes"))?,
            Argument::Pattern(tree) => {
                // The first string tells which rule it is.
                let program = program::write(tree).map_err(|error| {
                    let first = String::from_utf8_lossy(&tree.beginning(80)).into_owned();
                    fail(&format!("the pattern that begins with {first:?} {error}"))
                })?;
                counted(&program).ok_or_else(|| fail("the pattern program is too long"))?
            }
            Argument::Regex(regex) => {
                let object = automaton::write(regex)
                    .ok_or_else(|| fail("the regular expression compiles to more than 65,535 bytes"))?;
                counted(&object).ok_or_else(|| fail("the regular expression compiles to more than 65,535 bytes"))?
            }
            Argument::Address(address) => {
                let [low, high] = address.port.to_le_bytes();
                let object = [address.protocol, u8::from(address.localhost), low, high, 0, 0, 0, 0];
                return self.pool.intern_of(test.filter.0, &object);
            }
        };
        self.pool.intern(&object)
    }

    fn finish(mut self) -> Result<Vec<u8>, EncodeError> {
        let mut tables = Tables::default();
        let nodes = self.nodes(&mut tables)?;
        self.names(&mut tables)?;
        let filtering = self.collection.filters_messages();
        let records = self.records(&filtering)?;
        let mut out = self.header(&tables, &filtering)?;
        for name in &self.layout.tables {
            out.extend(tables.get(name).iter().flat_map(|entry| entry.to_le_bytes()));
        }
        out.extend(records);
        out.resize(out.len().next_multiple_of(self.layout.alignment), 0);
        out.extend(nodes);
        out.extend(self.pool.bytes);
        Ok(out)
    }

    /// Index of a node in the blob.
    fn index(&self, id: NodeId) -> Result<u16, EncodeError> {
        let count = self.written.len();
        let position = self.position.get(id.index()).copied().flatten();
        let position = position.ok_or_else(|| EncodeError::Damaged(format!("node {} was not reached", id.0)))?;
        u16::try_from(count - 1 - position).map_err(|_| EncodeError::TooMany {
            what: "nodes",
            count,
            limit: usize::from(u16::MAX),
        })
    }

    /// The node array. Numbers in the index tables are given when a node is written (FORMAT.md
    /// §2.5, rule 4).
    fn nodes(&mut self, tables: &mut Tables) -> Result<Vec<u8>, EncodeError> {
        let mut nodes = vec![0u8; NODE * self.written.len()];
        for id in self.written.clone() {
            let bytes = match self.node(id)? {
                Node::Test { test, matched, unmatched } => {
                    let offset = self.arguments.get(&id).copied().unwrap_or(0);
                    let (second_form, argument) = match &test.argument {
                        Argument::Number(number) => (false, *number),
                        Argument::Numbers(_) => (true, offset),
                        Argument::Regex(_) => (true, tables.regexes.number(offset)),
                        Argument::StateFlag(state) => (false, tables.states.number(*state)),
                        Argument::ProfileFlag(flag) => (false, tables.profile_flags.number(*flag)),
                        _ => (false, offset),
                    };
                    let filter = test.filter.0 | if second_form { 0x80 } else { 0 };
                    let (a, m, u) = (
                        argument.to_le_bytes(),
                        self.index(*matched)?.to_le_bytes(),
                        self.index(*unmatched)?.to_le_bytes(),
                    );
                    [0, filter, a[0], a[1], m[0], m[1], u[0], u[1]]
                }
                Node::Terminal(terminal) if self.layout.terminal == TerminalForm::SignalAndMessage => {
                    self.terminal_with_signal(terminal, tables)?
                }
                Node::Terminal(terminal) => {
                    let mut entries = Vec::with_capacity(terminal.modifiers.len());
                    for modifier in &terminal.modifiers {
                        let policy = |entry| Ok(tables.policies.number(self.index(entry)?));
                        entries.push(self.modifier(modifier, policy)?);
                    }
                    self.terminal(id, terminal, &entries)?
                }
            };
            let at = NODE * usize::from(self.index(id)?);
            nodes[at..at + NODE].copy_from_slice(&bytes);
        }
        Ok(nodes)
    }

    /// Names behind the data of the profiles: variables, state flags, profile flags, references.
    fn names(&mut self, tables: &mut Tables) -> Result<(), EncodeError> {
        let missing = |what: &str, number: u16| EncodeError::Damaged(format!("no {what} {number}"));
        for number in &self.collection.variable_order {
            let name = self.graph.variables.get(usize::from(*number));
            self.pool.intern_name(name.ok_or_else(|| missing("variable", *number))?)?;
        }
        for name in self.graph.variables.iter() {
            tables.variables.push(self.pool.intern_name(name)?);
        }
        for state in tables.states.list.clone() {
            let name = self.graph.states.get(usize::from(state)).ok_or_else(|| missing("state flag", state))?;
            tables.state_names.push(self.pool.intern_name(name)?);
        }
        for name in &self.collection.profile_flags {
            tables.flag_names.push(self.pool.intern_name(name)?);
        }
        for flag in tables.profile_flags.list.clone() {
            let name = self.graph.profile_flags.get(usize::from(flag)).ok_or_else(|| missing("profile flag", flag))?;
            tables.references.push(self.pool.intern_name(name)?);
        }
        Ok(())
    }

    /// The flags of a profile, with the bits that follow from the rest.
    fn flags(&self, profile: &Profile, filters_messages: bool) -> u16 {
        let bits = self.layout.record_flags;
        profile.graph.flags
            | if filters_messages { self.layout.message_filter_flag } else { 0 }
            | if profile.base.is_some() { bits.based } else { 0 }
            | if profile.flag_set.is_some() { bits.flag_set } else { 0 }
    }

    /// Records and operation tables of the profiles.
    fn records(&self, filtering: &[bool]) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::new();
        let known = |object: Option<Vec<u8>>| {
            let offset = object.and_then(|object| self.pool.known(&object));
            offset.ok_or_else(|| EncodeError::Damaged("a name is not in the pool".to_owned()))
        };
        for (profile, filters_messages) in self.collection.profiles.iter().zip(filtering) {
            let record = if self.collection.is_collection { self.layout.record.as_slice() } else { &[] };
            for entry in record {
                let value = match (entry, &profile.base, &profile.flag_set) {
                    (RecordWord::Name, ..) => known(c_string(&profile.name))?,
                    (RecordWord::Flags, ..) => self.flags(profile, *filters_messages),
                    (RecordWord::Base, Some(base), _) => known(c_string(base))?,
                    (RecordWord::FlagSet, _, Some(set)) => known(Some(bit_set(set)))?,
                    (RecordWord::Base | RecordWord::FlagSet, ..) => 0,
                };
                out.extend(value.to_le_bytes());
            }
            for entry in &profile.graph.entries {
                out.extend(self.index(*entry)?.to_le_bytes());
            }
        }
        Ok(out)
    }

    fn header(&self, tables: &Tables, filtering: &[bool]) -> Result<Vec<u8>, EncodeError> {
        let layout = self.layout;
        let mut out = vec![0u8; layout.header_length];
        for field in &layout.fields {
            let value = match field.name.as_str() {
                "flags" if self.collection.is_collection => usize::from(layout.collection_flag),
                "flags" => usize::from(self.flags(&self.collection.profiles[0], filtering.first() == Some(&true))),
                "nodes" => self.written.len(),
                "operations" => self.graph.entries.len(),
                "profiles" if self.collection.is_collection => self.collection.profiles.len(),
                name => tables.get(name).len(),
            };
            let limit = if field.width == 1 { usize::from(u8::MAX) } else { usize::from(u16::MAX) };
            if value > limit {
                let what = match field.name.as_str() {
                    "regexes" => "regular expressions",
                    "variables" => "pattern variables",
                    "states" => "state flags",
                    "policies" => "message filters",
                    "profiles" => "profiles",
                    "messages" => "messages",
                    "profile_flags" | "profile_flag_references" => "profile flags",
                    _ => "header entries",
                };
                return Err(EncodeError::TooMany { what, count: value, limit });
            }
            let [low, high] = u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes();
            out[field.offset] = low;
            if field.width == 2 {
                out[field.offset + 1] = high;
            }
        }
        Ok(out)
    }

    /// FORMAT.md §2.2, iOS 13.
    fn terminal_with_signal(&self, terminal: &Terminal, tables: &mut Tables) -> Result<[u8; 8], EncodeError> {
        let release = self.graph.release;
        let unfit = |what: String| EncodeError::Modifier { release: release.name().to_owned(), what };
        let flags = u8::try_from(terminal.flags).map_err(|_| unfit(format!("the flags 0x{:x}", terminal.flags)))?;
        let (mut signal, mut message) = (0, 0);
        for modifier in &terminal.modifiers {
            let name = release.modifier(modifier.id).map_or("", |entry| entry.name.as_str());
            match (name, &modifier.argument) {
                ("send-signal", ModifierArgument::Number(number)) => {
                    signal = u8::try_from(*number).map_err(|_| unfit(format!("signal {number}")))?;
                }
                ("message", ModifierArgument::Text(text)) => {
                    let object = c_string(text).ok_or(too_long("modifier text"))?;
                    let offset = self.pool.known(&object);
                    let offset = offset.ok_or_else(|| EncodeError::Damaged("message not in the pool".to_owned()))?;
                    message = u8::try_from(usize::from(tables.messages.number(offset)) + 1)
                        .map_err(|_| unfit("more than 255 messages".to_owned()))?;
                }
                _ => return Err(unfit(format!("modifier '{name}'"))),
            }
        }
        Ok([1, flags, signal, 0, message, 0, 0, 0])
    }

    /// The four bytes of a modifier: id, message operation, argument.
    fn modifier(
        &self,
        modifier: &Modifier,
        policy: impl FnOnce(NodeId) -> Result<u16, EncodeError>,
    ) -> Result<[u8; 4], EncodeError> {
        let (operation, argument) = match &modifier.argument {
            ModifierArgument::Number(number) => (0, *number),
            ModifierArgument::Text(text) => {
                let object = c_string(text).ok_or(too_long("modifier text"))?;
                (
                    0,
                    self.pool
                        .known(&object)
                        .ok_or_else(|| EncodeError::Damaged("modifier text not in the pool".to_owned()))?,
                )
            }
            ModifierArgument::MessageFilter { operation, entry } => {
                let operation = u8::try_from(operation.0)
                    .map_err(|_| EncodeError::Damaged("message operation out of range".to_owned()))?;
                (operation, policy(*entry)?)
            }
        };
        let [low, high] = argument.to_le_bytes();
        Ok([modifier.id.0, operation, low, high])
    }

    fn terminal(&mut self, id: NodeId, terminal: &Terminal, entries: &[[u8; 4]]) -> Result<[u8; 8], EncodeError> {
        let area = match entries {
            [] => [0; 4],
            [one] => *one,
            several => {
                let offset = self
                    .lists
                    .get(&id)
                    .copied()
                    .ok_or_else(|| EncodeError::Damaged("modifier list not placed".to_owned()))?;
                self.pool.fill(offset, &several.concat());
                let count = u8::try_from(several.len()).map_err(|_| EncodeError::TooMany {
                    what: "modifiers",
                    count: several.len(),
                    limit: 255,
                })?;
                let [low, high] = offset.to_le_bytes();
                [count, 0, low, high]
            }
        };
        let flags = terminal.flags | if entries.len() == 1 { Terminal::INLINE } else { 0 };
        let flags = flags.to_le_bytes();
        Ok([1, flags[0], flags[1], flags[2], area[0], area[1], area[2], area[3]])
    }
}

/// Numbers given to values in the order in which they are first asked for.
#[derive(Default)]
struct Numbers {
    list: Vec<u16>,
    places: HashMap<u16, u16>,
}

impl Numbers {
    fn number(&mut self, value: u16) -> u16 {
        *self.places.entry(value).or_insert_with(|| {
            self.list.push(value);
            u16::try_from(self.list.len() - 1).unwrap_or(u16::MAX)
        })
    }
}

/// The tables between header and profiles.
#[derive(Default)]
struct Tables {
    /// Pool offsets.
    regexes: Numbers,
    /// Pool offsets.
    messages: Numbers,
    /// Numbers of the graph.
    states: Numbers,
    /// Numbers of the graph.
    profile_flags: Numbers,
    /// Node indexes.
    policies: Numbers,
    variables: Vec<u16>,
    state_names: Vec<u16>,
    flag_names: Vec<u16>,
    references: Vec<u16>,
}

impl Tables {
    /// A table by the name that the grammar gives it; empty for other names.
    fn get(&self, name: &str) -> &[u16] {
        match name {
            "regexes" => &self.regexes.list,
            "messages" => &self.messages.list,
            "variables" => &self.variables,
            "states" => &self.state_names,
            "profile_flags" => &self.flag_names,
            "profile_flag_references" => &self.references,
            "policies" => &self.policies.list,
            _ => &[],
        }
    }
}

fn too_long(what: &'static str) -> EncodeError {
    EncodeError::TooMany { what, count: usize::from(u16::MAX) + 1, limit: usize::from(u16::MAX) }
}

/// Length in front of the bytes.
fn counted(bytes: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(bytes.len()).ok()?;
    Some([length.to_le_bytes().as_slice(), bytes].concat())
}

/// A C string: its length counts the NUL.
fn c_string(text: &[u8]) -> Option<Vec<u8>> {
    counted(&[text, &[0]].concat())
}

/// A bit set: `01 00`, count of bytes, bytes; no zero bytes at the end (FORMAT.md §3.2).
fn bit_set(numbers: &[u16]) -> Vec<u8> {
    let highest = numbers.iter().copied().max().unwrap_or(0);
    let mut bits = vec![0u8; usize::from(highest / 8) + 1];
    for number in numbers {
        bits[usize::from(number / 8)] |= 1 << (number % 8);
    }
    let [low, high] = u16::try_from(bits.len()).unwrap_or(u16::MAX).to_le_bytes();
    [&[1, 0, low, high], bits.as_slice()].concat()
}

/// A set with its width in front. `None` for a number beyond it.
fn mask(width: u16, numbers: &[u16]) -> Option<Vec<u8>> {
    let mut bits = vec![0u8; usize::from(width).div_ceil(8)];
    for number in numbers.iter().copied() {
        if number >= width {
            return None;
        }
        bits[usize::from(number / 8)] |= 1 << (number % 8);
    }
    Some([width.to_le_bytes().as_slice(), &bits].concat())
}

/// Objects behind the nodes: each on a multiple of 8, equal ones once, no padding behind the last.
#[derive(Default)]
struct Pool {
    bytes: Vec<u8>,
    offsets: HashMap<Vec<u8>, u16>,
    /// Addresses, by filter: local and remote ones stay apart even where they are equal (iOS 13: 3
    /// of 3; FORMAT.md says that all equal objects are one).
    addresses: HashMap<(u8, [u8; 8]), u16>,
}

impl Pool {
    fn intern(&mut self, object: &[u8]) -> Result<u16, EncodeError> {
        if let Some(offset) = self.offsets.get(object) {
            return Ok(*offset);
        }
        let offset = self.reserve(object.len())?;
        self.fill(offset, object);
        self.offsets.insert(object.to_vec(), offset);
        Ok(offset)
    }

    fn intern_of(&mut self, filter: u8, address: &[u8; 8]) -> Result<u16, EncodeError> {
        if let Some(offset) = self.addresses.get(&(filter, *address)) {
            return Ok(*offset);
        }
        let offset = self.reserve(address.len())?;
        self.fill(offset, address);
        self.addresses.insert((filter, *address), offset);
        Ok(offset)
    }

    fn intern_name(&mut self, name: &[u8]) -> Result<u16, EncodeError> {
        self.intern(&c_string(name).ok_or(too_long("name"))?)
    }

    fn known(&self, object: &[u8]) -> Option<u16> {
        self.offsets.get(object).copied()
    }

    fn reserve(&mut self, length: usize) -> Result<u16, EncodeError> {
        let start = self.bytes.len().next_multiple_of(8);
        let limit = 8 * usize::from(u16::MAX);
        let offset = u16::try_from(start / 8).map_err(|_| EncodeError::TooMany {
            what: "bytes of strings",
            count: start + length,
            limit,
        })?;
        self.bytes.resize(start + length, 0);
        Ok(offset)
    }

    fn fill(&mut self, offset: u16, object: &[u8]) {
        let start = 8 * usize::from(offset);
        if let Some(place) = self.bytes.get_mut(start..start + object.len()) {
            place.copy_from_slice(object);
        }
    }
}
