//! In: a [`Formula`]. Out: the [`Filter`] that a profile would have for it: what other tests imply
//! left out, loaded values behind their loaders. Never: a test that the formula does not have.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::DecompileError;
use super::formula::{Asked, Formula, Kind};
use super::relations::{Relations, Says};
use super::working::{TestId, Working};
use crate::pattern::regex::{Expression, parse};
use crate::pattern::spell::{Spelled, spelled};
use crate::pattern::{Part, StringKind, StringPattern};
use crate::policy::graph;
use crate::policy::passes::loads_before;
use crate::policy::rules::{Argument, Filter, Test};
use crate::vocabulary::{FilterId, FilterKind, MatchKind};

/// Makes filters; equal tests are one object.
pub(super) struct Filters<'w, 'g> {
    working: &'w Working<'g>,
    relations: &'w Relations,
    tests: HashMap<TestId, Arc<Filter>>,
    repeats_loaders: bool,
}

impl<'w, 'g> Filters<'w, 'g> {
    pub fn new(working: &'w Working<'g>, relations: &'w Relations) -> Self {
        Self { working, relations, tests: HashMap::new(), repeats_loaders: false }
    }

    /// The formula without what the tests around it make sure.
    pub fn simplified(&self, formula: Formula) -> Result<Formula, DecompileError> {
        self.simplify(formula)
    }

    fn simplify(&self, formula: Formula) -> Result<Formula, DecompileError> {
        match formula.kind {
            Kind::Test(_) => Ok(formula),
            Kind::Not(inner) => self.simplify(*inner)?.negated(),
            Kind::Any(items) => {
                let items: Vec<_> = items.into_iter().map(|item| self.simplify(item)).collect::<Result<_, _>>()?;
                Ok(Formula::list(items, false)?.ok_or(DecompileError::Unreadable)?)
            }
            Kind::All(items) => {
                let items: Vec<_> = items.into_iter().map(|item| self.simplify(item)).collect::<Result<_, _>>()?;
                // A loader is never left out, and neither is the last item.
                let mut kept: Vec<Option<Formula>> = items.into_iter().map(Some).collect();
                let mut left = kept.len();
                for place in 0..kept.len() {
                    let Some(Kind::Not(inner)) = kept[place].as_ref().map(|item| &item.kind) else { continue };
                    let implied = left > 1
                        && kept.iter().enumerate().any(|(other, item)| {
                            other != place && item.as_ref().is_some_and(|item| self.excludes(item, inner))
                        });
                    if implied {
                        kept[place] = None;
                        left -= 1;
                    }
                }
                let kept = self.negations_together(kept.into_iter().flatten().collect())?;
                Ok(Formula::list(kept, true)?.ok_or(DecompileError::Unreadable)?)
            }
        }
    }

    /// Negated tests of one filter as one negation of alternatives.
    fn negations_together(&self, items: Vec<Formula>) -> Result<Vec<Formula>, DecompileError> {
        let filter = |item: &Formula| match &item.kind {
            Kind::Not(inner) => match &inner.kind {
                Kind::Test(Asked { test, loader: None }) => {
                    self.working.tests.get(test.index()).map(|test| test.filter)
                }
                _ => None,
            },
            _ => None,
        };
        let mut places: HashMap<FilterId, usize> = HashMap::new();
        let mut out: Vec<Formula> = Vec::with_capacity(items.len());
        for item in items {
            let Some(filter) = filter(&item) else {
                out.push(item);
                continue;
            };
            let place = *places.entry(filter).or_insert(out.len());
            match out.get_mut(place) {
                Some(known) => {
                    let both = Formula::any(known.clone().negated()?, item.negated()?)?;
                    *known = both.negated()?;
                }
                None => out.push(item),
            }
        }
        Ok(out)
    }

    /// Whether `formula` being true is sure to make `other` false.
    fn excludes(&self, formula: &Formula, other: &Formula) -> bool {
        match (&formula.kind, &other.kind) {
            (_, Kind::Any(items)) => items.iter().all(|item| self.excludes(formula, item)),
            (_, Kind::All(items)) if items.iter().any(|item| self.excludes(formula, item)) => true,
            (Kind::All(items), _) => items.iter().any(|item| self.excludes(item, other)),
            (Kind::Any(items), _) => items.iter().all(|item| self.excludes(item, other)),
            (Kind::Test(one), Kind::Test(other)) => {
                one.loader.is_none()
                    && other.loader.is_none()
                    && self.relations.says(&self.working.tests, one.test, other.test) == Says::False
            }
            _ => false,
        }
    }

