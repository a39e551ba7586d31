//! In: two graphs. Out: for each operation, whether both decide it by the same tests in the same
//! order with the same answers, whatever the numbers of their nodes, what they share, and in which
//! order a set of strings is tried. Never: whether different tests come to the same; where this says
//! "the same" it is so, where it does not the two may still mean the same.

use std::collections::HashMap;

use super::graph::{Graph, NodeId};
use super::meaning::Meanings;
use crate::vocabulary::OperationId;

/// The operations that the two graphs decide by other tests, or the same tests otherwise.
///
/// Both are of one release; operations that only one has count as different. Takes time linear in
/// the nodes and what they hold.
#[must_use]
pub fn different_operations(a: &Graph, b: &Graph) -> Vec<OperationId> {
    let mut meanings = Meanings::new(a.release, false);
    let mut numbered = |graph: &Graph| {
        let questions = meanings.questions(graph);
        meanings.nodes(graph, &questions)
    };
    let (a_numbers, b_numbers) = (numbered(a), numbered(b));
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
