//! In: one probe of a record. Out: what is shown of it when its row is opened: what was predicted and by which
//! rule, its stages, what ran under the profile and without it. Never: more than the record says.

use maud::{Markup, html};

use super::text::{self, Shown};
use super::{Context, failure, source};
use crate::probe::artifacts::{DecidedBy, expectation_id};
use crate::probe::observation::{Exit, Observation, Tool};
use crate::probe::record::{Backend, Mismatch, Prediction, ProbeRecord, ProfileRecord};
use crate::probe::stage::{ErrnoSource, Kind, Stage};

/// Most bytes of a stream that are shown.
pub(super) const MOST_BYTES: usize = 8 * 1024;
/// Most markers, and most words of a command line.
const MOST_PARTS: usize = 200;

pub(super) fn details(
    context: &Context<'_>,
    profile: &ProfileRecord,
    probe: &ProbeRecord,
    found: &[Mismatch],
) -> Markup {
    let facts = probe.probe.facts();
    html! {
        details {
            summary {
                @match &probe.prediction {
                    Some(prediction) => {
                        "predicted " (prediction.verdict.name())
                        @if let Some(by) = &prediction.decided_by { " " (decider(by)) (place(by)) }
                    }
                    None => "not predicted: the profile is not applied",
                }
                @for kind in found { " " span.tag { (kind.name()) } }
            }
            div.inner {
                p.about {
                    "expectation " code { (Shown(&expectation_id(&profile.id, &probe.probe))) }
                    @if !facts.is_empty() {
                        ", facts " @for fact in &facts { code { (Shown(fact)) } " " }
                    }
                }
                div.columns {
                    section { h3 { "Stages" } (stages(context, profile, probe)) }
                    section {
                        h3 { "Predicted" }
                        @match &probe.prediction {
                            Some(prediction) => (checks(prediction)),
                            None => p { "Nothing: the profile is not applied." },
                        }
                    }
                }
                @if let Some(by) = probe.prediction.as_ref().and_then(|prediction| prediction.decided_by.as_ref()) {
                    section { h3 { "Deciding rule" } (rule(profile, by)) }
                }
                @if probe.scenario.is_some() || probe.baseline.is_some() {
                    div.columns {
                        @for (name, seen) in [("Under the profile", &probe.scenario), ("Without it", &probe.baseline)] {
                            section {
                                h3 { (name) }
                                @match seen {
                                    Some(seen) => (observation(context, seen)),
                                    None => p { "Not run." },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// How far a stage came.
enum Progress {
    Passed,
    Failed,
    NotReached,
    NotRun,
}

fn stages(context: &Context<'_>, profile: &ProfileRecord, probe: &ProbeRecord) -> Markup {
    let outcome = &probe.outcome;
    let progress = |stage: Stage| match outcome.stage {
        // The scan is made by every backend.
        _ if stage == Stage::Preflight => {
            if profile.is_blocked() {
                Progress::Failed
            } else {
                Progress::Passed
            }
        }
        Some(failed) if failed < stage => Progress::NotReached,
        _ if context.record.backend == Backend::Evaluator => Progress::NotRun,
        Some(failed) if failed == stage && outcome.kind != Some(Kind::NotTried) => Progress::Failed,
        _ if probe.scenario.is_none() => Progress::NotRun,
        _ => Progress::Passed,
    };
    html! {
        ol.stages {
            @for stage in [Stage::Preflight, Stage::Apply, Stage::Bootstrap, Stage::Probe] {
                @let (class, word) = match progress(stage) {
                    Progress::Passed => ("passed", "passed"),
                    Progress::Failed => ("failed", "failed"),
                    Progress::NotReached => ("skipped", "not reached"),
                    Progress::NotRun => ("skipped", "not run"),
                };
                li.(class) {
                    b { (stage.name()) } " " span.state { (word) }
                    @if outcome.stage == Some(stage) && outcome.errno_source != Some(ErrnoSource::Evaluator) {
                        div { (failure(context, outcome)) }
                    }
                    @if stage == Stage::Preflight { (scan(profile)) }
                    @if stage == Stage::Bootstrap && class == "passed" {
                        @if probe.scenario.as_ref().is_some_and(|seen| !seen.starts_program) {
                            div { "no program is started; the runner tries it itself" }
                        }
                    }
                    @if stage == Stage::Probe {
                        @if let Some(actual) = outcome.actual {
                            div {
                                @if context.record.backend == Backend::Evaluator { "the evaluator says " } @else { "counts as " }
                                b { (actual.name()) }
                                @if let (Some(ErrnoSource::Evaluator), Some(errno)) = (outcome.errno_source, outcome.errno) {
                                    "; the call would give " b { (context.errno(errno)) }
                                }
                            }
                        } @else if class == "failed" {
                            div { "says nothing about the policy" }
                        }
                    }
                }
            }
        }
    }
}

/// What the scan says.
fn scan(profile: &ProfileRecord) -> Markup {
    html! {
        @if let Some(signature) = profile.preflight.signature {
            div { "found " code { (signature) } }
            @for finding in &profile.preflight.findings {
                div {
                    code { (finding.outer_action) " " (Shown(&finding.outer_operation)) } " applies a filter that denies "
                    code { (Shown(&finding.denied_operation)) }
                }
            }
        }
    }
}

/// The path walk: each check in order, the one that decides marked.
fn checks(prediction: &Prediction) -> Markup {
    let decides = prediction.decided_by.as_ref().and_then(|by| {
        prediction.checks.iter().rposition(|check| check.operation == by.operation && check.subject == by.subject)
    });
    html! {
        p { b { (prediction.verdict.name()) } @if prediction.checks.len() > 1 { ", after " (prediction.checks.len()) " checks" } }
        ol.checks {
            @for (number, check) in prediction.checks.iter().enumerate() {
                li.decides[decides == Some(number)] {
                    span.verdict.(check.verdict.name()) { (check.verdict.name()) } " "
                    code { (Shown(&check.operation)) } " "
                    @if let Some(subject) = &check.subject { code.subject { (Shown(subject)) } }
                    @if check.is_crossing { " " span.tag { "symlink on the way" } }
                    @if decides == Some(number) { " " span.tag { "decides" } }
                }
            }
        }
    }
}

/// By what: the words of `why`.
fn decider(by: &DecidedBy) -> &'static str {
    match by.by {
        "rule" => "by a rule",
        "default" => "by the default",
        "inherited" => "by a rule of a wider operation",
        "implicit" => "by a rule that is always there",
        other => other,
    }
}

fn place(by: &DecidedBy) -> Markup {
    html! {
        @if let Some(file) = &by.file {
            " at " code { (Shown(file)) @for number in [by.line, by.column].into_iter().flatten() { ":" (number) } }
        }
    }
}

fn rule(profile: &ProfileRecord, by: &DecidedBy) -> Markup {
    let is_runtime = by.file.as_ref().is_some_and(|file| *file == format!("runtime_profiles/{}", profile.runtime_name));
    let lines = if is_runtime { source::excerpt(&profile.runtime, by) } else { None };
    html! {
        p { "Decided " (decider(by)) (place(by)) @if by.file.is_some() && !is_runtime { ", an import" } "." }
        @match (lines, &by.text) {
            (Some(lines), _) => (lines),
            (None, Some(text)) => {
                @if by.file.is_none() { p { "A blob has no lines; this is the test that decided." } }
                pre { (text::start(text, MOST_BYTES)) }
            }
            (None, None) => {}
        }
    }
}

/// What was seen of a runner.
pub(super) fn observation(context: &Context<'_>, seen: &Observation) -> Markup {
    let stderr = seen.stderr_without_markers();
    let (callouts, markers): (Vec<_>, Vec<_>) =
        seen.markers.list.iter().partition(|marker| marker.tool == Tool::Callout);
    html! {
        p {
            @match seen.exit {
                Exit::Code(code) => { "exit status " b { (code) } }
                Exit::Signal(signal) => { "ended by signal " b { (signal) } }
                Exit::Timeout => b { "took too long, and was ended" },
                Exit::NotStarted(errno) => { "did not start: " b { (context.errno(errno)) } }
            }
            ", after " (seen.milliseconds) " ms"
        }
        p.command {
            @for word in seen.command.iter().take(MOST_PARTS) { code { (text::start(word, MOST_BYTES)) } " " }
            @if seen.command.len() > MOST_PARTS { span.cut { "… " (seen.command.len() - MOST_PARTS) " words more" } }
        }
        @if let Some(Ok(path)) = &seen.opened.path { p { "opened " code { (Shown(path)) } } }
        (stream("standard output", &seen.stdout))
        (stream("standard error", &stderr))
        @if seen.dropped > 0 { p.cut { (seen.dropped) " bytes of what it printed were not kept" } }
        @if !callouts.is_empty() {
            p { code { "sandbox_check" } ":" }
            ul.callouts {
                @for marker in callouts.iter().take(MOST_PARTS) {
                    li {
                        @let decision = marker.decision.as_deref().unwrap_or("nothing");
                        b { (Shown(decision)) } " "
                        code { (Shown(marker.operation.as_deref().unwrap_or_default())) } " "
                        code { (Shown(marker.argument.as_deref().unwrap_or_default())) } " "
                        @if let Some(spelling) = &marker.canonicalization { "(" (Shown(spelling)) ")" }
                        @if decision == "error" { @if let Some(errno) = marker.errno { " " (context.errno(errno)) } }
                    }
                }
            }
        }
        @if !markers.is_empty() {
            details.markers {
                summary { "markers: " (markers.len()) }
                @for marker in markers.iter().take(MOST_PARTS) { pre { (text::start(&marker.line(), MOST_BYTES)) } }
            }
        }
    }
}

fn stream(name: &str, text: &str) -> Markup {
    html! {
        @if !text.is_empty() {
            p { (name) ":" }
            pre { (text::start(text, MOST_BYTES)) }
        }
    }
}
