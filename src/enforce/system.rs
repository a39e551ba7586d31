//! In: what the supervisor wants of the kernel. Out: safe functions for the calls that no library wraps:
//! seccomp's notifications, another process's memory, threads' credentials, tracing. Never: a decision.
//!
//! With `crate::library` the one place with `unsafe`.
#![allow(unsafe_code, reason = "the system calls that no safe library offers")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// An error number of the system.
pub type Errno = i32;

fn checked(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The error number of an error; EIO where it has none.
#[must_use]
pub fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().unwrap_or(libc::EIO)
}

/// One instruction of a filter: classic BPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// What it does.
    pub code: u16,
    /// Instructions to skip if a comparison holds.
    pub yes: u8,
    /// Instructions to skip if not.
    pub no: u8,
    /// Its constant.
    pub constant: u32,
}

/// Gives up all ways to gain privileges, which a filter without root needs.
///
/// # Errors
/// What the kernel says.
pub fn renounce_privileges() -> io::Result<()> {
    // SAFETY: takes numbers only.
    checked(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.into()).map(drop)
}

/// Puts a filter on all threads of this process; the descriptor by which its questions are read.
///
/// # Errors
/// EBUSY where a filter asks already; EINVAL where the kernel lacks what is needed.
pub fn install(program: &[Instruction]) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Program {
        length: u16,
        instructions: *const Instruction,
    }
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let program = Program { length, instructions: program.as_ptr() };
    // With the last flag only a signal that kills interrupts a call that is being answered.
    let base = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER
        | libc::SECCOMP_FILTER_FLAG_TSYNC
        | libc::SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
    let mut last = Ok(0);
    for flags in [base | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, base] {
        // SAFETY: `program` is a `sock_fprog` with that many instructions, and outlives the call.
        last = checked(unsafe {
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, std::ptr::from_ref(&program))
        });
        if !matches!(&last, Err(error) if error.raw_os_error() == Some(libc::EINVAL)) {
            break;
        }
    }
    let descriptor = i32::try_from(last?).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// A call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Notification {
    /// Its number.
    pub id: u64,
    /// The thread that made it.
    pub thread: u32,
    /// The number of the system call.
    pub call: i64,
    /// Its arguments.
    pub arguments: [u64; 6],
}

/// Waits for a call.
///
/// # Errors
/// ENOENT where the caller is gone, EINTR.
pub fn receive(listener: BorrowedFd<'_>) -> io::Result<Notification> {
    // SAFETY: all-zero is a value of it, as the kernel demands.
    let mut raw: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes no more than this structure; newer fields come with newer numbers.
    checked(
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, std::ptr::from_mut(&mut raw)) }
            .into(),
    )?;
    Ok(Notification { id: raw.id, thread: raw.pid, call: raw.data.nr.into(), arguments: raw.data.args })
}

/// Whether a call still waits: what was read of its caller before is of that caller then.
#[must_use]
pub fn is_waiting(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: the kernel reads eight bytes.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, std::ptr::from_ref(&id)) == 0 }
}

/// What a call gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This value.
    Value(i64),
    /// This error.
    Error(Errno),
    /// The kernel does it, by the arguments as they are now.
    Continue,
}

/// Answers a call.
///
/// # Errors
/// ENOENT where the caller is gone.
pub fn respond(listener: BorrowedFd<'_>, id: u64, answer: Answer) -> io::Result<()> {
    let (val, error, flags) = match answer {
        Answer::Value(value) => (value, 0, 0),
        Answer::Error(errno) => (0, -errno, 0),
        Answer::Continue => (0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
    };
    let mut raw = libc::seccomp_notif_resp { id, val, error, flags };
    // SAFETY: the kernel reads this structure.
    checked(
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, std::ptr::from_mut(&mut raw)) }
            .into(),
    )
    .map(drop)
}

