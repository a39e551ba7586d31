//! In: one rule's filter. Out: an error where a test asks about a loaded value and no loader is
//! sure to have loaded it. Never: nodes.
//!
//! A loader such as `%entitlement-load` leaves its value for the tests behind it (LANGUAGE.md
//! §4.5). What such a test means without one is not known, and the passes may change which loader
//! ran last; so it is refused, as a guess here could allow too much.

use std::sync::Arc;

use crate::policy::rules::{Argument, Filter};
use crate::vocabulary::{FilterId, Release};

use super::BuildError;

/// Checks that whenever a test with a prerequisite is asked, a loader has succeeded before it in
/// the same rule, and the same one on every way there.
pub(super) fn check(release: &Release, filter: &Filter) -> Result<(), BuildError> {
    let mut loaders = Vec::new();
    wanted(release, filter, &mut loaders);
    for loader in loaders {
        Flow { release, loader }.after(filter, None)?;
    }
    Ok(())
}

/// The loaders that the tests of a filter refer to.
fn wanted(release: &Release, filter: &Filter, out: &mut Vec<FilterId>) {
    match filter {
        Filter::Test(test) => {
            if let Some(id) = prerequisite(release, test.filter)
                && !out.contains(&id)
            {
                out.push(id);
            }
        }
        Filter::Not(inner) => wanted(release, inner, out),
        Filter::All(list) | Filter::Any(list) => list.iter().for_each(|item| wanted(release, item, out)),
    }
}

pub(super) fn prerequisite(release: &Release, filter: FilterId) -> Option<FilterId> {
    release.filter_named(release.filter(filter)?.prerequisite.as_deref()?).map(|loader| loader.id)
}

/// What is loaded, if that is sure.
type Loaded<'f> = Option<&'f Argument>;

struct Flow<'r> {
    release: &'r Release,
    loader: FilterId,
}

impl Flow<'_> {
    /// What is loaded where the filter was true, and where it was false.
    fn after<'f>(&self, filter: &'f Filter, before: Loaded<'f>) -> Result<[Loaded<'f>; 2], BuildError> {
        match filter {
            Filter::Test(test) if test.filter == self.loader => Ok([Some(&test.argument), None]),
            Filter::Test(test) => {
                if before.is_none() && prerequisite(self.release, test.filter) == Some(self.loader) {
                    return Err(BuildError::NotLoaded {
                        filter: self.release.filter_name(test.filter).into_owned(),
                        loader: self.release.filter_name(self.loader).into_owned(),
                    });
                }
                Ok([before, before])
            }
            Filter::Not(inner) => self.after(inner, before).map(|[yes, no]| [no, yes]),
            Filter::All(list) => self.chain(list, before, 0),
            Filter::Any(list) => self.chain(list, before, 1),
        }
    }

    /// Items are asked one after the other, as long as each has the outcome number `on`.
    fn chain<'f>(&self, list: &'f [Arc<Filter>], before: Loaded<'f>, on: usize) -> Result<[Loaded<'f>; 2], BuildError> {
        let mut current = before;
        // What the ways out have in common; none has been seen yet.
        let mut out: Option<Loaded<'f>> = None;
        for item in list {
            let after = self.after(item, current)?;
            let left = after[1 - on];
            out = Some(match out {
                Some(known) if known != left => None,
                _ => left,
            });
            current = after[on];
        }
        let left = out.unwrap_or(before);
        Ok(if on == 0 { [current, left] } else { [left, current] })
    }
}
