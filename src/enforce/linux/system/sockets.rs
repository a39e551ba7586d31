//! In: sockets, and addresses as the kernel has them. Out: connections and messages. Never: what an address
//! means.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::checked;

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
