//! In: two graphs with the numbers of what their nodes say. Out: whether two nodes decide alike, with
//! answers that show it if not (`witness`). Never: more steps than it was given.

mod witness;

use std::collections::HashMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::Witness;
use super::values::{Relations, Value};
use crate::pattern::language::TooLarge;
use crate::policy::graph::{Graph, NodeId};
use crate::policy::meaning::{Carried, Meaning, Meanings, Role};
use crate::policy::request::Request;
use crate::policy::verdict::explain;
use crate::vocabulary::{FilterId, OperationId};

/// Steps for one comparison of two nodes: so many for each node of both graphs, and some more.
/// Chosen: real profiles take less than one for each.
const STEPS_A_NODE: usize = 64;
const STEPS_MORE: usize = 20_000;

/// All operations of two graphs together get the steps of this many.
const OPERATIONS: usize = 16;

/// Most sets of answers that one pair is remembered with.
const MAX_REMEMBERED: usize = 16;

/// Most sets of answers that rule out one answer.
const MAX_RULED_OUT: usize = 64;

/// Most true tests of one filter that a test is compared with.
const MAX_COMPARED: usize = 64;

/// Deepest message filters inside one another. Compiled ones have one level.
const MAX_FILTERS: usize = 4;

#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Same,
    /// With the numbers of what the terminals say.
    Different(Box<Witness>, [u32; 2]),
    NotDecided,
}

/// The loader that was asked last, and whether it was true.
type Loaded = Option<(u32, bool)>;

/// A question where it is asked: one about a loaded value is another one behind another loader.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct AskId(u32);

struct Ask {
    question: u32,
    /// What it shares its values with.
    group: usize,
    opaque: bool,
}

/// Tests that are about the same values.
struct Group {
    /// One value at a time.
    single: bool,
    contrary: bool,
    loaded: Loaded,
    filter: FilterId,
}

/// Two nodes with what was loaded on the way to each, where that matters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Pair {
    nodes: [u32; 2],
    loaded: [Loaded; 2],
}

impl Pair {
    /// Both sides are in one place.
    fn is_one(&self) -> bool {
        self.nodes[0] == self.nodes[1] && self.loaded[0] == self.loaded[1]
    }
}

/// Answers that something rests on.
type Rests = Vec<(AskId, bool)>;

/// What is known on the way.
#[derive(Default)]
struct Known {
    answers: Vec<Option<bool>>,
    trail: Rests,
    /// By group, questions that are true and those that are not.
    yes: Vec<Vec<AskId>>,
    no: Vec<Vec<AskId>>,
    /// Of contrary filters, those that are true.
    contrary: Vec<AskId>,
}

struct Frame {
    pair: Pair,
    ask: AskId,
    /// What the way from the pair asked for to this one rests on.
    before: Rests,
    rests: Rests,
    /// The second branch is being looked at.
    second: bool,
    undecided: bool,
}

enum Step {
    Enter(Pair),
    /// The pair is the same as far as was decided, and what that rests on.
    Done(Rests, bool),
    /// These answers, of those known, cannot be true together: nothing that rests on them matters.
    Impossible(Rests),
}

enum Found {
    Done(Rests, bool),
    Impossible(Rests),
    Branch(Pair, AskId, Rests),
    Different(Box<Witness>, [u32; 2]),
}

enum Leaf {
    Same,
    Different(Option<(OperationId, Box<Witness>)>),
    NotDecided,
}

/// Whether the answers can be true together.
enum Together {
    Yes(Vec<(usize, Vec<Value>)>),
    No(Rests),
    NotDecided,
}

