//! In: a stage. Out: [`ATTACKS`], each with what is prepared and checked outside, and what is tried under
//! the policy. Never: a wait for a time to pass but where two threads race.

use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::stage::{NOBODY, Said, Stage, Talk, User, is_root};
use super::system::{self, HERE, address, at, by_path, call, child, close, open, put, read, shared, signed, text};

/// An attack.
pub struct Attack {
    /// Its name.
    pub name: &'static str,
    /// What happens outside.
    pub outside: fn(&Stage),
    /// What happens under the policy.
    pub inside: fn(&Inside),
    /// Only a root can try it.
    pub for_root: bool,
}

impl Attack {
    /// Whether that user can try it.
    pub fn fits(&self, user: User) -> bool {
        !self.for_root || (user == User::Same && is_root())
    }
}

/// A process that tries something.
pub struct Inside {
    directory: String,
    arguments: Vec<String>,
}

/// An error number as one says it.
pub fn name_of_error(errno: i32) -> String {
    match errno {
        libc::EPERM => "EPERM".into(),
        libc::EACCES => "EACCES".into(),
        libc::ENOENT => "ENOENT".into(),
        libc::ENOSYS => "ENOSYS".into(),
        libc::EFAULT => "EFAULT".into(),
        libc::ENOTDIR => "ENOTDIR".into(),
        libc::EISDIR => "EISDIR".into(),
        libc::EEXIST => "EEXIST".into(),
        libc::EINVAL => "EINVAL".into(),
        libc::ENAMETOOLONG => "ENAMETOOLONG".into(),
        libc::EOPNOTSUPP => "EOPNOTSUPP".into(),
        libc::EBADF => "EBADF".into(),
        libc::ESRCH => "ESRCH".into(),
        other => format!("E{other}"),
    }
}

impl Inside {
    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.directory)
    }

    fn argument(&self, number: usize) -> &str {
        &self.arguments[number]
    }

    fn number(&self, number: usize) -> u64 {
        self.arguments[number].parse().unwrap()
    }

    fn say(&self, key: &str, value: impl std::fmt::Display) {
        use std::io::Write;
        let mut out = std::io::stdout().lock();
        out.write_all(format!("{key}={value}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    }

    /// Says how a call went.
    fn got(&self, key: &str, result: system::Result<i64>) {
        match result {
            Ok(_) => self.say(key, "ok"),
            Err(errno) => self.say(key, name_of_error(errno)),
        }
    }

    /// Opens, says how that went, and closes.
    fn opens(&self, key: &str, path: &str, flags: i32) {
        let result = open(path, flags);
        self.got(key, result);
        if let Ok(descriptor) = result {
            close(descriptor);
        }
    }
}

/// Runs what an attack does inside.
pub fn inside(name: &str) {
    let attack = ATTACKS.iter().find(|attack| attack.name == name).unwrap();
    let directory = std::env::current_dir().unwrap().to_str().unwrap().to_owned();
    (attack.inside)(&Inside { directory, arguments: std::env::args().skip(1).collect() });
}

macro_rules! attacks {
    ($($name:literal $outside:ident $inside:ident $for_root:literal;)*) => {
        &[$(Attack { name: $name, outside: $outside, inside: $inside, for_root: $for_root }),*]
    };
}

/// All of them.
pub const ATTACKS: &[Attack] = attacks![
    "path rewritten while opened" opens_race opens_race_inside false;
    "path rewritten while unlinked" unlinks_race unlinks_race_inside false;
    "path rewritten while renamed" renames_race renames_race_inside false;
    "path rewritten while connected" connects_race connects_race_inside false;
    "path rewritten while started" starts_race starts_race_inside false;
    "script rewritten while started" scripts_race starts_race_inside false;
    "symlink swapped between check and use" links_race links_race_inside false;
    "ways through proc" through_proc through_proc_inside false;
    "memory of others" memory memory_inside false;
    "links and renames into an allowed place" moved moved_inside false;
    "descriptors that came over a socket" passed passed_inside false;
    "an old directory" old_directory old_directory_inside false;
    "many at once" many many_inside false;
    "openings that wait" waiting waiting_inside false;
    "the supervisor is killed" killed killed_inside false;
    "calls that lead out" refused refused_inside false;
    "messages to a port" messages messages_inside false;
    "ports without a family" families families_inside false;
    "a socket swapped" sockets_race sockets_race_inside false;
    "changes by a descriptor that reads" by_descriptor by_descriptor_inside false;
    "programs without a path" unnamed unnamed_inside false;
    "interpreters" interpreters interpreters_inside false;
    "odd paths" odd odd_inside false;
    "signals by descriptors" signals signals_inside false;
    "groups joined while signalled" groups groups_inside false;
    "signals while a start fails" kept kept_inside false;
    "shared memory that is there" shared_memory shared_memory_inside false;
    "limits of others" limits limits_inside false;
    "a policy within a policy" nested nested_inside false;
    "names that look deleted" deleted deleted_inside false;
    "another user inside" other_user other_user_inside true;
    "fewer rights after a start" fewer_rights fewer_rights_inside true;
];

/// What does not hold yet: these are tried by `--include-ignored`. A script is told from another one of the
/// same interpreter only before it starts; openings that wait use up the supervisor's threads; paths that end
/// in a slash get other errors than the kernel's.
pub const OPEN: &[&str] = &["script rewritten while started", "openings that wait", "odd paths"];

/// How long two threads race.
const RACE: Duration = Duration::from_millis(300);

/// The fewest successes and refusals after which a race is one.
const ENOUGH: i64 = 5;

/// Runs `work` again and again, while another thread changes one byte of a path between two values.
fn race(path: &'static [AtomicU8], place: usize, work: &mut dyn FnMut()) {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                for byte in [b'a', b'b'] {
                    path[place].store(byte, Ordering::SeqCst);
                    for _ in 0..if byte == b'a' { 300 } else { 100 } {
                        std::hint::spin_loop();
                    }
                }
            }
        });
        let end = Instant::now() + RACE;
        while Instant::now() < end {
            work();
        }
        ended.store(true, Ordering::Relaxed);
    });
    path[place].store(b'a', Ordering::SeqCst);
}

fn raced(said: &Said) {
    assert_eq!(said.get("breaches"), "0", "{said:?}");
    assert!(said.number("passed") >= ENOUGH, "the race never passed: {said:?}");
    assert!(said.number("refused") >= ENOUGH, "the race was never refused: {said:?}");
}

#[derive(Default)]
struct Count {
    breaches: usize,
    passed: usize,
    refused: usize,
}

impl Count {
    fn say(&self, inside: &Inside) {
        inside.say("breaches", self.breaches);
        inside.say("passed", self.passed);
        inside.say("refused", self.refused);
    }
}

/// A path in memory whose byte at the place says `a` or `b`.
fn swinging(inside: &Inside, rest: &str) -> (&'static [AtomicU8], usize) {
    let path = shared(4096);
    put(path, inside.path(&format!("a{rest}")).as_bytes());
    (path, inside.directory.len() + 1)
}

fn opens_race(stage: &Stage) {
    for call in ["open", "openat", "openat2"] {
        raced(&stage.run(&stage.but("file-read-data"), &[call]));
    }
}

fn opens_race_inside(inside: &Inside) {
    let (path, place) = swinging(inside, "/x");
    let name = address(path);
    let how = [0u64; 3];
    let mut count = Count::default();
    race(path, place, &mut || {
        let result = match inside.argument(0) {
            "open" => call(libc::SYS_open, &[name, 0, 0]),
            "openat" => call(libc::SYS_openat, &[HERE, name, 0, 0]),
            _ => call(libc::SYS_openat2, &[HERE, name, address(&how), 24]),
        };
        match result {
            Ok(descriptor) => {
                match read(descriptor).as_deref() {
                    Ok(b"allowed") => count.passed += 1,
                    _ => count.breaches += 1,
                }
                close(descriptor);
            }
            Err(_) => count.refused += 1,
        }
    });
    count.say(inside);
}

