//! In: names. Out: the numbers given to them, in the order in which they are first asked for. Never:
//! what the names are for.

use std::collections::HashMap;

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
