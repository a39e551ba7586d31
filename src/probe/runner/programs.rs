//! In: a command. Out: that program in place of this process. Never: a word after it has started; what it does
//! is told by how it ends.

use std::ffi::OsString;
use std::io;
use std::process::Command;

use super::{Ended, Speaker, number};
use crate::probe::observation::{Marker, Step, Tool};

/// Starts it; comes back only where that fails.
pub fn started(speaker: &mut Speaker, command: &[OsString]) -> Ended {
    let [program, arguments @ ..] = command else { return Ended::Usage };
    let error = replaced(Command::new(program).args(arguments));
    let mut marker = Marker::new(Tool::Apply, Step::Exec);
    marker.rc = Some(-1);
    marker.errno = Some(number(&error));
    marker.argv0 = Some(program.to_string_lossy().into_owned());
    speaker.say(&marker);
    eprintln!("{}: {error}", program.to_string_lossy());
    Ended::NotStarted
}

#[cfg(unix)]
fn replaced(command: &mut Command) -> io::Error {
    std::os::unix::process::CommandExt::exec(command)
}

#[cfg(not(unix))]
fn replaced(_: &mut Command) -> io::Error {
    io::Error::from(io::ErrorKind::Unsupported)
}
