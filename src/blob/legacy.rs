//! In: the bytes of any blob. Out: the decode fields of an older experiment, by its own formulas
//! (ARTIFACTS.md part 2). Never: facts about the format; the formulas rest on a wrong header model
//! and are kept because recorded numbers refer to them.

use std::collections::BTreeMap;

/// The legacy view of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Legacy {
    /// Second word of the file if below 4096. Really the node count.
    pub op_count: Option<u16>,
    /// First word.
    pub maybe_flags: u16,
    /// Third word.
    pub magic: Option<u16>,
    /// First of the leading 64 words that is 0 to 3.
    pub profile_class: Option<u16>,
    /// Its place.
    pub profile_class_word_index: Option<usize>,
    /// The leading `op_count` words from offset 16.
    pub op_table: Vec<u16>,
    /// Records of 8 bytes between that table and the strings.
    pub node_count: usize,
    /// How many of them start with each byte.
    pub tag_counts: BTreeMap<u8, usize>,
    /// Runs of printable bytes behind the records.
    pub literal_strings: Vec<String>,
}

/// Python's `string.printable`.
fn printable(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

const RUN: usize = 4;

/// The legacy fields; works on any bytes.
#[must_use]
pub fn legacy(bytes: &[u8]) -> Legacy {
    let word = |index: usize| bytes.get(2 * index..2 * index + 2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let op_count = word(1).filter(|count| *count > 0 && *count < 4096);
    let class = (0..64).map_while(|index| word(index).map(|value| (index, value))).find(|(_, value)| *value <= 3);
    let table_end = (16 + 2 * usize::from(op_count.unwrap_or(0))).min(bytes.len());
    let op_table: Vec<u16> = bytes
        .get(16..table_end)
        .unwrap_or_default()
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    let highest = op_table.iter().copied().max().map_or(0, usize::from);
    let lower_bound = (table_end + (highest + 1) * 8).min(bytes.len());
    let literal_start = literal_start(bytes, lower_bound);
    let records = bytes.get(table_end..literal_start).unwrap_or_default().chunks_exact(8);
    let mut tag_counts = BTreeMap::new();
    let node_count = records.len();
    for record in records {
        *tag_counts.entry(record[0]).or_insert(0) += 1;
    }
    let literal_strings = bytes
        .get(literal_start..)
        .unwrap_or_default()
        .split(|byte| !printable(*byte))
        .filter(|run| run.len() >= RUN)
        .map(|run| String::from_utf8_lossy(run).into_owned())
        .collect();
    Legacy {
        op_count,
        maybe_flags: word(0).unwrap_or(0),
        magic: word(2),
        profile_class: class.map(|(_, value)| value),
        profile_class_word_index: class.map(|(index, _)| index),
        op_table,
        node_count,
        tag_counts,
        literal_strings,
    }
}

/// The first offset from `lower_bound` on that starts a run of printable bytes; else the first
/// whose next 64 bytes are mostly NUL or printable; else the end.
fn literal_start(bytes: &[u8], lower_bound: usize) -> usize {
    let run_at = |at: usize| bytes[at..].iter().take(RUN).all(|byte| printable(*byte));
    if let Some(at) = (lower_bound..bytes.len().saturating_sub(RUN)).find(|at| run_at(*at)) {
        return at;
    }
    let mostly = |at: usize| {
        let window = &bytes[at..bytes.len().min(at + 64)];
        let fitting = window.iter().filter(|byte| **byte == 0 || printable(**byte)).count();
        10 * fitting >= 7 * window.len()
    };
    (lower_bound..bytes.len()).find(|at| mostly(*at)).unwrap_or(bytes.len())
}
