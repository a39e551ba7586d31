//! In: nothing but chance. Out: rules and requests that meet one another often: few operations,
//! short texts over a small alphabet, few numbers. Never: SBPL text.

// Each test file uses its own part.
#![allow(dead_code)]

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use sbtool::pattern::regex::parse;
use sbtool::pattern::{Part, StringKind, StringPattern};
use sbtool::policy::request::{Entitlement, Request};
use sbtool::policy::rules::{
    Action, Address, Argument, Filter, Modifier, ModifierArgument, Origin, PROTOCOLS, Rule, Rules, Test,
};
use sbtool::vocabulary::{DEFAULT_RELEASE, FilterId, OperationId, Release};

/// Roots, wildcards, their children, terminal operations, operations that a version allows, and
/// those with implicit rules.
const OPERATIONS: [&str; 32] = [
    "default",
    "file*",
    "file-read*",
    "file-read-data",
    "file-read-metadata",
    "file-write*",
    "file-write-data",
    "file-write-setugid",
    "file-lock",
    "file-link",
    "mach*",
    "mach-lookup",
    "mach-bootstrap",
    "mach-task*",
    "mach-task-read",
    "mach-task-name",
    "mach-task-inspect",
    "mach-task-special-port*",
    "mach-task-special-port-get",
    "network*",
    "network-outbound",
    "network-bind",
    "signal",
    "process-exec*",
    "iokit-open*",
    "iokit-open-user-client",
    "syscall*",
    "syscall-unix",
    "syscall-mach",
    "system-privilege",
    "job-creation",
    "storage-class-map",
];

/// Filters whose value is a string that patterns are compared with; folding and not, contrary and
/// not.
const STRINGS: [&str; 8] = [
    "path",
    "process-path",
    "nvram-variable",
    "global-name",
    "local-name",
    "xpc-service-name",
    "control-name",
    "signing-identifier",
];

/// Filters with numbers: one value at a time, several, bits.
const NUMBERS: [&str; 11] = [
    "vnode-type",
    "socket-domain",
    "privilege-id",
    "target",
    "process-attribute",
    "csr",
    "file-mode",
    "reboot-flags",
    "notification-payload",
    "syscall-number",
    "machtrap-number",
];

/// Filters of which one call with several numbers is one test.
const MASKS: [&str; 4] = ["syscall-number", "machtrap-number", "fcntl-command", "socket-option-name"];

/// Filters with exact strings.
const TEXTS: [&str; 4] = ["extension", "storage-class", "require-ancestor-with-entitlement", "device-conforms-to"];

/// Expressions over the alphabet of the texts, some with sets that cross the border of the cases.
const EXPRESSIONS: [&str; 14] = [
    "",
    "^/a",
    "a$",
    "(a|b)*A$",
    "^/[^a]+$",
    "[A-b]",
    "[Z-a]b",
    "[^A-Z/]",
    "[^Z-b]",
    "^/a/.*B?$",
    "a+b",
    "^$",
    ".",
    "^//?(aA|b)",
];

/// The release under test.
pub fn release() -> &'static Release {
    Release::named(DEFAULT_RELEASE).unwrap()
}

pub fn filter(name: &str) -> FilterId {
    release().filter_named(name).unwrap_or_else(|| panic!("no filter {name}")).id
}

pub fn operation(name: &str) -> OperationId {
    release().operation(name).unwrap_or_else(|| panic!("no operation {name}"))
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => "/?[aAbB/]{0,4}",
        1 => Just("com.apple.flow-divert".to_owned()),
        1 => "/[aB]{20,24}",
    ]
    .prop_map(String::into_bytes)
}

fn number() -> impl Strategy<Value = u16> {
    prop_oneof![6 => 0u16..4, 1 => Just(37u16), 1 => Just(100u16), 1 => Just(u16::MAX)]
}

fn string_pattern() -> impl Strategy<Value = StringPattern> {
    let kind = select(vec![StringKind::Literal, StringKind::Prefix, StringKind::Subpath]);
    (kind, text(), prop::bool::weighted(0.05)).prop_map(|(kind, text, variable)| {
        // As the parser makes them: an empty text stands alone.
        let parts = match (variable, text.is_empty()) {
            (false, _) => vec![Part::Text(text)],
            (true, true) => vec![Part::Variable("HOME".to_owned())],
            (true, false) => vec![Part::Variable("HOME".to_owned()), Part::Text(text)],
        };
        StringPattern { kind, parts }
    })
}

fn regexes() -> impl Strategy<Value = Argument> {
    vec(select(EXPRESSIONS.to_vec()), 1..3).prop_map(|list| {
        Argument::Regexes(
            list.into_iter().map(|text| (text.as_bytes().to_vec(), parse(text.as_bytes()).unwrap())).collect(),
        )
    })
}

