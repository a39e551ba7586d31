//! In: the data of an image of iOS 4 to 8 (sandboxd, or the kernel extension). Out: the profiles that its
//! pairs of a pointer and a size lead to, with the names that a parallel array gives them (FORMAT.md §8.1).
//! Never: a profile that no release reads, or more work than [`Budget`] allows.
//!
//! Such blobs have no number of operations in their headers, so that they cannot be looked for in bytes;
//! a size in front of them is what tells them. Pointers are plain addresses: chained ones came later.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use super::macho::Binary;
use super::names::is_text_name;
use super::scan::{Budget, Found};
use super::{ExtractError, Kind};
use crate::blob::{self, Decoded};
use crate::vocabulary::{EarlyLayout, Release};

/// Sizes of profiles: a header and its operation table, and what 16 bits of words can reach with one more
/// object behind (FORMAT.md §1.2).
const SIZES: std::ops::RangeInclusive<u64> = 128..=(1 << 20);
/// Most arrays of pointers to strings that are looked at.
const MOST_ARRAYS: usize = 1 << 16;
/// The profile that the real arrays have (FORMAT.md §8.1); decides between several of one length.
const KNOWN_NAME: &[u8] = b"com.apple.sandboxd";

/// Words of the data sections that may be pointers, each with its place in the file.
struct Words<'a> {
    binary: &'a Binary<'a>,
    width: usize,
    /// Address ranges with their places in the file, by address.
    mapped: Vec<(Range<u64>, usize)>,
    /// Where sections of strings start in the file.
    strings: HashSet<usize>,
}

