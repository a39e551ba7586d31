//! In: calls about files. Out: their results: the object is looked up once, the policy is asked about it,
//! and what is done is done to that object. Never: a path given back to the kernel to be looked up again.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};

use super::judge::{Denied, Facts};
use super::processes;
use super::supervisor::{How, Reply, Task};
use super::system;
use super::walk::{self, Found, Place, kind_of, name_of};

type Done = Result<Reply, Denied>;

const HERE: i32 = libc::AT_FDCWD;

fn raw(error: rustix::io::Errno) -> Denied {
    error.raw_os_error().into()
}

fn system_error(error: std::io::Error) -> Denied {
    system::errno(&error).into()
}

/// Most bytes of an extended attribute, or of a list of them (XATTR_SIZE_MAX, XATTR_LIST_MAX).
const MAX_ATTRIBUTE: usize = 65_536;

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
        Ok(Place { found, last: None, path, is_anonymous, wants_directory: false })
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

/// Writing to the memory of a process outside would be acting there.
fn guard_memory(task: &Task<'_>, place: &Place) -> Result<(), Denied> {
    if place.path.starts_with(b"/proc/")
        && (place.path.ends_with(b"/mem") || place.path.ends_with(b"/clear_refs"))
        && let Some(thread) = walk::process_in(&place.path)
        && processes::process_of(thread) != processes::process_of(task.thread())
    {
        task.supervisor.judge.note(task.thread(), "open", "the memory of another process is not written");
        return Err(libc::EACCES.into());
    }
    Ok(())
}

/// Opens an object again, for use.
fn reopen(found: &Found, flags: i32) -> Result<OwnedFd, Denied> {
    let flags = flags & !(libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW);
    let flags = OFlags::from_bits_retain(flags as u32) | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(name_of(found.object.as_fd()), flags, Mode::empty()).map_err(raw)
}

