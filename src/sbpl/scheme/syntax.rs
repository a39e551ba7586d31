//! In: forms whose head is a special name. Out: what the machine does next. Never: evaluation of
//! the parts; that is pushed back to the machine as frames.
//!
//! One function per form; [`all`] is the table.

use std::rc::Rc;

use super::super::source::Span;
use super::error::Error;
use super::frame::{Frame, FrameOf};
use super::machine::{AtOnce, Host, Machine, Step, place_of};
use super::quasiquote::quasiquote;
use super::value::{Closure, Environment, Names, Pair, Promise, Symbol, Value};

/// A special form: gets the whole form, its scope and its place.
pub type Syntax<H> = fn(&mut Machine<H>, &Rc<Pair>, &Rc<Environment>, Option<Span>) -> Result<Step, Error>;

/// The forms that are native in the original; all others can be bound by a program.
pub(super) const NATIVE: &[&str] = &[
    "quote",
    "lambda",
    "define",
    "set!",
    "if",
    "cond",
    "case",
    "let",
    "let*",
    "letrec",
    "begin",
    "and",
    "or",
    "delay",
    "cons-stream",
    "macro",
];

/// The table of special forms (LANGUAGE.md §2.1).
pub(super) fn all<H: Host>() -> Vec<(&'static str, Syntax<H>)> {
    vec![
        ("quote", quote),
        ("quasiquote", quasiquote),
        ("lambda", lambda),
        ("define", define),
        ("set!", set),
        ("if", if_form),
        ("cond", cond),
        ("case", case),
        ("let", let_form),
        ("let*", let_star),
        ("letrec", letrec),
        ("begin", begin),
        ("and", and),
        ("or", or),
        ("when", when),
        ("unless", unless),
        ("do", do_form),
        ("delay", delay),
        ("cons-stream", cons_stream),
        ("macro", macro_form),
        ("define-macro", define_macro),
        ("defined?", defined),
        ("current-environment", |_, _, environment, _| Ok(Step::Return(Value::Environment(environment.clone())))),
    ]
}

pub(super) type Outcome = Result<Step, Error>;
pub(super) type Scope = Rc<Environment>;
pub(super) type At = Option<Span>;

pub(super) fn malformed(form: &Pair, at: At) -> Error {
    let name = match form.car() {
        Value::Symbol(name) => name.name().to_owned(),
        _ => String::new(),
    };
    Error::new(format!("syntax error: malformed {name}"), at)
}

/// The nth part behind the head, with its place.
pub(super) fn part(form: &Rc<Pair>, index: usize, at: At) -> Option<(Value, At)> {
    let mut rest = form.cdr();
    for _ in 0..index {
        let Value::Pair(pair) = rest else { return None };
        rest = pair.cdr();
    }
    match rest {
        Value::Pair(pair) => Some((pair.car(), place_of(&pair, at))),
        _ => None,
    }
}

/// What stands behind the first `count` parts.
fn rest_after(form: &Rc<Pair>, count: usize) -> Value {
    let mut rest = form.cdr();
    for _ in 0..count {
        let Value::Pair(pair) = rest else { return Value::Nil };
        rest = pair.cdr();
    }
    rest
}

pub(super) fn evaluate((expression, at): (Value, At), environment: &Scope) -> Step {
    Step::Evaluate { expression, environment: environment.clone(), at }
}

/// Evaluates a part whose value the frame waits for; without pushing the frame where the value is
/// there at once.
fn with_value<H: Host>(
    machine: &mut Machine<H>,
    (expression, at): (Value, At),
    environment: &Scope,
    frame: FrameOf<H>,
) -> Outcome {
    match machine.at_once(&expression, environment, at, 0)? {
        AtOnce::Value(value) => resume(machine, frame, value),
        AtOnce::Later(frames, step) => {
            machine.push(frame);
            Ok(machine.wait(frames, step))
        }
    }
}

