//! In: the strings of one node, in source order. Out: their [`Tree`], in the order that Apple's
//! compiler gives it. Never: anything that changes which subjects match.
//!
//! Evidence: the encoding of a tree is proven, its shape is supported, its order is not proven as
//! a rule (TRIES.md §2–§4). The functions below are the best-supported rules; all hashed cases
//! come out right under them (`metafilter_any`, `sys_sample`).

use super::tree::{Branch, Matcher, Tree};
use super::{Part, StringKind, StringPattern};

/// The tree of a set of strings without variables, given in source order.
///
/// Chosen: a subpath counts as the prefix `x/` and the literal `x` (TRIES.md §2.3: 71 of 88
/// against 48 of 88); prefixes come before literals; each of the two lists is put into the order
/// of `by_length`; the whole is joined by balanced halves (TRIES.md §4, §9).
#[must_use]
pub fn tree_of(strings: &[StringPattern]) -> Tree {
    let mut prefixes: Vec<Vec<u8>> = Vec::new();
    let mut literals: Vec<Vec<u8>> = Vec::new();
    for string in strings {
        let text = string.text().unwrap_or_default().to_vec();
        match string.kind {
            StringKind::Literal => literals.push(text),
            StringKind::Prefix => prefixes.push(text),
            StringKind::Subpath => {
                let mut below = text.clone();
                below.push(b'/');
                prefixes.push(below);
                literals.push(text);
            }
        }
    }
    by_length(&mut prefixes);
    by_length(&mut literals);
    let prefixes = prefixes.into_iter().map(|text| (text, Tree::Accept));
    let literals = literals.into_iter().map(|text| (text, Tree::one(Matcher::End, Tree::Accept)));
    let leaves = prefixes
        .chain(literals)
        .map(|(text, end)| if text.is_empty() { end } else { Tree::one(Matcher::Text(text), end) })
        .collect();
    join_halves(leaves)
}

/// The tree of one string that has variables: no alternatives, so no order. `index` numbers them.
pub fn tree_with_variables(string: &StringPattern, mut index: impl FnMut(&str) -> u16) -> Tree {
    let end = match string.kind {
        StringKind::Literal => Tree::one(Matcher::End, Tree::Accept),
        StringKind::Prefix => Tree::Accept,
        StringKind::Subpath => Tree::Choice(vec![
            Branch::new(Matcher::Text(b"/".to_vec()), Tree::Accept),
            Branch::new(Matcher::End, Tree::Accept),
        ]),
    };
    // Numbers are given in reading order, the tree is built from its end.
    let matchers: Vec<Matcher> = string
        .parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => Matcher::Text(text.clone()),
            Part::Variable(name) => Matcher::Variable(index(name)),
        })
        .collect();
    matchers.into_iter().rev().fold(end, |tree, matcher| Tree::one(matcher, tree))
}

/// Ascending length by the textbook heapsort on the source order. Length is measured (0 of 3,439
/// reversed, TRIES.md §2.2); the tie rule is weak: it fits the three cases with ties that are
/// known (COMPILER.md §7: A, E, F) and not what later releases do (TRIES.md §5).
fn by_length(list: &mut [Vec<u8>]) {
    fn sift(list: &mut [Vec<u8>], mut parent: usize, end: usize) {
        loop {
            let mut child = 2 * parent + 1;
            if child >= end {
                return;
            }
            if child + 1 < end && list[child].len() < list[child + 1].len() {
                child += 1;
            }
            if list[parent].len() >= list[child].len() {
                return;
            }
            list.swap(parent, child);
            parent = child;
        }
    }
    for parent in (0..list.len() / 2).rev() {
        sift(list, parent, list.len());
    }
    for end in (1..list.len()).rev() {
        list.swap(0, end);
        sift(list, 0, end);
    }
}

/// Joins a list of trees: first half with second half, each joined in the same way.
fn join_halves(mut trees: Vec<Tree>) -> Tree {
    if trees.len() > 1 {
        let second = trees.split_off(trees.len() / 2);
        return join(join_halves(trees), join_halves(second));
    }
    trees.pop().unwrap_or(Tree::Choice(Vec::new()))
}

