//! Pairs, lists and vectors (LANGUAGE.md §2.2).

use super::super::call::Call;
use super::super::error::Error;
use super::super::machine::{Host, Machine, PAIR_BYTES};
use super::super::value::Value;
use super::{Native, Outcome, done, native};

pub(super) fn table<H: Host>() -> Vec<Native<H>> {
    let mut table = vec![
        native!(["cons"], 2, Some(2), |_, call| {
            done(Value::cons(call.argument(0).clone(), call.argument(1).clone()))
        }),
        native!(["set-car!"], 2, Some(2), |_, call| change(&call, true)),
        native!(["set-cdr!"], 2, Some(2), |_, call| change(&call, false)),
        native!(["list"], 0, None, |_, call| done(Value::list(call.arguments))),
        native!(["list*"], 1, None, |_, mut call| {
            let tail = call.arguments.pop().unwrap_or_default();
            done(Value::list_with_tail(call.arguments, tail))
        }),
        native!(["list?"], 1, Some(1), |machine, call| {
            let length = call.argument(0).length();
            machine.spend((length.unwrap_or_default() / 8) as u64, call.at)?;
            done(Value::Bool(length.is_some()))
        }),
        native!(["length"], 1, Some(1), |machine, call| {
            let length = machine.list_length(&call, 0)?;
            done(Value::Integer(i64::try_from(length).unwrap_or(i64::MAX)))
        }),
        native!(["reverse"], 1, Some(1), |machine, call| {
            let mut items = machine.list_items(&call, 0)?;
            items.reverse();
            done(Value::list(items))
        }),
        native!(["append"], 0, None, append),
        native!(["list-tail", "drop"], 2, Some(2), list_tail),
        native!(["take"], 2, Some(2), take),
        native!(["list-ref"], 2, Some(2), list_ref),
        native!(["last-pair"], 1, Some(1), last_pair),
        native!(["flatten"], 1, Some(1), flatten),
        native!(["memq"], 2, Some(2), |machine, call| member(machine, &call, Comparison::Same)),
        native!(["memv"], 2, Some(2), |machine, call| member(machine, &call, Comparison::Value)),
        native!(["member"], 2, Some(2), |machine, call| member(machine, &call, Comparison::Contents)),
        native!(["assq"], 2, Some(2), |machine, call| association(machine, &call, Comparison::Same)),
        native!(["assv"], 2, Some(2), |machine, call| association(machine, &call, Comparison::Value)),
        native!(["assoc"], 2, Some(2), |machine, call| association(machine, &call, Comparison::Contents)),
        native!(["vector"], 0, None, |_, call| done(Value::vector(call.arguments))),
        native!(["make-vector"], 1, Some(2), make_vector),
        native!(["vector-length"], 1, Some(1), |_, call| match call.argument(0) {
            Value::Vector(items) => done(Value::Integer(i64::try_from(items.borrow().len()).unwrap_or(i64::MAX))),
            _ => Err(call.wrong_type(0, "vector")),
        }),
        native!(["vector-ref"], 2, Some(2), vector_ref),
        native!(["vector-set!"], 3, Some(3), vector_set),
        native!(["vector-fill!"], 2, Some(2), |machine, call| {
            let Value::Vector(items) = call.argument(0) else { return Err(call.wrong_type(0, "vector")) };
            machine.spend((items.borrow().len() / 8) as u64, call.at)?;
            // What was in it is dropped once nothing is borrowed any more.
            let length = items.borrow().len();
            drop(items.replace(vec![call.argument(1).clone(); length]));
            done(call.argument(0).clone())
        }),
        native!(["vector-equal?"], 2, Some(2), |machine, call| {
            done(Value::Bool(machine.same_contents(call.argument(0), call.argument(1), call.at)?))
        }),
        native!(["atom?"], 1, Some(1), |_, call| done(Value::Bool(!matches!(call.argument(0), Value::Pair(_))))),
        native!(["acons"], 3, Some(3), |_, call| {
            let entry = Value::cons(call.argument(0).clone(), call.argument(1).clone());
            done(Value::cons(entry, call.argument(2).clone()))
        }),
        native!(["head"], 1, Some(1), |_, call| match call.argument(0) {
            Value::Pair(pair) => done(pair.car()),
            _ => Err(call.wrong_type(0, "pair")),
        }),
        native!(["list->vector"], 1, Some(1), |machine, call| {
            let items = machine.list_items(&call, 0)?;
            done(Value::vector(items))
        }),
        native!(["vector->list"], 1, Some(1), |machine, call| match call.argument(0) {
            Value::Vector(items) => {
                let items = items.borrow().clone();
                machine.charge(items.len() * PAIR_BYTES, call.at)?;
                done(Value::list(items))
            }
            _ => Err(call.wrong_type(0, "vector")),
        }),
    ];
    macro_rules! paths {
        ($($name:literal),+ $(,)?) => { table.extend([$(native!([$name], 1, Some(1), walk)),+]) };
    }
    paths!(
        "car", "cdr", "caar", "cadr", "cdar", "cddr", "caaar", "caadr", "cadar", "caddr", "cdaar", "cdadr", "cddar",
        "cdddr", "caaaar", "caaadr", "caadar", "caaddr", "cadaar", "cadadr", "caddar", "cadddr", "cdaaar", "cdaadr",
        "cdadar", "cdaddr", "cddaar", "cddadr", "cdddar", "cddddr",
    );
    table
}

