//! In: nothing. Out: [`CALLS`], the system calls that a policy is about: which operations each asks, by
//! which arguments the filter can tell more, and who does it; [`REFUSED`], those that would lead out of
//! any policy. Never: a decision.
//!
//! Which operations a call asks follows what is known of a Mac's hooks; where that is nothing it is
//! chosen, `docs/enforcement.md` says which.

use super::judge::Denied;
use super::supervisor::{Reply, Task};
use super::{exec, files, messages, signals, sockets};

/// Does a call, or says that the kernel may.
pub type Work = fn(&Task<'_>) -> Result<Reply, Denied>;

/// What the filter looks at before it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Nothing.
    Always,
    /// The flags of an opening are this argument: reading is told from the rest, which is asked about
    /// whatever is allowed. By writing to the memory of a process outside one could act there.
    Opens(u8),
    /// Nothing, and whatever is allowed: it may open for writing, see [`When::Opens`].
    MayWrite,
    /// This argument, an address, is not null.
    NotNull(u8),
    /// The flags of `clone` are this argument: threads ask nothing, new namespaces are refused.
    Clones(u8),
}

/// A system call.
pub struct Call {
    /// Its number.
    pub number: i64,
    /// Its name.
    pub name: &'static str,
    /// When it asks.
    pub when: When,
    /// Operations that each use of it asks.
    pub asks: &'static [&'static str],
    /// Operations that some uses of it ask.
    pub may_ask: &'static [&'static str],
    /// Who does it.
    pub work: Work,
}

/// The numbers of system calls.
mod numbers {
    pub use libc::*;

    /// `libc` does not name it on every architecture; from 424 on the numbers are the same on all.
    #[allow(non_upper_case_globals, reason = "named as `libc` names calls")]
    pub const SYS_fchmodat2: c_long = 452;
}

macro_rules! calls {
    ($($number:ident $name:literal $when:expr, [$($asks:literal),*] [$($may:literal),*] $work:expr;)*) => {
        &[$(Call {
            number: numbers::$number as i64,
            name: $name,
            when: $when,
            asks: &[$($asks),*],
            may_ask: &[$($may),*],
            work: $work,
        }),*]
    };
}

use When::{Always, Clones, MayWrite, NotNull, Opens};

