//! In: a path of another process. Out: the object it leads to, held by a descriptor, and its one spelling.
//! Never: a look at the same name twice; what was looked up is what is used.
//!
//! As on a Mac, each symlink on the way asks for file-read-metadata on its own path (RUNTIME.md part 3).
//! Those that every Linux has where a Mac has directories ask nothing (chosen): `/bin` to `/usr/bin` and
//! the like, `/proc/self`.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};

use super::judge::Denied;
use super::processes::PATH_MAX;
use super::system::Errno;

/// As MAXSYMLINKS.
const MAX_LINKS: usize = 40;

/// Inode of the root of a proc file system.
const PROC_ROOT: u64 = 1;

/// An object of the file system.
pub struct Found {
    /// Opened for its place only.
    pub object: OwnedFd,
    /// Its status.
    pub status: Stat,
}

/// Where a path leads.
pub struct Place {
    /// What is there; nothing where there is nothing.
    pub found: Option<Found>,
    /// The directory of its last component, and that component; nothing where the path ends in no name
    /// (`/`, `..`, a magic link).
    pub last: Option<(OwnedFd, Vec<u8>)>,
    /// Its one spelling: from the root, without symlinks.
    pub path: Vec<u8>,
    /// It is no file of the file system: a pipe, a socket, memory.
    pub is_anonymous: bool,
    /// How the path that was given ends.
    pub end: End,
    /// It, or the symlink that it ends in, ends in a slash.
    pub slash: bool,
}

/// The last component of a path, as far as the kernel tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A name.
    Name,
    /// `.`
    Dot,
    /// `..`
    Parent,
    /// There is none: `/`.
    Root,
}

impl End {
    fn of(path: &[u8]) -> Self {
        match path.rsplit(|byte| *byte == b'/').find(|name| !name.is_empty()) {
            None => Self::Root,
            Some(b".") => Self::Dot,
            Some(b"..") => Self::Parent,
            Some(_) => Self::Name,
        }
    }
}

/// How a lookup goes.
pub struct Lookup<'a> {
    /// Whose `/proc/self` it is.
    pub thread: u32,
    /// The process that nobody under the policy may look into.
    pub supervisor: u32,
    /// Follow a symlink at the end.
    pub follow: bool,
    /// The last component need not be there. Where only the object is wanted it is about to be made then: no
    /// directory is, so that a slash at the end is an error of its own.
    pub may_be_missing: bool,
    /// The directory and the name of the last component are wanted, also where the object is there.
    pub wants_name: bool,
    /// Asked for each symlink on the way: its path.
    pub crossing: &'a mut dyn FnMut(&[u8]) -> Result<(), Denied>,
}

fn raw(error: rustix::io::Errno) -> Errno {
    error.raw_os_error()
}

