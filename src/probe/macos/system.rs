//! In: Rust values. Out: calls of Mach, IOKit and the C library of a Mac, and what they return. Never: a port, a
//! connection or memory that outlives its call.
//!
//! The declarations are those of `mach2`, `io-kit-sys` and `libc`. IOKit is linked, not opened when it is needed:
//! under a profile that denies reading it could not be.

#![allow(unsafe_code, reason = "functions of the system; each block says why it is sound")]

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;

use io_kit_sys::types::io_connect_t;
use io_kit_sys::{IOObjectRelease, IOServiceClose, IOServiceGetMatchingService, IOServiceMatching, IOServiceOpen};
use mach2::bootstrap::{bootstrap_look_up, bootstrap_port};
use mach2::kern_return::{KERN_RESOURCE_SHORTAGE, KERN_SUCCESS};
use mach2::mach_port::mach_port_deallocate;
use mach2::port::{MACH_PORT_NULL, mach_port_t};
use mach2::traps::mach_task_self;

/// Room for what a setting holds. More is not needed: that it is larger is an answer as well.
const MAX_SETTING: usize = 64 * 1024;

/// Looks up a service of Mach, and lets go of it; the return code.
pub(super) fn look_up(name: &CStr) -> i32 {
    let mut port: mach_port_t = MACH_PORT_NULL;
    // SAFETY: `bootstrap_port` is set before `main` and not written by this program; `name` ends in NUL and
    // `port` is a place for one port, both until after the call.
    let code = unsafe { bootstrap_look_up(bootstrap_port, name.as_ptr(), &raw mut port) };
    if code == KERN_SUCCESS && port != MACH_PORT_NULL {
        // SAFETY: the look-up gave this task one send right of that name, which nobody else knows.
        unsafe { mach_port_deallocate(mach_task_self(), port) };
    }
    code
}

/// Opens the first service of a class with type 0, and closes it; the return code. Nothing where there is none.
pub(super) fn open_service(class: &CStr) -> Option<i32> {
    // SAFETY: `class` ends in NUL and lives until after the call, which copies it.
    let matching = unsafe { IOServiceMatching(class.as_ptr()) };
    if matching.is_null() {
        // The only reason is that there is no memory.
        return Some(KERN_RESOURCE_SHORTAGE);
    }
    // SAFETY: the null port stands for the default one (kIOMainPortDefault); `matching` is a dictionary that is
    // ours, and the call takes it over, whether it finds something or not.
    let service = unsafe { IOServiceGetMatchingService(MACH_PORT_NULL, matching.cast_const()) };
    if service == MACH_PORT_NULL {
        return None;
    }
    let mut connection: io_connect_t = MACH_PORT_NULL;
    // SAFETY: `service` is a right of ours until it is released below; `connection` is a place for one.
    let code = unsafe { IOServiceOpen(service, mach_task_self(), 0, &raw mut connection) };
    if code == KERN_SUCCESS {
        // SAFETY: a connection that was opened just now, closed once and not used again.
        unsafe { IOServiceClose(connection) };
    }
    // SAFETY: as above; not used again.
    unsafe { IOObjectRelease(service) };
    Some(code)
}

/// Reads a setting.
pub(super) fn read_setting(name: &CStr) -> io::Result<()> {
    let mut value = vec![0u8; MAX_SETTING];
    let mut size = value.len();
    // SAFETY: `name` ends in NUL; `value` has `size` bytes, which the call may write and no more; both live until
    // after it. Nothing is set: the new value is null and of size 0.
    let code =
        unsafe { libc::sysctlbyname(name.as_ptr(), value.as_mut_ptr().cast(), &raw mut size, ptr::null_mut(), 0) };
    match (code, io::Error::last_os_error()) {
        (0, _) => Ok(()),
        (_, error) if error.raw_os_error() == Some(libc::ENOMEM) => Ok(()),
        (_, error) => Err(error),
    }
}

/// `fcntl(F_GETPATH_NOFIRMLINK)`.
pub(super) fn path_without_firmlinks(file: &File) -> io::Result<Vec<u8>> {
    // The command writes at most MAXPATHLEN bytes, which PATH_MAX is, NUL included.
    let mut path = vec![0u8; libc::PATH_MAX.unsigned_abs() as usize];
    // SAFETY: the descriptor is open as long as `file`; the third argument is a place of PATH_MAX bytes that the
    // call may write.
    let code = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETPATH_NOFIRMLINK, path.as_mut_ptr()) };
    if code == -1 {
        return Err(io::Error::last_os_error());
    }
    let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
    path.truncate(end);
    Ok(path)
}
