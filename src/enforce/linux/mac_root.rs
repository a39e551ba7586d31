//! In: the file system of a Linux host. Out: [`enter`]: a root of this process's own in the shape of a
//! Mac's, with the host's files in it, so that what a profile says of `/private/tmp` is about the host's
//! `/tmp`. Never: a change that others see; all of it ends with the process.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};

/// Where a Mac has its data volume.
pub const DATA_VOLUME: &str = "/System/Volumes/Data";

/// Directories that a Mac has in `/private`, with symlinks at the root.
const PRIVATE: [&str; 3] = ["tmp", "var", "etc"];

static ENTERED: AtomicBool = AtomicBool::new(false);

/// Whether this process has such a root.
pub fn is_entered() -> bool {
    ENTERED.load(Ordering::Relaxed)
}

/// Changes to such a root, and to the same working directory in it. To be called by a process with one
/// thread.
///
/// # Errors
/// EPERM where the system keeps ordinary users from spaces of their own.
pub fn enter() -> io::Result<()> {
    let here = std::env::current_dir()?;
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    let is_root = user.is_root();
    super::system::own_mounts(!is_root)?;
    if !is_root {
        // The same user inside as outside.
        std::fs::write("/proc/self/setgroups", "deny")?;
        std::fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
        std::fs::write("/proc/self/gid_map", format!("{group} {group} 1"))?;
    }
    // Nothing of this is seen outside.
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let directories = entries(Path::new("/"))?;
    // Some directory; it is covered by what is mounted on it.
    let new = ["/tmp", "/mnt", "/var", "/usr"].map(PathBuf::from).into_iter().find(|path| path.is_dir());
    let new = new.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let old = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    // The host's own directories, each a mount that is nowhere yet: the new root covers one of them.
    let mut held = Vec::new();
    for name in &directories {
        let kept = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let object = rustix::fs::openat(&old, name.as_str(), kept, Mode::empty())?;
        let status = rustix::fs::fstat(&object)?;
        let kind = FileType::from_raw_mode(status.st_mode);
        let object = if kind == FileType::Symlink { object } else { cloned(&object)? };
        held.push((name, kind, object));
    }
    rustix::mount::mount("tmpfs", &new, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=0755,size=1m"))?;
    let private = new.join("private");
    std::fs::create_dir(&private)?;
    for (name, kind, object) in &held {
        let at = if PRIVATE.contains(&name.as_str()) { private.join(name) } else { new.join(name) };
        match kind {
            FileType::Symlink => {
                rustix::fs::symlink(rustix::fs::readlinkat(object, "", Vec::new())?, &at)?;
                continue;
            }
            FileType::Directory => std::fs::create_dir(&at)?,
            _ => std::fs::write(&at, b"")?,
        }
        rustix::mount::move_mount(object, "", rustix::fs::CWD, &at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    }
    for name in PRIVATE {
        let at = private.join(name);
        if !at.exists() {
            std::fs::create_dir(&at)?;
        }
        rustix::fs::symlink(format!("private/{name}"), new.join(name))?;
    }
    let data = new.join(&DATA_VOLUME[1..]);
    std::fs::create_dir_all(data.join("private"))?;
    let tree = rustix::fs::open(&private, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(cloned(&tree)?, "", rustix::fs::CWD, data.join("private"), flags)?;
    rustix::process::chdir(&new)?;
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    drop(held);
    ENTERED.store(true, Ordering::Relaxed);
    // The directory is where it was, by way of the symlinks.
    rustix::process::chdir(&here).or_else(|_| rustix::process::chdir("/"))?;
    Ok(())
}

/// A mount of its own of what a descriptor holds, with all that is mounted in it.
fn cloned(object: &OwnedFd) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    Ok(rustix::mount::open_tree(object, "", flags)?)
}

fn entries(directory: &Path) -> io::Result<Vec<String>> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        // A name that is no text has no place in a profile.
        out.extend(entry?.file_name().into_string().ok().filter(|name| name != "private" && name != "System"));
    }
    out.sort();
    Ok(out)
}
