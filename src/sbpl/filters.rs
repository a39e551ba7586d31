//! In: evaluated arguments of filter functions. Out: filters. Never: rules, or what a filter
//! matches.

use super::objects::{FilterValue, Object};
use super::scheme::{Call, Error, Native, Step, Value};
use super::source::Span;
use super::state::{Sbpl, SbplMachine};
use crate::pattern::{StringKind, StringPattern, regex};
use crate::policy::rules::{Address, Argument, Filter, Test};
use crate::vocabulary::{self, FilterId, FilterKind, MatchKind, Release};

type Outcome = Result<Step, Error>;
type At = Option<Span>;

/// Procedures of SBPL that make filters.
pub(super) fn procedures() -> Vec<Native<Sbpl>> {
    vec![
        Native { names: &["require-all"], least: 0, most: None, run: |_, call| combine(&call, Filter::All) },
        Native { names: &["require-any"], least: 0, most: None, run: |_, call| combine(&call, Filter::Any) },
        Native { names: &["require-not"], least: 0, most: None, run: require_not },
        Native { names: &["require-entitlement"], least: 0, most: None, run: require_entitlement },
        Native { names: &["entitlement-value"], least: 1, most: Some(1), run: entitlement_value },
        Native { names: &["entitlement-value-regex"], least: 1, most: Some(1), run: entitlement_value_regex },
        Native { names: &["path-ancestors"], least: 1, most: None, run: path_ancestors },
        Native { names: &["regex-quote"], least: 1, most: Some(1), run: regex_quote },
        Native { names: &["_IO"], least: 2, most: Some(2), run: io_command },
        Native { names: &[super::write::NUMBERED], least: 2, most: None, run: numbered },
    ]
}

fn done(filter: FilterValue) -> Outcome {
    Ok(Step::Return(Object::Filter(filter).value()))
}

fn filters_of(call: &Call<'_>) -> Result<Vec<FilterValue>, Error> {
    if call.arguments.is_empty() {
        return Err(Error::new(format!("{} requires at least one filter", call.name), call.at));
    }
    call.arguments
        .iter()
        .map(|argument| match Object::of(argument) {
            Some(Object::Filter(filter)) => Ok(filter.clone()),
            _ => Err(Error::new(format!("arguments to {} must be filters", call.name), call.at)),
        })
        .collect()
}

fn combine(call: &Call<'_>, make: fn(Vec<std::sync::Arc<Filter>>) -> Filter) -> Outcome {
    done(FilterValue::combine(filters_of(call)?, make).map_err(|message| Error::new(message, call.at))?)
}

fn require_not(_: &mut SbplMachine, call: Call<'_>) -> Outcome {
    let mut filters = filters_of(&call)?;
    match (filters.pop(), filters.is_empty()) {
        (Some(filter), true) => done(filter.negate().map_err(|message| Error::new(message, call.at))?),
        _ => Err(Error::new("exactly one filter expected", call.at)),
    }
}

/// What a test takes in memory, roughly.
const FILTER_BYTES: usize = 256;

/// A call of a filter function: several arguments are alternatives (LANGUAGE.md §5.1).
pub(super) fn call(machine: &mut SbplMachine, id: FilterId, place: usize, arguments: &[Value], at: At) -> Outcome {
    let release = machine.host.release;
    let Some(filter) = release.filter(id) else { return Err(Error::new("illegal function", at)) };
    let Some(function) = filter.functions.get(place) else { return Err(Error::new("illegal function", at)) };
    // A pattern is copied; an expression becomes a tree.
    let cost = if function.matching == MatchKind::Regex { 64 } else { 1 };
    for argument in arguments {
        if let Value::String(text) = argument {
            machine.charge(cost * text.bytes.borrow().len(), at)?;
        }
    }
    machine.charge(FILTER_BYTES * (arguments.len() + 1), at)?;
    let call = Making { filter, mask_width: release.mask_width(), arguments, at };
    let variables = machine.host.has_pattern_variables();
    match function.matching {
        MatchKind::Flag => call.flag(),
        MatchKind::Value => call.values(),
        MatchKind::Literal => call.patterns(StringKind::Literal, variables),
        MatchKind::Prefix => call.patterns(StringKind::Prefix, variables),
        MatchKind::Subpath => call.patterns(StringKind::Subpath, variables),
        MatchKind::Regex => call.regexes(),
        MatchKind::Address => call.addresses(&function.name),
    }
}

