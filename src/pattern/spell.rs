//! In: a [`Tree`] and the names of variables. Out: the strings and expressions of a profile that
//! match the same together. Never: which filter they are for, or an approximation; what no string
//! or expression says is an error.

use std::collections::HashMap;

use super::regex::Expression;
use super::tree::{Alternatives, Branch, Matcher, Ranges, Tree, contains};
use super::{Part, StringKind, StringPattern};

/// One of the things that a tree asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spelled {
    /// A string.
    String(StringPattern),
    /// A regular expression.
    Expression(Expression),
}

/// Why a tree has no text. Compilers make no such trees; damaged or made blobs can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpellError {
    /// A program of 64 KB can stand for more text than fits anywhere.
    #[error("the strings of one test are more than {MAX_TEXT} bytes together")]
    TooLong,
    /// A branch that is taken shuts out another one that could match too.
    #[error("branches of a string test overlap, which no string or expression says")]
    Overlap,
    /// Something is asked behind the end of the subject.
    #[error("a string test goes on behind the end of its subject")]
    BehindEnd,
    /// Expressions know no variables.
    #[error("a string test has a variable among sets of bytes, which no string or expression says")]
    VariableInExpression,
    /// A variable that has no name.
    #[error("a string test asks for variable {0}, which has no name")]
    NoVariable(u16),
    /// A name that no text can hold.
    #[error("the name of variable {0} is no UTF-8")]
    NameNoText(u16),
}

/// Most bytes of all strings of one tree.
const MAX_TEXT: usize = 4 << 20;

/// What a tree asks for, in the order of its branches; nothing for a tree that matches nothing.
/// `is_path`: a prefix `x/` with the literal `x` is a subpath.
///
/// # Errors
/// [`SpellError`].
pub fn spelled(tree: &Tree, variables: &[Vec<u8>], is_path: bool) -> Result<Vec<Spelled>, SpellError> {
    let mut speller = Speller { variables, out: Vec::new(), left: MAX_TEXT };
    speller.tree(tree, &mut Vec::new())?;
    let mut out = speller.out;
    if is_path {
        join_subpaths(&mut out);
    }
    Ok(out)
}

struct Speller<'a> {
    variables: &'a [Vec<u8>],
    out: Vec<Spelled>,
    /// How many bytes of text may still be made.
    left: usize,
}

fn is_text(matcher: &Matcher) -> bool {
    matches!(matcher, Matcher::Text(_) | Matcher::Variable(_))
}

