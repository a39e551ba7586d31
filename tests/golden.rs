//! In: the files of `golden/`. Out: proof that the pipeline makes of them what a Mac made: bytes by
//! SHA-256, verdicts, decode fields. Needs nothing outside the project.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use sbtool::blob::{self, legacy};
use sbtool::policy::graph::{Graph, Node};
use sbtool::policy::passes::{Passes, build};
use sbtool::probe::matrix::{ExpectApply, Matrix, Verdict};
use sbtool::probe::record::Record;
use sbtool::probe::stage::Stage;
use sbtool::probe::{self, Plan, artifacts};
use sbtool::runtime::hex;
use sbtool::sbpl::{self, Options};
use sbtool::vocabulary::Release;
use sha2::{Digest, Sha256};

fn release() -> &'static Release {
    Release::named("macos-14.4").unwrap()
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn graph_of(name: &str, source: &[u8]) -> Graph {
    let evaluated =
        sbpl::evaluate(name, source, &Options::new(release())).unwrap_or_else(|d| panic!("{}", d.render(false)));
    build(&evaluated.rules, Passes::default()).unwrap()
}

fn compile(name: &str, source: &[u8]) -> Vec<u8> {
    blob::encode(&graph_of(name, source)).unwrap()
}

fn cases() -> Vec<serde_json::Value> {
    let text = std::fs::read(golden().join("apple-14.4.1.json")).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
    value["cases"].as_array().unwrap().clone()
}

#[test]
fn every_case_compiles_to_apples_bytes() {
    let cases = cases();
    assert_eq!(cases.len(), 34);
    for case in cases {
        let name = case["case"].as_str().unwrap();
        let bytes = compile(name, case["source"].as_str().unwrap().as_bytes());
        assert_eq!(bytes.len() as u64, case["length"].as_u64().unwrap(), "{name}");
        assert_eq!(hex(&Sha256::digest(&bytes)), case["sha256"].as_str().unwrap(), "{name}");
    }
}

