//! In: a [`Graph`]. Out: the part of it that decides one operation, or all that do not only inherit, as DOT,
//! JSON or SVG. Never: a verdict, or a node that is there but not reached.
//!
//! - `dot`, `json` (here), `svg`: the three forms
//! - `layers`: where the boxes of the SVG stand

mod dot;
mod layers;
mod svg;

use std::collections::HashMap;

use crate::policy::describe;
use crate::policy::graph::{Graph, Node, NodeId, Terminal};
use crate::vocabulary::OperationId;

pub use dot::dot;
pub use svg::svg;

/// Why there is no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DrawingError {
    /// More than anybody could read, and than is laid out in reasonable time.
    #[error("{count} {what} are too many for a picture (limit {limit}); ask for one operation, or for dot or json")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
}

/// A place where decisions start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The operations that start here, by ascending number.
    pub operations: Vec<OperationId>,
    /// The first node.
    pub node: NodeId,
    /// The terminal whose message filter this is; nothing for operations of the profile itself.
    pub filter_of: Option<NodeId>,
}

/// A part of a graph.
#[derive(Clone, Debug)]
pub struct Drawing<'a> {
    /// The whole graph.
    pub graph: &'a Graph,
    /// Where its decisions start; those of the profile first, then those of message filters.
    pub entries: Vec<Entry>,
    /// Every node that is reached, by ascending number.
    pub nodes: Vec<NodeId>,
}

impl<'a> Drawing<'a> {
    /// What decides one operation; or, for nothing, every operation that does not start where its parent
    /// does.
    #[must_use]
    pub fn of(graph: &'a Graph, operation: Option<OperationId>) -> Self {
        let release = graph.release;
        let mut entries: Vec<Entry> = Vec::new();
        let mut known: HashMap<NodeId, usize> = HashMap::new();
        for (id, node) in (0_u16..).map(OperationId).zip(&graph.entries) {
            let inherits = release.parent(id).and_then(|parent| graph.entry(parent)) == Some(*node);
            if operation.map_or(inherits, |wanted| wanted != id) {
                continue;
            }
            let place = *known.entry(*node).or_insert(entries.len());
            match entries.get_mut(place) {
                Some(entry) => entry.operations.push(id),
                None => entries.push(Entry { operations: vec![id], node: *node, filter_of: None }),
            }
        }
        let mut seen = vec![false; graph.nodes.len()];
        let mut work: Vec<NodeId> = entries.iter().rev().map(|entry| entry.node).collect();
        while let Some(id) = work.pop() {
            match seen.get_mut(id.index()) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            match &graph.nodes[id.index()] {
                Node::Test { matched, unmatched, .. } => work.extend([*unmatched, *matched]),
                Node::Terminal(terminal) => {
                    for (operation, node) in terminal.message_filters() {
                        entries.push(Entry { operations: vec![operation], node, filter_of: Some(id) });
                        work.push(node);
                    }
                }
            }
        }
        let nodes = (0_u32..).map(NodeId).zip(&seen).filter(|(_, seen)| **seen).map(|(id, _)| id).collect();
        Self { graph, entries, nodes }
    }

    /// The names of an entry's operations.
    fn names(&self, entry: &Entry) -> Vec<String> {
        entry.operations.iter().map(|operation| self.graph.release.operation_name(*operation).into_owned()).collect()
    }
}

/// A terminal's colours: of the line around it, and inside.
fn colors(terminal: &Terminal) -> (&'static str, &'static str) {
    use crate::policy::rules::Action;
    match terminal.action() {
        Action::Allow => ("#2e8b57", "#d9f2e1"),
        Action::Deny => ("#c0392b", "#f9dcd9"),
        Action::Delegate => ("#2f6fb5", "#d9e8f9"),
        _ => ("#8e44ad", "#ecdff2"),
    }
}

/// Colour of the way taken after a match; it can be told apart on white and on black.
const MATCH: &str = "#2e9e5b";
/// Colour of the way taken after none.
const UNMATCH: &str = "#8a929c";

/// The drawing for programs: entries, nodes, edges.
#[must_use]
pub fn json(drawing: &Drawing<'_>) -> serde_json::Value {
    let graph = drawing.graph;
    let mut edges = Vec::new();
    let mut nodes = Vec::with_capacity(drawing.nodes.len());
    for id in &drawing.nodes {
        match graph.node(*id) {
            Some(Node::Test { test, matched, unmatched }) => {
                nodes.push(serde_json::json!({
                    "node": id.0,
                    "kind": "test",
                    "filter": graph.release.filter_name(test.filter),
                    "text": describe::test(graph, test),
                }));
                edges.push(serde_json::json!({"from": id.0, "to": matched.0, "when": "match"}));
                edges.push(serde_json::json!({"from": id.0, "to": unmatched.0, "when": "unmatch"}));
            }
            Some(Node::Terminal(terminal)) => {
                nodes.push(serde_json::json!({
                    "node": id.0,
                    "kind": "terminal",
                    "action": terminal.action().name(),
                    "modifiers": describe::modifiers(graph, terminal),
                    "text": describe::terminal(graph, terminal),
                }));
            }
            None => {}
        }
    }
    let entries = drawing.entries.iter().map(|entry| {
        serde_json::json!({
            "operations": drawing.names(entry),
            "node": entry.node.0,
            "message_filter_of": entry.filter_of.map(|node| node.0),
        })
    });
    serde_json::json!({
        "release": graph.release.name(),
        "entries": entries.collect::<Vec<_>>(),
        "nodes": nodes,
        "edges": edges,
    })
}

/// Text in lines of at most `width` characters, broken at blanks where there are some; more than `lines`
/// lines end in an ellipsis.
fn wrapped(text: &str, width: usize, lines: usize) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut line = String::new();
    let mut length = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let characters: Vec<char> = word.chars().collect();
        let mut rest = &characters[..];
        let mut is_first = true;
        while !rest.is_empty() && out.len() < lines {
            // What does not fit a line is broken behind a slash, if there is one in its second half.
            let part = if rest.len() <= width {
                rest.len()
            } else {
                let slash = rest[..width].iter().rposition(|character| *character == '/').map(|at| at + 1);
                slash.filter(|at| *at > width / 2).unwrap_or(width)
            };
            if length > 0 && (!is_first || length + 1 + part > width) {
                out.push(std::mem::take(&mut line));
                length = 0;
            }
            if length > 0 {
                line.push(' ');
                length += 1;
            }
            line.extend(&rest[..part]);
            length += part;
            rest = &rest[part..];
            is_first = false;
        }
    }
    if !line.is_empty() || out.is_empty() {
        out.push(line);
    }
    if out.len() > lines {
        out.truncate(lines);
        if let Some(last) = out.last_mut() {
            let kept: String = last.chars().take(width.saturating_sub(2)).collect();
            *last = format!("{} …", kept.trim_end());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn text_is_wrapped_at_blanks_and_where_there_are_none() {
        assert_eq!(wrapped("", 10, 3), [""]);
        assert_eq!(wrapped("one two three", 7, 3), ["one two", "three"]);
        assert_eq!(wrapped("a 0123456789abc d", 5, 9), ["a", "01234", "56789", "abc d"]);
        assert_eq!(wrapped("/usr/lib/x", 8, 9), ["/usr/", "lib/x"]);
        assert_eq!(wrapped("/usr/libx/y", 8, 9), ["/usr/", "libx/y"]);
        assert_eq!(wrapped("aa bb cc dd ee", 5, 2), ["aa bb", "cc …"]);
    }
}
