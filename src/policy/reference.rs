//! In: [`Rules`] and a [`Request`]. Out: which rule decides, by LANGUAGE.md §7.1 read literally.
//! Never: graphs, or anything that makes them: no table of the passes, no tree, no automaton, not
//! even the parser of expressions. This is the second, slow reading of the same meaning that the
//! graph is held against, and the one that can name a rule. Only the data of the release, and the
//! shapes of rules and requests, are common to both.

use std::collections::HashMap;

use regex::bytes::{Regex, RegexBuilder};

use super::request::{Entitlement, Fact, Request};
use super::rules::{Action, Address, Argument, Filter, Rule, Rules, Test};
use crate::pattern::{Part, StringKind, StringPattern};
use crate::vocabulary::{FilterId, FilterKind, ImplicitRule, OperationId, Release, TerminalDefault};

/// What decided.
#[derive(Clone, Debug)]
pub enum Decider<'r> {
    /// A rule with a filter, of the operation itself or of one that it inherits from.
    Rule(&'r Rule),
    /// A rule without a filter.
    Tail(&'r Rule),
    /// A rule that the compiler adds.
    Implicit,
    /// The table: a terminal operation, or one that the SBPL version allows, or `default`.
    Table,
}

/// The decision by the rules.
#[derive(Clone, Debug)]
pub struct Decision<'r> {
    /// Allow or deny.
    pub action: Action,
    /// What decided.
    pub decider: Decider<'r>,
    /// The operation whose rules decided: the one asked about, or an ancestor.
    pub operation: OperationId,
}

/// Why rules cannot be read: an expression that the matcher does not take.
#[derive(Debug, Clone, thiserror::Error)]
#[error("regular expression {text}: {reason}")]
pub struct ReferenceError {
    /// As written.
    pub text: String,
    /// Why.
    pub reason: regex::Error,
}

/// The rules of a profile, ready to be asked.
pub struct Reference {
    rules: Rules,
    /// For each operation the numbers of the rules that name it, in source order.
    naming: Vec<Vec<usize>>,
    implicit: Vec<(OperationId, Condition)>,
    /// Every expression of the rules, compiled once: as written, and without regard to case.
    expressions: [HashMap<Vec<u8>, Regex>; 2],
}

/// What an operation does that no rule decides.
enum Unnamed {
    /// What this one does.
    Inherits(OperationId),
    /// What the table says.
    Decides(Action),
}

/// What an implicit rule asks.
struct Condition {
    filter: FilterId,
    rule: &'static ImplicitRule,
}

impl Reference {
    /// Reads the rules once.
    ///
    /// # Errors
    /// [`ReferenceError`]. What has a graph is taken: expressions are as long as a program of
    /// 64 KB can hold, and the limits of the matcher lie beyond that.
    pub fn new(rules: Rules) -> Result<Self, ReferenceError> {
        let mut naming = vec![Vec::new(); rules.release.operations().len()];
        for (number, rule) in rules.list.iter().enumerate() {
            for operation in &rule.operations {
                if let Some(numbers) = naming.get_mut(operation.index()) {
                    numbers.push(number);
                }
            }
        }
        let expressions = expressions(&rules)?;
        let mut reference = Self { rules, naming, implicit: Vec::new(), expressions };
        reference.implicit = reference.implicit_rules();
        Ok(reference)
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Which rule decides a request.
    #[must_use]
    pub fn decide(&self, request: &Request) -> Decision<'_> {
        let mut operation = request.operation;
        loop {
            // Implicit rules are added behind the profile, so they are the newest (§7.4).
            if self.implicit.iter().any(|(of, condition)| *of == operation && condition.holds(self, request)) {
                return Decision { action: Action::Allow, decider: Decider::Implicit, operation };
            }
            let mut newest_first = self.named(operation).rev();
            if let Some(rule) = newest_first.clone().find(|rule| match &rule.filter {
                Some(filter) => self.filter(filter, request, &mut None),
                None => false,
            }) {
                return Decision { action: rule.action, decider: Decider::Rule(rule), operation };
            }
            if let Some(rule) = newest_first.find(|rule| rule.filter.is_none()) {
                return Decision { action: rule.action, decider: Decider::Tail(rule), operation };
            }
            match self.unnamed(operation) {
                Unnamed::Inherits(parent) => operation = parent,
                Unnamed::Decides(action) => return Decision { action, decider: Decider::Table, operation },
            }
        }
    }

