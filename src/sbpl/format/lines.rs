//! In: pieces of code and comments, line by line. Out: the text, with the comments at the ends of
//! neighbouring lines in one column where their writer had aligned them. Never: a decision about
//! where code stands.

use std::ops::Range;

use super::tree::{Comment, columns, trim_comment};

/// A line that comes out.
struct Line<'t> {
    /// Its indentation and code, in [`Lines::code`].
    code: Range<usize>,
    /// Column behind the code; that of the comment where there is no code.
    end: usize,
    comment: Option<&'t Comment>,
}

/// The lines so far.
pub(super) struct Lines<'t> {
    text: &'t [u8],
    code: Vec<u8>,
    done: Vec<Line<'t>>,
    current: Line<'t>,
    blank: bool,
}

impl<'t> Lines<'t> {
    /// No lines yet, of the text that the comments stand in.
    pub(super) fn new(text: &'t [u8]) -> Self {
        let current = Line { code: 0..0, end: 0, comment: None };
        Self { text, code: Vec::new(), done: Vec::new(), current, blank: false }
    }

    /// Begins a line, behind a blank one if that was asked for.
    pub(super) fn start(&mut self, indent: usize) {
        let at = self.code.len();
        let fresh = || Line { code: at..at, end: 0, comment: None };
        if !self.current.code.is_empty() || self.current.comment.is_some() {
            self.done.push(std::mem::replace(&mut self.current, fresh()));
            if self.blank {
                self.done.push(fresh());
            }
        }
        self.current.end = indent;
        self.blank = false;
    }

    /// Asks for a blank line before the next one.
    pub(super) fn blank(&mut self) {
        self.blank = true;
    }

    /// Adds code to the line.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.current.code.is_empty() {
            self.code.resize(self.code.len() + self.current.end, b' ');
        }
        self.code.extend_from_slice(bytes);
        self.current.code.end = self.code.len();
        // A string may span lines.
        match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(newline) => self.current.end = columns(bytes.get(newline + 1..).unwrap_or_default()),
            None => self.current.end += columns(bytes),
        }
    }

    /// Ends the line with a comment.
    pub(super) fn comment(&mut self, comment: &'t Comment) {
        self.current.comment = Some(comment);
    }

    /// The column where the next code would stand.
    pub(super) fn column(&self) -> usize {
        self.current.end
    }

    /// Whether nothing more may follow on this line.
    pub(super) fn must_end(&self) -> bool {
        self.current.comment.is_some() || self.blank
    }

    /// The text. Lines of more than `width` columns do not take part in the alignment of comments.
    pub(super) fn finish(mut self, width: usize) -> Vec<u8> {
        if !self.current.code.is_empty() || self.current.comment.is_some() {
            self.done.push(self.current);
        }
        let mut out = Vec::with_capacity(self.code.len() + self.text.len() / 2);
        let mut lines = self.done.as_slice();
        while let Some(first) = lines.first() {
            let run = run(lines, width);
            let (these, rest) = lines.split_at(run.max(1));
            lines = rest;
            let aligned = these.len() > 1
                && these.iter().any(|line| line.comment.is_some_and(|comment| !comment.own_line && comment.wide));
            let shared = these.iter().filter(|line| !line.code.is_empty()).map(|line| line.end).max();
            let mut column = first.end;
            for line in these {
                let code = self.code.get(line.code.clone()).unwrap_or_default();
                out.extend_from_slice(code);
                if let Some(comment) = line.comment {
                    let here = if code.is_empty() { 0 } else { line.end };
                    column = match shared {
                        _ if comment.glued => line.end,
                        Some(shared) if aligned && run > 0 => shared + 1,
                        _ if !code.is_empty() => line.end + 1,
                        // An own line, or one that goes on with the comment above.
                        _ if run > 0 => column,
                        _ => line.end,
                    };
                    out.resize(out.len() + column.saturating_sub(here), b' ');
                    out.extend_from_slice(trim_comment(self.text.get(comment.text.clone()).unwrap_or_default()));
                }
                out.push(b'\n');
            }
        }
        out
    }
}

/// How many lines from the first on have comments at their ends that belong together: one for each
/// line, or going on below one another.
fn run(lines: &[Line<'_>], width: usize) -> usize {
    let mut above: Option<usize> = None;
    for (number, line) in lines.iter().enumerate() {
        let Some(comment) = line.comment else { return number };
        let belongs = if comment.own_line {
            // Further right than it would stand on its own, or the next run would see another text.
            above == Some(comment.column) && comment.column > line.end
        } else {
            line.end <= width && !comment.glued
        };
        if !belongs {
            return number;
        }
        above = Some(comment.column);
    }
    lines.len()
}
