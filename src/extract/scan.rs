//! In: the data of an image. Out: every blob in it that some release reads to its end. Never: a size
//! from the input taken on trust, or more work than [`Budget`] allows.

use super::macho::Binary;
use super::{ExtractError, Kind};
use crate::blob::{self, Decoded};
use crate::vocabulary::Release;

/// Something found in an image; offsets count from its start.
pub(super) struct Found {
    pub kind: Kind,
    pub bytes: Vec<u8>,
    pub offset: usize,
    pub releases: Vec<&'static str>,
    pub operations: usize,
    pub profiles: usize,
    pub unaccounted: usize,
    /// The name that the image gives it, where it gives one.
    pub name: Option<String>,
}

/// How much may be looked at in all, in words of plausible headers; a decoding counts as many.
#[derive(Default)]
pub(super) struct Budget {
    spent: u64,
}

/// About ten seconds. The blobs of a kernelcache take a hundredth of it.
const MOST_WORK: u64 = 1 << 30;

impl Budget {
    /// Notes work.
    pub fn spend(&mut self, work: u64) {
        self.spent = self.spent.saturating_add(work);
    }

    /// Whether there was too much of it.
    pub fn is_spent(&self) -> bool {
        self.spent > MOST_WORK
    }
}

/// How one release reads the blob at a place.
struct Reading {
    length: usize,
    decoded: Decoded,
    unaccounted: usize,
    releases: Vec<&'static str>,
}

/// All blobs, ascending, none inside another one. Every place is tried: C arrays of bytes need no
/// alignment (chosen; the arrays of real kernels lie on multiples of 8).
pub(super) fn blobs(
    binary: &Binary<'_>,
    releases: &[&'static Release],
    budget: &mut Budget,
) -> Result<Vec<Found>, ExtractError> {
    let heads = Heads::new(releases);
    let mut found = Vec::new();
    for range in &binary.data {
        let bytes = &binary.bytes[range.clone()];
        let mut at = 0;
        while let Some(place) = heads.next(bytes, at) {
            at = place + 1;
            if let Some(reading) = read(&bytes[place..], releases, budget) {
                at = place + reading.length.max(1);
                found.push(reading.found(&bytes[place..], range.start + place));
            }
            if budget.is_spent() {
                return Err(ExtractError::TooMuchWork { offset: range.start + place });
            }
        }
    }
    Ok(found)
}

/// The blob that is at the front of these bytes.
pub(super) fn at_front(bytes: &[u8], releases: &[&'static Release]) -> Option<Found> {
    read(bytes, releases, &mut Budget::default()).map(|reading| reading.found(bytes, 0))
}

/// The first byte of a number of operations, by the place that it has in a header: tells nearly all
/// places at which no blob starts, by one look.
struct Heads {
    fields: Vec<(usize, [bool; 256])>,
}

impl Heads {
    fn new(releases: &[&'static Release]) -> Self {
        let mut fields: Vec<(usize, [bool; 256])> = Vec::new();
        for release in releases {
            let Ok(layout) = release.layout() else { continue };
            let Some(field) = layout.fields.iter().find(|field| field.name == "operations") else { continue };
            let low = release.operation_slots() % 256;
            match fields.iter_mut().find(|(offset, _)| *offset == field.offset) {
                Some((_, known)) => known[low] = true,
                None => {
                    let mut known = [false; 256];
                    known[low] = true;
                    fields.push((field.offset, known));
                }
            }
        }
        Self { fields }
    }

    /// The first place from `from` on at which some blob may start.
    fn next(&self, bytes: &[u8], from: usize) -> Option<usize> {
        self.fields
            .iter()
            .filter_map(|(offset, known)| {
                let rest = bytes.get(from.checked_add(*offset)?..)?;
                rest.iter().position(|byte| known[usize::from(*byte)]).map(|at| from + at)
            })
            .min()
    }
}

/// The reading that accounts for most, and every release that gives it. Where releases differ, the one
/// that leaves least unaccounted is right, then the longest.
fn read(bytes: &[u8], releases: &[&'static Release], budget: &mut Budget) -> Option<Reading> {
    let mut best: Option<Reading> = None;
    for release in releases {
        if !blob::is_plausible(bytes, release, &mut budget.spent) {
            continue;
        }
        // The work of a decoding: by its nodes, each of which may copy an argument.
        let nodes = u64::from(u16::from_le_bytes([bytes[2], bytes[3]]));
        budget.spent += (nodes << 10).min(1 << 22);
        let Ok((length, decoded)) = blob::extent(bytes, release) else { continue };
        let unaccounted = decoded.leftover.iter().map(|leftover| leftover.range.len()).sum();
        let rank = |unaccounted: usize, length: usize| (unaccounted, std::cmp::Reverse(length));
        match &mut best {
            Some(known) if rank(known.unaccounted, known.length) == rank(unaccounted, length) => {
                known.releases.push(release.name());
            }
            Some(known) if rank(known.unaccounted, known.length) < rank(unaccounted, length) => {}
            _ => best = Some(Reading { length, decoded, unaccounted, releases: vec![release.name()] }),
        }
    }
    best
}

impl Reading {
    fn found(self, bytes: &[u8], offset: usize) -> Found {
        let header = &self.decoded.header;
        Found {
            kind: if header.is_collection { Kind::Collection } else { Kind::Profile },
            bytes: bytes[..self.length].to_vec(),
            offset,
            releases: self.releases,
            operations: header.operations.len(),
            profiles: header.records.len(),
            unaccounted: self.unaccounted,
            name: None,
        }
    }
}