    /// The rules that name an operation, in source order.
    fn named(&self, operation: OperationId) -> impl DoubleEndedIterator<Item = &Rule> + Clone {
        self.naming.get(operation.index()).into_iter().flatten().map(|number| &self.rules.list[*number])
    }

    /// LANGUAGE.md §3 and §6.1: the table's own action, that of the version, or the parent's.
    fn unnamed(&self, operation: OperationId) -> Unnamed {
        let release = self.rules.release;
        let Some(entry) = release.operation_entry(operation) else { return Unnamed::Decides(Action::Deny) };
        // What a profile that extends another one does not decide is for that one (FORMAT.md §2.2).
        if operation == OperationId::DEFAULT && self.rules.base.is_some() {
            return Unnamed::Decides(Action::Delegate);
        }
        match (entry.terminal, &entry.parent) {
            (Some(TerminalDefault::Allow), _) => Unnamed::Decides(Action::Allow),
            (Some(TerminalDefault::Deny), _) => Unnamed::Decides(Action::Deny),
            _ if entry.allowed_in.contains(&self.rules.version) => Unnamed::Decides(Action::Allow),
            (None, Some(parent)) => Unnamed::Inherits(release.operation(parent).unwrap_or(OperationId::DEFAULT)),
            (None, None) => Unnamed::Decides(Action::Deny),
        }
    }

    /// The implicit rules in force (§7.4).
    fn implicit_rules(&self) -> Vec<(OperationId, Condition)> {
        let release = self.rules.release;
        if !self.rules.implicit {
            return Vec::new();
        }
        let mut found = Vec::new();
        for rule in release.implicit_rules() {
            let possible = |name: &String| release.operation(name).is_some_and(|operation| self.can_allow(operation));
            let wanted = rule.when_allowed.is_empty() || rule.when_allowed.iter().any(possible);
            if let (true, true, Some(operation), Some(filter)) = (
                wanted,
                rule.versions.contains(&self.rules.version),
                release.operation(&rule.operation),
                release.filter_named(&rule.filter),
            ) {
                found.push((operation, Condition { filter: filter.id, rule }));
            }
        }
        found
    }

    /// "Can return action A": any rule with the action counts, on the way from the operation to
    /// the one where falling through ends (§7.4).
    fn can_allow(&self, mut operation: OperationId) -> bool {
        loop {
            if self.named(operation).any(|rule| rule.filter.is_some() && rule.action == Action::Allow) {
                return true;
            }
            if let Some(tail) = self.named(operation).rfind(|rule| rule.filter.is_none()) {
                return tail.action == Action::Allow;
            }
            match self.unnamed(operation) {
                Unnamed::Inherits(parent) => operation = parent,
                Unnamed::Decides(action) => return action == Action::Allow,
            }
        }
    }

