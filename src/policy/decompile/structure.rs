//! In: [`Decisions`] that end in yes and no. Out: the [`Formula`] that says yes where they do. Never:
//! an enumeration of ways; a test is written twice only where no combination of each once is found.

use super::DecompileError;
use super::decisions::{Decisions, Way};
use super::formula::Formula;

/// How many tests a formula may have for each decision, and in any case: a graph in which most
/// nodes are reached in ways that no combination makes can need more without bound.
const MAX_GROWTH: u64 = 16;
const MIN_LIMIT: u64 = 4096;

/// A combination and where its two answers lead.
struct Block {
    formula: Formula,
    yes: Way,
    no: Way,
}

struct Blocks {
    /// By number of the decision that they begin with; nothing once it is part of another.
    list: Vec<Option<Block>>,
    /// How many edges lead to each.
    incoming: Vec<u32>,
    /// How many tests were written again.
    again: u64,
    limit: u64,
}

/// The formula of `top`, which is a decision.
pub(super) fn formula(decisions: &Decisions, top: u32) -> Result<Formula, DecompileError> {
    let mut blocks = Blocks::of(decisions, top);
    let mut from = 0;
    loop {
        for number in from..=top {
            blocks.reduce(number)?;
        }
        let Some(block) = blocks.get(top) else { return Err(DecompileError::Unreadable) };
        if !matches!((block.yes, block.no), (Way::Decision(_), _) | (_, Way::Decision(_))) {
            let Some(block) = blocks.list.get_mut(top as usize).and_then(Option::take) else {
                return Err(DecompileError::Unreadable);
            };
            return match block.yes {
                Way::Yes => Ok(block.formula),
                _ => block.formula.negated(),
            };
        }
        from = blocks.copy_lowest(top)?;
    }
}

impl Blocks {
    fn of(decisions: &Decisions, top: u32) -> Self {
        let count = top as usize + 1;
        let mut blocks =
            Self { list: Vec::new(), incoming: vec![0; count], again: 0, limit: MIN_LIMIT + MAX_GROWTH * count as u64 };
        blocks.list.resize_with(count, || None);
        blocks.incoming[top as usize] = 1;
        // Ways lead to lower numbers, so one pass from the top sees each after what leads to it.
        for number in (0..count).rev() {
            if blocks.incoming[number] == 0 {
                continue;
            }
            let Some(decision) = decisions.list.get(number) else { continue };
            for way in [decision.yes, decision.no] {
                blocks.count(way, 1);
            }
            blocks.list[number] =
                Some(Block { formula: Formula::test(decision.asked), yes: decision.yes, no: decision.no });
        }
        blocks
    }

    fn get(&self, number: u32) -> Option<&Block> {
        self.list.get(number as usize)?.as_ref()
    }

    fn count(&mut self, way: Way, by: i32) {
        if let Way::Decision(number) = way
            && let Some(count) = self.incoming.get_mut(number as usize)
        {
            *count = count.saturating_add_signed(by);
        }
    }

    /// The block there, if nothing else leads to it.
    fn only(&self, way: Way) -> Option<(u32, &Block)> {
        let Way::Decision(number) = way else { return None };
        let block = self.get(number)?;
        (self.incoming.get(number as usize) == Some(&1)).then_some((number, block))
    }

    fn take(&mut self, number: u32) -> Result<Block, DecompileError> {
        self.list.get_mut(number as usize).and_then(Option::take).ok_or(DecompileError::Unreadable)
    }

