//! `releases`: what releases are known?

use clap::Args;

use super::output::{Console, Format, table};
use super::status::{Failure, Status};
use crate::vocabulary::{DEFAULT_RELEASE, Release, release_names};

/// List the releases whose vocabulary and format are known
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
                        if is_default(release) { "default".to_owned() } else { String::new() },
                    ]
                })
                .collect();
            console.print(table(&["name", "system", "operations", "filters", ""], rows))?;
        }
    }
    Ok(Status::Holds)
}
