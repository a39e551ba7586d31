//! In: a matrix, and a backend that can put profiles on processes. Out: a record of what runner processes did
//! under each profile and without it. Never: an attempt in this process, and nothing left behind: runners that
//! take too long are ended with all that they started, fixtures are removed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::matrix::{Driver, ExpectApply, Fixture, Probe};
use super::observation::{Exit, Markers, Observation, OpenedPath};
use super::prepared::Prepared;
use super::record::{ApplyPreflight, Backend, ProbeRecord, Record};
use super::runner::{FileAttempt, NetworkAttempt};
use super::stage::{self, EPERM, Kind, Outcome, Stage};
use super::{Plan, ProbeError, add, empty, fixtures, prepare, runner, world};
use crate::library::Library;
use crate::runtime::world::World;

/// Most bytes of each stream of a runner that are kept.
const MAX_KEPT: usize = 64 * 1024;

/// Most bytes of markers: a runner writes a handful.
const MAX_MARKERS: u64 = 1 << 20;

/// So long a stream is read on when its runner has ended: a process that it left behind may hold it open.
const LINGER: Duration = Duration::from_millis(500);

/// What must apply wherever anything does.
const HARMLESS: &str = "(version 1)(allow default)\n";

/// How a matrix is run.
pub struct Settings<'a> {
    /// Who puts profiles on processes.
    pub backend: Backend,
    /// This program, whose subcommands the runners are.
    pub program: PathBuf,
    /// A folder for this run alone, as an absolute path; what is in it may be removed.
    pub folder: PathBuf,
    /// After so long a runner is ended.
    pub timeout: Duration,
    /// So many runners at once.
    pub jobs: usize,
    /// Ask `sandbox_check` as well.
    pub callouts: bool,
    /// Set from outside, the run is given up.
    pub stop: &'a AtomicBool,
}

/// Why a run has no record.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A profile cannot be used.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// It was stopped from outside.
    #[error("interrupted")]
    Interrupted,
    /// Files for it cannot be made.
    #[error("{}: {source}", .path.display())]
    Files {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What a runner is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    runner: &'static str,
    starts_program: bool,
    arguments: Vec<String>,
}

/// The runner for a probe (RUNTIME.md part 1, "How probes run"): files are tried by the runner itself under a
/// text, and by a program under a blob. Nothing where nothing on this system tries that operation.
#[must_use]
pub fn asked(probe: &Probe, is_blob: bool) -> Option<Asked> {
    let Probe { operation, target, .. } = probe;
    let own = |runner, arguments: &[&str]| {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Some(Asked { runner, starts_program: false, arguments })
    };
    let program = |command: &[&str]| {
        let arguments = std::iter::once("--").chain(command.iter().copied()).map(str::to_owned).collect();
        Some(Asked { runner: "runner", starts_program: true, arguments })
    };
    if let Some(attempt) = FileAttempt::of(operation) {
        return match attempt {
            FileAttempt::Read if probe.driver == Driver::Openat => own("reader", &["--from-directory", "--", target]),
            FileAttempt::Read if is_blob => program(&["/bin/cat", target]),
            FileAttempt::Read => own("reader", &["--", target]),
            FileAttempt::Write if is_blob => {
                let quoted = target.replace('\'', "'\\''");
                program(&["/bin/sh", "-c", &format!("echo runtime-check >> '{quoted}'")])
            }
            FileAttempt::Write => own("writer", &["--", target]),
            _ => own("metadata", &["--op", &attempt.operation(), "--path", target]),
        };
    }
    if let Some(attempt) = NetworkAttempt::of(operation) {
        return own("network", &["--op", attempt.operation(), "--", target]);
    }
    match operation.as_str() {
        "process-exec*" | "process-exec" => program(&[target]),
        "signal" => own("signal", &["--", target]),
        _ if cfg!(target_os = "macos") && runner::is_service(operation) => {
            own("service", &["--op", operation, "--", target])
        }
        _ => None,
    }
}

