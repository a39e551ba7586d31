//! In: a policy, and a process. Out: the process, and all that it starts, under that policy, enforced by
//! Linux's kernel. Never: a verdict of its own; those are the policy's.

use std::fs::File;
use std::io;
use std::sync::Arc;

use crate::runtime::policy::Policy;

/// What is to be enforced.
pub struct Plan {
    /// Who decides.
    pub policy: Arc<Policy>,
    /// Where denials are written, a JSON object a line; those of rules that do not report are left out.
    pub log: Option<File>,
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
}

/// Puts the calling process under a policy, all threads of it. Another process, forked here, supervises
/// it and what it starts, and ends with the last of them.
///
/// # Errors
/// [`ApplyError`].
pub fn apply(plan: Plan) -> Result<(), ApplyError> {
    drop(plan);
    Err(ApplyError::Unsupported("more than there is so far"))
}

/// Asks the supervisor of this process whether a process may do something. `filter` is the name of the
/// filter that `subject` is a value of ("path", "global-name"); the process is this one or another one
/// under the same policy.
///
/// # Errors
/// ESRCH where the process is not under the policy of this one; EINVAL where the operation or the filter
/// is not known; ENOSYS where this process is under none.
pub fn check(pid: u32, operation: &str, subject: Option<(&str, &[u8])>) -> io::Result<bool> {
    let _ = (pid, operation, subject);
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}
