//! In: parts of a [`Graph`]. Out: SBPL text of one test or terminal, for people. Never: whole
//! profiles; turning graphs back into rules is the decompiler's work.

use std::fmt::Write as _;

use super::graph::{Argument, Graph, ModifierArgument, Terminal, Test};
use super::rules::{Action, PROTOCOLS};
use crate::pattern::tree::{Alternatives, Matcher, Tree};
use crate::sbpl_text::quoted;
use crate::vocabulary::{FilterKind, MatchKind, ModifierArgumentKind, Release};

/// A number, by its name where the filter has one.
fn named(release: &Release, filter: crate::vocabulary::FilterId, number: u16) -> String {
    let entry = release.filter(filter);
    let named = entry.and_then(|entry| entry.values.iter().find(|(_, value)| **value == number));
    named.map_or_else(|| number.to_string(), |(name, _)| name.clone())
}

/// The function of a filter for a way of matching; the table name where it has none: a filter that is
/// only a number in blobs is told by its guessed name here, not by the number that a profile takes.
fn function(release: &Release, filter: crate::vocabulary::FilterId, matching: MatchKind) -> String {
    release.preferred_function(filter, matching).map_or_else(|| release.filter_name(filter).into_owned(), str::to_owned)
}

/// A test as SBPL.
#[must_use]
pub fn test(graph: &Graph, test: &Test) -> String {
    let release = graph.release;
    let name = release.filter_name(test.filter);
    match &test.argument {
        Argument::Number(number) => {
            let boolean = release.filter(test.filter).is_some_and(|filter| filter.kind == FilterKind::Boolean);
            match (boolean, number) {
                (true, 0) => format!("({name} #f)"),
                (true, _) => format!("({name} #t)"),
                _ => format!("({name} {})", named(release, test.filter, *number)),
            }
        }
        Argument::Numbers(numbers) | Argument::Mask { numbers, .. } => {
            let list: Vec<_> = numbers.iter().map(|number| named(release, test.filter, *number)).collect();
            format!("({name} {})", list.join(" "))
        }
        Argument::Text(text) => format!("({name} {})", quoted(text)),
        Argument::StateFlag(number) => flag(&name, &graph.states, *number),
        Argument::ProfileFlag(number) => flag(&name, &graph.profile_flags, *number),
        Argument::Address(address) => {
            let protocol =
                PROTOCOLS.iter().find(|(_, number)| *number == address.protocol).map_or("ip", |(name, _)| name);
            let host = if address.localhost { "localhost" } else { "*" };
            let port = if address.port == 0 { "*".to_owned() } else { address.port.to_string() };
            format!("({name} {protocol} \"{host}:{port}\")")
        }
        Argument::Pattern(tree) => pattern(graph, test, tree),
        Argument::Regex(automaton) => {
            // Each node is described anew, so what is large or odd is not looked into.
            let expression = if automaton.states.len() <= MOST_STATES { automaton.structured() } else { None };
            let text = expression.and_then(|expression| String::from_utf8(expression.text()).ok());
            // A raw string has no escapes.
            let text = text.filter(|text| !text.contains(|c: char| c == '"' || c.is_control()));
            let text =
                text.map_or_else(|| format!("…{} states…", automaton.states.len()), |text| format!("#\"{text}\""));
            format!("({} {text})", function(release, test.filter, MatchKind::Regex))
        }
    }
}

/// A test for a flag by its name.
fn flag(filter: &str, names: &[Vec<u8>], number: u16) -> String {
    let name = names.get(usize::from(number)).map(Vec::as_slice).unwrap_or_default();
    format!("({filter} {})", quoted(name))
}

/// Regular expressions of more states are not written out. Real ones have up to 222.
const MOST_STATES: usize = 300;

/// Strings of one test by kind: what is both a prefix `x/` and a literal `x` is a subpath.
fn pattern(graph: &Graph, test: &Test, tree: &Tree) -> String {
    let release = graph.release;
    let Some(strings) = tree.strings() else {
        return format!("({} {})", release.filter_name(test.filter), shape(graph, tree));
    };
    let is_path = release.filter(test.filter).is_some_and(|filter| filter.kind == FilterKind::Path);
    if is_path && strings == [(Vec::new(), true)] {
        return format!("({} \"/\")", function(release, test.filter, MatchKind::Subpath));
    }
    let mut groups: Vec<(MatchKind, Vec<Vec<u8>>)> = Vec::new();
    let mut add = |kind, text: Vec<u8>| match groups.iter_mut().find(|(known, _)| *known == kind) {
        Some((_, list)) => list.push(text),
        None => groups.push((kind, vec![text])),
    };
    let literals: std::collections::HashSet<&[u8]> =
        strings.iter().filter(|(_, prefix)| !prefix).map(|(text, _)| text.as_slice()).collect();
    let prefixes: std::collections::HashSet<&[u8]> =
        strings.iter().filter(|(_, prefix)| *prefix).map(|(text, _)| text.as_slice()).collect();
    for (text, is_prefix) in &strings {
        let base = text.strip_suffix(b"/").filter(|base| is_path && literals.contains(base));
        let below = [text.as_slice(), b"/"].concat();
        match (is_prefix, base) {
            (true, Some(base)) => add(MatchKind::Subpath, base.to_vec()),
            (true, None) => add(MatchKind::Prefix, text.clone()),
            (false, _) if is_path && prefixes.contains(below.as_slice()) => {}
            (false, _) => add(MatchKind::Literal, text.clone()),
        }
    }
    let calls: Vec<String> = groups
        .iter()
        .map(|(kind, texts)| {
            let texts = texts.iter().map(|text| format!(" {}", quoted(text)));
            format!("({}{})", function(release, test.filter, *kind), texts.collect::<String>())
        })
        .collect();
    match calls.as_slice() {
        [one] => one.clone(),
        several => format!("(require-any {})", several.join(" ")),
    }
}

