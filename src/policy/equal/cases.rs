//! In: nodes by the numbers of what they say. Out: [`Cases::same`], whether two of them are sure to
//! decide all requests alike. Never: how they differ; that is `walk`'s.
//!
//! One filter is looked at after the other, the one that is asked most first. Its values are sorted into
//! cases by the tests that they pass; in each case both graphs are left without its tests, and mostly
//! become one graph, so that the order of tests, strings that are joined or split and ways that are
//! threaded past decided tests leave no trace. What is not the same yet is looked at by the next filter.
//! The two are the same if every case ends in equal terminals.
//!
//! Taken apart for that: a set with variables into what it holds without them and, for all that begins
//! with the same variables, what may come after those, a value of its own; a test of a filter that may have several values into the cases of one value, each
//! of which is there or not. What comes after a variable and what else is known of the value are looked
//! at as if they had nothing to do with one another, and so is a test of too complex strings. So there may be more cases here than requests have,
//! never fewer, and all that is found the same is.

use std::collections::HashMap;
use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::values::{Atom, Item, Plain, Relations, concrete_addresses};
use crate::pattern::language::{Language, TooLarge, classes};
use crate::pattern::tree::Matcher;
use crate::policy::meaning::{Carried, Meaning, Meanings, Role};
use crate::vocabulary::FilterId;

/// Most nodes that are looked at for one pair, and for all pairs of a comparison. Chosen: about a
/// second, and a few.
const MAX_LOOKED_AT: usize = 1 << 25;
const MAX_LOOKED_AT_IN_ALL: usize = 1 << 27;

/// Most nodes that are kept.
const MAX_NODES: usize = 1 << 22;

/// Most alternatives or values that one test is taken apart into.
const MAX_PARTS: usize = 1 << 10;

/// Deepest message filters inside one another. Compiled ones have one level.
const MAX_FILTERS: usize = 4;

/// What a loader left, where it matters.
type Loaded = Option<(u32, bool)>;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Node {
    /// By the number of what it says.
    End(u32),
    Test {
        variable: u32,
        matched: u32,
        unmatched: u32,
    },
}

/// A node, and which blocks are asked below it: a bit for each remainder of their numbers.
struct Kept {
    node: Node,
    blocks: u64,
}

/// Something that is true or not.
struct Variable {
    block: u32,
    /// Variables that are true where this is, and those that are false where it is not.
    wider: Vec<u32>,
    narrower: Vec<u32>,
    /// What a value must be for it to be true.
    source: Option<Source>,
}

struct Source {
    domain: Domain,
    plain: Rc<Plain>,
}

/// Values of a filter, or what comes after some texts and variables: the place of those among the
/// heads.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Domain(FilterId, Option<u32>);

enum Block {
    /// One variable by itself.
    Alone,
    /// Tests of filters that have one value at a time between them.
    Values,
}

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

/// The variables of which one must be true for a question to be.
type Parts = Rc<[u32]>;

/// By question, the classes that pass it.
type Classes = HashMap<u32, Vec<u32>>;

/// Variables, and of each case those that are true.
type VariableCases = (Vec<u32>, Rc<Vec<Vec<u32>>>);

pub(super) struct Cases<'w> {
    meanings: &'w Meanings,
    pub relations: Relations,
    nodes: Vec<Kept>,
    numbers: FxHashMap<Node, u32>,
    imported: FxHashMap<(u32, Loaded), u32>,
    parts: FxHashMap<(u32, Loaded), Parts>,
    variables: Vec<Variable>,
    variable_numbers: FxHashMap<VariableKey, u32>,
    blocks: Vec<Block>,
    /// By filter; the contrary ones share one.
    block_numbers: FxHashMap<Option<Domain>, u32>,
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
    proven: FxHashSet<(u32, u32)>,
    restriction: Restriction,
    left: usize,
    depth: usize,
}

