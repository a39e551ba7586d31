//! In: calls, as texts. Out: what each got, a line each. Never: a wait for an order that does not come; after
//! each call whoever is outside puts back what it changed, and says so by a byte.

use std::ffi::CString;
use std::io::Write;
use std::sync::atomic::{AtomicU8, Ordering};

use super::super::attacks::name_of_error;
use super::super::system::{
    HERE, Result, address, by_path, call, close, count_into, filled, fork, local, numbers, open, shared, signed,
    socket, text, wait, with_address,
};
use super::world::TIME;

/// Processes that get signals, by their place among the counters.
const PARENT: usize = 0;
const SIBLING: usize = 1;
const APART: usize = 2;
const OWN: usize = 3;
const CHILD: usize = 4;
const NAMES: [char; 5] = ['P', 'S', 'A', 'O', 'C'];

/// Signals that are counted.
const SIGNALS: [i32; 3] = [libc::SIGUSR1, libc::SIGUSR2, libc::SIGURG];

struct Here<'a> {
    root: &'a str,
    /// A process outside.
    outside: i32,
    /// A sibling of who sends signals, and one in a group of its own.
    sibling: i32,
    apart: i32,
    counters: &'static [AtomicU8],
}

struct Line<'a> {
    name: &'a str,
    start: &'a str,
    path: &'a str,
    other_start: &'a str,
    other: &'a str,
    number: i64,
}

impl<'a> Line<'a> {
    fn of(text: &'a str) -> Self {
        let mut parts = text.split('|');
        let mut next = || parts.next().unwrap();
        Self {
            name: next(),
            start: next(),
            path: next(),
            other_start: next(),
            other: next(),
            number: next().parse().unwrap(),
        }
    }
}

fn pipe() -> Option<[i32; 2]> {
    let mut ends = [0i32; 2];
    call(libc::SYS_pipe2, &[filled(&mut ends), 0]).ok()?;
    Some(ends)
}

fn close_end(end: i32) {
    close(end.into());
}

/// A process that only counts signals, until this one ends or closes the descriptor given with it.
fn counter(counters: &'static [AtomicU8], place: usize, apart: bool) -> (i32, i32) {
    let (Some(alive), Some(ready)) = (pipe(), pipe()) else { return (-1, -1) };
    let child = fork(|| {
        count_into(&SIGNALS, &counters[place]);
        if apart {
            let _ = call(libc::SYS_setpgid, &[0, 0]);
        }
        close_end(alive[1]);
        let mut byte = [0u8; 1];
        let _ = call(libc::SYS_write, &[ready[1] as u64, address(&byte), 1]);
        while call(libc::SYS_read, &[alive[0] as u64, byte.as_mut_ptr() as u64, 1]) == Err(libc::EINTR) {}
        0
    });
    close_end(alive[0]);
    close_end(ready[1]);
    let mut byte = [0u8; 1];
    if child > 0 {
        while call(libc::SYS_read, &[ready[0] as u64, filled(&mut byte), 1]) == Err(libc::EINTR) {}
    }
    close_end(ready[0]);
    (child, alive[1])
}

fn moment() {
    std::thread::sleep(std::time::Duration::from_millis(1));
}