/// One probe of one profile, by their places.
type Place = (usize, usize);

/// Runs a matrix. `progress` is told how many probes are done, and of which profile the last was.
///
/// # Errors
/// [`RunError`].
pub fn run(
    plan: &Plan<'_>,
    settings: &Settings<'_>,
    progress: &(impl Fn(usize, &str) + Sync),
) -> Result<Record, RunError> {
    let (prepared, run_id) = prepare(plan, &mut |_, _| {})?;
    let mut record = empty(plan, run_id, settings.backend);
    let folder =
        |path: &Path| std::fs::create_dir_all(path).map_err(|source| RunError::Files { path: path.to_owned(), source });
    let profiles = settings.folder.join("profiles");
    folder(&profiles)?;
    let write = |path: &Path, bytes: &[u8]| {
        std::fs::write(path, bytes).map_err(|source| RunError::Files { path: path.to_owned(), source })
    };
    for one in &prepared {
        write(&profiles.join(&one.file_name), &one.runtime)?;
    }
    let harmless = profiles.join("apply_preflight.sb");
    write(&harmless, HARMLESS.as_bytes())?;
    let preflight = apply_preflight(settings, &harmless)?;
    let refused = preflight.outcome.is_before_probe().then_some(preflight.outcome);
    record.apply_preflight = Some(preflight);

    let scans: Vec<_> = plan
        .matrix
        .profiles
        .iter()
        .zip(&prepared)
        .map(|((_, profile), one)| one.preflight(&plan.matrix.world_id, profile))
        .collect();
    let mut results: HashMap<Place, ProbeRecord> = HashMap::new();
    let mut groups: Vec<(String, Vec<Place>)> = Vec::new();
    for (number, ((id, profile), one)) in plan.matrix.profiles.iter().zip(&prepared).enumerate() {
        let world = world(plan, profile);
        for (index, probe) in profile.probes.iter().enumerate() {
            let is_blocked = scans.get(number).is_some_and(|scan| scan.signature.is_some());
            let prediction = if is_blocked { None } else { Some(one.predict(id, probe, &world)?) };
            let outcome = match (is_blocked, refused) {
                (true, _) => Outcome::failed(Stage::Preflight, Kind::PreflightGate, None),
                (_, Some(refused)) => refused,
                _ if !may_try(settings.backend, probe, &world) => Outcome::failed(Stage::Probe, Kind::NotTried, None),
                _ if asked(probe, one.is_blob).is_none() => Outcome::failed(Stage::Probe, Kind::NotTried, None),
                _ => {
                    // Probes that share a file of the system wait for one another.
                    let key =
                        if stages_root(settings.backend) { format!("{number} {index}") } else { probe.target.clone() };
                    match groups.iter_mut().find(|(known, _)| *known == key) {
                        Some((_, places)) => places.push((number, index)),
                        None => groups.push((key, vec![(number, index)])),
                    }
                    Outcome::failed(Stage::Probe, Kind::NotTried, None)
                }
            };
            let probe = probe.clone();
            results.insert((number, index), ProbeRecord { probe, prediction, scenario: None, baseline: None, outcome });
        }
    }
    let listeners = listeners(plan);
    let seen = observed(plan, settings, &prepared, &profiles, &groups, progress);
    drop(listeners);
    for (place, (baseline, scenario)) in seen? {
        if let Some(result) = results.get_mut(&place) {
            let denials =
                result.prediction.as_ref().map_or_else(|| vec![EPERM], |prediction| prediction.denials.clone());
            result.outcome = stage::outcome(
                &scenario,
                Some(&baseline),
                &denials,
                result.probe.operation.starts_with("process-exec"),
            );
            (result.baseline, result.scenario) = (Some(baseline), Some(scenario));
        }
    }
    for (number, (((id, profile), one), scan)) in plan.matrix.profiles.iter().zip(prepared).zip(scans).enumerate() {
        let probes = (0..profile.probes.len()).filter_map(|index| results.remove(&(number, index))).collect();
        add(&mut record, id, profile, one, scan, probes);
    }
    Ok(record)
}

