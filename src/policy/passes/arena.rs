//! In: tests and terminals. Out: nodes, each equal node once, with edges that skip what is decided
//! already. Never: order of rules; that is the caller's.

use std::collections::HashMap;

use crate::pattern::tree::Tree;
use crate::pattern::{StringPattern, lower};
use crate::policy::rules::{Action, Argument, Test};
use crate::vocabulary::{FilterId, FilterKind, ModifierId, OperationId, Release};

use super::{BuildError, Passes};

/// Number of a node in the arena. Children are made before their parents, so every edge leads to
/// a lower number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Id(pub u32);

impl Id {
    /// The plain reporting deny, which is always there.
    pub const DENY: Self = Self(0);

    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Number of a distinct test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TestId(pub u32);

/// A test as the arena keeps it.
pub(super) struct BuildTest {
    pub test: Test,
    /// The test is no regular expression, or one that is lowered.
    pub is_string: bool,
    /// The tree of a regular expression that is lowered; of several in one call, the trees.
    pub lowered: Vec<Tree>,
    single_valued: bool,
    contrary: bool,
    /// The filter that loads what this test refers to.
    pub prerequisite: Option<FilterId>,
    /// Loads something for others or refers to it: its outcome depends on the tests before it, so
    /// nothing may be concluded from it, and it may not be skipped.
    opaque: bool,
    /// Sort key (GRAPH.md R1).
    pub cost: i32,
    /// Number of the rule and place in it where the test first stood: source order.
    pub ordinal: (usize, usize),
}

/// What a terminal carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Carried {
    Number(u16),
    Text(Vec<u8>),
    MessageFilter(OperationId, Id),
}

/// A terminal; equal ones are one object unless `own` tells them apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct BuildTerminal {
    pub flags: u32,
    pub carried: Vec<(ModifierId, Carried)>,
    pub own: u32,
}

impl BuildTerminal {
    pub fn plain(flags: u32) -> Self {
        Self { flags, carried: Vec::new(), own: 0 }
    }
}

/// A node of the arena.
#[derive(Clone, Debug)]
pub(super) enum BuildNode {
    Test {
        /// The tests that lead to `matched`: several once strings are merged.
        tests: Vec<TestId>,
        matched: Id,
        unmatched: Id,
        /// The conjunction that the test stands in directly.
        conjunction: Option<u32>,
        /// The number of the rule that it was made for.
        rule: usize,
    },
    Terminal(BuildTerminal),
}

/// Most nodes in the arena: far beyond what a blob can hold, so that folding can still save a
/// profile, and small enough to stop a runaway one.
const MAX_NODES: usize = 4_000_000;

/// How many undecided tests are looked at for the place where their answers meet.
const MAX_LOOKED_AT: usize = 16;

/// Most true tests of one filter that a test is compared with.
const MAX_COMPARED: usize = 64;

/// What is known while a rule is built.
#[derive(Default)]
pub(super) struct Known {
    outcomes: HashMap<TestId, bool>,
    /// Tests known to be true of filters that have one value at a time, newest last.
    true_values: HashMap<FilterId, Vec<TestId>>,
    /// How many of them ask one of the contrary name filters.
    contrary: HashMap<FilterId, usize>,
}

impl Known {
    /// Adds an outcome; returns what has to be given back to [`Known::forget`].
    pub fn learn(&mut self, arena: &Arena, test: TestId, outcome: bool) -> Option<TestId> {
        let entry = arena.test(test);
        if entry.opaque || self.outcomes.contains_key(&test) {
            return None;
        }
        self.outcomes.insert(test, outcome);
        if outcome && entry.single_valued {
            self.true_values.entry(entry.test.filter).or_default().push(test);
            if entry.contrary {
                *self.contrary.entry(entry.test.filter).or_default() += 1;
            }
        }
        Some(test)
    }

