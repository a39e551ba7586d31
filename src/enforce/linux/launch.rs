//! In: a plan, and a process or a command. Out: that process under the plan's policy, with a supervisor.
//! Never: a process half under it; what fails, fails before the first instruction of the command.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};

use super::judge::Judge;
use super::supervisor::{Supervisor, may_change};
use super::system::{self, Forked, Instruction};
use super::{filter, question};
use crate::enforce::{ApplyError, Plan, World};

/// What a kernel must have.
const NEEDS: &str = "Linux 5.14 or later, with seccomp's user notification";

/// What a system must permit.
const LOOKS: &str = "that a process may look into another one that permits it (Yama's ptrace_scope: 0 or 1)";

fn failed(step: &'static str) -> impl Fn(io::Error) -> ApplyError {
    move |source| ApplyError::System { step, source }
}

/// Whether this process is under a policy.
#[must_use]
pub fn is_applied() -> bool {
    question::ask(std::process::id(), "", "", b"").is_ok()
}

/// Asks the supervisor of this process whether a process may do something. `subject`: the name of a
/// filter ("path", "global-name") and its value; the process is this one or another one under the same
/// policy.
///
/// # Errors
/// ESRCH where the process is not under the policy of this one; EINVAL where the operation or the filter
/// is not known; ENOSYS where this process is under none.
pub fn check(pid: u32, operation: &str, subject: Option<(&str, &[u8])>) -> io::Result<bool> {
    if !is_applied() {
        return Err(io::Error::from_raw_os_error(libc::ENOSYS));
    }
    let (filter, value) = subject.unwrap_or(("", b""));
    question::ask(pid, operation, filter, value).map(|answer| answer == 0)
}

/// Takes the listener of another process: by its number there.
fn take(process: u32, number: i32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    let process = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    Ok(rustix::process::pidfd_getfd(process, number, PidfdGetfdFlags::empty())?)
}

