//! A Scheme of the TinyScheme family (LANGUAGE.md §2), as far as profiles use it.
//!
//! In: forms of the reader. Out: values and, through the host, effects. Never: knowledge of the
//! sandbox; what `allow` or `subpath` mean is the host's business.
//!
//! - `value`: values, pairs with byte ranges, environments, symbols
//! - `print`: `write` and `display`
//! - `error`: errors, the trail of imports and macro calls, the budget
//! - `frame`: what waits for a value, on the heap
//! - `call`: arguments of native procedures by type
//! - `machine`: the evaluator: one loop over an explicit stack of frames on the heap, so tail calls
//!   cost nothing, recursion is bounded by a budget and not by the machine's stack, and a
//!   continuation is a pointer
//! - `syntax`: one function per special form, in one table; `quasiquote` is the largest
//! - `prelude`: what is written in Scheme itself, made when it is asked for
//! - `procedures`: one function per native procedure, in tables by subject
//!
//! To add a special form or a procedure, write its function and add it to its table.

mod call;
mod error;
mod frame;
mod machine;
mod prelude;
mod print;
mod procedures;
mod quasiquote;
mod syntax;
mod value;

pub use call::Call;
pub use error::{Budget, Error, ErrorKind, Trail, TrailKind};
pub use frame::HostFrame;
pub use machine::{Host, Machine, Step};
pub use procedures::Native;
pub use syntax::Syntax;
pub use value::{Closure, Environment, Foreign, Pair, Symbol, Symbols, Value};
