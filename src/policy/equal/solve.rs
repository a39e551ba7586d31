//! In: two graphs with the numbers of what their nodes say. Out: whether two nodes decide alike, and if
//! not, answers to tests by which they come apart. Never: answers that no request can have together.
//!
//! "There are answers by which the two ways come to different terminals" is put to a solver of
//! propositional logic. Its clauses say where each answer leads, that no node is on both ways, of which
//! variables a test consists, and what holds between these (`parts`). If they contradict one another,
//! the two are the same. Otherwise the solver has an example. Where its answers cannot be true together
//! after all, that is one clause more, and it goes on; so it does where both terminals mean the same.

use std::cell::Cell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use batsat::{Callbacks, ClauseKind, Lit, Solver, SolverInterface, SolverOpts, lbool};
use rustc_hash::{FxHashMap, FxHashSet};

use super::Witness;
use super::parts::{Ask, Law, Loaded, Parts};
use super::values::Value;
use crate::pattern::language::TooLarge;
use crate::policy::graph::{Graph, NodeId};
use crate::policy::meaning::{Carried, Meaning, Meanings, Role};
use crate::policy::request::Request;
use crate::policy::verdict::explain;
use crate::vocabulary::{FilterId, OperationId};

/// Most dead ends that the solver may run into for one pair of nodes, and for all pairs of a
/// comparison. Chosen: real profiles take up to 30,000 for one operation, about a second.
const MAX_CONFLICTS: u64 = 200_000;
const MAX_CONFLICTS_IN_ALL: u64 = 1_000_000;

/// Most examples of one pair that turn out to be none. Chosen.
const MAX_EXAMPLES: usize = 1_000;

/// Longest time of a comparison. What a dead end costs depends on more than its number, so made files
/// could take minutes within the bounds above: 200,000 of them took 1.5 s where the pigeonhole of 10 was put to
/// the solver, 10 s for 1,760 random clauses over 400 tests, and 1,000,000 could be had. Chosen; no iOS
/// profile takes more than 2 s. A single step that has begun is finished, which takes less than a second.
const MAX_TIME: Duration = Duration::from_secs(60);

/// Most literals of what is put to the solver for one pair; bounds its memory to
/// some 400 MB (guessed from 110 MB of 1,300,000). Chosen: real profiles have up to 24,000, 900 prefixes of one another 1,300,000.
const MAX_LITERALS: usize = 1 << 22;

/// Deepest message filters inside one another. Compiled ones have one level.
const MAX_FILTERS: usize = 4;

#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Same,
    /// With the numbers of what the terminals say.
    Different(Box<Witness>, [u32; 2]),
    NotDecided,
}

/// A node, with what was loaded on the way where that matters.
type Place = (u32, Loaded);

/// Answers, and whether each is yes.
pub(super) type Answers = Vec<(Ask, bool)>;

/// What shares its values: tests of a filter, loaded by what.
type Group = (FilterId, Loaded);

/// The values of each group.
pub(super) type Values = Vec<(Group, Vec<Value>)>;

/// What two terminals have to do with one another.
enum Ends {
    Same,
    Different(Option<(OperationId, Box<Witness>)>),
    NotDecided,
}

/// Whether some answers can be true together.
enum Together {
    Yes(Values),
    /// These few cannot.
    No(Answers),
    NotDecided,
}

/// Stops the solver after so many conflicts, or when it is too late.
struct Limit {
    left: u64,
    clock: Clock,
}

/// When a comparison has to end.
#[derive(Clone)]
pub(super) struct Clock {
    end: Instant,
    asked: Cell<u8>,
    late: Cell<bool>,
}

impl Clock {
    fn new(time: Duration) -> Self {
        Self { end: Instant::now() + time, asked: Cell::new(0), late: Cell::new(false) }
    }

    /// Whether it is too late. The clock is looked at now and then.
    fn is_late_often(&self) -> bool {
        self.asked.set(self.asked.get().wrapping_add(1));
        self.late.get() || (self.asked.get().is_multiple_of(64) && self.is_late())
    }

    /// Whether it is too late.
    pub fn is_late(&self) -> bool {
        self.late.set(self.late.get() || Instant::now() >= self.end);
        self.late.get()
    }
}

impl Callbacks for Limit {
    fn on_new_clause(&mut self, _: &[Lit], kind: ClauseKind) {
        if matches!(kind, ClauseKind::Learnt) {
            self.left = self.left.saturating_sub(1);
        }
    }

