//! In: the regular expressions of the corpus, or a list like it. Out: how long making code of them,
//! reading it and matching take. Never: part of CI; figures are in `docs/performance.md`.
//!
//! `cargo bench --bench regexes`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::{Path, PathBuf};

use divan::Bencher;
use sbtool::blob::regex_object::{read, write};
use sbtool::pattern::regex::{Automaton, parse};

fn main() {
    divan::main();
}

/// What stands in for the corpus where it is not there.
const LIST: &[&str] = &[
    r"^/dev/bpf[0-9]+$",
    r"^/dev/tty[a-z0-9]*$",
    r"\.(aif|wav)$",
    r"^/private/var/(mobile|euser[0-9]+)/Library/[^/]+/",
    r"^/private/var/folders/[^/]+/[^/]+/[^/]",
    r"^/Users/[^/]+/\.(ssh|aws|gnupg)(/|$)",
    r"/\.git/(config|hooks)(/.*)?$",
    r"^com\.apple\.(logd|coreservices\..*)$",
];

/// Files below a folder whose name ends in `.sb` or begins so after that.
fn profiles(folder: &Path, out: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            profiles(&path, out);
        } else if path.file_name().is_some_and(|name| name.to_string_lossy().contains(".sb")) {
            out.push(path);
        }
    }
}

/// 1,000 expressions: the texts of `#"…"` in the corpus that are expressions, over and over.
fn thousand() -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    profiles(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus"), &mut files);
    files.sort();
    let mut texts = Vec::new();
    for file in files {
        let bytes = std::fs::read(file).unwrap();
        let mut rest = bytes.as_slice();
        while let Some(start) = rest.windows(2).position(|pair| pair == b"#\"") {
            rest = &rest[start + 2..];
            let Some(end) = rest.iter().position(|byte| *byte == b'"') else { break };
            if parse(&rest[..end]).is_ok() {
                texts.push(rest[..end].to_vec());
            }
            rest = &rest[end + 1..];
        }
    }
    if texts.is_empty() {
        println!("../shared/corpus is not here: a list of {} instead", LIST.len());
        texts.extend(LIST.iter().map(|text| text.as_bytes().to_vec()));
    }
    texts.iter().cycle().take(1_000).cloned().collect()
}

fn code(text: &[u8]) -> Vec<u8> {
    write(&Automaton::of(&[parse(text).unwrap()]).unwrap()).unwrap()
}

#[divan::bench]
fn thousand_regexes_to_code(bencher: Bencher<'_, '_>) {
    let texts = thousand();
    bencher.bench(|| texts.iter().map(|text| code(text).len()).sum::<usize>());
}

#[divan::bench]
fn thousand_codes_to_text(bencher: Bencher<'_, '_>) {
    let codes: Vec<Vec<u8>> = thousand().iter().map(|text| code(text)).collect();
    bencher.bench(|| codes.iter().map(|code| read(code, 0).unwrap().expression().unwrap().text().len()).sum::<usize>());
}

/// A thousand expressions asked about one path.
#[divan::bench(args = ["/private/var/mobile/Library/Caches/com.example.app/file.txt", "/dev/bpf12"])]
fn thousand_matches(bencher: Bencher<'_, '_>, subject: &str) {
    let automata: Vec<Automaton> =
        thousand().iter().map(|text| Automaton::of(&[parse(text).unwrap()]).unwrap()).collect();
    bencher.bench(|| automata.iter().filter(|automaton| automaton.matches(subject.as_bytes())).count());
}
