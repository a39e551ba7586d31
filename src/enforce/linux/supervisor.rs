//! In: a policy, and the descriptor by which the kernel asks about the calls of all processes under it.
//! Out: an answer to each. Never: a call that goes on by what its process may have changed meanwhile,
//! but where that decides nothing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;
use rustix::event::{PollFd, PollFlags};

use super::calls::{self, Call};
use super::judge::{Denied, Facts, Judge};
use super::processes::{self, Status};
use super::system::{self, Answer, Credentials, Notification};
use super::waits::Waits;
use super::walk::{self, Lookup, Place};

/// Most calls that are answered at once. More wait until one is done.
const MAX_AT_ONCE: usize = 1024;

/// Most of those that wait for somebody else.
const MAX_WAITING: usize = 768;

/// So many descriptors are held for a call at once, at most: what was found, what is opened, where from.
const DESCRIPTORS: u64 = 4;

/// Threads that stay when there is nothing to do.
const STAY: usize = 4;

/// What a call gives back, if it is not refused.
pub enum Reply {
    /// This value.
    Value(i64),
    /// A new descriptor; whether it is closed when a program starts.
    Descriptor(OwnedFd, bool),
    /// The kernel does it: what decides is in registers, or is looked at again.
    Continue,
    /// It is answered already.
    Done,
}

impl From<()> for Reply {
    fn from((): ()) -> Self {
        Self::Value(0)
    }
}

/// Serves all processes under one policy.
pub struct Supervisor {
    /// Who decides.
    pub judge: Judge,
    /// This process: nobody under the policy may look into it.
    pub process: u32,
    /// The first process under the policy.
    pub first: u32,
    listener: OwnedFd,
    calls: FxHashMap<i64, &'static Call>,
    /// Somebody may act as somebody else than the supervisor.
    changed: AtomicBool,
    threads: AtomicUsize,
    /// Threads of ours that wait for the next call.
    idle: AtomicUsize,
    /// And those that wait for somebody else in one.
    pub waits: Waits,
    turn: Mutex<()>,
    ended: AtomicBool,
    /// Who this process is, where it could act as somebody else.
    own: Option<Credentials>,
}

/// A call that is to be answered.
pub struct Task<'a> {
    /// Who answers.
    pub supervisor: &'a Arc<Supervisor>,
    /// What was asked.
    pub notification: Notification,
}

impl Supervisor {
    /// Serves the calls of this listener.
    #[must_use]
    pub fn new(judge: Judge, listener: OwnedFd, first: u32) -> Arc<Self> {
        system::answer_at_once(listener.as_fd());
        let room = usize::try_from(system::most_descriptors() / DESCRIPTORS).unwrap_or(usize::MAX);
        Arc::new(Self {
            judge,
            process: std::process::id(),
            first,
            listener,
            calls: calls::all().map(|call| (call.number, call)).collect(),
            changed: AtomicBool::new(false),
            threads: AtomicUsize::new(1),
            idle: AtomicUsize::new(0),
            waits: Waits::new(MAX_WAITING.min(room)),
            turn: Mutex::new(()),
            ended: AtomicBool::new(false),
            // Where that cannot be read nobody's rights can, and nothing is done for anybody.
            own: own_credentials().map_or(Some(Credentials::default()), |own| (own.capabilities != 0).then_some(own)),
        })
    }

