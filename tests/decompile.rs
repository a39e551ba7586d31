#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! In: blobs of real systems, where they are. Out: whether each profile's text, compiled, decides every
//! request as the profile does. Never: how the text looks.

use std::time::Instant;

use sbtool::blob::decode;
use sbtool::runtime::decompiled::{decompiled, verify};
use sbtool::vocabulary::Release;

/// Blob, release, how many of its profiles are proven to come back the same, and the operations of the
/// others of which it is not proven. Nothing is known to differ.
const BLOBS: [(&str, &str, usize, &[&str]); 5] = [
    ("macos10.6_sample1", "macos-10.6", 1, &[]),
    ("ios9.3_collection", "ios-9.3", 121, &[]),
    ("ios13_collection", "ios-13", 216, &[]),
    ("ios17_platform", "ios-17", 1, &[]),
    (
        "ios26_platform",
        "ios-26",
        0,
        &["file-read-data", "file-read-metadata", "file-read-xattr", "iokit-open-user-client"],
    ),
];

/// The two profiles of iOS 13 that are over ten times as long as the longest other one. To compare them
/// takes minutes, so it is not known here whether they come back the same; they compile.
const TOO_LONG: [(&str, &[u8]); 2] = [("ios-13", b"container"), ("ios-13", b"maild")];

/// Without optimization only each so many-th profile of a collection is compared.
const STEP: usize = if cfg!(debug_assertions) { 30 } else { 1 };

fn say(line: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
}

#[test]
fn real_profiles_verify() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/oracle/blobs");
    for (name, release, same, unproven) in BLOBS {
        let Ok(bytes) = std::fs::read(folder.join(format!("{name}.bin"))) else {
            say(&format!("skipped: {name} is not here"));
            continue;
        };
        let release = Release::named(release).unwrap();
        let collection = decode(&bytes, release).unwrap().collection;
        let start = Instant::now();
        let profiles = || {
            collection
                .profiles
                .iter()
                .filter(|profile| !TOO_LONG.contains(&(release.name(), profile.name.as_slice())))
                .step_by(STEP)
        };
        let (mut found, mut others) = (0, Vec::new());
        for profile in profiles() {
            let title = String::from_utf8_lossy(&profile.name).into_owned();
            let verified =
                verify(profile, &decompiled(profile).unwrap()).unwrap_or_else(|error| panic!("{title}: {error}"));
            assert_eq!(
                (verified.comparison.different().count(), verified.other.len()),
                (0, 0),
                "{title}: {verified:?}"
            );
            found += usize::from(verified.holds());
            let names = verified
                .comparison
                .operations
                .iter()
                .map(|(operation, _)| release.operation_name(*operation).into_owned());
            others.extend(names);
        }
        say(&format!("{name}: {found} of {} profiles the same, in {:?}", profiles().count(), start.elapsed()));
        assert_eq!(others, unproven, "{name}");
        assert_eq!(found, same.div_ceil(STEP), "{name}");
    }
}
