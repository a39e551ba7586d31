//! Regular expressions of the sandbox dialect (LANGUAGE.md §5.1).
//!
//! In: the text of a profile, or an automaton the decoder found. Out: [`Expression`] (what was
//! written), [`Automaton`] (what is compiled), and for each a matcher; the two know nothing of each
//! other, so they can be compared. From an automaton back to an expression and its text. Never: bytes of compiled code.

mod automaton;
mod eliminate;
mod parser;
mod structure;
mod write;

pub use automaton::{Automaton, AutomatonError, State, StateId};
pub use parser::{RegexError, RegexErrorKind, parse};
pub use structure::StructureError;

use super::tree::{Ranges, contains};

/// A parsed regular expression.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expression {
    /// Matches the empty string.
    Empty,
    /// This byte.
    Byte(u8),
    /// Any byte.
    Any,
    /// A byte of these ranges; in the order in which they were written.
    Class(Ranges),
    /// A byte of none of these ranges.
    NegatedClass(Ranges),
    /// Start of the subject.
    Start,
    /// End of the subject.
    End,
    /// One after the other.
    Sequence(Vec<Expression>),
    /// One of them.
    Alternation(Vec<Expression>),
    /// Any number of times.
    Star(Box<Expression>),
    /// Once or more.
    Plus(Box<Expression>),
    /// Once or not at all.
    Optional(Box<Expression>),
}

impl Expression {
    /// The same in ASCII lower case: for filters whose subject is folded. Chosen (LANGUAGE.md §5.1).
    #[must_use]
    pub fn folded(&self) -> Self {
        let all = |list: &[Self]| list.iter().map(Self::folded).collect();
        match self {
            Self::Byte(byte) => Self::Byte(byte.to_ascii_lowercase()),
            Self::Class(ranges) => Self::Class(lower(ranges)),
            Self::NegatedClass(ranges) => Self::NegatedClass(lower(ranges)),
            Self::Sequence(list) => Self::Sequence(all(list)),
            Self::Alternation(list) => Self::Alternation(all(list)),
            Self::Star(inner) => Self::Star(Box::new(inner.folded())),
            Self::Plus(inner) => Self::Plus(Box::new(inner.folded())),
            Self::Optional(inner) => Self::Optional(Box::new(inner.folded())),
            Self::Empty | Self::Any | Self::Start | Self::End => self.clone(),
        }
    }

    /// An expression that matches the same subjects without capitals, and whose [`folded`](Self::folded)
    /// form still does: what a compiled expression of a folding filter says. Sets that folding would
    /// change are written without capitals.
    #[must_use]
    pub fn unfolded(&self) -> Self {
        let all = |list: &[Self]| list.iter().map(Self::unfolded).collect();
        let set = |ranges: &Ranges, negated: bool| {
            let small = |byte: u8| !byte.is_ascii_uppercase();
            let folded = lower(ranges);
            if (0..=u8::MAX).filter(|byte| small(*byte)).all(|byte| contains(&folded, byte) == contains(ranges, byte)) {
                return self.clone();
            }
            match write::bytes_of(|byte| small(byte) && contains(ranges, byte) != negated) {
                none if none.is_empty() => Self::NegatedClass(vec![(0, u8::MAX)]),
                bytes => Self::Class(bytes),
            }
        };
        match self {
            // No subject has it.
            Self::Byte(b'A'..=b'Z') => Self::NegatedClass(vec![(0, u8::MAX)]),
            Self::Class(ranges) => set(ranges, false),
            Self::NegatedClass(ranges) => set(ranges, true),
            Self::Sequence(list) => Self::Sequence(all(list)),
            Self::Alternation(list) => Self::Alternation(all(list)),
            Self::Star(inner) => Self::Star(Box::new(inner.unfolded())),
            Self::Plus(inner) => Self::Plus(Box::new(inner.unfolded())),
            Self::Optional(inner) => Self::Optional(Box::new(inner.unfolded())),
            Self::Empty | Self::Byte(_) | Self::Any | Self::Start | Self::End => self.clone(),
        }
    }

