//! In: [`Rules`] or a [`Graph`]. Out: what would keep a process without a certain entitlement from
//! applying them: message filters that deny (RUNTIME.md part 2, "Apply gate"). Never: a verdict on
//! an operation.

use crate::vocabulary::OperationId;

use super::graph::{Graph, Node, NodeId};
use super::rules::{Action, ModifierArgument, Rules};

/// A message filter with a deny in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The operation that carries the filter.
    pub outer: OperationId,
    /// The message operation that is denied.
    pub denied: OperationId,
}

/// The signature name of RUNTIME.md for a finding.
pub const SIGNATURE: &str = "deny_message_filter";

/// The findings of a source: message filters in which a deny is written (RUNTIME.md part 2; a
/// filter of allows alone is not gated). Unlike the scan recorded there, this sees what imports,
/// macros and parameters amount to.
#[must_use]
pub fn of_rules(rules: &Rules) -> Vec<Finding> {
    let mut out = Vec::new();
    for rule in &rules.list {
        for modifier in &rule.modifiers {
            let ModifierArgument::MessageFilter(inner) = &modifier.argument else { continue };
            let denied = inner.iter().filter(|inner| inner.action == Action::Deny).flat_map(|inner| &inner.operations);
            for denied in denied {
                out.extend(rule.operations.iter().map(|outer| Finding { outer: *outer, denied: *denied }));
            }
        }
    }
    out.sort();
    out.dedup();
    out
}

/// The findings of a blob, by operation. An operation that shares its parent's terminal counts as
/// well.
///
/// That any deny that such a filter can come to counts is chosen: in a graph a deny that was
/// written cannot be told from one that is merely fallen through to.
#[must_use]
pub fn of_graph(graph: &Graph) -> Vec<Finding> {
    let mut denying = Vec::new();
    for id in graph.reachable() {
        if let Some(Node::Terminal(terminal)) = graph.node(id) {
            for (operation, entry) in terminal.message_filters() {
                if leads_to_deny(graph, entry) {
                    denying.push((id, operation));
                }
            }
        }
    }
    if denying.is_empty() {
        return Vec::new();
    }
    let mut out = Vec::new();
    for (index, entry) in graph.entries.iter().enumerate() {
        let Ok(number) = u16::try_from(index) else { break };
        walk(graph, *entry, |id| {
            for (terminal, denied) in &denying {
                if *terminal == id {
                    out.push(Finding { outer: OperationId(number), denied: *denied });
                }
            }
            false
        });
    }
    out.sort();
    out.dedup();
    out
}

fn leads_to_deny(graph: &Graph, entry: NodeId) -> bool {
    walk(graph, entry, |id| matches!(graph.node(id), Some(Node::Terminal(terminal)) if terminal.denies()))
}

/// Visits every node below `entry` until `stop` says so; true if it did.
fn walk(graph: &Graph, entry: NodeId, mut stop: impl FnMut(NodeId) -> bool) -> bool {
    let mut seen = std::collections::HashSet::new();
    let mut work = vec![entry];
    while let Some(id) = work.pop() {
        if !seen.insert(id) {
            continue;
        }
        if stop(id) {
            return true;
        }
        if let Some(Node::Test { matched, unmatched, .. }) = graph.node(id) {
            work.extend([*matched, *unmatched]);
        }
    }
    false
}