#[test]
fn every_case_decodes_whole_and_encodes_again() {
    for case in cases() {
        let name = case["case"].as_str().unwrap();
        let bytes = compile(name, case["source"].as_str().unwrap().as_bytes());
        let decoded = blob::decode(&bytes, release()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(decoded.leftover, [], "{name}");
        assert_eq!(blob::encode(&decoded.graph).unwrap(), bytes, "{name}");
    }
}

/// The graph keeps no offsets: numbering its nodes otherwise changes nothing.
#[test]
fn the_order_of_nodes_in_a_graph_says_nothing() {
    for case in cases() {
        let name = case["case"].as_str().unwrap();
        let graph = graph_of(name, case["source"].as_str().unwrap().as_bytes());
        let bytes = blob::encode(&graph).unwrap();
        let last = u32::try_from(graph.nodes.len() - 1).unwrap();
        let mut turned = graph.clone();
        let mut nodes = turned.nodes.to_vec();
        nodes.reverse();
        let turn = |id: &mut sbtool::policy::graph::NodeId| id.0 = last - id.0;
        turned.entries.iter_mut().for_each(turn);
        for node in &mut nodes {
            if let Node::Test { matched, unmatched, .. } = node {
                turn(matched);
                turn(unmatched);
            }
        }
        turned.nodes = nodes.into();
        assert_eq!(blob::encode(&turned).unwrap(), bytes, "{name}");
    }
}

fn run() -> (Matrix, Record) {
    let path = golden().join("expected_matrix.json");
    let text = std::fs::read(&path).unwrap();
    let matrix = Matrix::read(&text).unwrap();
    let options = Options::new(release());
    let folder = golden();
    let plan = Plan { matrix: &matrix, text: &text, folder: &folder, name: "expected_matrix", options: &options };
    let record = probe::evaluate(&plan, |_, _| {}).unwrap();
    (matrix, record)
}

/// Profile, probe, operation, target, expected; then what came out of the run on a Mac.
const ROWS: [(&str, &str, &str, &str, &str, &str); 26] = [
    ("bucket4:v1_read", "read_/etc/hosts", "file-read*", "/etc/hosts", "allow", "allow"),
    ("bucket4:v1_read", "write_/etc/hosts", "file-write*", "/etc/hosts", "deny", "deny"),
    ("bucket4:v1_read", "read_/tmp/foo", "file-read*", "/tmp/foo", "allow", "allow"),
    ("bucket5:v11_read_subpath", "read_/tmp/foo", "file-read*", "/tmp/foo", "allow", "allow"),
    ("bucket5:v11_read_subpath", "read_/tmp/bar", "file-read*", "/tmp/bar", "deny", "deny"),
    ("bucket5:v11_read_subpath", "write_/tmp/foo", "file-write*", "/tmp/foo", "deny", "deny"),
    ("runtime:allow_all", "read_/etc/hosts", "file-read*", "/etc/hosts", "allow", "allow"),
    ("runtime:allow_all", "read_/tmp/sbpl_rt/read.txt", "file-read*", "/tmp/sbpl_rt/read.txt", "allow", "allow"),
    ("runtime:allow_all", "write_/tmp/sbpl_rt/write.txt", "file-write*", "/tmp/sbpl_rt/write.txt", "allow", "allow"),
    ("runtime:metafilter_any", "read_foo", "file-read*", "/tmp/foo.txt", "allow", "allow"),
    ("runtime:metafilter_any", "read_bar", "file-read*", "/tmp/bar.txt", "allow", "allow"),
    ("runtime:metafilter_any", "read_other", "file-read*", "/tmp/qux.txt", "allow", "allow"),
    ("runtime:metafilter_any", "read_baz", "file-read*", "/tmp/baz.txt", "deny", "deny"),
    ("runtime:metafilter_any", "write_baz", "file-write*", "/tmp/baz.txt", "deny", "deny"),
    ("runtime:strict_1", "read_ok", "file-read*", "/private/tmp/strict_ok/allow.txt", "allow", "allow"),
    ("runtime:strict_1", "write_ok", "file-write*", "/private/tmp/strict_ok/allow.txt", "allow", "allow"),
    ("runtime:strict_1", "read_hosts", "file-read*", "/etc/hosts", "deny", "deny"),
    ("runtime:strict_1", "write_hosts", "file-write*", "/etc/hosts", "deny", "deny"),
    ("sys:airlock", "read_/etc/hosts", "file-read*", "/etc/hosts", "deny", "blocked"),
    ("sys:airlock", "write_/etc/hosts", "file-write*", "/etc/hosts", "deny", "blocked"),
    ("sys:airlock", "read_/tmp/foo", "file-read*", "/tmp/foo", "deny", "blocked"),
    ("sys:airlock", "write_/tmp/foo", "file-write*", "/tmp/foo", "deny", "blocked"),
    ("sys:bsd", "read_/etc/hosts", "file-read*", "/etc/hosts", "deny", "deny"),
    ("sys:bsd", "write_/etc/hosts", "file-write*", "/etc/hosts", "deny", "deny"),
    ("sys:bsd", "read_/tmp/foo", "file-read*", "/tmp/foo", "deny", "deny"),
    ("sys:bsd", "write_/tmp/foo", "file-write*", "/tmp/foo", "deny", "deny"),
];

#[test]
fn the_matrix_has_this_shape() {
    let text = std::fs::read(golden().join("expected_matrix.json")).unwrap();
    let matrix = Matrix::read(&text).unwrap();
    assert_eq!(matrix.profiles.len(), 7);
    let rows: Vec<_> = matrix
        .profiles
        .iter()
        .flat_map(|(id, profile)| profile.probes.iter().map(move |probe| (id.as_str(), probe)))
        .map(|(id, p)| (id, p.name.as_str(), p.operation.as_str(), p.target.as_str(), p.expected.name()))
        .collect();
    assert_eq!(rows, ROWS.map(|(id, name, operation, target, expected, _)| (id, name, operation, target, expected)));
    let gated: Vec<_> =
        matrix.profiles.iter().filter(|(_, p)| p.expect_apply == ExpectApply::Gated).map(|(id, _)| id).collect();
    assert_eq!(gated, ["sys:airlock"]);
}

#[test]
fn the_outcomes_are_those_of_a_mac() {
    let (_, run) = run();
    let rows: Vec<_> = run
        .probes()
        .map(|(id, probe)| (id, probe.probe.name.as_str(), probe.outcome.actual.map_or("blocked", Verdict::name)))
        .collect();
    assert_eq!(rows, ROWS.map(|(id, name, _, _, _, actual)| (id, name, actual)));
    for (id, probe) in run.probes() {
        let blocked = id == "sys:airlock";
        assert_eq!(probe.matches(), (!blocked).then_some(true), "{id} {}", probe.probe.name);
        assert_eq!(probe.outcome.stage == Some(Stage::Preflight), blocked);
    }
    assert!(run.is_as_expected());
}

/// The recorded shim: the runtime texts are those of the run on the Mac, but for comments.
#[test]
fn the_runtime_profiles_end_in_the_recorded_shim() {
    let (matrix, run) = run();
    for ((id, profile), used) in matrix.profiles.iter().zip(&run.profiles) {
        let (name, bytes) = (&used.runtime_name, &used.runtime);
        if id == "runtime:allow_all" {
            assert_eq!((name.as_str(), bytes.len()), ("runtime_allow_all.sb.bin", 416));
            continue;
        }
        let base = std::fs::read(golden().join(&profile.blob)).unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let added = text.strip_prefix(String::from_utf8(base).unwrap().trim_end()).unwrap();
        let rules: Vec<&str> = added.lines().skip(1).collect();
        assert_eq!(rules.len(), 9 + profile.key_specific_rules.len(), "{id}");
        assert_eq!(rules[0], "(allow process-exec*)");
        assert_eq!(rules[8], "(allow file-read-metadata (literal \"/tmp\"))");
        assert_eq!(&rules[9..], profile.key_specific_rules, "{id}");
    }
}

/// `shim_rules.json` is the record: the baseline that the code appends, and the matrix's own rules.
#[test]
fn the_shim_is_the_recorded_one() {
    let text = std::fs::read(golden().join("shim_rules.json")).unwrap();
    let mut recorded: std::collections::BTreeMap<String, Vec<String>> = serde_json::from_slice(&text).unwrap();
    assert_eq!(recorded.remove("baseline").unwrap(), sbtool::runtime::shim::baseline());
    let (matrix, _) = run();
    let rules = matrix.profiles.into_iter().filter(|(_, profile)| !profile.key_specific_rules.is_empty());
    assert_eq!(recorded, rules.map(|(id, profile)| (id, profile.key_specific_rules)).collect());
}

/// Numbers recorded by the older tool on the base texts.
#[test]
fn the_legacy_fields_are_the_recorded_ones() {
    for (name, node_count, op_count) in
        [("v1_read", 48, 5), ("v11_read_subpath", 52, 6), ("metafilter_any", 51, 4), ("strict_1", 53, 7)]
    {
        let source = std::fs::read(golden().join(format!("profiles/{name}.sb"))).unwrap();
        let fields = legacy::legacy(&compile(name, &source));
        assert_eq!((fields.node_count, fields.op_count), (node_count, Some(op_count)), "{name}");
        assert_eq!((fields.maybe_flags, fields.magic, fields.profile_class), (0, Some(190), Some(0)), "{name}");
    }
    let source = std::fs::read(golden().join("profiles/v11_read_subpath.sb")).unwrap();
    let fields = legacy::legacy(&compile("v11_read_subpath", &source));
    assert_eq!(fields.literal_strings, ["G/tmp/foo"]);
    assert_eq!(fields.tag_counts.into_iter().collect::<Vec<_>>(), [(0, 2), (1, 1), (3, 1), (4, 17), (5, 31)]);
}

#[test]
fn the_golden_decodes_are_what_a_run_writes() {
    let (_, run) = run();
    let written = serde_json::to_value(artifacts::golden_decodes(&run)).unwrap();
    let text = std::fs::read(golden().join("golden_decodes.json")).unwrap();
    let kept: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(written, kept);
}
