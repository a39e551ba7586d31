//! Strings are bytes; so are characters (LANGUAGE.md §2.2).

use super::super::call::Call;
use super::super::error::Error;
use super::super::machine::{Host, Machine, PAIR_BYTES};
use super::super::value::Value;
use super::{Native, Outcome, done, native};

pub(super) fn table<H: Host>() -> Vec<Native<H>> {
    let mut table = vec![
        native!(["string-append"], 0, None, append),
        native!(["string-length"], 1, Some(1), |_, call| {
            done(Value::Integer(i64::try_from(call.text(0)?.len()).unwrap_or(i64::MAX)))
        }),
        native!(["string-ref"], 2, Some(2), string_ref),
        native!(["substring"], 2, Some(3), substring),
        native!(["make-string"], 1, Some(2), make_string),
        native!(["string"], 0, None, string),
        native!(["string-copy"], 1, Some(1), |machine, call| {
            let bytes = call.text(0)?;
            machine.charge(bytes.len(), call.at)?;
            done(Value::string(bytes.clone()))
        }),
        native!(["string->list"], 1, Some(1), |machine, call| {
            let bytes = call.text(0)?;
            machine.charge(bytes.len() * PAIR_BYTES, call.at)?;
            done(Value::list(bytes.iter().copied().map(Value::Character).collect()))
        }),
        native!(["list->string"], 1, Some(1), |machine, call| {
            let items = machine.list_items(&call, 0)?;
            let bytes = items.iter().map(|item| match item {
                Value::Character(byte) => Ok(*byte),
                _ => Err(call.wrong_type(0, "character")),
            });
            done(Value::string(bytes.collect::<Result<Vec<u8>, _>>()?))
        }),
        native!(["string-set!"], 3, Some(3), string_set),
        native!(["string-fill!"], 2, Some(2), |machine, call| {
            let byte = character(&call, 1)?;
            let mut bytes = changeable(&call)?;
            machine.spend((bytes.len() / 64) as u64, call.at)?;
            bytes.fill(byte);
            done(call.argument(0).clone())
        }),
        native!(["string->atom"], 1, Some(2), string_to_atom),
        native!(["string->symbol"], 1, Some(1), |machine, call| {
            let name = String::from_utf8_lossy(&call.string(0)?).into_owned();
            machine.charge(name.len() + 64, call.at)?;
            done(Value::Symbol(machine.symbols.intern(&name)))
        }),
        native!(["symbol->string"], 1, Some(1), |_, call| done(Value::string(call.symbol(0)?.name().as_bytes()))),
        native!(["number->string", "atom->string"], 1, Some(2), number_to_string),
        native!(["string->number"], 1, Some(2), string_to_number),
        native!(["char->integer"], 1, Some(1), |_, call| done(Value::Integer(i64::from(character(&call, 0)?)))),
        native!(["integer->char"], 1, Some(1), |_, call| {
            let byte = u8::try_from(call.integer(0)?).map_err(|_| call.wrong_type(0, "character code"))?;
            done(Value::Character(byte))
        }),
        native!(["char-upcase"], 1, Some(1), |_, call| done(Value::Character(
            character(&call, 0)?.to_ascii_uppercase()
        ))),
        native!(["char-downcase"], 1, Some(1), |_, call| done(Value::Character(
            character(&call, 0)?.to_ascii_lowercase()
        ))),
    ];
    macro_rules! classes {
        ($($name:literal: $test:expr),+ $(,)?) => {
            table.extend([$(native!([$name], 1, Some(1), |_, call| {
                let test: fn(&u8) -> bool = $test;
                done(Value::Bool(test(&character(&call, 0)?)))
            })),+])
        };
    }
    classes! {
        "char-alphabetic?": u8::is_ascii_alphabetic,
        "char-numeric?": u8::is_ascii_digit,
        "char-whitespace?": |byte| byte.is_ascii_whitespace() || *byte == 0x0b,
        "char-upper-case?": u8::is_ascii_uppercase,
        "char-lower-case?": u8::is_ascii_lowercase,
    }
    macro_rules! comparisons {
        ($($text:literal, $folded:literal, $characters:literal, $characters_folded:literal: $holds:ident),+ $(,)?) => {
            table.extend([$(
                native!([$text], 2, Some(2), |machine, call| compare_strings(machine, &call, false, std::cmp::Ordering::$holds)),
                native!([$folded], 2, Some(2), |machine, call| compare_strings(machine, &call, true, std::cmp::Ordering::$holds)),
                native!([$characters], 2, Some(2), |_, call| compare_characters(&call, false, std::cmp::Ordering::$holds)),
                native!([$characters_folded], 2, Some(2), |_, call| compare_characters(&call, true, std::cmp::Ordering::$holds)),
            )+])
        };
    }
    comparisons! {
        "string=?", "string-ci=?", "char=?", "char-ci=?": is_eq,
        "string<?", "string-ci<?", "char<?", "char-ci<?": is_lt,
        "string>?", "string-ci>?", "char>?", "char-ci>?": is_gt,
        "string<=?", "string-ci<=?", "char<=?", "char-ci<=?": is_le,
        "string>=?", "string-ci>=?", "char>=?", "char-ci>=?": is_ge,
    }
    table
}

fn character(call: &Call<'_>, index: usize) -> Result<u8, Error> {
    match call.argument(index) {
        Value::Character(byte) => Ok(*byte),
        _ => Err(call.wrong_type(index, "character")),
    }
}

