//! In: what a runner did under a profile, and the same without one. Out: [`Outcome`]: at which stage it
//! failed, how, and whether that says anything about the policy. Never: a denial of a policy that was not in
//! force, or of file permissions taken for one.

use serde::{Deserialize, Serialize};

use super::matrix::Verdict;
use super::observation::{Exit, Observation, Step};

/// EPERM, on a Mac and on Linux: what a policy answers where it says nothing else.
pub const EPERM: i32 = 1;

/// Exit status of a program whose parts cannot be loaded (RUNTIME.md part 2, "Exit codes").
const NOT_LOADED: i32 = 127;

/// Stages of a probe (RUNTIME.md part 2). What the notes there call exec is bootstrap in the artifacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The scan of the profile, before anything runs.
    Preflight,
    /// The profile is put on a process.
    Apply,
    /// That process starts a program.
    Bootstrap,
    /// What is asked for is tried.
    Probe,
}

impl Stage {
    /// The word in artifacts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Apply => "apply",
            Self::Bootstrap => "bootstrap",
            Self::Probe => "probe",
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $text:literal;)*) => {
        /// How a probe failed. Those of RUNTIME.md part 2, and those that it has no word for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Kind {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word in artifacts.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

kinds! {
    /// The profile has a shape that is not applied; nothing ran.
    PreflightGate "preflight_apply_gate_signature";
    /// The process is under a profile already.
    AlreadySandboxed "apply_already_sandboxed";
    /// `sandbox_init` failed.
    InitFailed "sandbox_init_failed";
    /// `sandbox_apply` failed.
    ApplyFailed "sandbox_apply_failed";
    /// Another way of applying failed.
    OtherApplyFailed "apply_failed";
    /// The runner ended before it said how applying went.
    ApplyNotReported "apply_not_reported";
    /// The program may not be started: EPERM.
    ExecDenied "bootstrap_deny_process_exec";
    /// The program does not start for another reason.
    ExecFailed "bootstrap_exec_failed";
    /// The program was ended by a signal before it did anything that was asked for.
    ExecSignal "bootstrap_signal";
    /// It took too long.
    Timeout "probe_timeout";
    /// What was tried failed.
    NonzeroExit "probe_nonzero_exit";
    /// It fails just so without a profile: file permissions, a missing file.
    Ambient "probe_fails_without_profile";
    /// It was ended by a signal.
    Signal "probe_signal";
    /// Nothing on this system tries that operation.
    NotTried "probe_not_supported";
    /// The runner itself could not be started.
    NotStarted "runner_not_started";
}

/// Where an error number comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrnoSource {
    /// The scan; no system call failed.
    Preflight,
    /// The marker about applying.
    ApplyMarker,
    /// The marker about starting a program.
    ExecMarker,
    /// The marker about what was tried.
    ProbeMarker,
    /// The harness itself, starting the runner.
    Harness,
    /// The evaluator, which says what the call would give.
    Evaluator,
}

/// How a probe went, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResultStatus {
    /// What was asked for was done.
    Success,
    /// It failed.
    Errno,
    /// Nothing was tried.
    Blocked,
}

impl ResultStatus {
    /// The word in artifacts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Errno => "errno",
            Self::Blocked => "blocked",
        }
    }
}

/// What a probe amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// In a word.
    pub status: ResultStatus,
    /// Where it failed.
    pub stage: Option<Stage>,
    /// How it failed.
    pub kind: Option<Kind>,
    /// The true error number, where a call failed.
    pub errno: Option<i32>,
    /// Who says so.
    pub errno_source: Option<ErrnoSource>,
    /// What the policy said; nothing where this is no evidence of it.
    pub actual: Option<Verdict>,
}

impl Outcome {
    /// What was asked for was done.
    #[must_use]
    pub fn success() -> Self {
        let (stage, kind, errno, errno_source) = (None, None, None, None);
        Self { status: ResultStatus::Success, stage, kind, errno, errno_source, actual: Some(Verdict::Allow) }
    }

