//! In: files by descriptor. Out: what the kernel's own structures say of them, byte for byte, for a caller's
//! memory. Never: paths.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::checked;

/// The status of a file as the calls `stat`, `fstat`, `newfstatat` write it.
///
/// # Errors
/// What the kernel says.
pub fn status_bytes(file: BorrowedFd<'_>) -> io::Result<[u8; size_of::<libc::stat>()]> {
    let mut bytes = [0; size_of::<libc::stat>()];
    // SAFETY: `libc::stat` is the kernel's structure on the architectures that this is built for, and
    // has this size; any bytes will do for it.
    checked(unsafe {
        libc::syscall(libc::SYS_newfstatat, file.as_raw_fd(), c"".as_ptr(), bytes.as_mut_ptr(), libc::AT_EMPTY_PATH)
    })?;
    Ok(bytes)
}

/// The status of a file as `statx` writes it.
///
/// # Errors
/// What the kernel says.
pub fn extended_status_bytes(file: BorrowedFd<'_>, flags: i32, mask: u32) -> io::Result<[u8; 256]> {
    let mut bytes = [0; 256];
    let sync = flags & (libc::AT_STATX_FORCE_SYNC | libc::AT_STATX_DONT_SYNC);
    // SAFETY: the kernel's structure has 256 bytes.
    checked(unsafe {
        libc::syscall(
            libc::SYS_statx,
            file.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | sync,
            mask,
            bytes.as_mut_ptr(),
        )
    })?;
    Ok(bytes)
}

/// The status of a file system as `statfs` writes it.
///
/// # Errors
/// What the kernel says.
pub fn file_system_bytes(file: BorrowedFd<'_>) -> io::Result<[u8; size_of::<libc::statfs>()]> {
    let mut bytes = [0; size_of::<libc::statfs>()];
    // SAFETY: as for `status_bytes`.
    checked(unsafe { libc::syscall(libc::SYS_fstatfs, file.as_raw_fd(), bytes.as_mut_ptr()) })?;
    Ok(bytes)
}

/// Whether an access would be permitted.
///
/// # Errors
/// EACCES and the like.
pub fn access(file: BorrowedFd<'_>, mode: i32, flags: i32) -> io::Result<()> {
    // SAFETY: takes numbers and a string of ours.
    checked(unsafe {
        libc::syscall(libc::SYS_faccessat2, file.as_raw_fd(), c"".as_ptr(), mode, flags | libc::AT_EMPTY_PATH)
    })
    .map(drop)
}

/// Adds a watch, for a file by its path.
///
/// # Errors
/// What the kernel says.
pub fn watch(queue: BorrowedFd<'_>, path: &CStr, mask: u32) -> io::Result<i64> {
    // SAFETY: takes numbers and a string of ours.
    checked(unsafe { libc::inotify_add_watch(queue.as_raw_fd(), path.as_ptr(), mask) }.into())
}
