//! In: a question of a process under a policy about that policy. Out: the policy's answer. Never: a
//! record of it; nothing was tried.

use super::judge::Denied;
use super::processes;
use super::supervisor::{Reply, Task};
use super::system;
use crate::policy::request::Request;
use crate::policy::verdict::decide;

/// Longest question.
const MAX_LENGTH: u64 = 8192;

/// Of which process, which operation, of which filter the subject is a value; the subject.
#[must_use]
pub fn written(process: u32, operation: &str, filter: &str, subject: &[u8]) -> Vec<u8> {
    let mut out = process.to_ne_bytes().to_vec();
    for text in [operation.as_bytes(), filter.as_bytes()] {
        out.extend(text);
        out.push(0);
    }
    out.extend(subject);
    out
}

fn read(bytes: &[u8]) -> Option<(u32, &str, &str, &[u8])> {
    let (process, rest) = bytes.split_first_chunk::<4>()?;
    let mut parts = rest.splitn(3, |byte| *byte == 0);
    let mut text = || std::str::from_utf8(parts.next()?).ok();
    let (operation, filter) = (text()?, text()?);
    Some((u32::from_ne_bytes(*process), operation, filter, parts.next()?))
}

/// 0 for allowed, 1 for denied.
///
/// # Errors
/// ESRCH for a process that is not under this policy, EINVAL for an operation or a filter that it does
/// not know.
pub fn answer(task: &Task<'_>) -> Result<Reply, Denied> {
    let length = task.argument(2);
    if length > MAX_LENGTH {
        return Err(libc::EINVAL.into());
    }
    let length = usize::try_from(length).map_err(|_| libc::EINVAL)?;
    let bytes = processes::bytes(task.thread(), task.argument(1), length)?;
    task.still()?;
    let (process, operation, filter, subject) = read(&bytes).ok_or(libc::EINVAL)?;
    let own = processes::process_of(task.thread());
    if own != Some(process) && !task.supervisor.has(process) {
        return Err(libc::ESRCH.into());
    }
    let judge = &task.supervisor.judge;
    let release = judge.policy().release();
    // Whether there is a policy at all.
    if operation.is_empty() {
        return Ok(Reply::Value(1));
    }
    let operation = judge.operation(operation).ok_or(libc::EINVAL)?;
    let mut request = Request::new(operation);
    if !filter.is_empty() {
        let filter = release.filter_named(filter).ok_or(libc::EINVAL)?;
        request.add_text(release, filter.id, subject).map_err(|_| libc::EINVAL)?;
    }
    match decide(judge.policy().graph(), &request) {
        Ok(terminal) => Ok(Reply::Value(i64::from(terminal.denies()))),
        Err(_) => Err(libc::EINVAL.into()),
    }
}

/// Asks the supervisor of this process.
///
/// # Errors
/// As [`answer`]; ENOSYS where there is no supervisor.
pub fn ask(process: u32, operation: &str, filter: &str, subject: &[u8]) -> std::io::Result<i64> {
    system::ask_supervisor(&written(process, operation, filter, subject))
}
