//! In: the arena. Out: the [`Graph`] of what the roots reach, with strings as trees, expressions
//! as automata and names as numbers. Never: a decision about order of tests.

use std::collections::HashMap;

use crate::pattern::StringPattern;
use crate::pattern::order::{tree_of, tree_with_variables};
use crate::pattern::regex::Automaton;
use crate::policy::graph::{self, Graph, Node, NodeId, Terminal};
use crate::policy::rules::{self, Rules};

use super::BuildError;
use super::arena::{Arena, BuildNode, Carried, Id, TestId};

/// Most strings that may be beginnings of one another: bounds the depth of a tree.
const MAX_NESTED: usize = 250;

/// Variables and state flags are counted in one byte (FORMAT.md §1.5).
const MAX_NAMES: usize = 255;

pub(super) fn graph(arena: &Arena, roots: &[Id], rules: &Rules) -> Result<Graph, BuildError> {
    let incoming = arena.incoming(roots);
    let mut numbers = vec![NodeId(0); arena.nodes.len()];
    let mut count = 0;
    for (index, number) in numbers.iter_mut().enumerate() {
        if incoming[index] > 0 {
            *number = NodeId(count);
            count += 1;
        }
    }
    let mut finisher = Finisher {
        arena,
        variables: Names::new("variables"),
        states: Names::new("state flags"),
        profile_flags: Names::new("profile flags"),
        known: HashMap::new(),
    };
    let mut nodes = Vec::with_capacity(count as usize);
    for (index, node) in arena.nodes.iter().enumerate() {
        if incoming[index] == 0 {
            continue;
        }
        nodes.push(match node {
            BuildNode::Test { tests, matched, unmatched, .. } => Node::Test {
                test: finisher.test(tests)?,
                matched: numbers[matched.index()],
                unmatched: numbers[unmatched.index()],
            },
            BuildNode::Terminal(terminal) => Node::Terminal(Terminal {
                flags: terminal.flags,
                modifiers: terminal
                    .carried
                    .iter()
                    .map(|(id, carried)| graph::Modifier {
                        id: *id,
                        argument: match carried {
                            Carried::Number(number) => graph::ModifierArgument::Number(*number),
                            Carried::Text(text) => graph::ModifierArgument::Text(text.clone()),
                            Carried::MessageFilter(operation, entry) => graph::ModifierArgument::MessageFilter {
                                operation: *operation,
                                entry: numbers[entry.index()],
                            },
                        },
                    })
                    .collect(),
            }),
        });
    }
    Ok(Graph {
        release: rules.release,
        flags: rules.profile_flags,
        entries: roots.iter().map(|root| numbers[root.index()]).collect(),
        nodes: nodes.into(),
        variables: finisher.variables.list.into(),
        states: finisher.states.list.into(),
        profile_flags: finisher.profile_flags.list.into(),
    })
}

/// Names and the numbers given to them.
struct Names {
    what: &'static str,
    list: Vec<Vec<u8>>,
    numbers: HashMap<Vec<u8>, u16>,
}

impl Names {
    fn new(what: &'static str) -> Self {
        Self { what, list: Vec::new(), numbers: HashMap::new() }
    }

    fn number(&mut self, name: &[u8]) -> u16 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u16::try_from(self.list.len()).unwrap_or(u16::MAX);
        self.list.push(name.to_vec());
        self.numbers.insert(name.to_vec(), number);
        number
    }

    fn check(&self) -> Result<(), BuildError> {
        if self.list.len() > MAX_NAMES {
            return Err(BuildError::TooManyNames { what: self.what, limit: MAX_NAMES });
        }
        Ok(())
    }
}

struct Finisher<'a> {
    arena: &'a Arena,
    variables: Names,
    states: Names,
    profile_flags: Names,
    /// Finished tests of one string or expression each: many nodes may ask the same.
    known: HashMap<TestId, graph::Test>,
}

