#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! In: blobs of absolute words, one of Mac OS X 10.6, one of iOS 9.3 and some made here. Out: whether
//! they are read to the last byte and mean what they evidently mean, and whether damage is survived.
//! Never: files that have to be there; without the blobs their tests are skipped.

use std::collections::BTreeMap;
use std::path::Path;

use sbtool::blob::{self, BlobError, Decoded, EncodeError, decode};
use sbtool::policy::describe;
use sbtool::policy::graph::{Graph, Node, NodeId};
use sbtool::policy::request::Request;
use sbtool::policy::verdict::decide;
use sbtool::vocabulary::Release;

mod made;

use made::{Made, MadeProfile, Value, blob, blob_with, from_the_text_alone, name, regex, release, string};

/// A real blob, where the folder with them is there.
fn real(name: &str) -> Option<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/oracle/blobs").join(name);
    let bytes = std::fs::read(path).ok();
    if bytes.is_none() {
        say(&format!("skipped: no ../shared/oracle/blobs/{name}"));
    }
    bytes
}

fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn denies(graph: &Graph, operation: &str, facts: &[&str]) -> bool {
    let mut request = Request::new(graph.release.operation(operation).unwrap());
    facts.iter().for_each(|fact| request.add_fact(graph.release, fact).unwrap());
    decide(graph, &request).unwrap().denies()
}

/// Every link leads to a higher number, and the sections are the whole blob.
fn assert_sound(decoded: &Decoded, length: usize) {
    for (index, node) in decoded.graph.nodes.iter().enumerate() {
        if let Node::Test { matched, unmatched, .. } = node {
            assert!(matched.index() > index && unmatched.index() > index, "node {index}");
        }
    }
    let mut end = 0;
    for section in &decoded.sections {
        assert_eq!(section.range.start, end, "{}", section.name);
        end = section.range.end;
    }
    assert_eq!(end, length);
}

/// A collection with every kind of object. Its nodes 1 and 2 lead back.
fn collection() -> Vec<u8> {
    let objects = [
        name("one"),
        name("two"),
        string(0x00, "/a"),
        string(0x01, "/b"),
        string(0x02, "/c."),
        string(0x0d, "${HOME}/d"),
        regex(),
        name("com.apple.key"),
        vec![7, 0, 187, 1, 0, 0, 0, 0],
    ];
    let nodes = [
        Made::Terminal(0),
        Made::Test(0x01, Value::Object(2), 0, 8),
        Made::Test(0x01, Value::Object(3), 0, 1),
        Made::Test(0x01, Value::Object(4), 0, 2),
        Made::Test(0x01, Value::Object(5), 0, 3),
        Made::Test(0x81, Value::Number(0), 0, 4),
        Made::Test(0x17, Value::Object(7), 0, 8),
        Made::Test(0x09, Value::Object(8), 0, 8),
        Made::Terminal(5),
    ];
    let profiles: [MadeProfile; 2] = [
        (0, 2, &[("file-read-data", 5), ("network-outbound", 7)]),
        (1, 0, &[("file-read-data", 4), ("file-write-data", 6), ("process-fork", 0)]),
    ];
    blob(release("ios-9.3"), true, &profiles, &nodes, &objects, &[6])
}

