//! In: tests. Out: [`Relations`]: for which values of its filter each is true, as far as that is sure;
//! whether one test's truth decides another one; whether answers to several can be true together, and
//! values that show it. Never: graphs.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::solve::Clock;
use crate::pattern::language::{Language, TooLarge, find};
use crate::pattern::tree::{Alternatives, Branch, Matcher, Tree, contains};
use crate::policy::graph::{Argument, Test};
use crate::policy::rules::{Address, PROTOCOLS};
use crate::vocabulary::{FilterId, FilterKind, Release};

/// For which values a test is true.
pub(super) enum Values {
    /// These numbers, ascending.
    Numbers(Vec<u16>),
    Strings(Strings),
    /// Those that it covers.
    Address(Address),
    /// Not known; the test says nothing about others.
    Opaque,
}

/// For which values a test is true, without what its variables make possible.
pub(super) enum Plain {
    Numbers(Vec<u16>),
    /// These, and those of the alternatives with variables.
    Strings(Rc<Language>, Vec<Atom>),
    Address(Address),
    Opaque,
}

pub(super) struct Strings {
    /// True for these, whatever the variables hold.
    plain: Rc<Language>,
    /// True for none but these.
    possible: Rc<Language>,
    /// Alternatives with variables, and what each is possible for: each may be true or not.
    atoms: Vec<(Atom, Language)>,
}

/// An alternative with a variable in it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Atom {
    /// One thing after the other.
    Sequence(Vec<Item>),
    /// A tree in which branches with variables do not exclude one another.
    Whole(Tree),
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Item {
    Byte(u8),
    Other(Matcher),
}

impl Atom {
    /// Whether it is true wherever the other one is.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sequence(a), Self::Sequence(b)) => b.starts_with(a),
            _ => self == other,
        }
    }

    pub fn tree(&self) -> Tree {
        match self {
            Self::Whole(tree) => tree.clone(),
            Self::Sequence(items) => items.iter().rev().fold(Tree::Accept, |then, item| match item {
                Item::Byte(byte) => Tree::one(Matcher::Text(vec![*byte]), then),
                Item::Other(matcher) => Tree::one(matcher.clone(), then),
            }),
        }
    }
}

/// Most bytes and matchers of all alternatives of one tree; of more the tree is one alternative. Bounds
/// the depth of trees that are made of them as well.
const MAX_ITEMS: usize = 20_000;
const MAX_LENGTH: usize = 600;

/// Most states of all sets of strings of a comparison; what comes when they are used up is too complex.
/// Bounds its memory to some 200 MB (guessed). Chosen: 504,000 is the most that a test at hand has, a real profile
/// of iOS 34,000.
const MAX_STATES: usize = 1 << 21;

/// The alternatives of a tree that have variables; nothing where they cannot be told apart.
fn atoms(tree: &Tree) -> Option<Vec<Vec<Item>>> {
    let mut out = Vec::new();
    let mut items = 0;
    let mut work = vec![(tree, Vec::new(), false)];
    while let Some((tree, before, variable)) = work.pop() {
        items += before.len() + 1;
        if items > MAX_ITEMS || before.len() > MAX_LENGTH {
            return None;
        }
        match tree {
            Tree::Accept if variable => out.push(before),
            Tree::Accept => {}
            Tree::Alternatives(Alternatives { tried, last, .. }) => {
                work.extend(tried.iter().chain(last.as_deref()).map(|tree| (tree, before.clone(), variable)));
            }
            Tree::Choice(branches) if branches.len() < 2 || exclusive(branches) => {
                for branch in branches {
                    let mut items = before.clone();
                    match &branch.matcher {
                        Matcher::Text(text) => items.extend(text.iter().map(|byte| Item::Byte(*byte))),
                        other => items.push(Item::Other(other.clone())),
                    }
                    let variable = variable || matches!(branch.matcher, Matcher::Variable(_));
                    work.push((&branch.then, items, variable));
                }
            }
            // Which branch is taken depends on those before it.
            Tree::Choice(branches) => {
                if variable || branches.iter().any(asks_variables) {
                    return None;
                }
            }
        }
    }
    Some(out)
}

fn asks_variables(branch: &Branch) -> bool {
    matches!(branch.matcher, Matcher::Variable(_)) || branch.then.has_variables()
}

/// Whether at most one of the branches can be true.
fn exclusive(branches: &[Branch]) -> bool {
    let mut taken = [false; 256];
    let mut ended = false;
    branches.iter().all(|branch| match &branch.matcher {
        Matcher::Text(text) => {
            text.first().is_some_and(|first| !std::mem::replace(&mut taken[usize::from(*first)], true))
        }
        Matcher::Class(ranges) => {
            (0..=u8::MAX).all(|byte| !contains(ranges, byte) || !std::mem::replace(&mut taken[usize::from(byte)], true))
        }
        Matcher::End => !std::mem::replace(&mut ended, true),
        _ => false,
    })
}

