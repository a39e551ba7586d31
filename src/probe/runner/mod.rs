//! In: a profile and something to try. Out: this process under the profile, the attempt, and a marker about
//! each step. Never: an attempt without the profile that was asked for, or a marker that a program could have
//! written: those that count go to a file that is opened before anything is applied.
//!
//! Each runner is a subcommand that the harness starts again from its own binary (RUNTIME.md part 1, "How
//! probes run"). What it tries stands in `files`, `network`, `signals`, `programs`, `services`, whose calls
//! on a Mac are in `crate::probe::macos`.

mod files;
mod network;
mod programs;
pub mod services;
mod signals;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::observation::{Marker, Step, Tool};
use super::stage::EPERM;
use crate::enforce::{self, World};
use crate::library::{self, FilterType, Library, LibraryError};
use crate::runtime::policy::Policy;
use crate::runtime::question::probed_operation;

pub use files::FileAttempt;
pub use network::{NetworkAttempt, address};
pub use services::is_service;

/// What is put on the process.
pub enum Applied {
    /// Nothing: the same attempt without a profile.
    Nothing,
    /// A policy, by Linux's kernel.
    Linux(Box<Policy>),
    /// A text, by libsandbox.
    Text(Library, Vec<u8>, Vec<(String, String)>),
    /// A blob, by libsandbox.
    Blob(Library, Vec<u8>),
}

/// What is tried.
pub enum Attempt {
    /// Nothing.
    Nothing,
    /// Something with a file.
    File(FileAttempt, PathBuf),
    /// Something with a socket.
    Network(NetworkAttempt, String),
    /// A signal to somebody.
    Signal(String),
    /// A service of a Mac: the operation and a name.
    Service(String, String),
    /// A program and its arguments.
    Program(Vec<std::ffi::OsString>),
}

/// A runner.
pub struct Runner {
    /// What is put on the process.
    pub applied: Applied,
    /// Name of the profile, for markers.
    pub profile: String,
    /// Whether that is a blob.
    pub is_blob: bool,
    /// Where paths are resolved.
    pub world: World,
    /// The file for markers.
    pub markers: Option<File>,
    /// Whether `sandbox_check` is asked first: operation and path.
    pub callout: Option<(String, String)>,
}

/// How a runner ends (RUNTIME.md part 2, "Exit codes").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// What was to be tried was done.
    Done,
    /// The profile is not in force.
    NotApplied,
    /// The first call failed.
    NotOpened,
    /// Writing failed.
    NotWritten,
    /// Reading failed.
    NotRead,
    /// The program did not start.
    NotStarted,
    /// It was asked for something that makes no sense.
    Usage,
    /// This system has nothing to try it with.
    NotHere,
}

/// Tells what happens.
pub struct Speaker {
    file: Option<File>,
}

impl Speaker {
    /// Writes a marker, to its file and to standard error.
    pub fn say(&mut self, marker: &Marker) {
        let line = marker.line() + "\n";
        // Nobody may be there to read it; the file is what counts.
        let _ = io::stderr().write_all(line.as_bytes());
        if let Some(file) = &mut self.file {
            let _ = file.write_all(line.as_bytes());
        }
    }

    /// Says how an attempt went: its operation, what it was about.
    fn tried(&mut self, operation: &str, argument: &str, error: Option<i32>) {
        let mut marker = Marker::new(Tool::Probe, Step::Probe);
        marker.operation = Some(operation.to_owned());
        marker.argument = Some(argument.to_owned());
        marker.rc = Some(if error.is_some() { -1 } else { 0 });
        marker.errno = Some(error.unwrap_or(0));
        self.say(&marker);
    }
}

/// The error number of an error of the system; 0 where it has none.
fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}

impl Runner {
    /// Applies, and tries. To be called by a process with one thread.
    pub fn run(self, attempt: Attempt) -> Ended {
        let callout = self.callout.clone();
        let library = match &self.applied {
            Applied::Text(library, ..) | Applied::Blob(library, _) => Some(*library),
            _ => None,
        };
        let mut speaker = match self.apply() {
            Ok(speaker) => speaker,
            Err(status) => return status,
        };
        if let Some((operation, path)) = callout {
            ask(&mut speaker, library, &operation, &path);
        }
        match attempt {
            Attempt::Nothing => Ended::Done,
            Attempt::File(what, path) => files::tried(&mut speaker, what, &path),
            Attempt::Network(what, target) => network::tried(&mut speaker, what, &target),
            Attempt::Signal(target) => signals::tried(&mut speaker, &target),
            Attempt::Service(operation, name) => service(&mut speaker, &operation, &name),
            Attempt::Program(command) => programs::started(&mut speaker, &command),
        }
    }

    fn marker(&self, step: Step) -> Marker {
        let mut marker = Marker::new(Tool::Apply, step);
        marker.mode = Some(if self.is_blob { "blob" } else { "sbpl" }.to_owned());
        marker.profile = Some(self.profile.clone());
        marker
    }

