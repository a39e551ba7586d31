//! In: a [`Tree`], or the bytes of a pattern program. Out: the other (FORMAT.md §4.2, COMPILER.md
//! §3; proven, TRIES.md §2.1). Never: the order of branches; that is the tree's.

use super::{BlobError, slice};
use crate::pattern::tree::{Alternatives, Branch, Matcher, Ranges, Saved, Tree};

/// Deepest nesting that is read. Apple's programs stay below 40. The builder's stay below 660: 250
/// for branchings, a pattern of 200 parts, and a text of 64 KB, which takes 205 instructions.
const MAX_DEPTH: usize = 700;

/// Longest text in one instruction.
const MAX_TEXT: usize = 320;

/// Longest program: its length stands before it in 16 bits (FORMAT.md §4.1).
pub const MAX_PROGRAM: usize = u16::MAX as usize;

/// Why a tree has no program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// More bytes than can be counted in front of it. No jump is too far in a shorter one.
    #[error("compiles to {length} bytes (limit {MAX_PROGRAM}); split the rule")]
    TooLong {
        /// How many.
        length: usize,
    },
    /// An empty text or set, more than 128 ranges, a branch behind one that is always true, or a
    /// place that stays saved while the one around it is still needed.
    #[error("asks for something that no instruction says")]
    NoInstruction,
}

/// The program of a tree.
///
/// # Errors
/// Where the encoding cannot say it.
pub fn write(tree: &Tree) -> Result<Vec<u8>, ProgramError> {
    let mut writer = Writer { reversed: Vec::new() };
    writer.tree(tree, None)?;
    let mut program = writer.reversed;
    if program.len() > MAX_PROGRAM {
        return Err(ProgramError::TooLong { length: program.len() });
    }
    program.reverse();
    Ok(program)
}

/// Writes from the end to the beginning: all jumps lead forward, so their lengths are known, and
/// the shortest form of each is the one to take.
struct Writer {
    /// What is written, last byte first. A place is a number of bytes behind it.
    reversed: Vec<u8>,
}

impl Writer {
    fn put(&mut self, bytes: &[u8]) {
        self.reversed.extend(bytes.iter().rev());
    }

    /// `on_failure`: where to go; nothing where the whole pattern fails.
    fn tree(&mut self, tree: &Tree, on_failure: Option<usize>) -> Result<(), ProgramError> {
        match tree {
            Tree::Accept => self.put(&[0x0a]),
            Tree::Choice(branches) => {
                let Some((last, others)) = branches.split_last() else {
                    // Nothing to try: fails at once.
                    self.put(&[0x09]);
                    return Ok(());
                };
                self.branch(last, on_failure, on_failure)?;
                for branch in others.iter().rev() {
                    if matches!(branch.matcher, Matcher::Repeat(_)) {
                        return Err(ProgramError::NoInstruction);
                    }
                    let next = Some(self.reversed.len());
                    self.branch(branch, next, on_failure)?;
                }
            }
            Tree::Alternatives(Alternatives { tried, last, saved }) => {
                // What is tried next would restore this place and not its own.
                if *saved == Saved::Kept && on_failure.is_some() {
                    return Err(ProgramError::NoInstruction);
                }
                match last {
                    Some(last) => self.tree(last, on_failure)?,
                    None => self.check(on_failure),
                }
                if *saved == Saved::Dropped {
                    self.put(&[0x07]);
                }
                for tree in tried.iter().rev() {
                    self.put(&[0x05]);
                    self.tree(tree, Some(self.reversed.len()))?;
                }
                self.put(&[0x06]);
            }
        }
        Ok(())
    }

    /// `otherwise`: where to go when the question is answered with no. A long text takes several
    /// instructions.
    fn branch(
        &mut self,
        branch: &Branch,
        otherwise: Option<usize>,
        on_failure: Option<usize>,
    ) -> Result<(), ProgramError> {
        self.tree(&branch.then, on_failure)?;
        let Matcher::Text(text) = &branch.matcher else {
            if !matches!(branch.matcher, Matcher::Repeat(_)) {
                self.check(otherwise);
            }
            return self.matcher(&branch.matcher);
        };
        if text.is_empty() {
            return Err(ProgramError::NoInstruction);
        }
        for (index, part) in text.chunks(MAX_TEXT).enumerate().rev() {
            self.check(if index == 0 { otherwise } else { on_failure });
            self.put(part);
            match u8::try_from(part.len()) {
                Ok(length @ 1..=64) => self.put(&[0x3f + length]),
                // 65 to 320 less 65 fit a byte.
                _ => self.put(&[0x04, u8::try_from(part.len() - 0x41).unwrap_or(u8::MAX)]),
            }
        }
        Ok(())
    }