impl Finisher<'_> {
    fn test(&mut self, tests: &[TestId]) -> Result<graph::Test, BuildError> {
        let [one] = tests else { return self.make(tests) };
        if let Some(known) = self.known.get(one) {
            return Ok(known.clone());
        }
        let test = self.make(tests)?;
        if matches!(test.argument, graph::Argument::Pattern(_) | graph::Argument::Regex(_)) {
            self.known.insert(*one, test.clone());
        }
        Ok(test)
    }

    fn make(&mut self, tests: &[TestId]) -> Result<graph::Test, BuildError> {
        // Source order, whatever order the nodes were in.
        let mut entries: Vec<_> = tests.iter().map(|test| self.arena.test(*test)).collect();
        entries.sort_by_key(|entry| entry.ordinal);
        let Some(first) = entries.first() else {
            return Err(BuildError::TooManyNodes { limit: 0 });
        };
        let argument = match &first.test.argument {
            rules::Argument::Number(number) => graph::Argument::Number(*number),
            rules::Argument::Numbers(numbers) => {
                let mut numbers = numbers.clone();
                numbers.sort_unstable();
                numbers.dedup();
                graph::Argument::Numbers(numbers)
            }
            rules::Argument::Text(text) => graph::Argument::Text(text.clone()),
            rules::Argument::Address(address) => graph::Argument::Address(*address),
            rules::Argument::Mask { width, numbers } => {
                let mut numbers = numbers.clone();
                numbers.sort_unstable();
                numbers.dedup();
                graph::Argument::Mask { width: *width, numbers }
            }
            rules::Argument::ProfileFlag(name) => {
                let number = self.profile_flags.number(name);
                graph::Argument::ProfileFlag(number)
            }
            rules::Argument::StateFlag(name) => {
                let number = self.states.number(name);
                self.states.check()?;
                graph::Argument::StateFlag(number)
            }
            rules::Argument::Regexes(list) => {
                let expressions: Vec<_> = list.iter().map(|(_, expression)| expression.clone()).collect();
                let automaton = Automaton::of(&expressions).map_err(|error| BuildError::Regex {
                    text: list.first().map(|(text, _)| String::from_utf8_lossy(text).into_owned()).unwrap_or_default(),
                    reason: error.to_string(),
                })?;
                graph::Argument::Regex(automaton.into())
            }
            rules::Argument::Pattern(pattern) if pattern.text().is_none() => {
                let tree = tree_with_variables(pattern, |name| self.variables.number(name.as_bytes()));
                self.variables.check()?;
                graph::Argument::Pattern(tree.into())
            }
            rules::Argument::Pattern(_) => {
                let strings: Vec<StringPattern> = entries
                    .iter()
                    .filter_map(|entry| match &entry.test.argument {
                        rules::Argument::Pattern(pattern) => Some(pattern.clone()),
                        _ => None,
                    })
                    .collect();
                check_nesting(&strings)?;
                graph::Argument::Pattern(tree_of(&strings).into())
            }
        };
        Ok(graph::Test { filter: first.test.filter, argument })
    }
}

/// Trees are walked by recursion; this bounds how deep one can be: how many other strings a string
/// branches off from, counted by the lengths of what sorted neighbours have in common.
fn check_nesting(strings: &[StringPattern]) -> Result<(), BuildError> {
    let mut texts: Vec<&[u8]> = strings.iter().filter_map(StringPattern::text).collect();
    texts.sort_unstable();
    let mut branchings: Vec<usize> = Vec::new();
    for pair in texts.windows(2) {
        let common = pair[0].iter().zip(pair[1]).take_while(|(a, b)| a == b).count();
        while branchings.last().is_some_and(|last| *last > common) {
            branchings.pop();
        }
        if branchings.last() != Some(&common) {
            branchings.push(common);
        }
        if branchings.len() > MAX_NESTED {
            return Err(BuildError::NestedStrings { limit: MAX_NESTED });
        }
    }
    Ok(())
}
