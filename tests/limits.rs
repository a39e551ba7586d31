#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! In: rules that are as deep, as long or as many as the limits let through. Out: whether they are
//! built, written, read and asked without running out of stack or time. Never: bytes of a known
//! case.

mod random;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use random::{filter, operation, release};
use sbtool::blob::{decode, encode};
use sbtool::pattern::regex::parse;
use sbtool::policy::graph::Graph;
use sbtool::policy::passes::{BuildError, Passes, build};
use sbtool::policy::reference::Reference;
use sbtool::policy::request::Request;
use sbtool::policy::rules::{Action, Rules};
use sbtool::policy::verdict::decide;

fn rules_of(text: &str) -> Rules {
    match sbtool::sbpl::evaluate("test", text.as_bytes(), &sbtool::sbpl::Options::new(release())) {
        Ok(evaluated) => evaluated.rules,
        Err(error) => panic!("{}", error.render(false)),
    }
}

fn asked(operation_name: &str, path: &[u8]) -> Request {
    let mut request = Request::new(operation(operation_name));
    request.add_text(release(), filter("path"), path).unwrap();
    request
}

/// Builds, writes, reads and writes again; the graph that was read.
fn there_and_back(rules: &Rules) -> Graph {
    let graph = build(rules, Passes::default()).unwrap();
    let bytes = encode(&graph).unwrap();
    let decoded = decode(&bytes, release()).unwrap();
    assert!(decoded.leftover.is_empty(), "{:?}", decoded.leftover);
    assert!(encode(&decoded.graph).unwrap() == bytes);
    decoded.graph
}

/// Both readings, of the graph as read back.
fn allows(rules: &Rules, graph: &Graph, request: &Request) -> bool {
    let allows = !decide(graph, request).unwrap().denies();
    assert_eq!(Reference::new(rules.clone()).unwrap().decide(request).action == Action::Allow, allows);
    allows
}

#[test]
fn deep_filters_fit_the_stack() {
    let mut text = String::from("(literal \"/x\")");
    for level in 0..65 {
        text = format!("(require-not (require-any (require-all {text} (literal \"/x\")) (literal \"/{level}\")))",);
    }
    let rules = rules_of(&format!("(version 3) (deny default) (allow file-read* {text})"));
    for passes in [Passes::default(), Passes { thread: false, sort: false, merge: false, lower_regexes: false }] {
        let graph = build(&rules, passes).unwrap();
        assert!(!allows(&rules, &graph, &asked("file-read-data", b"/x")));
        allows(&rules, &graph, &asked("file-read-data", b"/64"));
    }
}

#[test]
fn deep_regular_expressions_fit_the_stack_in_both_readings() {
    let nested = |open: &str, close: &str, core: &str| format!("^/{}{core}{}$", open.repeat(250), close.repeat(250));
    for (expression, yes, no) in [
        (nested("(", ")+", "a"), "/aaa", "/b"),
        (nested("(a|", ")", "b"), "/b", "/ab"),
        (nested("(a", "b)*", "c"), "/ab", "/a"),
        (nested("(", "[^/]?)", "a"), "/abcd", "/b"),
    ] {
        let rules = rules_of(&format!("(version 3) (deny default) (allow file-read* (regex #\"{expression}\"))"));
        let graph = there_and_back(&rules);
        assert!(allows(&rules, &graph, &asked("file-read-data", yes.as_bytes())), "{expression} {yes}");
        assert!(!allows(&rules, &graph, &asked("file-read-data", no.as_bytes())), "{expression} {no}");
    }
    assert!(parse(format!("{}a{}", "(".repeat(251), ")".repeat(251)).as_bytes()).is_err());
}

/// The deepest tree that the builder lets through, with the longest text at its end, must be
/// readable: texts of more than 320 bytes take several instructions.
#[test]
fn the_deepest_tree_reads_back() {
    let mut text = String::from("(version 3) (deny default) (allow file-read*");
    for length in 1..=249 {
        write!(text, " (literal \"/{}\")", "a".repeat(length)).unwrap();
    }
    let longest = format!("/{}{}", "a".repeat(249), "b".repeat(60_000));
    write!(text, " (subpath \"{longest}\"))").unwrap();
    let rules = rules_of(&text);
    let graph = there_and_back(&rules);
    assert!(allows(&rules, &graph, &asked("file-read-data", longest.as_bytes())));
    assert!(allows(&rules, &graph, &asked("file-read-data", b"/aaa")));
    assert!(!allows(&rules, &graph, &asked("file-read-data", b"/aaab")));
}

