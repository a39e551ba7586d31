//! In: an [`Automaton`]. Out: its language, as [`Automaton::matches`] reads it: an accept that is
//! reached accepts whatever follows. Never: expressions.

use super::{Borders, Language, Source, TooLarge, determinise};
use crate::pattern::regex::{Automaton, State, StateId};
use crate::pattern::tree::contains;

impl Language {
    /// What the regular expression matches.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn of_automaton(automaton: &Automaton) -> Result<Self, TooLarge> {
        determinise(&mut Subsets { automaton, seen: vec![0; automaton.states.len()], round: 0, work: 0 })
    }
}

struct Subsets<'a> {
    automaton: &'a Automaton,
    seen: Vec<u64>,
    round: u64,
    work: usize,
}

/// Where the ways are: states that wait for a byte or for the end, ascending. Nothing in it once one
/// has accepted.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Ways {
    Accepted,
    Waiting {
        /// No byte has come yet.
        first: bool,
        states: Vec<StateId>,
    },
}

impl Subsets<'_> {
    /// Follows the ways up to the next byte.
    fn closed(&mut self, mut work: Vec<StateId>, first: bool, end: bool) -> Option<Ways> {
        self.round += 1;
        let mut states = Vec::new();
        while let Some(id) = work.pop() {
            self.work += 1;
            let Some(state) = self.automaton.states.get(id.index()) else { continue };
            if std::mem::replace(&mut self.seen[id.index()], self.round) == self.round {
                continue;
            }
            match state {
                State::Accept | State::AcceptEmpty => return Some(Ways::Accepted),
                State::Fork(one, other) => work.extend([*one, *other]),
                State::Join(to) => work.push(*to),
                State::Start(to) if first => work.push(*to),
                State::Start(_) => {}
                State::End(to) if end => work.push(*to),
                State::End(_) | State::Byte(..) | State::Any(_) | State::Class(..) => states.push(id),
            }
        }
        states.sort_unstable();
        (!states.is_empty()).then_some(Ways::Waiting { first, states })
    }
}

impl Source for Subsets<'_> {
    type Key = Ways;

    fn start(&mut self) -> Option<Ways> {
        self.closed(vec![self.automaton.start], true, false)
    }

    fn accepts(&mut self, key: &Ways) -> bool {
        match key {
            Ways::Accepted => true,
            Ways::Waiting { first, states } => self.closed(states.clone(), *first, true) == Some(Ways::Accepted),
        }
    }

    fn next(&mut self, key: &Ways, byte: u8) -> Option<Ways> {
        let Ways::Waiting { states, .. } = key else { return Some(Ways::Accepted) };
        let mut targets = Vec::new();
        self.work += states.len();
        for id in states {
            match self.automaton.states.get(id.index()) {
                Some(State::Byte(wanted, to)) if *wanted == byte => targets.push(*to),
                Some(State::Any(to)) => targets.push(*to),
                Some(State::Class(ranges, to)) if contains(ranges, byte) => targets.push(*to),
                _ => {}
            }
        }
        self.closed(targets, false, false)
    }

    fn borders(&mut self, key: &Ways, borders: &mut Borders) {
        let Ways::Waiting { states, .. } = key else { return };
        for id in states {
            match self.automaton.states.get(id.index()) {
                Some(State::Byte(byte, _)) => borders.byte(*byte),
                Some(State::Class(ranges, _)) => borders.ranges(ranges),
                _ => {}
            }
        }
    }

    fn work(&self) -> usize {
        self.work
    }
}
