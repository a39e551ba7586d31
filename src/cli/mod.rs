//! The command line: one file per verb, each an `Options` struct whose doc comment is its help and
//! one `run`. Input, output and exit status are shared.
//!
//! In: arguments. Out: results on standard output, diagnostics on standard error, an exit status.
//! Never: logic that a library user would miss.
//!
//! To add a verb: a file with `Options` and `run`, and a line in `Verb`.

mod check;
mod compare;
mod compile;
mod completions;
mod decode;
mod decompile;
mod extract;
mod fmt;
mod graph;
mod input;
mod output;
mod probe;
mod reencode;
mod releases;
mod rules;
mod run;
mod sarif;
mod shim;
mod status;
mod vocabulary;
mod why;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use output::{Color, Console};
use status::{Failure, Status};

/// Compile, decode and question macOS sandbox profiles (SBPL), on any operating system
#[derive(Parser)]
#[command(
    name = "sbtool",
    version,
    arg_required_else_help = true,
    after_help = "\
PROFILE is SBPL text or a compiled blob, told apart by content; '-' is standard input.

Examples:
  sbtool why profile.sb file-read-data /tmp/x     which rule decides, and how
  sbtool compile profile.sb -o profile.sb.bin     the bytes that Apple's compiler makes
  sbtool decode profile.sb.bin                    the blob, section by section
  sbtool probe golden/expected_matrix.json        a table of expected and actual verdicts

Exit status: 0 done and it holds, 1 done and it does not, 64 usage, 65 bad profile or blob,
66 input missing, 70 internal error, 71 refused by the system, 73 or 74 output not written"
)]
struct Cli {
    /// When to use colours
    #[arg(long, value_enum, default_value_t = Color::Auto, global = true, value_name = "WHEN")]
    color: Color,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Check(check::Options),
    Rules(rules::Options),
    Shim(shim::Options),
    Fmt(fmt::Options),
    Compile(compile::Options),
    Decode(decode::Options),
    Decompile(decompile::Options),
    Compare(compare::Options),
    Reencode(reencode::Options),
    Extract(extract::Options),
    Why(why::Options),
    Graph(graph::Options),
    Probe(probe::Options),
    Run(run::Options),
    Vocabulary(vocabulary::Options),
    Releases(releases::Options),
    Completions(completions::Options),
}

/// Stack of the thread that does the work. Every recursion here is bounded; this leaves the
/// bounds far away.
const STACK: usize = 64 << 20;

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let worker = std::thread::Builder::new().stack_size(STACK).spawn(|| run(std::env::args_os()));
    let status = match worker.map(std::thread::JoinHandle::join) {
        Ok(Ok(status)) => status,
        _ => {
            eprintln!("sbtool: internal error: this is a bug in sbtool, please report it");
            Status::Internal
        }
    };
    ExitCode::from(status as u8)
}

fn run(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Status {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let status = if error.use_stderr() { Status::Usage } else { Status::Holds };
            return error.print().map_or(Status::CannotWrite, |()| status);
        }
    };
    let console = Console::new(cli.color);
    let outcome = match cli.verb {
        Verb::Check(options) => check::run(&options, &console),
        Verb::Rules(options) => rules::run(&options, &console),
        Verb::Shim(options) => shim::run(&options, &console),
        Verb::Fmt(options) => fmt::run(&options, &console),
        Verb::Compile(options) => compile::run(&options, &console),
        Verb::Decode(options) => decode::run(&options, &console),
        Verb::Decompile(options) => decompile::run(&options, &console),
        Verb::Compare(options) => compare::run(&options, &console),
        Verb::Reencode(options) => reencode::run(&options, &console),
        Verb::Extract(options) => extract::run(&options, &console),
        Verb::Why(options) => why::run(&options, &console),
        Verb::Graph(options) => graph::run(&options, &console),
        Verb::Probe(options) => probe::run(&options, &console),
        Verb::Run(options) => run::run(&options, &console),
        Verb::Vocabulary(options) => vocabulary::run(&options, &console),
        Verb::Releases(options) => releases::run(&options, &console),
        Verb::Completions(options) => completions::run(&options, &console),
    };
    match outcome {
        Ok(status) => status,
        // Whoever reads our output has seen enough, as with `| head`.
        Err(Failure::ReaderGone) => Status::Holds,
        Err(failure) => {
            console.failure(&failure);
            failure.status()
        }
    }
}

/// The command line's own definition, for completions.
fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}
