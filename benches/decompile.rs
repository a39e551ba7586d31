//! In: real blobs where they are. Out: how long all of their profiles take to become rules, and text.
//! Never: part of CI; figures are in `docs/performance.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;

use divan::Bencher;
use sbtool::blob::{self, Decoded};
use sbtool::policy::decompile::decompile;
use sbtool::runtime::decompiled::decompiled;
use sbtool::vocabulary::Release;

pub fn main() {
    divan::main();
}

const BLOBS: &[(&str, &str)] = &[
    ("ios9.3_collection.bin", "ios-9.3"),
    ("ios13_collection.bin", "ios-13"),
    ("ios17_platform.bin", "ios-17"),
    ("ios26_platform.bin", "ios-26"),
];

fn decoded(name: &str) -> Option<Decoded> {
    let (_, release) = BLOBS.iter().find(|(known, _)| *known == name)?;
    let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/oracle/blobs").join(name)).ok()?;
    Some(blob::decode(&bytes, Release::named(release).unwrap()).unwrap())
}

fn names() -> Vec<&'static str> {
    BLOBS.iter().map(|(name, _)| *name).filter(|name| decoded(name).is_some()).collect()
}

#[divan::bench(args = names(), sample_count = 10)]
fn rules(bencher: Bencher, name: &str) {
    let decoded = decoded(name).unwrap();
    bencher.bench(|| {
        decoded.collection.profiles.iter().map(|profile| decompile(profile).unwrap().list.len()).sum::<usize>()
    });
}

#[divan::bench(args = names(), sample_count = 10)]
fn text(bencher: Bencher, name: &str) {
    let decoded = decoded(name).unwrap();
    bencher.bench(|| {
        decoded.collection.profiles.iter().map(|profile| decompiled(profile).unwrap().text.len()).sum::<usize>()
    });
}
