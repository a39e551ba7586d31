//! In: the text of a regular expression. Out: [`Expression`], or the offset of what the dialect
//! does not have. Never: a guess; what Apple's matcher cannot do is an error here.
//!
//! Left out: `unsupported syntax: kleene star` (LANGUAGE.md §12, question 6). Real objects have `.*`,
//! `[^/]*` and `(x:)+`, so what it refuses is no star of one byte, and no repeat of a group as such;
//! none at hand has a star of a group or a repeat of what may be empty, but nothing shows that those
//! are refused. Here each star is allowed.

use super::Expression;
use crate::pattern::tree::Ranges;

/// Deepest nesting of groups.
const MAX_NESTING: usize = 250;

/// What is wrong with a regular expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegexErrorKind {
    /// `(?:`, `(?!` and the like.
    #[error("groups that start with '(?' never match in the sandbox")]
    SpecialGroup,
    /// `\d`, `\w`, `\1`.
    #[error("'\\{0}' has no meaning in the sandbox; write a bracket set")]
    Escape(char),
    /// `{n}`.
    #[error("counted repeats are not supported; escape a literal brace as '\\{{'")]
    Counted,
    /// `*` with nothing before it.
    #[error("'{0}' has nothing to repeat")]
    NothingToRepeat(char),
    /// `(` without `)`.
    #[error("unclosed group")]
    UnclosedGroup,
    /// `)` without `(`.
    #[error("unmatched ')'")]
    UnmatchedClose,
    /// `[` without `]`.
    #[error("unclosed bracket set")]
    UnclosedSet,
    /// `[:alpha:]`, `[.x.]`, `[=x=]`.
    #[error("POSIX classes are not supported; write the characters out")]
    PosixClass,
    /// `[z-a]`.
    #[error("range is the wrong way round")]
    BadRange,
    /// `\` at the end.
    #[error("nothing behind the last backslash")]
    LoneBackslash,
    /// Too many groups inside one another.
    #[error("groups nested too deep (limit {MAX_NESTING})")]
    Nesting,
}

/// An error with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} (offset {offset} of the regular expression)")]
pub struct RegexError {
    /// What.
    pub kind: RegexErrorKind,
    /// Byte offset in the expression's text.
    pub offset: usize,
}

/// Parses a regular expression.
///
/// # Errors
/// [`RegexError`] where the dialect does not have a construct.
pub fn parse(text: &[u8]) -> Result<Expression, RegexError> {
    let mut parser = Parser { text, position: 0, depth: 0 };
    let expression = parser.alternation()?;
    match parser.peek() {
        None => Ok(expression),
        Some(_) => Err(parser.error(RegexErrorKind::UnmatchedClose)),
    }
}