    fn filter<'q>(&self, filter: &Filter, request: &'q Request, loaded: &mut Option<&'q Entitlement>) -> bool {
        match filter {
            Filter::Test(test) => self.test(test, request, loaded),
            Filter::All(list) => list.iter().all(|item| self.filter(item, request, loaded)),
            Filter::Any(list) => list.iter().any(|item| self.filter(item, request, loaded)),
            Filter::Not(inner) => !self.filter(inner, request, loaded),
        }
    }

    fn test<'q>(&self, test: &Test, request: &'q Request, loaded: &mut Option<&'q Entitlement>) -> bool {
        let release: &Release = self.rules.release;
        let Some(filter) = release.filter(test.filter) else { return false };
        match (filter.name.as_str(), &test.argument) {
            ("%entitlement-load", Argument::Text(key)) => {
                *loaded = request.entitlement(key);
                return loaded.is_some();
            }
            ("%entitlement-boolean", Argument::Number(wanted)) => {
                return matches!(loaded, Some(Entitlement::Bool(value)) if u16::from(*value) == *wanted);
            }
            ("%entitlement-string", argument) => {
                let Some(Entitlement::Texts(texts)) = loaded else { return false };
                return texts.iter().any(|text| self.strings(argument, text, false));
            }
            ("%entitlement-is-present", Argument::Text(key)) => return request.entitlement(key).is_some(),
            ("%entitlement-is-bool-true", Argument::Text(key)) => {
                return request.entitlement(key) == Some(&Entitlement::Bool(true));
            }
            _ => {}
        }
        let fold = filter.folds && release.folds_paths();
        request.facts(test.filter).any(|fact| match (&test.argument, fact) {
            (Argument::Number(wanted), Fact::Number(number)) if filter.kind == FilterKind::Bitfield => {
                // Any of the bits (chosen); nothing but no bits at all passes a test for none.
                let common = (0..16).any(|bit| (wanted >> bit) & 1 == 1 && (number >> bit) & 1 == 1);
                common || (*wanted == 0 && *number == 0)
            }
            (Argument::Number(wanted), Fact::Number(number)) => wanted == number,
            (Argument::Numbers(set) | Argument::Mask { numbers: set, .. }, Fact::Number(number)) => {
                set.contains(number)
            }
            (
                Argument::Text(wanted) | Argument::StateFlag(wanted) | Argument::ProfileFlag(wanted),
                Fact::Text(text),
            ) => wanted == text,
            (Argument::Address(wanted), Fact::Address(address)) => address_within(wanted, address),
            (argument, Fact::Text(text)) => self.strings(argument, text, fold),
            _ => false,
        })
    }

    /// Strings by plain comparison, expressions by a matcher that other people wrote.
    fn strings(&self, argument: &Argument, subject: &[u8], fold: bool) -> bool {
        match argument {
            Argument::Pattern(pattern) => string(pattern, subject, fold),
            Argument::Regexes(list) => list.iter().any(|(text, _)| {
                self.expressions[usize::from(fold)].get(text).is_some_and(|expression| expression.is_match(subject))
            }),
            _ => false,
        }
    }
}

impl Condition {
    fn holds(&self, reference: &Reference, request: &Request) -> bool {
        let release = reference.rules.release;
        let fold = release.folds_paths() && release.filter(self.filter).is_some_and(|filter| filter.folds);
        request.facts(self.filter).any(|fact| match fact {
            Fact::Text(text) => self.rule.literal.as_ref().is_some_and(|wanted| same(wanted.as_bytes(), text, fold)),
            Fact::Number(number) => match self.rule.value {
                Some(wanted) => wanted == *number,
                None => self.rule.values.contains(number),
            },
            Fact::Address(_) => false,
        })
    }
}

fn same(a: &[u8], b: &[u8], fold: bool) -> bool {
    if fold { a.eq_ignore_ascii_case(b) } else { a == b }
}

/// A pattern with variables matches nothing: their values belong to a process.
fn string(pattern: &StringPattern, subject: &[u8], fold: bool) -> bool {
    let [Part::Text(text)] = pattern.parts.as_slice() else { return false };
    match (pattern.kind, subject.split_at_checked(text.len())) {
        (_, None) => false,
        (StringKind::Literal, Some((start, rest))) => same(text, start, fold) && rest.is_empty(),
        (StringKind::Prefix, Some((start, _))) => same(text, start, fold),
        (StringKind::Subpath, Some((start, rest))) => same(text, start, fold) && matches!(rest, [] | [b'/', ..]),
    }
}

/// The kinds of traffic that a protocol covers (LANGUAGE.md §8: ip is any transport, tcp and udp add
/// the protocol, 4 and 6 the family), each kind a bit: tcp4, tcp6, udp4, udp6, other4, other6.
fn kinds_of_traffic(protocol: u8) -> u8 {
    match protocol {
        3 => 0b11_1111,
        1 => 0b01_0101,
        2 => 0b10_1010,
        7 => 0b00_0011,
        5 => 0b00_0001,
        6 => 0b00_0010,
        11 => 0b00_1100,
        9 => 0b00_0100,
        10 => 0b00_1000,
        _ => 0,
    }
}

