//! In: what was seen without a profile. Out: `baseline_results.json`. Never: a verdict of a policy; what fails
//! here fails by file permissions, or because something is missing.

use serde::Serialize;

use super::Header;
use super::paths::PathObservation;
use crate::probe::matrix::Verdict;
use crate::probe::observation::{Exit, Observation, Step};
use crate::probe::record::{ProbeRecord, Record};

/// `baseline_results.json`.
#[derive(Clone, Debug, Serialize)]
pub struct BaselineResults {
    /// What every artifact begins with.
    #[serde(flatten)]
    pub header: Header,
    /// One for each probe that was tried without its profile; none for the evaluator.
    pub results: Vec<BaselineResult>,
}

/// What a probe was meant to ask.
#[derive(Clone, Debug, Serialize)]
pub struct PrimaryIntent {
    /// The operation.
    pub operation: String,
    /// What it is about.
    pub target: String,
    /// The profile.
    pub profile_id: String,
    /// The probe.
    pub probe_name: String,
}

/// One probe without its profile.
#[derive(Clone, Debug, Serialize)]
pub struct BaselineResult {
    /// `baseline:PROFILE:PROBE`.
    pub name: String,
    /// The profile that was left out.
    pub profile_id: String,
    /// The probe.
    pub probe_name: String,
    /// The operation, as the matrix has it.
    pub operation: String,
    /// The target, as the matrix has it.
    pub target: String,
    /// What was meant to be asked.
    pub primary_intent: PrimaryIntent,
    /// The command line.
    pub command: Vec<String>,
    /// Where the object is.
    #[serde(flatten)]
    pub paths: PathObservation,
    /// `allow` if it was done, `deny` if not; nothing if the runner did not start.
    pub status: Option<Verdict>,
    /// Exit status; a signal is negative.
    pub exit_code: Option<i32>,
    /// Error number of what was tried.
    pub errno: Option<i32>,
    /// Standard output, its first 200 characters.
    pub stdout: String,
    /// Standard error, without markers.
    pub stderr: String,
    /// Whether what was asked for was tried.
    pub reached_primary_op: bool,
    /// `baseline`.
    pub decision_path: &'static str,
}

/// Characters of standard output that are kept (ARTIFACTS.md).
const KEPT: usize = 200;

/// `baseline_results.json` of a run.
#[must_use]
pub fn baseline_results(record: &Record) -> BaselineResults {
    let header = Header::new(record, super::version::BASELINE_RESULTS);
    BaselineResults { header, results: record.probes().filter_map(|(id, probe)| baseline(id, probe)).collect() }
}

/// Whether it was done.
#[must_use]
pub fn baseline_status(seen: &Observation) -> Option<Verdict> {
    match seen.exit {
        Exit::Code(0) => Some(Verdict::Allow),
        Exit::Code(_) | Exit::Signal(_) => Some(Verdict::Deny),
        Exit::Timeout | Exit::NotStarted(_) => None,
    }
}

/// Why not.
#[must_use]
pub fn baseline_errno(seen: &Observation) -> Option<i32> {
    match seen.exit {
        Exit::NotStarted(errno) => Some(errno),
        _ => seen.markers.failed(Step::Probe).or_else(|| seen.markers.failed(Step::Exec)),
    }
}

/// The row of one probe; nothing where it was not tried.
#[must_use]
pub fn baseline(profile: &str, record: &ProbeRecord) -> Option<BaselineResult> {
    let seen = record.baseline.as_ref()?;
    let probe = &record.probe;
    let has_tried = seen.markers.list.iter().any(|marker| marker.stage == Step::Probe);
    Some(BaselineResult {
        name: format!("baseline:{profile}:{}", probe.name),
        profile_id: profile.to_owned(),
        probe_name: probe.name.clone(),
        operation: probe.operation.clone(),
        target: probe.target.clone(),
        primary_intent: PrimaryIntent {
            operation: probe.operation.clone(),
            target: probe.target.clone(),
            profile_id: profile.to_owned(),
            probe_name: probe.name.clone(),
        },
        command: seen.command.clone(),
        paths: PathObservation::baseline(record, seen),
        status: baseline_status(seen),
        exit_code: seen.exit.number(),
        errno: baseline_errno(seen),
        stdout: seen.stdout.chars().take(KEPT).collect(),
        stderr: seen.stderr_without_markers(),
        reached_primary_op: has_tried || seen.exit == Exit::Code(0),
        decision_path: "baseline",
    })
}