/// The name of a descriptor of ours in `/proc`.
#[must_use]
pub fn name_of(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// The path of what a descriptor of ours holds, and whether it has none.
///
/// # Errors
/// EIO, ENAMETOOLONG.
pub fn path_of(file: BorrowedFd<'_>) -> Result<(Vec<u8>, bool), Errno> {
    let path = rustix::fs::readlink(name_of(file), Vec::new()).map_err(raw)?.into_bytes();
    let path = match path.strip_suffix(b" (deleted)") {
        // Names may end so.
        Some(shorter) if !is_there(file, &path) => shorter.to_vec(),
        _ => path,
    };
    // What is on the data volume of a Mac-shaped root is known by its place at the root (RUNTIME.md part 3).
    let path = match path.strip_prefix(crate::enforce::DATA_VOLUME.as_bytes()) {
        Some(rest) if super::mac_root::is_entered() && rest.starts_with(b"/private") => rest.to_vec(),
        _ => path,
    };
    let anonymous = !path.starts_with(b"/") || path.starts_with(b"/memfd:") || path.starts_with(b"(unreachable)");
    Ok((path, anonymous))
}

/// Whether a path leads to this very object.
fn is_there(file: BorrowedFd<'_>, path: &[u8]) -> bool {
    let (Ok(there), Ok(own)) = (rustix::fs::lstat(path), rustix::fs::fstat(file)) else { return false };
    (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)
}

const HOLD: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn hold(directory: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(directory, name, HOLD, Mode::empty()).map_err(raw)
}

fn root() -> Result<OwnedFd, Errno> {
    rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(raw)
}

fn file_type(status: &Stat) -> FileType {
    FileType::from_raw_mode(status.st_mode)
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut out = directory.to_vec();
    if !out.ends_with(b"/") {
        out.push(b'/');
    }
    out.extend(name);
    out
}

/// Looks a path up from a directory.
///
/// # Errors
/// What the lookup itself gives (ENOENT, ENOTDIR, ELOOP, …), or a crossing.
pub fn look_up(start: Option<OwnedFd>, path: &[u8], lookup: &mut Lookup<'_>) -> Result<Place, Denied> {
    if path.is_empty() {
        return Err(libc::ENOENT.into());
    }
    let end = End::of(path);
    let slash = path.ends_with(b"/");
    let start = match start {
        _ if path.starts_with(b"/") => None,
        None => return Err(libc::EBADF.into()),
        start => start,
    };
    if lookup.wants_name {
        let start = start.map_or_else(root, Ok)?;
        // A name is not followed, whatever stands behind it; all else leads to a directory that has none here.
        let mut place = walk(start, path, end != End::Name, Ending { end, slash }, lookup)?;
        if end != End::Name {
            place.last = None;
        }
        return Ok(place);
    }
    // Most paths cross nothing; then the kernel finds the object in one step.
    let follow = lookup.follow || slash || end != End::Name;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    // A path from the root starts there, wherever it is said to start.
    let from = start.as_ref().map_or(rustix::fs::CWD, AsFd::as_fd);
    match rustix::fs::openat2(from, path, HOLD, Mode::empty(), resolve) {
        Ok(object) => {
            let status = rustix::fs::fstat(&object).map_err(raw)?;
            if !(follow && file_type(&status) == FileType::Symlink) {
                return found(object, status, Ending { end, slash }, lookup);
            }
        }
        // Nothing was crossed on the way to what is missing.
        Err(rustix::io::Errno::NOENT) if !lookup.may_be_missing => return Err(libc::ENOENT.into()),
        Err(_) => {}
    }
    let start = start.map_or_else(root, Ok)?;
    walk(start, path, follow, Ending { end, slash }, lookup)
}

/// What a path ends in.
#[derive(Clone, Copy)]
struct Ending {
    end: End,
    slash: bool,
}

/// An object that was found, with its spelling.
fn found(object: OwnedFd, status: Stat, ending: Ending, lookup: &Lookup<'_>) -> Result<Place, Denied> {
    let (path, is_anonymous) = path_of(object.as_fd())?;
    guard(object.as_fd(), &path, lookup.supervisor)?;
    let Ending { end, slash } = ending;
    if file_type(&status) != FileType::Directory {
        // Whoever wants the name says himself what a slash behind it means.
        let slash = slash && !lookup.wants_name;
        if slash && lookup.may_be_missing {
            return Err(libc::EISDIR.into());
        }
        if slash || end != End::Name {
            return Err(libc::ENOTDIR.into());
        }
    }
    Ok(Place { found: Some(Found { object, status }), last: None, path, is_anonymous, end, slash })
}

fn walk(
    start: OwnedFd,
    path: &[u8],
    follow: bool,
    mut ending: Ending,
    lookup: &mut Lookup<'_>,
) -> Result<Place, Denied> {
    // Still to be looked up, last component first.
    let mut rest: Vec<Vec<u8>> = components(path);
    let mut here = start;
    let mut links = 0;
    let mut length = path.len();
    while let Some(name) = rest.pop() {
        if name == b".." {
            here = rustix::fs::openat(&here, "..", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(raw)?;
            continue;
        }
        let is_last = rest.is_empty();
        let object = match hold(here.as_fd(), &name) {
            Ok(object) => object,
            // What is looked into, if only by a dot, must be there.
            Err(libc::ENOENT) if is_last && lookup.may_be_missing && ending.end == End::Name => {
                let (directory, _) = path_of(here.as_fd())?;
                let path = join(&directory, &name);
                guard(here.as_fd(), &path, lookup.supervisor)?;
                let last = Some((here, name));
                let Ending { end, slash } = ending;
                return Ok(Place { found: None, last, path, is_anonymous: false, end, slash });
            }
            Err(errno) => return Err(errno.into()),
        };
        let status = rustix::fs::fstat(&object).map_err(raw)?;
        match file_type(&status) {
            FileType::Symlink if !is_last || follow => {
                // A file that is about to be made has no slash behind it, wherever the link leads.
                if is_last && ending.slash && ending.end == End::Name && lookup.may_be_missing && !lookup.wants_name {
                    return Err(libc::EISDIR.into());
                }
                links += 1;
                if links > MAX_LINKS {
                    return Err(libc::ELOOP.into());
                }
                if is_on_proc(here.as_fd()) {
                    let at_root = rustix::fs::fstat(&here).is_ok_and(|status| status.st_ino == PROC_ROOT);
                    if !at_root {
                        // A magic link: no text says where it leads.
                        let (spelling, _) = path_of(here.as_fd())?;
                        guard(here.as_fd(), &spelling, lookup.supervisor)?;
                        let own = super::processes::process_of(lookup.thread);
                        let owners = processes_in(here.as_fd(), &spelling);
                        let is_own = |thread: &u32| super::processes::process_of(*thread) == own;
                        let is_own = !owners.is_empty() && owners.iter().all(is_own);
                        let object = rustix::fs::openat(&here, &name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
                            .map_err(raw)?;
                        if is_last {
                            let status = rustix::fs::fstat(&object).map_err(raw)?;
                            let place = found(object, status, ending, lookup)?;
                            if place.is_anonymous {
                                return own_anonymous(&name, is_own, ending, lookup);
                            }
                            return Ok(place);
                        }
                        here = object;
                        continue;
                    }
                    if name == b"self" || name == b"thread-self" {
                        let process = super::processes::process_of(lookup.thread).ok_or(libc::ESRCH)?;
                        let mut own = vec![process.to_string().into_bytes()];
                        if name == b"thread-self" {
                            own.extend([b"task".to_vec(), lookup.thread.to_string().into_bytes()]);
                        }
                        rest.extend(own.into_iter().rev());
                        continue;
                    }
                }
                protected(&here, &status, lookup.thread)?;
                let (directory, _) = path_of(here.as_fd())?;
                let link = join(&directory, &name);
                let target = rustix::fs::readlinkat(&object, "", Vec::new()).map_err(raw)?.into_bytes();
                if !is_of_every_linux(&link, &target) {
                    (lookup.crossing)(&link)?;
                }
                length += target.len();
                if target.is_empty() || length > PATH_MAX * MAX_LINKS {
                    return Err(libc::ENAMETOOLONG.into());
                }
                if is_last {
                    // The path goes on with what it says: its end is the path's, where that had none of its own.
                    let end = if ending.end == End::Name { End::of(&target) } else { ending.end };
                    ending = Ending { end, slash: ending.slash || target.ends_with(b"/") };
                }
                if target.starts_with(b"/") {
                    here = root()?;
                }
                rest.extend(components(&target));
            }
            kind => {
                if is_last {
                    let mut place = found(object, status, ending, lookup)?;
                    if lookup.wants_name {
                        // A name is what is asked about then, whatever it leads to meanwhile.
                        let (directory, _) = path_of(here.as_fd())?;
                        place.path = join(&directory, &name);
                    }
                    place.last = Some((here, name));
                    return Ok(place);
                }
                if kind != FileType::Directory {
                    return Err(libc::ENOTDIR.into());
                }
                here = object;
            }
        }
    }
    let status = rustix::fs::fstat(&here).map_err(raw)?;
    found(here, status, ending, lookup)
}

/// What has no path can be told by no policy: only who has it open gets at it. Open for its place alone does not
/// count: such a descriptor may be had of what others have open.
fn own_anonymous(name: &[u8], is_own: bool, ending: Ending, lookup: &Lookup<'_>) -> Result<Place, Denied> {
    let number = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
    let Some(number) = number.filter(|_| is_own) else { return Err(libc::EACCES.into()) };
    let descriptor = super::processes::descriptor(lookup.thread, number)?;
    if rustix::fs::fcntl_getfl(&descriptor).map_err(raw)?.contains(OFlags::PATH) {
        return Err(libc::EACCES.into());
    }
    // That very one, whatever the number means by now.
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let object = rustix::fs::open(name_of(descriptor.as_fd()), flags, Mode::empty()).map_err(raw)?;
    let status = rustix::fs::fstat(&object).map_err(raw)?;
    let place = found(object, status, ending, lookup)?;
    if place.is_anonymous { Ok(place) } else { Err(libc::EACCES.into()) }
}

fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .rev()
        .map(<[u8]>::to_vec)
        .collect()
}

/// Links at the root of a Linux system that stand where a Mac has directories.
fn is_of_every_linux(link: &[u8], target: &[u8]) -> bool {
    let (Some(name), Some(parent)) = (link.strip_prefix(b"/"), target.strip_prefix(b"usr/")) else { return false };
    name == parent && [&b"bin"[..], b"sbin", b"lib", b"lib32", b"lib64", b"libx32"].contains(&name)
}

/// Whether it lies on a proc file system, wherever that is mounted.
fn is_on_proc(object: BorrowedFd<'_>) -> bool {
    rustix::fs::fstatfs(object).is_ok_and(|system| system.f_type == libc::PROC_SUPER_MAGIC)
}

/// The processes, or threads, that an object of a proc file system may be about: the numbers in its path. One
/// of the place where that is mounted may be among them.
#[must_use]
pub fn processes_in(object: BorrowedFd<'_>, path: &[u8]) -> Vec<u32> {
    let number = |name: &[u8]| std::str::from_utf8(name).ok()?.parse().ok();
    let numbers: Vec<u32> = path.split(|byte| *byte == b'/').filter_map(number).collect();
    if numbers.is_empty() || !is_on_proc(object) { Vec::new() } else { numbers }
}

/// Whether that is the name in `/proc` of a descriptor of this thread's process.
#[must_use]
pub fn is_own_descriptor(place: &Place, thread: u32) -> bool {
    let Some(found) = &place.found else { return false };
    let mut names = place.path.rsplit(|byte| *byte == b'/').skip(1);
    let in_descriptors = names.next() == Some(b"fd");
    let directory = names.collect::<Vec<_>>().join(&b'/');
    let own = super::processes::process_of(thread);
    let processes = processes_in(found.object.as_fd(), &directory);
    in_descriptors
        && !processes.is_empty()
        && processes.into_iter().all(|thread| super::processes::process_of(thread) == own)
}

/// Nobody may look into the supervisor.
fn guard(object: BorrowedFd<'_>, path: &[u8], supervisor: u32) -> Result<(), Denied> {
    // Its threads are found by number as well.
    let is_its = |thread: u32| super::processes::process_of(thread) == Some(supervisor);
    if processes_in(object, path).into_iter().any(is_its) { Err(libc::EACCES.into()) } else { Ok(()) }
}

/// As the kernel's `fs.protected_symlinks` has it: in a directory for all, only the owner of a link, or
/// of the directory, is led by it.
fn protected(directory: &OwnedFd, link: &Stat, thread: u32) -> Result<(), Denied> {
    let status = rustix::fs::fstat(directory).map_err(raw)?;
    let for_all = status.st_mode & 0o1002 == 0o1002;
    if !for_all || link.st_uid == status.st_uid || !protects_links() {
        return Ok(());
    }
    let user = super::processes::status(thread).map(|status| status.credentials.user);
    if user == Some(link.st_uid) { Ok(()) } else { Err(libc::EACCES.into()) }
}

fn protects_links() -> bool {
    static KNOWN: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *KNOWN.get_or_init(|| {
        std::fs::read_to_string("/proc/sys/fs/protected_symlinks").map_or(true, |text| text.trim() != "0")
    })
}

/// SBPL's name for a type of file.
#[must_use]
pub fn kind_of(status: &Stat) -> Option<&'static str> {
    Some(match file_type(status) {
        FileType::RegularFile => "REGULAR-FILE",
        FileType::Directory => "DIRECTORY",
        FileType::Symlink => "SYMLINK",
        FileType::Fifo => "FIFO",
        FileType::Socket => "SOCKET",
        FileType::CharacterDevice => "CHARACTER-DEVICE",
        FileType::BlockDevice => "BLOCK-DEVICE",
        FileType::Unknown => return None,
    })
}