    /// What stands behind a question: where to go after a no.
    fn check(&mut self, otherwise: Option<usize>) {
        let Some(place) = otherwise else { return self.put(&[0x0f]) };
        match self.reversed.len() - place {
            // What it would lead to comes next.
            0 => {}
            length @ 1..=128 => self.put(&[u8::try_from(0x7f + length).unwrap_or(u8::MAX)]),
            length => {
                // Too far for two bytes: so is the program, which is refused at the end.
                let [low, high] = u16::try_from(length - 0x81).unwrap_or(u16::MAX).to_le_bytes();
                self.put(&[0x08, low, high]);
            }
        }
    }

    fn matcher(&mut self, matcher: &Matcher) -> Result<(), ProgramError> {
        let (mark, ranges) = match matcher {
            Matcher::End => {
                self.put(&[0x00]);
                return Ok(());
            }
            Matcher::Variable(number) => {
                match u8::try_from(*number) {
                    Ok(number @ 0..=15) => self.put(&[0x10 + number]),
                    _ => {
                        let [low, high] = number.to_le_bytes();
                        self.put(&[0x01, low, high]);
                    }
                }
                return Ok(());
            }
            Matcher::SkipTo(byte) => {
                self.put(&[0x02, *byte]);
                return Ok(());
            }
            Matcher::Search(byte) => {
                self.put(&[0x03, *byte]);
                return Ok(());
            }
            Matcher::Text(_) => return Err(ProgramError::NoInstruction),
            Matcher::Class(ranges) => (0, ranges),
            Matcher::Repeat(ranges) => (0x80, ranges),
        };
        let count = ranges.len().checked_sub(1).and_then(|count| u8::try_from(count).ok());
        let count = count.filter(|count| *count < 0x80).ok_or(ProgramError::NoInstruction)?;
        for (low, high) in ranges.iter().rev() {
            self.put(&[*low, *high]);
        }
        self.put(&[0x0b, mark | count]);
        Ok(())
    }
}

/// The tree of a program. `base` is the program's offset in the blob, for messages.
///
/// # Errors
/// The first instruction that makes no sense where it stands, with its offset.
pub fn read(program: &[u8], base: usize) -> Result<Tree, BlobError> {
    let reader = Reader { program, base };
    let (tree, end) = reader.tree()?;
    if end != program.len() {
        return Err(reader.bad(end, "bytes that no instruction leads to"));
    }
    Ok(tree)
}

/// How a tree that is being read fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// Not seen yet.
    Unknown,
    /// With the whole pattern, by a check (`0f`).
    Checked,
    /// By a jump; to where, if one was seen.
    Jumped(Option<usize>),
}

/// How the trees that are being read fail, innermost last.
struct Failures(Vec<Failure>);

impl Failures {
    /// A check at `at` belongs to a tree that fails so.
    fn checked(&mut self, reader: &Reader, at: usize) -> Result<(), BlobError> {
        match self.0.last_mut() {
            Some(failure @ (Failure::Unknown | Failure::Checked)) => {
                *failure = Failure::Checked;
                Ok(())
            }
            _ => Err(reader.bad(at, "fails for good where another alternative is left")),
        }
    }

    /// A jump at `at` leads to where the tree fails to.
    fn jumped(&mut self, reader: &Reader, at: usize, target: usize) -> Result<(), BlobError> {
        match self.0.last_mut() {
            Some(Failure::Jumped(Some(known))) if *known != target => {
                Err(reader.bad(at, "jumps to where no alternative ends"))
            }
            Some(failure @ (Failure::Unknown | Failure::Jumped(_))) => {
                *failure = Failure::Jumped(Some(target));
                Ok(())
            }
            _ => Err(reader.bad(at, "jumps to where no branch begins")),
        }
    }
}

/// Where a jump stands and where it leads.
type Jump = (usize, usize);

/// What waits for the tree that is being read.
enum Open {
    /// A branch, behind those that are read.
    Branch(Vec<Branch>, Matcher, Option<Jump>),
    /// An alternative, behind those that were tried; or the last, where the place stays saved.
    Alternative(Vec<Tree>),
    /// The last alternative, where the place was dropped.
    Last(Vec<Tree>),
}

/// What stands behind a restored place.
enum Restored {
    Done(Alternatives, usize),
    Open(Open, usize),
}

struct Reader<'a> {
    program: &'a [u8],
    base: usize,
}

