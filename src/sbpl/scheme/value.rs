//! In: nothing. Out: the values of the evaluator: cheap to clone, freed without recursion however
//! deep they are nested. Never: evaluation.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::super::source::{SourceId, Span};
use super::machine::Continuation;

/// An interned name; equal names are the same object.
#[derive(Clone, Debug)]
pub struct Symbol(Rc<Name>);

#[derive(Debug)]
struct Name {
    text: Box<str>,
    /// Whether a special form has this name.
    special: Cell<bool>,
    /// Whether a scope other than the global one has ever bound it.
    local: Cell<bool>,
}

impl Symbol {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.text
    }

    /// Whether a special form has this name.
    pub(super) fn is_special(&self) -> bool {
        self.0.special.get()
    }

    /// Whether a scope other than the global one may bind it.
    pub(super) fn is_local(&self) -> bool {
        self.0.local.get()
    }

    /// Notes that a special form has this name.
    pub(super) fn make_special(&self) {
        self.0.special.set(true);
    }

    /// A symbol that is equal to no other, whatever its name.
    #[must_use]
    pub fn uninterned(name: &str) -> Self {
        Self(Rc::new(Name { text: name.into(), special: Cell::new(false), local: Cell::new(false) }))
    }
}

impl PartialEq for Symbol {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Symbol {}

impl Hash for Symbol {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Rc::as_ptr(&self.0).hash(state);
    }
}

/// Names that a scope binds together: the parameters of a closure, the names of a `let`.
#[derive(Clone)]
pub struct Names(Rc<[Symbol]>);

impl From<Vec<Symbol>> for Names {
    fn from(names: Vec<Symbol>) -> Self {
        names.iter().for_each(|name| name.0.local.set(true));
        Self(names.into())
    }
}

impl std::ops::Deref for Names {
    type Target = [Symbol];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// All interned names.
#[derive(Default)]
pub struct Symbols(HashMap<Box<str>, Symbol>);

impl Symbols {
    /// The symbol of this name.
    pub fn intern(&mut self, name: &str) -> Symbol {
        if let Some(known) = self.0.get(name) {
            return known.clone();
        }
        let symbol = Symbol::uninterned(name);
        self.0.insert(name.into(), symbol.clone());
        symbol
    }
}

/// A value that belongs to the host: an operation, a filter, a modifier.
pub trait Foreign: Any {
    /// How `write` shows it.
    fn written(&self) -> String;
    /// For the host, to get its own type back.
    fn as_any(&self) -> &dyn Any;
}

/// A Scheme value.
#[derive(Clone, Default)]
pub enum Value {
    /// `()`.
    #[default]
    Nil,
    /// `#t` or `#f`.
    Bool(bool),
    /// A C `long`.
    Integer(i64),
    /// A C `double`.
    Real(f64),
    /// One byte.
    Character(u8),
    /// A name.
    Symbol(Symbol),
    /// Bytes.
    String(Rc<SchemeString>),
    /// A pair.
    Pair(Rc<Pair>),
    /// A vector.
    Vector(Rc<Vector>),
    /// A native procedure, by its place in the machine's table.
    Native(u32),
    /// A procedure written in Scheme.
    Closure(Rc<Closure>),
    /// A macro: a closure that gets the call's form and returns what to evaluate.
    Macro(Rc<Closure>),
    /// What `call/cc` passes.
    Continuation(Rc<Continuation>),
    /// What `delay` makes.
    Promise(Rc<Promise>),
    /// What `current-environment` returns.
    Environment(Rc<Environment>),
    /// A string that is being read.
    Port(Rc<Port>),
    /// What reading gives at the end.
    EndOfFile,
    /// A value of the host.
    Foreign(Rc<dyn Foreign>),
}

/// A string and whether it may be changed (literals may not).
pub struct SchemeString {
    /// The bytes.
    pub bytes: RefCell<Vec<u8>>,
    /// A literal of the text.
    pub literal: bool,
}

/// A pair; where it came from the text, it knows where it stands there.
pub struct Pair {
    car: RefCell<Value>,
    cdr: RefCell<Value>,
    /// The list that starts with this pair.
    pub span: Option<Span>,
    /// What the car holds.
    pub car_span: Option<Span>,
}

impl Pair {
    /// First half.
    #[must_use]
    pub fn car(&self) -> Value {
        self.car.borrow().clone()
    }

