//! In: calls that make sockets reach something. Out: their results: address and socket are taken once,
//! the policy is asked, and the supervisor connects or binds that socket to that address. Never: an
//! address that is read twice.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};

use super::judge::{Denied, Facts};
use super::processes;
use super::supervisor::{How, Reply, Task};
use super::system;
use super::walk::{End, kind_of, name_of};
use crate::policy::rules::Address;

type Done = Result<Reply, Denied>;

fn raw(error: rustix::io::Errno) -> Denied {
    error.raw_os_error().into()
}

/// Streams over TCP where the other side has no more than that, as with IPPROTO_MPTCP.
const IPPROTO_SMC: i32 = 256;

/// Longest address: `sockaddr_storage`.
const MAX_ADDRESS: usize = 128;

/// What an address is, and a form of it that may be given to the kernel.
pub enum Target {
    /// A host and a port.
    Network {
        /// As SBPL has it.
        address: Address,
        /// As the kernel has it.
        bytes: Vec<u8>,
    },
    /// A path.
    Path(Vec<u8>),
    /// A name that is in no file system.
    Abstract {
        /// The name.
        name: Vec<u8>,
        /// As the kernel has it.
        bytes: Vec<u8>,
    },
    /// None, or one of another kind of socket.
    Other(Vec<u8>),
}

/// The socket of a call.
pub struct Socket {
    /// The caller's own.
    pub socket: OwnedFd,
    domain: i32,
    kind: i32,
    protocol: i32,
}

impl Socket {
    /// The socket that is a caller's descriptor.
    ///
    /// # Errors
    /// EBADF, ENOTSOCK.
    pub fn of(task: &Task<'_>, descriptor: i32) -> Result<Self, Denied> {
        let socket = processes::descriptor(task.thread(), descriptor)?;
        task.still()?;
        let domain = rustix::net::sockopt::socket_domain(&socket).map_err(raw)?;
        let kind = rustix::net::sockopt::socket_type(&socket).map_err(raw)?;
        let protocol = rustix::net::sockopt::socket_protocol(&socket).map_err(raw)?;
        Ok(Self {
            domain: i32::from(domain.as_raw()),
            kind: i32::try_from(kind.as_raw()).unwrap_or(0),
            protocol: protocol.map_or(0, |protocol| i32::try_from(protocol.as_raw().get()).unwrap_or(0)),
            socket,
        })
    }

    /// The number of SBPL's protocol: the family, and the transport.
    fn protocol(&self, is_six: bool) -> u8 {
        let family = if is_six { 2 } else { 1 };
        match (self.kind, self.protocol) {
            (libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP | libc::IPPROTO_MPTCP | IPPROTO_SMC) => 4 | family,
            (libc::SOCK_DGRAM, 0 | libc::IPPROTO_UDP) => 8 | family,
            _ => family,
        }
    }

    /// What an address of IPv6 is to SBPL: one of IPv4 within it is one of IPv4.
    fn address_v6(&self, ip: std::net::Ipv6Addr, port: u16) -> Address {
        let mapped = ip.to_ipv4_mapped();
        let localhost = match mapped {
            Some(ip) => is_local_v4(ip.octets()),
            None => ip.is_loopback() || ip.is_unspecified(),
        };
        Address { protocol: self.protocol(mapped.is_none()), localhost, port }
    }

    /// The address of IPv4 that is served along with one of IPv6: no address at all stands for both.
    fn served_along(&self, ip: std::net::Ipv6Addr, port: u16) -> Option<Address> {
        let both = self.domain == libc::AF_INET6 && ip.is_unspecified();
        both.then(|| Address { protocol: self.protocol(false), localhost: true, port })
    }

    /// Whether calls on it wait.
    #[must_use]
    pub fn waits(&self) -> bool {
        !rustix::fs::fcntl_getfl(&self.socket).is_ok_and(|flags| flags.contains(OFlags::NONBLOCK))
    }

    /// Whether it is one that messages are addressed with.
    #[must_use]
    pub fn addresses_messages(&self) -> bool {
        self.kind != libc::SOCK_STREAM && self.kind != libc::SOCK_SEQPACKET
    }

