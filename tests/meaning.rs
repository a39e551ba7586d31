#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! In: random rules and random requests. Out: whether the reading by rules, the graph under every
//! choice of passes, and the blob say the same. Never: bytes of a known case.

mod random;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use random::{any_filter, release, request, rules, sound_filter};
use sbtool::blob::{decode, encode};
use sbtool::policy::graph::{self, Graph, Node, NodeId, Terminal};
use sbtool::policy::passes::{BuildError, Passes, build};
use sbtool::policy::reference::{Decider, Decision, Reference};
use sbtool::policy::request::Request;
use sbtool::policy::rules::{Action, ModifierArgument, Rule, Rules};
use sbtool::policy::verdict::decide;
use sbtool::vocabulary::{ModifierId, OperationId};

fn all_passes() -> Vec<Passes> {
    let passes = |bits: u8| Passes {
        thread: bits & 1 != 0,
        sort: bits & 2 != 0,
        merge: bits & 4 != 0,
        lower_regexes: bits & 8 != 0,
    };
    (0..16).map(passes).collect()
}

/// What a terminal says, without numbers of nodes: flags; modifiers with their number or text, or
/// with the message operation.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    flags: u32,
    modifiers: Vec<(ModifierId, Carried)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Carried {
    Number(u16),
    Text(Vec<u8>),
    Message(OperationId),
}

fn said(terminal: &Terminal) -> Said {
    let modifiers = terminal.modifiers.iter().map(|modifier| {
        let carried = match &modifier.argument {
            graph::ModifierArgument::Number(number) => Carried::Number(*number),
            graph::ModifierArgument::Text(text) => Carried::Text(text.clone()),
            graph::ModifierArgument::MessageFilter { operation, .. } => Carried::Message(*operation),
        };
        (modifier.id, carried)
    });
    Said { flags: terminal.flags, modifiers: modifiers.collect() }
}

/// What a rule's terminal has to say (FORMAT.md §2.2, LANGUAGE.md §7.3).
fn wanted(action: Action, rule: Option<&Rule>) -> Said {
    let mut flags = if action == Action::Deny { Terminal::DENY | Terminal::REPORT } else { 0 };
    let mut modifiers = Vec::new();
    for modifier in rule.map(|rule| rule.modifiers.as_slice()).unwrap_or_default() {
        let entry = release().modifier(modifier.id).unwrap();
        flags = (flags & !entry.mask) | entry.set;
        match &modifier.argument {
            ModifierArgument::None => {}
            ModifierArgument::Number(number) => modifiers.push((modifier.id, Carried::Number(*number))),
            ModifierArgument::Text(text) => modifiers.push((modifier.id, Carried::Text(text.clone()))),
            ModifierArgument::MessageFilter(inner) => {
                let mut named: Vec<_> = inner.iter().flat_map(|rule| rule.operations.clone()).collect();
                named.sort();
                named.dedup();
                modifiers.extend(named.into_iter().map(|operation| (modifier.id, Carried::Message(operation))));
            }
        }
    }
    Said { flags, modifiers }
}

fn deciding<'r>(decision: &Decision<'r>) -> Option<&'r Rule> {
    match decision.decider {
        Decider::Rule(rule) | Decider::Tail(rule) => Some(rule),
        Decider::Implicit | Decider::Table => None,
    }
}

/// The graph ends where the rules say, and says all that the deciding rule says.
fn agrees(graph: &Graph, reference: &Reference, request: &Request) -> Result<(), TestCaseError> {
    let decision = reference.decide(request);
    let terminal = decide(graph, request).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let rule = deciding(&decision);
    prop_assert_eq!(said(terminal), wanted(decision.action, rule), "{:?}", decision);
    for modifier in &terminal.modifiers {
        let graph::ModifierArgument::MessageFilter { operation, entry } = modifier.argument else { continue };
        let inner = rule.and_then(|rule| {
            rule.modifiers.iter().find_map(|modifier| match &modifier.argument {
                ModifierArgument::MessageFilter(inner) => Some(inner),
                _ => None,
            })
        });
        let list = inner.map(|inner| inner.to_vec()).unwrap_or_default();
        let inner = Rules { release: release(), version: 3, list, base: None, profile_flags: 0, implicit: false };
        let mut asked = request.clone();
        asked.operation = operation;
        message_agrees(graph, entry, &inner, asked)?;
    }
    Ok(())
}