fn unlinks_race(stage: &Stage) {
    stage.file("b/u", "secret");
    raced(&stage.run(&stage.but("file-write-unlink"), &[]));
    assert_eq!(stage.text("b/u").as_deref(), Some("secret"));
}

fn unlinks_race_inside(inside: &Inside) {
    let (path, place) = swinging(inside, "/u");
    let again = inside.path("a/u");
    let mut count = Count::default();
    race(path, place, &mut || {
        close(open(&again, libc::O_CREAT | libc::O_WRONLY).unwrap());
        match call(libc::SYS_unlink, &[address(path)]) {
            Ok(_) => count.passed += 1,
            Err(_) => count.refused += 1,
        }
    });
    count.say(inside);
}

fn renames_race(stage: &Stage) {
    stage.file("b/r", "secret");
    stage.file("b/t", "secret");
    for which in ["from", "to"] {
        raced(&stage.run(&stage.but("file-write*"), &[which]));
        assert_eq!(stage.text("b/r").as_deref(), Some("secret"));
        assert_eq!(stage.text("b/t").as_deref(), Some("secret"));
    }
}

fn renames_race_inside(inside: &Inside) {
    let (from, to) = ("/r", "/t");
    let is_from = inside.argument(0) == "from";
    let (path, place) = swinging(inside, if is_from { from } else { to });
    let again = inside.path("a/r");
    let other = text(&inside.path(if is_from { "a/moved" } else { "a/r" }));
    let mut count = Count::default();
    race(path, place, &mut || {
        close(open(&again, libc::O_CREAT | libc::O_WRONLY).unwrap());
        let (one, two) = (address(path), other.as_ptr() as u64);
        let result = call(libc::SYS_rename, &if is_from { [one, two] } else { [two, one] });
        match result {
            Ok(_) => count.passed += 1,
            Err(_) => count.refused += 1,
        }
    });
    count.say(inside);
}

fn connects_race(stage: &Stage) {
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

fn connects_race_inside(inside: &Inside) {
    let (path, place) = swinging(inside, "/s");
    // The address is in shared memory as well, with the path in it.
    let to = shared(4096);
    let bytes = system::local(&inside.path("a/s"));
    put(to, &bytes);
    let _ = path;
    let mut count = Count::default();
    let connects = inside.argument(0) == "connect";
    race(to, place + 2, &mut || {
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

fn starts_race(stage: &Stage) {
    stage.program("a/p", "/bin/true");
    stage.program("b/p", "/bin/false");
    raced(&stage.run(&stage.but("process-exec*"), &[]));
}

/// Scripts of the same interpreter: which program runs in the end does not tell them apart.
fn scripts_race(stage: &Stage) {
    stage.script("a/p", "#!/bin/sh\nexit 0\n");
    stage.script("b/p", "#!/bin/sh\nexit 1\n");
    raced(&stage.run(&stage.but("process-exec*"), &[]));
}

fn starts_race_inside(inside: &Inside) {
    let (path, place) = swinging(inside, "/p");
    let mut count = Count::default();
    race(path, place, &mut || {
        let status = child(|| {
            let arguments = [address(path), 0];
            let _ = call(libc::SYS_execve, &[address(path), address(&arguments), 0]);
            99
        });
        match status {
            0 => count.passed += 1,
            1 => count.breaches += 1,
            _ => count.refused += 1,
        }
    });
    count.say(inside);
}

fn links_race(stage: &Stage) {
    stage.link("l", &stage.path("a/x"));
    stage.link("m", &stage.path("b/x"));
    let (one, two) = (text(&stage.path("l")), text(&stage.path("m")));
    let ended = AtomicBool::new(false);
    let said = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                let arguments =
                    [HERE, one.as_ptr() as u64, HERE, two.as_ptr() as u64, u64::from(libc::RENAME_EXCHANGE)];
                call(libc::SYS_renameat2, &arguments).unwrap();
            }
        });
        let said = stage.run(&stage.but("file-read-data"), &[]);
        ended.store(true, Ordering::Relaxed);
        said
    });
    raced(&said);
}

fn links_race_inside(inside: &Inside) {
    let path = inside.path("l");
    let mut count = Count::default();
    let end = Instant::now() + RACE;
    while Instant::now() < end {
        match open(&path, libc::O_RDONLY) {
            Ok(descriptor) => {
                match read(descriptor).as_deref() {
                    Ok(b"allowed") => count.passed += 1,
                    _ => count.breaches += 1,
                }
                close(descriptor);
            }
            Err(_) => count.refused += 1,
        }
    }
    count.say(inside);
}

fn through_proc(stage: &Stage) {
    let victim = stage.victim();
    let said = stage.run(&stage.but("file-read-data file-write*"), &[&victim.id()]);
    said.expect(&[
        ("place", "ok"),
        ("place again", "EPERM"),
        ("place for writing", "EPERM"),
        ("by dev", "EPERM"),
        ("read only", "ok"),
        ("read only again", "ok"),
        ("read only by thread", "ok"),
        ("own root", "EPERM"),
        ("own root, allowed", "ok"),
        ("thread's root", "EPERM"),
        ("own directory", "EPERM"),
        ("own directory, allowed", "ok"),
        ("root of another", "EPERM"),
        ("root of another, allowed", "ok"),
        ("directory of another", "EPERM"),
        ("a link to proc", "EPERM"),
    ]);
    let said = stage.run(&stage.but("file-write*"), &[&victim.id()]);
    said.expect(&[("read", "ok"), ("write", "EPERM"), ("truncate", "EPERM"), ("read again", "ok"), ("mode", "EPERM")]);
    assert_eq!(stage.text("b/x").as_deref(), Some("secret"));
}

fn through_proc_inside(inside: &Inside) {
    let victim = inside.argument(0);
    let (allowed, denied) = (inside.path("a/x"), inside.path("b/x"));
    let place = open(&denied, libc::O_PATH);
    inside.got("place", place);
    if let Ok(place) = place {
        inside.opens("place again", &format!("/proc/self/fd/{place}"), libc::O_RDONLY);
        inside.opens("place for writing", &format!("/proc/self/fd/{place}"), libc::O_WRONLY);
        inside.opens("by dev", &format!("/dev/fd/{place}"), libc::O_RDONLY);
    }
    let file = open(&allowed, libc::O_RDONLY);
    inside.got("read only", file);
    if let Ok(file) = file {
        inside.opens("read only again", &format!("/proc/self/fd/{file}"), libc::O_RDWR);
        inside.opens("read only by thread", &format!("/proc/thread-self/fd/{file}"), libc::O_RDWR);
    }
    inside.opens("own root", &format!("/proc/self/root{denied}"), libc::O_RDONLY);
    inside.opens("own root, allowed", &format!("/proc/self/root{allowed}"), libc::O_RDONLY);
    inside.opens("thread's root", &format!("/proc/thread-self/root{denied}"), libc::O_RDONLY);
    inside.opens("own directory", "/proc/self/cwd/b/x", libc::O_RDONLY);
    inside.opens("own directory, allowed", "/proc/self/cwd/a/x", libc::O_RDONLY);
    inside.opens("root of another", &format!("/proc/{victim}/root{denied}"), libc::O_RDONLY);
    inside.opens("root of another, allowed", &format!("/proc/{victim}/root{allowed}"), libc::O_RDONLY);
    inside.opens("directory of another", &format!("/proc/{victim}/cwd/b/x"), libc::O_RDONLY);
    let link = inside.path("a/proc");
    let _ = std::os::unix::fs::symlink(format!("/proc/self/root{denied}"), &link);
    inside.opens("a link to proc", &link, libc::O_RDONLY);
    let file = open(&denied, libc::O_RDONLY);
    inside.got("read", file);
    if let Ok(file) = file {
        let own = format!("/proc/self/fd/{file}");
        inside.opens("write", &own, libc::O_RDWR);
        inside.opens("truncate", &own, libc::O_RDONLY | libc::O_TRUNC);
        inside.opens("read again", &own, libc::O_RDONLY);
        inside.got("mode", by_path(libc::SYS_chmod, &own, &[0o777]));
    }
}