impl Speller<'_> {
    /// As deep as the tree, which is bounded where trees are made and read.
    fn tree<'t>(&mut self, tree: &'t Tree, before: &mut Vec<&'t Matcher>) -> Result<(), SpellError> {
        match tree {
            Tree::Accept => self.add(before, &[]),
            Tree::Alternatives(Alternatives { tried, last, .. }) => {
                tried.iter().chain(last.as_deref()).try_for_each(|tree| self.tree(tree, before))
            }
            Tree::Choice(branches) => {
                exclusive(branches)?;
                if branches.len() > 1
                    && !before.iter().all(|matcher| is_text(matcher))
                    && let Some(texts) = plain_ends(branches)
                {
                    // `(a|b)$` rather than `(a$|b$)`.
                    let all_end = texts.iter().all(|(text, ends)| *ends && !text.is_empty());
                    let list = texts
                        .into_iter()
                        .map(|(text, ends)| sequence(bytes(text).chain((ends && !all_end).then_some(Expression::End))))
                        .collect();
                    let end: &[Expression] = if all_end { &[Expression::End] } else { &[] };
                    return self.add(before, &[&[Expression::Alternation(list)], end].concat());
                }
                for branch in branches {
                    match (&branch.matcher, &branch.then) {
                        (Matcher::End, Tree::Accept) => self.add(before, &[Expression::End])?,
                        (Matcher::End, _) => return Err(SpellError::BehindEnd),
                        (matcher, then) => {
                            if let (Matcher::Repeat(ranges), Tree::Choice(next)) = (matcher, then)
                                && next.iter().any(|branch| may_begin_in(&branch.matcher, ranges))
                            {
                                return Err(SpellError::Overlap);
                            }
                            before.push(matcher);
                            self.tree(then, before)?;
                            before.pop();
                        }
                    }
                }
                Ok(())
            }
        }
    }

    fn add(&mut self, matchers: &[&Matcher], end: &[Expression]) -> Result<(), SpellError> {
        let mut length = 1;
        let mut parts: Vec<Part> = Vec::new();
        let mut is_string = matches!(end, [] | [Expression::End]);
        for matcher in matchers {
            match matcher {
                Matcher::Text(text) => {
                    length += text.len();
                    match parts.last_mut() {
                        Some(Part::Text(known)) => known.extend_from_slice(text),
                        _ => parts.push(Part::Text(text.clone())),
                    }
                }
                Matcher::Variable(number) => {
                    let name = self.variables.get(usize::from(*number)).ok_or(SpellError::NoVariable(*number))?;
                    length += name.len();
                    // Another name would be another variable.
                    let name = std::str::from_utf8(name).map_err(|_| SpellError::NameNoText(*number))?;
                    parts.push(Part::Variable(name.to_owned()));
                }
                _ => {
                    length += 1;
                    is_string = false;
                }
            }
        }
        self.left = self.left.checked_sub(length).ok_or(SpellError::TooLong)?;
        if parts.is_empty() {
            parts.push(Part::Text(Vec::new()));
        }
        // Written as a string, such a text would be read as a variable.
        let reads_alike = parts.iter().all(|part| match part {
            Part::Text(text) => !text.windows(2).any(|pair| pair == b"${"),
            Part::Variable(name) => !name.contains('}'),
        });
        if is_string && reads_alike {
            let kind = if end.is_empty() { StringKind::Prefix } else { StringKind::Literal };
            self.out.push(Spelled::String(StringPattern { kind, parts }));
            return Ok(());
        }
        let mut items = expression(matchers)?;
        items.extend_from_slice(end);
        self.out.push(Spelled::Expression(Expression::Sequence(items)));
        Ok(())
    }
}

