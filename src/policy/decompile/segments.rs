//! In: a place in a graph, and where the walk is expected to go on. Out: [`Segment`], the rules that
//! are decided before every way that is still open comes to one place. Never: which operations have
//! them, or filters as a profile writes them.
//!
//! The compiler tests the newest rule first and leads to the next rule where it does not match, so
//! between two rules all open ways meet. It also lets a way skip tests that are decided by then; such
//! a way is followed back to the place that it skips.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::DecompileError;
use super::decisions::{Decisions, Loading, Way};
use super::formula::Formula;
use super::relations::{Relations, Says};
use super::structure;
use super::working::{Place, Step, TerminalId, TestId, Working};
use crate::vocabulary::FilterId;

/// A rule: when, and what it does. Without a formula it is always.
pub(super) type Found = (Option<Formula>, TerminalId);

/// Rules and what is behind them.
pub(super) struct Segment {
    /// In the order in which they are tested.
    pub rules: Vec<Found>,
    /// What decides if none of them does.
    pub then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// What stands there.
    Place(Place),
    /// This.
    Terminal(TerminalId),
}

/// Most facts that a test is held against: the newest say most.
const MAX_FACTS: usize = 64;

/// Most rules of one segment that are told apart by their order. Beyond it, one rule for each
/// action: the same meaning, and time that grows as the nodes do.
const MAX_PHASES: usize = 64;

/// How many nodes are looked at for a rule that shares none before one that does is looked for.
const SMALL: usize = 48;

/// Most nodes of a rule that are shared with one further on.
const MAX_SHARED: usize = 8;

/// Facts looked at to follow ways back, for each node and in any case (chosen: it bounds what a hostile
/// graph costs). Without any left, a way is taken for what it is: a longer text of the same meaning.
const STEPS_A_NODE: u64 = 4_000;
const MORE_STEPS: u64 = 100_000;

/// What is known on a way: the outcome of a test, and what was known before.
struct Fact {
    test: TestId,
    outcome: bool,
    before: Option<usize>,
    depth: usize,
}

/// The nodes that belong to the rules at hand, and the edges that lead out of them.
#[derive(Default)]
struct Area {
    region: Vec<Place>,
    /// Edges to other nodes, by where they lead.
    open: BTreeMap<Place, Vec<Open>>,
    /// Edges to terminals.
    exits: Vec<Exit>,
    facts: Vec<Fact>,
}

/// An edge that leads out of the nodes looked at so far.
#[derive(Clone, Copy)]
struct Open {
    /// What is known on it.
    fact: Option<usize>,
}

/// A part of the graph that is decided before every way that is still open comes to one place.
struct Met {
    meeting: Option<Place>,
    region: Vec<Place>,
    /// Edges to terminals that are no action of the region: node and answer.
    past: HashSet<(Place, bool)>,
}

/// An edge to a terminal.
#[derive(Clone, Copy)]
struct Exit {
    from: Place,
    /// By which answer.
    outcome: bool,
    to: Place,
    fact: Option<usize>,
}

pub(super) struct Segments<'w, 'g> {
    working: &'w Working<'g>,
    relations: &'w Relations,
    known: HashMap<(Place, Option<Place>, Option<TerminalId>), Rc<Segment>>,
    /// How many more tests may be looked at to follow ways back.
    steps: u64,
    /// How each test is about loaded values.
    loading: Vec<Loading>,
    /// Whether a walk from each place may ask about a value that was loaded before it: no rule can
    /// begin there.
    asks_loaded: Vec<bool>,
}

impl<'w, 'g> Segments<'w, 'g> {
    pub fn new(working: &'w Working<'g>, relations: &'w Relations) -> Self {
        let steps = STEPS_A_NODE * working.steps.len() as u64 + MORE_STEPS;
        let release = working.graph.release;
        let loads: HashMap<FilterId, Loading> = (release.filters().iter())
            .map(|filter| {
                let loading = match (release.is_prerequisite(filter.id), &filter.prerequisite) {
                    (true, _) => Loading::Loads,
                    (false, Some(_)) => Loading::Refers,
                    (false, None) => Loading::Neither,
                };
                (filter.id, loading)
            })
            .collect();
        let loading = working.tests.iter().map(|test| loads.get(&test.filter).copied().unwrap_or(Loading::Neither));
        let loading = loading.collect();
        let mut out = Self { working, relations, known: HashMap::new(), steps, loading, asks_loaded: Vec::new() };
        for step in &working.steps {
            let asks = |place: &Place| out.asks_loaded.get(place.index()).copied().unwrap_or(false);
            let new = match step {
                Step::Terminal(_) => false,
                Step::Test { test, yes, no } => match out.loading(*test) {
                    Loading::Refers => true,
                    Loading::Loads => asks(no),
                    Loading::Neither => asks(yes) || asks(no),
                },
            };
            out.asks_loaded.push(new);
        }
        out
    }

