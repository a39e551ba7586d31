//! In: work for a caller that may wait for somebody else: a peer, a reader, room. Out: its result, or an
//! interruption once the caller is gone. Never: so many at once that nobody is left for the other calls.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::judge::Denied;
use super::supervisor::{Supervisor, Task};
use super::system;

/// How often it is looked whether callers still wait.
const PAUSE: Duration = Duration::from_millis(50);

/// What the supervisor's threads wait for.
pub struct Waits {
    /// Which thread of ours waits for which call.
    threads: Mutex<FxHashMap<u32, u64>>,
    most: usize,
    has_watcher: AtomicBool,
}

impl Waits {
    /// Room for so many at once.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { threads: Mutex::default(), most, has_watcher: AtomicBool::new(false) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut FxHashMap<u32, u64>) -> T) -> T {
        work(&mut self.threads.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Takes a thread off the list, also where its work panics.
struct Waiting<'a> {
    waits: &'a Waits,
    thread: u32,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.waits.with(|threads| threads.remove(&self.thread));
    }
}

impl Task<'_> {
    /// Does work that may wait. It is interrupted (EINTR, which the caller never sees) when the caller is
    /// ended or gets a signal.
    ///
    /// # Errors
    /// EAGAIN where too many wait already; ENOENT where the caller is gone.
    pub fn waiting<T>(&self, work: impl FnOnce() -> T) -> Result<T, Denied> {
        let supervisor = self.supervisor;
        let waits = &supervisor.waits;
        let thread = system::own_thread();
        let has_room = supervisor.is_served() && watched(supervisor);
        let is_listed = has_room
            && waits.with(|threads| {
                let fits = threads.len() < waits.most;
                if fits {
                    threads.insert(thread, self.notification.id);
                }
                fits
            });
        if !is_listed {
            supervisor.judge.note(self.thread(), self.name(), "too many calls wait already");
            return Err(libc::EAGAIN.into());
        }
        let _waiting = Waiting { waits, thread };
        system::may_be_interrupted();
        // Who looks after those that wait may have ended before this one was listed.
        self.still()?;
        let done = work();
        self.still()?;
        Ok(done)
    }
}

/// Sees to it that there is a thread that interrupts; whether there is.
fn watched(supervisor: &Arc<Supervisor>) -> bool {
    if supervisor.waits.has_watcher.swap(true, Ordering::AcqRel) {
        return true;
    }
    let watcher = Arc::clone(supervisor);
    let started = system::prepare_interruptions()
        .and_then(|()| std::thread::Builder::new().stack_size(64 * 1024).spawn(move || watch(&watcher)).map(drop));
    if started.is_err() {
        supervisor.waits.has_watcher.store(false, Ordering::Release);
    }
    started.is_ok()
}

fn watch(supervisor: &Supervisor) {
    loop {
        std::thread::sleep(PAUSE);
        let waiting = supervisor.waits.with(|threads| {
            // A signal before the call that waits is lost: the next round sends another one.
            for (thread, _) in threads.iter().filter(|(_, id)| !supervisor.is_waiting(**id)) {
                system::interrupt_own(*thread);
            }
            threads.len()
        });
        if waiting == 0 && supervisor.has_ended() {
            return;
        }
    }
}
