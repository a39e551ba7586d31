//! In: a thread that made a call. Out: what is known about it and its process. Never: changes to it.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};

use super::system::{Credentials, Errno, errno};

/// What `/proc` says of a thread.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its process.
    pub process: u32,
    /// The process that started that one.
    pub parent: u32,
    /// The mask for new files.
    pub mask: u32,
    /// Who it acts as.
    pub credentials: Credentials,
    /// Whose signals it takes: those of its real and of its saved user.
    pub real_and_saved: [u32; 2],
}

/// With room for all of it: such a file has no length, so it would be read in pieces of 32 bytes at first.
fn status_text(thread: u32) -> Option<String> {
    use std::io::Read;
    let mut text = String::with_capacity(4096);
    std::fs::File::open(format!("/proc/{thread}/status")).ok()?.read_to_string(&mut text).ok()?;
    Some(text)
}

/// The status of a thread; nothing where it is gone.
#[must_use]
pub fn status(thread: u32) -> Option<Status> {
    let text = status_text(thread)?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    // Real, effective, saved, and the one for files.
    let last = |name: &str| field(name)?.split_whitespace().nth(3)?.parse().ok();
    let pair = |name: &str| {
        let mut numbers = field(name)?.split_whitespace().map_while(|number| number.parse().ok());
        Some([numbers.next()?, numbers.next()?])
    };
    Some(Status {
        process: field("Tgid")?.parse().ok()?,
        parent: field("PPid")?.parse().ok()?,
        mask: u32::from_str_radix(field("Umask")?, 8).ok()?,
        real_and_saved: {
            let mut numbers = field("Uid")?.split_whitespace().map_while(|number| number.parse().ok());
            [numbers.next()?, numbers.nth(1)?]
        },
        credentials: Credentials {
            user: last("Uid")?,
            group: last("Gid")?,
            users: pair("Uid")?,
            group_pair: pair("Gid")?,
            groups: field("Groups")?.split_whitespace().filter_map(|group| group.parse().ok()).collect(),
            capabilities: u64::from_str_radix(field("CapEff")?, 16).ok()?,
        },
    })
}

/// The process of a thread.
#[must_use]
pub fn process_of(thread: u32) -> Option<u32> {
    let text = status_text(thread)?;
    text.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

/// The program that a process runs, by its path.
#[must_use]
pub fn program_of(thread: u32) -> Option<Vec<u8>> {
    let path = std::fs::read_link(format!("/proc/{thread}/exe")).ok()?;
    Some(std::os::unix::ffi::OsStringExt::into_vec(path.into_os_string()))
}

/// The name by which the kernel was asked for the program of a process (AT_EXECFN). Only of use before that
/// program's first instruction.
///
/// # Errors
/// EIO where the kernel tells of none.
pub fn name_given(thread: u32) -> Result<Vec<u8>, Errno> {
    let read = || std::fs::read(format!("/proc/{thread}/auxv"));
    let vector = super::system::looking_into(read).map_err(|error| errno(&error))?;
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
    let entry = vector.chunks_exact(16).map(|entry| entry.split_at(8)).find(|(kind, _)| word(kind) == libc::AT_EXECFN);
    string(thread, word(entry.ok_or(libc::EIO)?.1))
}

/// A descriptor of a thread, as one of ours: the same open file.
///
/// # Errors
/// EBADF where it has none of that number.
pub fn descriptor(thread: u32, number: i32) -> Result<OwnedFd, Errno> {
    let raw = |error: rustix::io::Errno| error.raw_os_error();
    let pid = |number: u32| i32::try_from(number).ok().and_then(Pid::from_raw).ok_or(libc::ESRCH);
    // By the thread itself where the kernel can; else by its process, with which it nearly always shares
    // its descriptors.
    let by = match rustix::process::pidfd_open(pid(thread)?, PidfdFlags::from_bits_retain(libc::O_EXCL as u32)) {
        Ok(by) => by,
        Err(_) => {
            let process = process_of(thread).ok_or(libc::ESRCH)?;
            rustix::process::pidfd_open(pid(process)?, PidfdFlags::empty()).map_err(raw)?
        }
    };
    super::system::looking_into(|| rustix::process::pidfd_getfd(by, number, PidfdGetfdFlags::empty())).map_err(raw)
}

/// The directory that a path of a thread starts from: its working directory, or what it has open.
///
/// # Errors
/// EBADF, ENOTDIR.
pub fn directory(thread: u32, number: i32) -> Result<OwnedFd, Errno> {
    let path = match number {
        libc::AT_FDCWD => format!("/proc/{thread}/cwd"),
        number if number < 0 => return Err(libc::EBADF),
        number => format!("/proc/{thread}/fd/{number}"),
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    super::system::looking_into(|| rustix::fs::open(path, flags, Mode::empty())).map_err(|error| {
        match error.raw_os_error() {
            libc::ENOENT => libc::EBADF,
            other => other,
        }
    })
}

/// A string of a thread, at most as long as a path may be.
///
/// # Errors
/// EFAULT, ENAMETOOLONG.
pub fn string(thread: u32, address: u64) -> Result<Vec<u8>, Errno> {
    let mut out = Vec::new();
    let mut at = address;
    // A piece ends where its page does: the next one may not be there.
    let mut buffer = [0u8; 4096];
    while out.len() < PATH_MAX {
        let room = 4096 - usize::try_from(at % 4096).unwrap_or(0);
        let room = room.min(if out.is_empty() { 256 } else { 4096 });
        let piece = buffer.get_mut(..room).ok_or(libc::EFAULT)?;
        let count = super::system::looking_into(|| super::system::read_memory(thread, at, piece))
            .map_err(|error| errno(&error))?;
        let read = piece.get(..count).ok_or(libc::EFAULT)?;
        if let Some(end) = read.iter().position(|byte| *byte == 0) {
            out.extend(read.iter().take(end));
            return if out.len() < PATH_MAX { Ok(out) } else { Err(libc::ENAMETOOLONG) };
        }
        if count == 0 {
            return Err(libc::EFAULT);
        }
        out.extend(read);
        at = at.checked_add(count as u64).ok_or(libc::EFAULT)?;
    }
    Err(libc::ENAMETOOLONG)
}

/// Most bytes of a path with its end.
pub const PATH_MAX: usize = 4096;

/// Bytes of a thread's memory, all of them. `length` is bounded by the caller.
///
/// # Errors
/// EFAULT.
pub fn bytes(thread: u32, address: u64, length: usize) -> Result<Vec<u8>, Errno> {
    let mut out = vec![0; length];
    let mut done = 0;
    while done < length {
        let rest = out.get_mut(done..).ok_or(libc::EFAULT)?;
        let at = address.checked_add(done as u64).ok_or(libc::EFAULT)?;
        match super::system::looking_into(|| super::system::read_memory(thread, at, rest)) {
            Ok(0) => return Err(libc::EFAULT),
            Ok(count) => done += count,
            Err(error) => return Err(errno(&error)),
        }
    }
    Ok(out)
}

/// Writes to a thread's memory.
///
/// # Errors
/// EFAULT.
pub fn write(thread: u32, address: u64, bytes: &[u8]) -> Result<(), Errno> {
    super::system::looking_into(|| super::system::write_memory(thread, address, bytes))
        .map_err(|error: io::Error| errno(&error))
}