/// What a closure and its share of its scope take, roughly.
const CLOSURE_BYTES: usize = 512;

/// Longest list that a special form walks at once.
pub(super) const MAX_PARTS: usize = 1 << 20;

fn quote<H: Host>(_: &mut Machine<H>, form: &Rc<Pair>, _: &Scope, at: At) -> Outcome {
    let (value, _) = part(form, 0, at).ok_or_else(|| malformed(form, at))?;
    Ok(Step::Return(value))
}

fn closure<H: Host>(
    machine: &mut Machine<H>,
    parameters: &Value,
    body: Value,
    environment: &Scope,
    name: Option<Symbol>,
    at: At,
) -> Result<Closure, Error> {
    let mut names = Vec::new();
    let mut rest = parameters.clone();
    let rest_name = loop {
        match rest {
            Value::Nil => break None,
            Value::Symbol(name) => break Some(name),
            Value::Pair(pair) if names.len() < MAX_PARTS => match pair.car() {
                Value::Symbol(name) => {
                    names.push(name);
                    rest = pair.cdr();
                }
                _ => return Err(Error::new("syntax error: parameter is no symbol", place_of(&pair, at))),
            },
            _ => return Err(Error::new("syntax error: parameter is no symbol", at)),
        }
    };
    machine.spend((names.len() / 8) as u64, at)?;
    machine.charge(CLOSURE_BYTES, at)?;
    machine.remember_scope(environment);
    Ok(Closure { parameters: names.into(), rest: rest_name, body, environment: environment.clone(), name })
}

fn lambda<H: Host>(machine: &mut Machine<H>, form: &Rc<Pair>, environment: &Scope, at: At) -> Outcome {
    let (parameters, _) = part(form, 0, at).ok_or_else(|| malformed(form, at))?;
    let closure = closure(machine, &parameters, rest_after(form, 1), environment, None, at)?;
    Ok(Step::Return(Value::Closure(Rc::new(closure))))
}

fn define<H: Host>(machine: &mut Machine<H>, form: &Rc<Pair>, environment: &Scope, at: At) -> Outcome {
    match part(form, 0, at) {
        Some((Value::Symbol(name), _)) => {
            let value = part(form, 1, at).ok_or_else(|| malformed(form, at))?;
            let frame = Frame::Define { name, environment: environment.clone() };
            with_value(machine, value, environment, frame)
        }
        Some((Value::Pair(head), _)) => {
            let Value::Symbol(name) = head.car() else { return Err(malformed(form, at)) };
            let closure = closure(machine, &head.cdr(), rest_after(form, 1), environment, Some(name.clone()), at)?;
            environment.define(&name, Value::Closure(Rc::new(closure)));
            Ok(Step::Return(Value::Symbol(name)))
        }
        _ => Err(malformed(form, at)),
    }
}

fn set<H: Host>(machine: &mut Machine<H>, form: &Rc<Pair>, environment: &Scope, at: At) -> Outcome {
    let (Some((Value::Symbol(name), name_at)), Some(value)) = (part(form, 0, at), part(form, 1, at)) else {
        return Err(malformed(form, at));
    };
    let frame = Frame::Set { name, environment: environment.clone(), at: name_at };
    with_value(machine, value, environment, frame)
}

fn if_form<H: Host>(machine: &mut Machine<H>, form: &Rc<Pair>, environment: &Scope, at: At) -> Outcome {
    let test = part(form, 0, at).ok_or_else(|| malformed(form, at))?;
    let frame = Frame::If { branches: rest_after(form, 1), environment: environment.clone(), at };
    with_value(machine, test, environment, frame)
}

fn when<H: Host>(machine: &mut Machine<H>, form: &Rc<Pair>, environment: &Scope, at: At) -> Outcome {
    let test = part(form, 0, at).ok_or_else(|| malformed(form, at))?;
    let frame = Frame::When { wanted: true, body: rest_after(form, 1), environment: environment.clone(), at };
    with_value(machine, test, environment, frame)
}