impl Here<'_> {
    /// The directory that a path starts from, and the path as it is given to the kernel.
    fn started(&self, start: &str, path: &str) -> Result<(u64, String)> {
        let Some((how, directory)) = start.split_once(':') else {
            return Ok((HERE, format!("{}/{path}", self.root)));
        };
        let directory = format!("{}/{directory}", self.root);
        let directory = directory.trim_end_matches('/');
        let flags = match how {
            "working" => {
                by_path(libc::SYS_chdir, directory, &[])?;
                return Ok((HERE, path.to_owned()));
            }
            "held" => libc::O_PATH | libc::O_DIRECTORY,
            _ => libc::O_RDONLY | libc::O_DIRECTORY,
        };
        Ok((open(directory, flags)? as u64, path.to_owned()))
    }

    fn done(&self, line: &Line<'_>) -> Result<String> {
        match line.name {
            "kill" | "tkill" | "tgkill" | "sigqueue" | "tgsigqueue" | "pidfd_send_signal" => self.signalled(line),
            "fork" => as_child(|| 0).map(|status| status.to_string()),
            "shm" | "sem" | "msg" => shared_made(line.name),
            "socket" => socket_made(line.number),
            "connect" | "bind" | "listen" | "sendto" | "sendmsg" | "sendmmsg" => network(line),
            _ => {
                let first = match line.name {
                    // Its first path is a text; its directory is the second one's.
                    "symlink" | "symlinkat" if !line.start.starts_with("working") => (HERE, line.path.to_owned()),
                    "symlink" | "symlinkat" => (HERE, self.started(line.start, line.path)?.1),
                    _ => self.started(line.start, line.path)?,
                };
                let second = if line.other.is_empty() {
                    (HERE, String::new())
                } else {
                    match self.started(line.other_start, line.other) {
                        Ok(second) => second,
                        Err(errno) => {
                            if first.0 != HERE {
                                close(first.0 as i64);
                            }
                            return Err(errno);
                        }
                    }
                };
                let done = by_paths(line, (first.0, &first.1), (second.0, &second.1), self.counters);
                for (descriptor, _) in [&first, &second] {
                    if *descriptor != HERE {
                        close(*descriptor as i64);
                    }
                }
                let _ = by_path(libc::SYS_chdir, self.root, &[]);
                done
            }
        }
    }

    /// Sends a signal from a child, which has a child.
    fn signalled(&self, line: &Line<'_>) -> Result<String> {
        self.counters.iter().take(NAMES.len()).for_each(|counter| counter.store(0, Ordering::SeqCst));
        let parent = std::process::id() as i32;
        let between = call(libc::SYS_getppid, &[])? as i32;
        let result = &self.counters[16..18];
        result[1].store(0, Ordering::SeqCst);
        let status = as_child(|| {
            count_into(&SIGNALS, &self.counters[OWN]);
            let own = std::process::id() as i32;
            let (child, alive) = counter(self.counters, CHILD, false);
            if child < 0 {
                return 3;
            }
            let (process, reached): (i32, &[usize]) = match line.path {
                "self" => (own, &[OWN]),
                "child" => (child, &[CHILD]),
                "sibling" => (self.sibling, &[SIBLING]),
                "parent" => (parent, &[PARENT]),
                "apart" => (self.apart, &[APART]),
                "outside" => (self.outside, &[]),
                "first" => (1, &[]),
                "between" => (between, &[]),
                "group" => (-parent, &[PARENT, SIBLING, OWN, CHILD]),
                "own-group" => (0, &[PARENT, SIBLING, OWN, CHILD]),
                _ => (-self.apart, &[APART]),
            };
            let (to, signal) = (signed(process), line.number as u64);
            let information = {
                let mut words = [0u8; 128];
                words[0..4].copy_from_slice(&(line.number as i32).to_ne_bytes());
                words[8..12].copy_from_slice(&(-1i32).to_ne_bytes());
                words
            };
            let got = match line.name {
                "kill" => call(libc::SYS_kill, &[to, signal]),
                "tkill" => call(libc::SYS_tkill, &[to, signal]),
                "tgkill" => call(libc::SYS_tgkill, &[to, to, signal]),
                "sigqueue" => call(libc::SYS_rt_sigqueueinfo, &[to, signal, address(&information)]),
                "tgsigqueue" => call(libc::SYS_rt_tgsigqueueinfo, &[to, to, signal, address(&information)]),
                _ => call(libc::SYS_pidfd_open, &[to, 0]).and_then(|descriptor| {
                    let got = call(libc::SYS_pidfd_send_signal, &[descriptor as u64, signal, 0, 0]);
                    close(descriptor);
                    got
                }),
            };
            if got.is_ok() && signal != 0 {
                let missing = || reached.iter().any(|place| self.counters[*place].load(Ordering::SeqCst) == 0);
                for _ in 0..2000 {
                    if !missing() {
                        break;
                    }
                    moment();
                }
            }
            result[0].store(got.err().unwrap_or(0) as u8, Ordering::SeqCst);
            result[1].store(1, Ordering::SeqCst);
            // The next call's group is without this one.
            close_end(alive);
            wait(child);
            0
        })?;
        let reached: String = NAMES
            .iter()
            .zip(self.counters)
            .filter(|(_, counter)| counter.load(Ordering::SeqCst) != 0)
            .map(|(name, counter)| format!("{name}{}", counter.load(Ordering::SeqCst)))
            .collect();
        match (result[1].load(Ordering::SeqCst), result[0].load(Ordering::SeqCst)) {
            (0, _) => Ok(format!("ended by {status}")),
            (_, 0) => Ok(reached),
            (_, errno) if reached.is_empty() => Err(errno.into()),
            (_, errno) => Ok(format!("{} and {reached}", name_of_error(errno.into()))),
        }
    }
}

