//! In: the arguments of a native procedure. Out: [`Call`], which hands them out by type, with the
//! error texts of LANGUAGE.md §2.3. Never: what a procedure does.

use super::super::source::Span;
use super::error::Error;
use super::value::{Symbol, Value};

/// The arguments of a native procedure.
pub struct Call<'a> {
    /// Name of the procedure, for messages.
    pub name: &'a str,
    /// The arguments; their number is in the procedure's arity.
    pub arguments: Vec<Value>,
    /// The call.
    pub at: Option<Span>,
}

impl Call<'_> {
    /// `NAME: argument I must be: T`.
    #[must_use]
    pub fn wrong_type(&self, index: usize, expected: &str) -> Error {
        Error::new(format!("{}: argument {} must be: {expected}", self.name, index + 1), self.at)
    }

    /// The argument at an index the arity guarantees.
    #[must_use]
    pub fn argument(&self, index: usize) -> &Value {
        const NIL: &Value = &Value::Nil;
        self.arguments.get(index).unwrap_or(NIL)
    }

    /// An integer argument.
    ///
    /// # Errors
    /// Where it is none.
    pub fn integer(&self, index: usize) -> Result<i64, Error> {
        match self.argument(index) {
            Value::Integer(number) => Ok(*number),
            _ => Err(self.wrong_type(index, "integer")),
        }
    }

    /// The bytes of a string argument, without copying them.
    ///
    /// # Errors
    /// Where it is none.
    pub fn text(&self, index: usize) -> Result<std::cell::Ref<'_, Vec<u8>>, Error> {
        match self.argument(index) {
            Value::String(text) => Ok(text.bytes.borrow()),
            _ => Err(self.wrong_type(index, "string")),
        }
    }

    /// The bytes of a string argument.
    ///
    /// # Errors
    /// Where it is none.
    pub fn string(&self, index: usize) -> Result<Vec<u8>, Error> {
        self.argument(index).bytes().ok_or_else(|| self.wrong_type(index, "string"))
    }

    /// A symbol argument.
    ///
    /// # Errors
    /// Where it is none.
    pub fn symbol(&self, index: usize) -> Result<Symbol, Error> {
        match self.argument(index) {
            Value::Symbol(name) => Ok(name.clone()),
            _ => Err(self.wrong_type(index, "symbol")),
        }
    }
}
