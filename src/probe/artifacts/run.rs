//! In: a record. Out: what is said of a run as a whole: `run_manifest.json`, `apply_preflight.json`,
//! `run_status.json`, `summary.json`. Never: a single probe.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::results::{ApplyReport, RunnerInfo};
use super::{Header, mismatches};
use crate::probe::Plan;
use crate::probe::record::{Channel, Record};
use crate::probe::stage::Stage;

/// `run_manifest.json`.
#[derive(Clone, Debug, Serialize)]
pub struct RunManifest {
    /// `runtime-tools.run_manifest.v0.1`.
    pub schema_version: &'static str,
    /// Which run: made of the inputs, so the same inputs give the same run.
    pub run_id: String,
    /// Which system.
    pub world_id: String,
    /// `direct` or `launchd_clean`.
    pub channel: &'static str,
    /// What decided.
    pub backend: &'static str,
    /// Name of the matrix.
    pub plan_id: String,
    /// SHA-256 of the matrix.
    pub plan_digest: String,
    /// False: the probes were decided.
    pub dry_run: bool,
    /// Whether the run was made in a copy elsewhere (channel launchd_clean).
    pub stage_used: bool,
    /// Where to; nothing.
    pub stage_root: Option<String>,
    /// Nothing: no repository is looked at.
    pub repo_root_context: Option<String>,
    /// Where artifacts were before they were copied back; nothing.
    pub staged_output_root: Option<String>,
    /// The folder that was named for the artifacts.
    pub output_root: String,
    /// Release whose vocabulary was used.
    pub release: String,
    /// Version of sbtool.
    pub tool_version: &'static str,
    /// Whether a harmless profile can be applied.
    pub apply_preflight: ManifestPreflight,
}

/// `apply_preflight.json` in the manifest.
#[derive(Clone, Debug, Serialize)]
pub struct ManifestPreflight {
    /// Its file.
    pub path: &'static str,
    /// What it says.
    pub record: ApplyPreflightRecord,
}

/// `run_manifest.json` of a run.
#[must_use]
pub fn manifest(record: &Record, out: &Path) -> RunManifest {
    RunManifest {
        schema_version: super::version::RUN_MANIFEST,
        run_id: record.run_id.clone(),
        world_id: record.matrix.world_id.clone(),
        channel: record.channel.name(),
        backend: record.backend.name(),
        plan_id: record.plan_id.clone(),
        plan_digest: record.plan_digest.clone(),
        dry_run: false,
        stage_used: record.channel == Channel::LaunchdClean,
        stage_root: None,
        repo_root_context: None,
        staged_output_root: None,
        output_root: out.display().to_string(),
        release: record.release.clone(),
        tool_version: env!("CARGO_PKG_VERSION"),
        apply_preflight: ManifestPreflight { path: "apply_preflight.json", record: apply_preflight(record) },
    }
}

/// `apply_preflight.json`.
#[derive(Clone, Debug, Serialize)]
pub struct ApplyPreflightRecord {
    /// What every artifact begins with.
    #[serde(flatten)]
    pub header: Header,
    /// The harmless profile.
    pub profile: Option<String>,
    /// Which runner applied it.
    pub runner: Option<RunnerInfo>,
    /// Whether the harness itself is under a profile.
    pub sandbox_check_self: SelfCheck,
    /// `success`, `errno`, `blocked`; `not_run` by the evaluator.
    pub status: &'static str,
    /// The command line.
    pub command: Vec<String>,
    /// Exit status; a signal is negative.
    pub exit_code: Option<i32>,
    /// Standard output.
    pub stdout: Option<String>,
    /// Standard error, markers included.
    pub stderr: Option<String>,
    /// How applying went.
    pub apply_report: Option<ApplyReport>,
    /// Which process said so.
    pub apply_marker_pid: Option<u32>,
    /// Whether the profile was in force; nothing where none was applied.
    pub apply_ok: Option<bool>,
    /// Where it failed.
    pub failure_stage: Option<Stage>,
}

/// Whether the harness itself is under a profile.
#[derive(Clone, Debug, Serialize)]
pub struct SelfCheck {
    /// Who was asked.
    pub source: &'static str,
    /// The answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandboxed: Option<bool>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
}

