//! In: bytes of a profile. Out: one form after the other as Scheme values whose pairs know the
//! byte range they came from (LANGUAGE.md §1); or its lexemes with the comments among them, for
//! those who keep a layout. Never: evaluation. Nesting is held on a heap stack, so no input can
//! overflow the machine's own.

use nom::branch::alt;
use nom::bytes::complete::{tag, take, take_till, take_while, take_while_m_n, take_while1};
use nom::combinator::{opt, recognize};
use nom::{IResult, Parser};

use super::scheme::{Symbols, Value};
use super::source::{Source, SourceId, Span, offset};

/// Deepest nesting of lists that is read. Apple's own profiles stay below 20; the limit keeps
/// every later walk over a form shallow.
pub const MAX_NESTING: usize = 1_000;

/// What a reader can stumble over; texts of LANGUAGE.md §2.3.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadErrorKind {
    /// A string without its closing quote, or with a bad escape.
    #[error("Error reading string")]
    String,
    /// End of text inside a list.
    #[error("syntax error: expecting ')'")]
    Unclosed,
    /// A `)` that closes nothing, or a quote with nothing behind it.
    #[error("syntax error: illegal token")]
    Token,
    /// A pair dot in the wrong place.
    #[error("syntax error: illegal dot expression")]
    Dot,
    /// `#` followed by something unknown.
    #[error("undefined sharp expression")]
    Sharp,
    /// More than [`MAX_NESTING`] lists inside one another.
    #[error("lists nested too deep (limit {MAX_NESTING})")]
    Nesting,
}

/// A reader error and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadError {
    /// What.
    pub kind: ReadErrorKind,
    /// Where: for an unclosed list, the list's own parenthesis.
    pub span: Span,
}

/// A form, where it stands, and where the text goes on.
#[derive(Debug)]
pub struct Form {
    /// The form.
    pub value: Value,
    /// Its bytes.
    pub span: Span,
    /// Offset behind it.
    pub next: u32,
}

/// What a text is made of.
#[derive(Clone, Debug)]
pub(super) enum Token {
    /// `(`.
    Open,
    /// `#(`.
    OpenVector,
    /// `)`.
    Close,
    /// The dot of a pair.
    Dot,
    /// `'` and its like, with the name of the form that it stands for.
    Quote(&'static str),
    /// An atom or a string.
    Datum(Value),
    /// From `;` or `#!` to the end of the line, without the newline.
    Comment,
}

/// A token and its bytes in the text; `end` is exclusive.
#[derive(Clone, Debug)]
pub(super) struct Lexeme {
    /// What.
    pub token: Token,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// The lexemes of a text, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Lexer<'a> {
    /// Starts at `position`.
    pub(super) fn new(text: &'a [u8], position: usize) -> Self {
        Self { text, rest: text.get(position..).unwrap_or_default() }
    }

