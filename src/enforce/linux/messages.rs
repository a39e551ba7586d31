//! In: calls that send. Out: their results: the message is taken once, with its address and what it
//! carries, the policy is asked, and the supervisor sends it by the caller's socket. Never: the caller's
//! own memory read by the kernel again.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::judge::{Denied, Facts};
use super::processes;
use super::sockets::{Socket, Target, address, ask_address, ask_other, local_target, wait_for_room};
use super::supervisor::{Reply, Task};
use super::system::{self, Message};

type Done = Result<Reply, Denied>;

/// Most bytes that are sent in one step; a stream sends fewer than it was given then.
const MAX_DATA: usize = 1 << 20;

/// Most pieces of one message (UIO_MAXIOV).
const MAX_PIECES: usize = 1024;

/// Most bytes of what a message carries besides, and most descriptors (SCM_MAX_FD).
const MAX_CONTROL: usize = 16 * 1024;
const MAX_DESCRIPTORS: usize = 253;

/// `sendto(socket, data, length, flags, address, length)`.
pub fn sendto(task: &Task<'_>) -> Done {
    let length = usize::try_from(task.argument(2)).unwrap_or(usize::MAX);
    let pieces = [(task.argument(1), length)];
    let to = address(task, task.argument(4), task.argument(5))?;
    let sent = sent(task, task.number(0), to, &pieces, &[], task.number(3))?;
    Ok(Reply::Value(sent))
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|part| part.try_into().ok()).map_or(0, u64::from_ne_bytes)
}

/// `sendmsg(socket, message, flags)`.
pub fn sendmsg(task: &Task<'_>) -> Done {
    Ok(Reply::Value(message_at(task, task.argument(1), task.number(2))?))
}

/// `sendmmsg(socket, messages, count, flags)`.
pub fn sendmmsg(task: &Task<'_>) -> Done {
    /// A message, and how much of it was sent.
    const SIZE: u64 = 64;
    let count = u64::from(task.number(2).cast_unsigned()).min(MAX_PIECES as u64);
    let mut done = 0;
    for number in 0..count {
        let at = task.argument(1).checked_add(number * SIZE).ok_or(libc::EFAULT)?;
        match message_at(task, at, task.number(3)) {
            Ok(sent) => {
                let sent = u32::try_from(sent).unwrap_or(u32::MAX).to_ne_bytes();
                processes::write(task.thread(), at + 56, &sent)?;
                done += 1;
            }
            Err(denied) if done == 0 => return Err(denied),
            Err(_) => break,
        }
    }
    Ok(Reply::Value(done))
}

/// The message that a `msghdr` of the caller describes; what was sent of it.
fn message_at(task: &Task<'_>, at: u64, flags: i32) -> Result<i64, Denied> {
    let head = processes::bytes(task.thread(), at, 56)?;
    let (name, name_length) = (word(&head, 0), word(&head, 8) & 0xffff_ffff);
    let to = if name == 0 || name_length == 0 { Vec::new() } else { address(task, name, name_length)? };
    let count = usize::try_from(word(&head, 24)).ok().filter(|count| *count <= MAX_PIECES).ok_or(libc::EMSGSIZE)?;
    let table = processes::bytes(task.thread(), word(&head, 16), count * 16)?;
    let pieces: Vec<(u64, usize)> = table
        .chunks_exact(16)
        .map(|piece| (word(piece, 0), usize::try_from(word(piece, 8)).unwrap_or(usize::MAX)))
        .collect();
    let length = usize::try_from(word(&head, 40)).ok().filter(|length| *length <= MAX_CONTROL).ok_or(libc::ENOBUFS)?;
    let control =
        if word(&head, 32) == 0 { Vec::new() } else { processes::bytes(task.thread(), word(&head, 32), length)? };
    // The message's own flags are not looked at by the kernel.
    sent(task, task.number(0), to, &pieces, &control, flags)
}

/// What a message carries besides: levels, types and contents, with the caller's descriptors as ours.
struct Control {
    parts: Vec<(i32, i32, Vec<u8>)>,
    /// Open as long as the parts are used.
    _held: Vec<OwnedFd>,
}

