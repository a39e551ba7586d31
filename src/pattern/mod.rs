//! Strings and regular expressions by their meaning.
//!
//! In: text as the profile gives it, or trees and automata that the decoder found. Out: whether a
//! subject matches; the tree of a set of strings. Never: bytes of a compiled program, those are
//! `blob`'s business.
//!
//! - [`StringPattern`]: one literal, prefix or subpath
//! - [`tree`]: many of them as one tree, in the order in which they are tried
//! - [`order`]: which order Apple's compiler gives a tree
//! - [`language`]: sets of strings compared, however they are written
//! - [`lower`]: simple regular expressions as trees
//! - [`spell`]: a tree as the strings and expressions of a profile
//! - [`regex`]: the dialect's parser, the automaton, and two matchers

pub mod language;
pub mod lower;
pub mod order;
pub mod regex;
pub mod spell;
mod string;
pub mod tree;
mod variables;

pub use string::{Part, PatternError, StringKind, StringPattern};