    fn stop(&self) -> bool {
        self.left == 0 || self.clock.is_late_often()
    }
}

/// What is put to the solver for one pair.
struct Formula {
    solver: Solver<Limit>,
    /// Tests, in the order in which they are met.
    asks: Vec<Ask>,
    questions: FxHashMap<Ask, Lit>,
    /// By side: that its way comes to a node.
    reached: [FxHashMap<Place, Lit>; 2],
    clause: Vec<Lit>,
    /// Literals of all clauses so far.
    size: usize,
}

impl Formula {
    fn new(conflicts: u64, clock: Clock) -> Self {
        Self {
            solver: Solver::new(SolverOpts::default(), Limit { left: conflicts, clock }),
            size: 0,
            asks: Vec::new(),
            questions: FxHashMap::default(),
            reached: Default::default(),
            clause: Vec::new(),
        }
    }

    fn literal(&mut self) -> Lit {
        Lit::new(self.solver.new_var_default(), true)
    }

    /// One of these is true.
    fn add(&mut self, clause: impl IntoIterator<Item = Lit>) {
        self.clause.clear();
        self.clause.extend(clause);
        self.size += self.clause.len();
        self.solver.add_clause_reuse(&mut self.clause);
    }

    fn question(&mut self, ask: Ask) -> Lit {
        if let Some(literal) = self.questions.get(&ask) {
            return *literal;
        }
        let literal = self.literal();
        self.questions.insert(ask, literal);
        self.asks.push(ask);
        literal
    }

    fn reached(&mut self, side: usize, place: Place) -> Lit {
        if let Some(literal) = self.reached[side].get(&place) {
            return *literal;
        }
        let literal = self.literal();
        self.reached[side].insert(place, literal);
        literal
    }

    fn not_both(&mut self, a: Place, b: Place) {
        if let (Some(a), Some(b)) = (self.reached[0].get(&a).copied(), self.reached[1].get(&b).copied()) {
            self.add([!a, !b]);
        }
    }

    /// Whether it is larger than may be solved.
    fn is_too_large(&self) -> bool {
        self.size > MAX_LITERALS || self.solver.cb().clock.is_late_often()
    }

    /// What holds between variables.
    fn law(&mut self, law: &Law, literals: &FxHashMap<u32, Lit>) {
        match law {
            Law::Implies(a, b) => {
                if let (Some(a), Some(b)) = (literals.get(a), literals.get(b)) {
                    self.add([!*a, *b]);
                }
            }
            Law::Cases(variables, cases) => {
                let mut causes: FxHashMap<u32, Vec<Lit>> = FxHashMap::default();
                // Whether one of the cases so far is taken.
                let mut taken: Option<Lit> = None;
                for case in cases {
                    // The law is left unfinished; whoever asked sees that it is too large.
                    if self.is_too_large() {
                        return;
                    }
                    let this = self.literal();
                    for variable in case {
                        if let Some(literal) = literals.get(variable) {
                            self.add([!this, *literal]);
                            causes.entry(*variable).or_default().push(this);
                        }
                    }
                    let now = self.literal();
                    self.add([!this, now]);
                    if let Some(before) = taken {
                        self.add([!before, !this]);
                        self.add([!before, now]);
                    }
                    taken = Some(now);
                }
                for variable in variables {
                    if let Some(literal) = literals.get(variable) {
                        let causes = causes.remove(variable).unwrap_or_default();
                        self.add(std::iter::once(!*literal).chain(causes));
                    }
                }
            }
        }
    }

    /// The answer of the solver's example.
    fn answer(&self, ask: &Ask) -> bool {
        self.questions.get(ask).is_some_and(|literal| self.solver.value_lit(*literal) == lbool::TRUE)
    }
}

