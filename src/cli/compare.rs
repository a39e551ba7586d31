//! `compare`: are two blobs the same, and where not?

use clap::Args;

use super::input::{self, SourceOptions};
use super::output::{Console, Format, table};
use super::status::{Failure, Status};
use crate::blob;

/// Compare two blobs byte by byte; a profile is compiled first
///
/// This holds a blob that was shipped against one that was made again.
#[derive(Args)]
#[command(after_help = "Examples:
  sbtool compare shipped.bin profile.sb
  sbtool compare --format json a.bin b.bin

Exit status: 0 not one byte differs, 1 some do")]
pub struct Options {
    /// Blob or profile
    #[arg(value_name = "A")]
    first: String,
    /// Blob or profile
    #[arg(value_name = "B")]
    second: String,
    #[command(flatten)]
    source: SourceOptions,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub fn run(options: &Options, console: &Console) -> Result<Status, Failure> {
    two(&options.first, &options.second, &options.source, options.format, console)
}

/// Compares two inputs and prints where they differ.
pub fn two(
    first: &str,
    second: &str,
    source: &SourceOptions,
    format: Format,
    console: &Console,
) -> Result<Status, Failure> {
    let (a_bytes, a) = source.load_blob(input::read(first)?, console)?;
    let (b_bytes, b) = source.load_blob(input::read(second)?, console)?;
    let comparison = blob::compare((&a, &a_bytes), (&b, &b_bytes));
    match format {
        Format::Json => {
            let header: serde_json::Map<_, _> =
                comparison.header.iter().map(|(name, x, y)| (name.clone(), serde_json::json!([x, y]))).collect();
            let differences: Vec<_> = comparison
                .differences
                .iter()
                .map(
                    |d| serde_json::json!({"section": d.section, "what": d.what, "first": d.first, "second": d.second}),
                )
                .collect();
            console.print_json(&serde_json::json!({
                "identical": comparison.identical,
                "header": header,
                "differences": differences,
            }))?;
        }
        Format::Text if comparison.identical => {
            console.print(format!("identical: {} bytes, {} nodes\n", a_bytes.len(), a.graph.nodes.len()))?;
        }
        Format::Text => {
            let rows = comparison
                .differences
                .iter()
                .map(|d| vec![d.section.to_owned(), d.what.clone(), d.first.clone(), d.second.clone()])
                .collect();
            console.print(table(&["section", "what", first, second], rows))?;
        }
    }
    Ok(if comparison.identical { Status::Holds } else { Status::DoesNotHold })
}