/// Gives the caller a descriptor and answers with its number, in one step.
///
/// # Errors
/// ENOENT where the caller is gone, EMFILE where it has too many.
pub fn respond_with(listener: BorrowedFd<'_>, id: u64, descriptor: BorrowedFd<'_>, closes: bool) -> io::Result<()> {
    let raw = libc::seccomp_notif_addfd {
        id,
        flags: libc::SECCOMP_ADDFD_FLAG_SEND as u32,
        srcfd: u32::try_from(descriptor.as_raw_fd()).unwrap_or(u32::MAX),
        newfd: 0,
        newfd_flags: if closes { libc::O_CLOEXEC as u32 } else { 0 },
    };
    // SAFETY: the kernel reads this structure.
    checked(
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD, std::ptr::from_ref(&raw)) }.into(),
    )
    .map(drop)
}

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

/// The status of a file as the calls `stat`, `fstat`, `newfstatat` write it.
///
/// # Errors
/// What the kernel says.
pub fn status_bytes(file: BorrowedFd<'_>) -> io::Result<[u8; size_of::<libc::stat>()]> {
    let mut bytes = [0; size_of::<libc::stat>()];
    // SAFETY: `libc::stat` is the kernel's structure on the architectures that this is built for, and
    // has this size; any bytes will do for it.
    checked(unsafe {
        libc::syscall(libc::SYS_newfstatat, file.as_raw_fd(), c"".as_ptr(), bytes.as_mut_ptr(), libc::AT_EMPTY_PATH)
    })?;
    Ok(bytes)
}

/// The status of a file as `statx` writes it.
///
/// # Errors
/// What the kernel says.
pub fn extended_status_bytes(file: BorrowedFd<'_>, flags: i32, mask: u32) -> io::Result<[u8; 256]> {
    let mut bytes = [0; 256];
    let sync = flags & (libc::AT_STATX_FORCE_SYNC | libc::AT_STATX_DONT_SYNC);
    // SAFETY: the kernel's structure has 256 bytes.
    checked(unsafe {
        libc::syscall(
            libc::SYS_statx,
            file.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | sync,
            mask,
            bytes.as_mut_ptr(),
        )
    })?;
    Ok(bytes)
}

/// The status of a file system as `statfs` writes it.
///
/// # Errors
/// What the kernel says.
pub fn file_system_bytes(file: BorrowedFd<'_>) -> io::Result<[u8; size_of::<libc::statfs>()]> {
    let mut bytes = [0; size_of::<libc::statfs>()];
    // SAFETY: as for `status_bytes`.
    checked(unsafe { libc::syscall(libc::SYS_fstatfs, file.as_raw_fd(), bytes.as_mut_ptr()) })?;
    Ok(bytes)
}

/// Whether an access would be permitted.
///
/// # Errors
/// EACCES and the like.
pub fn access(file: BorrowedFd<'_>, mode: i32, flags: i32) -> io::Result<()> {
    // SAFETY: takes numbers and a string of ours.
    checked(unsafe {
        libc::syscall(libc::SYS_faccessat2, file.as_raw_fd(), c"".as_ptr(), mode, flags | libc::AT_EMPTY_PATH)
    })
    .map(drop)
}

/// Adds a watch, for a file by its path.
///
/// # Errors
/// What the kernel says.
pub fn watch(queue: BorrowedFd<'_>, path: &CStr, mask: u32) -> io::Result<i64> {
    // SAFETY: takes numbers and a string of ours.
    checked(unsafe { libc::inotify_add_watch(queue.as_raw_fd(), path.as_ptr(), mask) }.into())
}

/// Connects a socket, or binds it.
///
/// # Errors
/// What the kernel says.
pub fn address_call(socket: BorrowedFd<'_>, address: &[u8], binds: bool) -> io::Result<()> {
    let length = libc::socklen_t::try_from(address.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let call = if binds { libc::bind } else { libc::connect };
    // SAFETY: the kernel reads `length` bytes of the address.
    checked(unsafe { call(socket.as_raw_fd(), address.as_ptr().cast(), length) }.into()).map(drop)
}

/// A message for [`send`].
pub struct Message<'a> {
    /// Where to, as the kernel's structure; empty where the socket knows.
    pub address: &'a [u8],
    /// What.
    pub data: &'a [u8],
    /// Control messages: level, type, contents.
    pub control: &'a [(i32, i32, Vec<u8>)],
}