fn unless<H: Host>(machine: &mut Machine<H>, form: &Rc<Pair>, environment: &Scope, at: At) -> Outcome {
    let test = part(form, 0, at).ok_or_else(|| malformed(form, at))?;
    let frame = Frame::When { wanted: false, body: rest_after(form, 1), environment: environment.clone(), at };
    with_value(machine, test, environment, frame)
}

fn begin<H: Host>(machine: &mut Machine<H>, form: &Rc<Pair>, environment: &Scope, at: At) -> Outcome {
    Ok(machine.body(form.cdr(), environment.clone(), at))
}

fn cond<H: Host>(machine: &mut Machine<H>, form: &Rc<Pair>, environment: &Scope, at: At) -> Outcome {
    next_clause(machine, form.cdr(), environment, at)
}

/// Goes on to the next `cond` clause; none left gives `()`.
fn next_clause<H: Host>(machine: &mut Machine<H>, mut clauses: Value, environment: &Scope, at: At) -> Outcome {
    loop {
        let Value::Pair(pair) = &clauses else { return Ok(Step::Return(Value::Nil)) };
        let Value::Pair(clause) = pair.car() else {
            return Err(Error::new("syntax error: malformed cond", place_of(pair, at)));
        };
        if is_symbol(&clause.car(), "else") {
            return Ok(machine.body(clause.cdr(), environment.clone(), at));
        }
        let (test, place) = (clause.car(), place_of(&clause, at));
        match machine.at_once(&test, environment, place, 0)? {
            AtOnce::Value(value) if value.is_true() => return take_clause(machine, &clause, value, environment, at),
            AtOnce::Value(_) => {
                machine.spend(1, at)?;
                let next = pair.cdr();
                clauses = next;
            }
            AtOnce::Later(frames, step) => {
                machine.push(Frame::Cond { clauses, environment: environment.clone(), at });
                return Ok(machine.wait(frames, step));
            }
        }
    }
}

/// Goes on with the clause whose test gave a true value.
fn take_clause<H: Host>(machine: &mut Machine<H>, clause: &Pair, value: Value, environment: &Scope, at: At) -> Outcome {
    match clause.cdr() {
        Value::Pair(rest) if is_symbol(&rest.car(), "=>") => {
            let Value::Pair(receiver) = rest.cdr() else {
                return Err(Error::new("syntax error: malformed cond", at));
            };
            machine.push(Frame::Receiver { value, at });
            Ok(evaluate((receiver.car(), place_of(&receiver, at)), environment))
        }
        Value::Pair(rest) => Ok(machine.body(Value::Pair(rest), environment.clone(), at)),
        _ => Ok(Step::Return(value)),
    }
}

pub(super) fn is_symbol(value: &Value, name: &str) -> bool {
    matches!(value, Value::Symbol(symbol) if symbol.name() == name)
}

fn case<H: Host>(machine: &mut Machine<H>, form: &Rc<Pair>, environment: &Scope, at: At) -> Outcome {
    let key = part(form, 0, at).ok_or_else(|| malformed(form, at))?;
    let frame = Frame::Case { clauses: rest_after(form, 1), environment: environment.clone(), at };
    with_value(machine, key, environment, frame)
}

fn and<H: Host>(machine: &mut Machine<H>, form: &Rc<Pair>, environment: &Scope, at: At) -> Outcome {
    logic(machine, false, Value::Bool(true), form.cdr(), environment, at)
}

fn or<H: Host>(machine: &mut Machine<H>, form: &Rc<Pair>, environment: &Scope, at: At) -> Outcome {
    logic(machine, true, Value::Bool(false), form.cdr(), environment, at)
}

