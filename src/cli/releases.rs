//! In: nothing. Out: which releases are known, whether sbtool can write their blobs, and what is
//! inferred about them. Never: what they know; that is `vocabulary`.

use clap::Args;

use super::output::{Console, Format, table};
use super::status::{Failure, Status};
use crate::vocabulary::{DEFAULT_RELEASE, Release, release_names};

/// List the releases whose vocabulary is known, and whether their binary format is
#[derive(Args)]
pub struct Options {
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub fn run(options: &Options, console: &Console) -> Result<Status, Failure> {
    let mut releases = Vec::new();
    for name in release_names() {
        releases.push(Release::named(name).map_err(|error| Failure::Internal(error.to_string()))?);
    }
    let is_default = |release: &Release| release.name() == DEFAULT_RELEASE;
    match options.format {
        Format::Json => {
            let list: Vec<_> = releases
                .iter()
                .map(|release| {
                    serde_json::json!({
                        "name": release.name(),
                        "title": release.title(),
                        "operations": release.operations().len(),
                        "filters": release.filters().len(),
                        "modifiers": release.modifiers().len(),
                        "versions": release.versions(),
                        "binary_format": release.layout().is_ok(),
                        "reads_blobs": release.reads_blobs(),
                        "from_text_alone": release.is_from_text_alone(),
                        "inferred": release.inferred().iter().map(|entry| serde_json::json!({
                            "key": entry.key,
                            "from": entry.from,
                        })).collect::<Vec<_>>(),
                        "default": is_default(release),
                    })
                })
                .collect();
            console.print_json(&list)?;
        }
        Format::Text => {
            let rows = releases
                .iter()
                .map(|release| {
                    vec![
                        release.name().to_owned(),
                        release.title().to_owned(),
                        release.operations().len().to_string(),
                        release.filters().len().to_string(),
                        blobs(release).to_owned(),
                        general(release).join(", "),
                        if is_default(release) { "default".to_owned() } else { String::new() },
                    ]
                })
                .collect();
            console.print(table(&["name", "system", "operations", "filters", "blobs", "inferred", ""], rows))?;
        }
    }
    Ok(Status::Holds)
}

/// What sbtool does with blobs of a release.
fn blobs(release: &Release) -> &'static str {
    match (release.layout().is_ok(), release.reads_blobs()) {
        (true, _) => "yes",
        (false, true) if release.is_from_text_alone() => "read, as described",
        (false, true) => "read",
        (false, false) => "no",
    }
}

/// What is inferred and is part of no list of `vocabulary`.
fn general(release: &Release) -> Vec<&str> {
    let listed = |key: &str| ["operation", "filter", "modifier"].iter().any(|stem| key.contains(stem));
    release.inferred().iter().map(|entry| entry.key.as_str()).filter(|key| !listed(key)).collect()
}