/// A child's status; an error where there is no child.
fn as_child(work: impl FnOnce() -> i32) -> Result<i32> {
    // The C library's `fork` makes the same call; its error is the one of the kernel.
    let child = fork(work);
    if child < 0 {
        return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0));
    }
    Ok(wait(child))
}

fn shared_made(name: &str) -> Result<String> {
    const PRIVATE: u64 = 0;
    match name {
        "shm" => {
            let id = call(libc::SYS_shmget, &[PRIVATE, 4096, 0o600])?;
            call(libc::SYS_shmctl, &[id as u64, libc::IPC_RMID as u64, 0])?;
        }
        "sem" => {
            let id = call(libc::SYS_semget, &[PRIVATE, 1, 0o600])?;
            call(libc::SYS_semctl, &[id as u64, 0, libc::IPC_RMID as u64, 0])?;
        }
        _ => {
            let id = call(libc::SYS_msgget, &[PRIVATE, 0o600])?;
            call(libc::SYS_msgctl, &[id as u64, libc::IPC_RMID as u64, 0])?;
        }
    }
    Ok(String::new())
}

/// Family, kind and protocol of a socket, by number.
pub fn kind_of_socket(number: i64) -> (i32, i32, i32) {
    match number {
        0 => (libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE),
        1 => (libc::AF_NETLINK, libc::SOCK_DGRAM, libc::NETLINK_KOBJECT_UEVENT),
        2 => (libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP),
        3 => (libc::AF_INET6, libc::SOCK_STREAM, libc::IPPROTO_TCP),
        4 => (libc::AF_UNIX, libc::SOCK_DGRAM, 0),
        _ => (libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_UDP),
    }
}

fn socket_made(number: i64) -> Result<String> {
    let (family, kind, protocol) = kind_of_socket(number);
    let made = call(libc::SYS_socket, &[signed(family), signed(kind), signed(protocol)])?;
    close(made);
    Ok(String::new())
}

fn host_address(host: &str, port: u16) -> Vec<u8> {
    let is_six = host.contains(':');
    let family = if is_six { libc::AF_INET6 } else { libc::AF_INET };
    let mut bytes = u16::try_from(family).unwrap().to_ne_bytes().to_vec();
    bytes.extend(port.to_be_bytes());
    if is_six {
        bytes.extend([0; 4]);
        bytes.extend(host.parse::<std::net::Ipv6Addr>().unwrap().octets());
        bytes.resize(28, 0);
    } else {
        bytes.extend(host.parse::<std::net::Ipv4Addr>().unwrap().octets());
        bytes.resize(16, 0);
    }
    bytes
}

fn sent(name: &str, socket: i64, to: &[u8]) -> Result<i64> {
    if name == "sendmmsg" {
        let piece = [address(b"datum"), 5];
        let mut message = [to.as_ptr() as u64, to.len() as u64, address(&piece), 1, 0, 0, 0, 0];
        let sent = call(libc::SYS_sendmmsg, &[socket as u64, filled(&mut message), 1, 0])?;
        // How many messages, and how much of the one.
        return Ok(sent * 100 + (message[7] & 0xffff) as i64);
    }
    if name.starts_with("sendmsg") {
        return super::super::system::send(socket, to, b"datum", None, 0);
    }
    let data = b"data";
    call(libc::SYS_sendto, &[socket as u64, address(data), 4, 0, to.as_ptr() as u64, to.len() as u64])
}

fn network(line: &Line<'_>) -> Result<String> {
    let mut parts = line.path.split(' ');
    let mut next = || parts.next().unwrap();
    let (kind, host, port, bound) = (next(), next(), next().parse().unwrap(), next() == "bound");
    let family = if kind.ends_with('6') { libc::AF_INET6 } else { libc::AF_INET };
    let kind = if kind.starts_with("tcp") { libc::SOCK_STREAM } else { libc::SOCK_DGRAM };
    let to = host_address(host, port);
    let socket = socket(family, kind)?;
    let done = match line.name {
        "connect" => with_address(libc::SYS_connect, socket, &to),
        "bind" => with_address(libc::SYS_bind, socket, &to),
        "listen" => {
            let bound = if bound { with_address(libc::SYS_bind, socket, &to) } else { Ok(0) };
            bound.and_then(|_| call(libc::SYS_listen, &[socket as u64, 1]))
        }
        name => sent(name, socket, &to),
    };
    close(socket);
    done.map(|value| value.to_string())
}