/// A tree that is no plain set of strings.
fn shape(graph: &Graph, tree: &Tree) -> String {
    let branches = match tree {
        Tree::Accept => return String::new(),
        Tree::Choice(branches) => branches,
        Tree::Alternatives(Alternatives { tried, last, .. }) => {
            let shown: Vec<String> = tried.iter().chain(last.as_deref()).map(|tree| shape(graph, tree)).collect();
            return format!("[{}]", shown.join(" | "));
        }
    };
    let shown: Vec<String> = branches
        .iter()
        .map(|branch| {
            let mut out = String::new();
            match &branch.matcher {
                Matcher::Text(text) => out.push_str(&quoted(text)),
                Matcher::End => out.push('$'),
                Matcher::Variable(number) => {
                    let name = graph.variables.get(usize::from(*number)).map(|name| String::from_utf8_lossy(name));
                    let _ = write!(out, "${{{}}}", name.unwrap_or_default());
                }
                Matcher::Class(ranges) => {
                    let _ = write!(out, "{ranges:?}");
                }
                Matcher::Repeat(ranges) => {
                    let _ = write!(out, "{ranges:?}*");
                }
                Matcher::SkipTo(byte) => {
                    let _ = write!(out, "…{:?}", char::from(*byte));
                }
                Matcher::Search(byte) => {
                    let _ = write!(out, ".*{:?}", char::from(*byte));
                }
            }
            let rest = shape(graph, &branch.then);
            if rest.is_empty() { out } else { format!("{out} {rest}") }
        })
        .collect();
    if shown.len() == 1 { shown.concat() } else { format!("[{}]", shown.join(" | ")) }
}

/// The modifiers of a terminal as SBPL, those that are flag bits and those that carry something.
/// A report that a deny has anyway is left out.
#[must_use]
pub fn modifiers(graph: &Graph, terminal: &Terminal) -> Vec<String> {
    let mut out = Vec::new();
    let flag_modifiers =
        || graph.release.modifiers().iter().filter(|modifier| modifier.argument == ModifierArgumentKind::None);
    for modifier in flag_modifiers() {
        let holds = terminal.flags & modifier.mask == modifier.set;
        let usual = if terminal.action() == Action::Deny { Terminal::REPORT } else { 0 };
        let is_usual = usual & modifier.mask == modifier.set;
        // A modifier whose bits are part of another one's that holds as well says nothing new.
        let covered = flag_modifiers().any(|other| {
            other.mask != modifier.mask
                && other.mask & modifier.mask == modifier.mask
                && terminal.flags & other.mask == other.set
                && other.set != 0
        });
        if holds && !is_usual && !covered {
            out.push(format!("(with {})", modifier.name));
        }
    }
    for modifier in &terminal.modifiers {
        let entry = graph.release.modifier(modifier.id);
        let name = entry.map_or("unknown-modifier", |entry| entry.name.as_str());
        out.push(match &modifier.argument {
            ModifierArgument::Number(number) => {
                let named = entry.and_then(|entry| entry.values.iter().find(|(_, value)| *value == number));
                format!("(with {name} {})", named.map_or_else(|| number.to_string(), |(constant, _)| constant.clone()))
            }
            ModifierArgument::Text(text) => format!("(with {name} {})", quoted(text)),
            ModifierArgument::MessageFilter { operation, .. } => {
                format!("(apply-message-filter … {} …)", graph.release.operation_name(*operation))
            }
        });
    }
    out
}

/// A terminal as SBPL: action and modifiers.
#[must_use]
pub fn terminal(graph: &Graph, terminal: &Terminal) -> String {
    let mut out = terminal.action().name().to_owned();
    for modifier in modifiers(graph, terminal) {
        let _ = write!(out, " {modifier}");
    }
    out
}
