//! In: numbers and addresses. Out: system calls as they are, without a library that would change them.
//! Never: a check of what they are given; that is what the tests are about.
#![allow(unsafe_code, reason = "the calls that no safe library makes as they are")]

use std::ffi::CString;
use std::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

/// A result, or an error number.
pub type Result<T> = std::result::Result<T, i32>;

/// The numbers of calls that not every architecture has. Where one is missing, it has a number that no kernel
/// has, by which [`call`] knows which newer call is meant.
#[allow(non_upper_case_globals, reason = "named as `libc` names calls")]
pub mod numbers {
    /// `libc` names it on some architectures only; it is the same on all.
    pub const SYS_fchmodat2: i64 = 452;
    #[cfg(target_arch = "x86_64")]
    pub use libc::{
        SYS_access, SYS_chmod, SYS_chown, SYS_creat, SYS_dup2, SYS_futimesat, SYS_lchown, SYS_link, SYS_lstat,
        SYS_mkdir, SYS_mknod, SYS_open, SYS_pause, SYS_readlink, SYS_rename, SYS_rmdir, SYS_stat, SYS_symlink,
        SYS_unlink, SYS_utime, SYS_utimes,
    };
    #[cfg(not(target_arch = "x86_64"))]
    pub use missing::*;

    #[cfg(not(target_arch = "x86_64"))]
    #[allow(missing_docs, reason = "as the calls are named")]
    mod missing {
        pub const SYS_access: i64 = -1001;
        pub const SYS_chmod: i64 = -1002;
        pub const SYS_creat: i64 = -1003;
        pub const SYS_dup2: i64 = -1004;
        pub const SYS_link: i64 = -1005;
        pub const SYS_lstat: i64 = -1006;
        pub const SYS_mkdir: i64 = -1007;
        pub const SYS_mknod: i64 = -1008;
        pub const SYS_open: i64 = -1009;
        pub const SYS_pause: i64 = -1010;
        pub const SYS_readlink: i64 = -1011;
        pub const SYS_rename: i64 = -1012;
        pub const SYS_rmdir: i64 = -1013;
        pub const SYS_stat: i64 = -1014;
        pub const SYS_symlink: i64 = -1015;
        pub const SYS_unlink: i64 = -1016;
        pub const SYS_chown: i64 = -1017;
        pub const SYS_lchown: i64 = -1018;
        pub const SYS_utime: i64 = -1019;
        pub const SYS_utimes: i64 = -1020;
        pub const SYS_futimesat: i64 = -1021;
    }
}

/// The call that stands for one that this architecture does not have, with its arguments.
#[cfg(not(target_arch = "x86_64"))]
fn newer(number: i64, [a, b, c, ..]: [u64; 6]) -> Option<(i64, [u64; 6])> {
    let new = signed(libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC);
    Some(match number {
        numbers::SYS_access => (libc::SYS_faccessat, [HERE, a, b, 0, 0, 0]),
        numbers::SYS_chmod => (libc::SYS_fchmodat, [HERE, a, b, 0, 0, 0]),
        numbers::SYS_creat => (libc::SYS_openat, [HERE, a, new, b, 0, 0]),
        numbers::SYS_dup2 => (libc::SYS_dup3, [a, b, 0, 0, 0, 0]),
        numbers::SYS_link => (libc::SYS_linkat, [HERE, a, HERE, b, 0, 0]),
        numbers::SYS_lstat => (libc::SYS_newfstatat, [HERE, a, b, signed(libc::AT_SYMLINK_NOFOLLOW), 0, 0]),
        numbers::SYS_mkdir => (libc::SYS_mkdirat, [HERE, a, b, 0, 0, 0]),
        numbers::SYS_mknod => (libc::SYS_mknodat, [HERE, a, b, c, 0, 0]),
        numbers::SYS_open => (libc::SYS_openat, [HERE, a, b, c, 0, 0]),
        numbers::SYS_pause => (libc::SYS_ppoll, [0; 6]),
        numbers::SYS_readlink => (libc::SYS_readlinkat, [HERE, a, b, c, 0, 0]),
        numbers::SYS_rename => (libc::SYS_renameat, [HERE, a, HERE, b, 0, 0]),
        numbers::SYS_rmdir => (libc::SYS_unlinkat, [HERE, a, signed(libc::AT_REMOVEDIR), 0, 0, 0]),
        numbers::SYS_stat => (libc::SYS_newfstatat, [HERE, a, b, 0, 0, 0]),
        numbers::SYS_symlink => (libc::SYS_symlinkat, [a, HERE, b, 0, 0, 0]),
        numbers::SYS_unlink => (libc::SYS_unlinkat, [HERE, a, 0, 0, 0, 0]),
        numbers::SYS_chown => (libc::SYS_fchownat, [HERE, a, b, c, 0, 0]),
        numbers::SYS_lchown => (libc::SYS_fchownat, [HERE, a, b, c, signed(libc::AT_SYMLINK_NOFOLLOW), 0]),
        // Whole seconds: then the structures are the same, but that `utime` has no fractions at all.
        numbers::SYS_utimes => (libc::SYS_utimensat, [HERE, a, b, 0, 0, 0]),
        numbers::SYS_futimesat => (libc::SYS_utimensat, [a, b, c, 0, 0, 0]),
        numbers::SYS_utime if b == 0 => (libc::SYS_utimensat, [HERE, a, 0, 0, 0, 0]),
        numbers::SYS_utime => {
            // SAFETY: whoever sets times gives two numbers.
            let [read, written] = unsafe { *(b as *const [u64; 2]) };
            let times = Box::leak(Box::new([read, 0, written, 0]));
            (libc::SYS_utimensat, [HERE, a, address(times), 0, 0, 0])
        }
        _ => return None,
    })
}

