//! In: the places of what a decoder reads. Out: the objects behind the nodes, and the bytes that belong
//! to none of them. Never: an object that overlaps another one, or copies without a bound.

use std::collections::BTreeMap;

use super::decode::{Leftover, PoolObject, User};
use super::{BlobError, slice};
use crate::policy::rules::Address;

/// What a decoder has read so far.
pub(super) struct Pool {
    /// Whoever refers to the objects that are noted next.
    pub user: User,
    /// Start to end, kind, and who refers to it.
    objects: BTreeMap<usize, (usize, &'static str, User)>,
    /// Bytes that were copied for single nodes.
    copied: usize,
}

/// Most bytes that are copied for single nodes: strings, sets and modifiers. Without a
/// limit, 65,535 nodes with one string of 64 KB would take 4 GB.
const MAX_COPIED: usize = 64 << 20;

impl Default for Pool {
    fn default() -> Self {
        Self { user: User::Node(0), objects: BTreeMap::new(), copied: 0 }
    }
}

impl Pool {
    /// Notes an object; it may be noted before, and overlaps no other. That is found out now and
    /// not at the end, since objects that overlap could claim far more than the blob has.
    pub fn account(&mut self, start: usize, length: usize, kind: &'static str) -> Result<(), BlobError> {
        let end = start + length;
        let overlaps = match self.objects.range(..end).next_back() {
            Some((known, (known_end, ..))) if *known == start => *known_end != end,
            Some((_, (known_end, ..))) => *known_end > start,
            None => false,
        };
        if overlaps {
            return Err(BlobError::bad(kind, start, "overlaps another object"));
        }
        let (_, _, user) = self.objects.entry(start).or_insert((end, kind, self.user));
        // What a node compares with says more than that a table has it.
        if matches!((&user, self.user), (User::Table(..), User::Node(_))) {
            *user = self.user;
        }
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
    pub fn objects(self) -> Vec<PoolObject> {
        let objects = self.objects.into_iter();
        objects.map(|(start, (end, kind, user))| PoolObject { range: start..end, kind, user }).collect()
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