/// The parent only waits; its parent is the supervisor.
fn supervisor() -> u32 {
    let waiting = std::os::unix::process::parent_id();
    let status = std::fs::read_to_string(format!("/proc/{waiting}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap()
}

fn memory(stage: &Stage) {
    let victim = stage.victim();
    // Also where files are nobody's business.
    for profile in [stage.but("file-read-data"), "(version 1)(allow default)(deny network*)".to_owned()] {
        let said = stage.run(&profile, &[&victim.id()]);
        said.expect(&[
            ("own", "ok"),
            ("open", "EACCES"),
            ("openat", "EACCES"),
            ("openat2", "EACCES"),
            ("creat", "EACCES"),
            ("by thread", "EACCES"),
            ("relative", "EACCES"),
            ("supervisor", "EACCES"),
            ("supervisor by openat2", "EACCES"),
            ("supervisor by creat", "EACCES"),
        ]);
    }
    stage.run(&stage.but("file-read-data"), &[&victim.id()]).expect(&[("supervisor, read", "EACCES")]);
}

fn memory_inside(inside: &Inside) {
    let victim = inside.argument(0);
    let supervisor = supervisor();
    let how = [u64::from(libc::O_RDWR as u32), 0, 0];
    let memory = format!("/proc/{victim}/mem");
    let theirs = format!("/proc/{supervisor}/mem");
    inside.opens("own", "/proc/self/mem", libc::O_RDWR);
    inside.got("open", by_path(libc::SYS_open, &memory, &[libc::O_RDWR as u64, 0]));
    inside.opens("openat", &memory, libc::O_WRONLY);
    inside.got("openat2", at(libc::SYS_openat2, HERE, &memory, &[address(&how), 24]));
    inside.got("creat", by_path(libc::SYS_creat, &memory, &[0o600]));
    inside.opens("by thread", &format!("/proc/{victim}/task/{victim}/mem"), libc::O_RDWR);
    let folder = open(&format!("/proc/{victim}"), libc::O_RDONLY | libc::O_DIRECTORY).unwrap();
    inside.got("relative", at(libc::SYS_openat, folder as u64, "mem", &[libc::O_RDWR as u64]));
    inside.opens("supervisor", &theirs, libc::O_RDWR);
    inside.got("supervisor by openat2", at(libc::SYS_openat2, HERE, &theirs, &[address(&how), 24]));
    inside.got("supervisor by creat", by_path(libc::SYS_creat, &theirs, &[0o600]));
    inside.opens("supervisor, read", &theirs, libc::O_RDONLY);
}

fn moved(stage: &Stage) {
    stage.folder_named("a/d");
    stage.file("a/d/y", "allowed");
    stage.file("a/y", "allowed");
    stage.run(&stage.but("file-read-data file-write*"), &[]).expect(&[
        ("link", "EPERM"),
        ("link, allowed", "ok"),
        ("linkat", "EPERM"),
        ("by place", "EPERM"),
        ("by proc", "EPERM"),
        ("rename over", "EPERM"),
        ("rename in", "EPERM"),
        ("rename out", "EPERM"),
        ("exchange", "EPERM"),
        ("exchange back", "EPERM"),
        ("rename, allowed", "ok"),
        ("symlink in", "EPERM"),
        ("read by a symlink", "EPERM"),
        ("create by a symlink", "EPERM"),
        ("create by a symlink, allowed", "ok"),
        ("creat by a symlink", "EPERM"),
        ("mkdir by a symlink", "EEXIST"),
    ]);
    assert_eq!(stage.text("b/x").as_deref(), Some("secret"));
    assert_eq!(stage.text("b/new"), None);
    assert!(stage.text("a/new").is_some());
}

fn moved_inside(inside: &Inside) {
    let path = |name: &str| inside.path(name);
    let two = |number: i64, from: &str, to: &str| {
        let to = text(&inside.path(to));
        by_path(number, &inside.path(from), &[to.as_ptr() as u64])
    };
    inside.got("link", two(libc::SYS_link, "b/x", "a/l"));
    inside.got("link, allowed", two(libc::SYS_link, "a/x", "a/m"));
    let to = text(&path("a/l"));
    inside.got("linkat", at(libc::SYS_linkat, HERE, &path("b/x"), &[HERE, to.as_ptr() as u64, 0]));
    let place = open(&path("b/x"), libc::O_PATH).unwrap();
    let by_place = [HERE, to.as_ptr() as u64, libc::AT_EMPTY_PATH as u64];
    inside.got("by place", at(libc::SYS_linkat, place as u64, "", &by_place));
    let by_proc = [HERE, to.as_ptr() as u64, libc::AT_SYMLINK_FOLLOW as u64];
    inside.got("by proc", at(libc::SYS_linkat, HERE, &format!("/proc/self/fd/{place}"), &by_proc));
    inside.got("rename over", two(libc::SYS_rename, "a/d", "b"));
    inside.got("rename in", two(libc::SYS_rename, "a/y", "b/x"));
    inside.got("rename out", two(libc::SYS_rename, "b/x", "a/z"));
    let exchange = |from: &str, to: &str| {
        let to = text(&inside.path(to));
        let more = [HERE, to.as_ptr() as u64, u64::from(libc::RENAME_EXCHANGE)];
        at(libc::SYS_renameat2, HERE, &inside.path(from), &more)
    };
    inside.got("exchange", exchange("a", "b"));
    inside.got("exchange back", exchange("b/x", "a/y"));
    inside.got("rename, allowed", two(libc::SYS_rename, "a/d", "a/e"));
    inside.got("symlink in", two(libc::SYS_symlink, "a/x", "b/s"));
    let link = |target: &str, name: &str| std::os::unix::fs::symlink(inside.path(target), inside.path(name)).unwrap();
    link("b/x", "a/s");
    inside.opens("read by a symlink", &path("a/s"), libc::O_RDONLY);
    link("b/new", "a/dangling");
    inside.opens("create by a symlink", &path("a/dangling"), libc::O_WRONLY | libc::O_CREAT);
    inside.got("creat by a symlink", by_path(libc::SYS_creat, &path("a/dangling"), &[0o600]));
    inside.got("mkdir by a symlink", by_path(libc::SYS_mkdir, &path("a/dangling"), &[0o700]));
    link("a/new", "a/leading");
    inside.opens("create by a symlink, allowed", &path("a/leading"), libc::O_WRONLY | libc::O_CREAT);
}

fn passed(stage: &Stage) {
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

fn passed_inside(inside: &Inside) {
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

fn old_directory(stage: &Stage) {
    let mut command = stage.under(&stage.but("file-read* file-write*"), &[]);
    command.stdin(std::fs::File::open(stage.path("b")).unwrap());
    Stage::ended(command).expect(&[
        ("leaf", "EPERM"),
        ("leaf for writing", "EPERM"),
        ("new", "EPERM"),
        ("out of it", "ok"),
        ("out and in", "EPERM"),
        ("status", "EPERM"),
        ("unlink", "EPERM"),
        ("from within", "EPERM"),
        ("up from within", "ok"),
        ("itself", "EPERM"),
    ]);
}

fn old_directory_inside(inside: &Inside) {
    let mut status = [0u64; 32];
    let into = status.as_mut_ptr() as u64;
    inside.got("leaf", at(libc::SYS_openat, 0, "x", &[0]));
    inside.got("leaf for writing", at(libc::SYS_openat, 0, "x", &[libc::O_WRONLY as u64]));
    inside.got("new", at(libc::SYS_openat, 0, "n", &[(libc::O_CREAT | libc::O_WRONLY) as u64, 0o600]));
    inside.got("out of it", at(libc::SYS_openat, 0, "../a/x", &[0]));
    inside.got("out and in", at(libc::SYS_openat, 0, "../b/x", &[0]));
    inside.got("status", at(libc::SYS_newfstatat, 0, "x", &[into, 0]));
    inside.got("unlink", at(libc::SYS_unlinkat, 0, "x", &[0]));
    inside.got("itself", at(libc::SYS_openat, 0, ".", &[libc::O_DIRECTORY as u64]));
    call(libc::SYS_fchdir, &[0]).unwrap();
    inside.got("from within", at(libc::SYS_openat, HERE, "x", &[0]));
    inside.got("up from within", at(libc::SYS_openat, HERE, "../a/x", &[0]));
}

fn many(stage: &Stage) {
    stage.run(&stage.but("file-read-data"), &[]).expect(&[("well", "300")]);
}

fn many_inside(inside: &Inside) {
    let (allowed, denied) = (inside.path("a/x"), inside.path("b/x"));
    let children: Vec<i32> = (0..300)
        .map(|_| {
            system::fork(|| {
                for _ in 0..10 {
                    match open(&allowed, libc::O_RDONLY) {
                        Ok(descriptor) => close(descriptor),
                        Err(_) => return 1,
                    }
                    if open(&denied, libc::O_RDONLY) != Err(libc::EPERM) {
                        return 2;
                    }
                }
                0
            })
        })
        .collect();
    inside.say("well", children.into_iter().filter(|child| system::wait(*child) == 0).count());
}

/// More openings wait than there are threads to wait for them; the others are still answered, also when
/// those that waited were killed.
fn waiting(stage: &Stage) {
    stage.run(&stage.but("file-read-data"), &[]).expect(&[("while", "ok"), ("after", "ok"), ("met", "0")]);
}

fn waiting_inside(inside: &Inside) {
    let pipe = inside.path("a/pipe");
    by_path(libc::SYS_mknod, &pipe, &[u64::from(libc::S_IFIFO | 0o600), 0]).unwrap();
    let children: Vec<i32> =
        (0..600).map(|_| system::fork(|| i32::from(open(&inside.path("a/pipe"), libc::O_RDONLY).is_err()))).collect();
    inside.opens("while", &inside.path("a/x"), libc::O_RDONLY);
    for child in children {
        let _ = call(libc::SYS_kill, &[child as u64, libc::SIGKILL as u64]);
        system::wait(child);
    }
    inside.opens("after", &inside.path("a/x"), libc::O_RDONLY);
    // And two that wait for one another meet.
    let reader = system::fork(|| i32::from(open(&pipe, libc::O_RDONLY).is_err()));
    let writer = open(&pipe, libc::O_WRONLY);
    inside.say("met", system::wait(reader) + i32::from(writer.is_err()));
}

fn killed(stage: &Stage) {
    let mut talk = Talk::with(stage.under(&stage.but("file-read-data file-write*"), &[]));
    assert_eq!(talk.line(), "before=ok");
    let supervisor: i32 = talk.line().parse().unwrap();
    call(libc::SYS_kill, &[supervisor as u64, libc::SIGKILL as u64]).unwrap();
    // It is gone when what it served learns of that, at the latest.
    let said = talk.rest();
    for (key, value) in said.all() {
        assert_eq!(value, "ENOSYS", "{key} after the supervisor's end");
    }
    assert!(said.all().len() >= 5);
}

fn killed_inside(inside: &Inside) {
    inside.opens("before", &inside.path("a/x"), libc::O_RDONLY);
    println!("{}", supervisor());
    let _ = std::io::Read::read(&mut std::io::stdin(), &mut [0]);
    // Whatever was asked about before: nothing is allowed.
    while call(libc::SYS_openat, &[HERE, text(&inside.path("a/x")).as_ptr() as u64, 0]) != Err(libc::ENOSYS) {
        std::thread::yield_now();
    }
    inside.opens("allowed", &inside.path("a/x"), libc::O_RDONLY);
    inside.opens("denied", &inside.path("b/x"), libc::O_RDONLY);
    inside.opens("new", &inside.path("a/n"), libc::O_WRONLY | libc::O_CREAT);
    inside.got("unlink", by_path(libc::SYS_unlink, &inside.path("a/x"), &[]));
    inside.got("mkdir", by_path(libc::SYS_mkdir, &inside.path("a/m"), &[0o700]));
}

fn refused(stage: &Stage) {
    let said = stage.run(&stage.but("file-read-data"), &[]);
    for (key, value) in said.all() {
        let wanted = match key.split_once(' ').map_or(key.as_str(), |(kind, _)| kind) {
            "missing" => "ENOSYS",
            "ended" => "-31",
            "works" => "0",
            _ => "EPERM",
        };
        assert_eq!(value, wanted, "{key}");
    }
    assert!(said.all().len() > 40);
}

fn refused_inside(inside: &Inside) {
    let numbers = [
        ("ptrace", libc::SYS_ptrace),
        ("process_vm_readv", libc::SYS_process_vm_readv),
        ("process_vm_writev", libc::SYS_process_vm_writev),
        ("pidfd_getfd", libc::SYS_pidfd_getfd),
        ("io_uring_setup", libc::SYS_io_uring_setup),
        ("io_uring_enter", libc::SYS_io_uring_enter),
        ("io_uring_register", libc::SYS_io_uring_register),
        ("mount", libc::SYS_mount),
        ("umount2", libc::SYS_umount2),
        ("pivot_root", libc::SYS_pivot_root),
        ("chroot", libc::SYS_chroot),
        ("open_tree", libc::SYS_open_tree),
        ("move_mount", libc::SYS_move_mount),
        ("fsopen", libc::SYS_fsopen),
        ("fsmount", libc::SYS_fsmount),
        ("fspick", libc::SYS_fspick),
        ("mount_setattr", libc::SYS_mount_setattr),
        ("unshare", libc::SYS_unshare),
        ("setns", libc::SYS_setns),
        ("open_by_handle_at", libc::SYS_open_by_handle_at),
        ("bpf", libc::SYS_bpf),
        ("perf_event_open", libc::SYS_perf_event_open),
        ("userfaultfd", libc::SYS_userfaultfd),
        ("keyctl", libc::SYS_keyctl),
        ("kexec_load", libc::SYS_kexec_load),
        ("kexec_file_load", libc::SYS_kexec_file_load),
        ("init_module", libc::SYS_init_module),
        ("finit_module", libc::SYS_finit_module),
        ("reboot", libc::SYS_reboot),
        ("mq_open", libc::SYS_mq_open),
        ("fanotify_init", libc::SYS_fanotify_init),
        ("acct", libc::SYS_acct),
        ("swapon", libc::SYS_swapon),
    ];
    for (name, number) in numbers {
        inside.got(name, call(number, &[u64::MAX, u64::MAX, u64::MAX, u64::MAX]));
    }
    for (name, flag) in [
        ("user", libc::CLONE_NEWUSER),
        ("mounts", libc::CLONE_NEWNS),
        ("processes", libc::CLONE_NEWPID),
        ("net", libc::CLONE_NEWNET),
    ] {
        inside.got(&format!("clone {name}"), call(libc::SYS_clone, &[u64::from(flag as u32), 0, 0, 0, 0]));
        inside.got(&format!("unshare {name}"), call(libc::SYS_unshare, &[u64::from(flag as u32)]));
    }
    let arguments = [0u64; 11];
    inside.got("missing clone3", call(libc::SYS_clone3, &[address(&arguments), 88]));
    for number in 463..475 {
        inside.got(&format!("missing {number}"), call(number, &[u64::MAX, u64::MAX, u64::MAX]));
    }
    for (name, request) in [("TIOCSTI", 0x5412), ("TIOCLINUX", 0x541c), ("flags", 0x4008_6602), ("xflags", 0x401c_5820)]
    {
        inside.got(&format!("ioctl {name}"), call(libc::SYS_ioctl, &[0, request, address(&arguments)]));
        // The kernel looks at the lower half only.
        inside.got(&format!("ioctl {name}, high"), call(libc::SYS_ioctl, &[0, request | 1 << 32, address(&arguments)]));
    }
    #[cfg(target_arch = "x86_64")]
    {
        for (name, number) in [("uselib", libc::SYS_uselib), ("iopl", libc::SYS_iopl), ("ioperm", libc::SYS_ioperm)] {
            inside.got(name, call(number, &[3, 1, 1]));
        }
        inside.got("missing x32", call(0x4000_0000 | libc::SYS_openat, &[HERE, text("/").as_ptr() as u64, 0]));
        inside.got("missing x32 number", call(0x4000_0000 | 520, &[]));
        inside.say("ended i386", child(|| i32::from(system::old_call() < 0)));
    }
    inside.say("works fork", child(|| 0));
}

fn messages(stage: &Stage) {
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

fn messages_inside(inside: &Inside) {
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

fn families(stage: &Stage) {
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

fn families_inside(inside: &Inside) {
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

fn sockets_race(stage: &Stage) {
    use std::net::UdpSocket;
    let (allowed, denied) = (UnixDatagram::bind(stage.path("a/s")).unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    denied.set_nonblocking(true).unwrap();
    let port = denied.local_addr().unwrap().port().to_string();
    let profile = format!("(version 1)(allow default)(deny network-outbound (remote ip \"localhost:{port}\"))");
    let said = stage.run(&profile, &[&port]);
    assert_eq!(said.get("passed"), "0");
    assert!(said.number("refused") >= ENOUGH);
    assert!(denied.recv(&mut [0; 8]).is_err(), "a message arrived where none may");
    drop(allowed);
}

fn sockets_race_inside(inside: &Inside) {
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
                    call(libc::SYS_dup2, &[socket as u64, swapped as u64]).unwrap();
                }
            }
        });
        let end = Instant::now() + RACE;
        while Instant::now() < end {
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

fn by_descriptor(stage: &Stage) {
    let (user, group) = (stage.owner().to_string(), stage.owner().to_string());
    stage.run(&stage.but("file-write*"), &["b/x", &user, &group]).expect(&[
        ("fchmod", "EPERM"),
        ("fchown", "EPERM"),
        ("futimens", "EPERM"),
        ("fsetxattr", "EPERM"),
        ("fremovexattr", "EPERM"),
        ("fchmodat2", "EPERM"),
        ("fchownat", "EPERM"),
        ("new", "EOPNOTSUPP"),
    ]);
    stage.run(&stage.but("file-write*"), &["a/x", &user, &group]).expect(&[
        ("fchmod", "ok"),
        ("fchown", "ok"),
        ("futimens", "ok"),
        ("fsetxattr", "ok"),
        ("fremovexattr", "ok"),
        ("fchownat", "ok"),
        // As without a policy: a place is no file to write to.
        ("place, mode", "EBADF"),
        ("place, attribute", "EBADF"),
        ("place, owner", "EBADF"),
    ]);
}

fn by_descriptor_inside(inside: &Inside) {
    let (user, group) = (inside.number(1), inside.number(2));
    let file = open(&inside.path(inside.argument(0)), libc::O_RDONLY).unwrap() as u64;
    let (name, value) = (text("user.test"), text("value"));
    let (name, value) = (name.as_ptr() as u64, value.as_ptr() as u64);
    inside.got("fchmod", call(libc::SYS_fchmod, &[file, 0o666]));
    inside.got("fchown", call(libc::SYS_fchown, &[file, user, group]));
    inside.got("futimens", call(libc::SYS_utimensat, &[file, 0, 0, 0]));
    inside.got("fsetxattr", call(libc::SYS_fsetxattr, &[file, name, value, 5, 0]));
    inside.got("fremovexattr", call(libc::SYS_fremovexattr, &[file, name]));
    inside.got("fchmodat2", at(libc::SYS_fchmodat2, file, "", &[0o666, libc::AT_EMPTY_PATH as u64]));
    inside.got("fchownat", at(libc::SYS_fchownat, file, "", &[user, group, libc::AT_EMPTY_PATH as u64]));
    inside.got("new", open(&inside.path("a"), libc::O_TMPFILE | libc::O_RDWR));
    let place = open(&inside.path(inside.argument(0)), libc::O_PATH).unwrap() as u64;
    inside.got("place, mode", call(libc::SYS_fchmod, &[place, 0o666]));
    inside.got("place, attribute", call(libc::SYS_fsetxattr, &[place, name, value, 5, 0]));
    inside.got("place, owner", call(libc::SYS_fchown, &[place, user, group]));
}

fn unnamed(stage: &Stage) {
    stage.program("a/p", "/bin/true");
    let profile = format!(
        "(version 1)(allow default)(deny process-exec*)(allow process-exec* (literal \"{}\") (subpath \"{}\"))",
        Stage::own_path(),
        stage.path("a")
    );
    stage.run(&profile, &[]).expect(&[
        ("program", "0"),
        ("by descriptor", "0"),
        ("memory", "101"),
        ("memory by proc", "101"),
        ("denied", "101"),
        ("its place", "101"),
    ]);
}

fn started(number: i64, arguments: &[u64]) -> i32 {
    child(|| match call(number, arguments) {
        Err(libc::EPERM) => 101,
        Err(errno) => 150 + errno.min(50),
        Ok(_) => 0,
    })
}

fn starts_at(directory: u64, path: &str, flags: i32) -> i32 {
    let path = text(path);
    let list = [path.as_ptr() as u64, 0];
    started(libc::SYS_execveat, &[directory, path.as_ptr() as u64, address(&list), 0, signed(flags)])
}

fn unnamed_inside(inside: &Inside) {
    inside.say("program", starts_at(HERE, &inside.path("a/p"), 0));
    let file = open(&inside.path("a/p"), libc::O_RDONLY | libc::O_CLOEXEC).unwrap();
    inside.say("by descriptor", starts_at(file as u64, "", libc::AT_EMPTY_PATH));
    let memory = call(libc::SYS_memfd_create, &[text("m").as_ptr() as u64, 0]).unwrap();
    let program = std::fs::read("/bin/true").unwrap();
    call(libc::SYS_write, &[memory as u64, program.as_ptr() as u64, program.len() as u64]).unwrap();
    inside.say("memory", starts_at(memory as u64, "", libc::AT_EMPTY_PATH));
    inside.say("memory by proc", starts_at(HERE, &format!("/proc/self/fd/{memory}"), 0));
    inside.say("denied", starts_at(HERE, "/bin/true", 0));
    let place = open("/bin/true", libc::O_PATH).unwrap();
    inside.say("its place", starts_at(place as u64, "", libc::AT_EMPTY_PATH));
}

fn interpreters(stage: &Stage) {
    stage.program("b/p", "/bin/true");
    stage.program("a/p", "/bin/true");
    stage.script("a/bad", &format!("#!{}\n", stage.path("b/p")));
    stage.script("a/worse", &format!("#! \t{} x\n", stage.path("a/bad")));
    stage.script("a/good", &format!("#!{}\n", stage.path("a/p")));
    stage.script("a/better", &format!("#!{}\n", stage.path("a/good")));
    stage.run(&stage.but("process-exec*"), &[]).expect(&[
        ("bad", "101"),
        ("worse", "101"),
        ("good", "0"),
        ("better", "0"),
    ]);
    stage.run(&stage.but("process-exec-interpreter"), &[]).expect(&[("bad", "101"), ("good", "0")]);
}

fn interpreters_inside(inside: &Inside) {
    for name in ["bad", "worse", "good", "better"] {
        inside.say(name, starts_at(HERE, &inside.path(&format!("a/{name}")), 0));
    }
}

/// What has nothing to do with a policy gets what it gets without one.
fn odd(stage: &Stage) {
    stage.link("a/l", "x");
    stage.link("a/ld", "d");
    stage.link("a/slash", "x/");
    stage.link("a/none", "missing");
    let mut all = Vec::new();
    for profile in [None, Some(stage.but("file-read* file-write*"))] {
        for name in ["a/d", "a/e", "a/f"] {
            let _ = std::fs::remove_dir_all(stage.path(name));
            stage.folder_named(name);
        }
        let _ = std::fs::remove_dir(stage.path("a/new"));
        stage.file("a/x", "allowed");
        let said = match profile {
            None => stage.run_free(&[]),
            Some(profile) => stage.run(&profile, &[]),
        };
        all.push(said);
    }
    let differ: Vec<String> = all[0]
        .all()
        .iter()
        .filter(|(key, value)| all[1].get(key) != value.as_str())
        .map(|(key, value)| format!("{key}: {value} without a policy, {} under one", all[1].get(key)))
        .collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert!(all[0].all().len() > 30);
}

fn odd_inside(inside: &Inside) {
    let path = |name: &str| inside.path(name);
    for name in [
        "",
        "a/x/",
        "a/x/.",
        "a/x/..",
        "a/",
        "a/.",
        "a/..",
        "a//x",
        "a/./x",
        "a/d/../x",
        "a/l",
        "a/l/",
        "a/slash",
        "a/none",
        "a/missing/",
        "a/missing/x",
        "a/none/",
        "a/ld/",
        "a/ld/.",
        "a/x/y",
    ] {
        inside.opens(&format!("open {name}"), &path(name), libc::O_RDONLY);
        inside.opens(&format!("no follow {name}"), &path(name), libc::O_RDONLY | libc::O_NOFOLLOW);
        inside.opens(&format!("place {name}"), &path(name), libc::O_PATH | libc::O_NOFOLLOW);
        inside.opens(&format!("directory {name}"), &path(name), libc::O_RDONLY | libc::O_DIRECTORY);
        if !matches!(name, "a/none" | "a/missing/x" | "a/missing/" | "a/none/") {
            inside.opens(&format!("create {name}"), &path(name), libc::O_RDONLY | libc::O_CREAT);
        }
        inside.opens(&format!("create new {name}"), &path(name), libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL);
        let mut status = [0u64; 32];
        let into = status.as_mut_ptr() as u64;
        inside.got(&format!("stat {name}"), by_path(libc::SYS_stat, &path(name), &[into]));
        inside.got(&format!("lstat {name}"), by_path(libc::SYS_lstat, &path(name), &[into]));
        inside.got(&format!("access {name}"), by_path(libc::SYS_access, &path(name), &[0]));
        let mut buffer = [0u64; 64];
        let into = buffer.as_mut_ptr() as u64;
        inside.got(&format!("readlink {name}"), by_path(libc::SYS_readlink, &path(name), &[into, 256]));
        // Nothing that the next one needs goes away by these.
        if name.ends_with('.') || name.ends_with('/') {
            inside.got(&format!("unlink {name}"), by_path(libc::SYS_unlink, &path(name), &[]));
            if name != "a/missing/" {
                inside.got(&format!("mkdir {name}"), by_path(libc::SYS_mkdir, &path(name), &[0o700]));
            }
            inside.got(&format!("mknod {name}"), by_path(libc::SYS_mknod, &path(name), &[0o100_600, 0]));
            let to = text(&path(name));
            inside.got(&format!("symlink {name}"), by_path(libc::SYS_symlink, "x", &[to.as_ptr() as u64]));
            inside.got(&format!("link {name}"), by_path(libc::SYS_link, &path("a/x"), &[to.as_ptr() as u64]));
            let elsewhere = text(&path("a/moved"));
            if !name.ends_with("ld/") {
                inside.got(
                    &format!("rename {name}"),
                    by_path(libc::SYS_rename, &path(name), &[elsewhere.as_ptr() as u64]),
                );
            }
            inside.got(&format!("rename to {name}"), by_path(libc::SYS_rename, &path("a/x"), &[to.as_ptr() as u64]));
            inside.got(&format!("rmdir {name}"), by_path(libc::SYS_rmdir, &path(name), &[]));
        }
        // A link that was made where none should be is not in the way of the rest.
        let _ = std::fs::remove_file(path("a/missing"));
        let _ = std::fs::remove_dir(path("a/missing"));
    }
    inside.opens("empty", "", libc::O_RDONLY);
    inside.opens("empty, new", "", libc::O_RDONLY | libc::O_CREAT);
    let mut status = [0u64; 32];
    let into = status.as_mut_ptr() as u64;
    inside.got("empty, status", at(libc::SYS_newfstatat, HERE, "", &[into, 0]));
    inside.got("empty, itself", at(libc::SYS_newfstatat, HERE, "", &[into, libc::AT_EMPTY_PATH as u64]));
    inside.opens("long", &format!("/{}", "x/".repeat(2500)), libc::O_RDONLY);
    inside.opens("long name", &path(&"x".repeat(256)), libc::O_RDONLY);
    inside.opens("long name, new", &path(&"x".repeat(256)), libc::O_WRONLY | libc::O_CREAT);
    inside.opens(
        "as long as may be",
        &format!("{}{}", "/".repeat(4095 - path("a/x").len()), path("a/x")),
        libc::O_RDONLY,
    );
    inside.opens("longer by one", &format!("{}{}", "/".repeat(4096 - path("a/x").len()), path("a/x")), libc::O_RDONLY);
    for (name, pointer) in [("null", 0), ("one", 1), ("kernel", 0xffff_8000_0000_0000), ("last", u64::MAX)] {
        inside.got(&format!("pointer {name}"), call(libc::SYS_openat, &[HERE, pointer, 0]));
        inside.got(&format!("pointer {name}, unlink"), call(libc::SYS_unlink, &[pointer]));
        inside.got(&format!("into {name}"), by_path(libc::SYS_stat, &path("a/x"), &[pointer]));
    }
    let page = system::last_page(b'/');
    inside.got("without an end", call(libc::SYS_openat, &[HERE, address(page) + 4000, 0]));
    let end = path("a/x");
    let (_, tail) = page.split_at(4095 - end.len());
    put(tail, end.as_bytes());
    inside.got("ends with its page", call(libc::SYS_openat, &[HERE, address(tail), 0]));
    inside.got("no directory", at(libc::SYS_openat, 99, "x", &[0]));
    inside.got("no directory, absolute", at(libc::SYS_openat, 99, &path("a/x"), &[0]));
    let file = open(&path("a/x"), libc::O_RDONLY).unwrap();
    inside.got("a file as a directory", at(libc::SYS_openat, file as u64, "x", &[0]));
    inside.got("negative", at(libc::SYS_openat, signed(-5), "x", &[0]));
    let loops = ["a/one", "a/two"];
    let _ = std::os::unix::fs::symlink("two", path(loops[0]));
    let _ = std::os::unix::fs::symlink("one", path(loops[1]));
    inside.opens("loop", &path("a/one"), libc::O_RDONLY);
    inside.opens("loop, new", &path("a/one"), libc::O_RDONLY | libc::O_CREAT);
}

fn signals(stage: &Stage) {
    for way in ["owner", "owner by structure", "owner by ioctl", "kill", "pidfd", "queue", "thread", "group"] {
        let mut victim = stage.victim();
        let said = stage.run("(version 1)(allow default)(deny signal (target others))", &[way, &victim.id()]);
        said.expect(&[("self", "ok"), ("result", "EPERM")]);
        assert!(victim.lives(), "ended by {way}");
    }
    let child = "(version 1)(allow default)(deny signal (target others))(allow signal (target children))";
    let victim = stage.victim();
    stage.run(child, &["kill", &victim.id()]).expect(&[("self", "ok"), ("result", "EPERM"), ("child", "-15")]);
}

fn signals_inside(inside: &Inside) {
    let victim = inside.number(1);
    let end = libc::SIGTERM as u64;
    let own = u64::from(std::process::id());
    inside.got("self", call(libc::SYS_kill, &[own, 0]));
    let waits = system::fork(|| {
        // It ends with its parent, whom nobody lets end it.
        let _ = call(libc::SYS_prctl, &[libc::PR_SET_PDEATHSIG as u64, libc::SIGKILL as u64]);
        if u64::from(std::os::unix::process::parent_id()) == own {
            let _ = call(libc::SYS_pause, &[]);
        }
        0
    });
    let sent = call(libc::SYS_kill, &[waits as u64, end]);
    if sent.is_ok() {
        inside.say("child", system::wait(waits));
    }
    let result = match inside.argument(0) {
        "kill" => call(libc::SYS_kill, &[victim, end]),
        "queue" => {
            let mut information = [0u64; 16];
            information[0] = end;
            information[1] = u64::from((-1i32) as u32);
            call(libc::SYS_rt_sigqueueinfo, &[victim, end, address(&information)])
        }
        "thread" => call(libc::SYS_tgkill, &[victim, victim, end]).or_else(|_| call(libc::SYS_tkill, &[victim, end])),
        "group" => call(libc::SYS_kill, &[signed(-1), end]),
        "pidfd" => call(libc::SYS_pidfd_open, &[victim, 0])
            .and_then(|process| call(libc::SYS_pidfd_send_signal, &[process as u64, end, 0, 0])),
        way => {
            // What arrives in the pipe is told its owner, by a signal of one's choice.
            let mut pair = [0i32; 2];
            call(libc::SYS_pipe2, &[pair.as_mut_ptr() as u64, 0]).unwrap();
            let [reads, writes] = pair.map(|end| end as u64);
            let set = |command: i32, value: u64| call(libc::SYS_fcntl, &[reads, signed(command), value]);
            set(libc::F_SETFL, (libc::O_ASYNC | libc::O_NONBLOCK) as u64).unwrap();
            let _ = set(libc::F_SETOWN, own);
            let structure = [1u32, u32::try_from(victim).unwrap()];
            let number = i32::try_from(victim).unwrap();
            let result = match way {
                "owner" => set(libc::F_SETOWN, victim),
                "owner by structure" => set(15, address(&structure)),
                _ => call(libc::SYS_ioctl, &[reads, 0x8901, address(&number)]),
            };
            let _ = set(10, end);
            if result.is_ok() {
                let _ = call(libc::SYS_write, &[writes, address(&[0u8]), 1]);
                std::thread::sleep(Duration::from_millis(100));
            }
            result
        }
    };
    inside.got("result", result);
    let _ = call(libc::SYS_kill, &[waits as u64, libc::SIGKILL as u64]);
}

/// `kill(0)` of the own group is allowed; while it is decided another thread joins the group of somebody
/// outside.
fn groups(stage: &Stage) {
    let mut talk = Talk::with({
        let mut command = stage.under("(version 1)(allow default)(deny signal (target others))", &[]);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command
    });
    let own: u32 = talk.line().parse().unwrap();
    let _ = own;
    // `sbtool` itself is of the group that this is about; a signal that it gets it passes on.
    let sbtool = talk.id();
    let said = talk.rest();
    assert_eq!(said.get("outsiders"), "0", "{sbtool}");
}

fn groups_inside(inside: &Inside) {
    let own = std::process::id();
    let outside = call(libc::SYS_getpgid, &[0]).unwrap();
    println!("{own}");
    system::count_signals(libc::SIGUSR1);
    // A process of its own group, whose other thread goes back to the one of those outside.
    let status = child(|| {
        let _ = call(libc::SYS_setpgid, &[0, 0]);
        let mine = call(libc::SYS_getpid, &[]).unwrap();
        system::count_signals(libc::SIGUSR1);
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let _ = call(libc::SYS_setpgid, &[0, outside as u64]);
                    let _ = call(libc::SYS_setpgid, &[0, mine as u64]);
                }
            });
            let end = Instant::now() + RACE;
            while Instant::now() < end {
                let _ = call(libc::SYS_kill, &[0, libc::SIGUSR1 as u64]);
            }
            ended.store(true, Ordering::Relaxed);
        });
        0
    });
    inside.say("race", status);
    // This process is in the group outside: what reached it reached all of them.
    inside.say("outsiders", system::COUNTED.load(Ordering::SeqCst));
}

fn kept(stage: &Stage) {
    stage.file("a/no", "no program");
    stage.run(&stage.but("process-exec*"), &[]).expect(&[("lost", "0")]);
}

fn kept_inside(inside: &Inside) {
    system::count_signals(libc::SIGUSR1);
    let path = text(&inside.path("a/no"));
    let ended = AtomicBool::new(false);
    let (process, thread) = (u64::from(std::process::id()), call(libc::SYS_gettid, &[]).unwrap() as u64);
    let lost = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..100 {
                let before = system::COUNTED.load(Ordering::SeqCst);
                call(libc::SYS_tgkill, &[process, thread, libc::SIGUSR1 as u64]).unwrap();
                let end = Instant::now() + Duration::from_secs(2);
                while system::COUNTED.load(Ordering::SeqCst) == before {
                    if Instant::now() > end {
                        lost.fetch_add(1, Ordering::SeqCst);
                        break;
                    }
                    std::thread::yield_now();
                }
                if lost.load(Ordering::SeqCst) > 0 {
                    break;
                }
            }
            ended.store(true, Ordering::SeqCst);
        });
        while !ended.load(Ordering::SeqCst) {
            let _ = call(libc::SYS_execve, &[path.as_ptr() as u64, 0, 0]);
        }
    });
    inside.say("lost", lost.load(Ordering::SeqCst));
}

