//! The waist: what a profile means, without Scheme and without bytes.
//!
//! In: [`rules`], the list that an evaluated source amounts to, or a [`graph`] that the decoder
//! found. Out: the graph of a list ([`passes`]) and the list of a graph ([`mod@decompile`]), whether two
//! graphs mean the same ([`equal`], [`same`]), verdicts ([`verdict`], by the graph; [`mod@reference`],
//! by the rules, written on its own so that the two can be compared), the answers of a
//! [`request`]. Never: text of a profile, offsets of a blob.

pub mod collection;
pub mod decompile;
pub mod describe;
pub mod equal;
pub mod gate;
pub mod graph;
pub mod inline;
mod meaning;
mod names;
pub mod passes;
pub mod reference;
pub mod request;
pub mod rules;
pub mod same;
pub mod verdict;