    /// The filter. A loader stands once before what refers to it, if no other loader can come between
    /// the two; else each test that refers to it has it in front.
    pub fn filter(&mut self, formula: &Formula) -> Result<Arc<Filter>, DecompileError> {
        self.repeats_loaders = false;
        let filter = self.make(formula)?;
        if loads_before(self.working.graph.release, &filter) {
            return Ok(filter);
        }
        self.repeats_loaders = true;
        self.make(formula)
    }

    fn make(&mut self, formula: &Formula) -> Result<Arc<Filter>, DecompileError> {
        Ok(match &formula.kind {
            Kind::Test(Asked { test, loader: Some(loader) }) if self.repeats_loaders => {
                Arc::new(Filter::All(vec![self.test(*loader)?, self.test(*test)?]))
            }
            Kind::Test(asked) => self.test(asked.test)?,
            Kind::Not(inner) => Arc::new(Filter::Not(self.make(inner)?)),
            Kind::Any(items) => {
                let mut list = Vec::with_capacity(items.len());
                for item in items {
                    match &*self.make(item)? {
                        Filter::Any(inner) => list.extend(inner.iter().cloned()),
                        other => list.push(Arc::new(other.clone())),
                    }
                }
                Arc::new(Filter::Any(list))
            }
            Kind::All(items) => self.all(items)?,
        })
    }

    /// Each loader in one list with what refers to it.
    fn all(&mut self, items: &VecDeque<Formula>) -> Result<Arc<Filter>, DecompileError> {
        let mut referred: HashSet<TestId> = HashSet::new();
        items.iter().for_each(|item| item.each_test(&mut |asked| referred.extend(asked.loader)));
        let mut list = Vec::with_capacity(items.len());
        let mut place = 0;
        while let Some(item) = items.get(place) {
            let last = match &item.kind {
                Kind::Test(Asked { test, loader: None }) if referred.contains(test) => {
                    (place + 1..items.len()).rev().find(|at| items.get(*at).is_some_and(|item| refers(item, *test)))
                }
                _ => None,
            };
            match last {
                Some(last) if place > 0 || last + 1 < items.len() => {
                    let group = items.range(place..=last).map(|item| self.make(item)).collect::<Result<_, _>>()?;
                    list.push(Arc::new(Filter::All(group)));
                    place = last + 1;
                }
                _ => {
                    list.push(self.make(item)?);
                    place += 1;
                }
            }
        }
        Ok(match list.as_slice() {
            [one] => one.clone(),
            _ => Arc::new(Filter::All(list)),
        })
    }

    fn test(&mut self, id: TestId) -> Result<Arc<Filter>, DecompileError> {
        if let Some(known) = self.tests.get(&id) {
            return Ok(known.clone());
        }
        let test = self.working.tests.get(id.index()).ok_or(DecompileError::Unreadable)?;
        let filter = Arc::new(self.written(test)?);
        self.tests.insert(id, filter.clone());
        Ok(filter)
    }

    /// A test as tests of a profile.
    fn written(&self, test: &graph::Test) -> Result<Filter, DecompileError> {
        let graph = self.working.graph;
        let name = |names: &[Vec<u8>], number: u16| {
            names.get(usize::from(number)).cloned().ok_or_else(|| self.no_text(test, "its flag has no name"))
        };
        let argument = match &test.argument {
            // Of a flag, a profile says only whether it is so.
            graph::Argument::Number(2..)
                if graph.release.filter(test.filter).is_some_and(|filter| filter.kind == FilterKind::Boolean) =>
            {
                return Err(self.no_text(test, "it compares a flag with another number than 0 and 1"));
            }
            graph::Argument::Number(number) => Argument::Number(*number),
            graph::Argument::Numbers(numbers) => Argument::Numbers(numbers.clone()),
            graph::Argument::Mask { width, numbers } => Argument::Mask { width: *width, numbers: numbers.clone() },
            graph::Argument::Text(text) => Argument::Text(text.clone()),
            graph::Argument::Address(address) => Argument::Address(*address),
            graph::Argument::StateFlag(number) => Argument::StateFlag(name(&graph.states, *number)?),
            graph::Argument::ProfileFlag(number) => Argument::ProfileFlag(name(&graph.profile_flags, *number)?),
            graph::Argument::Regex(automaton) => {
                let expression = automaton.expression().map_err(|error| self.no_text(test, &error.to_string()))?;
                self.regex(test, &expression)?
            }
            graph::Argument::Pattern(tree) => return self.strings(test, tree),
        };
        Ok(Filter::Test(Test { filter: test.filter, argument }))
    }

