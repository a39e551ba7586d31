#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! In: blobs of real systems, where they are. Out: whether each profile's text, compiled, decides every
//! request as the profile does. Never: how the text looks.

use std::time::Instant;

use sbtool::blob::decode;
use sbtool::runtime::decompiled::{decompiled, verify};
use sbtool::vocabulary::Release;

/// Blob, release, how many of its profiles are proven to come back the same, and the others: those
/// whose text does not compile, and those of which it is not proven.
const BLOBS: [(&str, &str, usize, usize, usize); 4] = [
    ("ios9.3_collection", "ios-9.3", 121, 0, 0),
    ("ios13_collection", "ios-13", 216, 2, 0),
    ("ios17_platform", "ios-17", 1, 0, 0),
    ("ios26_platform", "ios-26", 0, 0, 1),
];

fn say(line: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
}

#[test]
fn real_profiles_verify() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/oracle/blobs");
    for (name, release, same, failing, unproven) in BLOBS {
        let Ok(bytes) = std::fs::read(folder.join(format!("{name}.bin"))) else {
            say(&format!("skipped: {name} is not here"));
            continue;
        };
        let collection = decode(&bytes, Release::named(release).unwrap()).unwrap().collection;
        let start = Instant::now();
        let mut found = 0;
        let (mut errors, mut others) = (Vec::new(), Vec::new());
        for profile in &collection.profiles {
            let title = String::from_utf8_lossy(&profile.name).into_owned();
            match verify(profile, &decompiled(profile).unwrap()) {
                Ok(verified) if verified.holds() => found += 1,
                Ok(verified) => others.push(format!("{title}: {verified:?}")),
                Err(error) => errors.push(format!("{title}: {error}")),
            }
        }
        say(&format!("{name}: {found} of {} profiles the same, in {:?}", collection.profiles.len(), start.elapsed()));
        let list = [errors.as_slice(), others.as_slice()].concat().join("\n");
        assert_eq!((found, errors.len(), others.len()), (same, failing, unproven), "{name}:\n{list}");
    }
}