    /// What an address means to this socket.
    ///
    /// # Errors
    /// EINVAL where it is cut short.
    pub fn target(&self, bytes: Vec<u8>) -> Result<Target, Denied> {
        let family = match bytes.as_slice() {
            [first, second, ..] => i32::from(u16::from_ne_bytes([*first, *second])),
            _ => return Ok(Target::Other(bytes)),
        };
        let port = |bytes: &[u8]| Some(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]));
        match family {
            // Without a family the kernel takes an address for one of its own where messages are addressed,
            // and where a socket is bound; connecting so ends a connection.
            libc::AF_INET | libc::AF_UNSPEC
                if family == libc::AF_INET || (self.domain == libc::AF_INET && bytes.len() >= 8) =>
            {
                let ip: [u8; 4] = bytes.get(4..8).and_then(|ip| ip.try_into().ok()).ok_or(libc::EINVAL)?;
                let localhost = is_local_v4(ip);
                let port = port(&bytes).ok_or(libc::EINVAL)?;
                let address = Address { protocol: self.protocol(false), localhost, port };
                Ok(Target::Network { address, bytes })
            }
            libc::AF_INET6 => {
                let ip = host_v6(&bytes).ok_or(libc::EINVAL)?;
                let port = port(&bytes).ok_or(libc::EINVAL)?;
                let address = self.address_v6(ip, port);
                Ok(Target::Network { address, bytes })
            }
            libc::AF_UNIX if self.domain == libc::AF_UNIX => match bytes.get(2..) {
                Some([]) | None => Ok(Target::Other(bytes)),
                Some([0, name @ ..]) => Ok(Target::Abstract { name: name.to_vec(), bytes: bytes.clone() }),
                Some(path) => Ok(Target::Path(path.split(|byte| *byte == 0).next().unwrap_or_default().to_vec())),
            },
            _ => Ok(Target::Other(bytes)),
        }
    }
}

/// The host of an address of IPv6, as the kernel has it.
fn host_v6(bytes: &[u8]) -> Option<std::net::Ipv6Addr> {
    let family = i32::from(u16::from_ne_bytes([*bytes.first()?, *bytes.get(1)?]));
    let ip: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
    (family == libc::AF_INET6).then(|| ip.into())
}

/// `localhost` of SBPL: loopback and the unspecified address (LANGUAGE.md §8). Which addresses are the
/// host's own besides is not looked up: that only denies more.
fn is_local_v4(ip: [u8; 4]) -> bool {
    ip == [127, 0, 0, 1] || ip == [0, 0, 0, 0]
}

/// An address of the caller's.
///
/// # Errors
/// EFAULT, EINVAL.
pub fn address(task: &Task<'_>, at: u64, length: u64) -> Result<Vec<u8>, Denied> {
    let length = usize::try_from(length & 0xffff_ffff).ok().filter(|length| *length <= MAX_ADDRESS);
    Ok(processes::bytes(task.thread(), at, length.ok_or(libc::EINVAL)?)?)
}

/// Asks about traffic to an address, or from one.
///
/// # Errors
/// A denial.
pub fn ask_address(task: &Task<'_>, operation: &str, filter: &'static str, address: Address) -> Result<(), Denied> {
    task.ask(operation, &Facts { addresses: vec![(filter, address)], ..Facts::default() })
}

fn is_of_no_family(address: &[u8]) -> bool {
    matches!(address, [first, second, ..] if i32::from(u16::from_ne_bytes([*first, *second])) == libc::AF_UNSPEC)
}

/// Asks about an address that no rule can name, which reaches out all the same. No peer at all, and what
/// the kernel itself answers (AF_NETLINK), asks nothing; `socket` was asked about the latter.
///
/// # Errors
/// A denial.
pub fn ask_other(task: &Task<'_>, socket: &Socket, operation: &str, bytes: &[u8]) -> Result<(), Denied> {
    if is_of_no_family(bytes) || socket.domain == libc::AF_NETLINK || socket.domain == libc::AF_UNIX {
        return Ok(());
    }
    task.ask(operation, &Facts::default())
}

