//! Arithmetic: C `long` and `double`, mixed as TinyScheme mixes them (LANGUAGE.md §2.2).

use super::super::call::Call;
use super::super::error::Error;
use super::super::machine::Host;
use super::super::value::Value;
use super::{Native, Outcome, done, native};

#[derive(Clone, Copy)]
enum Number {
    Integer(i64),
    Real(f64),
}

use Number::{Integer, Real};

pub(super) fn table<H: Host>() -> Vec<Native<H>> {
    vec![
        native!(["+"], 0, None, |_, call| fold(&call, 0, i64::wrapping_add, |a, b| a + b)),
        native!(["*"], 0, None, |_, call| fold(&call, 1, i64::wrapping_mul, |a, b| a * b)),
        native!(["-"], 1, None, |_, call| subtract(&call)),
        native!(["/"], 1, None, |_, call| divide(&call)),
        native!(["quotient"], 2, Some(2), |_, call| whole(&call, i64::wrapping_div)),
        native!(["remainder"], 2, Some(2), |_, call| whole(&call, i64::wrapping_rem)),
        native!(["modulo"], 2, Some(2), |_, call| whole(&call, |a, b| {
            let rest = a.wrapping_rem(b);
            if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }
        })),
        native!(["="], 1, None, |_, call| compare(&call, |order| order.is_eq())),
        native!(["<"], 1, None, |_, call| compare(&call, |order| order.is_lt())),
        native!([">"], 1, None, |_, call| compare(&call, |order| order.is_gt())),
        native!(["<="], 1, None, |_, call| compare(&call, |order| order.is_le())),
        native!([">="], 1, None, |_, call| compare(&call, |order| order.is_ge())),
        native!(["<>"], 2, Some(2), |_, call| compare(&call, |order| order.is_ne())),
        native!(["gcd"], 0, None, |_, call| over_integers(&call, 0, gcd)),
        native!(["lcm"], 0, None, |_, call| over_integers(&call, 1, |a, b| match gcd(a, b) {
            0 => 0,
            divisor => a.wrapping_div(divisor).wrapping_mul(b).wrapping_abs(),
        })),
        native!(["exact->inexact"], 1, Some(1), |_, call| done(Value::Real(real(number(&call, 0)?)))),
        native!(["zero?"], 1, Some(1), |_, call| sign(&call, |order| order.is_eq())),
        native!(["positive?"], 1, Some(1), |_, call| sign(&call, |order| order.is_gt())),
        native!(["negative?"], 1, Some(1), |_, call| sign(&call, |order| order.is_lt())),
        native!(["even?"], 1, Some(1), |_, call| done(Value::Bool(call.integer(0)? % 2 == 0))),
        native!(["odd?"], 1, Some(1), |_, call| done(Value::Bool(call.integer(0)? % 2 != 0))),
        native!(["abs"], 1, Some(1), |_, call| done(value(match number(&call, 0)? {
            Integer(n) => Integer(n.wrapping_abs()),
            Real(n) => Real(n.abs()),
        }))),
        native!(["max"], 1, None, |_, call| choose(&call, std::cmp::Ordering::Greater)),
        native!(["min"], 1, None, |_, call| choose(&call, std::cmp::Ordering::Less)),
        native!(["succ"], 1, Some(1), |_, call| done(Value::Integer(call.integer(0)?.wrapping_add(1)))),
        native!(["pred"], 1, Some(1), |_, call| done(Value::Integer(call.integer(0)?.wrapping_sub(1)))),
    ]
}

fn number(call: &Call<'_>, index: usize) -> Result<Number, Error> {
    match call.argument(index) {
        Value::Integer(n) => Ok(Integer(*n)),
        Value::Real(n) => Ok(Real(*n)),
        _ => Err(call.wrong_type(index, "number")),
    }
}

fn value(number: Number) -> Value {
    match number {
        Integer(n) => Value::Integer(n),
        Real(n) => Value::Real(n),
    }
}

#[allow(clippy::cast_precision_loss)]
fn real(number: Number) -> f64 {
    match number {
        Integer(n) => n as f64,
        Real(n) => n,
    }
}

fn combine(a: Number, b: Number, whole: fn(i64, i64) -> i64, parts: fn(f64, f64) -> f64) -> Number {
    match (a, b) {
        (Integer(a), Integer(b)) => Integer(whole(a, b)),
        _ => Real(parts(real(a), real(b))),
    }
}

fn fold(call: &Call<'_>, start: i64, whole: fn(i64, i64) -> i64, parts: fn(f64, f64) -> f64) -> Outcome {
    let mut sum = Integer(start);
    for index in 0..call.arguments.len() {
        sum = combine(sum, number(call, index)?, whole, parts);
    }
    done(value(sum))
}

fn over_integers(call: &Call<'_>, start: i64, combine: fn(i64, i64) -> i64) -> Outcome {
    let mut result = start;
    for index in 0..call.arguments.len() {
        result = combine(result, call.integer(index)?);
    }
    done(Value::Integer(result))
}

fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a.wrapping_rem(b));
    }
    a.wrapping_abs()
}

fn subtract(call: &Call<'_>) -> Outcome {
    let minus = |a, b| combine(a, b, i64::wrapping_sub, |a, b| a - b);
    let first = number(call, 0)?;
    if call.arguments.len() == 1 {
        return done(value(minus(Integer(0), first)));
    }
    let mut result = first;
    for index in 1..call.arguments.len() {
        result = minus(result, number(call, index)?);
    }
    done(value(result))
}

fn divide(call: &Call<'_>) -> Outcome {
    let quotient = |a: Number, b: Number| match (a, b) {
        (_, Integer(0)) => Err(Error::new("/: division by zero", call.at)),
        (_, Real(0.0)) => Err(Error::new("/: division by zero", call.at)),
        (Integer(a), Integer(b)) if a.wrapping_rem(b) == 0 => Ok(Integer(a.wrapping_div(b))),
        (a, b) => Ok(Real(real(a) / real(b))),
    };
    let first = number(call, 0)?;
    if call.arguments.len() == 1 {
        return done(value(quotient(Integer(1), first)?));
    }
    let mut result = first;
    for index in 1..call.arguments.len() {
        result = quotient(result, number(call, index)?)?;
    }
    done(value(result))
}

fn whole(call: &Call<'_>, operation: fn(i64, i64) -> i64) -> Outcome {
    let (a, b) = (call.integer(0)?, call.integer(1)?);
    if b == 0 {
        return Err(Error::new(format!("{}: division by zero", call.name), call.at));
    }
    done(Value::Integer(operation(a, b)))
}

type Holds = fn(std::cmp::Ordering) -> bool;

fn order(a: Number, b: Number) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (Integer(a), Integer(b)) => Some(a.cmp(&b)),
        _ => real(a).partial_cmp(&real(b)),
    }
}

fn compare(call: &Call<'_>, holds: Holds) -> Outcome {
    let mut all = true;
    for index in 1..call.arguments.len() {
        let (a, b) = (number(call, index - 1)?, number(call, index)?);
        all &= order(a, b).is_some_and(holds);
    }
    done(Value::Bool(all))
}

fn sign(call: &Call<'_>, holds: Holds) -> Outcome {
    done(Value::Bool(order(number(call, 0)?, Integer(0)).is_some_and(holds)))
}

fn choose(call: &Call<'_>, wanted: std::cmp::Ordering) -> Outcome {
    let mut best = number(call, 0)?;
    for index in 1..call.arguments.len() {
        let next = number(call, index)?;
        if order(next, best) == Some(wanted) {
            best = next;
        }
    }
    done(value(best))
}
