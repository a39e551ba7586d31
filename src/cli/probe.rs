//! `probe`: a matrix of expected verdicts.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use clap::builder::styling::AnsiColor;
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;

use super::channel;
use super::input::{self, SourceOptions};
use super::output::{self, Console, Format, table};
use super::status::{Failure, Status};
use crate::probe::artifacts::folder::{Folder, FolderError};
use crate::probe::artifacts::{self, RunStatus};
use crate::probe::matrix::{Matrix, Verdict};
use crate::probe::record::{self, Channel, ProbeRecord, Record};
use crate::probe::stage::{Kind, Stage};
use crate::probe::{self, Plan, ProbeError, report as page};

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Backend {
    /// sbtool itself, on any operating system
    Evaluator,
    /// Linux's kernel, in a root in the shape of a Mac's
    Linux,
    /// libsandbox: a Mac's, or the one that SBTOOL_LIBSANDBOX names
    Libsandbox,
}

/// What to do where another run writes to the same folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Lock {
    /// Wait until it is done.
    Wait,
    /// Do nothing.
    Fail,
}

/// Where it is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ChannelOption {
    /// Here
    Direct,
    /// By a job of launchd, which no sandbox of the caller's covers (macOS)
    #[value(name = "launchd_clean")]
    LaunchdClean,
}

/// Decide every probe of a matrix and record the verdicts
///
/// Text profiles get the runtime shim, blobs are used as they are. Writes runtime_profiles/ and the
/// artifacts that docs/schemas/ describes; artifact_index.json, the last of them, is there only if the
/// run is whole.
#[derive(Args)]
#[command(after_help = "Examples:
  sbtool probe golden/expected_matrix.json
  sbtool probe --format json --out /tmp/run matrix.json
  sbtool probe --backend linux golden/expected_matrix.json

With a kernel for a backend each probe is run by a process of its own, once without the profile and
once under it; files that it needs are made for it and removed.

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
    /// Where it is run
    #[arg(long, value_enum, default_value_t = ChannelOption::Direct)]
    channel: ChannelOption,
    /// End a probe that takes longer than this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    timeout: f64,
    /// Run so many probes at once; as many as there are processors where it is not given
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Ask sandbox_check about each path as well
    #[arg(long)]
    callouts: bool,
    /// Folder for the artifacts
    #[arg(long, value_name = "DIR", default_value = "out")]
    out: PathBuf,
    /// What to do where another run writes to that folder
    #[arg(long, value_enum, default_value_t = Lock::Fail)]
    lock: Lock,
    /// Write a page of HTML about the run
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    if (0.001..=86_400.0).contains(&seconds) { Ok(seconds) } else { Err("expected 0.001 to 86400 seconds".to_owned()) }
}

pub fn run(options: &Options, console: &Console) -> Result<Status, Failure> {
    let (name, text) = input::read(&options.matrix)?;
    let matrix = Matrix::read(&text).map_err(|error| Failure::bad(&name, error))?;
    let folder = Path::new(&name).parent().unwrap_or(Path::new("")).to_owned();
    let plan = Path::new(&name).file_stem().map_or_else(|| name.clone(), |stem| stem.to_string_lossy().into_owned());
    let evaluation = options.source.evaluation()?;
    let plan = Plan { matrix: &matrix, text: &text, folder: &folder, name: &plan, options: &evaluation };
    if options.channel == ChannelOption::LaunchdClean {
        return elsewhere(options, &plan, &name, console);
    }
    let artifacts = open_folder(options, &plan, &name, console)?;
    let outcome = match options.backend {
        Backend::Evaluator => {
            let progress = Progress::new(matrix.profiles.len());
            let outcome = probe::evaluate(&plan, |number, id| progress.show(number, id));
            progress.clear();
            outcome.map_err(|error| failure(error, &name))
        }
        Backend::Linux => observed(options, &plan, &name, record::Backend::Linux),
        Backend::Libsandbox => observed(options, &plan, &name, record::Backend::Libsandbox),
    };
    let record = match outcome {
        Ok(record) => record,
        Err(failure) => {
            artifacts.fail("run", &failure.to_string());
            return Err(failure);
        }
    };
    for note in &record.notes {
        console.diagnostic(note);
    }
    artifacts.commit(&record)?;
    if let Some(file) = &options.report {
        output::write_file(file, page::page(&record).as_bytes())?;
    }
    match options.format {
        Format::Json => console.print_json(&artifacts::results_json(&record))?,
        Format::Text => console.print(report(&record, &options.out, console))?,
    }
    if record.is_blocked() {
        let preflight = record.apply_preflight.as_ref();
        let said = preflight.and_then(|preflight| preflight.seen.markers.apply()?.errbuf.clone());
        let said = said.unwrap_or_else(|| "no profile can be applied here".to_owned());
        return Err(Failure::Refused(format!("blocked: {said}; nothing was probed")));
    }
    Ok(if record.is_as_expected() { Status::Holds } else { Status::DoesNotHold })
}

