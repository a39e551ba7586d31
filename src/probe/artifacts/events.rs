//! In: a record. Out: `runtime_events.normalized.json`: one flat row for each probe, keys sorted, what is not
//! known left out. Never: markers in what a program printed.

use serde::Serialize;
use serde_json::Value;

use super::expectation_id;
use super::paths::PathObservation;
use super::results::{self, ApplyReport, CalloutResult, PredictionResult, Preflight, RunnerInfo};
use crate::probe::matrix::Verdict;
use crate::probe::observation::Marker;
use crate::probe::record::{Mismatch, ProbeRecord, ProfileRecord, Record};
use crate::probe::stage::{ErrnoSource, Kind, ResultStatus, Stage};

/// One row.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Which run.
    pub run_id: String,
    /// Which system.
    pub world_id: String,
    /// The profile.
    pub profile_id: String,
    /// The probe.
    pub probe_name: String,
    /// The expectation, as the name of what was done.
    pub scenario_id: String,
    /// The expectation.
    pub expectation_id: String,
    /// The operation, as the matrix has it.
    pub operation: String,
    /// The target, as the matrix has it.
    pub target: String,
    /// Where the object is.
    #[serde(flatten)]
    pub paths: PathObservation,
    /// What should come out.
    pub expected: Verdict,
    /// What came out.
    pub actual: Option<Verdict>,
    /// Whether the two are the same.
    #[serde(rename = "match")]
    pub matches: Option<bool>,
    /// How it went.
    pub runtime_status: ResultStatus,
    /// The error number, where it failed.
    pub errno: Option<i32>,
    /// Who says so.
    pub errno_source: Option<ErrnoSource>,
    /// Where it failed.
    pub failure_stage: Option<Stage>,
    /// How it failed.
    pub failure_kind: Option<Kind>,
    /// Whether a verdict about the operation came out.
    pub intended_op_witnessed: bool,
    /// How applying went.
    pub apply_report: Option<ApplyReport>,
    /// What preflight said.
    pub preflight: Preflight,
    /// Which runner it was.
    pub runner_info: Option<RunnerInfo>,
    /// The command line; nothing ran where it is empty.
    pub command: Vec<String>,
    /// Standard output.
    pub stdout: Option<String>,
    /// Standard error, without markers.
    pub stderr: Option<String>,
    /// Bytes of both that were dropped.
    pub dropped_output: Option<u64>,
    /// What the evaluator says.
    pub prediction: Option<PredictionResult>,
    /// What `sandbox_check` says.
    pub sandbox_check: Option<CalloutResult>,
    /// Its answers, as the runner says.
    pub seatbelt_callouts: Option<Vec<Marker>>,
    /// What is wrong, the gravest first.
    pub mismatches: Vec<Mismatch>,
    /// What else is to be said.
    pub notes: Option<String>,
}

/// `runtime_events.normalized.json` of a run.
#[must_use]
pub fn events(record: &Record) -> Vec<Value> {
    let of = |profile| move |probe| super::sorted(&event(record, profile, probe));
    record.profiles.iter().flat_map(|profile| profile.probes.iter().map(of(profile))).collect()
}

fn event(record: &Record, profile: &ProfileRecord, one: &ProbeRecord) -> Event {
    let result = results::runtime_result(one);
    let seen = one.scenario.as_ref();
    Event {
        run_id: record.run_id.clone(),
        world_id: record.matrix.world_id.clone(),
        profile_id: profile.id.clone(),
        probe_name: one.probe.name.clone(),
        scenario_id: expectation_id(&profile.id, &one.probe),
        expectation_id: expectation_id(&profile.id, &one.probe),
        operation: one.probe.operation.clone(),
        target: one.probe.target.clone(),
        paths: PathObservation::scenario(one),
        expected: one.probe.expected,
        actual: one.outcome.actual,
        matches: one.matches(),
        runtime_status: result.status,
        errno: result.errno,
        errno_source: result.errno_source,
        failure_stage: result.failure_stage,
        failure_kind: result.failure_kind,
        intended_op_witnessed: seen.is_some() && one.outcome.actual.is_some(),
        apply_report: result.apply_report,
        preflight: profile.preflight.clone(),
        runner_info: result.runner_info,
        command: seen.map(|seen| seen.command.clone()).unwrap_or_default(),
        stdout: seen.map(|seen| seen.stdout.clone()),
        stderr: seen.map(|seen| seen.stderr_without_markers()),
        dropped_output: seen.map(|seen| seen.dropped),
        prediction: PredictionResult::of(one),
        sandbox_check: CalloutResult::of(one),
        seatbelt_callouts: result.seatbelt_callouts,
        mismatches: one.mismatches(profile.is_expected_gated()),
        notes: results::notes(profile),
    }
}