    /// The segment that starts at `start`. `goal`: where the walk goes on to if it comes there;
    /// `expected`: what decides where no rule does.
    pub fn at(
        &mut self,
        start: Place,
        goal: Option<Place>,
        expected: Option<TerminalId>,
    ) -> Result<Rc<Segment>, DecompileError> {
        let key = (start, goal, expected);
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let segment = Rc::new(self.make(start, goal, expected)?);
        self.known.insert(key, segment.clone());
        Ok(segment)
    }

    fn make(
        &mut self,
        start: Place,
        goal: Option<Place>,
        expected: Option<TerminalId>,
    ) -> Result<Segment, DecompileError> {
        if let Some(terminal) = self.working.terminal_at(start) {
            return Ok(Segment { rules: Vec::new(), then: Then::Terminal(terminal) });
        }
        let goal = goal.filter(|goal| self.working.terminal_at(*goal).is_none());
        let own = self.area(start, goal, SMALL, false);
        let limit = own.as_ref().map_or(SMALL, |own| own.region.len() / 3);
        let shared = if limit > 0 { self.area(start, goal, limit, true) } else { None };
        let found = shared.or(own).or_else(|| self.area(start, goal, usize::MAX, false));
        let Met { meeting, mut region, past } = found.ok_or(DecompileError::Unreadable)?;
        region.sort_unstable_by_key(|place| std::cmp::Reverse(*place));
        self.rules(&region, meeting, expected, &past)
    }

    /// The nodes from `start` to where every open way meets, if these are no more than `limit`.
    /// `shared`: ends that other rules share may belong to it, if it has one action then.
    fn area(&mut self, start: Place, goal: Option<Place>, limit: usize, shared: bool) -> Option<Met> {
        let mut area = Area::default();
        area.open.insert(start, vec![Open { fact: None }]);
        // Where following back failed last: it mostly fails there again.
        let mut stuck: Option<Place> = None;
        let mut passed_goal = goal == Some(start);
        while area.region.len() <= limit {
            // Numbers fall along every way, so the highest open place has been reached by all edges
            // that lead to it.
            let Some(top) = area.open.keys().next_back().copied() else {
                return Some(Met { meeting: None, region: area.region, past: HashSet::new() });
            };
            if !area.region.is_empty() {
                if let Some(goal) = goal.filter(|goal| !passed_goal && *goal >= top)
                    && self.all_come_from(goal, &area, &mut stuck)
                {
                    return Some(self.met(goal, area));
                }
                let begins = !self.asks_loaded.get(top.index()).copied().unwrap_or(false);
                if begins && self.all_come_from(top, &area, &mut stuck) {
                    return Some(self.met(top, area));
                }
                if begins
                    && shared
                    && let Some(taken) = self.takes_in_shared(top, &mut area)
                {
                    return Some(taken);
                }
            }
            passed_goal |= goal == Some(top);
            let edges = area.open.remove(&top).unwrap_or_default();
            self.enter(top, &edges, &mut area);
        }
        None
    }

    fn met(&mut self, meeting: Place, area: Area) -> Met {
        let past = self.past(meeting, &area.exits, &area.facts);
        Met { meeting: Some(meeting), region: area.region, past }
    }

    /// Makes a place that `edges` lead to a part of the area.
    fn enter(&self, place: Place, edges: &[Open], area: &mut Area) {
        area.region.push(place);
        let Step::Test { test, yes, no } = self.working.at(place) else { return };
        let before = common(&area.facts, edges);
        for (outcome, to) in [(true, yes), (false, no)] {
            let mut fact = before;
            if self.loading(test) == Loading::Neither {
                let depth = before.and_then(|fact| area.facts.get(fact)).map_or(0, |fact| fact.depth) + 1;
                area.facts.push(Fact { test, outcome, before, depth });
                fact = Some(area.facts.len() - 1);
            }
            match self.working.terminal_at(to) {
                Some(_) => area.exits.push(Exit { from: place, outcome, to, fact }),
                None => area.open.entry(to).or_default().push(Open { fact }),
            }
        }
    }