fn local_called(line: &Line<'_>, path: &str) -> Result<String> {
    let is_stream = line.name == "connect-local" || line.number == 0 && line.name == "bind-local";
    let socket = socket(libc::AF_UNIX, if is_stream { libc::SOCK_STREAM } else { libc::SOCK_DGRAM })?;
    let to = local(path);
    let done = match line.name {
        "connect-local" => with_address(libc::SYS_connect, socket, &to),
        "bind-local" => with_address(libc::SYS_bind, socket, &to),
        name => sent(name, socket, &to),
    };
    close(socket);
    done.map(|value| value.to_string())
}

/// The status of a file, as far as it does not hang on when it was made.
fn status(words: &[u64; 32]) -> String {
    let mode = words[3] & 0xffff_ffff;
    let size = if mode & 0o170_000 == 0o040_000 { 0 } else { words[6] };
    format!("{mode:o} {} {size}", words[3] >> 32)
}

fn through(descriptor: i64, flags: i32) -> String {
    let mut said = String::new();
    let mode = flags & libc::O_ACCMODE;
    if flags & libc::O_PATH == 0 {
        if mode != libc::O_WRONLY {
            let mut bytes = [0u8; 16];
            let read = call(libc::SYS_pread64, &[descriptor as u64, bytes.as_mut_ptr() as u64, 16, 0]);
            let read = read.map_or_else(name_of_error, |count| {
                bytes.iter().take(count as usize).map(|byte| format!("{byte:02x}")).collect()
            });
            said += &format!("read {read} ");
        }
        if mode != libc::O_RDONLY {
            let wrote = call(libc::SYS_write, &[descriptor as u64, address(b"W"), 1]);
            said += &format!("wrote {}", wrote.map_or_else(name_of_error, |count| count.to_string()));
        }
    }
    let closes = call(libc::SYS_fcntl, &[descriptor as u64, libc::F_GETFD as u64]).unwrap_or(-1);
    // That no symlink was followed says nothing of what is open.
    let shown = call(libc::SYS_fcntl, &[descriptor as u64, libc::F_GETFL as u64]).unwrap_or(-1);
    let shown = shown & !i64::from(libc::O_NOFOLLOW);
    close(descriptor);
    format!("{said} {closes} {shown:o}")
}