/// The union of two trees of texts and ends (TRIES.md §3, "ubm"): branches only in `a`, then those
/// only in `b`, then what both have, joined. A tree that accepts already swallows the other.
fn join(a: Tree, b: Tree) -> Tree {
    let (Tree::Choice(a), Tree::Choice(b)) = (a, b) else { return Tree::Accept };
    let mut only_a = Vec::new();
    let mut both = Vec::new();
    // One branch of `a` meets at most one of `b`, since first bytes differ among siblings; found
    // by that byte, so the whole is linear.
    let mut first_bytes = [None; 257];
    let key = |matcher: &Matcher| match matcher {
        Matcher::Text(text) => text.first().map(|byte| usize::from(*byte)),
        Matcher::End => Some(256),
        _ => None,
    };
    let mut b: Vec<Option<Branch>> = b.into_iter().map(Some).collect();
    for (position, branch) in b.iter().enumerate() {
        if let Some(key) = branch.as_ref().and_then(|branch| key(&branch.matcher)) {
            first_bytes[key] = Some(position);
        }
    }
    for branch in a {
        let partner = key(&branch.matcher).and_then(|key| first_bytes[key]).and_then(|at| b[at].take());
        match partner {
            None => only_a.push(branch),
            Some(partner) => both.push(join_branches(branch, partner)),
        }
    }
    only_a.extend(b.into_iter().flatten());
    only_a.append(&mut both);
    Tree::Choice(only_a)
}

fn join_branches(a: Branch, b: Branch) -> Branch {
    let (Matcher::Text(text_a), Matcher::Text(text_b)) = (&a.matcher, &b.matcher) else {
        return Branch::new(a.matcher, join(a.then, b.then));
    };
    let common = text_a.iter().zip(text_b).take_while(|(x, y)| x == y).count();
    let rest = |text: &[u8], then: Tree| match &text[common..] {
        [] => then,
        more => Tree::one(Matcher::Text(more.to_vec()), then),
    };
    let shared = text_a[..common].to_vec();
    let (rest_a, rest_b) = (rest(text_a, a.then), rest(text_b, b.then));
    Branch::new(Matcher::Text(shared), join(rest_a, rest_b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(kind: StringKind, list: &[&str]) -> Vec<StringPattern> {
        list.iter().map(|text| StringPattern { kind, parts: vec![Part::Text(text.as_bytes().to_vec())] }).collect()
    }

    fn shape(tree: &Tree) -> String {
        match tree {
            Tree::Accept => "!".into(),
            Tree::Choice(branches) => {
                let shown = branches.iter().map(|branch| match &branch.matcher {
                    Matcher::Text(text) => format!("{}{}", String::from_utf8_lossy(text), shape(&branch.then)),
                    Matcher::End => "$".into(),
                    other => format!("{other:?}"),
                });
                format!("[{}]", shown.collect::<Vec<_>>().join(" "))
            }
        }
    }

    /// COMPILER.md §7, cases A (subpaths, lengths only), E (`metafilter_any`), F (`sys_sample`).
    #[test]
    fn known_cases() {
        let a = texts(StringKind::Subpath, &["/tmp/foo", "/tmp/bar"]);
        assert_eq!(shape(&tree_of(&a)), "[/tmp/[bar[/! $] foo[/! $]]]");
        let e = texts(StringKind::Literal, &["/tmp/foo", "/tmp/bar", "/private/tmp/foo", "/private/tmp/bar"]);
        assert_eq!(shape(&tree_of(&e)), "[/[tmp/[foo[$] bar[$]] private/tmp/[foo[$] bar[$]]]]");
        let f = texts(StringKind::Subpath, &["/system", "/usr", "/dev", "/tmp/sb-demo"]);
        assert_eq!(shape(&tree_of(&f)), "[/[usr[/! $] dev[/! $] system[/! $] tmp/sb-demo[/! $]]]");
    }

    /// TRIES.md §8: a tie-free list of an iOS 26 blob.
    #[test]
    fn the_worked_example_of_eight() {
        let names = texts(
            StringKind::Literal,
            &[
                "videotarget",
                "cpeprotector",
                "figcontentkeyboss",
                "audioprocessingtap",
                "figcontentkeysession",
                "figmetriceventtimeline",
                "samplebufferaudiorender",
                "samplebufferrenderersync",
            ],
        );
        assert_eq!(
            shape(&tree_of(&names)),
            "[videotarget[$] cpeprotector[$] audioprocessingtap[$] samplebuffer[audiorender[$] renderersync[$]] fig[metriceventtimeline[$] contentkey[boss[$] session[$]]]]"
        );
    }

    fn any_pattern() -> impl Strategy<Value = StringPattern> {
        let kinds = prop_oneof![Just(StringKind::Literal), Just(StringKind::Prefix), Just(StringKind::Subpath)];
        (kinds, "[ab/]{0,5}")
            .prop_map(|(kind, text)| StringPattern { kind, parts: vec![Part::Text(text.into_bytes())] })
    }

    proptest! {
        /// A tree matches what one of its strings matches, and nothing else.
        #[test]
        fn a_tree_means_the_union(strings in proptest::collection::vec(any_pattern(), 1..12), subject in "[ab/]{0,8}") {
            let wanted = strings.iter().any(|string| string.matches(subject.as_bytes()));
            prop_assert_eq!(tree_of(&strings).matches(subject.as_bytes()), wanted);
        }
    }
}
