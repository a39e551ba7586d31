//! In: what a policy says of each operation in any case. Out: [`program`], the filter that the kernel runs
//! at each system call: allowed, an error, or a question for the supervisor. Never: a look at memory; a
//! filter sees numbers only.
//!
//! What the filter does not know it refuses: calls of another architecture, calls newer than this table.

use std::collections::BTreeMap;

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

/// Flags of an opening that more than reads. (Of O_TMPFILE the bit that O_DIRECTORY does not have.)
const MORE_THAN_READS: i32 = libc::O_WRONLY
    | libc::O_RDWR
    | libc::O_CREAT
    | libc::O_TRUNC
    | libc::O_APPEND
    | (libc::O_TMPFILE & !libc::O_DIRECTORY);

/// Namespaces.
const NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// Ways to put characters into a terminal that others read (TIOCSTI, TIOCLINUX), to change a file's flags by
/// a descriptor that only reads (FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR), and to say who is sent signals for a
/// descriptor (FIOSETOWN, SIOCSPGRP).
const REFUSED_REQUESTS: [u32; 6] = [0x5412, 0x541c, 0x4008_6602, 0x401c_5820, 0x8901, 0x8902];

/// The same by `fcntl`: F_SETOWN, F_SETOWN_EX.
const REFUSED_COMMANDS: [u32; 2] = [8, 15];

/// Ways to lose rights at the next start of a program: PR_CAPBSET_DROP, PR_SET_SECUREBITS, PR_CAP_AMBIENT.
const LOSSES: [u32; 3] = [24, 28, 47];

