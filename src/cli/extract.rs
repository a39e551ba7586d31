//! `extract`: profiles, collections and operation names out of system files.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use sha2::{Digest, Sha256};

use super::output::{self, Console, Format, table};
use super::status::{Failure, Status};
use crate::extract::{self, Finding, Kind};
use crate::runtime::hex;
use crate::vocabulary::{Release, release_names};

/// Take compiled profiles, collections and operation names out of a system file
///
/// FILE is a kernelcache, a kext, sandboxd or libsandbox, thin or universal, or the property list of an
/// app container. Every place of its data is tried; what some release reads to its end is taken. Each
/// finding becomes a file of DIR, and manifest.json says where it was.
#[derive(Args)]
#[command(after_help = "Examples:
  sbtool extract kernelcache.decompressed -d out
  sbtool extract /System/Library/Extensions/Sandbox.kext/Contents/MacOS/Sandbox -d out
  sbtool extract .com.apple.containermanagerd.metadata.plist -d out --release macos-14.4

Exit status: 0 something was found, 1 nothing was found")]
pub struct Options {
    /// Mach-O or property list; '-' is standard input
    #[arg(value_name = "MACHO")]
    file: String,
    /// Write the findings there; the folder is made if it is missing
    #[arg(short = 'd', value_name = "DIR")]
    folder: PathBuf,
    /// Try this release only, and not every one whose format is known
    #[arg(long, value_name = "NAME")]
    release: Option<String>,
    /// How to print the findings; json is the manifest
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Largest file that is read. Unpacked kernelcaches have up to 150 MB.
const MAX_FILE: u64 = 1 << 30;

pub fn run(options: &Options, console: &Console) -> Result<Status, Failure> {
    let releases = releases(options.release.as_deref())?;
    let bytes = read(&options.file)?;
    let findings = extract::extract(&bytes, &releases).map_err(|error| Failure::bad(&options.file, error))?;
    let fail = |source| Failure::CannotCreate { name: options.folder.display().to_string(), source };
    std::fs::create_dir_all(&options.folder).map_err(fail)?;
    for finding in &findings {
        output::write_file(&options.folder.join(file_name(finding)), &finding.bytes)?;
    }
    let manifest = manifest(&options.file, &bytes, &releases, &findings);
    output::write_file(&options.folder.join("manifest.json"), output::json(&manifest)?.as_bytes())?;
    match options.format {
        Format::Json => console.print_json(&manifest)?,
        Format::Text if findings.is_empty() => console.print("nothing found\n")?,
        Format::Text => console.print(text(&findings))?,
    }
    Ok(if findings.is_empty() { Status::DoesNotHold } else { Status::Holds })
}

/// The releases to try: the one asked for, or all whose format is known.
fn releases(wanted: Option<&str>) -> Result<Vec<&'static Release>, Failure> {
    let named = |name: &str| Release::named(name).map_err(|error| Failure::Usage(error.to_string()));
    if let Some(name) = wanted {
        let release = named(name)?;
        if !release.reads_blobs() {
            return release.layout().map(|_| Vec::new()).map_err(|error| Failure::Usage(error.to_string()));
        }
        return Ok(vec![release]);
    }
    let all = release_names().into_iter().map(named).collect::<Result<Vec<_>, _>>()?;
    Ok(all.into_iter().filter(|release| release.reads_blobs()).collect())
}

/// System files are larger than any profile.
fn read(name: &str) -> Result<Vec<u8>, Failure> {
    let fail = |source: std::io::Error| Failure::NoInput { name: name.to_owned(), source };
    let mut bytes = Vec::new();
    let read = |reader: &mut dyn Read, bytes: &mut Vec<u8>| reader.take(MAX_FILE + 1).read_to_end(bytes);
    if name == "-" {
        read(&mut std::io::stdin().lock(), &mut bytes).map_err(fail)?;
    } else {
        read(&mut std::fs::File::open(name).map_err(fail)?, &mut bytes).map_err(fail)?;
    }
    if bytes.len() as u64 > MAX_FILE {
        return Err(fail(std::io::Error::other(format!("is larger than {MAX_FILE} bytes"))));
    }
    Ok(bytes)
}

/// Names come from places and never from symbols: what a file says is no path here.
fn file_name(finding: &Finding) -> String {
    let suffix = if finding.kind == Kind::OperationNames { "txt" } else { "bin" };
    let architecture = finding.architecture.as_ref().map_or_else(String::new, |name| format!("{name}-"));
    format!("{architecture}{}-{:x}.{suffix}", finding.kind.name(), finding.offset)
}

fn manifest(name: &str, bytes: &[u8], releases: &[&Release], findings: &[Finding]) -> serde_json::Value {
    let entries: Vec<_> = findings
        .iter()
        .map(|finding| {
            serde_json::json!({
                "file": file_name(finding),
                "kind": finding.kind,
                "architecture": finding.architecture,
                "section": finding.section,
                "offset": finding.offset,
                "address": finding.address,
                "size": finding.bytes.len(),
                "sha256": hex(&Sha256::digest(&finding.bytes)),
                "releases": finding.releases,
                "operations": finding.operations,
                "profiles": (finding.kind != Kind::OperationNames).then_some(finding.profiles),
                "unaccounted": finding.unaccounted,
                "symbol": finding.symbol,
                "name": finding.name,
            })
        })
        .collect();
    serde_json::json!({
        "input": name,
        "length": bytes.len(),
        "sha256": hex(&Sha256::digest(bytes)),
        "tried": releases.iter().map(|release| release.name()).collect::<Vec<_>>(),
        "findings": entries,
    })
}

fn text(findings: &[Finding]) -> String {
    let rows = findings.iter().map(|finding| {
        let releases = if finding.releases.is_empty() { "unknown".to_owned() } else { finding.releases.join(", ") };
        vec![
            file_name(finding),
            finding.bytes.len().to_string(),
            finding.section.clone(),
            finding.name.clone().or_else(|| finding.symbol.clone()).unwrap_or_default(),
            finding.operations.to_string(),
            releases,
        ]
    });
    table(&["file", "bytes", "section", "name or symbol", "operations", "releases"], rows.collect())
}