fn append<H: Host>(machine: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let mut out = Vec::new();
    for index in 0..call.arguments.len() {
        let Value::String(text) = call.argument(index) else { return Err(call.wrong_type(index, "string")) };
        let bytes = text.bytes.borrow();
        machine.charge(bytes.len(), call.at)?;
        out.extend_from_slice(&bytes);
    }
    done(Value::string(out))
}

fn bound(call: &Call<'_>, index: usize, what: &str, most: usize) -> Result<usize, Error> {
    let number = call.integer(index)?;
    usize::try_from(number)
        .ok()
        .filter(|position| *position <= most)
        .ok_or_else(|| Error::new(format!("{}: {what}out of bounds: {number}", call.name), call.at))
}

fn string_ref<H: Host>(_: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let bytes = call.text(0)?;
    let number = call.integer(1)?;
    let byte = usize::try_from(number).ok().and_then(|position| bytes.get(position).copied());
    match byte {
        Some(byte) => done(Value::Character(byte)),
        None => Err(Error::new(format!("string-ref: out of bounds: {number}"), call.at)),
    }
}

/// The bytes of a string that is no literal (LANGUAGE.md §1).
fn changeable<'a>(call: &'a Call<'_>) -> Result<std::cell::RefMut<'a, Vec<u8>>, Error> {
    match call.argument(0) {
        Value::String(text) if text.literal => {
            let shown = call.argument(0).written();
            Err(Error::new(format!("{}: unable to alter immutable string: {shown}", call.name), call.at))
        }
        Value::String(text) => Ok(text.bytes.borrow_mut()),
        _ => Err(call.wrong_type(0, "string")),
    }
}

fn string_set<H: Host>(_: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let byte = character(&call, 2)?;
    let number = call.integer(1)?;
    let mut bytes = changeable(&call)?;
    match usize::try_from(number).ok().and_then(|position| bytes.get_mut(position)) {
        Some(slot) => *slot = byte,
        None => return Err(Error::new(format!("string-set!: out of bounds: {number}"), call.at)),
    }
    done(call.argument(0).clone())
}

/// `(string->atom "12")`: a number where it is one, else a symbol.
fn string_to_atom<H: Host>(machine: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let text = String::from_utf8_lossy(&call.text(0)?).into_owned();
    machine.charge(text.len(), call.at)?;
    done(match number_of(&text, 10) {
        Some(number) => number,
        None => Value::Symbol(machine.symbols.intern(&text)),
    })
}

fn substring<H: Host>(machine: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let bytes = call.text(0)?;
    let start = bound(&call, 1, "start ", bytes.len())?;
    let end = if call.arguments.len() > 2 { bound(&call, 2, "end ", bytes.len())? } else { bytes.len() };
    let part =
        bytes.get(start..end).ok_or_else(|| Error::new(format!("substring: end out of bounds: {end}"), call.at))?;
    machine.charge(part.len(), call.at)?;
    done(Value::string(part))
}

fn make_string<H: Host>(machine: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let count = usize::try_from(call.integer(0)?).map_err(|_| call.wrong_type(0, "non-negative integer"))?;
    let fill = if call.arguments.len() > 1 { character(&call, 1)? } else { b' ' };
    machine.charge(count, call.at)?;
    done(Value::string(vec![fill; count]))
}

fn string<H: Host>(_: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let bytes: Result<Vec<u8>, Error> = (0..call.arguments.len()).map(|index| character(&call, index)).collect();
    done(Value::string(bytes?))
}

fn number_to_string<H: Host>(_: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let radix = if call.arguments.len() > 1 { call.integer(1)? } else { 10 };
    done(Value::string(match (call.argument(0), radix) {
        (Value::Integer(number), 16) => format!("{number:x}"),
        (Value::Integer(number), 8) => format!("{number:o}"),
        (Value::Integer(number), 2) => format!("{number:b}"),
        (Value::Integer(_) | Value::Real(_) | Value::Symbol(_), _) => call.argument(0).displayed(),
        _ => return Err(call.wrong_type(0, "number")),
    }))
}

fn string_to_number<H: Host>(machine: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let text = call.text(0)?;
    machine.spend((text.len() / 16) as u64, call.at)?;
    let text = String::from_utf8_lossy(&text);
    let radix = if call.arguments.len() > 1 { u32::try_from(call.integer(1)?).unwrap_or(10) } else { 10 };
    number_of(&text, radix).map_or_else(|| Err(Error::new("string->xxx: not a xxx", call.at)), done)
}

fn number_of(text: &str, radix: u32) -> Option<Value> {
    let integer = if (2..=36).contains(&radix) { i64::from_str_radix(text, radix).ok() } else { None };
    let real = || text.parse::<f64>().ok().filter(|number| radix == 10 && number.is_finite()).map(Value::Real);
    integer.map(Value::Integer).or_else(real)
}

type Holds = fn(std::cmp::Ordering) -> bool;

fn compare_strings<H: Host>(machine: &mut Machine<H>, call: &Call<'_>, fold: bool, holds: Holds) -> Outcome {
    let (a, b) = (call.text(0)?, call.text(1)?);
    machine.spend((a.len().min(b.len()) / 64) as u64, call.at)?;
    let order = if fold { lower(&a).cmp(lower(&b)) } else { a.cmp(&b) };
    done(Value::Bool(holds(order)))
}

fn lower(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    bytes.iter().map(u8::to_ascii_lowercase)
}

fn compare_characters(call: &Call<'_>, fold: bool, holds: Holds) -> Outcome {
    let (mut a, mut b) = (character(call, 0)?, character(call, 1)?);
    if fold {
        a.make_ascii_lowercase();
        b.make_ascii_lowercase();
    }
    done(Value::Bool(holds(a.cmp(&b))))
}
