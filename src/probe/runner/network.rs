//! In: an address as SBPL has it (`tcp:localhost:80`, or a path). Out: an attempt to connect there, to bind or
//! to listen. Never: data for anybody; one empty message where a protocol has no connections.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;

use clap::ValueEnum;
use rustix::net::addr::SocketAddrArg;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketType};

use super::{Ended, Speaker, number};

/// What is tried with a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NetworkAttempt {
    /// Connect, or send.
    #[value(name = "network-outbound")]
    Out,
    /// Bind.
    #[value(name = "network-bind")]
    Bind,
    /// Bind, and listen.
    #[value(name = "network-inbound")]
    In,
}

impl NetworkAttempt {
    /// The attempt at an operation.
    #[must_use]
    pub fn of(operation: &str) -> Option<Self> {
        Self::from_str(operation, false).ok()
    }

    /// The operation that it asks for.
    #[must_use]
    pub fn operation(self) -> &'static str {
        match self {
            Self::Out => "network-outbound",
            Self::Bind => "network-bind",
            Self::In => "network-inbound",
        }
    }
}

/// An address, and whether it is of datagrams.
pub fn address(target: &str) -> io::Result<(SocketAddr, bool)> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidInput, "expected PROTOCOL:HOST:PORT, or a path");
    let (protocol, rest) = target.split_once(':').ok_or_else(wrong)?;
    let (host, port) = rest.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    let is_datagrams = protocol.starts_with("udp");
    if !is_datagrams && !protocol.starts_with("tcp") && protocol != "ip" {
        return Err(wrong());
    }
    let host = if host == "*" { "localhost" } else { host };
    let wants_six = protocol.ends_with('6');
    let found = match host {
        // No file is read for that.
        "localhost" if wants_six => Some(SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port))),
        "localhost" => Some(SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, port))),
        host => (host, port).to_socket_addrs()?.find(|address| address.is_ipv6() == wants_six),
    };
    Ok((found.ok_or_else(wrong)?, is_datagrams))
}

/// Tries it.
pub fn tried(speaker: &mut Speaker, what: NetworkAttempt, target: &str) -> Ended {
    let done = if target.starts_with('/') { local(what, target) } else { remote(what, target) };
    let done = match done {
        // Somebody answered that nobody listens: it got there.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::CONNREFUSED.raw_os_error()) => Ok(()),
        done => done,
    };
    let error = done.err();
    speaker.tried(what.operation(), target, error.as_ref().map(number));
    let Some(error) = error else { return Ended::Done };
    eprintln!("{} {target}: {error}", what.operation());
    Ended::NotOpened
}

fn remote(what: NetworkAttempt, target: &str) -> io::Result<()> {
    let (address, is_datagrams) = address(target)?;
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let kind = if is_datagrams { SocketType::DGRAM } else { SocketType::STREAM };
    let socket = rustix::net::socket(family, kind, None)?;
    if is_datagrams && what == NetworkAttempt::Out {
        rustix::net::sendto(&socket, b"", SendFlags::empty(), &address)?;
        return Ok(());
    }
    used(&socket, &address, what)
}

fn local(what: NetworkAttempt, path: &str) -> io::Result<()> {
    let address = SocketAddrUnix::new(path)?;
    used(&rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?, &address, what)
}

fn used(socket: &OwnedFd, address: &impl SocketAddrArg, what: NetworkAttempt) -> io::Result<()> {
    match what {
        NetworkAttempt::Out => rustix::net::connect(socket, address)?,
        NetworkAttempt::Bind => rustix::net::bind(socket, address)?,
        NetworkAttempt::In => {
            rustix::net::bind(socket, address)?;
            rustix::net::listen(socket, 1)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_sbpls() {
        let read = |text: &str| address(text).map(|(address, datagrams)| (address.to_string(), datagrams)).ok();
        assert_eq!(read("tcp:localhost:80"), Some(("127.0.0.1:80".into(), false)));
        assert_eq!(read("udp6:localhost:53"), Some(("[::1]:53".into(), true)));
        assert_eq!(read("tcp4:*:1"), Some(("127.0.0.1:1".into(), false)));
        for wrong in ["localhost:80", "tcp:localhost", "tcp:localhost:x", "quic:localhost:1", ""] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
