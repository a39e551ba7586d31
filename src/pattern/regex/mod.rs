//! Regular expressions of the sandbox dialect (LANGUAGE.md §5.1).
//!
//! In: the text of a profile, or an automaton the decoder found. Out: [`Expression`] (what was
//! written), [`Automaton`] (what is compiled), and for each a matcher; the two know nothing of each
//! other, so they can be compared. Never: bytes of compiled code.

mod automaton;
mod parser;

pub use automaton::{Automaton, AutomatonError, State, StateId};
pub use parser::{RegexError, RegexErrorKind, parse};

use super::tree::Ranges;

/// A parsed regular expression.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expression {
    /// Matches the empty string.
    Empty,
    /// This byte.
    Byte(u8),
    /// Any byte.
    Any,
    /// A byte of these ranges; as written, ascending.
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
        let lower = |ranges: &Ranges| {
            ranges.iter().map(|(low, high)| (low.to_ascii_lowercase(), high.to_ascii_lowercase())).collect()
        };
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

    /// The expression for a matcher that other people wrote: the reference that the automaton is
    /// held against.
    ///
    /// # Errors
    /// Where the expression is too large for that matcher.
    pub fn reference(&self) -> Result<regex::bytes::Regex, regex::Error> {
        let mut text = String::new();
        self.translate(&mut text);
        regex::bytes::RegexBuilder::new(&text).unicode(false).dot_matches_new_line(true).build()
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
        /// The automaton matches what the reference matcher matches.
        #[test]
        fn the_automaton_means_the_expression(e in expression(), subject in "[abc/]{0,6}") {
            let reference = e.reference().map_err(|e| TestCaseError::fail(e.to_string()))?;
            let automaton = Automaton::of(std::slice::from_ref(&e)).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(automaton.matches(subject.as_bytes()), reference.is_match(subject.as_bytes()), "{:?}", e);
        }
    }
}
