//! In: an [`Automaton`]. Out: an [`Expression`] that matches the same. Where the states are those
//! that the compiler makes of an expression it is that expression again; else it is found by
//! eliminating states. Never: a guess; a construct is taken for one only where all ways through its
//! states are those of the construct.

use super::automaton::gaps;
use super::eliminate::eliminate;
use super::write::bytes_of;
use super::{Automaton, Expression, State, StateId};
use crate::pattern::tree::{Ranges, contains};

/// Why there is no expression for an automaton.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StructureError {
    /// Its states are none of an expression, and an equal expression would be too large.
    #[error("no regular expression of a reasonable size matches the same")]
    TooLarge,
    /// A state refers to one that does not exist.
    #[error("state {0} does not exist")]
    NoState(u32),
}

/// Deepest nesting of constructs. Below the parser's, so that the text can be parsed.
pub(super) const MAX_DEPTH: usize = 200;

/// Most steps for a state of the search for the states where ways meet.
const MAX_STEPS: usize = 256;

impl Automaton {
    /// An expression that matches the same.
    ///
    /// # Errors
    /// [`StructureError::TooLarge`] for states that no compiler of expressions makes and for which
    /// an expression would be too large; [`StructureError::NoState`] for a dangling link.
    pub fn expression(&self) -> Result<Expression, StructureError> {
        let states = reachable(self)?;
        match structured(&states) {
            Some(expression) => Ok(expression),
            None => eliminate(&states).map(anchored).ok_or(StructureError::TooLarge),
        }
    }

    /// The expression that the states are the compiler's own of, if there is one: in a time that
    /// grows as the number of states does.
    #[must_use]
    pub fn structured(&self) -> Option<Expression> {
        structured(&reachable(self).ok()?)
    }
}

fn structured(states: &[State]) -> Option<Expression> {
    let mut structure = Structure::of(states)?;
    let expression = match states.first() {
        // The search of an expression that is not anchored.
        Some(State::Fork(first, second)) if matches!(states[second.index()], State::Any(StateId(0))) => {
            structure.visited[0] = true;
            structure.visited[second.index()] = true;
            structure.parse(first.index(), states.len(), 0)?
        }
        _ => anchored(structure.parse(0, states.len(), 0)?),
    };
    structure.visited.iter().all(|visited| *visited).then_some(expression)
}

/// Matching starts at the start of the subject, so an expression says it.
fn anchored(expression: Expression) -> Expression {
    match expression {
        expression if expression.is_anchored() => expression,
        Expression::Sequence(mut list) => {
            list.insert(0, Expression::Start);
            Expression::Sequence(list)
        }
        other => Expression::Sequence(vec![Expression::Start, other]),
    }
}

/// The states in order; a dangling link among those that can be reached is an error.
fn reachable(automaton: &Automaton) -> Result<Vec<State>, StructureError> {
    let exists = |id: StateId| match automaton.states.get(id.index()) {
        Some(_) => Ok(id),
        None => Err(StructureError::NoState(id.0)),
    };
    exists(automaton.start)?;
    for state in &automaton.states {
        for next in links(state).into_iter().flatten() {
            exists(next)?;
        }
    }
    Ok(automaton.in_order().states)
}

/// Where a state leads.
pub(super) fn links(state: &State) -> [Option<StateId>; 2] {
    match state {
        State::Byte(_, next)
        | State::Any(next)
        | State::Class(_, next)
        | State::Start(next)
        | State::End(next)
        | State::Join(next) => [Some(*next), None],
        State::Fork(first, second) => [Some(*first), Some(*second)],
        State::Accept | State::AcceptEmpty => [None, None],
    }
}

/// What a state itself matches.
pub(super) fn atom(state: &State) -> Expression {
    match state {
        State::Byte(byte, _) => Expression::Byte(*byte),
        State::Any(_) => Expression::Any,
        State::Class(ranges, _) => class(ranges),
        State::Start(_) => Expression::Start,
        State::End(_) => Expression::End,
        State::Fork(..) | State::Join(_) | State::Accept | State::AcceptEmpty => Expression::Empty,
    }
}

