//! `graph`: the decision graph, as text for programs or as a picture.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::input::{self, Loaded, SourceOptions};
use super::output::{self, Console};
use super::status::{Failure, Status};
use crate::blob;
use crate::drawing::{self, Drawing};
use crate::policy::graph::Graph;
use crate::policy::passes::Passes;
use crate::runtime::question;

/// What comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// The language of Graphviz.
    Dot,
    /// A picture, laid out.
    Svg,
    /// Entries, nodes and edges for programs.
    Json,
}

/// Show the decision graph of an operation, or of all that do not only inherit
///
/// Nodes have the numbers of 'sbtool decode'. A solid green edge is taken when a test matches, a dashed
/// grey one when it does not. A dot or json names each node once; a picture draws a terminal for each edge
/// that leads to it.
#[derive(Args)]
#[command(
    override_usage = "sbtool graph [OPTIONS] PROFILE [OPERATION]\n       sbtool graph [OPTIONS] -p TEXT [OPERATION]",
    after_help = "Examples:
  sbtool graph profile.sb file-read-data --format svg -o read.svg
  sbtool graph profile.sb | dot -Tpdf -o profile.pdf
  sbtool graph collection.bin --profile-name container mach-lookup --format json"
)]
pub struct Options {
    /// The profile and the operation; with -p no profile
    #[arg(value_name = "WORDS", required_unless_present = "text", num_args = 1..=2)]
    words: Vec<String>,
    /// The text of the profile, in place of PROFILE
    #[arg(short = 'p', value_name = "TEXT")]
    text: Option<String>,
    #[command(flatten)]
    source: SourceOptions,
    /// What to write
    #[arg(long, value_enum, default_value_t = Form::Dot)]
    format: Form,
    /// Write the result there
    #[arg(short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
}

pub fn run(options: &Options, console: &Console) -> Result<Status, Failure> {
    let mut words = options.words.iter().map(String::as_str);
    let input = match &options.text {
        Some(text) => ("<input string>".to_owned(), text.clone().into_bytes()),
        None => input::read(words.next().unwrap_or_default())?,
    };
    let operation = words.next();
    if words.next().is_some() {
        return Err(Failure::Usage("more than OPERATION beside -p".to_owned()));
    }
    let name = input.0.clone();
    let graph = graph(options, input, console)?;
    let operation = operation.map(|name| question::operation(graph.release, name));
    let operation = operation.transpose().map_err(|error| Failure::Usage(error.to_string()))?;
    if let Some(id) = operation.filter(|id| graph.entry(*id).is_none()) {
        let name = graph.release.operation_name(id);
        return Err(Failure::Usage(format!("'{name}' is decided by message filters; ask for the whole graph")));
    }
    let drawing = Drawing::of(&graph, operation);
    let text = match options.format {
        Form::Dot => drawing::dot(&drawing),
        Form::Svg => drawing::svg(&drawing).map_err(|error| Failure::bad(name, error))?,
        Form::Json => output::json(&drawing::json(&drawing))?,
    };
    console.deliver(text, options.output.as_ref())?;
    Ok(Status::Holds)
}

/// The graph as it is in the blob, with its numbers; where the release has no format, as it is built.
fn graph(options: &Options, input: (String, Vec<u8>), console: &Console) -> Result<Graph, Failure> {
    let name = input.0.clone();
    let has_format = options.source.release.get()?.layout().is_ok();
    match options.source.load(input, console)? {
        Loaded::Source(evaluated) if has_format => {
            let (bytes, _) = input::compile(&name, &evaluated, Passes::default())?;
            let decoded = blob::decode(&bytes, evaluated.rules.release);
            Ok(decoded.map_err(|error| Failure::Internal(error.to_string()))?.graph)
        }
        loaded => Ok(options.source.policy(&name, loaded)?.graph().clone()),
    }
}
