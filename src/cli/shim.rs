//! `shim`: make a profile runnable.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;

use super::input::{self, ProfileOption, ReleaseOption};
use super::output::Console;
use super::status::{Failure, Status};
use crate::blob;
use crate::policy::rules::Place;
use crate::runtime::shim::{self, ShimOptions};

/// Add what a program needs to run under a profile; source in, source out
///
/// Paths under /tmp, /var and /etc get their /private spelling as a further argument of the same
/// filter, and the symlinks their metadata; process-exec and the reads that every program makes
/// are allowed at the end. Comments, order and layout stay; a second run changes nothing.
#[derive(Args)]
#[command(after_help = "Examples:
  sbtool shim profile.sb -o runtime.sb
  sbtool shim --explain profile.sb > runtime.sb
  sbtool shim --key runtime:strict_1 --rules golden/shim_rules.json profile.sb")]
pub struct Options {
    #[command(flatten)]
    profile: ProfileOption,
    #[command(flatten)]
    release: ReleaseOption,
    /// Add the rules that RULES.json has for KEY
    #[arg(long, value_name = "KEY", requires = "rules")]
    key: Option<String>,
    /// JSON object with a list of rules for each key, or a matrix
    #[arg(long, value_name = "RULES.json", requires = "key")]
    rules: Option<PathBuf>,
    /// Do not allow process-exec
    #[arg(long)]
    no_exec: bool,
    /// Do not allow the baseline reads
    #[arg(long)]
    no_reads: bool,
    /// Do not add /private spellings
    #[arg(long)]
    no_alias: bool,
    /// List each addition and why, on standard error
    #[arg(long)]
    explain: bool,
    /// Write the result there
    #[arg(short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
}

pub fn run(options: &Options, console: &Console) -> Result<Status, Failure> {
    let release = options.release.get()?;
    let (name, bytes) = options.profile.read()?;
    if blob::is_blob(&bytes) {
        return Err(Failure::bad(name, "is a compiled blob; blobs are used as they are"));
    }
    let shim_options = ShimOptions {
        exec: !options.no_exec,
        reads: !options.no_reads,
        alias: !options.no_alias,
        key_rules: key_rules(options)?,
    };
    let shimmed = shim::shim(&name, &bytes, release, &shim_options).map_err(|error| match error {
        shim::ShimError::Syntax(diagnostic) => Failure::Profile(diagnostic),
    })?;
    let shown = |place: &Option<Place>| {
        place
            .as_ref()
            .map_or_else(|| "at the end".to_owned(), |place| format!("{}:{}:{}", place.file, place.line, place.column))
    };
    for remark in &shimmed.remarks {
        console.error_line(&format!("{}: note: {}", shown(&remark.place), remark.why));
    }
    if options.explain {
        for addition in &shimmed.additions {
            console.error_line(&format!(
                "{}: added {}: {}",
                shown(&addition.place),
                addition.text.as_deref().unwrap_or(""),
                addition.why
            ));
        }
    }
    console.deliver(shimmed.text, options.output.as_ref())?;
    Ok(Status::Holds)
}

/// Rules by key, or a matrix (or registry) whose profiles have key-specific rules.
#[derive(Deserialize)]
#[serde(untagged)]
enum RulesFile {
    ByKey(BTreeMap<String, Vec<String>>),
    Profiles { profiles: BTreeMap<String, Keyed> },
}

#[derive(Deserialize)]
struct Keyed {
    #[serde(default)]
    key_specific_rules: Vec<String>,
}

fn key_rules(options: &Options) -> Result<Vec<String>, Failure> {
    let (Some(key), Some(path)) = (&options.key, &options.rules) else { return Ok(Vec::new()) };
    let (name, text) = input::read(&path.display().to_string())?;
    let file: RulesFile = serde_json::from_slice(&text)
        .map_err(|_| Failure::bad(&name, "expected an object with a list of rules for each key, or a matrix"))?;
    let mut rules = match file {
        RulesFile::ByKey(rules) => rules,
        RulesFile::Profiles { profiles } => {
            profiles.into_iter().map(|(key, profile)| (key, profile.key_specific_rules)).collect()
        }
    };
    rules.remove(key).ok_or_else(|| {
        let known: Vec<_> = rules.keys().map(String::as_str).collect();
        Failure::bad(name, format!("no rules for key '{key}'; keys: {}", known.join(", ")))
    })
}
