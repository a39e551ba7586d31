#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! In: random profiles, and random requests aimed at them. Out: whether the rules read literally,
//! the graph under every choice of passes, the blob read back, and what a text of the rules compiles
//! to, all say the same. Never: bytes of a known case.
//!
//! A pair is one profile with one request, asked of all of them. 200,000 run by default;
//! `SBTOOL_PAIRS=1000000 cargo test --release --test meaning` runs a million. What fails is made
//! small, printed, and its seed kept in `proptest-regressions/meaning.txt`, which is run first the
//! next time: commit it with the fix, and make a named test of what is printed.

mod random;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestError, TestRunner};
use random::aim::{Chance, Known, Material};
use random::{aim, any_filter, lawful_rules, release, rules, sound_filter, spell};
use sbtool::blob::{decode, encode};
use sbtool::policy::graph::{self, Graph, Node, NodeId, Terminal};
use sbtool::policy::passes::{BuildError, Passes, build};
use sbtool::policy::reference::{Decider, Decision, Reference};
use sbtool::policy::request::Request;
use sbtool::policy::rules::{Action, ModifierArgument, Rule, Rules};
use sbtool::policy::same::different_operations;
use sbtool::policy::verdict::{decide, explain};
use sbtool::vocabulary::{ModifierId, OperationId};

/// Requests to each profile.
const REQUESTS: usize = 50;

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

/// A graph that must mean the rules.
struct Candidate {
    /// How it was made.
    made: String,
    graph: Graph,
    /// The graphs of its message filters, by entry.
    messages: RefCell<HashMap<NodeId, Arc<Graph>>>,
}

impl Candidate {
    fn new(made: impl Into<String>, graph: Graph) -> Self {
        Self { made: made.into(), graph, messages: RefCell::default() }
    }

    /// The graph that decides messages, as a graph of its own.
    fn message_graph(&self, entry: NodeId) -> Arc<Graph> {
        let make = || {
            let mut alone = self.graph.clone();
            alone.entries = vec![entry; release().operations().len()];
            Arc::new(alone)
        };
        self.messages.borrow_mut().entry(entry).or_insert_with(make).clone()
    }
}

/// The rules of a profile, and those of its message filters.
struct Readings {
    whole: Reference,
    messages: RefCell<HashMap<*const Vec<Rule>, Arc<Reference>>>,
}

impl Readings {
    fn new(rules: &Rules) -> Result<Self, TestCaseError> {
        Ok(Self { whole: Reference::new(rules.clone()).map_err(fail)?, messages: RefCell::default() })
    }

    fn message(&self, inner: &Arc<Vec<Rule>>) -> Arc<Reference> {
        let Rules { release, version, .. } = *self.whole.rules();
        let make = || {
            let rules = Rules { release, version, list: inner.to_vec(), base: None, profile_flags: 0, implicit: false };
            Arc::new(Reference::new(rules).unwrap())
        };
        self.messages.borrow_mut().entry(Arc::as_ptr(inner)).or_insert_with(make).clone()
    }
}

/// The graph ends where the rules say, and says all that the deciding rule says.
fn agrees(candidate: &Candidate, readings: &Readings, request: &Request) -> Result<(), TestCaseError> {
    let decision = readings.whole.decide(request);
    let terminal = decide(&candidate.graph, request).map_err(fail)?;
    let rule = deciding(&decision);
    prop_assert_eq!(said(terminal), wanted(decision.action, rule), "{:?}", decision);
    for (operation, entry) in terminal.message_filters() {
        let inner = rule.and_then(|rule| {
            rule.modifiers.iter().find_map(|modifier| match &modifier.argument {
                ModifierArgument::MessageFilter(inner) => Some(inner),
                _ => None,
            })
        });
        let mut asked = request.clone();
        asked.operation = operation;
        let inner = inner.ok_or_else(|| fail("a message filter from nowhere"))?;
        // A message is decided by the rules of the filter alone; what none decides is denied.
        let reference = readings.message(inner);
        let decision = reference.decide(&asked);
        let rule = deciding(&decision).filter(|_| decision.operation == operation);
        let action = if rule.is_some() { decision.action } else { Action::Deny };
        let alone = candidate.message_graph(entry);
        let terminal = decide(&alone, &asked).map_err(fail)?;
        prop_assert_eq!(said(terminal), wanted(action, rule), "message of {:?}", release().operation_name(operation));
    }
    Ok(())
}

