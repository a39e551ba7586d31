//! In: a profile that extends another one, and that one. Out: one profile that decides what the two do
//! together. Never: rules; what the other delegates in turn stays delegated.

use std::collections::HashMap;

use super::collection::Profile;
use super::graph::{Graph, Node, NodeId, Terminal};
use super::names::TestNames;

/// The profile with each delegation replaced by what `base` says of the operation (FORMAT.md §1.6,
/// §2.2: `delegate` is as the profile says that this one extends). Both are of one collection or have
/// names of their own; they are of one release.
#[must_use]
pub fn inlined(profile: &Profile, base: &Profile) -> Profile {
    let (graph, other) = (&profile.graph, &base.graph);
    let mut names = TestNames::of(graph);
    let mut nodes: Vec<Node> = graph.nodes.to_vec();
    let offset = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
    let moved = |id: NodeId| NodeId(id.0.saturating_add(offset));
    let numbers = names.of_variables(other);
    for node in other.nodes.iter() {
        let mut node = node.clone();
        match &mut node {
            Node::Test { test, matched, unmatched } => {
                (*matched, *unmatched) = (moved(*matched), moved(*unmatched));
                names.rename(test, other, &numbers);
            }
            Node::Terminal(terminal) => terminal.move_message_filters(&moved),
        }
        nodes.push(node);
    }
    // Nodes of the profile that lead to a delegation, once for each place that it goes on to.
    let mut copies: HashMap<(NodeId, NodeId), NodeId> = HashMap::new();
    let delegates = leads_to_delegation(graph);
    let mut entries = Vec::with_capacity(graph.entries.len());
    for (operation, entry) in graph.entries.iter().enumerate() {
        entries.push(match other.entries.get(operation) {
            Some(target) => copied(graph, *entry, moved(*target), &delegates, &mut copies, &mut nodes),
            None => *entry,
        });
    }
    let graph = Graph {
        release: graph.release,
        flags: graph.flags | other.flags,
        entries,
        nodes: nodes.into(),
        variables: names.variables.list.into(),
        states: names.states.list.into(),
        profile_flags: names.profile_flags.list.into(),
    };
    Profile { name: profile.name.clone(), base: base.base.clone(), flag_set: profile.flag_set.clone(), graph }
}

fn is_delegation(node: &Node) -> bool {
    matches!(node, Node::Terminal(Terminal { flags, modifiers }) if *flags & Terminal::DELEGATE != 0 && modifiers.is_empty())
}

fn leads_to_delegation(graph: &Graph) -> Vec<bool> {
    let mut leads = vec![false; graph.nodes.len()];
    for id in graph.children_first() {
        let known = |id: &NodeId| leads.get(id.index()).copied().unwrap_or(false);
        let new = match graph.node(id) {
            Some(Node::Test { matched, unmatched, .. }) => known(matched) || known(unmatched),
            Some(node) => is_delegation(node),
            None => false,
        };
        if let Some(place) = leads.get_mut(id.index()) {
            *place = new;
        }
    }
    leads
}

/// The node with `target` in place of each delegation; itself where it leads to none.
fn copied(
    graph: &Graph,
    entry: NodeId,
    target: NodeId,
    delegates: &[bool],
    copies: &mut HashMap<(NodeId, NodeId), NodeId>,
    nodes: &mut Vec<Node>,
) -> NodeId {
    let leads = |id: NodeId| delegates.get(id.index()).copied().unwrap_or(false);
    let mut work = vec![(entry, false)];
    while let Some((id, done)) = work.pop() {
        if !leads(id) || copies.contains_key(&(id, target)) {
            continue;
        }
        let Some(Node::Test { test, matched, unmatched }) = graph.node(id) else {
            copies.insert((id, target), target);
            continue;
        };
        if !done {
            work.extend([(id, true), (*matched, false), (*unmatched, false)]);
            continue;
        }
        let new = |id: &NodeId| copies.get(&(*id, target)).copied().unwrap_or(*id);
        let node = Node::Test { test: test.clone(), matched: new(matched), unmatched: new(unmatched) };
        copies.insert((id, target), NodeId(u32::try_from(nodes.len()).unwrap_or(u32::MAX)));
        nodes.push(node);
    }
    copies.get(&(entry, target)).copied().unwrap_or(entry)
}
