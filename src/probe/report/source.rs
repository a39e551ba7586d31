//! In: the bytes of a runtime profile, and the place and text of a rule in it. Out: the lines around the rule,
//! with the rule marked. Never: a guess; where the rule does not stand there, there are no lines.

use maud::{Markup, html};

use super::text;
use crate::probe::artifacts::DecidedBy;

/// Lines before and behind the rule.
const AROUND: usize = 3;
/// Most lines of the rule itself.
const MOST_LINES: usize = 40;
/// Most bytes of a line.
const MOST_BYTES: usize = 600;

/// One line, in three parts: the middle one is the rule's.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    number: usize,
    before: String,
    marked: String,
    behind: String,
}

/// The lines around a rule; nothing where its text does not stand at its place.
pub(super) fn excerpt(runtime: &[u8], by: &DecidedBy) -> Option<Markup> {
    let text = by.text.as_deref()?;
    let (lines, left) = lines(runtime, by.line?, by.column?, text)?;
    Some(html! {
        div.source {
            @for line in &lines {
                div.line.of-rule[!line.marked.is_empty()] {
                    span.number { (line.number) }
                    code {
                        (text::start(&line.before, MOST_BYTES))
                        @if !line.marked.is_empty() { mark { (text::start(&line.marked, MOST_BYTES)) } }
                        (text::start(&line.behind, MOST_BYTES))
                    }
                }
            }
            @if left > 0 { div.line { span.number { } span.cut { "… " (left) " lines more" } } }
        }
    })
}

/// The lines, and how many of the rule are left out.
fn lines(runtime: &[u8], line: u32, column: u32, text: &str) -> Option<(Vec<Line>, usize)> {
    let line = usize::try_from(line).ok()?.checked_sub(1)?;
    let column = usize::try_from(column).ok()?.checked_sub(1)?;
    let first = line.saturating_sub(AROUND);
    let all = || runtime.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).enumerate();
    // The rule's own text says where it ends; bytes that are no UTF-8 are replaced in both.
    let mut parts = text.split('\n').map(|part| part.strip_suffix('\r').unwrap_or(part));
    let of_rule = parts.clone().count();
    let shown = of_rule.min(MOST_LINES);
    let mut out = Vec::new();
    for (at, bytes) in all().skip(first).take(line - first + shown) {
        let whole = String::from_utf8_lossy(bytes);
        if at < line {
            out.push(Line { number: at + 1, before: whole.into(), marked: String::new(), behind: String::new() });
            continue;
        }
        let start = if at == line { column } else { 0 };
        let before = String::from_utf8_lossy(bytes.get(..start)?).into_owned();
        let rest = String::from_utf8_lossy(bytes.get(start..)?);
        let marked = parts.next()?;
        let behind = rest.strip_prefix(marked)?.to_owned();
        out.push(Line { number: at + 1, before, marked: marked.to_owned(), behind });
    }
    if out.len() < line - first + shown {
        return None;
    }
    if of_rule == shown {
        for (at, bytes) in all().skip(line + of_rule).take(AROUND) {
            // What ends with a line's end has no line behind it.
            if bytes.is_empty() && all().nth(at + 1).is_none() {
                break;
            }
            let before = String::from_utf8_lossy(bytes).into_owned();
            out.push(Line { number: at + 1, before, marked: String::new(), behind: String::new() });
        }
    }
    Some((out, of_rule - shown))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parts(found: &[Line]) -> Vec<(usize, &str, &str, &str)> {
        found.iter().map(|line| (line.number, &*line.before, &*line.marked, &*line.behind)).collect()
    }

    #[test]
    fn a_rule_is_marked_where_it_stands() {
        let text = b"1\n2\n3\n4\n \xff(allow\n  a) ; b\n7\n8\n9\n10\n";
        let (found, left) = lines(text, 5, 3, "(allow\n  a)").unwrap();
        assert_eq!(
            parts(&found),
            [
                (2, "2", "", ""),
                (3, "3", "", ""),
                (4, "4", "", ""),
                (5, " \u{fffd}", "(allow", ""),
                (6, "", "  a)", " ; b"),
                (7, "7", "", ""),
                (8, "8", "", ""),
                (9, "9", "", "")
            ]
        );
        assert_eq!(left, 0);
    }

    #[test]
    fn the_ends_of_a_text() {
        let (found, _) = lines(b"(a)\n", 1, 1, "(a)").unwrap();
        assert_eq!(parts(&found), [(1, "", "(a)", "")]);
        let (found, _) = lines(b"(a)\r\n(b)", 2, 1, "(b)").unwrap();
        assert_eq!(parts(&found), [(1, "(a)", "", ""), (2, "", "(b)", "")]);
    }

    #[test]
    fn a_rule_that_does_not_stand_there_is_not_shown() {
        for (line, column, text) in
            [(1, 1, "(b)"), (1, 2, "(a)"), (2, 1, "(a)"), (9, 9, "(a)"), (0, 0, "(a)"), (1, 1, "(a)\n(b)"), (1, 99, "")]
        {
            assert_eq!(lines(b"(a)\n", line, column, text), None, "{line}:{column} {text}");
        }
    }

    #[test]
    fn a_long_rule_is_cut() {
        let rule = format!("(allow\n{})", "a\n".repeat(100));
        let (found, left) = lines(rule.as_bytes(), 1, 1, &rule).unwrap();
        assert_eq!((found.len(), left), (MOST_LINES, 62));
    }
}