/// What is answered, and what nodes become by it.
#[derive(Default)]
struct Restriction {
    round: u32,
    block: Option<u32>,
    /// By variable, the round in which it was answered, and how.
    answers: Vec<(u32, bool)>,
    /// By node, the round in which it was looked at, and what it became.
    became: Vec<(u32, u32)>,
}

impl<'w> Cases<'w> {
    pub fn new(meanings: &'w Meanings, relations: Relations) -> Self {
        let mut asked: HashMap<FilterId, Vec<u32>> = HashMap::new();
        for (number, sample) in (0u32..).zip(&meanings.samples) {
            asked.entry(sample.test.filter).or_default().push(number);
        }
        Self {
            meanings,
            relations,
            nodes: Vec::new(),
            numbers: FxHashMap::default(),
            imported: FxHashMap::default(),
            parts: FxHashMap::default(),
            variables: Vec::new(),
            variable_numbers: FxHashMap::default(),
            blocks: Vec::new(),
            block_numbers: FxHashMap::default(),
            asked,
            alternatives: HashMap::new(),
            heads: Vec::new(),
            multiple: HashMap::new(),
            sound: HashMap::new(),
            cases: HashMap::new(),
            proven: FxHashSet::default(),
            restriction: Restriction::default(),
            left: MAX_LOOKED_AT_IN_ALL,
            depth: 0,
        }
    }

    /// Whether it is sure that two nodes decide alike; no answer otherwise.
    pub fn same(&mut self, a: u32, b: u32) -> bool {
        if a == b {
            return true;
        }
        if self.depth > MAX_FILTERS {
            return false;
        }
        self.depth += 1;
        let granted = self.left.min(MAX_LOOKED_AT);
        let mut left = granted;
        let same = self.all_cases(a, b, &mut left).is_some();
        self.left = self.left.saturating_sub(granted - left);
        self.depth -= 1;
        same
    }

    fn all_cases(&mut self, a: u32, b: u32, left: &mut usize) -> Option<()> {
        let start = (self.import(a, left)?, self.import(b, left)?);
        let mut pairs: FxHashSet<(u32, u32)> = FxHashSet::default();
        let mut work = vec![start];
        while let Some(pair) = work.pop() {
            if pair.0 == pair.1 || self.proven.contains(&pair) || !pairs.insert(pair) {
                continue;
            }
            let kept = |number: u32| self.nodes.get(number as usize).map(|kept| kept.node);
            if let (Node::End(a), Node::End(b)) = (kept(pair.0)?, kept(pair.1)?) {
                if !self.ends_are_same(a, b) {
                    return None;
                }
                continue;
            }
            let (block, variables) = self.most_asked(pair, left)?;
            match self.blocks.get(block as usize)? {
                Block::Alone => {
                    let variable = *variables.first()?;
                    for holds in [true, false] {
                        self.begin(None);
                        self.answer(variable, holds);
                        work.push((self.restricted(pair.0, left)?, self.restricted(pair.1, left)?));
                    }
                }
                Block::Values => {
                    let mut cases: FxHashSet<(u32, u32)> = FxHashSet::default();
                    for case in self.cases_of(&variables)? {
                        self.begin(Some(block));
                        for variable in case {
                            self.answer(variable, true);
                        }
                        let next = (self.restricted(pair.0, left)?, self.restricted(pair.1, left)?);
                        if cases.insert(next) {
                            work.push(next);
                        }
                    }
                }
            }
        }
        // Only now: each rests on all that come after it.
        self.proven.extend(pairs);
        Some(())
    }

