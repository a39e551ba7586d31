#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! In: the seeds of the fuzz targets and the profiles of the project. Out: the properties hold for
//! them. Never: random input; that is the fuzzer's.

use std::path::{Path, PathBuf};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    files
}

#[test]
fn properties_hold_for_every_seed() {
    let folders = ["fuzz/seeds", "golden/profiles", "system-profiles", "tests/cli/bad", "tests/cli/rules"];
    let mut count = 0;
    for path in folders.into_iter().flat_map(files) {
        let bytes = std::fs::read(&path).unwrap();
        println!("{}", path.display());
        sbtool::properties::reader(&bytes);
        sbtool::properties::evaluator(&bytes);
        sbtool::properties::blob(&bytes);
        sbtool::properties::decompiled(&bytes);
        count += 1;
    }
    assert!(count > 30, "only {count} seeds");
}