    /// Equal ends of several rules are one object, so a way can lead into the nodes of a rule further
    /// on. Takes up to [`MAX_SHARED`] such nodes into the area, if every open way comes from `from`
    /// then, and the area has one action.
    fn takes_in_shared(&mut self, from: Place, area: &mut Area) -> Option<Met> {
        let known = area.facts.len();
        let facts = std::mem::take(&mut area.facts);
        let mut shared = Area { facts, open: area.open.clone(), ..Area::default() };
        // What is entered is entered by all edges that lead to it: numbers fall along every way, and
        // the highest goes first.
        let fits = loop {
            let Area { open, facts, .. } = &shared;
            let stuck = open.iter().rev().find(|(place, edges)| {
                **place != from && !edges.iter().all(|edge| self.comes_from(from, **place, edge.fact, facts))
            });
            let Some(place) = stuck.map(|(place, _)| *place) else { break true };
            if place > from || shared.region.len() >= MAX_SHARED {
                break false;
            }
            let edges = shared.open.remove(&place).unwrap_or_default();
            self.enter(place, &edges, &mut shared);
        };
        if fits {
            let exits = || area.exits.iter().chain(&shared.exits);
            let all: Vec<Exit> = exits().copied().collect();
            let past = self.past(from, &all, &shared.facts);
            let mut own = all.iter().filter(|exit| !past.contains(&(exit.from, exit.outcome)));
            let action = own.next().map(|exit| exit.to);
            if own.all(|exit| Some(exit.to) == action) {
                let region = area.region.iter().chain(&shared.region).copied().collect();
                return Some(Met { meeting: Some(from), region, past });
            }
        }
        area.facts = std::mem::take(&mut shared.facts);
        area.facts.truncate(known);
        None
    }

    /// How a test is about loaded values.
    fn loading(&self, test: TestId) -> Loading {
        self.loading.get(test.index()).copied().unwrap_or(Loading::Neither)
    }

    /// Whether each open edge leads to `from` or to where a walk from there comes with what is known
    /// on that edge.
    fn all_come_from(&mut self, from: Place, Area { open, facts, .. }: &Area, stuck: &mut Option<Place>) -> bool {
        let first = stuck.and_then(|place| open.get_key_value(&place));
        for (place, edges) in first.into_iter().chain(open.iter()) {
            if *place == from {
                continue;
            }
            // What a walk from there can come to has lower numbers.
            if *place > from || !edges.iter().all(|edge| self.comes_from(from, *place, edge.fact, facts)) {
                *stuck = Some(*place);
                return false;
            }
        }
        true
    }

    /// Whether every walk from `from` with these facts comes to `to`.
    fn comes_from(&mut self, from: Place, to: Place, fact: Option<usize>, facts: &[Fact]) -> bool {
        // Mostly the first test that is not decided leads elsewhere.
        let (mut place, mut seen) = (from, FxHashSet::default());
        let mut work: Vec<Place> = Vec::new();
        loop {
            if place != to && seen.insert(place) {
                self.steps = self.steps.saturating_sub(1);
                // Numbers fall along every way, so this one is past it.
                let Step::Test { test, yes, no } = self.working.at(place) else { return false };
                if place < to || self.steps == 0 || self.loading(test) != Loading::Neither {
                    return false;
                }
                match self.decided(test, fact, facts) {
                    Some(outcome) => work.push(if outcome { yes } else { no }),
                    None if yes < to || no < to => return false,
                    None => work.extend([no, yes]),
                }
            }
            match work.pop() {
                Some(next) => place = next,
                None => return true,
            }
        }
    }

    /// Edges to terminals that a walk from the meeting place comes to with what is known there: they
    /// belong to no rule of the region but skip what is behind it. Where there is one action only, it
    /// is that of the rule.
    fn past(&mut self, meeting: Place, exits: &[Exit], facts: &[Fact]) -> HashSet<(Place, bool)> {
        let one = exits.windows(2).all(|pair| matches!(pair, [a, b] if a.to == b.to));
        if one {
            return HashSet::new();
        }
        exits
            .iter()
            .filter(|exit| self.comes_from(meeting, exit.to, exit.fact, facts))
            .map(|exit| (exit.from, exit.outcome))
            .collect()
    }

    /// The outcome of a test, if what is known decides it.
    fn decided(&mut self, test: TestId, fact: Option<usize>, facts: &[Fact]) -> Option<bool> {
        let tests = &self.working.tests;
        let mut current = fact;
        for _ in 0..MAX_FACTS {
            let known = facts.get(current?)?;
            self.steps = self.steps.saturating_sub(1);
            if known.outcome {
                match self.relations.says(tests, known.test, test) {
                    Says::True => return Some(true),
                    Says::False => return Some(false),
                    Says::Nothing => {}
                }
            } else if self.relations.says(tests, test, known.test) == Says::True {
                return Some(false);
            }
            current = known.before;
        }
        None
    }