fn shared_memory(stage: &Stage) {
    // Of the user's own, made outside.
    let said = stage.run_free(&["make"]);
    let id = said.get("id").to_owned();
    let sets =
        [("(version 1)(allow default)(deny ipc-sysv*)", "EPERM"), ("(version 1)(allow default)(deny network*)", "ok")];
    for (profile, wanted) in sets {
        let said = stage.run(profile, &["use", &id, said.get("queue"), said.get("set")]);
        let wanted: Vec<(&str, &str)> =
            ["shmat", "shmctl", "msgsnd", "msgctl", "semop", "semctl"].iter().map(|key| (*key, wanted)).collect();
        said.expect(&wanted);
    }
    stage.run_free(&["drop", &id, said.get("queue"), said.get("set")]);
}

fn shared_memory_inside(inside: &Inside) {
    let mode = 0o1600;
    if inside.argument(0) == "make" {
        inside.say("id", call(libc::SYS_shmget, &[0, 4096, mode]).unwrap());
        inside.say("queue", call(libc::SYS_msgget, &[0, mode]).unwrap());
        inside.say("set", call(libc::SYS_semget, &[0, 1, mode]).unwrap());
        return;
    }
    let (id, queue, set) = (inside.number(1), inside.number(2), inside.number(3));
    if inside.argument(0) == "drop" {
        for (number, of) in [(libc::SYS_shmctl, id), (libc::SYS_msgctl, queue)] {
            call(number, &[of, 0, 0]).unwrap();
        }
        call(libc::SYS_semctl, &[set, 0, 0, 0]).unwrap();
        return;
    }
    let mut buffer = [0u64; 64];
    let into = buffer.as_mut_ptr() as u64;
    inside.got("shmat", call(libc::SYS_shmat, &[id, 0, 0]));
    inside.got("shmctl", call(libc::SYS_shmctl, &[id, 2, into]));
    inside.got("msgctl", call(libc::SYS_msgctl, &[queue, 2, into]));
    inside.got("msgsnd", call(libc::SYS_msgsnd, &[queue, address(&[1u64, 0]), 1, 0]));
    let operation: [u16; 3] = [0, 1, 0];
    inside.got("semop", call(libc::SYS_semop, &[set, address(&operation), 1]));
    inside.got("semctl", call(libc::SYS_semctl, &[set, 0, 12, 0]));
}

