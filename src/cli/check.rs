//! `check`: is a profile good?

use clap::Args;

use super::input::{self, Loaded, SourceOptions};
use super::output::{Console, Format};
use super::status::{Failure, Status};
use crate::sbpl::Diagnostic;

/// Read, evaluate and compile profiles, and write nothing
///
/// All profiles are checked, also behind a bad one.
#[derive(Args)]
#[command(after_help = "Examples:
  sbtool check profile.sb
  sbtool check --format json *.sb
  generate-profile | sbtool check -

Exit status: 0 all are good, 65 one is not, 66 one cannot be read")]
pub struct Options {
    /// SBPL texts or blobs; '-' is standard input
    #[arg(value_name = "PROFILE", required_unless_present = "text")]
    profiles: Vec<String>,
    /// The text of one more profile
    #[arg(short = 'p', value_name = "TEXT")]
    text: Option<String>,
    #[command(flatten)]
    source: SourceOptions,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub fn run(options: &Options, console: &Console) -> Result<Status, Failure> {
    // Mistakes in the options themselves are no property of a profile.
    options.source.evaluation()?;
    let mut entries = Vec::new();
    let mut status = Status::Holds;
    let texts = options.text.iter().map(|text| Ok(("<input string>".to_owned(), text.clone().into_bytes())));
    let files = options.profiles.iter().map(|name| input::read(name));
    for input in texts.chain(files) {
        let (name, count, diagnostics) = match input {
            Err(failure) => {
                console.failure(&failure);
                status = failure.status();
                let Failure::NoInput { name, source } = failure else { continue };
                (name.clone(), None, vec![Diagnostic::error("unreadable", source.to_string(), &name)])
            }
            Ok((name, bytes)) => {
                let (count, diagnostics) = one(options, &name, bytes, console);
                if count.is_none() && status == Status::Holds {
                    status = Status::BadInput;
                }
                (name, count, diagnostics)
            }
        };
        entries.push(serde_json::json!({
            "file": name,
            "ok": count.is_some(),
            "rules": count.as_ref().map_or(0, |count| count.number),
            "diagnostics": diagnostics.iter().map(Diagnostic::json).collect::<Vec<_>>(),
        }));
        if options.format == Format::Text
            && let Some(Count { number, what }) = count
        {
            let plural = if number == 1 { "" } else { "s" };
            console.print(format!("{name}: ok, {number} {what}{plural}\n"))?;
        }
    }
    if options.format == Format::Json {
        console.print_json(&entries)?;
    }
    Ok(status)
}

/// How much a good profile holds: rules of a text, nodes of a blob.
struct Count {
    number: usize,
    what: &'static str,
}

/// What a profile holds if it is good, and what there is to say about it.
fn one(options: &Options, name: &str, bytes: Vec<u8>, console: &Console) -> (Option<Count>, Vec<Diagnostic>) {
    let quiet = options.format == Format::Json;
    let outcome = options.source.load((name.to_owned(), bytes), console).and_then(|loaded| match loaded {
        Loaded::Blob(_, decoded) if !decoded.leftover.is_empty() => Err(Failure::bad(
            name,
            format!("{} bytes or nodes are not accounted for; 'sbtool decode' shows them", decoded.leftover.len()),
        )),
        Loaded::Blob(_, decoded) => Ok((Count { number: decoded.graph.reachable().len(), what: "node" }, Vec::new())),
        Loaded::Source(evaluated) => {
            let mut notes = evaluated.notes.clone();
            if let Some(note) = input::check(name, &evaluated)? {
                console.diagnostic(&note);
                notes.push(note);
            }
            Ok((Count { number: evaluated.rules.list.len(), what: "rule" }, notes))
        }
    });
    match outcome {
        Ok((count, notes)) => (Some(count), notes),
        Err(failure) => {
            if !quiet {
                console.failure(&failure);
            }
            let diagnostic = match failure {
                Failure::Profile(diagnostic) => *diagnostic,
                Failure::BadInput { reason, .. } => Diagnostic::error("invalid", reason, name),
                other => Diagnostic::error("failed", other.to_string(), name),
            };
            (None, vec![diagnostic])
        }
    }
}
