//! In: a plan. Out: a process, or a command, under it, and a supervisor that serves them. Never: another
//! system; `elsewhere` has the same functions there.
//!
//! The kernel runs a filter at each system call (`filter`). What the policy allows or denies whatever is
//! asked, the filter decides; the rest it hands to a supervisor (`supervisor`), a process outside the
//! policy, which looks the objects up (`walk`), asks the policy (`judge`) and does the call on behalf of
//! the caller (`files`, `sockets`, `messages`), so that nothing the caller changes meanwhile counts.
//! Which calls those are says one table (`calls`): a new one is a line there and a function.

mod calls;
mod exec;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "calls that only x86-64 has"))]
mod files;
mod filter;
mod judge;
mod launch;
mod mac_root;
mod messages;
mod processes;
mod question;
mod signals;
mod sockets;
mod supervisor;
mod system;
mod waits;
mod walk;

use std::collections::BTreeMap;

pub use launch::{apply, check, is_applied, run};
pub use mac_root::enter;
pub use system::end_by;

/// The operations that are enforced here, by name, each with the system calls that ask it.
#[must_use]
pub fn operations() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut out: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for call in calls::all() {
        for operation in call.asks.iter().chain(call.may_ask) {
            out.entry(*operation).or_default().push(call.name);
        }
    }
    out
}

/// A Mac's error number as this system has it; EPERM where it has none such.
#[must_use]
pub fn errno(number: i32) -> i32 {
    judge::linux_errno(number).unwrap_or(libc::EPERM)
}
