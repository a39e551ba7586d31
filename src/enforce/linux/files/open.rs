//! In: calls that open files, or cut them. Out: descriptors. Never: an object that was not asked about.

use super::*;

/// Writing to the memory of a process outside would be acting there.
fn guard_memory(task: &Task<'_>, found: &Found, path: &[u8]) -> Result<(), Denied> {
    if !path.ends_with(b"/mem") && !path.ends_with(b"/clear_refs") {
        return Ok(());
    }
    let own = processes::process_of(task.thread());
    let processes = walk::processes_in(found.object.as_fd(), path);
    if processes.into_iter().any(|thread| processes::process_of(thread) != own) {
        task.supervisor.judge.note(task.thread(), task.name(), "the memory of another process is not written");
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
        // No file has a name that ends so.
        if creates && place.slash && place.end == End::Name {
            return Err(libc::EISDIR.into());
        }
        match &place.found {
            Some(_) if only_new => return Err(libc::EEXIST.into()),
            Some(found) => {
                let is_directory = is(&found.status, FileType::Directory);
                if is_directory && creates {
                    return Err(libc::EISDIR.into());
                }
                if !is_directory && flags & libc::O_DIRECTORY != 0 {
                    return Err(libc::ENOTDIR.into());
                }
                if is(&found.status, FileType::Symlink) {
                    return Err(libc::ELOOP.into());
                }
                if is_directory && writes {
                    return Err(libc::EISDIR.into());
                }
                if reads {
                    task.ask_about("file-read-data", &place)?;
                }
                if writes || flags & libc::O_TRUNC != 0 {
                    guard_memory(task, found, &place.path)?;
                    task.ask_about("file-write-data", &place)?;
                }
                // A pipe waits for its other end, a device for whatever it likes; the rest is there.
                let waits = flags & libc::O_NONBLOCK == 0 && !is_directory && !is(&found.status, FileType::RegularFile);
                let file = if waits { task.waiting(|| reopen(found, flags))?? } else { reopen(found, flags)? };
                return Ok(Reply::Descriptor(file, closes));
            }
            None => {
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

/// `truncate(path, length)`.
pub fn truncate(task: &Task<'_>) -> Done {
    let place = task.object(HERE, 0, true)?;
    let found = place.there()?;
    if is(&found.status, FileType::Directory) {
        return Err(libc::EISDIR.into());
    }
    if !is(&found.status, FileType::RegularFile) {
        return Err(libc::EINVAL.into());
    }
    task.ask_about("file-write-data", &place)?;
    let length = i64::try_from(task.argument(1)).map_err(|_| libc::EINVAL)?;
    let file = reopen(found, libc::O_WRONLY | libc::O_NONBLOCK)?;
    rustix::fs::ftruncate(&file, length.unsigned_abs()).map_err(raw)?;
    Ok(Reply::Value(0))
}
