//! In: nothing but chance. Out: rules and requests that meet one another often: few operations,
//! short texts over a small alphabet, few numbers. `aim` makes requests out of a profile, `spell`
//! the text of a profile. Never: a verdict.

// Each test file uses its own part.
#![allow(dead_code)]

pub mod aim;
pub mod spell;

use std::sync::Arc;

use self::aim::Chance;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use sbtool::pattern::regex::parse;
use sbtool::pattern::{Part, StringKind, StringPattern};
use sbtool::policy::request::{Entitlement, Request};
use sbtool::policy::rules::{
    Action, Address, Argument, Filter, Modifier, ModifierArgument, Origin, PROTOCOLS, Rule, Rules, Test,
};
use sbtool::vocabulary::{Applies, DEFAULT_RELEASE, FilterId, FilterKind, ModifierArgumentKind, OperationId, Release};

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

/// Every filter of the release whose value is of one of these kinds, but not those of entitlements.
fn filters_of(kinds: &[FilterKind]) -> Vec<&'static str> {
    let fitting =
        |entry: &&sbtool::vocabulary::Filter| kinds.contains(&entry.kind) && !entry.name.starts_with("%entitlement");
    release().filters().iter().filter(fitting).map(|entry| entry.name.as_str()).collect()
}

fn string_filter() -> impl Strategy<Value = &'static str> {
    // Few filters make tests meet one another.
    prop_oneof![
        4 => Just("path"),
        3 => select(STRINGS.to_vec()),
        1 => select(filters_of(&[FilterKind::Pattern, FilterKind::Path])),
    ]
}

fn number_filter() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        5 => select(NUMBERS.to_vec()),
        1 => select(filters_of(&[FilterKind::Enum, FilterKind::Integer, FilterKind::Bitfield, FilterKind::Boolean])),
    ]
}

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

/// An expression of a few atoms, groups and repeats.
fn expression() -> impl Strategy<Value = String> {
    let atoms =
        vec!["a", "b", "A", "/", "\\.", ".", "[ab]", "[^/]", "[A-b]", "[^Z-a]", "[]/-]", "^", "$", "aB", "/a", ""];
    let inner = select(atoms).prop_map(str::to_owned).prop_recursive(3, 10, 3, |inner| {
        let repeated = (inner.clone(), select(vec!["*", "+", "?", "+?", "**"]));
        prop_oneof![
            2 => vec(inner.clone(), 1..4).prop_map(|list| list.concat()),
            1 => vec(inner, 1..4).prop_map(|list| format!("({})", list.join("|"))),
            1 => repeated.prop_map(|(inner, mark)| format!("({inner}){mark}")),
        ]
    });
    (any::<bool>(), inner, any::<bool>()).prop_map(|(start, inner, end)| {
        format!("{}{inner}{}", if start { "^" } else { "" }, if end { "$" } else { "" })
    })
}

fn regexes() -> impl Strategy<Value = Argument> {
    let text = prop_oneof![select(EXPRESSIONS.to_vec()).prop_map(str::to_owned), expression()];
    vec(text, 1..3).prop_map(|list| {
        Argument::Regexes(
            list.into_iter().map(|text| (text.as_bytes().to_vec(), parse(text.as_bytes()).unwrap())).collect(),
        )
    })
}

/// As the evaluator makes them: a flag is 0 or 1.
fn numbered(name: &'static str, number: u16) -> Filter {
    let flag = release().filter(filter(name)).unwrap().kind == FilterKind::Boolean;
    test(name, Argument::Number(if flag { number & 1 } else { number }))
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
        6 => (string_filter(), string_pattern()).prop_map(|(name, pattern)| test(name, Argument::Pattern(pattern))),
        3 => (string_filter(), regexes()).prop_map(|(name, argument)| test(name, argument)),
        5 => (number_filter(), number()).prop_map(|(name, number)| numbered(name, number)),
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

/// Any modifier of the release but the one with rules of its own, with an argument that it takes.
fn modifier() -> impl Strategy<Value = Modifier> {
    let plain: Vec<_> =
        release().modifiers().iter().filter(|entry| entry.argument != ModifierArgumentKind::MessageFilter).collect();
    (select(plain), number(), "[ab]{0,2}").prop_map(|(entry, number, text)| {
        let values: Vec<u16> = entry.values.values().copied().collect();
        let argument = match entry.argument {
            ModifierArgumentKind::Number if values.is_empty() => ModifierArgument::Number(number % 31 + 1),
            ModifierArgumentKind::Number => ModifierArgument::Number(values[usize::from(number) % values.len()]),
            ModifierArgumentKind::Text => ModifierArgument::Text(text.into_bytes()),
            _ => ModifierArgument::None,
        };
        Modifier { id: entry.id, argument }
    })
}

/// Drops the modifiers that a rule may not carry in the text of a profile (LANGUAGE.md §4.1).
fn lawful(rule: &mut Rule) {
    let mut seen = Vec::new();
    let operations = rule.operations.clone();
    let action = rule.action;
    rule.modifiers.retain(|modifier| {
        let entry = release().modifier(modifier.id).unwrap();
        let named = |list: &[String], operation: &OperationId| {
            list.iter().any(|name| release().operation(name) == Some(*operation))
        };
        let fits = match entry.actions {
            Applies::Allow => action == Action::Allow,
            Applies::Deny => action == Action::Deny,
            Applies::Both => true,
        };
        let carried = operations.iter().all(|operation| {
            (entry.only.is_empty() || named(&entry.only, operation)) && !named(&entry.except, operation)
        });
        let first = !seen.contains(&modifier.id);
        seen.push(modifier.id);
        fits && carried && first
    });
    for modifier in &mut rule.modifiers {
        if let ModifierArgument::MessageFilter(inner) = &mut modifier.argument {
            Arc::make_mut(inner).iter_mut().for_each(lawful);
        }
    }
}

/// The message operations that a message filter may name.
pub const MESSAGES: [&str; 5] = [
    "iokit-async-external-method",
    "iokit-external-method",
    "iokit-external-trap",
    "mach-message-send",
    "xpc-message-send",
];

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

fn operations() -> BoxedStrategy<&'static str> {
    let slots = release().operation_slots();
    let all: Vec<&str> = release().operations()[..slots].iter().map(|entry| entry.name.as_str()).collect();
    prop_oneof![
        4 => select(OPERATIONS.to_vec()),
        4 => select(vec!["file*", "file-read*", "file-read-data", "default"]),
        1 => select(all),
    ]
    .boxed()
}

