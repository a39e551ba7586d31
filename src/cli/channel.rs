//! `probe --channel launchd_clean`: the run is made by a job of launchd, and its words and status are given on.
//! Refused where no launchd is, which is known without asking: everywhere but on macOS.

use std::path::Path;
use std::time::Duration;

use super::output::Console;
use super::status::{Failure, Status};
use crate::probe::{Plan, ProbeError};

/// Why there was no run.
pub enum NoRun {
    /// A profile cannot be used.
    Probe(ProbeError),
    /// Anything else.
    Other(Failure),
}

/// Whether there is a launchd.
///
/// # Errors
/// Where there is none.
pub fn check() -> Result<(), Failure> {
    if cfg!(target_os = "macos") {
        return Ok(());
    }
    let reason = "--channel launchd_clean: only macOS has launchd; --channel direct runs here";
    Err(Failure::Refused(reason.to_owned()))
}

/// Runs it; what comes back is as if it had run here.
pub fn run(
    plan: &Plan<'_>,
    name: &str,
    arguments: &[String],
    out: &Path,
    limit: Duration,
    console: &Console,
) -> Result<Status, NoRun> {
    check().map_err(NoRun::Other)?;
    by_job(plan, name, arguments, out, limit, console)
}

#[cfg(not(unix))]
fn by_job(_: &Plan<'_>, _: &str, _: &[String], _: &Path, _: Duration, _: &Console) -> Result<Status, NoRun> {
    Err(NoRun::Other(Failure::Refused("only macOS has launchd".to_owned())))
}

#[cfg(unix)]
fn by_job(
    plan: &Plan<'_>,
    name: &str,
    arguments: &[String],
    out: &Path,
    limit: Duration,
    console: &Console,
) -> Result<Status, NoRun> {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use crate::probe::channel::{self, ChannelError, LAUNCHCTL, ROOT, Settings};

    let internal = |what: &str, error: std::io::Error| NoRun::Other(Failure::Internal(format!("{what}: {error}")));
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(|error| internal("signals", error))?;
    }
    let settings = Settings {
        launchctl: LAUNCHCTL.into(),
        patience: Duration::from_secs(30),
        root: ROOT.into(),
        program: std::env::current_exe().map_err(|error| internal("this program", error))?,
        user: rustix::process::getuid().as_raw(),
        limit,
        stop: &stop,
    };
    let file = Path::new(name).file_name().unwrap_or("matrix.json".as_ref()).to_string_lossy();
    let round = channel::run(plan, &file, arguments, out, &settings).map_err(|error| match error {
        ChannelError::Probe(error) => NoRun::Probe(error),
        ChannelError::Files { path, source } => {
            NoRun::Other(Failure::CannotCreate { name: path.display().to_string(), source })
        }
        ChannelError::Interrupted => NoRun::Other(Failure::Interrupted),
        error => NoRun::Other(Failure::Refused(format!("--channel launchd_clean: {error}"))),
    })?;
    for line in round.stderr.lines() {
        console.error_line(line);
    }
    if let Some(left) = &round.unclean {
        console.error_line(&format!("sbtool: {left}"));
    }
    console.print(&round.stdout).map_err(NoRun::Other)?;
    Status::of(round.status)
        .ok_or_else(|| NoRun::Other(Failure::Refused(format!("the job ended with status {}", round.status))))
}