/// The set that has these ranges in code; another one of the same bytes where none has.
fn class(ranges: &Ranges) -> Expression {
    let ascending = ranges.is_sorted() && ranges.iter().all(|(low, high)| low <= high);
    if ascending && !ranges.is_empty() {
        return Expression::Class(ranges.clone());
    }
    // What lies between two ranges is what was excluded, empty gaps between neighbours included. The
    // last range goes over the end, unless both the lowest and the highest byte are excluded.
    let ends = ranges.iter().map(|(_, high)| high.wrapping_add(1));
    let starts = ranges.iter().map(|(low, _)| low.wrapping_sub(1));
    let last = ranges.last().map(|(_, high)| high.wrapping_add(1));
    let circular: Ranges = last.into_iter().chain(ends.clone()).zip(starts.clone()).collect();
    let both: Ranges = std::iter::once(0).chain(ends).zip(starts.chain([u8::MAX])).collect();
    let is_set = |list: &&Ranges| list.is_sorted() && list.iter().all(|(low, high)| low <= high);
    let negated = [&circular, &both].into_iter().filter(is_set);
    match negated.into_iter().find(|list| !list.is_empty() && gaps(list) == *ranges) {
        Some(list) => Expression::NegatedClass(list.clone()),
        None => Expression::Class(bytes_of(|byte| contains(ranges, byte))),
    }
}

/// Recursive descent over states as the compiler orders them.
struct Structure<'a> {
    states: &'a [State],
    visited: Vec<bool>,
    /// For each state the forks that repeat what begins with it, outermost last.
    repeats: Vec<Vec<usize>>,
    /// Whether this fork repeats what its first branch is.
    is_star: Vec<bool>,
    /// For each state the next one that all ways from it go through.
    meeting: Vec<usize>,
}

impl<'a> Structure<'a> {
    fn of(states: &'a [State]) -> Option<Self> {
        let count = states.len();
        let mut repeats = vec![Vec::new(); count];
        let mut is_star = vec![false; count];
        // Numbers are those of a depth-first walk, so what is below a state are the ones up to here.
        let mut below = vec![0; count];
        for index in (0..count).rev() {
            let later = links(&states[index]).into_iter().flatten().map(StateId::index).filter(|next| *next > index);
            below[index] = later.map(|next| below[next]).max().unwrap_or(0).max(index + 1);
        }
        for (index, state) in states.iter().enumerate() {
            // A link back to a state above closes a loop; to another one it is a way that joins.
            let loops = |to: usize| to <= index && index < below[to];
            match state {
                State::Fork(first, _) if first.index() < index && loops(first.index()) => {
                    repeats[first.index()].push(index);
                    continue;
                }
                _ => {}
            }
            for to in links(state).into_iter().flatten().map(StateId::index).filter(|to| loops(*to)) {
                // The body comes before what follows the loop.
                is_star[to] |= matches!(&states[to], State::Fork(_, second) if index < second.index());
            }
        }
        let meeting = meetings(states)?;
        Some(Self { states, visited: vec![false; count], repeats, is_star, meeting })
    }

