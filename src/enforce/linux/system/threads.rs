//! In: threads of this process. Out: an end to what they wait for. Never: another process's.

use std::io;

use super::checked;

/// What interrupts a call that waits: a signal that means nothing else here, and ends nothing.
const INTERRUPTION: i32 = libc::SIGURG;

extern "C" fn nothing(_: i32) {}

/// Makes calls of this process give up where they are interrupted, instead of going on.
///
/// # Errors
/// What the kernel says.
pub fn prepare_interruptions() -> io::Result<()> {
    // SAFETY: the handler does nothing, so it may run at any time; all-zero is an action without flags.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        libc::sigemptyset(&raw mut action.sa_mask);
        checked(libc::sigaction(INTERRUPTION, &raw const action, std::ptr::null_mut()).into()).map(drop)
    }
}

/// Lets this thread be interrupted: a mask may come from whoever this process is a copy of.
pub fn may_be_interrupted() {
    // SAFETY: sets of signals are plain numbers; the functions fill them in.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, INTERRUPTION);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
    }
}

/// Interrupts a thread of this process.
pub fn interrupt_own(thread: u32) {
    // SAFETY: takes numbers only.
    unsafe { libc::syscall(libc::SYS_tgkill, std::process::id(), thread, INTERRUPTION) };
}

/// The number of this thread.
#[must_use]
pub fn own_thread() -> u32 {
    // SAFETY: takes nothing.
    u32::try_from(unsafe { libc::gettid() }).unwrap_or(0)
}

/// How many descriptors this process may have: as many as it may ask for.
#[must_use]
pub fn most_descriptors() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // No limit is a number that nobody reaches.
    let wanted = limit.maximum.map_or(MANY_DESCRIPTORS, |most| most.min(MANY_DESCRIPTORS));
    let now = limit.current.unwrap_or(u64::MAX);
    if wanted <= now {
        return now;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum }) {
        Ok(()) => wanted,
        Err(_) => now,
    }
}

/// More are never needed.
const MANY_DESCRIPTORS: u64 = 65_536;
