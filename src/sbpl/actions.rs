//! In: evaluated arguments of `version`, `allow`, `deny`, `with` and their like. Out: rules in the
//! collector that is open. Never: how filters are made.

use std::rc::Rc;
use std::sync::Arc;

use super::objects::{FilterValue, Object};
use super::scheme::{Call, Environment, Error, HostFrame, Native, Pair, Step, Syntax, Value};
use super::source::Span;
use super::state::{Context, ContextForm, MAX_CONTEXTS, Sbpl, SbplMachine};
use crate::policy::rules::{Action, Filter, Modifier, ModifierArgument, Rule};
use crate::vocabulary::{Applies, ModifierArgumentKind, ModifierId, OperationId};

type Outcome = Result<Step, Error>;

/// Special forms of SBPL.
pub(super) const SYNTAX: &[(&str, Syntax<Sbpl>)] = &[
    ("debug", debug),
    ("define-once", define_once),
    ("apply-message-filter", message_filter),
    ("with-filter", with_context),
    ("with-modifier", with_context),
    ("with-operations", with_context),
];

/// Procedures of SBPL that are about rules.
pub(super) fn procedures() -> Vec<Native<Sbpl>> {
    vec![
        Native { names: &["version"], least: 1, most: Some(1), run: version },
        Native { names: &["allow"], least: 0, most: None, run: |machine, call| rule(machine, call, Action::Allow) },
        Native { names: &["deny"], least: 0, most: None, run: |machine, call| rule(machine, call, Action::Deny) },
        Native { names: &["with"], least: 1, most: None, run: with },
        Native { names: &["trace"], least: 1, most: Some(1), run: trace },
        Native { names: &["disable-callouts"], least: 0, most: Some(0), run: |machine, _| flag(machine, 1) },
        Native { names: &["disable-full-symbolication"], least: 0, most: Some(0), run: |machine, _| flag(machine, 2) },
        Native {
            names: &["eliminate-duplicate-rules", "record"],
            least: 0,
            most: None,
            run: |_, _| Ok(Step::Return(Value::Bool(true))),
        },
        // Only the platform profile may (LANGUAGE.md §4.3).
        Native {
            names: &["define-storage-class"],
            least: 2,
            most: Some(2),
            run: |_, call| Err(Error::new("storage class definition not permitted in this context", call.at)),
        },
        Native {
            names: &["sbpl-filter?"],
            least: 1,
            most: Some(1),
            run: |_, call| is(&call, |object| matches!(object, Object::Filter(_))),
        },
        Native {
            names: &["sbpl-operation?"],
            least: 1,
            most: Some(1),
            run: |_, call| is(&call, |object| matches!(object, Object::Operation(_) | Object::NoOperation)),
        },
        Native {
            names: &["sbpl-modifier?"],
            least: 1,
            most: Some(1),
            run: |_, call| is(&call, |object| matches!(object, Object::Modifier(_) | Object::NoModifier)),
        },
        Native {
            names: &["sbpl-message-filter?"],
            least: 1,
            most: Some(1),
            run: |_, call| is(&call, |object| matches!(object, Object::MessageFilter(_))),
        },
    ]
}

fn is(call: &Call<'_>, test: fn(&Object) -> bool) -> Outcome {
    Ok(Step::Return(Value::Bool(Object::of(call.argument(0)).is_some_and(test))))
}

fn flag(machine: &mut SbplMachine, bit: u16) -> Outcome {
    machine.host.profile_flags |= bit;
    Ok(Step::Return(Value::Bool(true)))
}

/// `(version N)` (LANGUAGE.md §3): once for each text; the first text's version is the profile's.
fn version(machine: &mut SbplMachine, call: Call<'_>) -> Outcome {
    let wanted = call.integer(0)?;
    let number = u8::try_from(wanted)
        .ok()
        .filter(|number| machine.host.release.versions().contains(number))
        .ok_or_else(|| Error::new(format!("unsupported version {wanted}"), call.at))?;
    let source = call.at.map_or(machine.host.main, |at| at.source);
    let known = machine.host.versions.iter().find(|(text, _)| *text == source).map(|(_, number)| *number);
    match known {
        Some(known) if known != number => return Err(Error::new("only one version may be specified", call.at)),
        Some(_) => {}
        None => {
            machine.host.versions.push((source, number));
            if machine.host.version.is_none() || source == machine.host.main {
                machine.host.version = Some(number);
            }
        }
    }
    Ok(Step::Return(Value::Bool(true)))
}

/// `(debug …)`: a macro of version 1 without effect; its arguments are not evaluated.
fn debug(machine: &mut SbplMachine, form: &Rc<Pair>, _: &Rc<Environment>, at: Option<Span>) -> Outcome {
    if machine.host.version == Some(1) {
        return Ok(Step::Return(Value::Nil));
    }
    unbound("debug", form, at)
}

