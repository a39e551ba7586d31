//! In: nothing. Out: [`Record`]: everything that a probe run found, as data. Never: JSON; `artifacts` makes
//! that of it.

use serde::{Serialize, Serializer};

use super::artifacts::{DecidedBy, GoldenDecode, Preflight};
use super::matrix::{Matrix, Probe, Profile, Verdict};
use super::observation::Observation;
use super::stage::Outcome;
use crate::sbpl::Diagnostic;

/// Who decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// sbtool's own evaluator; nothing is run.
    Evaluator,
    /// Linux's kernel.
    Linux,
    /// The libsandbox of this system, or the one that is named.
    Libsandbox,
}

impl Backend {
    /// The word on the command line and in artifacts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Evaluator => "evaluator",
            Self::Linux => "linux",
            Self::Libsandbox => "libsandbox",
        }
    }
}

/// Where the runners run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// As children of the harness.
    Direct,
    /// From a job of launchd, which nobody's sandbox covers (macOS).
    LaunchdClean,
}

impl Channel {
    /// The variable by which a job of launchd is told that it is one (RUNTIME.md part 2, "Channels").
    pub const VARIABLE: &str = "SANDBOX_LORE_CHANNEL";

    /// The one that this process is part of.
    #[must_use]
    pub fn of_environment() -> Self {
        let told = std::env::var_os(Self::VARIABLE);
        if told.is_some_and(|told| told == Self::LaunchdClean.name()) { Self::LaunchdClean } else { Self::Direct }
    }

    /// The word on the command line and in artifacts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::LaunchdClean => "launchd_clean",
        }
    }
}

/// A run of a matrix.
#[derive(Debug)]
pub struct Record {
    /// The matrix, and its bytes.
    pub matrix: Matrix,
    /// Name of the matrix.
    pub plan_id: String,
    /// SHA-256 of the matrix, in hexadecimal.
    pub plan_digest: String,
    /// Which run.
    pub run_id: String,
    /// Who decided.
    pub backend: Backend,
    /// Where the runners ran.
    pub channel: Channel,
    /// Release whose vocabulary was used.
    pub release: String,
    /// Results, in the order of the matrix.
    pub profiles: Vec<ProfileRecord>,
    /// Whether a harmless profile can be applied at all; nothing for the evaluator.
    pub apply_preflight: Option<ApplyPreflight>,
    /// Notes and warnings about profiles.
    pub notes: Vec<Diagnostic>,
}

/// That a harmless profile was applied, or why not.
#[derive(Clone, Debug)]
pub struct ApplyPreflight {
    /// Its text.
    pub profile: String,
    /// What was seen of the runner.
    pub seen: Observation,
    /// What that amounts to.
    pub outcome: Outcome,
    /// Whether the harness itself is under a profile; nothing where nobody can tell.
    pub is_sandboxed: Option<bool>,
}

/// One profile of a run.
#[derive(Clone, Debug)]
pub struct ProfileRecord {
    /// Its id.
    pub id: String,
    /// As the matrix has it.
    pub profile: Profile,
    /// File name of the text or blob that was used.
    pub runtime_name: String,
    /// Its bytes.
    pub runtime: Vec<u8>,
    /// The decode fields of its blob.
    pub decode: GoldenDecode,
    /// What the scan found.
    pub preflight: Preflight,
    /// Results, in the order of the matrix.
    pub probes: Vec<ProbeRecord>,
}

/// One probe of a run.
#[derive(Clone, Debug)]
pub struct ProbeRecord {
    /// As the matrix has it.
    pub probe: Probe,
    /// What the evaluator says; nothing where the profile is not applied.
    pub prediction: Option<Prediction>,
    /// What was seen under the profile; nothing for the evaluator, and where nothing was run.
    pub scenario: Option<Observation>,
    /// What was seen without it.
    pub baseline: Option<Observation>,
    /// What that amounts to.
    pub outcome: Outcome,
}

/// A verdict of the evaluator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// What it is.
    pub verdict: Verdict,
    /// By which rule.
    pub decided_by: Option<DecidedBy>,
    /// Every check up to the one that decides, in order.
    pub checks: Vec<PredictedCheck>,
    /// Error numbers that a denial gives by its rule; EPERM where that says nothing.
    pub denials: Vec<i32>,
}

/// One check of the evaluator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PredictedCheck {
    /// The operation checked.
    pub operation: String,
    /// What for.
    pub subject: Option<String>,
    /// A symlink on the way.
    pub is_crossing: bool,
    /// What came out.
    pub verdict: Verdict,
}

/// Why a probe is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mismatch {
    /// Nothing ran, against what the matrix expects of the profile.
    PreflightBlocked,
    /// The matrix expects that nothing runs, and preflight let it.
    NotBlocked,
    /// What it is about was never come to.
    NotWitnessed,
    /// A denial where none is expected.
    UnexpectedDeny,
    /// None where one is expected.
    UnexpectedAllow,
    /// The evaluator and the kernel disagree.
    PredictionDiffers,
    /// `sandbox_check` and the kernel disagree.
    CalloutDiffers,
}

