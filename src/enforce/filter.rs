//! In: what a policy says of each operation in any case. Out: [`program`], the filter that the kernel runs
//! at each system call: allowed, an error, or a question for the supervisor. Never: a look at memory; a
//! filter sees numbers only.
//!
//! What the filter does not know it refuses: calls of another architecture, calls newer than this table.

use super::calls::{self, Call, When};
use super::judge::{Always, Judge};
use super::system::{Instruction, QUESTION};

/// The newest call that was looked at (`mseal`); numbers behind it are refused as if they did not exist.
/// The numbers from 424 on are the same on all architectures.
const NEWEST: u32 = 462;

/// Calls of the x32 kind have this bit.
#[cfg(target_arch = "x86_64")]
const OTHER_KIND: u32 = 0x4000_0000;

/// `AUDIT_ARCH_…`.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// Offsets in `seccomp_data`.
const NUMBER: u32 = 0;
const KIND: u32 = 4;
const fn low(argument: u8) -> u32 {
    16 + 8 * argument as u32
}
const fn high(argument: u8) -> u32 {
    low(argument) + 4
}

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const IF_EQUAL: u16 = 0x15;
const IF_GREATER: u16 = 0x25;
const IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

/// What the filter says of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The kernel does it.
    Allow,
    /// This error.
    Error(i32),
    /// The supervisor is asked.
    Ask,
    /// The process ends.
    Kill,
}

impl Said {
    fn number(self) -> u32 {
        match self {
            Self::Allow => libc::SECCOMP_RET_ALLOW,
            Self::Error(errno) => libc::SECCOMP_RET_ERRNO | (errno as u32 & libc::SECCOMP_RET_DATA),
            Self::Ask => libc::SECCOMP_RET_USER_NOTIF,
            Self::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        }
    }
}

fn step(code: u16, constant: u32, yes: u8, no: u8) -> Instruction {
    Instruction { code, yes, no, constant }
}

fn say(said: Said) -> Instruction {
    step(RETURN, said.number(), 0, 0)
}

/// Flags of an opening that more than reads.
const MORE_THAN_READS: i32 =
    libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND | libc::O_TMPFILE;

/// Namespaces.
const NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// Ways to put characters into a terminal that others read, and to change a file's flags by a
/// descriptor that only reads.
/// Besides: to say who is sent signals for a descriptor (FIOSETOWN, SIOCSPGRP), which nobody would ask
/// about.
const REFUSED_REQUESTS: [u32; 6] = [0x5412, 0x541c, 0x4008_6602, 0x401c_5820, 0x8901, 0x8902];

/// The same by `fcntl`: F_SETOWN, F_SETOWN_EX.
const REFUSED_COMMANDS: [u32; 2] = [8, 15];

/// Ways to lose rights at the next start of a program: PR_CAPBSET_DROP, PR_SET_SECUREBITS, PR_CAP_AMBIENT.
const LOSSES: [u32; 3] = [24, 28, 47];

/// What a policy makes of calls that ask these operations.
fn together(judge: &Judge, asks: &[&str], may_ask: &[&str]) -> Said {
    let mut said = Said::Allow;
    for name in asks {
        match judge.always(name) {
            Always::Allow => {}
            Always::Deny(errno) => return Said::Error(errno),
            Always::Depends => said = Said::Ask,
        }
    }
    if may_ask.iter().any(|name| judge.always(name) != Always::Allow) {
        said = Said::Ask;
    }
    said
}

/// Whether a policy restricts anything that is enforced here.
#[must_use]
pub fn restricts(judge: &Judge) -> bool {
    calls::all().any(|call| judge.restricts(call.asks) || judge.restricts(call.may_ask))
}

/// What is done about a call whose number is known: some instructions that end in an answer each.
fn block(judge: &Judge, call: &Call) -> Option<Vec<Instruction>> {
    let whole = together(judge, call.asks, call.may_ask);
    Some(match call.when {
        // As for the other openings: the memory of others is looked after.
        When::Always if matches!(call.name, "openat2" | "creat") && whole == Said::Allow => vec![say(Said::Ask)],
        When::Always => match whole {
            Said::Allow => return None,
            said => vec![say(said)],
        },
        When::Opens(argument) => {
            let reads = together(judge, &["file-read-data"], &["file-read-metadata"]);
            // Whatever is allowed: by writing to the memory of a process outside, one could act there.
            let writes = Said::Ask;
            let flags = (MORE_THAN_READS & !libc::O_DIRECTORY) as u32;
            let place = libc::O_PATH as u32;
            let places = together(judge, &[], &["file-read-metadata"]);
            vec![
                step(LOAD, low(argument), 0, 0),
                step(IF_ANY_BIT, place, 0, 1),
                say(places),
                step(IF_ANY_BIT, flags, 0, 1),
                say(writes),
                say(reads),
            ]
        }
        When::NotNull(argument) => {
            let is_null = vec![
                step(LOAD, low(argument), 0, 0),
                step(IF_EQUAL, 0, 0, 3),
                step(LOAD, high(argument), 0, 0),
                step(IF_EQUAL, 0, 0, 1),
                say(Said::Allow),
                say(whole),
            ];
            if whole == Said::Allow {
                return None;
            }
            is_null
        }
        When::Clones(argument) => vec![
            step(LOAD, low(argument), 0, 0),
            step(IF_ANY_BIT, NAMESPACES as u32, 0, 1),
            say(Said::Error(libc::EPERM)),
            step(IF_ANY_BIT, libc::CLONE_THREAD as u32, 0, 1),
            say(Said::Allow),
            say(whole),
        ],
    })
}

