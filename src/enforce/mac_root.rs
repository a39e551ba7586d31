//! In: the file system of a Linux host. Out: [`enter`]: a root of this process's own in the shape of a
//! Mac's, with the host's files in it, so that what a profile says of `/private/tmp` is about the host's
//! `/tmp`. Never: a change that others see; all of it ends with the process.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

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
    system_mounts(is_root)?;
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
    let old = rustix::fs::open("/", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty())?;
    // The host's own directories, held by descriptors: the new root covers one of them.
    let mut held = Vec::new();
    for name in &directories {
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::NOFOLLOW;
        held.push((name, rustix::fs::openat(&old, name.as_str(), flags, rustix::fs::Mode::empty())?));
    }
    rustix::mount::mount("tmpfs", &new, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=0755,size=1m"))?;
    let private = new.join("private");
    std::fs::create_dir(&private)?;
    for (name, directory) in &held {
        let status = rustix::fs::fstat(directory)?;
        let at = if PRIVATE.contains(&name.as_str()) { private.join(name) } else { new.join(name) };
        let own = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(directory));
        match rustix::fs::FileType::from_raw_mode(status.st_mode) {
            rustix::fs::FileType::Directory => {
                std::fs::create_dir(&at)?;
                rustix::mount::mount_bind_recursive(&own, &at)?;
            }
            rustix::fs::FileType::Symlink => {
                let target = rustix::fs::readlinkat(directory, "", Vec::new())?;
                rustix::fs::symlink(target, &at)?;
            }
            _ => {
                std::fs::write(&at, b"")?;
                rustix::mount::mount_bind(&own, &at)?;
            }
        }
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
    rustix::mount::mount_bind_recursive(&private, data.join("private"))?;
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

fn system_mounts(is_root: bool) -> io::Result<()> {
    super::system::own_mounts(!is_root)
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
