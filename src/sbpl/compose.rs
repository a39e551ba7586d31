//! In: rules. Out: SBPL as people write it: alternatives of one function in one call, entitlements by
//! `require-entitlement`, long rules over several lines. Never: another meaning than
//! [`super::write`] gives, which writes one rule on a line and each test for itself.

use super::write::{self, write_test};
use crate::policy::rules::{Argument, Filter, Modifier, ModifierArgument, Rule, Rules, Test};
use crate::sbpl_text::quoted;
use crate::vocabulary::{FilterKind, Release};

/// How wide a line may be before its form is broken.
const WIDTH: usize = 100;

/// A form on its way to text.
enum Form {
    Word(String),
    /// In parentheses. As many items as the number says stay on the first line.
    List(Vec<Form>, usize),
}

/// The whole profile.
#[must_use]
pub fn compose(rules: &Rules) -> String {
    let mut out = write::preamble(rules);
    for rule in &rules.list {
        lay_out(&rule_form(rules.release, rule), 0, &mut out);
        out.push('\n');
    }
    out
}

fn word(text: impl Into<String>) -> Form {
    Form::Word(text.into())
}

fn rule_form(release: &Release, rule: &Rule) -> Form {
    let mut items = vec![word(rule.action.name())];
    items.extend(rule.operations.iter().map(|operation| word(release.operation_name(*operation))));
    // Many operations are as long as a filter.
    let kept = if items.iter().map(width).sum::<usize>() + items.len() > WIDTH { 1 } else { items.len() };
    match rule.filter.as_deref() {
        Some(Filter::Any(list)) => items.extend(alternatives(release, list.iter().map(|item| &**item))),
        Some(filter) => items.push(filter_form(release, filter)),
        None => {}
    }
    items.extend(rule.modifiers.iter().map(|modifier| modifier_form(release, modifier)));
    Form::List(items, kept)
}

fn modifier_form(release: &Release, modifier: &Modifier) -> Form {
    match &modifier.argument {
        ModifierArgument::MessageFilter(rules) => {
            let rules = rules.iter().map(|rule| rule_form(release, rule));
            Form::List([word("apply-message-filter")].into_iter().chain(rules).collect(), 1)
        }
        _ => word(write::write_modifier(release, modifier)),
    }
}

/// As deep as the filter, which is bounded where filters are made.
fn filter_form(release: &Release, filter: &Filter) -> Form {
    match filter {
        Filter::Test(test) => test_form(release, test),
        Filter::Not(inner) => Form::List(vec![word("require-not"), filter_form(release, inner)], 1),
        Filter::All(list) => {
            if let [loader, value] = list.as_slice()
                && let Some(form) = entitlement(release, loader, value)
            {
                return form;
            }
            let items = list.iter().map(|item| filter_form(release, item));
            Form::List([word("require-all")].into_iter().chain(items).collect(), 1)
        }
        Filter::Any(list) => {
            let mut items = alternatives(release, list.iter().map(|item| &**item));
            if items.len() == 1 {
                return items.remove(0);
            }
            items.insert(0, word("require-any"));
            Form::List(items, 1)
        }
    }
}

/// `(require-entitlement NAME FILTER)` for a loader and what refers to it (LANGUAGE.md §4.5).
fn entitlement(release: &Release, loader: &Filter, value: &Filter) -> Option<Form> {
    let Filter::Test(Test { filter, argument: Argument::Text(name) }) = loader else { return None };
    if release.filter_name(*filter) != "%entitlement-load" {
        return None;
    }
    let mut items = vec![word("require-entitlement"), word(quoted(name))];
    match value {
        Filter::Test(Test { filter, argument: Argument::Number(1) })
            if release.filter_name(*filter) == "%entitlement-boolean" => {}
        _ => items.push(filter_form(release, value)),
    }
    Some(Form::List(items, 2))
}

fn test_form(release: &Release, test: &Test) -> Form {
    match split(release, test) {
        Some((function, value)) => Form::List(vec![word(function), word(value)], 2),
        None => word(write_test(release, test)),
    }
}

/// Function and value of a test that may share a call with others: several arguments of most
/// functions are alternatives (LANGUAGE.md §5.1), but numbers of some are one set.
fn split(release: &Release, test: &Test) -> Option<(String, String)> {
    let entry = release.filter(test.filter)?;
    let alone = match &test.argument {
        Argument::Number(_) => entry.mask || matches!(entry.kind, FilterKind::Boolean | FilterKind::Mask),
        Argument::Text(_) | Argument::Pattern(_) | Argument::StateFlag(_) | Argument::ProfileFlag(_) => false,
        _ => true,
    };
    if alone {
        return None;
    }
    let text = write_test(release, test);
    // A numbered filter has its number before the value.
    let inner = text.strip_prefix('(')?.strip_suffix(')')?;
    let at = match inner.strip_prefix(write::NUMBERED) {
        Some(rest) => inner.len() - rest.len() + 1 + rest.get(1..)?.find(' ')?,
        None => inner.find(' ')?,
    };
    Some((inner.get(..at)?.to_owned(), inner.get(at + 1..)?.to_owned()))
}

/// Alternatives, those of one function in the call of the first.
fn alternatives<'f>(release: &Release, list: impl Iterator<Item = &'f Filter>) -> Vec<Form> {
    let mut out: Vec<Form> = Vec::new();
    let mut calls: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
    for filter in list {
        let call = match filter {
            Filter::Test(test) => split(release, test),
            _ => None,
        };
        let Some((function, value)) = call else {
            out.push(filter_form(release, filter));
            continue;
        };
        let place = *calls.entry(function.clone()).or_insert(out.len());
        match out.get_mut(place) {
            Some(Form::List(items, _)) => items.push(word(value)),
            _ => out.push(Form::List(vec![word(function), word(value)], 2)),
        }
    }
    out
}

/// The width on one line, as far as it matters.
fn width(form: &Form) -> usize {
    match form {
        Form::Word(text) => text.len(),
        Form::List(items, _) => {
            let mut total = 1 + items.len().max(1);
            for item in items {
                total += width(item);
                if total > WIDTH {
                    break;
                }
            }
            total
        }
    }
}

fn lay_out(form: &Form, indent: usize, out: &mut String) {
    let (items, kept) = match form {
        Form::Word(text) => return out.push_str(text),
        Form::List(items, kept) => (items, *kept),
    };
    let breaks = indent + width(form) > WIDTH;
    out.push('(');
    for (place, item) in items.iter().enumerate() {
        if place > 0 && breaks && place >= kept {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent + 2));
            lay_out(item, indent + 2, out);
        } else {
            if place > 0 {
                out.push(' ');
            }
            lay_out(item, indent, out);
        }
    }
    out.push(')');
}
