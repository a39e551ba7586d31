//! In: a matrix, and where its results go. Out: the same run made by a job of launchd, a process that nobody's
//! sandbox covers, in a folder that it may read (RUNTIME.md part 2, "Channels"): its status, what it said, and
//! its files in place. Never: a probe in this process; and nothing left behind: whatever happens, the job is
//! booted out before its folder is removed.
//!
//! Nothing here is for one operating system: what launchd does is asked of a program, which a test can give. The
//! command line offers it on macOS alone.
//!
//! ```text
//! prepare (errors by the user's own paths) → stage → launchctl bootstrap gui/UID, else user/UID
//!   → wait for the status file → launchctl bootout → results back → stage removed
//! ```

mod launchd;
mod stage;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::record::Channel;
use super::{Plan, ProbeError, prepare};
use launchd::{Job, Launchctl};
use stage::Stage;

pub use launchd::{Domain, JobText};

/// Where macOS has launchctl.
pub const LAUNCHCTL: &str = "/bin/launchctl";

/// Where runs are staged: the folder of RUNTIME.md part 2, which Desktop limits do not cover.
pub const ROOT: &str = "/private/tmp/sandbox-lore-launchctl";

/// Names of variables that a job gets from this process where they are set.
const PASSED_ON: [&str; 1] = ["SBTOOL_LIBSANDBOX"];

/// Most bytes of what a job says that are kept, of each stream.
const MAX_SAID: u64 = 16 << 20;

/// How a job is run.
pub struct Settings<'a> {
    /// The program that speaks with launchd.
    pub launchctl: PathBuf,
    /// After so long launchctl is ended.
    pub patience: Duration,
    /// Where runs are staged.
    pub root: PathBuf,
    /// This program; a copy of it is what the job runs.
    pub program: PathBuf,
    /// The user whose domains are meant.
    pub user: u32,
    /// After so long the job is booted out.
    pub limit: Duration,
    /// Set from outside, the run is given up.
    pub stop: &'a AtomicBool,
}

/// What a job came to.
#[derive(Debug)]
pub struct Round {
    /// Exit status of the probe run.
    pub status: u8,
    /// Its standard output, with the folder of the results as they are now.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// Where it ran.
    pub domain: Domain,
    /// That launchd still knows the job, in words.
    pub unclean: Option<String>,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// A profile cannot be used; nothing was staged.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// Something cannot be staged, or copied back.
    #[error("{}: {source}", .path.display())]
    Files {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder for stages is not one that only this user can change.
    #[error("{}: {reason}; remove it, or have its owner do so", .path.display())]
    Root {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A job cannot be told of a path or argument.
    #[error("{}: no job can be told of it: {reason}", .path.display())]
    Told {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// launchd took the job in no domain.
    #[error("launchd does not take the job: {0}")]
    NotTaken(String),
    /// It took too long.
    #[error("the job did not end within {} s{said}", .limit.as_secs_f64())]
    TimedOut {
        /// How long that was.
        limit: Duration,
        /// What it said last, in words.
        said: String,
    },
    /// It left something else than a status.
    #[error("the job left no exit status, but {0:?}")]
    Status(String),
    /// It was stopped from outside.
    #[error("interrupted")]
    Interrupted,
}

impl ChannelError {
    fn files(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::Files { path: path.to_owned(), source }
    }
}

/// Runs a matrix by a job of launchd. `name`: file name of the matrix; `arguments`: what `sbtool probe` is given
/// besides the matrix and `--out`; `out`: where the results go. The job runs on the direct channel and is told by
/// its environment which one that is part of.
///
/// # Errors
/// [`ChannelError`]. The stage is gone then, and the job booted out.
pub fn run(
    plan: &Plan<'_>,
    name: &str,
    arguments: &[String],
    out: &Path,
    settings: &Settings<'_>,
) -> Result<Round, ChannelError> {
    let (_, run_id) = prepare(plan, &mut |_, _| {})?;
    // The same inputs have the same run id: the process keeps two runs apart.
    let label = format!("sandbox-lore.runtime.{run_id}.{}", std::process::id());
    let stage = Stage::new(&settings.root, &label)?;
    let matrix = stage.take(plan, name)?;
    let program = stage.take_program(&settings.program)?;
    let text = |path: &Path| {
        let reason = "it is no UTF-8";
        path.to_str().map(str::to_owned).ok_or(ChannelError::Told { path: path.to_owned(), reason })
    };
    let mut command = vec![text(&program)?, "probe".to_owned()];
    command.extend(arguments.iter().cloned());
    command.extend(["--out".to_owned(), text(&stage.results())?, "--".to_owned(), text(&matrix)?]);
    if let Some(bad) = command.iter().find(|word| !launchd::can_be_told(word)) {
        return Err(ChannelError::Told { path: PathBuf::from(bad), reason: "it has a control character" });
    }
    let mut environment = vec![(Channel::VARIABLE.to_owned(), Channel::LaunchdClean.name().to_owned())];
    environment.extend(PASSED_ON.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))));
    let files = JobText {
        label: label.clone(),
        status: text(&stage.file("status"))?,
        folder: text(stage.folder())?,
        stdout: text(&stage.file("stdout"))?,
        stderr: text(&stage.file("stderr"))?,
        command,
        environment,
    };
    let launchctl = Launchctl {
        program: &settings.launchctl,
        user: settings.user,
        patience: settings.patience,
        answers: stage.file("launchctl"),
        stop: settings.stop,
    };
    let job = launchctl.bootstrap(&files, &stage.file("job.plist"))?;
    let status = wait(&job, &stage, settings)?;
    let domain = job.domain();
    let unclean = job.out();
    stage.give_back(out)?;
    let shown = |name: &str| -> String {
        let said = stage.said(name, MAX_SAID);
        said.replace(&stage.results().display().to_string(), &out.display().to_string())
    };
    Ok(Round { status, stdout: shown("stdout"), stderr: shown("stderr"), domain, unclean })
}

/// Waits for the status that the job leaves when it has ended.
fn wait(job: &Job<'_>, stage: &Stage, settings: &Settings<'_>) -> Result<u8, ChannelError> {
    let (started, file) = (Instant::now(), stage.file("status"));
    loop {
        // It appears whole, by a rename.
        match std::fs::read_to_string(&file) {
            Ok(text) => return text.trim().parse().map_err(|_| ChannelError::Status(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(ChannelError::files(&file)(error)),
        }
        if settings.stop.load(Ordering::Relaxed) {
            return Err(ChannelError::Interrupted);
        }
        if started.elapsed() >= settings.limit {
            let said = stage.said("stderr", MAX_SAID);
            let last = said.trim_end().lines().last();
            let said = last.map_or_else(String::new, |last| format!(" in {}; it said last: {last}", job.domain()));
            return Err(ChannelError::TimedOut { limit: settings.limit, said });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
