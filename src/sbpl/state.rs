//! In: nothing. Out: [`Sbpl`], the state of one evaluation: versions, collected rules, contexts,
//! imports, notes, and the provenance of a rule. Never: what names mean.

use std::rc::Rc;
use std::sync::Arc;

use super::Options;
use super::diagnostics::{Diagnostic, place};
use super::objects::FilterValue;
use super::scheme::{Environment, Error, Machine, Trail, TrailKind, Value};
use super::source::{SourceId, Span};
use crate::policy::rules::{Modifier, Origin, Rule, Rules, Via};
use crate::vocabulary::{OperationId, Release};

pub(super) type SbplMachine = Machine<Sbpl>;

/// A form that adds something to every rule inside; what, is evaluated for each of them.
#[derive(Clone)]
pub(super) struct ContextForm {
    pub kind: &'static str,
    pub expression: Value,
    pub environment: Rc<Environment>,
    pub at: Option<Span>,
}

/// What `with-filter`, `with-modifier` and `with-operations` add to a rule.
#[derive(Clone)]
pub(super) enum Context {
    Filter(FilterValue),
    Modifier(Modifier),
    Operations(Vec<OperationId>),
}

/// Contexts inside one another; a rule gathers what all of them add.
pub(super) const MAX_CONTEXTS: usize = 200;

/// What a continuation keeps of the evaluation: a jump out of a form leaves its context, its
/// message filter and its import behind.
#[derive(Clone)]
pub(super) struct Mark {
    contexts: Vec<ContextForm>,
    /// Numbers of the collectors that were open.
    collectors: Vec<u64>,
    importing: Vec<Importing>,
}

/// Rules that belong together: those of the profile or of one message filter.
pub(super) struct Collector {
    /// Tells one filter from the next.
    number: u64,
    pub rules: Vec<Rule>,
}

/// A file that is being imported.
#[derive(Clone)]
pub(super) struct Importing {
    /// Path or stand-in name, for finding cycles.
    pub name: String,
}

/// The state of one evaluation.
pub(super) struct Sbpl {
    pub release: &'static Release,
    pub options: Options,
    /// The first text; its version is that of the profile.
    pub main: SourceId,
    /// The version in force.
    pub version: Option<u8>,
    /// The version that each text asked for.
    pub versions: Vec<(SourceId, u8)>,
    pub notes: Vec<Diagnostic>,
    /// Where rules go: the profile, or the message filters that are open inside it.
    pub collectors: Vec<Collector>,
    collectors_opened: u64,
    pub contexts: Vec<ContextForm>,
    pub profile_flags: u16,
    /// Name of the profile that this one extends.
    pub base: Option<Vec<u8>>,
    pub trace: Option<Vec<u8>>,
    /// Names of the files that are being imported, outermost first.
    pub importing: Vec<Importing>,
    last_origin: Option<(Span, Option<Rc<Trail>>, Arc<Origin>)>,
}

impl Sbpl {
    pub fn new(options: &Options, main: SourceId) -> Self {
        Self {
            release: options.release,
            options: options.clone(),
            main,
            version: None,
            versions: Vec::new(),
            notes: Vec::new(),
            collectors: vec![Collector { number: 0, rules: Vec::new() }],
            collectors_opened: 0,
            contexts: Vec::new(),
            profile_flags: 0,
            base: None,
            trace: None,
            importing: Vec::new(),
            last_origin: None,
        }
    }

    /// The rules collected so far, as a profile of this version.
    pub fn rules(&mut self, version: u8) -> Rules {
        let implicit = self.parameter("NO_IMPLICIT_RULES").is_none();
        Rules {
            release: self.release,
            version,
            list: self.collectors.first_mut().map(|first| std::mem::take(&mut first.rules)).unwrap_or_default(),
            base: self.base.take(),
            profile_flags: self.profile_flags,
            implicit,
        }
    }

    /// Opens a collector for the rules of a message filter.
    pub fn open_collector(&mut self) {
        self.collectors_opened += 1;
        self.collectors.push(Collector { number: self.collectors_opened, rules: Vec::new() });
    }

    /// The value of a parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let list = self.options.parameters.as_ref()?;
        // The last one counts, as in sandbox-exec.
        list.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether `${…}` in patterns is a variable (LANGUAGE.md §4.4).
    pub fn has_pattern_variables(&self) -> bool {
        self.options.parameters.is_none() || self.parameter("ENABLE_PATTERN_VARIABLES").is_some()
    }

    /// The provenance of a rule: place, text, and the imports and macros that led there.
    pub fn origin(machine: &mut SbplMachine, at: Option<Span>) -> Result<Arc<Origin>, Error> {
        let Some(at) = at else { return Ok(Arc::new(Origin::default())) };
        let trail = machine.trail();
        let same = |a: &Option<Rc<Trail>>, b: &Option<Rc<Trail>>| match (a, b) {
            (Some(a), Some(b)) => Rc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        // A loop makes many rules of one form.
        if let Some((last, last_trail, origin)) = &machine.host.last_origin
            && *last == at
            && same(last_trail, &trail)
        {
            return Ok(origin.clone());
        }
        let text = String::from_utf8_lossy(machine.sources.text(at)).into_owned();
        machine.charge(text.len(), Some(at))?;
        let origin = Arc::new(Origin {
            place: Some(place(&machine.sources, at)),
            text,
            via: Self::via(machine, trail.as_ref()),
        });
        machine.host.last_origin = Some((at, trail, origin.clone()));
        Ok(origin)
    }

    /// The steps of a trail, innermost first.
    pub fn via(machine: &SbplMachine, trail: Option<&Rc<Trail>>) -> Vec<Via> {
        let mut via = Vec::new();
        let mut step = trail;
        while let Some(current) = step {
            let what = match &current.kind {
                TrailKind::Import(name) => format!("import \"{name}\""),
                TrailKind::Macro(name) => format!("macro {name}"),
            };
            if let Some(at) = current.at {
                via.push(Via { what, place: place(&machine.sources, at) });
            }
            step = current.parent.as_ref();
        }
        via
    }

    /// What a continuation has to keep, and about how many bytes that takes.
    pub fn keep(&self) -> (Mark, usize) {
        let mark = Mark {
            contexts: self.contexts.clone(),
            collectors: self.collectors.iter().map(|collector| collector.number).collect(),
            importing: self.importing.clone(),
        };
        let bytes = 64 * (mark.contexts.len() + mark.importing.len()) + 8 * mark.collectors.len();
        (mark, bytes)
    }

    /// Goes back to what a continuation kept.
    pub fn go_back(&mut self, mark: &Mark) -> Result<(), String> {
        let open = |(collector, number): (&Collector, &u64)| collector.number == *number;
        let is_open =
            self.collectors.len() >= mark.collectors.len() && self.collectors.iter().zip(&mark.collectors).all(open);
        if !is_open {
            return Err(String::from("continuation goes back into a finished apply-message-filter"));
        }
        self.collectors.truncate(mark.collectors.len());
        self.contexts.clone_from(&mark.contexts);
        self.importing.clone_from(&mark.importing);
        Ok(())
    }
}
