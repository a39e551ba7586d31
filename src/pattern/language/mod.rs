//! In: a [`Tree`](super::tree::Tree), an [`Automaton`](super::regex::Automaton) or a text. Out:
//! [`Language`], the strings that it accepts as a deterministic automaton, and what holds between
//! several of them: equality, inclusion, disjointness, a shortest string that some accept and others
//! do not. Never: how it is written; two that accept the same strings are the same here.
//!
//! Sets of strings can need far more states than what describes them, so everything here has a bound
//! and an error where it is met ([`TooLarge`]); nobody may take that for an answer.

mod automaton;
mod classes;
mod tree;

use std::collections::HashMap;
use std::hash::Hash;

use rustc_hash::{FxHashMap, FxHashSet};

use super::tree::Ranges;
pub use classes::classes;

/// No state: from here on nothing is accepted.
const DEAD: u32 = u32::MAX;

/// Most states of one language. The longest program of 64 KB is a string of that many bytes.
const MAX_STATES: usize = 1 << 17;

/// Most steps to make one language, to make one canonical or to look for one string. Chosen: about a
/// tenth of a second.
const MAX_WORK: usize = 1 << 22;

/// The answer would take too many states or steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sets of strings are too complex to be compared")]
pub struct TooLarge;

/// A state: what is accepted from here on.
#[derive(Clone, Debug)]
struct State {
    /// The empty rest is.
    accepts: bool,
    /// Every rest is.
    universal: bool,
    /// Where each byte leads: ranges in ascending order, each by its last byte; the last one ends at
    /// 255, and neighbours lead to different states.
    edges: Box<[(u8, u32)]>,
}

/// A set of strings. States that accept nothing are not kept.
#[derive(Clone, Debug)]
pub struct Language {
    states: Vec<State>,
    start: u32,
}

/// The form that equal languages have in common: the least states, in the order of a walk.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Canonical(Vec<(bool, Vec<(u8, u32)>)>);

/// What a language is made of: states by any key.
trait Source {
    type Key: Clone + Eq + Hash;
    fn start(&mut self) -> Option<Self::Key>;
    /// Whether the empty rest is accepted.
    fn accepts(&mut self, key: &Self::Key) -> bool;
    /// Where a byte leads, if anything is accepted there at all.
    fn next(&mut self, key: &Self::Key, byte: u8) -> Option<Self::Key>;
    /// Marks each byte that may lead elsewhere than the one before it.
    fn borders(&mut self, key: &Self::Key, borders: &mut Borders);
    /// Steps so far.
    fn work(&self) -> usize;
}

/// Bytes at which another range begins.
struct Borders([bool; 257]);

impl Borders {
    fn new() -> Self {
        let mut marks = [false; 257];
        marks[0] = true;
        Self(marks)
    }

    fn range(&mut self, low: u8, high: u8) {
        self.0[usize::from(low)] = true;
        self.0[usize::from(high) + 1] = true;
    }

    fn byte(&mut self, byte: u8) {
        self.range(byte, byte);
    }

    /// Ranges as [`contains`](super::tree::contains) reads them; borders too many do no harm.
    fn ranges(&mut self, ranges: &Ranges) {
        for (low, high) in ranges {
            self.range(*low, *low);
            self.range(*high, *high);
        }
    }

    /// The ranges, ascending, by first and last byte.
    fn list(&self) -> Vec<(u8, u8)> {
        let mut out = Vec::new();
        let mut first = 0;
        for byte in 0..=u8::MAX {
            if self.0[usize::from(byte) + 1] || byte == u8::MAX {
                out.push((first, byte));
                first = byte.wrapping_add(1);
            }
        }
        out
    }
}

