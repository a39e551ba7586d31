//! In: the nodes of a part of a graph, and where each way out counts as yes, no or either. Out:
//! [`Decisions`], the same question with as few tests as that leaves. Never: a choice that changes
//! a yes or a no.

use std::collections::{HashMap, HashSet};

use super::formula::Asked;
use super::working::TestId;

/// Where a way leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Way {
    Yes,
    No,
    /// Either will do: the request is decided elsewhere.
    Either,
    /// To the decision with this number.
    Decision(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Decision {
    pub asked: Asked,
    pub yes: Way,
    pub no: Way,
}

/// Decisions, each behind what it leads to.
#[derive(Default)]
pub(super) struct Decisions {
    pub list: Vec<Decision>,
    /// Whether some test from here on refers to a value that is loaded before.
    refers: Vec<bool>,
    /// The tests that refer to a loaded value.
    referring: HashSet<TestId>,
    numbers: HashMap<Decision, u32>,
}

/// How a test is about loaded values (LANGUAGE.md §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loading {
    Neither,
    Loads,
    Refers,
}

impl Decisions {
    /// A decision, unless both ways are one.
    pub fn decide(&mut self, test: TestId, loading: Loading, yes: Way, no: Way) -> Way {
        let asked = Asked { test, loader: None };
        match loading {
            Loading::Neither => match (yes, no) {
                (Way::Either, other) | (other, Way::Either) => other,
                (yes, no) if yes == no => yes,
                _ => self.add(Decision { asked, yes, no }, self.refers(yes) || self.refers(no)),
            },
            Loading::Refers => match (yes, no) {
                (Way::Either, other) | (other, Way::Either) => other,
                (yes, no) if yes == no => yes,
                _ => {
                    self.referring.insert(test);
                    self.add(Decision { asked, yes, no }, true)
                }
            },
            Loading::Loads => {
                let refers = self.refers(yes);
                let yes = self.bind(yes, test);
                match (yes, no) {
                    (Way::Either, other) => other,
                    // What refers to this value must stay behind its loader.
                    (yes, Way::Either) if refers => self.add(Decision { asked, yes, no: Way::No }, false),
                    (other, Way::Either) => other,
                    (yes, no) if yes == no => yes,
                    _ => {
                        let refers = self.refers(no);
                        self.add(Decision { asked, yes, no }, refers)
                    }
                }
            }
        }
    }

    fn refers(&self, way: Way) -> bool {
        match way {
            Way::Decision(number) => self.refers.get(number as usize).copied().unwrap_or(false),
            _ => false,
        }
    }

    fn add(&mut self, decision: Decision, refers: bool) -> Way {
        let next = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(decision).or_insert(next);
        if number == next {
            self.list.push(decision);
            self.refers.push(refers);
        }
        Way::Decision(number)
    }

    /// The same, with the tests that refer to what was loaded last marked as referring to `loader`.
    fn bind(&mut self, way: Way, loader: TestId) -> Way {
        let Way::Decision(top) = way else { return way };
        if !self.refers(way) {
            return way;
        }
        let mut reached = vec![];
        let mut work = vec![top];
        let mut seen = HashSet::new();
        while let Some(number) = work.pop() {
            if !seen.insert(number) {
                continue;
            }
            reached.push(number);
            let Some(decision) = self.list.get(number as usize) else { continue };
            for next in [decision.yes, decision.no] {
                if let Way::Decision(next) = next
                    && self.refers(Way::Decision(next))
                {
                    work.push(next);
                }
            }
        }
        reached.sort_unstable();
        let mut bound: HashMap<u32, Way> = HashMap::new();
        for number in reached {
            let Some(mut decision) = self.list.get(number as usize).copied() else { continue };
            let new = |way: Way| match way {
                Way::Decision(old) => bound.get(&old).copied().unwrap_or(way),
                other => other,
            };
            (decision.yes, decision.no) = (new(decision.yes), new(decision.no));
            if decision.asked.loader.is_none() && self.referring.contains(&decision.asked.test) {
                decision.asked.loader = Some(loader);
            }
            let way = self.add(decision, false);
            bound.insert(number, way);
        }
        bound.get(&top).copied().unwrap_or(way)
    }
}
