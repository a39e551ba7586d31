//! In: names and calls that the evaluator does not know. Out: what the release's vocabulary says
//! they are, and the tables of SBPL's own forms and procedures. Never: a list of names in code where
//! the grammar has it.

use std::rc::Rc;

use super::objects::Object;
use super::scheme::{Call, Error, Foreign, Host, Native, Step, Symbol, Syntax, Value};
use super::source::Span;
use super::state::{Mark, Sbpl, SbplMachine};
use super::{actions, filters, imports};
use crate::policy::rules::{Action, PROTOCOLS};

impl Sbpl {
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
        for action in [Action::Delegate, Action::Autobox] {
            if name == action.name() && release.has_action(name) {
                return Some(Object::Action(action).value());
            }
        }
        if name == "extends" && release.has_bases() {
            return Some(Object::Extends.value());
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
}

impl Host for Sbpl {
    type Mark = Mark;

    fn mark(&self) -> (Mark, usize) {
        self.keep()
    }

    fn restore(&mut self, mark: &Mark) -> Result<(), String> {
        self.go_back(mark)
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
            Some(Object::Action(action)) => {
                let arguments = Call { name: action.name(), arguments, at };
                actions::rule(machine, arguments, *action)
            }
            Some(Object::Extends) => actions::extends(machine, &Call { name: "extends", arguments, at }),
            Some(Object::Function(filter, place)) => filters::call(machine, *filter, *place, &arguments, at),
            _ => Err(Error::new("illegal function", at)),
        }
    }

    fn has_syntax(&self, name: &str) -> bool {
        match name {
            // A macro of version 1 (LANGUAGE.md §4.3).
            "debug" => self.version == Some(1),
            // Without the modifier there is nothing for it to make (LANGUAGE.md §4.7).
            "apply-message-filter" => self.release.modifier_named("message-filter").is_some(),
            _ => true,
        }
    }

    fn syntax() -> &'static [(&'static str, Syntax<Self>)] {
        actions::SYNTAX
    }

    fn procedures() -> &'static [Native<Self>] {
        static TABLE: std::sync::OnceLock<Vec<Native<Sbpl>>> = std::sync::OnceLock::new();
        TABLE.get_or_init(|| {
            let mut table = actions::procedures();
            table.extend(filters::procedures());
            table.extend(imports::procedures());
            table
        })
    }
}