impl Mismatch {
    /// The word in artifacts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PreflightBlocked => "preflight_blocked",
            Self::NotBlocked => "preflight_not_blocked",
            Self::NotWitnessed => "op_not_witnessed",
            Self::UnexpectedDeny => "unexpected_deny",
            Self::UnexpectedAllow => "unexpected_allow",
            Self::PredictionDiffers => "prediction_disagreement",
            Self::CalloutDiffers => "capture_pipeline_disagreement",
        }
    }
}

impl Serialize for Mismatch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl ProfileRecord {
    /// Whether the matrix expects that the scan keeps it from being applied.
    #[must_use]
    pub fn is_expected_gated(&self) -> bool {
        self.profile.expect_apply == super::matrix::ExpectApply::Gated
    }

    /// Whether the scan keeps it from being applied.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.preflight.signature.is_some()
    }

    /// `ok`, `partial` or `blocked` (RUNTIME.md part 2).
    #[must_use]
    pub fn status(&self) -> &'static str {
        let failing: Vec<_> = self.probes.iter().filter(|probe| probe.outcome.stage.is_some()).collect();
        let is_blocked = self.probes.is_empty()
            || (!failing.is_empty()
                && failing.len() == self.probes.len()
                && failing.iter().all(|probe| probe.outcome.is_before_probe()));
        match () {
            () if self.is_blocked() || is_blocked => "blocked",
            () if self.probes.iter().all(|probe| probe.matches() == Some(true) && probe.agrees()) => "ok",
            () => "partial",
        }
    }
}

impl ProbeRecord {
    /// Whether what came out is what is expected; nothing where nothing came out.
    #[must_use]
    pub fn matches(&self) -> Option<bool> {
        self.outcome.actual.map(|actual| actual == self.probe.expected)
    }

    /// Whether the kernel did what the evaluator says, where both said something.
    #[must_use]
    pub fn agrees(&self) -> bool {
        match (&self.prediction, self.outcome.actual) {
            (Some(prediction), Some(actual)) => prediction.verdict == actual,
            _ => true,
        }
    }

    /// Verdicts of `sandbox_check` that are some.
    #[must_use]
    pub fn callouts(&self) -> Vec<Verdict> {
        let markers = self.scenario.iter().flat_map(|seen| seen.markers.callouts());
        markers
            .filter(|marker| marker.canonicalization.as_deref() != Some("canonical"))
            .filter_map(|marker| match marker.decision.as_deref() {
                Some("allow") => Some(Verdict::Allow),
                Some("deny") => Some(Verdict::Deny),
                _ => None,
            })
            .collect()
    }

    /// Whether `sandbox_check` and the kernel disagree, where both said something.
    #[must_use]
    pub fn callouts_differ(&self) -> bool {
        self.outcome.actual.is_some_and(|actual| self.callouts().iter().any(|verdict| *verdict != actual))
    }

    /// What is wrong with it, the gravest first. `gated`: the matrix expects the profile not to be applied.
    #[must_use]
    pub fn mismatches(&self, gated: bool) -> Vec<Mismatch> {
        let mut out = Vec::new();
        if !self.agrees() {
            out.push(Mismatch::PredictionDiffers);
        }
        if gated && self.outcome.stage != Some(super::stage::Stage::Preflight) {
            out.push(Mismatch::NotBlocked);
        }
        match (self.outcome.actual, self.probe.expected) {
            (None, _) if self.outcome.stage == Some(super::stage::Stage::Preflight) && gated => {}
            (None, _) if self.outcome.stage == Some(super::stage::Stage::Preflight) => {
                out.push(Mismatch::PreflightBlocked);
            }
            (None, _) => out.push(Mismatch::NotWitnessed),
            (Some(Verdict::Deny), Verdict::Allow) => out.push(Mismatch::UnexpectedDeny),
            (Some(Verdict::Allow), Verdict::Deny) => out.push(Mismatch::UnexpectedAllow),
            _ => {}
        }
        if self.callouts_differ() {
            out.push(Mismatch::CalloutDiffers);
        }
        out
    }
}

impl Record {
    /// All probes, each with the id of its profile.
    pub fn probes(&self) -> impl Iterator<Item = (&str, &ProbeRecord)> {
        self.profiles.iter().flat_map(|profile| profile.probes.iter().map(|probe| (profile.id.as_str(), probe)))
    }

    /// Whether everything is as the matrix expects: verdicts, profiles that are not applied, and that the
    /// kernel and the evaluator agree.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        self.surprises().is_empty()
            && self.profiles.iter().all(|profile| {
                let gated = profile.is_expected_gated();
                profile.probes.iter().all(|probe| probe.mismatches(gated).is_empty())
            })
    }

    /// Whether nothing could be applied because this process is under a profile already.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.apply_preflight.as_ref().is_some_and(|preflight| preflight.outcome.actual.is_none())
    }

    /// Profiles that preflight treated otherwise than expected, in words.
    #[must_use]
    pub fn surprises(&self) -> Vec<String> {
        let mut out = Vec::new();
        for profile in &self.profiles {
            match (profile.is_expected_gated(), profile.is_blocked()) {
                (true, false) => {
                    out.push(format!("{}: expected to be blocked at preflight, and is not", profile.id));
                }
                (false, true) => {
                    out.push(format!("{}: blocked at preflight, and not expected to be", profile.id));
                }
                _ => {}
            }
        }
        out
    }
}