/// `car`, `cdr` and their combinations: the name says the way, last letter first.
fn walk<H: Host>(_: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let mut value = call.argument(0).clone();
    for step in call.name.bytes().rev().filter(|byte| matches!(byte, b'a' | b'd')) {
        let Value::Pair(pair) = &value else { return Err(call.wrong_type(0, "pair")) };
        let next = if step == b'a' { pair.car() } else { pair.cdr() };
        value = next;
    }
    done(value)
}

fn change(call: &Call<'_>, first: bool) -> Outcome {
    let Value::Pair(pair) = call.argument(0) else { return Err(call.wrong_type(0, "pair")) };
    let value = call.argument(1).clone();
    if first {
        pair.set_car(value)
    } else {
        pair.set_cdr(value)
    }
    done(call.argument(0).clone())
}

fn append<H: Host>(machine: &mut Machine<H>, mut call: Call<'_>) -> Outcome {
    let tail = call.arguments.pop().unwrap_or_default();
    let mut items = Vec::new();
    for index in 0..call.arguments.len() {
        items.append(&mut machine.list_items(&call, index)?);
    }
    done(Value::list_with_tail(items, tail))
}

fn index(call: &Call<'_>, position: usize) -> Result<usize, Error> {
    usize::try_from(call.integer(position)?).map_err(|_| call.wrong_type(position, "non-negative integer"))
}

fn out_of_bounds(call: &Call<'_>, number: usize) -> Error {
    Error::new(format!("{}: out of bounds: {number}", call.name), call.at)
}

/// The list behind its first `n` items.
fn tail_of<H: Host>(machine: &mut Machine<H>, call: &Call<'_>) -> Result<Value, Error> {
    let count = index(call, 1)?;
    let mut rest = call.argument(0).clone();
    for passed in 0..count {
        // The list may be circular and the number astronomic.
        machine.spend(u64::from(passed % 8 == 7), call.at)?;
        let Value::Pair(pair) = &rest else { return Err(out_of_bounds(call, count)) };
        let next = pair.cdr();
        rest = next;
    }
    Ok(rest)
}

fn list_tail<H: Host>(machine: &mut Machine<H>, call: Call<'_>) -> Outcome {
    done(tail_of(machine, &call)?)
}