fn failure(error: ProbeError, name: &str) -> Failure {
    match error {
        ProbeError::Missing { path, source, .. } => Failure::NoInput { name: path, source },
        ProbeError::Source { diagnostic, .. } => Failure::Profile(diagnostic),
        ProbeError::Profile { .. } => Failure::bad(name, error),
    }
}

/// The same run by a job of launchd.
fn elsewhere(options: &Options, plan: &Plan<'_>, name: &str, console: &Console) -> Result<Status, Failure> {
    let mut arguments = vec![
        format!("--backend={}", input::word(options.backend)),
        format!("--format={}", input::word(options.format)),
        format!("--timeout={}", options.timeout),
    ];
    arguments.extend(options.jobs.map(|jobs| format!("--jobs={jobs}")));
    arguments.extend(options.callouts.then(|| "--callouts".to_owned()));
    arguments.extend(options.source.arguments()?);
    let probes: usize = plan.matrix.profiles.iter().map(|(_, profile)| profile.probes.len()).sum();
    // Each probe without and with its profile, one more that applies a harmless one, and a minute for the rest.
    let limit = Duration::from_secs_f64(60.0 + options.timeout * (2.0 * probes as f64 + 1.0));
    channel::check()?;
    // Locked until the results are there; what an older run left goes first.
    let folder = open_folder(options, plan, name, console)?;
    let outcome = channel::run(plan, name, &arguments, &options.out, limit, console).map_err(|error| match error {
        channel::NoRun::Probe(error) => failure(error, name),
        channel::NoRun::Other(failure) => failure,
    });
    match &outcome {
        Ok(_) if options.out.join(artifacts::INDEX).exists() => {}
        Ok(_) => folder.fail("channel", "the job wrote no index"),
        Err(failure) => folder.fail("channel", &failure.to_string()),
    }
    outcome
}

#[cfg(not(unix))]
fn observed(_: &Options, _: &Plan<'_>, _: &str, backend: record::Backend) -> Result<Record, Failure> {
    Err(Failure::Refused(format!("this system has nothing to apply a profile with: --backend {}", backend.name())))
}

/// Runs the matrix by processes of its own. SIGINT and SIGTERM end those, and their files go away.
#[cfg(unix)]
fn observed(options: &Options, plan: &Plan<'_>, name: &str, backend: record::Backend) -> Result<Record, Failure> {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use crate::files::WriteError;
    use crate::probe::harness::{self, RunError, Settings};

    // In the folder of the run: what a run that was killed left there goes with the next one.
    let staging = std::path::absolute(options.out.join(".staging"))
        .map_err(|source| Failure::CannotCreate { name: options.out.display().to_string(), source })?;
    let _ = std::fs::remove_dir_all(&staging);
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|error| Failure::Internal(format!("signals: {error}")))?;
    }
    let program = std::env::current_exe().map_err(|error| Failure::Internal(format!("this program: {error}")))?;
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    let settings = Settings {
        backend,
        program,
        folder: staging.clone(),
        timeout: Duration::from_secs_f64(options.timeout),
        jobs: options.jobs.unwrap_or_else(processors),
        callouts: options.callouts,
        stop: &stop,
    };
    let total = plan.matrix.profiles.iter().map(|(_, profile)| profile.probes.len()).sum();
    let progress = Progress::new(total);
    let outcome = harness::run(plan, &settings, &|number, id| progress.show(number, id));
    progress.clear();
    let _ = std::fs::remove_dir_all(&staging);
    outcome.map_err(|error| match error {
        RunError::Probe(error) => failure(error, name),
        RunError::Interrupted => Failure::Interrupted,
        RunError::Files { path, source } => WriteError::new(&path, source).into(),
    })
}