    /// The expression of all ways from a state to another; the number of states stands for the end.
    /// Each state may be passed once only, so that no way leaves a construct but by its end.
    fn parse(&mut self, from: usize, to: usize, depth: usize) -> Option<Expression> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut items = Vec::new();
        let mut at = from;
        while at != to {
            let state = self.states.get(at)?;
            if let Some(fork) = self.repeats[at].pop() {
                let State::Fork(_, after) = self.states[fork] else { return None };
                items.push(Expression::Plus(Box::new(self.parse(at, fork, depth + 1)?)));
                self.visit(fork)?;
                at = after.index();
                continue;
            }
            self.visit(at)?;
            at = match state {
                State::Accept | State::AcceptEmpty => self.states.len(),
                State::Join(next) => next.index(),
                State::Fork(first, after) if self.is_star[at] => {
                    items.push(Expression::Star(Box::new(self.parse(first.index(), at, depth + 1)?)));
                    after.index()
                }
                State::Fork(..) => {
                    let meeting = self.meeting[at];
                    items.push(self.alternation(at, meeting, depth)?);
                    meeting
                }
                State::Byte(_, next)
                | State::Any(next)
                | State::Class(_, next)
                | State::Start(next)
                | State::End(next) => {
                    items.push(atom(state));
                    next.index()
                }
            };
        }
        Some(match items.len() {
            0 => Expression::Empty,
            1 => items.remove(0),
            _ => Expression::Sequence(items),
        })
    }

    /// The alternatives from a fork on, which nest on the left.
    fn alternation(&mut self, fork: usize, meeting: usize, depth: usize) -> Option<Expression> {
        let mut branches = Vec::new();
        let mut at = fork;
        while let State::Fork(first, second) = &self.states[at] {
            branches.push(second.index());
            at = first.index();
            let inner = self.states.get(at).is_some_and(|state| matches!(state, State::Fork(..)))
                && !self.is_star[at]
                && self.repeats[at].is_empty()
                && self.meeting[at] == meeting
                && !self.is_optional(at, meeting);
            if !inner || self.is_optional(fork, meeting) {
                break;
            }
            self.visit(at)?;
        }
        if self.is_optional(fork, meeting) {
            return Some(Expression::Optional(Box::new(self.parse(at, meeting, depth + 1)?)));
        }
        branches.push(at);
        let items = branches.into_iter().rev().map(|branch| self.parse(branch, meeting, depth + 1));
        items.collect::<Option<_>>().map(Expression::Alternation)
    }

    /// Whether the second branch of a fork goes straight to the end. An alternative of nothing has
    /// a join of its own.
    fn is_optional(&self, fork: usize, meeting: usize) -> bool {
        matches!(self.states[fork], State::Fork(_, second) if second.index() == meeting)
    }

    fn visit(&mut self, at: usize) -> Option<()> {
        (!std::mem::replace(&mut self.visited[at], true)).then_some(())
    }
}

/// For each state the nearest one that all ways from it to the end go through; the number of states
/// stands for the end. By the method of Cooper, Harvey and Kennedy on the reversed links. `None`
/// where that takes too long, or the end cannot be reached from a state.
fn meetings(states: &[State]) -> Option<Vec<usize>> {
    let end = states.len();
    let mut before: Vec<Vec<usize>> = vec![Vec::new(); end + 1];
    for (index, state) in states.iter().enumerate() {
        if matches!(state, State::Accept | State::AcceptEmpty) {
            before[end].push(index);
        }
        for next in links(state).into_iter().flatten() {
            before[next.index()].push(index);
        }
    }
    // Postorder of the reversed links from the end.
    let mut number = vec![usize::MAX; end + 1];
    let mut order = Vec::with_capacity(end + 1);
    let mut started = vec![false; end + 1];
    let mut stack = vec![(end, 0)];
    started[end] = true;
    while let Some((at, position)) = stack.last_mut() {
        match before[*at].get(*position) {
            Some(next) => {
                *position += 1;
                if !std::mem::replace(&mut started[*next], true) {
                    stack.push((*next, 0));
                }
            }
            None => {
                number[*at] = order.len();
                order.push(*at);
                stack.pop();
            }
        }
    }
    if order.len() != end + 1 {
        return None;
    }
    let mut meeting = vec![usize::MAX; end + 1];
    meeting[end] = end;
    let mut steps = 0;
    let mut changed = true;
    while std::mem::take(&mut changed) {
        for at in order.iter().rev().skip(1) {
            let mut found = usize::MAX;
            let end_link = matches!(states[*at], State::Accept | State::AcceptEmpty).then_some(end);
            let after = links(&states[*at]).into_iter().flatten().map(StateId::index).chain(end_link);
            for next in after.filter(|next| meeting[*next] != usize::MAX) {
                let (mut a, mut b) = (next, if found == usize::MAX { next } else { found });
                while a != b {
                    steps += 1;
                    if number[a] < number[b] { a = meeting[a] } else { b = meeting[b] }
                }
                found = a;
                steps += 1;
            }
            if steps > MAX_STEPS * order.len() {
                return None;
            }
            if meeting[*at] != found {
                meeting[*at] = found;
                changed = true;
            }
        }
    }
    Some(meeting)
}