struct Parser<'a> {
    text: &'a [u8],
    position: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.position).copied()
    }

    fn error(&self, kind: RegexErrorKind) -> RegexError {
        RegexError { kind, offset: self.position }
    }

    fn alternation(&mut self) -> Result<Expression, RegexError> {
        let mut branches = vec![self.sequence()?];
        while self.peek() == Some(b'|') {
            self.position += 1;
            branches.push(self.sequence()?);
        }
        Ok(if branches.len() == 1 { branches.remove(0) } else { Expression::Alternation(branches) })
    }

    fn sequence(&mut self) -> Result<Expression, RegexError> {
        let mut items = Vec::new();
        while let Some(byte) = self.peek() {
            if matches!(byte, b'|' | b')') {
                break;
            }
            let atom = self.atom(byte)?;
            items.push(self.repeats(atom));
        }
        Ok(match items.len() {
            0 => Expression::Empty,
            1 => items.remove(0),
            _ => Expression::Sequence(items),
        })
    }

    /// `x**` repeats what is repeated already: the same as `x*` (chosen; it bounds the depth too). A
    /// group is a group: `(x+)*` stays what it is.
    fn repeats(&mut self, atom: Expression) -> Expression {
        // Least and most times: none or once, once or any number.
        let mut times: Option<(bool, bool)> = None;
        while let Some(mark) = self.peek().filter(|mark| matches!(mark, b'*' | b'+' | b'?')) {
            self.position += 1;
            let (none, many) = times.unwrap_or_default();
            times = Some((none || mark != b'+', many || mark != b'?'));
        }
        match times {
            None => atom,
            Some((true, true)) => Expression::Star(Box::new(atom)),
            Some((_, true)) => Expression::Plus(Box::new(atom)),
            Some(_) => Expression::Optional(Box::new(atom)),
        }
    }

    fn atom(&mut self, byte: u8) -> Result<Expression, RegexError> {
        match byte {
            b'(' => return self.group(),
            b'[' => return self.set(),
            b'\\' => return self.escape(),
            b'*' | b'+' | b'?' => return Err(self.error(RegexErrorKind::NothingToRepeat(char::from(byte)))),
            b'{' => return Err(self.error(RegexErrorKind::Counted)),
            _ => {}
        }
        self.position += 1;
        Ok(match byte {
            b'.' => Expression::Any,
            b'^' => Expression::Start,
            b'$' => Expression::End,
            other => Expression::Byte(other),
        })
    }

    fn group(&mut self) -> Result<Expression, RegexError> {
        if self.text.get(self.position + 1) == Some(&b'?') {
            return Err(self.error(RegexErrorKind::SpecialGroup));
        }
        if self.depth >= MAX_NESTING {
            return Err(self.error(RegexErrorKind::Nesting));
        }
        let open = self.position;
        self.position += 1;
        self.depth += 1;
        let inner = self.alternation()?;
        self.depth -= 1;
        if self.peek() != Some(b')') {
            return Err(RegexError { kind: RegexErrorKind::UnclosedGroup, offset: open });
        }
        self.position += 1;
        Ok(inner)
    }

    fn escape(&mut self) -> Result<Expression, RegexError> {
        match self.text.get(self.position + 1) {
            None => Err(self.error(RegexErrorKind::LoneBackslash)),
            Some(byte) if byte.is_ascii_alphanumeric() => Err(self.error(RegexErrorKind::Escape(char::from(*byte)))),
            Some(byte) => {
                self.position += 2;
                Ok(Expression::Byte(*byte))
            }
        }
    }

    /// `[…]`: `]` first is a member, `-` first or last is a member, a backslash escapes.
    fn set(&mut self) -> Result<Expression, RegexError> {
        let open = self.position;
        self.position += 1;
        let negated = self.peek() == Some(b'^');
        if negated {
            self.position += 1;
        }
        let mut ranges: Ranges = Vec::new();
        let start = self.position;
        loop {
            let low = match self.peek() {
                None => return Err(RegexError { kind: RegexErrorKind::UnclosedSet, offset: open }),
                Some(b']') if self.position > start => break,
                Some(b'[') if matches!(self.text.get(self.position + 1), Some(b':' | b'.' | b'=')) => {
                    return Err(self.error(RegexErrorKind::PosixClass));
                }
                Some(_) => self.member()?,
            };
            let is_range = self.peek() == Some(b'-') && !matches!(self.text.get(self.position + 1), None | Some(b']'));
            let high = if is_range {
                self.position += 1;
                self.member()?
            } else {
                low
            };
            if low > high {
                return Err(self.error(RegexErrorKind::BadRange));
            }
            ranges.push((low, high));
        }
        self.position += 1;
        // As written: pattern programs keep that order (FORMAT.md §4.3), regex objects are sorted.
        let mut seen = std::collections::HashSet::new();
        ranges.retain(|range| seen.insert(*range));
        Ok(if negated { Expression::NegatedClass(ranges) } else { Expression::Class(ranges) })
    }

    fn member(&mut self) -> Result<u8, RegexError> {
        if self.peek() == Some(b'\\') {
            let Expression::Byte(byte) = self.escape()? else { return Ok(b'\\') };
            return Ok(byte);
        }
        let byte = self.peek().ok_or_else(|| self.error(RegexErrorKind::UnclosedSet))?;
        self.position += 1;
        Ok(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_the_offset() {
        for (text, offset) in [
            ("^/a(?:b)", 3),
            (r"^/\d+", 2),
            ("a{2}", 1),
            (r"(a)\1", 3),
            ("*a", 0),
            ("(a", 0),
            ("a)", 1),
            ("[a", 0),
            ("[[:alpha:]]", 1),
            ("[z-a]", 4),
            ("a\\", 1),
        ] {
            assert_eq!(parse(text.as_bytes()).map_err(|e| e.offset), Err(offset), "{text}");
        }
        assert!(parse("(".repeat(10_000).as_bytes()).is_err());
    }

    #[test]
    fn what_profiles_use() {
        for text in [
            r"^/dev/bpf[0-9]+$",
            r"\.(aif|wav)$",
            r"^/private/var/folders/[^/]+/[^/]+/[^/]",
            "[]a-]",
            r"[a\]b]",
            "",
            "a||b",
        ] {
            assert!(parse(text.as_bytes()).is_ok(), "{text}");
        }
    }
}
