//! In: a filter, and answers. Out: the filter on this process, and the calls that it asks about (seccomp).
//! Never: a decision.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::{Errno, checked};

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

/// Whether the kernel gives descriptors as answers ([`respond_with`]; Linux 5.14). A question that is an error in
/// any case: older kernels know its flag not, newer ones know the flag and not the descriptor.
///
/// # Errors
/// ENOSYS where it does not.
pub fn can_give_descriptors(listener: BorrowedFd<'_>) -> io::Result<()> {
    let raw = libc::seccomp_notif_addfd {
        id: 0,
        flags: libc::SECCOMP_ADDFD_FLAG_SEND as u32,
        srcfd: u32::MAX,
        newfd: 0,
        newfd_flags: 0,
    };
    // SAFETY: the kernel reads this structure.
    let result =
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD, std::ptr::from_ref(&raw)) };
    match checked(result.into()) {
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => Ok(()),
        _ => Err(io::Error::from_raw_os_error(libc::ENOSYS)),
    }
}

/// Has the kernel hand the processor over to whoever asks and answers, where it can (Linux 6.6).
pub fn answer_at_once(listener: BorrowedFd<'_>) {
    // `SECCOMP_IOCTL_NOTIF_SET_FLAGS` and its only flag.
    const SET_FLAGS: libc::Ioctl = 0x4008_2104;
    // SAFETY: takes numbers.
    unsafe { libc::ioctl(listener.as_raw_fd(), SET_FLAGS, 1u64) };
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
