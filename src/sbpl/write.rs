//! In: rules. Out: SBPL that evaluates to the same rules, one rule after the other. Never: layout
//! or comments of the source they came from.

use std::fmt::Write as _;

use crate::pattern::{Part, StringKind, StringPattern};
use crate::policy::rules::{Argument, Filter, Modifier, ModifierArgument, PROTOCOLS, Rule, Rules, Test};
use crate::sbpl_text::quoted;
use crate::vocabulary::{FilterId, FilterKind, MatchKind, Release};

/// The whole profile: version, then each rule in order.
#[must_use]
pub fn write_rules(rules: &Rules) -> String {
    let mut out = preamble(rules);
    for rule in &rules.list {
        let _ = writeln!(out, "{}", write_rule(rules.release, rule));
    }
    out
}

/// What stands before the rules.
pub(super) fn preamble(rules: &Rules) -> String {
    let mut out = format!("(version {})\n", rules.version);
    if let Some(base) = &rules.base {
        let _ = writeln!(out, "(extends {})", quoted(base));
    }
    for (bit, form) in [(1, "(disable-callouts)"), (2, "(disable-full-symbolication)")] {
        if rules.profile_flags & bit != 0 {
            let _ = writeln!(out, "{form}");
        }
    }
    out
}

/// One rule on one line.
#[must_use]
pub fn write_rule(release: &Release, rule: &Rule) -> String {
    let mut out = format!("({}", rule.action.name());
    for operation in &rule.operations {
        let _ = write!(out, " {}", release.operation_name(*operation));
    }
    if let Some(filter) = &rule.filter {
        let _ = write!(out, " {}", write_filter(release, filter));
    }
    for modifier in &rule.modifiers {
        let _ = write!(out, " {}", write_modifier(release, modifier));
    }
    out.push(')');
    out
}

pub(super) fn write_modifier(release: &Release, modifier: &Modifier) -> String {
    let entry = release.modifier(modifier.id);
    let name = entry.map_or("unknown-modifier", |entry| entry.name.as_str());
    match &modifier.argument {
        ModifierArgument::None => format!("(with {name})"),
        ModifierArgument::Number(number) => {
            let named = entry.and_then(|entry| entry.values.iter().find(|(_, value)| *value == number));
            match named {
                Some((constant, _)) => format!("(with {name} {constant})"),
                None => format!("(with {name} {number})"),
            }
        }
        ModifierArgument::Text(text) => format!("(with {name} {})", quoted(text)),
        ModifierArgument::MessageFilter(rules) => {
            let inner = rules.iter().map(|rule| format!(" {}", write_rule(release, rule)));
            format!("(apply-message-filter{})", inner.collect::<String>())
        }
    }
}

/// One filter.
#[must_use]
pub fn write_filter(release: &Release, filter: &Filter) -> String {
    let combine = |name: &str, list: &[std::sync::Arc<Filter>]| {
        let items = list.iter().map(|item| format!(" {}", write_filter(release, item)));
        format!("({name}{})", items.collect::<String>())
    };
    match filter {
        Filter::Test(test) => write_test(release, test),
        Filter::All(list) => combine("require-all", list),
        Filter::Any(list) => combine("require-any", list),
        Filter::Not(inner) => format!("(require-not {})", write_filter(release, inner)),
    }
}

/// The function that makes a test of any filter without one of its own: `(%filter 98 1)`. Such
/// filters are known from blobs only, by their number (FORMAT.md §3); the function is ours.
pub(super) const NUMBERED: &str = "%filter";

/// The function of a filter that compares in this way.
fn function(release: &Release, filter: FilterId, matching: MatchKind) -> String {
    match release.preferred_function(filter, matching) {
        Some(function) => function.to_owned(),
        None if release.filter(filter).is_some_and(|entry| entry.functions.is_empty()) => {
            format!("{NUMBERED} {}", filter.0)
        }
        None => release.filter_name(filter).into_owned(),
    }
}

