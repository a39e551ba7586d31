//! In: rules, or the blob made of them. Out: how close a blob is to the limits of its format, and
//! of rules that went over one, the rule that took them there. Never: a change of rules.

use crate::blob::{Decoded, EncodeError, encode};
use crate::policy::graph::Graph;
use crate::policy::passes::{BuildError, Passes, build};
use crate::policy::rules::{Place, Rules};

/// Why rules have no blob.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// They have no graph.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The graph does not fit the format.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// One of the two, and the rule that took them over the limit: without it and those behind it
    /// the rest fits.
    #[error("{}:{}:{}: {reason}; the rules before this one fit", .place.file, .place.line, .place.column)]
    At {
        /// Where the rule stands.
        place: Place,
        /// What is wrong.
        reason: Box<CompileError>,
    },
}

/// The blob of rules, and its graph.
///
/// # Errors
/// [`CompileError`]; where the rules go over a limit together, it names the rule that did it, found
/// by halving: a few more compilations, and only when there is an error.
pub fn compile(rules: &Rules, passes: Passes) -> Result<(Vec<u8>, Graph), CompileError> {
    attempt(rules, passes).map_err(|error| match over_limit(rules, passes, &error) {
        Some(place) => CompileError::At { place, reason: Box::new(error) },
        None => error,
    })
}

fn attempt(rules: &Rules, passes: Passes) -> Result<(Vec<u8>, Graph), CompileError> {
    let graph = build(rules, passes)?;
    Ok((encode(&graph)?, graph))
}

/// The place of the first rule with which the rules do not fit any more.
fn over_limit(rules: &Rules, passes: Passes, error: &CompileError) -> Option<Place> {
    let is_limit = match error {
        CompileError::Build(error) => matches!(
            error,
            BuildError::TooManyNodes { .. } | BuildError::NestedStrings { .. } | BuildError::TooManyNames { .. }
        ),
        CompileError::Encode(error) => {
            matches!(error, EncodeError::TooMany { .. } | EncodeError::Argument { .. } | EncodeError::Modifier { .. })
        }
        CompileError::At { .. } => false,
    };
    if !is_limit {
        return None;
    }
    let fits = |count: usize| {
        let mut some = rules.clone();
        some.list.truncate(count);
        attempt(&some, passes).is_ok()
    };
    // `low` rules fit, `high` do not.
    let (mut low, mut high) = (0, rules.list.len());
    if !fits(low) {
        return None;
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    rules.list.get(low)?.origin.place.clone()
}

/// A limit of the format and how much of it a blob takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// What is limited.
    pub what: String,
    /// How much there is.
    pub used: usize,
    /// How much there may be.
    pub limit: usize,
}

/// Every limit of the format that a profile can come close to.
#[must_use]
pub fn usage(blob: &Decoded) -> Vec<Usage> {
    let word = usize::from(u16::MAX);
    let mut rows = Vec::new();
    let mut row = |what: &str, used: usize, limit: usize| rows.push(Usage { what: what.to_owned(), used, limit });
    row("nodes", blob.graph.nodes.len(), word);
    // Offsets count eights.
    let pool = blob.objects.last().map_or(0, |object| object.range.start.saturating_sub(blob.header.nodes.end));
    row("bytes before the last pool object", pool, 8 * word);
    let fields = blob.graph.release.layout().map_or(&[][..], |layout| &layout.fields);
    for field in fields {
        let what = match field.name.as_str() {
            "profiles" if !blob.header.is_collection => continue,
            "flags" | "nodes" | "operations" | "reserved" => continue,
            name => name.replace('_', " "),
        };
        let limit = if field.width == 1 { usize::from(u8::MAX) } else { word };
        row(&what, usize::from(blob.header.field(&field.name)), limit);
    }
    let largest = |kind: &str| {
        let sizes = blob.objects.iter().filter(|object| object.kind == kind).map(|object| object.range.len() - 2);
        sizes.max().unwrap_or(0)
    };
    row("bytes of the largest pattern program", largest("pattern"), word);
    row("bytes of the largest regex", largest("regex"), word);
    rows
}
