//! In: the bytes of a regex object of version 1 or 2. Out: its [`Automaton`]. Never: a guess at a
//! node whose kind is not known; and nothing is written in these forms.
//!
//! Version 1 (Mac OS X 10.6, iOS 4) is measured on one object; version 2 is second-hand, no object of
//! it is at hand (FORMAT.md §5). Their matchers report groups, so they are taken to search; guessed,
//! since the one object begins with `^`.

use super::{BlobError, slice};
use crate::pattern::regex::{Automaton, State, StateId};
use crate::pattern::tree::Ranges;

const FIELD: &str = "regex object";

/// One node: the same kinds in both versions.
struct Node {
    kind: u8,
    next: u32,
    argument: u32,
}

fn number(object: &[u8], at: usize, base: usize, big: bool) -> Result<usize, BlobError> {
    let bytes = slice(object, FIELD, at, 4)?;
    let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
    let number = if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
    usize::try_from(number).map_err(|_| BlobError::bad(FIELD, base + at, "too large".to_owned()))
}

/// Words in big-endian order: version, nodes, start, end, classes, groups; nodes of three words;
/// classes, each the number of its bounds and these.
pub(super) fn read_version_1(object: &[u8], base: usize) -> Result<Automaton, BlobError> {
    let word = |at: usize| number(object, at, base, true);
    let (count, start, classes) = (word(4)?, word(8)?, word(16)?);
    let mut at = 24;
    let mut nodes = Vec::new();
    for _ in 0..count {
        let (kind, next, argument) = (word(at)?, word(at + 4)?, word(at + 8)?);
        nodes.push(Node { kind: u8::try_from(kind).unwrap_or(0), next: low(next), argument: low(argument) });
        at += 12;
    }
    let mut sets: Vec<Ranges> = Vec::new();
    for _ in 0..classes {
        let bounds = word(at)?;
        let bytes = slice(object, FIELD, at + 4, bounds.saturating_mul(4))?;
        let values: Vec<u8> = bytes.chunks_exact(4).map(|word| word[3]).collect();
        sets.push(pairs(&values, base + at)?);
        at += 4 + bytes.len();
    }
    ends_at(object, at, base)?;
    automaton(&nodes, start, &sets, base)
}

/// Little-endian but for the version: nodes, start, end, classes; nodes of eight bytes; then a magic
/// word, a size, where each class starts, how long it is, and their bytes. Second-hand.
pub(super) fn read_version_2(object: &[u8], base: usize) -> Result<Automaton, BlobError> {
    let word = |at: usize| number(object, at, base, false);
    let (count, start, classes) = (word(4)?, word(8)?, word(16)?);
    let mut at = 20;
    let mut nodes = Vec::new();
    for _ in 0..count {
        let node = slice(object, FIELD, at, 8)?;
        let (next, argument) = (u16::from_le_bytes([node[1], node[2]]), word(at + 4)?);
        nodes.push(Node { kind: node[0], next: next.into(), argument: low(argument) });
        at += 8;
    }
    let mut sets: Vec<Ranges> = Vec::new();
    if classes > 0 {
        let (starts, size) = (at + 8, word(at + 4)?);
        let lengths = starts + slice(object, FIELD, starts, classes.saturating_mul(4))?.len();
        let bytes = lengths + slice(object, FIELD, lengths, classes)?.len();
        let all = slice(object, FIELD, bytes, size)?;
        for class in 0..classes {
            let length = usize::from(object[lengths + class]);
            sets.push(pairs(slice(all, FIELD, word(starts + 4 * class)?, length)?, base + starts)?);
        }
        at = bytes + size;
    }
    ends_at(object, at, base)?;
    automaton(&nodes, start, &sets, base)
}

/// A word came from 32 bits.
fn low(word: usize) -> u32 {
    u32::try_from(word).unwrap_or(u32::MAX)
}

fn ends_at(object: &[u8], at: usize, base: usize) -> Result<(), BlobError> {
    match object.len() == at {
        true => Ok(()),
        false => Err(BlobError::bad(FIELD, base + at, format!("ends here, the object has {} bytes", object.len()))),
    }
}

