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
///
/// A filter that the vocabulary calls single-valued has one fact at most, and the three contrary
/// name filters have one between them: the graph builder concludes from one value that there is no
/// other (GRAPH.md R5), so a request with two would get whatever the order of tests makes of it.
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
    /// A fact about a filter that asks for entitlements by name.
    #[error("'{0}' asks about entitlements; give what the process has as entitlement=NAME or entitlement=NAME=VALUE")]
    Entitlement(String),
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
    /// A second value where a request has one.
    #[error("filter '{filter}' has a value already{}", .other.as_ref().map(|other| format!(", from '{other}'")).unwrap_or_default())]
    SecondValue {
        /// The filter.
        filter: String,
        /// The contrary filter that has the value.
        other: Option<String>,
    },
    /// A second value of an entitlement.
    #[error("entitlement '{0}' has a value already")]
    SecondEntitlement(String),
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
    ///
    /// # Errors
    /// [`RequestError::SecondValue`] where the filter has one value and another one is known.
    pub fn add_text(&mut self, release: &Release, filter: FilterId, text: &[u8]) -> Result<(), RequestError> {
        let mut text = text.to_vec();
        if release.folds_paths() && release.filter(filter).is_some_and(|entry| entry.folds) {
            text.make_ascii_lowercase();
        }
        self.add(release, filter, Fact::Text(text))
    }

    /// Adds a number.
    ///
    /// # Errors
    /// As [`Request::add_text`].
    pub fn add_number(&mut self, release: &Release, filter: FilterId, number: u16) -> Result<(), RequestError> {
        self.add(release, filter, Fact::Number(number))
    }

    /// Adds an address.
    ///
    /// # Errors
    /// As [`Request::add_text`].
    pub fn add_address(&mut self, release: &Release, filter: FilterId, address: Address) -> Result<(), RequestError> {
        self.add(release, filter, Fact::Address(address))
    }

    fn add(&mut self, release: &Release, filter: FilterId, fact: Fact) -> Result<(), RequestError> {
        if let Some(entry) = release.filter(filter) {
            let rivals = |known: FilterId| {
                let contrary = || entry.contrary && release.filter(known).is_some_and(|known| known.contrary);
                if known == filter { entry.single_valued } else { contrary() }
            };
            if let Some((known, _)) =
                self.facts.iter().find(|(known, old)| rivals(*known) && !(*known == filter && *old == fact))
            {
                let other = (*known != filter).then(|| release.filter_name(*known).into_owned());
                return Err(RequestError::SecondValue { filter: entry.name.clone(), other });
            }
        }
        self.facts.push((filter, fact));
        Ok(())
    }

    /// Adds an entitlement of the process. More strings for one that has strings join them: that is
    /// an array.
    ///
    /// # Errors
    /// [`RequestError::SecondEntitlement`] for any other second value.
    pub fn add_entitlement(&mut self, name: &[u8], value: Entitlement) -> Result<(), RequestError> {
        let Some((_, known)) = self.entitlements.iter_mut().find(|(known, _)| known == name) else {
            self.entitlements.push((name.to_vec(), value));
            return Ok(());
        };
        match (known, value) {
            (Entitlement::Texts(known), Entitlement::Texts(more)) => known.extend(more),
            (known, value) if *known == value => {}
            _ => return Err(RequestError::SecondEntitlement(String::from_utf8_lossy(name).into_owned())),
        }
        Ok(())
    }

    /// Adds `FILTER=VALUE`.
    ///
    /// # Errors
    /// Where there is no such filter, the value is not of its kind, or a second one is too many.
    pub fn add_fact(&mut self, release: &Release, text: &str) -> Result<(), RequestError> {
        let (name, value) = text.split_once('=').ok_or_else(|| RequestError::NoEquals(text.to_owned()))?;
        if name == "entitlement" {
            let (key, value) = value.split_once('=').unwrap_or((value, "#t"));
            let value = match value {
                "#t" | "true" => Entitlement::Bool(true),
                "#f" | "false" => Entitlement::Bool(false),
                text => Entitlement::Texts(vec![text.as_bytes().to_vec()]),
            };
            return self.add_entitlement(key.as_bytes(), value);
        }
        let filter = release
            .filter_named(name)
            .or_else(|| release.function(name).map(|(filter, _)| filter))
            .ok_or_else(|| RequestError::UnknownFilter(name.to_owned()))?;
        // A fact about such a filter would be ignored: it is asked of the entitlements.
        if filter.name.starts_with("%entitlement") {
            return Err(RequestError::Entitlement(name.to_owned()));
        }
        let bad = |expected| RequestError::BadValue { filter: name.to_owned(), value: value.to_owned(), expected };
        match filter.kind {
            FilterKind::Boolean => match value {
                "#t" | "true" | "1" => self.add_number(release, filter.id, 1),
                "#f" | "false" | "0" => self.add_number(release, filter.id, 0),
                _ => Err(bad("true or false")),
            },
            FilterKind::Bitfield | FilterKind::Enum | FilterKind::Integer | FilterKind::Mask => {
                let number = filter.values.get(value).copied().or_else(|| number(value));
                let number = number.ok_or_else(|| bad("a number of 16 bits or a name that the filter has"))?;
                self.add_number(release, filter.id, number)
            }
            FilterKind::String
            | FilterKind::Pattern
            | FilterKind::Path
            | FilterKind::StateFlag
            | FilterKind::ProfileFlag => self.add_text(release, filter.id, value.as_bytes()),
            FilterKind::Network => {
                let address = address(value).ok_or_else(|| bad("PROTOCOL:HOST:PORT, for instance tcp:localhost:80"))?;
                self.add_address(release, filter.id, address)
            }
        }
    }

    /// The protocols that an address leaves open: of a whole family or transport, each. The addresses
    /// of one request are those of one connection, so they are the same for all.
    fn open_numbers(&self) -> Vec<u8> {
        let mut open: Vec<u8> = PROTOCOLS.iter().map(|(_, number)| *number).filter(|number| number & 3 != 3).collect();
        let mut any = false;
        for (_, fact) in &self.facts {
            let Fact::Address(address) = fact else { continue };
            any |= address.protocol & 3 == 3 || address.protocol >> 2 == 0;
            open.retain(|number| {
                let family = address.protocol & number & 3 != 0;
                family && (address.protocol >> 2 == 0 || address.protocol >> 2 == number >> 2)
            });
        }
        if any { open } else { Vec::new() }
    }

    /// The names of the protocols that an address leaves open.
    #[must_use]
    pub fn open_protocols(&self) -> String {
        let open = self.open_numbers();
        let names = PROTOCOLS.iter().filter(|(_, number)| open.contains(number)).map(|(name, _)| *name);
        names.collect::<Vec<_>>().join(", ")
    }

    /// What the request may mean: one request for each protocol that its addresses leave open, or
    /// the request itself.
    #[must_use]
    pub fn meanings(&self) -> Vec<Self> {
        let open = self.open_numbers();
        if open.is_empty() {
            return vec![self.clone()];
        }
        let with = |protocol: u8| {
            let mut request = self.clone();
            for (_, fact) in &mut request.facts {
                if let Fact::Address(address) = fact {
                    address.protocol = protocol;
                }
            }
            request
        };
        open.into_iter().map(with).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::DEFAULT_RELEASE;

    /// What the builder concludes from one value (GRAPH.md R5) must hold of every request.
    #[test]
    fn a_filter_with_one_value_takes_no_second() {
        let release = Release::named(DEFAULT_RELEASE).unwrap();
        let mut request = Request::new(OperationId::DEFAULT);
        request.add_fact(release, "path=/a").unwrap();
        request.add_fact(release, "path=/A").unwrap();
        let second = request.add_fact(release, "path=/b").unwrap_err();
        assert_eq!(second.to_string(), "filter 'path' has a value already");
        request.add_fact(release, "global-name=x").unwrap();
        let contrary = request.add_fact(release, "xpc-service-name=x").unwrap_err();
        assert_eq!(contrary.to_string(), "filter 'xpc-service-name' has a value already, from 'global-name'");
        // Several extensions, several targets.
        for fact in ["extension=a", "extension=b", "target=self", "target=same-sandbox"] {
            request.add_fact(release, fact).unwrap();
        }
    }

    #[test]
    fn strings_of_an_entitlement_add_up_and_nothing_else_does() {
        let release = Release::named(DEFAULT_RELEASE).unwrap();
        let mut request = Request::new(OperationId::DEFAULT);
        request.add_fact(release, "entitlement=k=a").unwrap();
        request.add_fact(release, "entitlement=k=b").unwrap();
        let both = Entitlement::Texts(vec![b"a".to_vec(), b"b".to_vec()]);
        assert_eq!(request.entitlement(b"k"), Some(&both));
        assert!(request.add_fact(release, "entitlement=k").is_err());
        for ignored in ["%entitlement-is-present=k", "%entitlement-load=k", "%entitlement-boolean=#t"] {
            assert!(matches!(request.add_fact(release, ignored), Err(RequestError::Entitlement(_))), "{ignored}");
        }
        assert_eq!(request.entitlement(b"k"), Some(&both));
    }
}
