//! The way in for source: SBPL text to rules.
//!
//! In: the text of a profile and [`Options`]. Out: [`Evaluated`]: the flat rule list with its
//! provenance, and notes. Never: graphs or bytes.
//!
//! - `source`: texts, byte ranges, lines and columns
//! - `reader`: text to forms
//! - `scheme`: forms to values
//! - `state`: what one evaluation collects, and the provenance of rules
//! - `host`: what names mean: operations, filters, modifiers of the release
//! - `objects`: the values that only SBPL has
//! - `actions`: `version`, `allow`, `deny`, `with`, message filters
//! - `filters`: filter calls and their combinations
//! - `imports`: `import`, `param`, stand-ins
//! - `diagnostics`: errors and notes with their place in the text; `report` makes them of errors
//! - `write`: rules as text and JSON
//! - `format`: text to the same text in one layout

mod actions;
mod diagnostics;
mod filters;
mod format;
mod host;
mod imports;
mod objects;
pub mod reader;
mod report;
pub mod scheme;
pub mod source;
mod state;
mod write;

use std::path::PathBuf;

pub use diagnostics::{Diagnostic, Severity};
pub use format::{DEFAULT_WIDTH, FormatError, format};
pub use imports::{MAX_FILE, StandIn, read_limited, stand_ins};
pub use scheme::Budget;
pub use write::{rules_json, write_rules};

use crate::policy::rules::Rules;
use crate::vocabulary::Release;
use scheme::Machine;
use source::{MAX_TEXT, Sources};
use state::Sbpl;

/// What evaluation depends on besides the text.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose vocabulary.
    pub release: &'static Release,
    /// `-D NAME=VALUE`; nothing at all is different from an empty list (LANGUAGE.md §4.4).
    pub parameters: Option<Vec<(String, String)>>,
    /// `-I DIR`, searched first.
    pub import_directories: Vec<PathBuf>,
    /// Whether imports may fall back to our own stand-ins.
    pub stand_ins: bool,
    /// Entitlements of the process, an object; becomes `*entitlements*`.
    pub entitlements: Option<serde_json::Value>,
    /// How much evaluation may use.
    pub budget: Budget,
}

impl Options {
    /// No parameters, no import directories, stand-ins on.
    #[must_use]
    pub fn new(release: &'static Release) -> Self {
        Self {
            release,
            parameters: None,
            import_directories: Vec::new(),
            stand_ins: true,
            entitlements: None,
            budget: Budget::default(),
        }
    }
}

/// An evaluated profile.
#[derive(Debug)]
pub struct Evaluated {
    /// What it says.
    pub rules: Rules,
    /// Warnings and notes, in the order in which they came up.
    pub notes: Vec<Diagnostic>,
}

/// Evaluates a profile. `name` is what messages call the text: a path, or `<input string>`.
///
/// # Errors
/// The first error in the text, with its place and the way there. A text without any
/// `(version …)` is one.
pub fn evaluate(name: &str, text: &[u8], options: &Options) -> Result<Evaluated, Box<Diagnostic>> {
    if text.len() > MAX_TEXT {
        return Err(Box::new(Diagnostic::error(
            "profile",
            format!("profile of {} bytes is too long", text.len()),
            name,
        )));
    }
    let mut sources = Sources::default();
    let main = sources.add(name.to_owned(), text);
    let host = Sbpl::new(options, main);
    let mut machine = Machine::new(host, sources, options.budget);
    let outcome = machine.run(main);
    if let Err(error) = outcome {
        return Err(Box::new(report::of_error(&mut machine, &error)));
    }
    let Some(version) = machine.host.version else {
        return Err(Box::new(Diagnostic::error("no-version", "no version specified".to_owned(), name)));
    };
    let notes = std::mem::take(&mut machine.host.notes);
    Ok(Evaluated { rules: machine.host.rules(version), notes })
}
