//! In: a [`Tree`]. Out: its language, exactly as [`Tree::matches`] reads it: a choice is committed to
//! the first branch whose matcher is true. Never: what a variable holds; either no branch that asks
//! for one is taken, or any string may stand for it.

use std::collections::{HashMap, HashSet};

use super::{Borders, Language, MAX_WORK, Source, TooLarge, determinise};
use crate::pattern::tree::{Alternatives, Matcher, Tree, contains};

impl Language {
    /// What the tree matches; a branch that asks for a variable is never taken.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn of_tree(tree: &Tree) -> Result<Self, TooLarge> {
        determinise(&mut Walk::new(tree, false))
    }

    /// All that the tree may match if a variable can hold anything: what is not in here it does not
    /// match, whatever its variables hold. Each place of a variable is taken for one of its own.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn possible(tree: &Tree) -> Result<Self, TooLarge> {
        determinise(&mut Walk::new(tree, true))
    }
}

/// A tree as lists: links by number.
enum Flat<'t> {
    Accept,
    Choice(Vec<(&'t Matcher, u32)>),
    Alternatives(Vec<u32>),
}

/// A branch: number of the choice, place in it.
type BranchId = (u32, u32);

/// What is accepted from a place on.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Rest {
    /// Everything.
    All,
    /// The tree with this number, asked from here.
    Start(u32),
    /// A branch in the middle of a repeat.
    Repeat(BranchId),
    /// The same of a search, or of a variable that may hold anything.
    Search(BranchId),
    /// What each of these accepts, ascending.
    Any(Vec<u32>),
    /// The first of these that comes to be true decides; if none does, the last number.
    First(Vec<Pending>, Option<u32>),
}

/// A matcher that is not decided yet.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Pending {
    /// A text of which this many bytes are there.
    Text(BranchId, usize),
    /// A byte that has not come yet.
    Skip(BranchId),
}

/// Deepest nesting of what is left; deeper ones count as too large.
const MAX_DEPTH: u32 = 500;

struct Walk<'t> {
    flat: Vec<Flat<'t>>,
    rests: Vec<Rest>,
    /// How deep each is nested.
    depths: Vec<u32>,
    numbers: HashMap<Rest, u32>,
    /// Any string may stand for a variable.
    variables: bool,
    work: usize,
}

impl<'t> Walk<'t> {
    fn new(tree: &'t Tree, variables: bool) -> Self {
        let mut walk = Self {
            flat: Vec::new(),
            rests: Vec::new(),
            depths: Vec::new(),
            numbers: HashMap::new(),
            variables,
            work: 0,
        };
        walk.flatten(tree);
        walk
    }

    /// As deep as the tree, which is bounded where it is made.
    fn flatten(&mut self, tree: &'t Tree) -> u32 {
        let here = u32::try_from(self.flat.len()).unwrap_or(u32::MAX);
        self.flat.push(Flat::Accept);
        let flat = match tree {
            Tree::Accept => Flat::Accept,
            Tree::Choice(branches) => Flat::Choice(
                branches.iter().map(|branch| (&branch.matcher, self.flatten(&branch.then))).collect::<Vec<_>>(),
            ),
            Tree::Alternatives(Alternatives { tried, last, .. }) => {
                Flat::Alternatives(tried.iter().chain(last.as_deref()).map(|tree| self.flatten(tree)).collect())
            }
        };
        if let Some(place) = self.flat.get_mut(here as usize) {
            *place = flat;
        }
        here
    }

    fn number(&mut self, rest: Rest) -> u32 {
        if let Some(number) = self.numbers.get(&rest) {
            return *number;
        }
        let number = u32::try_from(self.rests.len()).unwrap_or(u32::MAX);
        let depth = |number: &u32| self.depths.get(*number as usize).copied().unwrap_or(0);
        let below = match &rest {
            Rest::Any(list) => list.iter().map(depth).max(),
            Rest::First(_, last) => last.as_ref().map(depth),
            _ => None,
        };
        let depth = below.map_or(0, |below| below + 1);
        if depth > MAX_DEPTH {
            self.work = usize::MAX / 2;
        }
        self.depths.push(depth);
        self.rests.push(rest.clone());
        self.numbers.insert(rest, number);
        number
    }

    fn started(&mut self, tree: u32) -> Option<u32> {
        let rest = match self.flat.get(tree as usize)? {
            Flat::Accept => Rest::All,
            _ => Rest::Start(tree),
        };
        Some(self.number(rest))
    }

    fn any(&mut self, list: impl IntoIterator<Item = Option<u32>>) -> Option<u32> {
        let mut all = Vec::new();
        for number in list.into_iter().flatten() {
            match self.rests.get(number as usize) {
                Some(Rest::All) => return Some(number),
                Some(Rest::Any(inner)) => all.extend_from_slice(inner),
                _ => all.push(number),
            }
        }
        all.sort_unstable();
        all.dedup();
        match all.as_slice() {
            [] => None,
            [one] => Some(*one),
            _ => Some(self.number(Rest::Any(all))),
        }
    }