    /// Second half.
    #[must_use]
    pub fn cdr(&self) -> Value {
        self.cdr.borrow().clone()
    }

    /// Replaces the first half.
    pub fn set_car(&self, value: Value) {
        self.car.replace(value);
    }

    /// Replaces the second half.
    pub fn set_cdr(&self, value: Value) {
        self.cdr.replace(value);
    }
}

/// The items of a vector. A type of its own so that vectors inside vectors are freed by a loop.
pub struct Vector(RefCell<Vec<Value>>);

impl std::ops::Deref for Vector {
    type Target = RefCell<Vec<Value>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for Vector {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(discard);
    }
}

/// A string that is being read.
pub struct Port {
    /// The text, kept with those of the profile so that errors in it have a place.
    pub source: SourceId,
    /// The next byte.
    pub position: Cell<u32>,
}

/// A procedure written in Scheme.
pub struct Closure {
    /// Parameter names.
    pub parameters: Names,
    /// Name that takes surplus arguments as a list.
    pub rest: Option<Symbol>,
    /// List of forms.
    pub body: Value,
    /// Where free names are looked up.
    pub environment: Rc<Environment>,
    /// Name for messages.
    pub name: Option<Symbol>,
}

/// A delayed expression or its value.
pub struct Promise {
    /// The value, once it was forced.
    pub value: RefCell<Option<Value>>,
    /// The expression.
    pub expression: Value,
    /// Where it is evaluated.
    pub environment: RefCell<Option<Rc<Environment>>>,
}

/// Names and values of one scope. Small scopes are searched in order, large ones by hash.
pub struct Environment {
    bindings: RefCell<Bindings>,
    /// The scope around it; `None` for the global one.
    pub parent: Option<Rc<Environment>>,
}

enum Bindings {
    /// The values of names that all calls of a closure share, in their order; at most [`FEW`].
    Call(Names, Vec<Value>),
    Few(Vec<(Symbol, Value)>),
    Many(FxHashMap<Symbol, Value>),
}

/// Above this many names a scope is hashed.
const FEW: usize = 12;

impl Environment {
    /// An empty scope.
    #[must_use]
    pub fn new(parent: Option<Rc<Self>>) -> Rc<Self> {
        Rc::new(Self { bindings: RefCell::new(Bindings::Few(Vec::new())), parent })
    }

    /// A scope that holds these names with these values. The first of equal names counts.
    #[must_use]
    pub fn with(names: &Names, mut values: Vec<Value>, parent: Option<Rc<Self>>) -> Rc<Self> {
        let bindings = if names.len() > FEW {
            Bindings::Many(names.iter().cloned().zip(values).rev().collect())
        } else {
            values.truncate(names.len());
            Bindings::Call(names.clone(), values)
        };
        Rc::new(Self { bindings: RefCell::new(bindings), parent })
    }

    /// Binds a name in this scope.
    pub fn define(&self, name: &Symbol, value: Value) {
        if self.parent.is_some() {
            name.0.local.set(true);
        }
        let mut bindings = self.bindings.borrow_mut();
        if let Bindings::Call(names, values) = &mut *bindings {
            if let Some(place) = names.iter().zip(&mut *values).find_map(|(known, v)| (known == name).then_some(v)) {
                *place = value;
                return;
            }
            let list = names.iter().cloned().zip(std::mem::take(values)).collect();
            *bindings = Bindings::Few(list);
        }
        match &mut *bindings {
            Bindings::Call(..) => {}
            Bindings::Many(map) => {
                map.insert(name.clone(), value);
            }
            Bindings::Few(list) => {
                if let Some(entry) = list.iter_mut().find(|(known, _)| known == name) {
                    entry.1 = value;
                } else if list.len() < FEW {
                    list.push((name.clone(), value));
                } else {
                    let mut map: FxHashMap<_, _> = std::mem::take(list).into_iter().collect();
                    map.insert(name.clone(), value);
                    *bindings = Bindings::Many(map);
                }
            }
        }
    }

