//! In: the string argument of `literal`, `prefix` or `subpath`. Out: [`StringPattern`], its
//! meaning: does it match, can two of them match the same string. Never: trees of several.

/// How a string is compared (LANGUAGE.md §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StringKind {
    /// The whole subject.
    Literal,
    /// A beginning of the subject.
    Prefix,
    /// The path itself and everything below it.
    Subpath,
}

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// These bytes.
    Text(Vec<u8>),
    /// `${NAME}`: what the variable holds at the time of the request (LANGUAGE.md §4.4).
    Variable(String),
}

/// One string to compare with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StringPattern {
    /// How.
    pub kind: StringKind,
    /// With what. A pattern without variables has one text, which may be empty.
    pub parts: Vec<Part>,
}

/// Why a string is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// LANGUAGE.md §5.1, measured.
    #[error("empty subpath pattern")]
    EmptySubpath,
    /// Program lengths are 16 bits wide (FORMAT.md §4.1).
    #[error("pattern of {0} bytes is too long (limit 65,535)")]
    TooLong(usize),
    /// No real pattern has more than a few.
    #[error("pattern with more than {MAX_PARTS} parts around variables")]
    TooManyParts,
}

/// Most texts and variables in one pattern; bounds the depth of its tree.
const MAX_PARTS: usize = 200;

impl StringPattern {
    /// A pattern from the text of a profile. Trailing slashes of a subpath are dropped, as
    /// LANGUAGE.md §5.1 advises. What is left of `(subpath "/")` is the prefix "", which matches
    /// every path. That its program is the lone accept is chosen: the iOS 17 and 26 platform blobs
    /// have one path test with that program each, and none with a slash alone.
    ///
    /// # Errors
    /// An empty subpath, or a text longer than a compiled program can hold.
    pub fn new(kind: StringKind, text: &[u8], variables: bool) -> Result<Self, PatternError> {
        if text.len() > usize::from(u16::MAX) {
            return Err(PatternError::TooLong(text.len()));
        }
        let (mut kind, mut text) = (kind, text);
        if kind == StringKind::Subpath {
            if text.is_empty() {
                return Err(PatternError::EmptySubpath);
            }
            while let Some(shorter) = text.strip_suffix(b"/") {
                text = shorter;
            }
            if text.is_empty() {
                kind = StringKind::Prefix;
            }
        }
        let parts = if variables { split_variables(text) } else { vec![Part::Text(text.to_vec())] };
        if parts.len() > MAX_PARTS {
            return Err(PatternError::TooManyParts);
        }
        Ok(Self { kind, parts })
    }

    /// The text, where there is no variable in it.
    #[must_use]
    pub fn text(&self) -> Option<&[u8]> {
        match self.parts.as_slice() {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The same pattern in ASCII lower case.
    #[must_use]
    pub fn folded(mut self) -> Self {
        for part in &mut self.parts {
            if let Part::Text(text) = part {
                text.make_ascii_lowercase();
            }
        }
        self
    }

    /// Whether the subject matches. A pattern with variables matches nothing here: their values
    /// belong to the process, which this tool does not have.
    #[must_use]
    pub fn matches(&self, subject: &[u8]) -> bool {
        let Some(text) = self.text() else { return false };
        match (self.kind, subject.strip_prefix(text)) {
            (_, None) => false,
            (StringKind::Literal, Some(rest)) => rest.is_empty(),
            (StringKind::Prefix, Some(_)) => true,
            (StringKind::Subpath, Some(rest)) => rest.first().is_none_or(|byte| *byte == b'/'),
        }
    }

    /// True if no subject can match both. False also where that is not known (variables).
    #[must_use]
    pub fn excludes(&self, other: &Self) -> bool {
        let (Some(a), Some(b)) = (self.text(), other.text()) else { return false };
        let below = |path: &[u8], base: &[u8]| {
            path.strip_prefix(base).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/'))
        };
        let meet = match (self.kind, other.kind) {
            (StringKind::Literal, _) => other.matches(a),
            (_, StringKind::Literal) => self.matches(b),
            (StringKind::Prefix, StringKind::Prefix) => a.starts_with(b) || b.starts_with(a),
            (StringKind::Subpath, StringKind::Subpath) => below(a, b) || below(b, a),
            (StringKind::Prefix, StringKind::Subpath) => prefix_meets_subpath(a, b),
            (StringKind::Subpath, StringKind::Prefix) => prefix_meets_subpath(b, a),
        };
        !meet
    }
}

fn prefix_meets_subpath(prefix: &[u8], base: &[u8]) -> bool {
    base.starts_with(prefix) || prefix.strip_prefix(base).is_some_and(|rest| rest.starts_with(b"/"))
}

/// Cuts `${NAME}` out of a text. An opening without its brace stays text.
fn split_variables(text: &[u8]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut plain = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let name = rest
            .strip_prefix(b"${")
            .and_then(|inner| inner.iter().position(|byte| *byte == b'}').map(|end| &inner[..end]));
        if let Some(name) = name {
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Variable(String::from_utf8_lossy(name).into_owned()));
            rest = &rest[name.len() + 3..];
        } else {
            plain.push(rest[0]);
            rest = &rest[1..];
        }
    }
    if !plain.is_empty() || parts.is_empty() {
        parts.push(Part::Text(plain));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(kind: StringKind, text: &str) -> StringPattern {
        StringPattern { kind, parts: vec![Part::Text(text.as_bytes().to_vec())] }
    }

    #[test]
    fn subpaths_lose_their_trailing_slash() {
        let root = StringPattern::new(StringKind::Subpath, b"/", false);
        assert_eq!(root, Ok(pattern(StringKind::Prefix, "")));
        let folder = StringPattern::new(StringKind::Subpath, b"/a//", false);
        assert_eq!(folder, Ok(pattern(StringKind::Subpath, "/a")));
        assert_eq!(StringPattern::new(StringKind::Subpath, b"", false), Err(PatternError::EmptySubpath));
    }

    #[test]
    fn variables_are_cut_out() {
        let parts = split_variables(b"/a/${HOME}/b${");
        assert_eq!(parts, [Part::Text(b"/a/".to_vec()), Part::Variable("HOME".into()), Part::Text(b"/b${".to_vec())]);
    }

    fn any_pattern() -> impl Strategy<Value = StringPattern> {
        let kinds = prop_oneof![Just(StringKind::Literal), Just(StringKind::Prefix), Just(StringKind::Subpath)];
        (kinds, "[ab/]{0,4}").prop_map(|(kind, text)| pattern(kind, &text))
    }

    proptest! {
        /// `excludes` is exact: over all short subjects, two patterns exclude one another just
        /// where none matches both.
        #[test]
        fn exclusion_is_the_absence_of_a_common_subject(a in any_pattern(), b in any_pattern()) {
            let mut subjects = vec![Vec::new()];
            let mut all = subjects.clone();
            for _ in 0..6 {
                subjects = subjects.iter().flat_map(|s: &Vec<u8>| b"ab/".iter().map(move |c| {
                    let mut s = s.clone();
                    s.push(*c);
                    s
                })).collect();
                all.extend(subjects.iter().cloned());
            }
            let common = all.iter().any(|s| a.matches(s) && b.matches(s));
            prop_assert_eq!(a.excludes(&b), !common);
        }
    }
}
