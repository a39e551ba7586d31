//! In: a text that the reader takes. Out: [`Tree`]: its lists and atoms with what stands between
//! them, how wide each is on one line, and in which style it is broken. Never: columns.

use std::ops::Range;

use crate::sbpl::reader::{Lexeme, Lexer, Token};
use crate::sbpl::scheme::{Symbols, Value};

/// A comment.
#[derive(Debug)]
pub(super) struct Comment {
    /// Its bytes.
    pub text: Range<usize>,
    /// Whether nothing stands before it on its line.
    pub own_line: bool,
    /// Whether it must follow the code at once: behind the symbol `.`, a space would make it the
    /// dot of a pair.
    pub glued: bool,
    /// Whether more than one space stands before it, as where comments are aligned.
    pub wide: bool,
    /// Where it starts in its line; a tab goes to the next multiple of 8.
    pub column: usize,
}

/// What stands in a list.
#[derive(Debug)]
pub(super) enum Item {
    /// A form.
    Node {
        /// Its number in [`Tree::nodes`].
        id: usize,
        /// Whether it starts a line.
        fresh: bool,
        /// Whether it must follow the form before it at once, as [`Comment::glued`].
        glued: bool,
    },
    /// A comment.
    Comment(Comment),
    /// One or more blank lines.
    Blank,
}

/// How a list is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style {
    /// How many forms behind the first always stay on its line.
    pub hug: usize,
    /// How many stay there if they fit.
    pub kept: usize,
    /// Columns from the parenthesis to the forms on lines of their own.
    pub indent: usize,
    /// Whether it stays broken where its writer broke it.
    keeps_breaks: bool,
    /// Which form is a list of bindings.
    pub bindings: Option<usize>,
}

impl Style {
    /// A call of a filter or procedure: one argument a line.
    const CALL: Self = Self { hug: 0, kept: 0, indent: 2, keeps_breaks: false, bindings: None };

    /// A combination of filters, or a body without a head.
    const BLOCK: Self = Self { keeps_breaks: true, ..Self::CALL };

    /// Data, or a list of lists: one item a line, below the first.
    const fn data(indent: usize) -> Self {
        Self { indent, ..Self::BLOCK }
    }

    /// A form with a body behind some forms that stay with its name.
    const fn body(hug: usize) -> Self {
        Self { hug, kept: hug, ..Self::BLOCK }
    }

    /// A form whose last head is a list of bindings.
    const fn binder(hug: usize, kept: usize) -> Self {
        Self { kept, bindings: Some(hug), ..Self::body(hug) }
    }

    pub(super) fn is_call(&self) -> bool {
        *self == Self::CALL
    }
}

/// An atom or a list; the quotes before it are part of it.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Quotes, or the dot of a pair.
    pub prefix: Vec<u8>,
    text: Range<usize>,
    /// Whether it is a list or vector, and `text` its opening parenthesis.
    pub list: bool,
    symbol: bool,
    /// What is in the list.
    pub items: Vec<Item>,
    /// Columns on one line; `None` where it cannot be on one.
    pub width: Option<usize>,
    /// Whether there is no place to break it.
    pub fixed: bool,
    /// How it is broken.
    pub style: Style,
}

impl Default for Style {
    fn default() -> Self {
        Self::BLOCK
    }
}

/// A text as forms with what stands between them.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    /// The text.
    pub text: &'a [u8],
    /// All atoms and lists but the root.
    pub nodes: Vec<Node>,
    /// The top level.
    pub root: Node,
}

/// Columns that bytes take: one for each character.
pub(super) fn columns(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

/// A comment without the blanks and the carriage return at its end.
pub(super) fn trim_comment(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !matches!(byte, b' ' | b'\t' | b'\r')).map_or(0, |at| at + 1);
    bytes.get(..end).unwrap_or_default()
}

/// Where a byte stands in its line.
fn column_of(text: &[u8], at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    before.get(start..).unwrap_or_default().iter().fold(0, |column, byte| match byte {
        b'\t' => (column / 8 + 1) * 8,
        byte if byte & 0xc0 == 0x80 => column,
        _ => column + 1,
    })
}

/// What is known between two lexemes.
#[derive(Default)]
struct Pending {
    /// Quotes and dots that wait for their form.
    prefix: Vec<u8>,
    /// Whether the first of them, or else the next lexeme, starts a line.
    fresh: bool,
}

