//! In: a profile's graph. Out: rules that compile to a graph of the same meaning. Never:
//! bytes or text; and nothing is left out or guessed: what no rule says is an error.
//!
//! - `working`: the graph with what is equal made one
//! - `implicit`: the version, and the rules that the compiler adds, taken off
//! - `segments`: where one rule ends and the next begins
//! - `decisions`, `structure`: one rule's nodes as a combination of tests
//! - `formula`, `filters`: that combination as a filter
//! - `terminals`: action and modifiers
//! - `relations`: what one test says of another
//! - `join`: one list of rules for all operations

mod decisions;
mod filters;
mod formula;
mod implicit;
mod join;
mod relations;
mod segments;
mod structure;
mod terminals;
mod working;

use std::collections::HashMap;
use std::sync::Arc;

use super::collection::Profile;
use super::graph::{ModifierArgument as Carried, NodeId};
use super::rules::{Action, Modifier, ModifierArgument, Origin, Rule, Rules, Tail};
use crate::vocabulary::OperationId;
use filters::Filters;
use formula::{Asked, Formula};
use implicit::{Plan, is_hidden, plain};
use join::{Join, Joined};
use relations::Relations;
use segments::{Found, Segments, Then};
use working::{Place, TerminalId, Working};

/// Why a graph has no rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecompileError {
    /// Tests combined in a way that no profile can write.
    #[error("its tests are nested deeper than a profile can say (limit {limit})")]
    TooDeep {
        /// The limit.
        limit: u16,
    },
    /// Nodes that lead to one another in ways that no combination of a reasonable size has.
    #[error("no filter of fewer than {limit} more tests says the same as its nodes")]
    NoFormula {
        /// The limit.
        limit: u64,
    },
    /// A test that SBPL cannot write.
    #[error("a test of {filter} cannot be written: {reason}")]
    NoText {
        /// Which filter.
        filter: String,
        /// Why.
        reason: String,
    },
    /// Flag bits of a terminal that no modifiers set together.
    #[error("no modifiers set the flags {flags:#x} of a terminal")]
    NoModifier {
        /// The flags.
        flags: u32,
    },
    /// A version in which the name of an operation is another one's.
    #[error("version {version} has no name for it")]
    NoName {
        /// The version.
        version: u8,
    },
    /// A message filter leads back into another one.
    #[error("a message filter stands inside another one")]
    NestedMessageFilter,
    /// A graph with dangling links.
    #[error("the graph has links to nodes that do not exist")]
    Unreadable,
    /// An operation is at fault.
    #[error("{operation}: {reason}")]
    InOperation {
        /// Which.
        operation: String,
        /// What is wrong with it.
        reason: Box<DecompileError>,
    },
}

