//! In: a record. Out: one page of HTML about it, which loads nothing from anywhere. Never: markup or a script
//! that comes from a profile, a target, or what a program printed; a time that the record has not.
//!
//! Markup is built by `maud`, which escapes every text and quotes every attribute; `text` makes what cannot be
//! seen visible. The page's own script and style are allowed by their SHA-256 and nothing else is.

mod probe;
mod source;
mod text;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use self::text::Shown;
use super::matrix::Mode;
use super::record::{ApplyPreflight, Backend, Mismatch, ProbeRecord, ProfileRecord, Record};
use super::stage::{ErrnoSource, Outcome, Stage};
use crate::vocabulary::Release;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What of the record every part of the page needs.
struct Context<'a> {
    record: &'a Record,
    /// Error names of the release; nothing for a release that is not known.
    release: Option<&'static Release>,
}

impl Context<'_> {
    /// An error number with its name. The names are the release's, for the numbers of this system.
    fn errno(&self, number: i32) -> String {
        let values = self.release.and_then(|release| Some(&release.modifier_named("errno")?.values));
        let names = values.into_iter().flatten();
        let name = names
            .filter(|(_, value)| crate::enforce::errno(i32::from(**value)) == number)
            // What this system has no number for is taken for EPERM there.
            .min_by_key(|(_, value)| **value);
        name.map_or_else(|| number.to_string(), |(name, _)| format!("{name} ({number})"))
    }
}

