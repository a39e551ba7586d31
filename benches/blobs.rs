//! In: real blobs where they are, and a large one made here. Out: how fast they are decoded, which
//! validates them, and shown, in bytes of the blob per second; `memory` says how much memory each takes.
//! Never: part of CI; figures and how to read them are in `docs/performance.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use divan::Bencher;
use divan::counter::BytesCount;
use sbtool::blob::{self, Decoded};
use sbtool::policy::passes::{Passes, build};
use sbtool::sbpl::{self, Options};
use sbtool::views::{self, Document};
use sbtool::vocabulary::Release;

pub fn main() {
    divan::main();
}

/// The largest of each family, and one that is made here.
const BLOBS: &[(&str, &str)] = &[
    ("made", "macos-14.4"),
    ("ios9.3_collection.bin", "ios-9.3"),
    ("ios13_collection.bin", "ios-13"),
    ("ios17_platform.bin", "ios-17"),
    ("ios26_platform.bin", "ios-26"),
];

/// A profile of 3,000 rules with paths, names, conjunctions and regular expressions, most of which become
/// branches of three large programs.
fn made() -> Vec<u8> {
    let mut text = "(version 1)\n(deny default)\n".to_owned();
    for n in 0..1000 {
        writeln!(
            text,
            "(allow file-read* (require-all (subpath \"/Library/Component {n}/Data\") (vnode-type REGULAR-FILE)))
(allow mach-lookup (global-name \"com.example.component{n}.service\"))
(deny file-read-data (regex #\"^/private/var/folders/[^/]+/component-{n}(/|$)\"))"
        )
        .unwrap();
    }
    let evaluated = sbpl::evaluate("made", text.as_bytes(), &Options::new(Release::named("macos-14.4").unwrap()));
    blob::encode(&build(&evaluated.map_err(|d| d.render(false)).unwrap().rules, Passes::default()).unwrap()).unwrap()
}

fn read(name: &str) -> Option<Vec<u8>> {
    match name {
        "made" => Some(made()),
        _ => std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/oracle/blobs").join(name)).ok(),
    }
}

/// The blobs that are there.
fn names() -> Vec<&'static str> {
    BLOBS.iter().map(|(name, _)| *name).filter(|name| read(name).is_some()).collect()
}

fn blob_named(name: &str) -> (Vec<u8>, &'static Release) {
    let (_, release) = BLOBS.iter().find(|(known, _)| *known == name).unwrap();
    (read(name).unwrap(), Release::named(release).unwrap())
}

fn decoded(name: &str) -> (Vec<u8>, Decoded) {
    let (bytes, release) = blob_named(name);
    let decoded = blob::decode(&bytes, release).unwrap();
    (bytes, decoded)
}

/// Decodes and validates; what was decoded is dropped outside of the time.
#[divan::bench(args = names())]
fn decode(bencher: Bencher<'_, '_>, name: &str) {
    let (bytes, release) = blob_named(name);
    bencher.counter(BytesCount::new(bytes.len())).bench(|| blob::decode(&bytes, release).unwrap());
}

#[divan::bench(args = names(), sample_count = 20)]
fn show_json(bencher: Bencher<'_, '_>, name: &str) {
    let (bytes, decoded) = decoded(name);
    bencher.counter(BytesCount::new(bytes.len())).bench(|| {
        let document = Document::new(name, bytes.len(), String::new(), &decoded);
        serde_json::to_writer_pretty(io::sink(), &document).unwrap();
    });
}

#[divan::bench(args = names(), sample_count = 20)]
fn show_parts(bencher: Bencher<'_, '_>, name: &str) {
    let (bytes, decoded) = decoded(name);
    bencher.counter(BytesCount::new(bytes.len())).bench(|| {
        let mut letters = 0;
        views::parts(&decoded, &bytes, |part, notes| {
            letters += (0..part.range.len().div_ceil(part.width)).map(|row| notes(row).len()).sum::<usize>();
            Ok::<(), io::Error>(())
        })
        .unwrap();
        letters
    });
}