/// A system call by its number.
pub fn call(number: i64, arguments: &[u64]) -> Result<i64> {
    #[cfg(not(target_arch = "x86_64"))]
    let (number, arguments) = {
        let given = std::array::from_fn(|index| arguments.get(index).copied().unwrap_or(0));
        newer(number, given).unwrap_or((number, given))
    };
    let at = |index: usize| arguments.get(index).copied().unwrap_or(0);
    // SAFETY: the callers own the memory that the addresses lead to, or want to see them refused.
    let value = unsafe { libc::syscall(number, at(0), at(1), at(2), at(3), at(4), at(5)) };
    if value < 0 { Err(errno()) } else { Ok(value) }
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// The address of bytes.
pub fn address<T: ?Sized>(of: &T) -> u64 {
    std::ptr::from_ref(of).cast::<u8>() as u64
}

/// The address of what the kernel is to write.
pub fn filled<T: ?Sized>(of: &mut T) -> u64 {
    std::ptr::from_mut(of).cast::<u8>() as u64
}

/// A number that may be negative, as an argument.
#[allow(clippy::cast_sign_loss, reason = "as the kernel has it")]
pub fn signed(number: i32) -> u64 {
    i64::from(number) as u64
}

/// The directory that a path starts from.
pub const HERE: u64 = libc::AT_FDCWD as i64 as u64;

/// A path for the kernel.
pub fn text(path: &str) -> CString {
    CString::new(path).unwrap()
}

/// A call whose first argument is a path.
pub fn by_path(number: i64, path: &str, more: &[u64]) -> Result<i64> {
    let path = text(path);
    let mut arguments = vec![path.as_ptr() as u64];
    arguments.extend(more);
    call(number, &arguments)
}

/// A call whose first argument is a directory, whose second one is a path.
pub fn at(number: i64, directory: u64, path: &str, more: &[u64]) -> Result<i64> {
    let path = text(path);
    let mut arguments = vec![directory, path.as_ptr() as u64];
    arguments.extend(more);
    call(number, &arguments)
}

/// Opens by `openat`.
pub fn open(path: &str, flags: i32) -> Result<i64> {
    at(libc::SYS_openat, HERE, path, &[signed(flags), 0o644])
}

/// Closes.
pub fn close(descriptor: i64) {
    let _ = call(libc::SYS_close, &[descriptor as u64]);
}

/// What a descriptor's file begins with.
pub fn read(descriptor: i64) -> Result<Vec<u8>> {
    let mut bytes = vec![0u8; 256];
    let count = call(libc::SYS_pread64, &[descriptor as u64, bytes.as_mut_ptr() as u64, 256, 0])?;
    bytes.truncate(usize::try_from(count).unwrap());
    Ok(bytes)
}

/// Memory that processes forked later share: other threads and processes may write to it at any time.
pub fn shared(length: usize) -> &'static [AtomicU8] {
    // SAFETY: fresh memory, never given back; atomic bytes may be written by anybody.
    unsafe {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let at = libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        assert_ne!(at, libc::MAP_FAILED);
        std::slice::from_raw_parts(at.cast::<AtomicU8>(), length)
    }
}

/// Bytes and a zero into shared memory.
pub fn put(into: &[AtomicU8], bytes: &[u8]) {
    for (place, byte) in into.iter().zip(bytes.iter().chain(&[0])) {
        place.store(*byte, Ordering::SeqCst);
    }
}

/// A page of `byte`s, with nothing mapped behind it.
pub fn last_page(byte: u8) -> &'static [AtomicU8] {
    let pages = shared(8192);
    // SAFETY: the second page of what was just mapped, which nobody uses.
    unsafe { libc::munmap((address(pages) + 4096) as *mut libc::c_void, 4096) };
    let (page, _) = pages.split_at(4096);
    page.iter().for_each(|place| place.store(byte, Ordering::SeqCst));
    page
}