fn determinise<S: Source>(source: &mut S) -> Result<Language, TooLarge> {
    let Some(start) = source.start() else { return Ok(Language { states: Vec::new(), start: DEAD }) };
    let mut numbers: HashMap<S::Key, u32> = HashMap::from([(start.clone(), 0)]);
    let mut keys = vec![start];
    let mut states: Vec<State> = Vec::new();
    while let Some(key) = keys.get(states.len()).cloned() {
        let mut borders = Borders::new();
        source.borders(&key, &mut borders);
        let mut edges: Vec<(u8, u32)> = Vec::new();
        for (first, last) in borders.list() {
            let to = match source.next(&key, first) {
                None => DEAD,
                Some(next) => match numbers.get(&next) {
                    Some(number) => *number,
                    None => {
                        let number = u32::try_from(keys.len()).map_err(|_| TooLarge)?;
                        numbers.insert(next.clone(), number);
                        keys.push(next);
                        number
                    }
                },
            };
            push_edge(&mut edges, last, to);
        }
        let accepts = source.accepts(&key);
        states.push(State { accepts, universal: false, edges: edges.into() });
        if keys.len() > MAX_STATES || source.work() > MAX_WORK {
            return Err(TooLarge);
        }
    }
    Ok(Language { states, start: 0 }.trimmed())
}

/// Adds a range that ends at `last`; joins it with the one before where both lead to one place.
fn push_edge(edges: &mut Vec<(u8, u32)>, last: u8, to: u32) {
    match edges.last_mut() {
        Some(before) if before.1 == to => before.0 = last,
        _ => edges.push((last, to)),
    }
}

/// The states from which one of `from` can be reached, going backwards over `edges`.
fn reaching(count: usize, edges: impl Iterator<Item = (usize, usize)>, from: impl Iterator<Item = usize>) -> Vec<bool> {
    let mut back: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (source, target) in edges {
        if let Some(list) = back.get_mut(target) {
            list.push(source);
        }
    }
    let mut seen = vec![false; count];
    let mut work: Vec<usize> = from.collect();
    while let Some(state) = work.pop() {
        if !std::mem::replace(&mut seen[state], true) {
            work.extend(&back[state]);
        }
    }
    seen
}

impl Language {
    /// No string.
    #[must_use]
    pub fn nothing() -> Self {
        Self { states: Vec::new(), start: DEAD }
    }

    /// One string.
    #[must_use]
    pub fn of_text(text: &[u8]) -> Self {
        let mut states: Vec<State> = Vec::with_capacity(text.len() + 1);
        for (byte, next) in text.iter().zip(1u32..) {
            let mut edges = Vec::new();
            if let Some(before) = byte.checked_sub(1) {
                edges.push((before, DEAD));
            }
            edges.push((*byte, next));
            if *byte < u8::MAX {
                edges.push((u8::MAX, DEAD));
            }
            states.push(State { accepts: false, universal: false, edges: edges.into() });
        }
        states.push(State { accepts: true, universal: false, edges: [(u8::MAX, DEAD)].into() });
        Self { states, start: 0 }
    }

    /// All strings without capitals: what the subject of a filter can be that is asked in lower case.
    #[must_use]
    pub fn without_capitals() -> Self {
        let edges = [(b'A' - 1, 0), (b'Z', DEAD), (u8::MAX, 0)];
        Self { states: vec![State { accepts: true, universal: false, edges: edges.into() }], start: 0 }
    }

    /// Without states that accept nothing, and with those marked that accept everything.
    fn trimmed(mut self) -> Self {
        let count = self.states.len();
        let edges = |states: &[State]| -> Vec<(usize, usize)> {
            let all = states.iter().enumerate();
            all.flat_map(|(from, state)| {
                state.edges.iter().filter(|(_, to)| *to != DEAD).map(move |(_, to)| (from, *to as usize))
            })
            .collect()
        };
        let accepting = |(index, state): (usize, &State)| state.accepts.then_some(index);
        let alive = reaching(
            count,
            edges(&self.states).into_iter(),
            self.states.iter().enumerate().filter_map(accepting).collect::<Vec<_>>().into_iter(),
        );
        let mut numbers = vec![DEAD; count];
        let mut next = 0;
        for (index, number) in numbers.iter_mut().enumerate() {
            if alive[index] {
                *number = next;
                next += 1;
            }
        }
        let number = |id: u32| numbers.get(id as usize).copied().unwrap_or(DEAD);
        let start = number(self.start);
        let mut index = 0;
        self.states.retain(|_| {
            index += 1;
            alive[index - 1]
        });
        for state in &mut self.states {
            let mut edges = Vec::with_capacity(state.edges.len());
            for (last, to) in &state.edges {
                push_edge(&mut edges, *last, number(*to));
            }
            state.edges = edges.into();
        }
        let failing = |(index, state): (usize, &State)| {
            (!state.accepts || state.edges.iter().any(|(_, to)| *to == DEAD)).then_some(index)
        };
        let failing: Vec<usize> = self.states.iter().enumerate().filter_map(failing).collect();
        let partial = reaching(self.states.len(), edges(&self.states).into_iter(), failing.into_iter());
        for (state, partial) in self.states.iter_mut().zip(partial) {
            state.universal = !partial;
        }
        Self { states: self.states, start }
    }

