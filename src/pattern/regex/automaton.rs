//! In: expressions, or states that the decoder found. Out: [`Automaton`], the states of one
//! compiled regular expression and whether a subject matches. Never: addresses in code; states
//! refer to one another by number.

use std::collections::HashMap;

use super::Expression;
use crate::pattern::tree::{Ranges, contains};

/// Number of a state in [`Automaton::states`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StateId(pub u32);

impl StateId {
    /// As an index.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One state (FORMAT.md §5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// This byte, then on.
    Byte(u8, StateId),
    /// Any byte, then on.
    Any(StateId),
    /// A byte of these ranges, then on. A range with the lower bound above the upper one goes over
    /// the end; negated sets are written so.
    Class(Ranges, StateId),
    /// Start of the subject, then on.
    Start(StateId),
    /// End of the subject, then on.
    End(StateId),
    /// Either way.
    Fork(StateId, StateId),
    /// Match.
    Accept,
}

/// The states of a regular expression.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Automaton {
    /// All states.
    pub states: Vec<State>,
    /// Where matching starts.
    pub start: StateId,
}

/// Why an expression has no automaton.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AutomatonError {
    /// Code addresses are 16 bits wide (FORMAT.md §5).
    #[error("regular expression is too large to compile")]
    TooLarge,
}

/// Most ranges of one class (FORMAT.md §5).
const MAX_RANGES: usize = 15;

/// More states than 64 KB of code can hold.
const MAX_STATES: usize = 1 << 16;

impl Automaton {
    /// One automaton that matches what any of the expressions matches. A beginning of plain bytes
    /// that all share stands once (FORMAT.md §5, "several regexes of one filter").
    ///
    /// # Errors
    /// Where the code would not fit.
    pub fn of(expressions: &[Expression]) -> Result<Self, AutomatonError> {
        let mut builder = Builder { states: Vec::new(), numbers: HashMap::new() };
        let accept = builder.add(State::Accept)?;
        let whole = match expressions {
            [one] => one.clone(),
            several => with_shared_beginning(several),
        };
        let start = builder.build(&whole, accept)?;
        Ok(Self { states: builder.states, start })
    }

    /// Whether the expression matches somewhere in the subject: unanchored unless it says `^`.
    /// Time is bounded by subject length times number of states.
    #[must_use]
    pub fn matches(&self, subject: &[u8]) -> bool {
        let mut current = Vec::new();
        let mut next = Vec::new();
        let mut seen = vec![usize::MAX; self.states.len()];
        for position in 0..=subject.len() {
            // Every position may be the start of a match.
            current.push(self.start);
            let mut round = std::mem::take(&mut current);
            while let Some(id) = round.pop() {
                let Some(state) = self.states.get(id.index()) else { continue };
                if std::mem::replace(&mut seen[id.index()], position) == position {
                    continue;
                }
                let byte = subject.get(position);
                match state {
                    State::Accept => return true,
                    State::Fork(first, second) => round.extend([*second, *first]),
                    State::Start(to) if position == 0 => round.push(*to),
                    State::End(to) if byte.is_none() => round.push(*to),
                    State::Byte(wanted, to) if byte == Some(wanted) => next.push(*to),
                    State::Any(to) if byte.is_some() => next.push(*to),
                    State::Class(ranges, to) if byte.is_some_and(|byte| contains(ranges, *byte)) => next.push(*to),
                    _ => {}
                }
            }
            current = std::mem::take(&mut next);
        }
        false
    }
}

/// The bytes (and `^`) that a sequence starts with.
fn beginning(expression: &Expression) -> Vec<Expression> {
    let items = match expression {
        Expression::Sequence(items) => items.as_slice(),
        other => std::slice::from_ref(other),
    };
    items.iter().take_while(|item| matches!(item, Expression::Byte(_) | Expression::Start)).cloned().collect()
}

fn with_shared_beginning(expressions: &[Expression]) -> Expression {
    let Some((first, others)) = expressions.split_first() else { return Expression::Empty };
    let mut shared = beginning(first);
    for other in others {
        let next = beginning(other);
        let same = shared.iter().zip(&next).take_while(|(a, b)| a == b).count();
        shared.truncate(same);
    }
    let rest = |expression: &Expression| match expression {
        Expression::Sequence(items) => Expression::Sequence(items[shared.len()..].to_vec()),
        _ if shared.is_empty() => expression.clone(),
        _ => Expression::Empty,
    };
    let mut sequence = shared.clone();
    sequence.push(Expression::Alternation(expressions.iter().map(rest).collect()));
    Expression::Sequence(sequence)
}

