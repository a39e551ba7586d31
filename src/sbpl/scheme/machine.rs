//! In: forms and a host. Out: values; the host sees its own calls. Never: recursion on the
//! machine's stack; what is still to be done stands in frames on the heap.

use std::rc::Rc;

use super::super::reader::{ReadError, read_form};
use super::super::source::{SourceId, Sources, Span};
use super::call::Call;
use super::error::{Budget, Error, ErrorKind, MAX_TRAIL, Trail, TrailKind};
use super::frame::{Frame, FrameOf, HostFrame, Link, Stack};
use super::prelude;
use super::procedures::{self, Native};
use super::syntax::{self, Syntax};
use super::value::{Closure, Environment, Foreign, Pair, Symbol, Symbols, Value, discard_stack};

/// What a pair takes. The budget counts it where many are made at once; for those made one by one
/// the count of steps is enough.
pub(super) const PAIR_BYTES: usize = 112;

/// What the machine does next.
pub enum Step {
    /// Evaluate an expression.
    Evaluate {
        /// The expression.
        expression: Value,
        /// In which scope.
        environment: Rc<Environment>,
        /// Where it stands; also for expressions made by macros, which have no place of their own.
        at: Option<Span>,
    },
    /// Hand a value to the innermost frame.
    Return(Value),
    /// Call a procedure.
    Apply {
        /// The procedure.
        procedure: Value,
        /// Its arguments.
        arguments: Vec<Value>,
        /// The call.
        at: Option<Span>,
    },
}

/// What came of evaluating something without pushing a frame.
pub(super) enum AtOnce<H: Host> {
    /// Its value.
    Value(Value),
    /// Frames that it needs, innermost first, and what the machine does above them.
    Later(Vec<FrameOf<H>>, Step),
}

/// What the machine asks its host.
pub trait Host: Sized + 'static {
    /// What a continuation keeps of the host besides the frames.
    type Mark: Clone + 'static;

    /// The mark of this moment, and roughly how many bytes it takes.
    fn mark(&self) -> (Self::Mark, usize);

    /// Goes back to a mark before its continuation goes on.
    ///
    /// # Errors
    /// Where there is no way back, in words for the user.
    fn restore(&mut self, mark: &Self::Mark) -> Result<(), String>;

    /// The value of a name that no scope binds. It is asked once; the answer is bound.
    fn global(machine: &mut Machine<Self>, name: &Symbol) -> Option<Value>;

    /// Calls a host value.
    ///
    /// # Errors
    /// What the call itself raises; `illegal function` where the value is no procedure.
    fn call(
        machine: &mut Machine<Self>,
        object: &Rc<dyn Foreign>,
        arguments: Vec<Value>,
        at: Option<Span>,
    ) -> Result<Step, Error>;

    /// Whether one of the host's special forms is there at this moment.
    fn has_syntax(&self, _name: &str) -> bool {
        true
    }

    /// The host's own special forms.
    fn syntax() -> &'static [(&'static str, Syntax<Self>)];

    /// The host's own procedures.
    fn procedures() -> &'static [Native<Self>];
}

/// A captured stack. Its type does not name the host, so values need not either.
pub struct Continuation(Box<dyn std::any::Any>);

impl Drop for Continuation {
    fn drop(&mut self) {
        discard_stack(std::mem::replace(&mut self.0, Box::new(())));
    }
}

/// The evaluator.
pub struct Machine<H: Host> {
    /// The host.
    pub host: H,
    /// All texts of the program.
    pub sources: Sources,
    /// All names.
    pub symbols: Symbols,
    /// The global scope.
    pub global: Rc<Environment>,
    natives: Vec<Native<H>>,
    /// How many natives, from the first, are leaves.
    leaves: usize,
    /// Special forms, and which of them no program can bind.
    syntax: rustc_hash::FxHashMap<Symbol, (Syntax<H>, bool)>,
    stack: Stack<H>,
    budget: Budget,
    steps: u64,
    bytes: u64,
    /// Scopes that closures hold and may be held by; freed with the machine.
    scopes: Vec<std::rc::Weak<Environment>>,
    scopes_kept: usize,
}

impl<H: Host> Drop for Machine<H> {
    fn drop(&mut self) {
        self.stack = Stack::new();
        self.global.clear();
        for scope in self.scopes.drain(..) {
            if let Some(scope) = scope.upgrade() {
                scope.clear();
            }
        }
    }
}