fn opened(task: &Task<'_>, directory: i32, path: &[u8], flags: i32, mode: u32) -> Done {
    let closes = flags & libc::O_CLOEXEC != 0;
    let follow = flags & libc::O_NOFOLLOW == 0;
    if flags & libc::O_PATH != 0 {
        let place = task.look_up(directory, path, How { follow, ..How::default() })?;
        let found = place.there()?;
        if flags & libc::O_DIRECTORY != 0 && !is(&found.status, FileType::Directory) {
            return Err(libc::ENOTDIR.into());
        }
        task.ask_about("file-read-metadata", &place)?;
        // The kernel passes on no descriptor of a place. The caller may have rewritten the path by now; then
        // it holds a place that it may not look at, and each use of that is asked about again but `fstat`.
        return Ok(Reply::Continue);
    }
    // A file without a name has no path to ask about; programs know what to do without.
    if flags & libc::O_TMPFILE == libc::O_TMPFILE {
        return Err(libc::EOPNOTSUPP.into());
    }
    let writes = flags & libc::O_ACCMODE != libc::O_RDONLY;
    let reads = flags & libc::O_ACCMODE != libc::O_WRONLY;
    let creates = flags & libc::O_CREAT != 0;
    let only_new = creates && flags & libc::O_EXCL != 0;
    // Somebody else may make the file in between.
    for _ in 0..16 {
        let how = How { follow: follow && !only_new, may_be_missing: creates, wants_name: false };
        let place = task.look_up(directory, path, how)?;
        match &place.found {
            Some(_) if only_new => return Err(libc::EEXIST.into()),
            Some(found) => {
                if is(&found.status, FileType::Symlink) {
                    return Err(libc::ELOOP.into());
                }
                let is_directory = is(&found.status, FileType::Directory);
                if is_directory && (writes || creates) {
                    return Err(libc::EISDIR.into());
                }
                if !is_directory && flags & libc::O_DIRECTORY != 0 {
                    return Err(libc::ENOTDIR.into());
                }
                if reads {
                    task.ask_about("file-read-data", &place)?;
                }
                if writes || flags & libc::O_TRUNC != 0 {
                    guard_memory(task, &place)?;
                    task.ask_about("file-write-data", &place)?;
                }
                return Ok(Reply::Descriptor(reopen(found, flags)?, closes));
            }
            None => {
                if place.wants_directory {
                    return Err(libc::EISDIR.into());
                }
                task.ask("file-write-create", &Facts::file(&place.path, Some("REGULAR-FILE")))?;
                let (directory, name) = place.name()?;
                let more = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
                let flags = OFlags::from_bits_retain(flags as u32) | more;
                let mode = Mode::from_raw_mode(mode & 0o7777);
                match task.with_mask(|| rustix::fs::openat(directory, name, flags, mode)) {
                    Ok(file) => return Ok(Reply::Descriptor(file, closes)),
                    Err(Denied { errno: libc::EEXIST, .. }) if !only_new => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Err(libc::EAGAIN.into())
}

fn unsigned(number: i32) -> u32 {
    number.cast_unsigned()
}

/// `open(path, flags, mode)`.
pub fn open(task: &Task<'_>) -> Done {
    opened(task, HERE, &task.string(0)?, task.number(1), unsigned(task.number(2)))
}

/// `creat(path, mode)`.
pub fn creat(task: &Task<'_>) -> Done {
    let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
    opened(task, HERE, &task.string(0)?, flags, unsigned(task.number(1)))
}

/// `openat(directory, path, flags, mode)`.
pub fn openat(task: &Task<'_>) -> Done {
    opened(task, task.number(0), &task.string(1)?, task.number(2), unsigned(task.number(3)))
}

/// `openat2(directory, path, how, size)`. What keeps a lookup within a directory is not offered: programs
/// that want it know kernels without.
pub fn openat2(task: &Task<'_>) -> Done {
    let how = processes::bytes(task.thread(), task.argument(2), 24)?;
    let word = |at: usize| how.get(at..at + 8).and_then(|part| part.try_into().ok()).map_or(0, u64::from_ne_bytes);
    if task.argument(3) < 24 {
        return Err(libc::EINVAL.into());
    }
    if task.argument(3) > 24 || word(16) != 0 {
        return Err(libc::ENOSYS.into());
    }
    let flags = i32::try_from(word(0)).map_err(|_| libc::EINVAL)?;
    let mode = u32::try_from(word(8)).map_err(|_| libc::EINVAL)?;
    opened(task, task.number(0), &task.string(1)?, flags, mode)
}

fn status_of(task: &Task<'_>, place: &Place, into: usize) -> Done {
    task.ask_about("file-read-metadata", place)?;
    let bytes = system::status_bytes(place.there()?.object.as_fd()).map_err(system_error)?;
    task.write(into, &bytes)
}

/// `stat(path, into)`.
pub fn stat(task: &Task<'_>) -> Done {
    status_of(task, &task.object(HERE, 0, true)?, 1)
}

/// `lstat(path, into)`.
pub fn lstat(task: &Task<'_>) -> Done {
    status_of(task, &task.object(HERE, 0, false)?, 1)
}

/// The status of what a caller has open already is its own.
fn is_open_already(task: &Task<'_>, path: usize, flags: i32) -> Result<bool, Denied> {
    Ok(flags & libc::AT_EMPTY_PATH != 0 && (task.argument(path) == 0 || task.string(path)?.is_empty()))
}

/// `newfstatat(directory, path, into, flags)`.
pub fn newfstatat(task: &Task<'_>) -> Done {
    let (directory, flags) = (task.number(0), task.number(3));
    if is_open_already(task, 1, flags)? {
        let place = task.own(directory)?;
        let bytes = system::status_bytes(place.there()?.object.as_fd()).map_err(system_error)?;
        return task.write(2, &bytes);
    }
    status_of(task, &task.object_or_self(directory, 1, flags, libc::AT_SYMLINK_NOFOLLOW)?, 2)
}

/// `statx(directory, path, flags, mask, into)`.
pub fn statx(task: &Task<'_>) -> Done {
    let (directory, flags) = (task.number(0), task.number(2));
    let place = if is_open_already(task, 1, flags)? {
        task.own(directory)?
    } else {
        let place = task.object_or_self(directory, 1, flags, libc::AT_SYMLINK_NOFOLLOW)?;
        task.ask_about("file-read-metadata", &place)?;
        place
    };
    let mask = unsigned(task.number(3));
    let bytes = system::extended_status_bytes(place.there()?.object.as_fd(), flags, mask).map_err(system_error)?;
    task.write(4, &bytes)
}

/// `statfs(path, into)`.
pub fn statfs(task: &Task<'_>) -> Done {
    let place = task.object(HERE, 0, true)?;
    task.ask_about("file-read-metadata", &place)?;
    let bytes = system::file_system_bytes(place.there()?.object.as_fd()).map_err(system_error)?;
    task.write(1, &bytes)
}

fn accessed(task: &Task<'_>, place: &Place, mode: i32, flags: i32) -> Done {
    let found = place.there()?;
    if mode == libc::F_OK {
        task.ask_about("file-test-existence", place)?;
    }
    if mode & libc::R_OK != 0 {
        task.ask_about("file-read-data", place)?;
    }
    if mode & libc::W_OK != 0 {
        task.ask_about("file-write-data", place)?;
    }
    if mode & libc::X_OK != 0 && is(&found.status, FileType::RegularFile) {
        task.ask_about("process-exec*", place)?;
    }
    system::access(found.object.as_fd(), mode, flags & libc::AT_EACCESS).map_err(system_error)?;
    Ok(Reply::Value(0))
}

/// `access(path, mode)`.
pub fn access(task: &Task<'_>) -> Done {
    accessed(task, &task.object(HERE, 0, true)?, task.number(1), 0)
}

/// `faccessat(directory, path, mode)`.
pub fn faccessat(task: &Task<'_>) -> Done {
    accessed(task, &task.object(task.number(0), 1, true)?, task.number(2), 0)
}

/// `faccessat2(directory, path, mode, flags)`.
pub fn faccessat2(task: &Task<'_>) -> Done {
    let flags = task.number(3);
    let place = task.object_or_self(task.number(0), 1, flags, libc::AT_SYMLINK_NOFOLLOW)?;
    accessed(task, &place, task.number(2), flags)
}

fn link_read(task: &Task<'_>, directory: i32, path: usize, into: usize) -> Done {
    let text = task.string(path)?;
    let place = if text.is_empty() { task.own(directory)? } else { task.look_up(directory, &text, How::default())? };
    let found = place.there()?;
    if !is(&found.status, FileType::Symlink) {
        return Err(libc::EINVAL.into());
    }
    let size = task.number(into + 1);
    let size = usize::try_from(size).ok().filter(|size| *size > 0).ok_or(libc::EINVAL)?;
    let mut target = match place.path.as_slice() {
        // Whose own it is: ours would be the supervisor's.
        b"/proc/self" => task.status()?.process.to_string().into_bytes(),
        b"/proc/thread-self" => format!("{}/task/{}", task.status()?.process, task.thread()).into_bytes(),
        _ => {
            task.ask_about("file-read-metadata", &place)?;
            rustix::fs::readlinkat(&found.object, "", Vec::new()).map_err(raw)?.into_bytes()
        }
    };
    target.truncate(size);
    task.write(into, &target)?;
    Ok(Reply::Value(i64::try_from(target.len()).unwrap_or(0)))
}

/// `readlink(path, into, size)`.
pub fn readlink(task: &Task<'_>) -> Done {
    link_read(task, HERE, 0, 1)
}

/// `readlinkat(directory, path, into, size)`.
pub fn readlinkat(task: &Task<'_>) -> Done {
    link_read(task, task.number(0), 1, 2)
}

fn unlinked(task: &Task<'_>, place: &Place, flags: AtFlags) -> Done {
    place.there()?;
    task.ask("file-write-unlink", &place.facts())?;
    let (directory, name) = place.name()?;
    rustix::fs::unlinkat(directory, name, flags).map_err(raw)?;
    Ok(Reply::Value(0))
}

/// `unlink(path)`.
pub fn unlink(task: &Task<'_>) -> Done {
    let place = task.named(HERE, 0, false)?;
    if place.wants_directory {
        return Err(libc::ENOTDIR.into());
    }
    unlinked(task, &place, AtFlags::empty())
}

/// `rmdir(path)`.
pub fn rmdir(task: &Task<'_>) -> Done {
    unlinked(task, &task.named(HERE, 0, false)?, AtFlags::REMOVEDIR)
}

/// `unlinkat(directory, path, flags)`.
pub fn unlinkat(task: &Task<'_>) -> Done {
    let place = task.named(task.number(0), 1, false)?;
    let flags = task.number(2);
    if flags & !libc::AT_REMOVEDIR != 0 {
        return Err(libc::EINVAL.into());
    }
    if flags == 0 && place.wants_directory {
        return Err(libc::ENOTDIR.into());
    }
    unlinked(task, &place, AtFlags::from_bits_retain(unsigned(flags)))
}

fn renamed(task: &Task<'_>, old: &Place, new: &Place, flags: u32) -> Done {
    old.there()?;
    let swaps = flags & libc::RENAME_EXCHANGE != 0;
    if flags & !(libc::RENAME_EXCHANGE | libc::RENAME_NOREPLACE) != 0 {
        return Err(libc::EINVAL.into());
    }
    task.ask("file-write-unlink", &old.facts())?;
    task.ask("file-write-create", &Facts::file(&new.path, old.kind()))?;
    if new.found.is_some() {
        task.ask("file-write-unlink", &new.facts())?;
        if swaps {
            task.ask("file-write-create", &Facts::file(&old.path, new.kind()))?;
        }
    }
    let ((from, old_name), (to, new_name)) = (old.name()?, new.name()?);
    // A slash at the end wants a directory, as it did in what was asked for.
    let slash = |name: &[u8], place: &Place| {
        let mut name = name.to_vec();
        if place.wants_directory {
            name.push(b'/');
        }
        name
    };
    let flags = RenameFlags::from_bits_retain(flags);
    rustix::fs::renameat_with(from, slash(old_name, old), to, slash(new_name, new), flags).map_err(raw)?;
    Ok(Reply::Value(0))
}

/// `rename(old, new)`.
pub fn rename(task: &Task<'_>) -> Done {
    renamed(task, &task.named(HERE, 0, false)?, &task.named(HERE, 1, true)?, 0)
}

/// `renameat(directory, old, directory, new)`.
pub fn renameat(task: &Task<'_>) -> Done {
    renamed(task, &task.named(task.number(0), 1, false)?, &task.named(task.number(2), 3, true)?, 0)
}

/// `renameat2(directory, old, directory, new, flags)`.
pub fn renameat2(task: &Task<'_>) -> Done {
    let flags = unsigned(task.number(4));
    renamed(task, &task.named(task.number(0), 1, false)?, &task.named(task.number(2), 3, true)?, flags)
}

fn linked(task: &Task<'_>, old: &Place, new: &Place) -> Done {
    let found = old.there()?;
    if is(&found.status, FileType::Directory) {
        return Err(libc::EPERM.into());
    }
    if new.found.is_some() {
        return Err(libc::EEXIST.into());
    }
    // What could be had by the new name must be had by the old one (chosen).
    for operation in ["file-link", "file-read-data", "file-write-data"] {
        task.ask(operation, &old.facts())?;
    }
    task.ask("file-write-create", &Facts::file(&new.path, old.kind()))?;
    let (directory, name) = new.name()?;
    let own = name_of(found.object.as_fd());
    rustix::fs::linkat(rustix::fs::CWD, own, directory, name, AtFlags::SYMLINK_FOLLOW).map_err(raw)?;
    Ok(Reply::Value(0))
}

/// `link(old, new)`.
pub fn link(task: &Task<'_>) -> Done {
    linked(task, &task.object(HERE, 0, false)?, &task.named(HERE, 1, true)?)
}

/// `linkat(directory, old, directory, new, flags)`.
pub fn linkat(task: &Task<'_>) -> Done {
    let flags = task.number(4);
    let text = task.string(1)?;
    let old = if text.is_empty() && flags & libc::AT_EMPTY_PATH != 0 {
        task.own(task.number(0))?
    } else {
        let follow = flags & libc::AT_SYMLINK_FOLLOW != 0;
        task.look_up(task.number(0), &text, How { follow, ..How::default() })?
    };
    linked(task, &old, &task.named(task.number(2), 3, true)?)
}

fn new_name<'p>(place: &'p Place) -> Result<(BorrowedFd<'p>, &'p [u8]), Denied> {
    if place.found.is_some() {
        return Err(libc::EEXIST.into());
    }
    place.name()
}

fn symlinked(task: &Task<'_>, target: usize, place: &Place) -> Done {
    let target = task.string(target)?;
    let (directory, name) = new_name(place)?;
    task.ask("file-write-create", &Facts::file(&place.path, Some("SYMLINK")))?;
    rustix::fs::symlinkat(target, directory, name).map_err(raw)?;
    Ok(Reply::Value(0))
}

/// `symlink(target, path)`.
pub fn symlink(task: &Task<'_>) -> Done {
    symlinked(task, 0, &task.named(HERE, 1, true)?)
}

/// `symlinkat(target, directory, path)`.
pub fn symlinkat(task: &Task<'_>) -> Done {
    symlinked(task, 0, &task.named(task.number(1), 2, true)?)
}

fn directory_made(task: &Task<'_>, place: &Place, mode: i32) -> Done {
    let (directory, name) = new_name(place)?;
    task.ask("file-write-create", &Facts::file(&place.path, Some("DIRECTORY")))?;
    let mode = Mode::from_raw_mode(unsigned(mode) & 0o7777);
    task.with_mask(|| rustix::fs::mkdirat(directory, name, mode))?;
    Ok(Reply::Value(0))
}

/// `mkdir(path, mode)`.
pub fn mkdir(task: &Task<'_>) -> Done {
    directory_made(task, &task.named(HERE, 0, true)?, task.number(1))
}

/// `mkdirat(directory, path, mode)`.
pub fn mkdirat(task: &Task<'_>) -> Done {
    directory_made(task, &task.named(task.number(0), 1, true)?, task.number(2))
}

fn node_made(task: &Task<'_>, place: &Place, mode: i32, device: u64) -> Done {
    let (directory, name) = new_name(place)?;
    let mode = unsigned(mode);
    let (kind, sbpl) = match mode & libc::S_IFMT {
        0 | libc::S_IFREG => (FileType::RegularFile, "REGULAR-FILE"),
        libc::S_IFIFO => (FileType::Fifo, "FIFO"),
        libc::S_IFSOCK => (FileType::Socket, "SOCKET"),
        libc::S_IFCHR => (FileType::CharacterDevice, "CHARACTER-DEVICE"),
        libc::S_IFBLK => (FileType::BlockDevice, "BLOCK-DEVICE"),
        _ => return Err(libc::EINVAL.into()),
    };
    let facts = Facts::file(&place.path, Some(sbpl));
    if matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
        task.ask("file-mknod", &facts)?;
    }
    task.ask("file-write-create", &facts)?;
    let mode = Mode::from_raw_mode(mode & 0o7777);
    task.with_mask(|| rustix::fs::mknodat(directory, name, kind, mode, device))?;
    Ok(Reply::Value(0))
}

/// `mknod(path, mode, device)`.
pub fn mknod(task: &Task<'_>) -> Done {
    node_made(task, &task.named(HERE, 0, true)?, task.number(1), task.argument(2))
}

/// `mknodat(directory, path, mode, device)`.
pub fn mknodat(task: &Task<'_>) -> Done {
    node_made(task, &task.named(task.number(0), 1, true)?, task.number(2), task.argument(3))
}

/// `truncate(path, length)`.
pub fn truncate(task: &Task<'_>) -> Done {
    let place = task.object(HERE, 0, true)?;
    let found = place.there()?;
    if is(&found.status, FileType::Directory) {
        return Err(libc::EISDIR.into());
    }
    task.ask_about("file-write-data", &place)?;
    let length = i64::try_from(task.argument(1)).map_err(|_| libc::EINVAL)?;
    let file = reopen(found, libc::O_WRONLY | libc::O_NONBLOCK)?;
    rustix::fs::ftruncate(&file, length.unsigned_abs()).map_err(raw)?;
    Ok(Reply::Value(0))
}

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

/// The object of an attribute call, as a name of ours; attributes of symlinks themselves are not there.
fn attributed(place: &Place) -> Result<String, Denied> {
    let found = place.there()?;
    if is(&found.status, FileType::Symlink) {
        return Err(libc::EOPNOTSUPP.into());
    }
    Ok(name_of(found.object.as_fd()))
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
    let length = rustix::fs::getxattr(attributed(place)?, name, value.as_mut_slice()).map_err(raw)?;
    give(task, 2, value.get(..length).unwrap_or_default())
}

fn attributes_listed(task: &Task<'_>, place: &Place) -> Done {
    ask_attribute(task, "file-read-xattr", place, b"")?;
    let mut list = vec![0u8; MAX_ATTRIBUTE];
    let length = rustix::fs::listxattr(attributed(place)?, list.as_mut_slice()).map_err(raw)?;
    give(task, 1, list.get(..length).unwrap_or_default())
}

fn attribute_written(task: &Task<'_>, place: &Place) -> Done {
    let name = task.string(1)?;
    let size = usize::try_from(task.argument(3)).ok().filter(|size| *size <= MAX_ATTRIBUTE).ok_or(libc::E2BIG)?;
    let value = processes::bytes(task.thread(), task.argument(2), size)?;
    ask_attribute(task, "file-write-xattr", place, &name)?;
    let flags = XattrFlags::from_bits_retain(unsigned(task.number(4)));
    rustix::fs::setxattr(attributed(place)?, name, &value, flags).map_err(raw)?;
    Ok(Reply::Value(0))
}

fn attribute_removed(task: &Task<'_>, place: &Place) -> Done {
    let name = task.string(1)?;
    ask_attribute(task, "file-write-xattr", place, &name)?;
    rustix::fs::removexattr(attributed(place)?, name).map_err(raw)?;
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

/// `inotify_add_watch(queue, path, mask)`.
pub fn inotify_add_watch(task: &Task<'_>) -> Done {
    let mask = unsigned(task.number(2));
    let place = task.object(HERE, 1, mask & libc::IN_DONT_FOLLOW == 0)?;
    task.ask_about("file-read-metadata", &place)?;
    let queue = processes::descriptor(task.thread(), task.number(0))?;
    task.still()?;
    let path = std::ffi::CString::new(attributed(&place)?).map_err(|_| libc::EINVAL)?;
    let number = system::watch(queue.as_fd(), &path, mask & !libc::IN_DONT_FOLLOW).map_err(system_error)?;
    Ok(Reply::Value(number))
}