pub(super) struct Comparer<'w> {
    pub(super) meanings: &'w Meanings,
    pub(super) graphs: [&'w Graph; 2],
    numbers: [&'w HashMap<NodeId, u32>; 2],
    /// A node of each graph for each number.
    pub(super) places: [HashMap<u32, NodeId>; 2],
    parts: Parts<'w>,
    outcomes: HashMap<[u32; 2], Outcome>,
    conflicts_left: u64,
    clock: Clock,
    depth: usize,
}

impl<'w> Comparer<'w> {
    pub fn new(meanings: &'w Meanings, graphs: [&'w Graph; 2], numbers: &'w [HashMap<NodeId, u32>; 2]) -> Self {
        let places = |numbers: &HashMap<NodeId, u32>| {
            let mut places: HashMap<u32, NodeId> = HashMap::new();
            for (id, number) in numbers {
                let place = places.entry(*number).or_insert(*id);
                *place = (*place).min(*id);
            }
            places
        };
        let clock = Clock::new(MAX_TIME);
        Self {
            meanings,
            graphs,
            numbers: [&numbers[0], &numbers[1]],
            places: [places(&numbers[0]), places(&numbers[1])],
            parts: Parts::new(meanings, graphs[0].release, clock.clone()),
            outcomes: HashMap::new(),
            conflicts_left: MAX_CONFLICTS_IN_ALL,
            clock,
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
        if self.depth > MAX_FILTERS || self.clock.is_late() {
            return Outcome::NotDecided;
        }
        self.depth += 1;
        let outcome = self.decided(a, b).unwrap_or(Outcome::NotDecided);
        self.depth -= 1;
        self.outcomes.insert([a, b], outcome.clone());
        outcome
    }

    /// Nothing where what two nodes say is too much to be put to a solver.
    fn decided(&mut self, a: u32, b: u32) -> Option<Outcome> {
        let granted = self.conflicts_left.min(MAX_CONFLICTS);
        let mut formula = self.formula([a, b], granted)?;
        let mut examples = 0;
        let outcome = loop {
            let found = formula.solver.solve_limited(&[]);
            if found == lbool::FALSE {
                break Outcome::Same;
            }
            examples += 1;
            if found != lbool::TRUE || examples > MAX_EXAMPLES || formula.is_too_large() {
                break Outcome::NotDecided;
            }
            let (answers, ends) = self.ways(&formula, [a, b])?;
            let values = match self.together(&answers) {
                Together::No(few) => {
                    // An answer is left out of none: fewer would say too much.
                    let literal = |(ask, holds): &(Ask, bool)| {
                        formula.questions.get(ask).map(|literal| if *holds { !*literal } else { *literal })
                    };
                    let clause: Option<Vec<Lit>> = few.iter().map(literal).collect();
                    formula.add(clause.filter(|clause| !clause.is_empty())?);
                    continue;
                }
                Together::Yes(values) => Some(values),
                Together::NotDecided => None,
            };
            match (self.ends(ends[0], ends[1]), values) {
                (Ends::Same, _) => formula.not_both((ends[0], None), (ends[1], None)),
                (Ends::Different(message), Some(values)) => {
                    let answers = self.telling(&answers);
                    let witness = self.witness(&answers, ends, message, &values);
                    break Outcome::Different(Box::new(witness), ends);
                }
                _ => break Outcome::NotDecided,
            }
        };
        self.conflicts_left = self.conflicts_left.saturating_sub(granted - formula.solver.cb().left);
        Some(outcome)
    }

    fn place(&self, node: u32, loaded: Loaded) -> Place {
        let needed = self.meanings.said.get(node as usize).is_some_and(|said| said.needs_loaded);
        (node, loaded.filter(|_| needed))
    }

    /// What a node asks, and where each answer leads.
    fn test(&self, (node, loaded): Place) -> Option<(Ask, [Place; 2])> {
        let meaning = &self.meanings.said.get(node as usize)?.meaning;
        let Meaning::Test { question, matched, unmatched } = meaning.as_ref() else { return None };
        let role = self.meanings.samples.get(*question as usize)?.role;
        let after = |holds| if role == Role::Loader { Some((*question, holds)) } else { loaded };
        let ask = (*question, loaded.filter(|_| role == Role::Loaded));
        Some((ask, [self.place(*matched, after(true)), self.place(*unmatched, after(false))]))
    }

    fn formula(&mut self, nodes: [u32; 2], conflicts: u64) -> Option<Formula> {
        let mut formula = Formula::new(conflicts, self.clock.clone());
        for (side, node) in nodes.into_iter().enumerate() {
            let root = self.place(node, None);
            let literal = formula.reached(side, root);
            formula.add([literal]);
            let mut seen: FxHashSet<Place> = FxHashSet::default();
            let mut work = vec![root];
            while let Some(place) = work.pop() {
                if !seen.insert(place) {
                    continue;
                }
                if formula.is_too_large() {
                    return None;
                }
                let here = formula.reached(side, place);
                let Some((ask, [matched, unmatched])) = self.test(place) else { continue };
                let question = formula.question(ask);
                let [yes, no] = [matched, unmatched].map(|place| formula.reached(side, place));
                formula.add([!here, !question, yes]);
                formula.add([!here, question, no]);
                work.extend([unmatched, matched]);
            }
        }
        let both: Vec<Place> =
            formula.reached[0].keys().filter(|place| formula.reached[1].contains_key(place)).copied().collect();
        for place in both {
            formula.not_both(place, place);
        }
        let mut literals: FxHashMap<u32, Lit> = FxHashMap::default();
        let mut variables = Vec::new();
        for ask in formula.asks.clone() {
            if formula.is_too_large() {
                return None;
            }
            let question = formula.question(ask);
            let mut clause = vec![!question];
            for variable in self.parts.of(ask)?.iter() {
                let literal = *literals.entry(*variable).or_insert_with(|| {
                    variables.push(*variable);
                    formula.literal()
                });
                formula.add([!literal, question]);
                clause.push(literal);
            }
            formula.add(clause);
        }
        for law in self.parts.laws(&variables)? {
            formula.law(&law, &literals);
        }
        (formula.size <= MAX_LITERALS && !self.clock.is_late()).then_some(formula)
    }

    /// The answers of the solver's example that both ways come by, and where they end. The side that has
    /// more before it is asked first.
    fn ways(&self, formula: &Formula, nodes: [u32; 2]) -> Option<(Answers, [u32; 2])> {
        let mut answers = Answers::new();
        let mut known: FxHashSet<Ask> = FxHashSet::default();
        let mut places = nodes.map(|node| self.place(node, None));
        let height = |place: Place| self.meanings.said.get(place.0 as usize).map_or(0, |said| said.height);
        loop {
            let first = usize::from(height(places[0]) < height(places[1]));
            let Some((side, (ask, next))) =
                [first, 1 - first].into_iter().find_map(|side| Some((side, self.test(places[side])?)))
            else {
                return Some((answers, places.map(|place| place.0)));
            };
            let holds = formula.answer(&ask);
            if known.insert(ask) {
                answers.push((ask, holds));
            }
            places[side] = if holds { next[0] } else { next[1] };
        }
    }

    /// Whether answers can be true together.
    fn together(&mut self, answers: &Answers) -> Together {
        // Contrary name filters have one value between them.
        let mut name: Option<(Ask, FilterId)> = None;
        let mut groups: Vec<(Group, [Vec<Ask>; 2])> = Vec::new();
        let mut numbers: FxHashMap<Group, usize> = FxHashMap::default();
        for (ask, holds) in answers {
            let Some(sample) = self.meanings.samples.get(ask.0 as usize) else { continue };
            if sample.role == Role::Loader {
                continue;
            }
            let filter = sample.test.filter;
            if *holds && self.filter_is(filter, |filter| filter.contrary) {
                match name {
                    Some((other, other_filter)) if other_filter != filter => {
                        return Together::No(vec![(other, true), (*ask, true)]);
                    }
                    _ => name = Some((*ask, filter)),
                }
            }
            let next = groups.len();
            let at = *numbers.entry((filter, ask.1)).or_insert(next);
            if at == next {
                groups.push(((filter, ask.1), Default::default()));
            }
            if let Some((_, lists)) = groups.get_mut(at) {
                lists[usize::from(!*holds)].push(*ask);
            }
        }
        let mut values = Values::new();
        let mut undecided = false;
        for (group, [yes, no]) in groups {
            if yes.is_empty() {
                continue;
            }
            if self.clock.is_late() {
                return Together::NotDecided;
            }
            let single = self.is_single(group.0);
            match self.group_together(&yes, &no, single) {
                Ok(Some(found)) => values.push((group, found)),
                Ok(None) => match self.reason(yes, no, single) {
                    Ok(few) => return Together::No(few),
                    Err(TooLarge) => undecided = true,
                },
                Err(TooLarge) => undecided = true,
            }
        }
        if undecided { Together::NotDecided } else { Together::Yes(values) }
    }

    fn filter_is(&self, filter: FilterId, what: impl Fn(&crate::vocabulary::Filter) -> bool) -> bool {
        self.graphs[0].release.filter(filter).is_some_and(what)
    }

    /// One value at a time. What was loaded may be several.
    fn is_single(&self, filter: FilterId) -> bool {
        self.filter_is(filter, |filter| filter.single_valued && filter.prerequisite.is_none())
    }

    fn group_together(&mut self, yes: &[Ask], no: &[Ask], single: bool) -> Result<Option<Vec<Value>>, TooLarge> {
        let questions = |list: &[Ask]| -> Vec<u32> { list.iter().map(|(question, _)| *question).collect() };
        self.parts.relations.together(&questions(yes), &questions(no), single)
    }

    /// Few answers of a group that cannot be true together, of some that cannot.
    fn reason(&mut self, mut yes: Vec<Ask>, mut no: Vec<Ask>, single: bool) -> Result<Answers, TooLarge> {
        // Without answers that are needed for nothing; the halves first, since most are not.
        let mut size = no.len().div_ceil(2);
        while size > 0 {
            let mut at = 0;
            while at < no.len() {
                if self.clock.is_late() {
                    return Err(TooLarge);
                }
                let mut fewer = no.clone();
                fewer.drain(at..(at + size).min(no.len()));
                if self.group_together(&yes, &fewer, single)?.is_none() {
                    no = fewer;
                } else {
                    at += size;
                }
            }
            size /= 2;
        }
        let mut at = 0;
        while at < yes.len() {
            if self.clock.is_late() {
                return Err(TooLarge);
            }
            let mut fewer = yes.clone();
            fewer.remove(at);
            if !fewer.is_empty() && self.group_together(&fewer, &no, single)?.is_none() {
                yes = fewer;
            } else {
                at += 1;
            }
        }
        Ok(yes.into_iter().map(|ask| (ask, true)).chain(no.into_iter().map(|ask| (ask, false))).collect())
    }

    /// Answers without those that another one decides: a yes before it, or any yes where it is a no.
    fn telling(&mut self, answers: &Answers) -> Answers {
        let mut out = Answers::new();
        for (at, (ask, holds)) in answers.iter().enumerate() {
            let others = answers.iter().enumerate().filter(|(other, (_, yes))| *yes && (!*holds || *other < at));
            let mut others = others.map(|(_, (other, _))| *other);
            if self.clock.is_late() || !others.any(|other| self.decides(other, *ask, *holds)) {
                out.push((*ask, *holds));
            }
        }
        out
    }

    /// Whether an answer follows from a yes to another test.
    fn decides(&mut self, yes: Ask, ask: Ask, holds: bool) -> bool {
        let sample = |ask: Ask| self.meanings.samples.get(ask.0 as usize).filter(|sample| sample.role != Role::Loader);
        let (Some(a), Some(b)) = (sample(yes), sample(ask)) else { return false };
        let (a, b) = (a.test.filter, b.test.filter);
        if a != b || yes.1 != ask.1 {
            return !holds && a != b && [a, b].iter().all(|filter| self.filter_is(*filter, |filter| filter.contrary));
        }
        if holds {
            return self.parts.relations.within(yes.0, ask.0);
        }
        self.is_single(a) && self.parts.relations.apart(yes.0, ask.0)
    }

    /// Whether two terminals mean the same.
    fn ends(&mut self, a: u32, b: u32) -> Ends {
        if a == b {
            return Ends::Same;
        }
        let meanings = self.meanings;
        let terminal = |node: u32| match meanings.said.get(node as usize).map(|said| said.meaning.as_ref()) {
            Some(Meaning::Terminal { flags, carried }) => Some((*flags, carried)),
            _ => None,
        };
        // Of a damaged graph nothing is known.
        let (Some((a_flags, a)), Some((b_flags, b))) = (terminal(a), terminal(b)) else { return Ends::NotDecided };
        if a_flags != b_flags || a.len() != b.len() {
            return Ends::Different(None);
        }
        let mut filters = Vec::new();
        for ((a_id, a), (b_id, b)) in a.iter().zip(b) {
            match (a, b) {
                (Carried::Message(a, x), Carried::Message(b, y)) if a_id == b_id && a == b => {
                    filters.push((*a, *x, *y));
                }
                _ if a_id == b_id && a == b => {}
                _ => return Ends::Different(None),
            }
        }
        let mut ends = Ends::Same;
        for (operation, x, y) in filters {
            match self.nodes(x, y) {
                Outcome::Same => {}
                Outcome::Different(witness, _) => return Ends::Different(Some((operation, witness))),
                Outcome::NotDecided => ends = Ends::NotDecided,
            }
        }
        ends
    }
}
