//! sbtool compiles, decodes and questions profiles of Apple's sandbox ("Seatbelt"), on any
//! operating system.
//!
//! # The pipeline
//!
//! A profile is a program in SBPL, a dialect of Scheme. Running it yields *rules*: `allow` or
//! `deny`, some *operations*, maybe a *filter* made of tests, maybe *modifiers*. A Mac's kernel
//! knows nothing of that. It gets a *blob*: for each operation a place to start in a graph of
//! nodes, each of which asks one question about a request and goes on to one of two others, until
//! a *terminal* says what happens.
//!
//! That graph is the waist of this crate, [`policy::graph::Graph`]. Everything comes in to it and
//! everything leaves from it:
//!
//! ```text
//! SBPL text → reader → Scheme evaluator → rules → policy graph → encoder → blob
//!                                        blob → decoder → policy graph → verdict, explanation, text
//! ```
//!
//! Before the waist nobody knows bytes, after it nobody knows Scheme.
//!
//! # The central types
//!
//! - [`vocabulary::Release`]: what one release of the system knows, read from `grammar/`. Code
//!   never asks which release it is.
//! - [`policy::rules::Rules`]: what an evaluated source says, with where each rule comes from.
//! - [`policy::graph::Graph`]: what a profile means. Sharing between nodes is part of it, their
//!   order is not; it holds neither offsets nor raw bytes, so that a blob which comes out of it
//!   again byte for byte ([`blob::encode()`]) has been understood.
//! - [`pattern::tree::Tree`] and [`pattern::regex::Automaton`]: strings and expressions by their
//!   meaning.
//! - [`policy::request::Request`]: an operation with what is known about it;
//!   [`policy::verdict`] answers by the graph, [`policy::reference`] by the rules, and
//!   [`runtime::policy::Policy`] demands that the two agree.
//!
//! # Where to start reading
//!
//! [`sbpl::evaluate`], [`policy::passes::build`], [`blob::encode()`] and [`blob::decode()`] are the
//! four big steps; [`runtime::question::ask`] is what a user's question becomes; `cli` has one
//! file for each verb.
//!
//! # Example
//!
//! ```
//! use sbtool::{blob, policy::passes, sbpl, vocabulary::Release};
//!
//! let release = Release::named("macos-14.4")?;
//! let text = b"(version 1)(deny default)(allow file-read*)";
//! let evaluated = sbpl::evaluate("<input string>", text, &sbpl::Options::new(release))
//!     .map_err(|diagnostic| diagnostic.message)?;
//! let graph = passes::build(&evaluated.rules, passes::Passes::default())?;
//! assert_eq!(blob::encode(&graph)?.len(), 440);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod blob;
pub mod cli;
pub mod drawing;
pub mod enforce;
pub mod extract;
pub mod files;
pub mod library;
pub mod pattern;
pub mod policy;
pub mod probe;
pub mod properties;
pub mod runtime;
pub mod sbpl;
mod sbpl_text;
pub mod views;
pub mod vocabulary;
