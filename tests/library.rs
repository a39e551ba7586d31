//! In: the libsandbox of this workspace, and `golden/`. Out: proof that `compile --compiler libsandbox` gives what
//! the builtin compiler gives, and its errors as errors of the profile.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The library; cargo builds it, a dependency of these tests, beside them.
fn library() -> Option<PathBuf> {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().join("libsandbox.so");
    if !path.exists() {
        // A package of sbtool alone has no library in it.
        eprintln!("skipped: no {}", path.display());
        return None;
    }
    Some(path)
}

fn compile(library: &Path, compiler: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sbtool"))
        .args(["compile", "--compiler", compiler])
        .args(arguments)
        .env("SBTOOL_LIBSANDBOX", library)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap()
}

fn same(library: &Path, arguments: &[&str]) {
    let by_library = compile(library, "libsandbox", arguments);
    assert!(by_library.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&by_library.stderr));
    let builtin = compile(library, "builtin", arguments);
    assert!(builtin.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&builtin.stderr));
    assert!(by_library.stdout.len() >= 416 && by_library.stdout == builtin.stdout, "{arguments:?}");
}

#[test]
fn the_bytes_are_those_of_the_builtin_compiler() {
    let Some(library) = library() else { return };
    let mut count = 0;
    for folder in ["golden/profiles", "golden/path-profiles", "system-profiles"] {
        for entry in Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).read_dir().unwrap() {
            same(&library, &[&format!("{folder}/{}", entry.unwrap().file_name().display())]);
            count += 1;
        }
    }
    assert!(count >= 10, "{count}");
    let text = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/apple-14.4.1.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_slice(&text).unwrap();
    for case in golden["cases"].as_array().unwrap() {
        same(&library, &["-p", case["source"].as_str().unwrap()]);
    }
    let text = r#"(version 1)(deny default)(allow file-read* (subpath (param "P")))"#;
    same(&library, &["-p", text, "-D", "P=/private/tmp/${X}"]);
}

#[test]
fn it_tells_about_the_blob_as_the_builtin_compiler_does() {
    let Some(library) = library() else { return };
    let folder = tempfile::tempdir().unwrap();
    let blob = folder.path().join("a.bin").display().to_string();
    let arguments = ["golden/profiles/strict_1.sb", "--format", "json", "--stats", "-o", &blob];
    let by_library = compile(&library, "libsandbox", &arguments);
    let builtin = compile(&library, "builtin", &arguments);
    assert!(by_library.status.success() && builtin.status.success());
    assert_eq!(by_library.stdout, builtin.stdout);
}

#[test]
fn a_bad_profile_is_told_in_the_words_of_the_library() {
    let Some(library) = library() else { return };
    let folder = tempfile::tempdir().unwrap();
    let blob = folder.path().join("a.bin");
    std::fs::write(&blob, "as it was").unwrap();
    let output = compile(&library, "libsandbox", &["-p", "(version 1)(allow foo)", "-o", &blob.display().to_string()]);
    assert_eq!(output.status.code(), Some(65));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "sbtool: <input string>: unbound variable: foo at <input string>, line 1, column 19\n\n\
         Backtrace:\n<input string>:1:19:\n\t(version 1)(allow foo)\n"
    );
    assert_eq!(std::fs::read(&blob).unwrap(), b"as it was");
}

/// The file is there, and is no library.
#[test]
fn what_is_no_library_is_refused() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let output = compile(&file, "libsandbox", &["-p", "(version 1)(allow default)"]);
    assert_eq!(output.status.code(), Some(71));
    assert!(String::from_utf8_lossy(&output.stderr).contains("README.md"));
}

/// Apple's is not here, and none is named.
#[test]
fn a_system_without_one_is_told() {
    let output = compile(Path::new(""), "libsandbox", &["-p", "(version 1)(allow default)"]);
    assert_eq!(output.status.code(), Some(71));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "sbtool: there is no libsandbox on this system; SBTOOL_LIBSANDBOX names one\n"
    );
}