    /// How many states it has.
    #[must_use]
    pub fn size(&self) -> usize {
        self.states.len()
    }

    fn state(&self, id: u32) -> Option<&State> {
        self.states.get(id as usize)
    }

    /// Where a byte leads.
    fn step(&self, id: u32, byte: u8) -> u32 {
        let Some(state) = self.state(id) else { return DEAD };
        let at = state.edges.partition_point(|(last, _)| *last < byte);
        state.edges.get(at).map_or(DEAD, |(_, to)| *to)
    }

    /// Whether it accepts a string.
    #[must_use]
    pub fn accepts(&self, subject: &[u8]) -> bool {
        let end = subject.iter().fold(self.start, |state, byte| self.step(state, *byte));
        self.state(end).is_some_and(|state| state.accepts)
    }

    /// Whether it accepts no string at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == DEAD
    }

    /// Whether it accepts the same strings as another one.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn equals(&self, other: &Self) -> Result<bool, TooLarge> {
        Ok(self.is_within(other)? && other.is_within(self)?)
    }

    /// Whether the other one accepts all that this accepts.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn is_within(&self, other: &Self) -> Result<bool, TooLarge> {
        self.never_with(other, |mine, theirs| match theirs {
            // What is left here accepts something, as every state does.
            None => Some(true),
            Some(theirs) if theirs.universal => None,
            Some(theirs) => Some(mine.accepts && !theirs.accepts),
        })
    }

    /// Whether no string is accepted by both.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn is_apart_from(&self, other: &Self) -> Result<bool, TooLarge> {
        self.never_with(other, |mine, theirs| {
            let theirs = theirs?;
            Some((mine.accepts && theirs.accepts) || mine.universal || theirs.universal)
        })
    }

    /// Whether no string leads both languages to states of which `wrong` says so; where it says nothing
    /// what follows is of no interest. The other one may accept nothing any more.
    fn never_with(
        &self,
        other: &Self,
        wrong: impl Fn(&State, Option<&State>) -> Option<bool>,
    ) -> Result<bool, TooLarge> {
        let mut seen = FxHashSet::default();
        let mut work = vec![(self.start, other.start)];
        while let Some((mine, theirs)) = work.pop() {
            let Some(state) = self.state(mine) else { continue };
            if !seen.insert((mine, theirs)) {
                continue;
            }
            let with = other.state(theirs);
            match wrong(state, with) {
                None => continue,
                Some(true) => return Ok(false),
                Some(false) => {}
            }
            let dead = [(u8::MAX, DEAD)];
            let mut edges = with.map_or(dead.as_slice(), |state| &state.edges).iter();
            let mut current = edges.next();
            for (last, to) in &state.edges {
                while let Some((end, beside)) = current {
                    work.push((*to, *beside));
                    if end >= last {
                        break;
                    }
                    current = edges.next();
                }
                if current.is_some_and(|(end, _)| end == last) {
                    current = edges.next();
                }
            }
            if work.len() > MAX_WORK || seen.len() > MAX_STATES {
                return Err(TooLarge);
            }
        }
        Ok(true)
    }

    /// The form that all equal languages have.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn canonical(&self) -> Result<Canonical, TooLarge> {
        // States are told apart by what one more byte shows, until nothing more is (Moore).
        let mut classes: Vec<u32> = self.states.iter().map(|state| u32::from(state.accepts)).collect();
        let mut count = 0;
        let mut work = 0;
        let class = |classes: &[u32], to: u32| classes.get(to as usize).copied().unwrap_or(DEAD);
        let merged = |classes: &[u32], state: &State| {
            let mut edges: Vec<(u8, u32)> = Vec::with_capacity(state.edges.len());
            for (last, to) in &state.edges {
                push_edge(&mut edges, *last, class(classes, *to));
            }
            edges
        };
        loop {
            let mut known: HashMap<(u32, Vec<(u8, u32)>), u32> = HashMap::new();
            let mut next = Vec::with_capacity(classes.len());
            for (state, class) in self.states.iter().zip(&classes) {
                work += state.edges.len();
                let number = u32::try_from(known.len()).map_err(|_| TooLarge)?;
                next.push(*known.entry((*class, merged(&classes, state))).or_insert(number));
            }
            classes = next;
            if known.len() == count {
                break;
            }
            count = known.len();
            if work > MAX_WORK {
                return Err(TooLarge);
            }
        }
        let mut first: Vec<Option<&State>> = vec![None; count];
        for (state, class) in self.states.iter().zip(&classes) {
            if let Some(first) = first.get_mut(*class as usize) {
                *first = first.or(Some(state));
            }
        }
        // In the order in which a walk over ascending bytes meets them.
        let mut places: HashMap<u32, u32> = HashMap::new();
        let mut order = Vec::new();
        if let Some(start) = classes.get(self.start as usize) {
            places.insert(*start, 0);
            order.push(*start);
        }
        let mut out = Vec::with_capacity(count);
        while let Some(state) = order.get(out.len()).and_then(|class| first.get(*class as usize).copied().flatten()) {
            let mut edges = merged(&classes, state);
            for (_, to) in &mut edges {
                if *to != DEAD {
                    let next = u32::try_from(order.len()).map_err(|_| TooLarge)?;
                    let place = *places.entry(*to).or_insert(next);
                    if place == next {
                        order.push(*to);
                    }
                    *to = place;
                }
            }
            out.push((state.accepts, edges));
        }
        Ok(Canonical(out))
    }
}