/// What a profile compiled to, read back. It is whole: every byte is accounted for, and it is
/// written as the same bytes. Nothing where it is too large for a blob.
fn read_back(graph: &Graph) -> Result<Option<Graph>, TestCaseError> {
    let Ok(bytes) = encode(graph) else { return Ok(None) };
    let decoded = decode(&bytes, release()).map_err(fail)?;
    prop_assert!(decoded.leftover.is_empty(), "{:?}", decoded.leftover);
    prop_assert_eq!(&encode(&decoded.graph).map_err(fail)?, &bytes);
    // Not only the same answers: the same tests in the same order, for all requests.
    prop_assert_eq!(different_operations(graph, &decoded.graph), vec![]);
    Ok(Some(decoded.graph))
}

/// A profile with all that is asked of it.
#[derive(Clone, Debug)]
struct Profile {
    rules: Rules,
    /// A text may say these rules.
    lawful: bool,
    /// One number for each request.
    seeds: Vec<u64>,
    keys: Vec<u32>,
    spelling: u64,
}

fn profile() -> impl Strategy<Value = Profile> {
    let implicit = || prop_oneof![3 => Just(true), 1 => Just(false)].boxed();
    let lawful = (lawful_rules(sound_filter(), implicit()), Just(true));
    let lawless = (rules(sound_filter(), implicit()), Just(false));
    let seeds = vec(any::<u64>(), REQUESTS);
    (prop_oneof![4 => lawful, 1 => lawless], seeds, vec(any::<u32>(), 1..8), any::<u64>())
        .prop_map(|((rules, lawful), seeds, keys, spelling)| Profile { rules, lawful, seeds, keys, spelling })
}

/// How often what was asked and made.
#[derive(Default)]
struct Counts {
    pairs: AtomicUsize,
    profiles: AtomicUsize,
    too_large: AtomicUsize,
    texts: AtomicUsize,
    /// Decided by a rule with a filter, a rule without one, the table or an implicit rule; and how
    /// often the one or the other was that of a parent.
    by_filter: AtomicUsize,
    by_tail: AtomicUsize,
    inherited: AtomicUsize,
    by_table: AtomicUsize,
    by_implicit: AtomicUsize,
}

fn count(counter: &AtomicUsize) -> usize {
    counter.fetch_add(1, Ordering::Relaxed)
}

/// The profile's graphs: by each choice of passes, read back from blobs, with its nodes in another
/// order, and made from a text.
fn candidates(profile: &Profile, counts: &Counts) -> Result<Vec<Candidate>, TestCaseError> {
    let mut candidates = Vec::new();
    let turn = count(&counts.profiles);
    for (number, passes) in all_passes().into_iter().enumerate() {
        let graph = build(&profile.rules, passes).map_err(fail)?;
        // The blob of all passes always, those of the others in turn.
        if passes == Passes::default() || number == turn % 8 {
            match read_back(&graph)? {
                Some(decoded) => candidates.push(Candidate::new(format!("blob of {passes:?}"), decoded)),
                None => _ = count(&counts.too_large),
            }
        }
        if passes == Passes::default() {
            let mixed = shuffled(&graph, &profile.keys);
            prop_assert_eq!(encode(&mixed).ok(), encode(&graph).ok());
            candidates.push(Candidate::new("nodes in another order", mixed));
        }
        candidates.push(Candidate::new(format!("{passes:?}"), graph));
    }
    let spelled = profile.lawful.then(|| spell::text_of(&profile.rules, &mut Chance(profile.spelling))).flatten();
    if let Some(text) = spelled {
        let mut options = sbtool::sbpl::Options::new(release());
        if !profile.rules.implicit {
            let set = |name: &str| (name.to_owned(), "1".to_owned());
            options.parameters = Some(vec![set("NO_IMPLICIT_RULES"), set("ENABLE_PATTERN_VARIABLES")]);
        }
        let evaluated = sbtool::sbpl::evaluate("test", text.as_bytes(), &options)
            .map_err(|error| fail(format!("{text}\n{}", error.render(false))))?;
        let graph = build(&evaluated.rules, Passes::default()).map_err(|error| fail(format!("{text}\n{error}")))?;
        candidates.push(Candidate::new(format!("the text\n{text}"), graph));
        count(&counts.texts);
    }
    Ok(candidates)
}

