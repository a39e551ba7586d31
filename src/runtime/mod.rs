//! What happens around a policy when it is used: the shim that makes a profile runnable, the paths
//! of a Mac, questions with their path walk, and the text of a blob with its verification.
//!
//! In: profiles, graphs, questions. Out: runtime-ready text, answers. Never: enforcement, or a matrix of
//! probes.

pub mod decompiled;
pub mod limits;
pub mod policy;
pub mod question;
pub mod shim;
pub mod world;

/// Bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