fn address() -> impl Strategy<Value = Address> {
    (select(PROTOCOLS.to_vec()), any::<bool>(), 0u16..3).prop_map(|((_, protocol), localhost, port)| Address {
        protocol,
        localhost,
        port,
    })
}

fn test(filter_name: &'static str, argument: Argument) -> Filter {
    Filter::Test(Test { filter: filter(filter_name), argument })
}

/// A test that stands for itself.
fn plain_test() -> impl Strategy<Value = Filter> {
    prop_oneof![
        // Few filters make the facts of a request meet them.
        6 => (prop_oneof![3 => Just("path"), 2 => select(STRINGS.to_vec())], string_pattern())
            .prop_map(|(name, pattern)| test(name, Argument::Pattern(pattern))),
        3 => (prop_oneof![3 => Just("path"), 2 => select(STRINGS.to_vec())], regexes())
            .prop_map(|(name, argument)| test(name, argument)),
        5 => (select(NUMBERS.to_vec()), number()).prop_map(|(name, number)| test(name, Argument::Number(number))),
        2 => (select(MASKS.to_vec()), vec(number(), 1..4)).prop_map(|(name, set)| test(name, Argument::Numbers(set))),
        2 => (select(TEXTS.to_vec()), "[ab]").prop_map(|(name, text)| test(name, Argument::Text(text.into_bytes()))),
        1 => (select(vec!["local", "remote"]), address())
            .prop_map(|(name, address)| test(name, Argument::Address(address))),
        1 => "[st]".prop_map(|name| test("state-flag", Argument::StateFlag(name.into_bytes()))),
        1 => (select(vec!["%entitlement-is-present", "%entitlement-is-bool-true"]), "[kl]")
            .prop_map(|(name, key)| test(name, Argument::Text(key.into_bytes()))),
    ]
}

/// A test of an entitlement that a test before it loaded.
fn loaded_test() -> impl Strategy<Value = Filter> {
    prop_oneof![
        any::<bool>().prop_map(|value| test("%entitlement-boolean", Argument::Number(u16::from(value)))),
        string_pattern().prop_map(|pattern| test("%entitlement-string", Argument::Pattern(pattern))),
        regexes().prop_map(|argument| test("%entitlement-string", argument)),
    ]
}

fn loader() -> impl Strategy<Value = Filter> {
    "[kl]".prop_map(|key| test("%entitlement-load", Argument::Text(key.into_bytes())))
}

/// Combinations of what `leaf` gives, up to this depth.
fn combined(leaf: BoxedStrategy<Filter>, depth: u32) -> BoxedStrategy<Filter> {
    leaf.prop_recursive(depth, 12, 3, |inner| {
        let list = || vec(inner.clone().prop_map(Arc::new), 1..4);
        prop_oneof![
            3 => list().prop_map(Filter::All),
            3 => list().prop_map(Filter::Any),
            2 => inner.clone().prop_map(|filter| Filter::Not(Arc::new(filter))),
        ]
    })
    .boxed()
}

/// `(require-entitlement NAME FILTER)`.
fn entitlement() -> impl Strategy<Value = Filter> {
    let inner = combined(prop_oneof![3 => loaded_test(), 2 => plain_test()].boxed(), 2);
    (loader(), vec(inner, 0..3)).prop_map(|(loader, rest)| {
        let mut list = vec![Arc::new(loader)];
        list.extend(rest.into_iter().map(Arc::new));
        Filter::All(list)
    })
}

/// A filter in which every test of a loaded value stands behind its loader.
pub fn sound_filter() -> BoxedStrategy<Filter> {
    combined(prop_oneof![9 => plain_test(), 1 => entitlement(), 1 => loader()].boxed(), 4)
}

/// A filter in which tests of loaded values stand anywhere.
pub fn any_filter() -> BoxedStrategy<Filter> {
    combined(prop_oneof![2 => plain_test(), 2 => loader(), 3 => loaded_test(), 1 => entitlement()].boxed(), 4)
}

fn modifier_id(name: &str) -> sbtool::vocabulary::ModifierId {
    release().modifier_named(name).unwrap_or_else(|| panic!("no modifier {name}")).id
}

fn modifier() -> impl Strategy<Value = Modifier> {
    let flags = vec!["report", "no-report", "no-sandbox", "grant", "telemetry", "telemetry-backtrace", "authority"];
    prop_oneof![
        4 => select(flags).prop_map(|name| (name, ModifierArgument::None)),
        1 => number().prop_map(|number| ("errno", ModifierArgument::Number(number))),
        1 => number().prop_map(|number| ("send-signal", ModifierArgument::Number(number))),
        2 => "[ab]{0,2}".prop_map(|text| ("message", ModifierArgument::Text(text.into_bytes()))),
        1 => "[ab]{0,2}".prop_map(|text| ("enable-state-flag", ModifierArgument::Text(text.into_bytes()))),
    ]
    .prop_map(|(name, argument)| Modifier { id: modifier_id(name), argument })
}