    /// Answers until no process is left under the policy.
    pub fn serve_all(self: &Arc<Self>) {
        self.serve();
        // This thread may have been one too many.
        while self.threads.load(Ordering::Acquire) > 0 {
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    }

    /// Answers as long as there are not enough others who do.
    pub fn serve(self: &Arc<Self>) {
        // Directory and mask of a thread are its own; without that, none of it can act for others.
        if system::own_directory().is_err() {
            return;
        }
        while let Some(notification) = self.next() {
            if self.idle.load(Ordering::Acquire) == 0 {
                self.more_threads();
            }
            let task = Task { supervisor: self, notification };
            task.answer();
            if self.idle.load(Ordering::Acquire) >= STAY {
                break;
            }
        }
        self.threads.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether it could be started.
    fn more_threads(self: &Arc<Self>) -> bool {
        if self.threads.fetch_add(1, Ordering::AcqRel) >= MAX_AT_ONCE {
            self.threads.fetch_sub(1, Ordering::AcqRel);
            return false;
        }
        let supervisor = Arc::clone(self);
        let started = std::thread::Builder::new().stack_size(512 * 1024).spawn(move || supervisor.serve());
        if started.is_err() {
            self.threads.fetch_sub(1, Ordering::AcqRel);
        }
        started.is_ok()
    }

    /// Whether somebody takes the next call while this thread waits.
    #[must_use]
    pub fn is_served(self: &Arc<Self>) -> bool {
        self.idle.load(Ordering::Acquire) > 0 || self.more_threads()
    }

    /// Whether the caller of a call still waits for the answer.
    #[must_use]
    pub fn is_waiting(&self, call: u64) -> bool {
        system::is_waiting(self.listener.as_fd(), call)
    }

    /// Whether no process is left under the policy.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// The next call. One thread waits at a time.
    fn next(&self) -> Option<Notification> {
        self.idle.fetch_add(1, Ordering::AcqRel);
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let notification = self.received();
        drop(turn);
        self.idle.fetch_sub(1, Ordering::AcqRel);
        notification
    }

    fn received(&self) -> Option<Notification> {
        loop {
            if self.ended.load(Ordering::Acquire) {
                return None;
            }
            let mut wanted = [PollFd::new(&self.listener, PollFlags::IN)];
            if rustix::event::poll(&mut wanted, None).is_err() {
                continue;
            }
            let events = wanted[0].revents();
            if events.contains(PollFlags::IN) {
                match system::receive(self.listener.as_fd()) {
                    Ok(notification) => return Some(notification),
                    // The caller is gone.
                    Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => continue,
                    Err(_) => {}
                }
            } else if !events.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
                continue;
            }
            self.ended.store(true, Ordering::Release);
        }
    }

    /// Whether a process is under this policy, as far as its ancestors tell. The child of this process that
    /// waits for them, and takes those that are left without a parent, is not.
    #[must_use]
    pub fn has(&self, process: u32) -> bool {
        let mut ancestor = process;
        for _ in 0..1000 {
            if ancestor == self.first {
                return true;
            }
            match processes::status(ancestor) {
                // A child of the supervisor waits for those under the policy, and is none of them.
                Some(status) if status.parent == self.process && self.process != 0 => return ancestor != process,
                Some(status) if status.parent > 1 => ancestor = status.parent,
                _ => return false,
            }
        }
        false
    }
}

fn own_credentials() -> Option<Credentials> {
    processes::status(std::process::id()).map(|status| status.credentials)
}

/// Whether this process could act as somebody else.
#[must_use]
pub fn may_change() -> bool {
    own_credentials().is_none_or(|own| own.capabilities != 0)
}

impl Task<'_> {
    /// The thread that asks.
    #[must_use]
    pub fn thread(&self) -> u32 {
        self.notification.thread
    }