/// Calls that every architecture has.
pub const CALLS: &[Call] = calls![
    SYS_openat "openat" Opens(2), [] ["file-read-data", "file-write-data", "file-write-create", "file-read-metadata"] files::openat;
    SYS_openat2 "openat2" MayWrite, [] ["file-read-data", "file-write-data", "file-write-create", "file-read-metadata"] files::openat2;
    SYS_newfstatat "newfstatat" Always, [] ["file-read-metadata"] files::newfstatat;
    SYS_statx "statx" Always, [] ["file-read-metadata"] files::statx;
    SYS_faccessat "faccessat" Always, [] ["file-test-existence", "file-read-data", "file-write-data", "file-read-metadata", "process-exec*"] files::faccessat;
    SYS_faccessat2 "faccessat2" Always, [] ["file-test-existence", "file-read-data", "file-write-data", "file-read-metadata", "process-exec*"] files::faccessat2;
    SYS_readlinkat "readlinkat" Always, ["file-read-metadata"] [] files::readlinkat;
    SYS_statfs "statfs" Always, ["file-read-metadata"] [] files::statfs;
    SYS_unlinkat "unlinkat" Always, ["file-write-unlink"] ["file-read-metadata"] files::unlinkat;
    SYS_renameat2 "renameat2" Always, ["file-write-unlink", "file-write-create"] ["file-read-metadata"] files::renameat2;
    SYS_linkat "linkat" Always, ["file-write-create"] ["file-link", "file-read-data", "file-write-data", "file-read-metadata"] files::linkat;
    SYS_symlinkat "symlinkat" Always, ["file-write-create"] ["file-read-metadata"] files::symlinkat;
    SYS_mkdirat "mkdirat" Always, ["file-write-create"] ["file-read-metadata"] files::mkdirat;
    SYS_mknodat "mknodat" Always, ["file-write-create"] ["file-mknod", "file-read-metadata"] files::mknodat;
    SYS_truncate "truncate" Always, ["file-write-data"] ["file-read-metadata"] files::truncate;
    SYS_fchmodat "fchmodat" Always, ["file-write-mode"] ["file-write-setugid", "file-read-metadata"] files::fchmodat;
    SYS_fchmodat2 "fchmodat2" Always, ["file-write-mode"] ["file-write-setugid", "file-read-metadata"] files::fchmodat2;
    SYS_fchmod "fchmod" Always, [] ["file-write-mode", "file-write-setugid"] files::fchmod;
    SYS_fchownat "fchownat" Always, ["file-write-owner"] ["file-read-metadata"] files::fchownat;
    SYS_fchown "fchown" Always, [] ["file-write-owner"] files::fchown;
    SYS_utimensat "utimensat" Always, [] ["file-write-times", "file-read-metadata"] files::utimensat;
    SYS_getxattr "getxattr" Always, ["file-read-xattr"] ["file-read-metadata"] files::getxattr;
    SYS_lgetxattr "lgetxattr" Always, ["file-read-xattr"] ["file-read-metadata"] files::lgetxattr;
    SYS_fgetxattr "fgetxattr" Always, [] ["file-read-xattr"] files::fgetxattr;
    SYS_listxattr "listxattr" Always, ["file-read-xattr"] ["file-read-metadata"] files::listxattr;
    SYS_llistxattr "llistxattr" Always, ["file-read-xattr"] ["file-read-metadata"] files::llistxattr;
    SYS_flistxattr "flistxattr" Always, [] ["file-read-xattr"] files::flistxattr;
    SYS_setxattr "setxattr" Always, ["file-write-xattr"] ["file-read-metadata"] files::setxattr;
    SYS_lsetxattr "lsetxattr" Always, ["file-write-xattr"] ["file-read-metadata"] files::lsetxattr;
    SYS_fsetxattr "fsetxattr" Always, [] ["file-write-xattr"] files::fsetxattr;
    SYS_removexattr "removexattr" Always, ["file-write-xattr"] ["file-read-metadata"] files::removexattr;
    SYS_lremovexattr "lremovexattr" Always, ["file-write-xattr"] ["file-read-metadata"] files::lremovexattr;
    SYS_fremovexattr "fremovexattr" Always, [] ["file-write-xattr"] files::fremovexattr;
    SYS_inotify_add_watch "inotify_add_watch" Always, ["file-read-metadata"] [] files::inotify_add_watch;
    SYS_execve "execve" Always, ["process-exec*"] ["process-exec-interpreter", "file-read-metadata"] exec::execve;
    SYS_execveat "execveat" Always, ["process-exec*"] ["process-exec-interpreter", "file-read-metadata"] exec::execveat;
    SYS_clone "clone" Clones(0), ["process-fork"] [] signals::fork;
    SYS_socket "socket" Always, [] ["system-socket"] sockets::socket;
    SYS_connect "connect" Always, [] ["network-outbound", "file-read-metadata"] sockets::connect;
    SYS_bind "bind" Always, [] ["network-bind", "file-write-create", "file-read-metadata"] sockets::bind;
    SYS_listen "listen" Always, [] ["network-inbound"] sockets::listen;
    SYS_sendto "sendto" NotNull(4), [] ["network-outbound", "file-read-metadata"] messages::sendto;
    SYS_sendmsg "sendmsg" Always, [] ["network-outbound", "file-read-metadata"] messages::sendmsg;
    SYS_sendmmsg "sendmmsg" Always, [] ["network-outbound", "file-read-metadata"] messages::sendmmsg;
    SYS_kill "kill" Always, ["signal"] [] signals::kill;
    SYS_tkill "tkill" Always, ["signal"] [] signals::tkill;
    SYS_tgkill "tgkill" Always, ["signal"] [] signals::tgkill;
    SYS_rt_sigqueueinfo "rt_sigqueueinfo" Always, ["signal"] [] signals::rt_sigqueueinfo;
    SYS_rt_tgsigqueueinfo "rt_tgsigqueueinfo" Always, ["signal"] [] signals::rt_tgsigqueueinfo;
    SYS_pidfd_send_signal "pidfd_send_signal" Always, ["signal"] [] signals::pidfd_send_signal;
    SYS_shmget "shmget" Always, ["ipc-sysv-shm"] [] signals::shared_memory;
    SYS_semget "semget" Always, ["ipc-sysv-sem"] [] signals::semaphores;
    SYS_msgget "msgget" Always, ["ipc-sysv-msg"] [] signals::message_queues;
    SYS_shmat "shmat" Always, ["ipc-sysv-shm"] [] signals::shared_memory;
    SYS_shmctl "shmctl" Always, ["ipc-sysv-shm"] [] signals::shared_memory;
    SYS_semop "semop" Always, ["ipc-sysv-sem"] [] signals::semaphores;
    SYS_semtimedop "semtimedop" Always, ["ipc-sysv-sem"] [] signals::semaphores;
    SYS_semctl "semctl" Always, ["ipc-sysv-sem"] [] signals::semaphores;
    SYS_msgsnd "msgsnd" Always, ["ipc-sysv-msg"] [] signals::message_queues;
    SYS_msgrcv "msgrcv" Always, ["ipc-sysv-msg"] [] signals::message_queues;
    SYS_msgctl "msgctl" Always, ["ipc-sysv-msg"] [] signals::message_queues;
];

