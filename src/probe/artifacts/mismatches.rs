//! In: a record. Out: `mismatch_summary.json` and `mismatch_packets.jsonl`: what is not as it should be, and for
//! each why that may be. Never: a cause that nothing shows; what is left is called an expectation too strong.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::expectation_id;
use super::lanes::{self, BaselineResult};
use super::paths::{Canonicalization, PathObservation};
use super::results;
use crate::probe::matrix::Verdict;
use crate::probe::record::{Mismatch, ProbeRecord, ProfileRecord, Record};
use crate::probe::stage::{Kind, ResultStatus, Stage};

/// `mismatch_summary.json`.
#[derive(Clone, Debug, Serialize)]
pub struct MismatchSummary {
    /// Which system.
    pub world_id: String,
    /// Who wrote this.
    pub generated_by: &'static str,
    /// One for each mismatch; a probe may have several.
    pub mismatches: Vec<MismatchRow>,
    /// How many of each type.
    pub counts: BTreeMap<&'static str, usize>,
}

/// One mismatch.
#[derive(Clone, Debug, Serialize)]
pub struct MismatchRow {
    /// Which system.
    pub world_id: String,
    /// The profile.
    pub profile_id: String,
    /// The expectation.
    pub expectation_id: String,
    /// The operation, as the matrix has it.
    pub operation: String,
    /// The target, as the matrix has it.
    pub path: String,
    /// What should come out.
    pub expected: Verdict,
    /// What came out.
    pub actual: Option<Verdict>,
    /// What the evaluator says.
    pub predicted: Option<Verdict>,
    /// What is wrong.
    pub mismatch_type: Mismatch,
    /// The same in words.
    pub violation_summary: Option<String>,
    /// Standard error of the runner, or what preflight said.
    pub notes: Option<String>,
}

/// Why a mismatch may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// What it is about was never come to.
    OpNotWitnessed,
    /// The kernel did otherwise than the evaluator says.
    PredictionDisagreement,
    /// A symlink on the way may not be looked at.
    CanonicalizationBoundary,
    /// It fails without a profile as well.
    AmbientPlatformRestriction,
    /// `sandbox_check` says otherwise.
    CapturePipelineDisagreement,
    /// Nothing of that: the matrix expects what is not so.
    ExpectationTooStrong,
}

/// One line of `mismatch_packets.jsonl`.
#[derive(Clone, Debug, Serialize)]
pub struct MismatchPacket {
    /// `runtime-tools.mismatch_packet.v0.1`.
    pub schema_version: &'static str,
    /// The expectation.
    pub expectation_id: String,
    /// What was expected.
    pub expected: ExpectedDecision,
    /// What happened.
    pub decision_event: DecisionEvent,
    /// The same without a profile.
    pub baseline: Option<BaselineResult>,
    /// What `sandbox_check` says.
    pub oracle_check: Option<OracleCheck>,
    /// How the spellings of the path differ.
    pub canonicalization: Option<Canonicalization>,
    /// What is wrong.
    pub mismatch_type: Mismatch,
    /// Why that may be.
    pub mismatch_reason: Reason,
    /// Which run.
    pub run_context: RunContext,
}

/// What was expected of a probe.
#[derive(Clone, Debug, Serialize)]
pub struct ExpectedDecision {
    /// Its name.
    pub expectation_id: String,
    /// The verdict.
    pub expected_decision: Verdict,
    /// What it is about.
    pub target: String,
}

/// What happened, in short.
#[derive(Clone, Debug, Serialize)]
pub struct DecisionEvent {
    /// The expectation, as the name of what was done.
    pub scenario_id: String,
    /// The profile.
    pub profile_id: String,
    /// The probe.
    pub probe_name: String,
    /// The operation, as the matrix has it.
    pub operation: String,
    /// The target, as the matrix has it.
    pub target: String,
    /// The path that was asked for.
    pub requested_path: String,
    /// The path that was seen.
    pub observed_path: Option<String>,
    /// That, or the requested one.
    pub normalized_path: String,
    /// How it went.
    pub runtime_status: ResultStatus,
    /// Where it failed.
    pub failure_stage: Option<Stage>,
    /// How it failed.
    pub failure_kind: Option<Kind>,
    /// What came out.
    pub decision: Option<Verdict>,
    /// What the evaluator says.
    pub predicted: Option<Verdict>,
    /// The error number.
    pub errno: Option<i32>,
    /// Which backend decided.
    pub source: &'static str,
}

/// An answer of `sandbox_check`.
#[derive(Clone, Debug, Serialize)]
pub struct OracleCheck {
    /// `allow`, `deny` or `error`.
    pub decision: Option<String>,
    /// When it was asked: `pre_syscall`.
    pub stage: &'static str,
    /// Number of the kind of subject, with its flags.
    pub filter_type: Option<i64>,
    /// Name of that kind.
    pub filter_type_name: Option<String>,
    /// The subject.
    pub argument: Option<String>,
}

/// Which run a packet is of.
#[derive(Clone, Debug, Serialize)]
pub struct RunContext {
    /// Which run.
    pub run_id: String,
    /// Where the runners ran.
    pub channel: &'static str,
    /// Which system.
    pub world_id: String,
    /// Nothing: no repository is looked at.
    pub repo_root_context: Option<String>,
    /// Where the rest stands.
    pub run_manifest: &'static str,
}