/// Whether all that an address of a request may be is what the rule wants.
fn address_within(wanted: &Address, asked: &Address) -> bool {
    let kinds = kinds_of_traffic(asked.protocol);
    kinds != 0
        && kinds & kinds_of_traffic(wanted.protocol) == kinds
        && (asked.localhost || !wanted.localhost)
        && (wanted.port == 0 || wanted.port == asked.port)
}

/// More than any expression of 64 KB needs; the matcher's own limits are for smaller programs.
const MATCHER_BYTES: usize = 1 << 28;

/// Deeper than the parser lets groups nest, with the groups that the translation adds.
const MATCHER_NESTING: u32 = 4_096;

/// All expressions of the rules for the matcher, as written and without regard to case.
fn expressions(rules: &Rules) -> Result<[HashMap<Vec<u8>, Regex>; 2], ReferenceError> {
    let mut found = [HashMap::new(), HashMap::new()];
    let mut work: Vec<&Filter> = rules.list.iter().filter_map(|rule| rule.filter.as_deref()).collect();
    while let Some(filter) = work.pop() {
        let test = match filter {
            Filter::All(list) | Filter::Any(list) => {
                work.extend(list.iter().map(AsRef::as_ref));
                continue;
            }
            Filter::Not(inner) => {
                work.push(inner);
                continue;
            }
            Filter::Test(test) => test,
        };
        let Argument::Regexes(list) = &test.argument else { continue };
        let folds = rules.release.folds_paths() && rules.release.filter(test.filter).is_some_and(|entry| entry.folds);
        for (text, _) in list {
            let known = &mut found[usize::from(folds)];
            if !known.contains_key(text) {
                let expression = compiled(text, folds)
                    .map_err(|reason| ReferenceError { text: String::from_utf8_lossy(text).into_owned(), reason })?;
                known.insert(text.clone(), expression);
            }
        }
    }
    Ok(found)
}

/// Groups beyond which an expression is compiled on a stack of its own.
const SHALLOW: usize = 32;

/// Far more than the matcher's compiler, which recurses, takes for [`MATCHER_NESTING`] groups.
const DEEP_STACK: usize = 256 << 20;

/// An expression for the matcher; `fold`: without regard to ASCII case.
fn compiled(text: &[u8], fold: bool) -> Result<Regex, regex::Error> {
    let build = || {
        RegexBuilder::new(&translated(text))
            .unicode(false)
            .dot_matches_new_line(true)
            .case_insensitive(fold)
            .size_limit(MATCHER_BYTES)
            .nest_limit(MATCHER_NESTING)
            .build()
    };
    if text.iter().filter(|byte| **byte == b'(').count() <= SHALLOW {
        return build();
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(DEEP_STACK).spawn_scoped(scope, build);
        let built = thread.ok().and_then(|thread| thread.join().ok());
        built.unwrap_or(Err(regex::Error::Syntax("no thread to compile it".to_owned())))
    })
}

/// An expression of the sandbox's dialect (LANGUAGE.md §5.1) as the matcher spells it: every byte
/// by its number, groups that capture nothing, and a group around whatever is repeated, so that
/// `x+?` is an optional `x+` and not a lazy one.
fn translated(text: &[u8]) -> String {
    let mut out = String::new();
    // Where the last atom starts, here and in the groups that are open.
    let mut atom = 0;
    let mut open = Vec::new();
    let mut rest = text.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        if matches!(byte, b'*' | b'+' | b'?') {
            // What is repeated is repeated again: a run of one mark is that mark, any other is `*`.
            let mut mark = byte;
            while let Some(next) = rest.next_if(|next| matches!(next, b'*' | b'+' | b'?')) {
                mark = if next == mark { mark } else { b'*' };
            }
            out.insert_str(atom, "(?:");
            out.push(')');
            out.push(char::from(mark));
            continue;
        }
        let start = out.len();
        match byte {
            b'(' => {
                open.push(start);
                out.push_str("(?:");
            }
            b')' => {
                out.push(')');
                atom = open.pop().unwrap_or(0);
                continue;
            }
            b'|' => out.push('|'),
            b'.' => out.push('.'),
            b'^' => out.push_str("\\A"),
            b'$' => out.push_str("\\z"),
            b'[' => bracket_set(&mut rest, &mut out),
            b'\\' => number(&mut out, rest.next().unwrap_or(b'\\')),
            other => number(&mut out, other),
        }
        atom = start;
    }
    out
}

