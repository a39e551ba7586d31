#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! In: random profiles, the same compiled otherwise, and the same with one rule changed. Out: whether
//! the comparison of graphs calls those the same that are, and finds a difference wherever a request
//! shows one; whether the requests that it gives as witnesses show what it says. Never: how it finds
//! out.
//!
//! `SBTOOL_COMPARED=100000 cargo test --release --test equal` compares that many profiles.

mod random;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestError, TestRunner};
use random::aim::{Chance, Material};
use random::{aim, release, rules, sound_filter, spell};
use sbtool::blob::{decode, encode, encode_collection};
use sbtool::pattern::Part;
use sbtool::policy::equal::{Difference, compare};
use sbtool::policy::graph::{Graph, ModifierArgument, Node, Terminal};
use sbtool::policy::passes::{Passes, build};
use sbtool::policy::request::Request;
use sbtool::policy::rules::{Action, Argument, Filter, Rules};
use sbtool::policy::verdict::decide;
use sbtool::vocabulary::{OperationId, Release};

fn fail(error: impl std::fmt::Display) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

fn wanted() -> u32 {
    std::env::var("SBTOOL_COMPARED").ok().and_then(|text| text.parse().ok()).unwrap_or(3_000)
}

fn run<S: Strategy>(cases: u32, strategy: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>)
where
    S::Value: std::fmt::Debug,
{
    let config = ProptestConfig {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("proptest-regressions/equal.txt"))),
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    };
    match TestRunner::new(config).run(strategy, test) {
        Err(TestError::Fail(reason, value)) => panic!("{reason}\n{value:#?}"),
        Err(error) => panic!("{error}"),
        Ok(()) => {}
    }
}

fn say(line: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
}

fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What a terminal says, without numbers of nodes.
fn said(terminal: &Terminal) -> String {
    let mut out = format!("{:x}", terminal.flags);
    for modifier in &terminal.modifiers {
        match &modifier.argument {
            ModifierArgument::MessageFilter { operation, .. } => {
                out.push_str(&format!(" {:?} {operation:?}", modifier.id));
            }
            other => out.push_str(&format!(" {:?} {other:?}", modifier.id)),
        }
    }
    out
}

fn described(a: &Graph, b: &Graph) -> Vec<String> {
    compare(a, b)
        .operations
        .into_iter()
        .map(|(operation, difference)| format!("{}: {difference:#?}", a.release.operation_name(operation)))
        .collect()
}

fn any_rules() -> BoxedStrategy<Rules> {
    rules(sound_filter(), prop_oneof![3 => Just(true), 1 => Just(false)].boxed())
}

/// However the passes arrange the tests, merge strings and lower expressions: the same, and decided.
#[test]
fn what_the_passes_do_makes_no_difference() {
    let operations = AtomicUsize::new(0);
    run(wanted(), &(any_rules(), any::<u64>()), |(rules, spelling)| {
        let first = build(&rules, Passes::default()).map_err(fail)?;
        for bits in 0..15u8 {
            let passes = Passes {
                thread: bits & 1 != 0,
                sort: bits & 2 != 0,
                merge: bits & 4 != 0,
                lower_regexes: bits & 8 != 0,
            };
            let other = build(&rules, passes).map_err(fail)?;
            let list = described(&first, &other);
            prop_assert!(list.is_empty(), "{passes:?}\n{}", list.join("\n"));
            operations.fetch_add(first.entries.len(), Ordering::Relaxed);
        }
        if let Ok(bytes) = encode(&first) {
            let list = described(&first, &decode(&bytes, release()).map_err(fail)?.graph);
            prop_assert!(list.is_empty(), "read back\n{}", list.join("\n"));
        }
        if let Some(text) = spell::text_of(&rules, &mut Chance(spelling)) {
            let options = sbtool::sbpl::Options::new(release());
            // Some of these rules no text may say.
            if let Ok(evaluated) = sbtool::sbpl::evaluate("test", text.as_bytes(), &options)
                && rules.implicit
                && let Ok(other) = build(&evaluated.rules, Passes::default())
            {
                let list = described(&first, &other);
                prop_assert!(list.is_empty(), "{text}\n{}", list.join("\n"));
            }
        }
        Ok(())
    });
    say(&format!("{} operations compared", operations.load(Ordering::Relaxed)));
}

