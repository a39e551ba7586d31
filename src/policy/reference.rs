//! In: [`Rules`] and a [`Request`]. Out: which rule decides, by LANGUAGE.md §7.1 read literally.
//! Never: graphs. This is the second, slow reading of the same meaning that the graph is held
//! against, and the one that can name a rule; it uses its own string and regex matching.

use super::request::{Entitlement, Fact, Request};
use super::rules::{Action, Argument, Filter, OperationRules, Rule, Rules, Tail, Test};
use crate::pattern::regex::Automaton;
use crate::pattern::{Part, StringKind, StringPattern};
use crate::vocabulary::{FilterKind, OperationId, Release};

/// What decided.
#[derive(Clone, Debug)]
pub enum Decider<'r> {
    /// A rule with a filter, of the operation itself or of one that it inherits from.
    Rule(&'r Rule),
    /// A rule without a filter.
    Tail(&'r Rule),
    /// A rule that the compiler adds.
    Implicit,
    /// The table: a terminal operation, or one that the SBPL version allows, or `default`.
    Table,
}

/// The decision by the rules.
#[derive(Clone, Debug)]
pub struct Decision<'r> {
    /// Allow or deny.
    pub action: Action,
    /// What decided.
    pub decider: Decider<'r>,
    /// The operation whose rules decided: the one asked about, or an ancestor.
    pub operation: OperationId,
}

/// The rules of a profile, ready to be asked.
pub struct Reference {
    rules: Rules,
    table: Vec<OperationRules>,
    implicit: Vec<(OperationId, Test)>,
}

impl Reference {
    /// Sorts the rules by operation once.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        // What the compiler adds is data: both readings take it from the grammar.
        let table = rules.by_operation();
        let implicit = super::passes::implicit_tests(&rules, &table);
        Self { rules, table, implicit }
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Which rule decides a request.
    #[must_use]
    pub fn decide(&self, request: &Request) -> Decision<'_> {
        let mut operation = request.operation;
        loop {
            let asked = |test: &Test| self.test(test, request, &mut None);
            if self.implicit.iter().any(|(of, test)| *of == operation && asked(test)) {
                return Decision { action: Action::Allow, decider: Decider::Implicit, operation };
            }
            let Some(entry) = self.table.get(operation.index()) else {
                return Decision { action: Action::Deny, decider: Decider::Table, operation };
            };
            for number in &entry.filtered {
                let rule = &self.rules.list[*number];
                if rule.filter.as_deref().is_some_and(|filter| self.filter(filter, request, &mut None)) {
                    return Decision { action: rule.action, decider: Decider::Rule(rule), operation };
                }
            }
            match entry.tail {
                Tail::Parent(parent) => operation = parent,
                Tail::Table(action) => return Decision { action, decider: Decider::Table, operation },
                Tail::Rule(number) => {
                    let rule = &self.rules.list[number];
                    return Decision { action: rule.action, decider: Decider::Tail(rule), operation };
                }
            }
        }
    }

    fn filter<'q>(&self, filter: &Filter, request: &'q Request, loaded: &mut Option<&'q Entitlement>) -> bool {
        match filter {
            Filter::Test(test) => self.test(test, request, loaded),
            Filter::All(list) => list.iter().all(|item| self.filter(item, request, loaded)),
            Filter::Any(list) => list.iter().any(|item| self.filter(item, request, loaded)),
            Filter::Not(inner) => !self.filter(inner, request, loaded),
        }
    }

    fn test<'q>(&self, test: &Test, request: &'q Request, loaded: &mut Option<&'q Entitlement>) -> bool {
        let release: &Release = self.rules.release;
        let Some(filter) = release.filter(test.filter) else { return false };
        match (filter.name.as_str(), &test.argument) {
            ("%entitlement-load", Argument::Text(key)) => {
                *loaded = request.entitlement(key);
                return loaded.is_some();
            }
            ("%entitlement-boolean", Argument::Number(wanted)) => {
                return matches!(loaded, Some(Entitlement::Bool(value)) if u16::from(*value) == *wanted);
            }
            ("%entitlement-string", argument) => {
                let Some(Entitlement::Texts(texts)) = loaded else { return false };
                return texts.iter().any(|text| strings(argument, text, false));
            }
            ("%entitlement-is-present", Argument::Text(key)) => return request.entitlement(key).is_some(),
            ("%entitlement-is-bool-true", Argument::Text(key)) => {
                return request.entitlement(key) == Some(&Entitlement::Bool(true));
            }
            _ => {}
        }
        let fold = filter.folds && release.folds_paths();
        request.facts(test.filter).any(|fact| match (&test.argument, fact) {
            (Argument::Number(wanted), Fact::Number(number)) if filter.kind == FilterKind::Bitfield => {
                wanted & number != 0 || wanted == number
            }
            (Argument::Number(wanted), Fact::Number(number)) => wanted == number,
            (Argument::Numbers(set) | Argument::Mask { numbers: set, .. }, Fact::Number(number)) => {
                set.contains(number)
            }
            (
                Argument::Text(wanted) | Argument::StateFlag(wanted) | Argument::ProfileFlag(wanted),
                Fact::Text(text),
            ) => wanted == text,
            (Argument::Address(wanted), Fact::Address(address)) => wanted.covers(address),
            (argument, Fact::Text(text)) => strings(argument, text, fold),
            _ => false,
        })
    }
}

/// Strings by plain comparison, expressions by the reference matcher.
fn strings(argument: &Argument, subject: &[u8], fold: bool) -> bool {
    match argument {
        Argument::Pattern(pattern) => string(pattern, subject, fold),
        Argument::Regexes(list) => list.iter().any(|(_, expression)| {
            match expression.reference(fold) {
                Ok(regex) => regex.is_match(subject),
                // Too large for that matcher; no answer at all would be a wrong one.
                Err(_) => {
                    let expression = if fold { expression.folded() } else { expression.clone() };
                    Automaton::of(&[expression]).is_ok_and(|automaton| automaton.matches(subject))
                }
            }
        }),
        _ => false,
    }
}

fn string(pattern: &StringPattern, subject: &[u8], fold: bool) -> bool {
    let [Part::Text(text)] = pattern.parts.as_slice() else { return false };
    let same = |a: &[u8], b: &[u8]| if fold { a.eq_ignore_ascii_case(b) } else { a == b };
    let start = subject.get(..text.len());
    match pattern.kind {
        StringKind::Literal => same(text, subject),
        StringKind::Prefix => start.is_some_and(|start| same(text, start)),
        StringKind::Subpath => {
            start.is_some_and(|start| same(text, start)) && matches!(subject.get(text.len()), None | Some(b'/'))
        }
    }
}
