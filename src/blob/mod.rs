//! The way in and out for compiled profiles: bytes to graph and back.
//!
//! In: bytes, or a [`Graph`](crate::policy::graph::Graph). Out: the same the other way round.
//! Never: SBPL, or an allocation by a size that the input claims.
//!
//! - `layout`: header fields and tables, as the release's grammar lays them out
//! - `decode`: bytes to graph, with every byte accounted for
//! - `early`: the same for blobs of absolute words, up to iOS 9; read only
//! - `pool`: which bytes behind the nodes belong to what
//! - `encode`: graph to bytes, in Apple's order
//! - `program`: pattern programs, a tree as bytes
//! - `automaton`: regex code, an automaton as bytes
//! - `extent`: where a blob ends that lies in other bytes
//! - `compare`: where two blobs differ
//! - `legacy`: the decode fields of an older tool, kept for its recorded numbers

mod automaton;
mod compare;
mod decode;
mod early;
mod encode;
mod extent;
mod layout;
pub mod legacy;
mod pool;
pub mod program;

/// Regex objects alone, without the length in front of them (FORMAT.md §5).
pub mod regex_object {
    pub use super::automaton::{read, write};
}

pub use compare::{Comparison, Difference, compare};
pub use decode::{Decoded, Leftover, PoolObject, User, decode};
pub use encode::{EncodeError, encode, encode_collection};
pub use extent::{extent, is_plausible};
pub use layout::{Header, Record, Section};

use crate::vocabulary::UnknownFormat;

/// Why bytes are no blob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// The blob ends inside something.
    #[error("{field} at offset {offset}: needs {needed} bytes, the blob ends after {available}")]
    Truncated {
        /// What was being read.
        field: String,
        /// Where it starts.
        offset: usize,
        /// How many bytes it takes.
        needed: usize,
        /// How many there are from there.
        available: usize,
    },
    /// The release has no binary format yet.
    #[error(transparent)]
    UnknownFormat(#[from] UnknownFormat),
    /// A field has a value that makes no sense.
    #[error("{field} at offset {offset}: {reason}")]
    Bad {
        /// Which field.
        field: String,
        /// Where it is.
        offset: usize,
        /// What is wrong.
        reason: String,
    },
}

impl BlobError {
    pub(crate) fn bad(field: impl Into<String>, offset: usize, reason: impl Into<String>) -> Self {
        Self::Bad { field: field.into(), offset, reason: reason.into() }
    }
}

/// Whether bytes look like a compiled profile and not like text: text has no NUL byte, and every
/// header has some (FORMAT.md §1).
#[must_use]
pub fn is_blob(bytes: &[u8]) -> bool {
    bytes.iter().take(16).any(|byte| *byte == 0)
}

/// The bytes from `offset` on, as many as asked for.
pub(crate) fn slice<'a>(bytes: &'a [u8], field: &str, offset: usize, length: usize) -> Result<&'a [u8], BlobError> {
    offset.checked_add(length).and_then(|end| bytes.get(offset..end)).ok_or_else(|| BlobError::Truncated {
        field: field.to_owned(),
        offset,
        needed: length,
        available: bytes.len().saturating_sub(offset),
    })
}

/// A little-endian u16.
pub(crate) fn word(bytes: &[u8], field: &str, offset: usize) -> Result<u16, BlobError> {
    let pair = slice(bytes, field, offset, 2)?;
    Ok(u16::from_le_bytes([pair[0], pair[1]]))
}