pub(super) struct Walker<'w> {
    meanings: &'w Meanings,
    relations: Relations,
    graphs: [&'w Graph; 2],
    numbers: [&'w HashMap<NodeId, u32>; 2],
    /// A node of each graph for each number.
    places: [HashMap<u32, NodeId>; 2],
    asks: Vec<Ask>,
    ask_numbers: FxHashMap<(u32, Loaded), AskId>,
    groups: Vec<Group>,
    group_numbers: FxHashMap<(FilterId, Loaded), usize>,
    known: Known,
    /// Whether different ends can be reached from a pair, if answers do not decide one another.
    open: FxHashMap<Pair, bool>,
    remembered: FxHashMap<Pair, Vec<Rests>>,
    /// How often each pair was met undecided, and when to look again whether it is cut off.
    met: FxHashMap<Pair, (usize, usize)>,
    /// By question, answers that it cannot have, with the other answers that rule them out.
    ruled_out: FxHashMap<AskId, Vec<(bool, Rests)>>,
    outcomes: HashMap<[u32; 2], Outcome>,
    steps_each: usize,
    steps_left: usize,
    depth: usize,
}

impl<'w> Walker<'w> {
    pub fn new(
        meanings: &'w Meanings,
        relations: Relations,
        graphs: [&'w Graph; 2],
        numbers: &'w [HashMap<NodeId, u32>; 2],
    ) -> Self {
        let steps_each = (numbers[0].len() + numbers[1].len()) * STEPS_A_NODE + STEPS_MORE;
        let places = |numbers: &HashMap<NodeId, u32>| {
            let mut places: HashMap<u32, NodeId> = HashMap::new();
            for (id, number) in numbers {
                let place = places.entry(*number).or_insert(*id);
                *place = (*place).min(*id);
            }
            places
        };
        Self {
            meanings,
            relations,
            graphs,
            numbers: [&numbers[0], &numbers[1]],
            places: [places(&numbers[0]), places(&numbers[1])],
            asks: Vec::new(),
            ask_numbers: FxHashMap::default(),
            groups: Vec::new(),
            group_numbers: FxHashMap::default(),
            known: Known::default(),
            open: FxHashMap::default(),
            remembered: FxHashMap::default(),
            met: FxHashMap::default(),
            ruled_out: FxHashMap::default(),
            outcomes: HashMap::new(),
            steps_each,
            steps_left: steps_each * OPERATIONS,
            depth: 0,
        }
    }

    /// Whether two nodes decide an operation alike.
    pub fn operation(&mut self, operation: OperationId, a: u32, b: u32) -> Outcome {
        let mut outcome = self.nodes(a, b);
        if let Outcome::Different(witness, ends) = &mut outcome
            && let Some(request) = &mut witness.request
        {
            request.operation = operation;
            if !self.ends_at(request, *ends) {
                witness.request = None;
            }
        }
        outcome
    }

    /// Whether the graphs, asked this, come to these terminals.
    fn ends_at(&self, request: &Request, ends: [u32; 2]) -> bool {
        (0..2).all(|side| {
            let node = explain(self.graphs[side], request).map(|verdict| verdict.node);
            node.is_ok_and(|node| self.numbers[side].get(&node) == Some(&ends[side]))
        })
    }

    fn nodes(&mut self, a: u32, b: u32) -> Outcome {
        if a == b {
            return Outcome::Same;
        }
        if let Some(outcome) = self.outcomes.get(&[a, b]) {
            return outcome.clone();
        }
        if self.depth > MAX_FILTERS {
            return Outcome::NotDecided;
        }
        self.depth += 1;
        let outside = std::mem::take(&mut self.known);
        let outcome = self.walk(a, b);
        self.known = outside;
        self.depth -= 1;
        self.outcomes.insert([a, b], outcome.clone());
        outcome
    }

    fn walk(&mut self, a: u32, b: u32) -> Outcome {
        let mut steps = self.steps_each.min(self.steps_left);
        let granted = steps;
        let mut stack: Vec<Frame> = Vec::new();
        let start = self.pair([a, b], [None, None]);
        // Half of the steps at most: what is not found to be the same is looked at in full.
        let mut some = steps / 2;
        self.open(start, &mut some);
        steps -= steps / 2 - some;
        let mut step = Step::Enter(start);
        let outcome = loop {
            match step {
                Step::Enter(pair) => match self.look(pair, &mut steps) {
                    None => break Outcome::NotDecided,
                    Some(Found::Different(witness, ends)) => break Outcome::Different(witness, ends),
                    Some(Found::Done(rests, undecided)) => step = Step::Done(rests, undecided),
                    Some(Found::Impossible(rests)) => step = Step::Impossible(rests),
                    Some(Found::Branch(pair, ask, before)) => {
                        let next = self.next(pair, ask, true);
                        self.learn(ask, true);
                        stack.push(Frame { pair, ask, before, rests: Rests::new(), second: false, undecided: false });
                        step = Step::Enter(next);
                    }
                },
                Step::Impossible(rests) => match stack.last_mut() {
                    // Back to the last of those answers: what was left to look at behind it is as
                    // impossible.
                    Some(frame) if !rests.contains(&(frame.ask, !frame.second)) => {
                        self.forget();
                        stack.pop();
                        step = Step::Impossible(rests);
                    }
                    _ => step = Step::Done(rests, false),
                },
                Step::Done(rests, undecided) => {
                    let Some(frame) = stack.last() else {
                        break if undecided { Outcome::NotDecided } else { Outcome::Same };
                    };
                    let ask = frame.ask;
                    let (second, mut undecided) = (frame.second, undecided);
                    let rests = self.without(ask, rests, &mut undecided);
                    let Some(frame) = stack.last_mut() else { break Outcome::NotDecided };
                    frame.undecided |= undecided;
                    frame.rests.extend(rests);
                    if second {
                        self.forget();
                        let Some(mut frame) = stack.pop() else { break Outcome::NotDecided };
                        frame.rests.sort_unstable();
                        frame.rests.dedup();
                        if !frame.undecided {
                            self.remember(frame.pair, &frame.rests);
                        }
                        frame.rests.extend(frame.before);
                        step = Step::Done(frame.rests, frame.undecided);
                    } else {
                        frame.second = true;
                        let pair = frame.pair;
                        self.forget();
                        self.learn(ask, false);
                        step = Step::Enter(self.next(pair, ask, false));
                    }
                }
            }
        };
        self.steps_left = self.steps_left.saturating_sub(granted - steps);
        outcome
    }

    /// A pair without what was loaded where nobody asks for it.
    fn pair(&self, nodes: [u32; 2], mut loaded: [Loaded; 2]) -> Pair {
        for (loaded, node) in loaded.iter_mut().zip(nodes) {
            if !self.meanings.said.get(node as usize).is_some_and(|said| said.needs_loaded) {
                *loaded = None;
            }
        }
        Pair { nodes, loaded }
    }

    fn test(&self, node: u32) -> Option<(u32, u32, u32)> {
        match self.meanings.said.get(node as usize)?.meaning.as_ref() {
            Meaning::Test { question, matched, unmatched } => Some((*question, *matched, *unmatched)),
            Meaning::Terminal { .. } => None,
        }
    }

    fn role(&self, question: u32) -> Role {
        self.meanings.samples.get(question as usize).map_or(Role::Plain, |sample| sample.role)
    }

    /// What one side of a pair asks.
    fn asks(&mut self, pair: &Pair, side: usize) -> Option<AskId> {
        let (question, ..) = self.test(pair.nodes[side])?;
        let loaded = match self.role(question) {
            Role::Loaded => pair.loaded[side],
            _ => None,
        };
        if let Some(ask) = self.ask_numbers.get(&(question, loaded)) {
            return Some(*ask);
        }
        let sample = self.meanings.samples.get(question as usize)?;
        let filter = sample.test.filter;
        let entry = self.graphs[0].release.filter(filter);
        let count = self.groups.len();
        let group = *self.group_numbers.entry((filter, loaded)).or_insert(count);
        if group == count {
            self.groups.push(Group {
                single: sample.role == Role::Plain && entry.is_some_and(|entry| entry.single_valued),
                contrary: entry.is_some_and(|entry| entry.contrary),
                loaded,
                filter,
            });
        }
        let ask = AskId(u32::try_from(self.asks.len()).unwrap_or(u32::MAX));
        self.asks.push(Ask { question, group, opaque: sample.role == Role::Loader });
        self.ask_numbers.insert((question, loaded), ask);
        Some(ask)
    }

    /// What a pair is asked: by the side that has more before it, so that what both lead to is reached
    /// at the same time. Nothing where both ways end.
    fn asked(&mut self, pair: &Pair) -> Option<AskId> {
        let height = |node: u32| self.meanings.said.get(node as usize).map_or(0, |said| said.height);
        let first = usize::from(height(pair.nodes[0]) < height(pair.nodes[1]));
        self.asks(pair, first).or_else(|| self.asks(pair, 1 - first))
    }

    /// Looks for pairs from which ways lead to different ends if every question may be answered anew
    /// each time it is asked; all others are the same whatever is known. One look at each pair.
    fn open(&mut self, start: Pair, steps: &mut usize) {
        let mut work = vec![(start, None)];
        while let Some((pair, asked)) = work.pop() {
            if let Some(ask) = asked {
                let mut is_open = |holds| {
                    let next = self.next(pair, ask, holds);
                    !next.is_one() && self.open.get(&next) != Some(&false)
                };
                let open = is_open(true) || is_open(false);
                self.open.insert(pair, open);
                continue;
            }
            if pair.is_one() || self.open.contains_key(&pair) {
                continue;
            }
            match steps.checked_sub(1) {
                Some(left) => *steps = left,
                None => return,
            }
            let Some(ask) = self.asked(&pair) else {
                let same = matches!(self.terminals(pair.nodes[0], pair.nodes[1]), Leaf::Same);
                self.open.insert(pair, !same);
                continue;
            };
            work.push((pair, Some(ask)));
            for holds in [true, false] {
                work.push((self.next(pair, ask, holds), None));
            }
        }
    }

    /// Where an answer leads: each side that asks the question goes on.
    fn next(&mut self, pair: Pair, ask: AskId, holds: bool) -> Pair {
        let mut next = pair;
        for side in 0..2 {
            if self.asks(&pair, side) == Some(ask) {
                self.advance(&mut next, side, holds);
            }
        }
        self.pair(next.nodes, next.loaded)
    }

    fn advance(&self, pair: &mut Pair, side: usize, holds: bool) {
        let Some((question, matched, unmatched)) = self.test(pair.nodes[side]) else { return };
        if self.role(question) == Role::Loader {
            pair.loaded[side] = Some((question, holds));
        }
        pair.nodes[side] = if holds { matched } else { unmatched };
    }

    fn learn(&mut self, ask: AskId, holds: bool) {
        let index = ask.0 as usize;
        let known = &mut self.known;
        if known.answers.len() <= index {
            known.answers.resize(self.asks.len().max(index + 1), None);
        }
        if known.yes.len() < self.groups.len() {
            known.yes.resize(self.groups.len(), Vec::new());
            known.no.resize(self.groups.len(), Vec::new());
        }
        if let Some(answer) = known.answers.get_mut(index) {
            *answer = Some(holds);
        }
        known.trail.push((ask, holds));
        let Some(entry) = self.asks.get(index).filter(|entry| !entry.opaque) else { return };
        let list = if holds { &mut known.yes } else { &mut known.no };
        if let Some(list) = list.get_mut(entry.group) {
            list.push(ask);
        }
        if holds && self.groups.get(entry.group).is_some_and(|group| group.contrary) {
            known.contrary.push(ask);
        }
    }

    /// Takes the newest answer back.
    fn forget(&mut self) {
        let known = &mut self.known;
        let Some((ask, holds)) = known.trail.pop() else { return };
        if let Some(answer) = known.answers.get_mut(ask.0 as usize) {
            *answer = None;
        }
        let Some(entry) = self.asks.get(ask.0 as usize).filter(|entry| !entry.opaque) else { return };
        let list = if holds { &mut known.yes } else { &mut known.no };
        if let Some(list) = list.get_mut(entry.group) {
            list.pop();
        }
        if holds && known.contrary.last() == Some(&ask) {
            known.contrary.pop();
        }
    }

    /// The answer to a question, if those known decide it, and by which.
    fn decided(&mut self, ask: AskId) -> Option<(bool, Rests)> {
        let index = ask.0 as usize;
        if let Some(holds) = self.known.answers.get(index).copied().flatten() {
            return Some((holds, vec![(ask, holds)]));
        }
        let ruled_out = self.ruled_out.get(&ask).and_then(|list| list.iter().find(|(_, others)| self.known(others)));
        if let Some((holds, others)) = ruled_out {
            return Some((!holds, others.clone()));
        }
        let entry = self.asks.get(index).filter(|entry| !entry.opaque)?;
        let group = self.groups.get(entry.group)?;
        let (single, question) = (group.single, entry.question);
        if group.contrary {
            let other =
                |known: &&AskId| self.asks.get(known.0 as usize).is_some_and(|known| known.group != entry.group);
            if let Some(other) = self.known.contrary.iter().find(other) {
                return Some((false, vec![(*other, true)]));
            }
        }
        let yes = self.known.yes.get(entry.group)?;
        // The newest say most.
        for at in (yes.len().saturating_sub(MAX_COMPARED)..yes.len()).rev() {
            let known = *self.known.yes.get(entry.group)?.get(at)?;
            let other = self.asks.get(known.0 as usize)?.question;
            if single && self.relations.apart(other, question) {
                return Some((false, vec![(known, true)]));
            }
            if self.relations.within(other, question) {
                return Some((true, vec![(known, true)]));
            }
        }
        None
    }

    /// What the same rests on behind the newest answer, which is to be taken back: answers that follow
    /// from it are replaced by what else they follow from.
    fn without(&mut self, ask: AskId, rests: Rests, undecided: &mut bool) -> Rests {
        let mut out = Rests::with_capacity(rests.len());
        for (other, holds) in rests {
            if other == ask {
                continue;
            }
            if self.known.answers.get(other.0 as usize).copied().flatten().is_some() {
                out.push((other, holds));
                continue;
            }
            match self.decided(other) {
                Some((_, by)) if by.iter().any(|(by, _)| *by == ask) => {
                    out.extend(by.into_iter().filter(|(by, _)| *by != ask));
                }
                Some(_) => out.push((other, holds)),
                // Not reached: what followed once follows still.
                None => *undecided = true,
            }
        }
        out
    }

    /// Whether the answers cut a pair off from all different ends, even if most of them are given anew:
    /// where each way meets one whose opposite would have been needed. What it rests on then are those
    /// alone. Looked for where a pair is met again with other answers than before.
    fn cut_off(&mut self, start: Pair, steps: &mut usize) -> Option<Rests> {
        let (met, next) = self.met.entry(start).or_insert((0, 2));
        *met += 1;
        if *met < *next {
            return None;
        }
        let mut rests = Rests::new();
        let mut seen: FxHashSet<Pair> = FxHashSet::default();
        let mut work = vec![start];
        let mut found = true;
        while let Some(pair) = work.pop() {
            if self.is_free(&pair) || !seen.insert(pair) {
                continue;
            }
            let left = steps.checked_sub(1);
            if let Some(known) = self.remembered(&pair) {
                rests.extend(known);
                continue;
            }
            let (Some(left), Some(ask)) = (left, self.asked(&pair)) else {
                found = false;
                break;
            };
            *steps = left;
            let [yes, no] = [true, false].map(|holds| self.next(pair, ask, holds));
            match self.decided(ask) {
                Some((true, _)) if self.is_free(&yes) => rests.push((ask, true)),
                Some((false, _)) if self.is_free(&no) => rests.push((ask, false)),
                _ => work.extend([yes, no]),
            }
        }
        if !found {
            if let Some((met, next)) = self.met.get_mut(&start) {
                *next = *met * 2;
            }
            return None;
        }
        rests.sort_unstable();
        rests.dedup();
        Some(rests)
    }

    /// Keeps answers that cannot be true together: all but one decide the last one.
    fn rule_out(&mut self, rests: &Rests) {
        for (at, (ask, holds)) in rests.iter().enumerate() {
            let list = self.ruled_out.entry(*ask).or_default();
            if list.len() < MAX_RULED_OUT {
                let mut others = rests.clone();
                others.remove(at);
                list.push((*holds, others));
            }
        }
    }

    fn known(&self, rests: &Rests) -> bool {
        let holds =
            |(ask, holds): &(AskId, bool)| self.known.answers.get(ask.0 as usize).copied().flatten() == Some(*holds);
        rests.iter().all(holds)
    }

    fn remember(&mut self, pair: Pair, rests: &Rests) {
        let list = self.remembered.entry(pair).or_default();
        if rests.is_empty() {
            list.clear();
        }
        if list.len() < MAX_REMEMBERED {
            list.push(rests.clone());
        } else {
            list.rotate_left(1);
            if let Some(last) = list.last_mut() {
                last.clone_from(rests);
            }
        }
    }

    fn remembered(&mut self, pair: &Pair) -> Option<Rests> {
        // Answers that follow from those known count as known.
        let count = self.remembered.get(pair)?.len();
        for at in 0..count {
            let rests = self.remembered.get(pair)?.get(at)?.clone();
            if rests.iter().all(|(ask, holds)| self.decided(*ask).is_some_and(|(known, _)| known == *holds)) {
                return Some(rests);
            }
        }
        None
    }

    /// Whether a pair is known to be the same whatever the answers are.
    fn is_free(&self, pair: &Pair) -> bool {
        let first = || self.remembered.get(pair).and_then(|list| list.first());
        pair.is_one() || self.open.get(pair) == Some(&false) || first().is_some_and(Vec::is_empty)
    }

    /// Goes on with both sides as far as the answers decide. Nothing when there are no steps left.
    fn look(&mut self, mut pair: Pair, steps: &mut usize) -> Option<Found> {
        let mut before = Rests::new();
        loop {
            *steps = steps.checked_sub(1)?;
            if self.is_free(&pair) {
                return Some(Found::Done(before, false));
            }
            if let Some(rests) = self.remembered(&pair) {
                before.extend(rests);
                return Some(Found::Done(before, false));
            }
            let Some(ask) = self.asked(&pair) else { return Some(self.leaf(&pair, before)) };
            let Some((holds, _)) = self.decided(ask) else {
                if let Some(rests) = self.cut_off(pair, steps) {
                    self.remember(pair, &rests);
                    before.extend(rests);
                    return Some(Found::Done(before, false));
                }
                return Some(Found::Branch(pair, ask, before));
            };
            // Where the other answer leads to what is the same anyway, nothing rests on this one.
            let other = self.next(pair, ask, !holds);
            if !self.is_free(&other) {
                before.push((ask, holds));
            }
            pair = self.next(pair, ask, holds);
        }
    }

    /// Where both ways end.
    fn leaf(&mut self, pair: &Pair, before: Rests) -> Found {
        let leaf = self.terminals(pair.nodes[0], pair.nodes[1]);
        if matches!(leaf, Leaf::Same) {
            return Found::Done(before, false);
        }
        match (self.together(), leaf) {
            (Together::No(rests), _) => {
                self.rule_out(&rests);
                Found::Impossible(rests)
            }
            (Together::Yes(values), Leaf::Different(message)) => {
                Found::Different(Box::new(self.witness(pair, message, &values)), pair.nodes)
            }
            _ => Found::Done(before, true),
        }
    }

    /// Whether two terminals mean the same.
    fn terminals(&mut self, a: u32, b: u32) -> Leaf {
        let meanings = self.meanings;
        let terminal = |node: u32| match meanings.said.get(node as usize).map(|said| said.meaning.as_ref()) {
            Some(Meaning::Terminal { flags, carried }) => Some((*flags, carried)),
            _ => None,
        };
        // Of a damaged graph nothing is known.
        let (Some((a_flags, a)), Some((b_flags, b))) = (terminal(a), terminal(b)) else { return Leaf::NotDecided };
        if a_flags != b_flags || a.len() != b.len() {
            return Leaf::Different(None);
        }
        let mut filters = Vec::new();
        for ((a_id, a), (b_id, b)) in a.iter().zip(b) {
            match (a, b) {
                (Carried::Message(a, x), Carried::Message(b, y)) if a_id == b_id && a == b => {
                    filters.push((*a, *x, *y))
                }
                _ if a_id == b_id && a == b => {}
                _ => return Leaf::Different(None),
            }
        }
        let mut leaf = Leaf::Same;
        for (operation, x, y) in filters {
            match self.nodes(x, y) {
                Outcome::Same => {}
                Outcome::Different(witness, _) => return Leaf::Different(Some((operation, witness))),
                Outcome::NotDecided => leaf = Leaf::NotDecided,
            }
        }
        leaf
    }

    /// Whether all answers can be true together.
    fn together(&mut self) -> Together {
        let mut values = Vec::new();
        let mut undecided = false;
        for group in 0..self.known.yes.len() {
            let (Some(yes), Some(no)) = (self.known.yes.get(group).cloned(), self.known.no.get(group).cloned()) else {
                continue;
            };
            if yes.is_empty() {
                continue;
            }
            match self.group_together(group, &yes, &no) {
                Ok(Some(found)) => values.push((group, found)),
                Ok(None) => match self.reason(group, yes, no) {
                    Ok(rests) => return Together::No(rests),
                    Err(TooLarge) => undecided = true,
                },
                Err(TooLarge) => undecided = true,
            }
        }
        if undecided { Together::NotDecided } else { Together::Yes(values) }
    }

    fn group_together(&mut self, group: usize, yes: &[AskId], no: &[AskId]) -> Result<Option<Vec<Value>>, TooLarge> {
        let single = self.groups.get(group).is_some_and(|group| group.single);
        let questions = |list: &[AskId]| -> Vec<u32> {
            list.iter().filter_map(|ask| Some(self.asks.get(ask.0 as usize)?.question)).collect()
        };
        let (yes, no) = (questions(yes), questions(no));
        self.relations.together(&yes, &no, single)
    }

    /// Few answers of a group that cannot be true together, of some that cannot.
    fn reason(&mut self, group: usize, mut yes: Vec<AskId>, mut no: Vec<AskId>) -> Result<Rests, TooLarge> {
        // Without answers that are needed for nothing; the halves first, since most are not.
        let mut size = no.len().div_ceil(2);
        while size > 0 {
            let mut at = 0;
            while at < no.len() {
                let mut fewer = no.clone();
                fewer.drain(at..(at + size).min(no.len()));
                if self.group_together(group, &yes, &fewer)?.is_none() {
                    no = fewer;
                } else {
                    at += size;
                }
            }
            size /= 2;
        }
        let mut at = 0;
        while at < yes.len() {
            let mut fewer = yes.clone();
            fewer.remove(at);
            if !fewer.is_empty() && self.group_together(group, &fewer, &no)?.is_none() {
                yes = fewer;
            } else {
                at += 1;
            }
        }
        Ok(yes.into_iter().map(|ask| (ask, true)).chain(no.into_iter().map(|ask| (ask, false))).collect())
    }
}
