//! In: expressions, or states that the decoder found. Out: [`Automaton`], the states of one
//! compiled regular expression and whether a subject matches. Never: addresses in code; states
//! refer to one another by number.

use std::cell::RefCell;

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
    /// Nothing, then on: where ways meet that the code keeps apart until there, at the end of an
    /// alternation or of a repeat. Written as a jump, if what follows has been written before.
    Join(StateId),
    /// Match.
    Accept,
    /// Match; the accept that has -1 for an operand (FORMAT.md §5, three regexes of iOS 9.3). Taken
    /// for the code of the empty expression, see [`Automaton::of`].
    AcceptEmpty,
}

/// The states of a regular expression. Matching starts at the start of the subject: an expression
/// that may match further on has states that say so. Measured: each of the 667 objects at hand begins
/// with `^`, or with a fork whose second branch is any byte and then the fork again.
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

/// More states than 64 KB of code can hold, with the joins that leave no code.
const MAX_STATES: usize = 1 << 17;

impl Automaton {
    /// One automaton that matches what any of the expressions matches, its states in the order of
    /// [`Automaton::in_order`]. A beginning of plain bytes that all share stands once (FORMAT.md §5,
    /// "several regexes of one filter"; chosen, since no object at hand is sure to be of several).
    ///
    /// The empty expression ends in [`State::AcceptEmpty`]. Guessed: that is how three objects of iOS
    /// 9.3 end, which match anything (96 profiles look up services with them), as an empty regex does.
    ///
    /// # Errors
    /// Where the code would not fit.
    pub fn of(expressions: &[Expression]) -> Result<Self, AutomatonError> {
        let mut builder = Builder { states: Vec::new() };
        let whole = match expressions {
            [one] => one.clone(),
            several => with_shared_beginning(several),
        };
        let accept = builder.add(State::Accept)?;
        let start = if whole.is_anchored() {
            builder.build(&whole, accept)?
        } else {
            let search = builder.reserve()?;
            let here = builder.build(&whole, accept)?;
            if here == accept {
                builder.states[accept.index()] = State::AcceptEmpty;
            }
            let further = builder.add(State::Any(search))?;
            builder.states[search.index()] = State::Fork(here, further);
            search
        };
        Ok(Self { states: builder.states, start }.in_order())
    }

    /// The same with its states in the order in which their code is written: depth first, the first
    /// branch of a fork before the second (FORMAT.md §5). What cannot be reached is gone, and so is a
    /// [`State::Join`] that leaves no trace in the code. The decoder gives the same states.
    #[must_use]
    pub fn in_order(&self) -> Self {
        let mut order = Order { places: vec![None; self.states.len()], states: Vec::new(), extra: Vec::new() };
        order.walk(self);
        order.without_unseen_joins()
    }

    /// Whether the expression matches. Time is bounded by subject length times number of states;
    /// memory is kept from one call to the next.
    #[must_use]
    pub fn matches(&self, subject: &[u8]) -> bool {
        thread_local!(static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch::new()) });
        SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
            Ok(mut scratch) => scratch.matches(self, subject),
            Err(_) => Scratch::new().matches(self, subject),
        })
    }
}

/// What matching needs beside the automaton.
struct Scratch {
    /// States to look at for this byte, and for the next one.
    current: Vec<StateId>,
    next: Vec<StateId>,
    /// The round in which a state was looked at last.
    seen: Vec<u64>,
    /// Rounds so far, of all subjects, so that `seen` need not be cleared.
    round: u64,
}

impl Scratch {
    const fn new() -> Self {
        Self { current: Vec::new(), next: Vec::new(), seen: Vec::new(), round: 0 }
    }

