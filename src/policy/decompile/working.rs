//! In: a [`Graph`]. Out: [`Working`], the same with equal tests, terminals and nodes made one and
//! nodes that ask for nothing left out. Never: a node in front of what it leads to.

use std::collections::HashMap;
use std::sync::Arc;

use crate::pattern::regex::Automaton;
use crate::pattern::tree::Tree;
use crate::policy::graph::{Argument, Graph, Node, NodeId, Terminal, Test};

/// Number of a distinct test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TestId(pub u32);

/// Number of a node. What a node leads to has lower numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place(pub u32);

/// Number of a distinct terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TerminalId(pub u32);

impl TestId {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl Place {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl TerminalId {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Test { test: TestId, yes: Place, no: Place },
    Terminal(TerminalId),
}

/// A graph ready for reading.
pub(super) struct Working<'g> {
    pub graph: &'g Graph,
    pub tests: Vec<Test>,
    /// Where message filters start is a [`Place`] in these.
    pub terminals: Vec<Terminal>,
    pub steps: Vec<Step>,
    /// Where each operation starts.
    pub entries: Vec<Place>,
    test_numbers: HashMap<Test, TestId>,
    terminal_numbers: HashMap<Terminal, TerminalId>,
    step_numbers: HashMap<Step, Place>,
    /// Objects that many nodes share are compared once.
    trees: HashMap<*const Tree, Arc<Tree>>,
    automata: HashMap<*const Automaton, Arc<Automaton>>,
    equal_trees: HashMap<Arc<Tree>, Arc<Tree>>,
    equal_automata: HashMap<Arc<Automaton>, Arc<Automaton>>,
    test_objects: HashMap<(u8, usize), TestId>,
}

impl<'g> Working<'g> {
    pub fn of(graph: &'g Graph) -> Self {
        let mut working = Self {
            graph,
            tests: Vec::new(),
            terminals: Vec::new(),
            steps: Vec::new(),
            entries: Vec::new(),
            test_numbers: HashMap::new(),
            terminal_numbers: HashMap::new(),
            step_numbers: HashMap::new(),
            trees: HashMap::new(),
            automata: HashMap::new(),
            equal_trees: HashMap::new(),
            equal_automata: HashMap::new(),
            test_objects: HashMap::new(),
        };
        let mut places: HashMap<NodeId, Place> = HashMap::new();
        for id in order(graph) {
            let Some(node) = graph.node(id) else { continue };
            let place = |id: &NodeId| places.get(id).copied().unwrap_or(Place(0));
            let step = match node {
                Node::Test { test, matched, unmatched } => {
                    let (yes, no) = (place(matched), place(unmatched));
                    let never = matches!(&test.argument, Argument::Pattern(tree) if matches!(&**tree, Tree::Choice(branches) if branches.is_empty()));
                    if yes == no || never {
                        places.insert(id, no);
                        continue;
                    }
                    Step::Test { test: working.test(test), yes, no }
                }
                Node::Terminal(terminal) => {
                    let mut terminal = terminal.clone();
                    terminal.flags &= !Terminal::INLINE;
                    terminal.move_message_filters(&|entry| NodeId(place(&entry).0));
                    Step::Terminal(working.terminal(terminal))
                }
            };
            places.insert(id, working.step(step));
        }
        working.entries = graph.entries.iter().map(|entry| places.get(entry).copied().unwrap_or(Place(0))).collect();
        working
    }

    /// The number of a step; a new one if there is none like it.
    pub fn step(&mut self, step: Step) -> Place {
        let next = Place(u32::try_from(self.steps.len()).unwrap_or(u32::MAX));
        let place = *self.step_numbers.entry(step).or_insert(next);
        if place == next {
            self.steps.push(step);
        }
        place
    }

    pub fn terminal(&mut self, terminal: Terminal) -> TerminalId {
        if let Some(known) = self.terminal_numbers.get(&terminal) {
            return *known;
        }
        let id = TerminalId(u32::try_from(self.terminals.len()).unwrap_or(u32::MAX));
        self.terminals.push(terminal.clone());
        self.terminal_numbers.insert(terminal, id);
        id
    }

    /// The number of a test.
    pub fn test(&mut self, test: &Test) -> TestId {
        let mut test = test.clone();
        // A set of strings or an expression is hashed once for each object.
        let object = match &mut test.argument {
            Argument::Pattern(tree) => {
                let known = self
                    .trees
                    .entry(Arc::as_ptr(tree))
                    .or_insert_with(|| self.equal_trees.entry(tree.clone()).or_insert_with(|| tree.clone()).clone());
                *tree = known.clone();
                Some(Arc::as_ptr(tree).cast::<u8>() as usize)
            }
            Argument::Regex(automaton) => {
                let known = self.automata.entry(Arc::as_ptr(automaton)).or_insert_with(|| {
                    self.equal_automata.entry(automaton.clone()).or_insert_with(|| automaton.clone()).clone()
                });
                *automaton = known.clone();
                Some(Arc::as_ptr(automaton).cast::<u8>() as usize)
            }
            _ => None,
        };
        let next = TestId(u32::try_from(self.tests.len()).unwrap_or(u32::MAX));
        let id = match object {
            Some(object) => *self.test_objects.entry((test.filter.0, object)).or_insert(next),
            None => *self.test_numbers.entry(test.clone()).or_insert(next),
        };
        if id == next {
            self.tests.push(test);
        }
        id
    }

    pub fn at(&self, place: Place) -> Step {
        self.steps.get(place.index()).copied().unwrap_or(Step::Terminal(TerminalId(0)))
    }

    /// The terminal that stands at a place, if one does.
    pub fn terminal_at(&self, place: Place) -> Option<TerminalId> {
        match self.at(place) {
            Step::Terminal(id) => Some(id),
            Step::Test { .. } => None,
        }
    }
}

/// Every node that some operation reaches, behind all that it leads to, and the nodes of the longer
/// of two ways before those of the shorter. A rule's own nodes are the shorter way, the rules behind
/// it the longer; so numbers of a rule are above those of the rules behind it even where no way
/// leads from one to the other.
fn order(graph: &Graph) -> Vec<NodeId> {
    let mut length = vec![0_u32; graph.nodes.len()];
    let of = |length: &[u32], id: &NodeId| length.get(id.index()).copied().unwrap_or(0);
    for id in graph.children_first() {
        let longest = match graph.node(id) {
            Some(Node::Test { matched, unmatched, .. }) => of(&length, matched).max(of(&length, unmatched)),
            _ => 0,
        };
        if let Some(place) = length.get_mut(id.index()) {
            *place = longest + 1;
        }
    }
    let mut order = Vec::new();
    let mut seen = vec![false; graph.nodes.len()];
    let mut work: Vec<(NodeId, bool)> = graph.entries.iter().rev().map(|entry| (*entry, false)).collect();
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
        match graph.node(id) {
            Some(Node::Test { matched, unmatched, .. }) => {
                let matched_is_longer = of(&length, matched) > of(&length, unmatched);
                let (longer, shorter) = if matched_is_longer { (matched, unmatched) } else { (unmatched, matched) };
                work.extend([(*shorter, false), (*longer, false)]);
            }
            Some(Node::Terminal(terminal)) => work.extend(terminal.message_filters().map(|(_, entry)| (entry, false))),
            None => {}
        }
    }
    order
}