/// Message filters that hold one another by the ten thousand would be taken apart by recursion.
#[test]
fn message_filters_do_not_pile_up() {
    let text = "(version 3)
        (define (pile inner n) (if (= n 0) inner
            (pile (apply-message-filter (allow mach-message-send inner)) (- n 1))))
        (allow mach-lookup (pile (apply-message-filter (deny mach-message-send)) 30000))";
    let error = sbtool::sbpl::evaluate("test", text.as_bytes(), &sbtool::sbpl::Options::new(release()))
        .map(|evaluated| evaluated.rules.list.len())
        .unwrap_err();
    assert!(error.render(false).contains("message filter cannot stand inside"), "{}", error.render(false));
}

/// Each operation once looked at each message filter at each node.
#[test]
fn the_apply_gate_is_linear() {
    let mut text = String::from("(version 3) (deny default)");
    for number in 0..1_500 {
        write!(
            text,
            "(allow mach-lookup (global-name \"n{number}\") (apply-message-filter
                (allow mach-message-send) (deny mach-message-send (message-number {number}))))"
        )
        .unwrap();
    }
    text.push_str("(allow default (extension \"e\") (apply-message-filter (deny mach-message-send)))");
    let graph = build(&rules_of(&text), Passes::default()).unwrap();
    let start = Instant::now();
    let findings = sbtool::policy::gate::of_graph(&graph);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    let lookup = operation("mach-lookup");
    assert!(findings.iter().any(|finding| finding.outer == lookup && finding.denied == operation("mach-message-send")));
}

/// A tree can stand for far more text than it has: leaves below a long beginning.
#[test]
fn the_strings_of_a_tree_are_listed_up_to_a_limit() {
    use sbtool::pattern::tree::{Branch, Matcher, Tree};
    let leaves = |count: u8| {
        let end = || Tree::one(Matcher::End, Tree::Accept);
        Tree::Choice((0..count).map(|byte| Branch::new(Matcher::Text(vec![byte, 0]), end())).collect())
    };
    let below = |tree| Tree::one(Matcher::Text(vec![b'x'; 60_000]), tree);
    assert_eq!(below(leaves(3)).strings().map(|strings| strings.len()), Some(3));
    assert_eq!(below(leaves(250)).strings(), None);
}

#[test]
fn strings_nested_too_deep_are_refused() {
    let mut text = String::from("(version 3) (allow file-read*");
    for length in 1..=300 {
        write!(text, " (literal \"/{}\")", "a".repeat(length)).unwrap();
    }
    text.push(')');
    let error = build(&rules_of(&text), Passes::default()).unwrap_err();
    assert!(matches!(error, BuildError::NestedStrings { .. }), "{error}");
}

/// Rules of these shapes are built in time that grows with their number: a few times the figure
/// of a fast machine in a debug build.
#[test]
fn many_rules_take_no_quadratic_time() {
    for (name, text) in shapes(1) {
        let rules = rules_of(&text);
        let start = Instant::now();
        let graph = build(&rules, Passes::default());
        assert!(start.elapsed() < Duration::from_secs(20), "{name} took {:?}", start.elapsed());
        if let Ok(graph) = graph {
            let _blob = encode(&graph);
        }
    }
}

