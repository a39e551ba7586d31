//! Attacks by sockets and messages.

use super::*;

pub(super) fn connects_race(stage: &Stage) {
    let (allowed, denied) =
        (UnixDatagram::bind(stage.path("a/s")).unwrap(), UnixDatagram::bind(stage.path("b/s")).unwrap());
    for name in ["a/s", "b/s"] {
        std::fs::set_permissions(stage.path(name), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    }
    for socket in [&allowed, &denied] {
        socket.set_nonblocking(true).unwrap();
    }
    for way in ["connect", "sendto"] {
        // Who receives must keep up.
        let ended = AtomicBool::new(false);
        let got = AtomicUsize::new(0);
        let said = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    match allowed.recv(&mut [0; 8]) {
                        Ok(_) => _ = got.fetch_add(1, Ordering::Relaxed),
                        Err(_) => std::thread::yield_now(),
                    }
                }
            });
            let said = stage.run(&stage.but("network-outbound"), &[way]);
            ended.store(true, Ordering::Relaxed);
            said
        });
        raced(&said);
        assert!(got.load(Ordering::Relaxed) > 0);
        assert!(denied.recv(&mut [0; 8]).is_err(), "something arrived where nothing may");
    }
}

pub(super) fn connects_race_inside(inside: &Inside) {
    let (path, place) = swinging(inside, "/s");
    // The address is in shared memory as well, with the path in it.
    let to = shared(4096);
    let bytes = system::local(&inside.path("a/s"));
    put(to, &bytes);
    let _ = path;
    let connects = inside.argument(0) == "connect";
    let count = race(to, place + 2, &mut |count| {
        let socket = system::socket(libc::AF_UNIX, libc::SOCK_DGRAM).unwrap();
        let result = if connects {
            call(libc::SYS_connect, &[socket as u64, address(to), bytes.len() as u64])
                .and_then(|_| call(libc::SYS_sendto, &[socket as u64, address(to), 1, 0, 0, 0]))
        } else {
            call(libc::SYS_sendto, &[socket as u64, address(to), 1, 0, address(to), bytes.len() as u64])
        };
        match result {
            Ok(_) => count.passed += 1,
            Err(_) => count.refused += 1,
        }
        close(socket);
    });
    count.say(inside);
}

