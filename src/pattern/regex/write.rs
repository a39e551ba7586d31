//! In: an [`Expression`]. Out: its text in the sandbox dialect (LANGUAGE.md §5.1), short and with
//! escapes only where they are needed. Never: a text that means something else when it is parsed.

use super::Expression;
use crate::pattern::tree::{Ranges, contains};

/// How tightly the surroundings bind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Alternation,
    Sequence,
    Repeat,
}

impl Expression {
    /// The expression as a person would write it. Bytes stand for themselves, so the text is bytes.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out, Binding::Alternation);
        out
    }

    /// As deep as the expression is; those of the parser and of the decoder are bounded.
    fn write(&self, out: &mut Vec<u8>, around: Binding) {
        let own = match self {
            Self::Alternation(list) if list.len() > 1 => Binding::Alternation,
            Self::Alternation(list) | Self::Sequence(list) => match list.as_slice() {
                [one] => return one.write(out, around),
                _ => Binding::Sequence,
            },
            Self::Empty => Binding::Sequence,
            // A mark behind a mark is one repeat to the parser.
            Self::Star(_) | Self::Plus(_) | Self::Optional(_) => Binding::Sequence,
            _ => Binding::Repeat,
        };
        // A sequence inside a sequence needs no group, and nothing is nothing there.
        let grouped = own < around;
        if grouped {
            out.push(b'(');
        }
        match self {
            Self::Empty => {}
            Self::Byte(byte) => {
                if br"^.[$()|*+?{\".contains(byte) {
                    out.push(b'\\');
                }
                out.push(*byte);
            }
            Self::Any => out.push(b'.'),
            Self::Class(ranges) => class(out, ranges),
            Self::NegatedClass(ranges) if ranges.is_empty() => out.push(b'.'),
            Self::NegatedClass(ranges) => set(out, ranges, true),
            Self::Start => out.push(b'^'),
            Self::End => out.push(b'$'),
            Self::Sequence(list) => list.iter().for_each(|item| item.write(out, Binding::Sequence)),
            Self::Alternation(list) => {
                for (index, item) in list.iter().enumerate() {
                    if index > 0 {
                        out.push(b'|');
                    }
                    // An alternation in an alternation is a group, since its code differs.
                    item.write(out, Binding::Sequence);
                }
            }
            Self::Star(inner) => repeat(out, inner, b'*'),
            Self::Plus(inner) => repeat(out, inner, b'+'),
            Self::Optional(inner) => repeat(out, inner, b'?'),
        }
        if grouped {
            out.push(b')');
        }
    }
}

fn repeat(out: &mut Vec<u8>, inner: &Expression, mark: u8) {
    inner.write(out, Binding::Repeat);
    out.push(mark);
}

/// `[]` cannot be written: a set that holds nothing excludes every byte.
fn class(out: &mut Vec<u8>, ranges: &[(u8, u8)]) {
    if ranges.iter().all(|(low, high)| low <= high) && !ranges.is_empty() {
        return set(out, ranges, false);
    }
    // Ranges that go over the end are the decoder's; their bytes in ascending order.
    let ascending = bytes_of(|byte| contains(ranges, byte));
    match ascending.is_empty() {
        true => set(out, &[(0, u8::MAX)], true),
        false => set(out, &ascending, false),
    }
}

/// The ranges of all bytes that a set holds.
pub(super) fn bytes_of(holds: impl Fn(u8) -> bool) -> Ranges {
    let mut out = Ranges::new();
    for byte in (0..=u8::MAX).filter(|byte| holds(*byte)) {
        match out.last_mut() {
            Some(last) if last.1.checked_add(1) == Some(byte) => last.1 = byte,
            _ => out.push((byte, byte)),
        }
    }
    out
}

/// A set in brackets: `]` first, `-` last, so that both stand for themselves.
fn set(out: &mut Vec<u8>, ranges: &[(u8, u8)], negated: bool) {
    let is = |byte: u8| ranges.contains(&(byte, byte));
    let plain = |range: &&(u8, u8)| !matches!(range, (b']', b']') | (b'-', b'-'));
    out.extend(if negated { &b"[^"[..] } else { b"[" });
    let start = out.len();
    if is(b']') {
        out.push(b']');
    }
    for (low, high) in ranges.iter().filter(plain) {
        member(out, *low, start, negated);
        if high > low {
            out.push(b'-');
            member(out, *high, start, negated);
        }
    }
    if is(b'-') {
        out.push(b'-');
    }
    out.push(b']');
}

/// A member, with a backslash where it would mean something else: `[:` begins a class of POSIX.
fn member(out: &mut Vec<u8>, byte: u8, start: usize, negated: bool) {
    let special = match byte {
        b'\\' | b']' | b'-' => true,
        b'^' => out.len() == start && !negated,
        b':' | b'.' | b'=' => out.len() > start && out.last() == Some(&b'['),
        _ => false,
    };
    if special {
        out.push(b'\\');
    }
    out.push(byte);
}