impl<H: Host> Machine<H> {
    /// A machine with the native procedures bound.
    pub fn new(host: H, sources: Sources, budget: Budget) -> Self {
        let mut machine = Self {
            host,
            sources,
            symbols: Symbols::default(),
            global: Environment::new(None),
            natives: Vec::new(),
            syntax: rustc_hash::FxHashMap::default(),
            stack: Stack::new(),
            budget,
            steps: 0,
            bytes: 0,
            scopes: Vec::new(),
            scopes_kept: 0,
            leaves: 0,
        };
        let leaves = procedures::leaves::<H>();
        machine.leaves = leaves.len();
        let others = procedures::controls::<H>().into_iter().chain(H::procedures().iter().cloned());
        for native in leaves.into_iter().chain(others) {
            let id = u32::try_from(machine.natives.len()).unwrap_or(u32::MAX);
            for name in native.names {
                let symbol = machine.symbols.intern(name);
                machine.global.define(&symbol, Value::Native(id));
            }
            machine.natives.push(native);
        }
        for (name, syntax) in syntax::all::<H>().iter().chain(H::syntax()) {
            let symbol = machine.symbols.intern(name);
            symbol.make_special();
            machine.syntax.insert(symbol, (*syntax, syntax::NATIVE.contains(name)));
        }
        machine
    }

    /// Evaluates every form of a text, in order.
    ///
    /// # Errors
    /// The first error; everything before it has been evaluated.
    pub fn run(&mut self, source: SourceId) -> Result<Value, Error> {
        self.run_from(source, 0).map_err(|(error, _)| error)
    }

    /// Evaluates every form from an offset on.
    ///
    /// # Errors
    /// The first error, and the offset behind the top-level form it happened in, where evaluation
    /// could go on: not if that form cannot be read, or the budget is used up.
    pub fn run_from(&mut self, source: SourceId, position: u32) -> Result<Value, (Error, Option<u32>)> {
        let (mark, _) = self.host.mark();
        self.push(Frame::Source { source, position, current: None, trail: None });
        self.drive(Step::Return(Value::Nil)).map_err(|error| {
            let (behind, outermost) = self.outermost(source);
            let behind = behind.filter(|_| error.kind != ErrorKind::Budget);
            let mut error = error;
            error.outermost = outermost;
            self.stack = Stack::new();
            // Nothing was finished that the mark does not know, so this cannot fail.
            let _ = self.host.restore(&mark);
            (error, behind)
        })
    }

    /// How far the outermost text has been read, and its form that is being evaluated.
    fn outermost(&self, wanted: SourceId) -> (Option<u32>, Option<Span>) {
        match self.stack.bottom().map(|link| &link.frame) {
            Some(Frame::Source { source, position, current, .. }) if *source == wanted => (Some(*position), *current),
            _ => (None, None),
        }
    }

    /// Evaluates a text in place of a call: the value of its last form goes to the frame that waits.
    pub fn enter_source(&mut self, source: SourceId, name: String, at: Option<Span>) -> Step {
        let trail = self.extended_trail(TrailKind::Import(name), at);
        self.push_link(Frame::Source { source, position: 0, current: None, trail: trail.clone() }, trail);
        Step::Return(Value::Nil)
    }

    /// Makes a frame of the host wait for the next value.
    pub fn push_host_frame(&mut self, frame: Rc<dyn HostFrame<H>>) {
        self.push(Frame::Host(frame));
    }

    /// The way to the form that is being evaluated.
    #[must_use]
    pub fn trail(&self) -> Option<Rc<Trail>> {
        self.stack.top().and_then(|link| link.trail.clone())
    }

