//! `reencode`: does the decoded form hold everything?

use std::path::PathBuf;

use clap::Args;

use super::input::{self, OperationsOption, ReleaseOption};
use super::output::{self, Console};
use super::status::{Failure, Status};
use crate::blob;

/// Decode a blob and encode it again from the decoded form alone
///
/// The decoded form holds neither offsets nor raw bytes, so equal bytes prove that the decoder
/// understood everything.
#[derive(Args)]
#[command(after_help = "Example:
  sbtool reencode shipped.bin -o again.bin

Exit status: 0 the bytes are the same, 1 they are not; the first section that differs is named")]
pub struct Options {
    /// Compiled blob; '-' is standard input
    #[arg(value_name = "BLOB")]
    blob: String,
    #[command(flatten)]
    release: ReleaseOption,
    #[command(flatten)]
    operations: OperationsOption,
    /// Write the new blob there
    #[arg(short = 'o', value_name = "BLOB2")]
    output: Option<PathBuf>,
}

pub fn run(options: &Options, console: &Console) -> Result<Status, Failure> {
    let release = options.operations.on_release(&options.release).get()?;
    let (name, bytes) = input::read(&options.blob)?;
    if !blob::is_blob(&bytes) {
        return Err(Failure::bad(name, "is a text; compile it first"));
    }
    let decoded = input::decode(&name, &bytes, release, console)?;
    let again = blob::encode_collection(&decoded.collection).map_err(|error| Failure::bad(&name, error))?;
    if let Some(path) = &options.output {
        output::write_file(path, &again)?;
    }
    if again == bytes {
        console.print(format!("identical: {} bytes\n", bytes.len()))?;
        return Ok(Status::Holds);
    }
    let at = bytes.iter().zip(&again).position(|(a, b)| a != b).unwrap_or(bytes.len().min(again.len()));
    let section =
        decoded.sections.iter().find(|section| section.range.contains(&at)).map_or("end", |section| section.name);
    console.print(format!(
        "differs in {section} at offset {at}: {} bytes in, {} bytes out\n",
        bytes.len(),
        again.len()
    ))?;
    for leftover in &decoded.leftover {
        console.print(format!(
            "not accounted for: {} to {}: {}\n",
            leftover.range.start, leftover.range.end, leftover.what
        ))?;
    }
    Ok(Status::DoesNotHold)
}
