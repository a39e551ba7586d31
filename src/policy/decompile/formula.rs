//! In: tests and how they combine. Out: [`Formula`], a tree of them without needless nesting. Never:
//! deeper than what a profile may nest.

use std::collections::VecDeque;

use super::DecompileError;
use super::working::TestId;

/// A test, with the loader that it refers to, if it refers to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub test: TestId,
    pub loader: Option<TestId>,
}

/// A combination of tests. Lists of `All` and `Any` have two items or more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Test(Asked),
    All(VecDeque<Formula>),
    Any(VecDeque<Formula>),
    Not(Box<Formula>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Formula {
    pub kind: Kind,
    /// How deep it is nested.
    depth: u16,
    /// How many tests it has.
    pub size: u32,
}

/// Deepest nesting: a profile may have 200, and a rule and a set of strings add some.
const MAX_DEPTH: u16 = 190;

impl Formula {
    pub fn test(asked: Asked) -> Self {
        Self { kind: Kind::Test(asked), depth: 1, size: 1 }
    }

    pub fn negated(self) -> Result<Self, DecompileError> {
        match self.kind {
            Kind::Not(inner) => Ok(*inner),
            _ => Self { depth: self.depth + 1, size: self.size, kind: Kind::Not(Box::new(self)) }.checked(),
        }
    }

    pub fn all(first: Self, second: Self) -> Result<Self, DecompileError> {
        Self::joined(first, second, true)
    }

    pub fn any(first: Self, second: Self) -> Result<Self, DecompileError> {
        Self::joined(first, second, false)
    }

    /// One list of both, in this order; the shorter moves.
    fn joined(first: Self, second: Self, all: bool) -> Result<Self, DecompileError> {
        let size = first.size.saturating_add(second.size);
        let deepest = |formula: &Self| match (&formula.kind, all) {
            (Kind::All(_), true) | (Kind::Any(_), false) => formula.depth,
            _ => formula.depth + 1,
        };
        let depth = deepest(&first).max(deepest(&second));
        let items = |formula: Self| match (formula.kind, all) {
            (Kind::All(items), true) | (Kind::Any(items), false) => items,
            (kind, _) => VecDeque::from([Self { kind, ..formula }]),
        };
        let (mut first, mut second) = (items(first), items(second));
        let list = if first.len() < second.len() {
            while let Some(item) = first.pop_back() {
                second.push_front(item);
            }
            second
        } else {
            first.append(&mut second);
            first
        };
        let kind = if all { Kind::All(list) } else { Kind::Any(list) };
        Self { kind, depth, size }.checked()
    }

    /// The opposite; of nothing but negations that of what they negate.
    pub fn opposite(self) -> Result<Self, DecompileError> {
        match self.kind {
            Kind::Any(items) if items.iter().all(|item| matches!(item.kind, Kind::Not(_))) => {
                let items = items.into_iter().map(Self::negated).collect::<Result<Vec<_>, _>>()?;
                Self::list(items, true)?.ok_or(DecompileError::Unreadable)
            }
            _ => self.negated(),
        }
    }

    /// Whether it is a negation, or one of several.
    pub fn is_negation(&self) -> bool {
        match &self.kind {
            Kind::Not(_) => true,
            Kind::Any(items) => items.iter().all(|item| matches!(item.kind, Kind::Not(_))),
            _ => false,
        }
    }

    pub fn is_any(&self) -> bool {
        matches!(self.kind, Kind::Any(_))
    }

    /// Visits the tests from left to right.
    pub fn each_test(&self, visit: &mut impl FnMut(&Asked)) {
        match &self.kind {
            Kind::Test(asked) => visit(asked),
            Kind::Not(inner) => inner.each_test(visit),
            Kind::All(items) | Kind::Any(items) => items.iter().for_each(|item| item.each_test(visit)),
        }
    }

    /// A list as one formula; nothing of an empty one.
    pub fn list(items: impl IntoIterator<Item = Self>, all: bool) -> Result<Option<Self>, DecompileError> {
        let mut out: Option<Self> = None;
        for item in items {
            out = Some(match out {
                None => item,
                Some(known) => Self::joined(known, item, all)?,
            });
        }
        Ok(out)
    }

    fn checked(self) -> Result<Self, DecompileError> {
        if self.depth > MAX_DEPTH { Err(DecompileError::TooDeep { limit: MAX_DEPTH }) } else { Ok(self) }
    }
}
