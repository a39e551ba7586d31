//! In: what went wrong in a program, and where. Out: [`Error`] with the trail of imports and macro
//! calls; [`Budget`]. Never: rendering.

use std::rc::Rc;

use super::super::source::Span;

/// How much a program may use before it is stopped.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Evaluation steps.
    pub steps: u64,
    /// Frames that wait at one time: the depth of recursion that is no tail call.
    pub depth: usize,
    /// Bytes of strings, vectors and rules made in all.
    pub bytes: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { steps: 20_000_000, depth: 1_000_000, bytes: 512 << 20 }
    }
}

/// What kind of error ended an evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The text could not be read.
    Syntax,
    /// The program is wrong: unbound variable, wrong type, `(error …)`.
    Program,
    /// The step, depth or memory budget ran out.
    Budget,
}

/// An error in a program and where it happened. One pointer wide, since every step of the evaluator
/// returns room for one.
#[derive(Clone, Debug)]
pub struct Error(Box<ErrorDetails>);

/// What an [`Error`] says.
#[derive(Clone, Debug)]
pub struct ErrorDetails {
    /// What kind.
    pub kind: ErrorKind,
    /// Text as in LANGUAGE.md §2.3.
    pub message: String,
    /// The form or symbol at fault.
    pub at: Option<Span>,
    /// The imports and macro calls that led there.
    pub trail: Option<Rc<Trail>>,
    /// An unbound name, for suggestions.
    pub unbound: Option<String>,
    /// The form of the main text that was being evaluated.
    pub outermost: Option<Span>,
}

impl std::ops::Deref for Error {
    type Target = ErrorDetails;

    fn deref(&self) -> &ErrorDetails {
        &self.0
    }
}

impl std::ops::DerefMut for Error {
    fn deref_mut(&mut self) -> &mut ErrorDetails {
        &mut self.0
    }
}

impl Error {
    /// An error of the program; the machine fills in the trail.
    pub fn new(message: impl Into<String>, at: Option<Span>) -> Self {
        Self::of_kind(ErrorKind::Program, message, at)
    }

    /// An error of any kind.
    pub fn of_kind(kind: ErrorKind, message: impl Into<String>, at: Option<Span>) -> Self {
        let message = message.into();
        Self(Box::new(ErrorDetails { kind, message, at, trail: None, unbound: None, outermost: None }))
    }

    pub(super) fn budget(message: impl Into<String>, at: Option<Span>) -> Self {
        Self::of_kind(ErrorKind::Budget, message, at)
    }

    /// `unbound variable: NAME`.
    pub fn unbound(name: &str, at: Option<Span>) -> Self {
        let mut error = Self::new(format!("unbound variable: {name}"), at);
        error.unbound = Some(name.to_owned());
        error
    }
}

/// One step of the way from the profile to a form: an import or a macro call.
#[derive(Debug)]
pub struct Trail {
    /// Which of the two, and its name.
    pub kind: TrailKind,
    /// The form that imported or called.
    pub at: Option<Span>,
    /// The way to that form.
    pub parent: Option<Rc<Trail>>,
    pub(super) depth: usize,
}

/// What led to a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrailKind {
    /// `(import "name")`.
    Import(String),
    /// A call of the macro of this name.
    Macro(String),
}

/// Longest trail that is kept; a macro that calls itself for ever keeps its outermost calls.
pub(super) const MAX_TRAIL: usize = 32;

impl Drop for Trail {
    fn drop(&mut self) {
        // Bounded by MAX_TRAIL, so the recursion of a plain drop is harmless.
        self.parent.take();
    }
}
