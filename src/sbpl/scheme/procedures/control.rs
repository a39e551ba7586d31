//! Procedures that decide what is evaluated next, and predicates of type (LANGUAGE.md §2.2).

use super::super::super::source::Span;
use super::super::call::Call;
use super::super::error::Error;
use super::super::frame::Frame;
use super::super::machine::{Host, Machine, Step};
use super::super::value::{Symbol, Value};
use super::{IterationKind, Native, Outcome, done, iterate, native};

pub(super) fn table<H: Host>() -> Vec<Native<H>> {
    let mut table = vec![
        native!(["apply"], 1, None, apply),
        native!(["call-with-current-continuation", "call/cc"], 1, Some(1), call_cc),
        native!(["force"], 1, Some(1), force),
        native!(["tail"], 1, Some(1), tail),
        native!(["macro-expand"], 1, Some(1), macro_expand),
        native!(["eval"], 1, Some(2), eval),
        native!(["map"], 2, None, map),
        native!(["for-each"], 2, None, for_each),
        native!(["filter"], 2, Some(2), filter),
        native!(["partition"], 2, Some(2), partition),
        native!(["foldr"], 3, Some(3), fold),
        native!(["error"], 0, None, error),
        native!(["interaction-environment"], 0, Some(0), |machine, _| {
            done(Value::Environment(machine.global.clone()))
        }),
        native!(["gensym"], 0, Some(0), |_, _| done(Value::Symbol(Symbol::uninterned("gensym")))),
        native!(["display", "write", "newline", "write-char"], 0, None, |_, _| done(Value::Bool(true))),
        native!(["not"], 1, Some(1), |_, call| done(Value::Bool(!call.argument(0).is_true()))),
        native!(["eq?"], 2, Some(2), |_, call| done(Value::Bool(call.argument(0).same(call.argument(1))))),
        native!(["eqv?"], 2, Some(2), |_, call| done(Value::Bool(call.argument(0).same_value(call.argument(1))))),
        native!(["equal?"], 2, Some(2), |machine, call| {
            done(Value::Bool(machine.same_contents(call.argument(0), call.argument(1), call.at)?))
        }),
    ];
    macro_rules! predicates {
        ($($name:literal: $pattern:pat),+ $(,)?) => {
            table.extend([$(native!([$name], 1, Some(1), |_, call| {
                done(Value::Bool(matches!(call.argument(0), $pattern)))
            })),+])
        };
    }
    predicates! {
        "exact?": Value::Integer(_),
        "inexact?": Value::Real(_),
        "rational?": Value::Integer(_),
        "complex?": Value::Integer(_) | Value::Real(_),
        "boolean?": Value::Bool(_),
        "null?": Value::Nil,
        "pair?": Value::Pair(_),
        "symbol?": Value::Symbol(_),
        "number?": Value::Integer(_) | Value::Real(_),
        "integer?": Value::Integer(_),
        "real?": Value::Integer(_) | Value::Real(_),
        "char?": Value::Character(_),
        "string?": Value::String(_),
        "vector?": Value::Vector(_),
        "procedure?": Value::Native(_) | Value::Closure(_) | Value::Continuation(_) | Value::Foreign(_),
        "closure?": Value::Closure(_) | Value::Macro(_),
        "macro?": Value::Macro(_),
        "environment?": Value::Environment(_),
    }
    table
}

fn apply<H: Host>(machine: &mut Machine<H>, mut call: Call<'_>) -> Outcome {
    let last = call.arguments.len() - 1;
    let mut tail = if last == 0 { Vec::new() } else { machine.list_items(&call, last)? };
    let mut arguments = std::mem::take(&mut call.arguments);
    if last > 0 {
        arguments.truncate(last);
    }
    let procedure = arguments.remove(0);
    arguments.append(&mut tail);
    Ok(Step::Apply { procedure, arguments, at: call.at })
}

fn call_cc<H: Host>(machine: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let continuation = machine.capture(call.at)?;
    Ok(Step::Apply { procedure: call.argument(0).clone(), arguments: vec![continuation], at: call.at })
}