    /// Evaluation steps so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Counts bytes against the budget before they are allocated.
    ///
    /// # Errors
    /// When the budget is used up.
    pub fn charge(&mut self, bytes: usize, at: Option<Span>) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.bytes > self.budget.bytes {
            return Err(Error::budget(
                format!("out of memory: the program made more than {} MB of data", self.budget.bytes >> 20),
                at,
            ));
        }
        Ok(())
    }

    /// Counts work that is done inside one step: long lists, long strings.
    ///
    /// # Errors
    /// When the budget is used up.
    pub fn spend(&mut self, steps: u64, at: Option<Span>) -> Result<(), Error> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > self.budget.steps { Err(self.out_of_steps(at)) } else { Ok(()) }
    }

    fn out_of_steps(&self, at: Option<Span>) -> Error {
        let steps = self.budget.steps;
        Error::budget(format!("evaluation stopped after {steps} steps (endless loop?); --steps raises the limit"), at)
    }

    /// `equal?`, counted against the budget.
    ///
    /// # Errors
    /// When the budget is used up, as on circular data.
    pub fn same_contents(&mut self, a: &Value, b: &Value, at: Option<Span>) -> Result<bool, Error> {
        let mut charged = 64;
        a.same_contents(b, &mut |steps, waiting| {
            if waiting > charged {
                self.charge((waiting - charged) * 48, at)?;
                charged = waiting;
            }
            self.spend(steps, at)
        })
    }

    /// Length of a list argument.
    ///
    /// # Errors
    /// Where it is no proper list, in the words of `NAME: argument I must be: T`.
    pub fn list_length(&mut self, call: &Call<'_>, index: usize) -> Result<usize, Error> {
        let length = call.argument(index).length().ok_or_else(|| call.wrong_type(index, "pair or '()"))?;
        self.spend((length / 8) as u64, call.at)?;
        Ok(length)
    }

    /// Items of a list argument, counted against the budget.
    ///
    /// # Errors
    /// Where it is no proper list, in the words of `NAME: argument I must be: T`.
    pub fn list_items(&mut self, call: &Call<'_>, index: usize) -> Result<Vec<Value>, Error> {
        let length = self.list_length(call, index)?;
        self.charge(length.saturating_mul(PAIR_BYTES), call.at)?;
        let items = call.argument(index).items(length).unwrap_or_default();
        Ok(items)
    }

    /// Notes a scope that a closure holds. If it holds the closure too, the two would never be freed.
    pub(super) fn remember_scope(&mut self, scope: &Rc<Environment>) {
        if Rc::ptr_eq(scope, &self.global) {
            return;
        }
        if self.scopes.len() > 1024.max(2 * self.scopes_kept) {
            self.scopes.retain(|scope| scope.strong_count() > 0);
            self.scopes_kept = self.scopes.len();
        }
        self.scopes.push(Rc::downgrade(scope));
    }

    pub(super) fn push(&mut self, frame: FrameOf<H>) {
        let trail = self.trail();
        self.push_link(frame, trail);
    }

    fn push_link(&mut self, frame: FrameOf<H>, trail: Option<Rc<Trail>>) {
        self.stack.push(Link { frame, trail });
    }

    /// The trail with one more step, unless it is as long as trails get.
    fn extended_trail(&self, kind: TrailKind, at: Option<Span>) -> Option<Rc<Trail>> {
        let parent = self.trail();
        let depth = parent.as_ref().map_or(0, |trail| trail.depth) + 1;
        if depth > MAX_TRAIL { parent } else { Some(Rc::new(Trail { kind, at, parent, depth })) }
    }

    fn pop(&mut self) -> Result<Option<FrameOf<H>>, Error> {
        let Some((Link { frame, .. }, copied)) = self.stack.pop() else { return Ok(None) };
        if copied {
            self.charge(frame.copied_bytes(), None)?;
        }
        Ok(Some(frame))
    }

    pub(super) fn capture(&mut self, at: Option<Span>) -> Result<Value, Error> {
        let (mark, bytes) = self.host.mark();
        self.charge(256 + bytes, at)?;
        Ok(Value::Continuation(Rc::new(Continuation(Box::new((self.stack.capture(), mark))))))
    }

    /// The value of a name.
    ///
    /// # Errors
    /// `unbound variable: NAME`.
    pub(super) fn lookup(
        &mut self,
        name: &Symbol,
        environment: &Rc<Environment>,
        at: Option<Span>,
    ) -> Result<Value, Error> {
        self.find(name, environment).ok_or_else(|| Error::unbound(name.name(), at))
    }

    /// The value that a scope from `environment` outwards has for a name.
    fn find_bound(&mut self, name: &Symbol, environment: &Rc<Environment>) -> Option<Value> {
        if !name.is_local() {
            return self.global.get_here(name);
        }
        let mut scope = environment;
        let mut hops = 0;
        let found = loop {
            if let Some(value) = scope.get_here(name) {
                break Some(value);
            }
            hops += 1;
            match &scope.parent {
                Some(parent) => scope = parent,
                None => break None,
            }
        };
        // Scopes inside one another are cheap to pass, but there may be a million of them.
        self.steps += hops / 8;
        found
    }

    /// The value of a name: of a scope from `environment` outwards, of the host, or of the library.
    pub(super) fn find(&mut self, name: &Symbol, environment: &Rc<Environment>) -> Option<Value> {
        let found = self.find_bound(name, environment);
        if found.is_some() {
            return found;
        }
        // The host looks through its tables.
        self.steps += 16;
        let value = H::global(self, name).or_else(|| prelude::global(self, name))?;
        self.global.define(name, value.clone());
        Some(value)
    }

    /// Whether a name has a value; for suggestions.
    pub fn is_bound(&mut self, name: &str) -> bool {
        let symbol = self.symbols.intern(name);
        let global = self.global.clone();
        self.syntax.contains_key(&symbol) || self.find(&symbol, &global).is_some()
    }

    fn drive(&mut self, first: Step) -> Result<Value, Error> {
        let mut step = first;
        loop {
            self.steps += 1;
            if self.steps > self.budget.steps {
                return Err(self.with_trail(self.out_of_steps(step_place(&step))));
            }
            let next = match step {
                Step::Evaluate { expression, environment, at } => self.evaluate(expression, environment, at),
                Step::Apply { procedure, arguments, at } => self.apply(procedure, arguments, at),
                Step::Return(value) => match self.pop() {
                    Ok(None) => return Ok(value),
                    Ok(Some(frame)) => self.resume(frame, value),
                    Err(error) => Err(error),
                },
            };
            step = next.map_err(|error| self.with_trail(error))?;
            if self.stack.depth() > self.budget.depth {
                return Err(self.with_trail(Error::budget(
                    format!("recursion deeper than {} calls", self.budget.depth),
                    step_place(&step),
                )));
            }
        }
    }

    fn with_trail(&self, mut error: Error) -> Error {
        if error.trail.is_none() {
            error.trail = self.trail();
        }
        error
    }

    fn evaluate(&mut self, expression: Value, environment: Rc<Environment>, at: Option<Span>) -> Result<Step, Error> {
        match expression {
            Value::Symbol(name) => self.lookup(&name, &environment, at).map(Step::Return),
            Value::Pair(form) => self.evaluate_form(form, environment, at),
            other => Ok(Step::Return(other)),
        }
    }

    fn evaluate_form(&mut self, form: Rc<Pair>, environment: Rc<Environment>, at: Option<Span>) -> Result<Step, Error> {
        let at = form.span.or(at);
        let head = form.car();
        if let Value::Symbol(name) = &head {
            if let Some(syntax) = self.syntax_of(name, &environment) {
                return syntax(self, &form, &environment, at);
            }
            let procedure = self.lookup(name, &environment, form.car_span.or(at))?;
            return self.call_form(procedure, &form, environment, at);
        }
        let head_place = form.car_span.or(at);
        self.push(Frame::Operator { form: form.clone(), environment: environment.clone(), at });
        Ok(Step::Evaluate { expression: head, environment, at: head_place })
    }

    /// The special form of a name, unless the program has bound the name to something of its own.
    /// Only the forms that are native in the original cannot be bound (LANGUAGE.md §2.1); the
    /// others are macros there.
    fn syntax_of(&mut self, name: &Symbol, environment: &Rc<Environment>) -> Option<Syntax<H>> {
        if !name.is_special() {
            return None;
        }
        let (syntax, native) = *self.syntax.get(name)?;
        (native || self.find_bound(name, environment).is_none()).then_some(syntax)
    }

    /// Whether a name is one of the special forms that are macros in the original, and so defined.
    pub(super) fn is_macro_syntax(&self, name: &Symbol) -> bool {
        self.syntax.get(name).is_some_and(|(_, native)| !native) && self.host.has_syntax(name.name())
    }

    fn call_form(
        &mut self,
        procedure: Value,
        form: &Rc<Pair>,
        environment: Rc<Environment>,
        at: Option<Span>,
    ) -> Result<Step, Error> {
        if let Value::Macro(expander) = &procedure {
            let name = match form.car() {
                Value::Symbol(name) => name.name().to_owned(),
                _ => String::from("macro"),
            };
            self.push(Frame::Expansion { name, environment, at });
            return Ok(Step::Apply {
                procedure: Value::Closure(expander.clone()),
                arguments: vec![Value::Pair(form.clone())],
                at,
            });
        }
        self.next_argument(procedure, Vec::with_capacity(4), form.cdr(), environment, at)
    }

    /// Goes on with the arguments of a call.
    fn next_argument(
        &mut self,
        procedure: Value,
        done: Vec<Value>,
        rest: Value,
        environment: Rc<Environment>,
        at: Option<Span>,
    ) -> Result<Step, Error> {
        Ok(match self.arguments_at_once(procedure, done, rest, &environment, at, 0)? {
            AtOnce::Value(value) => Step::Return(value),
            AtOnce::Later(frames, step) => self.wait(frames, step),
        })
    }

    /// Pushes frames that were left innermost first.
    pub(super) fn wait(&mut self, frames: Vec<FrameOf<H>>, step: Step) -> Step {
        frames.into_iter().rev().for_each(|frame| self.push(frame));
        step
    }

    /// What an expression gives that needs no frame: a name, a constant, or a call of a leaf
    /// procedure with such arguments. Of any other, as much as can be done before the frames are
    /// pushed that it needs.
    ///
    /// # Errors
    /// What evaluation raises.
    pub(super) fn at_once(
        &mut self,
        expression: &Value,
        environment: &Rc<Environment>,
        at: Option<Span>,
        depth: usize,
    ) -> Result<AtOnce<H>, Error> {
        /// Deeper ones wait in frames, so that the machine's own stack stays small.
        const DEEPEST: usize = 8;
        let form = match expression {
            Value::Symbol(name) => return Ok(AtOnce::Value(self.lookup(name, environment, at)?)),
            Value::Pair(form) => form,
            constant => return Ok(AtOnce::Value(constant.clone())),
        };
        if let (Value::Symbol(head), true) = (form.car(), depth < DEEPEST)
            && !head.is_special()
        {
            let at = form.span.or(at);
            let procedure = self.lookup(&head, environment, form.car_span.or(at))?;
            if !matches!(procedure, Value::Macro(_)) {
                return self.arguments_at_once(procedure, Vec::with_capacity(4), form.cdr(), environment, at, depth);
            }
        }
        Ok(AtOnce::Later(
            Vec::new(),
            Step::Evaluate { expression: expression.clone(), environment: environment.clone(), at },
        ))
    }

    fn arguments_at_once(
        &mut self,
        procedure: Value,
        mut done: Vec<Value>,
        mut rest: Value,
        environment: &Rc<Environment>,
        at: Option<Span>,
        depth: usize,
    ) -> Result<AtOnce<H>, Error> {
        loop {
            let pair = match rest {
                Value::Pair(pair) => pair,
                Value::Nil => break,
                _ => return Err(Error::new("syntax error: illegal dot expression", at)),
            };
            rest = pair.cdr();
            match self.at_once(&pair.car(), environment, place_of(&pair, at), depth + 1)? {
                AtOnce::Value(value) => done.push(value),
                AtOnce::Later(mut frames, step) => {
                    frames.push(Frame::Arguments { procedure, done, rest, environment: environment.clone(), at });
                    return Ok(AtOnce::Later(frames, step));
                }
            }
            // A circular argument list would go on for ever.
            self.spend(1, at)?;
        }
        if !matches!(procedure, Value::Native(id) if (id as usize) < self.leaves) {
            return Ok(AtOnce::Later(Vec::new(), Step::Apply { procedure, arguments: done, at }));
        }
        self.spend(2, at)?;
        Ok(match self.apply(procedure, done, at)? {
            Step::Return(value) => AtOnce::Value(value),
            step => AtOnce::Later(Vec::new(), step),
        })
    }

    fn apply(&mut self, procedure: Value, arguments: Vec<Value>, at: Option<Span>) -> Result<Step, Error> {
        match procedure {
            Value::Native(id) => {
                let native =
                    self.natives.get(id as usize).cloned().ok_or_else(|| Error::new("illegal function", at))?;
                native.check_arity(arguments.len(), at)?;
                (native.run)(self, Call { name: native.names.first().copied().unwrap_or(""), arguments, at })
            }
            Value::Closure(closure) => self.apply_closure(&closure, arguments, at),
            Value::Foreign(object) => H::call(self, &object, arguments, at),
            Value::Continuation(continuation) => {
                if let Some((stack, mark)) = continuation.0.downcast_ref::<(Stack<H>, H::Mark)>() {
                    self.host.restore(mark).map_err(|message| Error::new(message, at))?;
                    self.stack = stack.again();
                }
                Ok(Step::Return(arguments.into_iter().next().unwrap_or_default()))
            }
            _ => Err(Error::new("illegal function", at)),
        }
    }

    fn apply_closure(
        &mut self,
        closure: &Rc<Closure>,
        mut arguments: Vec<Value>,
        at: Option<Span>,
    ) -> Result<Step, Error> {
        if arguments.len() < closure.parameters.len() {
            return Err(Error::new("not enough arguments", at));
        }
        // Surplus arguments are ignored without a word (LANGUAGE.md §2.2).
        let rest = closure.rest.as_ref().map(|name| (name, arguments.split_off(closure.parameters.len())));
        let environment = Environment::with(&closure.parameters, arguments, Some(closure.environment.clone()));
        if let Some((name, surplus)) = rest {
            environment.define(name, Value::list(surplus));
        }
        Ok(self.body(closure.body.clone(), environment, at))
    }

    /// Evaluates a list of forms; the last one is a tail call.
    pub fn body(&mut self, forms: Value, environment: Rc<Environment>, at: Option<Span>) -> Step {
        match forms {
            Value::Pair(pair) => {
                let rest = pair.cdr();
                let place = place_of(&pair, at);
                if matches!(rest, Value::Pair(_)) {
                    self.push(Frame::Begin { rest, environment: environment.clone(), at });
                }
                Step::Evaluate { expression: pair.car(), environment, at: place }
            }
            _ => Step::Return(Value::Nil),
        }
    }

    fn resume(&mut self, frame: FrameOf<H>, value: Value) -> Result<Step, Error> {
        match frame {
            Frame::Source { source, position, trail, .. } => self.next_form(source, position, trail, value),
            Frame::Operator { form, environment, at } => self.call_form(value, &form, environment, at),
            Frame::Arguments { procedure, mut done, rest, environment, at } => {
                done.push(value);
                self.next_argument(procedure, done, rest, environment, at)
            }
            Frame::Begin { rest, environment, at } => Ok(self.body(rest, environment, at)),
            Frame::Expansion { name, environment, at } => {
                // A macro in tail position of another one replaces its marker, so loops written
                // with macros do not grow.
                let trail = self.extended_trail(TrailKind::Macro(name), at);
                if matches!(self.stack.top().map(|link| &link.frame), Some(Frame::Marker)) {
                    self.pop()?;
                }
                self.push_link(Frame::Marker, trail);
                Ok(Step::Evaluate { expression: value, environment, at })
            }
            Frame::Marker => Ok(Step::Return(value)),
            Frame::Iterate(iteration) => procedures::resume_iteration(self, iteration, value),
            Frame::Host(frame) => frame.resume(self, value),
            other => syntax::resume(self, other, value),
        }
    }

    fn next_form(&mut self, id: SourceId, position: u32, trail: Option<Rc<Trail>>, last: Value) -> Result<Step, Error> {
        let Some(source) = self.sources.get(id) else { return Ok(Step::Return(last)) };
        let form = read_form(id, source, position, &mut self.symbols).map_err(|ReadError { kind, span }| {
            let mut error = Error::of_kind(ErrorKind::Syntax, kind.to_string(), Some(span));
            error.trail = trail.clone();
            error
        })?;
        Ok(match form {
            None => Step::Return(last),
            Some(form) => {
                self.push_link(
                    Frame::Source { source: id, position: form.next, current: Some(form.span), trail: trail.clone() },
                    trail,
                );
                Step::Evaluate { expression: form.value, environment: self.global.clone(), at: Some(form.span) }
            }
        })
    }
}

/// Where the car of a pair stands.
pub(super) fn place_of(pair: &Pair, otherwise: Option<Span>) -> Option<Span> {
    pair.car_span.or(otherwise)
}

fn step_place(step: &Step) -> Option<Span> {
    match step {
        Step::Evaluate { at, .. } | Step::Apply { at, .. } => *at,
        Step::Return(_) => None,
    }
}