/// Whether a probe changes nothing but what belongs to the run: without its profile nothing would keep it from
/// changing a file of the user's.
fn may_try(backend: Backend, probe: &Probe, world: &World) -> bool {
    if !probe.operation.starts_with("file-write") {
        return true;
    }
    let Ok(walk) = world.walk(&probe.target) else { return false };
    if stages_root(backend) {
        return walk.resolved.starts_with("/private/");
    }
    fixtures::is_temporary(&walk.resolved) && std::fs::symlink_metadata(&probe.target).is_err()
}

/// Whether each probe gets a `/private` of its own.
fn stages_root(backend: Backend) -> bool {
    cfg!(target_os = "linux") && backend != Backend::Evaluator
}

type Pair = (Observation, Observation);

/// Runs all probes, without and with their profiles.
fn observed(
    plan: &Plan<'_>,
    settings: &Settings<'_>,
    prepared: &[Prepared],
    profiles: &Path,
    groups: &[(String, Vec<Place>)],
    progress: &(impl Fn(usize, &str) + Sync),
) -> Result<HashMap<Place, Pair>, RunError> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let out: Mutex<Result<HashMap<Place, Pair>, RunError>> = Mutex::new(Ok(HashMap::new()));
    // What came of one probe; of several failures the first one is told.
    let keep = |place: Place, pair: Result<Pair, RunError>| {
        let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
        match (pair, out.as_mut()) {
            (Ok(pair), Ok(all)) => drop(all.insert(place, pair)),
            (Err(error), Ok(_)) => *out = Err(error),
            (_, Err(_)) => {}
        }
    };
    std::thread::scope(|scope| {
        // Elsewhere than in roots of their own they share files.
        let jobs = if stages_root(settings.backend) { settings.jobs } else { 1 };
        for _ in 0..jobs.clamp(1, groups.len().max(1)) {
            scope.spawn(|| {
                while let Some((_, places)) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for place in places {
                        let (Some((id, profile)), Some(one)) =
                            (plan.matrix.profiles.get(place.0), prepared.get(place.0))
                        else {
                            continue;
                        };
                        let Some(probe) = profile.probes.get(place.1) else { continue };
                        let fixtures = fixtures::of_profile(plan.matrix, profile);
                        let pair = both(settings, one, probe, &fixtures, profiles, *place);
                        let failed = pair.is_err();
                        keep(*place, pair);
                        if failed {
                            return;
                        }
                        progress(done.fetch_add(1, Ordering::Relaxed) + 1, id);
                    }
                }
            });
        }
    });
    out.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// One probe without and with its profile, each with fixtures of its own.
fn both(
    settings: &Settings<'_>,
    one: &Prepared,
    probe: &Probe,
    fixtures: &[Fixture],
    profiles: &Path,
    place: Place,
) -> Result<Pair, RunError> {
    let nothing = Asked { runner: "", starts_program: false, arguments: Vec::new() };
    let asked = asked(probe, one.is_blob).unwrap_or(nothing);
    let lane = |name: &str, profile: Option<&Profile<'_>>| -> Result<Observation, RunError> {
        let folder = settings.folder.join(format!("{}-{}-{name}", place.0, place.1));
        let made = if stages_root(settings.backend) {
            fixtures::staged(&folder, fixtures)
        } else {
            fixtures::in_place(fixtures)
        };
        let made = made.map_err(|source| RunError::Files { path: folder.clone(), source })?;
        let markers = settings.folder.join(format!("{}-{}-{name}.markers", place.0, place.1));
        observe(settings, &asked, profile, made.private(), Some(probe), &markers)
    };
    let file = profiles.join(&one.file_name);
    let profile = Profile { file: &file, is_blob: one.is_blob, parameters: &one.parameters };
    Ok((lane("baseline", None)?, lane("scenario", Some(&profile))?))
}

