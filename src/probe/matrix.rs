//! In: the JSON of an expected matrix (CLI.md, ARTIFACTS.md). Out: [`Matrix`]: profiles, their
//! probes and what is expected of them. Never: running anything.

use serde::{Deserialize, Serialize};

use crate::policy::rules::Action;

/// A verdict in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Allowed.
    Allow,
    /// Denied.
    Deny,
}

impl Verdict {
    /// The word in JSON and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl From<Action> for Verdict {
    fn from(action: Action) -> Self {
        match action {
            Action::Allow => Self::Allow,
            Action::Deny | Action::Delegate | Action::Autobox => Self::Deny,
        }
    }
}

/// How a profile is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// As text, with the shim appended.
    Sbpl,
    /// As a blob, unshimmed; a text is compiled first.
    Blob,
}

/// What applying a profile is expected to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExpectApply {
    /// It applies.
    #[default]
    Ok,
    /// Preflight stops it.
    Gated,
}

/// Facts of a probe: an object, or a list of `FILTER=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Facts {
    List(Vec<String>),
    Object(serde_json::Map<String, serde_json::Value>),
}

/// How a probe comes to a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// By its path.
    #[default]
    Open,
    /// Its directory is opened first, and the file from there: that asks to read the directory (RUNTIME.md part
    /// 3).
    Openat,
}

/// A file that is there before a probe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixture {
    /// Where, as a Mac has it: below `/private`, or by one of its aliases.
    pub path: String,
    /// It is a symlink to there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symlink: Option<String>,
    /// It is a directory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub directory: bool,
    /// What is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<String>,
    /// Its mode, a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// No matrix names it; it is the target of a probe.
    #[serde(skip)]
    pub is_target: bool,
}

/// One question with its expected answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Probe {
    /// Name, unique in its profile.
    pub name: String,
    /// The operation.
    pub operation: String,
    /// What it is about.
    pub target: String,
    /// What should come out.
    pub expected: Verdict,
    /// How a file is come to.
    #[serde(default)]
    pub driver: Driver,
    /// Name of the expectation; made of profile and probe where it is missing.
    #[serde(default)]
    pub expectation_id: Option<String>,
    /// What `sandbox_check` is asked with.
    #[serde(default)]
    pub filter_name: Option<String>,
    #[serde(default)]
    facts: Option<Facts>,
}

impl Probe {
    /// What else is known, as `FILTER=VALUE`.
    #[must_use]
    pub fn facts(&self) -> Vec<String> {
        match &self.facts {
            None => Vec::new(),
            Some(Facts::List(list)) => list.clone(),
            Some(Facts::Object(object)) => object
                .iter()
                .map(|(filter, value)| match value {
                    serde_json::Value::String(text) => format!("{filter}={text}"),
                    other => format!("{filter}={other}"),
                })
                .collect(),
        }
    }
}

/// One profile of a matrix.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Profile {
    /// Path of the text or blob, relative to the matrix.
    pub blob: String,
    /// How it is used.
    pub mode: Mode,
    /// Which profiles it belongs to; for readers of the artifacts.
    #[serde(default)]
    pub family: Option<String>,
    /// Which idea it is about; for readers of the artifacts.
    #[serde(default)]
    pub semantic_group: Option<String>,
    /// Rules put behind the shim.
    #[serde(default)]
    pub key_specific_rules: Vec<String>,
    /// Parameters.
    #[serde(default)]
    pub params: Option<serde_json::Map<String, serde_json::Value>>,
    /// What applying it should do.
    #[serde(default)]
    pub expect_apply: ExpectApply,
    /// Files that its probes need besides their targets.
    #[serde(default)]
    pub fixtures: Vec<Fixture>,
    /// The questions.
    pub probes: Vec<Probe>,
}

#[derive(Deserialize)]
struct Raw {
    world_id: String,
    #[serde(default)]
    fixtures: Vec<Fixture>,
    profiles: serde_json::Map<String, serde_json::Value>,
}

/// An expected matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Name of the system that the expectations belong to.
    pub world_id: String,
    /// Files that all its probes need besides their targets.
    pub fixtures: Vec<Fixture>,
    /// Profiles in the order of the file.
    pub profiles: Vec<(String, Profile)>,
}

/// Why a text is no matrix.
#[derive(Debug, thiserror::Error)]
pub enum MatrixError {
    /// Not the JSON of one.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// One profile is wrong.
    #[error("profile '{id}': {reason}")]
    Profile {
        /// Which.
        id: String,
        /// What is wrong.
        reason: String,
    },
}

impl Matrix {
    /// Reads a matrix.
    ///
    /// # Errors
    /// [`MatrixError`], also where two probes of a profile have one name.
    pub fn read(text: &[u8]) -> Result<Self, MatrixError> {
        let raw: Raw = serde_json::from_slice(text)?;
        let mut profiles = Vec::with_capacity(raw.profiles.len());
        for (id, value) in raw.profiles {
            let fail = |reason: String| MatrixError::Profile { id: id.clone(), reason };
            let profile: Profile = serde_json::from_value(value).map_err(|error| fail(error.to_string()))?;
            let mut names = std::collections::HashSet::new();
            if let Some(twice) = profile.probes.iter().find(|probe| !names.insert(&probe.name)) {
                return Err(fail(format!("probe '{}' stands twice", twice.name)));
            }
            profiles.push((id, profile));
        }
        Ok(Self { world_id: raw.world_id, fixtures: raw.fixtures, profiles })
    }
}
