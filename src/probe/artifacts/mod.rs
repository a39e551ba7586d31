//! In: what a probe run found. Out: the JSON shapes of ARTIFACTS.md, as structs with those keys.
//! Never: the run itself.

use std::collections::BTreeMap;

use serde::Serialize;

use super::matrix::Verdict;
use super::record::{ProbeRecord, ProfileRecord, Record};
use super::stage::{ErrnoSource, Kind, ResultStatus, Stage};
use crate::blob::legacy::Legacy;

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

/// A shape of apply gate that preflight found.
#[derive(Clone, Debug, Serialize)]
pub struct GateFinding {
    /// Action of the rule that carries the filter.
    pub outer_action: &'static str,
    /// Its operation.
    pub outer_operation: String,
    /// What the filter denies.
    pub denied_operation: String,
}

/// The preflight record of a profile.
#[derive(Clone, Debug, Serialize)]
pub struct Preflight {
    /// `sbtool`.
    pub tool: &'static str,
    /// 1.
    pub preflight_schema_version: u8,
    /// Which system.
    pub world_id: String,
    /// `sbpl_path` or `sbpl_blob_path`.
    pub input_kind: &'static str,
    /// The profile.
    pub input_ref: String,
    /// `likely_apply_gated_for_harness_identity` or `no_known_apply_gate_signature`.
    pub classification: &'static str,
    /// Name of what was found.
    pub signature: Option<&'static str>,
    /// What was found.
    pub findings: Vec<GateFinding>,
}

/// How a probe went.
#[derive(Clone, Debug, Serialize)]
pub struct RuntimeResult {
    /// `success`, `errno` or `blocked`.
    pub status: ResultStatus,
    /// The true error number of the call that failed; 1 (EPERM) for a denial.
    pub errno: Option<i32>,
    /// Who says so.
    pub errno_source: Option<ErrnoSource>,
    /// 1.
    pub runtime_result_schema_version: u8,
    /// Where it failed.
    pub failure_stage: Option<Stage>,
    /// How it failed.
    pub failure_kind: Option<Kind>,
}

/// Which rule decided a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DecidedBy {
    /// The check that decided.
    pub operation: String,
    /// The path or name it was made for.
    pub subject: Option<String>,
    /// `rule`, `default`, `implicit` or `inherited`.
    pub by: &'static str,
    /// File of the rule.
    pub file: Option<String>,
    /// Its line.
    pub line: Option<u32>,
    /// Its column.
    pub column: Option<u32>,
    /// Its text, or the test of a blob.
    pub text: Option<String>,
}

/// One probe of `runtime_results.json`.
#[derive(Clone, Debug, Serialize)]
pub struct ProbeResult {
    /// Its name.
    pub name: String,
    /// Name of the expectation.
    pub expectation_id: String,
    /// The operation as the matrix has it.
    pub operation: String,
    /// The target as the matrix has it.
    pub path: String,
    /// What should come out.
    pub expected: Verdict,
    /// What came out; nothing if blocked.
    pub actual: Option<Verdict>,
    /// Whether the two are the same.
    #[serde(rename = "match")]
    pub matches: Option<bool>,
    /// How it went.
    pub runtime_result: RuntimeResult,
    /// In words, if it is not as expected.
    pub violation_summary: Option<String>,
    /// Nothing is run by the evaluator.
    pub command: Vec<String>,
    /// Nothing is run by the evaluator.
    pub exit_code: Option<i32>,
    /// Which rule decided.
    pub decided_by: Option<DecidedBy>,
}

/// One profile of `runtime_results.json`.
#[derive(Clone, Debug, Serialize)]
pub struct ProfileResult {
    /// `ok`, `partial` or `blocked`.
    pub status: &'static str,
    /// What else is to be said.
    pub notes: Option<String>,
    /// The runtime profile that was used.
    pub profile_path: String,
    /// The profile that the matrix names.
    pub base_profile_path: String,
    /// What preflight said.
    pub preflight: Option<Preflight>,
    /// Its probes.
    pub probes: Vec<ProbeResult>,
    /// `runtime-tools.runtime_results.v0.1`.
    pub schema_version: &'static str,
    /// Which run.
    pub run_id: String,
}