impl<'a> Tree<'a> {
    /// Takes a text that the reader takes; of any other, what comes before the first error.
    pub(super) fn of(text: &'a [u8]) -> Self {
        let mut tree = Self { text, nodes: Vec::new(), root: Node::default() };
        let mut open: Vec<Node> = Vec::new();
        let mut lexer = Lexer::new(text, 0);
        let mut symbols = Symbols::default();
        let mut pending = Pending::default();
        let (mut end, mut sticky) = (0, false);
        while let Ok(Some(lexeme)) = lexer.next(&mut symbols) {
            let gap = text.get(end..lexeme.start).unwrap_or_default();
            let newlines = gap.iter().filter(|byte| **byte == b'\n').count();
            let first = end == 0;
            end = lexeme.end;
            let glued = std::mem::take(&mut sticky);
            let list = open.last_mut().unwrap_or(&mut tree.root);
            if pending.prefix.is_empty() {
                pending.fresh = newlines > 0 || first;
                let closes = matches!(lexeme.token, Token::Close);
                if newlines > 1 && !closes && !matches!(list.items.last(), None | Some(Item::Blank)) {
                    list.items.push(Item::Blank);
                }
            }
            let Lexeme { token, start, end } = lexeme;
            let bytes = text.get(start..end).unwrap_or_default();
            let list_node = |pending: &mut Pending| Node {
                prefix: std::mem::take(&mut pending.prefix),
                text: start..end,
                list: true,
                ..Node::default()
            };
            match token {
                Token::Comment => {
                    // One between a quote and its form goes before the quote.
                    let own_line = pending.fresh || !pending.prefix.is_empty();
                    list.items.push(Item::Comment(Comment {
                        text: start..end,
                        own_line,
                        glued,
                        wide: gap.len() > 1 || gap.contains(&b'\t'),
                        column: column_of(text, start),
                    }));
                }
                Token::Dot => pending.prefix.extend_from_slice(b". "),
                Token::Quote(_) => pending.prefix.extend_from_slice(bytes),
                Token::Open | Token::OpenVector => {
                    let id = tree.nodes.len();
                    tree.nodes.push(Node::default());
                    let fresh = pending.fresh;
                    list.items.push(Item::Node { id, fresh, glued });
                    open.push(list_node(&mut pending));
                }
                Token::Close => {
                    let Some(mut node) = open.pop() else { break };
                    tree.measure(&mut node);
                    let parent = open.last().unwrap_or(&tree.root);
                    if let Some(Item::Node { id, .. }) = parent.items.last()
                        && let Some(place) = tree.nodes.get_mut(*id)
                    {
                        *place = node;
                    }
                }
                Token::Datum(value) => {
                    // `, @x` is not `,@x`.
                    if pending.prefix.ends_with(b",") && bytes.starts_with(b"@") {
                        pending.prefix.push(b' ');
                    }
                    let id = tree.nodes.len();
                    list.items.push(Item::Node { id, fresh: pending.fresh, glued });
                    sticky = bytes == b".";
                    let prefix = std::mem::take(&mut pending.prefix);
                    let width = (!bytes.contains(&b'\n')).then(|| columns(&prefix) + columns(bytes));
                    let symbol = matches!(value, Value::Symbol(_));
                    tree.nodes.push(Node { prefix, text: start..end, symbol, width, fixed: true, ..Node::default() });
                }
            }
        }
        tree
    }

    /// The bytes of an atom, or of a list's opening parenthesis.
    pub(super) fn bytes(&self, node: &Node) -> &'a [u8] {
        self.text.get(node.text.clone()).unwrap_or_default()
    }

    fn forms<'n>(&'n self, node: &'n Node) -> impl Iterator<Item = (&'n Node, bool)> {
        node.items.iter().filter_map(|item| match item {
            Item::Node { id, fresh, .. } => self.nodes.get(*id).map(|node| (node, *fresh)),
            _ => None,
        })
    }

    /// Decides about a list whose items are complete.
    fn measure(&self, node: &mut Node) {
        let style = self.style(node);
        let count = self.forms(node).count();
        let only_forms = count == node.items.len();
        // One argument stands with its function, however long it is: `(regex (f "…"))`.
        let small = count < 2 || (count == 2 && style.indent == 2);
        let atoms = |node: &Node| self.forms(node).all(|(form, _)| !form.list);
        let whole = |form: &Node| !form.list || (style.is_call() && form.fixed && atoms(form));
        node.fixed = only_forms && small && self.forms(node).all(|(form, _)| whole(form));
        let broken = style.keeps_breaks
            && !node.fixed
            && count > style.kept + 1
            && self.forms(node).skip(1).any(|(_, fresh)| fresh);
        node.width = if broken || !only_forms { None } else { self.flat_width(node) };
        node.style = style;
    }

    fn flat_width(&self, node: &Node) -> Option<usize> {
        let mut width = columns(&node.prefix) + columns(self.bytes(node)) + 1;
        for (number, item) in node.items.iter().enumerate() {
            let Item::Node { id, glued, .. } = item else { return None };
            width += self.nodes.get(*id)?.width? + usize::from(number > 0 && !glued);
        }
        Some(width)
    }

    /// The style that a list's first form asks for.
    fn style(&self, node: &Node) -> Style {
        let opener = columns(self.bytes(node));
        let quoted = node.prefix.ends_with(b"'") || opener > 1;
        let head = match node.items.first() {
            Some(Item::Node { id, .. }) if !quoted => self.nodes.get(*id).filter(|head| head.symbol),
            _ => None,
        };
        let Some(head) = head else { return Style::data(opener) };
        let list_at = |number: usize| self.forms(node).nth(number).is_some_and(|(form, _)| form.list);
        match self.bytes(head) {
            b"allow" | b"deny" => Style { kept: self.operations(node), ..Style::BLOCK },
            b"require-any" | b"require-all" | b"require-not" | b"begin" | b"cond" | b"apply-message-filter" => {
                Style::BLOCK
            }
            b"define" | b"lambda" | b"macro" | b"define-macro" | b"when" | b"unless" | b"case" | b"set!" => {
                Style::body(1)
            }
            b"let" if !list_at(1) => Style::binder(2, 2),
            b"let" | b"let*" | b"letrec" | b"letrec*" => Style::binder(1, 1),
            b"do" => Style::binder(1, 2),
            // The branches stand below the test.
            b"if" => Style { indent: 4, ..Style::body(1) },
            b"else" => Style::data(1),
            _ => Style::CALL,
        }
    }

    /// How many forms behind `allow` or `deny` belong to its line: operations, and modifiers that
    /// their writer put between them.
    fn operations(&self, node: &Node) -> usize {
        let modifier = |form: &Node| match form.items.first() {
            Some(Item::Node { id, .. }) => self.nodes.get(*id).is_some_and(|head| self.bytes(head) == b"with"),
            _ => false,
        };
        self.forms(node).skip(1).take_while(|(form, fresh)| form.symbol || (!fresh && modifier(form))).count()
    }
}
