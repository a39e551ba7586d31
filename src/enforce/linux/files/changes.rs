//! In: calls that change what a file says of itself, or read its attributes. Out: the results. Never: its
//! contents.

use super::*;

/// Most bytes of an extended attribute, or of a list of them (XATTR_SIZE_MAX, XATTR_LIST_MAX).
const MAX_ATTRIBUTE: usize = 65_536;

fn mode_changed(task: &Task<'_>, place: &Place, mode: i32) -> Done {
    let found = place.there()?;
    let mode = unsigned(mode) & 0o7777;
    if is(&found.status, FileType::Symlink) {
        return Err(libc::EOPNOTSUPP.into());
    }
    if !place.is_anonymous {
        let number = u16::try_from(mode).unwrap_or(0);
        let facts = Facts { numbers: vec![("file-mode", number)], ..place.facts() };
        task.ask("file-write-mode", &facts)?;
        if mode & 0o6000 != 0 {
            task.ask("file-write-setugid", &facts)?;
        }
    }
    rustix::fs::chmod(name_of(found.object.as_fd()), Mode::from_raw_mode(mode)).map_err(raw)?;
    Ok(Reply::Value(0))
}

/// `chmod(path, mode)`.
pub fn chmod(task: &Task<'_>) -> Done {
    mode_changed(task, &task.object(HERE, 0, true)?, task.number(1))
}

/// `fchmod(descriptor, mode)`.
pub fn fchmod(task: &Task<'_>) -> Done {
    mode_changed(task, &task.open_already(task.number(0))?, task.number(1))
}

/// `fchmodat(directory, path, mode)`.
pub fn fchmodat(task: &Task<'_>) -> Done {
    mode_changed(task, &task.object(task.number(0), 1, true)?, task.number(2))
}

/// `fchmodat2(directory, path, mode, flags)`.
pub fn fchmodat2(task: &Task<'_>) -> Done {
    let place = task.object_or_self(task.number(0), 1, task.number(3), libc::AT_SYMLINK_NOFOLLOW)?;
    mode_changed(task, &place, task.number(2))
}

fn owner_changed(task: &Task<'_>, place: &Place, owner: usize) -> Done {
    task.ask_about("file-write-owner", place)?;
    let number = |at: usize| Some(unsigned(task.number(at))).filter(|number| *number != u32::MAX);
    let (user, group) = (number(owner).map(Uid::from_raw), number(owner + 1).map(Gid::from_raw));
    rustix::fs::chownat(&place.there()?.object, "", user, group, AtFlags::EMPTY_PATH).map_err(raw)?;
    Ok(Reply::Value(0))
}

/// `chown(path, user, group)`.
pub fn chown(task: &Task<'_>) -> Done {
    owner_changed(task, &task.object(HERE, 0, true)?, 1)
}

/// `lchown(path, user, group)`.
pub fn lchown(task: &Task<'_>) -> Done {
    owner_changed(task, &task.object(HERE, 0, false)?, 1)
}

/// `fchown(descriptor, user, group)`.
pub fn fchown(task: &Task<'_>) -> Done {
    owner_changed(task, &task.open_already(task.number(0))?, 1)
}

/// `fchownat(directory, path, user, group, flags)`.
pub fn fchownat(task: &Task<'_>) -> Done {
    let place = task.object_or_self(task.number(0), 1, task.number(4), libc::AT_SYMLINK_NOFOLLOW)?;
    owner_changed(task, &place, 2)
}

const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: libc::UTIME_NOW };

/// Two times of the caller, each of two numbers; `unit`: nanoseconds in one of the second number.
fn times(task: &Task<'_>, argument: usize, unit: i64) -> Result<Timestamps, Denied> {
    if task.argument(argument) == 0 {
        return Ok(Timestamps { last_access: NOW, last_modification: NOW });
    }
    let bytes = processes::bytes(task.thread(), task.argument(argument), 32)?;
    let word = |at: usize| bytes.get(at..at + 8).and_then(|part| part.try_into().ok()).map_or(0, i64::from_ne_bytes);
    let time = |at: usize| -> Result<Timespec, Denied> {
        let tv_nsec = word(at + 8).checked_mul(unit).ok_or(libc::EINVAL)?;
        Ok(Timespec { tv_sec: word(at), tv_nsec })
    };
    Ok(Timestamps { last_access: time(0)?, last_modification: time(16)? })
}

fn times_changed(task: &Task<'_>, place: &Place, times: &Timestamps) -> Done {
    task.ask_about("file-write-times", place)?;
    rustix::fs::utimensat(&place.there()?.object, "", times, AtFlags::EMPTY_PATH).map_err(raw)?;
    Ok(Reply::Value(0))
}

/// `utimensat(directory, path, times, flags)`.
pub fn utimensat(task: &Task<'_>) -> Done {
    let (directory, flags) = (task.number(0), task.number(3));
    let times = times(task, 2, 1)?;
    let place = if task.argument(1) == 0 && directory != HERE {
        task.own(directory)?
    } else {
        task.object_or_self(directory, 1, flags, libc::AT_SYMLINK_NOFOLLOW)?
    };
    times_changed(task, &place, &times)
}

