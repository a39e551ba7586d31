//! In: bytes that may start with a blob, and more behind them. Out: whether they do
//! ([`is_plausible`], cheap) and where the blob ends ([`extent`]). Never: trust in a count before the
//! bytes that it counts were looked at.

use super::layout::NODE;
use super::{BlobError, Decoded, decode};
use crate::vocabulary::{Layout, RecordWord, Release};

/// Every bit that a profile's flags are known to have (FORMAT.md §1.7).
const PROFILE_FLAGS: u16 = 0x780f;

/// Whether a blob of this release may start here (FORMAT.md §8.1, §7): flags that are known, as many
/// operations as the release has, tables that lead to nodes, zeros before the nodes, nodes that all lead
/// on and a terminal at the end. Stops at the first thing that does not fit; adds to `work` how many words
/// it looked at, and allocates nothing.
#[must_use]
pub fn is_plausible(bytes: &[u8], release: &Release, work: &mut u64) -> bool {
    let Ok(layout) = release.layout() else { return false };
    plausible(bytes, release, layout, work).is_some()
}

fn plausible(bytes: &[u8], release: &Release, layout: &Layout, work: &mut u64) -> Option<()> {
    let word = |offset: usize| Some(u16::from_le_bytes([*bytes.get(offset)?, *bytes.get(offset + 1)?]));
    let field = |name: &str| {
        let Some(field) = layout.fields.iter().find(|field| field.name == name) else { return Some(0) };
        if field.width == 1 { bytes.get(field.offset).copied().map(u16::from) } else { word(field.offset) }
    };
    *work += 1;
    let fits = |holds: bool| holds.then_some(());
    let slots = release.operation_slots();
    fits(usize::from(field("operations")?) == slots)?;
    let flags = field("flags")?;
    let is_collection = flags & layout.collection_flag != 0;
    fits(if is_collection { flags == layout.collection_flag } else { flags & !PROFILE_FLAGS == 0 })?;
    let profiles = field("profiles")?;
    fits(is_collection == (profiles != 0) && field("reserved")? == 0)?;
    let count = field("nodes")?;
    fits(count >= 2)?;

    let mut offset = layout.header_length;
    for table in &layout.tables {
        let entries = usize::from(field(table)?);
        if table == "policies" {
            for entry in 0..entries {
                *work += 1;
                fits(word(offset + 2 * entry)? < count)?;
            }
        }
        offset += 2 * entries;
    }
    let record = if is_collection { layout.record.len() } else { 0 };
    for _ in 0..profiles.max(1) {
        if let Some(place) = layout.record[..record].iter().position(|word| *word == RecordWord::Flags) {
            fits(word(offset + 2 * place)? & !PROFILE_FLAGS == 0)?;
        }
        offset += 2 * record;
        for _ in 0..slots {
            *work += 1;
            fits(word(offset)? < count)?;
            offset += 2;
        }
    }
    let start = offset.next_multiple_of(layout.alignment);
    fits(bytes.get(offset..start)?.iter().all(|byte| *byte == 0))?;
    let nodes = bytes.get(start..start + NODE * usize::from(count))?;
    // The last node can only be a terminal, since every link leads further.
    fits(nodes[nodes.len() - NODE] == 1)?;
    for (index, node) in nodes.chunks_exact(NODE).enumerate() {
        *work += 1;
        let leads_on = |at: usize| {
            let link = u16::from_le_bytes([node[at], node[at + 1]]);
            usize::from(link) > index && link < count
        };
        fits(node[0] == 1 || (node[0] == 0 && leads_on(4) && leads_on(6)))?;
    }
    Some(())
}

/// The blob at the front of these bytes: its length, which nothing in it says, and what it decodes to.
/// It ends with the last object that it refers to, as all of Apple's do.
///
/// # Errors
/// The first field that makes no sense.
pub fn extent(bytes: &[u8], release: &'static Release) -> Result<(usize, Decoded), BlobError> {
    let open = decode(bytes, release)?;
    let end = open.objects.last().map_or(open.header.nodes.end, |object| object.range.end);
    Ok((end, decode(bytes.get(..end).unwrap_or(bytes), release)?))
}
