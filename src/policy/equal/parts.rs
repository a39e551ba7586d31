//! In: tests, by the numbers of what they ask. Out: [`Parts`]: the variables of which one must be true
//! for a test to be, and which of them can be true together. Never: graphs.
//!
//! Taken apart for that: a set with variables into what it holds without them and, for all that begins
//! with the same variables, what may come after those, a value of its own; a test of a filter that may
//! have several values into the cases of one value, each of which is there or not. What comes after a
//! variable and what else is known of the value are looked at as if they had nothing to do with one
//! another, and so is a test of too complex strings. So there may be more cases here than requests
//! have, never fewer.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::solve::Clock;
use super::values::{Atom, Item, Plain, Relations, concrete_addresses};
use crate::pattern::language::{Language, TooLarge, classes};
use crate::pattern::tree::Matcher;
use crate::policy::meaning::{Meanings, Role};
use crate::vocabulary::{FilterId, Release};

/// Most alternatives or values that one test is taken apart into.
const MAX_PARTS: usize = 1 << 10;

/// The loader that was asked last, and whether it was true.
pub(super) type Loaded = Option<(u32, bool)>;

/// A question where it is asked: one about a loaded value is another one behind another loader.
pub(super) type Ask = (u32, Loaded);

/// Something that is true or not.
struct Variable {
    /// Variables that are true where this is.
    wider: Vec<u32>,
    /// What a value must be for it to be true.
    source: Option<Source>,
}

struct Source {
    domain: Domain,
    plain: Rc<Plain>,
}

/// What holds between variables.
pub(super) enum Law {
    /// Where the first is true the second is.
    Implies(u32, u32),
    /// Of the first, those of at most one of the cases are true and no others.
    Cases(Vec<u32>, Vec<Vec<u32>>),
}

/// Values of a filter, or what comes after some texts and variables: the place of those among the
/// heads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Domain(FilterId, Option<u32>);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum VariableKey {
    /// Nothing is known of it but itself.
    Free(u32, Loaded),
    /// A test of the one value; what it says of values without variables, or with those of a head. One
    /// that is no list of strings stands by itself, by its place among the alternatives.
    Value(u32, Option<(u32, Option<u32>)>),
    /// A value of this class is there.
    Class(FilterId, Loaded, u32),
    /// The place among the alternatives of the filter.
    Alternative(FilterId, Loaded, u32),
}

/// By question, the classes that pass it.
type Classes = HashMap<u32, Vec<u32>>;

/// Variables, and of each case those that are true.
type VariableCases = (Vec<u32>, Rc<Vec<Vec<u32>>>);

pub(super) struct Parts<'w> {
    meanings: &'w Meanings,
    pub relations: Relations,
    parts: FxHashMap<Ask, Rc<[u32]>>,
    variables: Vec<Variable>,
    numbers: FxHashMap<VariableKey, u32>,
    /// Questions of each filter.
    asked: HashMap<FilterId, Vec<u32>>,
    alternatives: HashMap<FilterId, Vec<Atom>>,
    /// Texts and variables that something begins with.
    heads: Vec<Vec<Item>>,
    multiple: HashMap<FilterId, Option<Rc<Classes>>>,
    /// Filters that are asked for values of one kind only.
    sound: HashMap<FilterId, bool>,
    /// Of each domain, variables with their cases: those that are true.
    cases: HashMap<Domain, Vec<VariableCases>>,
    clock: Clock,
}

impl<'w> Parts<'w> {
    pub fn new(meanings: &'w Meanings, release: &'static Release, clock: Clock) -> Self {
        let mut relations = Relations::new(release, clock.clone());
        for sample in &meanings.samples {
            relations.add(sample.test.clone());
        }
        let mut asked: HashMap<FilterId, Vec<u32>> = HashMap::new();
        for (number, sample) in (0u32..).zip(&meanings.samples) {
            asked.entry(sample.test.filter).or_default().push(number);
        }
        Self {
            meanings,
            relations,
            parts: FxHashMap::default(),
            variables: Vec::new(),
            numbers: FxHashMap::default(),
            asked,
            alternatives: HashMap::new(),
            heads: Vec::new(),
            multiple: HashMap::new(),
            sound: HashMap::new(),
            cases: HashMap::new(),
            clock,
        }
    }