fn by_paths(
    line: &Line<'_>,
    (from, path): (u64, &str),
    (to, other): (u64, &str),
    counters: &'static [AtomicU8],
) -> Result<String> {
    let number = line.number as u64;
    let flags = line.number as i32;
    let (path_text, other_text) = (text(path), text(other));
    let (first, second) = (path_text.as_ptr() as u64, other_text.as_ptr() as u64);
    let mut words = [0u64; 32];
    let into = words.as_mut_ptr() as u64;
    let mut buffer = [0u8; 256];
    let buffer_at = buffer.as_mut_ptr() as u64;
    let times = [TIME as u64, 0, TIME as u64, 0];
    let times_at = address(&times);
    let seconds = [times[0], times[2]];
    let seconds_at = address(&seconds);
    let attribute = text(if number == 0 { "user.one" } else { "user.two" });
    let attribute = attribute.as_ptr() as u64;
    // Nobody, root, whoever calls.
    let owner = if number == 0 { [u64::from(u32::MAX); 2] } else { [1, 1] };
    match line.name {
        "open" => call(numbers::SYS_open, &[first, number, 0o640]).map(|opened| through(opened, flags)),
        "openat" => call(libc::SYS_openat, &[from, first, number, 0o640]).map(|opened| through(opened, flags)),
        "openat2" => {
            let mode = if flags & libc::O_CREAT == 0 { 0 } else { 0o640 };
            let how = [number, mode, 0];
            call(libc::SYS_openat2, &[from, first, address(&how), 24]).map(|opened| through(opened, flags))
        }
        "creat" => call(numbers::SYS_creat, &[first, number]).map(|opened| through(opened, libc::O_WRONLY)),
        "stat" => call(numbers::SYS_stat, &[first, into]).map(|_| status(&words)),
        "lstat" => call(numbers::SYS_lstat, &[first, into]).map(|_| status(&words)),
        "newfstatat" => call(libc::SYS_newfstatat, &[from, first, into, number]).map(|_| status(&words)),
        "statx" => call(libc::SYS_statx, &[from, first, number, 0xfff, into]).map(|_| format!("{:x}", words[3])),
        "statfs" => call(libc::SYS_statfs, &[first, into]).map(|_| format!("{:x}", words[0])),
        "access" => call(numbers::SYS_access, &[first, number]).map(|_| String::new()),
        "faccessat" => call(libc::SYS_faccessat, &[from, first, number]).map(|_| String::new()),
        "faccessat2" => {
            call(libc::SYS_faccessat2, &[from, first, number & 0xffff, number >> 16]).map(|_| String::new())
        }
        "readlink" => call(numbers::SYS_readlink, &[first, buffer_at, 256]).map(|length| shown(&buffer, length)),
        "readlinkat" => call(libc::SYS_readlinkat, &[from, first, buffer_at, 256]).map(|length| shown(&buffer, length)),
        "unlink" => simple(numbers::SYS_unlink, &[first]),
        "rmdir" => simple(numbers::SYS_rmdir, &[first]),
        "unlinkat" => simple(libc::SYS_unlinkat, &[from, first, number]),
        "mkdir" => simple(numbers::SYS_mkdir, &[first, number]),
        "mkdirat" => simple(libc::SYS_mkdirat, &[from, first, number]),
        "mknod" => simple(numbers::SYS_mknod, &[first, number, 0x0103]),
        "mknodat" => simple(libc::SYS_mknodat, &[from, first, number, 0x0103]),
        "chmod" => simple(numbers::SYS_chmod, &[first, number]),
        "fchmodat" => simple(libc::SYS_fchmodat, &[from, first, number]),
        "fchmodat2" => simple(numbers::SYS_fchmodat2, &[from, first, number & 0xffff, number >> 16]),
        "chown" => simple(numbers::SYS_chown, &[first, owner[0], owner[1]]),
        "lchown" => simple(numbers::SYS_lchown, &[first, owner[0], owner[1]]),
        "fchownat" => simple(libc::SYS_fchownat, &[from, first, owner[0], owner[1], number]),
        "utime" => simple(numbers::SYS_utime, &[first, if number == 0 { 0 } else { seconds_at }]),
        "utimes" => simple(numbers::SYS_utimes, &[first, times_at]),
        "futimesat" => simple(numbers::SYS_futimesat, &[from, first, times_at]),
        "utimensat" => simple(libc::SYS_utimensat, &[from, first, times_at, number]),
        "truncate" => simple(libc::SYS_truncate, &[first, number]),
        "rename" => simple(numbers::SYS_rename, &[first, second]),
        "renameat" => simple(libc::SYS_renameat, &[from, first, to, second]),
        "renameat2" => simple(libc::SYS_renameat2, &[from, first, to, second, number]),
        "link" => simple(numbers::SYS_link, &[first, second]),
        "linkat" => simple(libc::SYS_linkat, &[from, first, to, second, number]),
        "symlink" => simple(numbers::SYS_symlink, &[first, second]),
        "symlinkat" => simple(libc::SYS_symlinkat, &[first, to, second]),
        "getxattr" => {
            call(libc::SYS_getxattr, &[first, attribute, buffer_at, 256]).map(|length| shown(&buffer, length))
        }
        "lgetxattr" => {
            call(libc::SYS_lgetxattr, &[first, attribute, buffer_at, 256]).map(|length| shown(&buffer, length))
        }
        "listxattr" => call(libc::SYS_listxattr, &[first, buffer_at, 256]).map(|length| shown(&buffer, length)),
        "llistxattr" => call(libc::SYS_llistxattr, &[first, buffer_at, 256]).map(|length| shown(&buffer, length)),
        "setxattr" => simple(libc::SYS_setxattr, &[first, attribute, address(b"new"), 3, 0]),
        "lsetxattr" => simple(libc::SYS_lsetxattr, &[first, attribute, address(b"new"), 3, 0]),
        "removexattr" => simple(libc::SYS_removexattr, &[first, attribute]),
        "lremovexattr" => simple(libc::SYS_lremovexattr, &[first, attribute]),
        "watch" => {
            let queue = call(libc::SYS_inotify_init1, &[0])?;
            let done = simple(libc::SYS_inotify_add_watch, &[queue as u64, first, number | u64::from(libc::IN_MODIFY)]);
            close(queue);
            done
        }
        "execve" | "execveat" => started_program(line, from, &path_text, counters),
        "connect-local" | "bind-local" | "sendto-local" | "sendmsg-local" => local_called(line, path),
        name => {
            let opened = call(libc::SYS_openat, &[HERE, first, libc::O_RDONLY as u64])?;
            let by = opened as u64;
            let done = match name {
                "fchmod" => simple(libc::SYS_fchmod, &[by, number]),
                "fchown" => simple(libc::SYS_fchown, &[by, owner[0], owner[1]]),
                "futimens" => simple(libc::SYS_utimensat, &[by, 0, times_at, 0]),
                "fgetxattr" => {
                    call(libc::SYS_fgetxattr, &[by, attribute, buffer_at, 256]).map(|length| shown(&buffer, length))
                }
                "flistxattr" => call(libc::SYS_flistxattr, &[by, buffer_at, 256]).map(|length| shown(&buffer, length)),
                "fsetxattr" => simple(libc::SYS_fsetxattr, &[by, attribute, address(b"new"), 3, 0]),
                _ => simple(libc::SYS_fremovexattr, &[by, attribute]),
            };
            close(opened);
            done
        }
    }
}