    /// Takes the blocks that a block leads to into it, as long as one combination says both.
    fn reduce(&mut self, number: u32) -> Result<(), DecompileError> {
        while let Some(block) = self.get(number) {
            let (yes, no) = (block.yes, block.no);
            let behind_yes = self.only(yes).map(|(child, block)| (child, block.yes, block.no));
            let behind_no = self.only(no).map(|(child, block)| (child, block.yes, block.no));
            // Yes is sought, so of two ways to say it that without a negation around it.
            let sought = |yes: Way, no: Way| yes == Way::Yes || no == Way::No;
            let (child, join): (u32, Join) = match (behind_yes, behind_no) {
                (Some((child, _, other)), _) if other == no => (child, Join::Both),
                (_, Some((child, other, _))) if other == yes => (child, Join::One),
                (Some((child, other, rest)), _) if other == no && sought(other, rest) => (child, Join::NotOrBoth),
                (Some((child, other, _)), _) if other == no => (child, Join::FirstOnly),
                (_, Some((child, rest, other))) if other == yes && sought(other, rest) => (child, Join::OneOrNot),
                (_, Some((child, _, other))) if other == yes => (child, Join::SecondOnly),
                (Some((one, a, b)), Some((other, c, d))) if (a, b) == (c, d) || (a, b) == (d, c) => {
                    self.fork(number, one, other, (a, b) == (c, d))?;
                    continue;
                }
                _ => break,
            };
            let inner = self.take(child)?;
            let outer = self.take(number)?;
            let merged = match join {
                Join::Both => {
                    Block { formula: Formula::all(outer.formula, inner.formula)?, yes: inner.yes, no: outer.no }
                }
                Join::One => {
                    Block { formula: Formula::any(outer.formula, inner.formula)?, yes: outer.yes, no: inner.no }
                }
                Join::NotOrBoth => Block {
                    formula: Formula::any(outer.formula.negated()?, inner.formula)?,
                    yes: outer.no,
                    no: inner.no,
                },
                Join::FirstOnly => Block {
                    formula: Formula::all(outer.formula, inner.formula.negated()?)?,
                    yes: inner.no,
                    no: outer.no,
                },
                Join::OneOrNot => Block {
                    formula: Formula::any(outer.formula, inner.formula.negated()?)?,
                    yes: outer.yes,
                    no: inner.yes,
                },
                Join::SecondOnly => Block {
                    formula: Formula::all(outer.formula.negated()?, inner.formula)?,
                    yes: inner.yes,
                    no: outer.yes,
                },
            };
            // Two edges to the place that both lead to are one now.
            let shared = match join {
                Join::Both | Join::NotOrBoth | Join::FirstOnly => outer.no,
                Join::One | Join::OneOrNot | Join::SecondOnly => outer.yes,
            };
            self.count(shared, -1);
            if let Some(place) = self.list.get_mut(number as usize) {
                *place = Some(merged);
            }
        }
        Ok(())
    }

    /// Both answers lead to a block each, and these to the same two places.
    fn fork(&mut self, number: u32, one: u32, other: u32, aligned: bool) -> Result<(), DecompileError> {
        let (one, other) = (self.take(one)?, self.take(other)?);
        let outer = self.take(number)?;
        self.spend(outer.formula.size)?;
        self.count(one.yes, -1);
        self.count(one.no, -1);
        // Yes is sought, as in `reduce`.
        let turned = one.no == Way::Yes || one.yes == Way::No;
        let (yes, no) = if turned { (one.no, one.yes) } else { (one.yes, one.no) };
        let one = if turned { one.formula.negated()? } else { one.formula };
        let other = if turned == aligned { other.formula.negated()? } else { other.formula };
        let formula =
            Formula::any(Formula::all(outer.formula.clone(), one)?, Formula::all(outer.formula.negated()?, other)?)?;
        if let Some(place) = self.list.get_mut(number as usize) {
            *place = Some(Block { formula, yes, no });
        }
        Ok(())
    }

    fn spend(&mut self, size: u32) -> Result<(), DecompileError> {
        self.again = self.again.saturating_add(u64::from(size));
        if self.again > self.limit {
            return Err(DecompileError::NoFormula { limit: self.limit });
        }
        Ok(())
    }

    /// Gives each block that leads to the lowest shared one a copy of its own. What is below the
    /// lowest is a tree, which [`Blocks::reduce`] has made one block. The number from which blocks
    /// may have changed.
    fn copy_lowest(&mut self, top: u32) -> Result<u32, DecompileError> {
        let lowest = (0..top)
            .find(|number| self.get(*number).is_some() && self.incoming.get(*number as usize).is_some_and(|n| *n > 1));
        let lowest = lowest.ok_or(DecompileError::Unreadable)?;
        let shared = self.take(lowest)?;
        for number in lowest + 1..=top {
            let Some(block) = self.get(number) else { continue };
            let to = Way::Decision(lowest);
            if block.yes != to && block.no != to {
                continue;
            }
            self.spend(shared.formula.size)?;
            // The copy takes a number of its own behind all others.
            let copy = u32::try_from(self.list.len()).map_err(|_| DecompileError::Unreadable)?;
            self.list.push(Some(Block { formula: shared.formula.clone(), yes: shared.yes, no: shared.no }));
            self.incoming.push(1);
            for way in [shared.yes, shared.no] {
                self.count(way, 1);
            }
            if let Some(Some(block)) = self.list.get_mut(number as usize) {
                if block.yes == to {
                    block.yes = Way::Decision(copy);
                } else {
                    block.no = Way::Decision(copy);
                }
            }
        }
        for way in [shared.yes, shared.no] {
            self.count(way, -1);
        }
        Ok(lowest)
    }
}

/// How a block and one that it leads to are one.
#[derive(Clone, Copy)]
enum Join {
    /// Yes and yes.
    Both,
    /// Yes, or else yes.
    One,
    /// No, or yes and yes.
    NotOrBoth,
    /// Yes and no.
    FirstOnly,
    /// Yes, or else no.
    OneOrNot,
    /// No, then yes.
    SecondOnly,
}
