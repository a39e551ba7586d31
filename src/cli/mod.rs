//! The command line: one file per verb, each an `Options` struct whose doc comment is its help and
//! one `run`. Input, output and exit status are shared.
//!
//! In: arguments. Out: results on standard output, diagnostics on standard error, an exit status.
//! Never: logic that a library user would miss.
//!
//! To add a verb: a file with `Options` and `run`, and a line in `Verb`.

mod channel;
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
mod promote;
mod reencode;
mod releases;
mod rules;
mod run;
#[cfg(unix)]
mod runners;
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
    Promote(promote::Options),
    Run(run::Options),
    Vocabulary(vocabulary::Options),
    Releases(releases::Options),
    Completions(completions::Options),
    #[cfg(unix)]
    #[command(hide = true)]
    Reader(runners::Reader),
    #[cfg(unix)]
    #[command(hide = true)]
    Writer(runners::Writer),
    #[cfg(unix)]
    #[command(hide = true)]
    Metadata(runners::Metadata),
    #[cfg(unix)]
    #[command(hide = true)]
    Runner(runners::Starter),
    #[cfg(unix)]
    #[command(hide = true)]
    ApplyOnly(runners::ApplyOnly),
    #[cfg(unix)]
    #[command(hide = true)]
    Network(runners::Network),
    #[cfg(unix)]
    #[command(hide = true)]
    Signal(runners::Signal),
    #[cfg(unix)]
    #[command(hide = true)]
    Service(runners::Service),
}

/// Stack of the thread that does the work. Every recursion here is bounded; this leaves the
/// bounds far away.
const STACK: usize = 64 << 20;

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let worker = std::thread::Builder::new().stack_size(STACK).spawn(|| run(std::env::args_os()));
    let status = match worker.map(std::thread::JoinHandle::join) {
        Ok(Ok(Ended::With(status))) => status,
        // The worker is gone: this thread is the only one.
        Ok(Ok(Ended::Alone(rest))) => rest(),
        _ => {
            eprintln!("sbtool: internal error: this is a bug in sbtool, please report it");
            Status::Internal
        }
    };
    ExitCode::from(status as u8)
}

/// How the work of a verb ended.
enum Ended {
    /// So.
    With(Status),
    /// There is more to do, by a process with one thread.
    Alone(Box<dyn FnOnce() -> Status + Send>),
}

impl From<Status> for Ended {
    fn from(status: Status) -> Self {
        Self::With(status)
    }
}

fn run(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Ended {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let status = if error.use_stderr() { Status::Usage } else { Status::Holds };
            return error.print().map_or(Status::CannotWrite, |()| status).into();
        }
    };
    let console = Console::new(cli.color);
    let outcome: Result<Ended, Failure> = match cli.verb {
        Verb::Check(options) => check::run(&options, &console).map(Ended::With),
        Verb::Rules(options) => rules::run(&options, &console).map(Ended::With),
        Verb::Shim(options) => shim::run(&options, &console).map(Ended::With),
        Verb::Fmt(options) => fmt::run(&options, &console).map(Ended::With),
        Verb::Compile(options) => compile::run(&options, &console).map(Ended::With),
        Verb::Decode(options) => decode::run(&options, &console).map(Ended::With),
        Verb::Decompile(options) => decompile::run(&options, &console).map(Ended::With),
        Verb::Compare(options) => compare::run(&options, &console).map(Ended::With),
        Verb::Reencode(options) => reencode::run(&options, &console).map(Ended::With),
        Verb::Extract(options) => extract::run(&options, &console).map(Ended::With),
        Verb::Why(options) => why::run(&options, &console).map(Ended::With),
        Verb::Graph(options) => graph::run(&options, &console).map(Ended::With),
        Verb::Probe(options) => probe::run(&options, &console).map(Ended::With),
        Verb::Promote(options) => promote::run(&options, &console).map(Ended::With),
        Verb::Run(options) => run::run(&options, &console).map(Ended::With),
        Verb::Vocabulary(options) => vocabulary::run(&options, &console).map(Ended::With),
        Verb::Releases(options) => releases::run(&options, &console).map(Ended::With),
        Verb::Completions(options) => completions::run(&options, &console).map(Ended::With),
        #[cfg(unix)]
        Verb::Reader(options) => runners::prepare(options, &console).map(Ended::Alone),
        #[cfg(unix)]
        Verb::Writer(options) => runners::prepare(options, &console).map(Ended::Alone),
        #[cfg(unix)]
        Verb::Metadata(options) => runners::prepare(options, &console).map(Ended::Alone),
        #[cfg(unix)]
        Verb::Runner(options) => runners::prepare(options, &console).map(Ended::Alone),
        #[cfg(unix)]
        Verb::ApplyOnly(options) => runners::prepare(options, &console).map(Ended::Alone),
        #[cfg(unix)]
        Verb::Network(options) => runners::prepare(options, &console).map(Ended::Alone),
        #[cfg(unix)]
        Verb::Signal(options) => runners::prepare(options, &console).map(Ended::Alone),
        #[cfg(unix)]
        Verb::Service(options) => runners::prepare(options, &console).map(Ended::Alone),
    };
    match outcome {
        Ok(ended) => ended,
        // Whoever reads our output has seen enough, as with `| head`.
        Err(Failure::ReaderGone) => Status::Holds.into(),
        Err(failure) => {
            console.failure(&failure);
            failure.status().into()
        }
    }
}

/// The command line's own definition, for completions.
fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}