#[test]
fn a_collection_made_here_is_read_to_the_last_byte() {
    let bytes = collection();
    let decoded = decode(&bytes, release("ios-9.3")).unwrap();
    assert_eq!(decoded.leftover, []);
    assert_sound(&decoded, bytes.len());
    assert_eq!(decoded.objects.len(), 9);
    assert_eq!(decoded.graph.nodes.len(), 9);
    assert_eq!(decoded.graph.variables[..], [b"HOME".to_vec()]);
    let names: Vec<&[u8]> = decoded.collection.profiles.iter().map(|profile| profile.name.as_slice()).collect();
    assert_eq!(names, [b"one", b"two"]);
    let [one, two] = [&decoded.collection.profiles[0].graph, &decoded.collection.profiles[1].graph];
    assert_eq!((one.flags, two.flags), (2, 0));
    for (path, allowed) in [
        ("/a", true),
        ("/a/x", false),
        ("/b", true),
        ("/b/x", true),
        ("/bx", false),
        ("/c.", true),
        ("/c.x", true),
        ("/c", false),
        ("/d", false),
        ("/x", true),
        ("/y/x", false),
    ] {
        let fact = format!("path={path}");
        assert_eq!(denies(one, "file-read-data", &[&fact]), !allowed, "{path}");
        // The second profile has all but the expression.
        assert_eq!(denies(two, "file-read-data", &[&fact]), !allowed || path == "/x", "{path}");
    }
    assert!(!denies(two, "file-write-data", &["extension=com.apple.key"]));
    assert!(denies(two, "file-write-data", &["extension=com.apple"]));
    assert!(!denies(one, "network-outbound", &["remote=tcp:example.com:443"]));
    assert!(denies(one, "network-outbound", &["remote=tcp:example.com:80"]));
    assert!(denies(one, "process-fork", &[]) && !denies(two, "process-fork", &[]));
}

#[test]
fn a_single_profile_made_here_is_read_and_not_written() {
    let nodes = [Made::Test(0x06, Value::Object(0), 1, 2), Made::Terminal(4), Made::Terminal(1)];
    let profile: MadeProfile = (0, 1, &[("mach-lookup", 0)]);
    for name in ["ios-8.4", "ios-9.3"] {
        let bytes = blob(release(name), false, &[profile], &nodes, &[string(0, "com.apple.x")], &[]);
        let decoded = decode(&bytes, release(name)).unwrap();
        assert_eq!(decoded.leftover, [], "{name}");
        assert_sound(&decoded, bytes.len());
        assert!(!decoded.collection.is_collection && decoded.graph.flags == 1);
        assert!(!denies(&decoded.graph, "mach-lookup", &["global-name=com.apple.x"]));
        assert!(denies(&decoded.graph, "mach-lookup", &["global-name=com.apple.xy"]));
        let shown: Vec<String> = (decoded.graph.nodes.iter())
            .filter_map(|node| match node {
                Node::Terminal(terminal) => Some(describe::terminal(&decoded.graph, terminal)),
                Node::Test { .. } => None,
            })
            .collect();
        assert_eq!(shown, ["allow (with report)", "deny (with no-report)"]);
        let refused = blob::encode(&decoded.graph);
        assert!(matches!(&refused, Err(EncodeError::ReadOnly { release }) if release == name), "{refused:?}");
    }
}

