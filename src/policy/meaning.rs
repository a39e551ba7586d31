//! In: graphs of one release. Out: [`Meanings`], numbers of what their tests ask and of what their
//! nodes say, common to all of them: equal numbers are equal meanings, whatever the numbers of the
//! nodes, what they share, and in which order a set of strings is tried. Never: whether different
//! tests come to the same.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use super::graph::{Argument, Graph, ModifierArgument, Node, NodeId, Terminal, Test};
use crate::pattern::regex::Automaton;
use crate::pattern::tree::Tree;
use crate::vocabulary::{FilterId, ModifierId, OperationId, Release};

/// What a test asks.
#[derive(PartialEq, Eq, Hash)]
struct Question(FilterId, Asked);

#[derive(PartialEq, Eq, Hash)]
enum Asked {
    Argument(Argument),
    /// Texts of a set of strings with whether each is a beginning, sorted.
    Strings(Vec<(Vec<u8>, bool)>),
    Pattern(Arc<Tree>),
    Regex(Automaton),
    /// A flag by name.
    Flag(Vec<u8>),
}

/// A node by what it says; children by the number of what they say.
#[derive(PartialEq, Eq, Hash)]
pub(super) enum Meaning {
    Test { question: u32, matched: u32, unmatched: u32 },
    Terminal { flags: u32, carried: Vec<(ModifierId, Carried)> },
}

#[derive(PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Carried {
    Number(u16),
    Text(Vec<u8>),
    Message(OperationId, u32),
}

/// What a test has to do with loaded values (LANGUAGE.md §4.5).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing.
    Plain,
    /// It loads one, if it is true.
    Loader,
    /// It asks for the one that was loaded.
    Loaded,
}

/// What stands for a question: a test that asks it, and where it was found first.
pub(super) struct Sample {
    /// The test; variables have the numbers that all graphs share.
    pub test: Test,
    /// The graph, by the order in which they came.
    pub graph: usize,
    pub node: NodeId,
    pub role: Role,
}

/// Numbers of equal things.
struct Numbers<T>(HashMap<T, u32>);

impl<T: Eq + Hash> Numbers<T> {
    fn number(&mut self, thing: T) -> (u32, bool) {
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        let number = *self.0.entry(thing).or_insert(next);
        (number, number == next)
    }
}

/// A node as a walk needs it.
pub(super) struct Said {
    pub meaning: Arc<Meaning>,
    /// Tests on the longest way from here.
    pub height: u32,
    /// What was loaded before makes a difference.
    pub needs_loaded: bool,
}

/// Numbers of meanings.
pub(super) struct Meanings {
    release: &'static Release,
    questions: Numbers<Question>,
    pub samples: Vec<Sample>,
    nodes: Numbers<Arc<Meaning>>,
    pub said: Vec<Said>,
    variables: HashMap<Vec<u8>, u16>,
    graphs: usize,
    numbered: u32,
    /// A node whose branches mean the same is its branch, and the order of different modifiers says
    /// nothing.
    loose: bool,
}

impl Meanings {
    /// None yet. `loose`: a test on which nothing depends is none, and modifiers have no order.
    pub fn new(release: &'static Release, loose: bool) -> Self {
        Self {
            release,
            questions: Numbers(HashMap::new()),
            samples: Vec::new(),
            nodes: Numbers(HashMap::new()),
            said: Vec::new(),
            variables: HashMap::new(),
            graphs: 0,
            numbered: 0,
            loose,
        }
    }

    fn role(&self, filter: FilterId) -> Role {
        if self.release.is_prerequisite(filter) {
            Role::Loader
        } else if self.release.filter(filter).is_some_and(|filter| filter.prerequisite.is_some()) {
            Role::Loaded
        } else {
            Role::Plain
        }
    }

