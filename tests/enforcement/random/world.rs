//! In: a stage. Out: [`World`], what random calls are about: a tree of files, ports, local sockets; what a
//! call changed of it, and all of it put back. Never: a call under a policy.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::super::stage::{NOBODY, Stage, User, is_root};

/// The time that calls set.
pub const TIME: i64 = 1_000_000_000;

const DIRECTORIES: [&str; 8] = ["a", "a/d", "a/e", "b", "b/d", "b/e", "c", "r"];

const FILES: [(&str, u32); 7] = [
    ("a/x", 0o644),
    ("a/y.txt", 0o600),
    ("a/d/z", 0o444),
    ("b/x", 0o644),
    ("b/d/y.txt", 0o000),
    ("c/x", 0o644),
    ("r/x", 0o600),
];

const LINKS: [(&str, &str); 13] = [
    ("a/l", "@/b/x"),
    ("l", "a/d"),
    ("b/m", "../a/y.txt"),
    ("b/u", "../a/l"),
    ("a/q", "../b/none"),
    ("b/o", "o"),
    ("b/v", "../a/p"),
    ("b/w", "s"),
    ("c/l", "../a"),
    ("a/f", "d/."),
    ("a/g", "../b/none/."),
    ("b/i", "../a/d/"),
    ("b/j", "x/"),
];

/// Ports where somebody listens, and others; no ones that the kernel gives by itself.
pub struct Ports {
    /// All of them.
    pub all: Vec<u16>,
}

impl Ports {
    /// Listens, for as long as the test runs. No two of these have a port in common: what is free for one
    /// stays free for it.
    pub fn new() -> Self {
        static NEXT: Mutex<u16> = Mutex::new(0);
        let mut next = NEXT.lock().unwrap();
        // Another run of the test begins elsewhere.
        let first = 20_000 + u16::try_from(std::process::id() % 9000).unwrap();
        let mut free = std::iter::repeat_with(|| {
            *next += 1;
            first + *next
        })
        .filter(|port| TcpListener::bind(("::", *port)).is_ok() && UdpSocket::bind(("::", *port)).is_ok());
        let all: Vec<u16> = free.by_ref().take(5).collect();
        for port in &all[..2] {
            let listener = TcpListener::bind(("::", *port)).unwrap();
            std::thread::spawn(move || listener.incoming().for_each(drop));
            let socket = UdpSocket::bind(("::", *port)).unwrap();
            std::thread::spawn(move || while socket.recv(&mut [0; 16]).is_ok() {});
        }
        Self { all }
    }
}

/// A small program that ends with this status.
#[cfg(target_arch = "x86_64")]
fn program(status: u8) -> Vec<u8> {
    // mov edi, status; mov eax, 60; syscall
    elf(62, &[0xbf, status, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05])
}

/// A small program that ends with this status.
#[cfg(target_arch = "aarch64")]
fn program(status: u8) -> Vec<u8> {
    // mov x0, status; mov x8, 93; svc 0
    let steps = [0xd280_0000u32 | u32::from(status) << 5, 0xd280_0ba8, 0xd400_0001];
    elf(183, &steps.iter().flat_map(|step| step.to_le_bytes()).collect::<Vec<_>>())
}

fn elf(machine: u16, code: &[u8]) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const START: u64 = 120;
    let length = START + code.len() as u64;
    let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    out.extend([2u16, machine].iter().flat_map(|word| word.to_le_bytes()));
    out.extend(1u32.to_le_bytes());
    out.extend([BASE + START, 64, 0].iter().flat_map(|word: &u64| word.to_le_bytes()));
    out.extend(0u32.to_le_bytes());
    out.extend([64u16, 56, 1, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()));
    // One segment, read and run.
    out.extend([1u32, 5].iter().flat_map(|word| word.to_le_bytes()));
    out.extend([0, BASE, BASE, length, length, 0x1000].iter().flat_map(|word: &u64| word.to_le_bytes()));
    out.extend(code);
    out
}

/// What is in the scratch directory.
pub struct World {
    user: User,
    root: PathBuf,
    /// Local sockets, with somebody there.
    sockets: tempfile::TempDir,
    base: BTreeMap<String, String>,
}

impl World {
    /// Everything in its place.
    pub fn new(stage: &Stage, user: User) -> Self {
        let sockets = tempfile::tempdir_in(Path::new(&stage.path("")).parent().unwrap()).unwrap();
        let listener = UnixListener::bind(sockets.path().join("s")).unwrap();
        std::thread::spawn(move || listener.incoming().for_each(drop));
        let socket = UnixDatagram::bind(sockets.path().join("t")).unwrap();
        std::thread::spawn(move || while socket.recv(&mut [0; 16]).is_ok() {});
        let root = PathBuf::from(stage.path("").trim_end_matches('/'));
        let mut world = Self { user, root, sockets, base: BTreeMap::new() };
        world.build();
        world
    }