/// The path by which the supervisor reaches a local socket that a caller names.
///
/// # Errors
/// What the lookup gives; a denial.
pub fn local_target(task: &Task<'_>, path: &[u8]) -> Result<(OwnedFd, Vec<u8>), Denied> {
    let place = task.look_up(libc::AT_FDCWD, path, How { follow: true, ..How::default() })?;
    let found = place.found.ok_or(libc::ENOENT)?;
    task.ask("network-outbound", &Facts::file(&place.path, kind_of(&found.status)))?;
    let own = name_of(found.object.as_fd());
    Ok((found.object, local_address(own.as_bytes())?))
}

/// The kernel's address of a local socket.
fn local_address(path: &[u8]) -> Result<Vec<u8>, Denied> {
    if path.len() >= 108 {
        return Err(libc::ENAMETOOLONG.into());
    }
    let mut out = u16::try_from(libc::AF_UNIX).unwrap_or(1).to_ne_bytes().to_vec();
    out.extend(path);
    out.push(0);
    Ok(out)
}

/// Waits until a socket may be written to, as long as somebody waits for that.
///
/// # Errors
/// ENOENT where nobody does.
pub fn wait_for_room(task: &Task<'_>, socket: BorrowedFd<'_>) -> Result<(), Denied> {
    loop {
        let mut wanted = [PollFd::from_borrowed_fd(socket, PollFlags::OUT)];
        let pause = rustix::time::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        let ready = rustix::event::poll(&mut wanted, Some(&pause)).map_err(raw)?;
        task.still()?;
        if ready > 0 {
            // It may be its peer that has no room.
            std::thread::sleep(std::time::Duration::from_millis(1));
            return Ok(());
        }
    }
}

fn connected(task: &Task<'_>, socket: &Socket, address: &[u8]) -> Done {
    let connect = || system::address_call(socket.socket.as_fd(), address, false);
    let done = if socket.waits() { task.waiting(connect)? } else { connect() };
    done.map_err(|error| Denied::from(system::errno(&error)))?;
    Ok(Reply::Value(0))
}

/// `connect(socket, address, length)`.
pub fn connect(task: &Task<'_>) -> Done {
    let bytes = address(task, task.argument(1), task.argument(2))?;
    let socket = Socket::of(task, task.number(0))?;
    // That ends a connection.
    if is_of_no_family(&bytes) {
        return connected(task, &socket, &bytes);
    }
    match socket.target(bytes)? {
        Target::Network { address, bytes } => {
            ask_address(task, "network-outbound", "remote", address)?;
            connected(task, &socket, &bytes)
        }
        Target::Path(path) => {
            let (_held, address) = local_target(task, &path)?;
            connected(task, &socket, &address)
        }
        // There is no such name on a Mac: asked as a path that it is not.
        Target::Abstract { name, bytes } => {
            let shown = [b"@", name.as_slice()].concat();
            task.ask("network-outbound", &Facts::file(&shown, Some("SOCKET")))?;
            connected(task, &socket, &bytes)
        }
        Target::Other(bytes) => {
            ask_other(task, &socket, "network-outbound", &bytes)?;
            connected(task, &socket, &bytes)
        }
    }
}

