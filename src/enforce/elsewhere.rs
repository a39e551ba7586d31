//! In: a plan. Out: that this system has no kernel to enforce it. Never: anything else; `linux` has the
//! same functions where there is one.

use std::collections::BTreeMap;
use std::io;
use std::process::{Command, ExitStatus};

use super::{ApplyError, Plan, World};

/// What enforcement needs.
const NEEDS: &str = "Linux 5.14 or later on x86-64 or aarch64; sbtool why and sbtool probe answer on any system";

/// Puts the calling process under a policy.
///
/// # Errors
/// Always.
pub fn apply(plan: Plan) -> Result<(), ApplyError> {
    drop(plan);
    Err(ApplyError::Unsupported(NEEDS))
}

/// Runs a command under a policy.
///
/// # Errors
/// Always.
pub fn run(plan: Plan, command: Command) -> Result<ExitStatus, ApplyError> {
    drop((plan, command));
    Err(ApplyError::Unsupported(NEEDS))
}

/// Asks whether a process may do something.
///
/// # Errors
/// Always: this process is under no policy of ours.
pub fn check(pid: u32, operation: &str, subject: Option<(&str, &[u8])>) -> io::Result<bool> {
    let _ = (pid, operation, subject);
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// Whether this process is under a policy.
#[must_use]
pub fn is_applied() -> bool {
    false
}

/// The operations that are enforced here: none.
#[must_use]
pub fn operations() -> BTreeMap<&'static str, Vec<&'static str>> {
    BTreeMap::new()
}

/// Ends this process as one that a signal ended.
pub fn end_by(signal: i32) -> ! {
    std::process::exit(128 + signal)
}

/// A Mac's error number as this system has it: no translation is known.
#[must_use]
pub fn errno(number: i32) -> i32 {
    number
}

/// Changes to a world.
///
/// # Errors
/// For every one but the host's.
pub fn enter(world: &World) -> io::Result<()> {
    if *world == World::Host { Ok(()) } else { Err(io::Error::from(io::ErrorKind::Unsupported)) }
}