    /// The offset behind the last lexeme.
    fn position(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    /// The next lexeme; `None` at the end of the text.
    ///
    /// # Errors
    /// A malformed token, with its first byte and one past its last.
    pub(super) fn next(&mut self, symbols: &mut Symbols) -> Result<Option<Lexeme>, (ReadErrorKind, usize, usize)> {
        self.rest = skip_space(self.rest);
        let start = self.position();
        if self.rest.is_empty() {
            return Ok(None);
        }
        let token = if let Some(rest) = skip_comment(self.rest) {
            self.rest = rest;
            Token::Comment
        } else {
            let (rest, token) = token(self.rest, symbols).map_err(|kind| {
                let end = atom(self.rest).map_or(self.rest, |(rest, _)| rest);
                (kind, start, (self.text.len() - end.len()).max(start + 1))
            })?;
            self.rest = rest;
            token
        };
        Ok(Some(Lexeme { token, start, end: self.position() }))
    }
}

type Input<'a> = &'a [u8];

/// C `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// What ends an atom (LANGUAGE.md §1): quotes do not.
fn ends_atom(byte: u8) -> bool {
    matches!(byte, b'(' | b')' | b';' | b'\t' | b'\n' | b'\r' | b' ')
}

fn skip_space(input: Input<'_>) -> Input<'_> {
    let parsed: IResult<Input<'_>, Input<'_>> = take_while(is_space).parse(input);
    parsed.map_or(input, |(rest, _)| rest)
}

/// The text behind the `;` or `#!` comment that it starts with, if it does.
fn skip_comment(input: Input<'_>) -> Option<Input<'_>> {
    let comment = (alt((tag(&b";"[..]), tag(&b"#!"[..]))), take_till(|b| b == b'\n'));
    let parsed: IResult<Input<'_>, Input<'_>> = recognize(comment).parse(input);
    parsed.ok().map(|(rest, _)| rest)
}

/// The body of a `"…"` string and its closing quote.
fn string_body(mut input: Input<'_>) -> IResult<Input<'_>, Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let (rest, plain) = take_till(|b| b == b'"' || b == b'\\').parse(input)?;
        out.extend_from_slice(plain);
        let (rest, mark) = take(1usize).parse(rest)?;
        if mark == b"\"" {
            return Ok((rest, out));
        }
        let (after, escaped) = take(1usize).parse(rest)?;
        input = match escaped {
            b"n" => push(&mut out, b'\n', after),
            b"t" => push(&mut out, b'\t', after),
            b"r" => push(&mut out, b'\r', after),
            b"x" => {
                let (after, digits) = take_while_m_n(2, 2, |b: u8| b.is_ascii_hexdigit()).parse(after)?;
                push(&mut out, number_byte(digits, 16), after)
            }
            [b'0'..=b'7'] => {
                let (after, digits) = take_while_m_n(2, 3, |b: u8| matches!(b, b'0'..=b'7')).parse(rest)?;
                push(&mut out, number_byte(digits, 8), after)
            }
            other => push(&mut out, other.first().copied().unwrap_or(b'\\'), after),
        };
    }
}

fn push<'a>(out: &mut Vec<u8>, byte: u8, rest: Input<'a>) -> Input<'a> {
    out.push(byte);
    rest
}

/// Digits as one byte; three octal digits wrap as in C.
fn number_byte(digits: &[u8], radix: u32) -> u8 {
    let number = digits.iter().fold(0u32, |sum, digit| sum * radix + char::from(*digit).to_digit(radix).unwrap_or(0));
    (number & 0xff) as u8
}

fn raw_string_body(input: Input<'_>) -> IResult<Input<'_>, Vec<u8>> {
    let (rest, body) = take_till(|b| b == b'"').parse(input)?;
    let (rest, _) = tag(&b"\""[..]).parse(rest)?;
    Ok((rest, body.to_vec()))
}

fn atom(input: Input<'_>) -> IResult<Input<'_>, Input<'_>> {
    take_till(ends_atom).parse(input)
}

/// An integer, a real, or nothing: anything else is a symbol.
fn number(text: &[u8]) -> Option<Value> {
    let shape = |input| -> IResult<Input<'_>, (Input<'_>, Option<Input<'_>>, Option<Input<'_>>)> {
        let digits = || take_while(|b: u8| b.is_ascii_digit());
        let (input, _) = opt(alt((tag(&b"+"[..]), tag(&b"-"[..])))).parse(input)?;
        let (input, whole) = digits().parse(input)?;
        let (input, fraction) = opt((tag(&b"."[..]), digits())).parse(input)?;
        let (input, exponent) = opt(recognize((
            alt((tag(&b"e"[..]), tag(&b"E"[..]))),
            opt(alt((tag(&b"+"[..]), tag(&b"-"[..])))),
            take_while1(|b: u8| b.is_ascii_digit()),
        )))
        .parse(input)?;
        Ok((input, (whole, fraction.map(|(_, digits)| digits), exponent)))
    };
    let (rest, (whole, fraction, exponent)) = shape(text).ok()?;
    if !rest.is_empty() || (whole.is_empty() && fraction.is_none_or(<[u8]>::is_empty)) {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    if fraction.is_none() && exponent.is_none() {
        // C strtol saturates; so does this.
        let clamped = || if text.starts_with('-') { i64::MIN } else { i64::MAX };
        return Some(Value::Integer(text.parse().unwrap_or_else(|_| clamped())));
    }
    text.parse().ok().map(Value::Real)
}

/// What stands behind `#\`: one character, a name, or `xHH`.
fn character(text: &[u8]) -> Option<u8> {
    match text {
        [one] => Some(*one),
        [b'x' | b'X', digits @ ..] if digits.len() <= 2 && digits.iter().all(u8::is_ascii_hexdigit) => {
            Some(number_byte(digits, 16))
        }
        name => [("space", b' '), ("newline", b'\n'), ("return", b'\r'), ("tab", b'\t')]
            .into_iter()
            .find_map(|(known, byte)| name.eq_ignore_ascii_case(known.as_bytes()).then_some(byte)),
    }
}

fn sharp(text: &[u8]) -> Option<Value> {
    let radix = match text {
        b"t" => return Some(Value::Bool(true)),
        b"f" => return Some(Value::Bool(false)),
        [b'x', ..] => 16,
        [b'o', ..] => 8,
        [b'b', ..] => 2,
        [b'd', ..] => 10,
        _ => return None,
    };
    let digits = std::str::from_utf8(&text[1..]).ok()?;
    i64::from_str_radix(digits, radix).ok().map(Value::Integer)
}

/// One token. The outer result says that the token is malformed.
fn token<'a>(input: Input<'a>, symbols: &mut Symbols) -> Result<(Input<'a>, Token), ReadErrorKind> {
    let simple = |token: Token, length: usize| Ok((&input[length..], token));
    match input {
        [b'(', ..] => simple(Token::Open, 1),
        [b')', ..] => simple(Token::Close, 1),
        [b'\'', ..] => simple(Token::Quote("quote"), 1),
        [b'`', ..] => simple(Token::Quote("quasiquote"), 1),
        [b',', b'@', ..] => simple(Token::Quote("unquote-splicing"), 2),
        [b',', ..] => simple(Token::Quote("unquote"), 1),
        [b'#', b'(', ..] => simple(Token::OpenVector, 2),
        [b'.'] => simple(Token::Dot, 1),
        [b'.', next, ..] if is_space(*next) => simple(Token::Dot, 1),
        [b'"', rest @ ..] => string_body(rest)
            .map(|(rest, bytes)| (rest, Token::Datum(Value::literal(bytes))))
            .map_err(|_| ReadErrorKind::String),
        [b'#', b'"', rest @ ..] => raw_string_body(rest)
            .map(|(rest, bytes)| (rest, Token::Datum(Value::literal(bytes))))
            .map_err(|_| ReadErrorKind::String),
        [b'#', b'\\', rest @ ..] => {
            // The first byte belongs to the character whatever it is: `#\(`, `#\;`.
            let named = |input| -> IResult<Input<'_>, Input<'_>> { recognize((take(1usize), atom)).parse(input) };
            let (rest, text) = named(rest).map_err(|_| ReadErrorKind::Sharp)?;
            let byte = character(text).ok_or(ReadErrorKind::Sharp)?;
            Ok((rest, Token::Datum(Value::Character(byte))))
        }
        [b'#', rest @ ..] => {
            let (rest, text) = atom(rest).map_err(|_| ReadErrorKind::Sharp)?;
            sharp(text).map(|datum| (rest, Token::Datum(datum))).ok_or(ReadErrorKind::Sharp)
        }
        _ => {
            let parsed: IResult<Input<'_>, Input<'_>> = atom(input);
            let (rest, text) = parsed.map_err(|_| ReadErrorKind::Token)?;
            let datum = number(text).unwrap_or_else(|| Value::Symbol(symbols.intern(&String::from_utf8_lossy(text))));
            Ok((rest, Token::Datum(datum)))
        }
    }
}

/// A list, vector or quote that is still open.
struct Open {
    kind: OpenKind,
    start: u32,
    items: Vec<(Value, Span)>,
    tail: Option<Value>,
    dotted: bool,
}

enum OpenKind {
    List,
    Vector,
    Quote(&'static str),
}

/// Reads the form that starts at or behind `position`; `None` at the end of the text.
///
/// # Errors
/// [`ReadError`] with the texts of LANGUAGE.md §2.3.
pub fn read_form(
    id: SourceId,
    source: &Source,
    position: u32,
    symbols: &mut Symbols,
) -> Result<Option<Form>, ReadError> {
    let mut lexer = Lexer::new(&source.text, position as usize);
    let mut open: Vec<Open> = Vec::new();
    loop {
        let lexeme = lexer.next(symbols).map_err(|(kind, start, end)| ReadError {
            kind,
            span: Span { source: id, start: offset(start), end: offset(end) },
        })?;
        let Some(Lexeme { token, start, end }) = lexeme else {
            return match open.last() {
                None => Ok(None),
                Some(list) => Err(ReadError {
                    kind: ReadErrorKind::Unclosed,
                    span: Span { source: id, start: list.start, end: list.start + 1 },
                }),
            };
        };
        let (start, end) = (offset(start), offset(end));
        let here = Span { source: id, start, end };
        let fail = |kind| Err(ReadError { kind, span: here });
        let begin = |kind| Open { kind, start, items: Vec::new(), tail: None, dotted: false };
        let mut done = match token {
            Token::Open | Token::OpenVector | Token::Quote(_) => {
                if open.len() >= MAX_NESTING {
                    return fail(ReadErrorKind::Nesting);
                }
                open.push(begin(match token {
                    Token::OpenVector => OpenKind::Vector,
                    Token::Quote(name) => OpenKind::Quote(name),
                    _ => OpenKind::List,
                }));
                continue;
            }
            Token::Dot => match open.last_mut() {
                Some(list) if matches!(list.kind, OpenKind::List) && !list.items.is_empty() && !list.dotted => {
                    list.dotted = true;
                    continue;
                }
                _ => return fail(ReadErrorKind::Dot),
            },
            Token::Close => match open.pop() {
                Some(list) if matches!(list.kind, OpenKind::List | OpenKind::Vector) => {
                    if list.dotted && list.tail.is_none() {
                        return fail(ReadErrorKind::Dot);
                    }
                    let span = Span { source: id, start: list.start, end };
                    (close(list, span), span)
                }
                _ => return fail(ReadErrorKind::Token),
            },
            Token::Datum(datum) => (datum, here),
            Token::Comment => continue,
        };
        // Hand the finished datum to the innermost open list; quotes close at once.
        loop {
            let Some(list) = open.last_mut() else {
                return Ok(Some(Form { value: done.0, span: done.1, next: offset(lexer.position()) }));
            };
            if let OpenKind::Quote(name) = list.kind {
                let span = Span { source: id, start: list.start, end: done.1.end };
                let head = (Value::Symbol(symbols.intern(name)), Span { end: list.start + 1, ..span });
                open.pop();
                done = (Value::list_at(vec![head, done], Value::Nil, span), span);
                continue;
            }
            if list.dotted {
                if list.tail.is_some() {
                    return Err(ReadError { kind: ReadErrorKind::Dot, span: done.1 });
                }
                list.tail = Some(done.0);
            } else {
                list.items.push(done);
            }
            break;
        }
    }
}

fn close(list: Open, span: Span) -> Value {
    match list.kind {
        OpenKind::Vector => Value::vector(list.items.into_iter().map(|(item, _)| item).collect()),
        _ => Value::list_at(list.items, list.tail.unwrap_or(Value::Nil), span),
    }
}

#[cfg(test)]
mod tests {
    use super::super::scheme::Symbols;
    use super::super::source::Sources;
    use super::*;