pub(super) fn write_test(release: &Release, test: &Test) -> String {
    let id = test.filter;
    let entry = release.filter(id);
    let number = |number: &u16| {
        let named = entry.and_then(|entry| entry.values.iter().find(|(_, value)| *value == number));
        named.map_or_else(|| number.to_string(), |(name, _)| name.clone())
    };
    match &test.argument {
        Argument::Number(value) if entry.is_some_and(|entry| entry.kind == FilterKind::Boolean) => {
            let name = function(release, id, MatchKind::Flag);
            if *value == 0 { format!("({name} #f)") } else { format!("({name} #t)") }
        }
        Argument::Number(value) => format!("({} {})", function(release, id, MatchKind::Value), number(value)),
        Argument::Numbers(values) | Argument::Mask { numbers: values, .. } => {
            let items = values.iter().map(|value| format!(" {}", number(value)));
            format!("({}{})", function(release, id, MatchKind::Value), items.collect::<String>())
        }
        Argument::Text(text) | Argument::StateFlag(text) | Argument::ProfileFlag(text) => {
            format!("({} {})", function(release, id, MatchKind::Value), quoted(text))
        }
        // Everything, of a filter that knows subpaths.
        Argument::Pattern(pattern)
            if pattern.kind == StringKind::Prefix
                && pattern.text() == Some(b"")
                && entry.is_some_and(|entry| entry.kind == FilterKind::Path) =>
        {
            format!("({} \"/\")", function(release, id, MatchKind::Subpath))
        }
        Argument::Pattern(pattern) => {
            let matching = match pattern.kind {
                StringKind::Literal => MatchKind::Literal,
                StringKind::Prefix => MatchKind::Prefix,
                StringKind::Subpath => MatchKind::Subpath,
            };
            format!("({} {})", function(release, id, matching), quoted(&pattern_text(pattern)))
        }
        Argument::Regexes(list) => {
            let items = list.iter().map(|(text, _)| {
                if text.contains(&b'"') || std::str::from_utf8(text).is_err() {
                    format!(" {}", quoted(text))
                } else {
                    format!(" #\"{}\"", String::from_utf8_lossy(text))
                }
            });
            format!("({}{})", function(release, id, MatchKind::Regex), items.collect::<String>())
        }
        Argument::Address(address) => {
            let protocol =
                PROTOCOLS.iter().find(|(_, number)| *number == address.protocol).map_or("ip", |(name, _)| name);
            let host = if address.localhost { "localhost" } else { "*" };
            let port = if address.port == 0 { "*".to_owned() } else { address.port.to_string() };
            format!("({} {protocol} \"{host}:{port}\")", function(release, id, MatchKind::Address))
        }
    }
}

/// The text that gives this pattern again.
fn pattern_text(pattern: &StringPattern) -> Vec<u8> {
    let mut text = Vec::new();
    for part in &pattern.parts {
        match part {
            Part::Text(bytes) => text.extend_from_slice(bytes),
            Part::Variable(name) => text.extend_from_slice(format!("${{{name}}}").as_bytes()),
        }
    }
    text
}

/// The rules as JSON; keys as in CLI.md (`rules`). A filter is a tree of `{"all": […]}`,
/// `{"any": […]}`, `{"not": …}` and `{"test": SBPL, "filter": NAME}`.
#[must_use]
pub fn rules_json(rules: &Rules) -> serde_json::Value {
    rules.list.iter().map(|rule| rule_json(rules.release, rule)).collect()
}

fn rule_json(release: &Release, rule: &Rule) -> serde_json::Value {
    let place = rule.origin.place.as_ref();
    let via: Vec<_> = rule
        .origin
        .via
        .iter()
        .map(|via| serde_json::json!({"what": via.what, "file": via.place.file, "line": via.place.line, "column": via.place.column}))
        .collect();
    serde_json::json!({
        "action": rule.action.name(),
        "operations": rule.operations.iter().map(|operation| release.operation_name(*operation)).collect::<Vec<_>>(),
        "filter": rule.filter.as_ref().map(|filter| filter_json(release, filter)),
        "modifiers": rule.modifiers.iter().map(|modifier| write_modifier(release, modifier)).collect::<Vec<_>>(),
        "file": place.map(|place| place.file.clone()),
        "line": place.map(|place| place.line),
        "column": place.map(|place| place.column),
        "via": via,
    })
}

fn filter_json(release: &Release, filter: &Filter) -> serde_json::Value {
    let list = |list: &[std::sync::Arc<Filter>]| list.iter().map(|item| filter_json(release, item)).collect::<Vec<_>>();
    match filter {
        Filter::Test(test) => {
            serde_json::json!({"test": write_test(release, test), "filter": release.filter_name(test.filter)})
        }
        Filter::All(items) => serde_json::json!({"all": list(items)}),
        Filter::Any(items) => serde_json::json!({"any": list(items)}),
        Filter::Not(inner) => serde_json::json!({"not": filter_json(release, inner)}),
    }
}