fn limits(stage: &Stage) {
    let victim = stage.victim();
    stage.run(&stage.but("file-read-data"), &[&victim.id()]).expect(&[
        ("own", "ok"),
        ("another", "EPERM"),
        ("supervisor", "EPERM"),
        ("after", "ok"),
    ]);
}

fn limits_inside(inside: &Inside) {
    let limit = [0u64, 0];
    let set = |process: u64, resource: u32, limit: &[u64; 2]| {
        call(libc::SYS_prlimit64, &[process, u64::from(resource), address(limit), 0])
    };
    inside.got("own", set(0, libc::RLIMIT_CORE, &limit));
    inside.got("another", set(inside.number(0), libc::RLIMIT_CORE, &limit));
    inside.got("supervisor", set(supervisor().into(), libc::RLIMIT_NOFILE, &limit));
    inside.opens("after", &inside.path("a/x"), libc::O_RDONLY);
}

fn nested(stage: &Stage) {
    stage.run(&stage.but("file-read-data"), &[&Stage::sbtool_path()]).expect(&[("status", "71")]);
}

fn nested_inside(inside: &Inside) {
    let profile = "(version 1)(allow default)(deny network*)";
    let status = std::process::Command::new(inside.argument(0))
        .args(["run", "-p", profile, "--", "true"])
        .env_remove(super::stage::ACTION)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    inside.say("status", status.code().unwrap_or(-1));
}

