//! lib
pub mod blob;
pub mod cli;
pub mod pattern;
pub mod policy;
pub mod runtime;
pub mod sbpl;
mod sbpl_text;
pub mod vocabulary;