/// A message is decided by the rules of the filter alone; what none decides is denied.
fn message_agrees(graph: &Graph, entry: NodeId, inner: &Rules, asked: Request) -> Result<(), TestCaseError> {
    let mut alone = graph.clone();
    alone.entries = vec![entry; usize::from(asked.operation.0) + 1];
    let terminal = decide(&alone, &asked).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let reference = Reference::new(inner.clone());
    let decision = reference.decide(&asked);
    let rule = deciding(&decision).filter(|_| decision.operation == asked.operation);
    let action = if rule.is_some() { decision.action } else { Action::Deny };
    prop_assert_eq!(said(terminal), wanted(action, rule));
    Ok(())
}

/// The same graph with its nodes in another order.
fn shuffled(graph: &Graph, keys: &[u32]) -> Graph {
    let mut order: Vec<usize> = (0..graph.nodes.len()).collect();
    order.sort_by_key(|index| keys[index % keys.len()].wrapping_mul(u32::try_from(*index).unwrap() | 1));
    let mut numbers = vec![NodeId(0); order.len()];
    for (new, old) in order.iter().enumerate() {
        numbers[*old] = NodeId(u32::try_from(new).unwrap());
    }
    let at = |id: NodeId| numbers[id.index()];
    let nodes = order.iter().map(|old| match &graph.nodes[*old] {
        Node::Test { test, matched, unmatched } => {
            Node::Test { test: test.clone(), matched: at(*matched), unmatched: at(*unmatched) }
        }
        Node::Terminal(terminal) => {
            let mut terminal = terminal.clone();
            for modifier in &mut terminal.modifiers {
                if let graph::ModifierArgument::MessageFilter { entry, .. } = &mut modifier.argument {
                    *entry = at(*entry);
                }
            }
            Node::Terminal(terminal)
        }
    });
    Graph { nodes: nodes.collect(), entries: graph.entries.iter().map(|entry| at(*entry)).collect(), ..graph.clone() }
}

fn fail(error: impl std::fmt::Display) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

fn config() -> ProptestConfig {
    // `PROPTEST_CASES` still asks for more.
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(128);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    /// The rules, read literally, and the graph of every choice of passes end at the same words.
    #[test]
    fn every_graph_means_the_rules(
        rules in rules(sound_filter(), prop_oneof![3 => Just(true), 1 => Just(false)].boxed()),
        requests in vec(request(), 1..16),
    ) {
        let reference = Reference::new(rules.clone());
        for passes in all_passes() {
            let graph = build(&rules, passes).map_err(fail)?;
            for request in &requests {
                agrees(&graph, &reference, request)
                    .map_err(|error| TestCaseError::fail(format!("{passes:?}: {request:?}: {error}")))?;
            }
        }
    }

    /// A blob holds all of a graph: read back it means the same, every byte is accounted for, and
    /// it is written as the same bytes. With it the order of nodes in memory is shown not to matter.
    #[test]
    fn a_blob_holds_all_of_a_graph(
        rules in rules(sound_filter(), any::<bool>().boxed()),
        requests in vec(request(), 1..16),
        keys in vec(any::<u32>(), 1..8),
        passes in prop_oneof![Just(Passes::default()), select(all_passes())],
    ) {
        let graph = build(&rules, passes).map_err(fail)?;
        let bytes = encode(&graph).map_err(fail)?;
        let decoded = decode(&bytes, release()).map_err(fail)?;
        prop_assert!(decoded.leftover.is_empty(), "{:?}", decoded.leftover);
        prop_assert_eq!(&encode(&decoded.graph).map_err(fail)?, &bytes);
        let mixed = shuffled(&graph, &keys);
        prop_assert_eq!(encode(&mixed).map_err(fail)?, bytes);
        let reference = Reference::new(rules);
        for request in &requests {
            agrees(&decoded.graph, &reference, request)?;
            agrees(&mixed, &reference, request)?;
        }
    }

    /// A test of a loaded value that no loader stands before is refused, or means the same under
    /// every choice of passes.
    #[test]
    fn loaded_values_are_refused_or_mean_the_same(
        rules in rules(any_filter(), Just(true).boxed()),
        requests in vec(request(), 1..16),
    ) {
        let reference = Reference::new(rules.clone());
        let built: Vec<_> = all_passes().into_iter().map(|passes| build(&rules, passes)).collect();
        if let Some(Err(error)) = built.iter().find(|graph| graph.is_err()) {
            prop_assert!(matches!(error, BuildError::NotLoaded { .. }), "{}", error);
            prop_assert!(built.iter().all(Result::is_err));
            return Ok(());
        }
        for graph in built.iter().flatten() {
            for request in &requests {
                agrees(graph, &reference, request)?;
            }
        }
    }
}

