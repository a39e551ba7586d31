//! In: states that are none of an expression's. Out: an [`Expression`] of the same language, by
//! eliminating one state after the other. Never: an expression beyond a bound on size and depth.

use std::collections::{BTreeMap, BTreeSet};

use super::structure::{MAX_DEPTH, atom, links};
use super::{Expression, State};

/// Most parts of all expressions that are made on the way, and of the one that is left.
const MAX_PARTS: usize = 2_000_000;
const MAX_RESULT: usize = 20_000;

/// Most states to eliminate; picking the next one looks at all.
const MAX_STATES: usize = 1_000;

/// An expression, how many parts it has and how deep it is.
#[derive(Clone)]
struct Sized {
    expression: Expression,
    parts: usize,
    depth: usize,
}

/// The expression of all ways from the first state to an accept, or `None` beyond the bounds. No
/// accept that can be reached: a set that no byte is in.
pub(super) fn eliminate(states: &[State]) -> Option<Expression> {
    if states.len() > MAX_STATES {
        return None;
    }
    // The links of a graph whose states match nothing; `start` and `end` are states of their own.
    let (start, end) = (states.len(), states.len() + 1);
    let mut graph =
        Graph { out: vec![BTreeMap::new(); states.len() + 2], into: vec![BTreeSet::new(); states.len() + 2], parts: 0 };
    graph.add(start, 0, Sized { expression: Expression::Empty, parts: 1, depth: 0 })?;
    for (index, state) in states.iter().enumerate() {
        let item = Sized { expression: atom(state), parts: 1, depth: 0 };
        for next in links(state).into_iter().flatten() {
            graph.add(index, next.index(), item.clone())?;
        }
        if matches!(state, State::Accept | State::AcceptEmpty) {
            graph.add(index, end, item)?;
        }
    }
    let mut left: BTreeSet<usize> = (0..states.len()).collect();
    while let Some(at) = left.iter().copied().min_by_key(|at| graph.into[*at].len() * graph.out[*at].len()) {
        left.remove(&at);
        graph.remove(at)?;
    }
    let never = || Expression::NegatedClass(vec![(0, u8::MAX)]);
    Some(graph.out[start].remove(&end).map_or_else(never, |whole| whole.expression))
}

struct Graph {
    out: Vec<BTreeMap<usize, Sized>>,
    into: Vec<BTreeSet<usize>>,
    parts: usize,
}

impl Graph {
    fn add(&mut self, from: usize, to: usize, item: Sized) -> Option<()> {
        self.parts += item.parts;
        if self.parts > MAX_PARTS || item.parts > MAX_RESULT || item.depth > MAX_DEPTH {
            return None;
        }
        let item = match self.out[from].remove(&to) {
            Some(other) => either(other, item),
            None => item,
        };
        self.out[from].insert(to, item);
        self.into[to].insert(from);
        Some(())
    }

    fn remove(&mut self, at: usize) -> Option<()> {
        let mut out = std::mem::take(&mut self.out[at]);
        let own = out.remove(&at);
        let into = std::mem::take(&mut self.into[at]);
        for to in out.keys() {
            self.into[*to].remove(&at);
        }
        for from in into.into_iter().filter(|from| *from != at) {
            let Some(way) = self.out[from].remove(&at) else { continue };
            let way = match &own {
                Some(own) => then(way, repeated(own.clone())),
                None => way,
            };
            for (to, rest) in &out {
                self.add(from, *to, then(way.clone(), rest.clone()))?;
            }
        }
        Some(())
    }
}

fn then(first: Sized, second: Sized) -> Sized {
    let parts = first.parts + second.parts;
    let inner =
        |item: &Sized| item.depth.saturating_sub(usize::from(matches!(item.expression, Expression::Sequence(_))));
    let depth = inner(&first).max(inner(&second)) + 1;
    let list = |expression| match expression {
        Expression::Sequence(list) => list,
        Expression::Empty => Vec::new(),
        other => vec![other],
    };
    let mut items = list(first.expression);
    for item in list(second.expression) {
        match (items.last(), &item) {
            // `x*x` and `xx*` are `x+`.
            (Some(Expression::Star(inner)), item) if **inner == *item => {
                items.pop();
                items.push(Expression::Plus(Box::new(item.clone())));
            }
            (Some(last), Expression::Star(inner)) if **inner == *last => {
                items.pop();
                items.push(Expression::Plus(inner.clone()));
            }
            _ => items.push(item),
        }
    }
    let expression = match items.len() {
        0 => Expression::Empty,
        1 => items.remove(0),
        _ => Expression::Sequence(items),
    };
    Sized { expression, parts, depth }
}

fn either(first: Sized, second: Sized) -> Sized {
    let parts = first.parts + second.parts + 1;
    let inner =
        |item: &Sized| item.depth.saturating_sub(usize::from(matches!(item.expression, Expression::Alternation(_))));
    let depth = inner(&first).max(inner(&second)) + 1;
    let expression = match (first.expression, second.expression) {
        (a, b) if a == b => a,
        (Expression::Empty, other) | (other, Expression::Empty) => match other {
            Expression::Star(_) | Expression::Optional(_) => other,
            Expression::Plus(inner) => Expression::Star(inner),
            other => Expression::Optional(Box::new(other)),
        },
        (Expression::Alternation(mut list), b) => {
            if !list.contains(&b) {
                list.push(b);
            }
            Expression::Alternation(list)
        }
        (a, b) => Expression::Alternation(vec![a, b]),
    };
    Sized { expression, parts, depth }
}

fn repeated(own: Sized) -> Sized {
    let expression = match own.expression {
        Expression::Star(inner) | Expression::Plus(inner) | Expression::Optional(inner) => Expression::Star(inner),
        Expression::Empty => Expression::Empty,
        other => Expression::Star(Box::new(other)),
    };
    Sized { expression, parts: own.parts + 1, depth: own.depth + 1 }
}