/// Sends a message.
///
/// # Errors
/// What the kernel says.
pub fn send(socket: BorrowedFd<'_>, message: &Message<'_>, flags: i32) -> io::Result<i64> {
    let align = size_of::<usize>();
    let head = size_of::<libc::cmsghdr>().next_multiple_of(align);
    let mut control: Vec<u8> = Vec::new();
    for (level, kind, contents) in message.control {
        control.extend((head + contents.len()).to_ne_bytes());
        control.extend(level.to_ne_bytes());
        control.extend(kind.to_ne_bytes());
        control.resize(control.len().next_multiple_of(align), 0);
        control.extend(contents);
        control.resize(control.len().next_multiple_of(align), 0);
    }
    let mut data = libc::iovec { iov_base: message.data.as_ptr().cast_mut().cast(), iov_len: message.data.len() };
    // SAFETY: all-zero is an empty message.
    let mut raw: libc::msghdr = unsafe { std::mem::zeroed() };
    if !message.address.is_empty() {
        raw.msg_name = message.address.as_ptr().cast_mut().cast();
        raw.msg_namelen = libc::socklen_t::try_from(message.address.len()).unwrap_or(0);
    }
    raw.msg_iov = &raw mut data;
    raw.msg_iovlen = 1;
    if !control.is_empty() {
        raw.msg_control = control.as_mut_ptr().cast();
        raw.msg_controllen = control.len() as _;
    }
    // SAFETY: all parts outlive the call, and it writes to none of them.
    checked(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const raw, flags) } as _)
}

/// Sends a signal to a thread.
pub fn signal_thread(process: u32, thread: u32, signal: i32) {
    // SAFETY: takes numbers only.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal) };
}

/// Who acts for file permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user for files.
    pub user: u32,
    /// The group for files.
    pub group: u32,
    /// The real and the effective user: who is asked for by `access`, and told to a peer.
    pub users: [u32; 2],
    /// The same of the group.
    pub group_pair: [u32; 2],
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Effective capabilities.
    pub capabilities: u64,
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    process: i32,
}

/// Effective, permitted, inheritable, for the lower and the upper half.
type CapabilitySets = [[u32; 3]; 2];

const CAPABILITY_VERSION: u32 = 0x2008_0522;

fn capabilities() -> io::Result<CapabilitySets> {
    let header = CapabilityHeader { version: CAPABILITY_VERSION, process: 0 };
    let mut sets: CapabilitySets = [[0; 3]; 2];
    // SAFETY: the structures of this version.
    checked(unsafe { libc::syscall(libc::SYS_capget, std::ptr::from_ref(&header), sets.as_mut_ptr()) })?;
    Ok(sets)
}

fn set_effective(effective: u64) -> io::Result<()> {
    let mut sets = capabilities()?;
    // The halves are what is wanted.
    #[allow(clippy::cast_possible_truncation, reason = "the halves")]
    let halves = [effective as u32, (effective >> 32) as u32];
    for (set, half) in sets.iter_mut().zip(halves) {
        set[0] = half & set[1];
    }
    let header = CapabilityHeader { version: CAPABILITY_VERSION, process: 0 };
    // SAFETY: as above.
    checked(unsafe { libc::syscall(libc::SYS_capset, std::ptr::from_ref(&header), sets.as_ptr()) }).map(drop)
}