    fn regex(&self, test: &graph::Test, expression: &Expression) -> Result<Argument, DecompileError> {
        let release = self.working.graph.release;
        // The text is folded once more when it is compiled.
        let folds = release.folds_paths() && release.filter(test.filter).is_some_and(|filter| filter.folds);
        let text = if folds { expression.unfolded().text() } else { expression.text() };
        let parsed = parse(&text).map_err(|error| self.no_text(test, &error.to_string()))?;
        Ok(Argument::Regexes(vec![(text, parsed)]))
    }

    fn strings(&self, test: &graph::Test, tree: &crate::pattern::tree::Tree) -> Result<Filter, DecompileError> {
        let release = self.working.graph.release;
        let has = |matching| release.preferred_function(test.filter, matching).is_some();
        let is_path = release.filter(test.filter).is_some_and(|filter| filter.kind == FilterKind::Path);
        let list = spelled(tree, &self.working.graph.variables, is_path && has(MatchKind::Subpath))
            .map_err(|error| self.no_text(test, &error.to_string()))?;
        let mut tests = Vec::with_capacity(list.len());
        for item in list {
            let argument = match item {
                Spelled::String(string) => match (string.kind, string.text()) {
                    (StringKind::Literal, _) if has(MatchKind::Literal) => Argument::Pattern(string),
                    (StringKind::Subpath, _) => Argument::Pattern(string),
                    // Everything below the root is everything.
                    (StringKind::Prefix, Some(b"")) if is_path && has(MatchKind::Subpath) => Argument::Pattern(string),
                    (StringKind::Prefix, _) if has(MatchKind::Prefix) => Argument::Pattern(string),
                    // A release without such a function says it by an expression.
                    (kind, Some(text)) if has(MatchKind::Regex) => {
                        let mut items = vec![Expression::Start];
                        items.extend(text.iter().map(|byte| Expression::Byte(*byte)));
                        if kind == StringKind::Literal {
                            items.push(Expression::End);
                        }
                        self.regex(test, &Expression::Sequence(items))?
                    }
                    _ => return Err(self.no_text(test, "this release has no function for such a string")),
                },
                Spelled::Expression(expression) => self.regex(test, &expression)?,
            };
            tests.push(Arc::new(Filter::Test(Test { filter: test.filter, argument })));
        }
        match (tests.len(), tests.pop()) {
            (1, Some(one)) => Ok((*one).clone()),
            (_, Some(last)) => {
                tests.push(last);
                Ok(Filter::Any(tests))
            }
            (_, None) => Err(self.no_text(test, "it matches nothing")),
        }
    }

    fn no_text(&self, test: &graph::Test, reason: &str) -> DecompileError {
        DecompileError::NoText {
            filter: self.working.graph.release.filter_name(test.filter).into_owned(),
            reason: reason.to_owned(),
        }
    }
}

/// Whether a test in it refers to what `loader` loads.
fn refers(formula: &Formula, loader: TestId) -> bool {
    match &formula.kind {
        Kind::Test(asked) => asked.loader == Some(loader),
        Kind::Not(inner) => refers(inner, loader),
        Kind::All(items) | Kind::Any(items) => items.iter().any(|item| refers(item, loader)),
    }
}

/// The pattern of an exact string.
pub(super) fn literal(text: &str) -> StringPattern {
    StringPattern { kind: StringKind::Literal, parts: vec![Part::Text(text.as_bytes().to_vec())] }
}