/// The values of a test but for variables. The order of a request's values, and whether there is any,
/// is no part of it.
fn plain_of(release: &Release, test: &Test) -> Result<Plain, TooLarge> {
    let Some(filter) = release.filter(test.filter) else { return Ok(Plain::Opaque) };
    if release.is_prerequisite(filter.id) {
        return Ok(Plain::Opaque);
    }
    let strings = |language| Plain::Strings(Rc::new(language), Vec::new());
    Ok(match &test.argument {
        // What a bit field's number means is chosen (`verdict`).
        Argument::Number(_) if filter.kind == FilterKind::Bitfield => Plain::Opaque,
        Argument::Number(number) => Plain::Numbers(vec![*number]),
        Argument::Numbers(numbers) | Argument::Mask { numbers, .. } => {
            let mut numbers = numbers.clone();
            numbers.sort_unstable();
            numbers.dedup();
            Plain::Numbers(numbers)
        }
        Argument::Text(text) => strings(Language::of_text(text)),
        Argument::Pattern(tree) if tree.has_variables() => {
            match atoms(tree) {
                Some(list) => {
                    let list = list.into_iter().map(Atom::Sequence).collect();
                    Plain::Strings(Rc::new(Language::of_tree(tree)?), list)
                }
                // What it matches without variables it may fail to match with them: a branch that asks for
                // one and is true shuts out those behind it.
                None => Plain::Strings(Rc::new(Language::nothing()), vec![Atom::Whole(tree.as_ref().clone())]),
            }
        }
        Argument::Pattern(tree) => strings(match tree.strings() {
            Some(list) => Language::of_strings(&list)?,
            None => Language::of_tree(tree)?,
        }),
        Argument::Regex(automaton) => strings(Language::of_automaton(automaton)?),
        Argument::Address(address) => Plain::Address(*address),
        Argument::StateFlag(_) | Argument::ProfileFlag(_) => Plain::Opaque,
    })
}

/// The values of a test.
fn values_of(plain: &Plain, test: &Test) -> Result<Values, TooLarge> {
    Ok(match plain {
        Plain::Numbers(numbers) => Values::Numbers(numbers.clone()),
        Plain::Address(address) => Values::Address(*address),
        Plain::Opaque => Values::Opaque,
        Plain::Strings(plain, atoms) => {
            let possible = match &test.argument {
                Argument::Pattern(tree) if tree.has_variables() => Rc::new(Language::possible(tree)?),
                _ => plain.clone(),
            };
            let atoms = atoms.iter().map(|atom| {
                let possible = Language::possible(&atom.tree())?;
                Ok((atom.clone(), possible))
            });
            Values::Strings(Strings { plain: plain.clone(), possible, atoms: atoms.collect::<Result<_, _>>()? })
        }
    })
}

/// Concrete addresses, of which each set of tests that one of them can pass has one: all protocols, a
/// port that is asked for and one that is not. Protocols that leave something open as well: a request
/// may be of one.
pub(super) fn concrete_addresses(asked: impl Iterator<Item = Address>) -> Vec<Address> {
    let mut ports: Vec<u16> = asked.map(|address| address.port).collect();
    ports.sort_unstable();
    ports.dedup();
    let other = (1..=u16::MAX).rev().find(|port| ports.binary_search(port).is_err());
    ports.extend(other);
    let all = PROTOCOLS.iter().rev().flat_map(|(_, protocol)| {
        let protocol = *protocol;
        let ports = ports.iter().filter(|port| **port != 0);
        ports.flat_map(move |port| [false, true].map(|localhost| Address { protocol, localhost, port: *port }))
    });
    all.collect()
}

/// A value that a request may have.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Number(u16),
    Text(Vec<u8>),
    Address(Address),
}

/// What holds between tests. Tests are known by number.
pub(super) struct Relations {
    release: &'static Release,
    tests: Vec<Test>,
    plain: Vec<Option<Result<Rc<Plain>, TooLarge>>>,
    values: Vec<Option<Result<Rc<Values>, TooLarge>>>,
    apart: FxHashMap<(u32, u32), bool>,
    within: FxHashMap<(u32, u32), bool>,
    lower: Language,
    /// States that sets of strings may still have.
    states_left: usize,
    clock: Clock,
}

impl Relations {
    pub fn new(release: &'static Release, clock: Clock) -> Self {
        Self {
            states_left: MAX_STATES,
            clock,
            release,
            tests: Vec::new(),
            plain: Vec::new(),
            values: Vec::new(),
            apart: FxHashMap::default(),
            within: FxHashMap::default(),
            lower: Language::without_capitals(),
        }
    }