/// Installs the filter in this process, tells its listener's number, and waits until somebody has it.
fn install(program: &[Instruction], to: &OwnedFd, from: &OwnedFd) -> io::Result<()> {
    system::renounce_privileges()?;
    let listener = system::install(program)?;
    write(to, &listener.as_raw_fd().to_ne_bytes())?;
    read::<1>(from).map(drop)
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// A few bytes go through a pipe in one piece.
fn write(to: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    Ok(rustix::io::write(to, bytes).map(drop)?)
}

fn read<const N: usize>(from: &OwnedFd) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    loop {
        match rustix::io::read(from, &mut bytes) {
            Ok(count) if count == N => return Ok(bytes),
            Ok(_) => return Err(io::Error::from_raw_os_error(libc::EPIPE)),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether the kernel has what is needed, by a filter that allows all on a process that ends then: from this one
/// it could not be taken off again.
fn probe() -> io::Result<()> {
    let (from, to) = pipe()?;
    match system::fork()? {
        Forked::Child => {
            let allows = filter::allows_all();
            let done = system::renounce_privileges()
                .and_then(|()| system::install(&allows))
                .and_then(|listener| system::can_give_descriptors(listener.as_fd()));
            let _ = write(&to, &number_of(done).to_ne_bytes());
            system::end(0)
        }
        Forked::Parent(child) => {
            drop(to);
            let number = read(&from);
            system::wait_for(child);
            result_of(i32::from_ne_bytes(number?))
        }
    }
}

/// A result as a number for a pipe.
fn number_of<T>(result: io::Result<T>) -> i32 {
    result.err().map_or(0, |error| system::errno(&error))
}

fn result_of(number: i32) -> io::Result<()> {
    if number == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(number)) }
}

fn why_not(error: io::Error) -> ApplyError {
    match error.raw_os_error() {
        Some(libc::EBUSY) => ApplyError::AlreadySandboxed,
        Some(libc::EINVAL | libc::ENOSYS) => ApplyError::Unsupported(NEEDS),
        _ => ApplyError::System { step: "applying the policy", source: error },
    }
}

/// Nothing of whoever started a supervisor is kept open by it: a pipe would never end.
fn let_go_of_standard_streams() -> io::Result<()> {
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(null.as_fd())?;
    rustix::stdio::dup2_stdout(null.as_fd())?;
    rustix::stdio::dup2_stderr(null.as_fd())?;
    Ok(())
}

/// How a command ended, as `waitpid` tells it, or why it did not start; and whether the policy was in
/// force then.
struct Report {
    in_force: bool,
    result: Result<ExitStatus, io::Error>,
}

impl Report {
    fn written(&self) -> [u8; 6] {
        let number = match &self.result {
            Ok(status) => status.into_raw(),
            Err(error) => system::errno(error),
        };
        let [a, b, c, d] = number.to_ne_bytes();
        [self.in_force.into(), self.result.is_err().into(), a, b, c, d]
    }

    fn of([in_force, failed, number @ ..]: [u8; 6]) -> Self {
        let number = i32::from_ne_bytes(number);
        let result =
            if failed == 0 { Ok(ExitStatus::from_raw(number)) } else { Err(io::Error::from_raw_os_error(number)) };
        Self { in_force: in_force != 0, result }
    }
}

/// Runs a command under a policy, and waits for it. Signals that this process gets go on to it.
///
/// A child of this process supervises the command and all that it starts, until the last of them ends:
/// it is their ancestor, as systems that restrict who looks into whom want it (Yama). In between stands a
/// process that does nothing but wait: a parent would get the stops that the supervisor watches programs
/// by. Where this process is killed the command is.
///
/// # Errors
/// [`ApplyError`].
pub fn run(plan: Plan, command: Command) -> Result<ExitStatus, ApplyError> {
    if is_applied() {
        return Err(ApplyError::AlreadySandboxed);
    }
    let program = command.get_program().to_string_lossy().into_owned();
    let (report_from, report_to) = pipe().map_err(failed("a pipe"))?;
    // Its other end closes when this process ends.
    let (alive_from, alive_to) = pipe().map_err(failed("a pipe"))?;
    let signals = system::Signals::taken().map_err(failed("signals"))?;
    match system::fork().map_err(failed("a supervisor"))? {
        Forked::Child => {
            drop((report_from, alive_to, signals));
            let _ = start_and_supervise(plan, command, alive_from, &report_to);
            system::end(0)
        }
        Forked::Parent(_) => {
            drop((report_to, alive_from));
            let first = u32::from_ne_bytes(read(&report_from).map_err(failed("the supervisor"))?);
            if first != 0 {
                signals.pass_on(first, report_from.as_fd());
            }
            let report = Report::of(read(&report_from).map_err(failed("the supervisor"))?);
            // It ended; nobody needs to be killed.
            let _ = write(&alive_to, &[1]);
            drop((alive_to, signals));
            report.result.map_err(|source| {
                if report.in_force { ApplyError::Program { program, source } } else { why_not(source) }
            })
        }
    }
}

/// Tells that there is no process under the policy, and why; in one piece, since two may find out.
fn not_in_force(report_to: &OwnedFd, error: io::Error) -> io::Result<()> {
    let report = Report { in_force: false, result: Err(error) }.written();
    write(report_to, &[&0u32.to_ne_bytes(), report.as_slice()].concat())
}

/// The life of a supervisor that starts a command: it tells which process that is.
fn start_and_supervise(plan: Plan, command: Command, alive: OwnedFd, report_to: &OwnedFd) -> io::Result<()> {
    let before = system::ignore_terminal();
    if let Err(error) = super::mac_root::enter(&plan.world) {
        return not_in_force(report_to, error);
    }
    let judge = Judge::new(plan.policy, plan.log);
    let program = filter::program(&judge, may_change());
    let (tell_from, tell_to) = pipe()?;
    let (go_from, go_to) = pipe()?;
    let (report, in_force_from) = (report_to.try_clone()?, pipe()?);
    match system::fork()? {
        Forked::Child => {
            drop((tell_from, go_to, alive, judge));
            let (in_force_from, in_force_to) = in_force_from;
            drop(in_force_to);
            let done = start_and_wait(command, program, before, [tell_to, go_from, in_force_from], &report);
            system::end(i32::from(done.is_err()))
        }
        Forked::Parent(_) => drop((tell_to, go_from)),
    }
    let (_, in_force_to) = in_force_from;
    // The command's start is a call that is asked about already, and answered below.
    let taken = || -> io::Result<(u32, OwnedFd)> {
        let process = u32::from_ne_bytes(read(&tell_from)?);
        let listener = take(process, i32::from_ne_bytes(read(&tell_from)?))?;
        system::can_give_descriptors(listener.as_fd())?;
        Ok((process, listener))
    };
    let (first, listener) = match taken() {
        Ok(taken) => taken,
        Err(error) => {
            // Why the command itself could not, the process in between has told if it was that.
            drop((go_to, in_force_to));
            if error.raw_os_error() != Some(libc::EPIPE) {
                not_in_force(report_to, error)?;
            }
            return Ok(());
        }
    };
    let_go_of_standard_streams()?;
    let supervisor = Supervisor::new(judge, listener, first);
    system::keep_out();
    std::thread::Builder::new().spawn(move || {
        // Closed without a byte: who waited was killed.
        if read::<1>(&alive).is_err() {
            system::kill(first);
        }
    })?;
    write(report_to, &first.to_ne_bytes())?;
    write(&in_force_to, &[1])?;
    write(&go_to, &[1])?;
    drop((go_to, in_force_to));
    supervisor.serve_all();
    Ok(())
}

/// The life of the process in between: it starts the command, and waits for it and for all that are left
/// without a parent; it tells how the command ended.
fn start_and_wait(
    mut command: Command,
    program: Vec<Instruction>,
    before: Vec<(i32, usize)>,
    [tell_to, go_from, in_force_from]: [OwnedFd; 3],
    report_to: &OwnedFd,
) -> io::Result<()> {
    // Who is left without a parent becomes a child of this process, and stays known as one of these.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    system::before_program(&mut command, move || {
        system::restore_terminal(&before);
        write(&tell_to, &std::process::id().to_ne_bytes())?;
        install(&program, &tell_to, &go_from)
    });
    let started = command.spawn();
    // What it holds of the pipes would keep the supervisor waiting.
    drop(command);
    let child = match started {
        Ok(child) => child.id(),
        Err(error) => {
            return match read::<1>(&in_force_from) {
                Ok(_) => write(report_to, &Report { in_force: true, result: Err(error) }.written()),
                Err(_) => not_in_force(report_to, error),
            };
        }
    };
    let_go_of_standard_streams()?;
    while let Some((process, status)) = system::wait_for_any() {
        if process == child {
            let report = Report { in_force: true, result: Ok(ExitStatus::from_raw(status)) };
            // Who waited may be gone; the others go on.
            let _ = write(report_to, &report.written());
        }
    }
    Ok(())
}

