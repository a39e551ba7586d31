//! The runners: hidden verbs that `probe` starts again from its own binary, each to put a profile on itself
//! and try one thing.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::input::{self, SourceOptions};
use super::output::Console;
use super::status::{Failure, Status};
use crate::enforce::World;
use crate::library::Library;
use crate::probe::runner::{Applied, Attempt, Ended, FileAttempt, NetworkAttempt, Runner};

/// Who puts the profile on the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Backend {
    /// Linux's kernel.
    Linux,
    /// libsandbox.
    Libsandbox,
}

#[derive(Args)]
pub struct Profile {
    /// A profile's text
    #[arg(long, value_name = "FILE", group = "what", required_unless_present_any = ["blob", "bare"])]
    sbpl: Option<String>,
    /// A compiled profile
    #[arg(long, value_name = "FILE", group = "what")]
    blob: Option<String>,
    /// No profile: what happens without one
    #[arg(long, group = "what")]
    bare: bool,
    /// Who puts it on the process
    #[arg(long, value_enum, default_value_t = if cfg!(target_os = "linux") { Backend::Linux } else { Backend::Libsandbox })]
    backend: Backend,
    /// A folder that stands for /private in a root in the shape of a Mac's (Linux)
    #[arg(long, value_name = "DIR")]
    private: Option<PathBuf>,
    /// Write markers there as well, and take the file's name away: who holds it open has it then
    #[arg(long, value_name = "FILE")]
    markers: Option<PathBuf>,
    /// Ask sandbox_check about this operation first
    #[arg(long, value_name = "OPERATION", requires = "callout_path")]
    callout: Option<String>,
    /// And about this path
    #[arg(long, value_name = "PATH", requires = "callout")]
    callout_path: Option<String>,
    #[command(flatten)]
    source: SourceOptions,
}

/// Apply a profile, then open a file and read it
#[derive(Args)]
pub struct Reader {
    #[command(flatten)]
    profile: Profile,
    /// Open its directory first, and the file from there
    #[arg(long)]
    from_directory: bool,
    /// The file
    target: PathBuf,
}

/// Apply a profile, then open a file and write a line
#[derive(Args)]
pub struct Writer {
    #[command(flatten)]
    profile: Profile,
    /// The file
    target: PathBuf,
}

/// Apply a profile, then try an operation on a path
#[derive(Args)]
pub struct Metadata {
    #[command(flatten)]
    profile: Profile,
    /// The operation
    #[arg(long = "op", value_enum, default_value_t = FileAttempt::Metadata)]
    operation: FileAttempt,
    /// The path
    #[arg(long)]
    path: PathBuf,
}

/// Apply a profile, then start a program
#[derive(Args)]
pub struct Starter {
    #[command(flatten)]
    profile: Profile,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Apply a profile, and nothing else
#[derive(Args)]
pub struct ApplyOnly {
    #[command(flatten)]
    profile: Profile,
}

/// Apply a profile, then connect, bind or listen
#[derive(Args)]
pub struct Network {
    #[command(flatten)]
    profile: Profile,
    /// The operation
    #[arg(long = "op", value_enum, default_value_t = NetworkAttempt::Out)]
    operation: NetworkAttempt,
    /// The address: PROTOCOL:HOST:PORT, or a path
    target: String,
}

/// Apply a profile, then send a signal that does nothing: to self, pgrp or others
#[derive(Args)]
pub struct Signal {
    #[command(flatten)]
    profile: Profile,
    /// Whom
    target: String,
}

/// Apply a profile, then look up a service of a Mac
#[derive(Args)]
pub struct Service {
    #[command(flatten)]
    profile: Profile,
    /// The operation: mach-lookup, iokit-open-user-client, sysctl-read
    #[arg(long = "op")]
    operation: String,
    /// Its name
    name: String,
}

/// What is left to do, by a process with one thread.
pub type Alone = Box<dyn FnOnce() -> Status + Send>;

/// A verb that is a runner.
pub trait Verb {
    /// Its profile, and what it tries.
    fn parts(self) -> (Profile, Attempt);
}

macro_rules! verbs {
    ($($name:ident $options:ident $attempt:expr;)*) => {
        $(impl Verb for $name {
            fn parts(self) -> (Profile, Attempt) {
                let $options = self;
                let attempt = $attempt;
                ($options.profile, attempt)
            }
        })*
    };
}

verbs! {
    Reader options {
        let attempt = if options.from_directory { FileAttempt::ReadFromDirectory } else { FileAttempt::Read };
        Attempt::File(attempt, options.target)
    };
    Writer options Attempt::File(FileAttempt::Write, options.target);
    Metadata options Attempt::File(options.operation, options.path);
    Starter options Attempt::Program(options.command);
    ApplyOnly options Attempt::Nothing;
    Network options Attempt::Network(options.operation, options.target);
    Signal options Attempt::Signal(options.target);
    Service options Attempt::Service(options.operation, options.name);
}

/// Reads the profile; what comes then must be done by the only thread of the process.
pub fn prepare(verb: impl Verb, console: &Console) -> Result<Alone, Failure> {
    let (profile, attempt) = verb.parts();
    let runner = runner(profile, console)?;
    Ok(Box::new(move || match runner.run(attempt) {
        Ended::Done => Status::Holds,
        Ended::NotApplied => Status::DoesNotHold,
        Ended::NotOpened => Status::NotOpened,
        Ended::NotWritten => Status::NotWritten,
        Ended::NotRead => Status::NotRead,
        Ended::NotStarted => Status::NotStarted,
        Ended::Usage => Status::Usage,
        Ended::NotHere => Status::Refused,
    }))
}

fn runner(profile: Profile, console: &Console) -> Result<Runner, Failure> {
    let is_blob = profile.blob.is_some();
    let (name, applied) = match profile.sbpl.as_ref().or(profile.blob.as_ref()) {
        None => (String::new(), Applied::Nothing),
        Some(file) => {
            let (name, bytes) = input::read(file)?;
            let applied = match profile.backend {
                Backend::Linux => Applied::Linux(Box::new(profile.source.load_policy((name.clone(), bytes), console)?)),
                Backend::Libsandbox => {
                    let library = Library::open().map_err(|error| Failure::Refused(error.to_string()))?;
                    if is_blob {
                        Applied::Blob(library, bytes)
                    } else {
                        Applied::Text(library, bytes, profile.source.parameters.clone())
                    }
                }
            };
            (name, applied)
        }
    };
    let markers = match &profile.markers {
        None => None,
        Some(path) => {
            let opened = OpenOptions::new().create(true).append(true).open(path);
            let cannot = |source| Failure::CannotCreate { name: path.display().to_string(), source };
            let file = opened.map_err(cannot)?;
            std::fs::remove_file(path)
                .map_err(|source| Failure::CannotCreate { name: path.display().to_string(), source })?;
            Some(file)
        }
    };
    Ok(Runner {
        applied,
        profile: name,
        is_blob,
        world: profile.private.map_or(World::Host, World::Staged),
        markers,
        callout: profile.callout.zip(profile.callout_path),
    })
}
