//! In: the arena. Out: the [`Graph`] of what the roots reach, with strings as trees, expressions
//! as automata and names as numbers. Never: a decision about order of tests.

use std::collections::HashMap;

use crate::pattern::order::{Asked, MAX_NESTED, TooNested, tree_of};
use crate::pattern::regex::Automaton;
use crate::policy::graph::{self, Graph, Node, NodeId, Terminal};
use crate::policy::rules::{self, Rules};

use super::super::names::Names;
use super::BuildError;
use super::arena::{Arena, BuildNode, Carried, Id, TestId};

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
        variables: Names::default(),
        states: Names::default(),
        profile_flags: Names::default(),
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

fn check_names(names: &Names, what: &'static str) -> Result<(), BuildError> {
    if names.list.len() > MAX_NAMES {
        return Err(BuildError::TooManyNames { what, limit: MAX_NAMES });
    }
    Ok(())
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
                check_names(&self.states, "state flags")?;
                graph::Argument::StateFlag(number)
            }
            rules::Argument::Regexes(list) if first.lowered.is_empty() => {
                let expressions: Vec<_> = list.iter().map(|(_, expression)| expression.clone()).collect();
                let automaton = Automaton::of(&expressions).map_err(|error| BuildError::Regex {
                    text: list.first().map(|(text, _)| String::from_utf8_lossy(text).into_owned()).unwrap_or_default(),
                    reason: error.to_string(),
                })?;
                graph::Argument::Regex(automaton.into())
            }
            rules::Argument::Pattern(_) | rules::Argument::Regexes(_) => {
                let mut asked: Vec<Asked> = Vec::with_capacity(entries.len());
                for entry in &entries {
                    match &entry.test.argument {
                        rules::Argument::Pattern(pattern) => asked.push(Asked::String(pattern)),
                        _ => asked.extend(entry.lowered.iter().map(Asked::Expression)),
                    }
                }
                let variables = &mut self.variables;
                let saved = self.arena.release.programs().saved;
                let tree = tree_of(&asked, |name| variables.number(name.as_bytes()), saved)
                    .map_err(|TooNested| BuildError::NestedStrings { limit: MAX_NESTED })?;
                check_names(&self.variables, "variables")?;
                graph::Argument::Pattern(tree.into())
            }
        };
        Ok(graph::Test { filter: first.test.filter, argument })
    }
}