fn simple(number: i64, arguments: &[u64]) -> Result<String> {
    call(number, arguments).map(|value| value.to_string())
}

fn shown(buffer: &[u8], length: i64) -> String {
    let bytes = buffer.iter().take(usize::try_from(length).unwrap());
    bytes.map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { ' ' }).collect()
}

fn started_program(line: &Line<'_>, from: u64, path: &CString, counters: &'static [AtomicU8]) -> Result<String> {
    let failed = &counters[20];
    failed.store(0, Ordering::SeqCst);
    let status = as_child(|| {
        let arguments = [path.as_ptr() as u64, 0];
        let (path, list, none) = (path.as_ptr() as u64, address(&arguments), address(&[0u64]));
        // Another thread of the test may just have started something, which holds the program open.
        for _ in 0..500 {
            let errno = if line.name == "execve" {
                call(libc::SYS_execve, &[path, list, none])
            } else {
                call(libc::SYS_execveat, &[from, path, list, none, line.number as u64])
            };
            let errno = errno.err().unwrap_or(255);
            failed.store(errno as u8, Ordering::SeqCst);
            if errno != libc::ETXTBSY {
                break;
            }
            moment();
        }
        100
    })?;
    match failed.load(Ordering::SeqCst) {
        0 => Ok(format!("ended with {status}")),
        errno if status == 100 => Err(errno.into()),
        _ => Ok(format!("ended with {status}")),
    }
}

/// Does the calls: the first argument is a process outside, the others are calls.
pub fn inside() {
    let mut out = std::io::stdout().lock();
    let root = std::env::current_dir().unwrap().to_str().unwrap().to_owned();
    let mut arguments = std::env::args().skip(1);
    let outside = arguments.next().unwrap().parse().unwrap();
    let _ = call(libc::SYS_umask, &[0o027]);
    let _ = call(libc::SYS_setpgid, &[0, 0]);
    let counters = shared(4096);
    count_into(&SIGNALS, &counters[PARENT]);
    let (sibling, _) = counter(counters, SIBLING, false);
    let (apart, _) = counter(counters, APART, true);
    let here = Here { root: &root, outside, sibling, apart, counters };
    for (number, text) in arguments.enumerate() {
        let got = match here.done(&Line::of(&text)) {
            Ok(said) => format!("ok {said}"),
            Err(errno) => name_of_error(errno),
        };
        writeln!(out, "{number}={}", got.trim_end()).unwrap();
        out.flush().unwrap();
        let mut byte = [0u8; 1];
        while call(libc::SYS_read, &[0, byte.as_mut_ptr() as u64, 1]) == Err(libc::EINTR) {}
    }
}