#[test]
fn families_from_the_text_alone_are_read_to_the_last_byte() {
    for (name, bytes) in from_the_text_alone() {
        let decoded = decode(&bytes, release(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(decoded.leftover, [], "{name}");
        assert_sound(&decoded, bytes.len());
        assert!(release(name).is_from_text_alone() && release(name).reads_blobs());
        let graph = &decoded.graph;
        let strings = name != "ios-4";
        for (path, allowed) in [("/a", strings), ("/a/x", false), ("/x", true), ("/xy", true), ("/", false)] {
            assert_eq!(denies(graph, "file-read-data", &[&format!("path={path}")]), !allowed, "{name}: {path}");
        }
        let facts: &[&str] =
            if ["ios-4", "ios-5"].contains(&name) { &["extension=#t"] } else { &["extension=com.apple.key"] };
        assert!(!denies(graph, "file-write-data", facts), "{name}");
        assert!(denies(graph, "file-write-data", &[]), "{name}");
        assert!(matches!(blob::encode(graph), Err(EncodeError::ReadOnly { .. })), "{name}");
        if decoded.header.table("variables").len() == 1 {
            assert_eq!(graph.variables[..], [b"HOME".to_vec()], "{name}");
            let Some(Node::Test { test, .. }) = graph.node(NodeId(0)) else { panic!("{name}: no test") };
            assert_eq!(describe::test(graph, test), "(path ${HOME} \"/t\")", "{name}");
        }
    }
    // What was read of real blobs says so.
    assert!(["macos-10.6", "ios-9.3", "ios-13"].iter().all(|name| !release(name).is_from_text_alone()));
}

/// What the program prints of a blob: standard output, and whether it says that all is accounted for.
fn printed(bytes: &[u8], arguments: &[&str]) -> (String, bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blob");
    std::fs::write(&path, bytes).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_sbtool")).args(arguments).arg(&path).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.success())
}

/// All views of a blob that was read from a description say so, and only those; the JSON is what its
/// schema says.
#[test]
fn what_is_from_the_text_alone_says_so() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas/decode.schema.json");
    let schema: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let mut blobs = from_the_text_alone();
    blobs.push(("ios-9.3", collection()));
    for (name, bytes) in blobs {
        let alone = name != "ios-9.3";
        for format in ["text", "json", "hex"] {
            let (shown, whole) = printed(&bytes, &["decode", "--release", name, "--format", format]);
            assert!(whole, "{name} {format}");
            let says = shown.contains("from the text alone: no blob of this family was at hand");
            assert_eq!(says, alone, "{name} {format}: {shown}");
            if format == "json" {
                let document = serde_json::from_str(&shown).unwrap();
                if let Err(error) = schema.validate(&document) {
                    panic!("{name}: {}: {error}", error.instance_path());
                }
            }
        }
    }
}

/// FORMAT.md §1.4, by its own offsets.
#[test]
fn headers_of_ios_10_to_12_are_where_the_text_says() {
    let word = |bytes: &[u8], offset: usize| u16::from_le_bytes([bytes[offset], bytes[offset + 1]]);
    for (name, bytes) in from_the_text_alone() {
        let is_collection = word(&bytes, 0) == 0x8000;
        let decoded = decode(&bytes, release(name)).unwrap();
        let nodes_end = u16::try_from(decoded.header.nodes.end / 8).unwrap();
        match name {
            "ios-4" | "ios-5" => assert_eq!((word(&bytes, 0), word(&bytes, 2)), (nodes_end, 1)),
            "ios-6" | "ios-7" => assert_eq!((word(&bytes, 2), word(&bytes, 4)), (nodes_end, 1)),
            "ios-10" | "ios-11" => {
                assert_eq!((word(&bytes, 2), word(&bytes, 4)), (nodes_end, 1));
                assert_eq!((word(&bytes, 6), word(&bytes, 8)), (nodes_end + 1, 1));
                assert!(!is_collection || word(&bytes, 10) == 1);
                assert_eq!(decoded.header.records[0].offset, if is_collection { 12 } else { 10 });
            }
            _ => {
                assert_eq!((word(&bytes, 2), word(&bytes, 4)), (nodes_end, nodes_end + 1));
                assert_eq!((word(&bytes, 8), bytes[10], bytes[11]), (1, 1, 0));
                assert!(!is_collection || word(&bytes, 12) == 1);
                assert_eq!(decoded.header.records[0].offset, if is_collection { 14 } else { 12 });
            }
        }
    }
}

#[test]
fn signals_and_messages_of_ios_12() {
    let nodes = [Made::Ending(1, 9, 0), Made::Ending(5, 0, 1), Made::Ending(4, 0, 0)];
    let starts: [(&str, usize); 2] = [("signal", 0), ("process-fork", 1)];
    let make = |nodes: &[Made]| {
        blob_with(release("ios-12"), false, &[(0, 0, &starts)], nodes, &[name("no")], [&[], &[], &[0]])
    };
    let decoded = decode(&make(&nodes), release("ios-12")).unwrap();
    assert_eq!(decoded.leftover, []);
    let shown = |index: usize| match &decoded.graph.nodes[index] {
        Node::Terminal(terminal) => describe::terminal(&decoded.graph, terminal),
        Node::Test { .. } => panic!("no terminal"),
    };
    assert_eq!(shown(0), "deny (with no-report) (with send-signal 9)");
    assert_eq!(shown(1), "deny (with message \"no\")");
    assert_eq!(shown(2), "allow (with report)");
    let second = [Made::Ending(1, 9, 0), Made::Ending(5, 0, 2), Made::Ending(4, 0, 0)];
    assert!(decode(&make(&second), release("ios-12")).unwrap_err().to_string().contains("message 2 of 1"));
}

#[test]
fn every_bit_of_a_blob_from_the_text_alone_may_be_wrong() {
    for (name, bytes) in from_the_text_alone() {
        let accepted = damage(&bytes, release(name), 0..8 * bytes.len());
        assert!(accepted > 0 && accepted < 4 * bytes.len(), "{name}: {accepted} of {}", 8 * bytes.len());
    }
}

/// Where and why a blob with these nodes, and these entries of `file-read-data`, is refused.
fn refused(nodes: &[Made], object: Vec<u8>) -> (usize, String) {
    let bytes = blob(release("ios-9.3"), false, &[(0, 0, &[("file-read-data", 0)])], nodes, &[object], &[]);
    match decode(&bytes, release("ios-9.3")) {
        Err(BlobError::Bad { offset, reason, .. }) => (offset, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn circles_and_what_has_no_known_meaning_are_refused() {
    // 6 bytes and 125 words.
    let start = 256;
    let literal = || string(0, "/a");
    let circle = [
        Made::Test(4, Value::Number(1), 1, 3),
        Made::Test(4, Value::Number(2), 3, 2),
        Made::Test(4, Value::Number(3), 1, 3),
        Made::Terminal(0),
    ];
    let (offset, reason) = refused(&circle, literal());
    assert!([start + 8, start + 16].contains(&offset) && reason.contains("no end"), "{offset}: {reason}");
    let (offset, _) = refused(&[Made::Test(4, Value::Number(1), 0, 1), Made::Terminal(0)], literal());
    assert_eq!(offset, start);
    // A flag that two sources name differently, a filter and a form that are not there.
    let (offset, reason) = refused(&[Made::Terminal(0x20)], literal());
    assert_eq!((offset, reason.contains("0x0020")), (start + 2, true));
    for filter in [0x7f, 0x84] {
        let (offset, _) = refused(&[Made::Test(filter, Value::Number(0), 1, 1), Made::Terminal(0)], literal());
        assert_eq!(offset, start + 1, "{filter:x}");
    }
    // Types that do not fit their texts.
    for (form, text) in [
        (0x03, "/a"),
        (0x20, "/a"),
        (0x08, "/a"),
        (0x0c, "/a"),
        (0x04, "${HOME}"),
        (0x0c, "${FRONT_USER_HOME}"),
        (0x04, "${X}"),
        (0x01, ""),
    ] {
        let nodes = [Made::Test(1, Value::Object(0), 1, 1), Made::Terminal(0)];
        refused(&nodes, string(form, text));
    }
    // Without its bit, a variable is text.
    let nodes = [Made::Test(1, Value::Object(0), 1, 2), Made::Terminal(0), Made::Terminal(1)];
    let objects = [string(0, "${HOME}")];
    let bytes = blob(release("ios-9.3"), false, &[(0, 0, &[("file-read-data", 0)])], &nodes, &objects, &[]);
    let decoded = decode(&bytes, release("ios-9.3")).unwrap();
    assert!(!denies(&decoded.graph, "file-read-data", &["path=${HOME}"]));
}

#[test]
fn every_bit_of_a_blob_made_here_may_be_wrong() {
    let bytes = collection();
    let accepted = damage(&bytes, release("ios-9.3"), 0..8 * bytes.len());
    // Flags of a profile, texts, numbers: a blob still. What is a length or a place is mostly not.
    assert!(accepted > 100 && accepted < 4 * bytes.len(), "{accepted} of {}", 8 * bytes.len());
}

/// Decodes copies with one bit flipped each, and with the end cut off; how many of the flipped ones are
/// still blobs.
fn damage(bytes: &[u8], release: &'static Release, bits: impl IntoIterator<Item = usize>) -> usize {
    let mut accepted = 0;
    let mut copy = bytes.to_vec();
    for bit in bits {
        copy[bit / 8] ^= 1 << (bit % 8);
        if let Ok(decoded) = decode(&copy, release) {
            accepted += 1;
            assert_sound(&decoded, copy.len());
            for operation in 0..release.operation_slots() {
                let operation = sbtool::vocabulary::OperationId(u16::try_from(operation).unwrap());
                decide(&decoded.graph, &Request::new(operation)).unwrap();
            }
        }
        copy[bit / 8] ^= 1 << (bit % 8);
    }
    for length in (0..bytes.len()).step_by(64) {
        if let Ok(decoded) = decode(&bytes[..length], release) {
            assert_sound(&decoded, length);
        }
    }
    accepted
}

// ---------------------------------------------------------------------------------------------
// Real blobs.

#[test]
fn the_profile_of_10_6() {
    let Some(bytes) = real("macos10.6_sample1.bin") else { return };
    let decoded = decode(&bytes, release("macos-10.6")).unwrap();
    assert_eq!(decoded.leftover, []);
    assert_sound(&decoded, bytes.len());
    assert_eq!((decoded.graph.nodes.len(), decoded.header.table("regexes").len()), (3, 1));
    let Some(Node::Test { test, .. }) = decoded.graph.node(NodeId(0)) else { panic!("no test") };
    assert_eq!(describe::test(&decoded.graph, test), "(regex #\"^/tmp/woowoo$\")");
    // Only the sixth operation asks; the rest is denied.
    let entries: Vec<u32> = decoded.graph.entries.iter().map(|entry| entry.0).collect();
    assert!(entries.iter().enumerate().all(|(operation, entry)| *entry == if operation == 5 { 0 } else { 2 }));
    assert!(!denies(&decoded.graph, "file-mknod", &["path=/tmp/woowoo"]));
    assert!(denies(&decoded.graph, "file-mknod", &["path=/tmp/woowoo2"]));
    assert!(denies(&decoded.graph, "process-fork", &[]));
    // No implicit rule: later compilers let a process signal itself.
    assert!(denies(&decoded.graph, "signal", &["target=self"]));
    assert!(release("macos-10.6").implicit_rules().is_empty());
    damage(&bytes, release("macos-10.6"), 0..8 * bytes.len());
}

/// FORMAT.md §1.3. The collection ends at 425,667; the file goes on with what lay behind it in the kernel
/// extension, which no word of the collection refers to.
#[test]
fn the_collection_of_ios_9() {
    let Some(bytes) = real("ios9.3_collection.bin") else { return };
    let decoded = decode(&bytes, release("ios-9.3")).unwrap();
    assert_sound(&decoded, bytes.len());
    let leftover: Vec<_> = decoded.leftover.iter().map(|leftover| (leftover.range.start, leftover.range.end)).collect();
    assert_eq!(leftover, [(425_667, 425_970)]);
    assert_eq!(decode(&bytes[..425_667], release("ios-9.3")).unwrap().leftover, []);
    assert_eq!(decoded.header.nodes, 30_744..261_552);
    assert_eq!((decoded.graph.nodes.len(), decoded.collection.profiles.len()), (28_851, 121));
    assert_eq!(decoded.objects.iter().filter(|object| object.kind == "regex").count(), 362);
    assert_eq!(decoded.graph.variables[..], [b"HOME".to_vec(), b"FRONT_USER_HOME".to_vec()]);
    let mut flags = BTreeMap::new();
    for profile in &decoded.collection.profiles {
        assert_eq!(profile.graph.entries.len(), 125);
        *flags.entry(profile.graph.flags).or_insert(0) += 1;
    }
    assert_eq!(flags, BTreeMap::from([(0, 116), (1, 2), (2, 3)]));
    // §1.7: what does without callouts, and what without full symbolication.
    for (name, flags) in [("com.apple.sandboxd", 1), ("mDNSResponder", 1), ("com.apple.WebKit.WebContent", 2)] {
        assert_eq!(decoded.collection.profile(name.as_bytes()).unwrap().graph.flags, flags, "{name}");
    }
    // The order of the nodes is that of the blob: the terminals are its last.
    let last: Vec<bool> = decoded.graph.nodes.iter().map(|node| matches!(node, Node::Terminal(_))).collect();
    assert!(last.ends_with(&[true, true]) && last.iter().filter(|terminal| **terminal).count() == 5);
}

#[test]
fn verdicts_of_ios_9() {
    let Some(bytes) = real("ios9.3_collection.bin") else { return };
    let decoded = decode(&bytes, release("ios-9.3")).unwrap();
    let cases: &[(&str, &str, &[&str], bool)] = &[
        ("MobileBackup", "default", &[], false),
        ("BTServer", "file-read-data", &["path=/private/etc/master.passwd"], true),
        ("BlueTool", "file-read-data", &["path=/dev/null"], false),
        ("container", "file-read-data", &["path=/System/Library"], false),
        ("container", "file-read-data", &["path=/System/Library/Frameworks/UIKit.framework/UIKit"], false),
        ("container", "file-read-data", &["path=/System/LibraryX"], true),
        ("container", "file-write-data", &["path=/System/Library/x"], true),
        ("container", "process-fork", &[], true),
        ("com.apple.WebKit.WebContent", "file-read-data", &["path=/private/var/mobile/Library/SMS/sms.db"], true),
        ("com.apple.WebKit.Networking", "network-outbound", &["remote=tcp:example.com:80"], false),
        ("mDNSResponder", "mach-lookup", &["global-name=com.apple.mDNSResponderHelper"], false),
        // Tests that deny where they match: the internet, and the socket of launchd.
        ("nointernet", "network-outbound", &["local=tcp:example.com:80"], true),
        ("nointernet", "network-outbound", &["path=/private/var/tmp/launchd/sock"], true),
        ("nointernet", "network-outbound", &["path=/private/var/run/syslog"], false),
        ("nointernet", "file-read-data", &["path=/private/etc/hosts"], false),
    ];
    for (profile, operation, facts, expected) in cases {
        let graph = &decoded.collection.profile(profile.as_bytes()).unwrap().graph;
        assert_eq!(denies(graph, operation, facts), *expected, "{profile}: {operation} {facts:?}");
    }
}

#[test]
fn damage_of_the_collection_of_ios_9() {
    let Some(bytes) = real("ios9.3_collection.bin") else { return };
    // Each bit of the header; then, of records, nodes, table and objects, one in every so many bits, at
    // distances without a factor in common with their lengths.
    let bits = (0..64).chain((64..245_936).step_by(2003)).chain((245_952..2_098_208).step_by(9_973));
    damage(&bytes, release("ios-9.3"), bits.chain((2_092_416..3_407_760).step_by(15_013)));
}

/// A blob read as one of another release is refused or read, and nothing else.
#[test]
fn the_wrong_release() {
    let made = collection();
    let real = ["macos10.6_sample1.bin", "ios9.3_collection.bin"].map(real);
    for bytes in real.iter().flatten().chain([&made]) {
        for name in sbtool::vocabulary::release_names() {
            let _either = decode(bytes, release(name));
        }
    }
}
