//! `check`: is a profile good?

use clap::{Args, ValueEnum};

use super::input::{self, Loaded, SourceOptions};
use super::output::Console;
use super::sarif;
use super::status::{Failure, Status};
use crate::sbpl::{self, Diagnostic};

/// Read, evaluate and compile profiles, and write nothing
///
/// All profiles are checked, also behind a bad one.
#[derive(Args)]
#[command(after_help = "Examples:
  sbtool check profile.sb
  sbtool check --format json *.sb
  sbtool check --keep-going --format sarif *.sb > sbtool.sarif
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
    /// Evaluate on past a form with an error in it, and report all independent errors
    #[arg(long)]
    keep_going: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = View::Text)]
    format: View,
}

/// How to print the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum View {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// SARIF 2.1.0, for code hosts.
    Sarif,
}

pub fn run(options: &Options, console: &Console) -> Result<Status, Failure> {
    // Mistakes in the options themselves are no property of a profile.
    options.source.evaluation()?;
    let mut entries = Vec::new();
    let mut all = Vec::new();
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
        all.extend(diagnostics);
        if options.format == View::Text
            && let Some(Count { number, what }) = count
        {
            let plural = if number == 1 { "" } else { "s" };
            console.print(format!("{name}: ok, {number} {what}{plural}\n"))?;
        }
    }
    match options.format {
        View::Text => {}
        View::Json => console.print_json(&entries)?,
        View::Sarif => console.print_json(&sarif::log(&all))?,
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
    let quiet = options.format != View::Text;
    let outcome =
        options.source.load((name.to_owned(), bytes.clone()), &console.quiet(quiet)).and_then(|loaded| match loaded {
            Loaded::Blob(_, decoded) if !decoded.leftover.is_empty() => {
                let left = decoded.leftover.len();
                Err(Failure::bad(
                    name,
                    format!("{left} bytes or nodes are not accounted for; 'sbtool decode' shows them"),
                ))
            }
            Loaded::Blob(_, decoded) => {
                Ok((Count { number: decoded.graph.reachable().len(), what: "node" }, Vec::new()))
            }
            Loaded::Source(evaluated) => {
                let mut notes = evaluated.notes.clone();
                if let Some(note) = input::check(name, &evaluated)? {
                    console.quiet(quiet).diagnostic(&note);
                    notes.push(note);
                }
                Ok((Count { number: evaluated.rules.list.len(), what: "rule" }, notes))
            }
        });
    let failure = match outcome {
        Ok((count, notes)) => return (Some(count), notes),
        Err(failure) => failure,
    };
    let found = match failure {
        Failure::Profile(_) if options.keep_going => match options.source.evaluation() {
            Ok(evaluation) => sbpl::diagnose(name, &bytes, &evaluation),
            Err(failure) => vec![Diagnostic::error("failed", failure.to_string(), name)],
        },
        Failure::Profile(diagnostic) => vec![*diagnostic],
        failure => {
            if !quiet {
                console.failure(&failure);
            }
            let (code, reason) = match failure {
                Failure::BadInput { reason, .. } => ("invalid", reason),
                other => ("failed", other.to_string()),
            };
            return (None, vec![Diagnostic::error(code, reason, name)]);
        }
    };
    if !quiet {
        // Notes of a profile that did not evaluate were not printed on the way.
        found.iter().for_each(|diagnostic| console.diagnostic(diagnostic));
    }
    (None, found)
}
