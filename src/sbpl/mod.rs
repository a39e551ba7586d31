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
//! - `write`: rules as text and JSON; `compose`: as text that people would write
//! - `format`: text to the same text in one layout

mod actions;
mod compose;
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

pub use compose::compose;
pub use diagnostics::{Diagnostic, Severity};
pub use format::{DEFAULT_WIDTH, FormatError, format};
pub use imports::{MAX_FILE, StandIn, read_limited, stand_ins};
pub(crate) use report::nearest;
pub use scheme::Budget;
pub use write::{rules_json, write_rules};

use crate::policy::rules::Rules;
use crate::vocabulary::Release;
use scheme::{Machine, Value};
use source::{MAX_TEXT, SourceId, Sources};
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
    let mut program = Program::new(name, text, options)?;
    match program.machine.run(program.main) {
        Ok(_) => program.finish(),
        Err(error) => Err(Box::new(report::of_error(&mut program.machine, &error))),
    }
}

/// Most errors that [`diagnose`] reports.
const MAX_ERRORS: usize = 100;

/// Evaluates a profile to its end, past every top-level form with an error in it: all independent
/// errors, in the order of the text, and the notes. A name whose definition failed is not reported
/// again as unbound.
#[must_use]
pub fn diagnose(name: &str, text: &[u8], options: &Options) -> Vec<Diagnostic> {
    let mut program = match Program::new(name, text, options) {
        Ok(program) => program,
        Err(diagnostic) => return vec![*diagnostic],
    };
    let mut found = Vec::new();
    let mut undefined: Vec<String> = Vec::new();
    let mut position = 0;
    while let Err((error, behind)) = program.machine.run_from(program.main, position) {
        if !error.unbound.as_ref().is_some_and(|name| undefined.contains(name)) {
            found.push(report::of_error(&mut program.machine, &error));
        }
        let Some(behind) = behind.filter(|_| found.len() < MAX_ERRORS) else { break };
        undefined.extend(program.defined_before(position, behind));
        position = behind;
    }
    match program.finish() {
        Ok(evaluated) => found.extend(evaluated.notes),
        // Without a version nothing else is sure to be what was meant.
        Err(diagnostic) if found.is_empty() => found.push(*diagnostic),
        Err(_) => {}
    }
    found
}

/// A text that is being evaluated.
struct Program {
    machine: Machine<Sbpl>,
    main: SourceId,
    name: String,
}

impl Program {
    fn new(name: &str, text: &[u8], options: &Options) -> Result<Self, Box<Diagnostic>> {
        if text.len() > MAX_TEXT {
            let message = format!("profile of {} bytes is too long", text.len());
            return Err(Box::new(Diagnostic::error("profile", message, name)));
        }
        let mut sources = Sources::default();
        let main = sources.add(name.to_owned(), text);
        let machine = Machine::new(Sbpl::new(options, main), sources, options.budget);
        Ok(Self { machine, main, name: name.to_owned() })
    }

    fn finish(mut self) -> Result<Evaluated, Box<Diagnostic>> {
        let Some(version) = self.machine.host.version else {
            let message = "no version specified".to_owned();
            return Err(Box::new(Diagnostic::error("no-version", message, &self.name)));
        };
        let notes = std::mem::take(&mut self.machine.host.notes);
        Ok(Evaluated { rules: self.machine.host.rules(version), notes })
    }

    /// The name that the top-level form before `behind` defines, if it is a definition.
    fn defined_before(&mut self, from: u32, behind: u32) -> Option<String> {
        let source = self.machine.sources.get(self.main)?;
        let mut position = from;
        loop {
            let form = reader::read_form(self.main, source, position, &mut self.machine.symbols).ok()??;
            if form.next >= behind {
                return definition(&form.value);
            }
            position = form.next;
        }
    }
}

/// The name in `(define NAME …)`, `(define (NAME …) …)` and the like.
fn definition(form: &Value) -> Option<String> {
    let Value::Pair(form) = form else { return None };
    match (form.car(), form.cdr()) {
        (Value::Symbol(head), Value::Pair(rest))
            if matches!(head.name(), "define" | "define-macro" | "macro" | "define-once") =>
        {
            match rest.car() {
                Value::Symbol(name) => Some(name.name().to_owned()),
                Value::Pair(head) => match head.car() {
                    Value::Symbol(name) => Some(name.name().to_owned()),
                    _ => None,
                },
                _ => None,
            }
        }
        _ => None,
    }
}
