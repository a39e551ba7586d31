//! In: rules, and chance. Out: one of the many texts that say them: aliases of operations, filters
//! and modifiers, names for numbers, `with-filter`, `require-entitlement`, several filters side by
//! side. Never: rules that no text can say; a text that is canonical.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use sbtool::pattern::{Part, StringKind, StringPattern};
use sbtool::policy::rules::{Argument, Filter, ModifierArgument, PROTOCOLS, Rule, Rules, Test};
use sbtool::vocabulary::{FilterKind, MatchKind, OperationId, Release};

use super::aim::Chance;

struct Speller<'a> {
    release: &'static Release,
    version: u8,
    chance: &'a mut Chance,
}

/// A text of the rules; nothing where the version has no name for one of their operations.
pub fn text_of(rules: &Rules, chance: &mut Chance) -> Option<String> {
    let mut speller = Speller { release: rules.release, version: rules.version, chance };
    let mut out = format!("(version {})\n", rules.version);
    for rule in &rules.list {
        out.push_str(&speller.rule(rule)?);
        out.push('\n');
    }
    Some(out)
}

fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'$' | b'{' | b'}' => {
                out.push(char::from(*byte));
            }
            other => write!(out, "\\x{other:02x}").unwrap(),
        }
    }
    out.push('"');
    out
}

