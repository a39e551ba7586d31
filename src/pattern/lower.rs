//! In: a parsed regular expression. Out: the [`Tree`] that means the same, if the expression is
//! simple enough that Apple's compiler makes it a pattern program and no regex object. Never: an
//! expression whose tree would match anything else.
//!
//! Which are simple (chosen; it holds for all programs and all 16 regex objects of the iOS 17 and
//! 26 platform blobs, and for what is published of macOS 15.2 and the iOS 26 collection):
//!
//! - `^` and a sequence, or a sequence that begins with a byte, which is searched for
//!   (`\.pluginpayload$`, `/[^/]+/SC_Info/`);
//! - of bytes, `.` and bracket sets;
//! - a set with `+` where a byte outside it or `$` stands right behind (`[0-9]+$`, `[^/]+/`);
//!   `[^/]+(/|$)` stays an object, so what a group begins with is not looked at;
//! - at the end nothing, `$`, one group of such sequences (`(/|$)`), or that and `$` (`(c|s)$`).
//!
//! What no program shows stays an object, and the objects have all of it: `*` (`^/dev/ttys[0-9]*`),
//! `?` (`^/private/var/Users/[-0-9A-F]+/?$`), and groups with more behind them
//! (`(mobile|euser[0-9]+|…)/Library/…`). In iOS 13 nearly all were objects (25 simple ones against
//! 7 programs with sets), so it is data of a release whether anything is lowered.

use super::order::join_halves;
use super::regex::Expression;
use super::tree::{Matcher, Ranges, Tree, contains};

/// Most matchers in one lowered expression: bounds the depth of its tree.
const MAX_MATCHERS: usize = 200;

/// Most ranges of one set in a program (FORMAT.md §4.2).
const MAX_RANGES: usize = 128;

/// The tree of a simple expression; nothing for another one. Branches may be true at once:
/// [`super::order::tree_of`] makes alternatives of them.
#[must_use]
pub fn tree(expression: &Expression) -> Option<Tree> {
    let mut items = Vec::new();
    flatten(expression, &mut items);
    let mut lowering = Lowering { left: MAX_MATCHERS };
    match items.as_slice() {
        [Expression::Start, rest @ ..] if !rest.is_empty() => lowering.sequence(rest, false),
        [Expression::Byte(first), rest @ ..] => {
            let then = lowering.sequence(rest, false)?;
            Some(Tree::one(Matcher::Search(*first), then))
        }
        _ => None,
    }
}

/// The items of a sequence, those of sequences in it among them.
fn flatten<'e>(expression: &'e Expression, out: &mut Vec<&'e Expression>) {
    match expression {
        Expression::Sequence(items) => items.iter().for_each(|item| flatten(item, out)),
        other => out.push(other),
    }
}

struct Lowering {
    /// How many matchers may still be made.
    left: usize,
}

impl Lowering {
    /// `to_end`: the subject must end behind the sequence.
    fn sequence(&mut self, items: &[&Expression], to_end: bool) -> Option<Tree> {
        let mut matchers: Vec<Matcher> = Vec::new();
        let mut end = if to_end { Tree::one(Matcher::End, Tree::Accept) } else { Tree::Accept };
        let mut rest = items;
        while let [item, behind @ ..] = rest {
            rest = behind;
            match item {
                Expression::Byte(byte) => match matchers.last_mut() {
                    Some(Matcher::Text(text)) => text.push(*byte),
                    _ => matchers.push(Matcher::Text(vec![*byte])),
                },
                Expression::End if behind.is_empty() && !to_end => end = Tree::one(Matcher::End, Tree::Accept),
                Expression::Plus(inner) => {
                    let set = set(inner)?;
                    match behind {
                        [Expression::Byte(byte), behind @ ..] if only_without(inner, *byte) => {
                            matchers.extend([Matcher::Class(set), Matcher::SkipTo(*byte)]);
                            rest = behind;
                        }
                        [Expression::Byte(byte), ..] if contains(&set, *byte) => return None,
                        [Expression::Byte(_) | Expression::End, ..] => {
                            matchers.extend([Matcher::Class(set.clone()), Matcher::Repeat(set)]);
                        }
                        _ => return None,
                    }
                }
                Expression::Alternation(list) => {
                    let to_end = match behind {
                        [] => to_end,
                        [Expression::End] if !to_end => true,
                        _ => return None,
                    };
                    rest = &[];
                    let mut trees = Vec::with_capacity(list.len());
                    for item in list {
                        let mut items = Vec::new();
                        flatten(item, &mut items);
                        trees.push(self.sequence(&items, to_end)?);
                    }
                    end = join_halves(trees).ok()?;
                }
                other => matchers.push(Matcher::Class(set(other)?)),
            }
            if matchers.len() > self.left {
                return None;
            }
        }
        // One more for the end.
        self.left = self.left.checked_sub(matchers.len() + 1)?;
        Some(matchers.into_iter().rev().fold(end, |tree, matcher| Tree::one(matcher, tree)))
    }
}