/// The rules of a profile. In time that grows about as its nodes do.
///
/// # Errors
/// [`DecompileError`].
pub fn decompile(profile: &Profile) -> Result<Rules, DecompileError> {
    let graph = &profile.graph;
    let mut working = Working::of(graph);
    let plan = Plan::of(&mut working, profile.base.as_deref());
    // The goal of each operation: where it goes on without a rule of its own.
    let goals: Vec<Goal> = (plan.table.iter().zip(&plan.roots))
        .map(|(entry, _)| match entry.tail {
            Tail::Parent(parent) => {
                plan.roots.get(parent.index()).map_or(Goal::Nothing, |root| Goal::Place(root.children))
            }
            Tail::Table(action) => Goal::Terminal(working.terminal(plain(graph.release, action))),
            Tail::Rule(_) => Goal::Nothing,
        })
        .collect();
    let relations = Relations::new(graph.release);
    let mut reader = Reader { working: &working, segments: Segments::new(&working, &relations) };
    // Operations that start and go on at the same places have the same rules.
    let mut groups: Vec<(Place, Goal, Vec<OperationId>)> = Vec::new();
    let mut group_of: HashMap<(Place, Goal), usize> = HashMap::new();
    for (number, (root, goal)) in plan.roots.iter().zip(&goals).enumerate() {
        let Ok(id) = u16::try_from(number) else { break };
        let group = *group_of.entry((root.rules, *goal)).or_insert_with(|| {
            groups.push((root.rules, *goal, Vec::new()));
            groups.len() - 1
        });
        groups[group].2.push(OperationId(id));
    }
    let mut join = Join::default();
    for (start, goal, operations) in &groups {
        // What decides everything else is always said, unless it is another profile.
        let says_default = operations.contains(&OperationId::DEFAULT) && profile.base.is_none();
        let name = || match operations.first() {
            Some(operation) => graph.release.operation_name(*operation).into_owned(),
            None => String::new(),
        };
        let in_operation = |reason| DecompileError::InOperation { operation: name(), reason: Box::new(reason) };
        let (mut rules, last) = reader.rules(*start, *goal).map_err(in_operation)?;
        if (!rules.is_empty() || last.is_some())
            && let Some(hidden) =
                operations.iter().find(|operation| is_hidden(graph.release, plan.version, **operation))
        {
            return Err(DecompileError::InOperation {
                operation: graph.release.operation_name(*hidden).into_owned(),
                reason: Box::new(DecompileError::NoName { version: plan.version }),
            });
        }
        match last {
            Some(last) => rules.insert(0, (None, last)),
            None if says_default => {
                let Goal::Terminal(terminal) = goal else { continue };
                join.add(&[OperationId::DEFAULT], vec![(None, *terminal)]);
            }
            None => {}
        }
        join.add(operations, rules);
    }
    let mut writer =
        Writer { filters: Filters::new(&working, &relations), reader, actions: HashMap::new(), is_message: false };
    let list = writer.rules(join.finish(graph.release.programs().merges_rules)?)?;
    Ok(Rules {
        release: graph.release,
        version: plan.version,
        list,
        base: profile.base.clone(),
        profile_flags: graph.flags,
        implicit: plan.implicit,
    })
}

/// Where a walk goes on if no rule decides.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Goal {
    Place(Place),
    Terminal(TerminalId),
    Nothing,
}

struct Reader<'w, 'g> {
    working: &'w Working<'g>,
    segments: Segments<'w, 'g>,
}

impl Reader<'_, '_> {
    /// The rules from a place on, oldest first, and what decides if none does, where that is not the
    /// goal.
    fn rules(&mut self, start: Place, goal: Goal) -> Result<(Vec<Found>, Option<TerminalId>), DecompileError> {
        let (goal_place, expected) = match goal {
            Goal::Place(place) => (Some(place), self.working.terminal_at(place)),
            Goal::Terminal(terminal) => (None, Some(terminal)),
            Goal::Nothing => (None, None),
        };
        let mut rules: Vec<Found> = Vec::new();
        let mut place = start;
        let last = loop {
            if Some(place) == goal_place {
                break None;
            }
            let segment = self.segments.at(place, goal_place, expected)?;
            let always = segment.rules.iter().position(|(formula, _)| formula.is_none());
            rules.extend(segment.rules.iter().take(always.unwrap_or(usize::MAX)).cloned());
            if let Some((_, terminal)) = always.and_then(|always| segment.rules.get(always)) {
                break Some(*terminal);
            }
            match segment.then {
                Then::Terminal(terminal) if Some(terminal) == expected => break None,
                Then::Terminal(terminal) => break Some(terminal),
                Then::Place(next) if next < place => place = next,
                // The goal may stand above where the ways meet.
                Then::Place(next) if Some(next) == goal_place => break None,
                Then::Place(_) => return Err(DecompileError::Unreadable),
            }
        };
        if let Some(tail) = last.or(expected) {
            self.fold_exceptions(&mut rules, tail)?;
        }
        rules.reverse();
        Ok((rules, last))
    }

    /// `(deny A) (allow B)` before a deny of everything else is `(allow (require-all (require-not A)
    /// B))`: the two have one graph. Written as one rule where A is a negation, or a test of another
    /// filter than B (chosen: a profile says an exception of the same filter by a rule of its own).
    /// `rules` are in the order in which they are tested.
    fn fold_exceptions(&self, rules: &mut Vec<Found>, tail: TerminalId) -> Result<(), DecompileError> {
        while rules.last().is_some_and(|(_, terminal)| *terminal == tail) {
            rules.pop();
        }
        while let Some((_, terminal)) = rules.last() {
            let run = rules.iter().rposition(|(_, other)| other != terminal).map_or(0, |other| other + 1);
            let Some((Some(exception), action)) = run.checked_sub(1).and_then(|before| rules.get(before)) else {
                break;
            };
            if *action != tail || !self.is_part(exception, &rules[run..]) {
                break;
            }
            let (terminal, exception) = (*terminal, exception.clone());
            let run: Vec<Formula> = rules.drain(run - 1..).skip(1).filter_map(|(formula, _)| formula).collect();
            let Some(run) = Formula::list(run, false)? else { break };
            rules.push((Some(Formula::all(exception.opposite()?, run)?), terminal));
        }
        Ok(())
    }

