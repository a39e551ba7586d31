//! In: what was written. Out: `artifact_index.json`: each file with its size and digest, written last. Never: a
//! file that is not whole.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Header;
use crate::runtime::hex;

/// `artifact_index.json`.
#[derive(Clone, Debug, Serialize)]
pub struct ArtifactIndex {
    /// What every artifact begins with.
    #[serde(flatten)]
    pub header: Header,
    /// Every file of the run, in the order of writing.
    pub artifacts: Vec<IndexEntry>,
    /// Artifacts that should be there and are not.
    pub missing: Vec<String>,
    /// That of the summary.
    pub status: &'static str,
}

/// One file of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// Its path in the folder, with `/`.
    pub path: String,
    /// How many bytes it has.
    pub file_size: u64,
    /// SHA-256 of them, in hexadecimal.
    pub sha256: String,
    /// Name of its shape, where it has one.
    #[serde(default)]
    pub schema_version: Option<String>,
}

impl IndexEntry {
    /// Of bytes that are written.
    #[must_use]
    pub fn new(path: &str, bytes: &[u8]) -> Self {
        let version = super::NAMES.iter().find(|(name, _)| *name == path).and_then(|(_, version)| *version);
        Self {
            path: path.to_owned(),
            file_size: bytes.len() as u64,
            sha256: hex(&Sha256::digest(bytes)),
            schema_version: version.map(str::to_owned),
        }
    }
}