    fn matches(&mut self, automaton: &Automaton, subject: &[u8]) -> bool {
        if self.seen.len() < automaton.states.len() {
            self.seen.resize(automaton.states.len(), 0);
        }
        self.next.clear();
        self.next.push(automaton.start);
        for position in 0..=subject.len() {
            std::mem::swap(&mut self.current, &mut self.next);
            self.next.clear();
            self.round += 1;
            let byte = subject.get(position);
            while let Some(id) = self.current.pop() {
                let Some(state) = automaton.states.get(id.index()) else { continue };
                if std::mem::replace(&mut self.seen[id.index()], self.round) == self.round {
                    continue;
                }
                match state {
                    State::Accept | State::AcceptEmpty => return true,
                    State::Fork(first, second) => self.current.extend([*second, *first]),
                    State::Join(to) => self.current.push(*to),
                    State::Start(to) if position == 0 => self.current.push(*to),
                    State::End(to) if byte.is_none() => self.current.push(*to),
                    State::Byte(wanted, to) if byte == Some(wanted) => self.next.push(*to),
                    State::Any(to) if byte.is_some() => self.next.push(*to),
                    State::Class(ranges, to) if byte.is_some_and(|byte| contains(ranges, *byte)) => {
                        self.next.push(*to);
                    }
                    _ => {}
                }
            }
            if self.next.is_empty() {
                return false;
            }
        }
        false
    }
}

/// Which link leads to a state that is to be placed.
#[derive(Clone, Copy)]
enum Link {
    /// The automaton's start: there is nothing to set.
    Start,
    /// What follows this state, or the first branch of this fork; its code goes on without a jump.
    Next(usize),
    /// The second branch of this fork.
    Second(usize),
}

/// States by the order of their code.
struct Order {
    /// New number of each old state.
    places: Vec<Option<StateId>>,
    states: Vec<State>,
    /// For each new state the links to it beside the code just before it.
    extra: Vec<u32>,
}

impl Order {
    fn walk(&mut self, automaton: &Automaton) {
        // Forks whose second branch is still to be placed, and where that was before the fork.
        let mut pending: Vec<(usize, StateId, Option<StateId>)> = Vec::new();
        let mut current = Some((automaton.start, Link::Start));
        let mut through_join = false;
        loop {
            let Some((id, link)) = current else {
                let Some((fork, second, before)) = pending.pop() else { break };
                through_join = false;
                match before {
                    // A jump of its own, as the code has it.
                    Some(place) => self.jump(place, Link::Second(fork)),
                    None => current = Some((second, Link::Second(fork))),
                }
                continue;
            };
            let Some(state) = automaton.states.get(id.index()) else {
                current = None;
                continue;
            };
            if let Some(place) = self.places[id.index()] {
                if through_join {
                    self.jump(place, link)
                } else {
                    self.link(link, place)
                }
                (current, through_join) = (None, false);
                continue;
            }
            // States are as many as the automaton's own and a jump for each, and those fit.
            let here = StateId(u32::try_from(self.states.len()).unwrap_or(u32::MAX));
            self.places[id.index()] = Some(here);
            if let State::Join(next) = state {
                current = Some((*next, link));
                through_join = true;
                continue;
            }
            through_join = false;
            let index = self.place(state.clone(), link);
            current = match state {
                State::Byte(_, next)
                | State::Any(next)
                | State::Class(_, next)
                | State::Start(next)
                | State::End(next)
                | State::Join(next) => Some((*next, Link::Next(index))),
                State::Fork(first, second) => {
                    let before = self.places.get(second.index()).copied().flatten();
                    pending.push((index, *second, before));
                    Some((*first, Link::Next(index)))
                }
                State::Accept | State::AcceptEmpty => None,
            };
        }
    }

    fn jump(&mut self, to: StateId, link: Link) {
        self.place(State::Join(to), link);
        self.extra[to.index()] += 1;
    }

    /// Adds a state that `link` leads to.
    fn place(&mut self, state: State, link: Link) -> usize {
        let index = self.states.len();
        self.states.push(state);
        self.extra.push(0);
        let here = StateId(u32::try_from(index).unwrap_or(u32::MAX));
        self.set(link, here);
        self.extra[index] += u32::from(matches!(link, Link::Second(_)));
        index
    }

    /// Leads `link` to a state that is there already.
    fn link(&mut self, link: Link, place: StateId) {
        self.set(link, place);
        self.extra[place.index()] += 1;
    }

    fn set(&mut self, link: Link, place: StateId) {
        match link {
            Link::Start => {}
            Link::Next(index) => match &mut self.states[index] {
                State::Byte(_, to)
                | State::Any(to)
                | State::Class(_, to)
                | State::Start(to)
                | State::End(to)
                | State::Join(to)
                | State::Fork(to, _) => *to = place,
                State::Accept | State::AcceptEmpty => {}
            },
            Link::Second(index) => {
                if let State::Fork(_, to) = &mut self.states[index] {
                    *to = place;
                }
            }
        }
    }