/// The rules of a profile's text.
fn rules_of(text: &str) -> Rules {
    let options = sbtool::sbpl::Options::new(release());
    match sbtool::sbpl::evaluate("test", text.as_bytes(), &options) {
        Ok(evaluated) => evaluated.rules,
        Err(error) => panic!("{}", error.render(false)),
    }
}

fn denies(text: &str, operation: &str, facts: &[&str]) -> bool {
    let mut request = Request::new(random::operation(operation));
    for fact in facts {
        request.add_fact(release(), fact).unwrap();
    }
    let rules = rules_of(text);
    let graph = build(&rules, Passes::default()).unwrap();
    let denies = decide(&graph, &request).unwrap().denies();
    let reference = Reference::new(rules);
    assert_eq!(reference.decide(&request).action == Action::Deny, denies, "{text}");
    denies
}

/// The sort once moved a cheap test with the value test behind it before the loader.
#[test]
fn a_value_test_stays_behind_its_loader() {
    let text = r#"(version 3) (deny default)
        (allow file-read* (require-entitlement "k" (require-all (vnode-type REGULAR-FILE) (entitlement-value #t))))
        (allow signal (require-all (require-entitlement "k") (require-entitlement "l" (require-all
            (target self) (entitlement-value "x")))))"#;
    assert!(!denies(text, "file-read-data", &["entitlement=k", "vnode-type=REGULAR-FILE"]));
    assert!(denies(text, "file-read-data", &["entitlement=k=#f", "vnode-type=REGULAR-FILE"]));
    assert!(denies(text, "file-read-data", &["entitlement=k", "vnode-type=FIFO"]));
    assert!(!denies(text, "signal", &["entitlement=k", "entitlement=l=x", "target=self"]));
}

/// Lowering the bounds of `[^Z-b]` turned the range round, and the set then held everything.
#[test]
fn sets_that_cross_the_border_of_the_cases_keep_their_bytes() {
    let text = r#"(version 3) (deny default)
        (allow file-read* (regex #"^/[^Z-b]$")) (allow file-write* (regex #"^/[^A-Z_]$"))
        (allow mach-lookup (global-name-regex #"^[Z-a]$"))"#;
    for (operation, fact, wanted) in [
        ("file-read-data", "path=/a", true),
        ("file-read-data", "path=/z", true),
        ("file-read-data", "path=/_", true),
        ("file-read-data", "path=/c", false),
        ("file-write-data", "path=/_", true),
        ("file-write-data", "path=/q", true),
        ("file-write-data", "path=/1", false),
        ("mach-lookup", "global-name=_", false),
        ("mach-lookup", "global-name=z", true),
    ] {
        assert_eq!(denies(text, operation, &[fact]), wanted, "{operation} {fact}");
    }
}

/// What is wrong, whichever rule it is wrong in.
fn reason(error: BuildError) -> BuildError {
    match error {
        BuildError::InRule { reason, .. } => *reason,
        other => other,
    }
}

#[test]
fn what_has_no_meaning_is_refused() {
    for text in [
        "(version 3) (allow file-read* (entitlement-value #t))",
        r#"(version 3) (allow file-read* (require-any (%entitlement-load "k") (entitlement-value #t)))"#,
        r#"(version 3) (allow file-read* (require-all (require-not (%entitlement-load "k")) (entitlement-value #t)))"#,
    ] {
        let error = reason(build(&rules_of(text), Passes::default()).unwrap_err());
        assert!(matches!(error, BuildError::NotLoaded { .. }), "{text}: {error}");
    }
    // It once compiled to a plain allow without any filter.
    let foreign = rules_of("(version 3) (allow mach-lookup (apply-message-filter (deny default)))");
    let error = reason(build(&foreign, Passes::default()).unwrap_err());
    assert_eq!(error, BuildError::NoMessageOperation("default".to_owned()));
    let mut rules = rules_of("(version 3) (allow mach-lookup (apply-message-filter (deny mach-message-send)))");
    let mut inner = rules.list.clone();
    inner[0].operations = vec![random::operation("mach-message-send")];
    let inner = std::sync::Arc::new(inner);
    rules.list[0].modifiers[0].argument = ModifierArgument::MessageFilter(inner);
    assert_eq!(reason(build(&rules, Passes::default()).unwrap_err()), BuildError::NestedMessageFilter);
}
