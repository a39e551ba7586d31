//! In: a call that starts a program. Out: whether it may; and if the kernel started another one than was
//! looked at, or by another name, that one's end before its first instruction. Never: a start by the
//! supervisor; only the kernel can do that, by a path that the caller may change meanwhile.

use std::os::fd::AsFd;

use rustix::fs::{FileType, Mode, OFlags, Stat};

use super::judge::{Denied, Facts};
use super::processes;
use super::supervisor::{How, Reply, Task};
use super::system::{self, Answer, Stop};
use super::walk::{Place, kind_of, name_of};

/// Scripts that are programs of scripts: as many as the kernel follows.
const MAX_SCRIPTS: usize = 5;

/// The kernel reads so much of a script's first line.
const FIRST_LINE: usize = 256;

/// `execve(path, arguments, environment)`.
pub fn execve(task: &Task<'_>) -> Result<Reply, Denied> {
    let path = task.string(0)?;
    let place = task.look_up(libc::AT_FDCWD, &path, How { follow: true, ..How::default() })?;
    started(task, place, path)
}

/// `execveat(directory, path, arguments, environment, flags)`.
pub fn execveat(task: &Task<'_>) -> Result<Reply, Denied> {
    let (directory, flags) = (task.number(0), task.number(4));
    let path = task.string(1)?;
    let place = if path.is_empty() && flags & libc::AT_EMPTY_PATH != 0 {
        let own = format!("/proc/self/fd/{directory}");
        task.look_up(libc::AT_FDCWD, own.as_bytes(), How { follow: true, ..How::default() })?
    } else {
        let follow = flags & libc::AT_SYMLINK_NOFOLLOW == 0;
        task.look_up(directory, &path, How { follow, ..How::default() })?
    };
    // So the kernel calls it, to the program too.
    let name = match (directory, path.as_slice()) {
        (_, []) => format!("/dev/fd/{directory}").into_bytes(),
        (_, [b'/', ..]) | (libc::AT_FDCWD, _) => path,
        _ => [format!("/dev/fd/{directory}/").as_bytes(), &path].concat(),
    };
    started(task, place, name)
}

/// Which file of which file system.
fn identity(status: &Stat) -> (u64, u64) {
    (status.st_dev, status.st_ino)
}

/// The program that a script names in its first line.
fn interpreter(place: &Place) -> Option<Vec<u8>> {
    let found = place.found.as_ref()?;
    // What may be started and not read has no first line that we could look at; the kernel reads it.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::open(name_of(found.object.as_fd()), flags, Mode::empty()).ok()?;
    let mut line = [0u8; FIRST_LINE];
    let length = rustix::io::pread(&file, &mut line, 0).ok()?;
    let line = line.get(..length)?.strip_prefix(b"#!")?;
    let line = line.split(|byte| *byte == b'\n' || *byte == 0).next()?;
    let name = line.split(|byte| matches!(byte, b' ' | b'\t')).find(|word| !word.is_empty())?;
    Some(name.to_vec())
}

fn started(task: &Task<'_>, mut place: Place, given: Vec<u8>) -> Result<Reply, Denied> {
    let mut operation = "process-exec*";
    for _ in 0..=MAX_SCRIPTS {
        let found = place.found.as_ref().ok_or(libc::ENOENT)?;
        match FileType::from_raw_mode(found.status.st_mode) {
            FileType::RegularFile => {}
            FileType::Symlink => return Err(libc::ELOOP.into()),
            _ => return Err(libc::EACCES.into()),
        }
        task.ask(operation, &Facts::file(&place.path, kind_of(&found.status)))?;
        let Some(name) = interpreter(&place) else {
            let wanted = identity(&found.status);
            return watched(task, wanted, &given);
        };
        operation = "process-exec-interpreter";
        place = task.look_up(libc::AT_FDCWD, &name, How { follow: true, ..How::default() })?;
    }
    Err(libc::ELOOP.into())
}

/// Lets the kernel start a program, and looks which one that became, and by which name: scripts of one
/// interpreter differ in nothing else, and the interpreter opens its script by that name.
fn watched(task: &Task<'_>, wanted: (u64, u64), name: &[u8]) -> Result<Reply, Denied> {
    let thread = task.thread();
    // Who traces a process could change what it starts; that one is outside, so nothing is known of it.
    if let Err(error) = system::looking_into(|| system::trace_programs(thread)) {
        task.supervisor.judge.note(thread, "execve", "what it starts cannot be watched: it is traced already");
        return Err(system::errno(&error).into());
    }
    let answered = system::respond(task.listener(), task.notification.id, Answer::Continue).is_ok();
    // If it fails the thread goes on as it was; then this stops it, once it is back.
    let _ = system::interrupt(thread);
    // Until it is let go or has ended: its parent learns of its end only then.
    loop {
        let has_gone = match system::wait_traced() {
            Ok(Stop::Program(thread)) => {
                let program = system::looking_into(|| rustix::fs::stat(format!("/proc/{thread}/exe")))
                    .map(|status| identity(&status));
                let is_named = processes::name_given(thread).is_ok_and(|given| given == name);
                if !answered || program != Ok(wanted) || !is_named {
                    task.supervisor.judge.note(thread, "execve", "another program was started than was asked for");
                    system::kill(processes::process_of(thread).unwrap_or(thread));
                }
                system::let_go(thread, 0)
            }
            Ok(Stop::Other(thread, signal)) => system::let_go(thread, signal),
            Ok(Stop::Ended) | Err(_) => true,
        };
        if has_gone {
            return Ok(Reply::Done);
        }
    }
}