/// Makes this thread act as somebody else for files; only a root may.
///
/// # Errors
/// What the kernel says. The thread must not go on then: it may be half of both.
pub fn act_as(who: &Credentials) -> io::Result<()> {
    // All that there is, to be able to change at all.
    set_effective(u64::MAX)?;
    // SAFETY: a list of numbers and its length; as system calls these are of this thread alone.
    unsafe {
        checked(libc::syscall(libc::SYS_setgroups, who.groups.len(), who.groups.as_ptr()))?;
        // The saved ones stay: by them this thread comes back.
        checked(libc::syscall(libc::SYS_setresgid, who.group_pair[0], who.group_pair[1], u32::MAX))?;
        checked(libc::syscall(libc::SYS_setresuid, who.users[0], who.users[1], u32::MAX))?;
    }
    set_effective(u64::MAX)?;
    // SAFETY: takes numbers.
    unsafe {
        libc::syscall(libc::SYS_setfsgid, who.group);
        libc::syscall(libc::SYS_setfsuid, who.user);
        let is = libc::syscall(libc::SYS_setfsuid, u32::MAX);
        if u32::try_from(is) != Ok(who.user) {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
    }
    set_effective(who.capabilities)
}

/// Does something with the right to look into others, if this process has it: that is how a caller's
/// memory and descriptors are had, whoever this thread acts as.
pub fn looking_into<T>(work: impl FnOnce() -> T) -> T {
    const LOOK: u32 = 1 << 19;
    let Some(sets) = capabilities().ok().filter(|sets| sets[0][1] & LOOK != 0 && sets[0][0] & LOOK == 0) else {
        return work();
    };
    let effective = u64::from(sets[0][0]) | (u64::from(sets[1][0]) << 32);
    let _ = set_effective(effective | u64::from(LOOK));
    let done = work();
    if set_effective(effective).is_err() {
        end(70);
    }
    done
}

/// Gives this thread a directory, a root and a mask of its own.
///
/// # Errors
/// What the kernel says.
pub fn own_directory() -> io::Result<()> {
    // SAFETY: takes a number.
    checked(unsafe { libc::unshare(libc::CLONE_FS) }.into()).map(drop)
}

/// Gives this process mounts of its own; `users`: by becoming root of a space of users of its own, in
/// which only its own user is.
///
/// # Errors
/// EPERM where the system keeps that from ordinary users.
pub fn own_mounts(users: bool) -> io::Result<()> {
    let flags = libc::CLONE_NEWNS | if users { libc::CLONE_NEWUSER } else { 0 };
    // SAFETY: takes a number; the caller is the only thread of its process.
    checked(unsafe { libc::unshare(flags) }.into()).map(drop)
}

/// Has the kernel hand the processor over to whoever asks and answers, where it can (Linux 6.6).
pub fn answer_at_once(listener: BorrowedFd<'_>) {
    // `SECCOMP_IOCTL_NOTIF_SET_FLAGS` and its only flag.
    const SET_FLAGS: libc::Ioctl = 0x4008_2104;
    // SAFETY: takes numbers.
    unsafe { libc::ioctl(listener.as_raw_fd(), SET_FLAGS, 1u64) };
}

/// Sets the mask for new files, of this thread after [`own_directory`].
pub fn set_mask(mask: u32) {
    // SAFETY: takes a number.
    unsafe { libc::umask(mask) };
}

/// A flag and a number of ours by which a process asks its supervisor: the kernel knows no such option.
pub const QUESTION: u64 = 0x5342_5851;

/// Asks the supervisor; what it answers.
///
/// # Errors
/// EINVAL of the kernel itself where there is none.
pub fn ask_supervisor(bytes: &[u8]) -> io::Result<i64> {
    // SAFETY: the supervisor, or nobody, reads these bytes.
    checked(unsafe { libc::syscall(libc::SYS_prctl, QUESTION, bytes.as_ptr(), bytes.len(), 0, 0) })
}

/// Starts to trace a thread, so that a program that it starts stops before its first instruction.
///
/// # Errors
/// EPERM where somebody traces it already.
pub fn trace_programs(thread: u32) -> io::Result<()> {
    // If this process ends first, nobody looks at the program: it must not run then.
    let options = libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_EXITKILL;
    // SAFETY: takes numbers.
    checked(unsafe { libc::ptrace(libc::PTRACE_SEIZE, thread, 0usize, options) }).map(drop)
}

/// Stops a traced thread at the next occasion.
///
/// # Errors
/// ESRCH.
pub fn interrupt(thread: u32) -> io::Result<()> {
    // SAFETY: takes numbers.
    checked(unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, thread, 0usize, 0usize) }).map(drop)
}

