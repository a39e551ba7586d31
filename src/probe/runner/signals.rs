//! In: whom to signal, as SBPL's `target` says it. Out: an attempt, by a signal that does nothing to who is
//! not stopped. Never: one that ends anybody.

use rustix::process::{Pid, Signal};

use super::{Ended, Speaker, number};

/// Tries it. `self`, `pgrp` (the group of this process), `others` (the harness, which is under no profile).
pub fn tried(speaker: &mut Speaker, target: &str) -> Ended {
    let signal = Signal::CONT;
    let to = |process: Option<Pid>| match process {
        Some(process) => rustix::process::kill_process(process, signal),
        None => Err(rustix::io::Errno::SRCH),
    };
    let done = match target {
        "self" => to(Some(rustix::process::getpid())),
        "pgrp" => rustix::process::kill_current_process_group(signal),
        "others" => to(rustix::process::getppid()),
        other => {
            eprintln!("sbtool: signal {other}: expected self, pgrp or others");
            return Ended::Usage;
        }
    };
    let error = done.map_err(std::io::Error::from).err();
    speaker.tried("signal", target, error.as_ref().map(number));
    let Some(error) = error else { return Ended::Done };
    eprintln!("signal {target}: {error}");
    Ended::NotOpened
}
