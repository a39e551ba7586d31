//! `rules`: what a source amounts to.

use clap::Args;

use super::input::{Loaded, ProfileOption, SourceOptions};
use super::output::{self, Console, Format};
use super::status::{Failure, Status};
use crate::sbpl;

/// Print the rules of a profile after imports, macros and parameters
///
/// The text is canonical SBPL that evaluates to the same rules.
#[derive(Args)]
#[command(after_help = "Examples:
  sbtool rules -D HOME=/Users/me profile.sb
  sbtool rules --format json profile.sb")]
pub struct Options {
    #[command(flatten)]
    profile: ProfileOption,
    #[command(flatten)]
    source: SourceOptions,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write the result there
    #[arg(short = 'o', value_name = "FILE")]
    output: Option<std::path::PathBuf>,
}

pub fn run(options: &Options, console: &Console) -> Result<Status, Failure> {
    let (name, bytes) = options.profile.read()?;
    let Loaded::Source(evaluated) = options.source.load((name.clone(), bytes), console)? else {
        return Err(Failure::bad(name, "is a compiled blob; it has no rule list, 'sbtool decode' shows its graph"));
    };
    let text = match options.format {
        Format::Text => sbpl::write_rules(&evaluated.rules),
        Format::Json => output::json(&sbpl::rules_json(&evaluated.rules))?,
    };
    console.deliver(text, options.output.as_ref())?;
    Ok(Status::Holds)
}