/// `bind(socket, address, length)`.
pub fn bind(task: &Task<'_>) -> Done {
    let bytes = address(task, task.argument(1), task.argument(2))?;
    let socket = Socket::of(task, task.number(0))?;
    let bound = |bytes: &[u8]| -> Done {
        system::address_call(socket.socket.as_fd(), bytes, true)
            .map_err(|error| Denied::from(system::errno(&error)))?;
        Ok(Reply::Value(0))
    };
    match socket.target(bytes)? {
        Target::Network { address, bytes } => {
            ask_address(task, "network-bind", "local", address)?;
            // IPV6_V6ONLY may be set or taken back until the socket is bound, so it decides nothing here.
            if let Some(ip) = host_v6(&bytes)
                && let Some(address) = socket.served_along(ip, address.port)
            {
                ask_address(task, "network-bind", "local", address)?;
            }
            bound(&bytes)
        }
        Target::Path(path) => {
            let how = How { follow: false, may_be_missing: true, wants_name: true };
            let place = task.look_up(libc::AT_FDCWD, &path, how)?;
            if place.end != End::Name || place.found.is_some() {
                return Err(libc::EADDRINUSE.into());
            }
            if place.slash {
                return Err(libc::ENOENT.into());
            }
            let facts = Facts::file(&place.path, Some("SOCKET"));
            task.ask("network-bind", &facts)?;
            task.ask("file-write-create", &facts)?;
            let (directory, name) = place.last.as_ref().ok_or(libc::EINVAL)?;
            // By its name in that directory, in which this thread stands for the moment.
            let back = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(raw)?;
            system::set_mask(task.status()?.mask);
            let done = rustix::process::fchdir(directory).map_err(raw).and_then(|()| bound(&local_address(name)?));
            system::set_mask(0o077);
            rustix::process::fchdir(&back).map_err(raw)?;
            done
        }
        Target::Abstract { name, bytes } => {
            let shown = [b"@", name.as_slice()].concat();
            task.ask("network-bind", &Facts::file(&shown, Some("SOCKET")))?;
            bound(&bytes)
        }
        Target::Other(bytes) => {
            ask_other(task, &socket, "network-bind", &bytes)?;
            bound(&bytes)
        }
    }
}

/// `listen(socket, backlog)`: what it is bound to asks for network-inbound.
pub fn listen(task: &Task<'_>) -> Done {
    let socket = Socket::of(task, task.number(0))?;
    if socket.domain == libc::AF_INET || socket.domain == libc::AF_INET6 {
        let bound = rustix::net::getsockname(&socket.socket).map_err(raw)?;
        let address = match std::net::SocketAddr::try_from(bound) {
            Ok(std::net::SocketAddr::V4(bound)) => Address {
                protocol: socket.protocol(false),
                localhost: is_local_v4(bound.ip().octets()),
                port: bound.port(),
            },
            Ok(std::net::SocketAddr::V6(bound)) => {
                let along = socket.served_along(*bound.ip(), bound.port());
                // What is bound keeps it; what is not yet has no port.
                if let Some(address) = along.filter(|along| {
                    along.port == 0 || !rustix::net::sockopt::ipv6_v6only(&socket.socket).unwrap_or(false)
                }) {
                    ask_address(task, "network-inbound", "local", address)?;
                }
                socket.address_v6(*bound.ip(), bound.port())
            }
            Err(_) => return Err(libc::EOPNOTSUPP.into()),
        };
        ask_address(task, "network-inbound", "local", address)?;
    }
    rustix::net::listen(&socket.socket, task.number(1)).map_err(raw)?;
    Ok(Reply::Value(0))
}

/// `socket(domain, type, protocol)`: those that reach a network or a path are asked about when they do;
/// the others by their numbers. All of that is in registers.
pub fn socket(task: &Task<'_>) -> Done {
    let (domain, kind, protocol) = (task.number(0), task.number(1) & 0xf, task.number(2));
    if matches!(domain, libc::AF_UNIX | libc::AF_INET | libc::AF_INET6) && kind != libc::SOCK_RAW {
        return Ok(Reply::Continue);
    }
    let mut numbers = Vec::new();
    let name = match domain {
        libc::AF_UNIX => Some("AF_UNIX"),
        libc::AF_INET => Some("AF_INET"),
        libc::AF_INET6 => Some("AF_INET6"),
        // What asks for routes and interfaces is AF_ROUTE on a Mac.
        libc::AF_NETLINK if protocol == libc::NETLINK_ROUTE => Some("AF_ROUTE"),
        _ => None,
    };
    if let Some(number) = name.and_then(|name| task.supervisor.judge.named_value("socket-domain", name)) {
        numbers.push(("socket-domain", number));
    }
    numbers.push(("socket-type", u16::try_from(kind).unwrap_or(0)));
    if domain != libc::AF_NETLINK {
        numbers.push(("socket-protocol", u16::try_from(protocol).unwrap_or(0)));
    }
    task.ask("system-socket", &Facts { numbers, ..Facts::default() })?;
    Ok(Reply::Continue)
}
