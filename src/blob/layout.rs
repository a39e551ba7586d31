//! In: the layout facts of a release and the bytes. Out: [`Header`]: field values, tables, and
//! where each section lies. Never: nodes or pool objects.

use std::ops::Range;

use super::{BlobError, slice, word};
use crate::vocabulary::Release;

/// Bytes of a node.
pub(super) const NODE: usize = 8;

/// A named part of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// What it is.
    pub name: &'static str,
    /// Its bytes.
    pub range: Range<usize>,
}

/// Everything before the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Field names and values, in the order of the grammar.
    pub fields: Vec<(String, u16)>,
    /// Tables between header and operation table: name, entries.
    pub tables: Vec<(String, Vec<u16>)>,
    /// Node index of each operation.
    pub operations: Vec<u16>,
    /// Bytes before the first table.
    pub length: usize,
    /// Bit of the flags that marks message filters.
    pub message_filter_flag: u16,
    /// Where the tables end and padding begins.
    pub padding: Range<usize>,
    /// The node array.
    pub nodes: Range<usize>,
}

impl Header {
    /// Reads the header of a single profile.
    ///
    /// # Errors
    /// The first field that does not fit, with its offset.
    pub fn read(bytes: &[u8], release: &Release) -> Result<Self, BlobError> {
        let layout = release.layout()?;
        let slots = release.operation_slots();
        slice(bytes, "header", 0, layout.header_length)?;
        let mut fields = Vec::with_capacity(layout.fields.len());
        for field in &layout.fields {
            let value = match field.width {
                1 => u16::from(slice(bytes, &field.name, field.offset, 1)?[0]),
                _ => word(bytes, &field.name, field.offset)?,
            };
            fields.push((field.name.clone(), value));
        }
        let mut header = Self {
            fields,
            tables: Vec::new(),
            operations: Vec::new(),
            length: layout.header_length,
            message_filter_flag: layout.message_filter_flag,
            padding: 0..0,
            nodes: 0..0,
        };
        let place = |name: &str| layout.fields.iter().find(|field| field.name == name).map_or(0, |field| field.offset);
        if header.field("flags") & layout.collection_flag != 0 {
            return Err(BlobError::bad(
                "flags",
                place("flags"),
                "this is a collection of profiles; only single profiles can be read so far",
            ));
        }
        if usize::from(header.field("operations")) != slots {
            let reason = format!("{} operations, but {} has {slots}", header.field("operations"), release.name());
            return Err(BlobError::bad("operations", place("operations"), reason));
        }
        for name in ["reserved", "profiles"] {
            if header.field(name) != 0 {
                return Err(BlobError::bad(
                    name,
                    place(name),
                    format!("is {}, and must be 0 in a single profile", header.field(name)),
                ));
            }
        }
        let mut offset = layout.header_length;
        let mut table = |name: &str, count: usize| -> Result<Vec<u16>, BlobError> {
            let raw = slice(bytes, &format!("{name} table"), offset, 2 * count)?;
            offset += raw.len();
            Ok(raw.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect())
        };
        for name in &layout.tables {
            let entries = table(name, usize::from(header.field(name)))?;
            header.tables.push((name.clone(), entries));
        }
        header.operations = table("operation", slots)?;
        let start = offset.next_multiple_of(layout.alignment);
        header.padding = offset..start;
        let padding = slice(bytes, "padding before the nodes", offset, start - offset)?;
        if let Some(at) = padding.iter().position(|byte| *byte != 0) {
            return Err(BlobError::bad("padding before the nodes", offset + at, "is not zero"));
        }
        let length = NODE * usize::from(header.field("nodes"));
        slice(bytes, "nodes", start, length)?;
        header.nodes = start..start + length;
        Ok(header)
    }

    /// The value of a field; 0 for one that the layout does not have.
    #[must_use]
    pub fn field(&self, name: &str) -> u16 {
        self.fields.iter().find(|(known, _)| known == name).map_or(0, |(_, value)| *value)
    }

    /// The entries of a table; empty for one that the layout does not have.
    #[must_use]
    pub fn table(&self, name: &str) -> &[u16] {
        self.tables.iter().find(|(known, _)| known == name).map_or(&[], |(_, entries)| entries)
    }

    /// All sections of a blob of this length, in order; together they are the whole blob.
    #[must_use]
    pub fn sections(&self, length: usize) -> Vec<Section> {
        let start = self.length;
        let tables: usize = self.tables.iter().map(|(_, entries)| 2 * entries.len()).sum();
        let operations = start + tables;
        let mut sections = vec![Section { name: "header", range: 0..start }];
        if tables > 0 {
            sections.push(Section { name: "tables", range: start..operations });
        }
        sections.push(Section { name: "operations", range: operations..self.padding.start });
        if !self.padding.is_empty() {
            sections.push(Section { name: "padding", range: self.padding.clone() });
        }
        sections.push(Section { name: "nodes", range: self.nodes.clone() });
        if self.nodes.end < length {
            sections.push(Section { name: "pool", range: self.nodes.end..length });
        }
        sections
    }
}
