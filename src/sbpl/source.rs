//! In: the texts that make up a program. Out: [`Sources`], which turns a byte range into file,
//! line and column. Never: parsing or reading of files.

use std::rc::Rc;

/// Number of a text in [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u32);

/// A byte range in one text; `end` is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Which text.
    pub source: SourceId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// One text with the name that messages show.
#[derive(Debug)]
pub struct Source {
    /// File path, or `<input string>` and the like (LANGUAGE.md §2.3).
    pub name: String,
    /// The bytes.
    pub text: Rc<[u8]>,
    line_starts: Vec<u32>,
}

/// Line and column, both counted from 1; the column counts bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineColumn {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

/// All texts of one program, in the order in which they were opened.
#[derive(Debug, Default)]
pub struct Sources {
    list: Vec<Source>,
}

/// Longest text that is taken, in bytes: spans hold 32-bit offsets.
pub const MAX_TEXT: usize = 1 << 30;

impl Sources {
    /// Adds a text. The caller has checked that it is at most [`MAX_TEXT`] bytes long.
    pub fn add(&mut self, name: String, text: &[u8]) -> SourceId {
        let text: Rc<[u8]> = text.get(..MAX_TEXT).unwrap_or(text).into();
        let mut line_starts = vec![0];
        line_starts.extend(text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| offset(at + 1)));
        let id = SourceId(offset(self.list.len()));
        self.list.push(Source { name, text, line_starts });
        id
    }

    /// The text with this number.
    #[must_use]
    pub fn get(&self, id: SourceId) -> Option<&Source> {
        self.list.get(id.0 as usize)
    }

    /// Name of a text; empty for an unknown number.
    #[must_use]
    pub fn name(&self, id: SourceId) -> &str {
        self.get(id).map_or("", |source| source.name.as_str())
    }

    /// Line and column where a span starts.
    #[must_use]
    pub fn line_column(&self, span: Span) -> LineColumn {
        let Some(source) = self.get(span.source) else { return LineColumn { line: 1, column: 1 } };
        let line = source.line_starts.partition_point(|start| *start <= span.start).max(1);
        let start = source.line_starts.get(line - 1).copied().unwrap_or(0);
        LineColumn { line: offset(line), column: span.start.saturating_sub(start) + 1 }
    }

    /// The bytes of a span.
    #[must_use]
    pub fn text(&self, span: Span) -> &[u8] {
        self.get(span.source)
            .and_then(|source| source.text.get(span.start as usize..span.end as usize))
            .unwrap_or_default()
    }
}

/// A text offset as the 32 bits that spans hold; texts are at most [`MAX_TEXT`] long.
pub(crate) fn offset(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
