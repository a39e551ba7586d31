//! `check`: is a profile good?

use clap::Args;

use super::input::{self, Loaded, SourceOptions};
use super::output::{Console, Format};
use super::status::{Failure, Status};
use crate::policy::build::Passes;
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
        let (name, rules, diagnostics) = match input {
            Err(failure) => {
                console.failure(&failure);
                status = failure.status();
                let Failure::NoInput { name, source } = failure else { continue };
                (name.clone(), None, vec![Diagnostic::error("unreadable", source.to_string(), &name)])
            }
            Ok((name, bytes)) => {
                let (rules, diagnostics) = one(options, &name, bytes, console);
                if rules.is_none() && status == Status::Holds {
                    status = Status::BadInput;
                }
                (name, rules, diagnostics)
            }
        };
        entries.push(serde_json::json!({
            "file": name,
            "ok": rules.is_some(),
            "rules": rules.unwrap_or(0),
            "diagnostics": diagnostics.iter().map(Diagnostic::json).collect::<Vec<_>>(),
        }));
        if options.format == Format::Text
            && let Some(rules) = rules
        {
            let plural = if rules == 1 { "rule" } else { "rules" };
            console.print(format!("{name}: ok, {rules} {plural}\n"))?;
        }
    }
    if options.format == Format::Json {
        console.print_json(&entries)?;
    }
    Ok(status)
}

/// Number of rules if the profile is good, and what there is to say about it.
fn one(options: &Options, name: &str, bytes: Vec<u8>, console: &Console) -> (Option<usize>, Vec<Diagnostic>) {
    let quiet = options.format == Format::Json;
    let outcome = options.source.load((name.to_owned(), bytes), console).and_then(|loaded| match loaded {
        Loaded::Blob(_, decoded) if !decoded.leftover.is_empty() => Err(Failure::bad(
            name,
            format!("{} bytes or nodes are not accounted for; 'sbtool decode' shows them", decoded.leftover.len()),
        )),
        Loaded::Blob(_, decoded) => Ok((decoded.graph.reachable().len(), Vec::new())),
        Loaded::Source(evaluated) => {
            input::compile(name, &evaluated, Passes::default())?;
            Ok((evaluated.rules.list.len(), evaluated.notes))
        }
    });
    match outcome {
        Ok((rules, notes)) => (Some(rules), notes),
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