/// What is applied.
struct Profile<'a> {
    file: &'a Path,
    is_blob: bool,
    parameters: &'a [(String, String)],
}

/// Runs one runner to its end.
fn observe(
    settings: &Settings<'_>,
    asked: &Asked,
    profile: Option<&Profile<'_>>,
    private: Option<&Path>,
    probe: Option<&Probe>,
    markers: &Path,
) -> Result<Observation, RunError> {
    let mut command = Command::new(&settings.program);
    command.arg(asked.runner).arg("--backend").arg(settings.backend.name()).arg("--markers").arg(markers);
    match profile {
        None => drop(command.arg("--bare")),
        Some(profile) => {
            command.arg(if profile.is_blob { "--blob" } else { "--sbpl" }).arg(profile.file);
            for (name, value) in profile.parameters {
                command.arg("-D").arg(format!("{name}={value}"));
            }
        }
    }
    if let Some(private) = private {
        command.arg("--private").arg(private);
    }
    if let Some(probe) =
        probe.filter(|probe| settings.callouts && profile.is_some() && probe.operation.starts_with("file"))
    {
        command.arg("--callout").arg(&probe.operation).arg("--callout-path").arg(&probe.target);
    }
    command.args(&asked.arguments);
    // The runner takes its name away, so that nothing that it starts finds it.
    let mut said = File::options()
        .read(true)
        .append(true)
        .create_new(true)
        .open(markers)
        .map_err(|source| RunError::Files { path: markers.to_owned(), source })?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let started = Instant::now();
    let shown = std::iter::once(command.get_program()).chain(command.get_args());
    let mut seen = Observation {
        runner: asked.runner,
        starts_program: asked.starts_program,
        command: shown.map(|word| word.to_string_lossy().into_owned()).collect(),
        exit: Exit::Timeout,
        stdout: String::new(),
        stderr: String::new(),
        dropped: 0,
        markers: Markers::default(),
        opened: OpenedPath::default(),
        milliseconds: 0,
    };
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            seen.exit = Exit::NotStarted(error.raw_os_error().unwrap_or(0));
            return Ok(seen);
        }
    };
    let (stdout, stderr) = (Capture::of(child.stdout.take()), Capture::of(child.stderr.take()));
    let exit = ended(&mut child, settings, started);
    end_group(&child);
    let Some(exit) = exit else {
        let _ = child.wait();
        return Err(RunError::Interrupted);
    };
    if exit == Exit::Timeout {
        let _ = child.wait();
    }
    seen.exit = exit;
    seen.milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let until = Instant::now() + LINGER;
    (seen.stdout, seen.dropped) = stdout.taken(until);
    let (text, dropped) = stderr.taken(until);
    seen.dropped += dropped;
    seen.opened = OpenedPath::read(&text);
    seen.stderr = text;
    let mut bytes = Vec::new();
    let read = said.seek(SeekFrom::Start(0)).and_then(|_| said.take(MAX_MARKERS).read_to_end(&mut bytes));
    read.map_err(|source| RunError::Files { path: markers.to_owned(), source })?;
    seen.markers = Markers::read(&bytes);
    // It is there where the runner never came so far.
    let _ = std::fs::remove_file(markers);
    Ok(seen)
}

