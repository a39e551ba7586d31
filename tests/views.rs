#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! In: blobs of every container family, compiled here or real. Out: whether the JSON of `decode` is what
//! `docs/schemas/decode.schema.json` says, and whether the parts of the hex view are the whole blob. Never:
//! files that have to be there; without the real blobs only made ones are tried.

use std::path::{Path, PathBuf};
use std::process::Command;

use sbtool::blob::{self, Decoded};
use sbtool::policy::collection::{Collection, Profile};
use sbtool::policy::passes::{Passes, build};
use sbtool::sbpl;
use sbtool::views::{self, PartKind};
use sbtool::vocabulary::{Release, release_names};
use serde_json::Value;

mod made;

fn schema() -> jsonschema::Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas/decode.schema.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

/// Filters of every kind that all releases with a layout have.
const ANY_RELEASE: &str = r##"(version 1)
(deny default)
(allow file-read* (literal "/a") (subpath "/b") (regex #"^/(c|d)*x$") (vnode-type DIRECTORY))
(allow file-write* (require-all (extension "x") (file-mode #o4)))
(deny file-write-data (literal "/m") (with message "m"))
(allow network-outbound (remote tcp "localhost:80") (remote udp "*:*"))
(allow mach-lookup (global-name "n") (with report))
(deny signal (target self) (with send-signal SIGKILL))"##;

fn compiled(release: &'static Release, text: &str) -> sbtool::policy::graph::Graph {
    let evaluated = sbpl::evaluate("made", text.as_bytes(), &sbpl::Options::new(release));
    let evaluated = evaluated.unwrap_or_else(|diagnostic| panic!("{release:?}: {}", diagnostic.message));
    build(&evaluated.rules, Passes::default()).unwrap()
}

/// A single profile and a collection of each release that is written, and a profile with all that
/// 14.4 has besides.
fn made() -> Vec<(String, &'static str, Vec<u8>)> {
    let mut blobs = Vec::new();
    for name in release_names() {
        let release = Release::named(name).unwrap();
        if release.layout().is_err() {
            continue;
        }
        let graph = compiled(release, ANY_RELEASE);
        blobs.push((format!("{name} single"), name, blob::encode(&graph).unwrap()));
        let other = compiled(release, "(version 1)(allow default)(deny file-read* (prefix \"/q\"))");
        let collection = Collection::of(vec![Profile::new("one", graph), Profile::new("two", other)]).unwrap();
        blobs.push((format!("{name} collection"), name, blob::encode_collection(&collection).unwrap()));
    }
    let flag = "(allow signal (require-entitlement \"com.example.flag\"))";
    let everything = format!("{}\n{flag}", include_str!("cli/decode/everything.sb"));
    let graph = compiled(Release::named("macos-14.4").unwrap(), &everything);
    blobs.push(("everything".to_owned(), "macos-14.4", blob::encode(&graph).unwrap()));
    blobs
}

/// Real ones, where the folder with them is there.
fn real() -> Vec<(String, &'static str, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/oracle/blobs");
    let known = [
        ("macos10.6_sample1.bin", "macos-10.6"),
        ("ios9.3_collection.bin", "ios-9.3"),
        ("ios13_collection.bin", "ios-13"),
        ("ios17_platform.bin", "ios-17"),
        ("ios26_platform.bin", "ios-26"),
    ];
    let read = |(name, release): (&str, &'static str)| {
        std::fs::read(folder.join(name)).ok().map(|bytes| (name.to_owned(), release, bytes))
    };
    known.into_iter().filter_map(read).collect()
}

/// What the program prints.
fn printed(files: &[PathBuf], release: &str) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_sbtool"))
        .args(["decode", "--format", "json", "--release", release])
        .args(files)
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{release}: {error}"))
}

#[test]
fn the_json_of_every_family_is_what_the_schema_says() {
    let schema = schema();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blob");
    for (name, release, bytes) in made().into_iter().chain(real()) {
        std::fs::write(&path, &bytes).unwrap();
        let document = printed(std::slice::from_ref(&path), release);
        if let Err(error) = schema.validate(&document) {
            panic!("{name}: {}: {error}", error.instance_path());
        }
        assert_eq!(document["length"], bytes.len(), "{name}");
        let list = printed(&[path.clone(), path.clone()], release);
        assert!(bytes.len() > 10_000 || schema.is_valid(&list), "{name}: a list of two");
    }
}

/// Every kind of argument and of modifier is in what the schema was tried on.
#[test]
fn the_schema_is_tried_on_every_kind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blob");
    let (mut kinds, mut modifiers) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    for (_, release, bytes) in made().into_iter().chain(real()) {
        std::fs::write(&path, &bytes).unwrap();
        for node in printed(std::slice::from_ref(&path), release)["nodes"].as_array().unwrap() {
            kinds.extend(node["argument"]["kind"].as_str().map(str::to_owned));
            let list = node["modifiers"].as_array().cloned().unwrap_or_default();
            modifiers.extend(list.iter().map(|modifier| modifier["name"].as_str().unwrap().to_owned()));
        }
    }
    let expected = ["address", "boolean", "number", "pattern", "regex", "state-flag", "text"];
    assert!(expected.iter().all(|kind| kinds.contains(*kind)), "{kinds:?}");
    assert!(real().is_empty() || ["mask", "numbers"].iter().all(|kind| kinds.contains(*kind)), "{kinds:?}");
    let expected = ["errno", "message", "message-filter", "send-signal"];
    assert!(expected.iter().all(|name| modifiers.contains(*name)), "{modifiers:?}");
}

/// Removes each key and adds one everywhere: the schema sees it.
#[test]
fn the_schema_refuses_what_is_not_so() {
    let schema = schema();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blob");
    let (_, release, bytes) = made().pop().unwrap();
    std::fs::write(&path, &bytes).unwrap();
    let document = printed(&[path], release);
    assert!(schema.is_valid(&document));
    let keys: Vec<String> = document.as_object().unwrap().keys().cloned().collect();
    for key in &keys {
        let mut broken = document.clone();
        broken.as_object_mut().unwrap().remove(key);
        assert!(!schema.is_valid(&broken), "without {key}");
        let mut broken = document.clone();
        broken[key] = Value::Null;
        assert!(!schema.is_valid(&broken), "null for {key}");
    }
    for place in ["/sections/0", "/operations/0", "/nodes/0", "/nodes/0/argument", "/nodes/1/modifiers/0", "/pool/0"] {
        let mut broken = document.clone();
        broken.pointer_mut(place).unwrap().as_object_mut().unwrap().insert("more".to_owned(), 1.into());
        assert!(!schema.is_valid(&broken), "more in {place}");
    }
}

/// A blob of a release whose operations no grammar file has: their names come from a file.
#[test]
fn operations_may_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let names = ["default", "file*", "file-read*", "file-read-data", "file-read-new", "quite-other"];
    std::fs::write(path("names"), names.join("\n") + "\n").unwrap();
    let names = names.map(str::to_owned);
    let release: &'static Release = Box::leak(Box::new(Release::with_operations("ios-17", &names).unwrap()));
    let graph = compiled(release, "(version 2)(deny default)(allow file-read-new (literal \"/a\"))(allow quite-other)");
    let bytes = blob::encode(&graph).unwrap();
    assert_eq!(bytes[4], 6);
    std::fs::write(path("blob"), &bytes).unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_sbtool")).args(arguments).output().unwrap();
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
    };
    let (blob, list) = (path("blob"), path("names"));
    let known = ["--release", "ios-17", "--operations", &list];
    let (shown, status) = run(&[&["decode", &blob][..], &known].concat());
    assert!(status == Some(0) && shown.contains("file-read-new") && shown.contains("quite-other"), "{shown}");
    assert_eq!(run(&[&["reencode", &blob][..], &known].concat()).1, Some(0));
    let (shown, status) = run(&[&["compare", &blob, &blob][..], &known].concat());
    assert!(status == Some(0) && shown.starts_with("identical"), "{shown}");
    // Without, or with a list of another length, it is no blob of the release.
    assert_eq!(run(&["decode", &blob, "--release", "ios-17"]).1, Some(65));
    std::fs::write(path("names"), "default\nfile*\n").unwrap();
    assert_eq!(run(&[&["decode", &blob][..], &known].concat()).1, Some(65));
    std::fs::write(path("names"), "file*\ndefault\n").unwrap();
    assert_eq!(run(&[&["decode", &blob][..], &known].concat()).1, Some(65));
}

/// The parts are the whole blob in its order; what is left over is told as that.
fn assert_parts(name: &str, bytes: &[u8], decoded: &Decoded) {
    let mut end = 0;
    let mut left_over = 0;
    views::parts(decoded, bytes, |part, notes| {
        assert_eq!(part.range.start, end, "{name}: {part:?}");
        end = part.range.end;
        if part.kind == PartKind::LeftOver {
            left_over += part.range.len();
        }
        for row in 0..part.range.len().div_ceil(part.width) {
            assert!(notes(row).chars().count() < 1000, "{name}: {part:?}");
        }
        if part.kind == PartKind::Padding {
            assert!(bytes[part.range.clone()].iter().all(|byte| *byte == 0), "{name}: {part:?}");
        }
        Ok::<(), ()>(())
    })
    .unwrap();
    assert_eq!(end, bytes.len(), "{name}");
    let expected: usize = decoded.leftover.iter().map(|leftover| leftover.range.len()).sum();
    assert_eq!(left_over, expected, "{name}");
}

#[test]
fn the_parts_of_a_blob_are_the_whole_of_it() {
    for (name, release, mut bytes) in made().into_iter().chain(real()) {
        let release = Release::named(release).unwrap();
        assert_parts(&name, &bytes, &blob::decode(&bytes, release).unwrap());
        // Something behind the blob, and a node that nothing leads to: all links of the first are turned
        // to where its second leads.
        bytes.extend(b"left over");
        let decoded = blob::decode(&bytes, release).unwrap();
        let start = decoded.header.nodes.start;
        if bytes[start] == 0 && release.layout().is_ok() {
            let link = [bytes[start + 6], bytes[start + 7]];
            bytes[start + 4..start + 6].copy_from_slice(&link);
        }
        let decoded = blob::decode(&bytes, release).unwrap();
        assert!(!decoded.leftover.is_empty(), "{name}");
        assert_parts(&name, &bytes, &decoded);
    }
}

/// 20,000 nodes with one pattern of 60 KB: 1.2 GB of text if each had it. The views have a limit, and say
/// in the place of more that there is more.
#[test]
fn what_nodes_share_is_not_written_without_bound() {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut program = Vec::new();
    for _ in 0..188 {
        program.extend([0x04, 0xff]);
        program.extend([b'x'; 320]);
        program.push(0x0f);
    }
    program.push(0x0a);
    let count = 20_000;
    let mut nodes: Vec<made::Made> =
        (0..count).map(|index| made::Made::Test(1, made::Value::Object(0), count, index + 1)).collect();
    nodes.extend([made::Made::Terminal(0), made::Made::Terminal(5)]);
    let starts: [(&str, usize); 1] = [("file-read-data", 0)];
    let object = [u32::try_from(program.len()).unwrap().to_le_bytes().to_vec(), program].concat();
    let release = made::release("ios-10");
    let bytes = made::blob(release, false, &[(0, 0, &starts)], &nodes, &[object], &[]);
    let decoded = blob::decode(&bytes, release).unwrap();
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, &views::Document::new("b", bytes.len(), String::new(), &decoded)).unwrap();
    assert!((60 << 20..100 << 20).contains(&counter.0), "{}", counter.0);
    let texts = views::Texts::new(&decoded.graph);
    let shown = |index: usize| match &decoded.graph.nodes[index] {
        sbtool::policy::graph::Node::Test { test, .. } => texts.test(test).len(),
        sbtool::policy::graph::Node::Terminal(_) => 0,
    };
    let all: usize = (0..count).map(shown).sum();
    assert!((60 << 20..70 << 20).contains(&all), "{all}");
    assert_parts("shared", &bytes, &decoded);
}