/// `(%filter NUMBER VALUE…)`: a test of a filter that is known by its number only. A filter that has
/// functions is asked for by them, so that a profile says what it means.
fn numbered(machine: &mut SbplMachine, call: Call<'_>) -> Outcome {
    let number = call.integer(0)?;
    let filter = u8::try_from(number).ok().and_then(|id| machine.host.release.filter(FilterId(id)));
    let filter = filter.ok_or_else(|| Error::new(format!("this release has no filter {number}"), call.at))?;
    if let Some(function) = filter.functions.first() {
        return Err(Error::new(format!("filter {number} has a name, '{}'", function.name), call.at));
    }
    let arguments = call.arguments.get(1..).unwrap_or_default();
    machine.charge(FILTER_BYTES * (arguments.len() + 1), call.at)?;
    Making { filter, mask_width: machine.host.release.mask_width(), arguments, at: call.at }.values()
}

/// A filter in the making.
struct Making<'a> {
    filter: &'static vocabulary::Filter,
    mask_width: u16,
    arguments: &'a [Value],
    at: At,
}

impl Making<'_> {
    fn error(&self, message: impl Into<String>) -> Error {
        Error::new(message, self.at)
    }

    fn test(&self, argument: Argument) -> FilterValue {
        FilterValue::test(Test { filter: self.filter.id, argument })
    }

    fn any(&self, tests: Vec<FilterValue>) -> Outcome {
        if tests.is_empty() {
            return Err(self.error(format!("malformed {} filter", self.filter.name)));
        }
        done(FilterValue::combine(tests, Filter::Any).map_err(|message| self.error(message))?)
    }

    fn wrong_type(&self, expected: &str, got: &Value) -> Error {
        let got = Object::of(got).map_or_else(|| got.type_name(), Object::kind);
        self.error(format!("invalid data type of {} filter; expected {expected}, got {got}", self.filter.name))
    }

    fn flag(&self) -> Outcome {
        match self.arguments {
            [] => done(self.test(Argument::Number(1))),
            [Value::Bool(value)] => done(self.test(Argument::Number(u16::from(*value)))),
            [other] => Err(self.wrong_type("boolean", other)),
            _ => Err(self.error(format!("malformed {} filter", self.filter.name))),
        }
    }

    fn values(&self) -> Outcome {
        match self.filter.kind {
            FilterKind::String | FilterKind::StateFlag | FilterKind::ProfileFlag => self.texts(),
            _ => self.numbers(),
        }
    }

    fn texts(&self) -> Outcome {
        if self.arguments.is_empty() && self.filter.name == "extension" {
            // The old library's default class (LANGUAGE.md §5.1).
            return done(self.test(Argument::Text(b"com.apple.app-sandbox.read-write".to_vec())));
        }
        let tests = self.arguments.iter().map(|argument| {
            let bytes = argument.bytes().ok_or_else(|| self.wrong_type("string", argument))?;
            if bytes.len() >= usize::from(u16::MAX) {
                return Err(self.error(format!("string of {} bytes is too long (limit 65,534)", bytes.len())));
            }
            Ok(self.test(match self.filter.kind {
                FilterKind::StateFlag => Argument::StateFlag(bytes),
                FilterKind::ProfileFlag => Argument::ProfileFlag(bytes),
                _ => Argument::Text(bytes),
            }))
        });
        self.any(tests.collect::<Result<_, _>>()?)
    }

    fn numbers(&self) -> Outcome {
        let numbers = self.arguments.iter().map(|argument| match argument {
            Value::Integer(number) => u16::try_from(*number).map_err(|_| {
                self.error(format!("value {number} of {} filter is out of range (0 to 65535)", self.filter.name))
            }),
            other => Err(self.wrong_type("integer", other)),
        });
        let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
        if self.filter.kind == FilterKind::Mask && !numbers.is_empty() {
            let width = self.mask_width;
            if let Some(number) = numbers.iter().find(|number| **number >= width) {
                let limit = width.saturating_sub(1);
                return Err(
                    self.error(format!("value {number} of {} filter is out of range (0 to {limit})", self.filter.name))
                );
            }
            return done(self.test(Argument::Mask { width, numbers }));
        }
        if self.filter.mask && numbers.len() > 1 {
            return done(self.test(Argument::Numbers(numbers)));
        }
        self.any(numbers.into_iter().map(|number| self.test(Argument::Number(number))).collect())
    }

    fn patterns(&self, kind: StringKind, variables: bool) -> Outcome {
        let tests = self.arguments.iter().map(|argument| {
            let Value::String(text) = argument else { return Err(self.wrong_type("pattern", argument)) };
            let pattern = StringPattern::new(kind, &text.bytes.borrow(), variables);
            Ok(self.test(Argument::Pattern(pattern.map_err(|error| self.error(error.to_string()))?)))
        });
        self.any(tests.collect::<Result<_, _>>()?)
    }

    fn regexes(&self) -> Outcome {
        let list = self.arguments.iter().map(|argument| {
            let Value::String(text) = argument else { return Err(self.wrong_type("pattern", argument)) };
            let text = text.bytes.borrow().clone();
            let expression =
                regex::parse(&text).map_err(|error| self.error(format!("invalid regular expression: {error}")))?;
            Ok((text, expression))
        });
        let list = list.collect::<Result<Vec<_>, _>>()?;
        if list.is_empty() {
            return self.any(Vec::new());
        }
        done(self.test(Argument::Regexes(list)))
    }

    /// `(remote PROTOCOL "HOST:PORT"…)`; the checks and their order are LANGUAGE.md §8.
    fn addresses(&self, function: &str) -> Outcome {
        let protocol = match self.arguments.first().map(|first| (Object::of(first), first)) {
            Some((Some(Object::Protocol(number)), _)) => *number,
            Some((Some(Object::UnixSocket), _)) => return self.unix_socket(),
            Some((_, other)) => return Err(self.wrong_type("protocol", other)),
            None => return self.any(Vec::new()),
        };
        let texts = self.arguments.get(1..).unwrap_or_default();
        if texts.is_empty() {
            return done(self.test(Argument::Address(Address { protocol, localhost: false, port: 0 })));
        }
        let tests = texts.iter().map(|text| {
            let text = text.bytes().ok_or_else(|| self.error(format!("{function} expects string argument")))?;
            let (localhost, port) = self.host_and_port(&String::from_utf8_lossy(&text))?;
            Ok(self.test(Argument::Address(Address { protocol, localhost, port })))
        });
        self.any(tests.collect::<Result<_, _>>()?)
    }

    fn host_and_port(&self, text: &str) -> Result<(bool, u16), Error> {
        // The port is what stands behind the last colon, so that "::1" fails by its host.
        let (host, port) =
            text.rsplit_once(':').ok_or_else(|| self.error(format!("port missing in network address: {text}")))?;
        let localhost = match host {
            "*" => false,
            "localhost" => true,
            _ => return Err(self.error("host must be * or localhost in network address")),
        };
        let decimal = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        match port {
            "*" => Some((localhost, 0)),
            _ if decimal => port.parse().ok().filter(|port| *port != 0).map(|port| (localhost, port)),
            _ => None,
        }
        .ok_or_else(|| self.error("invalid port in network address"))
    }

    /// `(remote unix-socket FILTER)`: the path filter itself; without one, any path.
    fn unix_socket(&self) -> Outcome {
        match self.arguments.get(1) {
            Some(argument) => match Object::of(argument) {
                Some(Object::Filter(filter)) => done(filter.clone()),
                _ => Err(self.wrong_type("filter", argument)),
            },
            None => {
                let root = StringPattern::new(StringKind::Subpath, b"/", false)
                    .map_err(|error| self.error(error.to_string()))?;
                done(FilterValue::test(Test { filter: FilterId(1), argument: Argument::Pattern(root) }))
            }
        }
    }
}

