//! In: a [`Tree`]. Out: which variables it asks for; the same tree with other numbers for them.
//! Never: what a variable holds.

use super::tree::{Alternatives, Branch, Matcher, Tree};

impl Tree {
    /// Whether some branch asks for a variable.
    #[must_use]
    pub fn has_variables(&self) -> bool {
        match self {
            Self::Accept => false,
            Self::Choice(branches) => branches
                .iter()
                .any(|branch| matches!(branch.matcher, Matcher::Variable(_)) || branch.then.has_variables()),
            Self::Alternatives(Alternatives { tried, last, .. }) => {
                tried.iter().chain(last.as_deref()).any(Self::has_variables)
            }
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
            Self::Alternatives(Alternatives { tried, last, saved }) => Self::Alternatives(Alternatives {
                tried: tried.iter().map(|tree| tree.renumbered(number)).collect(),
                last: last.as_ref().map(|tree| Box::new(tree.renumbered(number))),
                saved: *saved,
            }),
        }
    }
}
