//! In: a [`Tree`]. Out: which variables it asks for; the same tree with other numbers for them.
//! Never: what a variable holds.

use super::tree::{Branch, Matcher, Tree};

impl Tree {
    /// Whether some branch asks for a variable.
    #[must_use]
    pub fn has_variables(&self) -> bool {
        match self {
            Self::Accept => false,
            Self::Choice(branches) => branches
                .iter()
                .any(|branch| matches!(branch.matcher, Matcher::Variable(_)) || branch.then.has_variables()),
        }
    }

    /// The same with each variable's number replaced. As deep as the tree, which is bounded.
    #[must_use]
    pub fn renumbered(&self, number: &impl Fn(u16) -> u16) -> Self {
        match self {
            Self::Accept => Self::Accept,
            Self::Choice(branches) => Self::Choice(
                branches
                    .iter()
                    .map(|branch| {
                        let matcher = match &branch.matcher {
                            Matcher::Variable(old) => Matcher::Variable(number(*old)),
                            other => other.clone(),
                        };
                        Branch::new(matcher, branch.then.renumbered(number))
                    })
                    .collect(),
            ),
        }
    }
}
