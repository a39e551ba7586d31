//! In: a path. Out: an attempt to do something with what is there, and where an object that was opened really
//! is. Never: a change to anything else.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use clap::ValueEnum;
use rustix::fs::{Access, Mode, XattrFlags};

use super::{Ended, Speaker, number};

/// Most bytes of a file that a reader shows.
const MAX_SHOWN: u64 = 64 * 1024;

/// The attribute that probes read and write (RUNTIME.md part 1, "Fixtures").
const ATTRIBUTE: &str = "user.sandbox_lore";

/// What is tried with a file. Each is the system call that asks the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileAttempt {
    /// Open it and read.
    #[value(name = "file-read-data")]
    Read,
    /// Open its directory, it from there, and read.
    #[value(skip)]
    ReadFromDirectory,
    /// Open it to append, and write a line; make it where it is not there.
    #[value(name = "file-write-data", alias = "file-write-create")]
    Write,
    /// Its status.
    #[value(name = "file-read-metadata")]
    Metadata,
    /// Whether it is there.
    #[value(name = "file-test-existence")]
    Existence,
    /// Remove it.
    #[value(name = "file-write-unlink")]
    Unlink,
    /// Change its mode.
    #[value(name = "file-write-mode")]
    Mode,
    /// Change its times.
    #[value(name = "file-write-times")]
    Times,
    /// Read an attribute.
    #[value(name = "file-read-xattr")]
    ReadAttribute,
    /// Write an attribute.
    #[value(name = "file-write-xattr")]
    WriteAttribute,
}

impl FileAttempt {
    /// The attempt at an operation, also by its starred name.
    #[must_use]
    pub fn of(operation: &str) -> Option<Self> {
        Self::from_str(crate::runtime::question::probed_operation(operation), false).ok()
    }

    /// The operation that it asks for.
    #[must_use]
    pub fn operation(self) -> String {
        let shown = if self == Self::ReadFromDirectory { Self::Read } else { self };
        shown.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Tries it.
pub fn tried(speaker: &mut Speaker, what: FileAttempt, path: &Path) -> Ended {
    let (done, status) = match what {
        FileAttempt::Read => return read(speaker, path, File::open(path)),
        FileAttempt::ReadFromDirectory => return read(speaker, path, opened_from_directory(path)),
        FileAttempt::Write => return written(speaker, path),
        FileAttempt::Metadata => (std::fs::metadata(path).map(drop), Ended::NotOpened),
        FileAttempt::Existence => (rustix::fs::access(path, Access::EXISTS).map_err(Into::into), Ended::NotOpened),
        FileAttempt::Unlink => (std::fs::remove_file(path), Ended::NotWritten),
        FileAttempt::Mode => {
            (rustix::fs::chmod(path, Mode::from_raw_mode(0o600)).map_err(Into::into), Ended::NotWritten)
        }
        FileAttempt::Times => (touched(path), Ended::NotWritten),
        FileAttempt::ReadAttribute => (attribute(path), Ended::NotRead),
        FileAttempt::WriteAttribute => {
            let done = rustix::fs::setxattr(path, ATTRIBUTE, b"1", XattrFlags::empty());
            (done.map_err(io::Error::from), Ended::NotWritten)
        }
    };
    said(speaker, what, path, done, status)
}

fn said(speaker: &mut Speaker, what: FileAttempt, path: &Path, done: io::Result<()>, failed: Ended) -> Ended {
    let error = done.err();
    speaker.tried(&what.operation(), &path.display().to_string(), error.as_ref().map(number));
    let Some(error) = error else { return Ended::Done };
    eprintln!("{} {}: {error}", what.operation(), path.display());
    failed
}

fn touched(path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW};
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::empty())?)
}

