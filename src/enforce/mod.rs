//! In: a policy, and a process. Out: the process, and all that it starts, under that policy, enforced by
//! Linux's kernel. Never: a verdict of its own; those are the policy's.
//!
//! `linux` does it; `elsewhere` stands in its place on systems without such a kernel. What this holds
//! against, and what not, is in `docs/enforcement.md`.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::runtime::policy::Policy;

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod linux;
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[path = "elsewhere.rs"]
mod linux;

pub use linux::{apply, check, end_by, enter, errno, is_applied, operations, run};

/// What is to be enforced.
pub struct Plan {
    /// Who decides.
    pub policy: Arc<Policy>,
    /// Where denials are written, a JSON object a line; those of rules that do not report are left out.
    pub log: Option<File>,
    /// Where paths are resolved.
    pub world: World,
}

/// Where paths are resolved. (A Mac as data, for verdicts, is [`crate::runtime::world`].)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum World {
    /// The file system as it is.
    #[default]
    Host,
    /// The same files under a root in the shape of a Mac's: `/tmp`, `/var` and `/etc` are symlinks into
    /// `/private`, which is on the data volume as well.
    MacRoot,
    /// Such a root whose `/private` is this directory, and nothing of the host's.
    Staged(PathBuf),
}

/// Where a Mac has its data volume.
pub const DATA_VOLUME: &str = "/System/Volumes/Data";

/// Why a policy is not in force. Nothing of it is.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The process is under a policy already (RUNTIME.md part 2: EPERM).
    #[error("Operation not permitted: this process is already sandboxed")]
    AlreadySandboxed,
    /// The kernel, or the operating system, lacks what is needed.
    #[error("enforcement needs {0}")]
    Unsupported(&'static str),
    /// The system refused a step.
    #[error("{step}: {source}")]
    System {
        /// Which step.
        step: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// The policy is in force, and the program did not start.
    #[error("{program}: {source}")]
    Program {
        /// Which program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
}

impl ApplyError {
    /// The error number that stands for it; 0 where there is none.
    #[must_use]
    pub fn errno(&self) -> i32 {
        match self {
            // EPERM (RUNTIME.md part 2).
            Self::AlreadySandboxed => 1,
            Self::Unsupported(_) => 0,
            Self::System { source, .. } | Self::Program { source, .. } => source.raw_os_error().unwrap_or(0),
        }
    }
}