    /// Whether an exception reads better as a part of the rules that it is an exception of.
    fn is_part(&self, exception: &Formula, rules: &[Found]) -> bool {
        if exception.is_negation() {
            return true;
        }
        let filter = |asked: &Asked| self.working.tests.get(asked.test.index()).map(|test| test.filter);
        let [(Some(rule), _)] = rules else { return false };
        // What is left of `(require-not (f 1 2))` once its first test is taken for a rule.
        if rule.is_negation() {
            return true;
        }
        let mut others = Vec::new();
        rule.each_test(&mut |asked| others.push(filter(asked)));
        let mut own = Vec::new();
        exception.each_test(&mut |asked| own.push(filter(asked)));
        !rule.is_any() && own.len() == 1 && own.iter().all(|filter| !others.contains(filter))
    }
}

struct Writer<'w, 'g> {
    filters: Filters<'w, 'g>,
    reader: Reader<'w, 'g>,
    actions: HashMap<TerminalId, (Action, Vec<Modifier>)>,
    /// Inside a message filter.
    is_message: bool,
}

impl Writer<'_, '_> {
    fn rules(&mut self, list: Vec<Joined>) -> Result<Vec<Rule>, DecompileError> {
        list.into_iter()
            .map(|joined| {
                let operation = joined.operations.first().copied().unwrap_or(OperationId::DEFAULT);
                let release = self.reader.working.graph.release;
                self.rule(joined).map_err(|reason| match reason {
                    DecompileError::InOperation { .. } => reason,
                    reason => DecompileError::InOperation {
                        operation: release.operation_name(operation).into_owned(),
                        reason: Box::new(reason),
                    },
                })
            })
            .collect()
    }

    fn rule(&mut self, joined: Joined) -> Result<Rule, DecompileError> {
        let filter = match joined.formula {
            Some(formula) => {
                let formula = self.filters.simplified(formula)?;
                Some(self.filters.filter(&formula)?)
            }
            None => None,
        };
        let (action, modifiers) = self.action(joined.terminal)?;
        Ok(Rule { action, operations: joined.operations, filter, modifiers, origin: Arc::new(Origin::default()) })
    }

    fn action(&mut self, id: TerminalId) -> Result<(Action, Vec<Modifier>), DecompileError> {
        if let Some(known) = self.actions.get(&id) {
            return Ok(known.clone());
        }
        let working = self.reader.working;
        let terminal = working.terminals.get(id.index()).ok_or(DecompileError::Unreadable)?;
        let (action, mut modifiers) = terminals::action(working.graph.release, terminal)?;
        let filters: Vec<(OperationId, NodeId)> = terminal.message_filters().collect();
        let message = terminal.modifiers.iter().find(|entry| matches!(entry.argument, Carried::MessageFilter { .. }));
        if let Some(message) = message {
            if self.is_message {
                return Err(DecompileError::NestedMessageFilter);
            }
            let rules = self.messages(&filters)?;
            modifiers.push(Modifier { id: message.id, argument: ModifierArgument::MessageFilter(Arc::new(rules)) });
        }
        self.actions.insert(id, (action, modifiers.clone()));
        Ok((action, modifiers))
    }

    /// The rules of a message filter. Each operation that it filters is named, as others are left to
    /// the default filter.
    fn messages(&mut self, filters: &[(OperationId, NodeId)]) -> Result<Vec<Rule>, DecompileError> {
        let mut join = Join::default();
        for (operation, NodeId(entry)) in filters {
            let place = Place(*entry);
            let (mut rules, last) = self.reader.rules(place, Goal::Nothing)?;
            let last = last.ok_or(DecompileError::Unreadable)?;
            rules.insert(0, (None, last));
            join.add(&[*operation], rules);
        }
        self.is_message = true;
        let rules = join.finish(true).and_then(|list| self.rules(list));
        self.is_message = false;
        rules
    }
}
