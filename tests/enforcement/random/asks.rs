//! In: a call, the scratch directory as it is before. Out: what the call asks a policy, and the errors by which
//! that policy denies it. Never: a line of `src/enforce`; what a call asks is written here again, by
//! `docs/enforcement.md`, and the answer is the evaluator's.

use std::fs;
use std::os::unix::fs::FileTypeExt;

use sbtool::policy::graph::ModifierArgument;
use sbtool::policy::request::Request;
use sbtool::policy::rules::Address;
use sbtool::policy::verdict::decide;
use sbtool::runtime::policy::Policy;
use sbtool::vocabulary::Release;

use super::calls::{Call, Start};
use super::inside::kind_of_socket;
use crate::attacks::name_of_error;

/// What is known of what a call wants to do.
#[derive(Debug, Default)]
struct Asked {
    operation: &'static str,
    path: Option<String>,
    kind: Option<&'static str>,
    attribute: Option<&'static str>,
    /// Values by name.
    named: Vec<(&'static str, &'static str)>,
    numbers: Vec<(&'static str, u16)>,
    address: Option<(&'static str, Address)>,
}

/// Where a path leads.
struct Place {
    crossed: Vec<String>,
    path: String,
    kind: Option<&'static str>,
}

fn kind(path: &str) -> Option<&'static str> {
    let kind = fs::symlink_metadata(path).ok()?.file_type();
    Some(if kind.is_dir() {
        "DIRECTORY"
    } else if kind.is_symlink() {
        "SYMLINK"
    } else if kind.is_socket() {
        "SOCKET"
    } else if kind.is_fifo() {
        "FIFO"
    } else {
        "REGULAR-FILE"
    })
}

/// Where a path leads, component by component. What is behind something that is not there is spelled on.
fn resolved(base: &str, path: &str, follow: bool) -> Place {
    let parts = |path: &str| path.split('/').rev().map(str::to_owned).collect::<Vec<_>>();
    let mut rest = parts(path);
    if !path.starts_with('/') {
        rest.extend(parts(base));
    }
    let (mut here, mut crossed) = (String::new(), Vec::new());
    while let Some(name) = rest.pop() {
        match name.as_str() {
            "" | "." => {}
            ".." => here.truncate(here.rfind('/').unwrap_or(0)),
            name => {
                let whole = format!("{here}/{name}");
                let leads = follow || rest.iter().any(|name| !name.is_empty());
                match fs::read_link(&whole) {
                    // As many as the kernel follows.
                    Ok(target) if leads && crossed.len() < 40 => {
                        let target = target.to_str().unwrap();
                        if target.starts_with('/') {
                            here.clear();
                        }
                        rest.extend(parts(target));
                        crossed.push(whole);
                    }
                    _ => here = whole,
                }
            }
        }
    }
    Place { crossed, kind: kind(&here), path: here }
}

/// What a call asks, one after another.
struct Asks<'a> {
    root: &'a str,
    asked: Vec<Asked>,
}