    /// Whether it can match at the start of the subject only, as its text shows: each alternative
    /// begins with `^`. For alternatives chosen; that of a single `^` in front is measured.
    #[must_use]
    pub fn is_anchored(&self) -> bool {
        match self {
            Self::Start => true,
            Self::Sequence(list) => list.iter().find(|item| !item.is_nothing()).is_some_and(Self::is_anchored),
            Self::Alternation(list) => !list.is_empty() && list.iter().all(Self::is_anchored),
            _ => false,
        }
    }

    /// Whether there is no code of it.
    fn is_nothing(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Sequence(list) => list.iter().all(Self::is_nothing),
            Self::Alternation(list) => list.len() < 2 && list.iter().all(Self::is_nothing),
            _ => false,
        }
    }

    /// The expression for a matcher that other people wrote: the reference that the automaton is
    /// held against. `fold`: without regard to ASCII case, by that matcher's own notion.
    ///
    /// # Errors
    /// Where the expression is too large for that matcher.
    pub fn reference(&self, fold: bool) -> Result<regex::bytes::Regex, regex::Error> {
        let mut text = String::new();
        self.translate(&mut text);
        let mut builder = regex::bytes::RegexBuilder::new(&text);
        builder.unicode(false).dot_matches_new_line(true).case_insensitive(fold).build()
    }

    fn translate(&self, out: &mut String) {
        let class = |out: &mut String, ranges: &Ranges, negated: bool| {
            out.push_str(if negated { "[^" } else { "[" });
            for (low, high) in ranges {
                out.push_str(&format!("\\x{low:02x}-\\x{high:02x}"));
            }
            out.push(']');
        };
        let repeat = |out: &mut String, inner: &Self, mark: char| {
            out.push_str("(?:");
            inner.translate(out);
            out.push(')');
            out.push(mark);
        };
        match self {
            Self::Empty => out.push_str("(?:)"),
            Self::Byte(byte) => out.push_str(&format!("\\x{byte:02x}")),
            Self::Any => out.push('.'),
            Self::Class(ranges) => class(out, ranges, false),
            Self::NegatedClass(ranges) => class(out, ranges, true),
            Self::Start => out.push_str("\\A"),
            Self::End => out.push_str("\\z"),
            Self::Sequence(list) => {
                for item in list {
                    out.push_str("(?:");
                    item.translate(out);
                    out.push(')');
                }
            }
            Self::Alternation(list) => {
                out.push_str("(?:");
                for (index, item) in list.iter().enumerate() {
                    if index > 0 {
                        out.push('|');
                    }
                    item.translate(out);
                }
                out.push(')');
            }
            Self::Star(inner) => repeat(out, inner, '*'),
            Self::Plus(inner) => repeat(out, inner, '+'),
            Self::Optional(inner) => repeat(out, inner, '?'),
        }
    }
}