impl Reader<'_> {
    fn bad(&self, at: usize, reason: impl Into<String>) -> BlobError {
        BlobError::bad("pattern program", self.base + at, reason)
    }

    fn bytes(&self, at: usize, length: usize) -> Result<&[u8], BlobError> {
        slice(self.program, "pattern program", at, length).map_err(|error| match error {
            BlobError::Truncated { field, offset, needed, available } => {
                BlobError::Truncated { field, offset: self.base + offset, needed, available }
            }
            other => other,
        })
    }

    fn byte(&self, at: usize) -> Result<u8, BlobError> {
        Ok(self.bytes(at, 1)?[0])
    }

    /// The jump at `at`: where it ends and where it leads.
    fn jump(&self, at: usize) -> Result<Option<(usize, usize)>, BlobError> {
        Ok(match self.byte(at)? {
            near @ 0x80..=0xff => Some((at + 1, at + 1 + usize::from(near & 0x7f) + 1)),
            0x08 => {
                let far = self.bytes(at + 1, 2)?;
                Some((at + 3, at + 3 + usize::from(u16::from_le_bytes([far[0], far[1]])) + 0x81))
            }
            _ => None,
        })
    }

    /// The tree that starts the program, and where it ends. What is open is kept on the heap.
    fn tree(&self) -> Result<(Tree, usize), BlobError> {
        let mut open: Vec<Open> = Vec::new();
        // How the trees that are open fail, innermost last.
        let mut failures = Failures(vec![Failure::Checked]);
        // Branches of the innermost choice that are read.
        let mut branches = Vec::new();
        let mut at = 0;
        loop {
            if open.len() > MAX_DEPTH {
                return Err(self.bad(at, format!("nested deeper than {MAX_DEPTH}")));
            }
            // Behind a branch only another question may stand.
            let is_first = branches.is_empty();
            let (mut tree, mut end) = match self.byte(at)? {
                0x0a if is_first => (Tree::Accept, at + 1),
                0x09 if is_first => (Tree::Choice(Vec::new()), at + 1),
                0x06 if is_first => {
                    open.push(Open::Alternative(Vec::new()));
                    failures.0.push(Failure::Jumped(None));
                    at += 1;
                    continue;
                }
                _ => {
                    let (matcher, jump, body) = self.question(at, &mut failures)?;
                    open.push(Open::Branch(std::mem::take(&mut branches), matcher, jump));
                    at = body;
                    continue;
                }
            };
            // What is complete goes to what waits for it, until that needs more.
            at = loop {
                match open.pop() {
                    None => return Ok((tree, end)),
                    Some(Open::Branch(mut read, matcher, jump)) => {
                        read.push(Branch::new(matcher, tree));
                        if let Some((check, target)) = jump {
                            // Behind the body stands the next branch, or, in an alternative, what
                            // restores the place.
                            if target == end && self.program.get(end) != Some(&0x05) {
                                branches = read;
                                break end;
                            }
                            failures.jumped(self, check, target)?;
                        }
                        tree = Tree::Choice(read);
                    }
                    Some(Open::Last(tried)) => {
                        let last = Some(Box::new(tree));
                        tree = Tree::Alternatives(Alternatives { tried, last, saved: Saved::Dropped });
                    }
                    Some(Open::Alternative(mut tried)) => {
                        let restores = self.program.get(end) == Some(&0x05);
                        match failures.0.pop() {
                            Some(Failure::Jumped(Some(target))) if target != end => {
                                return Err(self.bad(target, "an alternative fails past its end"));
                            }
                            Some(Failure::Checked) => failures.checked(self, end)?,
                            // Cannot fail, so nothing behind it is needed.
                            Some(Failure::Unknown) if !restores => {}
                            _ if !restores => return Err(self.bad(end, "no restored place behind an alternative")),
                            _ => {
                                tried.push(tree);
                                match self.restored(end + 1, tried, &mut failures)? {
                                    Restored::Done(alternatives, behind) => {
                                        tree = Tree::Alternatives(alternatives);
                                        end = behind;
                                        continue;
                                    }
                                    Restored::Open(waiting, behind) => {
                                        open.push(waiting);
                                        break behind;
                                    }
                                }
                            }
                        }
                        let last = Some(Box::new(tree));
                        tree = Tree::Alternatives(Alternatives { tried, last, saved: Saved::Kept });
                    }
                }
            };
        }
    }

    /// What is asked at `at`, the jump behind it, and where its body starts.
    fn question(&self, at: usize, failures: &mut Failures) -> Result<(Matcher, Option<Jump>, usize), BlobError> {
        let (matcher, check) = self.matcher(at)?;
        // A repeat is always true, so nothing is checked.
        if matches!(matcher, Matcher::Repeat(_)) {
            return Ok((matcher, None, check));
        }
        if self.byte(check)? == 0x0f {
            failures.checked(self, check)?;
            return Ok((matcher, None, check + 1));
        }
        let Some((body, target)) = self.jump(check)? else {
            let other = self.byte(check)?;
            return Err(self.bad(check, format!("opcode 0x{other:02x} where a jump or a check must stand")));
        };
        Ok((matcher, Some((check, target)), body))
    }

    /// What comes behind a restored place: nothing, or what is still to be read.
    fn restored(&self, mut at: usize, tried: Vec<Tree>, failures: &mut Failures) -> Result<Restored, BlobError> {
        let saved = if self.byte(at)? == 0x07 { Saved::Dropped } else { Saved::Kept };
        if saved == Saved::Dropped {
            at += 1;
        }
        if let Some(end) = self.nothing_left(at, saved, failures)? {
            return Ok(Restored::Done(Alternatives { tried, last: None, saved }, end));
        }
        Ok(match saved {
            Saved::Dropped => Restored::Open(Open::Last(tried), at),
            Saved::Kept => {
                failures.0.push(Failure::Unknown);
                Restored::Open(Open::Alternative(tried), at)
            }
        })
    }

    /// Where the alternatives end, if nothing is left behind the last one that is tried.
    fn nothing_left(&self, at: usize, saved: Saved, failures: &mut Failures) -> Result<Option<usize>, BlobError> {
        if self.byte(at)? == 0x0f {
            failures.checked(self, at)?;
            return Ok(Some(at + 1));
        }
        // Where they fail to is what comes next.
        if self.byte(at)? == 0x05 && saved == Saved::Dropped {
            failures.jumped(self, at, at)?;
            return Ok(Some(at));
        }
        if let Some((end, target)) = self.jump(at)? {
            failures.jumped(self, at, target)?;
            return Ok(Some(end));
        }
        Ok(None)
    }

    fn matcher(&self, at: usize) -> Result<(Matcher, usize), BlobError> {
        let operand = |length| self.bytes(at + 1, length);
        Ok(match self.byte(at)? {
            0x00 => (Matcher::End, at + 1),
            0x01 => {
                let number = operand(2)?;
                let number = u16::from_le_bytes([number[0], number[1]]);
                if number < 16 {
                    return Err(self.bad(at, "a long form for a variable that has a short one"));
                }
                (Matcher::Variable(number), at + 3)
            }
            0x02 => (Matcher::SkipTo(operand(1)?[0]), at + 2),
            0x03 => (Matcher::Search(operand(1)?[0]), at + 2),
            0x04 => {
                let length = usize::from(operand(1)?[0]) + 0x41;
                (Matcher::Text(self.bytes(at + 2, length)?.to_vec()), at + 2 + length)
            }
            0x0b => {
                let mark = operand(1)?[0];
                let count = usize::from(mark & 0x7f) + 1;
                let raw = self.bytes(at + 2, 2 * count)?;
                let ranges: Ranges = raw.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
                let matcher = if mark & 0x80 != 0 { Matcher::Repeat(ranges) } else { Matcher::Class(ranges) };
                (matcher, at + 2 + 2 * count)
            }
            near @ 0x10..=0x1f => (Matcher::Variable(u16::from(near & 0xf)), at + 1),
            text @ 0x40..=0x7f => {
                let length = usize::from(text & 0x3f) + 1;
                (Matcher::Text(self.bytes(at + 1, length)?.to_vec()), at + 1 + length)
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
            assert_eq!(tree.ok().and_then(|tree| write(&tree).ok()).as_deref(), Some(program));
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

    #[test]
    fn alternatives_of_both_kinds() {
        // iOS 26: two variables. iOS 13: the same, and three, of which two are alternatives of their own.
        let kept = b"\x06\x15\x82\x00\x80\x0a\x05\x16\x0f\x00\x0f\x0a";
        let dropped = b"\x06\x15\x82\x00\x80\x0a\x05\x16\x82\x00\x80\x0a\x05\x07\x0f";
        let nested = b"\x06\x06\x10\x80\x0a\x05\x11\x80\x0a\x05\x07\x05\x12\x80\x0a\x05\x07\x0f";
        // iOS 13, once: a branch of its own behind the place that was dropped.
        let behind = b"\x06\x10\x80\x0a\x05\x11\x80\x0a\x05\x07\x40/\x0f\x0a";
        for program in [kept.as_slice(), dropped, nested, behind] {
            let tree = read(program, 0).unwrap_or(Tree::Accept);
            assert_eq!(write(&tree).as_deref(), Ok(program));
            assert!(matches!(tree, Tree::Alternatives(_)), "{tree:?}");
        }
    }

    /// Where a text, a jump and a program take their longer form, and where there is none.
    #[test]
    fn borders_of_lengths() {
        let text = |length: usize| Matcher::Text(vec![b'x'; length]);
        let program = |length| write(&Tree::one(text(length), Tree::Accept)).unwrap_or_default();
        for (length, head) in [
            (1, vec![0x40]),
            (64, vec![0x7f]),
            (65, vec![0x04, 0x00]),
            (66, vec![0x04, 0x01]),
            (320, vec![0x04, 0xff]),
            // More is a second instruction with a check of its own.
            (321, vec![0x04, 0xff]),
        ] {
            let bytes = program(length);
            assert_eq!(bytes[..head.len()], head, "{length}");
            let second = usize::from(length > 320) * 2;
            assert_eq!(bytes.len(), head.len() + length + second + 2, "{length}");
            let tree = read(&bytes, 0);
            assert!(tree.as_ref().is_ok_and(|tree| tree.matches(&vec![b'x'; length])), "{length}");
            assert!(tree.is_ok_and(|tree| !tree.matches(&vec![b'x'; length - 1])), "{length}");
        }
        assert_eq!(program(321)[322..], [0x0f, 0x40, b'x', 0x0f, 0x0a]);

        // A body of n bytes behind a jump: a text of n - 3, its head, check and accept.
        let jump = |body: usize| {
            let length = if body - 3 <= 64 { body - 3 } else { body - 4 };
            let first = Branch::new(Matcher::Text(b"a".to_vec()), Tree::one(text(length), Tree::Accept));
            let bytes = write(&Tree::Choice(vec![first, Branch::new(Matcher::End, Tree::Accept)])).unwrap_or_default();
            assert_eq!(
                read(&bytes, 0).and_then(|tree| write(&tree).map_err(|_| BlobError::bad("", 0, ""))),
                Ok(bytes.clone())
            );
            bytes[2..5].to_vec()
        };
        assert_eq!(jump(127)[0], 0xfe);
        assert_eq!(jump(128)[0], 0xff);
        assert_eq!(jump(129), [0x08, 0x00, 0x00]);
        assert_eq!(jump(130), [0x08, 0x01, 0x00]);

        // 202 texts of 320 bytes, each with head and check; one of 285; the accept.
        assert_eq!(202 * 323 + 288 + 1, MAX_PROGRAM);
        let whole = |length: usize| write(&Tree::one(text(length), Tree::Accept)).map(|bytes| bytes.len());
        assert_eq!(whole(202 * 320 + 285), Ok(MAX_PROGRAM));
        assert_eq!(whole(202 * 320 + 286), Err(ProgramError::TooLong { length: MAX_PROGRAM + 1 }));
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
            let repeat = inner.clone().prop_map(|tree| Tree::one(Matcher::Repeat(vec![(b'0', b'9')]), tree));
            let list = proptest::collection::vec(inner.clone(), 1..4);
            let alternatives = (list, proptest::option::of(inner)).prop_map(|(tried, last)| {
                Tree::Alternatives(Alternatives { tried, last: last.map(Box::new), saved: Saved::Dropped })
            });
            prop_oneof![4 => choice, 1 => repeat, 2 => alternatives]
        })
    }

    proptest! {
        #[test]
        fn a_written_tree_reads_back(tree in tree(), kept in any::<bool>()) {
            let tree = match tree {
                // A place may stay saved where no other one is needed any more.
                Tree::Alternatives(Alternatives { tried, last, .. }) if kept => {
                    Tree::Alternatives(Alternatives { tried, last, saved: Saved::Kept })
                }
                other => other,
            };
            let program = write(&tree).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(read(&program, 0), Ok(tree));
        }

        /// Whatever is read is written back: no program has two forms that are both accepted.
        #[test]
        fn what_is_read_is_written_back(program in proptest::collection::vec(
            prop_oneof![
                Just(0x00u8), Just(0x05), Just(0x06), Just(0x07), Just(0x0a), Just(0x0f), Just(0x10), Just(0x40),
                0x80u8..0x88, any::<u8>(),
            ], 0..30)) {
            if let Ok(tree) = read(&program, 0) {
                let _ = tree.matches(b"/private/tmp/x");
                prop_assert_eq!(write(&tree), Ok(program));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(program in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(tree) = read(&program, 0) {
                let _ = tree.matches(b"/private/tmp/x");
            }
        }
    }
}
