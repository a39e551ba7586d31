//! In: who is to act. Out: a thread that acts so: users, capabilities, its directory and mask. Never: more
//! rights than the process has.

use std::cell::Cell;
use std::io;

use super::checked;

/// Gives up all ways to gain privileges, which a filter without root needs.
///
/// # Errors
/// What the kernel says.
pub fn renounce_privileges() -> io::Result<()> {
    // SAFETY: takes numbers only.
    checked(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.into()).map(drop)
}

/// Who acts for file permissions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

thread_local! {
    /// Whether this thread has the right to look into others as it is, or no way to it; where that is not
    /// known the kernel is asked. It is asked once, and again after each change.
    static LOOKS_AS_IT_IS: Cell<bool> = const { Cell::new(false) };
}

fn set_effective(effective: u64) -> io::Result<()> {
    LOOKS_AS_IT_IS.set(false);
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
    if LOOKS_AS_IT_IS.get() {
        return work();
    }
    let Ok(sets) = capabilities() else { return work() };
    if sets[0][1] & LOOK == 0 || sets[0][0] & LOOK != 0 {
        LOOKS_AS_IT_IS.set(true);
        return work();
    }
    let effective = u64::from(sets[0][0]) | (u64::from(sets[1][0]) << 32);
    let _ = set_effective(effective | u64::from(LOOK));
    let done = work();
    if set_effective(effective).is_err() {
        super::end(70);
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

/// Sets the mask for new files, of this thread after [`own_directory`].
pub fn set_mask(mask: u32) {
    // SAFETY: takes a number.
    unsafe { libc::umask(mask) };
}
