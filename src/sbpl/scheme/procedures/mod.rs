//! In: evaluated arguments. Out: values, or calls that the machine makes next. Never: recursion
//! into the machine; what calls back (`map`, `for-each`) waits in a frame.

use super::super::source::Span;
use super::call::Call;
use super::error::Error;
use super::frame::Frame;
use super::machine::{Host, Machine, Step};
use super::value::Value;

mod control;
mod lists;
mod numbers;
mod ports;
mod strings;

/// A native procedure.
pub struct Native<H: Host> {
    /// Its names; the first one stands in messages.
    pub names: &'static [&'static str],
    /// Fewest arguments.
    pub least: usize,
    /// Most arguments; none for any number.
    pub most: Option<usize>,
    /// What it does.
    pub run: fn(&mut Machine<H>, Call<'_>) -> Result<Step, Error>,
}

impl<H: Host> Clone for Native<H> {
    fn clone(&self) -> Self {
        Self { names: self.names, least: self.least, most: self.most, run: self.run }
    }
}

impl<H: Host> Native<H> {
    /// Words of LANGUAGE.md §2.3.
    pub(super) fn check_arity(&self, count: usize, at: Option<Span>) -> Result<(), Error> {
        let name = self.names.first().copied().unwrap_or("");
        let plural = |n: usize| if n == 1 { "argument" } else { "arguments" };
        let (least, most) = (self.least, self.most);
        let message = match most {
            Some(most) if most == least && count != least => format!("{name}: needs {least} {}", plural(least)),
            _ if count < least => format!("{name}: needs at least {least} {}", plural(least)),
            Some(most) if count > most => format!("{name}: needs at most {most} {}", plural(most)),
            _ => return Ok(()),
        };
        Err(Error::new(message, at))
    }
}

/// An entry that returns a value.
macro_rules! native {
    ([$($name:literal),+], $least:literal, $most:expr, $run:expr) => {
        $crate::sbpl::scheme::procedures::Native { names: &[$($name),+], least: $least, most: $most, run: $run }
    };
}
use native;

pub(super) type Outcome = Result<Step, Error>;

pub(super) fn done(value: Value) -> Outcome {
    Ok(Step::Return(value))
}

/// Procedures that only turn arguments into a value: they leave the machine's frames alone and
/// call nothing back, so a call needs no frame of its own.
pub(super) fn leaves<H: Host>() -> Vec<Native<H>> {
    let mut table = lists::table();
    table.extend(numbers::table());
    table.extend(ports::table());
    table.extend(strings::table());
    table
}

/// The other procedures of Scheme itself.
pub(super) fn controls<H: Host>() -> Vec<Native<H>> {
    control::table()
}

/// A loop over lists that calls a procedure for each round.
#[derive(Clone)]
pub(super) struct Iteration {
    kind: IterationKind,
    procedure: Value,
    /// What is left of each list.
    lists: Vec<Value>,
    results: Vec<Value>,
    at: Option<Span>,
}

impl Iteration {
    /// How many values a copy would have to copy.
    pub fn held(&self) -> usize {
        let others = if let IterationKind::Partition(_, out) = &self.kind { out.len() } else { 0 };
        self.lists.len() + self.results.len() + others
    }
}

#[derive(Clone)]
pub(super) enum IterationKind {
    /// Collect the results.
    Map,
    /// Forget them.
    ForEach,
    /// Keep the items for which the call is true; holds the item asked about.
    Filter(Value),
    /// As `Filter`, with the others in a second list.
    Partition(Value, Vec<Value>),
    /// `(foldr f acc list)`, which is a left fold (LANGUAGE.md §2.2).
    Fold(Value),
}

/// Starts a loop.
pub(super) fn iterate<H: Host>(
    machine: &mut Machine<H>,
    kind: IterationKind,
    procedure: Value,
    lists: Vec<Value>,
    at: Option<Span>,
) -> Outcome {
    next_round(machine, Iteration { kind, procedure, lists, results: Vec::new(), at })
}

fn next_round<H: Host>(machine: &mut Machine<H>, mut iteration: Iteration) -> Outcome {
    let mut arguments = Vec::with_capacity(iteration.lists.len() + 1);
    for list in &mut iteration.lists {
        let Value::Pair(pair) = &*list else {
            let Iteration { kind, results, .. } = iteration;
            return done(match kind {
                IterationKind::Map | IterationKind::Filter(_) => Value::list(results),
                // TinyScheme's for-each ends with the truth (LANGUAGE.md §2.2).
                IterationKind::ForEach => Value::Bool(true),
                IterationKind::Partition(_, out) => Value::list(vec![Value::list(results), Value::list(out)]),
                IterationKind::Fold(value) => value,
            });
        };
        arguments.push(pair.car());
        let next = pair.cdr();
        *list = next;
    }
    match &mut iteration.kind {
        IterationKind::Filter(item) | IterationKind::Partition(item, _) => {
            *item = arguments.first().cloned().unwrap_or_default();
        }
        IterationKind::Fold(value) => arguments.insert(0, std::mem::take(value)),
        IterationKind::Map | IterationKind::ForEach => {}
    }
    machine.charge(64, iteration.at)?;
    let (procedure, at) = (iteration.procedure.clone(), iteration.at);
    machine.push(Frame::Iterate(iteration));
    Ok(Step::Apply { procedure, arguments, at })
}

/// Goes on with the value of the last call.
pub(super) fn resume_iteration<H: Host>(machine: &mut Machine<H>, mut iteration: Iteration, value: Value) -> Outcome {
    match &mut iteration.kind {
        IterationKind::Map => iteration.results.push(value),
        IterationKind::ForEach => {}
        IterationKind::Filter(item) => {
            if value.is_true() {
                iteration.results.push(std::mem::take(item));
            }
        }
        IterationKind::Partition(item, out) => {
            let list = if value.is_true() { &mut iteration.results } else { out };
            list.push(std::mem::take(item));
        }
        IterationKind::Fold(accumulated) => *accumulated = value,
    }
    next_round(machine, iteration)
}