/// A form that is not there in this version or release is a name like any other.
fn unbound(name: &str, form: &Pair, at: Option<Span>) -> Outcome {
    Err(Error::unbound(name, form.car_span.or(at)))
}

/// `(define-once …)`: `define` where the name means nothing yet (LANGUAGE.md §4.3, inferred).
fn define_once(machine: &mut SbplMachine, form: &Rc<Pair>, environment: &Rc<Environment>, at: Option<Span>) -> Outcome {
    let target = match form.cdr() {
        Value::Pair(rest) => rest.car(),
        _ => Value::Nil,
    };
    let name = match target {
        Value::Pair(head) => head.car(),
        other => other,
    };
    match &name {
        Value::Symbol(symbol) if machine.is_bound(symbol.name()) => Ok(Step::Return(name)),
        _ => {
            let define = Value::Symbol(machine.symbols.intern("define"));
            let expression = Value::cons(define, form.cdr());
            Ok(Step::Evaluate { expression, environment: environment.clone(), at })
        }
    }
}

fn trace(machine: &mut SbplMachine, call: Call<'_>) -> Outcome {
    let path = call.argument(0).bytes().ok_or_else(|| Error::new("argument to trace must be a string", call.at))?;
    if machine.host.trace.replace(path).is_some() {
        return Err(Error::new("only one trace path may be specified", call.at));
    }
    Ok(Step::Return(Value::Bool(true)))
}

/// `(with MODIFIER ARGUMENT…)` (LANGUAGE.md §4.2).
fn with(machine: &mut SbplMachine, call: Call<'_>) -> Outcome {
    let release = machine.host.release;
    let arguments = call.arguments.get(1..).unwrap_or_default();
    let id = match Object::of(call.argument(0)) {
        Some(Object::ModifierName(id)) => *id,
        Some(Object::DeprecatedName(place)) => {
            let Some(entry) = release.deprecated_modifiers().get(*place) else {
                return Err(Error::new("illegal modifier", call.at));
            };
            if !arguments.is_empty() {
                return Err(Error::new("unexpected argument", call.at));
            }
            machine.host.profile_flags |= entry.profile_flag;
            let replaced = entry.replaced_by.as_ref().and_then(|(name, number)| {
                Some(Modifier { id: release.modifier_named(name)?.id, argument: ModifierArgument::Number(*number) })
            });
            return Ok(Step::Return(replaced.map_or(Object::NoModifier, Object::Modifier).value()));
        }
        _ => return Err(Error::new("illegal modifier", call.at)),
    };
    let Some(entry) = release.modifier(id) else { return Err(Error::new("illegal modifier", call.at)) };
    let malformed = || Error::new(format!("malformed modifier: {}", entry.name), call.at);
    let argument = match (entry.argument, arguments) {
        (ModifierArgumentKind::None, []) => ModifierArgument::None,
        (ModifierArgumentKind::Number, [Value::Integer(number)]) => {
            let number = u16::try_from(*number).map_err(|_| malformed())?;
            if entry.range.is_some_and(|(low, high)| !(low..=high).contains(&number)) {
                return Err(malformed());
            }
            ModifierArgument::Number(number)
        }
        (ModifierArgumentKind::Text, [Value::String(text)]) => {
            let bytes = text.bytes.borrow();
            machine.charge(bytes.len(), call.at)?;
            ModifierArgument::Text(bytes.clone())
        }
        _ => return Err(malformed()),
    };
    Ok(Step::Return(Object::Modifier(Modifier { id, argument }).value()))
}

/// What the arguments of a rule sort into.
#[derive(Default)]
struct Parts {
    operations: Vec<OperationId>,
    /// An operation was named, also one that is gone.
    named: bool,
    filters: Vec<FilterValue>,
    modifiers: Vec<Modifier>,
}

/// A rule that waits for what the forms around it add: each is evaluated again for each rule,
/// the innermost first (LANGUAGE.md §4.3).
struct Gathering {
    action: Action,
    arguments: Vec<Value>,
    at: Option<Span>,
    /// How many of the contexts, from the outermost, are still to be evaluated; the last one is being.
    left: usize,
    /// Values of the others, innermost first.
    added: Vec<Context>,
}

impl HostFrame<Sbpl> for Gathering {
    fn resume(&self, machine: &mut SbplMachine, value: Value) -> Outcome {
        let Some(form) = self.left.checked_sub(1).and_then(|place| machine.host.contexts.get(place)) else {
            return Err(Error::new("a rule came back after the form around it was left", self.at));
        };
        let kind = form.kind;
        let context = context(kind, &value)
            .ok_or_else(|| Error::new(format!("illegal argument to {kind}: {}", value.written()), self.at))?;
        machine.spend(self.added.len() as u64, self.at)?;
        let added = self.added.iter().cloned().chain([context]).collect();
        gather(machine, Self { arguments: self.arguments.clone(), left: self.left - 1, added, ..*self })
    }
}