    fn apply(mut self) -> Result<Speaker, Ended> {
        let mut speaker = Speaker { file: self.markers.take() };
        // A process under a profile makes no root of its own: that is the first thing to be said then.
        let nothing = matches!(self.applied, Applied::Nothing);
        if !nothing && is_sandboxed(&self.applied) {
            let marker = self.marker(Step::Apply).classed(-1, EPERM, Some(ALREADY.to_owned()));
            speaker.say(&marker);
            return Err(Ended::NotApplied);
        }
        let entered = enforce::enter(&self.world);
        end_with_parent();
        let (mut marker, mut applied) = (self.marker(Step::Apply), self.marker(Step::Applied));
        let (api, done) = match (entered, self.applied) {
            (Err(error), _) => {
                ("enter_root", Err((number(&error), Some(format!("a root in the shape of a Mac's: {error}")))))
            }
            (Ok(()), Applied::Nothing) => ("none", Ok(())),
            (Ok(()), Applied::Linux(policy)) => {
                let plan = enforce::Plan { policy: Arc::from(policy), log: None, world: World::Host };
                ("enforce_apply", enforce::apply(plan).map_err(|error| (error.errno(), Some(error.to_string()))))
            }
            (Ok(()), Applied::Text(library, text, parameters)) => {
                let done = if parameters.is_empty() {
                    library.init(&text, 0)
                } else {
                    library.init_with_parameters(&text, 0, &parameters)
                };
                ("sandbox_init", done.map_err(of_library))
            }
            (Ok(()), Applied::Blob(library, blob)) => ("sandbox_apply", library.apply_blob(&blob).map_err(of_library)),
        };
        if nothing && done.is_ok() {
            return Ok(speaker);
        }
        marker.api = Some(api.to_owned());
        applied.api = Some(api.to_owned());
        match done {
            Ok(()) => {
                speaker.say(&marker.classed(0, 0, None));
                applied.rc = Some(0);
                speaker.say(&applied);
                Ok(speaker)
            }
            Err((errno, message)) => {
                speaker.say(&marker.classed(-1, errno, message));
                Err(Ended::NotApplied)
            }
        }
    }
}

/// RUNTIME.md part 2, "Apply error class".
const ALREADY: &str = "Operation not permitted: this process is already sandboxed";

/// Whether this process is under a profile.
fn is_sandboxed(by: &Applied) -> bool {
    match by {
        Applied::Text(library, ..) | Applied::Blob(library, _) => {
            let process = i32::try_from(std::process::id()).unwrap_or(0);
            // Without an operation it says whether there is none.
            library.check(process, None, None, 0).is_ok_and(|is_free| !is_free)
        }
        Applied::Nothing | Applied::Linux(_) => enforce::is_applied(),
    }
}

/// A runner whose harness is gone has nobody to tell anything.
#[cfg(target_os = "linux")]
fn end_with_parent() {
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent() {}

fn of_library(error: LibraryError) -> (i32, Option<String>) {
    match &error {
        LibraryError::Refused { error: number, message, .. } => (number.raw_os_error().unwrap_or(0), message.clone()),
        _ => (0, Some(error.to_string())),
    }
}

/// Asks `sandbox_check`, or what stands for it here: the path as it is given, and with the flag that wants it
/// spelled canonically (RUNTIME.md part 3).
fn ask(speaker: &mut Speaker, library: Option<Library>, operation: &str, path: &str) {
    let asked = probed_operation(operation);
    for (flag, word) in [(0, "raw"), (library::CHECK_CANONICAL, "canonical")] {
        let kind = FilterType::Path;
        let flags = library::CHECK_NO_REPORT | flag;
        let process = std::process::id();
        let answer = match library {
            Some(library) => {
                let process = i32::try_from(process).unwrap_or(0);
                let answer = library.check(process, Some(asked), Some((kind, path.as_bytes())), flags);
                answer.map_err(|error| of_library(error).0)
            }
            // Linux's kernel knows no other spelling than the canonical one.
            None if flag != 0 => continue,
            None => {
                let canonical = std::fs::canonicalize(path);
                let canonical = canonical.as_deref().unwrap_or(Path::new(path)).as_os_str().as_encoded_bytes().to_vec();
                enforce::check(process, asked, Some(("path", &canonical))).map_err(|error| number(&error))
            }
        };
        let mut marker = Marker::new(Tool::Callout, Step::PreSyscall);
        marker.api = Some(if library.is_some() { "sandbox_check" } else { "enforce_check" }.to_owned());
        marker.operation = Some(asked.to_owned());
        marker.argument = Some(path.to_owned());
        marker.check_type = Some(i64::from(flags | kind as i32));
        marker.filter_type_name = Some("path".to_owned());
        marker.canonicalization = Some(word.to_owned());
        let (rc, errno, decision) = match answer {
            Ok(true) => (0, 0, "allow"),
            Ok(false) => (1, 0, "deny"),
            Err(errno) => (-1, errno, "error"),
        };
        (marker.rc, marker.errno, marker.decision) = (Some(rc), Some(errno), Some(decision.to_owned()));
        speaker.say(&marker);
    }
}

#[cfg(target_os = "macos")]
fn service(speaker: &mut Speaker, operation: &str, name: &str) -> Ended {
    services::tried(speaker, &super::macos::Mac, operation, name)
}

#[cfg(not(target_os = "macos"))]
fn service(_: &mut Speaker, operation: &str, name: &str) -> Ended {
    eprintln!("sbtool: {operation} of {name}: only a Mac has such services");
    Ended::NotHere
}