/// `apply_preflight.json` of a run. Where nothing is applied it says so.
#[must_use]
pub fn apply_preflight(record: &Record) -> ApplyPreflightRecord {
    let header = Header::new(record, super::version::APPLY_PREFLIGHT);
    let Some(done) = &record.apply_preflight else {
        return ApplyPreflightRecord {
            header,
            profile: None,
            runner: None,
            sandbox_check_self: SelfCheck { source: "none", sandboxed: None, error: Some("nothing is applied") },
            status: "not_run",
            command: Vec::new(),
            exit_code: None,
            stdout: None,
            stderr: None,
            apply_report: None,
            apply_marker_pid: None,
            apply_ok: None,
            failure_stage: None,
        };
    };
    let error = done.is_sandboxed.is_none().then_some("nothing on this system can tell");
    let source = if done.is_sandboxed.is_some() { "sandbox_check" } else { "none" };
    ApplyPreflightRecord {
        header,
        profile: Some(done.profile.clone()),
        runner: Some(RunnerInfo::of(&done.seen, done.outcome.kind)),
        sandbox_check_self: SelfCheck { source, sandboxed: done.is_sandboxed, error },
        status: done.outcome.status.name(),
        command: done.seen.command.clone(),
        exit_code: done.seen.exit.number(),
        stdout: Some(done.seen.stdout.clone()),
        stderr: Some(done.seen.stderr.clone()),
        apply_report: ApplyReport::of(&done.seen),
        apply_marker_pid: done.seen.markers.apply().map(|marker| marker.pid),
        apply_ok: Some(done.seen.markers.is_applied()),
        failure_stage: done.outcome.stage,
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Under way, or its process was killed.
    InProgress,
    /// Everything is written.
    Complete,
    /// It ended without results.
    Failed,
}

/// `run_status.json`.
#[derive(Clone, Debug, Serialize)]
pub struct RunStatus {
    /// `runtime-tools.run_status.v0.1`.
    pub schema_version: &'static str,
    /// Which run; nothing until the profiles are read, since it is made of them.
    pub run_id: Option<String>,
    /// Which system.
    pub world_id: String,
    /// Where the runners run.
    pub channel: &'static str,
    /// Name of the matrix.
    pub plan_id: String,
    /// SHA-256 of the matrix.
    pub plan_digest: String,
    /// How far it is.
    pub state: State,
    /// Process that writes.
    pub writer_pid: u32,
    /// When this was said, in seconds since 1970.
    pub updated_at_unix: f64,
    /// Why it failed.
    pub error: Option<String>,
    /// While doing what: `run` or `write`.
    pub failure_stage: Option<&'static str>,
}

impl RunStatus {
    /// A run that begins.
    #[must_use]
    pub fn begin(plan: &Plan<'_>, channel: Channel) -> Self {
        Self {
            schema_version: super::version::RUN_STATUS,
            run_id: None,
            world_id: plan.matrix.world_id.clone(),
            channel: channel.name(),
            plan_id: plan.name.to_owned(),
            plan_digest: plan.digest(),
            state: State::InProgress,
            writer_pid: std::process::id(),
            updated_at_unix: 0.0,
            error: None,
            failure_stage: None,
        }
    }

    /// The same in another state, now.
    #[must_use]
    pub fn now(&self, state: State) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { state, updated_at_unix: since.as_secs_f64(), ..self.clone() }
    }
}

/// `summary.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// What every artifact begins with.
    #[serde(flatten)]
    pub header: Header,
    /// `ok` if everything is as the matrix expects, `partial` if not, `failed` if nothing could be applied.
    pub status: &'static str,
    /// Name of the matrix.
    pub plan_id: String,
    /// SHA-256 of the matrix.
    pub plan_digest: String,
    /// Where the runners ran.
    pub channel: &'static str,
    /// What decided.
    pub backend: &'static str,
    /// What was done.
    pub lanes: Lanes,
    /// How many profiles.
    pub profile_count: usize,
    /// How many probes.
    pub scenario_count: usize,
    /// Ids of the profiles.
    pub expected_profiles: Vec<String>,
    /// How many mismatches of each type.
    pub mismatch_counts: BTreeMap<&'static str, usize>,
    /// False: the probes were decided.
    pub dry_run: bool,
}

/// What was done.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Lanes {
    /// Probes without a profile.
    pub baseline: bool,
    /// Probes under their profile.
    pub scenario: bool,
    /// Questions to `sandbox_check`.
    pub oracle: bool,
}

/// Status of a run in a word.
#[must_use]
pub fn status(record: &Record) -> &'static str {
    match () {
        () if record.is_blocked() => "failed",
        () if record.is_as_expected() => "ok",
        () => "partial",
    }
}

/// `summary.json` of a run.
#[must_use]
pub fn summary(record: &Record) -> Summary {
    let has = |what: fn(&crate::probe::record::ProbeRecord) -> bool| record.probes().any(|(_, probe)| what(probe));
    Summary {
        header: Header::new(record, super::version::SUMMARY),
        status: status(record),
        plan_id: record.plan_id.clone(),
        plan_digest: record.plan_digest.clone(),
        channel: record.channel.name(),
        backend: record.backend.name(),
        lanes: Lanes {
            baseline: has(|probe| probe.baseline.is_some()),
            scenario: has(|probe| probe.scenario.is_some()),
            oracle: has(|probe| probe.scenario.iter().any(|seen| !seen.markers.callouts().is_empty())),
        },
        profile_count: record.profiles.len(),
        scenario_count: record.probes().count(),
        expected_profiles: record.matrix.profiles.iter().map(|(id, _)| id.clone()).collect(),
        mismatch_counts: mismatches::counts(record),
        dry_run: false,
    }
}
