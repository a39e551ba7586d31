//! In: nodes from the builder or the decoder. Out: [`Graph`], the policy graph: per operation an
//! entry, tests that go on to *matched* or *unmatched*, terminals. Never: offsets, raw bytes, SBPL.

use std::sync::Arc;

use crate::pattern::regex::Automaton;
use crate::pattern::tree::Tree;
use crate::vocabulary::{FilterId, ModifierId, OperationId, Release};

use super::rules::{Action, Address};

/// Number of a node in [`Graph::nodes`]. Two edges with the same number lead to the same object;
/// the order of the numbers says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

impl NodeId {
    /// As an index.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a test compares with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Argument {
    /// A number, an enum value, a flag.
    Number(u16),
    /// A set of numbers, ascending.
    Numbers(Vec<u16>),
    /// An exact string.
    Text(Vec<u8>),
    /// A set of strings; equal ones of many nodes may be one object.
    Pattern(Arc<Tree>),
    /// A regular expression; equal ones of many nodes may be one object.
    Regex(Arc<Automaton>),
    /// A network address.
    Address(Address),
    /// A set of numbers below a width, ascending.
    Mask {
        /// How many bits the set has; numbers at or above it are not in it.
        width: u16,
        /// The numbers.
        numbers: Vec<u16>,
    },
    /// The state flag with this number in [`Graph::states`].
    StateFlag(u16),
    /// The profile flag with this number in [`Graph::profile_flags`].
    ProfileFlag(u16),
}

/// One question about a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Test {
    /// About what.
    pub filter: FilterId,
    /// Compared with what.
    pub argument: Argument,
}

/// What a modifier of a terminal carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ModifierArgument {
    /// A number.
    Number(u16),
    /// A string.
    Text(Vec<u8>),
    /// The graph that decides messages of one operation.
    MessageFilter {
        /// The message operation.
        operation: OperationId,
        /// Where its graph starts.
        entry: NodeId,
    },
}

/// A modifier that carries something. Those that carry nothing are bits of [`Terminal::flags`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Modifier {
    /// Which.
    pub id: ModifierId,
    /// With what.
    pub argument: ModifierArgument,
}

/// Where a walk ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Terminal {
    /// Flag bits as FORMAT.md §2.2 lists them, without the one that marks an inline modifier.
    pub flags: u32,
    /// Modifiers that carry something, in order.
    pub modifiers: Vec<Modifier>,
}

impl Terminal {
    /// Bit of a deny.
    pub const DENY: u32 = 0x1;
    /// Bit of a report.
    pub const REPORT: u32 = 0x4;
    /// Bit of a delegation to the profile that is extended.
    pub const DELEGATE: u32 = 0x400;
    /// Bit of a question to the autobox profile.
    pub const AUTOBOX: u32 = 0x1000;
    /// Bit that marks one inline modifier in a compiled terminal.
    pub const INLINE: u32 = 0x80_0000;

    /// What it does.
    #[must_use]
    pub fn action(&self) -> Action {
        match self.flags {
            flags if flags & Self::DELEGATE != 0 => Action::Delegate,
            flags if flags & Self::AUTOBOX != 0 => Action::Autobox,
            flags if flags & Self::DENY != 0 => Action::Deny,
            _ => Action::Allow,
        }
    }

    /// Whether it denies, as far as this profile alone can say ([`Action::denies`]).
    #[must_use]
    pub fn denies(&self) -> bool {
        self.action().denies()
    }
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// A question and where the two answers lead.
    Test {
        /// The question.
        test: Test,
        /// Where yes leads.
        matched: NodeId,
        /// Where no leads.
        unmatched: NodeId,
    },
    /// An answer.
    Terminal(Terminal),
}

