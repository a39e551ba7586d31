//! In: nodes. Out: the same, with neighbours that ask for strings of one filter, or for simple
//! expressions, and lead to one place made one node. Never: a change of what is decided.

use super::arena::{Arena, BuildNode, Id, TestId};

/// Merges `b` into `a` where b is what a non-match of `a` leads to, both ask for strings of the
/// same filter, a match of both leads to the same object, and nothing else leads to `b` (GRAPH.md
/// R3a); in older releases only within one rule ([`crate::vocabulary::Programs::merges_rules`]).
/// Hashed cases: `metafilter_any`, `sys_sample`. Strings with variables merge as well, with one
/// another and with plain ones: 51 programs of the iOS 17 platform blob and 40 of iOS 26 show it.
pub(super) fn adjacent_strings(arena: &mut Arena, roots: &[Id]) {
    let mut incoming = arena.incoming(roots);
    // Highest number first: the first node of a run takes in the rest, and what was taken in is
    // reached no more, so the work is linear.
    for index in (0..arena.nodes.len()).rev() {
        if incoming[index] == 0 {
            continue;
        }
        while let Some((partner, taken, unmatched)) = partner(arena, &incoming, index) {
            incoming[partner.index()] = 0;
            if let BuildNode::Test { tests, unmatched: edge, .. } = &mut arena.nodes[index] {
                tests.extend(taken);
                *edge = unmatched;
            }
        }
    }
}

fn partner(arena: &Arena, incoming: &[u32], index: usize) -> Option<(Id, Vec<TestId>, Id)> {
    let BuildNode::Test { tests, matched, unmatched, rule, .. } = &arena.nodes[index] else { return None };
    let BuildNode::Test { tests: other, matched: other_matched, unmatched: next, rule: other_rule, .. } =
        &arena.nodes[unmatched.index()]
    else {
        return None;
    };
    if rule != other_rule && !arena.release.programs().merges_rules {
        return None;
    }
    let filter = |tests: &[TestId]| {
        let first = arena.test(*tests.first()?);
        first.is_string.then_some(first.test.filter)
    };
    let same = filter(tests).is_some() && filter(tests) == filter(other);
    let fits = same && matched == other_matched && incoming[unmatched.index()] == 1;
    fits.then(|| (*unmatched, other.clone(), *next))
}
