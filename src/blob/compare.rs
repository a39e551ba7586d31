//! In: two blobs. Out: where they differ, section by section. Never: whether they mean the same;
//! that is a question to the graphs.

use super::{Decoded, layout::NODE};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Section: `header`, `tables`, `operations`, `nodes`, `pool`.
    pub section: &'static str,
    /// Which field, operation, node or offset.
    pub what: String,
    /// There in the first blob.
    pub first: String,
    /// There in the second.
    pub second: String,
}

/// What a comparison found.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Not one byte differs.
    pub identical: bool,
    /// Header fields: name, value in the first, value in the second.
    pub header: Vec<(String, u16, u16)>,
    /// All differences, in the order of the blob.
    pub differences: Vec<Difference>,
}

/// Compares two decoded blobs with their bytes.
#[must_use]
pub fn compare(first: (&Decoded, &[u8]), second: (&Decoded, &[u8])) -> Comparison {
    let ((a, a_bytes), (b, b_bytes)) = (first, second);
    let mut differences = Vec::new();
    let mut differ = |section, what: String, first: String, second: String| {
        if first != second {
            differences.push(Difference { section, what, first, second });
        }
    };
    let header: Vec<_> =
        a.header.fields.iter().map(|(name, value)| (name.clone(), *value, b.header.field(name))).collect();
    for (name, x, y) in &header {
        differ("header", name.clone(), x.to_string(), y.to_string());
    }
    for (name, entries) in &a.header.tables {
        differ("tables", name.clone(), format!("{entries:?}"), format!("{:?}", b.header.table(name)));
    }
    // Neighbours that differ in the same way are one line.
    let name = |id: usize| a.graph.release.operations().get(id).map_or("", |operation| operation.name.as_str());
    let entries: Vec<_> = a.header.operations.iter().zip(&b.header.operations).collect();
    let mut start = 0;
    for end in 1..=entries.len() {
        if end < entries.len() && entries[end] == entries[start] {
            continue;
        }
        let what = match end - start {
            1 => format!("{start} {}", name(start)),
            _ => format!("{start}-{} {} … {}", end - 1, name(start), name(end - 1)),
        };
        let (x, y) = entries[start];
        differ("operations", what, format!("node {x}"), format!("node {y}"));
        start = end;
    }
    let hex = |bytes: Option<&[u8]>| {
        bytes.map_or_else(|| "nothing".to_owned(), |bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    };
    let nodes = |decoded: &Decoded, bytes: &[u8], index: usize| {
        let start = decoded.header.nodes.start + NODE * index;
        let inside = start < decoded.header.nodes.end;
        hex(bytes.get(start..start + NODE).filter(|_| inside))
    };
    let count = a.header.nodes.len().max(b.header.nodes.len()) / NODE;
    for index in 0..count {
        differ("nodes", format!("node {index}"), nodes(a, a_bytes, index), nodes(b, b_bytes, index));
    }
    let pool = |decoded: &Decoded, bytes: &[u8], index: usize| match decoded.objects.get(index) {
        None => "nothing".to_owned(),
        Some(object) => {
            let at = object.range.start - decoded.header.nodes.end;
            format!("{} at {at}: {}", object.kind, hex(bytes.get(object.range.clone())))
        }
    };
    for index in 0..a.objects.len().max(b.objects.len()) {
        differ("pool", format!("object {index}"), pool(a, a_bytes, index), pool(b, b_bytes, index));
    }
    let identical = a_bytes == b_bytes;
    if !identical && differences.is_empty() {
        let at = a_bytes.iter().zip(b_bytes).position(|(x, y)| x != y).unwrap_or(a_bytes.len().min(b_bytes.len()));
        let byte = |bytes: &[u8]| hex(bytes.get(at..).map(|rest| &rest[..rest.len().min(16)]));
        differences.push(Difference {
            section: "pool",
            what: format!("offset {at}"),
            first: byte(a_bytes),
            second: byte(b_bytes),
        });
    }
    Comparison { identical, header, differences }
}