pub(super) fn passed(stage: &Stage) {
    let listener = UnixListener::bind(stage.path("socket")).unwrap();
    std::fs::set_permissions(stage.path("socket"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let file = std::fs::File::open(stage.path("b/x")).unwrap();
    let said = std::thread::scope(|scope| {
        scope.spawn(|| {
            let (peer, _) = listener.accept().unwrap();
            system::send(peer.as_raw_fd().into(), &[], b"x", Some(file.as_raw_fd().into()), 0).unwrap();
            // Until it is read.
            let _ = std::io::Read::read(&mut &peer, &mut [0]);
        });
        stage.run(&stage.but("file-read-data file-write*"), &[])
    });
    said.expect(&[
        ("text", "secret"),
        ("again", "EPERM"),
        ("for more", "EPERM"),
        ("mode", "EPERM"),
        ("own", "allowed"),
        ("own again", "ok"),
    ]);
}

pub(super) fn passed_inside(inside: &Inside) {
    let socket = system::socket(libc::AF_UNIX, libc::SOCK_STREAM).unwrap();
    system::with_address(libc::SYS_connect, socket, &system::local(&inside.path("socket"))).unwrap();
    let file = system::receive(socket).unwrap();
    inside.say("text", String::from_utf8(read(file).unwrap()).unwrap());
    inside.opens("again", &format!("/proc/self/fd/{file}"), libc::O_RDONLY);
    inside.opens("for more", &format!("/proc/self/fd/{file}"), libc::O_RDWR);
    inside.got("mode", call(libc::SYS_fchmod, &[file as u64, 0o777]));
    // One of its own, to itself.
    let mut pair = [0i32; 2];
    let into = pair.as_mut_ptr() as u64;
    call(libc::SYS_socketpair, &[libc::AF_UNIX as u64, libc::SOCK_STREAM as u64, 0, into]).unwrap();
    let own = open(&inside.path("a/x"), libc::O_RDONLY).unwrap();
    system::send(pair[0].into(), &[], b"x", Some(own), 0).unwrap();
    let own = system::receive(pair[1].into()).unwrap();
    inside.say("own", String::from_utf8(read(own).unwrap()).unwrap());
    inside.opens("own again", &format!("/proc/self/fd/{own}"), libc::O_RDWR);
}

pub(super) fn messages(stage: &Stage) {
    use std::net::{TcpListener, UdpSocket};
    let (allowed, denied) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let stream = TcpListener::bind(("127.0.0.1", denied.local_addr().unwrap().port())).unwrap();
    for socket in [&allowed, &denied] {
        socket.set_nonblocking(true).unwrap();
    }
    stream.set_nonblocking(true).unwrap();
    let port = |socket: &UdpSocket| socket.local_addr().unwrap().port().to_string();
    let profile =
        format!("(version 1)(allow default)(deny network-outbound (remote ip \"localhost:{}\"))", port(&denied));
    stage.run(&profile, &[&port(&allowed), &port(&denied)]).expect(&[
        ("sendto", "EPERM"),
        ("sendto, allowed", "ok"),
        ("sendmsg", "EPERM"),
        ("sendmsg, allowed", "ok"),
        ("sendmmsg", "EPERM"),
        ("no family", "EPERM"),
        ("no family, message", "EPERM"),
        ("no family, allowed", "ok"),
        ("connect", "EPERM"),
        ("six", "EPERM"),
        ("mapped", "EPERM"),
        ("fast open", "EPERM"),
        ("fast open, sendto", "EPERM"),
        ("stream", "EPERM"),
        ("multipath", "EPERM"),
    ]);
    assert!(denied.recv(&mut [0; 8]).is_err(), "a message arrived where none may");
    assert!(stream.accept().is_err(), "a connection arrived where none may");
    let count = std::iter::from_fn(|| allowed.recv(&mut [0; 8]).ok()).count();
    assert_eq!(count, 3);
}

pub(super) fn messages_inside(inside: &Inside) {
    let port = |number: usize| u16::try_from(inside.number(number)).unwrap();
    let (allowed, denied) = (system::host(libc::AF_INET, port(0)), system::host(libc::AF_INET, port(1)));
    let socket = || system::socket(libc::AF_INET, libc::SOCK_DGRAM).unwrap();
    let sendto = |socket: i64, to: &[u8], flags: i32| {
        call(
            libc::SYS_sendto,
            &[socket as u64, to.as_ptr() as u64, 1, signed(flags), to.as_ptr() as u64, to.len() as u64],
        )
    };
    inside.got("sendto", sendto(socket(), &denied, 0));
    inside.got("sendto, allowed", sendto(socket(), &allowed, 0));
    inside.got("sendmsg", system::send(socket(), &denied, b"x", None, 0));
    inside.got("sendmsg, allowed", system::send(socket(), &allowed, b"x", None, 0));
    let piece = [denied.as_ptr() as u64, 1];
    let head = [denied.as_ptr() as u64, denied.len() as u64, address(&piece), 1, 0, 0, 0, 0];
    inside.got("sendmmsg", call(libc::SYS_sendmmsg, &[socket() as u64, address(&head), 1, 0]));
    // The kernel takes an address without a family for one of its own.
    inside.got("no family", sendto(socket(), &system::host(libc::AF_UNSPEC, port(1)), 0));
    inside.got("no family, message", system::send(socket(), &system::host(libc::AF_UNSPEC, port(1)), b"x", None, 0));
    inside.got("no family, allowed", sendto(socket(), &system::host(libc::AF_UNSPEC, port(0)), 0));
    inside.got("connect", system::with_address(libc::SYS_connect, socket(), &denied));
    let mut six = u16::try_from(libc::AF_INET6).unwrap().to_ne_bytes().to_vec();
    six.extend(port(1).to_be_bytes());
    six.extend([0; 4]);
    let mut mapped = six.clone();
    mapped.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1]);
    mapped.extend([0; 4]);
    six.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    six.extend([0; 4]);
    let by_six = system::socket(libc::AF_INET6, libc::SOCK_DGRAM).unwrap();
    inside.got("six", sendto(by_six, &six, 0));
    inside.got("mapped", sendto(by_six, &mapped, 0));
    let stream = || system::socket(libc::AF_INET, libc::SOCK_STREAM).unwrap();
    inside.got("fast open", system::send(stream(), &denied, b"x", None, libc::MSG_FASTOPEN));
    inside.got("fast open, sendto", sendto(stream(), &denied, libc::MSG_FASTOPEN));
    inside.got("stream", system::with_address(libc::SYS_connect, stream(), &denied));
    let multipath = call(libc::SYS_socket, &[libc::AF_INET as u64, libc::SOCK_STREAM as u64, 262]);
    inside.got(
        "multipath",
        multipath.map_err(|_| libc::EPERM).and_then(|socket| system::with_address(libc::SYS_connect, socket, &denied)),
    );
}

pub(super) fn families(stage: &Stage) {
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let profile = format!("(version 1)(allow default)(deny network-bind (local ip \"*:{free}\"))");
    stage.run(&profile, &[&free]).expect(&[
        ("family", "EPERM"),
        ("none", "EPERM"),
        ("none, stream", "EPERM"),
        ("another port", "ok"),
    ]);
    stage.run("(version 1)(allow default)(deny network*)", &[&free]).expect(&[
        ("vsock", "EPERM"),
        ("sctp", "EPERM"),
        ("alg", "EPERM"),
        ("family", "EPERM"),
        ("none", "EPERM"),
    ]);
}

/// A socket of IPv6 without an address serves IPv4 along.
pub(super) fn both_families(stage: &Stage) {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("both families at once: skipped, no IPv6 here");
        return;
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let profile = format!("(version 1)(allow default)(deny network-bind (local tcp4 \"*:{free}\"))");
    stage.run(&profile, &[&free]).expect(&[("bind", "EPERM"), ("loopback", "ok")]);
    let profile =
        format!("(version 1)(allow default)(deny network-inbound (local tcp4 \"*:{free}\"))(allow network-bind)");
    stage.run(&profile, &[&free]).expect(&[("listen", "EPERM"), ("loopback", "ok")]);
}