/// The policy of one profile.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Whose vocabulary.
    pub release: &'static Release,
    /// Flags of the profile (FORMAT.md §1.7), without those that the encoder works out.
    pub flags: u16,
    /// Where each operation starts, by id.
    pub entries: Vec<NodeId>,
    /// All nodes; every walk ends, since no node leads back to itself. Profiles of one collection
    /// share them.
    pub nodes: Arc<[Node]>,
    /// Names of pattern variables, by number.
    pub variables: Arc<[Vec<u8>]>,
    /// Names of state flags, by number.
    pub states: Arc<[Vec<u8>]>,
    /// Names of the profile flags that tests ask for, by number.
    pub profile_flags: Arc<[Vec<u8>]>,
}

impl Graph {
    /// The node with this number.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.index())
    }

    /// Where an operation starts.
    #[must_use]
    pub fn entry(&self, operation: OperationId) -> Option<NodeId> {
        self.entries.get(operation.index()).copied()
    }

    /// Every terminal that some request comes to from a node, if tests say nothing about one another, each
    /// once. Nothing where a link leads nowhere.
    #[must_use]
    pub fn terminals(&self, start: NodeId) -> Option<Vec<&Terminal>> {
        let mut seen = vec![false; self.nodes.len()];
        let mut out = Vec::new();
        let mut work = vec![start];
        while let Some(id) = work.pop() {
            if std::mem::replace(seen.get_mut(id.index())?, true) {
                continue;
            }
            match self.node(id)? {
                Node::Test { matched, unmatched, .. } => work.extend([*unmatched, *matched]),
                Node::Terminal(terminal) => out.push(terminal),
            }
        }
        Some(out)
    }

    /// Every node that some operation reaches, each once, entries first. Bounded by the number of
    /// nodes.
    #[must_use]
    pub fn reachable(&self) -> Vec<NodeId> {
        let mut seen = vec![false; self.nodes.len()];
        let mut order = Vec::new();
        let mut work: Vec<NodeId> = self.entries.iter().rev().copied().collect();
        while let Some(id) = work.pop() {
            match seen.get_mut(id.index()) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            order.push(id);
            match &self.nodes[id.index()] {
                Node::Test { matched, unmatched, .. } => work.extend([*unmatched, *matched]),
                Node::Terminal(terminal) => work.extend(terminal.message_filters().map(|(_, entry)| entry)),
            }
        }
        order
    }

    /// Every node that some operation reaches, behind all that it leads to.
    #[must_use]
    pub fn children_first(&self) -> Vec<NodeId> {
        self.children_first_by(|_, _| true)
    }

    /// The same; of a test, what a match leads to comes before what none leads to where `matched_first`
    /// says so of the two.
    pub fn children_first_by(&self, matched_first: impl Fn(NodeId, NodeId) -> bool) -> Vec<NodeId> {
        let mut order = Vec::new();
        let mut seen = vec![false; self.nodes.len()];
        let mut work: Vec<(NodeId, bool)> = self.entries.iter().rev().map(|entry| (*entry, false)).collect();
        while let Some((id, done)) = work.pop() {
            if done {
                order.push(id);
                continue;
            }
            match seen.get_mut(id.index()) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            work.push((id, true));
            match &self.nodes[id.index()] {
                Node::Test { matched, unmatched, .. } if matched_first(*matched, *unmatched) => {
                    work.extend([(*unmatched, false), (*matched, false)]);
                }
                Node::Test { matched, unmatched, .. } => work.extend([(*matched, false), (*unmatched, false)]),
                Node::Terminal(terminal) => work.extend(terminal.message_filters().map(|(_, entry)| (entry, false))),
            }
        }
        order
    }
}

impl Terminal {
    /// The message operations that it filters and where their graphs start.
    pub fn message_filters(&self) -> impl Iterator<Item = (OperationId, NodeId)> + '_ {
        self.modifiers.iter().filter_map(|modifier| match modifier.argument {
            ModifierArgument::MessageFilter { operation, entry } => Some((operation, entry)),
            _ => None,
        })
    }

    /// Gives each message filter another start.
    pub(super) fn move_message_filters(&mut self, moved: &impl Fn(NodeId) -> NodeId) {
        for modifier in &mut self.modifiers {
            if let ModifierArgument::MessageFilter { entry, .. } = &mut modifier.argument {
                *entry = moved(*entry);
            }
        }
    }
}