/// A child that does this and ends with its value; how it ended: a status, or a signal (negative).
pub fn child(work: impl FnOnce() -> i32) -> i32 {
    wait(fork(work))
}

/// Starts a child that does this.
pub fn fork(work: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child runs code of the test and ends; it takes no lock that another thread holds.
    match unsafe { libc::fork() } {
        0 => {
            let status = work();
            // SAFETY: ends the child.
            unsafe { libc::_exit(status) }
        }
        child => child,
    }
}

/// Waits for a child: its status, or its signal (negative).
pub fn wait(child: i32) -> i32 {
    let mut status = 0;
    // SAFETY: the kernel writes one number.
    while unsafe { libc::waitpid(child, &raw mut status, 0) } < 0 {
        if errno() != libc::EINTR {
            return i32::MIN;
        }
    }
    if libc::WIFSIGNALED(status) { -libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) }
}

/// Sets what is done about a signal: it is counted.
pub fn count_signals(signal: i32) {
    extern "C" fn counted(_: i32) {
        COUNTED.fetch_add(1, Ordering::SeqCst);
    }
    // SAFETY: the handler only adds to a number.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = counted as extern "C" fn(i32) as usize;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut());
    }
}

/// Sets what is done about signals: they are counted there.
pub fn count_into(signals: &[i32], counter: &'static AtomicU8) {
    static COUNTER: AtomicPtr<AtomicU8> = AtomicPtr::new(std::ptr::null_mut());
    extern "C" fn counted(_: i32) {
        // SAFETY: set before the handler is, to memory that stays.
        unsafe { (*COUNTER.load(Ordering::SeqCst)).fetch_add(1, Ordering::SeqCst) };
    }
    COUNTER.store(std::ptr::from_ref(counter).cast_mut(), Ordering::SeqCst);
    for signal in signals {
        // SAFETY: the handler only adds to a number.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = counted as extern "C" fn(i32) as usize;
            libc::sigaction(*signal, &raw const action, std::ptr::null_mut());
        }
    }
}

/// How many signals came.
pub static COUNTED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// A call as programs of 32 bits make it: `getpid`.
#[cfg(target_arch = "x86_64")]
pub fn old_call() -> i64 {
    let mut value: i64 = 20;
    // SAFETY: a call without arguments; it changes these registers at most.
    unsafe {
        std::arch::asm!("int 0x80", inout("rax") value, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    value
}

/// An address of a local socket.
pub fn local(path: &str) -> Vec<u8> {
    let mut bytes = u16::try_from(libc::AF_UNIX).unwrap().to_ne_bytes().to_vec();
    bytes.extend(path.as_bytes());
    bytes.push(0);
    bytes
}

/// An address of this host, with any family.
pub fn host(family: i32, port: u16) -> Vec<u8> {
    let mut bytes = u16::try_from(family).unwrap().to_ne_bytes().to_vec();
    bytes.extend(port.to_be_bytes());
    bytes.extend([127, 0, 0, 1]);
    bytes.resize(16, 0);
    bytes
}

/// A socket.
pub fn socket(domain: i32, kind: i32) -> Result<i64> {
    call(libc::SYS_socket, &[signed(domain), signed(kind), 0])
}

/// `connect` or `bind`.
pub fn with_address(number: i64, socket: i64, address: &[u8]) -> Result<i64> {
    call(number, &[socket as u64, address.as_ptr() as u64, address.len() as u64])
}

/// A message with one piece, to an address, with a descriptor.
pub fn send(socket: i64, to: &[u8], data: &[u8], descriptor: Option<i64>, flags: i32) -> Result<i64> {
    let mut piece = [data.as_ptr() as u64, data.len() as u64];
    let mut control: [u64; 3];
    let mut head = [0u64; 7];
    if !to.is_empty() {
        head[0] = to.as_ptr() as u64;
        head[1] = to.len() as u64;
    }
    head[2] = piece.as_mut_ptr() as u64;
    head[3] = 1;
    if let Some(descriptor) = descriptor {
        control =
            [20, u64::from(libc::SOL_SOCKET as u32) | (u64::from(libc::SCM_RIGHTS as u32) << 32), descriptor as u64];
        head[4] = control.as_mut_ptr() as u64;
        head[5] = 24;
    }
    call(libc::SYS_sendmsg, &[socket as u64, address(&head), signed(flags)])
}

/// The descriptor that a message brings.
pub fn receive(socket: i64) -> Result<i64> {
    let mut data = [0u8; 16];
    let mut control = [0u64; 8];
    let piece = [data.as_mut_ptr() as u64, 16];
    let mut head = [0, 0, address(&piece), 1, control.as_mut_ptr() as u64, 64, 0u64];
    call(libc::SYS_recvmsg, &[socket as u64, filled(&mut head), 0])?;
    Ok((control[2] & 0xffff_ffff) as i64)
}
