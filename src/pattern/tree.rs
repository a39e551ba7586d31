//! In: branches in the order in which they are tried. Out: [`Tree`], the meaning of one compiled
//! pattern program (FORMAT.md §4.2): a decision tree over the subject's bytes, with alternatives
//! where the next bytes do not decide. Never: jump distances, lengths or any other byte of the
//! program.

use std::collections::HashMap;

/// A set of byte ranges, lowest and highest byte of each.
pub type Ranges = Vec<(u8, u8)>;

/// What a branch asks of the subject at the current position.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Matcher {
    /// These bytes come next.
    Text(Vec<u8>),
    /// The subject ends here.
    End,
    /// The value of the variable with this number comes next.
    Variable(u16),
    /// One byte of these ranges comes next.
    Class(Ranges),
    /// As many bytes of these ranges as there are, also none; always true.
    Repeat(Ranges),
    /// Some byte further on is this one; goes on behind it.
    SkipTo(u8),
    /// As `SkipTo`, but where the rest fails the next such byte is tried.
    Search(u8),
}

/// What is left to ask.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Tree {
    /// Nothing: the subject matches.
    Accept,
    /// The first branch whose matcher is true decides; if none is, the subject does not match.
    Choice(Vec<Branch>),
    /// All of them from the place where they stand, until one matches: for branches that may be
    /// true at once, such as those that begin with a variable.
    Alternatives(Alternatives),
}

/// Trees that are tried one after the other from one saved place (`06 … 05 …`, FORMAT.md §4.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Alternatives {
    /// Those behind which the saved place is restored.
    pub tried: Vec<Tree>,
    /// What is left when they failed; nothing where compilers up to iOS 13 end with a failure.
    pub last: Option<Box<Tree>>,
    /// What becomes of the saved place before the last.
    pub saved: Saved,
}

/// What becomes of a saved place once it was restored for the last time. Both mean the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Saved {
    /// It stays: 53 of 53 programs of the iOS 17 and 26 platform blobs.
    #[default]
    Kept,
    /// It is dropped (`07`): 73 of 73 in iOS 13.
    Dropped,
}

/// One branch of a choice.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Branch {
    /// The question.
    pub matcher: Matcher,
    /// What follows a yes.
    pub then: Tree,
}

impl Branch {
    /// A branch.
    #[must_use]
    pub fn new(matcher: Matcher, then: Tree) -> Self {
        Self { matcher, then }
    }
}

impl Tree {
    /// A choice of one.
    #[must_use]
    pub fn one(matcher: Matcher, then: Self) -> Self {
        Self::Choice(vec![Branch::new(matcher, then)])
    }

    /// Whether a subject matches. Variables have no value here, so a branch that asks for one is
    /// not taken. No allocation without a search in it; each branch is asked at each place of the
    /// subject at most once for each search around it that got there, and each search looks at a
    /// place at most once.
    #[must_use]
    pub fn matches(&self, subject: &[u8]) -> bool {
        self.run(subject, &mut HashMap::new())
    }