/// What a policy says of each operation in any case; looked up once.
struct Table(BTreeMap<&'static str, Always>);

impl Table {
    fn of(judge: &Judge) -> Self {
        let names = calls::all().flat_map(|call| call.asks.iter().chain(call.may_ask));
        let mut table = BTreeMap::new();
        for name in names {
            table.entry(*name).or_insert_with(|| judge.always(name));
        }
        Self(table)
    }

    fn always(&self, name: &str) -> Always {
        self.0.get(name).copied().unwrap_or(Always::Depends)
    }

    /// Whether a policy restricts anything that is enforced here.
    fn restricts(&self) -> bool {
        self.0.values().any(|always| *always != Always::Allow)
    }

    /// What a policy makes of calls that ask these operations.
    fn together(&self, asks: &[&str], may_ask: &[&str]) -> Said {
        let mut said = Said::Allow;
        for name in asks {
            match self.always(name) {
                Always::Allow => {}
                Always::Deny(errno) => return Said::Error(errno),
                Always::Depends => said = Said::Ask,
            }
        }
        if may_ask.iter().any(|name| self.always(name) != Always::Allow) {
            said = Said::Ask;
        }
        said
    }

    /// What is done about a call whose number is known: some instructions that end in an answer each.
    /// Nothing where the kernel may do it.
    fn block(&self, call: &Call) -> Option<Vec<Instruction>> {
        let whole = self.together(call.asks, call.may_ask);
        Some(match call.when {
            When::Always | When::NotNull(_) if whole == Said::Allow => return None,
            When::Always => vec![say(whole)],
            When::MayWrite => vec![say(if whole == Said::Allow { Said::Ask } else { whole })],
            When::NotNull(argument) => vec![
                step(LOAD, low(argument), 0, 0),
                step(IF_EQUAL, 0, 0, 3),
                step(LOAD, high(argument), 0, 0),
                step(IF_EQUAL, 0, 0, 1),
                say(Said::Allow),
                say(whole),
            ],
            When::Opens(argument) => vec![
                step(LOAD, low(argument), 0, 0),
                step(IF_ANY_BIT, libc::O_PATH as u32, 0, 1),
                say(self.together(&[], &["file-read-metadata"])),
                step(IF_ANY_BIT, MORE_THAN_READS as u32, 0, 1),
                say(Said::Ask),
                say(self.together(&["file-read-data"], &["file-read-metadata"])),
            ],
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
}

/// A filter that leaves everything to the kernel.
#[must_use]
pub fn allows_all() -> Vec<Instruction> {
    vec![say(Said::Allow)]
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
    let table = Table::of(judge);
    let restricted = table.restricts();
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
            if let Some(block) = table.block(call) {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::runtime::policy::Policy;
    use crate::sbpl;
    use crate::vocabulary::{DEFAULT_RELEASE, Release};

    /// The kernel's machine, as far as a program uses it.
    fn run(program: &[Instruction], number: i64, arguments: [u64; 6]) -> u32 {
        let load = |offset: u32| match offset {
            NUMBER => u32::try_from(number).unwrap(),
            KIND => ARCHITECTURE,
            other => {
                let argument = arguments[(other as usize - 16) / 8];
                (if (other - 16) % 8 == 4 { argument >> 32 } else { argument & 0xffff_ffff }) as u32
            }
        };
        let (mut at, mut value) = (0, 0);
        loop {
            let Instruction { code, yes, no, constant } = program[at];
            at += 1;
            let holds = match code {
                LOAD => {
                    value = load(constant);
                    continue;
                }
                RETURN => return constant,
                IF_EQUAL => value == constant,
                IF_GREATER => value > constant,
                IF_ANY_BIT => value & constant != 0,
                other => panic!("{other:x}"),
            };
            at += usize::from(if holds { yes } else { no });
        }
    }

    fn filter(text: &str) -> Vec<Instruction> {
        let release = Release::named(DEFAULT_RELEASE).unwrap();
        let rules = sbpl::evaluate("p", text.as_bytes(), &sbpl::Options::new(release)).unwrap().rules;
        program(&Judge::new(Arc::new(Policy::of_rules(rules).unwrap()), None), false)
    }

    fn flags(flags: i32) -> [u64; 6] {
        [0, 0, flags as u64, 0, 0, 0]
    }

    #[test]
    fn what_is_decided_is_decided_in_the_kernel() {
        let program =
            filter("(version 3)(allow default)(deny file-write-unlink (with errno ENOENT))(deny file-read-xattr)");
        let says = |number, arguments| run(&program, number, arguments);
        assert_eq!(says(libc::SYS_unlinkat, [0; 6]), Said::Error(libc::ENOENT).number());
        assert_eq!(says(libc::SYS_getxattr, [0; 6]), Said::Error(libc::EPERM).number());
        assert_eq!(says(libc::SYS_newfstatat, [0; 6]), Said::Allow.number());
        assert_eq!(says(libc::SYS_openat, flags(libc::O_RDONLY | libc::O_DIRECTORY)), Said::Allow.number());
        // Whatever is allowed: the memory of others is a file.
        for more in [libc::O_WRONLY, libc::O_RDWR, libc::O_CREAT, libc::O_TRUNC, libc::O_TMPFILE] {
            assert_eq!(says(libc::SYS_openat, flags(more)), Said::Ask.number(), "{more:x}");
        }
        assert_eq!(says(libc::SYS_openat2, [0; 6]), Said::Ask.number());
        assert_eq!(says(libc::SYS_ptrace, [0; 6]), Said::Error(libc::EPERM).number());
        assert_eq!(says(libc::SYS_clone3, [0; 6]), Said::Error(libc::ENOSYS).number());
        assert_eq!(says(libc::SYS_clone, [libc::CLONE_NEWUSER as u64; 6]), Said::Error(libc::EPERM).number());
        assert_eq!(says(libc::SYS_clone, [17; 6]), Said::Allow.number());
        assert_eq!(says(i64::from(NEWEST) + 1, [0; 6]), Said::Error(libc::ENOSYS).number());
        assert_eq!(says(libc::SYS_read, [0; 6]), Said::Allow.number());
    }

    #[test]
    fn what_depends_is_asked() {
        let program = filter(
            "(version 3)(allow default)(deny network-outbound (remote tcp \"*:80\"))(deny file-read-data (literal \"/x\"))",
        );
        let says = |number, arguments| run(&program, number, arguments);
        assert_eq!(says(libc::SYS_openat, flags(libc::O_RDONLY)), Said::Ask.number());
        // A place is not read.
        assert_eq!(says(libc::SYS_openat, flags(libc::O_PATH)), Said::Allow.number());
        // An address is told from none by both of its halves.
        assert_eq!(says(libc::SYS_sendto, [0; 6]), Said::Allow.number());
        for address in [1, 1 << 32] {
            assert_eq!(says(libc::SYS_sendto, [0, 0, 0, 0, address, 0]), Said::Ask.number());
        }
        assert_eq!(says(libc::SYS_unlinkat, [0; 6]), Said::Allow.number());
    }

    #[test]
    fn who_restricts_nothing_pays_nothing() {
        // What a file may be set to is denied where nothing is said of it.
        let program = filter("(version 3)(allow default)");
        assert_eq!(run(&program, libc::SYS_ptrace, [0; 6]), Said::Error(libc::EPERM).number());
        let program = filter("(version 3)(allow default file-write-setugid)");
        assert_eq!(run(&program, libc::SYS_ptrace, [0; 6]), Said::Allow.number());
        assert_eq!(run(&program, libc::SYS_openat, flags(libc::O_RDWR)), Said::Allow.number());
        assert_eq!(run(&program, libc::SYS_prctl, [QUESTION, 0, 0, 0, 0, 0]), Said::Ask.number());
    }
}