/// What a shorthand asks of its filter.
enum Asked {
    /// One of the filter's named values.
    Named(&'static str),
    /// A string.
    Text(&'static [u8]),
}

/// Functions of version 1 that stand for one filter (LANGUAGE.md §4.6): name, filter, value.
const SHORTHANDS: &[(&str, &str, Asked)] = &[
    ("tty", "vnode-type", Asked::Named("TTY")),
    ("debug-mode", "system-attribute", Asked::Named("sandbox-debug-mode")),
    ("process-is-plugin", "process-attribute", Asked::Named("is-plugin")),
    ("process-is-installer", "process-attribute", Asked::Named("is-installer")),
    ("rootless-file-filter", "file-attribute", Asked::Named("sip-protected")),
    ("datavault-file-filter", "file-attribute", Asked::Named("datavault")),
    ("container", "extension", Asked::Text(b"com.apple.sandbox.container")),
    ("executable-bundle", "extension", Asked::Text(b"com.apple.sandbox.executable")),
    ("application-group", "extension", Asked::Text(b"com.apple.sandbox.application-group")),
    ("system-container", "extension", Asked::Text(b"com.apple.sandbox.system-container")),
    ("system-group", "extension", Asked::Text(b"com.apple.sandbox.system-group")),
];

/// The shorthand of a name, where the release has its filter and value. Version 3 has none of them;
/// which of them version 2 has is not known, so it has all (LANGUAGE.md §3).
pub(super) fn shorthand(release: &Release, version: Option<u8>, name: &str) -> Option<Object> {
    let place = SHORTHANDS.iter().position(|(known, ..)| *known == name).filter(|_| version != Some(3))?;
    shorthand_test(release, place).map(|_| Object::Shorthand(place))
}

fn shorthand_test(release: &Release, place: usize) -> Option<Test> {
    let (_, filter, asked) = SHORTHANDS.get(place)?;
    let filter = release.filter_named(filter)?;
    let argument = match asked {
        Asked::Named(name) => Argument::Number(*filter.values.get(*name)?),
        Asked::Text(text) => Argument::Text(text.to_vec()),
    };
    Some(Test { filter: filter.id, argument })
}

/// What a shorthand stands for, as SBPL.
pub(super) fn shorthand_meaning(release: &Release, name: &str) -> Option<String> {
    let place = SHORTHANDS.iter().position(|(known, ..)| *known == name)?;
    shorthand_test(release, place)?;
    let (_, filter, asked) = SHORTHANDS.get(place)?;
    Some(match asked {
        Asked::Named(value) => format!("({filter} {value})"),
        Asked::Text(text) => format!("({filter} \"{}\")", String::from_utf8_lossy(text)),
    })
}

/// A call of a shorthand.
pub(super) fn call_shorthand(machine: &mut SbplMachine, place: usize, arguments: &[Value], at: At) -> Outcome {
    let name = SHORTHANDS.get(place).map_or("", |(name, ..)| name);
    if !arguments.is_empty() {
        return Err(Error::new(format!("{name}: needs 0 arguments"), at));
    }
    machine.charge(256, at)?;
    let test = shorthand_test(machine.host.release, place);
    test.map_or_else(|| Err(Error::new("illegal function", at)), |test| done(FilterValue::test(test)))
}

fn entitlement_test(machine: &SbplMachine, name: &str, argument: Argument, at: At) -> Result<FilterValue, Error> {
    let filter = machine.host.release.filter_named(name);
    let filter = filter.ok_or_else(|| Error::new(format!("unbound variable: {name}"), at))?;
    Ok(FilterValue::test(Test { filter: filter.id, argument }))
}

/// `(require-entitlement NAME)` and `(require-entitlement NAME FILTER)` (LANGUAGE.md §4.5).
fn require_entitlement(machine: &mut SbplMachine, call: Call<'_>) -> Outcome {
    if call.arguments.len() > 2 {
        return Err(Error::new("too many arguments to require-entitlement", call.at));
    }
    let name = call.string(0)?;
    machine.charge(256 + name.len(), call.at)?;
    let loader = entitlement_test(machine, "%entitlement-load", Argument::Text(name), call.at)?;
    let value = match call.arguments.get(1) {
        None => entitlement_test(machine, "%entitlement-boolean", Argument::Number(1), call.at)?,
        Some(argument) => match Object::of(argument) {
            Some(Object::Filter(filter)) => filter.clone(),
            _ => return Err(Error::new("arguments to require-entitlement must be filters", call.at)),
        },
    };
    done(FilterValue::combine(vec![loader, value], Filter::All).map_err(|message| Error::new(message, call.at))?)
}

fn entitlement_value(machine: &mut SbplMachine, call: Call<'_>) -> Outcome {
    let variables = machine.host.has_pattern_variables();
    machine.charge(256, call.at)?;
    done(match call.argument(0) {
        Value::Bool(value) => {
            entitlement_test(machine, "%entitlement-boolean", Argument::Number(u16::from(*value)), call.at)?
        }
        Value::String(text) => {
            let pattern = StringPattern::new(StringKind::Literal, &text.bytes.borrow(), variables)
                .map_err(|error| Error::new(error.to_string(), call.at))?;
            entitlement_test(machine, "%entitlement-string", Argument::Pattern(pattern), call.at)?
        }
        _ => return Err(Error::new("entitlement-value argument must be string or boolean", call.at)),
    })
}

fn entitlement_value_regex(machine: &mut SbplMachine, call: Call<'_>) -> Outcome {
    let Some(text) = call.argument(0).bytes() else {
        return Err(Error::new("entitlement-value-regex argument must be string", call.at));
    };
    machine.charge(64 * text.len() + 256, call.at)?;
    let expression =
        regex::parse(&text).map_err(|error| Error::new(format!("invalid regular expression: {error}"), call.at))?;
    done(entitlement_test(machine, "%entitlement-string", Argument::Regexes(vec![(text, expression)]), call.at)?)
}

/// Literals of every proper ancestor of each path (LANGUAGE.md §5.1).
fn path_ancestors(machine: &mut SbplMachine, call: Call<'_>) -> Outcome {
    let variables = machine.host.has_pattern_variables();
    let Some(filter) = machine.host.release.filter_named("path") else {
        return Err(Error::new("unbound variable: path", call.at));
    };
    let mut tests = Vec::new();
    for index in 0..call.arguments.len() {
        let path = call.string(index)?;
        if !path.starts_with(b"/") && !path.starts_with(b"${") {
            return Err(Error::new("path must start with a /", call.at));
        }
        for (at, _) in path.iter().enumerate().filter(|(at, byte)| **byte == b'/' && at + 1 < path.len()) {
            let ancestor = if at == 0 { &path[..1] } else { &path[..at] };
            machine.charge(ancestor.len() + 64, call.at)?;
            let pattern = StringPattern::new(StringKind::Literal, ancestor, variables)
                .map_err(|error| Error::new(error.to_string(), call.at))?;
            tests.push(FilterValue::test(Test { filter: filter.id, argument: Argument::Pattern(pattern) }));
        }
    }
    Making { filter, mask_width: 0, arguments: &[], at: call.at }.any(tests)
}

/// A backslash before each character that means something in an expression (LANGUAGE.md §4.3).
fn regex_quote(machine: &mut SbplMachine, call: Call<'_>) -> Outcome {
    let text = call.string(0)?;
    machine.charge(2 * text.len(), call.at)?;
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        if br"^.[$()|*+?{\".contains(&byte) {
            out.push(b'\\');
        }
        out.push(byte);
    }
    Ok(Step::Return(Value::string(out)))
}

/// `(_IO "h" 47)`: 47 + 256 × 'h' (LANGUAGE.md §5.3).
fn io_command(_: &mut SbplMachine, call: Call<'_>) -> Outcome {
    match (call.string(0)?.as_slice(), call.integer(1)?) {
        ([group], number @ 0..=255) => Ok(Step::Return(Value::Integer(i64::from(*group) * 256 + number))),
        _ => Err(Error::new("malformed _IO", call.at)),
    }
}