/// Calls that only this architecture has besides.
#[cfg(target_arch = "x86_64")]
pub const OLDER_CALLS: &[Call] = calls![
    SYS_open "open" Opens(1), [] ["file-read-data", "file-write-data", "file-write-create", "file-read-metadata"] files::open;
    SYS_creat "creat" MayWrite, [] ["file-write-data", "file-write-create", "file-read-metadata"] files::creat;
    SYS_stat "stat" Always, ["file-read-metadata"] [] files::stat;
    SYS_lstat "lstat" Always, ["file-read-metadata"] [] files::lstat;
    SYS_access "access" Always, [] ["file-test-existence", "file-read-data", "file-write-data", "file-read-metadata", "process-exec*"] files::access;
    SYS_readlink "readlink" Always, ["file-read-metadata"] [] files::readlink;
    SYS_unlink "unlink" Always, ["file-write-unlink"] ["file-read-metadata"] files::unlink;
    SYS_rmdir "rmdir" Always, ["file-write-unlink"] ["file-read-metadata"] files::rmdir;
    SYS_rename "rename" Always, ["file-write-unlink", "file-write-create"] ["file-read-metadata"] files::rename;
    SYS_renameat "renameat" Always, ["file-write-unlink", "file-write-create"] ["file-read-metadata"] files::renameat;
    SYS_link "link" Always, ["file-write-create"] ["file-link", "file-read-data", "file-write-data", "file-read-metadata"] files::link;
    SYS_symlink "symlink" Always, ["file-write-create"] ["file-read-metadata"] files::symlink;
    SYS_mkdir "mkdir" Always, ["file-write-create"] ["file-read-metadata"] files::mkdir;
    SYS_mknod "mknod" Always, ["file-write-create"] ["file-mknod", "file-read-metadata"] files::mknod;
    SYS_chmod "chmod" Always, ["file-write-mode"] ["file-write-setugid", "file-read-metadata"] files::chmod;
    SYS_chown "chown" Always, ["file-write-owner"] ["file-read-metadata"] files::chown;
    SYS_lchown "lchown" Always, ["file-write-owner"] ["file-read-metadata"] files::lchown;
    SYS_utime "utime" Always, ["file-write-times"] ["file-read-metadata"] files::utime;
    SYS_utimes "utimes" Always, ["file-write-times"] ["file-read-metadata"] files::utimes;
    SYS_futimesat "futimesat" Always, [] ["file-write-times", "file-read-metadata"] files::futimesat;
    SYS_fork "fork" Always, ["process-fork"] [] signals::fork;
    SYS_vfork "vfork" Always, ["process-fork"] [] signals::fork;
];

