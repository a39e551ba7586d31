//! `why`: the verdict on one request, and what decides it.

use clap::builder::styling::AnsiColor;
use clap::{Args, ValueEnum};

use super::input::{self, SourceOptions};
use super::output::{Console, Format};
use super::status::{Failure, Status};
use crate::policy::rules::Action;
use crate::runtime::policy::{Answer, AnswerError, Policy};
use crate::runtime::question::{Check, Question, QuestionError, Reply, ask};
use crate::runtime::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Expected {
    Allow,
    Deny,
}

/// Say whether a profile allows something, and which rule decides
///
/// SUBJECT is what the operation is about: a path for file-* and process-exec*, a name for mach-*,
/// sysctl-* and user-preference-*, PROTOCOL:HOST:PORT for network-*. A path is looked up as on a
/// Mac: each symlink on the way needs file-read-metadata, then the resolved path is checked. A
/// filter of which nothing is known counts as not matching; --fact says more.
#[derive(Args)]
#[command(
    override_usage = "sbtool why [OPTIONS] PROFILE OPERATION [SUBJECT]\n       sbtool why [OPTIONS] -p TEXT OPERATION [SUBJECT]",
    after_help = "Examples:
  sbtool why profile.sb file-read-data /tmp/x
  sbtool why profile.sb network-outbound tcp:localhost:80
  sbtool why profile.sb file-write-data /tmp/x --fact vnode-type=REGULAR-FILE
  sbtool why -p '(version 1)(deny default)' mach-lookup com.apple.logd --expect deny

Exit status: 0 there is a verdict, 1 it is not the one of --expect"
)]
pub struct Options {
    /// The profile, the operation, and what it is about; with -p no profile
    #[arg(value_name = "WORDS", required = true, num_args = 1..=3)]
    words: Vec<String>,
    /// The text of the profile, in place of PROFILE
    #[arg(short = 'p', value_name = "TEXT")]
    text: Option<String>,
    #[command(flatten)]
    source: SourceOptions,
    /// Something else that is known; may be given again
    #[arg(long = "fact", value_name = "FILTER=VALUE")]
    facts: Vec<String>,
    /// Fail if the verdict is the other one
    #[arg(long, value_enum, value_name = "VERDICT")]
    expect: Option<Expected>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub fn run(options: &Options, console: &Console) -> Result<Status, Failure> {
    let mut words = options.words.iter().map(String::as_str);
    let input = match &options.text {
        Some(text) => ("<input string>".to_owned(), text.clone().into_bytes()),
        None => input::read(words.next().unwrap_or_default())?,
    };
    let operation =
        words.next().ok_or_else(|| Failure::Usage("which operation? PROFILE OPERATION [SUBJECT]".to_owned()))?;
    let subject = words.next();
    if words.next().is_some() {
        return Err(Failure::Usage("more than OPERATION and SUBJECT beside -p".to_owned()));
    }
    let name = input.0.clone();
    let policy = options.source.load_policy(input, console)?;
    let world = World::of(policy.release());
    let question = Question { operation, subject, facts: &options.facts };
    let reply = ask(&policy, &world, &question).map_err(|error| match error {
        QuestionError::Answer(AnswerError::Disagreement { .. }) => Failure::Internal(error.to_string()),
        QuestionError::Answer(AnswerError::Verdict(_)) => Failure::bad(name, error),
        other => Failure::Usage(other.to_string()),
    })?;
    let Some(check) = reply.deciding() else { return Err(Failure::Internal("no check was made".to_owned())) };
    match options.format {
        Format::Json => console.print_json(&json(&policy, &question, &reply, check))?,
        Format::Text => console.print(text(&policy, subject, &reply, check, console))?,
    }
    let expected = options.expect.map(|expected| match expected {
        Expected::Allow => Action::Allow,
        Expected::Deny => Action::Deny,
    });
    Ok(if expected.is_none_or(|expected| expected == reply.action()) { Status::Holds } else { Status::DoesNotHold })
}

fn assumed_false(answer: &Answer) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for step in answer.consulted.iter().filter(|step| step.assumed) {
        if !names.contains(&step.filter.as_str()) {
            names.push(&step.filter);
        }
    }
    names
}

fn json(policy: &Policy, question: &Question<'_>, reply: &Reply, check: &Check) -> serde_json::Value {
    let release = policy.release();
    let answer = &check.answer;
    let rule = answer.rule.as_ref().map(|rule| {
        let place = rule.place.as_ref();
        serde_json::json!({
            "file": place.map(|place| place.file.clone()),
            "line": place.map(|place| place.line),
            "column": place.map(|place| place.column),
            "text": rule.text,
            "operation": release.operation_name(rule.operation),
        })
    });
    let consulted: Vec<_> =
        answer.consulted.iter().map(|step| serde_json::json!({"test": step.test, "holds": step.holds})).collect();
    let checks: Vec<_> = reply
        .checks
        .iter()
        .map(|check| {
            serde_json::json!({
                "operation": release.operation_name(check.operation),
                "subject": check.subject,
                "verdict": check.answer.action.name(),
            })
        })
        .collect();
    serde_json::json!({
        "operation": question.operation,
        "subject": question.subject,
        "verdict": answer.action.name(),
        "by": answer.by.name(),
        "rule": rule,
        "modifiers": answer.modifiers,
        "consulted": consulted,
        "assumed_false": assumed_false(answer),
        "checks": checks,
    })
}

fn text(policy: &Policy, subject: Option<&str>, reply: &Reply, check: &Check, console: &Console) -> String {
    let release = policy.release();
    let shown = |check: &Check| {
        let operation = release.operation_name(check.operation);
        let color = if check.answer.action == Action::Allow { AnsiColor::Green } else { AnsiColor::Red };
        let verdict = console.paint(check.answer.action.name(), color);
        format!("{verdict} {operation} {}", check.subject.as_deref().unwrap_or("")).trim_end().to_owned()
    };
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(shown(check));
    if let (true, Some(subject), Some(link)) = (check.is_crossing, subject, &check.subject) {
        line(format!("  {subject} leads through the symlink {link}, and a lookup needs its metadata"));
    }
    let answer = &check.answer;
    let by = answer.by.name();
    match &answer.rule {
        Some(rule) => {
            let from = format!("{}", release.operation_name(rule.operation));
            let place = rule
                .place
                .as_ref()
                .map_or_else(String::new, |place| format!(" at {}:{}:{}", place.file, place.line, place.column));
            match answer.by {
                crate::runtime::policy::By::Rule => line(format!("  by {by}{place}")),
                _ => line(format!("  by {by} of {from}{place}")),
            }
            for text in rule.text.lines() {
                line(format!("    {text}"));
            }
        }
        None => line(format!("  by {by}")),
    }
    for modifier in &answer.modifiers {
        line(format!("  {modifier}"));
    }
    if reply.checks.len() > 1 {
        line("  checks on the way:".to_owned());
        for check in &reply.checks {
            line(format!("    {}", shown(check)));
        }
    }
    let assumed = assumed_false(answer);
    if !assumed.is_empty() {
        line(format!("  assumed not to match: {} (--fact says more)", assumed.join(", ")));
    }
    out
}