/// The facts of a request that fails, without those that do not matter.
fn smallest(operation: OperationId, mut known: Vec<Known>, fails: impl Fn(&Request) -> bool) -> Request {
    let mut place = 0;
    while place < known.len() {
        let fact = known.remove(place);
        if !fails(&aim::request(release(), operation, &known)) {
            known.insert(place, fact);
            place += 1;
        }
    }
    aim::request(release(), operation, &known)
}

fn same_meaning(profile: &Profile, counts: &Counts) -> Result<(), TestCaseError> {
    let readings = Readings::new(&profile.rules)?;
    let candidates = candidates(profile, counts)?;
    let material = Material::of(&profile.rules);
    for seed in &profile.seeds {
        let (operation, known) = material.aimed(*seed);
        let request = aim::request(release(), operation, &known);
        let decision = readings.whole.decide(&request);
        if decision.operation != operation {
            count(&counts.inherited);
        }
        count(match decision.decider {
            Decider::Rule(_) => &counts.by_filter,
            Decider::Tail(_) => &counts.by_tail,
            Decider::Table => &counts.by_table,
            Decider::Implicit => &counts.by_implicit,
        });
        for candidate in &candidates {
            if let Err(error) = agrees(candidate, &readings, &request) {
                let small = smallest(operation, known, |request| agrees(candidate, &readings, request).is_err());
                let error = agrees(candidate, &readings, &small).err().unwrap_or(error);
                let name = release().operation_name(operation);
                let pairs = counts.pairs.load(Ordering::Relaxed);
                return Err(fail(format!("{name}, {small:?}, by {}, after {pairs} pairs: {error}", candidate.made)));
            }
        }
        // With and without a record of the way: the same node.
        let graph = &candidates[0].graph;
        let (plain, recorded) = (decide(graph, &request).map_err(fail)?, explain(graph, &request).map_err(fail)?);
        prop_assert!(std::ptr::eq(plain, recorded.terminal));
        count(&counts.pairs);
    }
    Ok(())
}

fn say(line: &str) {
    // Past the capture of the test harness: how much was proven is part of the result.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
}

fn wanted_pairs() -> usize {
    std::env::var("SBTOOL_PAIRS").ok().and_then(|text| text.parse().ok()).unwrap_or(200_000)
}

fn runner(cases: usize) -> TestRunner {
    let persistence = FileFailurePersistence::Direct("proptest-regressions/meaning.txt");
    TestRunner::new(ProptestConfig {
        cases: u32::try_from(cases).unwrap(),
        failure_persistence: Some(Box::new(persistence)),
        ..ProptestConfig::default()
    })
}

fn run<T: std::fmt::Debug>(
    runner: &mut TestRunner,
    strategy: &impl Strategy<Value = T>,
    test: impl Fn(T) -> Result<(), TestCaseError>,
) {
    match runner.run(strategy, test) {
        Ok(()) => {}
        Err(TestError::Fail(reason, value)) => panic!("{reason}\n{value:?}"),
        Err(error) => panic!("{error}"),
    }
}

