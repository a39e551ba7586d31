//! In: what a runner tries that only a Mac has. Out: the calls of [`Calls`] as [`Mac`], and the spelling of a
//! path that only a Mac knows. Never: what an answer means; `runner::services` and `runner::files` say it.
//!
//! All code for one operating system that cannot be tried on another is in this folder, and as little of it as
//! there can be (docs/macos.md says what of it was never run). `system` alone has `unsafe`.

mod system;

use std::ffi::CStr;
use std::fs::File;
use std::io;

use super::runner::services::Calls;

/// This Mac.
#[derive(Clone, Copy, Debug)]
pub struct Mac;

impl Calls for Mac {
    fn look_up(&self, name: &CStr) -> i32 {
        system::look_up(name)
    }

    fn open_service(&self, class: &CStr) -> Option<i32> {
        system::open_service(class)
    }

    fn read_setting(&self, name: &CStr) -> io::Result<()> {
        system::read_setting(name)
    }
}

/// Where an open file is, by way of the data volume (F_GETPATH_NOFIRMLINK). Nothing where the kernel has no such
/// command: macOS before 10.15.
#[must_use]
pub fn path_without_firmlinks(file: &File) -> Option<io::Result<Vec<u8>>> {
    match system::path_without_firmlinks(file) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => None,
        other => Some(other),
    }
}
