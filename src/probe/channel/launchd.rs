//! In: what a job is to run. Out: its property list, and a [`Job`] that launchd has taken; dropping that boots it
//! out. Never: a word of what `launchctl` prints that decides anything: its exit status alone does.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use plist::{Dictionary, Value};

use super::ChannelError;

/// What a job runs: a command, whose end it tells by a file that appears whole. A SIGTERM, which is what booting
/// it out sends, goes on to the command, which then cleans up behind itself. `$0` is the file.
const SCRIPT: &str = r#"p=
trap 'test -z "$p" || kill -TERM "$p" 2>/dev/null' TERM
"$@" </dev/null & p=$!
wait "$p"; s=$?
while kill -0 "$p" 2>/dev/null; do wait "$p"; s=$?; done
echo "$s" >"$0.new" && mv "$0.new" "$0""#;

/// So many seconds a job has between SIGTERM and SIGKILL.
const EXIT_TIMEOUT: u64 = 10;

/// Most of what launchctl says that is told.
const MAX_TOLD: u64 = 2048;

/// Where a job lives: the domain of the user's session at the screen, or the user's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// `gui/UID`.
    Gui(u32),
    /// `user/UID`, in a session of the kind Background.
    User(u32),
}

impl fmt::Display for Domain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gui(user) => write!(formatter, "gui/{user}"),
            Self::User(user) => write!(formatter, "user/{user}"),
        }
    }
}

/// Whether a property list can carry a text: XML has no control characters.
pub fn can_be_told(text: &str) -> bool {
    text.chars().all(|letter| !letter.is_control() && !matches!(letter, '\u{fffe}' | '\u{ffff}'))
}

/// What is in a job's property list.
#[derive(Clone, Debug)]
pub struct JobText {
    /// Its name in launchd.
    pub label: String,
    /// The file that tells its end.
    pub status: String,
    /// Where it runs.
    pub folder: String,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// What it runs, with arguments.
    pub command: Vec<String>,
    /// Its variables.
    pub environment: Vec<(String, String)>,
}

impl JobText {
    /// The property list: keys of launchd.plist(5).
    #[must_use]
    pub fn property_list(&self, domain: Domain) -> Value {
        let text = |text: &str| Value::String(text.to_owned());
        let shell = ["/bin/sh", "-c", SCRIPT, &self.status];
        let words = shell.into_iter().chain(self.command.iter().map(String::as_str)).map(text).collect();
        let mut variables = Dictionary::new();
        for (name, value) in &self.environment {
            variables.insert(name.clone(), text(value));
        }
        let mut job = Dictionary::new();
        job.insert("Label".to_owned(), text(&self.label));
        job.insert("ProgramArguments".to_owned(), Value::Array(words));
        job.insert("EnvironmentVariables".to_owned(), Value::Dictionary(variables));
        job.insert("WorkingDirectory".to_owned(), text(&self.folder));
        job.insert("StandardOutPath".to_owned(), text(&self.stdout));
        job.insert("StandardErrorPath".to_owned(), text(&self.stderr));
        job.insert("RunAtLoad".to_owned(), Value::Boolean(true));
        job.insert("ExitTimeOut".to_owned(), Value::Integer(EXIT_TIMEOUT.into()));
        if let Domain::User(_) = domain {
            job.insert("LimitLoadToSessionType".to_owned(), text("Background"));
        }
        Value::Dictionary(job)
    }
}

/// How launchctl is called.
#[derive(Clone, Debug)]
pub struct Launchctl<'a> {
    pub program: &'a Path,
    pub user: u32,
    pub patience: Duration,
    /// Where what it says on standard error goes.
    pub answers: PathBuf,
    pub stop: &'a AtomicBool,
}

impl<'a> Launchctl<'a> {
    /// Has launchd take a job: in the domain of the screen's session, else in the user's own.
    pub fn bootstrap(&self, job: &JobText, file: &Path) -> Result<Job<'a>, ChannelError> {
        let mut refusals = Vec::new();
        for domain in [Domain::Gui(self.user), Domain::User(self.user)] {
            job.property_list(domain).to_file_xml(file).map_err(|error| ChannelError::Files {
                path: file.to_owned(),
                source: error.into_io().unwrap_or_else(io::Error::other),
            })?;
            // Made before the call: one that was ended may have had its way.
            let taken = Job { launchctl: self.clone(), domain, label: job.label.clone(), is_in: true };
            let answer = self.call(&["bootstrap", &domain.to_string(), &file.display().to_string()], true);
            match answer {
                Ok((true, _)) => return Ok(taken),
                Ok((false, said)) => refusals.push(format!("{domain}: {}", said.trim())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(ChannelError::Interrupted),
                Err(error) => refusals.push(format!("{domain}: {}: {error}", self.program.display())),
            }
        }
        Err(ChannelError::NotTaken(refusals.join("; ")))
    }

    /// Calls it: whether it ended well, and what it said. What is done to clean up is not given up.
    fn call(&self, arguments: &[&str], can_be_stopped: bool) -> io::Result<(bool, String)> {
        let mut command = Command::new(self.program);
        // A group of its own: a Ctrl-C at the terminal is for us to act on.
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        command.stderr(File::create(&self.answers)?);
        let started = Instant::now();
        let mut child = command.spawn()?;
        let ended = loop {
            if let Some(status) = child.try_wait()? {
                break Ok(status);
            }
            let is_stopped = can_be_stopped && self.stop.load(Ordering::Relaxed);
            if is_stopped || started.elapsed() >= self.patience {
                let _ = child.kill();
                let _ = child.wait();
                let kind = if is_stopped { io::ErrorKind::Interrupted } else { io::ErrorKind::TimedOut };
                break Err(io::Error::from(kind));
            }
            std::thread::sleep(Duration::from_millis(5));
        }?;
        let mut said = Vec::new();
        File::open(&self.answers)?.take(MAX_TOLD).read_to_end(&mut said)?;
        let said = String::from_utf8_lossy(&said).into_owned();
        Ok((ended.success(), if said.trim().is_empty() { ended.to_string() } else { said }))
    }
}

/// A job that launchd has taken, or may have.
#[derive(Debug)]
pub struct Job<'a> {
    launchctl: Launchctl<'a>,
    domain: Domain,
    label: String,
    is_in: bool,
}

impl Job<'_> {
    /// Where it is.
    pub fn domain(&self) -> Domain {
        self.domain
    }

    /// Boots it out, and waits until launchd knows it no more; what is left, in words.
    pub fn out(mut self) -> Option<String> {
        self.boot_out()
    }

    fn boot_out(&mut self) -> Option<String> {
        if !std::mem::take(&mut self.is_in) {
            return None;
        }
        let target = format!("{}/{}", self.domain, self.label);
        let until = Instant::now() + Duration::from_secs(EXIT_TIMEOUT) + self.launchctl.patience;
        let mut said = String::new();
        // It answers before the job has ended, at times that it is under way (36), and that there is no such job
        // (3, 113). So another question says whether it is done.
        match self.launchctl.call(&["bootout", &target], false) {
            Ok((_, answer)) => said.push_str(answer.trim()),
            Err(error) => said.push_str(&error.to_string()),
        }
        loop {
            match self.launchctl.call(&["print", &target], false) {
                Ok((false, _)) => break,
                Ok((true, _)) | Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(50)),
                _ => return Some(format!("{target} may still be in launchd: launchctl bootout says: {said}")),
            }
        }
        let _ = fs::remove_file(&self.launchctl.answers);
        None
    }
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        self.boot_out();
    }
}