fn gather(machine: &mut SbplMachine, gathering: Gathering) -> Outcome {
    let Some(form) = gathering.left.checked_sub(1).and_then(|place| machine.host.contexts.get(place)).cloned() else {
        let Gathering { action, arguments, at, added, .. } = gathering;
        return finish_rule(machine, Call { name: action.name(), arguments, at }, action, added);
    };
    machine.push_host_frame(Rc::new(gathering));
    Ok(Step::Evaluate { expression: form.expression, environment: form.environment, at: form.at })
}

/// `(allow ARGUMENT…)` and its siblings (LANGUAGE.md §4.1).
pub(super) fn rule(machine: &mut SbplMachine, call: Call<'_>, action: Action) -> Outcome {
    let left = machine.host.contexts.len();
    gather(machine, Gathering { action, arguments: call.arguments, at: call.at, left, added: Vec::new() })
}

/// `(extends NAME)`: what this profile does not decide, the one of that name does. The form is
/// guessed: only its name (LANGUAGE.md §4.3) and what stands in collections are known.
pub(super) fn extends(machine: &mut SbplMachine, call: &Call<'_>) -> Outcome {
    if call.arguments.len() != 1 {
        return Err(Error::new("extends: needs 1 argument", call.at));
    }
    let name = call.string(0)?;
    if name.is_empty() || name.contains(&0) {
        return Err(Error::new("extends: the name of a profile is not empty and has no NUL", call.at));
    }
    if machine.host.base.as_ref().is_some_and(|known| *known != name) {
        return Err(Error::new("only one profile may be extended", call.at));
    }
    machine.charge(name.len(), call.at)?;
    machine.host.base = Some(name);
    Ok(Step::Return(Value::Bool(true)))
}

/// Records a rule; `added` is what the forms around it add, innermost first.
fn finish_rule(machine: &mut SbplMachine, call: Call<'_>, action: Action, added: Vec<Context>) -> Outcome {
    let mut parts = Parts::default();
    for argument in &call.arguments {
        sort_argument(machine, argument, &mut parts, &call)?;
    }
    let mut outer_filters = Vec::new();
    for context in added {
        match context {
            Context::Filter(filter) => outer_filters.push(filter),
            Context::Modifier(modifier) => parts.modifiers.push(modifier),
            Context::Operations(list) => {
                parts.operations.extend(list);
                parts.named = true;
            }
        }
    }
    machine.charge(4 * parts.operations.len(), call.at)?;
    let mut seen = std::collections::HashSet::new();
    parts.operations.retain(|operation| seen.insert(*operation));
    if !parts.named {
        return Err(Error::new("at least one operation required", call.at));
    }
    check_modifiers(machine, &parts, action, call.at)?;
    let fail = |message| Error::new(message, call.at);
    let mut filter = match parts.filters.is_empty() {
        true => None,
        false => Some(FilterValue::combine(parts.filters, Filter::Any).map_err(fail)?),
    };
    for outer in outer_filters {
        filter = Some(match filter {
            None => outer,
            Some(inner) => FilterValue::combine(vec![inner, outer], Filter::All).map_err(fail)?,
        });
    }
    machine.charge(256, call.at)?;
    if !parts.operations.is_empty() {
        let origin = Sbpl::origin(machine, call.at)?;
        let rule = Rule {
            action,
            operations: parts.operations,
            filter: filter.map(|value| value.filter),
            modifiers: parts.modifiers,
            origin,
        };
        if let Some(collector) = machine.host.collectors.last_mut() {
            collector.rules.push(rule);
        }
    }
    Ok(Step::Return(Value::Bool(true)))
}

fn sort_argument(machine: &SbplMachine, argument: &Value, parts: &mut Parts, call: &Call<'_>) -> Result<(), Error> {
    match Object::of(argument) {
        Some(Object::Operation(id)) => {
            parts.operations.push(*id);
            parts.named = true;
        }
        Some(Object::NoOperation) => parts.named = true,
        Some(Object::Filter(filter)) => parts.filters.push(filter.clone()),
        Some(Object::Modifier(modifier)) => parts.modifiers.push(modifier.clone()),
        Some(Object::NoModifier) => {}
        Some(Object::MessageFilter(rules)) => {
            let id = machine.host.release.modifier_named("message-filter").map_or(ModifierId(0), |entry| entry.id);
            parts.modifiers.push(Modifier { id, argument: ModifierArgument::MessageFilter(rules.clone()) });
        }
        // Two blanks before the object, as measured (LANGUAGE.md §4.1).
        _ => return Err(Error::new(format!("illegal argument:  {}", argument.written()), call.at)),
    }
    Ok(())
}