impl Speller<'_> {
    fn one_of(&mut self, names: &[String]) -> Option<String> {
        self.chance.pick(names).cloned()
    }

    fn operation(&mut self, operation: OperationId) -> Option<String> {
        let aliases = self.release.operation_aliases();
        let entry = self.release.operation_entry(operation)?;
        let known =
            |name: &str| aliases.iter().any(|alias| alias.name == name && alias.versions.contains(&self.version));
        let mut names = Vec::new();
        // An alias may hide an operation.
        if !known(&entry.name) {
            names.push(entry.name.clone());
        }
        for alias in aliases {
            if alias.operation == entry.name && alias.versions.contains(&self.version) {
                names.push(alias.name.clone());
            }
        }
        self.one_of(&names)
    }

    fn function(&mut self, test: &Test, matching: MatchKind) -> Option<String> {
        let version = self.version;
        let functions = &self.release.filter(test.filter)?.functions;
        let fitting = functions.iter().filter(|function| {
            function.matching == matching && (function.versions.is_empty() || function.versions.contains(&version))
        });
        let names: Vec<String> = fitting.map(|function| function.name.clone()).collect();
        self.one_of(&names)
    }

    fn rule(&mut self, rule: &Rule) -> Option<String> {
        let action = rule.action.name();
        let mut parts = Vec::new();
        for operation in &rule.operations {
            parts.push(self.operation(*operation)?);
        }
        // Inside `with-filter` its filter would hold for the rules of a message filter as well.
        let has_messages = rule.modifiers.iter().any(|one| matches!(one.argument, ModifierArgument::MessageFilter(_)));
        let mut around = None;
        match rule.filter.as_deref() {
            None => {}
            // Filters side by side are alternatives; what stands in front is asked first.
            Some(Filter::Any(list)) if self.chance.one_in(2) => {
                for item in list {
                    parts.push(self.filter(item)?);
                }
            }
            Some(Filter::All(list)) if list.len() == 2 && !has_messages && self.chance.one_in(2) => {
                parts.push(self.filter(&list[0])?);
                around = Some(self.filter(&list[1])?);
            }
            Some(filter) if !has_messages && self.chance.one_in(6) => around = Some(self.filter(filter)?),
            Some(filter) => parts.push(self.filter(filter)?),
        }
        for modifier in &rule.modifiers {
            let entry = self.release.modifier(modifier.id)?;
            if let ModifierArgument::MessageFilter(inner) = &modifier.argument {
                let mut text = String::from("(apply-message-filter");
                for rule in inner.iter() {
                    write!(text, " {}", self.rule(rule)?).unwrap();
                }
                text.push(')');
                parts.push(text);
                continue;
            }
            let mut names = vec![entry.name.clone()];
            names.extend(
                entry.aliases.iter().filter(|a| a.versions.contains(&self.version)).map(|alias| alias.name.clone()),
            );
            let name = self.one_of(&names)?;
            parts.push(match &modifier.argument {
                ModifierArgument::Number(number) => format!("(with {name} {})", self.number(*number, &entry.values)),
                ModifierArgument::Text(text) => format!("(with {name} {})", quoted(text)),
                _ => format!("(with {name})"),
            });
        }
        let text = format!("({action} {})", parts.join(" "));
        Some(match around {
            Some(filter) => format!("(with-filter {filter} {text})"),
            None => text,
        })
    }

    fn number(&mut self, number: u16, values: &BTreeMap<String, u16>) -> String {
        let mut names: Vec<String> =
            values.iter().filter(|(_, value)| **value == number).map(|(n, _)| n.clone()).collect();
        names.extend([number.to_string(), format!("#x{number:x}")]);
        self.one_of(&names).unwrap()
    }

    fn list_of(&mut self, word: &str, list: &[Arc<Filter>]) -> Option<String> {
        let mut out = format!("({word}");
        for item in list {
            write!(out, " {}", self.filter(item)?).unwrap();
        }
        out.push(')');
        Some(out)
    }

    fn filter(&mut self, filter: &Filter) -> Option<String> {
        match filter {
            Filter::Not(inner) => self.list_of("require-not", std::slice::from_ref(inner)),
            Filter::Any(list) => self.list_of("require-any", list),
            Filter::All(list) => match list.as_slice() {
                [loader, value]
                    if self.release.filter_named("%entitlement-load").is_some_and(
                        |entry| matches!(loader.as_ref(), Filter::Test(test) if test.filter == entry.id),
                    ) =>
                {
                    let Filter::Test(Test { argument: Argument::Text(key), .. }) = loader.as_ref() else { return None };
                    Some(format!("(require-entitlement {} {})", quoted(key), self.filter(value)?))
                }
                list => self.list_of("require-all", list),
            },
            Filter::Test(test) => self.test(test),
        }
    }

    fn test(&mut self, test: &Test) -> Option<String> {
        let entry = self.release.filter(test.filter)?;
        match &test.argument {
            Argument::Pattern(pattern) => self.pattern(test, pattern),
            Argument::Regexes(list) => {
                let name = self.function(test, MatchKind::Regex)?;
                let texts: Vec<String> = list.iter().map(|(text, _)| quoted(text)).collect();
                Some(format!("({name} {})", texts.join(" ")))
            }
            Argument::Number(number) if entry.kind == FilterKind::Boolean => {
                let name = self.function(test, MatchKind::Flag)?;
                Some(match number {
                    0 => format!("({name} #f)"),
                    _ if self.chance.one_in(2) => format!("({name})"),
                    _ => format!("({name} #t)"),
                })
            }
            Argument::Number(number) => {
                let name = self.function(test, MatchKind::Value)?;
                Some(format!("({name} {})", self.number(*number, &entry.values)))
            }
            Argument::Numbers(set) | Argument::Mask { numbers: set, .. } => {
                let name = self.function(test, MatchKind::Value)?;
                let numbers: Vec<String> = set.iter().map(|number| self.number(*number, &entry.values)).collect();
                Some(format!("({name} {})", numbers.join(" ")))
            }
            Argument::Text(text) | Argument::StateFlag(text) | Argument::ProfileFlag(text) => {
                let name = self.function(test, MatchKind::Value)?;
                Some(format!("({name} {})", quoted(text)))
            }
            Argument::Address(address) => {
                let name = self.function(test, MatchKind::Address)?;
                let (protocol, _) = PROTOCOLS.iter().find(|(_, number)| *number == address.protocol)?;
                let host = if address.localhost { "localhost" } else { "*" };
                let port = if address.port == 0 { "*".to_owned() } else { address.port.to_string() };
                Some(format!("({name} {protocol} \"{host}:{port}\")"))
            }
        }
    }

    /// A subpath where the filter has none, or of a text that ends in a slash, is said by its two
    /// halves: itself, and what is below.
    fn pattern(&mut self, test: &Test, pattern: &StringPattern) -> Option<String> {
        let mut text = Vec::new();
        for part in &pattern.parts {
            match part {
                Part::Text(more) => text.extend(more),
                Part::Variable(name) => text.extend(format!("${{{name}}}").bytes()),
            }
        }
        let subpath = self.function(test, MatchKind::Subpath);
        match (pattern.kind, subpath) {
            (StringKind::Literal, _) => {
                Some(format!("({} {})", self.function(test, MatchKind::Literal)?, quoted(&text)))
            }
            (StringKind::Prefix, _) => Some(format!("({} {})", self.function(test, MatchKind::Prefix)?, quoted(&text))),
            (StringKind::Subpath, Some(name)) if !text.is_empty() && !text.ends_with(b"/") => {
                // A slash at the end is dropped.
                let slash: &[u8] = if self.chance.one_in(4) { b"/" } else { b"" };
                Some(format!("({name} {})", quoted(&[&text, slash].concat())))
            }
            (StringKind::Subpath, _) => {
                let literal = self.function(test, MatchKind::Literal)?;
                let prefix = self.function(test, MatchKind::Prefix)?;
                let below = quoted(&[text.as_slice(), b"/"].concat());
                Some(format!("(require-any ({literal} {}) ({prefix} {below}))", quoted(&text)))
            }
        }
    }
}