/// That it has no such attribute is an answer.
fn attribute(path: &Path) -> io::Result<()> {
    let mut value = [0u8; 256];
    match rustix::fs::getxattr(path, ATTRIBUTE, &mut value[..]) {
        #[cfg(not(target_vendor = "apple"))]
        Err(rustix::io::Errno::NODATA) => Ok(()),
        #[cfg(target_vendor = "apple")]
        Err(rustix::io::Errno::NOATTR) => Ok(()),
        other => other.map(drop).map_err(Into::into),
    }
}

fn opened_from_directory(path: &Path) -> io::Result<File> {
    use rustix::fs::OFlags;
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let directory = File::open(directory)?;
    Ok(File::from(rustix::fs::openat(directory, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?))
}

fn read(speaker: &mut Speaker, path: &Path, opened: io::Result<File>) -> Ended {
    let file = match opened {
        Ok(file) => file,
        Err(error) => return said(speaker, FileAttempt::Read, path, Err(error), Ended::NotOpened),
    };
    say_where(&file);
    let mut contents = Vec::new();
    let done = file.take(MAX_SHOWN).read_to_end(&mut contents).map(drop);
    let status = said(speaker, FileAttempt::Read, path, done, Ended::NotRead);
    // Nobody may be there to read it.
    let _ = io::stdout().write_all(&contents);
    status
}

fn written(speaker: &mut Speaker, path: &Path) -> Ended {
    let mut file = match OpenOptions::new().append(true).create(true).open(path) {
        Ok(file) => file,
        Err(error) => return said(speaker, FileAttempt::Write, path, Err(error), Ended::NotOpened),
    };
    say_where(&file);
    let done = file.write_all(b"runtime-check\n");
    said(speaker, FileAttempt::Write, path, done, Ended::NotWritten)
}

/// The lines about where an object that was opened is (RUNTIME.md part 2).
fn say_where(file: &File) {
    let shown = |name: &str, path: io::Result<Vec<u8>>| match path {
        Ok(path) => eprintln!("{name}:{}", String::from_utf8_lossy(&path)),
        Err(error) => eprintln!("{name}_ERROR:{}", number(&error)),
    };
    shown("F_GETPATH", place(file));
    match place_without_firmlinks(file) {
        Some(path) => shown("F_GETPATH_NOFIRMLINK", path),
        None => eprintln!("F_GETPATH_NOFIRMLINK_UNAVAILABLE"),
    }
}

#[cfg(target_os = "linux")]
fn kernels_path(file: &File) -> io::Result<Vec<u8>> {
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStringExt;
    Ok(std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?.into_os_string().into_vec())
}

/// As F_GETPATH: the spelling at the root.
#[cfg(target_os = "linux")]
fn place(file: &File) -> io::Result<Vec<u8>> {
    let path = kernels_path(file)?;
    let at_root =
        path.strip_prefix(crate::enforce::DATA_VOLUME.as_bytes()).filter(|rest| rest.starts_with(b"/private/"));
    Ok(at_root.map_or(path.clone(), <[u8]>::to_vec))
}

/// As F_GETPATH_NOFIRMLINK: by way of the data volume, where there is one.
#[cfg(target_os = "linux")]
fn place_without_firmlinks(file: &File) -> Option<io::Result<Vec<u8>>> {
    let is_a_macs = Path::new(crate::enforce::DATA_VOLUME).is_dir();
    Some(place(file).map(|path| match path.starts_with(b"/private/") && is_a_macs {
        true => [crate::enforce::DATA_VOLUME.as_bytes(), &path].concat(),
        false => path,
    }))
}

#[cfg(target_os = "macos")]
fn place(file: &File) -> io::Result<Vec<u8>> {
    Ok(rustix::fs::getpath(file)?.into_bytes())
}

#[cfg(target_os = "macos")]
fn place_without_firmlinks(file: &File) -> Option<io::Result<Vec<u8>>> {
    crate::probe::macos::path_without_firmlinks(file)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn place(_: &File) -> io::Result<Vec<u8>> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn place_without_firmlinks(_: &File) -> Option<io::Result<Vec<u8>>> {
    None
}
