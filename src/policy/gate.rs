//! In: [`Rules`] or a [`Graph`]. Out: what would keep a process without a certain entitlement from
//! applying them: message filters that deny (RUNTIME.md part 2, "Apply gate"). Never: a verdict on
//! an operation.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::vocabulary::OperationId;

use super::graph::{Graph, Node, NodeId};
use super::rules::{ModifierArgument, Rules};

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
            let denied = inner.iter().filter(|inner| inner.action.denies()).flat_map(|inner| &inner.operations);
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
    let denying = leading_to_deny(graph);
    let mut filters: HashMap<NodeId, BTreeSet<OperationId>> = HashMap::new();
    for id in graph.reachable() {
        if let Some(Node::Terminal(terminal)) = graph.node(id) {
            for (operation, entry) in terminal.message_filters() {
                if denying.get(entry.index()).is_some_and(|denies| *denies) {
                    filters.entry(id).or_default().insert(operation);
                }
            }
        }
    }
    if filters.is_empty() {
        return Vec::new();
    }
    let mut out = BTreeSet::new();
    for (index, entry) in graph.entries.iter().enumerate() {
        let Ok(number) = u16::try_from(index) else { break };
        for id in below(graph, *entry) {
            let denied = filters.get(&id).into_iter().flatten();
            out.extend(denied.map(|denied| Finding { outer: OperationId(number), denied: *denied }));
        }
    }
    out.into_iter().collect()
}

/// For each node, whether a walk from it can end in a deny. Each edge is followed back once.
fn leading_to_deny(graph: &Graph) -> Vec<bool> {
    let mut parents: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    let mut leads = vec![false; graph.nodes.len()];
    let mut work = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        match node {
            Node::Test { matched, unmatched, .. } => {
                for child in [matched, unmatched] {
                    if let Some(list) = parents.get_mut(child.index()) {
                        list.push(index);
                    }
                }
            }
            Node::Terminal(terminal) if terminal.denies() => work.push(index),
            Node::Terminal(_) => {}
        }
    }
    while let Some(index) = work.pop() {
        if !std::mem::replace(&mut leads[index], true) {
            work.extend(parents[index].iter().copied());
        }
    }
    leads
}

/// Every node that a walk from `entry` can come to.
fn below(graph: &Graph, entry: NodeId) -> HashSet<NodeId> {
    let mut seen = HashSet::new();
    let mut work = vec![entry];
    while let Some(id) = work.pop() {
        if seen.insert(id)
            && let Some(Node::Test { matched, unmatched, .. }) = graph.node(id)
        {
            work.extend([*matched, *unmatched]);
        }
    }
    seen
}
