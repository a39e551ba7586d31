//! In: a policy, and what a process wants to do. Out: whether it may, and if not, the error it gets; a
//! line in the log. Never: the doing.

use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;

use super::system::Errno;
use crate::policy::graph::{ModifierArgument, Terminal};
use crate::policy::request::Request;
use crate::policy::rules::{Address, PROTOCOLS};
use crate::policy::verdict::decide;
use crate::runtime::policy::Policy;
use crate::vocabulary::{FilterId, ModifierId, OperationId};

/// What is known about something that a process wants to do.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a> {
    /// The path, as the kernel spells it.
    pub path: Option<&'a [u8]>,
    /// `SBPL`'s name of the type of the file.
    pub kind: Option<&'static str>,
    /// More texts, by filter.
    pub texts: Vec<(&'static str, &'a [u8])>,
    /// More numbers, by filter.
    pub numbers: Vec<(&'static str, u16)>,
    /// Addresses, by filter.
    pub addresses: Vec<(&'static str, Address)>,
}

impl<'a> Facts<'a> {
    /// Of a file.
    #[must_use]
    pub fn file(path: &'a [u8], kind: Option<&'static str>) -> Self {
        Self { path: Some(path), kind, ..Self::default() }
    }
}

/// A denial: what the caller gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The error.
    pub errno: Errno,
    /// A signal besides.
    pub signal: Option<i32>,
}

impl From<Errno> for Denied {
    fn from(errno: Errno) -> Self {
        Self { errno, signal: None }
    }
}

/// What a policy says of an operation, whatever is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Always {
    /// Each request is allowed.
    Allow,
    /// Each request is denied, by this error, and nobody has to hear of it.
    Deny(Errno),
    /// It depends, or somebody has to hear of it.
    Depends,
}

/// Names of operations that older releases have another one for, or that lie within another one.
const INSTEAD: &[(&str, &str)] = &[
    ("file-test-existence", "file-read-metadata"),
    ("process-exec*", "process-exec"),
    ("process-exec-interpreter", "process-exec*"),
    ("file-write-create", "file-write*"),
    ("file-write-times", "file-write*"),
    ("file-write-unlink", "file-write*"),
    ("file-mknod", "file-write-create"),
];

/// Asks a policy on behalf of processes.
pub struct Judge {
    policy: Arc<Policy>,
    log: Option<Mutex<File>>,
    path: Option<FilterId>,
    kind: Option<FilterId>,
    errno: Option<ModifierId>,
    signal: Option<ModifierId>,
}

impl Judge {
    /// Asks this policy, and writes denials there.
    #[must_use]
    pub fn new(policy: Arc<Policy>, log: Option<File>) -> Self {
        let release = policy.release();
        let filter = |name| release.filter_named(name).map(|filter| filter.id);
        let modifier = |name| release.modifier_named(name).map(|modifier| modifier.id);
        let (path, kind) = (filter("path"), filter("vnode-type"));
        let (errno, signal) = (modifier("errno"), modifier("send-signal"));
        Self { path, kind, errno, signal, log: log.map(Mutex::new), policy }
    }