    /// The number of what each test of a graph asks.
    pub fn questions(&mut self, graph: &Graph) -> HashMap<NodeId, u32> {
        let variables: Vec<u16> = graph
            .variables
            .iter()
            .map(|name| {
                let next = u16::try_from(self.variables.len()).unwrap_or(u16::MAX);
                *self.variables.entry(name.clone()).or_insert(next)
            })
            .collect();
        let mut out = HashMap::new();
        // Arguments that many nodes share are looked at once.
        let mut known: HashMap<(FilterId, usize), u32> = HashMap::new();
        for id in graph.reachable() {
            let Some(Node::Test { test, .. }) = graph.node(id) else { continue };
            let object = match &test.argument {
                Argument::Pattern(tree) => Some((test.filter, Arc::as_ptr(tree).addr())),
                Argument::Regex(automaton) => Some((test.filter, Arc::as_ptr(automaton).addr())),
                _ => None,
            };
            if let Some(number) = object.and_then(|object| known.get(&object)) {
                out.insert(id, *number);
                continue;
            }
            let mut sample = test.clone();
            let asked = match &test.argument {
                Argument::Pattern(tree) if tree.has_variables() => {
                    let number = |old: u16| variables.get(usize::from(old)).copied().unwrap_or(old);
                    let named = Arc::new(tree.renumbered(&number));
                    sample.argument = Argument::Pattern(named.clone());
                    Asked::Pattern(named)
                }
                Argument::Pattern(tree) => match tree.strings() {
                    Some(mut strings) => {
                        strings.sort_unstable();
                        Asked::Strings(strings)
                    }
                    None => Asked::Pattern(tree.clone()),
                },
                Argument::Regex(automaton) => Asked::Regex(automaton.in_order()),
                Argument::StateFlag(number) => flag(&graph.states, *number),
                Argument::ProfileFlag(number) => flag(&graph.profile_flags, *number),
                other => Asked::Argument(other.clone()),
            };
            let (number, new) = self.questions.number(Question(test.filter, asked));
            if new {
                let role = self.role(test.filter);
                self.samples.push(Sample { test: sample, graph: self.graphs, node: id, role });
            }
            if let Some(object) = object {
                known.insert(object, number);
            }
            out.insert(id, number);
        }
        self.graphs += 1;
        out
    }

    /// The number of what each node of a graph says, by what its tests ask.
    pub fn nodes(&mut self, graph: &Graph, questions: &HashMap<NodeId, u32>) -> HashMap<NodeId, u32> {
        let mut numbers: HashMap<NodeId, u32> = HashMap::new();
        // What a link that leads nowhere says is not known, so it is equal to nothing of another graph.
        self.numbered += 1;
        let missing = u32::MAX - self.numbered;
        for id in graph.children_first() {
            let number = |id: &NodeId| numbers.get(id).copied().unwrap_or(missing);
            let said = |number: u32| self.said.get(number as usize);
            let Some(node) = graph.node(id) else { continue };
            let mut height = 0;
            let mut needs_loaded = false;
            let meaning = match node {
                Node::Test { matched, unmatched, .. } => {
                    let question = questions.get(&id).copied().unwrap_or(u32::MAX);
                    let (matched, unmatched) = (number(matched), number(unmatched));
                    let needs = |number| said(number).is_some_and(|said| said.needs_loaded);
                    let below = needs(matched) || needs(unmatched);
                    let role = self.samples.get(question as usize).map_or(Role::Plain, |sample| sample.role);
                    needs_loaded = role == Role::Loaded || (below && role == Role::Plain);
                    // What a loader leaves behind may make a difference where the way does not.
                    if self.loose && matched == unmatched && !(role == Role::Loader && below) {
                        numbers.insert(id, matched);
                        continue;
                    }
                    let below = |number| said(number).map_or(0, |said| said.height);
                    height = below(matched).max(below(unmatched)) + 1;
                    Meaning::Test { question, matched, unmatched }
                }
                Node::Terminal(terminal) => {
                    let carried = terminal.modifiers.iter().map(|modifier| {
                        let carried = match &modifier.argument {
                            ModifierArgument::Number(number) => Carried::Number(*number),
                            ModifierArgument::Text(text) => Carried::Text(text.clone()),
                            ModifierArgument::MessageFilter { operation, entry } => {
                                Carried::Message(*operation, number(entry))
                            }
                        };
                        (modifier.id, carried)
                    });
                    let mut carried: Vec<_> = carried.collect();
                    let mut flags = terminal.flags;
                    if self.loose {
                        carried.sort_by_key(|(id, carried)| match carried {
                            Carried::Message(operation, _) => (*id, Some(*operation)),
                            _ => (*id, None),
                        });
                        flags &= !Terminal::INLINE;
                    }
                    Meaning::Terminal { flags, carried }
                }
            };
            let meaning = Arc::new(meaning);
            let (number, new) = self.nodes.number(meaning.clone());
            if new {
                self.said.push(Said { meaning, height, needs_loaded });
            }
            numbers.insert(id, number);
        }
        numbers
    }
}

fn flag(names: &[Vec<u8>], number: u16) -> Asked {
    Asked::Flag(names.get(usize::from(number)).cloned().unwrap_or_default())
}
