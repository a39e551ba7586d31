//! In: what one node asks for, in source order. Out: its [`Tree`], in the order that Apple's
//! compiler gives it. Never: anything that changes which subjects match.
//!
//! Evidence: the encoding of a tree is proven, its shape is supported, its order is not proven as
//! a rule (TRIES.md §2–§4). The functions below are the best-supported rules; all hashed cases
//! come out right under them (`metafilter_any`, `sys_sample`).

use std::collections::HashMap;

use super::tree::{Alternatives, Branch, Matcher, Saved, Tree, contains};
use super::{Part, StringKind, StringPattern};

/// One of the things that a node asks for.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// A string.
    String(&'a StringPattern),
    /// A simple regular expression, as [`super::lower::tree`] gives it.
    Expression(&'a Tree),
}

/// Strings that are beginnings of one another, more than [`MAX_NESTED`] of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooNested;

/// Most branchings behind one another, those with alternatives counted twice: bounds the depth of a
/// tree, which is walked by recursion.
pub const MAX_NESTED: usize = 250;

/// What a string asks for, one matcher behind the other; the length that it is sorted by counts a
/// variable as one byte.
struct Leaf {
    length: usize,
    matchers: Vec<Matcher>,
}

/// The tree of what a node asks for, given in source order. `number` gives variables their
/// numbers, in reading order.
///
/// Chosen: a subpath counts as the prefix `x/` and the literal `x` (TRIES.md §2.3: 71 of 88
/// against 48 of 88); prefixes come before literals; each of the two lists is put into the order
/// of `by_length`; the whole is joined by balanced halves (TRIES.md §4, §9).
///
/// Strings with variables are a second such list, which comes first if it has prefixes and the
/// plain one has none; expressions, in source order, are a third (chosen: all 53 programs of the
/// iOS 17 and 26 platform blobs that have alternatives have theirs in this order).
///
/// # Errors
/// Where the tree would be too deep.
pub fn tree_of(asked: &[Asked], mut number: impl FnMut(&str) -> u16, saved: Saved) -> Result<Tree, TooNested> {
    let mut texts: [Vec<Leaf>; 2] = Default::default();
    let mut with_variables: [Vec<Leaf>; 2] = Default::default();
    let mut expressions = Vec::new();
    for asked in asked {
        match asked {
            Asked::Expression(tree) => expressions.push((*tree).clone()),
            Asked::String(string) => {
                let lists = if string.text().is_some() { &mut texts } else { &mut with_variables };
                let leaf = leaf(string, &mut number);
                let [prefixes, literals] = lists;
                match string.kind {
                    StringKind::Literal => literals.push(leaf),
                    StringKind::Prefix => prefixes.push(leaf),
                    StringKind::Subpath => {
                        let mut below = Leaf { length: leaf.length + 1, matchers: leaf.matchers.clone() };
                        match below.matchers.last_mut() {
                            Some(Matcher::Text(text)) => text.push(b'/'),
                            _ => below.matchers.push(Matcher::Text(b"/".to_vec())),
                        }
                        prefixes.push(below);
                        literals.push(leaf);
                    }
                }
            }
        }
    }
    let variables_first = texts[0].is_empty() && !with_variables[0].is_empty();
    let (first, second) = if variables_first { (with_variables, texts) } else { (texts, with_variables) };
    let mut whole = Tree::Choice(Vec::new());
    for list in [trees(first), trees(second), expressions] {
        whole = join(whole, join_halves(list)?);
        check(&whole)?;
    }
    settle(&mut whole, saved, false);
    Ok(whole)
}

fn leaf(string: &StringPattern, number: &mut impl FnMut(&str) -> u16) -> Leaf {
    let mut length = 0;
    let matchers = string.parts.iter().filter_map(|part| match part {
        Part::Text(text) => {
            length += text.len();
            (!text.is_empty()).then(|| Matcher::Text(text.clone()))
        }
        Part::Variable(name) => {
            length += 1;
            Some(Matcher::Variable(number(name)))
        }
    });
    let matchers = matchers.collect();
    Leaf { length, matchers }
}

/// The trees of prefixes and literals, each in order.
fn trees([mut prefixes, mut literals]: [Vec<Leaf>; 2]) -> Vec<Tree> {
    by_length(&mut prefixes);
    by_length(&mut literals);
    let prefixes = prefixes.into_iter().map(|leaf| (leaf, Tree::Accept));
    let literals = literals.into_iter().map(|leaf| (leaf, Tree::one(Matcher::End, Tree::Accept)));
    let chain =
        |(leaf, end): (Leaf, Tree)| leaf.matchers.into_iter().rev().fold(end, |tree, matcher| Tree::one(matcher, tree));
    prefixes.chain(literals).map(chain).collect()
}

/// Ascending length by the textbook heapsort on the source order. Length is measured (0 of 3,439
/// reversed, TRIES.md §2.2); the tie rule is weak: it fits the three cases with ties that are
/// known (COMPILER.md §7: A, E, F) and not what later releases do (TRIES.md §5).
fn by_length(list: &mut [Leaf]) {
    fn sift(list: &mut [Leaf], mut parent: usize, end: usize) {
        loop {
            let mut child = 2 * parent + 1;
            if child >= end {
                return;
            }
            if child + 1 < end && list[child].length < list[child + 1].length {
                child += 1;
            }
            if list[parent].length >= list[child].length {
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
pub(super) fn join_halves(mut trees: Vec<Tree>) -> Result<Tree, TooNested> {
    if trees.len() > 1 {
        let second = trees.split_off(trees.len() / 2);
        let joined = join(join_halves(trees)?, join_halves(second)?);
        check(&joined)?;
        return Ok(joined);
    }
    Ok(trees.pop().unwrap_or(Tree::Choice(Vec::new())))
}

/// That a tree is not too deep. Two that are not are joined into one that is at most twice as
/// deep, so what comes before the check fits the stack.
fn check(tree: &Tree) -> Result<(), TooNested> {
    fn branchings(tree: &Tree) -> usize {
        let Tree::Choice(branches) = tree else { return 0 };
        let below = branches.iter().map(|branch| branchings(&branch.then)).max().unwrap_or(0);
        // Alternatives are one more level.
        let exclusive = |branch: &Branch| matches!(branch.matcher, Matcher::Text(_) | Matcher::End);
        below + usize::from(branches.len() > 1) * (2 - usize::from(branches.iter().all(exclusive)))
    }
    if branchings(tree) > MAX_NESTED { Err(TooNested) } else { Ok(()) }
}

/// The union of two trees (TRIES.md §3, "ubm"): branches only in `a`, then those only in `b`, then
/// what both have, joined. A tree that accepts already swallows the other. Branches of the result
/// may be true at once; [`settle`] sees to that. Where some surely are, what both have keeps its
/// place in `a` (chosen: the 5 programs where it makes a difference).
fn join(a: Tree, b: Tree) -> Tree {
    let (Tree::Choice(a), Tree::Choice(b)) = (a, b) else { return Tree::Accept };
    let always = |branch: &Branch| !matches!(branch.matcher, Matcher::Text(_) | Matcher::End | Matcher::Class(_));
    let in_place = a.iter().chain(&b).any(always);
    let mut only_a = Vec::new();
    let mut both = Vec::new();
    // One branch of `a` meets at most one of `b`: texts by their first byte, all others by being
    // equal. So the whole is linear.
    let mut first_bytes = [None; 256];
    let mut others: HashMap<Matcher, usize> = HashMap::new();
    let mut b: Vec<Option<Branch>> = b.into_iter().map(Some).collect();
    for (position, branch) in b.iter().enumerate() {
        match branch.as_ref().map(|branch| &branch.matcher) {
            Some(Matcher::Text(text)) => {
                if let Some(first) = text.first() {
                    first_bytes[usize::from(*first)] = Some(position);
                }
            }
            Some(other) => drop(others.insert(other.clone(), position)),
            None => {}
        }
    }
    for branch in a {
        let position = match &branch.matcher {
            Matcher::Text(text) => text.first().and_then(|first| first_bytes[usize::from(*first)]),
            other => others.get(other).copied(),
        };
        match position.and_then(|at| b[at].take()) {
            None => only_a.push(branch),
            Some(partner) if in_place => only_a.push(join_branches(branch, partner)),
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

/// Branches of which at most one can be true at a place.
#[derive(Default)]
struct Group {
    branches: Vec<Branch>,
    bytes: Option<Box<[bool; 256]>>,
    end: bool,
}

/// Makes alternatives of branches that may be true at once; a choice takes the first that is true
/// and never comes back. `inside`: another place is saved around this one.
///
/// Texts, sets of bytes and the end that exclude one another stand in one alternative, where the
/// first of them stood; each variable, repeat or search is one of its own (53 of 53 programs).
fn settle(tree: &mut Tree, saved: Saved, inside: bool) {
    let Tree::Choice(branches) = tree else { return };
    let exclusive = |branch: &Branch| matches!(branch.matcher, Matcher::Text(_) | Matcher::End);
    if branches.len() < 2 || branches.iter().all(exclusive) {
        branches.iter_mut().for_each(|branch| settle(&mut branch.then, saved, inside));
        return;
    }
    let mut groups: Vec<Group> = Vec::new();
    for branch in std::mem::take(branches) {
        let mut bytes = [false; 256];
        match &branch.matcher {
            Matcher::Text(text) => text.iter().take(1).for_each(|first| bytes[usize::from(*first)] = true),
            Matcher::Class(ranges) => {
                for byte in 0..=u8::MAX {
                    bytes[usize::from(byte)] = contains(ranges, byte);
                }
            }
            Matcher::End => {}
            Matcher::Variable(_) | Matcher::Repeat(_) | Matcher::SkipTo(_) | Matcher::Search(_) => {
                groups.push(Group { branches: vec![branch], ..Group::default() });
                continue;
            }
        }
        let end = branch.matcher == Matcher::End;
        let fits = groups.iter_mut().find(|group| {
            let apart = |known: &[bool; 256]| known.iter().zip(&bytes).all(|(a, b)| !(*a && *b));
            group.bytes.as_deref().is_some_and(apart) && !(group.end && end)
        });
        match fits {
            Some(group) => {
                if let Some(known) = &mut group.bytes {
                    known.iter_mut().zip(bytes).for_each(|(known, new)| *known |= new);
                }
                group.end |= end;
                group.branches.push(branch);
            }
            None => groups.push(Group { branches: vec![branch], bytes: Some(Box::new(bytes)), end }),
        }
    }
    let mut trees: Vec<Tree> = groups.into_iter().map(|group| Tree::Choice(group.branches)).collect();
    if trees.len() == 1 {
        *tree = trees.remove(0);
        if let Tree::Choice(branches) = tree {
            branches.iter_mut().for_each(|branch| settle(&mut branch.then, saved, inside));
        }
        return;
    }
    // A place that stays saved would be in the way of the one around it.
    let saved_here = if inside { Saved::Dropped } else { saved };
    let count = trees.len();
    for (index, tree) in trees.iter_mut().enumerate() {
        let tried = index + 1 < count || saved_here == Saved::Dropped;
        let Tree::Choice(branches) = tree else { continue };
        branches.iter_mut().for_each(|branch| settle(&mut branch.then, saved, inside || tried));
    }
    let last = match saved_here {
        Saved::Kept => trees.pop().map(Box::new),
        Saved::Dropped => None,
    };
    *tree = Tree::Alternatives(Alternatives { tried: trees, last, saved: saved_here });
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
            Tree::Alternatives(Alternatives { tried, last, .. }) => {
                format!("{{{}}}", tried.iter().chain(last.as_deref()).map(shape).collect::<Vec<_>>().join(" "))
            }
        }
    }

    fn tree(strings: &[StringPattern]) -> Tree {
        let asked: Vec<Asked> = strings.iter().map(Asked::String).collect();
        tree_of(&asked, |name| u16::from(name.as_bytes()[0]), Saved::Kept).unwrap_or(Tree::Accept)
    }

    /// COMPILER.md §7, cases A (subpaths, lengths only), E (`metafilter_any`), F (`sys_sample`).
    #[test]
    fn known_cases() {
        let a = texts(StringKind::Subpath, &["/tmp/foo", "/tmp/bar"]);
        assert_eq!(shape(&tree(&a)), "[/tmp/[bar[/! $] foo[/! $]]]");
        let e = texts(StringKind::Literal, &["/tmp/foo", "/tmp/bar", "/private/tmp/foo", "/private/tmp/bar"]);
        assert_eq!(shape(&tree(&e)), "[/[tmp/[foo[$] bar[$]] private/tmp/[foo[$] bar[$]]]]");
        let f = texts(StringKind::Subpath, &["/system", "/usr", "/dev", "/tmp/sb-demo"]);
        assert_eq!(shape(&tree(&f)), "[/[usr[/! $] dev[/! $] system[/! $] tmp/sb-demo[/! $]]]");
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
            shape(&tree(&names)),
            "[videotarget[$] cpeprotector[$] audioprocessingtap[$] samplebuffer[audiorender[$] renderersync[$]] fig[metriceventtimeline[$] contentkey[boss[$] session[$]]]]"
        );
    }

    fn any_pattern() -> impl Strategy<Value = StringPattern> {
        let kinds = prop_oneof![Just(StringKind::Literal), Just(StringKind::Prefix), Just(StringKind::Subpath)];
        (kinds, "[ab/]{0,5}")
            .prop_map(|(kind, text)| StringPattern { kind, parts: vec![Part::Text(text.into_bytes())] })
    }

    /// What variable 0 to 2 hold.
    const VALUES: [&str; 3] = ["a", "ab/", "/"];

    fn with_variables() -> impl Strategy<Value = StringPattern> {
        let part = prop_oneof![
            "[ab/]{1,2}".prop_map(|text| Part::Text(text.into_bytes())),
            (0usize..3).prop_map(|number| Part::Variable(number.to_string())),
        ];
        let kinds = prop_oneof![Just(StringKind::Literal), Just(StringKind::Prefix), Just(StringKind::Subpath)];
        (kinds, proptest::collection::vec(part, 1..4)).prop_map(|(kind, parts)| StringPattern { kind, parts })
    }

    /// The string with the values in it.
    fn filled(string: &StringPattern) -> StringPattern {
        let text = string.parts.iter().flat_map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Variable(name) => VALUES[name.parse().unwrap_or(0usize)].as_bytes().to_vec(),
        });
        StringPattern { kind: string.kind, parts: vec![Part::Text(text.collect())] }
    }

    /// The tree with texts for variables, and nothing else changed.
    fn fill(tree: &mut Tree) {
        match tree {
            Tree::Accept => {}
            Tree::Choice(branches) => {
                for branch in branches {
                    if let Matcher::Variable(number) = branch.matcher {
                        branch.matcher = Matcher::Text(VALUES[usize::from(number)].as_bytes().to_vec());
                    }
                    fill(&mut branch.then);
                }
            }
            Tree::Alternatives(Alternatives { tried, last, .. }) => {
                tried.iter_mut().chain(last.as_deref_mut()).for_each(fill);
            }
        }
    }

    proptest! {
        /// A tree matches what one of its strings matches, and nothing else.
        #[test]
        fn a_tree_means_the_union(strings in proptest::collection::vec(any_pattern(), 1..12), subject in "[ab/]{0,8}") {
            let wanted = strings.iter().any(|string| string.matches(subject.as_bytes()));
            prop_assert_eq!(tree(&strings).matches(subject.as_bytes()), wanted);
        }

        /// With variables in it as well, whatever they hold.
        #[test]
        fn a_tree_with_variables_means_the_union(
            strings in proptest::collection::vec(with_variables(), 1..8),
            saved in prop_oneof![Just(Saved::Kept), Just(Saved::Dropped)],
            subject in "[ab/]{0,8}",
        ) {
            let asked: Vec<Asked> = strings.iter().map(Asked::String).collect();
            let tree = tree_of(&asked, |name| name.parse().unwrap_or(0), saved);
            let mut tree = tree.map_err(|_| TestCaseError::fail("deep"))?;
            fill(&mut tree);
            let wanted = strings.iter().any(|string| filled(string).matches(subject.as_bytes()));
            prop_assert_eq!(tree.matches(subject.as_bytes()), wanted);
        }
    }
}
