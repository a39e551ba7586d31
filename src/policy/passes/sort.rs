//! In: nodes with the conjunctions they stand in. Out: the same, cheap tests of a conjunction
//! first. Never: a test moved from one rule to another, or out of a disjunction.

use std::collections::HashMap;

use super::arena::{Arena, BuildNode, Id};

/// One place of a chain: its test, and whether a match goes on along the chain.
struct Link {
    tests: Vec<super::arena::TestId>,
    goes_on_when: bool,
}

/// Sorts conjunctions by signed filter cost, stable (GRAPH.md R1). A chain is sorted where each
/// test but the first is reached from the one before it alone and all leave to the same object.
/// Hashed case: `sys_sample` (vnode-type before path).
pub(super) fn conjunctions(arena: &mut Arena, roots: &[Id]) {
    let incoming = arena.incoming(roots);
    let mut members: HashMap<u32, Vec<Id>> = HashMap::new();
    for index in (0..arena.nodes.len()).rev() {
        if let BuildNode::Test { conjunction: Some(conjunction), .. } = &arena.nodes[index]
            && incoming[index] > 0
        {
            members.entry(*conjunction).or_default().push(Id(u32::try_from(index).unwrap_or(u32::MAX)));
        }
    }
    let mut groups: Vec<_> = members.into_iter().collect();
    groups.sort_unstable_by_key(|(conjunction, _)| *conjunction);
    for (conjunction, nodes) in groups {
        let mut used = std::collections::HashSet::new();
        // Highest number first: a chain is found from its head.
        for head in nodes {
            if !used.contains(&head) {
                let chain = chain_from(arena, &incoming, conjunction, head);
                used.extend(chain.iter().copied());
                sort_chain(arena, &chain);
            }
        }
    }
}

/// The nodes that follow `head` in its conjunction, with the same way out.
fn chain_from(arena: &Arena, incoming: &[u32], wanted: u32, head: Id) -> Vec<Id> {
    let edges = |id: Id| match &arena.nodes[id.index()] {
        BuildNode::Test { matched, unmatched, conjunction, .. } if *conjunction == Some(wanted) => {
            Some((*matched, *unmatched))
        }
        _ => None,
    };
    let mut chain = vec![head];
    let mut exit: Option<Id> = None;
    let mut current = head;
    while let Some((matched, unmatched)) = edges(current) {
        let follows = |next: Id, out: Id| {
            let fits = exit.is_none_or(|exit| exit == out) && incoming[next.index()] == 1;
            fits && edges(next).is_some_and(|(a, b)| a == out || b == out)
        };
        let next = if follows(matched, unmatched) {
            exit = Some(unmatched);
            matched
        } else if follows(unmatched, matched) {
            exit = Some(matched);
            unmatched
        } else {
            break;
        };
        chain.push(next);
        current = next;
    }
    chain
}

fn sort_chain(arena: &mut Arena, chain: &[Id]) {
    let [head, second, ..] = chain else { return };
    let BuildNode::Test { matched, unmatched, .. } = &arena.nodes[head.index()] else { return };
    let exit = if matched == second { *unmatched } else { *matched };
    let mut links = Vec::with_capacity(chain.len());
    let mut last = exit;
    for id in chain {
        let BuildNode::Test { tests, matched, unmatched, .. } = &arena.nodes[id.index()] else { return };
        let goes_on_when = *unmatched == exit;
        last = if goes_on_when { *matched } else { *unmatched };
        links.push(Link { tests: tests.clone(), goes_on_when });
    }
    let Some(sorted) = sorted(arena, links) else { return };
    for (position, (id, link)) in chain.iter().zip(sorted).enumerate() {
        let next = chain.get(position + 1).copied().unwrap_or(last);
        if let BuildNode::Test { tests, matched, unmatched, .. } = &mut arena.nodes[id.index()] {
            *tests = link.tests;
            (*matched, *unmatched) = if link.goes_on_when { (next, exit) } else { (exit, next) };
        }
    }
}

/// The links by cost, each test that refers to a loaded value right behind its loader, whatever
/// stood between the two. `None` where one refers to a loader before the chain and the chain has
/// another one: such a chain stays as it is.
fn sorted(arena: &Arena, links: Vec<Link>) -> Option<Vec<Link>> {
    let test = |link: &Link| link.tests.first().map(|test| arena.test(*test));
    let mut units: Vec<(i32, Vec<Link>)> = Vec::new();
    let mut refers_back = false;
    for link in links {
        let entry = test(&link)?;
        let is_loader = |unit: &[Link]| {
            let first = unit.first().and_then(test);
            first.is_some_and(|first| entry.prerequisite == Some(first.test.filter))
        };
        match units.iter().rposition(|(_, unit)| is_loader(unit)) {
            Some(place) => units[place].1.push(link),
            None if refers_back && arena.release.is_prerequisite(entry.test.filter) => return None,
            None => {
                refers_back |= entry.prerequisite.is_some();
                units.push((entry.cost, vec![link]));
            }
        }
    }
    units.sort_by_key(|(cost, _)| *cost);
    Some(units.into_iter().flat_map(|(_, unit)| unit).collect())
}
