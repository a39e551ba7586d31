//! In: what is left to do when a part has its value. Out: [`Frame`] and the [`Stack`] of them, on
//! the heap; a captured stack shares its links. Never: what a frame does; that is the machine's,
//! the special forms' and the procedures'.

use std::rc::Rc;

use super::super::source::{SourceId, Span};
use super::error::{Error, Trail};
use super::machine::{Host, Machine, Step};
use super::value::{Environment, Pair, Symbol, Value};
use super::{procedures, syntax};

/// Something of the host that waits for a value. It may be resumed several times.
pub trait HostFrame<H: Host> {
    /// Goes on with the value.
    ///
    /// # Errors
    /// What going on raises.
    fn resume(&self, machine: &mut Machine<H>, value: Value) -> Result<Step, Error>;
}

/// What waits for a value.
#[derive(Clone)]
pub(super) enum Frame<F> {
    /// Reads and evaluates the next form of a text; `current` is the one being evaluated.
    Source { source: SourceId, position: u32, current: Option<Span>, trail: Option<Rc<Trail>> },
    /// The operator of a call is being evaluated.
    Operator { form: Rc<Pair>, environment: Rc<Environment>, at: Option<Span> },
    /// Arguments of a call are being evaluated; the first of `done` is the procedure.
    Arguments { done: Vec<Value>, rest: Value, environment: Rc<Environment>, at: Option<Span> },
    /// Forms to evaluate after this one.
    Begin { rest: Value, environment: Rc<Environment>, at: Option<Span> },
    /// The test of an `if`.
    If { branches: Value, environment: Rc<Environment>, at: Option<Span> },
    /// The test of a `when` (wanted true) or `unless`.
    When { wanted: bool, body: Value, environment: Rc<Environment>, at: Option<Span> },
    /// The closure of a `macro` definition.
    DefineMacro { name: Symbol, environment: Rc<Environment>, at: Option<Span> },
    /// The name that `defined?` asks about.
    Defined { environment: Rc<Environment>, at: Option<Span> },
    /// The head of a stream; holds the promise of its rest.
    Stream(Value),
    /// The value of a definition.
    Define { name: Symbol, environment: Rc<Environment> },
    /// The value of a `set!`.
    Set { name: Symbol, environment: Rc<Environment>, at: Option<Span> },
    /// The inits of a `let` of some kind.
    Let(Rc<syntax::LetForm>, Vec<Value>, Rc<Environment>),
    /// The test of a `cond` clause.
    Cond { clauses: Value, environment: Rc<Environment>, at: Option<Span> },
    /// The receiver of a `=>` clause.
    Receiver { value: Value, at: Option<Span> },
    /// The key of a `case`.
    Case { clauses: Value, environment: Rc<Environment>, at: Option<Span> },
    /// `and` (stops at false) or `or` (stops at true).
    Logic { stop_at: bool, rest: Value, environment: Rc<Environment>, at: Option<Span> },
    /// The expansion of a macro, to be evaluated.
    Expansion { name: String, environment: Rc<Environment>, at: Option<Span> },
    /// A macro's expansion is being evaluated; only there for the trail.
    Marker,
    /// The value of a promise.
    Promise(Rc<super::value::Promise>),
    /// `map`, `for-each` and their like.
    Iterate(procedures::Iteration),
    /// A frame of the host.
    Host(F),
}

impl<F> Frame<F> {
    /// What a copy of the frame takes besides the frame itself, roughly.
    pub fn copied_bytes(&self) -> usize {
        let values = match self {
            Self::Arguments { done, .. } | Self::Let(_, done, _) => done.len(),
            Self::Iterate(iteration) => iteration.held(),
            _ => 0,
        };
        values * size_of::<Value>()
    }
}

/// A frame of a machine with host `H`.
pub(super) type FrameOf<H> = Frame<Rc<dyn HostFrame<H>>>;

impl<H: Host> Clone for Link<H> {
    fn clone(&self) -> Self {
        Self { frame: self.frame.clone(), next: self.next.clone(), depth: self.depth, trail: self.trail.clone() }
    }
}

pub(super) struct Link<H: Host> {
    pub frame: FrameOf<H>,
    pub next: Stack<H>,
    pub depth: usize,
    pub trail: Option<Rc<Trail>>,
}

/// The frames that wait, innermost first.
pub(super) struct Stack<H: Host>(pub Option<Rc<Link<H>>>);

impl<H: Host> Clone for Stack<H> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<H: Host> Drop for Stack<H> {
    fn drop(&mut self) {
        let mut next = self.0.take();
        while let Some(link) = next {
            match Rc::try_unwrap(link) {
                Ok(mut link) => next = link.next.0.take(),
                Err(_) => break,
            }
        }
    }
}