/// The filter of a policy. `may_change`: the supervisor could act as more than those whom it serves, so
/// it wants to hear of changes.
#[must_use]
pub fn program(judge: &Judge, may_change: bool) -> Vec<Instruction> {
    let mut out =
        vec![step(LOAD, KIND, 0, 0), step(IF_EQUAL, ARCHITECTURE, 1, 0), say(Said::Kill), step(LOAD, NUMBER, 0, 0)];
    #[cfg(target_arch = "x86_64")]
    out.extend([step(IF_ANY_BIT, OTHER_KIND, 0, 1), say(Said::Error(libc::ENOSYS))]);
    let mut on = |number: i64, block: &[Instruction]| {
        let length = u8::try_from(block.len()).unwrap_or(u8::MAX);
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        out.push(step(IF_EQUAL, number, 0, length));
        out.extend(block);
    };
    let restricted = restricts(judge);
    // Who asks what its policy says, and whether there is one.
    let dumps = if restricted { Said::Error(libc::EPERM) } else { Said::Allow };
    let mut options = vec![step(LOAD, low(0), 0, 0), step(IF_EQUAL, QUESTION as u32, 0, 1), say(Said::Ask)];
    if restricted && may_change {
        for loss in LOSSES {
            options.extend([step(IF_EQUAL, loss, 0, 1), say(Said::Ask)]);
        }
    }
    options.extend([
        // What the supervisor may not read it cannot decide.
        step(IF_EQUAL, libc::PR_SET_DUMPABLE as u32, 0, 3),
        step(LOAD, low(1), 0, 0),
        step(IF_EQUAL, 1, 1, 0),
        say(dumps),
        say(Said::Allow),
    ]);
    on(libc::SYS_prctl, &options);
    if restricted {
        for call in calls::all() {
            if let Some(block) = block(judge, call) {
                on(call.number, &block);
            }
        }
        for (number, _) in calls::REFUSED {
            on(*number, &[say(Said::Error(libc::EPERM))]);
        }
        // Its flags are in memory; without it the C libraries take `clone`.
        on(libc::SYS_clone3, &[say(Said::Error(libc::ENOSYS))]);
        let mut requests = vec![step(LOAD, low(1), 0, 0)];
        for request in REFUSED_REQUESTS {
            requests.extend([step(IF_EQUAL, request, 0, 1), say(Said::Error(libc::EPERM))]);
        }
        requests.push(say(Said::Allow));
        on(libc::SYS_ioctl, &requests);
        let mut commands = vec![step(LOAD, low(1), 0, 0)];
        for command in REFUSED_COMMANDS {
            commands.extend([step(IF_EQUAL, command, 0, 1), say(Said::Error(libc::EPERM))]);
        }
        commands.push(say(Said::Allow));
        on(libc::SYS_fcntl, &commands);
        // The limits of another process, also of the supervisor.
        on(
            libc::SYS_prlimit64,
            &[
                step(LOAD, low(0), 0, 0),
                step(IF_EQUAL, 0, 4, 0),
                step(LOAD, low(2), 0, 0),
                step(IF_EQUAL, 0, 0, 1),
                step(LOAD, high(2), 0, 0),
                step(IF_EQUAL, 0, 0, 1),
                say(Said::Allow),
                say(Said::Error(libc::EPERM)),
            ],
        );
        if may_change {
            for number in calls::CREDENTIALS {
                on(*number, &[say(Said::Ask)]);
            }
        }
        out.extend([step(IF_GREATER, NEWEST, 0, 1), say(Said::Error(libc::ENOSYS))]);
    }
    out.push(say(Said::Allow));
    out
}

/// What a program says of a call: the same machine in a few lines, for tests.
///
/// # Errors
/// Nothing where the program is none.
#[must_use]
pub fn simulate(program: &[Instruction], architecture: u32, number: u32, arguments: &[u64; 6]) -> Option<u32> {
    let load = |offset: u32| -> u32 {
        match offset {
            NUMBER => number,
            KIND => architecture,
            other => {
                let index = other.wrapping_sub(16);
                let argument = arguments.get(index as usize / 8).copied().unwrap_or(0);
                (if index % 8 == 4 { argument >> 32 } else { argument & 0xffff_ffff }) as u32
            }
        }
    };
    let mut at = 0usize;
    let mut value = 0u32;
    loop {
        let instruction = program.get(at)?;
        at += 1;
        let holds = match instruction.code {
            LOAD => {
                value = load(instruction.constant);
                continue;
            }
            AND => {
                value &= instruction.constant;
                continue;
            }
            RETURN => return Some(instruction.constant),
            IF_EQUAL => value == instruction.constant,
            IF_GREATER => value > instruction.constant,
            IF_ANY_BIT => value & instruction.constant != 0,
            _ => return None,
        };
        at += usize::from(if holds { instruction.yes } else { instruction.no });
    }
}