/// Equal states are one state: `aa*` is then `a+`, as in FORMAT.md §5, worked example 2.
struct Builder {
    states: Vec<State>,
    numbers: HashMap<State, StateId>,
}

impl Builder {
    fn add(&mut self, state: State) -> Result<StateId, AutomatonError> {
        if let Some(id) = self.numbers.get(&state) {
            return Ok(*id);
        }
        let id = self.reserve()?;
        self.states[id.index()] = state.clone();
        self.numbers.insert(state, id);
        Ok(id)
    }

    /// A state that is filled in later: the fork of a loop.
    fn reserve(&mut self) -> Result<StateId, AutomatonError> {
        if self.states.len() >= MAX_STATES {
            return Err(AutomatonError::TooLarge);
        }
        let id = u32::try_from(self.states.len()).map_err(|_| AutomatonError::TooLarge)?;
        self.states.push(State::Accept);
        Ok(StateId(id))
    }

    /// States for an expression that goes on to `next`; constructs as FORMAT.md §5 gives them. The
    /// parser bounds the nesting, so the recursion is shallow.
    fn build(&mut self, expression: &Expression, next: StateId) -> Result<StateId, AutomatonError> {
        match expression {
            Expression::Empty => Ok(next),
            Expression::Byte(byte) => self.add(State::Byte(*byte, next)),
            Expression::Any => self.add(State::Any(next)),
            Expression::Class(ranges) => self.class(ranges, next),
            Expression::NegatedClass(ranges) => self.class(&gaps(ranges), next),
            Expression::Start => self.add(State::Start(next)),
            Expression::End => self.add(State::End(next)),
            Expression::Sequence(items) => items.iter().rev().try_fold(next, |next, item| self.build(item, next)),
            Expression::Alternation(items) => {
                // Left-nested: the first alternative is the innermost.
                let mut items = items.iter();
                let Some(first) = items.next() else { return Ok(next) };
                let first = self.build(first, next)?;
                items.try_fold(first, |left, item| {
                    let right = self.build(item, next)?;
                    self.add(State::Fork(left, right))
                })
            }
            Expression::Star(inner) => {
                let fork = self.reserve()?;
                let body = self.build(inner, fork)?;
                self.states[fork.index()] = State::Fork(body, next);
                Ok(fork)
            }
            Expression::Plus(inner) => {
                let fork = self.reserve()?;
                let body = self.build(inner, fork)?;
                self.states[fork.index()] = State::Fork(body, next);
                Ok(body)
            }
            Expression::Optional(inner) => {
                let body = self.build(inner, next)?;
                self.add(State::Fork(body, next))
            }
        }
    }

    /// A class holds at most [`MAX_RANGES`] ranges; what is more becomes an alternative (chosen: no
    /// expression of that kind is known to have been compiled by Apple).
    fn class(&mut self, ranges: &Ranges, next: StateId) -> Result<StateId, AutomatonError> {
        let mut parts = ranges.chunks(MAX_RANGES);
        let first = self.add(State::Class(parts.next().unwrap_or_default().to_vec(), next))?;
        parts.try_fold(first, |left, part| {
            let right = self.add(State::Class(part.to_vec(), next))?;
            self.add(State::Fork(left, right))
        })
    }
}

/// The bytes between the ranges, in circular order from the first one. Neighbours such as `[^./]`
/// leave an empty gap, written as Apple writes it: lower bound one above the upper (FORMAT.md §5).
fn gaps(ranges: &[(u8, u8)]) -> Ranges {
    let mut ranges = ranges.to_vec();
    ranges.sort_unstable();
    let mut merged: Ranges = Vec::new();
    for (low, high) in ranges {
        match merged.last_mut() {
            Some(last) if low <= last.1 => last.1 = last.1.max(high),
            _ => merged.push((low, high)),
        }
    }
    let count = merged.len();
    let mut out: Ranges = (0..count)
        .map(|index| (merged[index].1.wrapping_add(1), merged[(index + 1) % count].0.wrapping_sub(1)))
        .collect();
    // Between the highest byte and the lowest one there is nothing; written as a range it would be
    // the range of all bytes.
    if out.last() == Some(&(0, 255)) {
        out.pop();
    }
    out
}