    /// The value of a name in this scope alone.
    #[must_use]
    pub fn get_here(&self, name: &Symbol) -> Option<Value> {
        match &*self.bindings.borrow() {
            Bindings::Many(map) => map.get(name).cloned(),
            Bindings::Call(names, values) => {
                names.iter().zip(values).find(|(known, _)| *known == name).map(|(_, v)| v.clone())
            }
            Bindings::Few(list) => list.iter().find(|(known, _)| known == name).map(|(_, v)| v.clone()),
        }
    }

    /// Changes a name in the innermost scope that has it; false if none has.
    pub fn set(&self, name: &Symbol, value: Value) -> bool {
        let mut scope = self;
        loop {
            if scope.get_here(name).is_some() {
                scope.define(name, value);
                return true;
            }
            match &scope.parent {
                Some(parent) => scope = parent,
                None => return false,
            }
        }
    }

    /// Forgets all names. Closures refer to the scope that holds them; a machine that goes away
    /// breaks those circles with this.
    pub fn clear(&self) {
        let old = self.bindings.replace(Bindings::Few(Vec::new()));
        match old {
            Bindings::Call(_, values) => values.into_iter().for_each(discard),
            Bindings::Few(list) => list.into_iter().for_each(|(_, value)| discard(value)),
            Bindings::Many(map) => map.into_values().for_each(discard),
        }
    }
}

thread_local! {
    static DISCARDED: RefCell<Vec<Discarded>> = const { RefCell::new(Vec::new()) };
    static DISCARDING: Cell<bool> = const { Cell::new(false) };
}

/// What waits to be freed.
enum Discarded {
    Value(Value),
    /// A captured stack, whose frames may hold continuations of their own.
    Stack(Box<dyn Any>),
}

/// Drops a value with a loop in place of recursion: what a dying pair, closure or scope holds is
/// put on a list, and the outermost call works the list off.
pub(super) fn discard(value: Value) {
    // What others hold as well is not freed yet.
    let is_last = match &value {
        Value::Pair(pair) => Rc::strong_count(pair) == 1,
        Value::Vector(items) => Rc::strong_count(items) == 1,
        Value::Closure(closure) | Value::Macro(closure) => Rc::strong_count(closure) == 1,
        Value::Promise(promise) => Rc::strong_count(promise) == 1,
        Value::Environment(environment) => Rc::strong_count(environment) == 1,
        Value::Continuation(continuation) => Rc::strong_count(continuation) == 1,
        _ => false,
    };
    if is_last {
        free(Discarded::Value(value));
    }
}

/// As [`discard`], for what a continuation holds.
pub(super) fn discard_stack(stack: Box<dyn Any>) {
    free(Discarded::Stack(stack));
}

fn free(discarded: Discarded) {
    if DISCARDING.try_with(Cell::get).unwrap_or(true) {
        // While a thread ends its locals may be gone; then plain recursion has to do.
        let mut discarded = Some(discarded);
        let _ = DISCARDED.try_with(|list| list.borrow_mut().extend(discarded.take()));
        return;
    }
    DISCARDING.with(|flag| flag.set(true));
    release(discarded);
    while let Some(next) = DISCARDED.with(|list| list.borrow_mut().pop()) {
        release(next);
    }
    DISCARDING.with(|flag| flag.set(false));
}

fn release(discarded: Discarded) {
    match discarded {
        Discarded::Value(value) => drop(value),
        Discarded::Stack(stack) => drop(stack),
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        discard(self.car.take());
        discard(self.cdr.take());
    }
}

impl Drop for Closure {
    fn drop(&mut self) {
        discard(std::mem::take(&mut self.body));
        // The scope itself stays in place; its own drop hands its values over.
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.value.take().into_iter().for_each(discard);
        discard(std::mem::take(&mut self.expression));
        self.environment.take().map(Value::Environment).into_iter().for_each(discard);
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        self.clear();
        if let Some(parent) = self.parent.take() {
            discard(Value::Environment(parent));
        }
    }
}

impl Value {
    /// A string literal of the text.
    #[must_use]
    pub fn literal(bytes: Vec<u8>) -> Self {
        Self::String(Rc::new(SchemeString { bytes: RefCell::new(bytes), literal: true }))
    }

