//! In: nothing. Out: the values that only SBPL has, as host values of the evaluator. Never: what
//! they do.

use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;

use super::scheme::{Foreign, Value};
use crate::policy::rules::{Action, Filter, Modifier, Rule};
use crate::vocabulary::{FilterId, ModifierId, OperationId};

/// A value of SBPL.
#[derive(Clone)]
pub(super) enum Object {
    /// An operation.
    Operation(OperationId),
    /// The name of an operation that is gone: rules for it do nothing.
    NoOperation,
    /// A filter function; the number is its place among the filter's functions.
    Function(FilterId, usize),
    /// A function without arguments that stands for one filter; its place in the table of those.
    Shorthand(usize),
    /// A filter.
    Filter(FilterValue),
    /// The name of a modifier.
    ModifierName(ModifierId),
    /// The name of a deprecated modifier, by its place in the release's list.
    DeprecatedName(usize),
    /// A modifier with its argument.
    Modifier(Modifier),
    /// A deprecated modifier: it has done what it does, the rule stays as it is.
    NoModifier,
    /// Rules for messages.
    MessageFilter(Arc<Vec<Rule>>),
    /// A protocol of `local` and `remote`.
    Protocol(u8),
    /// An action that only some releases have.
    Action(Action),
    /// `extends`, of releases whose profiles can extend one another.
    Extends,
    /// The old socket syntax, `(remote unix-socket)`.
    UnixSocket,
}

/// A filter with its extent, so that no combination grows without bound.
#[derive(Clone)]
pub(super) struct FilterValue {
    pub filter: Arc<Filter>,
    depth: usize,
    tests: usize,
}

/// Deepest nesting of combinations.
const MAX_DEPTH: usize = 200;
/// Most tests in one filter.
const MAX_TESTS: usize = 1_000_000;

impl FilterValue {
    /// A single test.
    pub fn test(test: crate::policy::rules::Test) -> Self {
        Self { filter: Arc::new(Filter::Test(test)), depth: 1, tests: 1 }
    }

    /// A combination; one item is returned unchanged (LANGUAGE.md §5.1).
    pub fn combine(mut items: Vec<Self>, make: fn(Vec<Arc<Filter>>) -> Filter) -> Result<Self, String> {
        if items.len() == 1 {
            return Ok(items.remove(0));
        }
        let depth = items.iter().map(|item| item.depth).max().unwrap_or(0) + 1;
        let tests = items.iter().fold(0, |sum: usize, item| sum.saturating_add(item.tests));
        let filter = Arc::new(make(items.into_iter().map(|item| item.filter).collect()));
        Self { filter, depth, tests }.checked()
    }

    /// The opposite.
    pub fn negate(self) -> Result<Self, String> {
        Self { filter: Arc::new(Filter::Not(self.filter)), depth: self.depth + 1, tests: self.tests }.checked()
    }

    fn checked(self) -> Result<Self, String> {
        if self.depth > MAX_DEPTH {
            return Err(format!("filters nested too deep (limit {MAX_DEPTH})"));
        }
        if self.tests > MAX_TESTS {
            return Err(format!("filter with too many tests (limit {MAX_TESTS})"));
        }
        Ok(self)
    }
}

impl Object {
    pub fn value(self) -> Value {
        Value::Foreign(Rc::new(self))
    }

    pub fn of(value: &Value) -> Option<&Self> {
        match value {
            Value::Foreign(object) => object.as_any().downcast_ref(),
            _ => None,
        }
    }

    /// The kind, in the words of error messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Operation(_) | Self::NoOperation => "operation",
            Self::Function(..) | Self::Shorthand(_) | Self::Action(_) | Self::Extends => "procedure",
            Self::Filter(_) => "filter",
            Self::ModifierName(_) | Self::DeprecatedName(_) | Self::Modifier(_) | Self::NoModifier => "modifier",
            Self::MessageFilter(_) => "message filter",
            Self::Protocol(_) | Self::UnixSocket => "protocol",
        }
    }
}

impl Foreign for Object {
    fn written(&self) -> String {
        format!("#<{}>", self.kind())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
