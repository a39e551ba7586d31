//! In: dice. Out: [`Call`], a random system call, or a few that belong together. Never: the doing, or what
//! it should get.

use super::dice::Dice;

/// Where a path starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The root.
    Root,
    /// This directory, which is the working directory.
    Working(&'static str),
    /// This directory, which is open.
    Open(&'static str),
    /// This directory, of which a place is open.
    Held(&'static str),
}

/// A system call.
#[derive(Clone, Debug)]
pub struct Call {
    /// What it is.
    pub name: &'static str,
    /// Where its path starts from.
    pub start: Start,
    /// Its path, or whom it is about.
    pub path: String,
    /// Where its second path starts from.
    pub other_start: Start,
    /// Its second path.
    pub other: String,
    /// A number: flags, a mode, a signal.
    pub number: i64,
}

/// Calls by a path.
const BY_PATH: &[&str] = &[
    "open",
    "creat",
    "stat",
    "lstat",
    "access",
    "readlink",
    "unlink",
    "rmdir",
    "mkdir",
    "mknod",
    "chmod",
    "chown",
    "lchown",
    "utime",
    "utimes",
    "truncate",
    "statfs",
    "getxattr",
    "lgetxattr",
    "listxattr",
    "llistxattr",
    "setxattr",
    "lsetxattr",
    "removexattr",
    "lremovexattr",
    "watch",
    "execve",
];

/// Calls by a directory and a path.
const BY_DIRECTORY: &[&str] = &[
    "openat",
    "openat2",
    "newfstatat",
    "statx",
    "faccessat",
    "faccessat2",
    "readlinkat",
    "unlinkat",
    "mkdirat",
    "mknodat",
    "fchmodat",
    "fchmodat2",
    "fchownat",
    "utimensat",
    "futimesat",
    "execveat",
];

/// Calls by a descriptor, which is opened first.
const BY_DESCRIPTOR: &[&str] =
    &["fchmod", "fchown", "futimens", "fgetxattr", "flistxattr", "fsetxattr", "fremovexattr"];

const TWO_PATHS: &[&str] = &["rename", "link", "symlink"];

const TWO_DIRECTORIES: &[&str] = &["renameat", "renameat2", "linkat", "symlinkat"];

const NETWORK: &[&str] = &["connect", "bind", "listen", "sendto", "sendmsg", "sendmmsg"];

const LOCAL: &[&str] = &["connect-local", "bind-local", "sendto-local", "sendmsg-local"];

const SIGNALS: &[&str] = &["kill", "tkill", "tgkill", "sigqueue", "tgsigqueue", "pidfd_send_signal"];

const OTHERS: &[&str] = &["fork", "socket", "shm", "sem", "msg"];

const ALL: &[&[&str]] =
    &[BY_PATH, BY_DIRECTORY, BY_DESCRIPTOR, TWO_PATHS, TWO_DIRECTORIES, NETWORK, LOCAL, SIGNALS, OTHERS];

/// What there is of each thing, and what there is not.
const PLACES: &[&str] = &[
    "a",
    "a/d",
    "a/e",
    "b",
    "b/d",
    "c",
    "a/x",
    "a/y.txt",
    "a/d/z",
    "b/x",
    "b/d/y.txt",
    "b/h",
    "c/x",
    "r/x",
    "a/p",
    "a/s",
    "b/p",
    "b/s",
    "b/t",
    "a/l",
    "l",
    "b/m",
    "b/u",
    "a/q",
    "b/o",
    "new",
    "a/new",
    "b/new",
    "a/d/new",
    "c/new",
    "r/new",
    "l/z",
    "l/new",
    "l/../x",
    "l/..",
    "a/d/..",
    "a/x/y",
    "a/none/x",
    "b/none",
];

const FILES: &[&str] = &["a/x", "a/y.txt", "b/x", "b/h", "l/z", "a/l", "b/u", "a/p", "b/m"];

const NEW: &[&str] = &["new", "a/new", "b/new", "a/d/new", "c/new", "r/new", "l/new", "b/none"];

const PROGRAMS: &[&str] = &["a/p", "a/p", "b/p", "a/s", "a/s", "b/v", "b/v", "a/x", "a/d"];

const DIRECTORIES: &[&str] = &["a/e", "b/e", "a/e", "b/e", "b/d", "c"];

const SOCKETS: &[&str] = &["b/s", "b/s", "b/t", "b/t", "b/w", "b/x", "b/none"];

/// Directories, and how deep those are that they lead to.
const STARTS: &[(&str, usize)] = &[("", 0), ("a", 1), ("b", 1), ("a/d", 2), ("l", 2)];

/// Who is sent a signal.
pub const TARGETS: &[&str] = &["self", "child", "sibling", "parent", "apart", "outside", "first", "between"];

/// Which groups are.
pub const GROUPS: &[&str] = &["group", "own-group", "apart-group"];

/// The same path spelled in another way.
fn spelled(dice: &mut Dice, path: &str) -> String {
    let mut out = path.to_owned();
    for _ in 0..dice.below(3) {
        let parts: Vec<&str> = out.split('/').collect();
        let at = dice.below(parts.len());
        let (before, after) = parts.split_at(at);
        let before = before.join("/");
        let more = match (dice.below(4), before.as_str()) {
            (0, _) => ".",
            (1, _) if at > 0 => "",
            (2, "") => "a/..",
            (2, "a" | "b") => "d/..",
            _ => continue,
        };
        let after = after.join("/");
        out = if at == 0 { format!("{more}/{after}") } else { format!("{before}/{more}/{after}") };
    }
    if out.starts_with('/') {
        out = path.to_owned();
    }
    match dice.below(16) {
        0 => out + "/",
        1 => out + "/.",
        _ => out,
    }
}

fn path(dice: &mut Dice, start: Start, of: &[&str]) -> String {
    let place = dice.one(of);
    let place = spelled(dice, place);
    let directory = match start {
        Start::Root => return place,
        Start::Working(directory) | Start::Open(directory) | Start::Held(directory) => directory,
    };
    if let Some(below) = place.strip_prefix(directory).and_then(|rest| rest.strip_prefix('/'))
        && !below.is_empty()
        && !below.starts_with('/')
    {
        return below.to_owned();
    }
    let (_, depth) = STARTS.iter().find(|(name, _)| *name == directory).unwrap();
    format!("{}{place}", "../".repeat(*depth))
}

fn start(dice: &mut Dice, may_be_open: bool) -> Start {
    let (directory, _) = dice.one(STARTS);
    match dice.below(if may_be_open { 6 } else { 3 }) {
        0 => Start::Root,
        1..3 => Start::Working(directory),
        3..5 => Start::Open(directory),
        _ => Start::Held(directory),
    }
}

/// How something is opened.
fn opening(dice: &mut Dice) -> i32 {
    let mut flags = dice.one(&[libc::O_RDONLY, libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR, libc::O_PATH]);
    if flags != libc::O_PATH {
        if dice.percent(40) {
            flags |= libc::O_CREAT;
            if dice.percent(30) {
                flags |= libc::O_EXCL;
            }
        }
        if dice.percent(20) {
            flags |= libc::O_TRUNC;
        }
        if dice.percent(10) {
            flags |= libc::O_APPEND;
        }
        // No peer is waited for.
        flags |= libc::O_NONBLOCK;
    }
    if dice.percent(15) {
        flags |= libc::O_NOFOLLOW;
    }
    if flags & libc::O_CREAT == 0 && dice.percent(15) {
        flags |= libc::O_DIRECTORY;
    }
    flags
}

fn number(dice: &mut Dice, name: &str) -> i64 {
    let modes = [0o755, 0o600, 0o4755, 0o2755, 0o0];
    match name {
        "open" | "openat" | "openat2" => opening(dice).into(),
        "access" | "faccessat" => dice.one(&[libc::F_OK, 1, 2, 4, 5, 6, 7]).into(),
        // A mode, and from bit 16 on flags; modes of files, and whether a link is followed.
        "faccessat2" => {
            let flags = dice.one(&[0, libc::AT_EACCESS, libc::AT_SYMLINK_NOFOLLOW]);
            i64::from(dice.one(&[libc::F_OK, 1, 2, 4, 5, 6, 7]) | flags << 16)
        }
        "fchmodat2" => dice.one(&modes) | i64::from(dice.one(&[0, libc::AT_SYMLINK_NOFOLLOW])) << 16,
        "chmod" | "fchmod" | "fchmodat" | "mkdir" | "mkdirat" | "creat" => dice.one(&modes),
        "mknod" | "mknodat" => {
            let kind = dice.one(&[0, libc::S_IFREG, libc::S_IFIFO, libc::S_IFSOCK, libc::S_IFCHR, libc::S_IFDIR]);
            i64::from(kind) | 0o644
        }
        "newfstatat" | "statx" | "utimensat" | "fchownat" | "execveat" => {
            dice.one(&[0, 0, libc::AT_SYMLINK_NOFOLLOW]).into()
        }
        "linkat" => dice.one(&[0, libc::AT_SYMLINK_FOLLOW]).into(),
        "unlinkat" => dice.one(&[0, 0, libc::AT_REMOVEDIR]).into(),
        "renameat2" => dice.one(&[0, 0, libc::RENAME_NOREPLACE, libc::RENAME_EXCHANGE]).into(),
        "watch" => dice.one(&[0, i64::from(libc::IN_DONT_FOLLOW)]),
        "socket" => dice.below(6).try_into().unwrap(),
        _ => dice.below(2).try_into().unwrap(),
    }
}

/// A socket and an address: family and kind, host, port.
fn address(dice: &mut Dice, name: &str, ports: &[u16]) -> String {
    let kind = match name {
        "listen" => "tcp",
        "sendto" | "sendmsg" | "sendmmsg" => "udp",
        _ => dice.one(&["tcp", "udp"]),
    };
    let (family, host) = dice.one(&[
        ("4", "127.0.0.1"),
        ("4", "127.0.0.1"),
        ("4", "0.0.0.0"),
        ("4", "127.0.0.2"),
        ("6", "::1"),
        ("6", "::"),
        ("6", "::ffff:127.0.0.1"),
        ("6", "::ffff:127.0.0.2"),
    ]);
    let port = if name != "connect" && !name.starts_with("send") && dice.percent(15) { 0 } else { dice.one(ports) };
    // Some are not bound before they listen.
    let bound = if name == "listen" && dice.percent(10) { "unbound" } else { "bound" };
    format!("{kind}{family} {host} {port} {bound}")
}

/// A call.
pub fn call(dice: &mut Dice, ports: &[u16], between: bool) -> Call {
    let names: Vec<&'static str> = ALL.iter().flat_map(|names| names.iter().copied()).collect();
    let name = dice.one(&names);
    let kind = *ALL.iter().find(|names| names.contains(&name)).unwrap();
    let number = number(dice, name);
    let mut call =
        Call { name, start: Start::Root, path: String::new(), other_start: Start::Root, other: String::new(), number };
    if kind == NETWORK {
        call.path = address(dice, name, ports);
    } else if kind == SIGNALS {
        let groups: &[&str] = if matches!(name, "kill") { GROUPS } else { &[] };
        let mut targets = [TARGETS, groups].concat();
        targets.retain(|target| between || *target != "between");
        call.path = dice.one(&targets).to_owned();
        // These take what they are sent for an end, or are not ours.
        let signals: &[i32] = match call.path.as_str() {
            "outside" | "between" => &[0, libc::SIGURG],
            "first" => &[0],
            _ => &[0, libc::SIGUSR1, libc::SIGUSR1, libc::SIGUSR2, libc::SIGURG],
        };
        call.number = dice.one(signals).into();
    } else if kind != OTHERS {
        call.start = start(dice, kind == BY_DIRECTORY || kind == TWO_DIRECTORIES);
        let places = match name {
            "bind-local" => [NEW, NEW, NEW, NEW, NEW, PLACES].concat(),
            "rmdir" => [DIRECTORIES, DIRECTORIES, DIRECTORIES, PLACES].concat(),
            "unlinkat" if number != 0 => [DIRECTORIES, DIRECTORIES, DIRECTORIES, PLACES].concat(),
            "link" | "linkat" => [FILES, FILES, FILES, PLACES].concat(),
            "execve" | "execveat" => PROGRAMS.to_vec(),
            name if kind == LOCAL && name != "bind-local" => SOCKETS.to_vec(),
            "mkdir" | "mkdirat" | "mknod" | "mknodat" => [NEW, NEW, NEW, NEW, NEW, PLACES].concat(),
            name if kind == BY_DESCRIPTOR || name.contains("xattr") || name == "truncate" => {
                [FILES, FILES, FILES, FILES, PLACES].concat()
            }
            "readlink" | "readlinkat" => [&["a/l", "l", "b/m", "b/u", "a/q", "b/o"][..], &PLACES[..8]].concat(),
            "symlink" | "symlinkat" => vec!["a/x", "none", "../b"],
            _ => PLACES.to_vec(),
        };
        call.path =
            if name.starts_with("symlink") { dice.one(&places).into() } else { path(dice, call.start, &places) };
        if kind == TWO_PATHS || kind == TWO_DIRECTORIES {
            call.other_start = match call.start {
                Start::Working(_) => call.start,
                _ if kind == TWO_DIRECTORIES => start(dice, true),
                _ => Start::Root,
            };
            if let (Start::Working(_), Start::Root | Start::Open(_) | Start::Held(_)) = (call.other_start, call.start) {
                call.other_start = Start::Root;
            }
            call.other = path(dice, call.other_start, &[NEW, NEW, NEW, NEW, NEW, NEW, PLACES].concat());
        }
    }
    call
}

impl Start {
    fn written(self) -> String {
        match self {
            Self::Root => "root".into(),
            Self::Working(directory) => format!("working:{directory}"),
            Self::Open(directory) => format!("open:{directory}"),
            Self::Held(directory) => format!("held:{directory}"),
        }
    }
}

impl Call {
    /// As a text for another process.
    pub fn written(&self) -> String {
        let (start, other_start) = (self.start.written(), self.other_start.written());
        [self.name, &start, &self.path, &other_start, &self.other, &self.number.to_string()].join("|")
    }
}