/// Makes tests meet: about half of them ask the filter of one before, for its string, one that is
/// longer or shorter, or the other case.
fn relate(rules: &mut Rules, chance: &mut Chance) {
    let mut seen = Seen::default();
    for rule in &mut rules.list {
        if let Some(filter) = &mut rule.filter {
            relate_filter(Arc::make_mut(filter), chance, &mut seen);
        }
    }
}

/// What the tests so far ask for.
#[derive(Default)]
struct Seen {
    strings: Vec<(FilterId, Vec<u8>)>,
    numbers: Vec<FilterId>,
}

fn relate_filter(filter: &mut Filter, chance: &mut Chance, seen: &mut Seen) {
    match filter {
        Filter::Not(inner) => relate_filter(Arc::make_mut(inner), chance, seen),
        Filter::All(list) | Filter::Any(list) => {
            list.iter_mut().for_each(|item| relate_filter(Arc::make_mut(item), chance, seen));
        }
        Filter::Test(test) if release().filter_name(test.filter).starts_with("%entitlement") => {}
        Filter::Test(Test { filter, argument: Argument::Pattern(pattern) }) => {
            let [Part::Text(text)] = pattern.parts.as_mut_slice() else { return };
            let near = seen.strings.len().saturating_sub(4);
            if let Some((known, string)) = chance.pick(&seen.strings[near..])
                && chance.one_in(2)
            {
                *filter = *known;
                text.clone_from(string);
                match chance.below(8) {
                    0 | 1 => text.extend(b"/a"),
                    2 => text.push(b'b'),
                    3 => _ = text.pop(),
                    4 => text.truncate(text.iter().rposition(|byte| *byte == b'/').unwrap_or(0)),
                    5 => text.make_ascii_uppercase(),
                    _ => {}
                }
            }
            seen.strings.push((*filter, text.clone()));
        }
        Filter::Test(Test { filter, argument: Argument::Regexes(_) }) => {
            if let Some((known, _)) = chance.pick(&seen.strings) {
                *filter = *known;
            }
        }
        Filter::Test(Test { filter, argument: Argument::Number(number) }) => {
            if let Some(known) = chance.pick(&seen.numbers)
                && chance.one_in(2)
            {
                *filter = *known;
                if release().filter(*known).unwrap().kind == FilterKind::Boolean {
                    *number &= 1;
                }
            }
            seen.numbers.push(*filter);
        }
        Filter::Test(_) => {}
    }
}

/// Rules that a text can give: each carries only modifiers that it may.
pub fn lawful_rules(filter: BoxedStrategy<Filter>, implicit: BoxedStrategy<bool>) -> BoxedStrategy<Rules> {
    rules(filter, implicit)
        .prop_map(|mut rules| {
            rules.list.iter_mut().for_each(lawful);
            rules
        })
        .boxed()
}

/// Any rules whose filters come from `filter`.
pub fn rules(filter: BoxedStrategy<Filter>, implicit: BoxedStrategy<bool>) -> BoxedStrategy<Rules> {
    let list = vec(rule(operations(), filter, modifiers()), 0..10);
    (list, 1u8..4, implicit, any::<u64>())
        .prop_map(|(list, version, implicit, seed)| {
            let mut rules = Rules { release: release(), version, list, base: None, profile_flags: 0, implicit };
            relate(&mut rules, &mut Chance(seed));
            rules
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
