//! In: other processes. Out: their memory, signals to them, new ones, and how they end. Never: whose they
//! may be.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::checked;

/// Reads another process's memory, as much as there is in one piece.
///
/// # Errors
/// EFAULT where nothing is there, EPERM, ESRCH.
pub fn read_memory(thread: u32, address: u64, into: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: into.len() };
    let process = i32::try_from(thread).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
    // SAFETY: the kernel writes into `into` only; the other address is of the other process.
    let count = checked(unsafe { libc::process_vm_readv(process, &raw const local, 1, &raw const remote, 1, 0) } as _)?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Writes into another process's memory, all of it.
///
/// # Errors
/// As [`read_memory`].
pub fn write_memory(thread: u32, address: u64, bytes: &[u8]) -> io::Result<()> {
    let local = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: bytes.len() };
    let process = i32::try_from(thread).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
    // SAFETY: the kernel reads `bytes` only.
    let count =
        checked(unsafe { libc::process_vm_writev(process, &raw const local, 1, &raw const remote, 1, 0) } as _)?;
    if usize::try_from(count) == Ok(bytes.len()) { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EFAULT)) }
}

/// Sends a signal to a thread.
pub fn signal_thread(process: u32, thread: u32, signal: i32) {
    // SAFETY: takes numbers only.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal) };
}

/// Ends a process.
pub fn kill(process: u32) {
    // SAFETY: takes numbers.
    unsafe { libc::kill(i32::try_from(process).unwrap_or(i32::MAX), libc::SIGKILL) };
}

/// Which of the two processes this is after [`fork`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forked {
    /// The old one; the new one's number.
    Parent(u32),
    /// The new one.
    Child,
}

/// Makes a second process of this one.
///
/// # Errors
/// EAGAIN, ENOMEM.
pub fn fork() -> io::Result<Forked> {
    // SAFETY: the child may allocate: the C libraries of Linux make their allocator usable in it. It must
    // not wait for locks that other threads of the parent hold; what runs in it is ours and takes none.
    let process = checked(unsafe { libc::fork() }.into())?;
    Ok(if process == 0 { Forked::Child } else { Forked::Parent(u32::try_from(process).unwrap_or(0)) })
}

/// Ends this process without anything that runs at exit.
pub fn end(status: i32) -> ! {
    // SAFETY: does not come back.
    unsafe { libc::_exit(status) }
}

/// Waits for a child of this process.
pub fn wait_for(process: u32) {
    let mut status = 0;
    // SAFETY: the kernel writes one number.
    while unsafe { libc::waitpid(i32::try_from(process).unwrap_or(-1), &raw mut status, 0) } < 0
        && io::Error::last_os_error().raw_os_error() == Some(libc::EINTR)
    {}
}

/// Closes every descriptor from a number on.
pub fn close_from(first: u32, last: u32) {
    // SAFETY: the callers own what lies there, or are a process of their own that nobody shares it with.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
}

/// A command that does something in the new process before the program starts.
pub fn before_program(
    command: &mut std::process::Command,
    step: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    use std::os::unix::process::CommandExt;
    // SAFETY: the step makes system calls and allocates nothing after the fork.
    unsafe { command.pre_exec(step) };
}

/// Sends a signal to the process that a descriptor is of.
///
/// # Errors
/// What the kernel says.
pub fn signal_by_descriptor(process: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let nothing = std::ptr::null::<libc::c_void>();
    // SAFETY: takes numbers, and no information.
    checked(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, nothing, 0) }).map(drop)
}

/// Waits for any child of this process; its number and how it ended. Nothing where there is none left.
#[must_use]
pub fn wait_for_any() -> Option<(u32, i32)> {
    let mut status = 0;
    loop {
        // SAFETY: the kernel writes one number.
        match checked(unsafe { libc::waitpid(-1, &raw mut status, 0) }.into()) {
            Ok(process) => return Some((u32::try_from(process).unwrap_or(0), status)),
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            Err(_) => return None,
        }
    }
}

/// Signals that a terminal sends to all processes that it serves.
const TERMINAL: [i32; 7] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU, libc::SIGPIPE];

/// Ignores what a terminal sends; what was done about it before.
#[must_use]
pub fn ignore_terminal() -> Vec<(i32, usize)> {
    // SAFETY: sets no handler.
    TERMINAL.iter().map(|signal| (*signal, unsafe { libc::signal(*signal, libc::SIG_IGN) })).collect()
}

/// Does about it what was done before. Of SIGPIPE that is what Rust's own start made of it; `Command` sets it
/// to the default, as a program expects it.
pub fn restore_terminal(before: &[(i32, usize)]) {
    for (signal, action) in before.iter().filter(|(signal, _)| *signal != libc::SIGPIPE) {
        // SAFETY: what was set before this program's own code ran: to ignore, or the default.
        unsafe { libc::signal(*signal, *action) };
    }
}

/// The signals of this process, which are read instead of ending it, to be passed on.
pub struct Signals {
    queue: OwnedFd,
    before: libc::sigset_t,
}

impl Signals {
    /// Takes those that end a process and that somebody may send to it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn taken() -> io::Result<Self> {
        let wanted = [
            libc::SIGHUP,
            libc::SIGINT,
            libc::SIGQUIT,
            libc::SIGTERM,
            libc::SIGUSR1,
            libc::SIGUSR2,
            libc::SIGALRM,
            libc::SIGWINCH,
        ];
        // SAFETY: sets of signals are plain numbers; the functions fill them in.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in wanted {
                libc::sigaddset(&raw mut set, signal);
            }
            let failed = libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut before);
            if failed != 0 {
                return Err(io::Error::from_raw_os_error(failed));
            }
            let queue = checked(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC).into())?;
            let queue = OwnedFd::from_raw_fd(i32::try_from(queue).unwrap_or(-1));
            Ok(Self { queue, before })
        }
    }

    /// Sends each on to a process, until there is something to read. What a terminal sent that process has
    /// got itself.
    pub fn pass_on(&self, process: u32, until: BorrowedFd<'_>) {
        use rustix::event::{PollFd, PollFlags};
        let mut bytes = [0u8; size_of::<libc::signalfd_siginfo>()];
        loop {
            let mut wanted = [PollFd::new(&self.queue, PollFlags::IN), PollFd::from_borrowed_fd(until, PollFlags::IN)];
            if rustix::event::poll(&mut wanted, None).is_err() {
                continue;
            }
            if wanted[0].revents().contains(PollFlags::IN) && rustix::io::read(&self.queue, &mut bytes).is_ok() {
                let number = |at: usize| {
                    bytes.get(at..at + 4).and_then(|part| part.try_into().ok()).map_or(0, i32::from_ne_bytes)
                };
                let (signal, sent) = (number(0), number(8));
                if sent != libc::SI_KERNEL {
                    // SAFETY: takes numbers.
                    unsafe { libc::kill(i32::try_from(process).unwrap_or(i32::MAX), signal) };
                }
            } else if !wanted[1].revents().is_empty() {
                return;
            }
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // SAFETY: a set that was got from the same function.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut()) };
    }
}

/// Ends this process by a signal, as it ended another one.
pub fn end_by(signal: i32) -> ! {
    // SAFETY: takes numbers.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
        libc::_exit(128 + signal)
    }
}

/// The group of a process; those of the kernel itself have none.
#[must_use]
pub fn group_of(process: u32) -> Option<u32> {
    // SAFETY: takes a number.
    let group = unsafe { libc::getpgid(i32::try_from(process).ok()?) };
    u32::try_from(group).ok().filter(|group| *group > 0)
}