/// Waits for the end of a runner; nothing where the run is given up.
fn ended(child: &mut Child, settings: &Settings<'_>, started: Instant) -> Option<Exit> {
    let mut pause = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                return Some(match (status.code(), status.signal()) {
                    (Some(code), _) => Exit::Code(code),
                    (None, Some(signal)) => Exit::Signal(signal),
                    (None, None) => Exit::NotStarted(0),
                });
            }
            Ok(None) => {}
            Err(error) => return Some(Exit::NotStarted(error.raw_os_error().unwrap_or(0))),
        }
        if settings.stop.load(Ordering::Relaxed) {
            return None;
        }
        if started.elapsed() >= settings.timeout {
            return Some(Exit::Timeout);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// Ends a runner, and whatever it started that is still in its group.
fn end_group(child: &Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // Mostly nobody is left.
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
}

/// What comes by a stream: the first bytes of it, and how many more there were.
struct Capture {
    kept: Arc<Mutex<(Vec<u8>, u64)>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Capture {
    fn of(stream: Option<impl Read + Send + 'static>) -> Self {
        let kept = Arc::new(Mutex::new((Vec::new(), 0)));
        let into = Arc::clone(&kept);
        let reader = stream.map(|mut stream| {
            std::thread::spawn(move || {
                let mut buffer = [0u8; 16 * 1024];
                while let Ok(count) = stream.read(&mut buffer) {
                    let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else { break };
                    let mut kept = into.lock().unwrap_or_else(PoisonError::into_inner);
                    let room = MAX_KEPT.saturating_sub(kept.0.len()).min(piece.len());
                    kept.0.extend(piece.iter().take(room));
                    kept.1 += (piece.len() - room) as u64;
                }
            })
        });
        Self { kept, reader }
    }

    /// All of it, or what is there then.
    fn taken(self, until: Instant) -> (String, u64) {
        if let Some(reader) = self.reader {
            while !reader.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        (String::from_utf8_lossy(&kept.0).into_owned(), kept.1)
    }
}

/// Tries a profile that allows everything: whether anything can be applied here at all.
fn apply_preflight(settings: &Settings<'_>, file: &Path) -> Result<ApplyPreflight, RunError> {
    let folder = settings.folder.join("apply_preflight");
    let made = if stages_root(settings.backend) { fixtures::staged(&folder, &[]) } else { fixtures::in_place(&[]) };
    let made = made.map_err(|source| RunError::Files { path: folder, source })?;
    let program = ["--", "/usr/bin/true"].map(str::to_owned).to_vec();
    let asked = Asked { runner: "runner", starts_program: true, arguments: program };
    let profile = Profile { file, is_blob: false, parameters: &[] };
    let markers = settings.folder.join("apply_preflight.markers");
    let seen = observe(settings, &asked, Some(&profile), made.private(), None, &markers)?;
    let outcome = stage::outcome(&seen, None, &[EPERM], false);
    let is_sandboxed = match settings.backend {
        Backend::Linux => Some(crate::enforce::is_applied()),
        // Without an operation it says whether there is no profile at all.
        _ => Library::open().ok().and_then(|library| {
            let process = i32::try_from(std::process::id()).ok()?;
            library.check(process, None, None, 0).ok().map(|is_free| !is_free)
        }),
    };
    Ok(ApplyPreflight { profile: HARMLESS.to_owned(), seen, outcome, is_sandboxed })
}

/// Somebody who listens at each local address that a probe connects to, where nobody does yet.
fn listeners(plan: &Plan<'_>) -> (Vec<TcpListener>, Vec<UdpSocket>) {
    let mut out = (Vec::new(), Vec::new());
    let gated = |expect: ExpectApply| expect == ExpectApply::Gated;
    let profiles = plan.matrix.profiles.iter().filter(|(_, profile)| !gated(profile.expect_apply));
    for probe in profiles.flat_map(|(_, profile)| &profile.probes).filter(|probe| probe.operation == "network-outbound")
    {
        match runner::address(&probe.target) {
            Ok((address, true)) if address.ip().is_loopback() => out.1.extend(UdpSocket::bind(address)),
            Ok((address, false)) if address.ip().is_loopback() => out.0.extend(TcpListener::bind(address)),
            _ => {}
        }
    }
    out
}