    fn read_all(text: &str) -> Result<Vec<String>, String> {
        let mut sources = Sources::default();
        let id = sources.add("t".into(), text.as_bytes());
        let mut symbols = Symbols::default();
        let source = sources.get(id).ok_or("no source")?;
        let mut position = 0;
        let mut out = Vec::new();
        while let Some(form) = read_form(id, source, position, &mut symbols).map_err(|e| e.kind.to_string())? {
            position = form.next;
            out.push(form.value.written());
        }
        Ok(out)
    }

    #[test]
    fn atoms_and_lists() {
        let read = |text: &str| read_all(text).unwrap_or_else(|e| vec![e]).join(" | ");
        assert_eq!(
            read("(a . b) 'x `(a ,b ,@c) #(1 2)"),
            "(a . b) | (quote x) | (quasiquote (a (unquote b) (unquote-splicing c))) | #(1 2)"
        );
        assert_eq!(
            read("-12 .5 1e3 #o0004 #xff 1.2.3 127.0.0.1:80 - ..."),
            "-12 | 0.5 | 1000.0 | 4 | 255 | 1.2.3 | 127.0.0.1:80 | - | ..."
        );
        assert_eq!(read(r#""a\x41\101\.\\" #"^/a\.b$""#), r#""aAA.\\" | "^/a\\.b$""#);
        assert_eq!(
            read("a\"b filter' #t #\\( #\\space ; note\n#! more\nz"),
            "a\"b | filter' | #t | #\\( | #\\space | z"
        );
    }

    #[test]
    fn errors_have_the_field_texts() {
        for (text, message) in [
            ("(deny default", "syntax error: expecting ')'"),
            ("(\"/x))", "Error reading string"),
            (r#"("\x4")"#, "Error reading string"),
            (")", "syntax error: illegal token"),
            ("(a . b c)", "syntax error: illegal dot expression"),
            ("#|a|#", "undefined sharp expression"),
            ("(a . )", "syntax error: illegal dot expression"),
            ("(')", "syntax error: illegal token"),
        ] {
            assert_eq!(read_all(text), Err(message.to_owned()), "{text}");
        }
        assert!(read_all(&"(".repeat(100_000)).is_err());
    }
}