/// Rules read literally = graph of every choice of passes = blob read back = compiled text.
#[test]
fn every_graph_means_the_rules() {
    let counts = Counts::default();
    let started = std::time::Instant::now();
    let profiles = wanted_pairs().div_ceil(REQUESTS);
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(profiles.max(1));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                // What was kept from a failure comes on top.
                run(&mut runner(profiles.div_ceil(workers)), &profile(), |profile| same_meaning(&profile, &counts));
            });
        }
    });
    let [pairs, profiles, too_large, texts, filter, tail, inherited, table, implicit] = [
        &counts.pairs,
        &counts.profiles,
        &counts.too_large,
        &counts.texts,
        &counts.by_filter,
        &counts.by_tail,
        &counts.inherited,
        &counts.by_table,
        &counts.by_implicit,
    ]
    .map(|counter| counter.load(Ordering::Relaxed));
    say(&format!(
        "meaning: {pairs} pairs of {profiles} profiles ({texts} also as text, {too_large} blobs too large) in {:.1} s; \
         decided by a filter {filter}, a tail {tail}, the table {table}, an implicit rule {implicit}; by a parent's {inherited}",
        started.elapsed().as_secs_f64(),
    ));
    assert!(pairs >= wanted_pairs(), "{pairs} pairs");
    assert!(too_large * 100 <= profiles, "{too_large} of {profiles} blobs too large");
    assert!(texts * 3 >= profiles, "only {texts} of {profiles} profiles as text");
    // The requests meet the rules, and every way to a decision is taken often.
    assert!(filter * 5 >= pairs, "decided by a filter: {filter} of {pairs}");
    for (way, number) in [("tail", tail), ("parent", inherited), ("table", table), ("implicit rule", implicit)] {
        assert!(number * 200 >= pairs, "decided by {way}: {number} of {pairs}");
    }
}

/// A test of a loaded value that no loader stands before is refused, or means the same under every
/// choice of passes.
#[test]
fn loaded_values_are_refused_or_mean_the_same() {
    let strategy = (rules(any_filter(), Just(true).boxed()), vec(any::<u64>(), 16));
    let built_ones = Cell::new(0);
    run(&mut runner(512), &strategy, |(rules, seeds)| {
        let readings = Readings::new(&rules)?;
        let built: Vec<_> = all_passes().into_iter().map(|passes| build(&rules, passes)).collect();
        if let Some(Err(error)) = built.iter().find(|graph| graph.is_err()) {
            prop_assert!(matches!(error, BuildError::NotLoaded { .. }), "{}", error);
            prop_assert!(built.iter().all(Result::is_err));
            return Ok(());
        }
        built_ones.set(built_ones.get() + 1);
        let material = Material::of(&rules);
        for graph in built.into_iter().flatten() {
            let candidate = Candidate::new("", graph);
            for seed in &seeds {
                let (operation, known) = material.aimed(*seed);
                agrees(&candidate, &readings, &aim::request(release(), operation, &known))?;
            }
        }
        Ok(())
    });
    assert!(built_ones.get() >= 20, "only {} profiles were not refused", built_ones.get());
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
    let reference = Reference::new(rules).unwrap();
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

/// The actions `delegate` and `autobox` have no deny bit and are no allow all the same.
#[test]
fn a_decision_left_to_another_profile_is_no_allow() {
    let mut graph = build(&rules_of("(version 3) (deny default)"), Passes::default()).unwrap();
    for (flags, denied) in [(0x400, true), (0x1000, true), (0x1001, true), (0, false), (1, true)] {
        let nodes = graph.nodes.iter().cloned().map(|node| match node {
            Node::Terminal(terminal) => Node::Terminal(Terminal { flags, ..terminal }),
            test => test,
        });
        graph.nodes = nodes.collect();
        let request = Request::new(random::operation("file-read-data"));
        assert_eq!(decide(&graph, &request).unwrap().denies(), denied, "{flags:#x}");
    }
}

/// What a variable holds is not known, so that it does not match is not known either: a deny of
/// what is below a home folder is no plain allow.
#[test]
fn a_pattern_with_a_variable_fails_by_assumption() {
    // The two strings are one test, whose alternatives are tried one after the other.
    let text = r#"(version 3) (allow default) (deny file-read* (subpath "${HOME}/secret"))
        (deny file-read* (subpath "/other"))"#;
    let graph = build(&rules_of(text), Passes::default()).unwrap();
    let mut request = Request::new(random::operation("file-read-data"));
    request.add_fact(release(), "path=/Users/me/secret/key").unwrap();
    let verdict = explain(&graph, &request).unwrap();
    let steps: Vec<(bool, bool)> = verdict.consulted.iter().map(|step| (step.holds, step.assumed)).collect();
    assert!(!verdict.denies());
    assert_eq!(steps, [(false, true)]);
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