/// The message operations that a message filter may name.
pub const MESSAGES: [&str; 4] =
    ["iokit-external-method", "iokit-external-trap", "mach-message-send", "xpc-message-send"];

fn rule(
    operations: BoxedStrategy<&'static str>,
    filter: BoxedStrategy<Filter>,
    modifiers: BoxedStrategy<Vec<Modifier>>,
) -> BoxedStrategy<Rule> {
    let action = select(vec![Action::Allow, Action::Deny]);
    (action, vec(operations, 1..3), prop::option::weighted(0.75, filter), modifiers)
        .prop_map(|(action, operations, filter, modifiers)| Rule {
            action,
            operations: operations.into_iter().map(operation).collect(),
            filter: filter.map(Arc::new),
            modifiers,
            origin: Arc::new(Origin::default()),
        })
        .boxed()
}

/// Rules for messages.
fn message_rules() -> BoxedStrategy<Vec<Rule>> {
    let modifiers = vec(modifier(), 0..2).boxed();
    vec(rule(select(MESSAGES.to_vec()).boxed(), sound_filter(), modifiers), 1..4).boxed()
}

fn modifiers() -> BoxedStrategy<Vec<Modifier>> {
    let filters = message_rules().prop_map(|rules| Modifier {
        id: modifier_id("message-filter"),
        argument: ModifierArgument::MessageFilter(Arc::new(rules)),
    });
    prop_oneof![
        6 => Just(Vec::new()),
        4 => vec(modifier(), 1..4),
        1 => (vec(modifier(), 0..2), filters).prop_map(|(mut list, filter)| {
            list.push(filter);
            list
        }),
    ]
    .boxed()
}

/// Any rules whose filters come from `filter`.
pub fn rules(filter: BoxedStrategy<Filter>, implicit: BoxedStrategy<bool>) -> BoxedStrategy<Rules> {
    let operations = prop_oneof![
        3 => select(OPERATIONS.to_vec()),
        2 => select(vec!["file*", "file-read*", "file-read-data", "default"]),
    ];
    let list = vec(rule(operations.boxed(), filter, modifiers()), 0..10);
    (list, 1u8..4, implicit)
        .prop_map(|(list, version, implicit)| Rules {
            release: release(),
            version,
            list,
            base: None,
            profile_flags: 0,
            implicit,
        })
        .boxed()
}

/// What a request may know of one filter.
#[derive(Clone, Debug)]
enum Known {
    Text(&'static str, Vec<u8>),
    Number(&'static str, u16),
    Address(&'static str, Address),
    Entitlement(Vec<u8>, Entitlement),
}

fn known() -> impl Strategy<Value = Known> {
    let value = prop_oneof![any::<bool>().prop_map(Entitlement::Bool), vec(text(), 0..3).prop_map(Entitlement::Texts),];
    prop_oneof![
        3 => text().prop_map(|text| Known::Text("path", text)),
        3 => (select(STRINGS.to_vec()), text()).prop_map(|(name, text)| Known::Text(name, text)),
        5 => (select(NUMBERS.to_vec()), number()).prop_map(|(name, number)| Known::Number(name, number)),
        2 => (select(MASKS.to_vec()), number()).prop_map(|(name, number)| Known::Number(name, number)),
        2 => (select(TEXTS.to_vec()), "[ab]").prop_map(|(name, text)| Known::Text(name, text.into_bytes())),
        1 => (select(vec!["local", "remote"]), address()).prop_map(|(name, address)| Known::Address(name, address)),
        1 => "[st]".prop_map(|name| Known::Text("state-flag", name.into_bytes())),
        2 => ("[kl]", value).prop_map(|(key, value)| Known::Entitlement(key.into_bytes(), value)),
    ]
}

/// Requests about the operations that rules are about, now and then about any other; with what is
/// known in any number of facts, as far as the request takes them.
pub fn request() -> BoxedStrategy<Request> {
    let slots = u16::try_from(release().operation_slots()).unwrap();
    let operation = prop_oneof![
        3 => select(OPERATIONS.to_vec()).prop_map(operation),
        2 => select(vec!["file-read*", "file-read-data"]).prop_map(operation),
        1 => (0..slots).prop_map(OperationId),
    ];
    (operation, vec(known(), 0..12))
        .prop_map(|(operation, known)| {
            let mut request = Request::new(operation);
            for fact in known {
                // A second value of a filter that has one at a time is refused; the first stays.
                let _refused = match fact {
                    Known::Text(name, text) => request.add_text(release(), filter(name), &text),
                    Known::Number(name, number) => request.add_number(release(), filter(name), number),
                    Known::Address(name, address) => request.add_address(release(), filter(name), address),
                    Known::Entitlement(key, value) => request.add_entitlement(&key, value),
                };
            }
            request
        })
        .boxed()
}