    /// The block with the most tests below a pair, and its variables in the order in which they are
    /// met.
    fn most_asked(&mut self, pair: (u32, u32), left: &mut usize) -> Option<(u32, Vec<u32>)> {
        self.begin(None);
        let round = self.restriction.round;
        // By block, how many tests it has and its variables; in the order in which they are met.
        let mut counts: Vec<(u32, usize, Vec<u32>)> = Vec::new();
        let mut places: FxHashMap<u32, usize> = FxHashMap::default();
        let mut work = vec![pair.1, pair.0];
        while let Some(number) = work.pop() {
            let place = self.restriction.became.get_mut(number as usize)?;
            if place.0 == round {
                continue;
            }
            *place = (round, number);
            *left = left.checked_sub(1)?;
            let Node::Test { variable, matched, unmatched } = self.nodes.get(number as usize)?.node else { continue };
            let block = self.variables.get(variable as usize)?.block;
            let count = counts.len();
            let at = *places.entry(block).or_insert(count);
            if at == count {
                counts.push((block, 0, Vec::new()));
            }
            let entry = counts.get_mut(at)?;
            entry.1 += 1;
            let answer = self.restriction.answers.get_mut(variable as usize)?;
            if answer.0 != round {
                *answer = (round, true);
                entry.2.push(variable);
            }
            work.extend([unmatched, matched]);
        }
        // Values first: they are cases one beside the other, what is true or not by itself multiplies.
        let values = |block: u32| matches!(self.blocks.get(block as usize), Some(Block::Values));
        let (block, _, variables) =
            counts.into_iter().rev().max_by_key(|(block, count, _)| (values(*block), *count))?;
        Some((block, variables))
    }

    /// Begins to answer: of a block with values all that is not answered is false.
    fn begin(&mut self, block: Option<u32>) {
        let restriction = &mut self.restriction;
        restriction.block = block;
        restriction.became.resize(self.nodes.len(), (0, 0));
        restriction.answers.resize(self.variables.len(), (0, false));
        restriction.round = match restriction.round.checked_add(1) {
            Some(round) => round,
            None => {
                restriction.became.iter_mut().for_each(|place| place.0 = 0);
                restriction.answers.iter_mut().for_each(|place| place.0 = 0);
                1
            }
        };
    }

    fn answer(&mut self, variable: u32, holds: bool) {
        let Some(entry) = self.variables.get(variable as usize) else { return };
        let also = if holds { &entry.wider } else { &entry.narrower };
        for variable in std::iter::once(&variable).chain(also) {
            if let Some(answer) = self.restriction.answers.get_mut(*variable as usize) {
                *answer = (self.restriction.round, holds);
            }
        }
    }

    fn answered(&self, variable: u32) -> Option<bool> {
        let restriction = &self.restriction;
        match restriction.answers.get(variable as usize) {
            Some((round, holds)) if *round == restriction.round => Some(*holds),
            _ => {
                let block = self.variables.get(variable as usize)?.block;
                (restriction.block == Some(block)).then_some(false)
            }
        }
    }

    /// The first node that is not decided by the answers.
    fn skipped(&self, mut number: u32) -> u32 {
        while let Some(Kept { node: Node::Test { variable, matched, unmatched }, .. }) = self.nodes.get(number as usize)
            && let Some(holds) = self.answered(*variable)
        {
            number = if holds { *matched } else { *unmatched };
        }
        number
    }

    fn became(&self, number: u32) -> Option<u32> {
        match self.restriction.became.get(number as usize) {
            Some((round, became)) if *round == self.restriction.round => Some(*became),
            _ => None,
        }
    }

    /// A node without what is answered. Nothing when too much was looked at.
    fn restricted(&mut self, root: u32, left: &mut usize) -> Option<u32> {
        let bits = self.restriction.block.map(block_bit);
        let root = self.skipped(root);
        let mut work = vec![root];
        while let Some(number) = work.last().copied() {
            if self.became(number).is_some() {
                work.pop();
                continue;
            }
            *left = left.checked_sub(1)?;
            let kept = self.nodes.get(number as usize)?;
            let became = match kept.node {
                _ if bits.is_some_and(|bits| kept.blocks & bits == 0) => number,
                Node::End(_) => number,
                Node::Test { variable, matched, unmatched } => {
                    let (matched, unmatched) = (self.skipped(matched), self.skipped(unmatched));
                    match (self.became(matched), self.became(unmatched)) {
                        (Some(matched), Some(unmatched)) => self.test(variable, matched, unmatched)?,
                        (a, b) => {
                            work.extend(b.is_none().then_some(unmatched));
                            work.extend(a.is_none().then_some(matched));
                            continue;
                        }
                    }
                }
            };
            work.pop();
            if let Some(place) = self.restriction.became.get_mut(number as usize) {
                *place = (self.restriction.round, became);
            }
        }
        self.became(root)
    }