    /// Adds a test; its number.
    pub fn add(&mut self, test: Test) -> u32 {
        self.tests.push(test);
        self.plain.push(None);
        self.values.push(None);
        u32::try_from(self.tests.len() - 1).unwrap_or(u32::MAX)
    }

    pub fn plain(&mut self, number: u32) -> Result<Rc<Plain>, TooLarge> {
        let index = number as usize;
        let (Some(test), Some(place)) = (self.tests.get(index), self.plain.get_mut(index)) else {
            return Ok(Rc::new(Plain::Opaque));
        };
        if let Some(known) = place {
            return known.clone();
        }
        let found = if self.clock.is_late() { Err(TooLarge) } else { plain_of(self.release, test) };
        let states = found.as_ref().map_or(0, |plain| match plain {
            Plain::Strings(language, _) => language.size(),
            _ => 0,
        });
        let left = self.states_left.checked_sub(states);
        self.states_left = left.unwrap_or(self.states_left);
        place.insert(found.and_then(|plain| left.map(|_| Rc::new(plain)).ok_or(TooLarge))).clone()
    }

    pub fn values(&mut self, number: u32) -> Result<Rc<Values>, TooLarge> {
        let index = number as usize;
        if let Some(Some(known)) = self.values.get(index) {
            return known.clone();
        }
        let plain = self.plain(number);
        let (Some(test), Some(place)) = (self.tests.get(index), self.values.get_mut(index)) else {
            return Ok(Rc::new(Values::Opaque));
        };
        let late = self.clock.is_late();
        let found = plain.and_then(|plain| if late { Err(TooLarge) } else { values_of(&plain, test) });
        let states = found.as_ref().map_or(0, |values| match values {
            Values::Strings(strings) => {
                let own = if Rc::ptr_eq(&strings.plain, &strings.possible) { 0 } else { strings.possible.size() };
                own + strings.atoms.iter().map(|(_, possible)| possible.size()).sum::<usize>()
            }
            _ => 0,
        });
        let left = self.states_left.checked_sub(states);
        self.states_left = left.unwrap_or(self.states_left);
        place.insert(found.and_then(|values| left.map(|_| Rc::new(values)).ok_or(TooLarge))).clone()
    }

    /// Whether a filter is asked in lower case.
    pub fn is_folded(&self, filter: FilterId) -> bool {
        self.release.folds_paths() && self.release.filter(filter).is_some_and(|filter| filter.folds)
    }

    /// The strings that can be a value of the filter of this test, where they are not all.
    fn subjects(&self, number: u32) -> Option<&Language> {
        let test = self.tests.get(number as usize)?;
        self.is_folded(test.filter).then_some(&self.lower)
    }

    /// Whether it is sure that no value passes both. Both are of one filter.
    pub fn apart(&mut self, a: u32, b: u32) -> bool {
        let key = (a.min(b), a.max(b));
        if let Some(known) = self.apart.get(&key) {
            return *known;
        }
        let apart = self.values(a).and_then(|x| {
            let y = self.values(b)?;
            Ok(match (x.as_ref(), y.as_ref()) {
                (Values::Numbers(x), Values::Numbers(y)) => !x.iter().any(|number| y.binary_search(number).is_ok()),
                (Values::Strings(x), Values::Strings(y)) => x.possible.is_apart_from(&y.possible)?,
                _ => false,
            })
        });
        let apart = apart.unwrap_or(false);
        self.apart.insert(key, apart);
        apart
    }

    /// Whether it is sure that each value that passes `a` passes `b`. Both are of one filter.
    pub fn within(&mut self, a: u32, b: u32) -> bool {
        if let Some(known) = self.within.get(&(a, b)) {
            return *known;
        }
        let within = self.values(a).and_then(|x| {
            let y = self.values(b)?;
            Ok(match (x.as_ref(), y.as_ref()) {
                (Values::Numbers(x), Values::Numbers(y)) => x.iter().all(|number| y.binary_search(number).is_ok()),
                (Values::Address(x), Values::Address(y)) => y.covers(x),
                (Values::Strings(x), Values::Strings(y)) => {
                    let inside = |language: &Language| language.is_within(&y.plain);
                    let mut within = inside(&x.plain)?;
                    for (atom, possible) in &x.atoms {
                        within = within && (y.atoms.iter().any(|(other, _)| other.covers(atom)) || inside(possible)?);
                    }
                    within
                }
                _ => false,
            })
        });
        let within = within.unwrap_or(false);
        self.within.insert((a, b), within);
        within
    }

    /// Values by which the tests of one filter can have these answers: nothing where there are none.
    /// `single`: one value for all of them.
    pub fn together(&mut self, yes: &[u32], no: &[u32], single: bool) -> Result<Option<Vec<Value>>, TooLarge> {
        if single {
            return self.one_value(yes, no).map(|value| value.map(|value| value.into_iter().collect()));
        }
        let mut out = Vec::new();
        for one in yes {
            match self.one_value(&[*one], no)? {
                None => return Ok(None),
                Some(value) => out.extend(value),
            }
        }
        Ok(Some(out))
    }

