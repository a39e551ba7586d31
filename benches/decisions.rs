//! In: the largest profile of the corpus (about 90 KB of text), where it is there. Out: how long one
//! decision about a path takes on its graph, and what it allocates: nothing. Never: part of CI.
//!
//! `cargo bench --bench decisions`; the columns behind the times are allocations. `one` asks about
//! one path again and again, `every_path` about each string that the profile has for paths, itself
//! and a child of it; its time is divided by the number of requests in the line of items per second.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use sbtool::pattern::tree::Tree;
use sbtool::policy::graph::{Argument, Graph, Node};
use sbtool::policy::passes::{Passes, build};
use sbtool::policy::request::Request;
use sbtool::policy::verdict::{decide, explain};
use sbtool::sbpl::{self, Options};
use sbtool::vocabulary::{DEFAULT_RELEASE, Release};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const PROFILE: &str = "../shared/corpus/eugene1g+agent-safehouse/enable-all-agents.sb";

fn main() {
    let Some(graph) = graph() else {
        println!("skipped: {PROFILE} is not here");
        return;
    };
    for asked in ASKED {
        let consulted = explain(&graph, &asked_request(asked)).unwrap().consulted;
        let expressions = consulted.iter().filter(|step| matches!(step.test.argument, Argument::Regex(_))).count();
        println!("{asked}: {} tests, {expressions} of them expressions", consulted.len());
    }
    divan::main();
}

fn graph() -> Option<Graph> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PROFILE);
    let text = std::fs::read(&path).ok()?;
    let mut options = Options::new(Release::named(DEFAULT_RELEASE).unwrap());
    let parameters = include_str!("../tests/corpus.parameters.json");
    let parameters: std::collections::BTreeMap<String, String> = serde_json::from_str(parameters).unwrap();
    options.parameters = Some(parameters.into_iter().collect());
    options.import_directories = vec![path.parent().unwrap().to_owned()];
    let rules = sbpl::evaluate(PROFILE, &text, &options).map_err(|error| error.render(false)).unwrap().rules;
    Some(build(&rules, Passes::default()).unwrap())
}

fn request(operation: &str, path: &[u8]) -> Request {
    let release = Release::named(DEFAULT_RELEASE).unwrap();
    let mut request = Request::new(release.operation(operation).unwrap());
    request.add_text(release, release.filter_named("path").unwrap().id, path).unwrap();
    request
}

const ASKED: [&str; 6] = [
    "file-read-data /usr/lib/dyld",
    "file-read-data /Users/me/Library/Keychains/login.keychain-db",
    "file-read-data /Users/me/project/src/main.rs",
    "file-write-data /Users/me/project/src/main.rs",
    "file-write-data /nowhere/at/all",
    "file-read-metadata /Users/me",
];

fn asked_request(asked: &str) -> Request {
    let (operation, path) = asked.split_once(' ').unwrap();
    request(operation, path.as_bytes())
}

#[divan::bench(args = ASKED)]
fn one(bencher: Bencher<'_, '_>, asked: &str) {
    let graph = graph().unwrap();
    let request = asked_request(asked);
    bencher.bench_local(|| decide(black_box(&graph), black_box(&request)).unwrap().denies());
}

/// The same with every expression failing at once: what the walk and the strings take.
#[divan::bench(args = ASKED)]
fn one_without_expressions(bencher: Bencher<'_, '_>, asked: &str) {
    let mut graph = graph().unwrap();
    let nodes = graph.nodes.iter().cloned().map(|mut node| {
        if let Node::Test { test, .. } = &mut node
            && matches!(test.argument, Argument::Regex(_))
        {
            test.argument = Argument::Pattern(Tree::Choice(Vec::new()).into());
        }
        node
    });
    graph.nodes = nodes.collect();
    let request = asked_request(asked);
    bencher.bench_local(|| decide(black_box(&graph), black_box(&request)).unwrap().denies());
}

#[divan::bench(args = ["file-read-data", "file-write-data"])]
fn every_path(bencher: Bencher<'_, '_>, operation: &str) {
    let graph = graph().unwrap();
    let mut requests = Vec::new();
    for node in graph.nodes.iter() {
        let Node::Test { test, .. } = node else { continue };
        let Argument::Pattern(tree) = &test.argument else { continue };
        if graph.release.filter_name(test.filter) != "path" {
            continue;
        }
        for (text, _) in tree.strings().unwrap_or_default() {
            requests.push(request(operation, &text));
            requests.push(request(operation, &[&text, b"/x".as_slice()].concat()));
        }
    }
    let count = ItemsCount::new(requests.len());
    bencher
        .counter(count)
        .bench_local(|| requests.iter().filter(|one| decide(black_box(&graph), one).unwrap().denies()).count());
}
