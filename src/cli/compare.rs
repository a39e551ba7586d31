//! `compare`: are two blobs the same, and where not?

use clap::Args;

use super::input::{self, OperationsOption, SourceOptions};
use super::output::{Console, Format, table};
use super::status::{Failure, Status};
use crate::blob::{self, Decoded};
use crate::policy::graph::Graph;
use crate::policy::same;

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
    #[command(flatten)]
    operations: OperationsOption,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub fn run(options: &Options, console: &Console) -> Result<Status, Failure> {
    let source = options.operations.on(&options.source);
    two(&options.first, &options.second, &source, options.format, console)
}

/// What the two decide otherwise: names of operations, in a collection behind the profile's.
fn decided_otherwise(a: &Decoded, b: &Decoded, one_profile: bool) -> Vec<String> {
    let release = a.graph.release;
    if !std::ptr::eq(release, b.graph.release) {
        return vec![format!("everything: one is of {}, one of {}", release.name(), b.graph.release.name())];
    }
    let names = |a: &Graph, b: &Graph| {
        let list = same::different_operations(a, b).into_iter();
        list.map(|operation| release.operation_name(operation).into_owned()).collect::<Vec<_>>()
    };
    if one_profile || !(a.header.is_collection || b.header.is_collection) {
        return names(&a.graph, &b.graph);
    }
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let mut out = Vec::new();
    for profile in &a.collection.profiles {
        match b.collection.profile(&profile.name) {
            Some(other) => {
                let differing = names(&profile.graph, &other.graph);
                out.extend(differing.into_iter().map(|operation| format!("{}: {operation}", text(&profile.name))));
            }
            None => out.push(format!("{}: only in the first", text(&profile.name))),
        }
    }
    let missing = b.collection.profiles.iter().filter(|profile| a.collection.profile(&profile.name).is_none());
    out.extend(missing.map(|profile| format!("{}: only in the second", text(&profile.name))));
    out
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
    let other = decided_otherwise(&a, &b, source.profile_name.is_some());
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
                "other_operations": other,
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
            console.print(match other.as_slice() {
                [] => "every operation is decided by the same tests in the same order\n".to_owned(),
                list => format!("decided otherwise: {}\n", list.join(", ")),
            })?;
        }
    }
    Ok(if comparison.identical { Status::Holds } else { Status::DoesNotHold })
}