    /// A value that passes all of `yes` and none of `no`; none inside where any will do.
    fn one_value(&mut self, yes: &[u32], no: &[u32]) -> Result<Option<Option<Value>>, TooLarge> {
        let Some(first) = yes.first() else { return Ok(Some(None)) };
        let folds = self.subjects(*first).is_some();
        let list = |this: &mut Self, numbers: &[u32]| {
            numbers.iter().map(|number| this.values(*number)).collect::<Result<Vec<_>, _>>()
        };
        let no: Vec<u32> =
            no.iter().copied().filter(|number| !yes.iter().any(|yes| self.irrelevant(*yes, *number))).collect();
        let (yes, no) = (list(self, yes)?, list(self, &no)?);
        let kind = |values: &Values| std::mem::discriminant(values);
        let Some(wanted) = yes.iter().find(|values| !matches!(values.as_ref(), Values::Opaque)).map(|v| kind(v)) else {
            return Ok(Some(None));
        };
        // Where a filter is asked for a number and for a text nothing is sure.
        if yes.iter().any(|values| kind(values) != wanted && !matches!(values.as_ref(), Values::Opaque)) {
            return Ok(Some(None));
        }
        let numbers = |list: &[Rc<Values>]| -> Vec<Rc<Values>> {
            list.iter().filter(|values| matches!(values.as_ref(), Values::Numbers(_))).cloned().collect()
        };
        let (yes_numbers, no_numbers) = (numbers(&yes), numbers(&no));
        if let Some(Values::Numbers(first)) = yes_numbers.first().map(AsRef::as_ref) {
            let has = |values: &Rc<Values>, number: &u16| matches!(values.as_ref(), Values::Numbers(set) if set.binary_search(number).is_ok());
            let fits = |number: &&u16| {
                yes_numbers.iter().all(|set| has(set, number)) && !no_numbers.iter().any(|set| has(set, number))
            };
            return Ok(first.iter().find(fits).map(|number| Some(Value::Number(*number))));
        }
        let addresses = |list: &[Rc<Values>]| -> Vec<Address> {
            let address = |values: &Rc<Values>| match values.as_ref() {
                Values::Address(address) => Some(*address),
                _ => None,
            };
            list.iter().filter_map(address).collect()
        };
        let (yes_addresses, no_addresses) = (addresses(&yes), addresses(&no));
        if !yes_addresses.is_empty() {
            let fits = |address: &Address| {
                yes_addresses.iter().all(|wanted| wanted.covers(address))
                    && !no_addresses.iter().any(|wanted| wanted.covers(address))
            };
            let all = concrete_addresses(yes_addresses.iter().chain(&no_addresses).copied());
            return Ok(all.into_iter().find(fits).map(|address| Some(Value::Address(address))));
        }
        fn strings(values: &Rc<Values>) -> Option<&Strings> {
            match values.as_ref() {
                Values::Strings(strings) => Some(strings),
                _ => None,
            }
        }
        let never: Vec<&Strings> = no.iter().filter_map(strings).collect();
        let blocked = |atom: &Atom| never.iter().any(|strings| strings.atoms.iter().any(|(no, _)| no.covers(atom)));
        let mut clauses: Vec<Vec<&Language>> = Vec::new();
        for strings in yes.iter().filter_map(strings) {
            if strings.atoms.iter().any(|(atom, _)| blocked(atom)) {
                let free = strings.atoms.iter().filter(|(atom, _)| !blocked(atom)).map(|(_, possible)| possible);
                clauses.push(std::iter::once(strings.plain.as_ref()).chain(free).collect());
            } else {
                clauses.push(vec![strings.possible.as_ref()]);
            }
        }
        if folds {
            clauses.push(vec![&self.lower]);
        }
        let all: Vec<&[&Language]> = clauses.iter().map(Vec::as_slice).collect();
        let none: Vec<&Language> = never.iter().map(|strings| strings.plain.as_ref()).collect();
        Ok(find(&all, &none)?.map(|text| Some(Value::Text(text))))
    }

    /// Whether a no to `no` says nothing where `yes` is true: for large sets of strings that is told
    /// faster than it is found among many others.
    fn irrelevant(&mut self, yes: u32, no: u32) -> bool {
        let atoms = self
            .values(no)
            .is_ok_and(|values| matches!(values.as_ref(), Values::Strings(strings) if !strings.atoms.is_empty()));
        !atoms && self.apart(yes, no)
    }

    pub fn release(&self) -> &'static Release {
        self.release
    }
}
