//! In: the sources of the library, and `cbindgen.toml`. Out: proof that `include/sandbox.h` is what they say;
//! `BLESS=1` writes it.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

/// How cbindgen writes the end of `sandbox_check`, and how C has it: Rust can say the one only.
const FIXED: &str = "const char *argument);";
const VARIABLE: &str = "...);";

fn generated() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let header = cbindgen::Builder::new()
        .with_config(config)
        .with_src(root.join("src/boundary.rs"))
        .generate()
        .expect("cbindgen reads the source");
    let mut text = Vec::new();
    header.write(&mut text);
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.matches(FIXED).count(), 1, "{text}");
    text.replace(FIXED, VARIABLE)
}

#[test]
fn the_header_is_that_of_the_source() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/sandbox.h");
    let text = generated();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "{} differs (BLESS=1 rewrites it)\n{text}", path.display());
}