    pub fn forget(&mut self, arena: &Arena, learnt: Option<TestId>) {
        let Some(test) = learnt else { return };
        self.outcomes.remove(&test);
        let filter = arena.test(test).test.filter;
        let Some(known) = self.true_values.get_mut(&filter) else { return };
        if known.last() == Some(&test) {
            known.pop();
            if let Some(count) = self.contrary.get_mut(&filter) {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// The outcome of a test, if the known ones decide it (GRAPH.md R5): the same test; another
    /// value of a filter that has one value; one of the contrary name filters. That a wider
    /// subpath is implied by a narrower one is not concluded, as Apple does not.
    fn decides(&self, arena: &Arena, test: TestId) -> Option<bool> {
        if let Some(outcome) = self.outcomes.get(&test) {
            return Some(*outcome);
        }
        let entry = arena.test(test);
        if entry.opaque {
            return None;
        }
        let filter = entry.test.filter;
        if entry.contrary && self.contrary.iter().any(|(known, count)| *known != filter && *count > 0) {
            return Some(false);
        }
        let known = self.true_values.get(&filter).map(Vec::as_slice).unwrap_or_default();
        // The newest say most: a profile narrows down. The bound keeps odd profiles from taking
        // time with the third power of their length; what it leaves out is only a shorter way.
        let mut newest = known.iter().rev().take(MAX_COMPARED);
        let excluded = newest.any(|known| excludes(&arena.test(*known).test.argument, &entry.test.argument));
        excluded.then_some(false)
    }
}

/// True if one value cannot pass both tests.
fn excludes(a: &Argument, b: &Argument) -> bool {
    match (a, b) {
        (Argument::Number(a), Argument::Number(b)) => a != b,
        (Argument::Number(one), Argument::Numbers(set)) | (Argument::Numbers(set), Argument::Number(one)) => {
            !set.contains(one)
        }
        (Argument::Numbers(a), Argument::Numbers(b)) => !a.iter().any(|one| b.contains(one)),
        (Argument::Mask { numbers: a, .. }, Argument::Mask { numbers: b, .. }) => !a.iter().any(|one| b.contains(one)),
        (Argument::Text(a), Argument::Text(b)) => a != b,
        (Argument::Pattern(a), Argument::Pattern(b)) => a.excludes(b),
        _ => false,
    }
}

/// All nodes of one profile.
pub(super) struct Arena {
    pub release: &'static Release,
    pub nodes: Vec<BuildNode>,
    pub tests: Vec<BuildTest>,
    test_numbers: HashMap<Test, TestId>,
    node_numbers: HashMap<(TestId, Id, Id), Id>,
    terminal_numbers: HashMap<BuildTerminal, Id>,
    passes: Passes,
    conjunctions: u32,
    /// The number of the rule that nodes are made for.
    pub rule: usize,
}

impl Arena {
    pub fn new(release: &'static Release, passes: Passes) -> Self {
        let deny = BuildTerminal::plain(super::action_flags(release, Action::Deny));
        Self {
            release,
            nodes: vec![BuildNode::Terminal(deny.clone())],
            tests: Vec::new(),
            test_numbers: HashMap::new(),
            node_numbers: HashMap::new(),
            terminal_numbers: HashMap::from([(deny, Id::DENY)]),
            passes,
            conjunctions: 0,
            rule: usize::MAX,
        }
    }

    pub fn test(&self, id: TestId) -> &BuildTest {
        &self.tests[id.0 as usize]
    }

    /// The number of a test. Strings and expressions of folding filters are put into lower case
    /// here, where the release folds.
    pub fn test_id(&mut self, test: &Test, ordinal: (usize, usize)) -> TestId {
        let filter = self.release.filter(test.filter);
        let folds = self.release.folds_paths() && filter.is_some_and(|filter| filter.folds);
        let test = if folds { folded(test) } else { test.clone() };
        if let Some(id) = self.test_numbers.get(&test) {
            return *id;
        }
        let prerequisite = super::loads::prerequisite(self.release, test.filter);
        let lowered = match &test.argument {
            // Several in one call are one object (GRAPH.md R3c), so all of them are simple or none
            // is taken for it (chosen).
            Argument::Regexes(list) if self.passes.lower_regexes && self.release.programs().lowers_regexes => list
                .iter()
                .map(|(_, expression)| lower::tree(expression))
                .collect::<Option<Vec<_>>>()
                .unwrap_or_default(),
            _ => Vec::new(),
        };
        let is_regex = matches!(test.argument, Argument::Regexes(_)) && lowered.is_empty();
        let id = TestId(u32::try_from(self.tests.len()).unwrap_or(u32::MAX));
        self.tests.push(BuildTest {
            is_string: matches!(test.argument, Argument::Pattern(_)) || !lowered.is_empty(),
            lowered,
            single_valued: filter.is_some_and(|filter| filter.single_valued),
            contrary: filter.is_some_and(|filter| filter.contrary)
                && filter.is_some_and(|filter| filter.kind == FilterKind::Pattern),
            prerequisite,
            opaque: prerequisite.is_some() || self.release.is_prerequisite(test.filter),
            // A regular expression sorts after the strings of its filter; by how much is not
            // known (GRAPH.md R1), so by the least.
            cost: filter.map_or(0, |filter| i32::from(filter.cost)) * 2 + i32::from(is_regex),
            ordinal,
            test: test.clone(),
        });
        self.test_numbers.insert(test, id);
        id
    }

    /// A number for a new conjunction.
    pub fn conjunction(&mut self) -> u32 {
        self.conjunctions += 1;
        self.conjunctions
    }

    pub fn terminal(&mut self, terminal: BuildTerminal) -> Result<Id, BuildError> {
        if let Some(id) = self.terminal_numbers.get(&terminal) {
            return Ok(*id);
        }
        let id = self.add(BuildNode::Terminal(terminal.clone()))?;
        self.terminal_numbers.insert(terminal, id);
        Ok(id)
    }

    /// The node of a test: edges that are decided already are threaded, a node with equal branches
    /// is its branch, an equal node is used again.
    pub fn node(
        &mut self,
        test: TestId,
        matched: Id,
        unmatched: Id,
        known: &mut Known,
        conjunction: Option<u32>,
    ) -> Result<Id, BuildError> {
        let (matched, unmatched) = self.thread(test, matched, unmatched, known);
        if matched == unmatched {
            return Ok(matched);
        }
        if let Some(id) = self.node_numbers.get(&(test, matched, unmatched)) {
            return Ok(*id);
        }
        let id = self.add(BuildNode::Test { tests: vec![test], matched, unmatched, conjunction, rule: self.rule })?;
        self.node_numbers.insert((test, matched, unmatched), id);
        Ok(id)
    }

    /// A node of its own even where an equal one is there, unless its branches are equal.
    pub fn own_node(&mut self, test: TestId, matched: Id, unmatched: Id) -> Result<Id, BuildError> {
        let (matched, unmatched) = self.thread(test, matched, unmatched, &mut Known::default());
        if matched == unmatched {
            return Ok(matched);
        }
        self.add(BuildNode::Test { tests: vec![test], matched, unmatched, conjunction: None, rule: self.rule })
    }

    fn add(&mut self, node: BuildNode) -> Result<Id, BuildError> {
        if self.nodes.len() >= MAX_NODES {
            return Err(BuildError::TooManyNodes { limit: MAX_NODES });
        }
        let id = Id(u32::try_from(self.nodes.len()).map_err(|_| BuildError::TooManyNodes { limit: MAX_NODES })?);
        self.nodes.push(node);
        Ok(id)
    }

    fn thread(&self, test: TestId, matched: Id, unmatched: Id, known: &mut Known) -> (Id, Id) {
        if !self.passes.thread {
            return (matched, unmatched);
        }
        let learnt = known.learn(self, test, true);
        let matched = self.follow(matched, known);
        known.forget(self, learnt);
        let learnt = known.learn(self, test, false);
        let unmatched = self.follow(unmatched, known);
        known.forget(self, learnt);
        (matched, unmatched)
    }

    /// Skips nodes whose outcome is known, and nodes both answers of which lead to one place then. The
    /// latter is measured: of the blobs of iOS 17 and 26, ways out of a rule skip whole rules of which
    /// only some tests are decided.
    fn follow(&self, mut id: Id, known: &Known) -> Id {
        loop {
            id = self.follow_decided(id, known);
            let BuildNode::Test { tests, matched, unmatched, .. } = &self.nodes[id.index()] else { return id };
            // Without facts nothing below is decided.
            if known.outcomes.is_empty() || !matches!(tests.as_slice(), [test] if !self.test(*test).opaque) {
                return id;
            }
            let mut left = MAX_LOOKED_AT;
            match self.meeting(*matched, *unmatched, known, &mut left) {
                Some(place) => id = place,
                None => return id,
            }
        }
    }

    /// Where all ways from both places come to with what is known, if that is one place.
    fn meeting(&self, a: Id, b: Id, known: &Known, left: &mut usize) -> Option<Id> {
        let (mut a, mut b) = (self.follow_decided(a, known), self.follow_decided(b, known));
        // Children have lower numbers: the higher one cannot be where the other comes to.
        while a != b {
            *left = left.checked_sub(1)?;
            let higher = a.max(b);
            let BuildNode::Test { tests, matched, unmatched, .. } = &self.nodes[higher.index()] else { return None };
            if !matches!(tests.as_slice(), [test] if !self.test(*test).opaque) {
                return None;
            }
            let place = self.meeting(*matched, *unmatched, known, left)?;
            (a, b) = (place, a.min(b));
        }
        Some(a)
    }

    fn follow_decided(&self, mut id: Id, known: &Known) -> Id {
        while let BuildNode::Test { tests, matched, unmatched, .. } = &self.nodes[id.index()] {
            let [test] = tests.as_slice() else { break };
            match known.decides(self, *test) {
                Some(true) => id = *matched,
                Some(false) => id = *unmatched,
                None => break,
            }
        }
        id
    }

    /// How many edges and roots lead to each node that a root reaches (GRAPH.md, "in(x)"); 0 for
    /// the others.
    pub fn incoming(&self, roots: &[Id]) -> Vec<u32> {
        let mut incoming = vec![0; self.nodes.len()];
        for root in roots {
            incoming[root.index()] += 1;
        }
        // Edges lead to lower numbers, so one pass from the top sees each node after its parents.
        for index in (0..self.nodes.len()).rev() {
            if incoming[index] == 0 {
                continue;
            }
            match &self.nodes[index] {
                BuildNode::Test { matched, unmatched, .. } => {
                    incoming[matched.index()] += 1;
                    incoming[unmatched.index()] += 1;
                }
                BuildNode::Terminal(terminal) => {
                    for (_, carried) in &terminal.carried {
                        if let Carried::MessageFilter(_, entry) = carried {
                            incoming[entry.index()] += 1;
                        }
                    }
                }
            }
        }
        incoming
    }
}

fn folded(test: &Test) -> Test {
    let argument = match &test.argument {
        Argument::Pattern(pattern) => Argument::Pattern(StringPattern::folded(pattern.clone())),
        Argument::Regexes(list) => {
            Argument::Regexes(list.iter().map(|(text, expression)| (text.clone(), expression.folded())).collect())
        }
        other => other.clone(),
    };
    Test { filter: test.filter, argument }
}