/// One rule changed in a small way.
fn change(rules: &Rules, chance: &mut Chance) -> Rules {
    let mut changed = rules.clone();
    let count = changed.list.len();
    if count == 0 {
        return changed;
    }
    let place = chance.below(count);
    match chance.below(6) {
        0 => _ = changed.list.remove(place),
        1 if count > 1 => changed.list.swap(place, (place + 1) % count),
        2 => {
            let action = &mut changed.list[place].action;
            *action = if *action == Action::Allow { Action::Deny } else { Action::Allow };
        }
        3 => _ = changed.list[place].modifiers.pop(),
        _ => {
            if let Some(filter) = &mut changed.list[place].filter {
                change_filter(Arc::make_mut(filter), chance);
            }
        }
    }
    changed
}

fn change_filter(filter: &mut Filter, chance: &mut Chance) {
    match filter {
        Filter::Not(inner) if chance.one_in(3) => *filter = inner.as_ref().clone(),
        Filter::Not(inner) => change_filter(Arc::make_mut(inner), chance),
        Filter::All(list) | Filter::Any(list) => {
            let place = chance.below(list.len());
            if list.len() > 1 && chance.one_in(3) && !loads(&list[place]) {
                list.remove(place);
            } else {
                change_filter(Arc::make_mut(&mut list[place]), chance);
            }
        }
        Filter::Test(test) => match &mut test.argument {
            Argument::Number(number) => *number ^= 1,
            Argument::Numbers(numbers) if numbers.len() > 1 => _ = numbers.pop(),
            Argument::Text(text) if release().filter_name(test.filter) != "%entitlement-load" => text.push(b'c'),
            Argument::Address(address) => address.localhost ^= true,
            Argument::Pattern(pattern) => match pattern.parts.last_mut() {
                Some(Part::Text(text)) if chance.one_in(2) => text.push(b'b'),
                Some(Part::Text(text)) => _ = text.pop(),
                _ => pattern.parts.push(Part::Text(b"/".to_vec())),
            },
            _ => {}
        },
    }
}

/// A loader, or something with one in it, cannot go without what refers to it.
fn loads(filter: &Filter) -> bool {
    match filter {
        Filter::Test(test) => release().filter_name(test.filter) == "%entitlement-load",
        Filter::Not(inner) => loads(inner),
        Filter::All(list) | Filter::Any(list) => list.iter().any(|item| loads(item)),
    }
}

/// Where a request shows a difference, one is reported; where one is reported with a request, that
/// request shows it.
#[test]
fn a_change_that_a_request_shows_is_found() {
    let [shown, reported, with_request, undecided, silent] = [const { AtomicUsize::new(0) }; 5];
    let strategy = (any_rules(), any::<u64>(), vec(any::<u64>(), 60));
    run(wanted(), &strategy, |(rules, seed, seeds)| {
        let changed = change(&rules, &mut Chance(seed));
        let Ok(b) = build(&changed, Passes::default()) else { return Ok(()) };
        let a = build(&rules, Passes::default()).map_err(fail)?;
        let found: BTreeMap<OperationId, Difference> = compare(&a, &b).operations.into_iter().collect();
        for (operation, difference) in &found {
            let Difference::Different(witness) = difference else {
                count(&undecided);
                continue;
            };
            count(&reported);
            let Some(request) = &witness.request else { continue };
            count(&with_request);
            prop_assert_eq!(request.operation, *operation);
            let ends = [decide(&a, request).map_err(fail)?, decide(&b, request).map_err(fail)?];
            if witness.message.is_none() {
                prop_assert_ne!(said(ends[0]), said(ends[1]), "{:#?}", witness);
            }
        }
        let materials = [Material::of(&rules), Material::of(&changed)];
        let mut any_shown = false;
        for seed in seeds {
            let (operation, known) = materials[usize::from(seed % 2 == 0)].aimed(seed);
            let request = aim::request(release(), operation, &known);
            let ends = [decide(&a, &request).map_err(fail)?, decide(&b, &request).map_err(fail)?];
            if said(ends[0]) != said(ends[1]) {
                any_shown = true;
                prop_assert!(found.contains_key(&operation), "{request:?}: {} and {}", said(ends[0]), said(ends[1]));
            }
        }
        count(if any_shown { &shown } else { &silent });
        Ok(())
    });
    let number = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    say(&format!(
        "{} changes shown by requests, {} by none; {} differences, {} with a request, {} not decided",
        number(&shown),
        number(&silent),
        number(&reported),
        number(&with_request),
        number(&undecided)
    ));
    assert!(number(&shown) * 5 > number(&silent), "too few changes were shown by requests");
    assert!(number(&with_request) * 2 > number(&reported), "too few witnesses have requests");
    assert!(number(&undecided) * 1000 < number(&reported), "too much is not decided");
}

