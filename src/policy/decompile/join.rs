//! In: the rules of each operation, oldest first. Out: one list in which each operation's rules stand
//! in that order, and equal ones of several operations are one. Never: a rule for an operation that
//! does not have it.

use std::collections::{BTreeMap, HashMap};

use super::DecompileError;
use super::formula::Formula;
use super::segments::Found;
use super::working::TerminalId;
use crate::vocabulary::OperationId;

/// A rule of several operations.
pub(super) struct Joined {
    pub formula: Option<Formula>,
    pub terminal: TerminalId,
    /// Ascending.
    pub operations: Vec<OperationId>,
}

/// Room between two rules for others.
const GAP: u64 = 1 << 24;

#[derive(Default)]
pub(super) struct Join {
    rules: Vec<Joined>,
    /// Rules by their place in the list.
    order: BTreeMap<u64, usize>,
    places: Vec<u64>,
    equal: HashMap<Found, Vec<usize>>,
}

impl Join {
    /// Adds the rules of operations that have the same ones, oldest first. As many as their order
    /// lets are taken for rules that are there.
    pub fn add(&mut self, operations: &[OperationId], rules: Vec<Found>) {
        let known = self.longest_common(&rules);
        let mut last: Option<u64> = None;
        for (index, rule) in rules.into_iter().enumerate() {
            let number = match known.get(&index) {
                Some(number) => *number,
                None => {
                    let next = known.range(index..).next().map(|(_, number)| *number);
                    self.insert(rule, last, next)
                }
            };
            self.rules[number].operations.extend_from_slice(operations);
            last = Some(self.places[number]);
        }
    }

    /// The most rules that stand in the list in the same order: index and number of each
    /// (the longest increasing run of places).
    fn longest_common(&self, rules: &[Found]) -> BTreeMap<usize, usize> {
        // The ends of the best runs of each length: place, and where the run is in `links`.
        let mut ends: Vec<(u64, usize)> = Vec::new();
        let mut links: Vec<(usize, usize, Option<usize>)> = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let mut numbers = self.equal.get(rule).cloned().unwrap_or_default();
            // From the last place on, so that one rule does not count twice.
            numbers.sort_unstable_by_key(|number| std::cmp::Reverse(self.places[*number]));
            for number in numbers {
                let place = self.places[number];
                let length = ends.partition_point(|(end, _)| *end < place);
                let before = length.checked_sub(1).and_then(|length| ends.get(length)).map(|(_, link)| *link);
                links.push((index, number, before));
                let end = (place, links.len() - 1);
                match ends.get_mut(length) {
                    Some(known) => *known = end,
                    None => ends.push(end),
                }
            }
        }
        let mut out = BTreeMap::new();
        let mut link = ends.last().map(|(_, link)| *link);
        while let Some((index, number, before)) = link.and_then(|link| links.get(link)).copied() {
            out.insert(index, number);
            link = before;
        }
        out
    }

    /// A new rule behind a place and before another rule.
    fn insert(&mut self, rule: Found, after: Option<u64>, before: Option<usize>) -> usize {
        let number = self.rules.len();
        // Behind the rule that stands before `before`, or behind `after`, or at the end.
        let mut after = before
            .and_then(|before| self.order.range(..self.places[before]).next_back())
            .map(|(place, _)| *place)
            .or(after);
        if before.is_some() && after.is_none() {
            after = Some(0);
        }
        let place = match self.between(after) {
            Some(place) => place,
            None => {
                let after = after.and_then(|after| self.order.get(&after).copied());
                self.spread();
                self.between(Some(after.map_or(0, |number| self.places[number]))).unwrap_or(u64::MAX)
            }
        };
        self.equal.entry(rule.clone()).or_default().push(number);
        let (formula, terminal) = rule;
        self.rules.push(Joined { formula, terminal, operations: Vec::new() });
        self.places.push(place);
        self.order.insert(place, number);
        number
    }

    /// A free place right behind another one; at the end for nothing.
    fn between(&self, after: Option<u64>) -> Option<u64> {
        let end = || self.order.keys().next_back().map_or(GAP, |last| last.saturating_add(GAP));
        let Some(after) = after else { return Some(end()) };
        match self.order.range(after + 1..).next() {
            None => Some(end()),
            Some((next, _)) => Some(after + (next - after) / 2).filter(|place| *place != after),
        }
    }

    /// Gives all rules equal room.
    fn spread(&mut self) {
        let order: Vec<usize> = self.order.values().copied().collect();
        self.order.clear();
        for (place, number) in (1..).map(|count: u64| count * GAP).zip(order) {
            self.order.insert(place, number);
            self.places[number] = place;
        }
    }

    /// The list. Neighbours of the same operations with the same action become one rule, if `merges`:
    /// where strings of different rules stay apart, that they do says that there are several.
    pub fn finish(self, merges: bool) -> Result<Vec<Joined>, DecompileError> {
        let Self { rules, order, .. } = self;
        let mut rules: Vec<Option<Joined>> = rules.into_iter().map(Some).collect();
        let mut list: Vec<Joined> = Vec::with_capacity(rules.len());
        // The newest rule of each operation so far.
        let mut newest: HashMap<OperationId, usize> = HashMap::new();
        for number in order.into_values() {
            let Some(mut rule) = rules.get_mut(number).and_then(Option::take) else { continue };
            rule.operations.sort_unstable();
            rule.operations.dedup();
            let before = rule.operations.first().and_then(|operation| newest.get(operation)).copied();
            let neighbour = before.and_then(|place| list.get_mut(place)).filter(|other| {
                merges
                    && other.terminal == rule.terminal
                    && other.operations == rule.operations
                    && other.formula.is_some()
                    && rule.operations.iter().all(|operation| newest.get(operation).copied() == before)
            });
            match (neighbour, rule.formula) {
                (Some(older), Some(newer)) => {
                    let known = older.formula.take();
                    older.formula = Formula::list([newer].into_iter().chain(known), false)?;
                }
                (_, formula) => {
                    for operation in &rule.operations {
                        newest.insert(*operation, list.len());
                    }
                    list.push(Joined { formula, ..rule });
                }
            }
        }
        Ok(list)
    }
}