impl Asks<'_> {
    /// Where a path starts from, which asks as well where that is opened.
    fn base(&mut self, start: Start) -> String {
        let (directory, operation) = match start {
            Start::Root => return self.root.to_owned(),
            Start::Working(directory) => (directory, None),
            Start::Open(directory) => (directory, Some("file-read-data")),
            Start::Held(directory) => (directory, Some("file-read-metadata")),
        };
        let place = resolved(self.root, directory, true);
        if let Some(operation) = operation {
            self.on(&[operation], &place, place.kind);
        }
        place.path
    }

    fn crossed(&mut self, place: &Place) {
        for link in &place.crossed {
            self.asked.push(Asked {
                operation: "file-read-metadata",
                path: Some(link.clone()),
                kind: Some("SYMLINK"),
                ..Asked::default()
            });
        }
    }

    fn on(&mut self, operations: &[&'static str], place: &Place, kind: Option<&'static str>) {
        self.crossed(place);
        for operation in operations {
            self.asked.push(Asked { operation, path: Some(place.path.clone()), kind, ..Asked::default() });
        }
    }

    fn plain(&mut self, operation: &'static str) {
        self.asked.push(Asked { operation, ..Asked::default() });
    }

    fn opened(&mut self, place: &Place, flags: i32) {
        if flags & libc::O_PATH != 0 {
            return self.on(&["file-read-metadata"], place, place.kind);
        }
        if flags & libc::O_CREAT != 0 && place.kind.is_none() {
            return self.on(&["file-write-create"], place, Some("REGULAR-FILE"));
        }
        let mode = flags & libc::O_ACCMODE;
        if mode != libc::O_WRONLY {
            self.on(&["file-read-data"], place, place.kind);
        }
        if mode != libc::O_RDONLY || flags & libc::O_TRUNC != 0 {
            self.on(&["file-write-data"], place, place.kind);
        }
        self.crossed(place);
    }

    fn attribute(&mut self, operation: &'static str, place: &Place, name: Option<&'static str>) {
        self.on(&[operation], place, place.kind);
        self.asked.last_mut().unwrap().attribute = name;
    }

    fn network(&mut self, call: &Call) {
        let mut parts = call.path.split(' ');
        let (kind, host, port, bound) =
            (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap(), parts.next() == Some("bound"));
        let port: u16 = port.parse().unwrap();
        // One of IPv4 within one of IPv6 is one of IPv4.
        let (host, is_six) = match host.strip_prefix("::ffff:") {
            Some(host) => (host, false),
            None => (host, host.contains(':')),
        };
        let localhost = ["127.0.0.1", "0.0.0.0", "::1", "::"].contains(&host);
        let transport = if kind.starts_with("tcp") { 4 } else { 8 };
        let address = Address { protocol: transport | if is_six { 2 } else { 1 }, localhost, port };
        let mut ask = |operation: &'static str, side: &'static str, address: Address| {
            self.asked.push(Asked { operation, address: Some((side, address)), ..Asked::default() });
        };
        // No address of IPv6 serves IPv4 along.
        let mut serve = |operation: &'static str, address: Address, is_none: bool| {
            ask(operation, "local", address);
            if is_none {
                ask(operation, "local", Address { protocol: transport | 1, ..address });
            }
        };
        match call.name {
            "bind" => serve("network-bind", address, host == "::"),
            "listen" => {
                if bound {
                    serve("network-bind", address, host == "::");
                    // The kernel takes a port of its own, which no profile names.
                    let port = if port == 0 { u16::MAX } else { port };
                    serve("network-inbound", Address { port, ..address }, host == "::");
                } else {
                    let is_six = kind.ends_with('6');
                    let protocol = transport | if is_six { 2 } else { 1 };
                    serve("network-inbound", Address { protocol, localhost: true, port: 0 }, is_six);
                }
            }
            _ => ask("network-outbound", "remote", address),
        }
    }

    fn signal(&mut self, call: &Call) {
        self.plain("process-fork");
        let number = match i32::try_from(call.number).unwrap() {
            libc::SIGUSR1 => Some(30),
            libc::SIGUSR2 => Some(31),
            libc::SIGURG => Some(16),
            _ => None,
        };
        let own = &["self", "pgrp", "same-sandbox"][..];
        let near = &["others", "pgrp", "same-sandbox"][..];
        let child = &["others", "children", "pgrp", "same-sandbox"][..];
        let apart = &["others", "same-sandbox"][..];
        let each: &[&[&'static str]] = match call.path.as_str() {
            "self" => &[own],
            "child" => &[child],
            "sibling" | "parent" => &[near],
            "apart" | "apart-group" => &[apart],
            "outside" | "between" => &[&["others"]],
            "first" => &[&["others", "initproc"]],
            _ => &[own, child, near],
        };
        for targets in each {
            self.asked.push(Asked {
                operation: "signal",
                named: targets.iter().map(|target| ("target", *target)).collect(),
                numbers: number.map(|number| ("signal-number", number)).into_iter().collect(),
                ..Asked::default()
            });
        }
    }

    fn socket(&mut self, number: i64) {
        let (family, kind, protocol) = kind_of_socket(number);
        let named = match family {
            libc::AF_INET if kind == libc::SOCK_RAW => Some("AF_INET"),
            libc::AF_NETLINK if protocol == libc::NETLINK_ROUTE => Some("AF_ROUTE"),
            libc::AF_NETLINK => None,
            // Asked when they reach something.
            _ => return,
        };
        let mut numbers = vec![("socket-type", u16::try_from(kind).unwrap())];
        if family == libc::AF_INET {
            numbers.push(("socket-protocol", u16::try_from(protocol).unwrap()));
        }
        self.asked.push(Asked {
            operation: "system-socket",
            named: named.map(|name| ("socket-domain", name)).into_iter().collect(),
            numbers,
            ..Asked::default()
        });
    }

    fn program(&mut self, place: &Place) {
        self.on(&["process-exec*"], place, place.kind);
        if let Ok(text) = fs::read(&place.path)
            && let Some(line) = text.strip_prefix(b"#!")
        {
            let name = std::str::from_utf8(line).unwrap().trim();
            let interpreter = resolved("/", name, true);
            self.on(&["process-exec-interpreter"], &interpreter, interpreter.kind);
        }
    }

    fn paths(&mut self, call: &Call) {
        let name = call.name;
        let number = i32::try_from(call.number).unwrap();
        let no_follow = number & libc::AT_SYMLINK_NOFOLLOW != 0;
        let makes_link = name.starts_with("symlink");
        let base = if makes_link { String::new() } else { self.base(call.start) };
        let other_base = if call.other.is_empty() { String::new() } else { self.base(call.other_start) };
        // A name that is made, moved or removed is not followed; else a slash at the end follows it.
        let is_name = ["unlink", "rmdir", "mkdir", "mknod", "rename", "bind"].iter().any(|of| name.starts_with(of));
        let place = |follow: bool| resolved(&base, &call.path, follow || !is_name && call.path.ends_with('/'));
        let other = || resolved(&other_base, &call.other, false);
        let attribute = if number == 0 { "user.one" } else { "user.two" };
        match name {
            "open" | "openat" | "openat2" => {
                let only_new = number & libc::O_CREAT != 0 && number & libc::O_EXCL != 0;
                self.opened(&place(number & libc::O_NOFOLLOW == 0 && !only_new), number);
            }
            "creat" => self.opened(&place(true), libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC),
            "stat" | "statfs" | "lstat" | "readlink" | "readlinkat" | "newfstatat" | "statx" | "watch" => {
                let follow = match name {
                    "stat" | "statfs" => true,
                    "newfstatat" | "statx" => !no_follow,
                    "watch" => i64::from(libc::IN_DONT_FOLLOW) & call.number == 0,
                    _ => false,
                };
                let place = place(follow);
                self.on(&["file-read-metadata"], &place, place.kind);
            }
            "access" | "faccessat" | "faccessat2" => {
                let place = place((number >> 16) & libc::AT_SYMLINK_NOFOLLOW == 0);
                self.crossed(&place);
                let number = number & 0xffff;
                if number == libc::F_OK {
                    self.on(&["file-test-existence"], &place, place.kind);
                }
                if number & libc::R_OK != 0 {
                    self.on(&["file-read-data"], &place, place.kind);
                }
                if number & libc::W_OK != 0 {
                    self.on(&["file-write-data"], &place, place.kind);
                }
                if number & libc::X_OK != 0 && place.kind == Some("REGULAR-FILE") {
                    self.on(&["process-exec*"], &place, place.kind);
                }
            }
            "unlink" | "rmdir" | "unlinkat" => {
                let place = place(false);
                self.on(&["file-write-unlink"], &place, place.kind);
            }
            "mkdir" | "mkdirat" => self.on(&["file-write-create"], &place(false), Some("DIRECTORY")),
            "mknod" | "mknodat" => {
                let (operations, kind): (&[&'static str], _) = match number.cast_unsigned() & libc::S_IFMT {
                    libc::S_IFIFO => (&["file-write-create"], "FIFO"),
                    libc::S_IFSOCK => (&["file-write-create"], "SOCKET"),
                    libc::S_IFCHR => (&["file-mknod", "file-write-create"], "CHARACTER-DEVICE"),
                    _ => (&["file-write-create"], "REGULAR-FILE"),
                };
                self.on(operations, &place(false), Some(kind));
            }
            "chmod" | "fchmodat" | "fchmodat2" | "fchmod" => {
                let place = place((number >> 16) & libc::AT_SYMLINK_NOFOLLOW == 0);
                if name == "fchmod" {
                    self.on(&["file-read-data"], &place, place.kind);
                }
                self.on(&["file-write-mode"], &place, place.kind);
                if number & 0o6000 != 0 {
                    self.on(&["file-write-setugid"], &place, place.kind);
                }
            }
            "chown" | "lchown" | "fchownat" | "fchown" => {
                let place = place(!(name == "lchown" || name == "fchownat" && no_follow));
                if name == "fchown" {
                    self.on(&["file-read-data"], &place, place.kind);
                }
                self.on(&["file-write-owner"], &place, place.kind);
            }
            "utime" | "utimes" | "futimesat" | "utimensat" | "futimens" => {
                let place = place(!(name == "utimensat" && no_follow));
                if name == "futimens" {
                    self.on(&["file-read-data"], &place, place.kind);
                }
                self.on(&["file-write-times"], &place, place.kind);
            }
            "truncate" => {
                let place = place(true);
                self.on(&["file-write-data"], &place, place.kind);
            }
            "rename" | "renameat" | "renameat2" => {
                let (old, new) = (place(false), other());
                self.on(&["file-write-unlink"], &old, old.kind);
                self.on(&["file-write-create"], &new, old.kind);
                if new.kind.is_some() {
                    self.on(&["file-write-unlink"], &new, new.kind);
                    if name == "renameat2" && number & libc::RENAME_EXCHANGE.cast_signed() != 0 {
                        self.on(&["file-write-create"], &old, new.kind);
                    }
                }
            }
            "link" | "linkat" => {
                let (old, new) = (place(name == "linkat" && number & libc::AT_SYMLINK_FOLLOW != 0), other());
                self.on(&["file-link", "file-read-data", "file-write-data"], &old, old.kind);
                self.on(&["file-write-create"], &new, old.kind);
            }
            "symlink" | "symlinkat" => self.on(&["file-write-create"], &other(), Some("SYMLINK")),
            "execve" | "execveat" => {
                self.plain("process-fork");
                self.program(&place(!(name == "execveat" && no_follow)));
            }
            "bind-local" => self.on(&["network-bind", "file-write-create"], &place(false), Some("SOCKET")),
            "connect-local" | "sendto-local" | "sendmsg-local" => {
                let place = place(true);
                self.on(&["network-outbound"], &place, place.kind);
            }
            name => {
                let place = place(!name.starts_with('l') || name.starts_with("list"));
                if name.starts_with('f') {
                    self.on(&["file-read-data"], &place, place.kind);
                }
                let writes = name.contains("set") || name.contains("remove");
                let operation = if writes { "file-write-xattr" } else { "file-read-xattr" };
                let attribute = (!name.contains("list")).then_some(attribute);
                self.attribute(operation, &place, attribute);
            }
        }
    }
}

fn asked(root: &str, call: &Call) -> Vec<Asked> {
    let mut asks = Asks { root, asked: Vec::new() };
    match call.name {
        "kill" | "tkill" | "tgkill" | "sigqueue" | "tgsigqueue" | "pidfd_send_signal" => asks.signal(call),
        "fork" => asks.plain("process-fork"),
        "shm" => asks.plain("ipc-sysv-shm"),
        "sem" => asks.plain("ipc-sysv-sem"),
        "msg" => asks.plain("ipc-sysv-msg"),
        "socket" => asks.socket(call.number),
        "connect" | "bind" | "listen" | "sendto" | "sendmsg" | "sendmmsg" => asks.network(call),
        _ => asks.paths(call),
    }
    asks.asked
}

/// Errors of a Mac that profiles here name, as this system has them.
fn error(number: u16) -> i32 {
    match number {
        1 => libc::EPERM,
        2 => libc::ENOENT,
        13 => libc::EACCES,
        22 => libc::EINVAL,
        35 => libc::EAGAIN,
        61 => libc::ECONNREFUSED,
        other => panic!("error {other}"),
    }
}

/// The errors by which a policy denies parts of a call; none where it allows all of it.
pub fn denials(policy: &Policy, release: &Release, root: &str, call: &Call) -> Vec<String> {
    let errno = release.modifier_named("errno").unwrap().id;
    let filter = |name: &str| release.filter_named(name).unwrap();
    let mut out = Vec::new();
    for asked in asked(root, call) {
        let mut request = Request::new(release.operation(asked.operation).unwrap());
        for (name, text) in [("path", asked.path.as_deref()), ("xattr", asked.attribute)] {
            if let Some(text) = text {
                request.add_text(release, filter(name).id, text.as_bytes()).unwrap();
            }
        }
        for (name, value) in asked.kind.map(|kind| ("vnode-type", kind)).into_iter().chain(asked.named) {
            request.add_number(release, filter(name).id, filter(name).values[value]).unwrap();
        }
        for (name, number) in asked.numbers {
            request.add_number(release, filter(name).id, number).unwrap();
        }
        if let Some((side, address)) = asked.address {
            request.add_address(release, filter(side).id, address).unwrap();
        }
        let terminal = decide(policy.graph(), &request).unwrap();
        if terminal.denies() {
            let named = terminal.modifiers.iter().find(|modifier| modifier.id == errno);
            let number = match named.map(|modifier| &modifier.argument) {
                Some(ModifierArgument::Number(number)) => error(*number),
                _ => libc::EPERM,
            };
            out.push(name_of_error(number));
        }
    }
    out
}