/// Opens the folder of the artifacts, unless the matrix is one of them: it would be removed.
fn open_folder(options: &Options, plan: &Plan<'_>, name: &str, console: &Console) -> Result<Folder, Failure> {
    let is_artifact = |(artifact, _): &(&str, _)| {
        let artifact = options.out.join(artifact).canonicalize();
        artifact.is_ok_and(|artifact| Path::new(name).canonicalize().is_ok_and(|matrix| matrix == artifact))
    };
    if artifacts::NAMES.iter().any(is_artifact) {
        let out = options.out.display();
        return Err(Failure::Usage(format!(
            "{name} would be overwritten by the artifacts in {out}; choose another --out"
        )));
    }
    let open = |waits| Folder::open(&options.out, waits, RunStatus::begin(plan, Channel::of_environment()));
    match open(false) {
        Err(FolderError::Busy { .. }) if options.lock == Lock::Wait => {
            console.error_line(&format!("waiting for another run that writes to {}", options.out.display()));
            Ok(open(true)?)
        }
        folder => Ok(folder?),
    }
}

impl From<FolderError> for Failure {
    fn from(error: FolderError) -> Self {
        match error {
            FolderError::Files(error) => error.into(),
            FolderError::Busy { name } => Self::CannotCreate {
                name,
                source: std::io::Error::other("another run is writing to this folder; --lock wait waits for it"),
            },
        }
    }
}

fn report(record: &Record, out: &Path, console: &Console) -> String {
    let mut rows = Vec::new();
    let (mut matched, mut differ, mut blocked, mut without) = (0, 0, 0, 0);
    for (id, probe) in record.probes() {
        let is_blocked = probe.outcome.stage == Some(Stage::Preflight);
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
                *(if is_blocked { &mut blocked } else { &mut without }) += 1;
                "-"
            }
        };
        rows.push(vec![
            id.to_owned(),
            probe.probe.name.clone(),
            probe.probe.operation.clone(),
            probe.probe.target.clone(),
            probe.probe.expected.name().to_owned(),
            probe.outcome.actual.map_or(if is_blocked { "blocked" } else { "none" }, Verdict::name).to_owned(),
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
        "\n{} probes of {} profiles: {matched} match, {differ} differ, {blocked} blocked at preflight{}\n",
        matched + differ + blocked + without,
        record.profiles.len(),
        if without > 0 { format!(", {without} without a verdict") } else { String::new() }
    ));
    for (id, probe) in record.probes() {
        if let Some(line) = remark(probe) {
            text.push_str(&format!("{id} {}: {line}\n", probe.probe.name));
        }
    }
    for surprise in record.surprises() {
        text.push_str(&format!("{surprise}\n"));
    }
    text.push_str(&format!("artifacts in {}\n", out.display()));
    text
}

/// What is to be said of a probe that is not as expected, or has no verdict.
fn remark(probe: &ProbeRecord) -> Option<String> {
    let prediction = probe.prediction.as_ref();
    let expected = probe.probe.expected.name();
    let Some(actual) = probe.outcome.actual else {
        let stage = probe.outcome.stage.filter(|stage| *stage != Stage::Preflight)?;
        let errno = probe.outcome.errno.map(|errno| format!(": {}", std::io::Error::from_raw_os_error(errno)));
        let kind = probe.outcome.kind.map_or("", Kind::name);
        return Some(format!("expected {expected}, no verdict: {}, {kind}{}", stage.name(), errno.unwrap_or_default()));
    };
    let differs = prediction.filter(|prediction| prediction.verdict != actual);
    if let Some(prediction) = differs {
        return Some(format!(
            "expected {expected}, got {actual}, and the evaluator says {}",
            prediction.verdict.name(),
            actual = actual.name()
        ));
    }
    if actual == probe.probe.expected {
        return None;
    }
    let decided = prediction.and_then(|prediction| prediction.decided_by.as_ref()).map_or_else(String::new, |by| {
        let place = by.file.as_ref().map_or_else(String::new, |file| format!(" at {file}:{}", by.line.unwrap_or(0)));
        format!(", by {}{place}", by.by)
    });
    Some(format!("expected {expected}, got {}{decided}", actual.name()))
}

/// A bar on standard error while a long run is under way; only on a terminal (the library sees to
/// that) and only after a second.
struct Progress {
    started: Instant,
    total: usize,
    bar: OnceLock<ProgressBar>,
}

impl Progress {
    fn new(total: usize) -> Self {
        Self { started: Instant::now(), total, bar: OnceLock::new() }
    }

    fn show(&self, number: usize, id: &str) {
        if self.started.elapsed() > Duration::from_secs(1) {
            let bar = self.bar.get_or_init(|| ProgressBar::new(self.total as u64));
            bar.set_position(number as u64);
            bar.set_message(id.to_owned());
        }
    }

    fn clear(&self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}