    fn node(&mut self, node: Node, blocks: u64) -> Option<u32> {
        if let Some(number) = self.numbers.get(&node) {
            return Some(*number);
        }
        if self.nodes.len() >= MAX_NODES {
            return None;
        }
        let number = u32::try_from(self.nodes.len()).ok()?;
        self.nodes.push(Kept { node, blocks });
        self.numbers.insert(node, number);
        Some(number)
    }

    fn test(&mut self, variable: u32, matched: u32, unmatched: u32) -> Option<u32> {
        if matched == unmatched {
            return Some(matched);
        }
        let below = |number: u32| self.nodes.get(number as usize).map_or(0, |kept| kept.blocks);
        let blocks = block_bit(self.variables.get(variable as usize)?.block) | below(matched) | below(unmatched);
        self.node(Node::Test { variable, matched, unmatched }, blocks)
    }

    /// What a node says, with its tests taken apart.
    fn import(&mut self, root: u32, left: &mut usize) -> Option<u32> {
        let meanings = self.meanings;
        let key = |number: u32, loaded: Loaded| {
            let needs = meanings.said.get(number as usize).is_some_and(|said| said.needs_loaded);
            (number, loaded.filter(|_| needs))
        };
        let root = key(root, None);
        let mut work = vec![root];
        while let Some(place) = work.last().copied() {
            if self.imported.contains_key(&place) {
                work.pop();
                continue;
            }
            *left = left.checked_sub(1)?;
            let (number, loaded) = place;
            let new = match meanings.said.get(number as usize).map(|said| said.meaning.as_ref()) {
                // Of a damaged graph: a number that no other graph has.
                None | Some(Meaning::Terminal { .. }) => self.node(Node::End(number), 0)?,
                Some(Meaning::Test { question, matched, unmatched }) => {
                    let role = meanings.samples.get(*question as usize)?.role;
                    let after = |holds| if role == Role::Loader { Some((*question, holds)) } else { loaded };
                    let below = [key(*matched, after(true)), key(*unmatched, after(false))];
                    let known = below.map(|key| self.imported.get(&key).copied());
                    let [Some(matched), Some(unmatched)] = known else {
                        work.extend(below.iter().zip(known).filter(|(_, known)| known.is_none()).map(|(key, _)| *key));
                        continue;
                    };
                    let loaded = if role == Role::Loaded { loaded } else { None };
                    let mut node = unmatched;
                    for variable in self.parts_of(*question, loaded)?.iter().rev() {
                        node = self.test(*variable, matched, node)?;
                    }
                    node
                }
            };
            self.imported.insert(place, new);
            work.pop();
        }
        self.imported.get(&root).copied()
    }

    /// `source`: what a value must be for it.
    fn value(&mut self, key: VariableKey, source: Source) -> Option<u32> {
        if let Some(number) = self.variable_numbers.get(&key) {
            return Some(*number);
        }
        let Domain(filter, head) = source.domain;
        let contrary = head.is_none() && self.relations.release().filter(filter)?.contrary;
        let next = u32::try_from(self.blocks.len()).ok()?;
        let block = *self.block_numbers.entry((!contrary).then_some(source.domain)).or_insert(next);
        if block == next {
            self.blocks.push(Block::Values);
        }
        self.new_variable(key, block, Some(source))
    }