    fn give(&self, path: &Path) {
        if self.user == User::Nobody {
            std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }

    fn build(&mut self) {
        clear(&self.root);
        let at = |name: &str| self.root.join(name);
        for name in DIRECTORIES {
            fs::create_dir(at(name)).unwrap();
            self.give(&at(name));
        }
        let text = |name: &str| format!("of {name}");
        for (name, mode) in FILES {
            fs::write(at(name), text(name)).unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
            self.give(&at(name));
        }
        let script = format!("#!{}\n", at("b/p").display());
        for (name, bytes) in [("a/p", program(11)), ("b/p", program(12)), ("a/s", script.into_bytes())] {
            fs::write(at(name), bytes).unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(0o755)).unwrap();
            self.give(&at(name));
        }
        for (name, target) in LINKS {
            let target = target.replace('@', self.root.to_str().unwrap());
            std::os::unix::fs::symlink(target, at(name)).unwrap();
            self.give(&at(name));
        }
        fs::hard_link(at("a/x"), at("b/h")).unwrap();
        for name in ["s", "t"] {
            let to = at(&format!("b/{name}"));
            fs::hard_link(self.sockets.path().join(name), &to).unwrap();
            // The same socket each time, whatever was done to it.
            if is_root() {
                let user = if self.user == User::Nobody { NOBODY } else { 0 };
                chown(&to, Some(user), Some(user)).unwrap();
            }
            fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
            let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
            let times = rustix::fs::Timestamps { last_access: now, last_modification: now };
            rustix::fs::utimensat(rustix::fs::CWD, &to, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
        }
        for name in ["a", "a/d", "a/x", "a/y.txt", "a/d/z", "b/x", "a/p"] {
            // Where a file system has none, the calls say so.
            let _ = rustix::fs::setxattr(at(name), "user.one", b"1", rustix::fs::XattrFlags::empty());
        }
        // What is not the user's, and where nothing can be made.
        if is_root() {
            for name in ["r", "r/x"] {
                chown(at(name), Some(0), Some(0)).unwrap();
            }
        }
        fs::set_permissions(at("c"), fs::Permissions::from_mode(0o555)).unwrap();
        let seen = self.seen();
        assert!(self.base.is_empty() || self.base == seen, "not put back: {seen:?}");
        self.base = seen;
    }

    fn seen(&self) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        look(&self.root, "", &mut out);
        out
    }

    /// What is not as it was, which is put back.
    pub fn changes(&mut self) -> String {
        let now = self.seen();
        if now == self.base {
            return String::new();
        }
        let names = self.base.keys().chain(now.keys()).collect::<std::collections::BTreeSet<_>>();
        let changed: Vec<String> = names
            .into_iter()
            .filter(|name| self.base.get(*name) != now.get(*name))
            .map(|name| format!("{name}: {}", now.get(name).map_or("gone", String::as_str)))
            .collect();
        self.build();
        changed.join("; ")
    }
}

/// Removes all that is in a directory, whatever its mode.
fn clear(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            let _ = fs::set_permissions(&path, fs::Permissions::from_mode(0o755));
            clear(&path);
            fs::remove_dir(&path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
    }
}

fn look(directory: &Path, name: &str, out: &mut BTreeMap<String, String>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        let Ok(status) = fs::symlink_metadata(&path) else { continue };
        let mut said = format!("{:o} {} {}", status.mode(), status.uid(), status.gid());
        if status.mtime() == TIME {
            said += " set";
        }
        if status.is_symlink() {
            said += &format!(" {}", fs::read_link(&path).unwrap().display());
        } else if status.is_file() {
            said += &format!(" {:?}", fs::read(&path).map(|bytes| bytes.iter().take(24).copied().collect::<Vec<_>>()));
        } else if status.is_dir() {
            look(&path, &name, out);
        } else if status.file_type().is_char_device() {
            said += &format!(" device {}", status.rdev());
        }
        for attribute in ["user.one", "user.two"] {
            let mut value = [0u8; 16];
            if let Ok(length) = rustix::fs::lgetxattr(&path, attribute, value.as_mut_slice()) {
                said += &format!(" {attribute} {}", String::from_utf8_lossy(&value[..length]));
            }
        }
        out.insert(name, said);
    }
}