/// What a traced thread stopped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It became a new program, and is this thread now.
    Program(u32),
    /// Something else; it is this thread, and that signal if it is about to be delivered, or 0.
    Other(u32, i32),
    /// It ended.
    Ended,
}

/// Waits until a thread that this one traces stops.
///
/// # Errors
/// ECHILD where there is none.
pub fn wait_traced() -> io::Result<Stop> {
    let mut status = 0;
    loop {
        // Those that this very thread traces.
        let flags = libc::__WALL | libc::__WNOTHREAD;
        // A child of this process that ended is left to whoever waits for that.
        let (thread, has_ended) = match peek(libc::WEXITED | libc::WSTOPPED | flags) {
            Ok(found) => found,
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => continue,
            Err(error) => return Err(error),
        };
        let own = std::process::id();
        if has_ended && super::processes::parent_of(thread).is_none_or(|parent| parent == own) {
            return Ok(Stop::Ended);
        }
        // SAFETY: the kernel writes one number.
        let thread = match checked(unsafe { libc::waitpid(-1, &raw mut status, flags) }.into()) {
            Ok(thread) => u32::try_from(thread).unwrap_or(0),
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => continue,
            Err(error) => return Err(error),
        };
        if !libc::WIFSTOPPED(status) {
            return Ok(Stop::Ended);
        }
        return Ok(match status >> 16 {
            libc::PTRACE_EVENT_EXEC => Stop::Program(thread),
            0 => Stop::Other(thread, libc::WSTOPSIG(status)),
            _ => Stop::Other(thread, 0),
        });
    }
}

/// Waits until there is something to wait for, and leaves it there: which thread, and whether it ended.
fn peek(flags: i32) -> io::Result<(u32, bool)> {
    // SAFETY: all-zero is a value of it; the kernel fills it in.
    let mut found: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    checked(unsafe { libc::waitid(libc::P_ALL, 0, &raw mut found, flags | libc::WNOWAIT) }.into())?;
    // SAFETY: the kernel has filled in what it says of a child.
    let thread = unsafe { found.si_pid() };
    let has_ended = matches!(found.si_code, libc::CLD_EXITED | libc::CLD_KILLED | libc::CLD_DUMPED);
    Ok((u32::try_from(thread).unwrap_or(0), has_ended))
}

/// Lets a traced thread go; with the signal that it stopped for, if that was one. Whether it did: one that
/// is being killed, or runs, does not.
pub fn let_go(thread: u32, signal: i32) -> bool {
    // SAFETY: takes numbers.
    unsafe { libc::ptrace(libc::PTRACE_DETACH, thread, 0usize, signal as usize) == 0 }
}

/// Ends a process.
pub fn kill(process: u32) {
    // SAFETY: takes numbers.
    unsafe { libc::kill(i32::try_from(process).unwrap_or(i32::MAX), libc::SIGKILL) };
}

/// Lets another process look into this one, where the system asks for that (Yama).
pub fn permit_tracing(by: u32) {
    // SAFETY: takes numbers.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::c_ulong::from(by), 0, 0, 0) };
}

/// Keeps others of this user out of this process: its memory, its descriptors.
pub fn keep_out() {
    // SAFETY: takes numbers.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
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

/// Waits for any child of this thread; its number and how it ended. Nothing where there is none left.
#[must_use]
pub fn wait_for_any() -> Option<(u32, i32)> {
    let mut status = 0;
    loop {
        // The kernel tells a parent also of stops of a child that another thread of the parent traces; those
        // are that thread's, so they are left.
        match peek(libc::WEXITED | libc::__WNOTHREAD) {
            Ok((_, true)) => {}
            Ok((_, false)) => {
                std::thread::sleep(std::time::Duration::from_millis(1));
                continue;
            }
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => continue,
            Err(_) => return None,
        }
        // SAFETY: the kernel writes one number.
        match checked(unsafe { libc::waitpid(-1, &raw mut status, libc::__WNOTHREAD) }.into()) {
            Ok(_) if libc::WIFSTOPPED(status) => {}
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

/// Does about it what was done before.
pub fn restore_terminal(before: &[(i32, usize)]) {
    for (signal, action) in before {
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