/// The page.
#[must_use]
pub fn page(record: &Record) -> String {
    let context = Context { record, release: Release::named(&record.release).ok() };
    let allowed = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    let policy = format!(
        "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
        allowed(STYLE),
        allowed(SCRIPT)
    );
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // A title holds no tags.
                title { (text::plain(&record.plan_id)) " – sbtool probe" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (head(&context))
                (unexpected(record))
                (matrix(&context))
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn head(context: &Context<'_>) -> Markup {
    let record = context.record;
    let count = |wanted: Option<bool>| record.probes().filter(|(_, probe)| probe.matches() == wanted).count();
    let fields = [
        ("run", record.run_id.as_str()),
        ("backend", record.backend.name()),
        ("channel", record.channel.name()),
        ("release", &record.release),
        ("world", &record.matrix.world_id),
        ("matrix SHA-256", &record.plan_digest),
        ("sbtool", env!("CARGO_PKG_VERSION")),
    ];
    html! {
        header {
            h1 { "Probes of " (Shown(&record.plan_id)) }
            p.result.good[record.is_as_expected()].bad[!record.is_as_expected()] {
                @if record.is_as_expected() { "Everything is as expected" } @else { "Not everything is as expected" }
            }
            p.counts {
                (record.probes().count()) " probes of " (record.profiles.len()) " profiles: "
                b { (count(Some(true))) } " match, "
                b { (count(Some(false))) } " differ, "
                b { (count(None)) } " without a verdict"
            }
            @if record.backend == Backend::Evaluator {
                p { "The evaluator decided; nothing was run." }
            }
            dl.fields {
                @for (name, value) in fields { div { dt { (name) } dd { code { (Shown(value)) } } } }
            }
            @if let Some(preflight) = &record.apply_preflight { (apply_preflight(context, preflight)) }
            @if !record.notes.is_empty() {
                details.aside {
                    summary { "notes about profiles: " (record.notes.len()) }
                    @for note in &record.notes { pre { (text::start(&note.render(false), probe::MOST_BYTES)) } }
                }
            }
        }
    }
}

fn apply_preflight(context: &Context<'_>, preflight: &ApplyPreflight) -> Markup {
    let is_refused = preflight.outcome.actual.is_none();
    html! {
        details.aside open[is_refused] {
            summary {
                @if is_refused {
                    strong { "A profile that allows everything could not be applied here; nothing was probed." }
                } @else {
                    "A profile that allows everything was applied here"
                }
            }
            @if is_refused { p { (failure(context, &preflight.outcome)) } }
            @if preflight.is_sandboxed == Some(true) { p { "This process is under a profile already." } }
            pre { (Shown(&preflight.profile)) }
            (probe::observation(context, &preflight.seen))
        }
    }
}

/// What is not as expected, with links to it; the gravest kinds stand first for each probe.
fn unexpected(record: &Record) -> Markup {
    let surprises = record.surprises();
    let mut probes = Vec::new();
    for (number, profile) in record.profiles.iter().enumerate() {
        for (index, probe) in profile.probes.iter().enumerate() {
            let found = mismatches(profile, probe);
            if !found.is_empty() {
                probes.push((identifier(number, index), profile, probe, found));
            }
        }
    }
    html! {
        @if !probes.is_empty() || !surprises.is_empty() {
            section.unexpected {
                h2 { "Not as expected" }
                ul {
                    @for (id, profile, probe, found) in &probes {
                        li {
                            a href={ "#" (id) } { (Shown(&profile.id)) " " b { (Shown(&probe.probe.name)) } }
                            ": expected " (probe.probe.expected.name()) ", got " (actual(probe))
                            @if !probe.agrees() {
                                @if let Some(prediction) = &probe.prediction { ", predicted " (prediction.verdict.name()) }
                            }
                            " " @for kind in found { span.tag { (kind.name()) } " " }
                        }
                    }
                    @for surprise in &surprises { li { (Shown(surprise)) } }
                }
            }
        }
    }
}

fn matrix(context: &Context<'_>) -> Markup {
    html! {
        main {
            h2 { "Matrix" }
            // The script shows it.
            form.filter hidden {
                label.wide { "Text" input #text type="search" autocomplete="off" placeholder="anywhere in a probe"; }
                (choice("actual", "Verdict", &[("allow", "allow"), ("deny", "deny"), ("nothing", "nothing")]))
                (choice("stage", "Ended at", &STAGES.map(|stage| (stage, stage))))
                (choice("match", "Match", &[("yes", "yes"), ("no", "no"), ("nothing", "no verdict"), ("unexpected", "anything unexpected")]))
                button type="reset" { "Clear" }
                button #open type="button" { "Open all" }
                output #shown {}
            }
            table {
                thead {
                    tr {
                        th scope="col" { "match" }
                        th scope="col" { "probe" }
                        th scope="col" { "operation" }
                        th scope="col" { "target" }
                        th scope="col" { "expected" }
                        th scope="col" { "actual" }
                        th scope="col" { "ended at" }
                    }
                }
                @for (number, profile) in context.record.profiles.iter().enumerate() {
                    (profile_row(profile))
                    @for (index, probe) in profile.probes.iter().enumerate() {
                        (probe_rows(context, profile, probe, &identifier(number, index)))
                    }
                }
            }
        }
    }
}

/// What a probe can end at: a stage where it failed, or none; the evaluator runs nothing.
const STAGES: [&str; 6] = ["done", "preflight", "apply", "bootstrap", "probe", "not run"];

fn choice(id: &str, label: &str, values: &[(&str, &str)]) -> Markup {
    html! {
        label {
            (label)
            select id=(id) autocomplete="off" {
                option value="" { "any" }
                @for (value, shown) in values { option value=(value) { (shown) } }
            }
        }
    }
}

fn profile_row(profile: &ProfileRecord) -> Markup {
    let mode = match profile.profile.mode {
        Mode::Sbpl => "text with shim",
        Mode::Blob => "blob",
    };
    let is_gated = profile.is_expected_gated();
    html! {
        tbody.profile {
            tr {
                th colspan="7" scope="rowgroup" {
                    span.name { (Shown(&profile.id)) } " "
                    span.tag { (profile.status()) } " "
                    @if is_gated { span.tag { "expected to be gated" } " " }
                    span.about {
                        code { (Shown(&profile.profile.blob)) } ", " (mode) ", as "
                        code { "runtime_profiles/" (Shown(&profile.runtime_name)) }
                    }
                }
            }
        }
    }
}

fn probe_rows(context: &Context<'_>, profile: &ProfileRecord, probe: &ProbeRecord, id: &str) -> Markup {
    let (word, mark) = match probe.matches() {
        Some(true) => ("yes", "✓"),
        Some(false) => ("no", "✗"),
        None => ("nothing", "–"),
    };
    let found = mismatches(profile, probe);
    let stage = match probe.outcome.stage {
        None | Some(Stage::Probe) if context.record.backend == Backend::Evaluator => "not run",
        None => "done",
        Some(stage) => stage.name(),
    };
    let end = match probe.outcome.errno {
        Some(errno) if stage != "not run" => format!("{stage}: {}", context.errno(errno)),
        _ => stage.to_owned(),
    };
    html! {
        tbody.probe.unexpected[!found.is_empty()] id=(id) data-actual=(actual(probe)) data-stage=(stage)
            data-match=(word) {
            tr {
                td.match.(word) { span { span aria-hidden="true" { (mark) } " " (word) } }
                th.name scope="row" { (Shown(&probe.probe.name)) }
                td data-name="operation" { code { (Shown(&probe.probe.operation)) } }
                td data-name="target" { code { (Shown(&probe.probe.target)) } }
                td.half data-name="expected" { (probe.probe.expected.name()) }
                td.half data-name="actual" { (actual(probe)) }
                td data-name="ended at" { (end) }
            }
            tr { td.more colspan="7" { (probe::details(context, profile, probe, &found)) } }
        }
    }
}

/// A failure in words: how, the number, and who says so.
fn failure(context: &Context<'_>, outcome: &Outcome) -> Markup {
    html! {
        @if let Some(kind) = outcome.kind { code { (kind.name()) } }
        @if let Some(errno) = outcome.errno {
            " " b { (context.errno(errno)) }
            @if let Some(source) = outcome.errno_source { ", by " (who_says(source)) }
        }
    }
}

fn who_says(source: ErrnoSource) -> &'static str {
    match source {
        ErrnoSource::Preflight => "the scan",
        ErrnoSource::ApplyMarker => "the runner's marker about applying",
        ErrnoSource::ExecMarker => "the runner's marker about starting the program",
        ErrnoSource::ProbeMarker => "the runner's marker about what was tried",
        ErrnoSource::Harness => "the harness, which started the runner",
        ErrnoSource::Evaluator => "the evaluator, which says what the call would give",
    }
}

fn mismatches(profile: &ProfileRecord, probe: &ProbeRecord) -> Vec<Mismatch> {
    probe.mismatches(profile.is_expected_gated())
}

fn actual(probe: &ProbeRecord) -> &'static str {
    probe.outcome.actual.map_or("nothing", super::matrix::Verdict::name)
}

fn identifier(profile: usize, probe: usize) -> String {
    format!("probe-{}-{}", profile + 1, probe + 1)
}

#[cfg(test)]
mod tests;
