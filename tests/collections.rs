#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! In: several profiles. Out: whether one collection holds them as each says it alone, in every
//! container whose layout is known; the collections of real systems, where they are at hand.
//! Never: bytes of one profile; tests/golden.rs has those.

use std::collections::BTreeSet;
use std::path::Path;

use sbtool::blob::{BlobError, decode, encode, encode_collection};
use sbtool::policy::collection::{Collection, CollectionError, Profile};
use sbtool::policy::graph::{Argument, Graph, Node, NodeId};
use sbtool::policy::passes::{Passes, build};
use sbtool::policy::request::Request;
use sbtool::policy::rules::Action;
use sbtool::policy::verdict::decide;
use sbtool::sbpl::{self, Options};
use sbtool::vocabulary::{OperationId, Release, release_names};

const TEXTS: [(&str, &str); 4] = [
    ("apple-cloud", "(version 1)(deny default)(allow file-read* (subpath \"${HOME}/a\") (literal \"/b\"))"),
    (
        "apple-cloud-nonenforcing",
        "(version 1)(allow default)(deny file-read* (literal \"/b\") (regex #\"^/c[0-9]+(x|yz)$\"))",
    ),
    ("zero", "(version 1)(deny default (with no-report))"),
    (
        "daemon",
        "(version 1)(deny default)
         (allow file-read* (subpath \"${DIGITS}/a\") (subpath \"${HOME}/a\") (literal \"/private/x\"))
         (deny file-read* (with send-signal SIGKILL) (with message \"not this one\") (literal \"/b\"))
         (allow mach-lookup (require-all (require-entitlement \"e\" (entitlement-value \"v\")) (global-name \"n\")))
         (allow network-outbound (remote tcp \"*:443\"))",
    ),
];

fn graph(release: &'static Release, text: &str) -> Graph {
    let evaluated = sbpl::evaluate("p.sb", text.as_bytes(), &Options::new(release)).map_err(|d| d.render(false));
    build(&evaluated.unwrap().rules, Passes::default()).unwrap()
}

fn release(name: &str) -> &'static Release {
    Release::named(name).unwrap()
}

fn with_layout() -> impl Iterator<Item = &'static Release> {
    release_names().into_iter().map(release).filter(|release| release.layout().is_ok())
}

fn collection(release: &'static Release) -> Collection {
    let graphs = TEXTS.iter().map(|(name, text)| Profile::new(*name, graph(release, text)));
    Collection::of(graphs.collect()).unwrap()
}

/// What a profile says about paths.
fn answers(graph: &Graph) -> Vec<(u16, bool, usize)> {
    let mut out = Vec::new();
    let operations = u16::try_from(graph.entries.len()).unwrap();
    for operation in 0..operations {
        for path in ["/b", "/c12yz", "/c12", "/private/x", "/private/x/y"] {
            let mut request = Request::new(OperationId(operation));
            request.add_fact(graph.release, &format!("path={path}")).unwrap();
            let verdict = decide(graph, &request).unwrap();
            out.push((operation, verdict.denies(), verdict.modifiers.len()));
        }
    }
    out
}

#[test]
fn each_profile_says_what_it_says_alone() {
    let mut releases = 0;
    for release in with_layout() {
        releases += 1;
        let name = release.name();
        let bytes = encode_collection(&collection(release)).unwrap();
        let decoded = decode(&bytes, release).unwrap();
        assert!(decoded.leftover.is_empty(), "{name}: {:?}", decoded.leftover);
        assert_eq!(encode_collection(&decoded.collection).unwrap(), bytes, "{name}");
        // By file name: "-" comes before ".".
        let order: Vec<_> = decoded.collection.profiles.iter().map(|p| String::from_utf8_lossy(&p.name)).collect();
        assert_eq!(order, ["apple-cloud-nonenforcing", "apple-cloud", "daemon", "zero"], "{name}");
        for (profile, text) in TEXTS {
            let alone = graph(release, text);
            let here = &decoded.collection.profile(profile.as_bytes()).unwrap().graph;
            assert_eq!(answers(here), answers(&alone), "{name}: {profile}");
            // Nothing but shared tables was changed, and that equal tests are one.
            let same = |graph: &Graph| {
                let nodes = graph.reachable();
                nodes.iter().map(|id| shown(graph, graph.node(*id).unwrap())).collect::<BTreeSet<_>>()
            };
            assert_eq!(same(here), same(&alone), "{name}: {profile}");
        }
    }
    assert!(releases >= 6);
}

/// A node without numbers.
fn shown(graph: &Graph, node: &Node) -> String {
    match node {
        Node::Test { test, .. } => match &test.argument {
            Argument::Pattern(tree) if !tree.has_variables() => format!("{:?} {tree:?}", test.filter),
            Argument::Regex(regex) => format!("{:?} {:?}", test.filter, regex.matches(b"/c1x")),
            _ => sbtool::policy::describe::test(graph, test),
        },
        Node::Terminal(terminal) => sbtool::policy::describe::terminal(graph, terminal),
    }
}

/// GRAPH.md R6, FORMAT.md §2.4: in a collection each profile has one node for the tests of implicit
/// rules, and allows of its own for its system call sets; plain terminals are common.
#[test]
fn what_profiles_of_a_collection_share() {
    let release = release("ios-17");
    let text = "(version 2)(deny default)(allow iokit-open*)";
    let alone = graph(release, text);
    let several = Collection::of(["a", "b", "c"].map(|name| Profile::new(name, graph(release, text))).into()).unwrap();
    let count = |graph: &Graph, what: &str| graph.nodes.iter().filter(|node| shown(graph, node) == what).count();
    assert_eq!((count(&alone, "(target self)"), count(&alone, "allow"), count(&alone, "deny")), (3, 3, 1));
    let all = &several.profiles[0].graph;
    assert_eq!((count(all, "(target self)"), count(all, "allow"), count(all, "deny")), (3, 7, 1));
}

#[test]
fn what_does_not_go_together_is_refused() {
    let (a, b) = (release("ios-17"), release("macos-14.4"));
    let text = "(version 1)(deny default)";
    let of = |list: Vec<(&str, Graph)>| {
        Collection::of(list.into_iter().map(|(name, graph)| Profile::new(name, graph)).collect()).map(|_| ())
    };
    assert_eq!(of(vec![]), Err(CollectionError::Empty));
    assert_eq!(of(vec![("x", graph(a, text)), ("y", graph(b, text))]), Err(CollectionError::Releases));
    let twice = of(vec![("x", graph(a, text)), ("y", graph(a, text)), ("x", graph(a, text))]);
    assert_eq!(twice, Err(CollectionError::SameName("x".to_owned())));
}

/// FORMAT.md §1.6, §1.7, §2.5: a base stands before the first that extends it, though the nodes
/// are in the order of the names; who extends delegates what it does not decide.
#[test]
fn a_profile_that_extends_another() {
    let release = release("ios-26");
    let profile = |name: &str, text: &str| {
        let evaluated = sbpl::evaluate("p.sb", text.as_bytes(), &Options::new(release)).unwrap();
        let graph = build(&evaluated.rules, Passes::default()).unwrap();
        Profile { base: evaluated.rules.base, ..Profile::new(name, graph) }
    };
    const CHILD: &str = "(version 3)(extends \"zz-base\")(allow file-read* (literal \"/a\"))(deny network*)";
    let mut list = vec![
        profile("zz-base", "(version 3)(deny default)(autobox signal (profile-flag \"f\"))"),
        profile("child", CHILD),
        profile("other", "(version 3)(allow default)"),
    ];
    list[1].flag_set = Some(vec![1]);
    let mut made = Collection::of(list).unwrap();
    made.profile_flags = vec![b"e".to_vec(), b"f".to_vec()];
    let bytes = encode_collection(&made).unwrap();
    let decoded = decode(&bytes, release).unwrap();
    assert!(decoded.leftover.is_empty(), "{:?}", decoded.leftover);
    assert_eq!(encode_collection(&decoded.collection).unwrap(), bytes);
    let names: Vec<_> = decoded.collection.profiles.iter().map(|p| String::from_utf8_lossy(&p.name)).collect();
    assert_eq!(names, ["zz-base", "child", "other"]);
    let flags: Vec<u16> = decoded.header.records.iter().map(|record| record.flags).collect();
    assert_eq!(flags, [0, 0x804, 0]);
    let child = &decoded.collection.profiles[1];
    assert_eq!((child.base.as_deref(), child.flag_set.as_deref()), (Some(&b"zz-base"[..]), Some(&[1][..])));
    assert_eq!(decoded.collection.profile_flags, made.profile_flags);
    let action = |operation: &str, path: &str| {
        let mut request = Request::new(release.operation(operation).unwrap());
        request.add_fact(release, &format!("path={path}")).unwrap();
        decide(&child.graph, &request).unwrap().action()
    };
    assert_eq!(action("file-read-data", "/a"), Action::Allow);
    assert_eq!(action("file-read-data", "/b"), Action::Delegate);
    assert_eq!(action("network-outbound", "/b"), Action::Deny);
    // Alone, a delegation is no permission.
    assert!(Action::Delegate.denies() && Action::Autobox.denies());
    let text = sbpl::write_rules(&sbpl::evaluate("p.sb", CHILD.as_bytes(), &Options::new(release)).unwrap().rules);
    assert!(text.starts_with("(version 3)\n(extends \"zz-base\")\n(allow "), "{text}");
    let older = Options::new(Release::named("ios-13").unwrap());
    for text in ["(version 1)(extends \"b\")", "(version 1)(delegate default)", "(version 1)(autobox default)"] {
        let error = sbpl::evaluate("p.sb", text.as_bytes(), &older).map(|_| ()).unwrap_err();
        assert!(error.message.starts_with("unbound variable: "), "{text}: {}", error.message);
    }
}

/// The name of the first profile is the first object of the pool, at offset 0, which is also what
/// stands for no base: the flag bit tells the two apart.
#[test]
fn the_first_profile_may_be_a_base() {
    let release = release("ios-26");
    let base = Profile::new("a", graph(release, "(version 3)(deny default)"));
    let child =
        Profile { base: Some(b"a".to_vec()), ..Profile::new("b", graph(release, "(version 3)(allow default)")) };
    let bytes = encode_collection(&Collection::of(vec![base, child]).unwrap()).unwrap();
    let decoded = decode(&bytes, release).unwrap();
    let bases: Vec<_> = decoded.collection.profiles.iter().map(|profile| profile.base.as_deref()).collect();
    assert_eq!(bases, [None, Some(&b"a"[..])]);
    assert_eq!(encode_collection(&decoded.collection).unwrap(), bytes);
}

/// FORMAT.md §2.2: a terminal of iOS 13 has a signal and a message, nothing else.
#[test]
fn terminals_of_ios_13_refuse_what_they_cannot_say() {
    let release = release("ios-13");
    let fits = graph(release, "(version 1)(deny default (with send-signal SIGKILL) (with message \"m\"))");
    let bytes = encode(&fits).unwrap();
    let node = bytes.windows(8).find(|node| node.starts_with(&[1, 5, 9, 0, 1]));
    assert!(node.is_some());
    let decoded = decode(&bytes, release).unwrap();
    assert_eq!(
        decoded.graph.nodes.iter().filter(|node| matches!(node, Node::Terminal(t) if t.modifiers.len() == 2)).count(),
        1
    );
    let unfit =
        graph(release, "(version 1)(deny default)(allow process-exec* (with default-sandbox \"x\") (literal \"/a\"))");
    assert!(encode(&unfit).unwrap_err().to_string().contains("no place for modifier 'default-sandbox'"));
}

/// A mask of system calls has a width of its own.
#[test]
fn masks_of_ios_13_come_back() {
    let release = release("ios-13");
    let text = "(version 1)(deny default)(deny syscall-unix (syscall-mask SYS_read 4 530))";
    let bytes = encode(&graph(release, text)).unwrap();
    let decoded = decode(&bytes, release).unwrap();
    let masks = decoded.graph.nodes.iter().filter_map(|node| match node {
        Node::Test { test, .. } => match &test.argument {
            Argument::Mask { width, numbers } => Some((*width, numbers.clone())),
            _ => None,
        },
        Node::Terminal(_) => None,
    });
    assert_eq!(masks.collect::<Vec<_>>(), [(531, vec![3, 4, 530])]);
    assert_eq!(encode(&decoded.graph).unwrap(), bytes);
    let evaluated =
        sbpl::evaluate("p.sb", b"(version 1)(deny syscall-unix (syscall-mask 531))", &Options::new(release));
    assert!(evaluated.map(|_| ()).unwrap_err().message.contains("out of range (0 to 530)"));
}

#[test]
fn damaged_records_are_errors() {
    let release = release("macos-15.2");
    let bytes = encode_collection(&collection(release)).unwrap();
    let start = 16 + 2 * usize::from(bytes[5]) + 2 * usize::from(bytes[12]);
    let error = |offset: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[offset] = value;
        decode(&bytes, release).map(|_| ()).unwrap_err()
    };
    // A base that the flags do not know; a name that is none; no profiles.
    assert!(matches!(error(start + 4, 4), BlobError::Bad { field, .. } if field == "base of a profile"));
    assert!(error(start, 0xff).to_string().starts_with("string"), "{}", error(start, 0xff));
    assert!(error(10, 0).to_string().contains("a collection without profiles"));
    assert!(
        error(11, 0xff).to_string().starts_with("profile record")
            || error(11, 0xff).to_string().starts_with("operation table")
    );
}

/// The blobs of real systems: every byte read, and written again from what was read. Counts are
/// those of FORMAT.md.
#[test]
fn real_blobs_come_back() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/oracle/blobs");
    if !folder.is_dir() {
        println!("skipped: ../shared/oracle/blobs is not here");
        return;
    }
    // Name, release, profiles, nodes, regexes, variables.
    let blobs = [
        ("ios13_collection", "ios-13", 218, 50_559, 289, 11),
        ("ios17_platform", "ios-17", 1, 9_957, 8, 7),
        ("ios26_platform", "ios-26", 1, 9_652, 8, 7),
    ];
    for (name, release_name, profiles, nodes, regexes, variables) in blobs {
        let bytes = std::fs::read(folder.join(format!("{name}.bin"))).unwrap();
        let decoded = decode(&bytes, release(release_name)).unwrap();
        assert!(decoded.leftover.is_empty(), "{name}: {:?}", decoded.leftover);
        assert_eq!(decoded.collection.profiles.len(), profiles, "{name}");
        assert_eq!(decoded.graph.nodes.len(), nodes, "{name}");
        assert_eq!(usize::from(decoded.header.field("regexes")), regexes, "{name}");
        assert_eq!(decoded.graph.variables.len(), variables, "{name}");
        let again = encode_collection(&decoded.collection).unwrap();
        assert!(again == bytes, "{name}: {} bytes in, {} out", bytes.len(), again.len());
    }
}

/// Neighbours that ask for strings of one filter and lead to one place, where nothing else leads to the
/// second: in newer releases the compiler makes them one, in older ones only within a rule.
#[test]
fn neighbouring_strings_stay_apart_up_to_ios_13() {
    for (file, name, apart) in [
        ("ios9.3_collection.bin", "ios-9.3", 12728),
        ("ios13_collection.bin", "ios-13", 14667),
        ("ios17_platform.bin", "ios-17", 1),
        ("ios26_platform.bin", "ios-26", 3),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/oracle/blobs").join(file);
        let Ok(bytes) = std::fs::read(path) else {
            println!("skipped: {file} is not here");
            continue;
        };
        let whole = decode(&bytes, release(name)).unwrap().collection.whole().unwrap();
        let strings = |id: NodeId| match &whole.nodes[id.index()] {
            Node::Test { test, matched, unmatched } if matches!(test.argument, Argument::Pattern(_)) => {
                Some((test.filter, *matched, *unmatched))
            }
            _ => None,
        };
        let reached = whole.reachable();
        let mut incoming = vec![0; whole.nodes.len()];
        whole.entries.iter().for_each(|entry| incoming[entry.index()] += 1);
        for id in &reached {
            if let Node::Test { matched, unmatched, .. } = &whole.nodes[id.index()] {
                incoming[matched.index()] += 1;
                incoming[unmatched.index()] += 1;
            }
        }
        let could_be_one = |id: &&NodeId| {
            let Some((filter, matched, next)) = strings(**id) else { return false };
            incoming[next.index()] == 1 && strings(next).is_some_and(|other| (other.0, other.1) == (filter, matched))
        };
        assert_eq!(reached.iter().filter(could_be_one).count(), apart, "{name}");
    }
}
