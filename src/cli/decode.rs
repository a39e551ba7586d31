//! `decode`: what a blob says, section by section.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::builder::styling::AnsiColor;
use clap::{Args, ValueEnum};
use sha2::{Digest, Sha256};

use super::input::{self, SourceOptions};
use super::output::{self, Console, Format, table};
use super::status::{Failure, Status};
use crate::blob::{Decoded, legacy};
use crate::policy::describe;
use crate::policy::graph::{Graph, Node, Terminal};
use crate::runtime::artifacts::{GoldenDecode, GoldenDecodes, Metadata};
use crate::runtime::probe::hex;

/// How to show a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum View {
    /// Sections, header, operations, nodes.
    Text,
    /// The same for programs.
    Json,
    /// Every byte, by section.
    Hex,
    /// The decode fields of an older tool, as in golden_decodes.json.
    Legacy,
}

/// Show a compiled blob; a profile is compiled first
///
/// Every byte is accounted for; bytes or nodes that nothing refers to are listed, and the exit
/// status is 1 then.
#[derive(Args)]
#[command(after_help = "Examples:
  sbtool decode profile.sb.bin
  sbtool decode --format hex profile.sb.bin
  sbtool decode --format legacy golden/profiles/*.sb -o out/golden_decodes.json
  sbtool decode --format legacy --golden golden/golden_decodes.json golden/profiles/*.sb
  sbtool decode shipped.bin --compare profile.sb")]
pub struct Options {
    /// Blobs or profiles; '-' is standard input
    #[arg(value_name = "BLOB", required = true)]
    blobs: Vec<String>,
    #[command(flatten)]
    source: SourceOptions,
    /// How to show it
    #[arg(long, value_enum, default_value_t = View::Text)]
    format: View,
    /// Compare the legacy fields with those of a file, by the blob's path; exit 1 on a difference
    #[arg(long, value_name = "FILE")]
    golden: Option<PathBuf>,
    /// Compare with another blob or profile, as 'sbtool compare'
    #[arg(long, value_name = "OTHER", conflicts_with = "golden")]
    compare: Option<String>,
    /// Write the result there
    #[arg(short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
}

pub fn run(options: &Options, console: &Console) -> Result<Status, Failure> {
    if let Some(other) = &options.compare {
        let [one] = options.blobs.as_slice() else {
            return Err(Failure::Usage("--compare takes one BLOB".to_owned()));
        };
        let format = match options.format {
            View::Text => Format::Text,
            View::Json => Format::Json,
            View::Hex | View::Legacy => return Err(Failure::Usage("--compare prints text or json".to_owned())),
        };
        return super::compare::two(one, other, &options.source, format, console);
    }
    let mut blobs = Vec::new();
    for name in &options.blobs {
        let (bytes, decoded) = options.source.load_blob(input::read(name)?, console)?;
        blobs.push((name.as_str(), bytes, decoded));
    }
    let entries = || blobs.iter().map(|(name, bytes, decoded)| golden_entry(name, bytes, decoded)).collect::<Vec<_>>();
    if let Some(path) = &options.golden {
        return against_golden(&entries(), path, console);
    }
    let text = match options.format {
        View::Legacy => {
            let release = options.source.release.get()?;
            output::json(&GoldenDecodes {
                metadata: Metadata { world_id: release.name().to_owned() },
                decodes: entries(),
            })?
            .into_bytes()
        }
        View::Json => {
            let list: Vec<_> = blobs.iter().map(|(name, bytes, decoded)| json(name, bytes, decoded)).collect();
            match list.as_slice() {
                [one] => output::json(one)?,
                several => output::json(&several)?,
            }
            .into_bytes()
        }
        View::Hex => {
            let mut out = Vec::new();
            for (name, bytes, decoded) in &blobs {
                hex_view(name, bytes, decoded, console, &mut out)?;
            }
            out
        }
        View::Text => {
            let one_profile = options.source.profile_name.is_some();
            let shown = blobs.iter().map(|(name, bytes, decoded)| text(name, bytes, decoded, one_profile, console));
            shown.collect::<Vec<_>>().join("\n").into_bytes()
        }
    };
    console.deliver(text, options.output.as_ref())?;
    let whole = blobs.iter().all(|(_, _, decoded)| decoded.leftover.is_empty());
    Ok(if whole { Status::Holds } else { Status::DoesNotHold })
}

fn golden_entry(name: &str, bytes: &[u8], decoded: &Decoded) -> GoldenDecode {
    GoldenDecode::new(name, name, hex(&Sha256::digest(bytes)), legacy::legacy(bytes), &decoded.header.fields)
}

/// Compares what both sides have. An entry of the file belongs to a blob if one path ends in the
/// other, since the file's paths start where it lies.
fn against_golden(entries: &[GoldenDecode], path: &Path, console: &Console) -> Result<Status, Failure> {
    let (name, text) = input::read(&path.display().to_string())?;
    let golden: serde_json::Value = serde_json::from_slice(&text).map_err(|error| Failure::bad(&name, error))?;
    let list = golden.get("decodes").unwrap_or(&golden).as_array().cloned();
    let list = list.ok_or_else(|| Failure::bad(&name, "no list of decodes"))?;
    let mut rows = Vec::new();
    for entry in entries {
        let ours = serde_json::to_value(entry).map_err(|error| Failure::Internal(error.to_string()))?;
        let matches = |other: &&serde_json::Value| {
            let other =
                other.get("blob").and_then(serde_json::Value::as_str).unwrap_or_default().trim_start_matches("../");
            !other.is_empty() && (entry.blob.ends_with(other) || other.ends_with(&entry.blob))
        };
        let Some(theirs) = list.iter().find(matches) else {
            rows.push(vec![entry.blob.clone(), "entry".to_owned(), "missing".to_owned(), "present".to_owned()]);
            continue;
        };
        for (field, value) in theirs.as_object().into_iter().flatten() {
            if !matches!(field.as_str(), "key" | "blob" | "compiled_blob") && ours.get(field) != Some(value) {
                let found = ours.get(field).map_or_else(|| "missing".to_owned(), ToString::to_string);
                rows.push(vec![entry.blob.clone(), field.clone(), value.to_string(), found]);
            }
        }
    }
    if rows.is_empty() {
        console.print(format!("{} decodes as in {name}\n", entries.len()))?;
        return Ok(Status::Holds);
    }
    console.print(table(&["blob", "field", "golden", "found"], rows))?;
    Ok(Status::DoesNotHold)
}

fn text(name: &str, bytes: &[u8], decoded: &Decoded, one_profile: bool, console: &Console) -> String {
    let graph = &decoded.graph;
    let heading = |text: &str| console.paint(text, AnsiColor::Cyan);
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{name}: {} bytes, {}, sha256 {}",
        bytes.len(),
        graph.release.title(),
        hex(&Sha256::digest(bytes))
    );
    let _ = writeln!(out, "\n{}", heading("sections"));
    let rows = decoded.sections.iter().map(|section| {
        vec![
            section.name.to_owned(),
            section.range.start.to_string(),
            section.range.end.to_string(),
            section.range.len().to_string(),
        ]
    });
    out.push_str(&table(&["section", "from", "to", "bytes"], rows.collect()));
    let _ = writeln!(out, "\n{}", heading("header"));
    let rows = decoded.header.fields.iter().map(|(field, value)| vec![field.clone(), value.to_string()]);
    out.push_str(&table(&["field", "value"], rows.collect()));
    let names = names(decoded);
    if !names.is_empty() {
        let _ = writeln!(out, "\n{}", heading("names"));
        let rows = names.into_iter().map(|(what, number, name)| vec![what.to_owned(), number.to_string(), name]);
        out.push_str(&table(&["what", "number", "name"], rows.collect()));
    }
    if decoded.header.is_collection {
        let _ = writeln!(out, "\n{}", heading("profiles"));
        out.push_str(&table(&["profile", "flags", "extends", "profile flags", "default"], profile_rows(decoded)));
    }
    if !decoded.header.is_collection || one_profile {
        let _ = writeln!(out, "\n{}", heading("operations"));
        out.push_str(&table(&["ids", "node", "operations"], operation_rows(decoded)));
    }
    let _ = writeln!(out, "\n{}", heading("nodes"));
    let rows = graph.nodes.iter().enumerate().map(|(index, node)| match node {
        Node::Test { test, matched, unmatched } => {
            vec![index.to_string(), describe::test(graph, test), matched.0.to_string(), unmatched.0.to_string()]
        }
        Node::Terminal(terminal) => {
            vec![index.to_string(), describe::terminal(graph, terminal), String::new(), String::new()]
        }
    });
    out.push_str(&table(&["node", "test or action", "match", "unmatch"], rows.collect()));
    for leftover in &decoded.leftover {
        let _ =
            writeln!(out, "not accounted for: {} to {}: {}", leftover.range.start, leftover.range.end, leftover.what);
    }
    out
}

/// The names of a blob: what they are for, number, name.
fn names(decoded: &Decoded) -> Vec<(&'static str, usize, String)> {
    let graph = &decoded.graph;
    let lists = [
        ("variable", &graph.variables[..]),
        ("state flag", &graph.states[..]),
        ("profile flag", &decoded.collection.profile_flags[..]),
        ("flag asked for", &graph.profile_flags[..]),
    ];
    let entries = lists.into_iter().flat_map(|(what, list)| {
        list.iter().enumerate().map(move |(number, name)| (what, number, String::from_utf8_lossy(name).into_owned()))
    });
    entries.collect()
}

fn profile_rows(decoded: &Decoded) -> Vec<Vec<String>> {
    let rows = decoded.collection.profiles.iter().zip(&decoded.header.records).map(|(profile, record)| {
        let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        let flags =
            profile.flag_set.iter().flatten().map(|flag| {
                text(decoded.collection.profile_flags.get(usize::from(*flag)).map_or(&[][..], Vec::as_slice))
            });
        let default = profile.graph.entries.first().and_then(|entry| profile.graph.node(*entry));
        let default = match default {
            Some(Node::Terminal(terminal)) => describe::terminal(&profile.graph, terminal),
            _ => "tests".to_owned(),
        };
        vec![
            text(&profile.name),
            format!("0x{:04x}", record.flags),
            profile.base.as_deref().map(text).unwrap_or_default(),
            flags.collect::<Vec<_>>().join(" "),
            default,
        ]
    });
    rows.collect()
}

/// Runs of operations with the same entry.
fn operation_rows(decoded: &Decoded) -> Vec<Vec<String>> {
    let entries: Vec<u32> = decoded.graph.entries.iter().map(|entry| entry.0).collect();
    let name = |id: usize| decoded.graph.release.operations().get(id).map_or("", |operation| operation.name.as_str());
    let mut rows = Vec::new();
    let mut start = 0;
    for end in 1..=entries.len() {
        if end < entries.len() && entries[end] == entries[start] {
            continue;
        }
        let (ids, names) = match end - start {
            1 => (start.to_string(), name(start).to_owned()),
            2 => (format!("{start}-{}", end - 1), format!("{}, {}", name(start), name(end - 1))),
            _ => (format!("{start}-{}", end - 1), format!("{} … {}", name(start), name(end - 1))),
        };
        rows.push(vec![ids, entries[start].to_string(), names]);
        start = end;
    }
    rows
}

fn json(name: &str, bytes: &[u8], decoded: &Decoded) -> serde_json::Value {
    let graph = &decoded.graph;
    let header: serde_json::Map<_, _> =
        decoded.header.fields.iter().map(|(field, value)| (field.clone(), (*value).into())).collect();
    let tables: serde_json::Map<_, _> =
        decoded.header.tables.iter().map(|(table, entries)| (table.clone(), entries.clone().into())).collect();
    let sections: Vec<_> = decoded
        .sections
        .iter()
        .map(
            |section| serde_json::json!({"name": section.name, "start": section.range.start, "end": section.range.end}),
        )
        .collect();
    let operations = |graph: &Graph| -> Vec<_> {
        let entries = graph.entries.iter().enumerate();
        entries
            .map(|(id, node)| {
                let name = graph.release.operations().get(id).map(|operation| operation.name.as_str());
                serde_json::json!({"id": id, "name": name, "node": node.0})
            })
            .collect()
    };
    let profiles: Vec<_> = decoded
        .collection
        .profiles
        .iter()
        .zip(&decoded.header.records)
        .map(|(profile, record)| {
            serde_json::json!({
                "name": String::from_utf8_lossy(&profile.name),
                "flags": record.flags,
                "extends": profile.base.as_deref().map(String::from_utf8_lossy),
                "profile_flags": profile.flag_set,
                "operations": operations(&profile.graph),
            })
        })
        .collect();
    let names: Vec<_> = names(decoded)
        .into_iter()
        .map(|(what, number, name)| serde_json::json!({"what": what, "number": number, "name": name}))
        .collect();
    let nodes: Vec<_> = graph
        .nodes
        .iter()
        .enumerate()
        .map(|(index, node)| match node {
            Node::Test { test, matched, unmatched } => serde_json::json!({
                "index": index,
                "filter": graph.release.filter_name(test.filter),
                "test": describe::test(graph, test),
                "match": matched.0,
                "unmatch": unmatched.0,
            }),
            Node::Terminal(terminal) => serde_json::json!({
                "index": index,
                "action": terminal.action().name(),
                "flags": terminal.flags,
                "report": terminal.flags & Terminal::REPORT != 0,
                "modifiers": describe::modifiers(graph, terminal),
                "message_filters": terminal.message_filters().map(|(operation, entry)| serde_json::json!({
                    "operation": graph.release.operation_name(operation),
                    "node": entry.0,
                })).collect::<Vec<_>>(),
            }),
        })
        .collect();
    let objects: Vec<_> = decoded
        .objects
        .iter()
        .map(|object| serde_json::json!({"kind": object.kind, "start": object.range.start, "end": object.range.end}))
        .collect();
    let leftover: Vec<_> = decoded
        .leftover
        .iter()
        .map(|leftover| serde_json::json!({"what": leftover.what, "start": leftover.range.start, "end": leftover.range.end}))
        .collect();
    let mut whole = serde_json::json!({
        "blob": name,
        "length": bytes.len(),
        "sha256": hex(&Sha256::digest(bytes)),
        "release": graph.release.name(),
        "header": header,
        "tables": tables,
        "sections": sections,
        "names": names,
        "operations": operations(graph),
        "nodes": nodes,
        "pool": objects,
        "leftover": leftover,
    });
    if decoded.header.is_collection {
        whole["profiles"] = profiles.into();
    }
    whole
}

/// The bytes of each section under its name.
fn hex_view(name: &str, bytes: &[u8], decoded: &Decoded, console: &Console, out: &mut Vec<u8>) -> Result<(), Failure> {
    let fail = |error: std::io::Error| Failure::Internal(error.to_string());
    out.extend_from_slice(format!("{name}: {} bytes\n", bytes.len()).as_bytes());
    for section in &decoded.sections {
        let title = format!("\n{} ({} to {})\n", section.name, section.range.start, section.range.end);
        out.extend_from_slice(console.paint(&title, AnsiColor::Cyan).as_bytes());
        let mut printer = hexyl::PrinterBuilder::new(out)
            .show_color(console.has_color())
            .show_char_panel(true)
            .show_position_panel(true)
            .with_border_style(hexyl::BorderStyle::None)
            .enable_squeezing(false)
            .num_panels(2)
            .group_size(1)
            .build();
        printer.display_offset(section.range.start as u64);
        printer.print_all(bytes.get(section.range.clone()).unwrap_or_default()).map_err(fail)?;
    }
    Ok(())
}
