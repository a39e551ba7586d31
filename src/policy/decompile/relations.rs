//! In: tests. Out: whether one being true makes another true or false. Never: a relation that is not
//! sure; where nothing is known, nothing is said.
//!
//! Plain strings only (chosen): by the languages of expressions more is sure, but with those the iOS 13
//! collection took three times as long.

use std::cell::RefCell;

use rustc_hash::FxHashMap;

use super::working::TestId;
use crate::policy::graph::{Argument, Test};
use crate::vocabulary::{Filter, FilterId, FilterKind, Release};

/// What a true test says of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    True,
    False,
    Nothing,
}

/// Relations of tests, each worked out once.
pub(super) struct Relations {
    /// Filters of which a request has at most one value, and that load nothing for others.
    single: Vec<bool>,
    /// Filters of which a request has only one (LANGUAGE.md §5.1).
    contrary: Vec<bool>,
    known: RefCell<FxHashMap<(TestId, TestId), Says>>,
}

/// Most pairs of strings that are compared for one pair of tests.
const MOST_PAIRS: usize = 1 << 14;

impl Relations {
    pub fn new(release: &'static Release) -> Self {
        let entries = || (0..=u8::MAX).map(|id| release.filter(FilterId(id)));
        let single = |filter: &Filter| {
            filter.single_valued && filter.prerequisite.is_none() && !release.is_prerequisite(filter.id)
        };
        let contrary = |filter: &Filter| filter.contrary && filter.kind == FilterKind::Pattern;
        Self {
            single: entries().map(|entry| entry.is_some_and(single)).collect(),
            contrary: entries().map(|entry| entry.is_some_and(contrary)).collect(),
            known: RefCell::default(),
        }
    }

    /// What `a` being true says of `b`.
    pub fn says(&self, tests: &[Test], a: TestId, b: TestId) -> Says {
        if a == b {
            return Says::True;
        }
        let (Some(one), Some(other)) = (tests.get(a.index()), tests.get(b.index())) else { return Says::Nothing };
        let is = |list: &[bool], test: &Test| list.get(usize::from(test.filter.0)).copied().unwrap_or(false);
        if one.filter != other.filter {
            let contrary = is(&self.contrary, one) && is(&self.contrary, other);
            return if contrary { Says::False } else { Says::Nothing };
        }
        if !is(&self.single, one) {
            return Says::Nothing;
        }
        *self.known.borrow_mut().entry((a, b)).or_insert_with(|| arguments(&one.argument, &other.argument))
    }
}

fn arguments(a: &Argument, b: &Argument) -> Says {
    let sets = |a: &[u16], b: &[u16]| match a.iter().filter(|number| b.binary_search(number).is_ok()).count() {
        0 => Says::False,
        all if all == a.len() => Says::True,
        _ => Says::Nothing,
    };
    match (a, b) {
        (Argument::Number(a), Argument::Number(b)) => sets(&[*a], &[*b]),
        (Argument::Number(a), Argument::Numbers(b)) => sets(&[*a], b),
        (Argument::Numbers(a), Argument::Number(b)) => sets(a, &[*b]),
        (Argument::Numbers(a), Argument::Numbers(b)) => sets(a, b),
        (Argument::Mask { numbers: a, .. }, Argument::Mask { numbers: b, .. }) => sets(a, b),
        (Argument::Text(a), Argument::Text(b)) if a != b => Says::False,
        (Argument::Pattern(a), Argument::Pattern(b)) => match (a.strings(), b.strings()) {
            (Some(a), Some(b)) if a.len().saturating_mul(b.len()) <= MOST_PAIRS => strings(&a, &b),
            _ => Says::Nothing,
        },
        _ => Says::Nothing,
    }
}

/// Of sets of literals and prefixes (true).
fn strings(a: &[(Vec<u8>, bool)], b: &[(Vec<u8>, bool)]) -> Says {
    let covers = |(wide, prefix): &(Vec<u8>, bool), (text, also): &(Vec<u8>, bool)| match (prefix, also) {
        (true, _) => text.starts_with(wide),
        (false, also) => !also && text == wide,
    };
    let meet = |one: &(Vec<u8>, bool), other: &(Vec<u8>, bool)| covers(one, other) || covers(other, one);
    if a.iter().all(|one| b.iter().any(|other| covers(other, one))) {
        Says::True
    } else if a.iter().all(|one| b.iter().all(|other| !meet(one, other))) {
        Says::False
    } else {
        Says::Nothing
    }
}
