//! In: what runners opened. Out: where that really is, beside the path that was asked for, and
//! `path_witnesses.json`. Never: a path that nobody saw; who saw one is said with it.

use serde::Serialize;

use super::Header;
use super::expectation_id;
use crate::probe::matrix::Verdict;
use crate::probe::observation::{Exit, Observation};
use crate::probe::record::{ProbeRecord, Record};
use crate::probe::stage::{Kind, Stage};

/// Where the object of a probe is (RUNTIME.md part 3, "Witness fields").
#[derive(Clone, Debug, Serialize)]
pub struct PathObservation {
    /// As the matrix has it.
    pub requested_path: String,
    /// `F_GETPATH` of what was opened.
    pub observed_path: Option<String>,
    /// Who saw that: `probe_fgetpath:present` under the profile, `unsandboxed_fd_path` without it,
    /// `probe_fgetpath:missing`, `unsandboxed_error`; `not_run` where no runner was.
    pub observed_path_source: &'static str,
    /// Why not.
    pub observed_path_errno: Option<i32>,
    /// `F_GETPATH_NOFIRMLINK` of it.
    pub observed_path_nofirmlink: Option<String>,
    /// Who saw that.
    pub observed_path_nofirmlink_source: &'static str,
    /// Why not.
    pub observed_path_nofirmlink_errno: Option<i32>,
    /// The observed path, or the requested one.
    pub normalized_path: String,
    /// Which: `observed_path` or `requested_path`.
    pub normalized_path_source: &'static str,
}

type Seen<'a> = Option<&'a Result<String, i32>>;

impl PathObservation {
    /// Under the profile. Where nothing was opened there, the path that was seen without it stands in, and says
    /// so.
    #[must_use]
    pub fn scenario(record: &ProbeRecord) -> Self {
        let Some(seen) = &record.scenario else { return Self::new(record, (None, "not_run"), (None, "not_run")) };
        let (path, other) = (seen.opened.path.as_ref(), seen.opened.without_firmlinks.as_ref());
        let without = record.baseline.as_ref().and_then(|seen| seen.opened.path.as_ref());
        let observed = match (path, without) {
            (Some(Ok(_)), _) => (path, "probe_fgetpath:present"),
            (_, Some(Ok(_))) => (without, "unsandboxed_fd_path"),
            _ => (path, "probe_fgetpath:missing"),
        };
        let is_there = matches!(other, Some(Ok(_)));
        let source = if is_there { "probe_fgetpath_nofirmlink:present" } else { "probe_fgetpath_nofirmlink:missing" };
        Self::new(record, observed, (other, source))
    }

    /// Without the profile.
    #[must_use]
    pub fn baseline(record: &ProbeRecord, seen: &Observation) -> Self {
        let source = |path: Seen<'_>, other| if matches!(path, Some(Ok(_))) { "unsandboxed_fd_path" } else { other };
        let (path, other) = (seen.opened.path.as_ref(), seen.opened.without_firmlinks.as_ref());
        let observed = (path, source(path, "unsandboxed_error"));
        Self::new(record, observed, (other, source(other, "unsandboxed_unavailable")))
    }

    fn new(record: &ProbeRecord, observed: (Seen<'_>, &'static str), other: (Seen<'_>, &'static str)) -> Self {
        let path = |seen: Seen<'_>| seen.and_then(|seen| seen.as_ref().ok()).cloned();
        let errno = |seen: Seen<'_>| seen.and_then(|seen| seen.as_ref().err()).copied();
        let observed_path = path(observed.0);
        Self {
            requested_path: record.probe.target.clone(),
            observed_path_source: observed.1,
            observed_path_errno: errno(observed.0),
            observed_path_nofirmlink: path(other.0),
            observed_path_nofirmlink_source: other.1,
            observed_path_nofirmlink_errno: errno(other.0),
            normalized_path: observed_path.clone().unwrap_or_else(|| record.probe.target.clone()),
            normalized_path_source: if observed_path.is_some() { "observed_path" } else { "requested_path" },
            observed_path,
        }
    }
}

