//! In: a [`Graph`]. Out: [`Working`], the same with equal tests, terminals and nodes made one and
//! nodes that ask for nothing left out. Never: a node in front of what it leads to.

use std::hash::Hash;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

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
    test_numbers: FxHashMap<Test, TestId>,
    terminal_numbers: FxHashMap<Terminal, TerminalId>,
    step_numbers: FxHashMap<Step, Place>,
    trees: Objects<Tree>,
    automata: Objects<Automaton>,
    /// Tests of objects, by filter and address of the one object of all equal ones.
    test_objects: FxHashMap<(u8, usize), TestId>,
}

/// Objects that many nodes share: each is hashed once, equal ones are one.
struct Objects<T> {
    /// By address: the object, which keeps its address from being another's, and the one for it.
    known: FxHashMap<usize, (Arc<T>, Arc<T>)>,
    equal: FxHashSet<Arc<T>>,
}

impl<T> Default for Objects<T> {
    fn default() -> Self {
        Self { known: FxHashMap::default(), equal: FxHashSet::default() }
    }
}

impl<T: Eq + Hash> Objects<T> {
    /// The one object of all equal ones.
    fn one(&mut self, object: &Arc<T>) -> Arc<T> {
        let equal = &mut self.equal;
        let (_, one) = self.known.entry(Arc::as_ptr(object).addr()).or_insert_with(|| {
            let one = equal.get(object).unwrap_or(object).clone();
            equal.insert(one.clone());
            (object.clone(), one)
        });
        one.clone()
    }
}

impl<'g> Working<'g> {
    pub fn of(graph: &'g Graph) -> Self {
        let mut working = Self {
            graph,
            tests: Vec::new(),
            terminals: Vec::new(),
            steps: Vec::new(),
            entries: Vec::new(),
            test_numbers: FxHashMap::default(),
            terminal_numbers: FxHashMap::default(),
            step_numbers: FxHashMap::default(),
            trees: Objects::default(),
            automata: Objects::default(),
            test_objects: FxHashMap::default(),
        };
        let mut places: FxHashMap<NodeId, Place> = FxHashMap::default();
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
        let object = match &mut test.argument {
            Argument::Pattern(tree) => {
                *tree = self.trees.one(tree);
                Some(Arc::as_ptr(tree).addr())
            }
            Argument::Regex(automaton) => {
                *automaton = self.automata.one(automaton);
                Some(Arc::as_ptr(automaton).addr())
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
    graph.children_first_by(|matched, unmatched| of(&length, &matched) > of(&length, &unmatched))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::tree::Matcher;
    use crate::policy::passes::{Passes, build};
    use crate::sbpl::{self, Options};
    use crate::vocabulary::{DEFAULT_RELEASE, FilterId, Release};

    /// A set of strings that is made here and dropped leaves its address to the next one.
    #[test]
    fn tests_are_known_by_what_they_ask_and_not_by_where_it_was() {
        let release = Release::named(DEFAULT_RELEASE).unwrap();
        let evaluated = sbpl::evaluate("p", b"(version 1)(allow default)", &Options::new(release));
        let graph = build(&evaluated.map_err(|d| d.message).unwrap().rules, Passes::default()).unwrap();
        let mut working = Working::of(&graph);
        let asks = |text: &str| {
            let tree = Tree::one(Matcher::Text(text.as_bytes().to_vec()), Tree::Accept);
            Test { filter: FilterId(1), argument: Argument::Pattern(Arc::new(tree)) }
        };
        let first = working.test(&asks("/a"));
        for round in 0..100 {
            assert_eq!(working.test(&asks("/a")), first);
            let other = asks(&format!("/{round}"));
            let id = working.test(&other);
            assert_eq!(working.tests[id.index()], other);
        }
    }
}