/// Every profile, by ascending place.
pub(super) fn profiles(
    binary: &Binary<'_>,
    releases: &[&'static Release],
    budget: &mut Budget,
) -> Result<Vec<Found>, ExtractError> {
    let early: Vec<_> = releases.iter().filter_map(|release| Some((*release, release.early_layout()?))).collect();
    if early.is_empty() {
        return Ok(Vec::new());
    }
    let width = if binary.context.is_big() { 8 } else { 4 };
    let strings = binary.strings.iter().map(|(range, _)| range.start).collect();
    let words = Words { binary, width, mapped: binary.addresses(), strings };
    let mut found: BTreeMap<usize, Found> = BTreeMap::new();
    // Where each pair is, and which profile it leads to.
    let mut pairs: BTreeMap<u64, usize> = BTreeMap::new();
    let mut refused: HashSet<(usize, usize)> = HashSet::new();
    for (place, pointer, size) in words.pairs() {
        let Some(start) = words.place(pointer) else { continue };
        let Some(length) = usize::try_from(size).ok().filter(|length| start.1 >= *length) else { continue };
        let start = start.0;
        if refused.contains(&(start, length)) {
            continue;
        }
        if found.get(&start).is_none_or(|known| known.bytes.len() != length) {
            let bytes = binary.bytes.get(start..start + length).unwrap_or_default();
            // Of several sizes the one that leaves least unaccounted is right.
            let most = found.get(&start).map_or(usize::MAX, |known| known.unaccounted);
            match read(bytes, start, &early, budget).filter(|profile| profile.unaccounted < most) {
                Some(profile) => drop(found.insert(start, profile)),
                None => drop(refused.insert((start, length))),
            }
            if budget.is_spent() {
                return Err(ExtractError::TooMuchWork { offset: place });
            }
        }
        if found.get(&start).is_some_and(|known| known.bytes.len() == length) {
            pairs.extend(binary.address(place).map(|address| (address, start)));
        }
    }
    if !pairs.is_empty() {
        for (place, name) in words.names(&pairs) {
            if let Some(profile) = found.get_mut(&place) {
                profile.name = Some(name);
            }
        }
    }
    Ok(found.into_values().collect())
}

/// The bytes as a profile of some of these releases: those that leave least unaccounted.
fn read(
    bytes: &[u8],
    offset: usize,
    releases: &[(&'static Release, &EarlyLayout)],
    budget: &mut Budget,
) -> Option<Found> {
    let mut best: Option<(usize, Decoded, Vec<&'static str>)> = None;
    for (release, layout) in releases {
        budget.spend(1);
        if !is_plausible(bytes, release, layout) {
            continue;
        }
        budget.spend(8 * bytes.len() as u64);
        let Ok(decoded) = blob::decode(bytes, release) else { continue };
        let unaccounted = decoded.leftover.iter().map(|leftover| leftover.range.len()).sum();
        match &mut best {
            Some((known, _, names)) if *known == unaccounted => names.push(release.name()),
            Some((known, ..)) if *known < unaccounted => {}
            _ => best = Some((unaccounted, decoded, vec![release.name()])),
        }
    }
    let (unaccounted, decoded, releases) = best?;
    Some(Found {
        kind: if decoded.header.is_collection { Kind::Collection } else { Kind::Profile },
        bytes: bytes.to_vec(),
        offset,
        releases,
        operations: decoded.header.operations.len(),
        profiles: decoded.header.records.len(),
        unaccounted,
        name: None,
    })
}

/// Whether the end of the nodes lies behind an operation table and inside the bytes; they are all that
/// tells at one look.
fn is_plausible(bytes: &[u8], release: &Release, layout: &EarlyLayout) -> bool {
    let Some(field) = layout.fields.iter().find(|field| field.name == "regex_table") else { return false };
    let Some(raw) = bytes.get(field.offset..field.offset + 2) else { return false };
    let end = 8 * raw.iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte));
    let header = layout.fields.last().map_or(0, |field| field.offset + field.width);
    end > header + 2 * release.operation_slots() && end <= bytes.len()
}

impl Words<'_> {
    /// Aligned words of the data with their places.
    fn all(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.binary.data.iter().flat_map(move |range| {
            // Aligned in memory, and segments start on pages.
            let start = range.start.next_multiple_of(self.width);
            let words = self.binary.bytes.get(start..range.end).unwrap_or_default().chunks_exact(self.width);
            words.enumerate().map(move |(index, word)| (start + index * self.width, self.binary.number(word)))
        })
    }

    /// Neighbours of which the second may be the size of what the first points to.
    fn pairs(&self) -> impl Iterator<Item = (usize, u64, u64)> + '_ {
        let mut last: Option<(usize, u64)> = None;
        self.all().filter_map(move |(place, word)| {
            let before = last.replace((place, word));
            let (at, pointer) = before.filter(|(at, _)| at + self.width == place)?;
            (pointer != 0 && SIZES.contains(&word)).then_some((at, pointer, word))
        })
    }

    /// Where an address is in the file, and how many bytes of its section are from there on.
    fn place(&self, address: u64) -> Option<(usize, usize)> {
        let (start, section) = self.section(address)?;
        Some((start, section.end - start))
    }

    /// Where an address is in the file, and its section there.
    fn section(&self, address: u64) -> Option<(usize, Range<usize>)> {
        let index = self.mapped.partition_point(|(range, _)| range.start <= address).checked_sub(1)?;
        let (range, file) = self.mapped.get(index).filter(|(range, _)| range.contains(&address))?;
        let start = file.checked_add(usize::try_from(address - range.start).ok()?)?;
        Some((start, *file..file.checked_add(usize::try_from(range.end - range.start).ok()?)?))
    }

    /// The string at an address, where it is the name of a profile.
    fn name(&self, address: u64) -> Option<&[u8]> {
        let (start, section) = self.section(address)?;
        // In the middle of a string none begins.
        let begins = start == section.start || self.binary.bytes.get(start - 1) == Some(&0);
        if !begins || !self.strings.contains(&section.start) {
            return None;
        }
        let text = self.binary.bytes.get(start..section.end.min(start.saturating_add(256)))?;
        let name = text.split(|byte| *byte == 0).next()?;
        (name.len() < text.len() && is_text_name(name)).then_some(name)
    }

    /// Names of profiles by their places: from the array of pointers to strings that is parallel to the
    /// array of pointers to pairs, or to the pairs themselves where nothing points to them in a row.
    fn names(&self, pairs: &BTreeMap<u64, usize>) -> HashMap<usize, String> {
        let mut arrays: Vec<(Range<usize>, Vec<usize>)> = Vec::new();
        for (place, word) in self.all() {
            let Some(profile) = pairs.get(&word) else { continue };
            match arrays.last_mut().filter(|(range, _)| range.end == place) {
                Some((range, profiles)) => {
                    range.end += self.width;
                    profiles.push(*profile);
                }
                None => arrays.push((place..place + self.width, vec![*profile])),
            }
        }
        let mut in_a_row: Vec<(Range<usize>, Vec<usize>)> = Vec::new();
        for (address, profile) in pairs {
            let Some((place, _)) = self.place(*address) else { continue };
            match in_a_row.last_mut().filter(|(range, _)| range.end == place) {
                Some((range, profiles)) => {
                    range.end += 2 * self.width;
                    profiles.push(*profile);
                }
                None => in_a_row.push((place..place + 2 * self.width, vec![*profile])),
            }
        }
        // Arrays of pointers first: where there are some, the pairs may lie in any order.
        arrays.extend(in_a_row);
        let strings = self.string_arrays();
        let mut names = HashMap::new();
        for (range, profiles) in arrays.into_iter().filter(|(_, profiles)| profiles.len() > 1) {
            let Some(texts) = self.parallel(&range, profiles.len(), &strings) else { continue };
            for (profile, text) in profiles.into_iter().zip(texts) {
                names.entry(profile).or_insert_with(|| String::from_utf8_lossy(text).into_owned());
            }
        }
        names
    }

    /// Arrays of pointers to names.
    fn string_arrays(&self) -> Vec<Range<usize>> {
        let mut arrays: Vec<Range<usize>> = Vec::new();
        for (place, word) in self.all() {
            if self.name(word).is_none() {
                continue;
            }
            if let Some(range) = arrays.last_mut().filter(|range| range.end == place) {
                range.end += self.width;
            } else if arrays.len() < MOST_ARRAYS {
                arrays.push(place..place + self.width);
            } else {
                break;
            }
        }
        arrays
    }

    /// The names of the array of this many strings that belongs to the array in `range`: one of the same
    /// length, or the part of a longer one that lies right before or behind. Of several, the one with the
    /// name that all real ones have; else none, for a wrong name is worse.
    fn parallel(&self, range: &Range<usize>, count: usize, strings: &[Range<usize>]) -> Option<Vec<&[u8]>> {
        let length = count * self.width;
        let texts = |start: usize| -> Option<Vec<&[u8]>> {
            let words = self.binary.bytes.get(start..start + length)?.chunks_exact(self.width);
            let texts: Option<Vec<&[u8]>> = words.map(|word| self.name(self.binary.number(word))).collect();
            // Names tell profiles apart.
            texts.filter(|texts| texts.iter().collect::<HashSet<_>>().len() == texts.len())
        };
        let starts = strings.iter().filter(|array| array.len() >= length).filter_map(|array| match array {
            array if array.len() == length => Some(array.start),
            array if array.end == range.start => Some(array.end - length),
            array if array.start == range.end => Some(array.start),
            _ => None,
        });
        let mut candidates: Vec<Vec<&[u8]>> = starts.filter_map(texts).collect();
        match candidates.len() {
            0 | 1 => candidates.pop(),
            _ => candidates.into_iter().find(|names| names.contains(&KNOWN_NAME)),
        }
    }
}