fn control_of(task: &Task<'_>, bytes: &[u8]) -> Result<Control, Denied> {
    let mut parts = Vec::new();
    let mut held = Vec::new();
    let mut at = 0;
    while at + 16 <= bytes.len() {
        let length = usize::try_from(word(bytes, at)).unwrap_or(0);
        if length < 16 || at.checked_add(length).is_none_or(|end| end > bytes.len()) {
            return Err(libc::EINVAL.into());
        }
        let number =
            |at: usize| bytes.get(at..at + 4).and_then(|part| part.try_into().ok()).map_or(0, i32::from_ne_bytes);
        let (level, kind) = (number(at + 8), number(at + 12));
        let mut contents = bytes.get(at + 16..at + length).unwrap_or_default().to_vec();
        if level == libc::SOL_SOCKET && kind == libc::SCM_RIGHTS {
            let mut own = Vec::with_capacity(contents.len());
            for number in contents.chunks_exact(4) {
                if held.len() >= MAX_DESCRIPTORS {
                    return Err(libc::EINVAL.into());
                }
                let number = number.try_into().map_or(-1, i32::from_ne_bytes);
                let descriptor = processes::descriptor(task.thread(), number)?;
                own.extend(descriptor.as_raw_fd().to_ne_bytes());
                held.push(descriptor);
            }
            contents = own;
        } else if level == libc::SOL_SOCKET && kind == libc::SCM_CREDENTIALS {
            // The kernel would take them for the supervisor's; left out it says whose the message is.
            at += length.next_multiple_of(8);
            continue;
        }
        parts.push((level, kind, contents));
        at += length.next_multiple_of(8);
    }
    Ok(Control { parts, _held: held })
}

fn sent(
    task: &Task<'_>,
    descriptor: i32,
    to: Vec<u8>,
    pieces: &[(u64, usize)],
    control: &[u8],
    flags: i32,
) -> Result<i64, Denied> {
    // The kernel would go on to read memory of the supervisor's; it says the same where it has no room for that.
    if flags & libc::MSG_ZEROCOPY != 0 {
        return Err(libc::ENOBUFS.into());
    }
    let socket = Socket::of(task, descriptor)?;
    let control = control_of(task, control)?;
    let mut data = Vec::new();
    for (at, length) in pieces {
        let room = MAX_DATA - data.len();
        if *length > room && socket.addresses_messages() {
            return Err(libc::EMSGSIZE.into());
        }
        data.extend(processes::bytes(task.thread(), *at, (*length).min(room))?);
    }
    task.still()?;
    let mut held = None;
    // A stream is sent to its peer; an address would open another one (MSG_FASTOPEN).
    let to = if to.is_empty() || !(socket.addresses_messages() || flags & libc::MSG_FASTOPEN != 0) {
        Vec::new()
    } else {
        match socket.target(to)? {
            Target::Network { address, bytes } => {
                ask_address(task, "network-outbound", "remote", address)?;
                bytes
            }
            Target::Path(path) => {
                let (object, address) = local_target(task, &path)?;
                held = Some(object);
                address
            }
            Target::Abstract { name, bytes } => {
                let shown = [b"@", name.as_slice()].concat();
                task.ask("network-outbound", &Facts::file(&shown, Some("SOCKET")))?;
                bytes
            }
            Target::Other(bytes) => {
                ask_other(task, &socket, "network-outbound", &bytes)?;
                bytes
            }
        }
    };
    let message = Message { address: &to, data: &data, control: &control.parts };
    let waits = flags & libc::MSG_DONTWAIT == 0 && socket.waits();
    let result = loop {
        match system::send(socket.socket.as_fd(), &message, flags | libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) {
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) && waits => {
                task.waiting(|| wait_for_room(task, socket.socket.as_fd()))??;
            }
            other => break other,
        }
    };
    drop(held);
    result.map_err(|error| {
        let errno = system::errno(&error);
        // As the kernel does where nobody reads any more.
        let signal = (errno == libc::EPIPE && flags & libc::MSG_NOSIGNAL == 0).then_some(libc::SIGPIPE);
        Denied { errno, signal }
    })
}
