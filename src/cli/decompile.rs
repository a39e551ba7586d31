//! `decompile`: SBPL of a blob.

use clap::Args;

use super::input::{self, SourceOptions};
use super::output::Console;
use super::status::{Failure, Status};
use crate::policy::decompile::decompile;
use crate::sbpl;

/// Print SBPL that compiles to the policy of a blob
#[derive(Args)]
pub struct Options {
    /// The blob; '-' is standard input
    blob: String,
    /// The profile of a collection
    name: Option<String>,
    #[command(flatten)]
    source: SourceOptions,
}

pub fn run(options: &Options, console: &Console) -> Result<Status, Failure> {
    let (_, decoded) = options.source.load_blob(input::read(&options.blob)?, console)?;
    for profile in &decoded.collection.profiles {
        if options.name.as_ref().is_some_and(|name| name.as_bytes() != profile.name) { continue; }
        match decompile(profile) {
            Ok(rules) => console.print(sbpl::write_rules(&rules))?,
            Err(error) => console.print(format!(";; {} ERROR {error}\n", String::from_utf8_lossy(&profile.name)))?,
        }
    }
    Ok(Status::Holds)
}
