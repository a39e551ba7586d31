//! In: what went wrong in a program, and where. Out: [`Error`] with the trail of imports and macro
//! calls; [`Budget`]. Never: rendering.

use std::rc::Rc;

use super::super::source::Span;
use super::value::Symbol;

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

/// An error in a program and where it happened.
#[derive(Clone, Debug)]
pub struct Error {
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

impl Error {
    /// An error of the program; the machine fills in the trail.
    pub fn new(message: impl Into<String>, at: Option<Span>) -> Self {
        Self { kind: ErrorKind::Program, message: message.into(), at, trail: None, unbound: None, outermost: None }
    }

    pub(super) fn budget(message: impl Into<String>, at: Option<Span>) -> Self {
        Self { kind: ErrorKind::Budget, ..Self::new(message, at) }
    }

    pub(super) fn unbound(name: &Symbol, at: Option<Span>) -> Self {
        Self { unbound: Some(name.name().to_owned()), ..Self::new(format!("unbound variable: {}", name.name()), at) }
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