fn logic<H: Host>(
    machine: &mut Machine<H>,
    stop_at: bool,
    last: Value,
    rest: Value,
    environment: &Scope,
    at: At,
) -> Outcome {
    let mut left = rest;
    loop {
        let Value::Pair(pair) = left else { return Ok(Step::Return(last)) };
        let (test, place) = (pair.car(), place_of(&pair, at));
        left = pair.cdr();
        if !matches!(left, Value::Pair(_)) {
            return Ok(evaluate((test, place), environment));
        }
        match machine.at_once(&test, environment, place, 0)? {
            AtOnce::Value(value) if value.is_true() == stop_at => return Ok(Step::Return(value)),
            AtOnce::Value(_) => machine.spend(1, at)?,
            AtOnce::Later(frames, step) => {
                machine.push(Frame::Logic { stop_at, rest: left, environment: environment.clone(), at });
                return Ok(machine.wait(frames, step));
            }
        }
    }
}

/// Whether a value is among the keys of a `case` clause.
fn has_key<H: Host>(machine: &mut Machine<H>, keys: &Value, value: &Value, at: At) -> Result<bool, Error> {
    let length = keys.length().unwrap_or_default();
    machine.spend((length / 8) as u64, at)?;
    Ok(keys.items(length).is_some_and(|keys| keys.iter().any(|key| key.same_value(value))))
}

/// A `let` of any kind while its inits are evaluated.
pub(super) struct LetForm {
    kind: LetKind,
    names: Names,
    inits: Vec<(Value, At)>,
    body: Value,
    at: At,
}

enum LetKind {
    Plain,
    Named(Symbol),
    Sequential,
    Recursive,
}

/// Names and inits of a binding list.
type Bindings = (Vec<Symbol>, Vec<(Value, At)>);

fn bindings(form: &Pair, list: &Value, at: At) -> Result<Bindings, Error> {
    let mut names = Vec::new();
    let mut inits = Vec::new();
    let mut rest = list.clone();
    loop {
        match rest {
            Value::Nil => return Ok((names, inits)),
            Value::Pair(pair) if names.len() < MAX_PARTS => {
                let Value::Pair(binding) = pair.car() else { return Err(malformed(form, place_of(&pair, at))) };
                let Value::Symbol(name) = binding.car() else { return Err(malformed(form, place_of(&pair, at))) };
                names.push(name);
                inits.push(match binding.cdr() {
                    Value::Pair(value) => (value.car(), place_of(&value, at)),
                    _ => (Value::Nil, at),
                });
                rest = pair.cdr();
            }
            _ => return Err(malformed(form, at)),
        }
    }
}

fn let_form<H: Host>(machine: &mut Machine<H>, form: &Rc<Pair>, environment: &Scope, at: At) -> Outcome {
    let (kind, skipped) = match part(form, 0, at) {
        Some((Value::Symbol(name), _)) => (LetKind::Named(name), 1),
        _ => (LetKind::Plain, 0),
    };
    start_let(machine, form, kind, skipped, environment.clone(), at)
}

fn let_star<H: Host>(machine: &mut Machine<H>, form: &Rc<Pair>, environment: &Scope, at: At) -> Outcome {
    let scope = Environment::new(Some(environment.clone()));
    start_let(machine, form, LetKind::Sequential, 0, scope, at)
}

fn letrec<H: Host>(machine: &mut Machine<H>, form: &Rc<Pair>, environment: &Scope, at: At) -> Outcome {
    let scope = Environment::new(Some(environment.clone()));
    start_let(machine, form, LetKind::Recursive, 0, scope, at)
}

fn start_let<H: Host>(
    machine: &mut Machine<H>,
    form: &Rc<Pair>,
    kind: LetKind,
    skipped: usize,
    environment: Scope,
    at: At,
) -> Outcome {
    let (list, _) = part(form, skipped, at).ok_or_else(|| malformed(form, at))?;
    let (names, inits) = bindings(form, &list, at)?;
    let body = rest_after(form, skipped + 1);
    next_init(machine, Rc::new(LetForm { kind, names: names.into(), inits, body, at }), Vec::new(), environment)
}

