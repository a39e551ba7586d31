//! In: a policy, and a process. Out: the process, and all that it starts, under that policy, enforced by
//! Linux's kernel. Never: a verdict of its own; those are the policy's.
//!
//! The kernel runs a filter at each system call (`filter`). What the policy allows or denies whatever is
//! asked, the filter decides; the rest it hands to a supervisor (`supervisor`), a process outside the
//! policy, which looks the objects up (`walk`), asks the policy (`judge`) and does the call on behalf of
//! the caller (`files`, `sockets`, `messages`), so that nothing the caller changes meanwhile counts.
//! Which calls those are says one table (`calls`). What this holds against, and what not, is in
//! `docs/enforcement.md`.

use std::fs::File;
use std::io;
use std::sync::Arc;

use crate::runtime::policy::Policy;

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod exec;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
pub mod filter;
#[cfg(target_os = "linux")]
pub mod judge;
#[cfg(target_os = "linux")]
mod launch;
#[cfg(target_os = "linux")]
mod mac_root;
#[cfg(target_os = "linux")]
mod messages;
#[cfg(target_os = "linux")]
mod processes;
#[cfg(target_os = "linux")]
mod question;
#[cfg(target_os = "linux")]
mod signals;
#[cfg(target_os = "linux")]
mod sockets;
#[cfg(target_os = "linux")]
mod supervisor;
#[cfg(target_os = "linux")]
pub mod system;
#[cfg(target_os = "linux")]
mod walk;

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum World {
    /// The file system as it is.
    #[default]
    Host,
    /// The same files under a root in the shape of a Mac's: `/tmp`, `/var` and `/etc` are symlinks into
    /// `/private`, which is on the data volume as well. For [`run`] only.
    MacRoot,
}

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

#[cfg(target_os = "linux")]
pub use launch::{apply, check, is_applied, run};

/// The operations that are enforced here, by name, each with the system calls that ask it.
#[must_use]
pub fn operations() -> std::collections::BTreeMap<&'static str, Vec<&'static str>> {
    let mut out = std::collections::BTreeMap::new();
    #[cfg(target_os = "linux")]
    for call in calls::all() {
        for operation in call.asks.iter().chain(call.may_ask) {
            out.entry(*operation).or_insert_with(Vec::new).push(call.name);
        }
    }
    out
}

/// What enforcement needs.
#[cfg(not(target_os = "linux"))]
const NEEDS: &str = "Linux 5.14 or later; sbtool why and sbtool probe answer on any system";

/// Puts the calling process under a policy.
///
/// # Errors
/// Always: this system has no such kernel.
#[cfg(not(target_os = "linux"))]
pub fn apply(plan: Plan) -> Result<(), ApplyError> {
    drop(plan);
    Err(ApplyError::Unsupported(NEEDS))
}

/// Runs a command under a policy.
///
/// # Errors
/// Always: this system has no such kernel.
#[cfg(not(target_os = "linux"))]
pub fn run(plan: Plan, command: std::process::Command) -> Result<std::process::ExitStatus, ApplyError> {
    drop((plan, command));
    Err(ApplyError::Unsupported(NEEDS))
}

/// Asks whether a process may do something.
///
/// # Errors
/// ENOSYS: this process is under no policy of ours.
#[cfg(not(target_os = "linux"))]
pub fn check(pid: u32, operation: &str, subject: Option<(&str, &[u8])>) -> io::Result<bool> {
    let _ = (pid, operation, subject);
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// Whether this process is under a policy.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn is_applied() -> bool {
    false
}
