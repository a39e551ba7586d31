//! `compile`: SBPL to Apple's binary format.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use sha2::{Digest, Sha256};

use super::input::{self, Loaded, ProfileOption, SourceOptions};
use super::output::{self, Console, Format};
use super::status::{Failure, Status};
use crate::policy::passes::Passes;
use crate::runtime::probe::hex;

/// Who compiles. The system's own library is to be a second value here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Compiler {
    /// sbtool itself, on any operating system.
    Builtin,
}

/// A pass that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Pass {
    /// Skipping of tests whose outcome is known.
    Thread,
    /// Order of conjunctions by cost.
    Sort,
    /// Merging of neighbouring string tests.
    Merge,
    /// Pattern programs instead of regex objects for simple expressions.
    Lower,
}

/// Compile a profile to the bytes that Apple's compiler makes of it
#[derive(Args)]
#[command(after_help = "Examples:
  sbtool compile profile.sb -o profile.sb.bin
  sbtool compile -p '(version 1)(allow default)' | sha256sum
  sbtool compile --format json profile.sb -o profile.sb.bin

A bad profile leaves an old output file as it was.")]
pub struct Options {
    #[command(flatten)]
    profile: ProfileOption,
    #[command(flatten)]
    source: SourceOptions,
    /// Write the blob there; standard output if it is no terminal
    #[arg(short = 'o', value_name = "BLOB")]
    output: Option<PathBuf>,
    /// Who compiles
    #[arg(long, value_enum, default_value_t = Compiler::Builtin)]
    compiler: Compiler,
    /// Leave a pass out, to see what it does; the result means the same
    #[arg(long, value_enum, value_name = "NAME")]
    no_pass: Vec<Pass>,
    /// What to print about the blob; json needs -o
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub fn run(options: &Options, console: &Console) -> Result<Status, Failure> {
    if options.output.is_none() && options.format == Format::Json {
        return Err(Failure::Usage("--format json prints about the blob; say where the blob goes with -o".to_owned()));
    }
    if options.output.is_none() && std::io::stdout().is_terminal() {
        return Err(Failure::Usage("a blob is no text for a terminal; say where it goes with -o".to_owned()));
    }
    let (name, bytes) = options.profile.read()?;
    let Loaded::Source(evaluated) = options.source.load((name.clone(), bytes), console)? else {
        return Err(Failure::bad(name, "is compiled already"));
    };
    let left_out = |pass| options.no_pass.contains(&pass);
    let passes = Passes {
        thread: !left_out(Pass::Thread),
        sort: !left_out(Pass::Sort),
        merge: !left_out(Pass::Merge),
        lower_regexes: !left_out(Pass::Lower),
    };
    let Compiler::Builtin = options.compiler;
    let (blob, graph) = input::compile(&name, &evaluated, passes)?;
    let Some(path) = &options.output else {
        console.print(&blob)?;
        return Ok(Status::Holds);
    };
    output::write_file(path, &blob)?;
    if options.format == Format::Json {
        console.print_json(&serde_json::json!({
            "blob": path.display().to_string(),
            "length": blob.len(),
            "sha256": hex(&Sha256::digest(&blob)),
            "nodes": graph.nodes.len(),
            "operations": graph.entries.len(),
            "release": graph.release.name(),
        }))?;
    }
    Ok(Status::Holds)
}