    fn new_variable(&mut self, key: VariableKey, block: u32, source: Option<Source>) -> Option<u32> {
        let number = u32::try_from(self.variables.len()).ok()?;
        self.variables.push(Variable { block, wider: Vec::new(), narrower: Vec::new(), source });
        self.variable_numbers.insert(key, number);
        Some(number)
    }

    fn variable(&mut self, key: VariableKey) -> Option<u32> {
        if let Some(number) = self.variable_numbers.get(&key) {
            return Some(*number);
        }
        let block = u32::try_from(self.blocks.len()).ok()?;
        self.blocks.push(Block::Alone);
        let number = self.new_variable(key, block, None)?;
        if let VariableKey::Alternative(filter, loaded, place) = key {
            let list = self.alternatives.get(&filter)?;
            let atom = list.get(place as usize)?;
            for (other, place) in list.iter().zip(0u32..) {
                let other_key = VariableKey::Alternative(filter, loaded, place);
                let Some(known) = self.variable_numbers.get(&other_key).copied().filter(|known| *known != number)
                else {
                    continue;
                };
                for (wide, narrow, is) in [(number, known, atom.covers(other)), (known, number, other.covers(atom))] {
                    if is {
                        self.variables.get_mut(wide as usize)?.narrower.push(narrow);
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

    fn parts_of(&mut self, question: u32, loaded: Loaded) -> Option<Parts> {
        if let Some(parts) = self.parts.get(&(question, loaded)) {
            return Some(parts.clone());
        }
        let parts: Parts = match self.taken_apart(question, loaded)? {
            Some(parts) => parts.into(),
            None => [self.variable(VariableKey::Free(question, loaded))?].into(),
        };
        self.parts.insert((question, loaded), parts.clone());
        Some(parts)
    }

    /// The parts of a question; nothing inside where it is one by itself.
    fn taken_apart(&mut self, question: u32, loaded: Loaded) -> Option<Option<Vec<u32>>> {
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
                        out.push(self.value(VariableKey::Value(question, head), source)?);
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
                out.push(self.variable(VariableKey::Class(filter, loaded, *class))?);
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
        self.variable(VariableKey::Alternative(filter, loaded, u32::try_from(place).ok()?))
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

    /// The cases of the values that tests of one block ask for: the variables that are true in each.
    fn cases_of(&mut self, variables: &[u32]) -> Option<Vec<Vec<u32>>> {
        let mut by_domain: HashMap<Domain, Vec<u32>> = HashMap::new();
        for variable in variables {
            let domain = self.variables.get(*variable as usize)?.source.as_ref()?.domain;
            by_domain.entry(domain).or_default().push(*variable);
        }
        // No value is a case as well, and one that passes none of the tests.
        let mut out = FxHashSet::from_iter([Vec::new()]);
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
            let wanted: FxHashSet<u32> = list.into_iter().collect();
            out.extend(sets.iter().map(|set| set.iter().copied().filter(|one| wanted.contains(one)).collect()));
        }
        Some(out.into_iter().collect())
    }

    /// Whether two terminals mean the same.
    fn ends_are_same(&mut self, a: u32, b: u32) -> bool {
        let meanings = self.meanings;
        let terminal = |number: u32| match meanings.said.get(number as usize).map(|said| said.meaning.as_ref()) {
            Some(Meaning::Terminal { flags, carried }) => Some((*flags, carried)),
            _ => None,
        };
        let (Some((a_flags, a)), Some((b_flags, b))) = (terminal(a), terminal(b)) else { return false };
        a_flags == b_flags
            && a.len() == b.len()
            && a.iter().zip(b).all(|((a_id, a), (b_id, b))| {
                a_id == b_id
                    && match (a, b) {
                        (Carried::Message(a, x), Carried::Message(b, y)) => a == b && self.same(*x, *y),
                        _ => a == b,
                    }
            })
    }
}

fn block_bit(block: u32) -> u64 {
    1 << (block % 64)
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
