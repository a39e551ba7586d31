//! `decode`: what a blob says, section by section.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::builder::styling::AnsiColor;
use clap::{Args, ValueEnum};
use sha2::{Digest, Sha256};

use super::input::{self, OperationsOption, SourceOptions};
use super::output::{self, Console, Format, table};
use super::status::{Failure, Status};
use crate::blob::{Decoded, legacy};
use crate::policy::describe;
use crate::policy::graph::Node;
use crate::probe::artifacts::{GoldenDecode, GoldenDecodes, Metadata};
use crate::runtime::hex;
use crate::views::{self, Document, Notes, Part, PartKind, Texts};

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
  sbtool decode shipped.bin --compare profile.sb
  sbtool decode --release ios-12 --operations names.txt profile.bin")]
pub struct Options {
    /// Blobs or profiles; '-' is standard input
    #[arg(value_name = "BLOB", required = true)]
    blobs: Vec<String>,
    #[command(flatten)]
    source: SourceOptions,
    #[command(flatten)]
    operations: OperationsOption,
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
    let source = &options.operations.on(&options.source);
    if let Some(other) = &options.compare {
        let [one] = options.blobs.as_slice() else {
            return Err(Failure::Usage("--compare takes one BLOB".to_owned()));
        };
        let format = match options.format {
            View::Text => Format::Text,
            View::Json => Format::Json,
            View::Hex | View::Legacy => return Err(Failure::Usage("--compare prints text or json".to_owned())),
        };
        return super::compare::two(one, other, source, format, console);
    }
    let mut blobs = Vec::new();
    for name in &options.blobs {
        let (bytes, decoded) = source.load_blob(input::read(name)?, console)?;
        blobs.push((name.as_str(), bytes, decoded));
    }
    let entries = || blobs.iter().map(|(name, bytes, decoded)| golden_entry(name, bytes, decoded)).collect::<Vec<_>>();
    if let Some(path) = &options.golden {
        return against_golden(&entries(), path, console);
    }
    let console = &console.for_file(options.output.as_ref());
    if options.format == View::Legacy {
        let release = source.release.get()?;
        let metadata = Metadata { world_id: release.name().to_owned() };
        let golden = output::json(&GoldenDecodes { metadata, decodes: entries() })?;
        console.deliver(golden, options.output.as_ref())?;
    } else {
        console.stream(options.output.as_ref(), |out| match options.format {
            View::Hex => {
                blobs.iter().try_for_each(|(name, bytes, decoded)| hex_view(name, bytes, decoded, console, out))
            }
            View::Json => json(&blobs, out),
            View::Text | View::Legacy => {
                let one_profile = source.profile_name.is_some();
                blobs.iter().enumerate().try_for_each(|(number, (name, bytes, decoded))| {
                    if number > 0 {
                        writeln!(out)?;
                    }
                    text(name, bytes, decoded, one_profile, console, out)
                })
            }
        })?;
    }
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

fn text(
    name: &str,
    bytes: &[u8],
    decoded: &Decoded,
    one_profile: bool,
    console: &Console,
    out: &mut dyn Write,
) -> io::Result<()> {
    let graph = &decoded.graph;
    let heading = |text: &str| console.paint(text, AnsiColor::Cyan);
    let title = graph.release.title();
    writeln!(out, "{name}: {} bytes, {title}, sha256 {}", bytes.len(), hex(&Sha256::digest(bytes)))?;
    if let Some(unproven) = views::unproven(decoded) {
        writeln!(out, "{unproven}")?;
    }
    writeln!(out, "\n{}", heading("sections"))?;
    let rows = decoded.sections.iter().map(|section| {
        vec![
            section.name.to_owned(),
            section.range.start.to_string(),
            section.range.end.to_string(),
            section.range.len().to_string(),
        ]
    });
    out.write_all(table(&["section", "from", "to", "bytes"], rows.collect()).as_bytes())?;
    writeln!(out, "\n{}", heading("header"))?;
    let rows = decoded.header.fields.iter().map(|(field, value)| vec![field.clone(), value.to_string()]);
    out.write_all(table(&["field", "value"], rows.collect()).as_bytes())?;
    let names = views::names(decoded);
    if !names.is_empty() {
        writeln!(out, "\n{}", heading("names"))?;
        let rows = names.into_iter().map(|(what, number, name)| vec![what.to_owned(), number.to_string(), name]);
        out.write_all(table(&["what", "number", "name"], rows.collect()).as_bytes())?;
    }
    if decoded.header.is_collection {
        writeln!(out, "\n{}", heading("profiles"))?;
        let rows = profile_rows(decoded);
        out.write_all(table(&["profile", "flags", "extends", "profile flags", "default"], rows).as_bytes())?;
    }
    if !decoded.header.is_collection || one_profile {
        writeln!(out, "\n{}", heading("operations"))?;
        out.write_all(table(&["ids", "node", "operations"], operation_rows(decoded)).as_bytes())?;
    }
    writeln!(out, "\n{}", heading("nodes"))?;
    // As it is made, and what may be long comes last: a column as wide as its longest text would make
    // every line as long.
    let width = graph.nodes.len().saturating_sub(1).to_string().len().max("unmatch".len());
    writeln!(out, "{:width$}  {:width$}  {:width$}  test or action", "node", "match", "unmatch")?;
    let texts = Texts::new(graph);
    for (index, node) in graph.nodes.iter().enumerate() {
        match node {
            Node::Test { test, matched, unmatched } => {
                let (matched, unmatched) = (matched.0, unmatched.0);
                writeln!(out, "{index:<width$}  {matched:<width$}  {unmatched:<width$}  {}", texts.test(test))?;
            }
            Node::Terminal(terminal) => {
                writeln!(
                    out,
                    "{index:<width$}  {:width$}  {:width$}  {}",
                    "",
                    "",
                    describe::terminal(graph, terminal)
                )?;
            }
        }
    }
    for leftover in &decoded.leftover {
        let (start, end) = (leftover.range.start, leftover.range.end);
        writeln!(out, "not accounted for: {start} to {end}: {}", leftover.what)?;
    }
    Ok(())
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

/// One document, or a list of several.
fn json(blobs: &[(&str, Vec<u8>, Decoded)], out: &mut dyn Write) -> io::Result<()> {
    let mut documents: Vec<_> = (blobs.iter())
        .map(|(name, bytes, decoded)| Document::new(name, bytes.len(), hex(&Sha256::digest(bytes)), decoded))
        .collect();
    match (documents.pop(), documents.is_empty()) {
        (Some(one), true) => serde_json::to_writer_pretty(&mut *out, &one)?,
        (last, _) => {
            documents.extend(last);
            serde_json::to_writer_pretty(&mut *out, &documents)?;
        }
    }
    writeln!(out)
}

/// The colour of each kind of bytes.
fn color(kind: PartKind) -> AnsiColor {
    match kind {
        PartKind::Header => AnsiColor::Magenta,
        PartKind::Tables => AnsiColor::BrightMagenta,
        PartKind::Profiles => AnsiColor::BrightCyan,
        PartKind::Operations => AnsiColor::Cyan,
        PartKind::Nodes => AnsiColor::BrightBlue,
        PartKind::Patterns => AnsiColor::Green,
        PartKind::Regexes => AnsiColor::BrightGreen,
        PartKind::Strings => AnsiColor::Yellow,
        PartKind::Sets => AnsiColor::BrightYellow,
        PartKind::Addresses => AnsiColor::Blue,
        PartKind::Modifiers => AnsiColor::BrightRed,
        PartKind::Padding => AnsiColor::BrightBlack,
        PartKind::LeftOver => AnsiColor::Red,
    }
}

/// Every byte in the colour of what it is, with a legend, headings, and a note behind each row.
fn hex_view(name: &str, bytes: &[u8], decoded: &Decoded, console: &Console, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{name}: {} bytes, {}", bytes.len(), decoded.graph.release.title())?;
    if let Some(unproven) = views::unproven(decoded) {
        writeln!(out, "{unproven}")?;
    }
    let mut sizes: BTreeMap<PartKind, usize> = BTreeMap::new();
    views::parts(decoded, bytes, |part, _| {
        if !part.range.is_empty() {
            *sizes.entry(part.kind).or_default() += part.range.len();
        }
        Ok::<(), io::Error>(())
    })?;
    let legend: Vec<String> = (sizes.iter())
        .map(|(kind, size)| console.paint(&format!("{} ({size} bytes)", kind.name()), color(*kind)))
        .collect();
    writeln!(out, "legend: {}", legend.join(", "))?;
    views::parts(decoded, bytes, |part, notes| {
        if !part.title.is_empty() {
            let gap = if part.title.starts_with("pool object") { "" } else { "\n" };
            writeln!(out, "{gap}{}", console.paint(&part.title, color(part.kind)))?;
        }
        if part.range.is_empty() {
            return Ok(());
        }
        let mut rows = Rows { out, console, part, notes, number: 0, line: Vec::new() };
        // The printer's own colours are those of byte values, so it prints without.
        let mut printer = hexyl::PrinterBuilder::new(&mut rows)
            .show_color(false)
            .show_char_panel(true)
            .show_position_panel(true)
            .with_border_style(hexyl::BorderStyle::None)
            .enable_squeezing(false)
            .num_panels(part.width as u64 / 8)
            .group_size(1)
            .build();
        printer.display_offset(part.range.start as u64);
        printer.print_all(bytes.get(part.range.clone()).unwrap_or_default())
    })
}

/// Takes the printer's rows, and writes each in its colour with its note.
struct Rows<'a> {
    out: &'a mut dyn Write,
    console: &'a Console,
    part: &'a Part,
    notes: Notes<'a>,
    number: usize,
    line: Vec<u8>,
}

impl Write for Rows<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = String::from_utf8_lossy(&self.line);
                let line = line.trim_end_matches('\n');
                let note = (self.notes)(self.number);
                // Rows are equally long, so that notes stand below one another.
                let (line, gap) = if note.is_empty() { (line.trim_end(), "") } else { (line, " ") };
                writeln!(self.out, "{}{gap}{note}", self.console.paint(line, color(self.part.kind)))?;
                self.number += 1;
                self.line.clear();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
