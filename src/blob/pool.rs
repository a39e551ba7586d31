//! In: the places of what a decoder reads. Out: the objects behind the nodes, and the bytes that belong
//! to none of them. Never: an object that overlaps another one, or copies without a bound.

use super::decode::{Leftover, PoolObject, User};
use super::{BlobError, slice};
use crate::policy::rules::Address;

/// What a decoder has read so far.
pub(super) struct Pool {
    /// Whoever refers to the objects that are noted next.
    pub user: User,
    objects: Vec<PoolObject>,
    /// For each eight bytes of the blob the object that they belong to, counted from 1. Every object starts
    /// at a multiple of eight, so no two have one in common.
    slots: Vec<u32>,
    /// Bytes that were copied for single nodes.
    copied: usize,
}

/// Bytes of a slot, in which offsets count as well.
const SLOT: usize = 8;

/// Most bytes that are copied for single nodes: strings, sets and modifiers. Without a
/// limit, 65,535 nodes with one string of 64 KB would take 4 GB.
const MAX_COPIED: usize = 64 << 20;

impl Pool {
    /// The pool of a blob of this length.
    pub fn new(length: usize) -> Self {
        let slots = vec![0; length.div_ceil(SLOT)];
        Self { user: User::Node(0), objects: Vec::new(), slots, copied: 0 }
    }

    /// Notes an object that lies in the blob; it may be noted before, and overlaps no other. That is found
    /// out now and not at the end, since objects that overlap could claim far more than the blob has.
    pub fn account(&mut self, start: usize, length: usize, kind: &'static str) -> Result<(), BlobError> {
        let end = start + length;
        let overlaps = || BlobError::bad(kind, start, "overlaps another object");
        let slots = self.slots.get_mut(start / SLOT..end.div_ceil(SLOT)).ok_or_else(overlaps)?;
        let known = slots.first().and_then(|slot| self.objects.get_mut((*slot as usize).wrapping_sub(1)));
        if let Some(known) = known {
            if known.range != (start..end) {
                return Err(overlaps());
            }
            // What a node compares with says more than that a table has it.
            if matches!((known.user, self.user), (User::Table(..), User::Node(_))) {
                known.user = self.user;
            }
            return Ok(());
        }
        if slots.iter().any(|slot| *slot != 0) {
            return Err(overlaps());
        }
        self.objects.push(PoolObject { range: start..end, kind, user: self.user });
        slots.fill(u32::try_from(self.objects.len()).unwrap_or(u32::MAX));
        Ok(())
    }

    /// Counts bytes that are copied for one node.
    pub fn copy(&mut self, start: usize, length: usize) -> Result<(), BlobError> {
        self.copied = self.copied.saturating_add(length);
        if self.copied > MAX_COPIED {
            let reason = format!("the arguments of all nodes take more than {MAX_COPIED} bytes in all");
            return Err(BlobError::bad("arguments", start, reason));
        }
        Ok(())
    }

    /// The eight bytes of a network address (FORMAT.md §3.2).
    pub fn address(&mut self, bytes: &[u8], start: usize) -> Result<Address, BlobError> {
        let raw = slice(bytes, "address", start, 8)?;
        if raw[1] > 1 || raw[4..] != [0; 4] || raw[0] & 3 == 0 || raw[0] > 11 {
            return Err(BlobError::bad("address", start, "host, protocol or padding makes no sense"));
        }
        self.account(start, 8, "address")?;
        Ok(Address { protocol: raw[0], localhost: raw[1] == 1, port: u16::from_le_bytes([raw[2], raw[3]]) })
    }

    /// The objects, by offset.
    pub fn objects(mut self) -> Vec<PoolObject> {
        self.objects.sort_unstable_by_key(|object| object.range.start);
        self.objects
    }
}

/// Pool bytes that belong to no object and are no padding before one.
pub(super) fn unaccounted(bytes: &[u8], start: usize, objects: &[PoolObject]) -> Result<Vec<Leftover>, BlobError> {
    let mut leftover = Vec::new();
    let mut end = start;
    let blob_end = PoolObject { range: bytes.len()..bytes.len(), kind: "end", user: User::Node(0) };
    for object in objects.iter().chain([&blob_end]) {
        if object.range.start < end {
            return Err(BlobError::bad(object.kind, object.range.start, "overlaps the object before it"));
        }
        let gap = end..object.range.start;
        let is_padding = gap.len() < 8 && object.kind != "end" && bytes[gap.clone()].iter().all(|byte| *byte == 0);
        if !gap.is_empty() && !is_padding {
            leftover.push(Leftover { range: gap, what: "bytes of the pool that nothing refers to".to_owned() });
        }
        end = object.range.end;
    }
    Ok(leftover)
}
