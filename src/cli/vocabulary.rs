//! `vocabulary`: what does a release know?

use clap::{Args, ValueEnum};

use super::input::ReleaseOption;
use super::output::{Console, Format, table};
use super::status::{Failure, Status};
use crate::vocabulary::{Release, TerminalDefault};

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum List {
    Operations,
    Filters,
    Modifiers,
}

/// List the operations, filters or modifiers of a release
///
/// What no table confirms is marked as inferred.
#[derive(Args)]
#[command(after_help = "Examples:
  sbtool vocabulary operations
  sbtool vocabulary filters --format json")]
pub struct Options {
    /// Which list
    #[arg(value_enum)]
    list: List,
    #[command(flatten)]
    release: ReleaseOption,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub fn run(options: &Options, console: &Console) -> Result<Status, Failure> {
    let release = options.release.get()?;
    let (header, rows) = match options.list {
        List::Operations => (vec!["id", "name", "parent", "default", "remark"], operations(release)),
        List::Filters => (vec!["id", "name", "kind", "cost", "functions"], filters(release)),
        List::Modifiers => (vec!["id", "name", "action", "argument"], modifiers(release)),
    };
    match options.format {
        Format::Text => console.print(table(&header, rows))?,
        Format::Json => {
            let list: Vec<serde_json::Value> = rows
                .into_iter()
                .map(|row| {
                    header
                        .iter()
                        .map(|name| (*name).to_owned())
                        .zip(row.into_iter().map(serde_json::Value::String))
                        .collect()
                })
                .collect();
            console.print_json(&list)?;
        }
    }
    Ok(Status::Holds)
}

fn operations(release: &Release) -> Vec<Vec<String>> {
    let row = |operation: &crate::vocabulary::Operation| {
        let versions: Vec<String> = operation.allowed_in.iter().map(ToString::to_string).collect();
        let default = match operation.terminal {
            Some(TerminalDefault::Allow) => "allow".to_owned(),
            Some(TerminalDefault::Deny) => "deny".to_owned(),
            None if versions.is_empty() => "parent".to_owned(),
            None => format!("allow in version {}", versions.join(", ")),
        };
        let mut remarks = Vec::new();
        if operation.parent_inferred {
            remarks.push("parent inferred");
        }
        if operation.message_filter {
            remarks.push("only in message filters");
        }
        vec![
            operation.id.to_string(),
            operation.name.clone(),
            operation.parent.clone().unwrap_or_default(),
            default,
            remarks.join(", "),
        ]
    };
    release.operations().iter().map(row).collect()
}

fn filters(release: &Release) -> Vec<Vec<String>> {
    let row = |filter: &crate::vocabulary::Filter| {
        let functions: Vec<&str> = filter.functions.iter().map(|function| function.name.as_str()).collect();
        let inferred = if filter.cost_inferred { " (inferred)" } else { "" };
        vec![
            filter.id.0.to_string(),
            filter.name.clone(),
            format!("{:?}", filter.kind).to_lowercase(),
            format!("{}{inferred}", filter.cost),
            functions.join(" "),
        ]
    };
    release.filters().iter().map(row).collect()
}

fn modifiers(release: &Release) -> Vec<Vec<String>> {
    let row = |modifier: &crate::vocabulary::Modifier| {
        vec![
            modifier.id.0.to_string(),
            modifier.name.clone(),
            format!("{:?}", modifier.actions).to_lowercase(),
            format!("{:?}", modifier.argument).to_lowercase(),
        ]
    };
    release.modifiers().iter().map(row).collect()
}
