//! In: a [`Tree`], or the bytes of a pattern program. Out: the other (FORMAT.md §4.2, COMPILER.md
//! §3; proven, TRIES.md §2.1). Never: the order of branches; that is the tree's.

use super::{BlobError, slice};
use crate::pattern::tree::{Branch, Matcher, Ranges, Tree};

/// Deepest nesting that is read. Apple's programs stay below 40; the builder's stay below 460: 250
/// branchings and a text of 64 KB, which takes 205 instructions.
const MAX_DEPTH: usize = 500;

/// Longest text in one instruction.
const MAX_TEXT: usize = 320;

/// The program of a tree. `None` where a jump is farther or a variable higher than the encoding
/// can say.
pub(super) fn write(tree: &Tree) -> Option<Vec<u8>> {
    let Tree::Choice(branches) = tree else { return Some(vec![0x0a]) };
    let mut out = Vec::new();
    let (last, others) = match branches.split_last() {
        Some(split) => split,
        // Nothing to try: fails at once.
        None => return Some(vec![0x09]),
    };
    for branch in others {
        let (head, body) = branch_parts(branch)?;
        out.extend(head);
        match body.len() {
            0 => return None,
            n @ 1..=128 => out.push(0x7f + u8::try_from(n).ok()?),
            n => {
                out.push(0x08);
                out.extend(u16::try_from(n - 0x81).ok()?.to_le_bytes());
            }
        }
        out.extend(body);
    }
    let (head, body) = branch_parts(last)?;
    out.extend(head);
    if !matches!(last.matcher, Matcher::Repeat(_)) {
        out.push(0x0f);
    }
    out.extend(body);
    Some(out)
}

/// The question of a branch and what follows it. A long text takes several instructions.
fn branch_parts(branch: &Branch) -> Option<(Vec<u8>, Vec<u8>)> {
    if let Matcher::Text(text) = &branch.matcher
        && text.len() > MAX_TEXT
    {
        let (first, rest) = text.split_at(MAX_TEXT);
        let rest = Tree::one(Matcher::Text(rest.to_vec()), branch.then.clone());
        return Some((matcher(&Matcher::Text(first.to_vec()))?, write(&rest)?));
    }
    Some((matcher(&branch.matcher)?, write(&branch.then)?))
}

fn matcher(matcher: &Matcher) -> Option<Vec<u8>> {
    let ranges = |mark: u8, ranges: &Ranges| {
        let count = u8::try_from(ranges.len().checked_sub(1)?).ok().filter(|count| *count < 0x80)?;
        let mut out = vec![0x0b, mark | count];
        out.extend(ranges.iter().flat_map(|(low, high)| [*low, *high]));
        Some(out)
    };
    Some(match matcher {
        Matcher::Text(text) => match text.len() {
            0 => return None,
            n @ 1..=64 => [&[0x3f + u8::try_from(n).ok()?], text.as_slice()].concat(),
            n => [&[0x04, u8::try_from(n - 0x41).ok()?], text.as_slice()].concat(),
        },
        Matcher::End => vec![0x00],
        Matcher::Variable(number @ 0..=15) => vec![0x10 + u8::try_from(*number).ok()?],
        Matcher::Variable(number) => [&[0x01], number.to_le_bytes().as_slice()].concat(),
        Matcher::Class(list) => ranges(0, list)?,
        Matcher::Repeat(list) => ranges(0x80, list)?,
        Matcher::SkipTo(byte) => vec![0x02, *byte],
        Matcher::Search(byte) => vec![0x03, *byte],
    })
}

/// The tree of a program. `base` is the program's offset in the blob, for messages.
pub(super) fn read(program: &[u8], base: usize) -> Result<Tree, BlobError> {
    Reader { program, base }.tree(0, program.len(), 0)
}

struct Reader<'a> {
    program: &'a [u8],
    base: usize,
}

