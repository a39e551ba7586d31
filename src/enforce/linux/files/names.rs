//! In: calls that make, remove or move names. Out: the changes, in the directories that were looked up.
//! Never: what lies in the files.

use super::*;

fn removed(task: &Task<'_>, place: &Place, flags: AtFlags) -> Done {
    task.ask("file-write-unlink", &place.facts())?;
    let (directory, name) = place.name()?;
    rustix::fs::unlinkat(directory, name, flags).map_err(raw)?;
    Ok(Reply::Value(0))
}

fn unlinked(task: &Task<'_>, place: &Place) -> Done {
    if place.end != End::Name {
        return Err(libc::EISDIR.into());
    }
    let found = place.there()?;
    if place.slash {
        return Err(if is(&found.status, FileType::Directory) { libc::EISDIR } else { libc::ENOTDIR }.into());
    }
    removed(task, place, AtFlags::empty())
}

fn directory_removed(task: &Task<'_>, place: &Place) -> Done {
    match place.end {
        End::Name => {}
        End::Dot => return Err(libc::EINVAL.into()),
        End::Parent => return Err(libc::ENOTEMPTY.into()),
        End::Root => return Err(libc::EBUSY.into()),
    }
    // What is no directory the kernel refuses itself, after it looked whether it may be removed at all.
    place.there()?;
    removed(task, place, AtFlags::REMOVEDIR)
}

/// `unlink(path)`.
pub fn unlink(task: &Task<'_>) -> Done {
    unlinked(task, &task.named(HERE, 0, false)?)
}

/// `rmdir(path)`.
pub fn rmdir(task: &Task<'_>) -> Done {
    directory_removed(task, &task.named(HERE, 0, false)?)
}

/// `unlinkat(directory, path, flags)`.
pub fn unlinkat(task: &Task<'_>) -> Done {
    let flags = task.number(2);
    if flags & !libc::AT_REMOVEDIR != 0 {
        return Err(libc::EINVAL.into());
    }
    let place = task.named(task.number(0), 1, false)?;
    if flags == 0 { unlinked(task, &place) } else { directory_removed(task, &place) }
}

fn renamed(task: &Task<'_>, old: &Place, new: &Place, flags: u32) -> Done {
    if old.end != End::Name {
        return Err(libc::EBUSY.into());
    }
    if new.end != End::Name {
        let keeps = flags & libc::RENAME_NOREPLACE != 0;
        return Err(if keeps { libc::EEXIST } else { libc::EBUSY }.into());
    }
    old.there()?;
    task.ask("file-write-unlink", &old.facts())?;
    task.ask("file-write-create", &Facts::file(&new.path, old.kind()))?;
    if new.found.is_some() {
        task.ask("file-write-unlink", &new.facts())?;
        if flags & libc::RENAME_EXCHANGE != 0 {
            task.ask("file-write-create", &Facts::file(&old.path, new.kind()))?;
        }
    }
    let ((from, old_name), (to, new_name)) = (old.name()?, new.name()?);
    // What a slash at the end means is the kernel's to say.
    let slash = |name: &[u8], place: &Place| {
        let mut name = name.to_vec();
        if place.slash {
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
    renamed(task, &task.named(HERE, 0, true)?, &task.named(HERE, 1, true)?, 0)
}

/// `renameat(directory, old, directory, new)`.
pub fn renameat(task: &Task<'_>) -> Done {
    renamed(task, &task.named(task.number(0), 1, true)?, &task.named(task.number(2), 3, true)?, 0)
}

/// `renameat2(directory, old, directory, new, flags)`.
pub fn renameat2(task: &Task<'_>) -> Done {
    let flags = unsigned(task.number(4));
    // RENAME_WHITEOUT is for file systems.
    let both = libc::RENAME_EXCHANGE | libc::RENAME_NOREPLACE;
    if flags & !both != 0 || flags == both {
        return Err(libc::EINVAL.into());
    }
    renamed(task, &task.named(task.number(0), 1, true)?, &task.named(task.number(2), 3, true)?, flags)
}

fn linked(task: &Task<'_>, old: &Place, new: &Place) -> Done {
    let found = old.there()?;
    let (directory, name) = new_name(new)?;
    // What could be had by the new name must be had by the old one (chosen).
    for operation in ["file-link", "file-read-data", "file-write-data"] {
        task.ask(operation, &old.facts())?;
    }
    task.ask("file-write-create", &Facts::file(&new.path, old.kind()))?;
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

/// A name that is about to be taken, by something else than a directory.
fn new_name(place: &Place) -> Result<(BorrowedFd<'_>, &[u8]), Denied> {
    let taken = new_directory_name(place)?;
    if place.slash { Err(libc::ENOENT.into()) } else { Ok(taken) }
}

fn new_directory_name(place: &Place) -> Result<(BorrowedFd<'_>, &[u8]), Denied> {
    if place.end != End::Name || place.found.is_some() {
        return Err(libc::EEXIST.into());
    }
    place.name()
}

fn symlinked(task: &Task<'_>, target: usize, place: &Place) -> Done {
    let target = task.string(target)?;
    if target.is_empty() {
        return Err(libc::ENOENT.into());
    }
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
    let (directory, name) = new_directory_name(place)?;
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

/// What a mode asks `mknod` for, which is looked at before the path is.
fn node_of(mode: u32) -> Result<(FileType, &'static str), Denied> {
    Ok(match mode & libc::S_IFMT {
        0 | libc::S_IFREG => (FileType::RegularFile, "REGULAR-FILE"),
        libc::S_IFIFO => (FileType::Fifo, "FIFO"),
        libc::S_IFSOCK => (FileType::Socket, "SOCKET"),
        libc::S_IFCHR => (FileType::CharacterDevice, "CHARACTER-DEVICE"),
        libc::S_IFBLK => (FileType::BlockDevice, "BLOCK-DEVICE"),
        libc::S_IFDIR => return Err(libc::EPERM.into()),
        _ => return Err(libc::EINVAL.into()),
    })
}

fn node_made(task: &Task<'_>, from: i32, path: usize) -> Done {
    let (mode, device) = (unsigned(task.number(path + 1)), task.argument(path + 2));
    let (kind, sbpl) = node_of(mode)?;
    let place = task.named(from, path, true)?;
    let (directory, name) = new_name(&place)?;
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
    node_made(task, HERE, 0)
}

/// `mknodat(directory, path, mode, device)`.
pub fn mknodat(task: &Task<'_>) -> Done {
    node_made(task, task.number(0), 1)
}