/// Profiles of real systems are the same as what is read back of them; with the answers of one test
/// exchanged, whatever is found to differ does so for the request that is given.
#[test]
fn real_profiles() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/oracle/blobs");
    if !folder.is_dir() {
        say("skipped: ../shared/oracle/blobs is not here");
        return;
    }
    for (name, release_name) in [("ios13_collection", "ios-13"), ("ios26_platform", "ios-26")] {
        let release = Release::named(release_name).unwrap();
        let bytes = std::fs::read(folder.join(format!("{name}.bin"))).unwrap();
        let decoded = decode(&bytes, release).unwrap().collection;
        let again = decode(&encode_collection(&decoded).unwrap(), release).unwrap().collection;
        let start = Instant::now();
        for profile in &decoded.profiles {
            let other = &again.profile(&profile.name).unwrap().graph;
            assert!(compare(&profile.graph, other).is_same(), "{}", String::from_utf8_lossy(&profile.name));
        }
        say(&format!("{name}: {} profiles the same in {:?}", decoded.profiles.len(), start.elapsed()));
        let mut chance = Chance(1);
        let (mut different, mut with_request) = (0, 0);
        for _ in 0..40 {
            let graph = &decoded.profiles[chance.below(decoded.profiles.len())].graph;
            let reachable = graph.reachable();
            let mut nodes = graph.nodes.to_vec();
            let place = reachable[chance.below(reachable.len())];
            let Some(Node::Test { matched, unmatched, .. }) = nodes.get_mut(place.index()) else { continue };
            std::mem::swap(matched, unmatched);
            let changed = Graph { nodes: nodes.into(), ..graph.clone() };
            for (operation, difference) in compare(graph, &changed).operations {
                let name = release.operation_name(operation);
                let Difference::Different(witness) = difference else { panic!("{name}: {difference:?}") };
                different += 1;
                if let (Some(request), None) = (&witness.request, &witness.message) {
                    with_request += 1;
                    let ends = [decide(graph, request).unwrap(), decide(&changed, request).unwrap()];
                    assert_ne!(said(ends[0]), said(ends[1]), "{name}: {witness:#?}");
                }
            }
        }
        say(&format!("{name}: {different} differences, {with_request} with a request"));
        assert!(different > 0 && with_request * 2 > different);
    }
}

/// One node that asks for a pattern, with what follows a yes and a no.
fn asks(tree: sbtool::pattern::tree::Tree, name: &str) -> Graph {
    let yes = Rules { list: Vec::new(), ..rules_of("(version 1)(deny default)") };
    let mut graph = build(&yes, Passes::default()).unwrap();
    let test = sbtool::policy::graph::Test {
        filter: release().filter_named(name).unwrap().id,
        argument: sbtool::policy::graph::Argument::Pattern(Arc::new(tree)),
    };
    let terminal = |flags| Node::Terminal(Terminal { flags, modifiers: Vec::new() });
    let id = sbtool::policy::graph::NodeId;
    graph.nodes = vec![Node::Test { test, matched: id(1), unmatched: id(2) }, terminal(0), terminal(1)].into();
    graph.entries = vec![id(0); graph.entries.len()];
    graph.variables = vec![b"HOME".to_vec()].into();
    graph
}

fn rules_of(text: &str) -> Rules {
    let options = sbtool::sbpl::Options::new(release());
    sbtool::sbpl::evaluate("test", text.as_bytes(), &options).map_err(|error| error.render(false)).unwrap().rules
}

/// A blob may have a branch that is never asked since one before it is true at the same place: a tree
/// that is committed to its first true branch is not the list of its strings.
#[test]
fn branches_that_are_true_at_once_are_no_list_of_strings() {
    use sbtool::pattern::tree::{Branch, Matcher, Tree};
    let text = |text: &str, then| Branch::new(Matcher::Text(text.as_bytes().to_vec()), then);
    let end = || Branch::new(Matcher::End, Tree::Accept);
    let committed = Tree::Choice(vec![text("a", Tree::Choice(vec![end()])), text("ab", Tree::Accept)]);
    let union = Tree::one(Matcher::Text(b"a".to_vec()), Tree::Choice(vec![end(), text("b", Tree::Accept)]));
    // Longer ones first are committed to as well.
    let longer = Tree::Choice(vec![text("ab", Tree::Choice(vec![end()])), text("a", Tree::Accept)]);
    let prefix = Tree::one(Matcher::Text(b"a".to_vec()), Tree::Accept);
    for (a, b, subject) in [(committed, union, "abc"), (longer, prefix, "abc")] {
        assert_ne!(a.matches(subject.as_bytes()), b.matches(subject.as_bytes()));
        let [a, b] = [asks(a, "nvram-variable"), asks(b, "nvram-variable")];
        // Both are read back from a blob as they are.
        let [a, b] = [a, b].map(|graph| decode(&encode(&graph).unwrap(), release()).unwrap().graph);
        let mut request = Request::new(OperationId::DEFAULT);
        request.add_text(release(), release().filter_named("nvram-variable").unwrap().id, subject.as_bytes()).unwrap();
        assert_ne!(said(decide(&a, &request).unwrap()), said(decide(&b, &request).unwrap()));
        assert!(compare(&a, &b).different().next().is_some());
    }
}