/// Profiles of many rules; `scale` 10 is what the largest real ones come near.
fn shapes(scale: usize) -> Vec<(&'static str, String)> {
    let head = "(version 3) (deny default)\n";
    let lines = |count: usize, line: &dyn Fn(usize) -> String| {
        let mut text = String::from(head);
        (0..count).for_each(|number| text.push_str(&line(number)));
        text
    };
    let one = |count: usize, combination: &str, item: &dyn Fn(usize) -> String| {
        let items: String = (0..count).map(item).collect();
        format!("{head}(allow file-read* ({combination} {items}))")
    };
    vec![
        ("rules of one literal", lines(500 * scale, &|n| format!("(allow file-read* (literal \"/p/{n}\"))\n"))),
        (
            "rules of one literal, allow and deny in turn",
            lines(500 * scale, &|n| {
                format!("({} file-read* (literal \"/p/{n}\"))\n", if n % 2 == 0 { "allow" } else { "deny" })
            }),
        ),
        (
            "rules of vnode-type and literal",
            lines(200 * scale, &|n| {
                format!("(allow file-read* (require-all (vnode-type REGULAR-FILE) (literal \"/p/{n}\")))\n")
            }),
        ),
        (
            "rules of literal and vnode-type",
            lines(200 * scale, &|n| {
                format!("(allow file-read* (require-all (literal \"/p/{n}\") (vnode-type REGULAR-FILE)))\n")
            }),
        ),
        (
            "rules of storage-class and extension",
            lines(200 * scale, &|n| {
                format!("(allow file-read* (require-all (storage-class \"c{n}\") (extension \"e{n}\")))\n")
            }),
        ),
        (
            "rules of one expression",
            lines(200 * scale, &|n| format!("(allow file-read* (regex #\"^/p/{n}[0-9]+$\"))\n")),
        ),
        (
            "rules with a message filter",
            lines(200 * scale, &|n| {
                format!(
                    "(allow mach-lookup (global-name \"n{n}\") (apply-message-filter (deny mach-message-send) (allow mach-message-send (message-number {n}))))\n"
                )
            }),
        ),
        ("literals of one require-any", one(800 * scale, "require-any", &|n| format!("(literal \"/p/{n}\")"))),
        ("extensions of one require-any", one(800 * scale, "require-any", &|n| format!("(extension \"e{n}\")"))),
        (
            "negations of one require-all",
            one(800 * scale, "require-all", &|n| format!("(require-not (literal \"/p/{n}\"))")),
        ),
        ("extensions of one require-all", one(800 * scale, "require-all", &|n| format!("(extension \"e{n}\")"))),
        ("subpaths of one require-all", one(800 * scale, "require-all", &|n| format!("(prefix \"/{}\")", n % 2))),
        ("rules that many tests before them rule out", {
            let prefixes: String =
                (0..40 * scale).map(|n| format!("(global-name-prefix \"{}\")", "n".repeat(n + 1))).collect();
            let mut text = lines(200 * scale, &|n| {
                format!("(allow mach-lookup (require-all (global-name \"n{n}\") (extension \"{n}\")))\n")
            });
            writeln!(text, "(deny mach-lookup (require-all {prefixes} (path \"/x\")))").unwrap();
            text
        }),
        (
            "rules with one long expression",
            lines(50 * scale, &|n| {
                format!(
                    "(allow file-read* (require-all (regex #\"^/{}$\") (extension \"e{n}\")))\n",
                    "ab[^/]+(c|d)*".repeat(400)
                )
            }),
        ),
        (
            "a long expression",
            format!("{head}(allow file-read* (regex #\"^/{}$\"))", "ab[^/]+(c|d)*".repeat(80 * scale)),
        ),
        (
            "an expression of many alternatives",
            format!("{head}(allow file-read* (regex #\"^/({})$\"))", "abc+|".repeat(200 * scale) + "x"),
        ),
    ]
}

/// `cargo test --release --test limits -- --ignored --nocapture` prints the times of the large
/// shapes.
#[test]
#[ignore = "prints times"]
fn times_of_large_shapes() {
    for (name, text) in shapes(10) {
        let start = Instant::now();
        let rules = rules_of(&text);
        let evaluated = start.elapsed();
        let start = Instant::now();
        let graph = build(&rules, Passes::default());
        let built = start.elapsed();
        let start = Instant::now();
        let blob = graph.as_ref().map(encode);
        let encoded = start.elapsed();
        let outcome = match &blob {
            Ok(Ok(bytes)) => {
                let start = Instant::now();
                decode(bytes, release()).unwrap();
                format!("{} bytes, read in {:?}", bytes.len(), start.elapsed())
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        println!("{name}: evaluated {evaluated:?}, built {built:?}, written {encoded:?}; {outcome}");
    }
}
