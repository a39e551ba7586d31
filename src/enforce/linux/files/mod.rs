//! In: calls about files. Out: their results: the object is looked up once, the policy is asked about it,
//! and what is done is done to that object. Never: a path given back to the kernel to be looked up again.

mod changes;
mod names;
mod open;
mod status;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};

use super::judge::{Denied, Facts};
use super::processes;
use super::supervisor::{How, Reply, Task};
use super::system;
use super::walk::{self, End, Found, Place, kind_of, name_of};

pub use changes::*;
pub use names::*;
pub use open::*;
pub use status::*;

type Done = Result<Reply, Denied>;

const HERE: i32 = libc::AT_FDCWD;

fn raw(error: rustix::io::Errno) -> Denied {
    error.raw_os_error().into()
}

fn system_error(error: std::io::Error) -> Denied {
    system::errno(&error).into()
}

impl Place {
    fn there(&self) -> Result<&Found, Denied> {
        self.found.as_ref().ok_or(libc::ENOENT.into())
    }

    fn kind(&self) -> Option<&'static str> {
        self.found.as_ref().and_then(|found| kind_of(&found.status))
    }

    fn facts(&self) -> Facts<'_> {
        Facts::file(&self.path, self.kind())
    }

    /// The directory and the name in it.
    fn name(&self) -> Result<(BorrowedFd<'_>, &[u8]), Denied> {
        match &self.last {
            Some((directory, name)) => Ok((directory.as_fd(), name)),
            // `/`, `..`, a magic link.
            None => Err(libc::EBUSY.into()),
        }
    }
}

fn is(status: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(status.st_mode) == kind
}

impl Task<'_> {
    /// An object by the directory in one argument and the path in another one; what it is is asked.
    fn object(&self, directory: i32, path: usize, follow: bool) -> Result<Place, Denied> {
        let path = self.string(path)?;
        self.look_up(directory, &path, How { follow, ..How::default() })
    }

    /// As [`Task::object`], where an empty path is the descriptor itself, and allowed by a flag.
    fn object_or_self(&self, directory: i32, path: usize, flags: i32, no_follow: i32) -> Result<Place, Denied> {
        let text = if self.argument(path) == 0 { Vec::new() } else { self.string(path)? };
        if !text.is_empty() {
            return self.look_up(directory, &text, How { follow: flags & no_follow == 0, ..How::default() });
        }
        if flags & libc::AT_EMPTY_PATH == 0 {
            return Err(if self.argument(path) == 0 { libc::EFAULT } else { libc::ENOENT }.into());
        }
        self.own(directory)
    }

    /// What a descriptor of the caller holds.
    fn own(&self, descriptor: i32) -> Result<Place, Denied> {
        let object = match descriptor {
            libc::AT_FDCWD => processes::directory(self.thread(), HERE)?,
            number => processes::descriptor(self.thread(), number)?,
        };
        self.still()?;
        let status = rustix::fs::fstat(&object).map_err(raw)?;
        let (path, is_anonymous) = walk::path_of(object.as_fd())?;
        let found = Some(Found { object, status });
        Ok(Place { found, last: None, path, is_anonymous, end: End::Name, slash: false })
    }

    /// What a descriptor of the caller holds that is more than a place: those calls take no others.
    fn open_already(&self, descriptor: i32) -> Result<Place, Denied> {
        let place = self.own(descriptor)?;
        let flags = rustix::fs::fcntl_getfl(&place.there()?.object).map_err(raw)?;
        if flags.contains(OFlags::PATH) { Err(libc::EBADF.into()) } else { Ok(place) }
    }

    /// Asks about an object; one without a path is its owner's.
    fn ask_about(&self, operation: &str, place: &Place) -> Result<(), Denied> {
        if place.is_anonymous { Ok(()) } else { self.ask(operation, &place.facts()) }
    }

    fn named(&self, directory: i32, path: usize, may_be_missing: bool) -> Result<Place, Denied> {
        let path = self.string(path)?;
        self.look_up(directory, &path, How { follow: false, may_be_missing, wants_name: true })
    }

    fn write(&self, argument: usize, bytes: &[u8]) -> Done {
        processes::write(self.thread(), self.argument(argument), bytes)?;
        Ok(Reply::Value(0))
    }

    /// With the caller's mask for new files.
    fn with_mask<T>(&self, make: impl FnOnce() -> Result<T, rustix::io::Errno>) -> Result<T, Denied> {
        system::set_mask(self.status()?.mask);
        let made = make();
        system::set_mask(0o077);
        made.map_err(raw)
    }
}

fn unsigned(number: i32) -> u32 {
    number.cast_unsigned()
}

/// The object of a call, as a name of ours: a symlink is not followed by it any more, and what the kernel
/// says of one it says.
fn held(place: &Place) -> Result<String, Denied> {
    Ok(name_of(place.there()?.object.as_fd()))
}