/// Evaluates the inits that are left in `scope`, and the body once all have a value.
fn next_init<H: Host>(
    machine: &mut Machine<H>,
    form: Rc<LetForm>,
    mut values: Vec<Value>,
    mut scope: Scope,
) -> Outcome {
    while let Some((init, place)) = form.inits.get(values.len()) {
        match machine.at_once(init, &scope, *place, 0)? {
            AtOnce::Value(value) => take_init(&form, &mut values, &mut scope, value),
            AtOnce::Later(frames, step) => {
                machine.push(Frame::Let(form, values, scope));
                return Ok(machine.wait(frames, step));
            }
        }
        machine.spend(1, form.at)?;
    }
    let scope = match &form.kind {
        // These were bound one by one.
        LetKind::Sequential => scope,
        LetKind::Recursive => {
            form.names.iter().zip(values).for_each(|(name, value)| scope.define(name, value));
            scope
        }
        LetKind::Plain | LetKind::Named(_) => {
            let outer = match &form.kind {
                LetKind::Named(name) => {
                    let outer = Environment::new(Some(scope));
                    machine.charge(CLOSURE_BYTES, form.at)?;
                    machine.remember_scope(&outer);
                    outer.define(
                        name,
                        Value::Closure(Rc::new(Closure {
                            parameters: form.names.clone(),
                            rest: None,
                            body: form.body.clone(),
                            environment: outer.clone(),
                            name: Some(name.clone()),
                        })),
                    );
                    outer
                }
                _ => scope,
            };
            Environment::with(&form.names, values, Some(outer))
        }
    };
    Ok(machine.body(form.body.clone(), scope, form.at))
}

/// Takes the value of the next init.
fn take_init(form: &LetForm, values: &mut Vec<Value>, scope: &mut Scope, value: Value) {
    if let (LetKind::Sequential, Some(name)) = (&form.kind, form.names.get(values.len())) {
        // A scope for each name: a closure made by an earlier init keeps what it saw.
        *scope = Environment::new(Some(scope.clone()));
        scope.define(name, value.clone());
    }
    values.push(value);
}

/// `(do ((name init step)…) (test result…) body…)` as a loop of `if` and calls.
fn do_form<H: Host>(machine: &mut Machine<H>, form: &Rc<Pair>, environment: &Scope, at: At) -> Outcome {
    let (Some((list, _)), Some((Value::Pair(exit), _))) = (part(form, 0, at), part(form, 1, at)) else {
        return Err(malformed(form, at));
    };
    let (names, inits) = bindings(form, &list, at)?;
    let symbol = |machine: &mut Machine<H>, name: &str| Value::Symbol(machine.symbols.intern(name));
    let mut again = vec![Value::Symbol(Symbol::uninterned("do"))];
    let specs = list.items(MAX_PARTS).unwrap_or_default();
    for (name, spec) in names.iter().zip(specs) {
        let parts = spec.items(3).unwrap_or_default();
        again.push(parts.get(2).cloned().unwrap_or_else(|| Value::Symbol(name.clone())));
    }
    let Value::Symbol(loop_name) = again[0].clone() else { return Err(malformed(form, at)) };
    let begin = symbol(machine, "begin");
    let mut body = rest_after(form, 2).items(MAX_PARTS).ok_or_else(|| malformed(form, at))?;
    machine.spend((body.len() / 8) as u64, at)?;
    body.insert(0, begin.clone());
    body.push(Value::list(again));
    let test = symbol(machine, "if");
    let branch = Value::list(vec![test, exit.car(), Value::cons(begin, exit.cdr()), Value::list(body)]);
    let form = Rc::new(LetForm {
        kind: LetKind::Named(loop_name),
        names: names.into(),
        inits,
        body: Value::list(vec![branch]),
        at,
    });
    next_init(machine, form, Vec::new(), environment.clone())
}

