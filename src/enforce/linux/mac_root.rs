//! In: the file system of a Linux host. Out: [`enter`]: a root of this process's own in the shape of a
//! Mac's, with the host's files in it, so that what a profile says of `/private/tmp` is about the host's
//! `/tmp`, or about a directory that stands for `/private`. Never: a change that others see; all of it ends
//! with the process.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::enforce::{DATA_VOLUME, World};

/// Directories that a Mac has in `/private`, with symlinks at the root.
const PRIVATE: [&str; 3] = ["tmp", "var", "etc"];

/// Whether this process has such a root: there is no other with one `/private` at two places.
pub fn is_entered() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        let identity = |path: &str| rustix::fs::stat(path).ok().map(|status| (status.st_dev, status.st_ino));
        let private = identity("/private");
        private.is_some() && private == identity(&format!("{DATA_VOLUME}/private"))
    })
}

/// Changes to a world, and to the same working directory in it. To be called by a process with one thread.
///
/// # Errors
/// EPERM where the system keeps ordinary users from spaces of their own.
pub fn enter(world: &World) -> io::Result<()> {
    let staged = match world {
        World::Host => return Ok(()),
        World::MacRoot => None,
        World::Staged(private) => Some(private),
    };
    let here = std::env::current_dir()?;
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    let is_root = user.is_root();
    own_mounts(!is_root)?;
    if !is_root {
        // The same user inside as outside.
        std::fs::write("/proc/self/setgroups", "deny")?;
        std::fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
        std::fs::write("/proc/self/gid_map", format!("{group} {group} 1"))?;
    }
    // Nothing of this is seen outside.
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    // Of these mounts, and before any of them is covered.
    let place = |path: &PathBuf| rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let staged = staged.map(place).transpose()?;
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
    if let Some(staged) = &staged {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(cloned(staged)?, "", rustix::fs::CWD, &private, flags)?;
    }
    for (name, kind, object) in &held {
        if staged.is_some() && PRIVATE.contains(&name.as_str()) {
            continue;
        }
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
    // The directory is where it was, by way of the symlinks.
    rustix::process::chdir(&here).or_else(|_| rustix::process::chdir("/"))?;
    if !is_root {
        // Who makes a user namespace has every right in it, also over the files of this user that he may not open.
        rustix::thread::set_capabilities(None, NO_RIGHTS)?;
    }
    Ok(())
}

const NO_RIGHTS: CapabilitySets = CapabilitySets {
    effective: CapabilitySet::empty(),
    permitted: CapabilitySet::empty(),
    inheritable: CapabilitySet::empty(),
};

/// Mounts of this process's own. A thread that has just ended counts for a moment still; such a process gets
/// EINVAL.
fn own_mounts(users: bool) -> io::Result<()> {
    for _ in 0..100 {
        match super::system::own_mounts(users) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            done => return done,
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    super::system::own_mounts(users)
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
