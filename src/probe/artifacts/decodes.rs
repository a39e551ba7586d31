//! In: a record. Out: `golden_decodes.json`, the decode fields of an older tool (ARTIFACTS.md, part 2). Never:
//! decoding.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::blob::legacy::Legacy;
use crate::probe::record::Record;

/// One entry of `golden_decodes.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GoldenDecode {
    /// Profile id, or file name.
    pub key: String,
    /// Path of the text or blob.
    pub blob: String,
    /// SHA-256 of the blob.
    pub sha256: String,
    /// Legacy count of records.
    pub node_count: usize,
    /// Legacy field; really the node count.
    pub op_count: Option<u16>,
    /// Legacy field: first word.
    pub maybe_flags: u16,
    /// Legacy field.
    pub profile_class: Option<u16>,
    /// Legacy count of first bytes.
    pub tag_counts: BTreeMap<String, usize>,
    /// Legacy strings.
    pub literal_strings: Vec<String>,
    /// The real header, under its real names.
    pub header: serde_json::Map<String, serde_json::Value>,
}

impl GoldenDecode {
    /// The entry of one blob.
    #[must_use]
    pub fn new(key: &str, blob: &str, sha256: String, legacy: Legacy, header: &[(String, u16)]) -> Self {
        Self {
            key: key.to_owned(),
            blob: blob.to_owned(),
            sha256,
            node_count: legacy.node_count,
            op_count: legacy.op_count,
            maybe_flags: legacy.maybe_flags,
            profile_class: legacy.profile_class,
            tag_counts: legacy.tag_counts.into_iter().map(|(tag, count)| (tag.to_string(), count)).collect(),
            literal_strings: legacy.literal_strings,
            header: header.iter().map(|(name, value)| (name.clone(), (*value).into())).collect(),
        }
    }
}

/// `golden_decodes.json`.
#[derive(Clone, Debug, Serialize)]
pub struct GoldenDecodes {
    /// Which system.
    pub metadata: Metadata,
    /// One entry for each blob.
    pub decodes: Vec<GoldenDecode>,
}

/// Which system the numbers are of.
#[derive(Clone, Debug, Serialize)]
pub struct Metadata {
    /// Its name.
    pub world_id: String,
}

/// `golden_decodes.json` of a run.
#[must_use]
pub fn golden_decodes(record: &Record) -> GoldenDecodes {
    GoldenDecodes {
        metadata: Metadata { world_id: record.matrix.world_id.clone() },
        decodes: record.profiles.iter().map(|profile| profile.decode.clone()).collect(),
    }
}
