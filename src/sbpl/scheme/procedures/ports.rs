//! Ports that read (LANGUAGE.md §2.2); application.sb reads a profile out of an entitlement with
//! one on a string (§9). Ports on files are opened by the host (`sbpl/imports`), which confines
//! them; here no file is opened, and nothing is written.

use std::cell::Cell;
use std::rc::Rc;

use super::super::super::reader::{ReadError, read_form};
use super::super::call::Call;
use super::super::error::{Error, ErrorKind};
use super::super::machine::{Host, Machine};
use super::super::value::{Port, Value};
use super::{Native, Outcome, done, native};

pub(super) fn table<H: Host>() -> Vec<Native<H>> {
    vec![
        native!(["open-input-string"], 1, Some(1), open),
        native!(["read"], 1, Some(1), read),
        native!(["read-char"], 1, Some(1), |machine, call| character(machine, &call, true)),
        native!(["peek-char"], 1, Some(1), |machine, call| character(machine, &call, false)),
        native!(["char-ready?"], 1, Some(1), |_, call| {
            port(&call)?;
            done(Value::Bool(true))
        }),
        native!(["close-input-port", "close-port"], 1, Some(1), |_, call| {
            port(&call)?;
            done(Value::Bool(true))
        }),
        native!(["eof-object?"], 1, Some(1), |_, call| {
            done(Value::Bool(matches!(call.argument(0), Value::EndOfFile)))
        }),
        native!(["input-port?", "port?"], 1, Some(1), |_, call| {
            done(Value::Bool(matches!(call.argument(0), Value::Port(_))))
        }),
        native!(["output-port?"], 1, Some(1), |_, _| done(Value::Bool(false))),
    ]
}

fn port<'a>(call: &'a Call<'_>) -> Result<&'a Rc<Port>, Error> {
    match call.argument(0) {
        Value::Port(port) => Ok(port),
        _ => Err(call.wrong_type(0, "input port")),
    }
}

fn open<H: Host>(machine: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let text = call.text(0)?;
    machine.charge(2 * text.len() + 256, call.at)?;
    let source = machine.sources.add(String::from("<string>"), &text);
    done(Value::Port(Rc::new(Port { source, position: Cell::new(0) })))
}

fn read<H: Host>(machine: &mut Machine<H>, call: Call<'_>) -> Outcome {
    let port = port(&call)?;
    let Some(source) = machine.sources.get(port.source) else { return done(Value::EndOfFile) };
    let length = super::super::super::source::offset(source.text.len());
    let start = port.position.get();
    let form = read_form(port.source, source, start, &mut machine.symbols)
        .map_err(|ReadError { kind, span }| Error::of_kind(ErrorKind::Syntax, kind.to_string(), Some(span)))?;
    port.position.set(form.as_ref().map_or(length, |form| form.next));
    let passed = port.position.get().saturating_sub(start);
    machine.spend(u64::from(passed / 16), call.at)?;
    machine.charge(passed as usize * 16, call.at)?;
    done(form.map_or(Value::EndOfFile, |form| form.value))
}

fn character<H: Host>(machine: &mut Machine<H>, call: &Call<'_>, take: bool) -> Outcome {
    let port = port(call)?;
    let position = port.position.get();
    let byte = machine.sources.get(port.source).and_then(|source| source.text.get(position as usize).copied());
    if take && byte.is_some() {
        port.position.set(position + 1);
    }
    done(byte.map_or(Value::EndOfFile, Value::Character))
}