impl Reader<'_> {
    fn bad(&self, at: usize, reason: impl Into<String>) -> BlobError {
        BlobError::bad("pattern program", self.base + at, reason)
    }

    fn bytes(&self, at: usize, length: usize, end: usize) -> Result<&[u8], BlobError> {
        slice(&self.program[..end], "pattern program", at, length).map_err(|error| match error {
            BlobError::Truncated { field, offset, needed, available } => {
                BlobError::Truncated { field, offset: self.base + offset, needed, available }
            }
            other => other,
        })
    }

    /// The tree that takes up just the bytes from `at` to `end`.
    fn tree(&self, mut at: usize, end: usize, depth: usize) -> Result<Tree, BlobError> {
        if depth > MAX_DEPTH {
            return Err(self.bad(at, format!("nested deeper than {MAX_DEPTH}")));
        }
        let mut branches = Vec::new();
        loop {
            match self.bytes(at, 1, end)?[0] {
                0x0a if branches.is_empty() => {
                    return if at + 1 == end {
                        Ok(Tree::Accept)
                    } else {
                        Err(self.bad(at + 1, "bytes behind the accept"))
                    };
                }
                0x09 if branches.is_empty() && at + 1 == end => return Ok(Tree::Choice(Vec::new())),
                _ => {}
            }
            let (matcher, next) = self.matcher(at, end)?;
            at = next;
            if matches!(matcher, Matcher::Repeat(_)) {
                // Always true, so nothing is checked and nothing can follow in its place.
                let then = self.tree(at, end, depth + 1)?;
                branches.push(Branch::new(matcher, then));
                return Ok(Tree::Choice(branches));
            }
            let (body, next) = match self.bytes(at, 1, end)?[0] {
                0x0f => {
                    let then = self.tree(at + 1, end, depth + 1)?;
                    branches.push(Branch::new(matcher, then));
                    return Ok(Tree::Choice(branches));
                }
                near @ 0x80..=0xff => (at + 1, usize::from(near & 0x7f) + 1),
                0x08 => {
                    let far = self.bytes(at + 1, 2, end)?;
                    (at + 3, usize::from(u16::from_le_bytes([far[0], far[1]])) + 0x81)
                }
                other => return Err(self.bad(at, format!("opcode 0x{other:02x} where a jump or a check must stand"))),
            };
            self.bytes(body, next, end)?;
            let then = self.tree(body, body + next, depth + 1)?;
            branches.push(Branch::new(matcher, then));
            at = body + next;
        }
    }

    fn matcher(&self, at: usize, end: usize) -> Result<(Matcher, usize), BlobError> {
        let operand = |length| self.bytes(at + 1, length, end);
        Ok(match self.bytes(at, 1, end)?[0] {
            0x00 => (Matcher::End, at + 1),
            0x01 => {
                let number = operand(2)?;
                (Matcher::Variable(u16::from_le_bytes([number[0], number[1]])), at + 3)
            }
            0x02 => (Matcher::SkipTo(operand(1)?[0]), at + 2),
            0x03 => (Matcher::Search(operand(1)?[0]), at + 2),
            0x04 => {
                let length = usize::from(operand(1)?[0]) + 0x41;
                (Matcher::Text(self.bytes(at + 2, length, end)?.to_vec()), at + 2 + length)
            }
            0x0b => {
                let mark = operand(1)?[0];
                let count = usize::from(mark & 0x7f) + 1;
                let raw = self.bytes(at + 2, 2 * count, end)?;
                let ranges: Ranges = raw.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
                let matcher = if mark & 0x80 != 0 { Matcher::Repeat(ranges) } else { Matcher::Class(ranges) };
                (matcher, at + 2 + 2 * count)
            }
            near @ 0x10..=0x1f => (Matcher::Variable(u16::from(near & 0xf)), at + 1),
            text @ 0x40..=0x7f => {
                let length = usize::from(text & 0x3f) + 1;
                (Matcher::Text(self.bytes(at + 1, length, end)?.to_vec()), at + 1 + length)
            }
            other => return Err(self.bad(at, format!("opcode 0x{other:02x} is not supported here"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_tails() {
        // COMPILER.md §3: literal, subpath, one name that is a beginning of another.
        let literal = b"\x48/dev/null\x0f\x00\x0f\x0a";
        let subpath = b"\x47/usr/lib\x0f\x40/\x80\x0a\x00\x0f\x0a";
        let nested = b"\x41hw\x0f\x00\x80\x0a\x43_max\x0f\x00\x0f\x0a";
        for program in [literal.as_slice(), subpath, nested] {
            let tree = read(program, 0);
            assert_eq!(tree.ok().and_then(|tree| write(&tree)).as_deref(), Some(program));
        }
    }

    #[test]
    fn nonsense_is_an_error() {
        for program in [b"".as_slice(), b"\x0a\x0a", b"\x41ab", b"\x40a\x80", b"\x40a\x0f", b"\x06\x0a", b"\x40a\x8fx"]
        {
            assert!(read(program, 0).is_err(), "{program:?}");
        }
        assert!(read(&b"\x40a\x0f".repeat(20_000), 0).is_err());
    }

    fn tree() -> impl Strategy<Value = Tree> {
        Just(Tree::Accept).prop_recursive(5, 40, 4, |inner| {
            let matcher = prop_oneof![
                "[a-c/]{1,90}".prop_map(|text| Matcher::Text(text.into_bytes())),
                Just(Matcher::End),
                (0u16..300).prop_map(Matcher::Variable),
                Just(Matcher::Class(vec![(b'0', b'9'), (b'a', b'f')])),
                Just(Matcher::SkipTo(b'/')),
                Just(Matcher::Search(b'.')),
            ];
            let choice = proptest::collection::vec((matcher, inner.clone()), 1..4)
                .prop_map(|list| Tree::Choice(list.into_iter().map(|(m, t)| Branch::new(m, t)).collect()));
            let repeat = inner.prop_map(|tree| Tree::one(Matcher::Repeat(vec![(b'0', b'9')]), tree));
            prop_oneof![4 => choice, 1 => repeat]
        })
    }

    proptest! {
        #[test]
        fn a_written_tree_reads_back(tree in tree()) {
            let program = write(&tree).ok_or_else(|| TestCaseError::fail("not written"))?;
            prop_assert_eq!(read(&program, 0), Ok(tree));
        }

        #[test]
        fn no_bytes_make_it_panic(program in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(tree) = read(&program, 0) {
                let _ = tree.matches(b"/private/tmp/x");
            }
        }
    }
}
