//! In: a record. Out: `runtime_results.json`: what every probe came to, with the evaluator's verdict and that of
//! `sandbox_check` beside what was seen. Never: a verdict of its own.

use serde::Serialize;

use super::expectation_id;
use super::paths::PathObservation;
use crate::probe::matrix::Verdict;
use crate::probe::observation::{Marker, Observation, Step};
use crate::probe::record::{Mismatch, PredictedCheck, ProbeRecord, ProfileRecord, Record};
use crate::probe::stage::{ErrnoSource, Kind, ResultStatus, Stage};

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
    /// 2.
    pub tool_marker_schema_version: u8,
    /// How applying went, as the runner says.
    pub apply_report: Option<ApplyReport>,
    /// Which runner it was.
    pub runner_info: Option<RunnerInfo>,
    /// Answers of `sandbox_check`, as the runner says.
    pub seatbelt_callouts: Option<Vec<Marker>>,
}

/// How applying went.
#[derive(Clone, Debug, Serialize)]
pub struct ApplyReport {
    /// Function that was called.
    pub api: Option<String>,
    /// What it returned.
    pub rc: Option<i64>,
    /// The number that it left behind.
    pub errno: Option<i32>,
    /// What the library says.
    pub errbuf: Option<String>,
    /// RUNTIME.md part 2, "Apply error class".
    pub err_class: Option<String>,
    /// What the class was told by.
    pub err_class_source: Option<String>,
}

impl ApplyReport {
    /// Of a runner that said something about it.
    #[must_use]
    pub fn of(seen: &Observation) -> Option<Self> {
        let marker = seen.markers.apply()?.clone();
        Some(Self {
            api: marker.api,
            rc: marker.rc,
            errno: marker.errno,
            errbuf: marker.errbuf,
            err_class: marker.err_class,
            err_class_source: marker.err_class_source,
        })
    }
}

/// Which runner a probe had.
#[derive(Clone, Debug, Serialize)]
pub struct RunnerInfo {
    /// Its name.
    pub entrypoint: &'static str,
    /// `self_apply` where it tries itself, `exec_wrapper` where it starts a program that does.
    pub apply_model: &'static str,
    /// `pre_syscall` or `pre_exec`.
    pub apply_timing: &'static str,
    /// Whether applying failed as it does under another profile.
    pub preexisting_sandbox_suspected: bool,
    /// Its file.
    pub entrypoint_path: Option<String>,
    /// SHA-256 of that: not taken.
    pub entrypoint_sha256: Option<String>,
    /// Version of sbtool, which the runners are part of.
    pub tool_build_id: &'static str,
}

impl RunnerInfo {
    /// Of the runner that was seen.
    #[must_use]
    pub fn of(seen: &Observation, kind: Option<Kind>) -> Self {
        let refused = seen.markers.apply().is_some_and(|apply| apply.err_class.as_deref() == Some("errno_eperm"));
        Self {
            entrypoint: seen.runner,
            apply_model: if seen.starts_program { "exec_wrapper" } else { "self_apply" },
            apply_timing: if seen.starts_program { "pre_exec" } else { "pre_syscall" },
            preexisting_sandbox_suspected: kind == Some(Kind::AlreadySandboxed) || refused,
            entrypoint_path: seen.command.first().cloned(),
            entrypoint_sha256: None,
            tool_build_id: super::TOOL,
        }
    }
}

/// What the evaluator says, beside what was seen.
#[derive(Clone, Debug, Serialize)]
pub struct PredictionResult {
    /// Its verdict.
    pub verdict: Verdict,
    /// Whether the kernel did that; nothing where it said nothing, or none was asked.
    pub agrees: Option<bool>,
    /// Error numbers that a denial gives by its rule.
    pub denials: Vec<i32>,
    /// Every check up to the one that decides.
    pub checks: Vec<PredictedCheck>,
}

impl PredictionResult {
    /// Of a probe.
    #[must_use]
    pub fn of(record: &ProbeRecord) -> Option<Self> {
        let prediction = record.prediction.as_ref()?;
        let is_observed = record.scenario.is_some() && record.outcome.actual.is_some();
        Some(Self {
            verdict: prediction.verdict,
            agrees: is_observed.then(|| record.agrees()),
            denials: prediction.denials.clone(),
            checks: prediction.checks.clone(),
        })
    }
}

/// What `sandbox_check` says, beside what was seen.
#[derive(Clone, Debug, Serialize)]
pub struct CalloutResult {
    /// Its verdicts, in the order of the questions.
    pub verdicts: Vec<Verdict>,
    /// Whether the kernel did that; nothing where it said nothing.
    pub agrees: Option<bool>,
}