/// How the spellings of a path differ.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Canonicalization {
    /// Whether the two are one path by the symlinks of a Mac's root: `/tmp`, `/var`, `/etc`.
    pub alias_pair: bool,
    /// Whether the path without firmlinks is another one.
    pub nofirmlink_differs: bool,
}

impl Canonicalization {
    /// Of a path that was seen.
    #[must_use]
    pub fn of(paths: &PathObservation) -> Option<Self> {
        let observed = paths.observed_path.as_ref()?;
        let aliases = ["/tmp", "/var", "/etc"];
        let alias_pair = observed.strip_prefix("/private").is_some_and(|rest| {
            rest == paths.requested_path && aliases.iter().any(|alias| std::path::Path::new(rest).starts_with(alias))
        });
        let nofirmlink_differs = paths.observed_path_nofirmlink.as_ref().is_some_and(|path| path != observed);
        Some(Self { alias_pair, nofirmlink_differs })
    }
}

/// `path_witnesses.json`.
#[derive(Clone, Debug, Serialize)]
pub struct PathWitnesses {
    /// What every artifact begins with.
    #[serde(flatten)]
    pub header: Header,
    /// One for each runner that was asked for a file; none where nothing ran.
    pub records: Vec<PathWitness>,
}

/// One record of `path_witnesses.json`.
#[derive(Clone, Debug, Serialize)]
pub struct PathWitness {
    /// `runtime-tools.path_witness.v0.1`.
    pub schema_version: &'static str,
    /// `scenario`, or `baseline`.
    pub lane: &'static str,
    /// The profile.
    pub profile_id: String,
    /// The expectation.
    pub scenario_id: String,
    /// The operation, as the matrix has it.
    pub operation: String,
    /// Where the object is.
    #[serde(flatten)]
    pub paths: PathObservation,
    /// How its spellings differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canonicalization: Option<Canonicalization>,
    /// What came out; in the baseline whether it was done at all.
    pub decision: Option<Verdict>,
    /// The error number.
    pub errno: Option<i32>,
    /// Where it failed.
    pub failure_stage: Option<Stage>,
    /// How it failed.
    pub failure_kind: Option<Kind>,
    /// The command line.
    pub command: Vec<String>,
}

/// `path_witnesses.json` of a run.
#[must_use]
pub fn path_witnesses(record: &Record) -> PathWitnesses {
    let header = Header::new(record, super::version::PATH_WITNESSES);
    PathWitnesses { header, records: record.probes().flat_map(|(id, probe)| witnesses(id, probe)).collect() }
}

fn witnesses(profile: &str, record: &ProbeRecord) -> Vec<PathWitness> {
    let probe = &record.probe;
    if !probe.operation.starts_with("file-") && !probe.operation.starts_with("process-exec") {
        return Vec::new();
    }
    let witness = |lane, paths: PathObservation, seen: &Observation| PathWitness {
        schema_version: super::version::PATH_WITNESS,
        lane,
        profile_id: profile.to_owned(),
        scenario_id: expectation_id(profile, probe),
        operation: probe.operation.clone(),
        canonicalization: Canonicalization::of(&paths),
        paths,
        decision: None,
        errno: None,
        failure_stage: None,
        failure_kind: None,
        command: seen.command.clone(),
    };
    let mut out = Vec::new();
    if let Some(seen) = &record.scenario {
        let outcome = &record.outcome;
        out.push(PathWitness {
            decision: outcome.actual,
            errno: outcome.errno,
            failure_stage: outcome.stage,
            failure_kind: outcome.kind,
            ..witness("scenario", PathObservation::scenario(record), seen)
        });
    }
    if let Some(seen) = &record.baseline {
        out.push(PathWitness {
            decision: super::lanes::baseline_status(seen),
            errno: super::lanes::baseline_errno(seen),
            failure_stage: (seen.exit != Exit::Code(0)).then_some(Stage::Probe),
            ..witness("baseline", PathObservation::baseline(record, seen), seen)
        });
    }
    out
}
