//! In: random numbers. Out: [`Dice`], choices by them. Never: a number of its own; the same numbers are the
//! same choices.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// Numbers that are used up by choosing.
pub struct Dice(Vec<u32>);

impl Dice {
    /// So many.
    pub fn new(runner: &mut TestRunner, count: usize) -> Self {
        Self(prop::collection::vec(any::<u32>(), count).new_tree(runner).unwrap().current())
    }

    /// A number below this one.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.0.pop().unwrap_or(0)).unwrap() % end
    }

    /// One of these.
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Whether something of so many percent happens.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}
