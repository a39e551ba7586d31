//! In: the C programs beside this file, the header, and the library. Out: proof that C programs compile against
//! the header without a warning, link to the library, and find what they expect.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sbtool::policy::passes::Passes;
use sbtool::runtime::limits;
use sbtool::sbpl::{self, Options, stand_ins};
use sbtool::vocabulary::{DEFAULT_RELEASE, Release};

/// A program of a C file, in a folder; nothing where there is no compiler.
fn program(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut compiler = common::compiler()?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    let program = folder.join("program");
    let library = common::library();
    let output = compiler
        .args(["-std=c99", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-pthread", "-g", "-I"])
        .arg(common::include())
        .arg(source)
        .arg("-o")
        .arg(&program)
        .arg(&library)
        .arg(format!("-Wl,-rpath,{}", library.parent().unwrap().display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(program)
}

fn run(program: &Path, folder: &Path) -> Output {
    Command::new(program).arg(folder).env_remove("LD_LIBRARY_PATH").output().unwrap()
}

/// What sbtool makes of a text.
fn compiled(text: &str, parameters: Option<Vec<(String, String)>>) -> Vec<u8> {
    let mut options = Options::new(Release::named(DEFAULT_RELEASE).unwrap());
    options.parameters = parameters;
    let evaluated = sbpl::evaluate("x", text.as_bytes(), &options).unwrap();
    limits::compile(&evaluated.rules, Passes::default()).unwrap().0
}

#[test]
fn a_c_program_uses_it() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = program(folder.path(), "program.c") else { return };
    let output = run(&program, folder.path());
    assert!(output.status.success(), "{:?}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    let written = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert_eq!(written("plain"), compiled("(version 1)(deny default)", None));
    let home = vec![("HOME".to_owned(), "/private/tmp/home".to_owned())];
    let text = r#"(version 1)(deny default)(allow file-read* (subpath (param "HOME")))"#;
    assert_eq!(written("params"), compiled(text, Some(home)));
    let bsd = stand_ins().find(|known| known.name == "bsd.sb").unwrap();
    assert_eq!(written("named"), compiled(bsd.text, None));
    assert_eq!(written("file"), compiled("(version 1)(allow default)", None));
}

#[test]
fn a_profile_is_in_force_after_sandbox_init() {
    let folder = tempfile::tempdir().unwrap();
    // The profile names files as the kernel does.
    let path = folder.path().canonicalize().unwrap();
    let Some(program) = program(&path, "enforced.c") else { return };
    for name in ["open", "closed"] {
        std::fs::write(path.join(name), name).unwrap();
    }
    let output = run(&program, &path);
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) {
        eprintln!("skipped: {}", said.trim());
        return;
    }
    assert!(output.status.success(), "{:?}\n{said}", output.status);
}