    /// A failure at a stage that says nothing about what was asked for.
    #[must_use]
    pub fn failed(stage: Stage, kind: Kind, errno: Option<(i32, ErrnoSource)>) -> Self {
        Self {
            status: if stage == Stage::Preflight || kind == Kind::NotTried {
                ResultStatus::Blocked
            } else {
                ResultStatus::Errno
            },
            stage: Some(stage),
            kind: Some(kind),
            errno: errno.map(|(errno, _)| errno),
            errno_source: errno.map(|(_, source)| source),
            actual: None,
        }
    }

    /// A denial of the policy.
    #[must_use]
    pub fn denied(kind: Kind, errno: i32, source: ErrnoSource) -> Self {
        Self { actual: Some(Verdict::Deny), ..Self::failed(Stage::Probe, kind, Some((errno, source))) }
    }

    /// Whether this probe never came to what it was about.
    #[must_use]
    pub fn is_before_probe(&self) -> bool {
        self.stage.is_some_and(|stage| stage < Stage::Probe)
    }
}

/// What an observation amounts to. `baseline`: the same without a profile; `denials`: error numbers that a
/// denial of this policy gives (EPERM where no rule says otherwise).
///
/// A failure counts as the policy's where the number is one of a denial and the same call without a profile
/// does not fail with that number. A program's exit status, without a word of which call failed, counts where
/// the program ends well without a profile.
/// Where the start of a program itself is what is asked for (`starts`), that is what the verdict is about.
#[must_use]
pub fn outcome(seen: &Observation, baseline: Option<&Observation>, denials: &[i32], starts: bool) -> Outcome {
    use ErrnoSource::{ApplyMarker, ExecMarker, Harness, ProbeMarker};
    if let Exit::NotStarted(errno) = seen.exit {
        return Outcome::failed(Stage::Apply, Kind::NotStarted, Some((errno, Harness)));
    }
    if !seen.markers.is_applied() {
        return match seen.markers.apply() {
            Some(apply) => {
                let kind = match apply.api.as_deref() {
                    _ if apply.is_already_sandboxed() => Kind::AlreadySandboxed,
                    Some("sandbox_init") => Kind::InitFailed,
                    Some("sandbox_apply") => Kind::ApplyFailed,
                    _ => Kind::OtherApplyFailed,
                };
                Outcome::failed(Stage::Apply, kind, Some((apply.errno.unwrap_or(0), ApplyMarker)))
            }
            None => Outcome::failed(Stage::Apply, Kind::ApplyNotReported, None),
        };
    }
    if let Some(errno) = seen.markers.failed(Step::Exec) {
        let kind = if errno == EPERM { Kind::ExecDenied } else { Kind::ExecFailed };
        let without = baseline.and_then(|baseline| baseline.markers.failed(Step::Exec));
        if starts && denials.contains(&errno) && without != Some(errno) {
            let failed = Outcome::failed(Stage::Bootstrap, kind, Some((errno, ExecMarker)));
            return Outcome { actual: Some(Verdict::Deny), ..failed };
        }
        return Outcome::failed(Stage::Bootstrap, kind, Some((errno, ExecMarker)));
    }
    match seen.exit {
        // It ran, whatever it did.
        Exit::Code(_) if starts => Outcome::success(),
        Exit::NotStarted(_) => Outcome::failed(Stage::Apply, Kind::NotStarted, None),
        Exit::Timeout => Outcome::failed(Stage::Probe, Kind::Timeout, None),
        // A program that may not read what it is made of is ended (a Mac), or ends so (Linux).
        Exit::Signal(_) if seen.starts_program => Outcome::failed(Stage::Bootstrap, Kind::ExecSignal, None),
        Exit::Code(NOT_LOADED) if seen.starts_program => Outcome::failed(Stage::Bootstrap, Kind::ExecFailed, None),
        Exit::Signal(_) => Outcome::failed(Stage::Probe, Kind::Signal, None),
        Exit::Code(0) => Outcome::success(),
        Exit::Code(_) => {
            let tried = seen.markers.failed(Step::Probe);
            let without = baseline.and_then(|baseline| baseline.markers.failed(Step::Probe));
            let fails_without = baseline.is_some_and(|baseline| baseline.exit != Exit::Code(0));
            if let Some((code, is_denial)) = seen.markers.returned(Step::Probe) {
                let without = baseline.and_then(|baseline| baseline.markers.returned(Step::Probe));
                let differs = without.is_none_or(|(known, _)| known != code);
                let kind = if fails_without && !(is_denial && differs) { Kind::Ambient } else { Kind::NonzeroExit };
                let actual = (is_denial && differs).then_some(Verdict::Deny);
                return Outcome { actual, ..Outcome::failed(Stage::Probe, kind, None) };
            }
            match tried {
                Some(errno) if denials.contains(&errno) && without != Some(errno) => {
                    Outcome::denied(Kind::NonzeroExit, errno, ProbeMarker)
                }
                Some(errno) if fails_without => {
                    Outcome::failed(Stage::Probe, Kind::Ambient, Some((errno, ProbeMarker)))
                }
                Some(errno) => Outcome::failed(Stage::Probe, Kind::NonzeroExit, Some((errno, ProbeMarker))),
                None if fails_without => Outcome::failed(Stage::Probe, Kind::Ambient, None),
                // A program that does not say which call it was.
                None => {
                    Outcome { actual: Some(Verdict::Deny), ..Outcome::failed(Stage::Probe, Kind::NonzeroExit, None) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::observation::{Marker, Markers, OpenedPath, Tool};
    use super::*;

    fn marker(tool: Tool, step: Step, errno: i32) -> Marker {
        Marker::new(tool, step).classed(if errno == 0 { 0 } else { -1 }, errno, None)
    }

    fn seen(exit: Exit, starts_program: bool, list: Vec<Marker>) -> Observation {
        Observation {
            runner: "reader",
            starts_program,
            command: Vec::new(),
            exit,
            stdout: String::new(),
            stderr: String::new(),
            dropped: 0,
            markers: Markers { list },
            opened: OpenedPath::default(),
            milliseconds: 0,
        }
    }

    fn applied() -> Vec<Marker> {
        vec![marker(Tool::Apply, Step::Apply, 0), marker(Tool::Apply, Step::Applied, 0)]
    }

    fn tried(errno: i32) -> Vec<Marker> {
        [applied(), vec![marker(Tool::Probe, Step::Probe, errno)]].concat()
    }

    fn refused(api: &str, errno: i32, errbuf: Option<&str>) -> Vec<Marker> {
        let mut marker = Marker::new(Tool::Apply, Step::Apply).classed(-1, errno, errbuf.map(str::to_owned));
        marker.api = Some(api.to_owned());
        vec![marker]
    }

    /// RUNTIME.md part 2, "Failure stages and kinds" and "Four kinds of EPERM".
    #[test]
    fn each_kind_is_told_apart() {
        let free = seen(Exit::Code(0), false, vec![marker(Tool::Probe, Step::Probe, 0)]);
        let closed = seen(Exit::Code(2), false, vec![marker(Tool::Probe, Step::Probe, 13)]);
        let closed_by_eperm = seen(Exit::Code(2), false, vec![marker(Tool::Probe, Step::Probe, 1)]);
        let exec = |errno: i32| [applied(), vec![marker(Tool::Apply, Step::Exec, errno)]].concat();
        let already = "Operation not permitted: this process is already sandboxed";
        let (code, signal) = (Exit::Code, Exit::Signal);
        // What was seen, what without the profile, stage, kind, number, verdict.
        let rows = [
            (seen(code(0), false, tried(0)), &free, None, None, None, Some(Verdict::Allow)),
            (
                seen(code(2), false, tried(1)),
                &free,
                Some(Stage::Probe),
                Some(Kind::NonzeroExit),
                Some(1),
                Some(Verdict::Deny),
            ),
            // The policy denies, and file permissions would have.
            (
                seen(code(2), false, tried(1)),
                &closed,
                Some(Stage::Probe),
                Some(Kind::NonzeroExit),
                Some(1),
                Some(Verdict::Deny),
            ),
            (seen(code(2), false, tried(13)), &closed, Some(Stage::Probe), Some(Kind::Ambient), Some(13), None),
            (seen(code(2), false, tried(1)), &closed_by_eperm, Some(Stage::Probe), Some(Kind::Ambient), Some(1), None),
            (seen(code(2), false, tried(2)), &free, Some(Stage::Probe), Some(Kind::NonzeroExit), Some(2), None),
            (
                seen(code(1), true, applied()),
                &free,
                Some(Stage::Probe),
                Some(Kind::NonzeroExit),
                None,
                Some(Verdict::Deny),
            ),
            (seen(code(1), true, applied()), &closed, Some(Stage::Probe), Some(Kind::Ambient), None, None),
            (seen(Exit::Timeout, false, applied()), &free, Some(Stage::Probe), Some(Kind::Timeout), None, None),
            (seen(signal(9), false, applied()), &free, Some(Stage::Probe), Some(Kind::Signal), None, None),
            (seen(signal(6), true, applied()), &free, Some(Stage::Bootstrap), Some(Kind::ExecSignal), None, None),
            (seen(code(127), true, applied()), &free, Some(Stage::Bootstrap), Some(Kind::ExecFailed), None, None),
            (seen(code(127), true, exec(1)), &free, Some(Stage::Bootstrap), Some(Kind::ExecDenied), Some(1), None),
            (seen(code(127), true, exec(2)), &free, Some(Stage::Bootstrap), Some(Kind::ExecFailed), Some(2), None),
            (
                seen(code(1), false, refused("sandbox_init", 1, None)),
                &free,
                Some(Stage::Apply),
                Some(Kind::InitFailed),
                Some(1),
                None,
            ),
            (
                seen(code(1), false, refused("sandbox_apply", 1, None)),
                &free,
                Some(Stage::Apply),
                Some(Kind::ApplyFailed),
                Some(1),
                None,
            ),
            (
                seen(code(1), false, refused("enforce_apply", 38, None)),
                &free,
                Some(Stage::Apply),
                Some(Kind::OtherApplyFailed),
                Some(38),
                None,
            ),
            (
                seen(code(1), false, refused("sandbox_init", 1, Some(already))),
                &free,
                Some(Stage::Apply),
                Some(Kind::AlreadySandboxed),
                Some(1),
                None,
            ),
            // It was killed before it said anything, or after it said that it would apply.
            (seen(signal(9), false, Vec::new()), &free, Some(Stage::Apply), Some(Kind::ApplyNotReported), None, None),
            (seen(code(0), false, Vec::new()), &free, Some(Stage::Apply), Some(Kind::ApplyNotReported), None, None),
            (
                seen(Exit::NotStarted(7), false, Vec::new()),
                &free,
                Some(Stage::Apply),
                Some(Kind::NotStarted),
                Some(7),
                None,
            ),
        ];
        for (number, (seen, baseline, stage, kind, errno, actual)) in rows.into_iter().enumerate() {
            let got = outcome(&seen, Some(baseline), &[EPERM], false);
            assert_eq!((got.stage, got.kind, got.errno, got.actual), (stage, kind, errno, actual), "row {number}");
        }
    }

    /// Where starting is what is probed, it is what the verdict is about.
    #[test]
    fn the_start_of_a_program_has_verdicts() {
        let free = seen(Exit::Code(0), true, Vec::new());
        let denied = seen(Exit::Code(127), true, [applied(), vec![marker(Tool::Apply, Step::Exec, 1)]].concat());
        let got = outcome(&denied, Some(&free), &[EPERM], true);
        assert_eq!((got.actual, got.stage), (Some(Verdict::Deny), Some(Stage::Bootstrap)));
        let got = outcome(&seen(Exit::Code(2), true, applied()), Some(&free), &[EPERM], true);
        assert_eq!((got.actual, got.stage), (Some(Verdict::Allow), None));
    }

    /// A profile may say which number a denial gives.
    #[test]
    fn a_denial_may_have_another_number() {
        let free = seen(Exit::Code(0), false, vec![marker(Tool::Probe, Step::Probe, 0)]);
        let got = outcome(&seen(Exit::Code(2), false, tried(13)), Some(&free), &[13], false);
        assert_eq!(got.actual, Some(Verdict::Deny));
        let got = outcome(&seen(Exit::Code(2), false, tried(1)), Some(&free), &[13], false);
        assert_eq!((got.actual, got.errno), (None, Some(1)));
    }
}