/// The texts of branches that ask for nothing but a text, and whether the subject ends behind each.
fn plain_ends(branches: &[Branch]) -> Option<Vec<(&[u8], bool)>> {
    branches
        .iter()
        .map(|branch| match (&branch.matcher, &branch.then) {
            (Matcher::End, Tree::Accept) => Some((&[][..], true)),
            (Matcher::Text(text), Tree::Accept) => Some((text.as_slice(), false)),
            (Matcher::Text(text), Tree::Choice(then)) => match then.as_slice() {
                [Branch { matcher: Matcher::End, then: Tree::Accept }] => Some((text.as_slice(), true)),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

fn bytes(text: &[u8]) -> impl Iterator<Item = Expression> + '_ {
    text.iter().map(|byte| Expression::Byte(*byte))
}

fn sequence(items: impl Iterator<Item = Expression>) -> Expression {
    let mut items: Vec<Expression> = items.collect();
    if items.len() == 1 { items.remove(0) } else { Expression::Sequence(items) }
}

/// The expression of matchers in a row.
fn expression(matchers: &[&Matcher]) -> Result<Vec<Expression>, SpellError> {
    let mut items = Vec::new();
    let mut rest = matchers;
    if !matches!(rest.first(), Some(Matcher::Search(_))) {
        items.push(Expression::Start);
    } else if let Some((Matcher::Search(byte), behind)) = rest.split_first() {
        // An expression without `^` is searched for.
        items.push(Expression::Byte(*byte));
        rest = behind;
    }
    while let Some((matcher, behind)) = rest.split_first() {
        rest = behind;
        match matcher {
            Matcher::Text(text) => items.extend(bytes(text)),
            Matcher::Class(ranges) => match behind.split_first() {
                Some((Matcher::Repeat(again), behind)) if again == ranges => {
                    items.push(Expression::Plus(Box::new(class(ranges))));
                    rest = behind;
                }
                Some((Matcher::SkipTo(byte), behind)) if is_all_but(ranges, *byte) => {
                    items.extend([Expression::Plus(Box::new(all_but(*byte))), Expression::Byte(*byte)]);
                    rest = behind;
                }
                _ => items.push(class(ranges)),
            },
            Matcher::Repeat(ranges) => items.push(Expression::Star(Box::new(class(ranges)))),
            Matcher::SkipTo(byte) => {
                items.extend([Expression::Star(Box::new(all_but(*byte))), Expression::Byte(*byte)]);
            }
            Matcher::Search(byte) => {
                items.extend([Expression::Star(Box::new(Expression::Any)), Expression::Byte(*byte)]);
            }
            Matcher::Variable(_) => return Err(SpellError::VariableInExpression),
            Matcher::End => return Err(SpellError::BehindEnd),
        }
    }
    Ok(items)
}

fn is_all_but(ranges: &Ranges, byte: u8) -> bool {
    (0..=u8::MAX).all(|other| contains(ranges, other) != (other == byte))
}

fn all_but(byte: u8) -> Expression {
    Expression::NegatedClass(vec![(byte, byte)])
}

/// A set as people write it: what it leaves out, where that is less.
fn class(ranges: &Ranges) -> Expression {
    let members = |inside: bool| -> Ranges {
        let mut out: Ranges = Vec::new();
        for byte in (0..=u8::MAX).filter(|byte| contains(ranges, *byte) == inside) {
            match out.last_mut() {
                Some((_, high)) if high.checked_add(1) == Some(byte) => *high = byte,
                _ => out.push((byte, byte)),
            }
        }
        out
    };
    let count = (0..=u8::MAX).filter(|byte| contains(ranges, *byte)).count();
    match count {
        256 => Expression::Any,
        129.. => Expression::NegatedClass(members(false)),
        // As the ranges stand: their order is part of the program.
        _ if ranges.iter().all(|(low, high)| low <= high) => Expression::Class(ranges.clone()),
        _ => Expression::Class(members(true)),
    }
}

/// What a matcher's first byte can be; `None` for what can also match nothing or is not known.
fn first_bytes(matcher: &Matcher) -> Option<[bool; 257]> {
    let mut out = [false; 257];
    match matcher {
        Matcher::Text(text) => *out.get_mut(usize::from(*text.first()?))? = true,
        Matcher::End => out[256] = true,
        Matcher::Class(ranges) => {
            for byte in 0..=u8::MAX {
                out[usize::from(byte)] = contains(ranges, byte);
            }
        }
        Matcher::Variable(_) | Matcher::Repeat(_) | Matcher::SkipTo(_) | Matcher::Search(_) => return None,
    }
    Some(out)
}

/// The first true branch decides; so that their order says nothing, no two may be true at once.
fn exclusive(branches: &[Branch]) -> Result<(), SpellError> {
    if branches.len() < 2 {
        return Ok(());
    }
    let mut seen = [false; 257];
    for branch in branches {
        let first = first_bytes(&branch.matcher).ok_or(SpellError::Overlap)?;
        for (known, new) in seen.iter_mut().zip(first) {
            if *known && new {
                return Err(SpellError::Overlap);
            }
            *known |= new;
        }
    }
    Ok(())
}

fn may_begin_in(matcher: &Matcher, ranges: &Ranges) -> bool {
    first_bytes(matcher)
        .is_none_or(|first| (0..=u8::MAX).any(|byte| first[usize::from(byte)] && contains(ranges, byte)))
}

/// Makes a subpath of each prefix `x/` that has its literal `x`.
fn join_subpaths(list: &mut Vec<Spelled>) {
    let mut literals: HashMap<Vec<Part>, usize> = HashMap::new();
    for (place, item) in list.iter().enumerate() {
        if let Spelled::String(StringPattern { kind: StringKind::Literal, parts }) = item {
            literals.insert(parts.clone(), place);
        }
    }
    let mut taken = vec![false; list.len()];
    for place in 0..list.len() {
        let Some(Spelled::String(StringPattern { kind: StringKind::Prefix, parts })) = list.get(place) else {
            continue;
        };
        let Some(base) = without_slash(parts) else { continue };
        if let Some(literal) = literals.remove(&base) {
            taken[literal] = true;
            list[place] = Spelled::String(StringPattern { kind: StringKind::Subpath, parts: base });
        }
    }
    let mut taken = taken.into_iter();
    list.retain(|_| !taken.next().unwrap_or(false));
}

/// The parts without the slash that they end with; `None` where they end otherwise or nothing is
/// left, as that subpath would be another one.
fn without_slash(parts: &[Part]) -> Option<Vec<Part>> {
    let (last, before) = parts.split_last()?;
    let Part::Text(text) = last else { return None };
    let base = text.strip_suffix(b"/")?;
    let mut out = before.to_vec();
    match (base, before) {
        ([], []) => return None,
        ([], _) => {}
        _ if base.ends_with(b"/") => return None,
        _ => out.push(Part::Text(base.to_vec())),
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::lower;
    use crate::pattern::order::{Asked, tree_of};
    use crate::pattern::regex::parse;
    use crate::pattern::tree::Saved;
    use proptest::prelude::*;

    fn show(tree: &Tree) -> Vec<String> {
        let variables = [b"HOME".to_vec()];
        let list = spelled(tree, &variables, true).unwrap();
        let text = |part: &Part| match part {
            Part::Text(text) => String::from_utf8_lossy(text).into_owned(),
            Part::Variable(name) => format!("${{{name}}}"),
        };
        list.iter()
            .map(|item| match item {
                Spelled::String(string) => {
                    format!("{:?} {}", string.kind, string.parts.iter().map(text).collect::<String>())
                }
                Spelled::Expression(expression) => String::from_utf8_lossy(&expression.text()).into_owned(),
            })
            .collect()
    }

    #[test]
    fn expressions_come_back_as_they_were_written() {
        for text in [
            "^/a/[^/]+/b",
            r"\.plugin$",
            "^/x/[0-9A-F][0-9]+$",
            "^/x/[^/]+(/|$)",
            "^/a.c/[a-z]+/q",
            "^/a[b-d](/e|f$)",
            "^/a/[^/]+/(c|s)$",
        ] {
            let Some(tree) = lower::tree(&parse(text.as_bytes()).unwrap()) else { continue };
            assert_eq!(show(&tree), [text]);
        }
    }

    #[test]
    fn what_overlaps_is_refused() {
        let both = |first: Matcher, second: Matcher| {
            Tree::Choice(vec![Branch::new(first, Tree::Accept), Branch::new(second, Tree::Accept)])
        };
        let text = |text: &str| Matcher::Text(text.as_bytes().to_vec());
        assert_eq!(spelled(&both(text("ab"), text("ac")), &[], true), Err(SpellError::Overlap));
        assert_eq!(spelled(&both(Matcher::Variable(0), text("ac")), &[vec![]], true), Err(SpellError::Overlap));
        assert_eq!(spelled(&Tree::one(Matcher::Variable(3), Tree::Accept), &[], true), Err(SpellError::NoVariable(3)));
        let name = [b"HO\x9a".to_vec()];
        assert_eq!(
            spelled(&Tree::one(Matcher::Variable(0), Tree::Accept), &name, true),
            Err(SpellError::NameNoText(0))
        );
    }

    fn any_string() -> impl Strategy<Value = StringPattern> {
        let kinds = prop_oneof![Just(StringKind::Literal), Just(StringKind::Prefix), Just(StringKind::Subpath)];
        (kinds, "/[ab/]{0,4}")
            .prop_filter_map("empty", |(kind, text)| StringPattern::new(kind, text.as_bytes(), true).ok())
    }

    proptest! {
        /// The tree of what is spelled matches what the tree matches.
        #[test]
        fn spelled_trees_match_the_same(strings in proptest::collection::vec(any_string(), 1..6), subject in "/[ab/]{0,6}") {
            let asked: Vec<_> = strings.iter().map(Asked::String).collect();
            let tree = tree_of(&asked, |_| 0, Saved::Kept).unwrap();
            let again = spelled(&tree, &[], true).unwrap();
            let found = again.iter().any(|item| match item {
                Spelled::String(string) => string.matches(subject.as_bytes()),
                Spelled::Expression(_) => unreachable!(),
            });
            prop_assert_eq!(found, tree.matches(subject.as_bytes()));
        }
    }
}