/// A shortest string that is in one language of each of `all`, and in none of `none`; nothing where
/// there is none. Of several such strings one that can be read.
///
/// # Errors
/// [`TooLarge`].
pub fn find(all: &[&[&Language]], none: &[&Language]) -> Result<Option<Vec<u8>>, TooLarge> {
    let languages: Vec<&Language> = all.iter().flat_map(|clause| clause.iter()).chain(none).copied().collect();
    let mut clauses = Vec::with_capacity(all.len() + 1);
    let mut end = 0u32;
    for clause in all {
        end += u32::try_from(clause.len()).map_err(|_| TooLarge)?;
        clauses.push(end);
    }
    let search = Search { languages, clauses };
    let start = search.languages.iter().map(|language| language.start);
    let Some(start) = search.settled((0u32..).zip(start)) else { return Ok(None) };
    let mut numbers: FxHashMap<Place, usize> = FxHashMap::from_iter([(start.clone(), 0)]);
    let mut places = vec![(start, 0usize, 0u8)];
    let mut work = 0;
    let mut at = 0;
    while let Some((place, ..)) = places.get(at) {
        let place = place.clone();
        if search.accepts(&place) {
            let mut text = Vec::new();
            let mut place = at;
            while place > 0 {
                let Some((_, before, byte)) = places.get(place) else { break };
                text.push(*byte);
                place = *before;
            }
            text.reverse();
            return Ok(Some(text));
        }
        let mut borders = Borders::new();
        for (language, state) in &place.0 {
            let Some(state) = search.languages.get(*language as usize).and_then(|language| language.state(*state))
            else {
                continue;
            };
            work += state.edges.len();
            for (last, _) in &state.edges {
                borders.0[usize::from(*last) + 1] = true;
            }
        }
        for (first, last) in borders.list() {
            work += place.0.len();
            let next = place.0.iter().map(|(number, state)| match search.languages.get(*number as usize) {
                Some(language) if *state != FULFILLED => (*number, language.step(*state, first)),
                _ => (*number, *state),
            });
            let Some(next) = search.settled(next) else { continue };
            let count = places.len();
            if *numbers.entry(next.clone()).or_insert(count) == count {
                places.push((next, at, readable(first, last)));
            }
        }
        if work > MAX_WORK || places.len() > MAX_STATES {
            return Err(TooLarge);
        }
        at += 1;
    }
    Ok(None)
}

/// A byte of a range, one that people can read where there is one.
fn readable(first: u8, last: u8) -> u8 {
    let fits = |byte: &&u8| (first..=last).contains(*byte);
    let plain = b"abcdefghijklmnopqrstuvwxyz0123456789/.-_".iter().find(fits);
    plain.copied().unwrap_or(if first <= b'!' && b'!' <= last { b'!' } else { first })
}

