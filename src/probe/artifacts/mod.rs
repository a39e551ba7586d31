//! In: what a probe run found. Out: the artifacts of ARTIFACTS.md: their JSON, as structs with those keys, the
//! folder that they stand in ([`folder`]), and whether a run may be promoted ([`promotion`]). Never: the run
//! itself.
//!
//! A new artifact is a struct in a file here, a line in [`NAMES`] and in `contents`, and a schema in
//! `docs/schemas/`.

mod decodes;
mod events;
mod expected;
pub mod folder;
mod index;
mod lanes;
mod mismatches;
mod paths;
pub mod promotion;
mod results;
mod run;

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::matrix::Probe;
use super::record::Record;

pub use decodes::{GoldenDecode, GoldenDecodes, Metadata, golden_decodes};
pub use folder::Folder;
pub use results::{DecidedBy, GateFinding, Preflight, results_json};
pub use run::RunStatus;

/// Who writes artifacts.
const TOOL: &str = concat!("sbtool ", env!("CARGO_PKG_VERSION"));

/// Names of the shapes (ARTIFACTS.md). Some artifacts have none.
mod version {
    pub const APPLY_PREFLIGHT: &str = "runtime-tools.apply_preflight.v0.1";
    pub const ARTIFACT_INDEX: &str = "runtime-tools.artifact_index.v0.1";
    pub const BASELINE_RESULTS: &str = "runtime-tools.baseline_results.v0.1";
    pub const MISMATCH_PACKET: &str = "runtime-tools.mismatch_packet.v0.1";
    pub const PATH_WITNESS: &str = "runtime-tools.path_witness.v0.1";
    pub const PATH_WITNESSES: &str = "runtime-tools.path_witnesses.v0.1";
    pub const PROMOTION_PACKET: &str = "runtime-tools.promotion_packet.v0.2";
    pub const RUNTIME_RESULTS: &str = "runtime-tools.runtime_results.v0.1";
    pub const RUN_MANIFEST: &str = "runtime-tools.run_manifest.v0.1";
    pub const RUN_STATUS: &str = "runtime-tools.run_status.v0.1";
    pub const SUMMARY: &str = "runtime-tools.summary.v0.1";
}

/// Every artifact of a run that is complete, with the name of its shape, in the order of writing; the index,
/// which says that they are all there, comes after them.
pub const NAMES: &[(&str, Option<&str>)] = &[
    ("expected_matrix.json", None),
    ("golden_decodes.json", None),
    ("runtime_results.json", Some(version::RUNTIME_RESULTS)),
    ("runtime_events.normalized.json", None),
    ("baseline_results.json", Some(version::BASELINE_RESULTS)),
    ("path_witnesses.json", Some(version::PATH_WITNESSES)),
    ("mismatch_summary.json", None),
    ("mismatch_packets.jsonl", Some(version::MISMATCH_PACKET)),
    ("apply_preflight.json", Some(version::APPLY_PREFLIGHT)),
    ("run_manifest.json", Some(version::RUN_MANIFEST)),
    ("summary.json", Some(version::SUMMARY)),
    ("run_status.json", Some(version::RUN_STATUS)),
];

/// The index of the artifacts.
pub const INDEX: &str = "artifact_index.json";

/// How far a run is.
pub const RUN_STATUS: &str = "run_status.json";

/// Folder of the profiles that were used.
pub const RUNTIME_PROFILES: &str = "runtime_profiles";

/// What artifacts begin with.
#[derive(Clone, Debug, Serialize)]
struct Header {
    schema_version: &'static str,
    world_id: String,
    run_id: String,
}

impl Header {
    fn new(record: &Record, schema_version: &'static str) -> Self {
        Self { schema_version, world_id: record.matrix.world_id.clone(), run_id: record.run_id.clone() }
    }
}

/// Name of the expectation of a probe.
#[must_use]
pub fn expectation_id(profile: &str, probe: &Probe) -> String {
    probe.expectation_id.clone().unwrap_or_else(|| format!("{profile}:{}", probe.name))
}

/// The artifacts of a record, without the status, which is written once they are there.
fn contents(record: &Record, out: &Path) -> Vec<(&'static str, String)> {
    let lines = |rows: Vec<Value>| rows.iter().map(|row| format!("{row}\n")).collect();
    vec![
        ("expected_matrix.json", text(&expected::expected_matrix(record))),
        ("golden_decodes.json", text(&golden_decodes(record))),
        ("runtime_results.json", text(&results_json(record))),
        ("runtime_events.normalized.json", text(&events::events(record))),
        ("baseline_results.json", text(&lanes::baseline_results(record))),
        ("path_witnesses.json", text(&paths::path_witnesses(record))),
        ("mismatch_summary.json", text(&mismatches::mismatch_summary(record))),
        ("mismatch_packets.jsonl", lines(mismatches::mismatch_packets(record))),
        ("apply_preflight.json", text(&run::apply_preflight(record))),
        ("run_manifest.json", text(&run::manifest(record, out))),
        ("summary.json", text(&run::summary(record))),
    ]
}

/// JSON with a newline at its end. Structs with string keys only: this cannot fail.
fn text(artifact: &impl Serialize) -> String {
    serde_json::to_string_pretty(artifact).unwrap_or_default() + "\n"
}

fn value(artifact: &impl Serialize) -> Value {
    serde_json::to_value(artifact).unwrap_or_default()
}

/// With its keys sorted, and without those that hold nothing.
fn sorted(artifact: &impl Serialize) -> Value {
    let mut value = value(artifact);
    if let Some(object) = value.as_object_mut() {
        object.retain(|_, value| !value.is_null());
    }
    value.sort_all_objects();
    value
}
