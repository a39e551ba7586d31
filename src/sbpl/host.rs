//! In: names and calls that the evaluator does not know. Out: what the release's vocabulary says
//! they are. Never: a list of names in code where the grammar has it.

use std::rc::Rc;
use std::sync::Arc;

use super::diagnostics::{Diagnostic, place};
use super::objects::{FilterValue, Object};
use super::scheme::{Error, Foreign, Host, Machine, Step, Symbol, Trail, TrailKind, Value};
use super::source::{SourceId, Span};
use super::{Options, actions, filters, imports};
use crate::policy::rules::{Modifier, Origin, PROTOCOLS, Rule, Rules, Via};
use crate::vocabulary::{OperationId, Release};

pub(super) type SbplMachine = Machine<Sbpl>;

/// What `with-filter`, `with-modifier` and `with-operations` add to every rule inside.
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
    contexts: Vec<Context>,
    /// Numbers of the collectors that were open.
    collectors: Vec<u64>,
    importing: Vec<imports::Importing>,
}

/// Rules that belong together: those of the profile or of one message filter.
pub(super) struct Collector {
    /// Tells one filter from the next.
    number: u64,
    pub rules: Vec<Rule>,
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
    pub contexts: Vec<Context>,
    pub profile_flags: u16,
    pub trace: Option<Vec<u8>>,
    /// Names of the files that are being imported, outermost first.
    pub importing: Vec<imports::Importing>,
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

    fn knows(&self, versions: &[u8]) -> bool {
        versions.is_empty() || self.version.is_some_and(|version| versions.contains(&version))
    }

    /// What a name of the release means in the version in force. An alias goes before an
    /// operation of the same name: `sysctl-write` in version 1 is `sysctl*` (LANGUAGE.md §4.6).
    fn named(&self, name: &str) -> Option<Value> {
        let release = self.release;
        let alias = release.operation_aliases().iter().find(|alias| alias.name == name && self.knows(&alias.versions));
        if let Some(operation) = alias.and_then(|alias| release.operation(&alias.operation)) {
            return Some(Object::Operation(operation).value());
        }
        if let Some(operation) = release.operation(name) {
            return Some(Object::Operation(operation).value());
        }
        if let Some((filter, function)) = release.function(name)
            && self.knows(&function.versions)
        {
            let place = filter.functions.iter().position(|other| other.name == name)?;
            return Some(Object::Function(filter.id, place).value());
        }
        for modifier in release.modifiers() {
            let aliased = modifier.aliases.iter().any(|alias| alias.name == name && self.knows(&alias.versions));
            if modifier.name == name || aliased {
                return Some(Object::ModifierName(modifier.id).value());
            }
        }
        if let Some(place) =
            release.deprecated_modifiers().iter().position(|entry| entry.name == name && self.knows(&entry.versions))
        {
            return Some(Object::DeprecatedName(place).value());
        }
        if let Some((_, number)) = PROTOCOLS.iter().find(|(protocol, _)| *protocol == name) {
            return Some(Object::Protocol(*number).value());
        }
        if let Some(number) = release.constant(name) {
            return Some(Value::Integer(i64::from(number)));
        }
        let gone = release.no_op_operations();
        if gone.names.iter().any(|known| known == name) && self.knows(&gone.versions) {
            return Some(Object::NoOperation.value());
        }
        if let Some(shorthand) = filters::shorthand(release, self.version, name) {
            return Some(shorthand.value());
        }
        (matches!(name, "unix" | "unix-socket")).then(|| Object::UnixSocket.value())
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
}

impl Host for Sbpl {
    type Mark = Mark;

    fn mark(&self) -> (Mark, usize) {
        let mark = Mark {
            contexts: self.contexts.clone(),
            collectors: self.collectors.iter().map(|collector| collector.number).collect(),
            importing: self.importing.clone(),
        };
        let bytes = 64 * (mark.contexts.len() + mark.importing.len()) + 8 * mark.collectors.len();
        (mark, bytes)
    }

    fn restore(&mut self, mark: &Mark) -> Result<(), String> {
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

    fn global(machine: &mut SbplMachine, name: &Symbol) -> Option<Value> {
        match name.name() {
            "*params*" => Some(imports::parameters(machine)),
            "*entitlements*" => Some(imports::entitlements(machine)),
            "*default-import-search-paths*" => Some(imports::search_paths()),
            "*import-path*" => Some(Value::Bool(false)),
            "*apply-implicit-policy*" => Some(Value::Bool(true)),
            "*target-platform*" => Some(Value::literal(machine.host.release.target_platform().as_bytes().to_vec())),
            other => machine.host.named(other),
        }
    }

    fn call(
        machine: &mut SbplMachine,
        object: &Rc<dyn Foreign>,
        arguments: Vec<Value>,
        at: Option<Span>,
    ) -> Result<Step, Error> {
        match object.as_any().downcast_ref() {
            Some(Object::Shorthand(place)) => filters::call_shorthand(machine, *place, &arguments, at),
            Some(Object::Function(filter, place)) => filters::call(machine, *filter, *place, &arguments, at),
            _ => Err(Error::new("illegal function", at)),
        }
    }

    fn has_syntax(&self, name: &str) -> bool {
        // A macro of version 1 (LANGUAGE.md §4.3).
        name != "debug" || self.version == Some(1)
    }

    fn syntax() -> &'static [(&'static str, super::scheme::Syntax<Self>)] {
        actions::SYNTAX
    }

    fn procedures() -> &'static [super::scheme::Native<Self>] {
        static TABLE: std::sync::OnceLock<Vec<super::scheme::Native<Sbpl>>> = std::sync::OnceLock::new();
        TABLE.get_or_init(|| {
            let mut table = actions::procedures();
            table.extend(filters::procedures());
            table.extend(imports::procedures());
            table
        })
    }
}