fn promise(expression: Value, environment: &Scope) -> Value {
    Value::Promise(Rc::new(Promise { value: None.into(), expression, environment: Some(environment.clone()).into() }))
}

fn delay<H: Host>(machine: &mut Machine<H>, form: &Rc<Pair>, environment: &Scope, at: At) -> Outcome {
    let (expression, _) = part(form, 0, at).ok_or_else(|| malformed(form, at))?;
    machine.charge(CLOSURE_BYTES, at)?;
    Ok(Step::Return(promise(expression, environment)))
}

fn cons_stream<H: Host>(machine: &mut Machine<H>, form: &Rc<Pair>, environment: &Scope, at: At) -> Outcome {
    let (head, rest) = (part(form, 0, at), part(form, 1, at));
    let (Some(head), Some((rest, _))) = (head, rest) else { return Err(malformed(form, at)) };
    machine.charge(CLOSURE_BYTES, at)?;
    machine.push(Frame::Stream(promise(rest, environment)));
    Ok(evaluate(head, environment))
}

/// `(macro (name form) body…)` and `(macro name (lambda (form) …))`.
fn macro_form<H: Host>(machine: &mut Machine<H>, form: &Rc<Pair>, environment: &Scope, at: At) -> Outcome {
    match part(form, 0, at) {
        Some((Value::Pair(head), _)) => {
            let Value::Symbol(name) = head.car() else { return Err(malformed(form, at)) };
            let closure = closure(machine, &head.cdr(), rest_after(form, 1), environment, Some(name.clone()), at)?;
            environment.define(&name, Value::Macro(Rc::new(closure)));
            Ok(Step::Return(Value::Symbol(name)))
        }
        Some((Value::Symbol(name), _)) => {
            let value = part(form, 1, at).ok_or_else(|| malformed(form, at))?;
            machine.push(Frame::DefineMacro { name, environment: environment.clone(), at });
            Ok(evaluate(value, environment))
        }
        _ => Err(malformed(form, at)),
    }
}

/// `(define-macro (name . arguments) body…)`: the arguments are bound to the call's unevaluated
/// parts. Made of `macro` and `apply`.
fn define_macro<H: Host>(machine: &mut Machine<H>, form: &Rc<Pair>, environment: &Scope, at: At) -> Outcome {
    let Some((Value::Pair(head), _)) = part(form, 0, at) else { return Err(malformed(form, at)) };
    let Value::Symbol(name) = head.car() else { return Err(malformed(form, at)) };
    let expander = closure(machine, &head.cdr(), rest_after(form, 1), environment, Some(name.clone()), at)?;
    let parameter = Symbol::uninterned("form");
    let native = |machine: &mut Machine<H>, name: &str| {
        let symbol = machine.symbols.intern(name);
        machine.find(&symbol, &machine.global.clone()).unwrap_or_default()
    };
    let (apply, cdr) = (native(machine, "apply"), native(machine, "cdr"));
    let arguments = Value::list(vec![cdr, Value::Symbol(parameter.clone())]);
    let body = Value::list(vec![Value::list(vec![apply, Value::Closure(Rc::new(expander)), arguments])]);
    let wrapper = Closure {
        parameters: vec![parameter].into(),
        rest: None,
        body,
        environment: environment.clone(),
        name: Some(name.clone()),
    };
    environment.define(&name, Value::Macro(Rc::new(wrapper)));
    Ok(Step::Return(Value::Symbol(name)))
}

/// `(defined? 'name)`: its argument is evaluated; it is a special form because it looks through the
/// scopes around the call (LANGUAGE.md §2.2).
fn defined<H: Host>(machine: &mut Machine<H>, form: &Rc<Pair>, environment: &Scope, at: At) -> Outcome {
    let name = part(form, 0, at).ok_or_else(|| Error::new("defined?: needs at least 1 argument", at))?;
    machine.push(Frame::Defined { environment: environment.clone(), at });
    Ok(evaluate(name, environment))
}

