//! In: calls about other processes. Out: whether the kernel may do them; all that decides is in
//! registers. Never: the supervisor's own end by them.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::process::{Pid, PidfdFlags};

use super::judge::{Denied, Facts, mac_signal};
use super::processes::{self, Status};
use super::supervisor::{Reply, Task};
use super::system;

type Done = Result<Reply, Denied>;

/// `fork`, `vfork`, `clone` of a process.
pub fn fork(task: &Task<'_>) -> Done {
    task.ask("process-fork", &Facts::default())?;
    Ok(Reply::Continue)
}

/// `shmget`.
pub fn shared_memory(task: &Task<'_>) -> Done {
    task.ask("ipc-sysv-shm", &Facts::default())?;
    Ok(Reply::Continue)
}

/// `semget`.
pub fn semaphores(task: &Task<'_>) -> Done {
    task.ask("ipc-sysv-sem", &Facts::default())?;
    Ok(Reply::Continue)
}

/// `msgget`.
pub fn message_queues(task: &Task<'_>) -> Done {
    task.ask("ipc-sysv-msg", &Facts::default())?;
    Ok(Reply::Continue)
}

fn group_of(process: u32) -> Option<u32> {
    system::group_of(process)
}

/// Asks about a signal to one process.
fn ask_one(task: &Task<'_>, own: &Status, process: u32, signal: i32) -> Result<(), Denied> {
    let judge = &task.supervisor.judge;
    if process == task.supervisor.process {
        judge.note(task.thread(), "kill", "the supervisor is sent no signal");
        return Err(libc::EPERM.into());
    }
    let mut targets = Vec::new();
    if process == own.process {
        targets.extend(["self", "pgrp", "same-sandbox"]);
    } else {
        targets.push("others");
        if processes::status(process).is_some_and(|status| status.parent == own.process) {
            targets.push("children");
        }
        if group_of(process).is_some() && group_of(process) == group_of(own.process) {
            targets.push("pgrp");
        }
        if process == 1 {
            targets.push("initproc");
        }
        if task.supervisor.has(process) {
            targets.push("same-sandbox");
        }
    }
    let mut numbers: Vec<(&'static str, u16)> =
        targets.iter().filter_map(|name| Some(("target", judge.named_value("target", name)?))).collect();
    numbers.extend(mac_signal(signal).map(|number| ("signal-number", number)));
    let program = processes::program_of(process);
    let mut facts = Facts { numbers, ..Facts::default() };
    if let Some(program) = &program {
        facts.texts.push(("process-path", program));
    }
    task.ask("signal", &facts)
}

/// Asks about a signal to a process, a group (negative), the own group (0) or all (-1).
fn ask_all(task: &Task<'_>, target: i32, signal: i32) -> Done {
    let own = task.status()?;
    if target > 0 {
        let thread = target.unsigned_abs();
        let process = processes::process_of(thread).ok_or(libc::ESRCH)?;
        ask_one(task, &own, process, signal)?;
        return Ok(Reply::Continue);
    }
    let group = match target {
        0 => group_of(own.process),
        -1 => None,
        other => Some(other.unsigned_abs()),
    };
    // Each of them must be allowed (chosen: the kernel would send it to those that are). Who they are is
    // looked up once: by their group, somebody could join it meanwhile.
    let mut targets = Vec::new();
    for entry in std::fs::read_dir("/proc").map_err(|_| libc::EIO)?.flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if group.is_some() && group_of(process) != group {
            continue;
        }
        // Everything but the caller and the first process.
        if group.is_none() && (process == own.process || process == 1) {
            continue;
        }
        let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
        let Some(held) = pid.and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()) else {
            continue;
        };
        ask_one(task, &own, process, signal)?;
        targets.push((process, held));
    }
    let mut result = Err(libc::ESRCH.into());
    // The caller last: the signal may end it.
    targets.sort_by_key(|(process, _)| *process == own.process);
    for (process, held) in targets {
        match send(&own, process, held.as_fd(), signal) {
            Ok(()) => result = Ok(Reply::Value(0)),
            Err(denied) if result.is_err() => result = Err(denied),
            Err(_) => {}
        }
    }
    result
}

/// Sends a signal that the policy allows, where the kernel would let the caller.
fn send(own: &Status, process: u32, held: BorrowedFd<'_>, signal: i32) -> Result<(), Denied> {
    const KILL: u64 = 1 << 5;
    let target = processes::status(process).ok_or(libc::ESRCH)?;
    let of_same = own.credentials.users.iter().any(|user| target.real_and_saved.contains(user));
    if !of_same && own.credentials.capabilities & KILL == 0 && own.process != process {
        return Err(libc::EPERM.into());
    }
    if signal == 0 {
        return Ok(());
    }
    system::signal_by_descriptor(held, signal).map_err(|error| Denied::from(system::errno(&error)))
}

/// `kill(process, signal)`.
pub fn kill(task: &Task<'_>) -> Done {
    ask_all(task, task.number(0), task.number(1))
}

/// `rt_sigqueueinfo(process, signal, information)`.
pub fn rt_sigqueueinfo(task: &Task<'_>) -> Done {
    kill(task)
}

fn ask_thread(task: &Task<'_>, thread: i32, signal: i32) -> Done {
    if thread <= 0 {
        return Err(libc::EINVAL.into());
    }
    ask_all(task, thread, signal)
}

/// `tkill(thread, signal)`.
pub fn tkill(task: &Task<'_>) -> Done {
    ask_thread(task, task.number(0), task.number(1))
}

/// `tgkill(process, thread, signal)`.
pub fn tgkill(task: &Task<'_>) -> Done {
    ask_thread(task, task.number(1), task.number(2))
}

/// `rt_tgsigqueueinfo(process, thread, signal, information)`.
pub fn rt_tgsigqueueinfo(task: &Task<'_>) -> Done {
    tgkill(task)
}

/// `pidfd_send_signal(descriptor, signal, information, flags)`: sent by the supervisor, to the process that
/// the descriptor is of.
pub fn pidfd_send_signal(task: &Task<'_>) -> Done {
    let descriptor = processes::descriptor(task.thread(), task.number(0))?;
    task.still()?;
    let about = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", std::os::fd::AsRawFd::as_raw_fd(&descriptor)));
    let process = about
        .ok()
        .and_then(|text| text.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse::<i64>().ok())
        .ok_or(libc::EBADF)?;
    let process = u32::try_from(process).map_err(|_| libc::ESRCH)?;
    let own = task.status()?;
    let signal = task.number(1);
    ask_one(task, &own, process, signal)?;
    send(&own, process, descriptor.as_fd(), signal)?;
    Ok(Reply::Value(0))
}
