//! In: the text of a profile. Out: the same program in one layout. Never: evaluation, another
//! program, a lost comment; a text whose tokens would differ is not handed out.
//!
//! - `tree`: the text as lists, atoms, comments and blank lines, and what is kept on which line
//! - `lines`: the lines that come out, and the columns of the comments at their ends
//!
//! The layout: two spaces for each level; operations stay with their `allow`, filters stand one on
//! a line; definitions and the like keep their heads, `if` aligns its branches. What fits on its
//! line stays there, but a rule, a combination of filters, a body or a list of data that its
//! writer broke stays broken.

mod lines;
mod tree;

use super::diagnostics::Diagnostic;
use super::reader::{Lexer, Token, read_form};
use super::scheme::Symbols;
use super::source::{MAX_TEXT, Sources};
use lines::Lines;
use tree::{Item, Node, Tree};

/// Columns of a line where nobody says otherwise.
pub const DEFAULT_WIDTH: usize = 100;

/// Why a text has no formatted form.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The reader refuses it.
    #[error("{}", .0.message)]
    Unreadable(Box<Diagnostic>),
    /// The result would be another program: a bug of this file, found before it did harm.
    #[error("formatting would change {0}")]
    Changed(&'static str),
}

/// Formats a profile for lines of `width` columns. Formatting the result changes nothing more.
///
/// # Errors
/// [`FormatError::Unreadable`] where the text is no list of forms.
pub fn format(name: &str, text: &[u8], width: usize) -> Result<Vec<u8>, FormatError> {
    read(name, text).map_err(FormatError::Unreadable)?;
    let tree = Tree::of(text);
    let out = lay_out(&tree, width).finish(width);
    verify(text, &out)?;
    Ok(out)
}

/// Whether the reader takes a text to its end.
fn read(name: &str, text: &[u8]) -> Result<(), Box<Diagnostic>> {
    if text.len() > MAX_TEXT {
        let message = format!("profile of {} bytes is too long", text.len());
        return Err(Box::new(Diagnostic::error("profile", message, name)));
    }
    let mut sources = Sources::default();
    let id = sources.add(name.to_owned(), text);
    let mut symbols = Symbols::default();
    let mut position = 0;
    while let Some(source) = sources.get(id) {
        match read_form(id, source, position, &mut symbols) {
            Ok(Some(form)) => position = form.next,
            Ok(None) => break,
            Err(error) => return Err(Box::new(Diagnostic::of_read_error(&sources, &error))),
        }
    }
    Ok(())
}

/// Demands the same tokens, spelled alike, and the same comments: the forms are a function of the
/// tokens, so this is more than equal forms.
fn verify(before: &[u8], after: &[u8]) -> Result<(), FormatError> {
    let tokens = |comments| lexemes(before, comments).eq(lexemes(after, comments));
    if !tokens(false) {
        return Err(FormatError::Changed("a form"));
    }
    if !tokens(true) {
        return Err(FormatError::Changed("a comment"));
    }
    Ok(())
}

/// The spelling of each token, or of each comment; a malformed one ends them.
fn lexemes(text: &[u8], comments: bool) -> impl Iterator<Item = (bool, &[u8])> {
    let mut lexer = Lexer::new(text, 0);
    let mut symbols = Symbols::default();
    std::iter::from_fn(move || lexer.next(&mut symbols).ok().flatten())
        .filter(move |lexeme| matches!(lexeme.token, Token::Comment) == comments)
        .map(move |lexeme| {
            let bytes = text.get(lexeme.start..lexeme.end).unwrap_or_default();
            // `.` is a symbol or the dot of a pair, depending on what follows.
            (matches!(lexeme.token, Token::Dot), if comments { tree::trim_comment(bytes) } else { bytes })
        })
}

/// A list that is being laid out over several lines.
struct Frame<'t> {
    node: &'t Node,
    /// Number of the next item.
    next: usize,
    /// How many of its forms are out.
    forms: usize,
    /// Column of its parenthesis.
    column: usize,
    /// Column of its items on lines of their own.
    indent: usize,
    /// Whether the line of its parenthesis is still the last one.
    first_line: bool,
    /// Closing parentheses that follow its own on the same line.
    trailing: usize,
    /// What its parent makes of it.
    role: Role,
}

