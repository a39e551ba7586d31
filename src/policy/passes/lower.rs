//! In: one rule's filter. Out: its nodes, put before the nodes of the older rules. Never: order
//! between rules.

use std::sync::Arc;

use crate::policy::rules::Filter;

use super::BuildError;
use super::arena::{Arena, Id, Known, TestId};

/// Puts a rule before `older`: where the filter is true, `action`; else what was there.
pub(super) fn rule(arena: &mut Arena, filter: &Filter, number: usize, action: Id, older: Id) -> Result<Id, BuildError> {
    super::loads::check(arena.release, filter)?;
    let mut lowering = Lowering { arena, known: Known::default(), rule: number, place: 0 };
    lowering.number(filter);
    lowering.arena.rule = number;
    let made = lowering.filter(filter, false, action, older, Context { conjunction: None, sortable: true });
    lowering.arena.rule = usize::MAX;
    made
}

struct Lowering<'a> {
    arena: &'a mut Arena,
    known: Known,
    rule: usize,
    place: usize,
}

#[derive(Clone, Copy)]
struct Context {
    /// The conjunction that a test directly inside belongs to.
    conjunction: Option<u32>,
    /// A conjunction that stands in a disjunction that stands in a conjunction is left in source
    /// order (GRAPH.md, "unknown" 1: one sample, so chosen).
    sortable: bool,
}

impl Lowering<'_> {
    /// Gives every test its number in reading order, since nodes are made from the end.
    fn number(&mut self, filter: &Filter) {
        match filter {
            Filter::Test(test) => {
                self.place += 1;
                self.arena.test_id(test, (self.rule, self.place));
            }
            Filter::Not(inner) => self.number(inner),
            Filter::All(list) | Filter::Any(list) => list.iter().for_each(|item| self.number(item)),
        }
    }

    fn test_id(&mut self, filter: &Filter) -> Option<TestId> {
        match filter {
            Filter::Test(test) => Some(self.arena.test_id(test, (self.rule, self.place))),
            _ => None,
        }
    }

    /// Nodes for `filter` (or its opposite): true leads to `yes`, false to `no`.
    fn filter(&mut self, filter: &Filter, negated: bool, yes: Id, no: Id, context: Context) -> Result<Id, BuildError> {
        match (filter, negated) {
            (Filter::Test(test), _) => {
                let test = self.arena.test_id(test, (self.rule, self.place));
                let (matched, unmatched) = if negated { (no, yes) } else { (yes, no) };
                self.arena.node(test, matched, unmatched, &mut self.known, context.conjunction)
            }
            (Filter::Not(inner), _) => self.filter(inner, !negated, yes, no, context),
            // NOT(OR(a, b)) is AND(NOT a, NOT b) (GRAPH.md R1).
            (Filter::All(list), false) | (Filter::Any(list), true) => self.chain(list, negated, true, yes, no, context),
            (Filter::Any(list), false) | (Filter::All(list), true) => {
                self.chain(list, negated, false, yes, no, context)
            }
        }
    }

    /// `all`: every item must hold, source order kept; else one of them.
    fn chain(
        &mut self,
        list: &[Arc<Filter>],
        negated: bool,
        all: bool,
        yes: Id,
        no: Id,
        context: Context,
    ) -> Result<Id, BuildError> {
        let inside = if all {
            let conjunction = match context.conjunction {
                Some(outer) => Some(outer),
                None if context.sortable => Some(self.arena.conjunction()),
                None => None,
            };
            Context { conjunction, sortable: context.sortable }
        } else {
            Context { conjunction: None, sortable: context.sortable && context.conjunction.is_none() }
        };
        // What is known when an item is asked: the items before it, true in a conjunction and
        // false in a disjunction. Only single tests say something.
        let mut learnt = Vec::with_capacity(list.len());
        for item in list {
            learnt.push(match simple(item, negated) {
                Some((filter, negated)) => {
                    let test = self.test_id(filter);
                    test.and_then(|test| self.known.learn(self.arena, test, all != negated))
                }
                None => None,
            });
        }
        let mut next = if all { yes } else { no };
        for item in list.iter().rev() {
            self.known.forget(self.arena, learnt.pop().flatten());
            next = if all {
                self.filter(item, negated, next, no, inside)?
            } else {
                self.filter(item, negated, yes, next, inside)?
            };
        }
        Ok(next)
    }
}

/// The test inside any number of `require-not`, and whether it is negated.
fn simple(filter: &Filter, negated: bool) -> Option<(&Filter, bool)> {
    match filter {
        Filter::Test(_) => Some((filter, negated)),
        Filter::Not(inner) => simple(inner, !negated),
        _ => None,
    }
}
