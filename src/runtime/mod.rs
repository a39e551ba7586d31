//! What happens around a policy when it is used: the shim that makes a profile runnable, the paths
//! of a Mac, questions with their path walk, preflight, the probe matrix, and the text of a blob with its
//! verification.
//!
//! In: profiles, graphs, questions, matrices. Out: runtime-ready text, answers, artifacts. Never:
//! enforcement.

pub mod artifacts;
pub mod decompiled;
pub mod limits;
pub mod matrix;
pub mod policy;
pub mod probe;
pub mod question;
pub mod shim;
pub mod world;