fn pairs(bounds: &[u8], at: usize) -> Result<Ranges, BlobError> {
    if !bounds.len().is_multiple_of(2) {
        return Err(BlobError::bad(FIELD, at, "a class with half a range".to_owned()));
    }
    Ok(bounds.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

fn automaton(nodes: &[Node], start: usize, sets: &[Ranges], base: usize) -> Result<Automaton, BlobError> {
    let id = |number: u32| match nodes.get(number as usize) {
        Some(_) => Ok(StateId(number)),
        None => Err(BlobError::bad(FIELD, base, format!("leads to node {number} of {}", nodes.len()))),
    };
    let set = |number: u32| {
        let set = sets.get(number as usize);
        set.ok_or_else(|| BlobError::bad(FIELD, base, format!("names class {number} of {}", sets.len())))
    };
    let mut states = Vec::with_capacity(nodes.len() + 2);
    for Node { kind, next, argument } in nodes {
        states.push(match kind {
            0x10 => State::Byte(argument.to_le_bytes()[0], id(*next)?),
            0x22 => State::Accept,
            // The ends of a group, and nothing at all.
            0x23 | 0x24 | 0x31 => State::Join(id(*next)?),
            0x25..=0x28 => State::Fork(id(*next)?, id(*argument)?),
            0x30 => State::Any(id(*next)?),
            0x32 => State::Start(id(*next)?),
            0x33 => State::End(id(*next)?),
            0x34 => State::Class(set(*argument)?.clone(), id(*next)?),
            0x35 => State::Class(outside(set(*argument)?), id(*next)?),
            other => return Err(BlobError::bad(FIELD, base, format!("node kind 0x{other:02x} is not known"))),
        });
    }
    let mut start = id(low(start))?;
    let mut begin = start;
    // As many steps as there are nodes: nodes of nothing may lead in a circle.
    for _ in 0..nodes.len() {
        let State::Join(next) = states[begin.index()] else { break };
        begin = next;
    }
    if !matches!(states[begin.index()], State::Start(_)) {
        let search = StateId(low(states.len()));
        states.push(State::Fork(start, StateId(search.0 + 1)));
        states.push(State::Any(search));
        start = search;
    }
    Ok(Automaton { states, start }.in_order())
}

/// The bytes of none of the ranges, ascending but for the last range.
fn outside(ranges: &Ranges) -> Ranges {
    let mut out = Ranges::new();
    let mut from = 0u16;
    let mut sorted = ranges.clone();
    sorted.sort_unstable();
    for (low, high) in sorted {
        if u16::from(low) > from {
            out.push((u8::try_from(from).unwrap_or(u8::MAX), low - 1));
        }
        from = from.max(u16::from(high) + 1);
    }
    if let Ok(from) = u8::try_from(from) {
        out.push((from, u8::MAX));
    }
    // Over the end in one range, as the code of version 3 has it.
    if let [(0, high), .., (_, u8::MAX)] = out[..] {
        out.remove(0);
        out.last_mut().into_iter().for_each(|last| last.1 = high);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            version in 1u8..3,
            counts in proptest::collection::vec(0u8..4, 4),
            rest in proptest::collection::vec(prop_oneof![0u8..4, 0x22u8..0x36, any::<u8>()], 0..90),
        ) {
            let mut object = vec![0, 0, 0, version];
            for count in counts {
                object.extend(if version == 1 { [0, 0, 0, count] } else { [count, 0, 0, 0] });
            }
            object.extend(rest);
            if let Ok(automaton) = read(&object, 0) {
                let _ = (automaton.matches(b"/a/b"), automaton.expression());
            }
        }
    }

    fn object(version: u32, head: &[u32], nodes: &[(u8, u32, u32)]) -> Vec<u8> {
        let mut out = version.to_be_bytes().to_vec();
        let word = |word: u32| if version == 1 { word.to_be_bytes() } else { word.to_le_bytes() };
        out.extend(head.iter().flat_map(|number| word(*number)));
        for (kind, next, argument) in nodes {
            match version {
                1 => [u32::from(*kind), *next, *argument].iter().for_each(|number| out.extend(word(*number))),
                _ => {
                    out.push(*kind);
                    out.extend(u16::try_from(*next).unwrap().to_le_bytes());
                    out.push(0);
                    out.extend(word(*argument));
                }
            }
        }
        out
    }

    /// `^/[^a-b]+` in both forms.
    #[test]
    fn both_versions_say_the_same() {
        let nodes = [(0x32, 1, 0), (0x10, 2, 0xffff_ff2f), (0x35, 3, 0), (0x25, 2, 4), (0x22, 0, 0)];
        let mut first = object(1, &[5, 0, 4, 1, 1], &nodes);
        for number in [2u32, 0x61, 0x62] {
            first.extend(number.to_be_bytes());
        }
        let mut second = object(2, &[5, 0, 4, 1], &nodes);
        for number in [0u32, 2, 0] {
            second.extend(number.to_le_bytes());
        }
        second.extend([2, b'a', b'b']);
        for bytes in [first, second] {
            let text = read(&bytes, 0).unwrap().expression().unwrap().text();
            assert_eq!(String::from_utf8_lossy(&text), "^/[^a-b]+");
        }
    }
}