    fn first(&mut self, pending: Vec<Pending>, last: Option<u32>) -> Option<u32> {
        if pending.is_empty() { last } else { Some(self.number(Rest::First(pending, last))) }
    }

    fn branch(&self, (tree, place): BranchId) -> Option<(&'t Matcher, u32)> {
        match self.flat.get(tree as usize)? {
            Flat::Choice(branches) => branches.get(place as usize).copied(),
            _ => None,
        }
    }

    /// What is accepted behind a byte. No deeper than [`MAX_DEPTH`] and the tree.
    fn after(&mut self, number: u32, byte: u8) -> Option<u32> {
        self.work += 1;
        if self.work > MAX_WORK {
            // Whoever asked sees it and gives up.
            return None;
        }
        match self.rests.get(number as usize)?.clone() {
            Rest::All => Some(number),
            Rest::Start(tree) => self.tree_after(tree, byte),
            Rest::Repeat(id) => {
                let (matcher, then) = self.branch(id)?;
                match matcher {
                    Matcher::Repeat(ranges) if contains(ranges, byte) => Some(number),
                    _ => self.tree_after(then, byte),
                }
            }
            Rest::Search(id) => {
                let (matcher, then) = self.branch(id)?;
                let more = match matcher {
                    Matcher::Search(wanted) if *wanted == byte => self.started(then),
                    Matcher::Variable(_) => self.tree_after(then, byte),
                    _ => None,
                };
                self.any([Some(number), more])
            }
            Rest::Any(list) => {
                self.work += list.len();
                let after: Vec<_> = list.into_iter().map(|number| self.after(number, byte)).collect();
                self.any(after)
            }
            Rest::First(list, last) => {
                self.work += list.len();
                let mut pending = Vec::new();
                for item in list {
                    match item {
                        Pending::Text(id, there) => {
                            let Some((Matcher::Text(text), then)) = self.branch(id) else { continue };
                            if text.get(there) != Some(&byte) {
                                continue;
                            }
                            if there + 1 == text.len() {
                                let last = self.started(then);
                                return self.first(pending, last);
                            }
                            pending.push(Pending::Text(id, there + 1));
                        }
                        Pending::Skip(id) => {
                            let Some((Matcher::SkipTo(wanted), then)) = self.branch(id) else { continue };
                            if *wanted == byte {
                                let last = self.started(then);
                                return self.first(pending, last);
                            }
                            pending.push(Pending::Skip(id));
                        }
                    }
                }
                let last = last.and_then(|last| self.after(last, byte));
                self.first(pending, last)
            }
        }
    }

    fn tree_after(&mut self, tree: u32, byte: u8) -> Option<u32> {
        self.work += 1;
        match self.flat.get(tree as usize)? {
            Flat::Accept => Some(self.number(Rest::All)),
            Flat::Alternatives(list) => {
                let list = list.clone();
                let after: Vec<_> = list.into_iter().map(|tree| self.tree_after(tree, byte)).collect();
                self.any(after)
            }
            Flat::Choice(_) => self.choice_after(tree, byte),
        }
    }

    fn choice_after(&mut self, tree: u32, byte: u8) -> Option<u32> {
        let mut pending = Vec::new();
        let mut place = 0;
        // What stands before a search, and what the search comes to: where it fails the next branch is
        // asked, and a variable may hold something else.
        let mut searches: Vec<(Vec<Pending>, Option<u32>)> = Vec::new();
        let mut last = None;
        while let Some((matcher, then)) = self.branch((tree, place)) {
            self.work += 1;
            let id = (tree, place);
            place += 1;
            last = match matcher {
                Matcher::Text(text) => match text.as_slice() {
                    [] => self.tree_after(then, byte),
                    [first] if *first == byte => self.started(then),
                    [first, ..] => {
                        if *first == byte {
                            pending.push(Pending::Text(id, 1));
                        }
                        continue;
                    }
                },
                Matcher::End => continue,
                Matcher::Variable(_) if !self.variables => continue,
                Matcher::Class(ranges) if contains(ranges, byte) => self.started(then),
                Matcher::Class(_) => continue,
                Matcher::Repeat(ranges) if contains(ranges, byte) => Some(self.number(Rest::Repeat(id))),
                Matcher::Repeat(_) => self.tree_after(then, byte),
                Matcher::SkipTo(wanted) if *wanted == byte => self.started(then),
                Matcher::SkipTo(_) => {
                    pending.push(Pending::Skip(id));
                    continue;
                }
                Matcher::Search(_) | Matcher::Variable(_) => {
                    let search = self.number(Rest::Search(id));
                    let search = self.after(search, byte);
                    searches.push((std::mem::take(&mut pending), search));
                    continue;
                }
            };
            break;
        }
        let mut rest = self.first(pending, last);
        while let Some((pending, search)) = searches.pop() {
            let any = self.any([search, rest]);
            rest = self.first(pending, any);
        }
        rest
    }

