//! In: the layout facts of a release and the bytes. Out: [`Header`]: field values, tables, and
//! where each section lies. Never: nodes or pool objects.

use std::ops::Range;

use super::{BlobError, slice, word};
use crate::vocabulary::{HeaderField, RecordFlags, RecordWord, Release};

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
    /// Where each field starts.
    pub field_offsets: Vec<usize>,
    /// Tables between header and operation table, or behind the nodes: name, entries.
    pub tables: Vec<(String, Vec<u16>)>,
    /// Where the tables lie behind the nodes.
    pub tables_behind_nodes: Option<Range<usize>>,
    /// Whether it is a collection of profiles.
    pub is_collection: bool,
    /// The profiles; just one where it is no collection.
    pub records: Vec<Record>,
    /// Where each operation of the first profile starts, as in its record.
    pub operations: Vec<u16>,
    /// Where the records start.
    pub records_start: usize,
    /// Bytes before the first table.
    pub length: usize,
    /// Bit of the flags that marks message filters.
    pub message_filter_flag: u16,
    /// Bits of a profile's flags that follow from its record.
    pub record_flags: RecordFlags,
    /// Where the tables end and padding begins.
    pub padding: Range<usize>,
    /// The node array.
    pub nodes: Range<usize>,
}

/// A profile of a blob.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Where the record starts.
    pub offset: usize,
    /// Where its operation table starts.
    pub operations_start: usize,
    /// Pool offset of its name.
    pub name: u16,
    /// Flags.
    pub flags: u16,
    /// Pool offset of the name of its base; 0 for none.
    pub base: u16,
    /// Pool offset of the set of its profile flags; 0 for none.
    pub flag_set: u16,
    /// Where each operation starts: a node index, or a word from the start of the blob in early
    /// containers.
    pub operations: Vec<u16>,
}

impl Header {
    /// Reads the header of a single profile or of a collection.
    ///
    /// # Errors
    /// The first field that does not fit, with its offset.
    pub fn read(bytes: &[u8], release: &Release) -> Result<Self, BlobError> {
        let layout = release.layout()?;
        let slots = release.operation_slots();
        slice(bytes, "header", 0, layout.header_length)?;
        let fields = field_values(bytes, &layout.fields)?;
        let mut header = Self {
            fields,
            field_offsets: layout.fields.iter().map(|field| field.offset).collect(),
            tables: Vec::new(),
            tables_behind_nodes: None,
            is_collection: false,
            records: Vec::new(),
            operations: Vec::new(),
            records_start: 0,
            length: layout.header_length,
            message_filter_flag: layout.message_filter_flag,
            record_flags: layout.record_flags,
            padding: 0..0,
            nodes: 0..0,
        };
        let place = |name: &str| layout.fields.iter().find(|field| field.name == name).map_or(0, |field| field.offset);
        header.is_collection = header.field("flags") & layout.collection_flag != 0;
        if usize::from(header.field("operations")) != slots {
            let reason = format!("{} operations, but {} has {slots}", header.field("operations"), release.name());
            return Err(BlobError::bad("operations", place("operations"), reason));
        }
        let zero: &[&str] = if header.is_collection { &["reserved"] } else { &["reserved", "profiles"] };
        for name in zero {
            if header.field(name) != 0 {
                let reason = format!("is {}, and must be 0 here", header.field(name));
                return Err(BlobError::bad(*name, place(name), reason));
            }
        }
        if header.is_collection && header.field("flags") != layout.collection_flag {
            let reason = format!("0x{:04x}: a collection has no other flag", header.field("flags"));
            return Err(BlobError::bad("flags", place("flags"), reason));
        }
        if header.is_collection && header.field("profiles") == 0 {
            return Err(BlobError::bad("profiles", place("profiles"), "a collection without profiles"));
        }
        let mut offset = layout.header_length;
        for name in &layout.tables {
            let entries = words(bytes, &format!("{name} table"), &mut offset, usize::from(header.field(name)))?;
            header.tables.push((name.clone(), entries));
        }
        let count = if header.is_collection { usize::from(header.field("profiles")) } else { 1 };
        let entries = if header.is_collection { layout.record.as_slice() } else { &[] };
        let start = header.read_records(bytes, (count, entries), slots, offset, layout.alignment)?;
        let length = NODE * usize::from(header.field("nodes"));
        slice(bytes, "nodes", start, length)?;
        header.nodes = start..start + length;
        Ok(header)
    }

    /// Reads the profiles' records of these words with their operation tables, and the padding behind
    /// them. Where the nodes start.
    ///
    /// # Errors
    /// Where the blob ends before, or the padding is not zero.
    pub(super) fn read_records(
        &mut self,
        bytes: &[u8],
        (count, entries): (usize, &[RecordWord]),
        slots: usize,
        mut offset: usize,
        alignment: usize,
    ) -> Result<usize, BlobError> {
        self.records_start = offset;
        for _ in 0..count {
            let mut record = Record { offset, flags: self.field("flags"), ..Record::default() };
            for entry in entries {
                let value = word(bytes, "profile record", offset)?;
                offset += 2;
                match entry {
                    RecordWord::Name => record.name = value,
                    RecordWord::Flags => record.flags = value,
                    RecordWord::Base => record.base = value,
                    RecordWord::FlagSet => record.flag_set = value,
                }
            }
            record.operations_start = offset;
            record.operations = words(bytes, "operation table", &mut offset, slots)?;
            self.records.push(record);
        }
        self.operations = self.records.first().map(|record| record.operations.clone()).unwrap_or_default();
        let start = offset.next_multiple_of(alignment);
        self.padding = offset..start;
        let padding = slice(bytes, "padding before the nodes", offset, start - offset)?;
        if let Some(at) = padding.iter().position(|byte| *byte != 0) {
            return Err(BlobError::bad("padding before the nodes", offset + at, "is not zero"));
        }
        Ok(start)
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
        let in_front = self.tables.iter().filter(|_| self.tables_behind_nodes.is_none());
        let tables: usize = in_front.map(|(_, entries)| 2 * entries.len()).sum();
        let operations = start + tables;
        let mut sections = vec![Section { name: "header", range: 0..start }];
        if tables > 0 {
            sections.push(Section { name: "tables", range: start..operations });
        }
        let name = if self.is_collection { "profiles" } else { "operations" };
        sections.push(Section { name, range: operations..self.padding.start });
        if !self.padding.is_empty() {
            sections.push(Section { name: "padding", range: self.padding.clone() });
        }
        sections.push(Section { name: "nodes", range: self.nodes.clone() });
        let mut end = self.nodes.end;
        if let Some(tables) = &self.tables_behind_nodes {
            sections.push(Section { name: "tables", range: tables.clone() });
            end = tables.end;
        }
        if end < length {
            sections.push(Section { name: "pool", range: end..length });
        }
        sections
    }
}

/// The values of header fields with their names.
pub(super) fn field_values(bytes: &[u8], fields: &[HeaderField]) -> Result<Vec<(String, u16)>, BlobError> {
    let value = |field: &HeaderField| match field.width {
        1 => Ok(u16::from(slice(bytes, &field.name, field.offset, 1)?[0])),
        _ => word(bytes, &field.name, field.offset),
    };
    fields.iter().map(|field| Ok((field.name.clone(), value(field)?))).collect()
}

/// A table of words; moves the offset behind it.
pub(super) fn words(bytes: &[u8], field: &str, offset: &mut usize, count: usize) -> Result<Vec<u16>, BlobError> {
    let raw = slice(bytes, field, *offset, 2 * count)?;
    *offset += raw.len();
    Ok(raw.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect())
}