    /// The call's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.supervisor.calls.get(&self.notification.call).map_or("", |call| call.name)
    }

    /// An argument.
    #[must_use]
    pub fn argument(&self, number: usize) -> u64 {
        self.notification.arguments.get(number).copied().unwrap_or(0)
    }

    /// An argument that is a number of 32 bits; the kernel looks at no more of it.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "as the kernel does")]
    pub fn number(&self, number: usize) -> i32 {
        self.argument(number) as i32
    }

    /// The descriptor by which the kernel asks.
    #[must_use]
    pub fn listener(&self) -> BorrowedFd<'_> {
        self.supervisor.listener.as_fd()
    }

    /// Whether the caller still waits; all that was read of it before was its own then.
    ///
    /// # Errors
    /// ENOENT where it does not.
    pub fn still(&self) -> Result<(), Denied> {
        if self.supervisor.is_waiting(self.notification.id) { Ok(()) } else { Err(libc::ENOENT.into()) }
    }

    /// Asks the policy.
    ///
    /// # Errors
    /// A denial.
    pub fn ask(&self, operation: &str, facts: &Facts<'_>) -> Result<(), Denied> {
        self.supervisor.judge.ask(self.thread(), operation, facts)
    }

    /// Whose process that is.
    ///
    /// # Errors
    /// ESRCH.
    pub fn status(&self) -> Result<Status, Denied> {
        processes::status(self.thread()).ok_or(libc::ESRCH.into())
    }

    /// A string of the caller.
    ///
    /// # Errors
    /// EFAULT, ENAMETOOLONG.
    pub fn string(&self, argument: usize) -> Result<Vec<u8>, Denied> {
        Ok(processes::string(self.thread(), self.argument(argument))?)
    }

    /// Looks a path of the caller up.
    ///
    /// # Errors
    /// What the lookup gives; a denial of a symlink on the way.
    pub fn look_up(&self, directory: i32, path: &[u8], how: How) -> Result<Place, Denied> {
        let start = if path.starts_with(b"/") { None } else { Some(processes::directory(self.thread(), directory)?) };
        self.still()?;
        let mut crossing = |link: &[u8]| self.ask("file-read-metadata", &Facts::file(link, Some("SYMLINK")));
        let mut lookup = Lookup {
            thread: self.thread(),
            supervisor: self.supervisor.process,
            follow: how.follow,
            may_be_missing: how.may_be_missing,
            wants_name: how.wants_name,
            crossing: &mut crossing,
        };
        walk::look_up(start, path, &mut lookup)
    }

    fn answer(&self) {
        let reply = self.reply();
        let listener = self.listener();
        let id = self.notification.id;
        // Where the caller is gone there is nobody to tell.
        let _ = match reply {
            Ok(Reply::Value(value)) => system::respond(listener, id, Answer::Value(value)),
            Ok(Reply::Continue) => system::respond(listener, id, Answer::Continue),
            Ok(Reply::Done) => Ok(()),
            Ok(Reply::Descriptor(descriptor, closes)) => system::respond_with(listener, id, descriptor.as_fd(), closes)
                .or_else(|error| system::respond(listener, id, Answer::Error(system::errno(&error)))),
            Err(Denied { errno, signal }) => {
                if let Some(signal) = signal {
                    let process = processes::process_of(self.thread()).unwrap_or(self.thread());
                    system::signal_thread(process, self.thread(), signal);
                }
                system::respond(listener, id, Answer::Error(errno))
            }
        };
    }

    fn reply(&self) -> Result<Reply, Denied> {
        let number = self.notification.call;
        let is_prctl = number == libc::SYS_prctl;
        if is_prctl && self.argument(0) & 0xffff_ffff == system::QUESTION {
            return super::question::answer(self);
        }
        // It becomes somebody else, or loses rights, at once or when it starts a program.
        if is_prctl || calls::CREDENTIALS.contains(&number) {
            self.supervisor.changed.store(true, Ordering::Release);
            return Ok(Reply::Continue);
        }
        let call = self.supervisor.calls.get(&number).ok_or(libc::ENOSYS)?;
        match &self.supervisor.own {
            Some(own) if self.supervisor.changed.load(Ordering::Acquire) => self.as_the_caller(own, call),
            _ => self.done(call),
        }
    }

    /// Does a call. A bug of ours must not end the thread that others wait for, nor leave it with the rights
    /// of a caller: the call is refused.
    fn done(&self, call: &Call) -> Result<Reply, Denied> {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (call.work)(self)))
            .unwrap_or(Err(Denied { errno: libc::EPERM, signal: None }))
    }

    /// Does a call with the rights of the caller, which are not the supervisor's.
    fn as_the_caller(&self, own: &Credentials, call: &Call) -> Result<Reply, Denied> {
        let caller = self.status()?.credentials;
        self.still()?;
        if caller == *own {
            return self.done(call);
        }
        let reply = match system::act_as(&caller) {
            Ok(()) => self.done(call),
            Err(error) => Err(system::errno(&error).into()),
        };
        if system::act_as(own).is_err() {
            // This thread is nobody we know; the process must not go on with it.
            system::end(70);
        }
        reply
    }
}

/// How a path of a caller is looked up.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// Follow a symlink at the end.
    pub follow: bool,
    /// Its last component need not be there.
    pub may_be_missing: bool,
    /// The directory and the name are wanted.
    pub wants_name: bool,
}