/// The ranges in lower case, in the order in which they were written. A range that crosses a border of the capitals is cut there:
/// lowering its bounds alone would change which other bytes it holds, or turn it round.
fn lower(ranges: &Ranges) -> Ranges {
    let mut out = Ranges::new();
    let mut crossed = false;
    for (low, high) in ranges {
        let parts = [(0, b'@'), (b'A', b'Z'), (b'[', u8::MAX)].map(|(first, last)| (first.max(*low), last.min(*high)));
        let parts = parts.into_iter().filter(|(low, high)| low <= high);
        let before = out.len();
        out.extend(parts.map(|(low, high)| match low {
            b'A'..=b'Z' => (low.to_ascii_lowercase(), high.to_ascii_lowercase()),
            _ => (low, high),
        }));
        // Below and above at once is a plain range again only where no capital was between.
        crossed |= out.len() > before + 1;
    }
    if crossed {
        out.sort_unstable();
        // The pieces may overlap or touch; together they are fewer ranges.
        let mut joined = Ranges::new();
        for (low, high) in out {
            match joined.last_mut() {
                Some(last) if u16::from(low) <= u16::from(last.1) + 1 => last.1 = last.1.max(high),
                _ => joined.push((low, high)),
            }
        }
        return joined;
    }
    let mut seen = std::collections::HashSet::new();
    out.retain(|range| seen.insert(*range));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expression() -> impl Strategy<Value = Expression> {
        let leaf = prop_oneof![
            Just(Expression::Empty),
            prop_oneof![Just(b'a'), Just(b'b'), Just(b'/')].prop_map(Expression::Byte),
            Just(Expression::Any),
            Just(Expression::Class(vec![(b'a', b'b')])),
            Just(Expression::NegatedClass(vec![(b'/', b'/')])),
            Just(Expression::NegatedClass(vec![(b'a', b'a'), (b'b', b'b')])),
            // More ranges than one class of a compiled expression holds.
            Just(Expression::Class((b'A'..=b'c').step_by(2).map(|byte| (byte, byte)).collect())),
            Just(Expression::NegatedClass((b'A'..=b'c').step_by(2).map(|byte| (byte, byte)).collect())),
            Just(Expression::Start),
            Just(Expression::End),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 1..4).prop_map(Expression::Sequence),
                proptest::collection::vec(inner.clone(), 2..4).prop_map(Expression::Alternation),
                inner.clone().prop_map(|e| Expression::Star(Box::new(e))),
                inner.clone().prop_map(|e| Expression::Plus(Box::new(e))),
                inner.prop_map(|e| Expression::Optional(Box::new(e))),
            ]
        })
    }

    proptest! {
        /// Lower case of an expression matches of a lower-case subject what the reference matcher
        /// finds without regard to case, whatever borders its sets cross.
        #[test]
        fn folding_means_without_regard_to_case(
            ranges in proptest::collection::vec((any::<u8>(), any::<u8>()), 1..4),
            edges in proptest::collection::vec((0x3fu8..0x5d, 0x3fu8..0x7d), 0..3),
            negated in any::<bool>(),
            byte in any::<u8>(),
        ) {
            let mut list: Ranges = ranges.into_iter().chain(edges).map(|(a, b)| (a.min(b), a.max(b))).collect();
            list.sort_unstable();
            list.dedup();
            let set = if negated { Expression::NegatedClass(list) } else { Expression::Class(list) };
            let automaton = Automaton::of(&[set.folded()]).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let reference = set.reference(true).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let subject = [byte.to_ascii_lowercase()];
            prop_assert_eq!(automaton.matches(&subject), reference.is_match(&subject), "{:?}", set);
        }

        /// What is said of a compiled expression means the same again when it is compiled.
        #[test]
        fn unfolding_survives_folding(
            e in expression(),
            ranges in proptest::collection::vec((any::<u8>(), any::<u8>()), 1..4),
            negated in any::<bool>(),
            subject in "[abcq/]{0,6}",
            byte in any::<u8>(),
        ) {
            let list: Ranges = ranges.into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect();
            let set = if negated { Expression::NegatedClass(list) } else { Expression::Class(list) };
            for (e, subject) in [(e, subject.as_bytes()), (set, &[byte.to_ascii_lowercase()][..])] {
                let [first, again] = [&e, &e.unfolded().folded()].map(|e| Automaton::of(std::slice::from_ref(e)).unwrap());
                prop_assert_eq!(first.matches(subject), again.matches(subject), "{:?} {:?}", e, e.unfolded());
            }
        }

        /// The automaton matches what the reference matcher matches.
        #[test]
        fn the_automaton_means_the_expression(e in expression(), subject in "[abc/]{0,6}") {
            let reference = e.reference(false).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let automaton = Automaton::of(std::slice::from_ref(&e)).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(automaton.matches(subject.as_bytes()), reference.is_match(subject.as_bytes()), "{:?}", e);
        }
    }
}
