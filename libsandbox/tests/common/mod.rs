//! In: nothing. Out: where the built library and the header are, and a C compiler if there is one.

#![allow(dead_code, reason = "each test uses some of it")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the header.
pub fn include() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("include")
}

/// The library that was built with this test; it lies beside it.
pub fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().join("libsandbox.so");
    assert!(path.exists(), "{} is not there", path.display());
    path
}

/// A C compiler, or a line that says that there is none.
pub fn compiler() -> Option<Command> {
    let name = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    if Command::new(&name).arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Some(Command::new(name));
    }
    eprintln!("skipped: no C compiler '{name}'");
    None
}