/// What a list is to the form around it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Plain,
    /// The bindings of a `let`.
    Bindings,
    /// One of them: the name keeps its value.
    Binding,
}

impl Frame<'_> {
    /// Puts the next form behind the last one or on a line of its own.
    fn place(&mut self, lines: &mut Lines<'_>, glued: bool, fits: impl Fn(usize) -> bool) {
        let number = self.forms;
        self.forms += 1;
        if glued {
            return;
        }
        let style = &self.node.style;
        let hug = if self.role == Role::Binding { 1 } else { style.hug };
        let stays = self.first_line
            && !lines.must_end()
            && (number <= hug || (number <= style.kept && fits(lines.column() + 1)));
        if !stays {
            lines.start(self.indent);
            self.first_line = false;
        } else if number > 0 {
            lines.push(b" ");
        }
    }

    fn role_of(&self, child: &Node) -> Role {
        // `forms` already counts the child.
        if self.node.style.bindings == Some(self.forms - 1) {
            Role::Bindings
        } else if self.role == Role::Bindings && child.style.is_call() {
            Role::Binding
        } else {
            Role::Plain
        }
    }
}

/// Puts the forms on lines. A stack of its own, since lists nest as deep as the reader lets them.
fn lay_out<'t>(tree: &'t Tree<'t>, width: usize) -> Lines<'t> {
    let mut lines = Lines::new(tree.text);
    // Indentation is bounded too, or a deep text would grow with the square of its depth.
    let limit = width / 2;
    let mut stack = vec![Frame {
        node: &tree.root,
        next: 0,
        forms: 0,
        column: 0,
        indent: 0,
        first_line: false,
        trailing: 0,
        role: Role::Plain,
    }];
    while let Some(mut frame) = stack.pop() {
        let inner = !stack.is_empty();
        let Some(item) = frame.node.items.get(frame.next) else {
            if inner {
                if lines.must_end() {
                    lines.start(frame.column.min(limit));
                }
                lines.push(b")");
            }
            continue;
        };
        frame.next += 1;
        match item {
            Item::Blank => lines.blank(),
            Item::Comment(comment) => {
                if comment.own_line {
                    lines.start(frame.indent);
                    frame.first_line = false;
                }
                lines.comment(comment);
            }
            Item::Node { id, glued, .. } => {
                let Some(child) = tree.nodes.get(*id) else { continue };
                let last = frame.next == frame.node.items.len();
                let trailing = if last && inner { frame.trailing + 1 } else { 0 };
                let fits = |column: usize| child.width.is_some_and(|size| column + size + trailing <= width);
                frame.place(&mut lines, *glued, fits);
                if child.fixed || fits(lines.column()) {
                    write_flat(tree, child, &mut lines);
                } else {
                    lines.push(&child.prefix);
                    let column = lines.column();
                    lines.push(tree.bytes(child));
                    let role = frame.role_of(child);
                    let indent = (column + child.style.indent).min(limit);
                    stack.push(frame);
                    stack.push(Frame {
                        node: child,
                        next: 0,
                        forms: 0,
                        column,
                        indent,
                        first_line: true,
                        trailing,
                        role,
                    });
                    continue;
                }
            }
        }
        stack.push(frame);
    }
    lines
}