fn deleted(stage: &Stage) {
    stage.file("x (deleted)", "secret");
    let profile =
        format!("(version 1)(allow default)(deny file-read-data (literal \"{}\"))", stage.path("x (deleted)"));
    stage.run(&profile, &[]).expect(&[("named so", "EPERM"), ("deleted", "ok"), ("by proc", "ok")]);
    let profile = format!("(version 1)(allow default)(deny file-read-data (literal \"{}\"))", stage.path("gone"));
    stage.run(&profile, &[]).expect(&[("named so", "ok"), ("deleted", "ok"), ("by proc", "EPERM")]);
}

fn deleted_inside(inside: &Inside) {
    inside.opens("named so", &inside.path("x (deleted)"), libc::O_RDONLY);
    let gone = inside.path("gone");
    let file = open(&gone, libc::O_WRONLY | libc::O_CREAT);
    inside.got("deleted", file);
    by_path(libc::SYS_unlink, &gone, &[]).unwrap();
    if let Ok(file) = file {
        inside.opens("by proc", &format!("/proc/self/fd/{file}"), libc::O_RDONLY);
    }
}

fn other_user(stage: &Stage) {
    stage.file("a/root's", "secret");
    std::fs::set_permissions(stage.path("a/root's"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    stage.folder_named("open");
    std::fs::set_permissions(stage.path("open"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let listener = UnixListener::bind(stage.path("open/s")).unwrap();
    std::fs::set_permissions(stage.path("open/s"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let mut victim = stage.victim();
    let profile = stage.but("file-read* file-write* network-outbound signal");
    // A rule on signals without a path applies to all of them; here only the asking matters.
    let profile = format!("{profile}(allow signal)(deny signal (target pgrp))(allow signal (target others))");
    let said = stage.run(&profile, &[&victim.id()]);
    said.expect(&[
        ("before", "ok"),
        ("root's", "EACCES"),
        ("root's, access", "EACCES"),
        ("another's", "ok"),
        ("denied", "EPERM"),
        ("new", "ok"),
        ("unlink", "EACCES"),
        ("connect", "ok"),
        ("signal", "EPERM"),
        ("signal by descriptor", "EPERM"),
        ("back", "EPERM"),
        ("by descriptor", "ok"),
    ]);
    assert!(victim.lives());
    let (peer, _) = listener.accept().unwrap();
    let peer = rustix::net::sockopt::socket_peercred(&peer).unwrap();
    assert_eq!(peer.uid.as_raw(), NOBODY, "the peer is taken for the supervisor");
    assert_eq!(std::fs::metadata(stage.path("open/new")).unwrap().uid(), NOBODY);
}

fn other_user_inside(inside: &Inside) {
    let root_s = inside.path("a/root's");
    inside.opens("before", &root_s, libc::O_RDONLY);
    let nobody = u64::from(NOBODY);
    call(libc::SYS_setgroups, &[0, 0]).unwrap();
    call(libc::SYS_setresgid, &[nobody, nobody, nobody]).unwrap();
    call(libc::SYS_setresuid, &[nobody, nobody, nobody]).unwrap();
    inside.opens("root's", &root_s, libc::O_RDONLY);
    inside.got("root's, access", by_path(libc::SYS_access, &root_s, &[4]));
    inside.opens("another's", &inside.path("a/x"), libc::O_RDONLY);
    inside.opens("denied", &inside.path("b/x"), libc::O_RDONLY);
    inside.opens("new", &inside.path("open/new"), libc::O_WRONLY | libc::O_CREAT);
    inside.got("unlink", by_path(libc::SYS_unlink, &root_s, &[]));
    let socket = system::socket(libc::AF_UNIX, libc::SOCK_STREAM).unwrap();
    inside.got("connect", system::with_address(libc::SYS_connect, socket, &system::local(&inside.path("open/s"))));
    let victim = inside.number(0);
    inside.got("signal", call(libc::SYS_kill, &[victim, libc::SIGTERM as u64]));
    let process = call(libc::SYS_pidfd_open, &[victim, 0]).unwrap();
    inside
        .got("signal by descriptor", call(libc::SYS_pidfd_send_signal, &[process as u64, libc::SIGTERM as u64, 0, 0]));
    inside.got("back", call(libc::SYS_setresuid, &[0, 0, 0]));
    let file = open(&inside.path("open/new"), libc::O_RDONLY);
    inside.got("by descriptor", file.and_then(|file| call(libc::SYS_fchmod, &[file as u64, 0o600])));
}

fn fewer_rights(stage: &Stage) {
    stage.file("a/nobody's", "secret");
    std::fs::set_permissions(stage.path("a/nobody's"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    std::os::unix::fs::chown(stage.path("a/nobody's"), Some(NOBODY), Some(NOBODY)).unwrap();
    let profile = stage.but("file-read-data file-write*");
    stage.run(&profile, &[&Stage::own_path()]).expect(&[("before", "ok"), ("after", "EACCES"), ("own", "ok")]);
}

fn fewer_rights_inside(inside: &Inside) {
    let path = inside.path("a/nobody's");
    if inside.arguments.get(1).is_some() {
        inside.opens("after", &path, libc::O_RDONLY);
        inside.opens("own", &inside.path("a/x"), libc::O_RDONLY);
        return;
    }
    inside.opens("before", &path, libc::O_RDONLY);
    // CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH; what starts then does not have them.
    for right in [1, 2] {
        call(libc::SYS_prctl, &[libc::PR_CAPBSET_DROP as u64, right, 0, 0, 0]).unwrap();
    }
    let status = std::process::Command::new(inside.argument(0)).args(["", "again"]).status().unwrap();
    assert!(status.success());
}
