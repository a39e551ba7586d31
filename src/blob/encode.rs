//! In: a [`Graph`]. Out: the blob that Apple's compiler makes of it. Never: a choice about the
//! graph; order of nodes, indexes and pool objects follow from it by FORMAT.md §2.5 and
//! COMPILER.md §4 (proven on 133,009 nodes of real blobs and on all hashed cases).

use std::collections::HashMap;

use super::layout::NODE;
use super::{automaton, program};
use crate::policy::graph::{Argument, Graph, Modifier, ModifierArgument, Node, NodeId, Terminal, Test};
use crate::vocabulary::{Layout, UnknownFormat};

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
    /// The release has no binary format yet.
    #[error(transparent)]
    UnknownFormat(#[from] UnknownFormat),
    /// The graph is damaged: a link leads nowhere, or an operation has no entry.
    #[error("the policy graph is damaged: {0}")]
    Damaged(String),
}

/// The blob of a graph.
///
/// # Errors
/// [`EncodeError`] where it does not fit the format.
pub fn encode(graph: &Graph) -> Result<Vec<u8>, EncodeError> {
    let layout = graph.release.layout()?;
    let slots = graph.release.operation_slots();
    if graph.entries.len() != slots {
        return Err(EncodeError::Damaged(format!("{} entries for {slots} operations", graph.entries.len())));
    }
    let mut encoder = Encoder::new(graph);
    encoder.place_modifier_lists()?;
    for entry in &graph.entries {
        encoder.emit(*entry)?;
    }
    encoder.finish(layout)
}

/// What is left to do, innermost last.
enum Task {
    Enter(NodeId),
    Write(NodeId),
}

struct Encoder<'g> {
    graph: &'g Graph,
    /// Nodes in the order in which they are written: the first one gets the highest index.
    written: Vec<NodeId>,
    position: Vec<Option<usize>>,
    pool: Pool,
    /// Pool offset of each node's argument.
    arguments: HashMap<NodeId, u16>,
    lists: HashMap<NodeId, u16>,
}

impl<'g> Encoder<'g> {
    fn new(graph: &'g Graph) -> Self {
        Self {
            graph,
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
    fn place_modifier_lists(&mut self) -> Result<(), EncodeError> {
        for id in self.visit_order()? {
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
    fn visit_order(&self) -> Result<Vec<NodeId>, EncodeError> {
        let mut seen = vec![false; self.graph.nodes.len()];
        let mut order = Vec::new();
        for entry in &self.graph.entries {
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
            Argument::Number(_) | Argument::StateFlag(_) => return Ok(0),
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
                vec![address.protocol, u8::from(address.localhost), low, high, 0, 0, 0, 0]
            }
        };
        self.pool.intern(&object)
    }

    fn finish(mut self, layout: &Layout) -> Result<Vec<u8>, EncodeError> {
        let count = self.written.len();
        let index = |encoder: &Self, id: NodeId| -> Result<u16, EncodeError> {
            let position = encoder.position.get(id.index()).copied().flatten();
            let position = position.ok_or_else(|| EncodeError::Damaged(format!("node {} was not reached", id.0)))?;
            u16::try_from(count - 1 - position).map_err(|_| EncodeError::TooMany {
                what: "nodes",
                count,
                limit: usize::from(u16::MAX),
            })
        };
        // Index tables: numbers are given when a node is written (FORMAT.md §2.5, rule 4).
        let mut regexes: Vec<u16> = Vec::new();
        let mut states: Vec<u16> = Vec::new();
        let mut policies: Vec<u16> = Vec::new();
        let number = |list: &mut Vec<u16>, value: u16| -> u16 {
            let known = list.iter().position(|known| *known == value);
            let place = known.unwrap_or_else(|| {
                list.push(value);
                list.len() - 1
            });
            u16::try_from(place).unwrap_or(u16::MAX)
        };
        let mut nodes = vec![0u8; NODE * count];
        for id in self.written.clone() {
            let bytes = match self.node(id)? {
                Node::Test { test, matched, unmatched } => {
                    let offset = self.arguments.get(&id).copied().unwrap_or(0);
                    let (second_form, argument) = match &test.argument {
                        Argument::Number(number) => (false, *number),
                        Argument::Numbers(_) => (true, offset),
                        Argument::Regex(_) => (true, number(&mut regexes, offset)),
                        Argument::StateFlag(state) => (false, number(&mut states, *state)),
                        _ => (false, offset),
                    };
                    let filter = test.filter.0 | if second_form { 0x80 } else { 0 };
                    let (a, m, u) = (
                        argument.to_le_bytes(),
                        index(&self, *matched)?.to_le_bytes(),
                        index(&self, *unmatched)?.to_le_bytes(),
                    );
                    [0, filter, a[0], a[1], m[0], m[1], u[0], u[1]]
                }
                Node::Terminal(terminal) => {
                    let mut entries = Vec::with_capacity(terminal.modifiers.len());
                    for modifier in &terminal.modifiers {
                        entries.push(self.modifier(modifier, |entry| Ok(number(&mut policies, index(&self, entry)?)))?);
                    }
                    self.terminal(id, terminal, &entries)?
                }
            };
            let at = NODE * usize::from(index(&self, id)?);
            nodes[at..at + NODE].copy_from_slice(&bytes);
        }
        let variables =
            self.graph.variables.iter().map(|name| self.pool.intern_name(name)).collect::<Result<Vec<_>, _>>()?;
        let mut state_names = Vec::with_capacity(states.len());
        for state in &states {
            let name = self.graph.states.get(usize::from(*state));
            let name = name.ok_or_else(|| EncodeError::Damaged(format!("no state flag {state}")))?;
            state_names.push(self.pool.intern_name(name)?);
        }
        let mut flags = self.graph.flags;
        if !policies.is_empty() {
            flags |= layout.message_filter_flag;
        }
        let tables = [("regexes", regexes), ("variables", variables), ("states", state_names), ("policies", policies)];
        let table =
            |name: &str| tables.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, entries)| entries);
        let mut out = vec![0u8; layout.header_length];
        for field in &layout.fields {
            let value = match field.name.as_str() {
                "flags" => usize::from(flags),
                "nodes" => count,
                "operations" => self.graph.entries.len(),
                name => table(name).len(),
            };
            let limit = if field.width == 1 { usize::from(u8::MAX) } else { usize::from(u16::MAX) };
            if value > limit {
                let what = match field.name.as_str() {
                    "regexes" => "regular expressions",
                    "variables" => "pattern variables",
                    "states" => "state flags",
                    "policies" => "message filters",
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
        for name in &layout.tables {
            out.extend(table(name).iter().flat_map(|entry| entry.to_le_bytes()));
        }
        for entry in &self.graph.entries {
            out.extend(index(&self, *entry)?.to_le_bytes());
        }
        out.resize(out.len().next_multiple_of(layout.alignment), 0);
        out.extend(nodes);
        out.extend(self.pool.bytes);
        Ok(out)
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

/// Objects behind the nodes: each on a multiple of 8, equal ones once, no padding behind the last.
#[derive(Default)]
struct Pool {
    bytes: Vec<u8>,
    offsets: HashMap<Vec<u8>, u16>,
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