impl CalloutResult {
    /// Of a probe where it was asked and answered.
    #[must_use]
    pub fn of(record: &ProbeRecord) -> Option<Self> {
        let verdicts = record.callouts();
        let agrees = record.outcome.actual.map(|actual| verdicts.iter().all(|verdict| *verdict == actual));
        (!verdicts.is_empty()).then_some(Self { verdicts, agrees })
    }
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
    /// Where the object is.
    pub path_observation: PathObservation,
    /// Nothing is run by the evaluator.
    pub command: Vec<String>,
    /// Nothing is run by the evaluator.
    pub exit_code: Option<i32>,
    /// Standard output of the runner, cut at a bound.
    pub stdout: Option<String>,
    /// Standard error of the runner, markers included, cut at a bound.
    pub stderr: Option<String>,
    /// Bytes of both that were dropped.
    pub dropped_output: Option<u64>,
    /// What the runner says of what it tried.
    pub probe_details: Option<Marker>,
    /// Which rule decided.
    pub decided_by: Option<DecidedBy>,
    /// What the evaluator says.
    pub prediction: Option<PredictionResult>,
    /// What `sandbox_check` says.
    pub sandbox_check: Option<CalloutResult>,
    /// What is wrong with it, the gravest first.
    pub mismatches: Vec<Mismatch>,
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

/// `runtime_results.json`: an object by profile id, in order.
#[must_use]
pub fn results(record: &Record) -> Vec<(String, ProfileResult)> {
    record.profiles.iter().map(|profile| (profile.id.clone(), profile_result(record, profile))).collect()
}

/// The same as JSON.
#[must_use]
pub fn results_json(record: &Record) -> serde_json::Value {
    let json = |(id, result)| (id, super::value(&result));
    serde_json::Value::Object(results(record).into_iter().map(json).collect())
}

/// What is to be said of a profile.
#[must_use]
pub fn notes(profile: &ProfileRecord) -> Option<String> {
    profile.is_blocked().then(|| "preflight blocked: known apply-gate signature".to_owned())
}

/// What is wrong with a probe, in words.
#[must_use]
pub fn violation(record: &ProbeRecord) -> Option<String> {
    let actual = record.outcome.actual.filter(|actual| *actual != record.probe.expected)?;
    Some(format!("expected {}, got {}", record.probe.expected.name(), actual.name()))
}

fn profile_result(record: &Record, profile: &ProfileRecord) -> ProfileResult {
    ProfileResult {
        status: profile.status(),
        notes: notes(profile),
        profile_path: format!("runtime_profiles/{}", profile.runtime_name),
        base_profile_path: profile.profile.blob.clone(),
        preflight: Some(profile.preflight.clone()),
        probes: profile.probes.iter().map(|probe| probe_result(profile, probe)).collect(),
        schema_version: super::version::RUNTIME_RESULTS,
        run_id: record.run_id.clone(),
    }
}

/// How a probe went.
#[must_use]
pub fn runtime_result(record: &ProbeRecord) -> RuntimeResult {
    let outcome = &record.outcome;
    let seen = record.scenario.as_ref();
    let callouts: Vec<Marker> = seen.iter().flat_map(|seen| seen.markers.callouts()).cloned().collect();
    RuntimeResult {
        status: outcome.status,
        errno: outcome.errno,
        errno_source: outcome.errno_source,
        runtime_result_schema_version: 1,
        failure_stage: outcome.stage,
        failure_kind: outcome.kind,
        tool_marker_schema_version: 2,
        apply_report: seen.and_then(ApplyReport::of),
        runner_info: seen.map(|seen| RunnerInfo::of(seen, outcome.kind)),
        seatbelt_callouts: (!callouts.is_empty()).then_some(callouts),
    }
}

fn probe_result(profile: &ProfileRecord, record: &ProbeRecord) -> ProbeResult {
    let probe = &record.probe;
    let seen = record.scenario.as_ref();
    let tried = seen.and_then(|seen| seen.markers.list.iter().rev().find(|marker| marker.stage == Step::Probe));
    ProbeResult {
        name: probe.name.clone(),
        expectation_id: expectation_id(&profile.id, probe),
        operation: probe.operation.clone(),
        path: probe.target.clone(),
        expected: probe.expected,
        actual: record.outcome.actual,
        matches: record.matches(),
        runtime_result: runtime_result(record),
        violation_summary: violation(record),
        path_observation: PathObservation::scenario(record),
        command: seen.map(|seen| seen.command.clone()).unwrap_or_default(),
        exit_code: seen.and_then(|seen| seen.exit.number()),
        stdout: seen.map(|seen| seen.stdout.clone()),
        stderr: seen.map(|seen| seen.stderr.clone()),
        dropped_output: seen.map(|seen| seen.dropped),
        probe_details: tried.cloned(),
        decided_by: record.prediction.as_ref().and_then(|prediction| prediction.decided_by.clone()),
        prediction: PredictionResult::of(record),
        sandbox_check: CalloutResult::of(record),
        mismatches: record.mismatches(profile.is_expected_gated()),
    }
}