/// Where each language that still counts stands, ascending by its number.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place(Vec<(u32, u32)>);

struct Search<'l> {
    /// Those of all clauses one after the other, then those that must not accept.
    languages: Vec<&'l Language>,
    /// Where each clause ends.
    clauses: Vec<u32>,
}

impl Search<'_> {
    /// The clause of a language; nothing for those that must not accept.
    fn clause(&self, language: u32) -> Option<usize> {
        let clause = self.clauses.partition_point(|end| *end <= language);
        (clause < self.clauses.len()).then_some(clause)
    }

    /// Without what is decided whatever follows: nothing where no string can follow; a clause that
    /// every string fulfils is marked by a state that no language has.
    fn settled(&self, states: impl Iterator<Item = (u32, u32)>) -> Option<Place> {
        let mut out: Vec<(u32, u32)> = Vec::new();
        let mut alive = 0;
        let mut last = None;
        for (number, state) in states {
            let universal = state == FULFILLED
                || self
                    .languages
                    .get(number as usize)
                    .and_then(|language| language.state(state))
                    .is_some_and(|state| state.universal);
            match self.clause(number) {
                None if universal => return None,
                None if state != DEAD => out.push((number, state)),
                None => {}
                Some(clause) => {
                    if state == DEAD {
                        continue;
                    }
                    if last != Some(clause) {
                        alive += 1;
                        last = Some(clause);
                    } else if out.last().is_some_and(|(_, state)| *state == FULFILLED) {
                        continue;
                    }
                    if universal {
                        while out.last().is_some_and(|(before, _)| self.clause(*before) == Some(clause)) {
                            out.pop();
                        }
                        // The first number, so that equal places are equal.
                        let begin = clause.checked_sub(1).and_then(|before| self.clauses.get(before));
                        out.push((begin.copied().unwrap_or(0), FULFILLED));
                    } else {
                        out.push((number, state));
                    }
                }
            }
        }
        (alive == self.clauses.len()).then_some(Place(out))
    }

    fn accepts(&self, place: &Place) -> bool {
        let mut fulfilled = vec![false; self.clauses.len()];
        for (number, state) in &place.0 {
            let accepts = *state == FULFILLED
                || self
                    .languages
                    .get(*number as usize)
                    .and_then(|language| language.state(*state))
                    .is_some_and(|state| state.accepts);
            match self.clause(*number) {
                None if accepts => return false,
                None => {}
                Some(clause) => fulfilled[clause] |= accepts,
            }
        }
        fulfilled.iter().all(|fulfilled| *fulfilled)
    }
}