/// `run_manifest.json`.
#[derive(Clone, Debug, Serialize)]
pub struct RunManifest {
    /// `runtime-tools.run_manifest.v0.1`.
    pub schema_version: &'static str,
    /// Which run: made of the inputs, so the same inputs give the same run.
    pub run_id: String,
    /// Which system.
    pub world_id: String,
    /// `direct`.
    pub channel: &'static str,
    /// What decided.
    pub backend: &'static str,
    /// Name of the matrix.
    pub plan_id: String,
    /// SHA-256 of the matrix.
    pub plan_digest: String,
    /// False: the probes were decided.
    pub dry_run: bool,
    /// False: nothing was copied elsewhere.
    pub stage_used: bool,
    /// Release whose vocabulary was used.
    pub release: String,
    /// Version of sbtool.
    pub tool_version: &'static str,
}

/// `golden_decodes.json` of a run.
#[must_use]
pub fn golden_decodes(record: &Record) -> GoldenDecodes {
    GoldenDecodes {
        metadata: Metadata { world_id: record.matrix.world_id.clone() },
        decodes: record.profiles.iter().map(|profile| profile.decode.clone()).collect(),
    }
}

/// `run_manifest.json` of a run.
#[must_use]
pub fn manifest(record: &Record) -> RunManifest {
    RunManifest {
        schema_version: "runtime-tools.run_manifest.v0.1",
        run_id: record.run_id.clone(),
        world_id: record.matrix.world_id.clone(),
        channel: record.channel.name(),
        backend: record.backend.name(),
        plan_id: record.plan_id.clone(),
        plan_digest: record.plan_digest.clone(),
        dry_run: false,
        stage_used: false,
        release: record.release.clone(),
        tool_version: env!("CARGO_PKG_VERSION"),
    }
}

/// `runtime_results.json`: an object by profile id, in order.
#[must_use]
pub fn results(record: &Record) -> Vec<(String, ProfileResult)> {
    record.profiles.iter().map(|profile| (profile.id.clone(), profile_result(record, profile))).collect()
}

/// The same as JSON.
#[must_use]
pub fn results_json(record: &Record) -> serde_json::Value {
    // Structs with string keys only: this cannot fail.
    let json = |result| serde_json::to_value(result).unwrap_or_default();
    serde_json::Value::Object(results(record).into_iter().map(|(id, result)| (id, json(result))).collect())
}

fn profile_result(record: &Record, profile: &ProfileRecord) -> ProfileResult {
    ProfileResult {
        status: profile.status(),
        notes: profile.is_blocked().then(|| "preflight blocked: known apply-gate signature".to_owned()),
        profile_path: format!("runtime_profiles/{}", profile.runtime_name),
        base_profile_path: profile.profile.blob.clone(),
        preflight: Some(profile.preflight.clone()),
        probes: profile.probes.iter().map(|probe| probe_result(&profile.id, probe)).collect(),
        schema_version: "runtime-tools.runtime_results.v0.1",
        run_id: record.run_id.clone(),
    }
}

/// Name of the expectation of a probe.
#[must_use]
pub fn expectation_id(profile: &str, probe: &super::matrix::Probe) -> String {
    probe.expectation_id.clone().unwrap_or_else(|| format!("{profile}:{}", probe.name))
}

fn probe_result(profile: &str, record: &ProbeRecord) -> ProbeResult {
    let ProbeRecord { probe, outcome, .. } = record;
    let matches = record.matches();
    let actual = outcome.actual.map_or("nothing", Verdict::name);
    ProbeResult {
        name: probe.name.clone(),
        expectation_id: expectation_id(profile, probe),
        operation: probe.operation.clone(),
        path: probe.target.clone(),
        expected: probe.expected,
        actual: outcome.actual,
        matches,
        runtime_result: RuntimeResult {
            status: outcome.status,
            errno: outcome.errno,
            errno_source: outcome.errno_source,
            runtime_result_schema_version: 1,
            failure_stage: outcome.stage,
            failure_kind: outcome.kind,
        },
        violation_summary: (matches == Some(false))
            .then(|| format!("expected {}, got {actual}", probe.expected.name())),
        command: record.scenario.as_ref().map(|seen| seen.command.clone()).unwrap_or_default(),
        exit_code: record.scenario.as_ref().and_then(|seen| seen.exit.number()),
        decided_by: record.prediction.as_ref().and_then(|prediction| prediction.decided_by.clone()),
    }
}