    /// A string that may be changed.
    #[must_use]
    pub fn string(bytes: impl Into<Vec<u8>>) -> Self {
        Self::String(Rc::new(SchemeString { bytes: RefCell::new(bytes.into()), literal: false }))
    }

    /// A pair without a place in the text.
    #[must_use]
    pub fn cons(car: Self, cdr: Self) -> Self {
        Self::Pair(Rc::new(Pair { car: car.into(), cdr: cdr.into(), span: None, car_span: None }))
    }

    /// A list of values.
    #[must_use]
    pub fn list(items: Vec<Self>) -> Self {
        Self::list_with_tail(items, Self::Nil)
    }

    /// A list that ends in `tail`.
    #[must_use]
    pub fn list_with_tail(items: Vec<Self>, tail: Self) -> Self {
        items.into_iter().rev().fold(tail, |rest, item| Self::cons(item, rest))
    }

    /// A list read from the text: every pair knows where its car stands, the first one also where
    /// the whole list stands.
    #[must_use]
    pub fn list_at(items: Vec<(Self, Span)>, tail: Self, span: Span) -> Self {
        let count = items.len();
        items.into_iter().enumerate().rev().fold(tail, |rest, (index, (item, at))| {
            debug_assert!(index < count);
            Self::Pair(Rc::new(Pair {
                car: item.into(),
                cdr: rest.into(),
                span: (index == 0).then_some(span),
                car_span: Some(at),
            }))
        })
    }

    /// A vector.
    #[must_use]
    pub fn vector(items: Vec<Self>) -> Self {
        Self::Vector(Rc::new(Vector(RefCell::new(items))))
    }

    /// A port at the start of a text.
    #[must_use]
    pub fn port(source: SourceId) -> Self {
        Self::Port(Rc::new(Port { source, position: Cell::new(0) }))
    }

    /// Everything but `#f` is true.
    #[must_use]
    pub fn is_true(&self) -> bool {
        !matches!(self, Self::Bool(false))
    }

    /// The items of a proper list of at most `limit` items.
    #[must_use]
    pub fn items(&self, limit: usize) -> Option<Vec<Self>> {
        let mut out = Vec::with_capacity(self.length().filter(|length| *length <= limit)?);
        let mut rest = self.clone();
        loop {
            match rest {
                Self::Nil => return Some(out),
                Self::Pair(pair) if out.len() < limit => {
                    out.push(pair.car());
                    rest = pair.cdr();
                }
                _ => return None,
            }
        }
    }

