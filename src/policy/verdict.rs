//! In: a [`Graph`] and a [`Request`]. Out: [`Verdict`]: the terminal that the walk ends at and the
//! tests on the way. Never: rules or their text; a graph does not know them.

use crate::pattern::tree::Tree;
use crate::vocabulary::{FilterKind, OperationId};

use super::graph::{Argument, Graph, Node, NodeId, Terminal, Test};
use super::request::{Entitlement, Fact, Request};

/// One question on the way to a verdict.
#[derive(Clone, Copy, Debug)]
pub struct Consulted<'g> {
    /// The question.
    pub test: &'g Test,
    /// The answer.
    pub holds: bool,
    /// Nothing was known about it, so it counts as no; or it asks for the value of a variable, which
    /// only a process has.
    pub assumed: bool,
}

/// What the graph says about a request.
#[derive(Clone, Debug)]
pub struct Verdict<'g> {
    /// Where the walk ended.
    pub terminal: &'g Terminal,
    /// The node it ended at.
    pub node: NodeId,
    /// The questions, in order.
    pub consulted: Vec<Consulted<'g>>,
}

/// Why there is no verdict.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerdictError {
    /// The graph has no entry for the operation.
    #[error("operation '{0}' has no place in a compiled profile; it exists only inside message filters")]
    NoEntry(String),
    /// The graph is damaged: a link leads nowhere.
    #[error("the policy graph is damaged at node {0}")]
    Damaged(u32),
}

impl Verdict<'_> {
    /// Whether the request is denied.
    #[must_use]
    pub fn denies(&self) -> bool {
        self.terminal.denies()
    }
}

/// Decides without recording the way; allocates nothing.
///
/// # Errors
/// [`VerdictError`] where the operation or the graph has no answer.
pub fn decide<'g>(graph: &'g Graph, request: &Request) -> Result<&'g Terminal, VerdictError> {
    walk(graph, request, |_| {}).map(|(terminal, _)| terminal)
}

/// Decides and records every question.
///
/// # Errors
/// As [`decide`].
pub fn explain<'g>(graph: &'g Graph, request: &Request) -> Result<Verdict<'g>, VerdictError> {
    let mut consulted = Vec::new();
    let (terminal, node) = walk(graph, request, |step| {
        let assumed = step.assumed
            || (!step.holds && matches!(&step.test.argument, Argument::Pattern(tree) if tree.has_variables()));
        consulted.push(Consulted { assumed, ..step });
    })?;
    Ok(Verdict { terminal, node, consulted })
}

fn walk<'g>(
    graph: &'g Graph,
    request: &Request,
    mut record: impl FnMut(Consulted<'g>),
) -> Result<(&'g Terminal, NodeId), VerdictError> {
    let name = |operation: OperationId| graph.release.operation_name(operation).into_owned();
    let mut id = graph.entry(request.operation).ok_or_else(|| VerdictError::NoEntry(name(request.operation)))?;
    let mut loaded: Option<&Entitlement> = None;
    // No walk visits a node twice, so this bound is never reached in a sound graph.
    for _ in 0..=graph.nodes.len() {
        match graph.node(id) {
            Some(Node::Terminal(terminal)) => return Ok((terminal, id)),
            Some(Node::Test { test, matched, unmatched }) => {
                let (holds, assumed) = ask(graph, test, request, &mut loaded);
                record(Consulted { test, holds, assumed });
                id = if holds { *matched } else { *unmatched };
            }
            None => break,
        }
    }
    Err(VerdictError::Damaged(id.0))
}

/// The answer to one test, and whether it is only assumed.
fn ask<'r>(graph: &Graph, test: &Test, request: &'r Request, loaded: &mut Option<&'r Entitlement>) -> (bool, bool) {
    let entry = graph.release.filter(test.filter);
    if let Some(entry) = entry.filter(|entry| entry.name.starts_with("%entitlement")) {
        return (entitlement(&entry.name, &test.argument, request, loaded), false);
    }
    let mut known = false;
    for fact in request.facts(test.filter) {
        known = true;
        let holds = match (&test.argument, fact) {
            // A bit field asks whether any of the bits is set (chosen), everything else for the number.
            (Argument::Number(wanted), Fact::Number(number)) => {
                wanted == number
                    || (number & wanted != 0 && entry.is_some_and(|entry| entry.kind == FilterKind::Bitfield))
            }
            (Argument::Numbers(set) | Argument::Mask { numbers: set, .. }, Fact::Number(number)) => {
                set.binary_search(number).is_ok()
            }
            (Argument::Text(wanted), Fact::Text(text)) => wanted == text,
            (Argument::Pattern(tree), Fact::Text(text)) => tree.matches(text),
            (Argument::Regex(automaton), Fact::Text(text)) => automaton.matches(text),
            (Argument::Address(wanted), Fact::Address(address)) => wanted.covers(address),
            (Argument::StateFlag(number), Fact::Text(text)) => graph.states.get(usize::from(*number)) == Some(text),
            (Argument::ProfileFlag(number), Fact::Text(text)) => {
                graph.profile_flags.get(usize::from(*number)) == Some(text)
            }
            _ => false,
        };
        if holds {
            return (true, false);
        }
    }
    (false, !known)
}

/// The entitlement filters (LANGUAGE.md §4.5): a loader is true if the process has the
/// entitlement, and the tests behind it ask about that one.
fn entitlement<'r>(
    name: &str,
    argument: &Argument,
    request: &'r Request,
    loaded: &mut Option<&'r Entitlement>,
) -> bool {
    match (name, argument) {
        ("%entitlement-load", Argument::Text(key)) => {
            *loaded = request.entitlement(key);
            loaded.is_some()
        }
        ("%entitlement-is-present", Argument::Text(key)) => request.entitlement(key).is_some(),
        ("%entitlement-is-bool-true", Argument::Text(key)) => {
            matches!(request.entitlement(key), Some(Entitlement::Bool(true)))
        }
        ("%entitlement-boolean", Argument::Number(wanted)) => {
            matches!(loaded, Some(Entitlement::Bool(value)) if u16::from(*value) == *wanted)
        }
        ("%entitlement-string", argument) => {
            let matches = |text: &Vec<u8>| match argument {
                Argument::Pattern(tree) => Tree::matches(tree, text),
                Argument::Regex(automaton) => automaton.matches(text),
                _ => false,
            };
            matches!(loaded, Some(Entitlement::Texts(texts)) if texts.iter().any(matches))
        }
        _ => false,
    }
}
