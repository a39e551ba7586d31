//! In: errors and notes of an evaluation. Out: [`Diagnostic`], which knows its place, its source
//! line and the way there, and renders itself. Never: where it is printed.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::reader::ReadError;
use super::source::{Sources, Span};
use crate::policy::rules::{Place, Via};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// No result.
    Error,
    /// A result that may not be what was meant.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// The word in JSON, which knows two (CLI.md, `check`).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning | Self::Note => "warning",
        }
    }
}

/// Something to tell about a profile.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// How bad.
    pub severity: Severity,
    /// Short name for programs.
    pub code: &'static str,
    /// Text as in LANGUAGE.md §2.3 and §4.
    pub message: String,
    /// Where.
    pub place: Place,
    /// What to do, where something close is known.
    pub help: Option<String>,
    /// Imports and macro calls that led there, innermost first.
    pub via: Vec<Via>,
    excerpt: Option<Excerpt>,
}

/// The lines around the place, and the marked bytes in them.
#[derive(Clone, Debug)]
struct Excerpt {
    text: String,
    first_line: usize,
    marked: std::ops::Range<usize>,
}

/// Longest excerpt that is shown, in bytes.
const MAX_EXCERPT: usize = 400;

impl Diagnostic {
    /// An error about a text as a whole.
    #[must_use]
    pub fn error(code: &'static str, message: String, file: &str) -> Self {
        Self::whole(Severity::Error, code, message, file)
    }

    /// A note about a text as a whole.
    #[must_use]
    pub fn note(code: &'static str, message: String, file: &str) -> Self {
        Self::whole(Severity::Note, code, message, file)
    }

    fn whole(severity: Severity, code: &'static str, message: String, file: &str) -> Self {
        let place = Place { file: file.to_owned(), line: 1, column: 1 };
        Self { severity, code, message, place, help: None, via: Vec::new(), excerpt: None }
    }

    /// The diagnostic of a text that cannot be read.
    #[must_use]
    pub fn of_read_error(sources: &Sources, error: &ReadError) -> Self {
        let mut diagnostic = Self::error("syntax", error.kind.to_string(), sources.name(error.span.source));
        diagnostic.set_place(sources, error.span);
        diagnostic
    }

    /// Gives it a place in a text.
    pub(super) fn set_place(&mut self, sources: &Sources, at: Span) {
        self.place = place(sources, at);
        self.excerpt = excerpt(sources, at);
    }

    /// As Apple's library reports an error (LANGUAGE.md §2.3): message and place, then the places that lead
    /// there, innermost first. Apple has the whole form under a place; this has the line it starts in, or
    /// what led on from there.
    #[must_use]
    pub fn backtrace(&self) -> String {
        let Some(excerpt) = &self.excerpt else { return self.message.clone() };
        let Place { file, line, column } = &self.place;
        let mut text = format!(
            "{} at {file}, line {line}, column {column}\n\nBacktrace:\n{file}:{line}:{column}:\n\t{}",
            self.message,
            excerpt.text.trim()
        );
        for Via { what, place: Place { file, line, column } } in &self.via {
            text.push_str(&format!("\n{file}:{line}:{column}:\n\t{what}"));
        }
        text
    }

    /// For people: message, source line, caret, trail. `styled` adds colours.
    #[must_use]
    pub fn render(&self, styled: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let title = level.clone().primary_title(self.message.as_str());
        let mut group = match &self.excerpt {
            Some(excerpt) => title.element(
                Snippet::source(excerpt.text.as_str())
                    .line_start(excerpt.first_line)
                    .path(self.place.file.as_str())
                    .annotation(AnnotationKind::Primary.span(excerpt.marked.clone())),
            ),
            None => title.element(annotate_snippets::Origin::path(self.place.file.as_str())),
        };
        // A macro that calls itself makes many equal steps.
        for steps in self.via.chunk_by(|a, b| a == b) {
            let Some(via) = steps.first() else { continue };
            let times = if steps.len() > 1 { format!(" ({} times)", steps.len()) } else { String::new() };
            let text = format!("by {} at {}:{}:{}{times}", via.what, via.place.file, via.place.line, via.place.column);
            group = group.element(Level::NOTE.message(text));
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let report: &[Group<'_>] = &[group];
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        renderer.render(report)
    }

    /// For programs; keys as in CLI.md (`check`).
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let via: Vec<_> = self
            .via
            .iter()
            .map(|via| serde_json::json!({"what": via.what, "file": via.place.file, "line": via.place.line, "column": via.place.column}))
            .collect();
        serde_json::json!({
            "severity": self.severity.name(),
            "code": self.code,
            "message": self.message,
            "file": self.place.file,
            "line": self.place.line,
            "column": self.place.column,
            "help": self.help,
            "via": via,
        })
    }
}

/// A span as file, line and column.
pub(super) fn place(sources: &Sources, at: Span) -> Place {
    let position = sources.line_column(at);
    Place { file: sources.name(at.source).to_owned(), line: position.line, column: position.column }
}

/// The first line of a span, cut to a bounded length around the marked bytes.
fn excerpt(sources: &Sources, at: Span) -> Option<Excerpt> {
    let source = sources.get(at.source)?;
    let bytes: &[u8] = &source.text;
    let start = (at.start as usize).min(bytes.len());
    let line_start = bytes[..start].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let line_end = bytes[start..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| start + at);
    let from = line_start.max(start.saturating_sub(MAX_EXCERPT / 2));
    let to = line_end.min(start + MAX_EXCERPT / 2);
    let end = (at.end as usize).clamp(start, to);
    let text = |range: &[u8]| String::from_utf8_lossy(range).replace('\r', " ");
    let (before, marked, after) = (text(&bytes[from..start]), text(&bytes[start..end]), text(&bytes[end..to]));
    let marked_range = before.len()..(before.len() + marked.len());
    let first_line = sources.line_column(at).line as usize;
    Some(Excerpt { text: format!("{before}{marked}{after}"), first_line, marked: marked_range })
}
