//! In: what the supervisor wants of the kernel. Out: safe functions for the calls that no library wraps:
//! seccomp's notifications, another process's memory, threads' credentials, tracing. Never: a decision.
//!
//! With `crate::library` the one place with `unsafe`.
#![allow(unsafe_code, reason = "the system calls that no safe library offers")]

mod credentials;
mod files;
mod notifications;
mod processes;
mod sockets;
mod threads;
mod tracing;

use std::io;

pub use credentials::*;
pub use files::*;
pub use notifications::*;
pub use processes::*;
pub use sockets::*;
pub use threads::*;
pub use tracing::*;

/// An error number of the system.
pub type Errno = i32;

fn checked(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The error number of an error; EIO where it has none.
#[must_use]
pub fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().unwrap_or(libc::EIO)
}