/// Puts a form on the current line.
fn write_flat(tree: &Tree<'_>, node: &Node, lines: &mut Lines<'_>) {
    let begin = |node: &Node, lines: &mut Lines<'_>| {
        lines.push(&node.prefix);
        lines.push(tree.bytes(node));
    };
    begin(node, lines);
    let mut stack = vec![(node, 0)];
    while let Some((node, next)) = stack.pop() {
        match node.items.get(next) {
            Some(Item::Node { id, glued, .. }) => {
                stack.push((node, next + 1));
                let Some(child) = tree.nodes.get(*id) else { continue };
                if next > 0 && !glued {
                    lines.push(b" ");
                }
                begin(child, lines);
                stack.push((child, 0));
            }
            // No list with anything else in it is written flat.
            Some(_) => stack.push((node, next + 1)),
            None if node.list => lines.push(b")"),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The formatted text; formatting it again must change nothing.
    fn formatted(text: &str) -> String {
        let once = format("t", text.as_bytes(), DEFAULT_WIDTH).unwrap();
        let twice = format("t", &once, DEFAULT_WIDTH).unwrap();
        assert_eq!(String::from_utf8_lossy(&twice), String::from_utf8_lossy(&once));
        String::from_utf8(once).unwrap()
    }

    #[track_caller]
    fn stays(text: &str) {
        assert_eq!(formatted(text), text);
    }

    #[test]
    fn what_fits_stays_and_what_is_broken_stays_broken() {
        stays("(allow file-read* (literal \"/a\") (subpath \"/b\"))\n");
        stays("(allow file-read*\n  (literal \"/a\"))\n");
        stays("(define (f x)\n  (subpath x))\n");
        // A call is no rule.
        assert_eq!(formatted("(allow signal\n(target\nself))"), "(allow signal\n  (target self))\n");
        // There is no other place for a break.
        assert_eq!(formatted("(allow\nfile-read*\n file-write* )"), "(allow file-read* file-write*)\n");
    }

    #[test]
    fn operations_stay_with_their_rule() {
        assert_eq!(
            formatted("(deny file-read*\n   file-write* (with no-report) (literal \"/a\")\n(literal \"/b\")\n)"),
            "(deny file-read* file-write* (with no-report)\n  (literal \"/a\")\n  (literal \"/b\"))\n"
        );
        stays("(deny file-read*\n  (literal \"/a\")\n  (with no-report))\n");
        let operations = ["ipc-posix-shm-write-create"; 5].join(" ");
        assert_eq!(
            formatted(&format!("(allow {operations})")),
            "(allow ipc-posix-shm-write-create ipc-posix-shm-write-create ipc-posix-shm-write-create\n  \
             ipc-posix-shm-write-create\n  ipc-posix-shm-write-create)\n"
        );
    }

    #[test]
    fn one_filter_or_string_a_line_past_the_width() {
        let long = |letter: &str| format!("\"/{}\"", letter.repeat(40));
        let (a, b, c) = (long("a"), long("b"), long("c"));
        assert_eq!(
            formatted(&format!("(allow file-read* (literal {a} {b} {c}) (subpath \"/d\"))")),
            format!("(allow file-read*\n  (literal\n    {a}\n    {b}\n    {c})\n  (subpath \"/d\"))\n")
        );
        assert_eq!(
            formatted(&format!("(define paths '({a} {b} {c}))")),
            format!("(define paths\n  '({a}\n    {b}\n    {c}))\n")
        );
        // One argument has nowhere else to go.
        let endless = format!("\"{}\"", "x".repeat(200));
        stays(&format!("(allow file-read*\n  (regex (user-path {endless})))\n"));
    }

    #[test]
    fn bodies_keep_their_heads() {
        stays("(let ((x 1)\n      (y 2))\n  (f x)\n  (g y))\n");
        stays("(let loop ((n 0))\n  (when (< n 3)\n    (loop (+ n 1))))\n");
        stays("(if (param \"A\")\n    (deny default)\n    (begin\n      (allow default)\n      (deny file*)))\n");
        stays("(cond\n  ((f x) y)\n  (else\n   z))\n");
        stays("(do ((i 0 (+ i 1))) ((= i 3))\n  (f i))\n");
        stays("(define-macro (m . forms)\n  `(begin ,@forms))\n");
        let value = format!("(lambda (x)\n{}(f x)\n{}(g x))", " ".repeat(11), " ".repeat(11));
        stays(&format!("(let ((f {value}))\n  (f 1))\n"));
    }

    #[test]
    fn comments_stay_where_they_stand() {
        stays("#!/usr/bin/sbtool\n;; head\n\n(version 1) ; one\n; between\n(deny default)\n\n;(allow  file* )\n");
        stays(
            "(allow file-read* ; why\n  (literal \"/a\") ; a\n  ; (literal   \"/b\")\n  (literal \"/c\")\n  ; end\n)\n",
        );
        assert_eq!(
            formatted("(allow file-read*\n;(literal \"/b\")  \n(require-any\n(literal \"/c\") ;; c\n))"),
            "(allow file-read*\n  ;(literal \"/b\")\n  (require-any\n    (literal \"/c\") ;; c\n  ))\n"
        );
        stays("( ; only\n)\n");
        assert_eq!(formatted("(f ' ; c\n x)"), "(f\n  ; c\n  'x)\n");
        assert_eq!(formatted("(a . ; c\n b)"), "(a\n  ; c\n  . b)\n");
    }

    #[test]
    fn aligned_comments_stay_aligned() {
        assert_eq!(
            formatted("(allow f\n(a)      ; one\n         ; more\n(long b) ; two\n)\n(x)    ; three"),
            "(allow f\n  (a)      ; one\n           ; more\n  (long b) ; two\n)\n(x) ; three\n"
        );
        stays("(a) ; one\n(long b) ; two\n");
        // A line past the width does not push the others out.
        let long = "x".repeat(200);
        stays(&format!("(a)   ; one\n(b c) ; two\n{long} ; three\n"));
    }

    #[test]
    fn blank_lines() {
        assert_eq!(
            formatted("\n\n(a)\n\n\n\n(b\n\n\n(c)\n\n\n(d)\n\n)(e)\r\n\r\n; f\r\n\r\n"),
            "(a)\n\n(b\n\n  (c)\n\n  (d))\n(e)\n\n; f\n"
        );
        assert_eq!(formatted(""), "");
        assert_eq!(formatted(" \n\n"), "");
    }

    #[test]
    fn spelling_stays() {
        stays("(f #o0004 #xFF \"\\x41\\101\" #\"^/a\\.b$\" 'x `(x ,y ,@z) #\\( #\\; #t +1.50 #(1 2))\n");
        // A space where none may be lost, none where none may be added.
        assert_eq!(formatted("(f , @x '  y)"), "(f , @x 'y)\n");
        assert_eq!(formatted("(f .(x) .;c\n)"), "(f .(x) .;c\n)\n".replace("(f .", "(f\n  .").replace(" .;", "\n  .;"));
        assert_eq!(formatted("(\"a\nb\" \"c\")"), "(\"a\nb\"\n \"c\")\n");
        let text = b"(f \"\xff\xfe\r\n\" ; \xff\n)";
        let out = format("t", text, DEFAULT_WIDTH).unwrap();
        assert_eq!(out, b"(f\n  \"\xff\xfe\r\n\" ; \xff\n)\n");
    }

    #[test]
    fn what_cannot_be_read_has_a_place() {
        let Err(FormatError::Unreadable(diagnostic)) = format("t", b"(version 1)\n(deny", DEFAULT_WIDTH) else {
            panic!("it was formatted")
        };
        assert_eq!((diagnostic.place.line, diagnostic.message.as_str()), (2, "syntax error: expecting ')'"));
    }

    #[test]
    fn another_program_is_refused() {
        assert!(matches!(verify(b"(a b)", b"(a c)"), Err(FormatError::Changed("a form"))));
        assert!(matches!(verify(b"(a .(b))", b"(a . (b))"), Err(FormatError::Changed("a form"))));
        assert!(matches!(verify(b"(a) ; b", b"(a) ; c"), Err(FormatError::Changed("a comment"))));
        assert!(verify(b"(a) ; b \r\n", b"(a)\n; b").is_ok());
    }

    #[test]
    fn deep_and_long_texts() {
        let deep = format!("{}x{}", "(a ".repeat(1_000), ")".repeat(1_000));
        let long = format!("(f \"{}\" ; c\n x)", "y".repeat(1 << 20));
        let wide = format!("({})", "'(a b) ".repeat(50_000));
        let broken = format!("{} {}", "(a\n;c\n".repeat(1_000), ")".repeat(1_000));
        for text in [deep, long, wide, broken] {
            formatted(&text);
        }
    }
}
