//! In: the implicit rules of the release and what the profile says. Out: those that apply, put
//! before the profile's own rules (COMPILER.md §5, LANGUAGE.md §7.4). Never: which they are; that
//! is data in `grammar/`.

use crate::pattern::{Part, StringKind, StringPattern};
use crate::policy::rules::{Argument, OperationRules, Rules, Test};
use crate::vocabulary::{ImplicitNode, ImplicitRule, OperationId};

use super::BuildError;
use super::arena::{Arena, BuildTerminal, Id, Known};

/// An implicit rule that applies to a profile.
pub(super) struct Applicable {
    rule: &'static ImplicitRule,
    operation: OperationId,
    test: Test,
}

/// The argument of an implicit rule.
fn argument(rule: &ImplicitRule) -> Argument {
    match (&rule.literal, rule.value) {
        (Some(text), _) => Argument::Pattern(StringPattern {
            kind: StringKind::Literal,
            parts: vec![Part::Text(text.as_bytes().to_vec())],
        }),
        (None, Some(number)) => Argument::Number(number),
        (None, None) => Argument::Numbers(rule.values.clone()),
    }
}

/// Whether an implicit rule of the release is in force for a profile.
fn applies(rule: &ImplicitRule, rules: &Rules, table: &[OperationRules]) -> bool {
    let names = &rule.when_allowed;
    rules.implicit
        && rule.versions.contains(&rules.version)
        && (names.is_empty()
            || names
                .iter()
                .filter_map(|name| rules.release.operation(name))
                .any(|operation| rules.can_allow(table, operation)))
}

/// The implicit rules in force, in the order of the grammar.
pub(super) fn applicable(rules: &Rules, table: &[OperationRules]) -> Vec<Applicable> {
    rules
        .release
        .implicit_rules()
        .iter()
        .filter(|rule| applies(rule, rules, table))
        .filter_map(|rule| {
            let operation = rules.release.operation(&rule.operation)?;
            let filter = rules.release.filter_named(&rule.filter)?.id;
            Some(Applicable { rule, operation, test: Test { filter, argument: argument(rule) } })
        })
        .collect()
}

/// Puts the rules that share nodes before the profile's rules of their operation.
pub(super) fn add_shared(
    arena: &mut Arena,
    implicit: &[Applicable],
    operation: OperationId,
    mut root: Id,
) -> Result<Id, BuildError> {
    for entry in implicit.iter().filter(|entry| entry.operation == operation) {
        let own = match entry.rule.node {
            ImplicitNode::Own => continue,
            ImplicitNode::Shared => 0,
            // Apple gives these allows an object each (GRAPH.md R6); why is not known.
            ImplicitNode::OwnTerminal => u32::from(operation.0) + 1,
        };
        let test = arena.test_id(&entry.test, (usize::MAX, 0));
        let plain = arena.terminal(BuildTerminal::plain(0))?;
        // Where everything is allowed already, there is nothing to add.
        if root == plain {
            continue;
        }
        let allow = arena.terminal(BuildTerminal { own, ..BuildTerminal::plain(0) })?;
        root = arena.node(test, allow, root, &mut Known::default(), None)?;
    }
    Ok(root)
}

/// Gives the others nodes of their own, once all written rules have theirs. That they are added
/// after equal nodes were made one is the best guess at why ids 102, 103 and 104 of 14.4.1 have
/// three equal nodes and 145 uses the last (GRAPH.md R6).
pub(super) fn add_own(arena: &mut Arena, implicit: &[Applicable], roots: &mut [Id]) -> Result<(), BuildError> {
    let mut made: Vec<(OperationId, Id, Id)> = Vec::new();
    for entry in implicit.iter().filter(|entry| entry.rule.node == ImplicitNode::Own) {
        let Some(root) = roots.get(entry.operation.index()).copied() else { continue };
        let partner = entry
            .rule
            .shares_with
            .as_deref()
            .and_then(|name| arena.release.operation(name))
            .and_then(|partner| made.iter().find(|(operation, ..)| *operation == partner))
            .copied();
        let test = arena.test_id(&entry.test, (usize::MAX, 0));
        let allow = arena.terminal(BuildTerminal::plain(0))?;
        let node = match partner {
            Some((_, continuation, node)) if continuation == root => node,
            _ => arena.own_node(test, allow, root)?,
        };
        made.push((entry.operation, root, node));
        roots[entry.operation.index()] = node;
    }
    Ok(())
}