/// Calls that only this architecture has besides.
#[cfg(not(target_arch = "x86_64"))]
pub const OLDER_CALLS: &[Call] = calls![
    SYS_renameat "renameat" Always, ["file-write-unlink", "file-write-create"] ["file-read-metadata"] files::renameat;
];

/// All calls that are asked about.
pub fn all() -> impl Iterator<Item = &'static Call> {
    CALLS.iter().chain(OLDER_CALLS)
}

/// Calls after which a thread may act as somebody else. The supervisor hears of them, if it could act as
/// more than they.
pub const CREDENTIALS: &[i64] = &[
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
];

/// Calls by which a process could act where no policy looks: through others, through the kernel, in
/// another view of the file system. Refused (EPERM) as soon as a policy restricts anything.
pub const REFUSED: &[(i64, &str)] = &[
    (libc::SYS_ptrace, "ptrace"),
    (libc::SYS_process_vm_readv, "process_vm_readv"),
    (libc::SYS_process_vm_writev, "process_vm_writev"),
    (libc::SYS_pidfd_getfd, "pidfd_getfd"),
    (libc::SYS_process_madvise, "process_madvise"),
    (libc::SYS_kcmp, "kcmp"),
    (libc::SYS_io_uring_setup, "io_uring_setup"),
    (libc::SYS_io_uring_enter, "io_uring_enter"),
    (libc::SYS_io_uring_register, "io_uring_register"),
    (libc::SYS_mount, "mount"),
    (libc::SYS_umount2, "umount2"),
    (libc::SYS_pivot_root, "pivot_root"),
    (libc::SYS_chroot, "chroot"),
    (libc::SYS_open_tree, "open_tree"),
    (libc::SYS_move_mount, "move_mount"),
    (libc::SYS_fsopen, "fsopen"),
    (libc::SYS_fsconfig, "fsconfig"),
    (libc::SYS_fsmount, "fsmount"),
    (libc::SYS_fspick, "fspick"),
    (libc::SYS_mount_setattr, "mount_setattr"),
    (libc::SYS_unshare, "unshare"),
    (libc::SYS_setns, "setns"),
    (libc::SYS_open_by_handle_at, "open_by_handle_at"),
    (libc::SYS_name_to_handle_at, "name_to_handle_at"),
    (libc::SYS_fanotify_init, "fanotify_init"),
    (libc::SYS_fanotify_mark, "fanotify_mark"),
    (libc::SYS_bpf, "bpf"),
    (libc::SYS_perf_event_open, "perf_event_open"),
    (libc::SYS_userfaultfd, "userfaultfd"),
    (libc::SYS_keyctl, "keyctl"),
    (libc::SYS_add_key, "add_key"),
    (libc::SYS_request_key, "request_key"),
    (libc::SYS_acct, "acct"),
    (libc::SYS_swapon, "swapon"),
    (libc::SYS_swapoff, "swapoff"),
    (libc::SYS_reboot, "reboot"),
    (libc::SYS_quotactl, "quotactl"),
    (libc::SYS_quotactl_fd, "quotactl_fd"),
    (libc::SYS_init_module, "init_module"),
    (libc::SYS_finit_module, "finit_module"),
    (libc::SYS_delete_module, "delete_module"),
    (libc::SYS_kexec_load, "kexec_load"),
    (libc::SYS_kexec_file_load, "kexec_file_load"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_iopl, "iopl"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_ioperm, "ioperm"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_uselib, "uselib"),
    (libc::SYS_settimeofday, "settimeofday"),
    (libc::SYS_clock_settime, "clock_settime"),
    (libc::SYS_sethostname, "sethostname"),
    (libc::SYS_setdomainname, "setdomainname"),
    (libc::SYS_syslog, "syslog"),
    (libc::SYS_mq_open, "mq_open"),
    (libc::SYS_mq_unlink, "mq_unlink"),
];
