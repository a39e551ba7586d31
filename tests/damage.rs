#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! In: blobs of random rules and of Apple's compiler, damaged at random, and blobs made to do harm.
//! Out: whether decoding, asking and encoding again always come to an end. Never: what a damaged
//! blob should mean.

mod random;

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use random::{release, request, rules, sound_filter};
use sbtool::blob::{BlobError, decode, encode};
use sbtool::pattern::regex::{Automaton, State, StateId};
use sbtool::pattern::tree::{Matcher, Tree};
use sbtool::policy::graph::{Argument, Graph, Node, NodeId, Terminal, Test};
use sbtool::policy::passes::{Passes, build};
use sbtool::policy::request::Request;
use sbtool::policy::verdict::decide;
use sbtool::vocabulary::OperationId;

/// One way to damage bytes.
#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Set(Index, u8),
    SetWord(Index, u16),
    Insert(Index, Vec<u8>),
    Delete(Index, usize),
    Truncate(Index),
    Copy(Index, Index, usize),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let length = bytes.len();
        match self {
            Self::Flip(at, bit) => bytes[at.index(length)] ^= 1 << (bit % 8),
            Self::Set(at, value) => bytes[at.index(length)] = *value,
            Self::SetWord(at, value) => {
                let at = at.index(length) & !1;
                let pair = value.to_le_bytes();
                for (place, byte) in bytes[at..].iter_mut().zip(pair) {
                    *place = byte;
                }
            }
            Self::Insert(at, more) => {
                let at = at.index(length);
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Delete(at, count) => {
                let at = at.index(length);
                bytes.drain(at..length.min(at + count));
            }
            Self::Truncate(at) => bytes.truncate(at.index(length)),
            Self::Copy(from, to, count) => {
                let (from, to) = (from.index(length), to.index(length));
                let count = (*count).min(length - from).min(length - to);
                bytes.copy_within(from..from + count, to);
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        4 => (at(), prop_oneof![0u16..300, any::<u16>()]).prop_map(|(at, word)| Damage::SetWord(at, word)),
        1 => (at(), vec(any::<u8>(), 1..9)).prop_map(|(at, more)| Damage::Insert(at, more)),
        1 => (at(), 1usize..9).prop_map(|(at, count)| Damage::Delete(at, count)),
        1 => at().prop_map(Damage::Truncate),
        2 => (at(), at(), 1usize..17).prop_map(|(from, to, count)| Damage::Copy(from, to, count)),
    ]
}

/// Decoding says yes or no, and what it says yes to can be asked and written. True if yes.
fn survives(bytes: &[u8], requests: &[Request]) -> bool {
    let Ok(decoded) = decode(bytes, release()) else { return false };
    for request in requests {
        let _verdict = decide(&decoded.graph, request);
    }
    if let Ok(again) = encode(&decoded.graph)
        && let Ok(back) = decode(&again, release())
    {
        // What was written in the encoder's order is written so again.
        assert_eq!(encode(&back.graph).unwrap(), again);
    }
    for node in decoded.graph.nodes.iter() {
        match node {
            Node::Test { test, .. } => drop(sbtool::policy::describe::test(&decoded.graph, test)),
            Node::Terminal(terminal) => drop(sbtool::policy::describe::terminal(&decoded.graph, terminal)),
        }
    }
    let _findings = sbtool::policy::gate::of_graph(&decoded.graph);
    true
}

/// Blobs of Apple's compiler, where the folder with them is there.
fn apple_blobs() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/oracle/apple-macos-14.4.1/cases");
    let Ok(entries) = std::fs::read_dir(folder) else {
        say("skipped: no folder ../shared with the compiled cases");
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let blobs = paths.iter().filter(|path| path.extension().is_some_and(|suffix| suffix == "bin"));
    blobs.map(|path| std::fs::read(path).unwrap()).collect()
}

fn config() -> ProptestConfig {
    // `PROPTEST_CASES` still asks for more.
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(64);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn damaged_blobs_of_random_rules_do_no_harm(
        rules in rules(sound_filter(), any::<bool>().boxed()),
        damages in vec(vec(damage(), 1..4), 1..24),
        requests in vec(request(), 1..6),
    ) {
        let bytes = encode(&build(&rules, Passes::default()).unwrap()).unwrap();
        prop_assert!(survives(&bytes, &requests));
        for list in damages {
            let mut bytes = bytes.clone();
            list.iter().for_each(|damage| damage.apply(&mut bytes));
            survives(&bytes, &requests);
        }
    }
}

#[test]
fn damaged_blobs_of_apples_compiler_do_no_harm() {
    let blobs = apple_blobs();
    if blobs.is_empty() {
        return;
    }
    let strategy = (any::<Index>(), vec(damage(), 1..5), vec(request(), 1..6));
    let mut runner = proptest::test_runner::TestRunner::new(config());
    runner
        .run(&strategy, |(which, list, requests)| {
            let mut bytes = which.get(&blobs).clone();
            list.iter().for_each(|damage| damage.apply(&mut bytes));
            survives(&bytes, &requests);
            Ok(())
        })
        .unwrap();
}

/// A graph of one test per node, each with this argument; where none holds, deny.
fn chain_of(count: usize, filter: &str, argument: &Argument) -> Graph {
    let slots = release().operation_slots();
    let mut nodes = vec![
        Node::Terminal(Terminal { flags: Terminal::DENY, modifiers: Vec::new() }),
        Node::Terminal(Terminal { flags: 0, modifiers: Vec::new() }),
    ];
    for number in 0..count {
        let last = NodeId(if number == 0 { 0 } else { u32::try_from(number).unwrap() + 1 });
        let test = Test { filter: random::filter(filter), argument: argument.clone() };
        nodes.push(Node::Test { test, matched: NodeId(1), unmatched: last });
    }
    let entry = NodeId(u32::try_from(nodes.len() - 1).unwrap());
    Graph {
        release: release(),
        flags: 0,
        entries: vec![entry; slots],
        nodes: nodes.into(),
        variables: [].into(),
        states: [].into(),
        profile_flags: [].into(),
    }
}

fn at_most(limit: Duration, what: &str, run: impl FnOnce()) {
    let start = Instant::now();
    run();
    assert!(start.elapsed() < limit, "{what} took {:?}", start.elapsed());
}

/// Each search that fails made the one before it go on to the next byte: time grew with the power
/// of their number.
#[test]
fn nested_searches_take_no_exponential_time() {
    let tree = (0..100)
        .fold(Tree::one(Matcher::Text(b"b".to_vec()), Tree::Accept), |tree, _| Tree::one(Matcher::Search(b'a'), tree));
    let graph = chain_of(1, "xattr", &Argument::Pattern(tree.into()));
    let decoded = decode(&encode(&graph).unwrap(), release()).unwrap();
    let mut request = Request::new(OperationId::DEFAULT);
    request.add_text(release(), random::filter("xattr"), &[b'a'; 1_000]).unwrap();
    at_most(Duration::from_secs(5), "the verdict", || assert!(decide(&decoded.graph, &request).unwrap().denies()));
    let mut other = Request::new(OperationId::DEFAULT);
    other.add_text(release(), random::filter("xattr"), &[vec![b'a'; 200], b"b".to_vec()].concat()).unwrap();
    assert!(!decide(&decoded.graph, &other).unwrap().denies());
}

/// Many nodes with one large argument: the argument is read once, not once for each node.
#[test]
fn a_large_argument_of_many_nodes_is_read_once() {
    let forks: Vec<State> = (0..20_000u32).map(|number| State::Fork(StateId(20_000), StateId(number))).collect();
    let states = forks.into_iter().chain([State::Accept]).collect();
    let leaves = (0..=u8::MAX).map(|byte| {
        let branch = Tree::one(Matcher::Text(vec![byte; 100]), Tree::one(Matcher::End, Tree::Accept));
        let Tree::Choice(mut branches) = branch else { panic!("a choice") };
        branches.remove(0)
    });
    let tree = Tree::Choice(leaves.collect());
    for argument in [Argument::Regex(Automaton { states, start: StateId(0) }.into()), Argument::Pattern(tree.into())] {
        let bytes = encode(&chain_of(2_000, "path", &argument)).unwrap();
        // The node array of the largest blob there can be, all with the argument of the first.
        let graph = decode(&bytes, release()).unwrap().graph;
        assert_eq!(graph.nodes.len(), 2_002);
        let shared = graph.nodes.iter().filter_map(|node| match node {
            Node::Test { test, .. } => match &test.argument {
                Argument::Pattern(tree) => Some(std::sync::Arc::as_ptr(tree).cast::<u8>()),
                Argument::Regex(regex) => Some(std::sync::Arc::as_ptr(regex).cast::<u8>()),
                _ => None,
            },
            Node::Terminal(_) => None,
        });
        let distinct: std::collections::HashSet<_> = shared.collect();
        assert_eq!(distinct.len(), 1);
    }
}

/// Strings and sets are copied to each node, so their sum has a limit: 65,000 nodes with 64 KB each
/// would be 4 GB.
#[test]
fn copies_of_large_strings_have_a_limit() {
    for (filter, argument) in
        [("extension", Argument::Text(vec![b'x'; 60_000])), ("syscall-number", Argument::Numbers(vec![0, u16::MAX]))]
    {
        let few = encode(&chain_of(100, filter, &argument)).unwrap();
        assert!(decode(&few, release()).is_ok());
    }
    let many = encode(&chain_of(10_000, "extension", &Argument::Text(vec![b'x'; 60_000]))).unwrap();
    let error = decode(&many, release()).unwrap_err();
    assert!(matches!(&error, BlobError::Bad { reason, .. } if reason.contains("bytes in all")), "{error}");
}

/// Jumps that lead to jumps: each target is found once.
#[test]
fn chains_of_jumps_take_linear_time() {
    // `start`: forks whose second branch is the first of many jumps, the last of which accepts.
    let (forks, jumps) = (9_000u16, 12_000u16);
    let first = forks * 3 + 2;
    let mut code = Vec::new();
    for _ in 0..forks {
        code.push(0x2f);
        code.extend(first.to_le_bytes());
    }
    code.extend([0x15, 0]);
    for number in 1..=jumps {
        let next = if number == jumps { forks * 3 } else { first + 3 * number };
        code.push(0x0a);
        code.extend(next.to_le_bytes());
    }
    let accept = Automaton { states: vec![State::Accept], start: StateId(0) };
    let mut bytes = encode(&chain_of(1, "path", &Argument::Regex(accept.into()))).unwrap();
    let old = [8, 0, 0, 0, 0, 3, 2, 0, 0x15, 0];
    assert!(bytes.ends_with(&old));
    bytes.truncate(bytes.len() - old.len());
    let length = u16::try_from(code.len()).unwrap();
    bytes.extend((length + 6).to_le_bytes());
    bytes.extend([0, 0, 0, 3]);
    bytes.extend(length.to_le_bytes());
    bytes.extend(code);
    at_most(Duration::from_secs(2), "decoding", || drop(decode(&bytes, release()).unwrap()));
}

/// Objects that overlap are refused at once: thousands of them could claim 64 KB each.
#[test]
fn overlapping_objects_are_refused() {
    let mut bytes = encode(&chain_of(1, "extension", &Argument::Text(vec![0; 200]))).unwrap();
    let other = encode(&chain_of(2, "extension", &Argument::Text(vec![0; 200]))).unwrap();
    assert!(decode(&bytes, release()).is_ok() && decode(&other, release()).is_ok());
    bytes = other;
    // A second node's argument 8 bytes further on: reads as an empty object inside the first.
    let decoded = decode(&bytes, release()).unwrap();
    let node = decoded.header.nodes.start;
    bytes[node + 2] = 1;
    assert!(decode(&bytes, release()).is_err());
}

/// Says something past the test harness, which keeps what a passing test prints to itself.
fn say(line: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
}
