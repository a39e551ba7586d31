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
    /// Arguments of a call are being evaluated.
    Arguments { procedure: Value, done: Vec<Value>, rest: Value, environment: Rc<Environment>, at: Option<Span> },
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

/// A frame with the way to the form it belongs to.
pub(super) struct Link<H: Host> {
    pub frame: FrameOf<H>,
    pub trail: Option<Rc<Trail>>,
}

impl<H: Host> Clone for Link<H> {
    fn clone(&self) -> Self {
        Self { frame: self.frame.clone(), trail: self.trail.clone() }
    }
}

/// The frames that wait, innermost last. Frames lie in one vector; a continuation takes what lies
/// there as a segment of its own, which is then shared, and the stack goes on above it.
pub(super) struct Stack<H: Host> {
    live: Vec<Link<H>>,
    kept: Kept<H>,
}

/// The lower frames: a shared segment, and how many of its frames still wait (never none).
struct Kept<H: Host>(Option<(Rc<Segment<H>>, usize)>);

struct Segment<H: Host> {
    frames: Vec<Link<H>>,
    below: Kept<H>,
    below_depth: usize,
}

impl<H: Host> Clone for Kept<H> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<H: Host> Kept<H> {
    fn depth(&self) -> usize {
        self.0.as_ref().map_or(0, |(segment, count)| segment.below_depth + count)
    }
}

impl<H: Host> Drop for Kept<H> {
    fn drop(&mut self) {
        let mut next = self.0.take();
        while let Some((segment, _)) = next {
            match Rc::try_unwrap(segment) {
                Ok(mut segment) => next = segment.below.0.take(),
                Err(_) => break,
            }
        }
    }
}

impl<H: Host> Stack<H> {
    pub fn new() -> Self {
        Self { live: Vec::new(), kept: Kept(None) }
    }

    pub fn depth(&self) -> usize {
        self.live.len() + self.kept.depth()
    }

    pub fn push(&mut self, link: Link<H>) {
        self.live.push(link);
    }

    /// The innermost frame, and whether it had to be copied because a continuation keeps it.
    pub fn pop(&mut self) -> Option<(Link<H>, bool)> {
        if let Some(link) = self.live.pop() {
            return Some((link, false));
        }
        let (segment, count) = self.kept.0.take()?;
        match Rc::try_unwrap(segment) {
            Ok(mut segment) => {
                segment.frames.truncate(count);
                self.live = std::mem::take(&mut segment.frames);
                self.kept.0 = segment.below.0.take();
                self.live.pop().map(|link| (link, false))
            }
            Err(segment) => {
                let link = segment.frames.get(count - 1)?.clone();
                self.kept = if count > 1 { Kept(Some((segment, count - 1))) } else { segment.below.clone() };
                Some((link, true))
            }
        }
    }

    /// The innermost frame.
    pub fn top(&self) -> Option<&Link<H>> {
        let kept = || self.kept.0.as_ref().and_then(|(segment, count)| segment.frames.get(count - 1));
        self.live.last().or_else(kept)
    }

    /// The outermost frame.
    pub fn bottom(&self) -> Option<&Link<H>> {
        let Some((mut segment, _)) = self.kept.0.as_ref().map(|(segment, count)| (segment, count)) else {
            return self.live.first();
        };
        while let Some((below, _)) = &segment.below.0 {
            segment = below;
        }
        segment.frames.first()
    }

    /// What a continuation keeps. Takes the time of one allocation, whatever the depth.
    pub fn capture(&mut self) -> Self {
        if !self.live.is_empty() {
            let frames = std::mem::take(&mut self.live);
            let (count, below_depth) = (frames.len(), self.kept.depth());
            let below = Kept(self.kept.0.take());
            self.kept.0 = Some((Rc::new(Segment { frames, below, below_depth }), count));
        }
        self.again()
    }

    /// A captured stack, to go on with.
    pub fn again(&self) -> Self {
        Self { live: Vec::new(), kept: self.kept.clone() }
    }
}
