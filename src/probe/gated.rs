//! In: a blob. Out: whether it is known that it is not applied without an entitlement. Never: what it says;
//! `policy::gate` reads that.

use sha2::{Digest, Sha256};

use crate::runtime::hex;

/// Name of what is found (RUNTIME.md part 2, "Apply gate").
pub const SIGNATURE: &str = "apply_gate_blob_digest";

/// First bytes of the SHA-256 of blobs that were seen to be gated, as far as they are recorded (RUNTIME.md
/// part 2): airlock, and five small ones.
const KNOWN: &str = include_str!("gated.txt");

/// Whether it is one of them.
#[must_use]
pub fn is_known(blob: &[u8]) -> bool {
    let digest = hex(&Sha256::digest(blob));
    KNOWN.lines().filter(|line| !line.starts_with('#')).any(|known| !known.is_empty() && digest.starts_with(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digests_are_known() {
        let known: Vec<&str> = KNOWN.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
        assert_eq!(known.len(), 6);
        assert!(known.iter().all(|known| known.len() >= 8 && known.bytes().all(|byte| byte.is_ascii_hexdigit())));
        assert!(!is_known(b""));
    }
}