/// Goes on with a special form whose part has been evaluated.
pub(super) fn resume<H: Host>(machine: &mut Machine<H>, frame: FrameOf<H>, value: Value) -> Outcome {
    match frame {
        Frame::If { branches, environment, at } => {
            let chosen = match (&branches, value.is_true()) {
                (Value::Pair(pair), true) => Some((pair.car(), place_of(pair, at))),
                (Value::Pair(pair), false) => match pair.cdr() {
                    Value::Pair(other) => Some((other.car(), place_of(&other, at))),
                    _ => None,
                },
                _ => None,
            };
            Ok(chosen.map_or(Step::Return(Value::Nil), |chosen| evaluate(chosen, &environment)))
        }
        Frame::When { wanted, body, environment, at } if value.is_true() == wanted => {
            Ok(machine.body(body, environment, at))
        }
        Frame::Define { name, environment } => {
            environment.define(&name, value);
            Ok(Step::Return(Value::Symbol(name)))
        }
        Frame::DefineMacro { name, environment, at } => match value {
            Value::Closure(closure) => {
                environment.define(&name, Value::Macro(closure));
                Ok(Step::Return(Value::Symbol(name)))
            }
            _ => Err(Error::new("syntax error: malformed macro", at)),
        },
        Frame::Defined { environment, at } => match value {
            Value::Symbol(name) => {
                let defined = machine.find(&name, &environment).is_some() || machine.is_macro_syntax(&name);
                Ok(Step::Return(Value::Bool(defined)))
            }
            _ => Err(Error::new("defined?: argument 1 must be: symbol", at)),
        },
        Frame::Set { name, environment, at } => {
            // A name of the host counts as bound although no scope holds it yet.
            if environment.set(&name, value.clone()) {
                return Ok(Step::Return(value));
            }
            if machine.find(&name, &environment).is_none() {
                return Err(Error::new(format!("set!: unbound variable: {}", name.name()), at));
            }
            environment.set(&name, value.clone());
            Ok(Step::Return(value))
        }
        Frame::Let(form, mut values, mut scope) => {
            take_init(&form, &mut values, &mut scope, value);
            next_init(machine, form, values, scope)
        }
        Frame::Cond { clauses, environment, at } => {
            let Value::Pair(pair) = &clauses else { return Ok(Step::Return(Value::Nil)) };
            if !value.is_true() {
                return next_clause(machine, pair.cdr(), &environment, at);
            }
            let Value::Pair(clause) = pair.car() else { return Ok(Step::Return(value)) };
            take_clause(machine, &clause, value, &environment, at)
        }
        Frame::Receiver { value: argument, at } => Ok(Step::Apply { procedure: value, arguments: vec![argument], at }),
        Frame::Case { clauses, environment, at } => {
            let mut rest = clauses;
            while let Value::Pair(pair) = &rest {
                if let Value::Pair(clause) = pair.car() {
                    let keys = clause.car();
                    machine.spend(1, at)?;
                    let hit = is_symbol(&keys, "else") || has_key(machine, &keys, &value, at)?;
                    if hit {
                        return Ok(machine.body(clause.cdr(), environment, at));
                    }
                }
                let next = pair.cdr();
                rest = next;
            }
            Ok(Step::Return(Value::Nil))
        }
        Frame::Logic { stop_at, rest, environment, at } => {
            if value.is_true() == stop_at {
                return Ok(Step::Return(value));
            }
            logic(machine, stop_at, value, rest, &environment, at)
        }
        Frame::Stream(rest) => Ok(Step::Return(Value::cons(value, rest))),
        Frame::Promise(promise) => {
            let mut slot = promise.value.borrow_mut();
            let value = slot.get_or_insert(value).clone();
            promise.environment.take();
            Ok(Step::Return(value))
        }
        // The frames that the machine itself resumes, and a `when` whose test failed.
        _ => Ok(Step::Return(Value::Nil)),
    }
}
