//! In: an image. Out: the names of operations in the order of their numbers, from the table of pointers
//! or, where its pointers cannot be followed, from the order of the strings. Never: names that no release
//! has anything of.

use std::collections::HashSet;
use std::ops::Range;

use super::Kind;
use super::macho::Binary;
use super::scan::Found;
use crate::vocabulary::{Release, release_names};

/// The name of operation 0: where the list begins (FORMAT.md §8.1).
const FIRST: &[u8] = b"default";
/// Longest name; real ones have up to 50 bytes.
const MAX_NAME: usize = 128;
/// Most names; an operation table has 255 at most, then come those of messages.
const MOST_NAMES: usize = 512;
/// Fewest names, and the part of them that some release must know, in per cent (chosen: other lists of
/// words begin with "default" too, and a new release knows most names of an old one).
const FEWEST_NAMES: usize = 32;
const KNOWN_PER_CENT: usize = 50;
/// Most places with the string "default" that are followed.
const MOST_STARTS: usize = 256;

/// A way to write an address in eight bytes: the bits of it, and whether it counts from the image's base.
/// Plain addresses first; then chained fixups of dyld and of kernelcaches (mach-o/fixup-chains.h), whose
/// other bits say where the next one is.
const POINTERS: [(u64, bool); 6] = [
    (u64::MAX, false),
    (0x7ff_ffff_ffff, false),
    (0xf_ffff_ffff, false),
    (0xf_ffff_ffff, true),
    (0xffff_ffff, true),
    (0x3fff_ffff, true),
];

/// The names of an image.
pub(super) fn operation_names(binary: &Binary<'_>) -> Option<Found> {
    let known: HashSet<&str> = release_names()
        .into_iter()
        .filter_map(|name| Release::named(name).ok())
        .flat_map(|release| release.operations().iter().map(|operation| operation.name.as_str()))
        .collect();
    let starts = starts(binary);
    let is_list = |names: &[&[u8]]| {
        let known = names.iter().filter(|name| std::str::from_utf8(name).is_ok_and(|name| known.contains(name)));
        names.len() >= FEWEST_NAMES && 100 * known.count() >= KNOWN_PER_CENT * names.len()
    };
    let (offset, names) = pointer_table(binary, &starts, is_list).or_else(|| {
        let runs = starts.iter().map(|(start, section)| (*start, run(&binary.bytes[*start..section.end])));
        runs.filter(|(_, names)| is_list(names)).max_by_key(|(_, names)| names.len())
    })?;
    let same = |name: &&'static str| {
        Release::named(name).is_ok_and(|release| {
            let own = release.operations().iter().map(|operation| operation.name.as_bytes());
            own.eq(names.iter().copied())
        })
    };
    let releases = release_names().into_iter().filter(same).collect();
    let mut bytes = names.join(&b'\n');
    bytes.push(b'\n');
    Some(Found {
        kind: Kind::OperationNames,
        bytes,
        offset,
        releases,
        operations: names.len(),
        profiles: 0,
        unaccounted: 0,
        name: None,
    })
}

/// Where the string "default" stands, with the string section around it.
fn starts<'a>(binary: &'a Binary<'_>) -> Vec<(usize, &'a Range<usize>)> {
    let mut starts = Vec::new();
    for (section, _) in &binary.strings {
        let mut at = section.start;
        for text in binary.bytes[section.clone()].split(|byte| *byte == 0) {
            if text == FIRST && starts.len() < MOST_STARTS {
                starts.push((at, section));
            }
            at += text.len() + 1;
        }
    }
    starts
}

/// Whether a string may be the name of an operation: where one is not, the list has ended.
fn is_name(text: &[u8]) -> bool {
    let ends = |byte: &u8| matches!(byte, b' ' | b'"' | b'\'' | b'%' | b':');
    !text.is_empty() && text.len() <= MAX_NAME && text.iter().all(u8::is_ascii_graphic) && !text.iter().any(ends)
}

/// Whether a string may be the name of a profile: as those of operations, but for spaces.
pub(super) fn is_text_name(text: &[u8]) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME && text.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
}

/// The strings from here on that are names. The compiler merges equal strings, so that a name which other
/// code has too may stand elsewhere; that is why the table of pointers is asked first.
fn run(bytes: &[u8]) -> Vec<&[u8]> {
    let mut names: Vec<&[u8]> = Vec::new();
    for text in bytes.split(|byte| *byte == 0) {
        // Between strings there may be padding.
        if text.is_empty() {
            continue;
        }
        if !is_name(text) || names.len() == MOST_NAMES {
            break;
        }
        names.push(text);
    }
    names
}

/// The longest table of pointers to names whose first points to "default".
fn pointer_table<'a>(
    binary: &Binary<'a>,
    starts: &[(usize, &Range<usize>)],
    is_list: impl Fn(&[&[u8]]) -> bool,
) -> Option<(usize, Vec<&'a [u8]>)> {
    let strings = binary.string_addresses();
    let firsts: HashSet<u64> = starts.iter().filter_map(|(start, _)| binary.address(*start)).collect();
    let width = if binary.context.is_big() { 8 } else { 4 };
    let name_at = |address: u64| {
        let place = strings.partition_point(|(range, _)| range.start <= address).checked_sub(1)?;
        let (range, file) = &strings[place];
        let start = file + usize::try_from(address.checked_sub(range.start)?).ok()?;
        let end = file + usize::try_from(range.end - range.start).ok()?;
        let text = binary.bytes.get(start..end.min(start.saturating_add(MAX_NAME + 1)))?;
        text.split(|byte| *byte == 0).next().filter(|name| name.len() <= MAX_NAME && is_name(name))
    };
    let mut best: Option<(usize, Vec<&'a [u8]>)> = None;
    let mut tried = 0;
    for range in &binary.data {
        // Tables of pointers are aligned in memory, and segments start on pages.
        let start = range.start.next_multiple_of(width);
        let words = binary.bytes.get(start..range.end).unwrap_or_default();
        for (index, word) in words.chunks_exact(width).enumerate() {
            let word = binary.number(word);
            let address = |word: u64, (mask, relative): (u64, bool)| {
                (word & mask).wrapping_add(if relative { binary.base } else { 0 })
            };
            for form in POINTERS.into_iter().filter(|form| firsts.contains(&address(word, *form))) {
                // Tables inside one another cannot make this long: each is followed once from its start.
                tried += 1;
                if tried > MOST_STARTS * POINTERS.len() {
                    return best;
                }
                let table = words[index * width..].chunks_exact(width).take(MOST_NAMES);
                let names: Vec<&[u8]> = table.map_while(|word| name_at(address(binary.number(word), form))).collect();
                if is_list(&names) && best.as_ref().is_none_or(|(_, known)| known.len() < names.len()) {
                    best = Some((start + index * width, names));
                }
            }
        }
    }
    best
}
