//! In: an operation and what is known about it, also as text. Out: [`Request`], the facts that
//! tests are asked of. Never: decisions.
use crate::vocabulary::{FilterId, FilterKind, OperationId, Release};

use super::rules::{Address, PROTOCOLS};

/// One thing known about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A string; folded already where the filter folds.
    Text(Vec<u8>),
    /// A number or flag.
    Number(u16),
    /// Where traffic comes from or goes to.
    Address(Address),
}

/// The value of an entitlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entitlement {
    /// A boolean.
    Bool(bool),
    /// A string, or each string of an array.
    Texts(Vec<Vec<u8>>),
}

/// An operation with all that is known about it. A filter may have several facts (extensions that
/// a process holds); a test is true if it is true of one of them.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is asked for.
    pub operation: OperationId,
    facts: Vec<(FilterId, Fact)>,
    entitlements: Vec<(Vec<u8>, Entitlement)>,
}

/// Why a subject or a fact cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The release has no such filter.
    #[error("unknown filter '{0}'; 'sbtool vocabulary filters' lists them")]
    UnknownFilter(String),
    /// `FILTER=VALUE` without the sign.
    #[error("'{0}' is no FILTER=VALUE")]
    NoEquals(String),
    /// The value does not fit the filter.
    #[error("'{value}' is no value of filter '{filter}'; expected {expected}")]
    BadValue {
        /// The filter.
        filter: String,
        /// What was given.
        value: String,
        /// What would do.
        expected: &'static str,
    },
    /// An operation that is asked about nothing.
    #[error("operation '{0}' takes no subject; give what is known as --fact FILTER=VALUE")]
    NoSubject(String),
    /// A path that does not start at the root.
    #[error("'{0}' is no absolute path")]
    RelativePath(String),
}

impl Request {
    /// A request of which nothing is known but its operation.
    #[must_use]
    pub fn new(operation: OperationId) -> Self {
        Self { operation, facts: Vec::new(), entitlements: Vec::new() }
    }

    /// Adds a string that `filter` is asked about.
    pub fn add_text(&mut self, release: &Release, filter: FilterId, text: &[u8]) {
        let mut text = text.to_vec();
        if release.folds_paths() && release.filter(filter).is_some_and(|entry| entry.folds) {
            text.make_ascii_lowercase();
        }
        self.facts.push((filter, Fact::Text(text)));
    }

    /// Adds a number.
    pub fn add_number(&mut self, filter: FilterId, number: u16) {
        self.facts.push((filter, Fact::Number(number)));
    }

    /// Adds an address.
    pub fn add_address(&mut self, filter: FilterId, address: Address) {
        self.facts.push((filter, Fact::Address(address)));
    }

    /// Adds an entitlement of the process.
    pub fn add_entitlement(&mut self, name: &[u8], value: Entitlement) {
        self.entitlements.push((name.to_vec(), value));
    }

    /// Adds `FILTER=VALUE`.
    ///
    /// # Errors
    /// Where there is no such filter or the value is not of its kind.
    pub fn add_fact(&mut self, release: &Release, text: &str) -> Result<(), RequestError> {
        let (name, value) = text.split_once('=').ok_or_else(|| RequestError::NoEquals(text.to_owned()))?;
        if name == "entitlement" {
            let (key, value) = value.split_once('=').unwrap_or((value, "#t"));
            let value = match value {
                "#t" | "true" => Entitlement::Bool(true),
                "#f" | "false" => Entitlement::Bool(false),
                text => Entitlement::Texts(vec![text.as_bytes().to_vec()]),
            };
            self.add_entitlement(key.as_bytes(), value);
            return Ok(());
        }
        let filter = release
            .filter_named(name)
            .or_else(|| release.function(name).map(|(filter, _)| filter))
            .ok_or_else(|| RequestError::UnknownFilter(name.to_owned()))?;
        let bad = |expected| RequestError::BadValue { filter: name.to_owned(), value: value.to_owned(), expected };
        match filter.kind {
            FilterKind::Boolean => match value {
                "#t" | "true" | "1" => self.add_number(filter.id, 1),
                "#f" | "false" | "0" => self.add_number(filter.id, 0),
                _ => return Err(bad("true or false")),
            },
            FilterKind::Bitfield | FilterKind::Enum | FilterKind::Integer => {
                let number = filter.values.get(value).copied().or_else(|| number(value));
                self.add_number(
                    filter.id,
                    number.ok_or_else(|| bad("a number of 16 bits or a name that the filter has"))?,
                );
            }
            FilterKind::String | FilterKind::Pattern | FilterKind::Path | FilterKind::StateFlag => {
                self.add_text(release, filter.id, value.as_bytes());
            }
            FilterKind::Network => {
                let address = address(value).ok_or_else(|| bad("PROTOCOL:HOST:PORT, for instance tcp:localhost:80"))?;
                self.add_address(filter.id, address);
            }
        }
        Ok(())
    }

    /// Everything known about a filter.
    pub fn facts(&self, filter: FilterId) -> impl Iterator<Item = &Fact> {
        self.facts.iter().filter(move |(known, _)| *known == filter).map(|(_, fact)| fact)
    }

    /// Whether anything is known about a filter.
    #[must_use]
    pub fn knows(&self, filter: FilterId) -> bool {
        self.facts(filter).next().is_some()
    }

    /// The value of an entitlement that the process has.
    #[must_use]
    pub fn entitlement(&self, name: &[u8]) -> Option<&Entitlement> {
        self.entitlements.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

/// Decimal, `0x…`, `#x…`, `0o…`, `#o…`.
fn number(text: &str) -> Option<u16> {
    for (prefix, radix) in [("0x", 16), ("#x", 16), ("0o", 8), ("#o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            return u16::from_str_radix(digits, radix).ok();
        }
    }
    text.parse().ok()
}

/// `PROTOCOL:HOST:PORT` or `HOST:PORT` of a real connection: the host may be any name or number,
/// only localhost is told apart; the port is a number.
#[must_use]
pub fn address(text: &str) -> Option<Address> {
    let (protocol, rest) = PROTOCOLS
        .iter()
        .find_map(|(name, number)| Some((*number, text.strip_prefix(name)?.strip_prefix(':')?)))
        .unwrap_or((3, text));
    let (host, port) = rest.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let localhost = matches!(host, "localhost" | "127.0.0.1" | "::1" | "[::1]" | "0.0.0.0");
    if host.is_empty() {
        return None;
    }
    Some(Address { protocol, localhost, port })
}

/// The filter that an operation's subject is about: a path for file operations, a name for mach
/// lookups and so on (CLI.md, `why`).
#[must_use]
pub fn subject_filter(operation: &str) -> Option<&'static str> {
    let starts = |prefix: &str| operation.starts_with(prefix);
    Some(match operation {
        _ if starts("file") || starts("process-exec") => "path",
        "mach-register" | "mach-lookup" | "mach-issue-extension" | "mach-cross-domain-lookup" => "global-name",
        _ if starts("sysctl") => "sysctl-name",
        _ if starts("user-preference") || starts("managed-preference") => "preference-domain",
        "network-outbound" => "remote",
        _ if starts("network") => "local",
        _ if starts("ipc-posix") => "ipc-posix-name",
        _ if starts("iokit") => "iokit-registry-entry-class",
        "darwin-notification-post" | "distributed-notification-post" => "notification-name",
        "appleevent-send" => "appleevent-destination",
        "authorization-right-obtain" => "right-name",
        _ if starts("nvram") => "nvram-variable",
        "system-info" => "info-type",
        "signal" => "target",
        _ => return None,
    })
}
