//! lib
pub mod blob;
pub mod pattern;
pub mod policy;
pub mod sbpl;
pub mod vocabulary;
