//! In: two graphs. Out: for each operation, whether both decide it by the same tests in the same
//! order with the same answers, whatever the numbers of their nodes, what they share, and in which
//! order a set of strings is tried. Never: whether different tests come to the same; where this says
//! "the same" it is so, where it does not the two may still mean the same.

use std::collections::HashMap;
use std::sync::Arc;

use super::graph::{Argument, Graph, ModifierArgument, Node, NodeId};
use crate::pattern::regex::Automaton;
use crate::pattern::tree::Tree;
use crate::vocabulary::{FilterId, ModifierId, OperationId};

/// A node by what it says; children by the number of what they say.
#[derive(PartialEq, Eq, Hash)]
enum Meaning {
    Test(FilterId, Asked, u32, u32),
    Terminal(u32, Vec<(ModifierId, Carried)>),
}

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

#[derive(PartialEq, Eq, Hash)]
enum Carried {
    Number(u16),
    Text(Vec<u8>),
    Message(OperationId, u32),
}

/// Numbers of meanings, common to all graphs that are compared, so that equal numbers are equal
/// meanings.
#[derive(Default)]
struct Meanings {
    numbers: HashMap<Meaning, u32>,
    variables: HashMap<Vec<u8>, u16>,
}

/// The operations that the two graphs decide by other tests, or the same tests otherwise.
///
/// Both are of one release; operations that only one has count as different. Takes time linear in
/// the nodes and what they hold.
#[must_use]
pub fn different_operations(a: &Graph, b: &Graph) -> Vec<OperationId> {
    let mut meanings = Meanings::default();
    let (a_numbers, b_numbers) = (meanings.of(a), meanings.of(b));
    let count = u16::try_from(a.entries.len().max(b.entries.len())).unwrap_or(u16::MAX);
    let number = |graph: &Graph, numbers: &HashMap<NodeId, u32>, operation| {
        graph.entry(operation).and_then(|entry| numbers.get(&entry).copied())
    };
    (0..count)
        .map(OperationId)
        .filter(|operation| {
            let (x, y) = (number(a, &a_numbers, *operation), number(b, &b_numbers, *operation));
            x != y || x.is_none()
        })
        .collect()
}

impl Meanings {
    /// The number of what each node says.
    fn of(&mut self, graph: &Graph) -> HashMap<NodeId, u32> {
        let variables: Vec<u16> = graph
            .variables
            .iter()
            .map(|name| {
                let next = u16::try_from(self.variables.len()).unwrap_or(u16::MAX);
                *self.variables.entry(name.clone()).or_insert(next)
            })
            .collect();
        let mut numbers: HashMap<NodeId, u32> = HashMap::new();
        // Arguments that many nodes share are looked at once.
        let mut patterns: HashMap<*const Tree, Arc<Tree>> = HashMap::new();
        for id in graph.children_first() {
            let number = |id: &NodeId| numbers.get(id).copied().unwrap_or(u32::MAX);
            let Some(node) = graph.node(id) else { continue };
            let meaning = match node {
                Node::Test { test, matched, unmatched } => {
                    let asked = match &test.argument {
                        Argument::Pattern(tree) if tree.has_variables() => {
                            let named = patterns.entry(Arc::as_ptr(tree)).or_insert_with(|| {
                                let number = |old: u16| variables.get(usize::from(old)).copied().unwrap_or(old);
                                Arc::new(tree.renumbered(&number))
                            });
                            Asked::Pattern(named.clone())
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
                    Meaning::Test(test.filter, asked, number(matched), number(unmatched))
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
                    Meaning::Terminal(terminal.flags, carried.collect())
                }
            };
            let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
            let number = *self.numbers.entry(meaning).or_insert(next);
            numbers.insert(id, number);
        }
        numbers
    }
}

fn flag(names: &[Vec<u8>], number: u16) -> Asked {
    Asked::Flag(names.get(usize::from(number)).cloned().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::passes::{Passes, build};
    use crate::sbpl::{self, Options};
    use crate::vocabulary::{DEFAULT_RELEASE, Release};

    fn graph(text: &str) -> Graph {
        let release = Release::named(DEFAULT_RELEASE).unwrap();
        let evaluated = sbpl::evaluate("p", text.as_bytes(), &Options::new(release)).map_err(|d| d.message);
        build(&evaluated.unwrap().rules, Passes::default()).unwrap()
    }

    fn names(a: &str, b: &str) -> Vec<String> {
        let (a, b) = (graph(a), graph(b));
        let list = different_operations(&a, &b);
        list.into_iter().map(|operation| a.release.operation_name(operation).into_owned()).collect()
    }

    #[test]
    fn order_that_says_nothing_is_none() {
        let a = "(version 1)(deny default)(allow signal (uid 3))(allow file-read-data (literal \"/a\" \"/bb\" \"${X}/c\"))\
                 (allow sysctl-read (sysctl-name-regex #\"a*b\"))(deny file-read* (state-flag \"s\"))\
                 (deny file-write-data (state-flag \"t\"))";
        let b = "(version 1)(deny default)(allow file-write-acl (literal \"${Y}/z\"))\
                 (allow file-read-data (literal \"/bb\" \"/a\" \"${X}/c\"))(deny file-write-data (state-flag \"t\"))\
                 (deny file-read* (state-flag \"s\"))(allow sysctl-read (sysctl-name-regex #\"a*b\"))(allow signal (uid 3))";
        assert_eq!(names(a, b), ["file-write-acl"]);
        assert_eq!(names(a, a), [""; 0]);
    }

    #[test]
    fn every_part_of_a_rule_counts() {
        let base = "(version 1)(deny default)(allow file-read-data (literal \"/a\") (with report))";
        for other in [
            "(version 1)(deny default)(allow file-read-data (literal \"/b\") (with report))",
            "(version 1)(deny default)(allow file-read-data (subpath \"/a\") (with report))",
            "(version 1)(deny default)(allow file-read-data (xattr \"/a\") (with report))",
            "(version 1)(deny default)(allow file-read-data (literal \"/a\"))",
            "(version 1)(deny default)(allow file-read-data (require-not (literal \"/a\")) (with report))",
        ] {
            assert_eq!(names(base, other), ["file-read-data"], "{other}");
        }
        let text = |inner: &str| {
            format!("(version 1)(deny default)(allow mach-lookup (global-name \"n\") (apply-message-filter {inner}))")
        };
        let (x, y) = (text("(deny mach-message-send)"), text("(allow mach-message-send (message-number 1))"));
        assert_eq!(names(&x, &y), ["mach-lookup"]);
    }
}