type Found<'a> = (&'a ProfileRecord, &'a ProbeRecord, Mismatch);

fn found(record: &Record) -> impl Iterator<Item = Found<'_>> {
    record.profiles.iter().flat_map(|profile| {
        let gated = profile.is_expected_gated();
        let of = move |probe: &'_ ProbeRecord| probe.mismatches(gated);
        profile.probes.iter().flat_map(move |probe| of(probe).into_iter().map(move |what| (profile, probe, what)))
    })
}

/// How many mismatches of each type a run has.
#[must_use]
pub fn counts(record: &Record) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for (_, _, what) in found(record) {
        *counts.entry(what.name()).or_default() += 1;
    }
    counts
}

/// `mismatch_summary.json` of a run.
#[must_use]
pub fn mismatch_summary(record: &Record) -> MismatchSummary {
    let row = |(profile, one, what): Found<'_>| MismatchRow {
        world_id: record.matrix.world_id.clone(),
        profile_id: profile.id.clone(),
        expectation_id: expectation_id(&profile.id, &one.probe),
        operation: one.probe.operation.clone(),
        path: one.probe.target.clone(),
        expected: one.probe.expected,
        actual: one.outcome.actual,
        predicted: one.prediction.as_ref().map(|prediction| prediction.verdict),
        mismatch_type: what,
        violation_summary: results::violation(one),
        notes: one.scenario.as_ref().map(|seen| seen.stderr.clone()).or_else(|| results::notes(profile)),
    };
    MismatchSummary {
        world_id: record.matrix.world_id.clone(),
        generated_by: super::TOOL,
        mismatches: found(record).map(row).collect(),
        counts: counts(record),
    }
}

/// `mismatch_packets.jsonl` of a run, line by line.
#[must_use]
pub fn mismatch_packets(record: &Record) -> Vec<Value> {
    found(record).map(|found| super::sorted(&packet(record, found))).collect()
}

/// The order of an older tool (ARTIFACTS.md), with two differences: a disagreement with the evaluator has a
/// reason of its own, and what fails without a profile just so is called that, not unwitnessed.
fn reason(one: &ProbeRecord, what: Mismatch) -> Reason {
    let fails_without = one.baseline.as_ref().is_some_and(|seen| lanes::baseline_status(seen) == Some(Verdict::Deny));
    let checks = one.prediction.iter().flat_map(|prediction| &prediction.checks);
    let stops_on_the_way = checks.clone().any(|check| check.is_crossing && check.verdict == Verdict::Deny);
    match what {
        Mismatch::PredictionDiffers => Reason::PredictionDisagreement,
        Mismatch::CalloutDiffers => Reason::CapturePipelineDisagreement,
        Mismatch::NotWitnessed if one.outcome.kind == Some(Kind::Ambient) => Reason::AmbientPlatformRestriction,
        Mismatch::NotWitnessed => Reason::OpNotWitnessed,
        Mismatch::UnexpectedDeny if stops_on_the_way => Reason::CanonicalizationBoundary,
        Mismatch::UnexpectedDeny | Mismatch::PreflightBlocked if fails_without => Reason::AmbientPlatformRestriction,
        Mismatch::UnexpectedDeny | Mismatch::UnexpectedAllow if one.callouts_differ() => {
            Reason::CapturePipelineDisagreement
        }
        Mismatch::UnexpectedDeny | Mismatch::UnexpectedAllow | Mismatch::PreflightBlocked | Mismatch::NotBlocked => {
            Reason::ExpectationTooStrong
        }
    }
}

fn packet(record: &Record, (profile, one, what): Found<'_>) -> MismatchPacket {
    let id = expectation_id(&profile.id, &one.probe);
    let paths = PathObservation::scenario(one);
    let callout = one.scenario.as_ref().and_then(|seen| seen.markers.callouts().first().copied().cloned());
    MismatchPacket {
        schema_version: super::version::MISMATCH_PACKET,
        expectation_id: id.clone(),
        expected: ExpectedDecision {
            expectation_id: id.clone(),
            expected_decision: one.probe.expected,
            target: one.probe.target.clone(),
        },
        canonicalization: Canonicalization::of(&paths),
        decision_event: DecisionEvent {
            scenario_id: id,
            profile_id: profile.id.clone(),
            probe_name: one.probe.name.clone(),
            operation: one.probe.operation.clone(),
            target: one.probe.target.clone(),
            requested_path: paths.requested_path,
            observed_path: paths.observed_path,
            normalized_path: paths.normalized_path,
            runtime_status: one.outcome.status,
            failure_stage: one.outcome.stage,
            failure_kind: one.outcome.kind,
            decision: one.outcome.actual,
            predicted: one.prediction.as_ref().map(|prediction| prediction.verdict),
            errno: one.outcome.errno,
            source: record.backend.name(),
        },
        baseline: lanes::baseline(&profile.id, one),
        oracle_check: callout.map(|marker| OracleCheck {
            decision: marker.decision,
            stage: "pre_syscall",
            filter_type: marker.check_type,
            filter_type_name: marker.filter_type_name,
            argument: marker.argument,
        }),
        mismatch_type: what,
        mismatch_reason: reason(one, what),
        run_context: RunContext {
            run_id: record.run_id.clone(),
            channel: record.channel.name(),
            world_id: record.matrix.world_id.clone(),
            repo_root_context: None,
            run_manifest: "run_manifest.json",
        },
    }
}
