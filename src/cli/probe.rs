//! `probe`: a matrix of expected verdicts.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::builder::styling::AnsiColor;
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;

use super::input::{self, SourceOptions};
use super::output::{self, Console, Format, table};
use super::status::{Failure, Status};
use crate::probe::matrix::{Matrix, Verdict};
use crate::probe::record::Record;
use crate::probe::{self, Plan, ProbeError, artifacts};

/// What decides. A kernel's are to be further values here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Backend {
    /// sbtool itself, on any operating system.
    Evaluator,
}

/// Decide every probe of a matrix and record the verdicts
///
/// Text profiles get the runtime shim, blobs are used as they are. Writes runtime_profiles/,
/// golden_decodes.json, runtime_results.json and run_manifest.json.
#[derive(Args)]
#[command(after_help = "Examples:
  sbtool probe golden/expected_matrix.json
  sbtool probe --format json --out /tmp/run matrix.json

Exit status: 0 every verdict is as expected, 1 one is not. A profile with \"expect_apply\": \"gated\"
that preflight blocks is as expected.")]
pub struct Options {
    /// The matrix
    #[arg(value_name = "MATRIX.json")]
    matrix: String,
    #[command(flatten)]
    source: SourceOptions,
    /// What decides
    #[arg(long, value_enum, default_value_t = Backend::Evaluator)]
    backend: Backend,
    /// Folder for the artifacts
    #[arg(long, value_name = "DIR", default_value = "out")]
    out: PathBuf,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub fn run(options: &Options, console: &Console) -> Result<Status, Failure> {
    let (name, text) = input::read(&options.matrix)?;
    let matrix = Matrix::read(&text).map_err(|error| Failure::bad(&name, error))?;
    let folder = Path::new(&name).parent().unwrap_or(Path::new("")).to_owned();
    let plan = Path::new(&name).file_stem().map_or_else(|| name.clone(), |stem| stem.to_string_lossy().into_owned());
    let Backend::Evaluator = options.backend;
    let mut progress = Progress::new(matrix.profiles.len());
    let evaluation = options.source.evaluation()?;
    let plan = Plan { matrix: &matrix, text: &text, folder: &folder, name: &plan, options: &evaluation };
    let outcome = probe::evaluate(&plan, |number, id| progress.show(number, id));
    progress.clear();
    let record = outcome.map_err(|error| match error {
        ProbeError::Missing { path, source, .. } => Failure::NoInput { name: path, source },
        ProbeError::Source { diagnostic, .. } => Failure::Profile(diagnostic),
        ProbeError::Profile { .. } => Failure::bad(name, error),
    })?;
    for note in &record.notes {
        console.diagnostic(note);
    }
    write_artifacts(&record, &options.out)?;
    match options.format {
        Format::Json => console.print_json(&artifacts::results_json(&record))?,
        Format::Text => console.print(report(&record, &options.out, console))?,
    }
    Ok(if record.is_as_expected() { Status::Holds } else { Status::DoesNotHold })
}

fn write_artifacts(record: &Record, out: &Path) -> Result<(), Failure> {
    let profiles = out.join("runtime_profiles");
    std::fs::create_dir_all(&profiles)
        .map_err(|source| Failure::CannotCreate { name: profiles.display().to_string(), source })?;
    for profile in &record.profiles {
        output::write_file(&profiles.join(&profile.runtime_name), &profile.runtime)?;
    }
    for (name, text) in [
        ("golden_decodes.json", output::json(&artifacts::golden_decodes(record))?),
        ("runtime_results.json", output::json(&artifacts::results_json(record))?),
        ("run_manifest.json", output::json(&artifacts::manifest(record))?),
    ] {
        output::write_file(&out.join(name), text.as_bytes())?;
    }
    Ok(())
}

fn report(record: &Record, out: &Path, console: &Console) -> String {
    let mut rows = Vec::new();
    let (mut matched, mut differ, mut blocked) = (0, 0, 0);
    for (id, probe) in record.probes() {
        let verdict = match probe.matches() {
            Some(true) => {
                matched += 1;
                "yes"
            }
            Some(false) => {
                differ += 1;
                "NO"
            }
            None => {
                blocked += 1;
                "-"
            }
        };
        rows.push(vec![
            id.to_owned(),
            probe.probe.name.clone(),
            probe.probe.operation.clone(),
            probe.probe.target.clone(),
            probe.probe.expected.name().to_owned(),
            probe.outcome.actual.map_or("blocked", Verdict::name).to_owned(),
            verdict.to_owned(),
        ]);
    }
    let table = table(&["profile", "probe", "operation", "target", "expected", "actual", "match"], rows);
    let mut text = String::new();
    for line in table.lines() {
        let line = match line.rsplit_once(' ') {
            Some((_, "NO")) => console.paint(line, AnsiColor::Red),
            Some((_, "-")) => console.paint(line, AnsiColor::Yellow),
            _ => line.to_owned(),
        };
        text.push_str(&line);
        text.push('\n');
    }
    text.push_str(&format!(
        "\n{} probes of {} profiles: {matched} match, {differ} differ, {blocked} blocked at preflight\n",
        matched + differ + blocked,
        record.profiles.len()
    ));
    for (id, probe) in record.probes().filter(|(_, probe)| probe.matches() == Some(false)) {
        let decided_by = probe.prediction.as_ref().and_then(|prediction| prediction.decided_by.as_ref());
        let decided = decided_by.map_or_else(String::new, |by| {
            let place =
                by.file.as_ref().map_or_else(String::new, |file| format!(" at {file}:{}", by.line.unwrap_or(0)));
            format!(", by {}{place}", by.by)
        });
        let actual = probe.outcome.actual.map_or("nothing", Verdict::name);
        let expected = probe.probe.expected.name();
        text.push_str(&format!("{id} {}: expected {expected}, got {actual}{decided}\n", probe.probe.name));
    }
    for surprise in record.surprises() {
        text.push_str(&format!("{surprise}\n"));
    }
    text.push_str(&format!("artifacts in {}\n", out.display()));
    text
}

/// A bar on standard error while a long run is under way; only on a terminal (the library sees to
/// that) and only after a second.
struct Progress {
    started: Instant,
    total: usize,
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new(total: usize) -> Self {
        Self { started: Instant::now(), total, bar: None }
    }

    fn show(&mut self, number: usize, id: &str) {
        if self.bar.is_none() && self.started.elapsed() > Duration::from_secs(1) {
            self.bar = Some(ProgressBar::new(self.total as u64));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(number as u64);
            bar.set_message(id.to_owned());
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
