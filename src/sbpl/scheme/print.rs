//! In: values. Out: their text as `write` and `display` give it. Never: more than a bounded amount
//! of text, since data may be circular.

use std::rc::Rc;

use super::value::{Value, Vector};
use crate::sbpl_text::quoted;

/// Longest text of one value; what is longer ends in `...`.
const MAX_WRITTEN: usize = 4_096;

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.written())
    }
}

impl Value {
    /// As `write`: strings quoted, characters as `#\c`.
    #[must_use]
    pub fn written(&self) -> String {
        print(self, true)
    }

    /// As `display`: strings and characters as they are.
    #[must_use]
    pub fn displayed(&self) -> String {
        print(self, false)
    }

    /// What kind of value it is, in the words of LANGUAGE.md §5.1.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "empty list",
            Self::Bool(_) => "boolean",
            Self::Integer(_) => "integer",
            Self::Real(_) => "number",
            Self::Character(_) => "character",
            Self::Symbol(_) => "symbol",
            Self::String(_) => "string",
            Self::Pair(_) => "pair",
            Self::Vector(_) => "vector",
            Self::Native(_) | Self::Closure(_) | Self::Continuation(_) => "procedure",
            Self::Macro(_) => "macro",
            Self::Promise(_) => "promise",
            Self::Environment(_) => "environment",
            Self::Port(_) => "port",
            Self::EndOfFile => "end of file",
            Self::Foreign(_) => "object",
        }
    }
}

enum Piece {
    Value(Value),
    Rest(Value),
    Text(&'static str),
    /// A vector from this place on; one item at a time, since it may hold itself many times over.
    Items(Rc<Vector>, usize),
}

fn print(value: &Value, write: bool) -> String {
    let mut out = String::new();
    let mut work = vec![Piece::Value(value.clone())];
    while let Some(piece) = work.pop() {
        if out.len() > MAX_WRITTEN {
            break;
        }
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Rest(rest) => match rest {
                Value::Nil => out.push(')'),
                Value::Pair(pair) => {
                    out.push(' ');
                    work.push(Piece::Rest(pair.cdr()));
                    work.push(Piece::Value(pair.car()));
                }
                other => {
                    out.push_str(" . ");
                    work.push(Piece::Text(")"));
                    work.push(Piece::Value(other));
                }
            },
            Piece::Value(Value::Pair(pair)) => {
                out.push('(');
                work.push(Piece::Rest(pair.cdr()));
                work.push(Piece::Value(pair.car()));
            }
            Piece::Value(Value::Vector(items)) => {
                out.push_str("#(");
                work.push(Piece::Items(items, 0));
            }
            Piece::Items(items, index) => match items.borrow().get(index).cloned() {
                None => out.push(')'),
                Some(item) => {
                    if index > 0 {
                        out.push(' ');
                    }
                    work.push(Piece::Items(items.clone(), index + 1));
                    work.push(Piece::Value(item));
                }
            },
            Piece::Value(other) => atom(&other, write, &mut out),
        }
    }
    if out.len() > MAX_WRITTEN {
        out.push_str("...");
    }
    out
}

fn atom(value: &Value, write: bool, out: &mut String) {
    match value {
        Value::Nil => out.push_str("()"),
        Value::Bool(true) => out.push_str("#t"),
        Value::Bool(false) => out.push_str("#f"),
        Value::Integer(number) => out.push_str(&number.to_string()),
        Value::Real(number) => out.push_str(&format!("{number:?}")),
        Value::Symbol(name) => out.push_str(name.name()),
        Value::String(text) if write => out.push_str(&quoted(beginning(&text.bytes.borrow()))),
        Value::String(text) => out.push_str(&String::from_utf8_lossy(beginning(&text.bytes.borrow()))),
        Value::Character(byte) if write => out.push_str(&match byte {
            b' ' => "#\\space".to_owned(),
            b'\n' => "#\\newline".to_owned(),
            b'\r' => "#\\return".to_owned(),
            b'\t' => "#\\tab".to_owned(),
            0x21..=0x7e => format!("#\\{}", char::from(*byte)),
            other => format!("#\\x{other:x}"),
        }),
        Value::Character(byte) => out.push(char::from(*byte)),
        Value::Native(_) => out.push_str("#<PROCEDURE>"),
        Value::Closure(_) => out.push_str("#<CLOSURE>"),
        Value::Macro(_) => out.push_str("#<MACRO>"),
        Value::Continuation(_) => out.push_str("#<CONTINUATION>"),
        Value::Promise(_) => out.push_str("#<PROMISE>"),
        Value::Environment(_) => out.push_str("#<ENVIRONMENT>"),
        Value::Port(_) => out.push_str("#<PORT>"),
        Value::EndOfFile => out.push_str("#<EOF>"),
        Value::Foreign(object) => out.push_str(&object.written()),
        Value::Pair(_) | Value::Vector(_) => {}
    }
}

/// As much of a long string as is shown; one byte more than the limit, so that `...` follows.
fn beginning(bytes: &[u8]) -> &[u8] {
    bytes.get(..=MAX_WRITTEN).unwrap_or(bytes)
}
