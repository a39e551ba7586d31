//! In: a record. Out: `expected_matrix.json`: what was asked, with the name of each expectation. Never: a
//! verdict.

use serde::Serialize;
use serde_json::{Map, Value};

use super::expectation_id;
use crate::probe::matrix::{Driver, ExpectApply, Fixture, Mode, Probe, Profile, Verdict};
use crate::probe::record::Record;

/// `expected_matrix.json`. It is a matrix again, for the folder that the first one was in.
#[derive(Clone, Debug, Serialize)]
pub struct ExpectedMatrix {
    /// Which system.
    pub world_id: String,
    /// Files that all its probes need besides their targets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fixtures: Vec<Fixture>,
    /// [`ExpectedProfile`] by id, in the order of the matrix.
    pub profiles: Map<String, Value>,
}

/// One profile of `expected_matrix.json`.
#[derive(Clone, Debug, Serialize)]
pub struct ExpectedProfile {
    /// Path of its text or blob, as the matrix has it.
    pub blob: String,
    /// How it is used.
    pub mode: Mode,
    /// Which profiles it belongs to.
    pub family: Option<String>,
    /// Which idea it is about.
    pub semantic_group: Option<String>,
    /// Rules put behind the shim.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub key_specific_rules: Vec<String>,
    /// Parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<Map<String, Value>>,
    /// What applying it should do.
    pub expect_apply: ExpectApply,
    /// Files that its probes need besides their targets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fixtures: Vec<Fixture>,
    /// Its probes.
    pub probes: Vec<ExpectedProbe>,
}

/// One probe of `expected_matrix.json`.
#[derive(Clone, Debug, Serialize)]
pub struct ExpectedProbe {
    /// Its name.
    pub name: String,
    /// The operation.
    pub operation: String,
    /// What it is about.
    pub target: String,
    /// What should come out.
    pub expected: Verdict,
    /// Name of the expectation.
    pub expectation_id: String,
    /// How a file is come to.
    pub driver: Driver,
    /// What `sandbox_check` is asked with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_name: Option<String>,
    /// What else is known, as `FILTER=VALUE`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<String>,
}

/// `expected_matrix.json` of a run.
#[must_use]
pub fn expected_matrix(record: &Record) -> ExpectedMatrix {
    let profiles = record.matrix.profiles.iter().map(|(id, profile)| (id.clone(), super::value(&of(id, profile))));
    ExpectedMatrix {
        world_id: record.matrix.world_id.clone(),
        fixtures: record.matrix.fixtures.clone(),
        profiles: profiles.collect(),
    }
}

fn of(id: &str, profile: &Profile) -> ExpectedProfile {
    let probe = |probe: &Probe| ExpectedProbe {
        name: probe.name.clone(),
        operation: probe.operation.clone(),
        target: probe.target.clone(),
        expected: probe.expected,
        expectation_id: expectation_id(id, probe),
        driver: probe.driver,
        filter_name: probe.filter_name.clone(),
        facts: probe.facts(),
    };
    ExpectedProfile {
        blob: profile.blob.clone(),
        mode: profile.mode,
        family: profile.family.clone(),
        semantic_group: profile.semantic_group.clone(),
        key_specific_rules: profile.key_specific_rules.clone(),
        params: profile.params.clone(),
        expect_apply: profile.expect_apply,
        fixtures: profile.fixtures.clone(),
        probes: profile.probes.iter().map(probe).collect(),
    }
}