fn force<H: Host>(machine: &mut Machine<H>, call: Call<'_>) -> Outcome {
    force_value(machine, call.argument(0), call.at)
}

/// `(tail stream)`: the rest of what `cons-stream` made.
fn tail<H: Host>(machine: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let Value::Pair(pair) = call.argument(0) else { return Err(call.wrong_type(0, "pair")) };
    force_value(machine, &pair.cdr(), call.at)
}

/// `(macro-expand '(name part…))`: what the call of a macro is replaced with.
fn macro_expand<H: Host>(machine: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let form = call.argument(0).clone();
    let Value::Pair(pair) = &form else { return done(form) };
    let Value::Symbol(name) = pair.car() else { return done(form) };
    let global = machine.global.clone();
    match machine.lookup(&name, &global, call.at)? {
        Value::Macro(expander) => {
            Ok(Step::Apply { procedure: Value::Closure(expander), arguments: vec![form], at: call.at })
        }
        _ => done(form),
    }
}

fn force_value<H: Host>(machine: &mut Machine<H>, value: &Value, at: Option<Span>) -> Outcome {
    let Value::Promise(promise) = value else { return done(value.clone()) };
    if let Some(value) = promise.value.borrow().clone() {
        return done(value);
    }
    let environment = promise.environment.borrow().clone().unwrap_or_else(|| machine.global.clone());
    machine.push(Frame::Promise(promise.clone()));
    Ok(Step::Evaluate { expression: promise.expression.clone(), environment, at })
}

fn eval<H: Host>(machine: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let environment = match call.arguments.get(1) {
        None => machine.global.clone(),
        Some(Value::Environment(environment)) => environment.clone(),
        Some(_) => return Err(call.wrong_type(1, "environment")),
    };
    Ok(Step::Evaluate { expression: call.argument(0).clone(), environment, at: call.at })
}

fn lists_of(call: &Call<'_>) -> Result<Vec<Value>, Error> {
    for index in 1..call.arguments.len() {
        if !matches!(call.argument(index), Value::Nil | Value::Pair(_)) {
            return Err(call.wrong_type(index, "pair or '()"));
        }
    }
    Ok(call.arguments.get(1..).unwrap_or_default().to_vec())
}

fn map<H: Host>(machine: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let lists = lists_of(&call)?;
    iterate(machine, IterationKind::Map, call.argument(0).clone(), lists, call.at)
}

fn for_each<H: Host>(machine: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let lists = lists_of(&call)?;
    iterate(machine, IterationKind::ForEach, call.argument(0).clone(), lists, call.at)
}

fn filter<H: Host>(machine: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let lists = lists_of(&call)?;
    iterate(machine, IterationKind::Filter(Value::Nil), call.argument(0).clone(), lists, call.at)
}

fn partition<H: Host>(machine: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let lists = lists_of(&call)?;
    let kind = IterationKind::Partition(Value::Nil, Vec::new());
    iterate(machine, kind, call.argument(0).clone(), lists, call.at)
}

fn fold<H: Host>(machine: &mut Machine<H>, call: Call<'_>) -> Outcome {
    if !matches!(call.argument(2), Value::Nil | Value::Pair(_)) {
        return Err(call.wrong_type(2, "pair or '()"));
    }
    let kind = IterationKind::Fold(call.argument(1).clone());
    iterate(machine, kind, call.argument(0).clone(), vec![call.argument(2).clone()], call.at)
}

/// Longest message that a program can raise, in bytes, give or take one object.
const MAX_MESSAGE: usize = 16_384;

/// `(error "text" object…)`: the text, then each object as `write` shows it.
fn error<H: Host>(_: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let mut parts = call.arguments.iter();
    let mut message = parts.next().map(Value::displayed).unwrap_or_default();
    for part in parts {
        if message.len() > MAX_MESSAGE {
            message.push_str(" ...");
            break;
        }
        message.push(' ');
        message.push_str(&part.written());
    }
    Err(Error::new(message, call.at))
}
