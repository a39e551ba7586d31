#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! In: the pattern programs of the real blobs of three releases. Out: proof that each is read as a
//! tree and written back byte for byte, and what they are made of. Never: the decoder, whose walk
//! of header and nodes this does not use. Skips, with a line that says so, where the blobs are absent.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;

use sbtool::blob::program::{read, write};
use sbtool::pattern::tree::{Alternatives, Matcher, Saved, Tree};
use sbtool::vocabulary::{FilterId, FilterKind, Release};

/// What a blob holds behind its header (FORMAT.md §1.5, §1.6).
struct Shape {
    file: &'static str,
    release: &'static str,
    header: usize,
    /// Offset and width of the fields that count the tables of u16 before the operations.
    tables: &'static [(usize, usize)],
    /// Where the number of profiles stands, in a collection.
    profiles: Option<usize>,
}

const SHAPES: [Shape; 3] = [
    Shape {
        file: "ios13_collection.bin",
        release: "ios-13",
        header: 12,
        tables: &[(8, 2), (10, 1), (11, 1)],
        profiles: Some(6),
    },
    Shape {
        file: "ios17_platform.bin",
        release: "ios-17",
        header: 14,
        tables: &[(10, 2), (5, 1), (6, 1), (12, 2)],
        profiles: None,
    },
    Shape {
        file: "ios26_platform.bin",
        release: "ios-26",
        header: 16,
        tables: &[(12, 2), (5, 1), (6, 1), (7, 1), (8, 2), (14, 2)],
        profiles: None,
    },
];

/// The distinct pattern programs of a blob by pool offset; nothing where the blob is absent.
fn programs(shape: &Shape) -> Option<BTreeMap<usize, Vec<u8>>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/oracle/blobs").join(shape.file);
    let Ok(blob) = std::fs::read(&path) else {
        // Past the harness, which shows nothing of a test that passes.
        let _ = writeln!(std::io::stderr(), "skipped: ../shared/oracle/blobs/{} is not here", shape.file);
        return None;
    };
    let release = Release::named(shape.release).unwrap();
    let word = |at: usize| usize::from(u16::from_le_bytes([blob[at], blob[at + 1]]));
    let field = |(at, width): (usize, usize)| if width == 1 { usize::from(blob[at]) } else { word(at) };
    let (nodes, operations) = (word(2), usize::from(blob[4]));
    let tables: usize = shape.tables.iter().map(|table| 2 * field(*table)).sum();
    let roots = shape.profiles.map_or(2 * operations, |at| word(at) * (4 + 2 * operations));
    let start = (shape.header + tables + roots).next_multiple_of(8);
    let base = start + 8 * nodes;
    let mut out = BTreeMap::new();
    for node in 0..nodes {
        let at = start + 8 * node;
        let kind = release.filter(FilterId(blob[at + 1])).map(|filter| filter.kind);
        if blob[at] == 0 && matches!(kind, Some(FilterKind::Pattern | FilterKind::Path)) {
            let object = base + 8 * word(at + 2);
            out.entry(object - base).or_insert_with(|| blob[object + 2..object + 2 + word(object)].to_vec());
        }
    }
    Some(out)
}

/// What a program is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Variable,
    Set,
    Repeat,
    Skip,
    Search,
    Kept,
    Dropped,
}

fn parts(tree: &Tree, out: &mut BTreeSet<Part>) {
    match tree {
        Tree::Accept => {}
        Tree::Choice(branches) => {
            for branch in branches {
                match &branch.matcher {
                    Matcher::Variable(_) => drop(out.insert(Part::Variable)),
                    Matcher::Class(_) => drop(out.insert(Part::Set)),
                    Matcher::Repeat(_) => drop(out.insert(Part::Repeat)),
                    Matcher::SkipTo(_) => drop(out.insert(Part::Skip)),
                    Matcher::Search(_) => drop(out.insert(Part::Search)),
                    Matcher::Text(_) | Matcher::End => {}
                }
                parts(&branch.then, out);
            }
        }
        Tree::Alternatives(Alternatives { tried, last, saved }) => {
            out.insert(if *saved == Saved::Kept { Part::Kept } else { Part::Dropped });
            tried.iter().chain(last.as_deref()).for_each(|tree| parts(tree, out));
        }
    }
}

/// All 3,004 programs, without exception. The figures are counts of programs: all of them, plain
/// ones (texts and ends only), and those that have a part of a kind.
#[test]
fn every_program_of_three_releases_is_read_and_written_back() {
    use Part::{Dropped, Kept, Repeat, Search, Set, Skip, Variable};
    let counts = [(1946, 1367), (517, 382), (541, 421)];
    let kinds = [
        vec![(Variable, 573), (Set, 7), (Skip, 6), (Dropped, 69)],
        vec![(Variable, 126), (Set, 15), (Repeat, 3), (Skip, 12), (Search, 4), (Kept, 29)],
        vec![(Variable, 111), (Set, 15), (Repeat, 3), (Skip, 12), (Search, 4), (Kept, 24)],
    ];
    for ((shape, count), kinds) in SHAPES.iter().zip(counts).zip(kinds) {
        let Some(programs) = programs(shape) else { continue };
        let mut found: BTreeMap<Part, usize> = BTreeMap::new();
        let mut found_plain = 0;
        for (offset, program) in &programs {
            let tree = read(program, *offset).unwrap_or_else(|error| panic!("{} 0x{offset:x}: {error}", shape.file));
            assert!(write(&tree).as_ref() == Ok(program), "{} 0x{offset:x}", shape.file);
            let mut set = BTreeSet::new();
            parts(&tree, &mut set);
            found_plain += usize::from(set.is_empty());
            set.into_iter().for_each(|part| *found.entry(part).or_default() += 1);
        }
        assert_eq!((programs.len(), found_plain), count, "{}", shape.file);
        assert_eq!(found, kinds.into_iter().collect(), "{}", shape.file);
    }
}