fn list_ref<H: Host>(machine: &mut Machine<H>, call: Call<'_>) -> Outcome {
    match tail_of(machine, &call)? {
        Value::Pair(pair) => done(pair.car()),
        _ => Err(out_of_bounds(&call, index(&call, 1)?)),
    }
}

fn take<H: Host>(machine: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let count = index(&call, 1)?;
    let mut items = machine.list_items(&call, 0)?;
    if items.len() < count {
        return Err(out_of_bounds(&call, count));
    }
    items.truncate(count);
    done(Value::list(items))
}

fn last_pair<H: Host>(machine: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let count = machine.list_length(&call, 0)?;
    let mut rest = call.argument(0).clone();
    for _ in 1..count {
        let Value::Pair(pair) = &rest else { break };
        let next = pair.cdr();
        rest = next;
    }
    done(rest)
}

fn flatten<H: Host>(machine: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let mut work = vec![call.argument(0).clone()];
    let mut items = Vec::new();
    while let Some(value) = work.pop() {
        // What waits grows by one for each pair that is nested in a car.
        machine.charge(PAIR_BYTES, call.at)?;
        match value {
            Value::Nil => {}
            Value::Pair(pair) => {
                work.push(pair.cdr());
                work.push(pair.car());
            }
            other => items.push(other),
        }
    }
    done(Value::list(items))
}

/// How `memq`, `memv`, `member` and their like compare.
#[derive(Clone, Copy)]
enum Comparison {
    Same,
    Value,
    Contents,
}

/// The first pair of the list argument whose item (or, with `entries`, the item's car) is the first
/// argument. A circular list without it ends with the budget.
fn search<H: Host>(machine: &mut Machine<H>, call: &Call<'_>, by: Comparison, entries: bool) -> Outcome {
    let wanted = call.argument(0);
    let mut rest = call.argument(1).clone();
    loop {
        machine.spend(1, call.at)?;
        let Value::Pair(pair) = &rest else { break };
        let item = pair.car();
        let key = match &item {
            Value::Pair(entry) if entries => Some(entry.car()),
            _ if entries => None,
            _ => Some(item.clone()),
        };
        let hit = match (by, &key) {
            (_, None) => false,
            (Comparison::Same, Some(key)) => key.same(wanted),
            (Comparison::Value, Some(key)) => key.same_value(wanted),
            (Comparison::Contents, Some(key)) => machine.same_contents(key, wanted, call.at)?,
        };
        if hit {
            return done(if entries { item } else { rest });
        }
        let next = pair.cdr();
        rest = next;
    }
    match rest {
        Value::Nil => done(Value::Bool(false)),
        _ => Err(call.wrong_type(1, "pair or '()")),
    }
}

fn member<H: Host>(machine: &mut Machine<H>, call: &Call<'_>, by: Comparison) -> Outcome {
    search(machine, call, by, false)
}

fn association<H: Host>(machine: &mut Machine<H>, call: &Call<'_>, by: Comparison) -> Outcome {
    search(machine, call, by, true)
}

fn make_vector<H: Host>(machine: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let count = index(&call, 0)?;
    machine.charge(count.saturating_mul(size_of::<Value>()), call.at)?;
    done(Value::vector(vec![call.arguments.get(1).cloned().unwrap_or_default(); count]))
}

fn vector_ref<H: Host>(_: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let Value::Vector(items) = call.argument(0) else { return Err(call.wrong_type(0, "vector")) };
    let position = index(&call, 1)?;
    let item = items.borrow().get(position).cloned();
    item.map_or_else(|| Err(out_of_bounds(&call, position)), done)
}

fn vector_set<H: Host>(_: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let Value::Vector(items) = call.argument(0) else { return Err(call.wrong_type(0, "vector")) };
    let position = index(&call, 1)?;
    match items.borrow_mut().get_mut(position) {
        Some(slot) => *slot = call.argument(2).clone(),
        None => return Err(out_of_bounds(&call, position)),
    }
    done(call.argument(0).clone())
}