/// The state of a clause that every string fulfils.
const FULFILLED: u32 = u32::MAX - 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::regex::{Automaton, parse};
    use crate::pattern::tree::{Alternatives, Branch, Matcher, Saved, Tree};
    use proptest::prelude::*;

    fn matcher() -> impl Strategy<Value = Matcher> {
        let ranges = || {
            let range =
                prop_oneof![(b'a'..=b'c', b'a'..=b'c'), Just((b'/', b'/')), Just((b'c', b'a')), Just((b'b', b'a')),];
            proptest::collection::vec(range, 1..3)
        };
        prop_oneof![
            6 => "[abc/]{0,3}".prop_map(|text| Matcher::Text(text.into_bytes())),
            3 => Just(Matcher::End),
            1 => (0u16..2).prop_map(Matcher::Variable),
            2 => ranges().prop_map(Matcher::Class),
            2 => ranges().prop_map(Matcher::Repeat),
            1 => (b'a'..=b'c').prop_map(Matcher::SkipTo),
            1 => (b'a'..=b'c').prop_map(Matcher::Search),
        ]
    }

    /// Any tree, also one that no compiler makes.
    fn tree() -> impl Strategy<Value = Tree> {
        Just(Tree::Accept).boxed().prop_recursive(5, 24, 4, |inner| {
            let branch = (matcher(), inner.clone()).prop_map(|(matcher, then)| Branch::new(matcher, then));
            prop_oneof![
                4 => proptest::collection::vec(branch, 0..4).prop_map(Tree::Choice),
                1 => (proptest::collection::vec(inner.clone(), 1..3), prop::option::of(inner)).prop_map(|(tried, last)| {
                    Tree::Alternatives(Alternatives { tried, last: last.map(Box::new), saved: Saved::Kept })
                }),
            ]
        })
    }

    /// An expression of a few atoms, groups and repeats.
    fn expression() -> impl Strategy<Value = Automaton> {
        let atoms = prop_oneof![
            Just("a".to_owned()),
            Just("b".to_owned()),
            Just("/".to_owned()),
            Just(".".to_owned()),
            Just("[^/]".to_owned()),
            Just("[ab]".to_owned()),
            Just("^".to_owned()),
            Just("$".to_owned()),
        ];
        let text = atoms.prop_recursive(3, 10, 3, |inner| {
            prop_oneof![
                2 => proptest::collection::vec(inner.clone(), 1..4).prop_map(|list| list.concat()),
                1 => proptest::collection::vec(inner.clone(), 1..4).prop_map(|list| format!("({})", list.join("|"))),
                1 => (inner, prop_oneof![Just("*"), Just("+"), Just("?")])
                    .prop_map(|(inner, mark)| format!("({inner}){mark}")),
            ]
        });
        (any::<bool>(), text).prop_map(|(anchored, text)| {
            let text = if anchored { format!("^{text}") } else { text };
            Automaton::of(&[parse(text.as_bytes()).unwrap()]).unwrap()
        })
    }

    /// Every string of up to five of the bytes that matter.
    fn subjects() -> Vec<Vec<u8>> {
        let mut out = vec![Vec::new()];
        let mut at = 0;
        while out[at].len() < 5 {
            for byte in *b"abc/x" {
                out.push([out[at].as_slice(), &[byte]].concat());
            }
            at += 1;
        }
        out
    }

    /// What one of the two says of all short strings, compared with what the languages say.
    fn compared(a: &Language, b: &Language, sampled: &[(bool, bool)], list: &[Vec<u8>]) -> Result<(), TestCaseError> {
        let some = |wanted: fn(&(bool, bool)) -> bool| sampled.iter().any(wanted);
        let check = |found: Option<Vec<u8>>, sampled: bool, wanted: (bool, bool)| {
            match found {
                Some(text) => prop_assert_eq!((a.accepts(&text), b.accepts(&text)), wanted, "{:?}", text),
                None => prop_assert!(!sampled, "a string was sampled, none is found"),
            }
            Ok(())
        };
        check(find(&[&[a], &[b]], &[]).unwrap(), some(|(a, b)| *a && *b), (true, true))?;
        check(find(&[&[a]], &[b]).unwrap(), some(|(a, b)| *a && !*b), (true, false))?;
        check(find(&[&[b]], &[a]).unwrap(), some(|(a, b)| !*a && *b), (false, true))?;
        let either = find(&[&[a, b]], &[]).unwrap();
        prop_assert_eq!(either.is_none(), a.is_empty() && b.is_empty());
        if let Some(shortest) = either {
            prop_assert!(a.accepts(&shortest) || b.accepts(&shortest));
            let first = sampled.iter().zip(list).find(|((a, b), _)| *a || *b).map(|(_, text)| text.len());
            prop_assert!(first.is_none_or(|first| first == shortest.len()));
        }
        prop_assert_eq!(a.is_within(b).unwrap(), find(&[&[a]], &[b]).unwrap().is_none());
        prop_assert_eq!(b.is_within(a).unwrap(), find(&[&[b]], &[a]).unwrap().is_none());
        prop_assert_eq!(a.is_apart_from(b).unwrap(), find(&[&[a], &[b]], &[]).unwrap().is_none());
        // Each set of the two that a string shows is among the classes.
        let classes = classes(&[a, b], false).unwrap();
        for (in_a, in_b) in sampled {
            let set: Vec<u32> = in_a.then_some(0).into_iter().chain(in_b.then_some(1)).collect();
            prop_assert!(classes.contains(&set), "{:?} is not among {:?}", set, classes);
        }
        let same = a.equals(b).unwrap();
        prop_assert_eq!(same, a.canonical().unwrap() == b.canonical().unwrap());
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// A tree's language is what the tree matches, string by string.
        #[test]
        fn a_tree_and_its_language(a in tree(), b in tree()) {
            let list = subjects();
            let (x, y) = (Language::of_tree(&a).unwrap(), Language::of_tree(&b).unwrap());
            for text in &list {
                prop_assert_eq!(x.accepts(text), a.matches(text), "{:?}", text);
            }
            let sampled: Vec<_> = list.iter().map(|text| (a.matches(text), b.matches(text))).collect();
            compared(&x, &y, &sampled, &list)?;
        }

        /// An expression's language is what its automaton matches.
        #[test]
        fn an_automaton_and_its_language(a in expression(), b in tree()) {
            let list = subjects();
            let (x, y) = (Language::of_automaton(&a).unwrap(), Language::of_tree(&b).unwrap());
            for text in &list {
                prop_assert_eq!(x.accepts(text), a.matches(text), "{:?}", text);
            }
            let sampled: Vec<_> = list.iter().map(|text| (a.matches(text), b.matches(text))).collect();
            compared(&x, &y, &sampled, &list)?;
        }

        /// Whatever a variable holds, the tree matches nothing that is not possible.
        #[test]
        fn what_a_variable_may_hold(tree in tree(), value in "[ab/]{0,2}") {
            fn fill(tree: &Tree, value: &str) -> Tree {
                match tree {
                    Tree::Accept => Tree::Accept,
                    Tree::Choice(branches) => Tree::Choice(branches.iter().map(|branch| {
                        let matcher = match &branch.matcher {
                            Matcher::Variable(_) => Matcher::Text(value.as_bytes().to_vec()),
                            other => other.clone(),
                        };
                        Branch::new(matcher, fill(&branch.then, value))
                    }).collect()),
                    Tree::Alternatives(alternatives) => Tree::Alternatives(Alternatives {
                        tried: alternatives.tried.iter().map(|tree| fill(tree, value)).collect(),
                        last: alternatives.last.as_ref().map(|tree| Box::new(fill(tree, value))),
                        saved: alternatives.saved,
                    }),
                }
            }
            let possible = Language::possible(&tree).unwrap();
            let filled = fill(&tree, &value);
            for text in subjects() {
                prop_assert!(!filled.matches(&text) || possible.accepts(&text), "{:?}", text);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// A list of texts accepts what one of them is or begins.
        #[test]
        fn texts_in_a_list(list in proptest::collection::vec(("[abc/]{0,4}", any::<bool>()), 0..6)) {
            let list: Vec<(Vec<u8>, bool)> = list.into_iter().map(|(text, all)| (text.into_bytes(), all)).collect();
            let language = Language::of_strings(&list).unwrap();
            for subject in subjects() {
                let fits = |(text, all): &(Vec<u8>, bool)| if *all { subject.starts_with(text) } else { subject == *text };
                prop_assert_eq!(language.accepts(&subject), list.iter().any(fits), "{:?}", subject);
            }
        }
    }

    #[test]
    fn texts_and_what_they_are_found_by() {
        let text = Language::of_text(b"/a\xff\x00");
        assert!(text.accepts(b"/a\xff\x00") && !text.accepts(b"/a\xff") && !text.accepts(b"/a\xff\x00b"));
        assert_eq!(find(&[&[&text]], &[]).unwrap().as_deref(), Some(b"/a\xff\x00".as_slice()));
        let tree = Tree::one(Matcher::Text(b"/a\xff\x00".to_vec()), Tree::one(Matcher::End, Tree::Accept));
        assert!(Language::of_tree(&tree).unwrap().equals(&text).unwrap());
        assert!(Language::nothing().is_within(&text).unwrap() && !text.is_within(&Language::nothing()).unwrap());
        let lower = Language::without_capitals();
        assert!(text.is_within(&lower).unwrap() && Language::of_text(b"aB").is_apart_from(&lower).unwrap());
    }

    /// A state for each set of the last 20 bytes would be needed: an error, and soon.
    #[test]
    fn what_is_too_large_is_said() {
        let expression = parse(format!("a{}", ".".repeat(20)).as_bytes()).unwrap();
        let automaton = Automaton::of(&[expression, parse(b"b$").unwrap()]).unwrap();
        let ends = Automaton::of(&[parse(format!("a{}$", ".".repeat(20)).as_bytes()).unwrap()]).unwrap();
        assert!(Language::of_automaton(&automaton).is_err() || Language::of_automaton(&ends).is_err());
        assert!(Language::of_automaton(&ends).is_err());
    }
}