    /// The descriptor of the log.
    #[must_use]
    pub fn log_descriptor(&self) -> Option<i32> {
        let log = self.log.as_ref()?;
        Some(std::os::fd::AsRawFd::as_raw_fd(&*log.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The operation of this name, or the one that the release has in its place.
    #[must_use]
    pub fn operation(&self, name: &str) -> Option<OperationId> {
        let mut name = name;
        loop {
            if let Some(operation) = self.policy.release().operation(name) {
                return Some(operation);
            }
            name = INSTEAD.iter().find(|(new, _)| *new == name)?.1;
        }
    }

    /// What the policy says of an operation in any case. One that the release does not know is allowed:
    /// a Mac of that release does not check it.
    #[must_use]
    pub fn always(&self, name: &str) -> Always {
        let Some(entry) = self.operation(name).map(|operation| self.policy.graph().entry(operation)) else {
            return Always::Allow;
        };
        let Some(entry) = entry else { return Always::Depends };
        let terminals = self.policy.graph().terminals(entry).unwrap_or_default();
        let mut said = terminals.into_iter().map(|terminal| self.terminal_always(terminal));
        match said.next() {
            Some(first) if said.all(|other| other == first) => first,
            _ => Always::Depends,
        }
    }

    fn terminal_always(&self, terminal: &Terminal) -> Always {
        if self.signal_of(terminal).is_some() || (self.log.is_some() && terminal.flags & Terminal::REPORT != 0) {
            return Always::Depends;
        }
        if terminal.denies() { Always::Deny(self.errno_of(terminal)) } else { Always::Allow }
    }

    fn number_of(&self, terminal: &Terminal, modifier: Option<ModifierId>) -> Option<i32> {
        terminal.modifiers.iter().find(|known| Some(known.id) == modifier).and_then(|known| match known.argument {
            ModifierArgument::Number(number) => Some(i32::from(number)),
            _ => None,
        })
    }

    fn errno_of(&self, terminal: &Terminal) -> Errno {
        self.number_of(terminal, self.errno).and_then(linux_errno).unwrap_or(libc::EPERM)
    }

    fn signal_of(&self, terminal: &Terminal) -> Option<i32> {
        self.number_of(terminal, self.signal).and_then(linux_signal)
    }

    fn request(&self, operation: OperationId, facts: &Facts<'_>) -> Option<Request> {
        let release = self.policy.release();
        let mut request = Request::new(operation);
        if let (Some(filter), Some(path)) = (self.path, facts.path) {
            request.add_text(release, filter, path).ok()?;
        }
        if let (Some(filter), Some(kind)) = (self.kind, facts.kind)
            && let Some(number) = release.filter(filter).and_then(|filter| filter.values.get(kind))
        {
            request.add_number(release, filter, *number).ok()?;
        }
        // What the release has no filter for, no rule of it can ask.
        for (name, text) in &facts.texts {
            if let Some(filter) = release.filter_named(name) {
                request.add_text(release, filter.id, text).ok()?;
            }
        }
        for (name, number) in &facts.numbers {
            if let Some(filter) = release.filter_named(name) {
                request.add_number(release, filter.id, *number).ok()?;
            }
        }
        for (name, address) in &facts.addresses {
            if let Some(filter) = release.filter_named(name) {
                request.add_address(release, filter.id, *address).ok()?;
            }
        }
        Some(request)
    }

    /// The number of a value that a filter has a name for.
    #[must_use]
    pub fn named_value(&self, filter: &str, value: &str) -> Option<u16> {
        self.policy.release().filter_named(filter)?.values.get(value).copied()
    }

    /// Whether a thread may do something.
    ///
    /// # Errors
    /// What it gets instead. Where the policy has no answer that is EPERM.
    pub fn ask(&self, thread: u32, name: &str, facts: &Facts<'_>) -> Result<(), Denied> {
        let Some(operation) = self.operation(name) else { return Ok(()) };
        let refused = Denied { errno: libc::EPERM, signal: None };
        let request = self.request(operation, facts).ok_or(refused)?;
        let graph = self.policy.graph();
        let Ok(terminal) = decide(graph, &request) else {
            // No policy of its own: allowed or not as the release has it for everybody.
            return if graph.entry(operation).is_none() { Ok(()) } else { Err(refused) };
        };
        let signal = self.signal_of(terminal);
        if terminal.flags & Terminal::REPORT != 0 {
            self.write(thread, operation, facts, &request, terminal);
        }
        if terminal.denies() {
            return Err(Denied { errno: self.errno_of(terminal), signal });
        }
        match signal {
            // An allowed operation may send one as well; it goes on.
            Some(signal) => {
                super::system::signal_thread(super::processes::process_of(thread).unwrap_or(thread), thread, signal);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn write(&self, thread: u32, operation: OperationId, facts: &Facts<'_>, request: &Request, terminal: &Terminal) {
        if self.log.is_none() {
            return;
        }
        let release = self.policy.release();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let subject =
            facts.path.map(text).or_else(|| facts.texts.first().map(|(_, bytes)| text(bytes))).or_else(|| {
                facts.addresses.first().map(|(_, address)| {
                    let host = if address.localhost { "localhost" } else { "*" };
                    let protocol =
                        PROTOCOLS.iter().find(|(_, number)| *number == address.protocol).map_or("ip", |p| p.0);
                    format!("{protocol}:{host}:{}", address.port)
                })
            });
        let answer = self.policy.answer(request).ok();
        let rule = answer.as_ref().and_then(|answer| answer.rule.as_ref()).map(|rule| {
            let place = rule.place.as_ref();
            json!({
                "file": place.map(|place| place.file.to_string()),
                "line": place.map(|place| place.line),
                "column": place.map(|place| place.column),
                "text": rule.text,
            })
        });
        self.append(
            thread,
            json!({
                "operation": release.operation_name(operation),
                "subject": subject,
                "verdict": terminal.action().name(),
                "by": answer.as_ref().map(|answer| answer.by.name()),
                "rule": rule,
            }),
        );
    }

    /// Writes a refusal that no rule says: a call that would lead out of any policy.
    pub fn note(&self, thread: u32, call: &str, why: &str) {
        let about = json!({
            "operation": null,
            "subject": call,
            "verdict": "deny",
            "by": "enforcement",
            "rule": null,
            "reason": why,
        });
        self.append(thread, about);
    }

    /// Writes a line, with whose call it is about.
    fn append(&self, thread: u32, mut line: serde_json::Value) {
        let Some(log) = &self.log else { return };
        let name = std::fs::read_to_string(format!("/proc/{thread}/comm")).unwrap_or_default();
        line["process"] = super::processes::process_of(thread).unwrap_or(thread).into();
        line["name"] = name.trim_end().into();
        let mut file = log.lock().unwrap_or_else(PoisonError::into_inner);
        // A log that is full or gone keeps nobody from being denied.
        let _ = file.write_all(format!("{line}\n").as_bytes());
    }
}

/// A Mac's error number as this system has it.
pub fn linux_errno(number: i32) -> Option<Errno> {
    // The first 34 are the same but for EDEADLK and EAGAIN, which are exchanged.
    Some(match number {
        1..=10 | 12..=34 => number,
        11 => libc::EDEADLK,
        35 => libc::EAGAIN,
        36 => libc::EINPROGRESS,
        37 => libc::EALREADY,
        38 => libc::ENOTSOCK,
        39 => libc::EDESTADDRREQ,
        40 => libc::EMSGSIZE,
        41 => libc::EPROTOTYPE,
        42 => libc::ENOPROTOOPT,
        43 => libc::EPROTONOSUPPORT,
        44 => libc::ESOCKTNOSUPPORT,
        45 => libc::ENOTSUP,
        46 => libc::EPFNOSUPPORT,
        47 => libc::EAFNOSUPPORT,
        48 => libc::EADDRINUSE,
        49 => libc::EADDRNOTAVAIL,
        50 => libc::ENETDOWN,
        51 => libc::ENETUNREACH,
        52 => libc::ENETRESET,
        53 => libc::ECONNABORTED,
        54 => libc::ECONNRESET,
        55 => libc::ENOBUFS,
        56 => libc::EISCONN,
        57 => libc::ENOTCONN,
        58 => libc::ESHUTDOWN,
        59 => libc::ETOOMANYREFS,
        60 => libc::ETIMEDOUT,
        61 => libc::ECONNREFUSED,
        62 => libc::ELOOP,
        63 => libc::ENAMETOOLONG,
        64 => libc::EHOSTDOWN,
        65 => libc::EHOSTUNREACH,
        66 => libc::ENOTEMPTY,
        68 => libc::EUSERS,
        69 => libc::EDQUOT,
        70 => libc::ESTALE,
        71 => libc::EREMOTE,
        77 => libc::ENOLCK,
        78 => libc::ENOSYS,
        84 => libc::EOVERFLOW,
        89 => libc::ECANCELED,
        90 => libc::EIDRM,
        91 => libc::ENOMSG,
        92 => libc::EILSEQ,
        93 => libc::ENODATA,
        94 => libc::EBADMSG,
        95 => libc::EMULTIHOP,
        96 => libc::ENODATA,
        97 => libc::ENOLINK,
        98 => libc::ENOSR,
        99 => libc::ENOSTR,
        100 => libc::EPROTO,
        101 => libc::ETIME,
        102 => libc::EOPNOTSUPP,
        104 => libc::ENOTRECOVERABLE,
        105 => libc::EOWNERDEAD,
        _ => return None,
    })
}

/// A Mac's signal number as this system has it.
fn linux_signal(number: i32) -> Option<i32> {
    Some(match number {
        1..=6 | 8 | 9 | 11 | 13..=15 | 21 | 22 | 24..=28 => number,
        10 => libc::SIGBUS,
        12 => libc::SIGSYS,
        16 => libc::SIGURG,
        17 => libc::SIGSTOP,
        18 => libc::SIGTSTP,
        19 => libc::SIGCONT,
        20 => libc::SIGCHLD,
        23 => libc::SIGIO,
        30 => libc::SIGUSR1,
        31 => libc::SIGUSR2,
        _ => return None,
    })
}

/// This system's signal number as a Mac has it.
#[must_use]
pub fn mac_signal(number: i32) -> Option<u16> {
    (1..=31).find(|mac| linux_signal(*mac) == Some(number)).and_then(|mac| u16::try_from(mac).ok())
}