fn check_modifiers(machine: &SbplMachine, parts: &Parts, action: Action, at: Option<Span>) -> Result<(), Error> {
    let release = machine.host.release;
    // The first collector is the profile's. Values that hold one another without end are also
    // taken apart by recursion, so this must not wait for the builder.
    let is_message_filter = |modifier: &Modifier| matches!(modifier.argument, ModifierArgument::MessageFilter(_));
    if machine.host.collectors.len() > 1 && parts.modifiers.iter().any(is_message_filter) {
        return Err(Error::new("a message filter cannot stand inside another one", at));
    }
    for (place, modifier) in parts.modifiers.iter().enumerate() {
        let Some(entry) = release.modifier(modifier.id) else { continue };
        let name = &entry.name;
        if parts.modifiers[..place].iter().any(|other| other.id == modifier.id) {
            return Err(Error::new(format!("{name} modifier can only appear once per rule"), at));
        }
        let applies = match entry.actions {
            Applies::Both => true,
            Applies::Allow => action == Action::Allow,
            Applies::Deny => action == Action::Deny,
        };
        if !applies {
            return Err(Error::new(format!("{name} modifier does not apply to {} action", action.name()), at));
        }
        for operation in &parts.operations {
            let operation = release.operation_name(*operation);
            let allowed = entry.only.is_empty() || entry.only.iter().any(|only| *only == operation);
            if !allowed || entry.except.iter().any(|except| *except == operation) {
                return Err(Error::new(format!("{name} modifier does not apply to {operation} operation"), at));
            }
        }
    }
    Ok(())
}

/// `(apply-message-filter RULE…)`: the rules inside go to a collector of their own.
fn message_filter(
    machine: &mut SbplMachine,
    form: &Rc<Pair>,
    environment: &Rc<Environment>,
    at: Option<Span>,
) -> Outcome {
    struct Collected;
    impl HostFrame<Sbpl> for Collected {
        fn resume(&self, machine: &mut SbplMachine, _: Value) -> Outcome {
            // The profile's own collector is never popped: a continuation cannot come back here once
            // the filter is finished.
            let rules = machine.host.collectors.pop().map(|collector| collector.rules).unwrap_or_default();
            Ok(Step::Return(Object::MessageFilter(Arc::new(rules)).value()))
        }
    }
    // A release without the modifier has nothing for this to make (LANGUAGE.md §4.7).
    if machine.host.release.modifier_named("message-filter").is_none() {
        return unbound("apply-message-filter", form, at);
    }
    machine.push_host_frame(Rc::new(Collected));
    machine.host.open_collector();
    Ok(machine.body(form.cdr(), environment.clone(), at))
}

/// `(with-filter F RULE…)` and its two siblings (LANGUAGE.md §4.3). `F` is evaluated for each rule.
fn with_context(
    machine: &mut SbplMachine,
    form: &Rc<Pair>,
    environment: &Rc<Environment>,
    at: Option<Span>,
) -> Outcome {
    struct Leave(usize);
    impl HostFrame<Sbpl> for Leave {
        fn resume(&self, machine: &mut SbplMachine, value: Value) -> Outcome {
            machine.host.contexts.truncate(self.0);
            Ok(Step::Return(value))
        }
    }
    let name = form.car().displayed();
    let kind = CONTEXTS.iter().copied().find(|kind| *kind == name).unwrap_or_default();
    let Value::Pair(rest) = form.cdr() else {
        return Err(Error::new(format!("syntax error: malformed {kind}"), at));
    };
    let depth = machine.host.contexts.len();
    if depth >= MAX_CONTEXTS {
        return Err(Error::new(format!("{kind} nested too deep (limit {MAX_CONTEXTS})"), at));
    }
    machine.push_host_frame(Rc::new(Leave(depth)));
    machine.host.contexts.push(ContextForm {
        kind,
        expression: rest.car(),
        environment: environment.clone(),
        at: rest.car_span.or(at),
    });
    Ok(machine.body(rest.cdr(), environment.clone(), at))
}

/// The forms that add something to each rule inside.
const CONTEXTS: [&str; 3] = ["with-filter", "with-modifier", "with-operations"];

fn context(kind: &str, value: &Value) -> Option<Context> {
    match (kind, Object::of(value)) {
        ("with-filter", Some(Object::Filter(filter))) => Some(Context::Filter(filter.clone())),
        ("with-modifier", Some(Object::Modifier(modifier))) => Some(Context::Modifier(modifier.clone())),
        ("with-operations", _) => {
            let items = value.items(1 << 16)?;
            let operations = items.iter().map(|item| match Object::of(item) {
                Some(Object::Operation(id)) => Some(*id),
                _ => None,
            });
            operations.collect::<Option<Vec<_>>>().map(Context::Operations)
        }
        _ => None,
    }
}