/// Where a branch asks for a variable, what comes behind it is matched only if that branch is not true:
/// with `${HOME}` for `/a` the first of these does not match `/a`, the second one does.
#[test]
fn a_variable_shuts_out_what_comes_behind_it() {
    use sbtool::pattern::tree::{Branch, Matcher, Tree};
    let a = || Matcher::Text(b"/a".to_vec());
    let tree = Tree::Choice(vec![
        Branch::new(Matcher::Variable(0), Tree::one(Matcher::Text(b"/x".to_vec()), Tree::Accept)),
        Branch::new(a(), Tree::Accept),
    ]);
    // The first one only counts below what the second one matches.
    let both = |second: Tree| {
        let graph = asks(tree.clone(), "path");
        let mut nodes = graph.nodes.to_vec();
        let Node::Test { mut test, unmatched, .. } = nodes[0].clone() else { panic!() };
        test.argument = sbtool::policy::graph::Argument::Pattern(Arc::new(second));
        let id = sbtool::policy::graph::NodeId(u32::try_from(nodes.len()).unwrap());
        nodes.push(nodes[0].clone());
        nodes[0] = Node::Test { test, matched: id, unmatched };
        Graph { nodes: nodes.into(), ..graph }
    };
    let prefix = Tree::one(a(), Tree::Accept);
    assert!(!compare(&asks(prefix.clone(), "path"), &both(prefix)).is_same());
}

/// What a profile says, put otherwise, so that it takes steps to see that it is the same; `copies` of it
/// over names of their own.
fn pigeons(holes: usize, copies: usize) -> String {
    let mut text = String::from("(version 3)(deny default)");
    for copy in 0..copies {
        let name = |pigeon: usize, hole: usize| format!("(extension \"{copy}.{pigeon}.{hole}\")");
        text.push_str(&format!("(allow {} (require-all", ["file-read-data", "file-write-data", "signal"][copy % 3]));
        for pigeon in 0..=holes {
            let all: String = (0..holes).map(|hole| name(pigeon, hole)).collect();
            text.push_str(&format!("(require-any {all})"));
        }
        for (hole, pigeon) in (0..holes).flat_map(|hole| (0..=holes).map(move |pigeon| (hole, pigeon))) {
            for other in 0..pigeon {
                text.push_str(&format!("(require-not (require-all {} {}))", name(pigeon, hole), name(other, hole)));
            }
        }
        text.push_str("))");
    }
    text
}

/// Pigeons and fewer holes, which takes a solver steps without end; overlapping expressions with tens of
/// thousands of states each. Both end, and soon: without bounds the first takes hours and the second
/// gigabytes.
#[test]
fn what_is_too_hard_is_given_up() {
    let none = build(&rules_of("(version 3)(deny default)"), Passes::default()).unwrap();
    let easy = build(&rules_of(&pigeons(5, 3)), Passes::default()).unwrap();
    assert!(compare(&easy, &none).is_same());
    let expression = |number: usize| format!("(allow file-read* (regex #\"{number}x{}$\"))", ".".repeat(13));
    let expressions: String = (0..1_500).map(expression).collect();
    let expressions = rules_of(&format!("(version 3)(deny default){expressions}"));
    let apart = Passes { thread: false, sort: false, merge: false, ..Passes::default() };
    let pairs = [
        (build(&rules_of(&pigeons(13, 1)), Passes::default()).unwrap(), none),
        (build(&expressions, Passes::default()).unwrap(), build(&expressions, apart).unwrap()),
    ];
    for (a, b) in pairs {
        let start = Instant::now();
        let compared = compare(&a, &b);
        say(&format!("given up in {:?}", start.elapsed()));
        assert!(compared.operations.iter().any(|(_, difference)| matches!(difference, Difference::NotDecided)));
        assert!(start.elapsed().as_secs() < 60);
    }
}
