//! In: languages. Out: [`classes`], which of them accept one string together; [`Language::of_strings`].
//! Never: which string it is.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{DEAD, Language, MAX_STATES, State, TooLarge, push_edge};

/// Most places that are looked at for the classes of some languages, and most steps. Chosen: about a
/// tenth of a second. Expressions that search anywhere in a text have more than anybody waits for, and
/// with a limit sixteen times as high no real profile was decided that is not with this one.
const MAX_PLACES: usize = 1 << 15;
const MAX_STEPS: usize = 1 << 22;

impl Language {
    /// These texts, each as a whole or, where it is said to be a beginning, with all that begins so.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn of_strings(list: &[(Vec<u8>, bool)]) -> Result<Self, TooLarge> {
        #[derive(Default)]
        struct Place {
            accepts: bool,
            all: bool,
            next: Vec<(u8, u32)>,
        }
        let mut order: Vec<&(Vec<u8>, bool)> = list.iter().collect();
        // Nothing is kept behind a beginning.
        order.sort_unstable_by_key(|(text, _)| text.len());
        let mut places = vec![Place::default()];
        for (text, beginning) in order {
            let mut at = 0u32;
            for byte in text {
                let count = u32::try_from(places.len()).map_err(|_| TooLarge)?;
                let Some(place) = places.get_mut(at as usize).filter(|place| !place.all) else { break };
                at = match place.next.iter().find(|(known, _)| known == byte) {
                    Some((_, next)) => *next,
                    None => {
                        place.next.push((*byte, count));
                        places.push(Place::default());
                        count
                    }
                };
            }
            if places.len() > MAX_STATES {
                return Err(TooLarge);
            }
            if let Some(place) = places.get_mut(at as usize) {
                place.accepts = true;
                place.all |= beginning;
            }
        }
        let states = (0u32..).zip(places).map(|(number, mut place)| {
            let mut edges = Vec::with_capacity(place.next.len() * 2 + 1);
            if place.all {
                edges.push((u8::MAX, number));
            } else {
                place.next.sort_unstable();
                for (byte, to) in &place.next {
                    if let Some(before) = byte.checked_sub(1)
                        && edges.last().is_none_or(|(last, _)| *last < before)
                    {
                        push_edge(&mut edges, before, DEAD);
                    }
                    push_edge(&mut edges, *byte, *to);
                }
                if edges.last().is_none_or(|(last, _)| *last < u8::MAX) {
                    push_edge(&mut edges, u8::MAX, DEAD);
                }
            }
            State { accepts: place.accepts, universal: false, edges: edges.into() }
        });
        Ok(Self { states: states.collect(), start: 0 }.trimmed())
    }
}

/// For each string, the languages that accept it, by their place in the list and ascending; each such
/// set once. `lower`: strings with capitals are left out. There may be sets in it that no string has;
/// none that one has is missing.
///
/// # Errors
/// [`TooLarge`].
pub fn classes(languages: &[&Language], lower: bool) -> Result<Vec<Vec<u32>>, TooLarge> {
    let mut search = Search { languages, members: 0, sets: Vec::new(), numbers: FxHashMap::default() };
    let empty = search.set(Vec::new());
    let start: Vec<(u32, u32)> = (0u32..).zip(languages.iter().map(|language| language.start)).collect();
    let start = search.settled(empty, start.into_iter());
    let mut found = FxHashSet::default();
    let mut seen = FxHashSet::from_iter([start.clone()]);
    let mut work = vec![start];
    let mut steps = 0;
    while let Some((accepted, alive)) = work.pop() {
        let accepting = |(number, state): &(u32, u32)| {
            search.state(*number, *state).is_some_and(|state| state.accepts).then_some(*number)
        };
        match alive.as_ref() {
            [] => {
                found.insert(accepted);
                continue;
            }
            // What is left accepts something here and does not accept everything.
            [(number, _)] => {
                found.insert(accepted);
                let with = search.with(accepted, &[*number]);
                found.insert(with);
                continue;
            }
            alive => {
                let accepting: Vec<u32> = alive.iter().filter_map(accepting).collect();
                let with = search.with(accepted, &accepting);
                found.insert(with);
            }
        }
        let mut ends = [false; 256];
        for (number, state) in alive.as_ref() {
            let Some(state) = search.state(*number, *state) else { continue };
            steps += state.edges.len();
            for (last, _) in &state.edges {
                ends[usize::from(*last)] = true;
            }
        }
        if lower {
            ends[usize::from(b'A' - 1)] = true;
            ends[usize::from(b'Z')] = true;
        }
        let mut first = true;
        let mut begin = 0;
        for byte in 0..=u8::MAX {
            if first {
                begin = byte;
            }
            first = ends[usize::from(byte)];
            if !first || (lower && begin.is_ascii_uppercase()) {
                continue;
            }
            steps += alive.len();
            let next = alive.iter().map(|(number, state)| {
                (*number, languages.get(*number as usize).map_or(DEAD, |language| language.step(*state, begin)))
            });
            let place = search.settled(accepted, next);
            if place.1.is_empty() {
                found.insert(place.0);
            } else if !seen.contains(&place) {
                seen.insert(place.clone());
                work.push(place);
            }
        }
        if seen.len() > MAX_PLACES || steps > MAX_STEPS || search.members > MAX_STEPS {
            return Err(TooLarge);
        }
    }
    Ok(found.into_iter().filter_map(|set| search.sets.get(set as usize).cloned()).collect())
}

/// The set of those that accept all that follows, and where the others are that accept some of it.
type Place = (u32, Box<[(u32, u32)]>);

struct Search<'l> {
    languages: &'l [&'l Language],
    /// Members of all sets so far.
    members: usize,
    sets: Vec<Vec<u32>>,
    numbers: FxHashMap<Vec<u32>, u32>,
}

impl Search<'_> {
    fn state(&self, number: u32, state: u32) -> Option<&State> {
        self.languages.get(number as usize)?.state(state)
    }

    fn set(&mut self, set: Vec<u32>) -> u32 {
        if let Some(number) = self.numbers.get(&set) {
            return *number;
        }
        let number = u32::try_from(self.sets.len()).unwrap_or(u32::MAX);
        self.members += set.len();
        self.sets.push(set.clone());
        self.numbers.insert(set, number);
        number
    }

    /// A set with some more in it.
    fn with(&mut self, set: u32, more: &[u32]) -> u32 {
        if more.is_empty() {
            return set;
        }
        let mut all = self.sets.get(set as usize).cloned().unwrap_or_default();
        all.extend(more);
        all.sort_unstable();
        all.dedup();
        self.set(all)
    }

    fn settled(&mut self, accepted: u32, states: impl Iterator<Item = (u32, u32)>) -> Place {
        let mut alive = Vec::new();
        let mut all = Vec::new();
        for (number, state) in states {
            match self.state(number, state) {
                None => {}
                Some(state) if state.universal => all.push(number),
                Some(_) => alive.push((number, state)),
            }
        }
        (self.with(accepted, &all), alive.into())
    }
}