    /// The variable of this key; `source`: what a value must be for it to be true.
    fn variable(&mut self, key: VariableKey, source: Option<Source>) -> Option<u32> {
        if let Some(number) = self.numbers.get(&key) {
            return Some(*number);
        }
        let number = u32::try_from(self.variables.len()).ok()?;
        self.variables.push(Variable { wider: Vec::new(), source });
        self.numbers.insert(key, number);
        if let VariableKey::Alternative(filter, loaded, place) = key {
            let list = self.alternatives.get(&filter)?;
            let atom = list.get(place as usize)?;
            for (other, place) in list.iter().zip(0u32..) {
                let other_key = VariableKey::Alternative(filter, loaded, place);
                let Some(known) = self.numbers.get(&other_key).copied().filter(|known| *known != number) else {
                    continue;
                };
                for (wide, narrow, is) in [(number, known, atom.covers(other)), (known, number, other.covers(atom))] {
                    if is {
                        self.variables.get_mut(narrow as usize)?.wider.push(wide);
                    }
                }
            }
        }
        Some(number)
    }

    /// Where one test of a filter is of a number and another one of a text nothing is sure.
    fn is_sound(&mut self, filter: FilterId) -> bool {
        if let Some(known) = self.sound.get(&filter) {
            return *known;
        }
        let questions = self.asked.get(&filter).cloned().unwrap_or_default();
        let mut kinds = questions.iter().filter_map(|question| match self.relations.plain(*question).ok()?.as_ref() {
            Plain::Opaque => None,
            plain => Some(std::mem::discriminant(plain)),
        });
        let first = kinds.next();
        let sound = kinds.all(|kind| Some(kind) == first);
        self.sound.insert(filter, sound);
        sound
    }

    /// The variables of which one must be true for a test to be. Nothing where there are too many.
    pub fn of(&mut self, (question, loaded): Ask) -> Option<Rc<[u32]>> {
        if let Some(parts) = self.parts.get(&(question, loaded)) {
            return Some(parts.clone());
        }
        let parts: Rc<[u32]> = match self.taken_apart(question, loaded)? {
            Some(parts) => parts.into(),
            None => [self.variable(VariableKey::Free(question, loaded), None)?].into(),
        };
        self.parts.insert((question, loaded), parts.clone());
        Some(parts)
    }

    /// The parts of a question; nothing inside where it is one by itself.
    fn taken_apart(&mut self, question: u32, loaded: Loaded) -> Option<Option<Vec<u32>>> {
        if self.clock.is_late() {
            return None;
        }
        let sample = self.meanings.samples.get(question as usize)?;
        let (filter, role) = (sample.test.filter, sample.role);
        let Ok(plain) = self.relations.plain(question) else { return Some(None) };
        if matches!(plain.as_ref(), Plain::Opaque) || role == Role::Loader || !self.is_sound(filter) {
            return Some(None);
        }
        let atoms: &[Atom] = match plain.as_ref() {
            Plain::Strings(_, atoms) => atoms,
            _ => &[],
        };
        if atoms.len() > MAX_PARTS {
            return Some(None);
        }
        let mut out = Vec::new();
        let single = self.relations.release().filter(filter).is_some_and(|filter| filter.single_valued);
        if role == Role::Plain && single {
            let sources = match self.sources(&plain) {
                Ok(sources) => sources,
                Err(TooLarge) => return Some(None),
            };
            for (head, source) in sources {
                match source {
                    Ok(plain) => {
                        let source = Source { domain: Domain(filter, head.map(|(head, _)| head)), plain };
                        out.push(self.variable(VariableKey::Value(question, head), Some(source))?);
                    }
                    Err(atom) => out.push(self.alternative(filter, loaded, atom)?),
                }
            }
        } else {
            let Some(classes) = self.classes_of(filter) else { return Some(None) };
            let classes = classes.get(&question).map_or(&[][..], Vec::as_slice);
            if classes.len() > MAX_PARTS {
                return Some(None);
            }
            for class in classes {
                out.push(self.variable(VariableKey::Class(filter, loaded, *class), None)?);
            }
            for atom in atoms {
                out.push(self.alternative(filter, loaded, atom)?);
            }
        }
        Some(Some(out))
    }

