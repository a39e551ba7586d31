//! In: the library, opened at run time as `sbtool compile --compiler libsandbox` does. Out: proof that both sides
//! of that interface fit: Apple's bytes, Apple's words, and a missing symbol told by its name.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::Path;

use sbtool::library::{CHECK_CANONICAL, FilterType, Library, LibraryError, NAMED};
use sbtool::runtime::hex;
use sha2::{Digest, Sha256};

fn library() -> Library {
    Library::open_file(&common::library()).unwrap()
}

/// What a call said, and the number that it left.
fn refusal<T: std::fmt::Debug>(result: Result<T, LibraryError>) -> (String, Option<i32>) {
    match result.unwrap_err() {
        LibraryError::Refused { message, error, .. } => (message.unwrap_or_default(), error.raw_os_error()),
        other => panic!("{other}"),
    }
}

#[test]
fn every_golden_case_has_apples_bytes() {
    let library = library();
    let text = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/apple-14.4.1.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 34);
    for case in cases {
        let profile = library.compile_string(case["source"].as_str().unwrap().as_bytes(), None).unwrap();
        let bytes = profile.bytes().unwrap();
        assert_eq!(bytes.len() as u64, case["length"].as_u64().unwrap(), "{}", case["case"]);
        assert_eq!(hex(&Sha256::digest(bytes)), case["sha256"].as_str().unwrap(), "{}", case["case"]);
        assert_eq!(profile.profile_type(), 0);
    }
}

#[test]
fn parameters_are_found_and_none_is_not_an_empty_list() {
    let library = library();
    let bytes = |text: &str, list: Option<&[(String, String)]>| {
        let parameters = list.map(|list| library.parameters(list).unwrap());
        library.compile_string(text.as_bytes(), parameters.as_ref()).unwrap().bytes().unwrap().to_vec()
    };
    let given = [("P".to_owned(), "/a".to_owned())];
    let by_parameter = r#"(version 1)(deny default)(allow file-read* (literal (param "P")))"#;
    let spelled = r#"(version 1)(deny default)(allow file-read* (literal "/a"))"#;
    assert_eq!(bytes(by_parameter, Some(&given)), bytes(spelled, None));
    // Patterns have variables only where there is no list (LANGUAGE.md §4.4).
    let variable = r#"(version 1)(deny default)(allow file-read* (literal "/${A}"))"#;
    assert_ne!(bytes(variable, None), bytes(variable, Some(&[])));
}

#[test]
fn errors_have_apples_words_and_their_place() {
    let library = library();
    let (message, errno) = refusal(library.compile_string(b"(version 1) (allow foo)", None));
    assert_eq!(
        message,
        "unbound variable: foo at <input string>, line 1, column 20\n\nBacktrace:\n<input string>:1:20:\n\t(version 1) (allow foo)"
    );
    assert_eq!(errno, Some(libc::EINVAL));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.sb");
    std::fs::write(&file, "(version 1)\n(define (f) (subpath \"\"))\n(allow file-read* (f))\n").unwrap();
    let (message, _) = refusal(library.compile_file(&file, None));
    let start = format!("empty subpath pattern at {0}, line 2, column 13\n\nBacktrace:\n{0}:2:13:\n", file.display());
    assert!(message.starts_with(&start), "{message}");
    assert_eq!(refusal(library.compile_named("gone", None)).1, Some(libc::ENOENT));
    assert!(matches!(library.compile_string(b"(version 1)\0", None), Err(LibraryError::Nul { .. })));
    let (message, errno) = refusal(library.init(b"gone", NAMED));
    assert_eq!((message.as_str(), errno), ("unable to open \"gone\": not found", Some(libc::ENOENT)));
    assert_eq!(refusal(library.apply_blob(&[1; 100])).1, Some(libc::EINVAL));
}

#[test]
fn a_process_under_no_profile_may_do_everything() {
    let library = library();
    let own = std::process::id().cast_signed();
    assert!(library.check(own, None, None, 0).unwrap());
    assert!(library.check(own, Some("file-read-data"), Some((FilterType::Path, b"/x")), 0).unwrap());
    assert!(!library.check(own, Some("file-read-data"), Some((FilterType::Path, b"/./x")), CHECK_CANONICAL).unwrap());
    assert_eq!(refusal(library.check(own, Some("no-such"), None, 0)).1, Some(libc::EINVAL));
}

#[test]
fn what_is_no_libsandbox_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("libsandbox.so");
    assert!(matches!(Library::open_file(&path), Err(LibraryError::Missing { .. })));
    std::fs::write(&path, "text").unwrap();
    assert!(matches!(Library::open_file(&path), Err(LibraryError::Load { .. })));
    // All functions but one, each in turn.
    let source = folder.path().join("a.c");
    let functions: String =
        NAMES.iter().map(|name| format!("#ifndef WITHOUT_{name}\nvoid {name}(void) {{}}\n#endif\n")).collect();
    std::fs::write(&source, functions).unwrap();
    for missing in NAMES {
        let Some(mut compiler) = common::compiler() else { return };
        let path = folder.path().join(format!("without_{missing}.so"));
        compiler.args(["-shared", "-fPIC", &format!("-DWITHOUT_{missing}"), "-o"]).arg(&path).arg(&source);
        assert!(compiler.status().unwrap().success());
        match Library::open_file(&path) {
            Err(LibraryError::Symbol { symbol, .. }) => assert_eq!(symbol, missing),
            other => panic!("{other:?}"),
        }
    }
}

/// The functions of the interface.
const NAMES: [&str; 12] = [
    "sandbox_compile_string",
    "sandbox_compile_file",
    "sandbox_compile_named",
    "sandbox_create_params",
    "sandbox_set_param",
    "sandbox_free_params",
    "sandbox_apply",
    "sandbox_free_profile",
    "sandbox_init",
    "sandbox_init_with_parameters",
    "sandbox_free_error",
    "sandbox_check",
];