    /// The bytes of a string.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::String(text) => Some(text.bytes.borrow().clone()),
            _ => None,
        }
    }

    /// `eq?`: the same object; numbers and strings by identity only.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nil, Self::Nil) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Character(a), Self::Character(b)) => a == b,
            (Self::Symbol(a), Self::Symbol(b)) => a == b,
            (Self::String(a), Self::String(b)) => Rc::ptr_eq(a, b),
            (Self::Pair(a), Self::Pair(b)) => Rc::ptr_eq(a, b),
            (Self::Vector(a), Self::Vector(b)) => Rc::ptr_eq(a, b),
            (Self::Native(a), Self::Native(b)) => a == b,
            (Self::Closure(a), Self::Closure(b)) | (Self::Macro(a), Self::Macro(b)) => Rc::ptr_eq(a, b),
            (Self::Promise(a), Self::Promise(b)) => Rc::ptr_eq(a, b),
            (Self::Environment(a), Self::Environment(b)) => Rc::ptr_eq(a, b),
            (Self::Continuation(a), Self::Continuation(b)) => Rc::ptr_eq(a, b),
            (Self::Port(a), Self::Port(b)) => Rc::ptr_eq(a, b),
            (Self::EndOfFile, Self::EndOfFile) => true,
            (Self::Foreign(a), Self::Foreign(b)) => Rc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// `eqv?`: as `eq?`, numbers by value (1 and 1.0 are the same).
    #[must_use]
    #[allow(clippy::float_cmp, clippy::cast_precision_loss)]
    pub fn same_value(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (Self::Real(a), Self::Real(b)) => a == b,
            (Self::Integer(a), Self::Real(b)) | (Self::Real(b), Self::Integer(a)) => *a as f64 == *b,
            _ => self.same(other),
        }
    }

    /// `equal?`: strings, pairs and vectors by their contents. Works on a list of its own, so depth
    /// does not matter. `spend` hears how many parts were compared and how long the list has grown;
    /// on circular data only its error ends the comparison.
    ///
    /// # Errors
    /// What `spend` raises.
    pub fn same_contents<E>(
        &self,
        other: &Self,
        spend: &mut dyn FnMut(u64, usize) -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut work = vec![Compared::Values(self.clone(), other.clone())];
        while let Some(next) = work.pop() {
            let mut cost = 1;
            let equal = match next {
                Compared::Values(Self::String(a), Self::String(b)) => {
                    let (a, b) = (a.bytes.borrow(), b.bytes.borrow());
                    cost += (a.len().min(b.len()) / 64) as u64;
                    *a == *b
                }
                Compared::Values(Self::Pair(a), Self::Pair(b)) => {
                    work.push(Compared::Values(a.cdr(), b.cdr()));
                    work.push(Compared::Values(a.car(), b.car()));
                    true
                }
                Compared::Values(Self::Vector(a), Self::Vector(b)) => {
                    let equal = a.borrow().len() == b.borrow().len();
                    work.push(Compared::Vectors(a, b, 0));
                    equal
                }
                // One item at a time: a vector may hold itself many times over.
                Compared::Vectors(a, b, index) => {
                    let items = (a.borrow().get(index).cloned(), b.borrow().get(index).cloned());
                    if let (Some(first), Some(second)) = items {
                        work.push(Compared::Vectors(a, b, index + 1));
                        work.push(Compared::Values(first, second));
                    }
                    true
                }
                Compared::Values(a, b) => a.same_value(&b),
            };
            if !equal {
                return Ok(false);
            }
            spend(cost, work.len())?;
        }
        Ok(true)
    }

    /// Number of items of a proper list; `None` for anything else, also for a circular list.
    #[must_use]
    pub fn length(&self) -> Option<usize> {
        // Brent: a marker that moves to powers of two is met again only on a circle.
        let (mut marker, mut power, mut length) = (self.clone(), 1usize, 0usize);
        let mut rest = self.clone();
        loop {
            match rest {
                Self::Nil => return Some(length),
                Self::Pair(pair) => rest = pair.cdr(),
                _ => return None,
            }
            length += 1;
            if matches!(rest, Self::Pair(_)) && rest.same(&marker) {
                return None;
            }
            if length == power {
                marker = rest.clone();
                power = power.saturating_mul(2);
            }
        }
    }
}

/// What `equal?` has still to compare.
enum Compared {
    Values(Value, Value),
    /// Two vectors from this place on.
    Vectors(Rc<Vector>, Rc<Vector>, usize),
}