/// Puts the calling process under a policy, all threads of it. Another process, forked here, supervises
/// it and what it starts, and ends with the last of them.
///
/// # Errors
/// [`ApplyError`].
pub fn apply(plan: Plan) -> Result<(), ApplyError> {
    if is_applied() {
        return Err(ApplyError::AlreadySandboxed);
    }
    if plan.world != World::Host {
        // Whoever wants that enters it before, while it has one thread.
        return Err(ApplyError::Unsupported("another root to be entered before"));
    }
    probe().map_err(why_not)?;
    let judge = Judge::new(plan.policy, plan.log);
    let program = filter::program(&judge, may_change());
    let first = std::process::id();
    let (tell_from, tell_to) = pipe().map_err(failed("a pipe"))?;
    let (go_from, go_to) = pipe().map_err(failed("a pipe"))?;
    match system::fork().map_err(failed("a supervisor"))? {
        Forked::Child => {
            // A child of a child is nobody's to wait for.
            match system::fork() {
                Ok(Forked::Child) => {}
                Ok(Forked::Parent(_)) => system::end(0),
                Err(_) => system::end(1),
            }
            drop((tell_to, go_from));
            let done = supervise(judge, first, &tell_from, &go_to);
            system::end(i32::from(done.is_err()))
        }
        Forked::Parent(child) => {
            drop((tell_from, go_to));
            system::wait_for(child);
            // Which process may look into this one, where that is asked for: that one.
            let supervisor = u32::from_ne_bytes(read(&go_from).map_err(failed("the supervisor"))?);
            system::permit_tracing(supervisor);
            // A filter without a supervisor would stay: whether it can look in here is known before there is one.
            write(&tell_to, &tell_to.as_raw_fd().to_ne_bytes()).map_err(failed("the supervisor"))?;
            let number = i32::from_ne_bytes(read(&go_from).map_err(failed("the supervisor"))?);
            result_of(number).map_err(|error| match error.raw_os_error() {
                Some(libc::EPERM) => ApplyError::Unsupported(LOOKS),
                _ => failed("letting the supervisor look into this process")(error),
            })?;
            install(&program, &tell_to, &go_from).map_err(why_not)
        }
    }
}

/// The life of a supervisor that is not the parent of whom it supervises.
fn supervise(judge: Judge, first: u32, tell_from: &OwnedFd, go_to: &OwnedFd) -> io::Result<()> {
    rustix::process::setsid()?;
    rustix::process::chdir("/")?;
    write(go_to, &std::process::id().to_ne_bytes())?;
    let trial = number_of(take(first, i32::from_ne_bytes(read(tell_from)?)));
    write(go_to, &trial.to_ne_bytes())?;
    result_of(trial)?;
    let listener = take(first, i32::from_ne_bytes(read(tell_from)?))?;
    let_go_of_standard_streams()?;
    let mut keep = vec![listener.as_raw_fd(), go_to.as_raw_fd()];
    keep.extend(judge.log_descriptor());
    keep.sort_unstable();
    // All the other ones belong to the process that this is a copy of.
    let mut from = 3u32;
    for number in keep.into_iter().filter_map(|number| u32::try_from(number).ok()) {
        if number > from {
            system::close_from(from, number - 1);
        }
        from = from.max(number + 1);
    }
    system::close_from(from, u32::MAX);
    let supervisor = Supervisor::new(judge, listener, first);
    system::keep_out();
    write(go_to, &[1])?;
    supervisor.serve_all();
    Ok(())
}