    /// The rules of a region whose open ways meet at `meeting`.
    fn rules(
        &self,
        region: &[Place],
        meeting: Option<Place>,
        expected: Option<TerminalId>,
        past: &HashSet<(Place, bool)>,
    ) -> Result<Segment, DecompileError> {
        let numbers: FxHashMap<Place, usize> =
            region.iter().enumerate().map(|(number, place)| (*place, number)).collect();
        let ways = |place: Place| match self.working.at(place) {
            Step::Test { yes, no, .. } => [yes, no],
            Step::Terminal(_) => [place, place],
        };
        let last = match meeting {
            Some(_) => None,
            None => Some(self.fallthrough(region, expected)?),
        };
        // Rules are told apart by what they do, and by their order on some way.
        let mut phases: Vec<TerminalId> = Vec::new();
        let mut base = vec![0; region.len()];
        let mut phase_of: Vec<[Option<usize>; 2]> = Vec::with_capacity(region.len());
        for (number, place) in region.iter().enumerate() {
            let mut after = base[number];
            let mut own = [None; 2];
            // An action that goes on with the rule at hand comes before one that begins another.
            let mut order = [0, 1];
            if let Some(terminal) = self.working.terminal_at(ways(*place)[1])
                && phases.get(after) == Some(&terminal)
            {
                order = [1, 0];
            }
            for side in order {
                let Some(terminal) = self.working.terminal_at(ways(*place)[side]) else { continue };
                if Some(terminal) == last || past.contains(&(*place, side == 0)) {
                    continue;
                }
                let start = if phases.len() < MAX_PHASES { base[number] } else { 0 };
                let phase = (start..phases.len()).find(|phase| phases[*phase] == terminal).unwrap_or_else(|| {
                    phases.push(terminal);
                    phases.len() - 1
                });
                own[side] = Some(phase);
                after = after.max(phase);
            }
            phase_of.push(own);
            for next in ways(*place) {
                if let Some(next) = numbers.get(&next) {
                    base[*next] = base[*next].max(after);
                }
            }
        }
        let mut rules = Vec::new();
        for (phase, terminal) in phases.iter().enumerate() {
            let mut decisions = Decisions::default();
            let mut outcomes = vec![Way::No; region.len()];
            for (number, place) in region.iter().enumerate().rev() {
                let Step::Test { test, yes, no } = self.working.at(*place) else { continue };
                let way = |side: usize, next: Place| match (phase_of[number][side], numbers.get(&next)) {
                    (Some(other), _) if other < phase => Way::Either,
                    (Some(other), _) if other == phase => Way::Yes,
                    (None, Some(next)) => outcomes[*next],
                    _ => Way::No,
                };
                let (yes, no) = (way(0, yes), way(1, no));
                outcomes[number] = decisions.decide(test, self.loading(test), yes, no);
            }
            match outcomes.first() {
                Some(Way::Decision(top)) => rules.push((Some(structure::formula(&decisions, *top)?), *terminal)),
                Some(Way::Yes) => rules.push((None, *terminal)),
                _ => {}
            }
        }
        let then = match (meeting, last) {
            (Some(place), _) => Then::Place(place),
            (None, Some(terminal)) => Then::Terminal(terminal),
            (None, None) => return Err(DecompileError::Unreadable),
        };
        Ok(Segment { rules, then })
    }

    /// The terminal of a last segment that no rule stands for: the expected one, else where the last
    /// test leads if it fails.
    fn fallthrough(&self, region: &[Place], expected: Option<TerminalId>) -> Result<TerminalId, DecompileError> {
        let mut found = None;
        for place in region {
            let Step::Test { yes, no, .. } = self.working.at(*place) else { continue };
            for next in [yes, no] {
                if let Some(terminal) = self.working.terminal_at(next) {
                    if Some(terminal) == expected {
                        return Ok(terminal);
                    }
                    found = Some(terminal);
                }
            }
        }
        found.ok_or(DecompileError::Unreadable)
    }
}

/// What is known on all of the edges.
fn common(facts: &[Fact], edges: &[Open]) -> Option<usize> {
    let mut edges = edges.iter().map(|edge| edge.fact);
    let mut found = edges.next()??;
    for other in edges {
        let mut other = other?;
        while found != other {
            let (one, two) = (facts.get(found)?, facts.get(other)?);
            if one.depth >= two.depth {
                found = one.before?;
            } else {
                other = two.before?;
            }
        }
    }
    Some(found)
}
