//! In: names. Out: the numbers given to them, in the order in which they are first asked for; tests of
//! one graph with the numbers that their names have elsewhere. Never: what the names are for.

use std::collections::HashMap;

use super::graph::{Argument, Graph, Test};

/// Names of one kind and their numbers.
#[derive(Default)]
pub(super) struct Names {
    /// The names by number.
    pub list: Vec<Vec<u8>>,
    numbers: HashMap<Vec<u8>, u16>,
}

impl Names {
    /// These names with the numbers that they have.
    pub fn of(names: &[Vec<u8>]) -> Self {
        let mut out = Self { list: names.to_vec(), numbers: HashMap::new() };
        for (number, name) in (0..=u16::MAX).zip(names) {
            out.numbers.entry(name.clone()).or_insert(number);
        }
        out
    }

    /// The number of a name.
    pub fn number(&mut self, name: &[u8]) -> u16 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u16::try_from(self.list.len()).unwrap_or(u16::MAX);
        self.list.push(name.to_vec());
        self.numbers.insert(name.to_vec(), number);
        number
    }

    /// The number here of what has a number in another list.
    pub fn renumber(&mut self, names: &[Vec<u8>], number: u16) -> u16 {
        self.number(names.get(usize::from(number)).map_or(&[][..], Vec::as_slice))
    }
}

/// The names that the tests of several graphs ask by number.
#[derive(Default)]
pub(super) struct TestNames {
    pub variables: Names,
    pub states: Names,
    pub profile_flags: Names,
}

impl TestNames {
    /// Those of a graph, with the numbers that they have there.
    pub fn of(graph: &Graph) -> Self {
        Self {
            variables: Names::of(&graph.variables),
            states: Names::of(&graph.states),
            profile_flags: Names::of(&graph.profile_flags),
        }
    }

    /// The numbers here of a graph's variables, by their numbers there. Each gets one.
    pub fn of_variables(&mut self, graph: &Graph) -> Vec<u16> {
        graph.variables.iter().map(|name| self.variables.number(name)).collect()
    }

    /// Gives a test of a graph the numbers of here; `variables` from [`TestNames::of_variables`].
    pub fn rename(&mut self, test: &mut Test, graph: &Graph, variables: &[u16]) {
        match &mut test.argument {
            Argument::StateFlag(number) => *number = self.states.renumber(&graph.states, *number),
            Argument::ProfileFlag(number) => *number = self.profile_flags.renumber(&graph.profile_flags, *number),
            Argument::Pattern(tree) if tree.has_variables() => {
                let number = |old: u16| variables.get(usize::from(old)).copied().unwrap_or(old);
                *tree = tree.renumbered(&number).into();
            }
            _ => {}
        }
    }
}