    /// Whether a tree accepts the empty string.
    fn tree_accepts(&self, tree: u32) -> bool {
        match self.flat.get(tree as usize) {
            None => false,
            Some(Flat::Accept) => true,
            Some(Flat::Alternatives(list)) => list.iter().any(|tree| self.tree_accepts(*tree)),
            Some(Flat::Choice(branches)) => {
                for (matcher, then) in branches {
                    match matcher {
                        Matcher::Text(text) if text.is_empty() => return self.tree_accepts(*then),
                        Matcher::End | Matcher::Repeat(_) => return self.tree_accepts(*then),
                        Matcher::Variable(_) if self.variables && self.tree_accepts(*then) => return true,
                        _ => {}
                    }
                }
                false
            }
        }
    }

    /// The rests without parts that a rest is made of, each once.
    fn parts(&self, number: u32) -> Vec<u32> {
        let mut seen = HashSet::new();
        let mut out = Vec::new();
        let mut work = vec![number];
        while let Some(number) = work.pop() {
            if !seen.insert(number) {
                continue;
            }
            match self.rests.get(number as usize) {
                Some(Rest::Any(list)) => work.extend(list),
                Some(Rest::First(_, last)) => {
                    work.extend(last);
                    out.push(number);
                }
                _ => out.push(number),
            }
        }
        out
    }

    /// Whether the empty rest is accepted; what is still pending fails there.
    fn part_accepts(&self, number: u32) -> bool {
        match self.rests.get(number as usize) {
            Some(Rest::All) => true,
            Some(Rest::Start(tree)) => self.tree_accepts(*tree),
            Some(Rest::Repeat(id)) => self.branch(*id).is_some_and(|(_, then)| self.tree_accepts(then)),
            Some(Rest::Search(id)) => self
                .branch(*id)
                .is_some_and(|(matcher, then)| matches!(matcher, Matcher::Variable(_)) && self.tree_accepts(then)),
            None | Some(Rest::Any(_) | Rest::First(..)) => false,
        }
    }

    fn tree_borders(&self, tree: u32, borders: &mut Borders) {
        match self.flat.get(tree as usize) {
            None | Some(Flat::Accept) => {}
            Some(Flat::Alternatives(list)) => list.iter().for_each(|tree| self.tree_borders(*tree, borders)),
            Some(Flat::Choice(branches)) => {
                for (matcher, then) in branches {
                    match matcher {
                        Matcher::Text(text) => match text.first() {
                            Some(first) => borders.byte(*first),
                            None => self.tree_borders(*then, borders),
                        },
                        Matcher::End => {}
                        Matcher::Variable(_) if !self.variables => {}
                        Matcher::Variable(_) => self.tree_borders(*then, borders),
                        Matcher::Class(ranges) => borders.ranges(ranges),
                        Matcher::Repeat(ranges) => {
                            borders.ranges(ranges);
                            self.tree_borders(*then, borders);
                        }
                        Matcher::SkipTo(byte) | Matcher::Search(byte) => borders.byte(*byte),
                    }
                }
            }
        }
    }

    fn part_borders(&self, number: u32, borders: &mut Borders) {
        let branch_borders = |id: BranchId, borders: &mut Borders| {
            let Some((matcher, then)) = self.branch(id) else { return };
            match matcher {
                Matcher::Repeat(ranges) => {
                    borders.ranges(ranges);
                    self.tree_borders(then, borders);
                }
                Matcher::Search(byte) => borders.byte(*byte),
                _ => self.tree_borders(then, borders),
            }
        };
        match self.rests.get(number as usize) {
            None | Some(Rest::All) => {}
            Some(Rest::Start(tree)) => self.tree_borders(*tree, borders),
            Some(Rest::Repeat(id) | Rest::Search(id)) => branch_borders(*id, borders),
            Some(Rest::Any(_)) => {}
            Some(Rest::First(pending, _)) => {
                for item in pending {
                    match item {
                        Pending::Text(id, there) => {
                            if let Some((Matcher::Text(text), _)) = self.branch(*id)
                                && let Some(byte) = text.get(*there)
                            {
                                borders.byte(*byte);
                            }
                        }
                        Pending::Skip(id) => {
                            if let Some((Matcher::SkipTo(byte), _)) = self.branch(*id) {
                                borders.byte(*byte);
                            }
                        }
                    }
                }
            }
        }
    }
}

impl Source for Walk<'_> {
    type Key = u32;

    fn start(&mut self) -> Option<u32> {
        self.started(0)
    }

    fn accepts(&mut self, key: &u32) -> bool {
        self.parts(*key).into_iter().any(|part| self.part_accepts(part))
    }

    fn next(&mut self, key: &u32, byte: u8) -> Option<u32> {
        self.after(*key, byte)
    }

    fn borders(&mut self, key: &u32, borders: &mut Borders) {
        self.parts(*key).into_iter().for_each(|part| self.part_borders(part, borders));
    }

    fn work(&self) -> usize {
        self.work
    }
}
