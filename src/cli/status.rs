//! In: how a verb ended. Out: the exit status of CLI.md. Never: printing.

use std::io;

use crate::files::WriteError;
use crate::sbpl::Diagnostic;

/// Exit statuses, as in sysexits.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Done, and what was asked for holds.
    Holds = 0,
    /// Done, and it does not hold.
    DoesNotHold = 1,
    /// A runner: the first call of what it tried failed (RUNTIME.md part 2, "Exit codes").
    NotOpened = 2,
    /// A runner: writing failed.
    NotWritten = 3,
    /// A runner: reading failed.
    NotRead = 4,
    /// The command line is wrong.
    Usage = 64,
    /// The profile or blob is wrong.
    BadInput = 65,
    /// The input is not there or cannot be read.
    NoInput = 66,
    /// A bug.
    Internal = 70,
    /// The operating system refused.
    Refused = 71,
    /// Output cannot be created.
    CannotCreate = 73,
    /// Output cannot be written.
    CannotWrite = 74,
    /// A runner: the program did not start.
    NotStarted = 127,
    /// Ended by SIGINT or SIGTERM, as a shell says it.
    Interrupted = 130,
}

impl Status {
    /// The status that another `sbtool` ended with, of those that a verb which is no runner has.
    pub fn of(number: u8) -> Option<Self> {
        let known = [
            Self::Holds,
            Self::DoesNotHold,
            Self::Usage,
            Self::BadInput,
            Self::NoInput,
            Self::Internal,
            Self::Refused,
            Self::CannotCreate,
            Self::CannotWrite,
            Self::Interrupted,
        ];
        known.into_iter().find(|status| *status as u8 == number)
    }
}

/// Why a verb did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line asks for something that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A profile's text is wrong; printed with its place.
    #[error("{}", .0.message)]
    Profile(Box<Diagnostic>),
    /// Any other input is wrong.
    #[error("{name}: {reason}")]
    BadInput {
        /// Which input.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// An input cannot be read.
    #[error("{name}: {source}")]
    NoInput {
        /// Which input.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A bug.
    #[error("internal error: {0}; this is a bug in sbtool, please report it")]
    Internal(String),
    /// The operating system refused, or lacks what is needed.
    #[error("{0}")]
    Refused(String),
    /// An output file cannot be created.
    #[error("{name}: {source}")]
    CannotCreate {
        /// Which file.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// Output cannot be written: no room in a file, a broken standard output.
    #[error("{name}: {source}")]
    CannotWrite {
        /// Which.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// Somebody ended it.
    #[error("interrupted: nothing was recorded")]
    Interrupted,
    /// Nobody reads our output any more.
    #[error("")]
    ReaderGone,
}

impl Failure {
    /// The exit status.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Usage(_) => Status::Usage,
            Self::Profile(_) | Self::BadInput { .. } => Status::BadInput,
            Self::NoInput { .. } => Status::NoInput,
            Self::Internal(_) => Status::Internal,
            Self::Refused(_) => Status::Refused,
            Self::CannotCreate { .. } => Status::CannotCreate,
            Self::CannotWrite { .. } => Status::CannotWrite,
            Self::Interrupted => Status::Interrupted,
            Self::ReaderGone => Status::Holds,
        }
    }

    /// An input that is wrong.
    pub fn bad(name: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::BadInput { name: name.into(), reason: reason.to_string() }
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Create { name, source } => Self::CannotCreate { name, source },
            WriteError::Write { name, source } => Self::CannotWrite { name, source },
        }
    }
}
