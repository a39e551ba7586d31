//! In: an error that ended an evaluation. Out: its [`Diagnostic`], with the trail and, for an
//! unbound name, what may have been meant: a name of another version, of another release, or one
//! that is spelled almost like it. Never: rendering.

use super::diagnostics::{Diagnostic, place};
use super::filters;
use super::scheme::{Error, ErrorKind};
use super::state::{Sbpl, SbplMachine};
use crate::policy::rules::Via;
use crate::vocabulary::{Release, release_names};

/// The diagnostic of an error that ended an evaluation.
pub(super) fn of_error(machine: &mut SbplMachine, error: &Error) -> Diagnostic {
    let code = match error.kind {
        ErrorKind::Syntax => "syntax",
        ErrorKind::Budget => "budget",
        ErrorKind::Program if error.unbound.is_some() => "unbound-variable",
        ErrorKind::Program => "evaluation",
    };
    let name = machine.sources.name(machine.host.main).to_owned();
    let mut diagnostic = Diagnostic::error(code, error.message.clone(), &name);
    // A budget can run out between two forms; then the nearest macro call or form has to do.
    let nearest = error.trail.as_ref().and_then(|trail| trail.at).or(error.outermost);
    if let Some(at) = error.at.or(nearest) {
        diagnostic.set_place(&machine.sources, at);
    }
    diagnostic.via = Sbpl::via(machine, error.trail.as_ref());
    // An error inside a procedure: the form that called it, where no import or macro tells.
    if let (Some(at), Some(outer)) = (error.at, error.outermost)
        && diagnostic.via.is_empty()
        && (at.source != outer.source || at.start < outer.start || at.start >= outer.end)
    {
        diagnostic.via.push(Via { what: "this form".to_owned(), place: place(&machine.sources, outer) });
    }
    diagnostic.help = error.unbound.as_deref().and_then(|name| suggestion(machine, name));
    diagnostic
}

/// What may have been meant by an unbound name.
fn suggestion(machine: &SbplMachine, name: &str) -> Option<String> {
    let release = machine.host.release;
    if name.starts_with('\u{feff}') {
        return Some("the text starts with a byte order mark; save it without one".to_owned());
    }
    let starred = || {
        let starred = format!("{name}*");
        release.operation(&starred).map(|_| format!("the operation is called '{starred}'"))
    };
    let here = in_other_version(release, name).or_else(starred);
    // A function that is here in another version is in other releases the same alias.
    let elsewhere = if release.function(name).is_none() { in_other_release(release, name) } else { None };
    match (here, elsewhere) {
        (Some(here), Some(elsewhere)) => Some(format!("{here}; '{name}' is {elsewhere}")),
        (Some(here), None) => Some(here),
        (None, Some(elsewhere)) => Some(format!("'{name}' is {elsewhere}")),
        (None, None) => closest(release, name),
    }
}

/// What the name stands for in another version of SBPL (LANGUAGE.md §4.6).
fn in_other_version(release: &Release, name: &str) -> Option<String> {
    let named = |versions: &[u8], meaning: String| {
        let version = versions.first()?;
        Some(format!("'{name}' is a version {version} name of {meaning}"))
    };
    if let Some(alias) = release.operation_aliases().iter().find(|alias| alias.name == name) {
        return named(&alias.versions, format!("'{}'", alias.operation));
    }
    if let Some((filter, function)) = release.function(name) {
        let meaning = release.preferred_function(filter.id, function.matching).unwrap_or(&filter.name);
        return named(&function.versions, format!("'{meaning}'"));
    }
    for modifier in release.modifiers() {
        if let Some(alias) = modifier.aliases.iter().find(|alias| alias.name == name) {
            return named(&alias.versions, format!("'{}'", modifier.name));
        }
    }
    if let Some(entry) = release.deprecated_modifiers().iter().find(|entry| entry.name == name) {
        return named(&entry.versions, "a modifier that does nothing any more".to_owned());
    }
    let gone = release.no_op_operations();
    if gone.names.iter().any(|known| known == name) {
        return named(&gone.versions, "an operation that is gone".to_owned());
    }
    named(&[1], filters::shorthand_meaning(release, name)?)
}

/// Which release knows the name, and as what: the nearest one in the list, of the same platform
/// where one of those does. Reads every grammar file, which only an error may cost.
fn in_other_release(release: &Release, name: &str) -> Option<String> {
    let releases: Vec<&Release> = release_names().into_iter().filter_map(|name| Release::named(name).ok()).collect();
    let own = releases.iter().position(|other| other.name() == release.name())?;
    let knows = |other: &Release| {
        if other.operation(name).is_some() {
            Some("an operation")
        } else if other.function(name).is_some() {
            Some("a filter")
        } else if other.modifier_named(name).is_some() {
            Some("a modifier")
        } else if other.constant(name).is_some() {
            Some("a constant")
        } else {
            None
        }
    };
    releases
        .iter()
        .enumerate()
        .filter(|(place, _)| *place != own)
        .filter_map(|(place, other)| Some((place, other, knows(other)?)))
        .min_by_key(|(place, other, _)| (other.target_platform() != release.target_platform(), place.abs_diff(own)))
        .map(|(_, other, kind)| format!("{kind} of {}", other.name()))
}

/// The known name that is closest to an unbound one, if one is close.
fn closest(release: &Release, name: &str) -> Option<String> {
    let operations = release.operations().iter().map(|operation| operation.name.as_str());
    let functions =
        release.filters().iter().flat_map(|filter| filter.functions.iter().map(|function| function.name.as_str()));
    let constants = release.filters().iter().flat_map(|filter| filter.values.keys().map(String::as_str));
    let modifiers = release.modifiers().iter().map(|modifier| modifier.name.as_str());
    let forms = [
        "allow",
        "deny",
        "version",
        "import",
        "param",
        "with",
        "require-all",
        "require-any",
        "require-not",
        "define",
        "string-append",
    ];
    nearest(name, operations.chain(functions).chain(constants).chain(modifiers).chain(forms))
        .map(|known| format!("did you mean '{known}'?"))
}

/// The known name that a name may be a slip of: few edits away for its length.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.len() / 3).clamp(1, 3);
    known
        .filter(|known| known.len().abs_diff(name.len()) <= limit)
        .map(|known| (distance(known.as_bytes(), name.as_bytes()), known))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, known)| known)
}

/// Edits between two short names: insertions, deletions, changes.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
