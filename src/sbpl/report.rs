//! In: an error that ended an evaluation. Out: its [`Diagnostic`], with the trail and, for an
//! unbound name, what may have been meant. Never: rendering.

use super::diagnostics::{Diagnostic, place};
use super::scheme::{Error, ErrorKind};
use super::state::{Sbpl, SbplMachine};
use crate::policy::rules::Via;

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

/// The known name that is closest to an unbound one, if one is close.
fn suggestion(machine: &SbplMachine, name: &str) -> Option<String> {
    let release = machine.host.release;
    if name.starts_with('\u{feff}') {
        return Some("the text starts with a byte order mark; save it without one".to_owned());
    }
    let starred = format!("{name}*");
    if release.operation(&starred).is_some() {
        return Some(format!("the operation is called '{starred}'"));
    }
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
    let limit = (name.len() / 3).clamp(1, 3);
    operations
        .chain(functions)
        .chain(constants)
        .chain(modifiers)
        .chain(forms)
        .filter(|known| known.len().abs_diff(name.len()) <= limit)
        .map(|known| (distance(known.as_bytes(), name.as_bytes()), known))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, known)| format!("did you mean '{known}'?"))
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