fn number(out: &mut String, byte: u8) {
    out.push_str(&format!("\\x{byte:02x}"));
}

/// `[…]` from behind its opening: a caret negates, a bracket right at the beginning is a member, so
/// is a hyphen at either end, and a backslash takes the next character as it is.
fn bracket_set(rest: &mut impl Iterator<Item = u8>, out: &mut String) {
    // Members, and the hyphens that may make ranges of them.
    #[derive(PartialEq)]
    enum Item {
        Member(u8),
        Hyphen,
    }
    let mut items = Vec::new();
    let mut negated = false;
    let mut first = true;
    while let Some(byte) = rest.next() {
        match byte {
            b'^' if first && !negated => {
                negated = true;
                continue;
            }
            b']' if !first => break,
            b'\\' => items.push(Item::Member(rest.next().unwrap_or(b'\\'))),
            b'-' => items.push(Item::Hyphen),
            other => items.push(Item::Member(other)),
        }
        first = false;
    }
    let value = |item: &Item| match item {
        Item::Member(byte) => *byte,
        Item::Hyphen => b'-',
    };
    out.push_str(if negated { "[^" } else { "[" });
    let mut left = items.as_slice();
    while let Some((low, after)) = left.split_first() {
        number(out, value(low));
        left = match after {
            [Item::Hyphen, high, more @ ..] => {
                out.push('-');
                number(out, value(high));
                more
            }
            _ => after,
        };
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_keep_their_meaning_in_the_spelling_of_the_matcher() {
        for (text, matches, fails) in [
            ("", vec!["", "x"], vec![]),
            ("^/a$", vec!["/a"], vec!["/a\n", "x/a", "/ab"]),
            ("^(a||b)$", vec!["", "a", "b"], vec!["ab"]),
            ("^a+?$", vec!["", "a", "aa"], vec!["b"]),
            ("^a?+$", vec!["", "a", "aa"], vec!["b"]),
            ("^a++b??$", vec!["aa", "ab"], vec!["", "abb"]),
            ("^ab*?$", vec!["a", "abb"], vec!["abab"]),
            ("^(ab)+$", vec!["abab"], vec!["abb", ""]),
            ("^((a)|b)*$", vec!["", "abba"], vec!["c"]),
            ("^[]a-]$", vec!["]", "a", "-"], vec!["b", "^"]),
            ("^[^]a]$", vec!["b", "^"], vec!["]", "a"]),
            ("^[a\\]b]$", vec!["]", "a", "b"], vec!["\\"]),
            ("^[-a]$", vec!["-", "a"], vec!["b"]),
            ("^[a-c-]$", vec!["b", "-"], vec!["d"]),
            ("^[+--]$", vec!["+", ",", "-"], vec!["."]),
            ("^[a&&b]$", vec!["a", "&", "b"], vec!["c"]),
            ("^[^^]$", vec!["a"], vec!["^"]),
            ("^[a^]$", vec!["a", "^"], vec!["b"]),
            ("^\\.x\\*$", vec![".x*"], vec!["axx", ".x"]),
            ("^a]}$", vec!["a]}"], vec!["a"]),
            ("^.$", vec!["\n", "a"], vec!["", "ab"]),
        ] {
            let regex = compiled(text.as_bytes(), false).unwrap_or_else(|error| panic!("{text}: {error}"));
            for subject in matches {
                assert!(regex.is_match(subject.as_bytes()), "{text} {subject:?}");
            }
            for subject in fails {
                assert!(!regex.is_match(subject.as_bytes()), "{text} {subject:?}");
            }
        }
    }

    /// The deepest groups that the parser takes, each repeated, are within the matcher's limits.
    #[test]
    fn the_deepest_expression_is_taken() {
        let deep = format!("{}a{}", "(".repeat(250), ")*".repeat(250));
        assert!(crate::pattern::regex::parse(deep.as_bytes()).is_ok());
        assert!(compiled(deep.as_bytes(), true).is_ok_and(|regex| regex.is_match(b"A")));
    }
}