    fn alternative(&mut self, filter: FilterId, loaded: Loaded, atom: &Atom) -> Option<u32> {
        let list = self.alternatives.entry(filter).or_default();
        let place = match list.iter().position(|known| known == atom) {
            Some(place) => place,
            None => {
                list.push(atom.clone());
                list.len() - 1
            }
        };
        self.variable(VariableKey::Alternative(filter, loaded, u32::try_from(place).ok()?), None)
    }

    /// The parts of a test of one value: of which head they are, if they have variables, and what may
    /// come after it; or an alternative that has no such form.
    #[allow(clippy::type_complexity, reason = "used in one place")]
    fn sources<'p>(
        &mut self,
        plain: &'p Rc<Plain>,
    ) -> Result<Vec<(Option<(u32, Option<u32>)>, Result<Rc<Plain>, &'p Atom>)>, TooLarge> {
        let Plain::Strings(language, atoms) = plain.as_ref() else { return Ok(vec![(None, Ok(plain.clone()))]) };
        let mut out = Vec::new();
        if !language.is_empty() {
            out.push((None, Ok(plain.clone())));
        }
        // By head, texts that may come after it, in the order in which they come.
        let mut lists: Vec<(u32, Vec<(Vec<u8>, bool)>)> = Vec::new();
        for (atom, place) in atoms.iter().zip(0u32..) {
            let Some((head, rest)) = split(atom) else {
                out.push((None, Err(atom)));
                continue;
            };
            let head = match self.heads.iter().position(|known| known == head) {
                Some(place) => place,
                None => {
                    self.heads.push(head.to_vec());
                    self.heads.len() - 1
                }
            };
            let head = u32::try_from(head).map_err(|_| TooLarge)?;
            match text_of(rest) {
                Some(text) => match lists.iter_mut().find(|(known, _)| *known == head) {
                    Some((_, list)) => list.push(text),
                    None => lists.push((head, vec![text])),
                },
                None => {
                    let language = Language::of_tree(&Atom::Sequence(rest.to_vec()).tree())?;
                    out.push((Some((head, Some(place))), Ok(Rc::new(Plain::Strings(Rc::new(language), Vec::new())))));
                }
            }
        }
        for (head, list) in lists {
            let language = Language::of_strings(&list)?;
            out.push((Some((head, None)), Ok(Rc::new(Plain::Strings(Rc::new(language), Vec::new())))));
        }
        Ok(out)
    }

    /// The classes of the values of a filter that may have several.
    fn classes_of(&mut self, filter: FilterId) -> Option<Rc<Classes>> {
        if let Some(known) = self.multiple.get(&filter) {
            return known.clone();
        }
        let questions = self.asked.get(&filter).cloned().unwrap_or_default();
        let mut sources = Vec::with_capacity(questions.len());
        for question in questions {
            if let Ok(plain) = self.relations.plain(question) {
                sources.push((question, plain));
            }
        }
        let found = self.sets(filter, &sources).ok().map(|sets| {
            let mut classes = Classes::new();
            for (set, number) in sets.iter().filter(|set| !set.is_empty()).zip(0u32..) {
                for question in set {
                    classes.entry(*question).or_default().push(number);
                }
            }
            Rc::new(classes)
        });
        self.multiple.insert(filter, found.clone());
        found
    }

    /// Which of some tests of a filter one value passes, for each value.
    fn sets(&self, filter: FilterId, tests: &[(u32, Rc<Plain>)]) -> Result<Vec<Vec<u32>>, TooLarge> {
        let mut numbers: HashMap<u16, Vec<u32>> = HashMap::new();
        let mut texts: Vec<(u32, Rc<Language>)> = Vec::new();
        let mut addresses = Vec::new();
        for (question, plain) in tests {
            match plain.as_ref() {
                Plain::Numbers(list) => list.iter().for_each(|n| numbers.entry(*n).or_default().push(*question)),
                Plain::Strings(language, _) => texts.push((*question, language.clone())),
                Plain::Address(address) => addresses.push((*question, *address)),
                Plain::Opaque => {}
            }
        }
        let mut out: Vec<Vec<u32>> = numbers.into_values().collect();
        if !texts.is_empty() {
            let languages: Vec<&Language> = texts.iter().map(|(_, language)| language.as_ref()).collect();
            let question = |place: &u32| texts.get(*place as usize).map(|(question, _)| *question);
            let found = classes(&languages, self.relations.is_folded(filter))?;
            out.extend(found.iter().map(|set| set.iter().filter_map(question).collect()));
        }
        if !addresses.is_empty() {
            let all = concrete_addresses(addresses.iter().map(|(_, address)| *address));
            out.extend(all.iter().map(|address| {
                let covers = |(question, wanted): &(_, crate::policy::rules::Address)| {
                    wanted.covers(address).then_some(*question)
                };
                addresses.iter().filter_map(covers).collect()
            }));
        }
        out.iter_mut().for_each(|set| set.sort_unstable());
        out.sort_unstable();
        out.dedup();
        Ok(out)
    }

    /// What holds between these variables; sets of strings that are too complex are not looked at.
    pub fn laws(&mut self, variables: &[u32]) -> Option<Vec<Law>> {
        let mut out = Vec::new();
        // One value at a time: of a filter, of all contrary filters together, after a head.
        let mut groups: BTreeMap<Option<Domain>, Vec<u32>> = BTreeMap::new();
        for number in variables {
            let variable = self.variables.get(*number as usize)?;
            out.extend(variable.wider.iter().map(|wide| Law::Implies(*number, *wide)));
            if let Some(Source { domain, .. }) = variable.source {
                let contrary = domain.1.is_none() && self.relations.release().filter(domain.0)?.contrary;
                groups.entry((!contrary).then_some(domain)).or_default().push(*number);
            }
        }
        for variables in groups.into_values() {
            if self.clock.is_late() {
                return None;
            }
            if let Some(cases) = self.cases_of(&variables) {
                out.push(Law::Cases(variables, cases));
            }
        }
        Some(out)
    }

    /// The cases of one value that some variables ask for: those that are true in each. Sorted; that
    /// there is no value is none of them.
    fn cases_of(&mut self, variables: &[u32]) -> Option<Vec<Vec<u32>>> {
        let mut by_domain: BTreeMap<Domain, Vec<u32>> = BTreeMap::new();
        for variable in variables {
            let domain = self.variables.get(*variable as usize)?.source.as_ref()?.domain;
            by_domain.entry(domain).or_default().push(*variable);
        }
        let mut out = Vec::new();
        for (domain, mut list) in by_domain {
            list.sort_unstable();
            let known = self.cases.get(&domain).and_then(|known| {
                known.iter().find(|(known, _)| list.iter().all(|variable| known.binary_search(variable).is_ok()))
            });
            let sets = match known {
                Some((_, sets)) => sets.clone(),
                None => {
                    let plain = |variable: &u32| {
                        Some((*variable, self.variables.get(*variable as usize)?.source.as_ref()?.plain.clone()))
                    };
                    let tests: Vec<_> = list.iter().filter_map(plain).collect();
                    let sets = Rc::new(self.sets(domain.0, &tests).ok()?);
                    self.cases.entry(domain).or_default().push((list.clone(), sets.clone()));
                    sets
                }
            };
            let wanted = |one: &u32| list.binary_search(one).is_ok();
            out.extend(sets.iter().map(|set| set.iter().copied().filter(wanted).collect::<Vec<_>>()));
        }
        out.retain(|case| !case.is_empty());
        out.sort_unstable();
        out.dedup();
        Some(out)
    }
}

/// What stands before the end of the last variable, and what comes after it: nothing where the place at
/// which that ends depends on more than what the variables hold.
fn split(atom: &Atom) -> Option<(&[Item], &[Item])> {
    let Atom::Sequence(items) = atom else { return None };
    let last = items.iter().rposition(|item| matches!(item, Item::Other(Matcher::Variable(_))))?;
    let (head, rest) = items.split_at_checked(last + 1)?;
    let fixed = |item: &Item| matches!(item, Item::Byte(_) | Item::Other(Matcher::Variable(_)));
    head.iter().all(fixed).then_some((head, rest))
}

/// Items as a text, and whether it is a beginning.
fn text_of(items: &[Item]) -> Option<(Vec<u8>, bool)> {
    let (items, beginning) = match items {
        [before @ .., Item::Other(Matcher::End)] => (before, false),
        all => (all, true),
    };
    let byte = |item: &Item| match item {
        Item::Byte(byte) => Some(*byte),
        Item::Other(_) => None,
    };
    Some((items.iter().map(byte).collect::<Option<_>>()?, beginning))
}