/// The ranges of one byte of a set, in the order of the programs: those of `[^/]` are above the
/// slash, then below it.
fn set(expression: &Expression) -> Option<Ranges> {
    let ranges = match expression {
        Expression::Any => vec![(0, u8::MAX)],
        Expression::Class(ranges) => ranges.clone(),
        Expression::NegatedClass(ranges) => without(ranges),
        _ => return None,
    };
    (1..=MAX_RANGES).contains(&ranges.len()).then_some(ranges)
}

/// Whether an expression is the set of all bytes but one.
fn only_without(expression: &Expression, byte: u8) -> bool {
    matches!(expression, Expression::NegatedClass(ranges) if *ranges == [(byte, byte)])
}

/// What ranges leave out, from behind the lowest of them round to before it.
fn without(ranges: &Ranges) -> Ranges {
    let mut ranges = ranges.clone();
    ranges.sort_unstable();
    let mut out = Ranges::new();
    let Some((first, _)) = ranges.first() else { return vec![(0, u8::MAX)] };
    let mut next = u16::from(*first);
    for (low, high) in &ranges {
        if let Some(before) = low.checked_sub(1)
            && u16::from(before) >= next
        {
            out.extend(u8::try_from(next).map(|next| (next, before)));
        }
        next = next.max(u16::from(*high) + 1);
    }
    out.extend(u8::try_from(next).map(|next| (next, u8::MAX)));
    out.extend(first.checked_sub(1).map(|before| (0, before)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::order::{Asked, tree_of};
    use crate::pattern::regex::parse;
    use crate::pattern::tree::Saved;
    use proptest::prelude::*;

    fn lowered(text: &str) -> Option<Tree> {
        tree(&parse(text.as_bytes()).ok()?)
    }

    /// The regex objects of the iOS 17 and 26 platform blobs, and what keeps each from being one
    /// of the programs.
    #[test]
    fn what_stays_an_object() {
        for text in [
            "^/private/var/PersonaVolumes/[^/]+(/|$)",
            "^/dev/ttys[0-9]*",
            "^/private/var/Users/[-0-9A-F]+/?$",
            "^/mnt[1-9][0-9]*(/|$)",
            "^/private/var/(mobile|euser[0-9]+|[-0-9A-F]+|Users/[^/]+)/Library/Safari/(com.apple.)?Bookmark",
            "^/private/var/(mobile|euser[0-9]+|[-0-9A-F]+|Users/[^/]+)/Media/([^/]+/)?iTunes_Control/iTunes(/|$)",
            // No sample, so chosen.
            "",
            "^",
            "$",
            "[Cc]alibration",
            "^a|^b",
            "^[a-z]+",
            "^[a-z]+m$",
            "^.+x",
            "^(a|b)c",
            "^a$b",
            "^(a|[0-9]+)$",
        ] {
            assert_eq!(lowered(text), None, "{text}");
        }
        assert!(lowered(&format!("^{}", "[ab][cd]".repeat(100))).is_none());
        assert!(lowered(&format!("^{}", "[ab][cd]".repeat(99))).is_some());
    }

    #[test]
    fn what_programs_show() {
        let slash = || vec![(0x30, 0xff), (0x00, 0x2e)];
        let text = |text: &str| Matcher::Text(text.as_bytes().to_vec());
        let chain = |list: Vec<Matcher>| list.into_iter().rev().fold(Tree::Accept, |tree, one| Tree::one(one, tree));
        let digits = vec![(b'0', b'9')];
        for (expression, matchers) in [
            (r"\.pluginpayload$", vec![Matcher::Search(b'.'), text("pluginpayload"), Matcher::End]),
            ("stockholm", vec![Matcher::Search(b's'), text("tockholm")]),
            (
                "/[^/]+/SC_Info/",
                vec![Matcher::Search(b'/'), Matcher::Class(slash()), Matcher::SkipTo(b'/'), text("SC_Info/")],
            ),
            (
                "^/dev/bpf[0-9]+$",
                vec![text("/dev/bpf"), Matcher::Class(digits.clone()), Matcher::Repeat(digits), Matcher::End],
            ),
            (
                "^/volumes/[^/]+$",
                vec![text("/volumes/"), Matcher::Class(slash()), Matcher::Repeat(slash()), Matcher::End],
            ),
            ("^a.b", vec![text("a"), Matcher::Class(vec![(0, 255)]), text("b")]),
        ] {
            assert_eq!(lowered(expression), Some(chain(matchers)), "{expression}");
        }
        let digit = Matcher::Class(vec![(b'0', b'9')]);
        let ends = Tree::Choice(vec![
            crate::pattern::tree::Branch::new(text("/"), Tree::Accept),
            crate::pattern::tree::Branch::new(Matcher::End, Tree::Accept),
        ]);
        assert_eq!(lowered(r"^/\.b/[0-9](/|$)"), Some(Tree::one(text("/.b/"), Tree::one(digit, ends))));
    }

    #[test]
    fn negated_sets_go_round() {
        assert_eq!(without(&vec![(b'/', b'/')]), [(0x30, 0xff), (0x00, 0x2e)]);
        assert_eq!(without(&vec![(b'.', b'.'), (b'/', b'/')]), [(0x30, 0xff), (0x00, 0x2d)]);
        assert_eq!(
            without(&vec![(b'a', b'b'), (b'b', b'd'), (b'x', b'x')]),
            [(b'e', b'w'), (b'y', 0xff), (0x00, b'`')]
        );
        assert_eq!(without(&vec![(0, 4), (9, 255)]), [(5, 8)]);
        assert_eq!(without(&vec![(0, 255)]), []);
        assert_eq!(without(&vec![(255, 255)]), [(0, 254)]);
    }

    /// Expressions that are simple, or nearly so.
    fn nearly_simple() -> impl Strategy<Value = String> {
        let atom = || {
            prop_oneof![
                4 => "[ab/]{1,2}",
                1 => Just(".".to_owned()),
                2 => prop_oneof![Just("[^/]"), Just("[ab]"), Just("[^ab]"), Just("[b-c]")].prop_map(str::to_owned),
                4 => prop_oneof![Just("[^/]+/"), Just("[ab]+/"), Just("[^b]+b"), Just("[^/a]+/"), Just("[b-c]+a")]
                    .prop_map(str::to_owned),
                1 => prop_oneof![Just("a?"), Just("b*"), Just("[ab]+"), Just(".+"), Just("(a|b)c")]
                    .prop_map(str::to_owned),
            ]
        };
        let sequence = || proptest::collection::vec(atom(), 0..4).prop_map(|list| list.concat());
        let tail = prop_oneof![
            Just(String::new()),
            Just("$".to_owned()),
            Just("[ab]+$".to_owned()),
            Just("(/|$)".to_owned()),
            (sequence(), sequence(), sequence(), any::<bool>())
                .prop_map(|(a, b, c, end)| { format!("({a}|{b}|{c}){}", if end { "$" } else { "" }) }),
        ];
        (any::<bool>(), sequence(), tail)
            .prop_map(|(anchored, body, tail)| format!("{}{body}{tail}", if anchored { "^" } else { "" }))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        /// A lowered expression means what another matcher says it means; several in one tree,
        /// with plain strings among them, mean that one of them does.
        #[test]
        fn trees_mean_their_expressions(
            texts in proptest::collection::vec(nearly_simple(), 1..4),
            literals in proptest::collection::vec("[abc/]{0,3}", 0..3),
            saved in prop_oneof![Just(Saved::Kept), Just(Saved::Dropped)],
            subject in "[abc/]{0,8}",
        ) {
            use crate::pattern::{Part, StringKind, StringPattern};
            let fail = |e: String| TestCaseError::fail(e);
            // Folded, as for filters whose subject is in lower case.
            for text in &texts {
                let expression = parse(text.to_uppercase().as_bytes()).map_err(|e| fail(e.to_string()))?;
                let Some(tree) = tree(&expression.folded()) else { continue };
                let reference = expression.reference(true).map_err(|e| fail(e.to_string()))?;
                let alone = tree_of(&[Asked::Expression(&tree)], |_| 0, saved).map_err(|_| fail("deep".into()))?;
                prop_assert_eq!(alone.matches(subject.as_bytes()), reference.is_match(subject.as_bytes()), "{}", text);
            }
            let mut wanted = false;
            let mut trees = Vec::new();
            for text in &texts {
                let expression = parse(text.as_bytes()).map_err(|e| fail(e.to_string()))?;
                let Some(tree) = tree(&expression) else { continue };
                let reference = expression.reference(false).map_err(|e| fail(e.to_string()))?;
                let alone = tree_of(&[Asked::Expression(&tree)], |_| 0, saved).map_err(|_| fail("deep".into()))?;
                let matches = reference.is_match(subject.as_bytes());
                prop_assert_eq!(alone.matches(subject.as_bytes()), matches, "{}", text);
                wanted |= matches;
                trees.push(tree);
            }
            let strings: Vec<StringPattern> = literals.iter().map(|text| StringPattern {
                kind: StringKind::Literal, parts: vec![Part::Text(text.clone().into_bytes())],
            }).collect();
            wanted |= strings.iter().any(|string| string.matches(subject.as_bytes()));
            let asked: Vec<Asked> =
                strings.iter().map(Asked::String).chain(trees.iter().map(Asked::Expression)).collect();
            let whole = tree_of(&asked, |_| 0, saved).map_err(|_| fail("deep".into()))?;
            prop_assert_eq!(whole.matches(subject.as_bytes()), wanted, "{:?} {:?}", texts, literals);
            let program = crate::blob::program::write(&whole).map_err(|e| fail(e.to_string()))?;
            prop_assert_eq!(crate::blob::program::read(&program, 0), Ok(whole));
        }
    }
}
