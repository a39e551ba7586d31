//! In: calls that ask about files. Out: the answers, in the caller's memory. Never: a change.

use super::*;

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
            // Where what it has open is, a process may know, as by F_GETPATH on a Mac (chosen).
            if !walk::is_own_descriptor(&place, task.thread()) {
                task.ask_about("file-read-metadata", &place)?;
            }
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

/// `inotify_add_watch(queue, path, mask)`.
pub fn inotify_add_watch(task: &Task<'_>) -> Done {
    let mask = unsigned(task.number(2));
    let place = task.object(HERE, 1, mask & libc::IN_DONT_FOLLOW == 0)?;
    task.ask_about("file-read-metadata", &place)?;
    let queue = processes::descriptor(task.thread(), task.number(0))?;
    task.still()?;
    let path = std::ffi::CString::new(held(&place)?).map_err(|_| libc::EINVAL)?;
    let number = system::watch(queue.as_fd(), &path, mask & !libc::IN_DONT_FOLLOW).map_err(system_error)?;
    Ok(Reply::Value(number))
}
