//! In: a thread of another process. Out: a stop before the first instruction of a program that it starts
//! (ptrace). Never: a look at what it does else.

use std::io;

use super::checked;

/// Starts to trace a thread, so that a program that it starts stops before its first instruction.
///
/// # Errors
/// EPERM where somebody traces it already.
pub fn trace_programs(thread: u32) -> io::Result<()> {
    // If this process ends first, nobody looks at the program: it must not run then.
    let options = libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_EXITKILL;
    // SAFETY: takes numbers.
    checked(unsafe { libc::ptrace(libc::PTRACE_SEIZE, thread, 0usize, options) }).map(drop)
}

/// Stops a traced thread at the next occasion.
///
/// # Errors
/// ESRCH.
pub fn interrupt(thread: u32) -> io::Result<()> {
    // SAFETY: takes numbers.
    checked(unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, thread, 0usize, 0usize) }).map(drop)
}

/// What a traced thread stopped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It became a new program, and is this thread now.
    Program(u32),
    /// Something else; it is this thread, and that signal if it is about to be delivered, or 0.
    Other(u32, i32),
    /// It ended.
    Ended,
}

/// Waits until a thread that this one traces stops.
///
/// # Errors
/// ECHILD where there is none.
pub fn wait_traced() -> io::Result<Stop> {
    let mut status = 0;
    loop {
        // Those that this very thread traces.
        let flags = libc::__WALL | libc::__WNOTHREAD;
        // SAFETY: the kernel writes one number.
        let thread = match checked(unsafe { libc::waitpid(-1, &raw mut status, flags) }.into()) {
            Ok(thread) => u32::try_from(thread).unwrap_or(0),
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => continue,
            Err(error) => return Err(error),
        };
        if !libc::WIFSTOPPED(status) {
            return Ok(Stop::Ended);
        }
        return Ok(match status >> 16 {
            libc::PTRACE_EVENT_EXEC => Stop::Program(thread),
            0 => Stop::Other(thread, libc::WSTOPSIG(status)),
            _ => Stop::Other(thread, 0),
        });
    }
}

/// Lets a traced thread go; with the signal that it stopped for, if that was one. Whether it did: one that
/// is being killed, or runs, does not.
pub fn let_go(thread: u32, signal: i32) -> bool {
    // SAFETY: takes numbers.
    unsafe { libc::ptrace(libc::PTRACE_DETACH, thread, 0usize, signal as usize) == 0 }
}

/// Lets another process look into this one, where the system asks for that (Yama).
pub fn permit_tracing(by: u32) {
    // SAFETY: takes numbers.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::c_ulong::from(by), 0, 0, 0) };
}

/// Keeps others of this user out of this process: its memory, its descriptors.
pub fn keep_out() {
    // SAFETY: takes numbers.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
}