    /// `failed`: for a search, how many bytes were left when it last failed; it fails again with
    /// fewer.
    fn run(&self, subject: &[u8], failed: &mut HashMap<*const Branch, usize>) -> bool {
        let mut tree = self;
        let mut rest = subject;
        'descend: loop {
            let branches = match tree {
                Self::Accept => return true,
                Self::Choice(branches) => branches,
                Self::Alternatives(Alternatives { tried, last, .. }) => {
                    if tried.iter().any(|tree| tree.run(rest, failed)) {
                        return true;
                    }
                    let Some(last) = last else { return false };
                    tree = last;
                    continue;
                }
            };
            for branch in branches {
                if let Matcher::Search(byte) = &branch.matcher {
                    let key = std::ptr::from_ref(branch);
                    let known = failed.get(&key).copied();
                    if known.is_some_and(|known| rest.len() <= known) {
                        continue;
                    }
                    let known = known.unwrap_or(0);
                    let mut from = rest;
                    while let Some(at) = from.iter().position(|candidate| candidate == byte) {
                        from = &from[at + 1..];
                        if from.len() < known {
                            break;
                        }
                        if branch.then.run(from, failed) {
                            return true;
                        }
                    }
                    failed.insert(key, known.max(rest.len()));
                    continue;
                }
                if let Some(after) = branch.matcher.step(rest) {
                    rest = after;
                    tree = &branch.then;
                    continue 'descend;
                }
            }
            return false;
        }
    }

    /// The text that the first branches ask for, up to a length: enough to know the tree by.
    #[must_use]
    pub fn beginning(&self, length: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mut tree = self;
        while out.len() < length {
            let branch = match tree {
                Self::Accept => break,
                Self::Choice(branches) => branches.first(),
                Self::Alternatives(alternatives) => match alternatives.tried.first() {
                    Some(first) => {
                        tree = first;
                        continue;
                    }
                    None => None,
                },
            };
            let Some(Branch { matcher, then }) = branch else { break };
            match matcher {
                Matcher::Text(text) => out.extend(text.iter().take(length - out.len())),
                _ => break,
            }
            tree = then;
        }
        out
    }

    /// The strings that the tree stands for, in the order of its branches, where it is made of
    /// texts and ends only: each with whether it is a prefix. `None` for other trees, for those in which
    /// a branch is committed to where another one is true as well (a blob can hold such), and for those
    /// whose strings are far longer together than the tree itself.
    #[must_use]
    pub fn strings(&self) -> Option<Vec<(Vec<u8>, bool)>> {
        let mut out = Vec::new();
        let mut length = 0;
        let mut work = vec![(self, Vec::new())];
        while let Some((tree, text)) = work.pop() {
            match tree {
                Self::Accept => out.push((text, true)),
                Self::Alternatives(_) => return None,
                Self::Choice(branches) if !separate(branches) => return None,
                Self::Choice(branches) => {
                    for branch in branches.iter().rev() {
                        match (&branch.matcher, &branch.then) {
                            (Matcher::Text(more), then) => {
                                let mut text = text.clone();
                                text.extend_from_slice(more);
                                length += text.len();
                                if length > MAX_LISTED {
                                    return None;
                                }
                                work.push((then, text));
                            }
                            (Matcher::End, Self::Accept) => work.push((&END, text.clone())),
                            _ => return None,
                        }
                    }
                    if branches.is_empty() && std::ptr::eq(tree, &raw const END) {
                        out.push((text, false));
                    }
                }
            }
        }
        Some(out)
    }
}

/// Whether no two of these texts are true at one place: none is a beginning of another one.
fn separate(branches: &[Branch]) -> bool {
    let texts = || {
        branches.iter().filter_map(|branch| match &branch.matcher {
            Matcher::Text(text) => Some(text.as_slice()),
            _ => None,
        })
    };
    let mut seen = [false; 256];
    let mut is_new = |first: &u8| !std::mem::replace(&mut seen[usize::from(*first)], true);
    if texts().all(|text| text.first().is_some_and(&mut is_new)) {
        return true;
    }
    let mut sorted: Vec<&[u8]> = texts().collect();
    // What begins with a text stands behind it, with nothing else between.
    sorted.sort_unstable();
    sorted.windows(2).all(|pair| !matches!(pair, [one, next] if next.starts_with(one)))
}

/// Most bytes of all strings of one tree and their beginnings: a program of 64 KB can stand for
/// hundreds of megabytes.
const MAX_LISTED: usize = 4 << 20;

/// Marks an `End` branch on the work list of [`Tree::strings`].
static END: Tree = Tree::Choice(Vec::new());

impl Matcher {
    /// What is left of the subject behind a match.
    fn step<'a>(&self, rest: &'a [u8]) -> Option<&'a [u8]> {
        match self {
            Self::Text(text) => rest.strip_prefix(text.as_slice()),
            Self::End => rest.is_empty().then_some(rest),
            Self::Variable(_) | Self::Search(_) => None,
            Self::Class(ranges) => match rest {
                [first, after @ ..] if contains(ranges, *first) => Some(after),
                _ => None,
            },
            Self::Repeat(ranges) => {
                let count = rest.iter().take_while(|byte| contains(ranges, **byte)).count();
                rest.get(count..)
            }
            Self::SkipTo(byte) => {
                let at = rest.iter().position(|candidate| candidate == byte)?;
                rest.get(at + 1..)
            }
        }
    }
}

/// Whether a byte is in one of the ranges. A range whose bounds are the wrong way round goes over
/// the end; one whose lower bound is just above the upper is empty (FORMAT.md §5; the latter is
/// not verified).
pub(crate) fn contains(ranges: &[(u8, u8)], byte: u8) -> bool {
    ranges.iter().any(|(low, high)| match low.checked_sub(*high) {
        None | Some(0) => (*low..=*high).contains(&byte),
        Some(1) => false,
        Some(_) => byte >= *low || byte <= *high,
    })
}