    /// A join that only the code before it leads to is a plain jump there.
    fn without_unseen_joins(self) -> Automaton {
        let unseen = |index: usize| matches!(self.states[index], State::Join(_)) && self.extra[index] == 0 && index > 0;
        let mut numbers = Vec::with_capacity(self.states.len());
        let mut count = 0;
        for index in 0..self.states.len() {
            // Such a jump leads back, to a number that is known.
            numbers.push(match self.states[index] {
                State::Join(to) if unseen(index) => numbers.get(to.index()).copied().unwrap_or(StateId(count)),
                _ => StateId(count),
            });
            count += u32::from(!unseen(index));
        }
        let to = |id: StateId| numbers.get(id.index()).copied().unwrap_or(id);
        let states = (0..self.states.len()).filter(|index| !unseen(*index)).map(|index| match &self.states[index] {
            State::Byte(byte, next) => State::Byte(*byte, to(*next)),
            State::Any(next) => State::Any(to(*next)),
            State::Class(ranges, next) => State::Class(ranges.clone(), to(*next)),
            State::Start(next) => State::Start(to(*next)),
            State::End(next) => State::End(to(*next)),
            State::Fork(first, second) => State::Fork(to(*first), to(*second)),
            State::Join(next) => State::Join(to(*next)),
            end @ (State::Accept | State::AcceptEmpty) => end.clone(),
        });
        Automaton { states: states.collect(), start: StateId(0) }
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

/// Builds states from the end to the start.
struct Builder {
    states: Vec<State>,
}

impl Builder {
    fn add(&mut self, state: State) -> Result<StateId, AutomatonError> {
        let id = self.reserve()?;
        self.states[id.index()] = state;
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
            Expression::Class(ranges) => {
                // Ascending, whatever the order in which they were written.
                let mut ranges = ranges.clone();
                ranges.sort_unstable();
                self.class(&ranges, next)
            }
            Expression::NegatedClass(ranges) => self.class(&gaps(ranges), next),
            Expression::Start => self.add(State::Start(next)),
            Expression::End => self.add(State::End(next)),
            Expression::Sequence(items) => items.iter().rev().try_fold(next, |next, item| self.build(item, next)),
            Expression::Alternation(items) => {
                // Left-nested: the first alternative is the innermost. All lead to one join.
                let Some((first, others)) = items.split_first() else { return Ok(next) };
                if others.is_empty() {
                    return self.build(first, next);
                }
                let join = self.add(State::Join(next))?;
                let first = self.alternative(first, join)?;
                others.iter().try_fold(first, |left, item| {
                    let right = self.alternative(item, join)?;
                    self.add(State::Fork(left, right))
                })
            }
            Expression::Star(inner) => {
                let end = self.add(State::Join(next))?;
                let fork = self.reserve()?;
                let body = self.build(inner, fork)?;
                self.states[fork.index()] = State::Fork(body, end);
                Ok(fork)
            }
            Expression::Plus(inner) => {
                let end = self.add(State::Join(next))?;
                let fork = self.reserve()?;
                let body = self.build(inner, fork)?;
                self.states[fork.index()] = State::Fork(body, end);
                Ok(body)
            }
            Expression::Optional(inner) => {
                let end = self.add(State::Join(next))?;
                let body = self.build(inner, end)?;
                self.add(State::Fork(body, end))
            }
        }
    }

    /// An alternative of nothing is a join of its own, which the code shows as a jump: six of the ten
    /// objects at hand that the rule of FORMAT.md §5 leaves open have `(x|)`, the other four an
    /// alternation that ends an alternative other than the first.
    fn alternative(&mut self, expression: &Expression, join: StateId) -> Result<StateId, AutomatonError> {
        let start = self.build(expression, join)?;
        if start == join { self.add(State::Join(join)) } else { Ok(start) }
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
pub(super) fn gaps(ranges: &[(u8, u8)]) -> Ranges {
    if ranges.is_empty() {
        return vec![(0, u8::MAX)];
    }
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
