//! In: a release's data, and names of operations in the order of their numbers. Out: the data with these
//! operations in place of its own. Never: a rule or an alias about an operation that is not among them.

use std::collections::{HashMap, HashSet};

use super::data::{Operation, ReleaseData, TerminalDefault};

/// Most names that are taken. Real tables have up to 200.
const MOST_NAMES: usize = 1000;

/// Gives the data these operations. What the release knows of one of them stays; the others inherit from
/// the longest name with a star that they begin with, which is marked as inferred.
///
/// # Errors
/// What is wrong with the list.
pub(super) fn rename(data: &mut ReleaseData, names: &[String]) -> Result<(), String> {
    if names.first().is_none_or(|name| name != "default") {
        return Err("the first operation must be 'default'".to_owned());
    }
    if names.len() > MOST_NAMES {
        return Err(format!("{} names of operations, more than {MOST_NAMES}", names.len()));
    }
    let odd = |name: &&String| name.is_empty() || name.len() > 100 || !name.bytes().all(|byte| byte.is_ascii_graphic());
    if let Some(odd) = names.iter().find(odd) {
        return Err(format!("{odd:?} is no name of an operation"));
    }
    let mut known: HashMap<String, Operation> =
        data.operations.drain(..).map(|operation| (operation.name.clone(), operation)).collect();
    let all: HashSet<&str> = names.iter().map(String::as_str).collect();
    for (id, name) in (0_u16..).zip(names) {
        let mut operation = known.remove(name).unwrap_or_else(|| Operation {
            id,
            name: name.clone(),
            parent: None,
            parent_inferred: false,
            inferred: true,
            default_inferred: false,
            terminal: (name == "default").then_some(TerminalDefault::Deny),
            allowed_in: Vec::new(),
            message_filter: false,
        });
        operation.id = id;
        let has_parent = operation.parent.as_ref().is_some_and(|parent| all.contains(parent.as_str()));
        if operation.terminal.is_none() && !has_parent {
            operation.parent = Some(parent(name, names).to_owned());
            operation.parent_inferred = true;
        }
        data.operations.push(operation);
    }
    let has = |name: &String| all.contains(name.as_str());
    data.operation_aliases.retain(|alias| has(&alias.operation) && alias.name != alias.operation);
    for alias in &mut data.operation_aliases {
        alias.shadows = has(&alias.name);
    }
    data.no_op_operations.names.retain(|name| !has(name));
    for modifier in &mut data.modifiers {
        modifier.only.retain(has);
        modifier.except.retain(has);
    }
    data.implicit.retain(|rule| has(&rule.operation) && rule.when_allowed.iter().chain(&rule.shares_with).all(has));
    Ok(())
}

/// The longest name with a star that this one begins with.
fn parent<'a>(name: &str, names: &'a [String]) -> &'a str {
    let stem = name.trim_end_matches('*');
    let candidates = names.iter().filter_map(|candidate| {
        let prefix = candidate.strip_suffix('*')?;
        let rest = stem.strip_prefix(prefix)?;
        (candidate != name && (rest.starts_with('-') || (rest.is_empty() && !name.ends_with('*')))).then_some(candidate)
    });
    candidates.max_by_key(|candidate| candidate.len()).map_or("default", String::as_str)
}