pub(super) fn both_families_inside(inside: &Inside) {
    let port = u16::try_from(inside.number(0)).unwrap();
    let served = |host: [u8; 16], key: &str, listen: Option<&str>| {
        let mut address = vec![0u8; 28];
        address[..2].copy_from_slice(&u16::try_from(libc::AF_INET6).unwrap().to_ne_bytes());
        address[2..4].copy_from_slice(&port.to_be_bytes());
        address[8..24].copy_from_slice(&host);
        let socket = system::socket(libc::AF_INET6, libc::SOCK_STREAM).unwrap();
        let bound = system::with_address(libc::SYS_bind, socket, &address);
        inside.got(key, bound);
        if let Some(listen) = listen.filter(|_| bound.is_ok()) {
            inside.got(listen, call(libc::SYS_listen, &[socket as u64, 1]));
        }
        close(socket);
    };
    served([0; 16], "bind", Some("listen"));
    let mut loopback = [0; 16];
    loopback[15] = 1;
    served(loopback, "loopback", None);
}

pub(super) fn families_inside(inside: &Inside) {
    let port = u16::try_from(inside.number(0)).unwrap();
    // `bind` takes no family as its own only without a host.
    let any = |family: i32, port: u16| {
        let mut bytes = system::host(family, port);
        bytes[4..8].fill(0);
        bytes
    };
    let bind = |kind: i32, to: &[u8]| {
        let socket = system::socket(libc::AF_INET, kind).unwrap();
        let result = system::with_address(libc::SYS_bind, socket, to);
        close(socket);
        result
    };
    inside.got("family", bind(libc::SOCK_DGRAM, &any(libc::AF_INET, port)));
    inside.got("none", bind(libc::SOCK_DGRAM, &any(libc::AF_UNSPEC, port)));
    inside.got("none, stream", bind(libc::SOCK_STREAM, &any(libc::AF_UNSPEC, port)));
    inside.got("another port", bind(libc::SOCK_DGRAM, &any(libc::AF_INET, 0)));
    // Sockets that reach others and have no port that a rule could name; not all kernels have them.
    let reaches = |domain: i32, kind: i32, protocol: i32, to: &[u8]| match call(
        libc::SYS_socket,
        &[signed(domain), signed(kind), signed(protocol)],
    ) {
        Ok(socket) => system::with_address(libc::SYS_connect, socket, to),
        Err(_) => Err(libc::EPERM),
    };
    let mut machine = vec![40, 0, 0, 0];
    machine.extend(1u32.to_ne_bytes());
    machine.extend(2u32.to_ne_bytes());
    machine.extend([0; 4]);
    inside.got("vsock", reaches(libc::AF_VSOCK, libc::SOCK_STREAM, 0, &machine));
    inside.got("sctp", reaches(libc::AF_INET, libc::SOCK_STREAM, 132, &system::host(libc::AF_INET, port)));
    inside.got("alg", reaches(libc::AF_ALG, libc::SOCK_SEQPACKET, 0, &system::host(libc::AF_ALG, 0)));
}

pub(super) fn sockets_race(stage: &Stage) {
    use std::net::UdpSocket;
    let (allowed, denied) = (UnixDatagram::bind(stage.path("a/s")).unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    denied.set_nonblocking(true).unwrap();
    let port = denied.local_addr().unwrap().port().to_string();
    let profile = format!("(version 1)(allow default)(deny network-outbound (remote ip \"localhost:{port}\"))");
    let said = stage.run(&profile, &[&port]);
    assert_eq!(said.get("passed"), "0");
    assert!(said.count("refused") >= ENOUGH);
    assert!(denied.recv(&mut [0; 8]).is_err(), "a message arrived where none may");
    drop(allowed);
}

pub(super) fn sockets_race_inside(inside: &Inside) {
    let denied = system::host(libc::AF_INET, u16::try_from(inside.number(0)).unwrap());
    let (internet, local) = (
        system::socket(libc::AF_INET, libc::SOCK_DGRAM).unwrap(),
        system::socket(libc::AF_UNIX, libc::SOCK_DGRAM).unwrap(),
    );
    let swapped = system::socket(libc::AF_UNIX, libc::SOCK_DGRAM).unwrap();
    let ended = AtomicBool::new(false);
    let mut count = Count::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                for socket in [internet, local] {
                    call(numbers::SYS_dup2, &[socket as u64, swapped as u64]).unwrap();
                }
            }
        });
        let start = Instant::now();
        // None of them passes.
        while goes_on(start, count.refused >= ENOUGH) {
            let (to, length) = (denied.as_ptr() as u64, denied.len() as u64);
            match call(libc::SYS_sendto, &[swapped as u64, to, 1, 0, to, length]) {
                Ok(_) => count.passed += 1,
                Err(_) => count.refused += 1,
            }
        }
        ended.store(true, Ordering::Relaxed);
    });
    count.say(inside);
}
