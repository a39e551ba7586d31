//! `fmt`: one layout for all profiles.

use std::path::Path;

use clap::Args;
use clap::builder::styling::AnsiColor;

use super::input;
use super::output::{self, Console};
use super::status::{Failure, Status};
use crate::blob;
use crate::sbpl::{self, DEFAULT_WIDTH, FormatError};

/// Format profiles; never changes the rules
///
/// Files are rewritten where they are, and only if something changes. Comments stay where they
/// stand, atoms and strings keep their spelling. What fits on its line stays there; a rule, a
/// combination of filters or a body that is broken over lines stays broken, one item a line.
#[derive(Args)]
#[command(after_help = "Examples:
  sbtool fmt profile.sb                           rewrite it
  sbtool fmt --check *.sb                         show what would change, for CI
  generate-profile | sbtool fmt - > profile.sb    from standard input to standard output

Exit status: 0 done, 1 with --check where something would change, 65 one cannot be read as SBPL")]
pub struct Options {
    /// SBPL texts; '-' is standard input, formatted to standard output
    #[arg(value_name = "FILE", required = true)]
    files: Vec<String>,
    /// Write nothing; print what would change and exit with 1 if anything would
    #[arg(long)]
    check: bool,
    /// Columns of a line
    #[arg(long, value_name = "N", default_value_t = DEFAULT_WIDTH as u16, value_parser = clap::value_parser!(u16).range(20..=1000))]
    width: u16,
}

pub fn run(options: &Options, console: &Console) -> Result<Status, Failure> {
    let (mut differs, mut bad) = (false, None);
    for file in &options.files {
        match one(options, file, console) {
            Ok(changed) => differs |= changed,
            // Nobody is there to read about the other files.
            Err(Failure::ReaderGone) => return Err(Failure::ReaderGone),
            Err(failure) => {
                console.failure(&failure);
                bad = bad.or(Some(failure.status()));
            }
        }
    }
    Ok(match bad {
        Some(status) => status,
        None if differs && options.check => Status::DoesNotHold,
        None => Status::Holds,
    })
}

/// Formats one file; whether that changes anything.
fn one(options: &Options, file: &str, console: &Console) -> Result<bool, Failure> {
    let (name, before) = input::read(file)?;
    if blob::is_blob(&before) {
        return Err(Failure::bad(name, "is a compiled blob; it has no layout, 'sbtool decode' shows its graph"));
    }
    let after = sbpl::format(&name, &before, usize::from(options.width)).map_err(|error| match error {
        FormatError::Unreadable(diagnostic) => Failure::Profile(diagnostic),
        FormatError::Changed(_) => Failure::Internal(format!("{name}: {error}")),
    })?;
    let changed = before != after;
    if options.check {
        if changed {
            console.print(diff(&name, &before, &after, console))?;
        }
    } else if file == "-" {
        console.print(after)?;
    } else if changed {
        // Behind a symlink the file itself is rewritten.
        let path = Path::new(file).canonicalize().unwrap_or_else(|_| file.into());
        output::write_file(&path, &after)?;
    }
    Ok(changed)
}

/// The change as a unified diff.
fn diff(name: &str, before: &[u8], after: &[u8], console: &Console) -> String {
    let (before, after) = (String::from_utf8_lossy(before), String::from_utf8_lossy(after));
    let diff = similar::TextDiff::from_lines(before.as_ref(), after.as_ref());
    let unified = diff.unified_diff().header(name, &format!("{name} (formatted)")).to_string();
    if !console.has_color() {
        return unified;
    }
    let paint = |line: &str| match line.chars().next() {
        Some('+') => console.paint(line, AnsiColor::Green),
        Some('-') => console.paint(line, AnsiColor::Red),
        Some('@') => console.paint(line, AnsiColor::Cyan),
        _ => line.to_owned(),
    };
    unified
        .split_inclusive('\n')
        .map(|line| line.strip_suffix('\n').map_or_else(|| paint(line), |line| paint(line) + "\n"))
        .collect()
}
