//! In: a stage. Out: [`ATTACKS`], each with what is prepared and checked outside, and what is tried under
//! the policy. Never: a wait for a time to pass but where two threads race.

mod files;
mod processes;
mod sockets;

use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::stage::{NOBODY, Said, Stage, Talk, User, is_root};
use super::system::{
    self, HERE, address, at, by_path, call, child, close, numbers, open, put, read, shared, signed, text,
};

use files::*;
use processes::*;
use sockets::*;

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
    "places of what others have open" places_of_others places_of_others_inside false;
    "another proc file system" another_proc another_proc_inside true;
    "links and renames into an allowed place" moved moved_inside false;
    "descriptors that came over a socket" passed passed_inside false;
    "an old directory" old_directory old_directory_inside false;
    "many at once" many many_inside false;
    "openings that wait" waiting waiting_inside false;
    "the supervisor is killed" killed killed_inside false;
    "calls that lead out" refused refused_inside false;
    "messages to a port" messages messages_inside false;
    "both families at once" both_families both_families_inside false;
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

/// How long two threads race at least.
const RACE: Duration = Duration::from_millis(300);

/// How long at most; a slow machine, or one with one processor, takes longer to race [`ENOUGH`].
const LONGEST_RACE: Duration = Duration::from_secs(60);

/// Whether a race goes on that began then.
fn goes_on(start: Instant, is_enough: bool) -> bool {
    start.elapsed() < RACE || (!is_enough && start.elapsed() < LONGEST_RACE)
}

/// The fewest successes and refusals after which a race is one.
const ENOUGH: usize = 5;

/// Runs `work` again and again, while another thread changes one byte of a path between two values.
fn race(path: &'static [AtomicU8], place: usize, work: &mut dyn FnMut(&mut Count)) -> Count {
    let mut count = Count::default();
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
        let start = Instant::now();
        while goes_on(start, count.is_enough()) {
            work(&mut count);
        }
        ended.store(true, Ordering::Relaxed);
    });
    path[place].store(b'a', Ordering::SeqCst);
    count
}

fn raced(said: &Said) {
    assert_eq!(said.get("breaches"), "0", "{said:?}");
    assert!(said.count("passed") >= ENOUGH, "the race never passed: {said:?}");
    assert!(said.count("refused") >= ENOUGH, "the race was never refused: {said:?}");
}

#[derive(Default)]
struct Count {
    breaches: usize,
    passed: usize,
    refused: usize,
}

impl Count {
    fn is_enough(&self) -> bool {
        self.breaches > 0 || self.passed.min(self.refused) >= ENOUGH
    }

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