/// `utimes(path, times)`.
pub fn utimes(task: &Task<'_>) -> Done {
    times_changed(task, &task.object(HERE, 0, true)?, &times(task, 1, 1000)?)
}

/// `futimesat(directory, path, times)`.
pub fn futimesat(task: &Task<'_>) -> Done {
    let times = times(task, 2, 1000)?;
    let directory = task.number(0);
    let place = if task.argument(1) == 0 { task.own(directory)? } else { task.object(directory, 1, true)? };
    times_changed(task, &place, &times)
}

/// `utime(path, times)`.
pub fn utime(task: &Task<'_>) -> Done {
    let place = task.object(HERE, 0, true)?;
    let times = if task.argument(1) == 0 {
        Timestamps { last_access: NOW, last_modification: NOW }
    } else {
        let bytes = processes::bytes(task.thread(), task.argument(1), 16)?;
        let word =
            |at: usize| bytes.get(at..at + 8).and_then(|part| part.try_into().ok()).map_or(0, i64::from_ne_bytes);
        let time = |at| Timespec { tv_sec: word(at), tv_nsec: 0 };
        Timestamps { last_access: time(0), last_modification: time(8) }
    };
    times_changed(task, &place, &times)
}

fn ask_attribute(task: &Task<'_>, operation: &str, place: &Place, name: &[u8]) -> Result<(), Denied> {
    if place.is_anonymous {
        return Ok(());
    }
    let texts = if name.is_empty() { Vec::new() } else { vec![("xattr", name)] };
    task.ask(operation, &Facts { texts, ..place.facts() })
}

fn give(task: &Task<'_>, into: usize, bytes: &[u8]) -> Done {
    let size = usize::try_from(task.argument(into + 1)).map_err(|_| libc::EINVAL)?;
    if size != 0 {
        if bytes.len() > size {
            return Err(libc::ERANGE.into());
        }
        task.write(into, bytes)?;
    }
    Ok(Reply::Value(i64::try_from(bytes.len()).unwrap_or(0)))
}

fn attribute_read(task: &Task<'_>, place: &Place) -> Done {
    let name = task.string(1)?;
    ask_attribute(task, "file-read-xattr", place, &name)?;
    let mut value = vec![0u8; MAX_ATTRIBUTE];
    let length = rustix::fs::getxattr(held(place)?, name, value.as_mut_slice()).map_err(raw)?;
    give(task, 2, value.get(..length).unwrap_or_default())
}

fn attributes_listed(task: &Task<'_>, place: &Place) -> Done {
    ask_attribute(task, "file-read-xattr", place, b"")?;
    let mut list = vec![0u8; MAX_ATTRIBUTE];
    let length = rustix::fs::listxattr(held(place)?, list.as_mut_slice()).map_err(raw)?;
    give(task, 1, list.get(..length).unwrap_or_default())
}

fn attribute_written(task: &Task<'_>, place: &Place) -> Done {
    let name = task.string(1)?;
    let size = usize::try_from(task.argument(3)).ok().filter(|size| *size <= MAX_ATTRIBUTE).ok_or(libc::E2BIG)?;
    let value = processes::bytes(task.thread(), task.argument(2), size)?;
    ask_attribute(task, "file-write-xattr", place, &name)?;
    let flags = XattrFlags::from_bits_retain(unsigned(task.number(4)));
    rustix::fs::setxattr(held(place)?, name, &value, flags).map_err(raw)?;
    Ok(Reply::Value(0))
}

fn attribute_removed(task: &Task<'_>, place: &Place) -> Done {
    let name = task.string(1)?;
    ask_attribute(task, "file-write-xattr", place, &name)?;
    rustix::fs::removexattr(held(place)?, name).map_err(raw)?;
    Ok(Reply::Value(0))
}

macro_rules! attributes {
    ($($name:ident $at_link:ident $at_open:ident $work:ident $text:literal;)*) => { $(
        #[doc = $text]
        pub fn $name(task: &Task<'_>) -> Done {
            $work(task, &task.object(HERE, 0, true)?)
        }
        #[doc = $text]
        pub fn $at_link(task: &Task<'_>) -> Done {
            $work(task, &task.object(HERE, 0, false)?)
        }
        #[doc = $text]
        pub fn $at_open(task: &Task<'_>) -> Done {
            $work(task, &task.open_already(task.number(0))?)
        }
    )* };
}

attributes! {
    getxattr lgetxattr fgetxattr attribute_read "`getxattr(path, name, into, size)` and its kin.";
    listxattr llistxattr flistxattr attributes_listed "`listxattr(path, into, size)` and its kin.";
    setxattr lsetxattr fsetxattr attribute_written "`setxattr(path, name, value, size, flags)` and its kin.";
    removexattr lremovexattr fremovexattr attribute_removed "`removexattr(path, name)` and its kin.";
}
