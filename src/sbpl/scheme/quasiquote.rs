//! In: a quasiquoted template. Out: the template itself where nothing in it is unquoted, else code
//! that builds it. Never: evaluation of the unquoted parts; that is the machine's.

use std::rc::Rc;

use super::error::Error;
use super::machine::{Host, Machine, Step};
use super::syntax::{At, MAX_PARTS, Outcome, Scope, evaluate, is_symbol, malformed, part};
use super::value::{Pair, Value};

/// Deepest nesting of a template. Each level takes a few KB of stack in a debug build.
const MAX_TEMPLATE: usize = 100;

/// A template becomes code that builds it, which is then evaluated.
pub(super) fn quasiquote<H: Host>(machine: &mut Machine<H>, form: &Rc<Pair>, environment: &Scope, at: At) -> Outcome {
    let (template, template_at) = part(form, 0, at).ok_or_else(|| malformed(form, at))?;
    let code = Template { machine, at }.code(&template, 1, 0)?;
    Ok(match code {
        Code::Constant(value) => Step::Return(value),
        Code::Built(code) => evaluate((code, template_at), environment),
    })
}

/// What a part of a template comes to.
enum Code {
    /// Nothing in it is unquoted: the part itself, with its places in the text.
    Constant(Value),
    /// An expression that builds it.
    Built(Value),
}

struct Template<'a, H: Host> {
    machine: &'a mut Machine<H>,
    at: At,
}

impl<H: Host> Template<'_, H> {
    fn native(&mut self, name: &str) -> Value {
        let symbol = self.machine.symbols.intern(name);
        let global = self.machine.global.clone();
        self.machine.find(&symbol, &global).unwrap_or_default()
    }

    fn quoted(&mut self, value: Value) -> Value {
        let quote = Value::Symbol(self.machine.symbols.intern("quote"));
        Value::list(vec![quote, value])
    }

    /// The code as an expression.
    fn expression(&mut self, code: Code) -> Value {
        match code {
            Code::Constant(value) => self.quoted(value),
            Code::Built(code) => code,
        }
    }

    fn code(&mut self, template: &Value, level: usize, depth: usize) -> Result<Code, Error> {
        if depth > MAX_TEMPLATE {
            return Err(Error::new(format!("quasiquote nested too deep (limit {MAX_TEMPLATE})"), self.at));
        }
        match template {
            Value::Pair(pair) => self.list_code(pair, level, depth),
            Value::Vector(items) => Ok(match self.code(&Value::list(items.borrow().clone()), level, depth + 1)? {
                Code::Constant(_) => Code::Constant(template.clone()),
                Code::Built(list) => Code::Built(Value::list(vec![self.native("list->vector"), list])),
            }),
            other => Ok(Code::Constant(other.clone())),
        }
    }

    /// A list template is built back to front; one loop over its spine.
    fn list_code(&mut self, first: &Rc<Pair>, level: usize, depth: usize) -> Result<Code, Error> {
        let mut parts: Vec<(Rc<Pair>, Part)> = Vec::new();
        let mut rest = Value::Pair(first.clone());
        let tail = 'spine: loop {
            let Value::Pair(pair) = rest else { break self.code(&rest, level, depth + 1)? };
            if parts.len() >= MAX_PARTS {
                return Err(Error::new("quasiquote: list too long", self.at));
            }
            let head = pair.car();
            for (name, change) in [("unquote", -1), ("quasiquote", 1)] {
                if is_symbol(&head, name) && matches!(pair.cdr(), Value::Pair(_)) {
                    // `,x` as the rest of a list: (a . ,x).
                    break 'spine self.nested(&pair, level, change, depth)?;
                }
            }
            let splice = match &head {
                Value::Pair(inner) if is_symbol(&inner.car(), "unquote-splicing") => Some(inner.clone()),
                _ => None,
            };
            let part = match splice {
                Some(inner) if level == 1 => {
                    let (value, _) = part(&inner, 0, self.at).ok_or_else(|| malformed(&inner, self.at))?;
                    Part::Splice(value)
                }
                Some(inner) => Part::Item(self.deeper(&inner, level - 1, depth)?),
                None => Part::Item(self.code(&head, level, depth + 1)?),
            };
            rest = pair.cdr();
            parts.push((pair, part));
        };
        // From the end: what is constant to its end stays the template's own list.
        let mut rest = tail;
        for (pair, part) in parts.into_iter().rev() {
            rest = match (part, rest) {
                (Part::Item(Code::Constant(_)), Code::Constant(_)) => Code::Constant(Value::Pair(pair)),
                (Part::Item(item), rest) => {
                    let (item, rest) = (self.expression(item), self.expression(rest));
                    Code::Built(Value::list(vec![self.native("cons"), item, rest]))
                }
                (Part::Splice(list), rest) => {
                    let rest = self.expression(rest);
                    Code::Built(Value::list(vec![self.native("append"), list, rest]))
                }
            };
        }
        Ok(rest)
    }

    /// `(unquote x)` or `(quasiquote x)`, with the level changed inside.
    fn nested(&mut self, pair: &Rc<Pair>, level: usize, change: i32, depth: usize) -> Result<Code, Error> {
        if change < 0 && level == 1 {
            let (value, _) = part(pair, 0, self.at).ok_or_else(|| malformed(pair, self.at))?;
            return Ok(Code::Built(value));
        }
        self.deeper(pair, if change < 0 { level - 1 } else { level + 1 }, depth)
    }

    /// A form of the template that is kept, with what is in it at another level.
    fn deeper(&mut self, pair: &Rc<Pair>, level: usize, depth: usize) -> Result<Code, Error> {
        Ok(match self.code(&pair.cdr(), level, depth + 1)? {
            Code::Constant(_) => Code::Constant(Value::Pair(pair.clone())),
            Code::Built(argument) => {
                let name = self.quoted(pair.car());
                Code::Built(Value::list(vec![self.native("cons"), name, argument]))
            }
        })
    }
}

/// An item of a list template, or a list that is spliced in.
enum Part {
    Item(Code),
    Splice(Value),
}
