#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! In: runs, and a record made here with every stage and kind of failure. Out: whether each artifact is what its
//! schema in `docs/schemas/` says, whether a folder holds one whole run or none, and whether `promote` finds what
//! is wrong with one. Never: whether a verdict is right; that is for `tests/probe.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sbtool::probe::artifacts::promotion;
use sbtool::probe::artifacts::{Folder, INDEX, NAMES, RUN_STATUS, RUNTIME_PROFILES, RunStatus};
use sbtool::probe::matrix::{Matrix, Verdict};
use sbtool::probe::observation::{Exit, Marker, Markers, Observation, OpenedPath, Step, Tool};
use sbtool::probe::record::{ApplyPreflight, Backend, Channel, Record};
use sbtool::probe::stage::{ErrnoSource, Kind, Outcome, Stage};
use sbtool::probe::{self, Plan};
use sbtool::sbpl::Options;
use sbtool::vocabulary::Release;
use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Name of the schema of an artifact, without its suffix.
fn stem(artifact: &str) -> &str {
    artifact.strip_suffix(".json").or_else(|| artifact.strip_suffix(".jsonl")).unwrap()
}

const COMMON: &str = "probe.common.schema.json";

fn validator(stem: &str) -> jsonschema::Validator {
    let folder = root().join("docs/schemas");
    let common = json_of(&folder.join(COMMON));
    let schema = json_of(&folder.join(format!("{stem}.schema.json")));
    for schema in [&common, &schema] {
        jsonschema::draft202012::meta::validate(schema).unwrap_or_else(|error| panic!("{stem}: {error}"));
    }
    let common = jsonschema::Resource::from_contents(common);
    let registry = jsonschema::Registry::new().add(format!("json-schema:///{COMMON}"), common).unwrap();
    let registry = registry.prepare().unwrap();
    jsonschema::options().with_registry(&registry).build(&schema).unwrap_or_else(|error| panic!("{stem}: {error}"))
}

/// The values of an artifact: one, or one for each line.
fn values(folder: &Path, artifact: &str) -> Vec<Value> {
    if artifact.ends_with(".jsonl") {
        let text = fs::read_to_string(folder.join(artifact)).unwrap();
        return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    }
    vec![json_of(&folder.join(artifact))]
}

fn artifacts() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(name, _)| *name).chain([INDEX])
}

/// Every artifact is there, follows its schema, and has the digest that the index says; nothing else is there.
fn check(folder: &Path) {
    for artifact in artifacts() {
        let validator = validator(stem(artifact));
        for value in values(folder, artifact) {
            if let Err(error) = validator.validate(&value) {
                panic!("{artifact}: {error} at {}\n{value:#}", error.instance_path());
            }
            let version = NAMES.iter().find(|(name, _)| *name == artifact).and_then(|(_, version)| *version);
            if let (Some(version), true) = (version, value.get("schema_version").is_some()) {
                assert_eq!(value.get("schema_version").unwrap(), version, "{artifact}");
            }
        }
    }
    let index = json_of(&folder.join(INDEX));
    let listed: BTreeSet<String> = strings(&index, "/artifacts", "path");
    let there: BTreeSet<String> = files(folder, folder).into_iter().filter(|name| name != INDEX).collect();
    assert_eq!(listed, there);
    let packet = promotion::judge(folder);
    let integrity = [promotion::Reason::BundleIntegrityUnverified, promotion::Reason::BundleIncomplete];
    assert!(integrity.iter().all(|reason| !packet.reasons.contains(reason)), "{:?}", packet.details);
}

fn strings(value: &Value, list: &str, key: &str) -> BTreeSet<String> {
    let list = value.pointer(list).unwrap().as_array().unwrap();
    list.iter().map(|entry| entry.get(key).unwrap().as_str().unwrap().to_owned()).collect()
}

/// Files below a folder, but the lock.
fn files(top: &Path, folder: &Path) -> Vec<String> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(files(top, &path));
        } else if !path.ends_with(".runtime.lock") {
            out.push(path.strip_prefix(top).unwrap().display().to_string());
        }
    }
    out
}

fn sbtool(arguments: &[&str], folders: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sbtool"));
    command.args(arguments).args(folders).current_dir(root()).output().unwrap()
}

fn probe_into(matrix: &str, out: &Path) -> Output {
    sbtool(&["probe", matrix, "--out"], &[out])
}

const GOLDEN: &str = "golden/expected_matrix.json";

#[test]
fn every_artifact_of_the_evaluator_follows_its_schema() {
    let statuses = [(GOLDEN, 0), ("tests/cli/probe/mismatch.json", 1), ("tests/cli/probe/gated.json", 1)];
    for (matrix, status) in statuses {
        let out = tempfile::tempdir().unwrap();
        let output = probe_into(matrix, out.path());
        assert_eq!(output.status.code(), Some(status), "{}", String::from_utf8_lossy(&output.stderr));
        check(out.path());
        let summary = json_of(&out.path().join("summary.json"));
        assert_eq!(summary.get("status").unwrap(), if status == 0 { "ok" } else { "partial" });
    }
}

#[test]
fn every_artifact_has_a_schema_and_every_schema_an_artifact() {
    let schemas: BTreeSet<String> = files(root(), &root().join("docs/schemas")).into_iter().collect();
    let mut meant: BTreeSet<String> =
        artifacts().map(|name| format!("docs/schemas/{}.schema.json", stem(name))).collect();
    // What verbs print, and what the others share.
    for name in ["decode", "promotion_packet", "probe.common"] {
        meant.insert(format!("docs/schemas/{name}.schema.json"));
    }
    assert_eq!(schemas, meant);
}

/// Real observations, or that nothing can be applied here; both are whole runs.
#[cfg(target_os = "linux")]
#[test]
fn every_artifact_of_linuxs_kernel_follows_its_schema() {
    let out = tempfile::tempdir().unwrap();
    let output = sbtool(&["probe", "--backend", "linux", "--callouts", GOLDEN, "--out"], &[out.path()]);
    assert!(matches!(output.status.code(), Some(0 | 71)), "{}", String::from_utf8_lossy(&output.stderr));
    check(out.path());
    assert!(promotion::judge(out.path()).reasons.contains(&promotion::Reason::NotCleanChannel));
}

/// A schema that takes anything would be as good as none.
#[test]
fn a_schema_takes_no_key_more_and_no_key_less() {
    let out = tempfile::tempdir().unwrap();
    commit(&made(), out.path());
    for artifact in artifacts() {
        let validator = validator(stem(artifact));
        let value = values(out.path(), artifact).pop().unwrap();
        let mut changed = 0;
        for pointer in objects(&value) {
            let mut more = value.clone();
            more.pointer_mut(&pointer).unwrap().as_object_mut().unwrap().insert("no such key".into(), json!(null));
            // Profiles, counts and parameters are by name, and then their values have a form.
            assert!(!validator.is_valid(&more), "{artifact} takes a key more at '{pointer}'");
            changed += 1;
        }
        for key in value.as_object().into_iter().flat_map(serde_json::Map::keys) {
            let mut less = value.clone();
            less.as_object_mut().unwrap().remove(key);
            let optional = ["runtime_results.json", "mismatch_packets.jsonl", "expected_matrix.json"];
            assert!(optional.contains(&artifact) || !validator.is_valid(&less), "{artifact} does without '{key}'");
        }
        assert!(changed > 0, "{artifact}");
    }
}

/// Pointers to the objects of a value, but for those whose keys a matrix gives and whose values may be anything.
fn objects(value: &Value) -> Vec<String> {
    let inner = |key: &str, value: &Value| -> Vec<String> {
        let key = key.replace('~', "~0").replace('/', "~1");
        objects(value).into_iter().map(|pointer| format!("/{key}{pointer}")).collect()
    };
    match value {
        Value::Object(object) => {
            let deeper = object.iter().filter(|(key, _)| *key != "params").flat_map(|(key, value)| inner(key, value));
            std::iter::once(String::new()).chain(deeper).collect()
        }
        Value::Array(list) => {
            list.iter().enumerate().flat_map(|(index, value)| inner(&index.to_string(), value)).collect()
        }
        _ => Vec::new(),
    }
}

/// A plan and what the evaluator makes of it.
fn plan<T>(text: &[u8], use_it: impl FnOnce(&Plan<'_>) -> T) -> T {
    let matrix = Matrix::read(text).unwrap();
    let options = Options::new(Release::named("macos-14.4").unwrap());
    let folder = root().join("tests/cli/probe");
    use_it(&Plan { matrix: &matrix, text, folder: &folder, name: "made", options: &options })
}

fn made_matrix() -> Vec<u8> {
    let probe = |number: usize| {
        json!({"name": format!("probe {number}"), "operation": "file-read*", "target": "/tmp/x", "driver": "openat",
               "filter_name": "path", "facts": {"vnode-type": "REGULAR-FILE"},
               "expected": if number.is_multiple_of(2) { "allow" } else { "deny" }})
    };
    let probes: Vec<Value> = (0..outcomes().len()).map(probe).collect();
    let fixture = json!({"path": "/private/tmp/x", "contents": "x", "mode": 0o644});
    json!({"world_id": "made", "fixtures": [fixture], "profiles": {"one": {
        "blob": "profile.sb", "mode": "sbpl", "family": "made", "params": {"ROOT": "/tmp/r"}, "probes": probes,
        "key_specific_rules": ["(allow file-read* (literal \"/q\"))"],
        "fixtures": [{"path": "/private/tmp/l", "symlink": "/private/tmp/x"}]}}})
    .to_string()
    .into_bytes()
}

/// Every kind of failure at every stage, both verdicts, and every source of a number.
fn outcomes() -> Vec<Outcome> {
    use ErrnoSource::{ApplyMarker, Evaluator, ExecMarker, Harness, Preflight, ProbeMarker};
    let sources = [ApplyMarker, Evaluator, ExecMarker, Harness, Preflight, ProbeMarker];
    let mut out = vec![Outcome::success(), Outcome::success()];
    for stage in [Stage::Preflight, Stage::Apply, Stage::Bootstrap, Stage::Probe] {
        for (kind, source) in Kind::ALL.iter().zip(sources.iter().cycle()) {
            out.push(Outcome::failed(stage, *kind, Some((1, *source))));
        }
    }
    out.push(Outcome::failed(Stage::Probe, Kind::Timeout, None));
    out.extend(sources.iter().flat_map(|source| [Outcome::denied(Kind::NonzeroExit, 1, *source); 2]));
    out
}

fn seen(number: usize) -> Observation {
    let exits = [Exit::Code(0), Exit::Code(2), Exit::Signal(9), Exit::Timeout, Exit::NotStarted(2)];
    let paths = [None, Some(Ok("/private/tmp/x".to_owned())), Some(Err(13))];
    let mut tried = Marker::new(Tool::Probe, Step::Probe).classed(-1, 1, None);
    (tried.operation, tried.argument) = (Some("open".to_owned()), Some("/tmp/x".to_owned()));
    let mut asked = Marker::new(Tool::Callout, Step::PreSyscall);
    (asked.check_type, asked.filter_type_name) = (Some(0x4000_0001), Some("path".to_owned()));
    asked.decision = Some(if number.is_multiple_of(3) { "allow" } else { "deny" }.to_owned());
    let mut applied = Marker::new(Tool::Apply, Step::Apply).classed(0, 0, None);
    (applied.mode, applied.api) = (Some("sbpl".to_owned()), Some("sandbox_init".to_owned()));
    let mut started = Marker::new(Tool::Apply, Step::Exec).classed(-1, 1, Some("no".to_owned()));
    (started.argv0, started.profile) = (Some("/bin/cat".to_owned()), Some("one".to_owned()));
    asked.canonicalization = Some("raw".to_owned());
    let all = [asked, applied, Marker::new(Tool::Apply, Step::Applied), started, tried];
    let list = all.into_iter().take(number % 6).collect();
    let path = |number: usize| paths.get(number % paths.len()).unwrap().clone();
    Observation {
        runner: "reader",
        starts_program: number.is_multiple_of(2),
        command: vec!["/sbtool".to_owned(), "reader".to_owned()],
        exit: *exits.get(number % exits.len()).unwrap(),
        stdout: "é".repeat(300),
        stderr: "one\n{\"tool\":\"sbpl-apply\",\"stage\":\"applied\",\"pid\":1}\ntwo\n".to_owned(),
        dropped: 3,
        markers: Markers { list },
        opened: OpenedPath { path: path(number), without_firmlinks: path(number / 2) },
        milliseconds: 5,
    }
}

/// A run of a kernel from a job of launchd, as nobody on this system can make one.
fn made() -> Record {
    let mut record = plan(&made_matrix(), |plan| probe::evaluate(plan, |_, _| {}).unwrap());
    (record.backend, record.channel) = (Backend::Libsandbox, Channel::LaunchdClean);
    let outcome = Outcome::success();
    let (profile, mut preflight) = ("(version 1)(allow default)".to_owned(), seen(0));
    let mut applied = Marker::new(Tool::Apply, Step::Apply).classed(0, 0, None);
    applied.api = Some("sandbox_init".to_owned());
    preflight.markers.list = vec![applied, Marker::new(Tool::Apply, Step::Applied)];
    record.apply_preflight = Some(ApplyPreflight { profile, seen: preflight, outcome, is_sandboxed: Some(false) });
    for (number, (one, outcome)) in record.profiles.first_mut().unwrap().probes.iter_mut().zip(outcomes()).enumerate() {
        one.outcome = outcome;
        one.scenario = (number % 7 != 6).then(|| seen(number));
        one.baseline = (number % 4 != 3).then(|| seen(number + 1));
        if number % 11 == 10 {
            one.prediction = None;
        }
    }
    record
}

fn status_of(record: &Record) -> RunStatus {
    plan(&made_matrix(), |plan| RunStatus::begin(plan, record.channel))
}

fn commit(record: &Record, out: &Path) {
    Folder::open(out, false, status_of(record)).unwrap().commit(record).unwrap();
}

#[test]
fn every_artifact_of_a_kernel_follows_its_schema() {
    for change in 0..3 {
        let mut record = made();
        match change {
            0 => {}
            1 => record.apply_preflight.as_mut().unwrap().is_sandboxed = None,
            _ => {
                let preflight = record.apply_preflight.as_mut().unwrap();
                preflight.outcome = Outcome::failed(Stage::Apply, Kind::AlreadySandboxed, None);
                preflight.seen.markers.list.clear();
            }
        }
        let out = tempfile::tempdir().unwrap();
        commit(&record, out.path());
        check(out.path());
        let mismatches = json_of(&out.path().join("mismatch_summary.json"));
        let types = strings(&mismatches, "/mismatches", "mismatch_type");
        let all = [
            "capture_pipeline_disagreement",
            "op_not_witnessed",
            "prediction_disagreement",
            "preflight_blocked",
            "unexpected_allow",
            "unexpected_deny",
        ];
        assert_eq!(types.iter().map(String::as_str).collect::<Vec<_>>(), all);
        let packets = values(out.path(), "mismatch_packets.jsonl");
        let reasons: BTreeSet<&str> =
            packets.iter().map(|packet| packet.get("mismatch_reason").unwrap().as_str().unwrap()).collect();
        assert!(reasons.contains("prediction_disagreement") && reasons.contains("ambient_platform_restriction"));
    }
}

#[test]
fn what_is_seen_stands_beside_what_is_predicted() {
    let mut record = made();
    let profile = record.profiles.first_mut().unwrap();
    let index = profile.probes.iter().position(|one| one.prediction.is_some()).unwrap();
    let one = profile.probes.get_mut(index).unwrap();
    let predicted = one.prediction.as_ref().unwrap().verdict;
    one.outcome = match predicted {
        Verdict::Allow => Outcome::denied(Kind::NonzeroExit, 1, ErrnoSource::ProbeMarker),
        Verdict::Deny => Outcome::success(),
    };
    one.scenario = Some(seen(1));
    let out = tempfile::tempdir().unwrap();
    commit(&record, out.path());
    let results = json_of(&out.path().join("runtime_results.json"));
    let result = results.pointer(&format!("/one/probes/{index}")).unwrap();
    assert_eq!(result.pointer("/prediction/verdict").unwrap(), predicted.name());
    assert_eq!(result.pointer("/prediction/agrees").unwrap(), false);
    let mismatches = result.get("mismatches").unwrap().as_array().unwrap();
    assert_eq!(mismatches.first().unwrap(), "prediction_disagreement");
    assert_eq!(result.pointer("/sandbox_check/verdicts").unwrap(), &json!(["deny"]));
}

/// Reasons that `promote` finds, by the program; its JSON follows the schema.
fn reasons(folder: &Path) -> Vec<String> {
    let output = sbtool(&["promote", "--format", "json"], &[folder]);
    let packet: Value = serde_json::from_slice(&output.stdout).unwrap();
    validator("promotion_packet").validate(&packet).unwrap_or_else(|error| panic!("{error}\n{packet:#}"));
    let list = packet.get("reasons").unwrap().as_array().unwrap();
    assert_eq!(output.status.code(), Some(i32::from(!list.is_empty())));
    assert_eq!(packet.get("promotable").unwrap(), list.is_empty());
    list.iter().map(|reason| reason.as_str().unwrap().to_owned()).collect()
}

fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = json_of(path);
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

/// Changes a file and its digest in the index.
fn forge(folder: &Path, name: &str, change: impl FnOnce(&mut Value)) {
    use sha2::Digest;
    edit(&folder.join(name), change);
    let bytes = fs::read(folder.join(name)).unwrap();
    let digest: String = sha2::Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    edit(&folder.join(INDEX), |index| {
        let entries = index.get_mut("artifacts").unwrap().as_array_mut().unwrap();
        let entry = entries.iter_mut().find(|entry| entry.get("path").unwrap() == name).unwrap();
        *entry.get_mut("sha256").unwrap() = json!(digest);
        *entry.get_mut("file_size").unwrap() = json!(bytes.len());
    });
}

fn set(value: &mut Value, pointer: &str, to: Value) {
    *value.pointer_mut(pointer).unwrap() = to;
}

#[test]
fn only_a_whole_clean_verified_run_is_promotable() {
    type Change = fn(&Path);
    let cases: &[(&[&str], Change)] = &[
        (&[], |_| {}),
        (&["not_clean_channel"], |out| {
            forge(out, "run_manifest.json", |manifest| set(manifest, "/channel", json!("direct")));
        }),
        (&["already_sandboxed"], |out| {
            let pointer = "/apply_preflight/record/sandbox_check_self/sandboxed";
            forge(out, "run_manifest.json", |manifest| set(manifest, pointer, json!(true)));
        }),
        (&["apply_failed"], |out| {
            let pointer = "/apply_preflight/record/apply_ok";
            forge(out, "run_manifest.json", |manifest| set(manifest, pointer, json!(false)));
        }),
        (&["apply_preflight_missing"], |out| {
            forge(out, "run_manifest.json", |manifest| set(manifest, "/apply_preflight", json!(null)));
        }),
        (&["bundle_in_progress"], |out| {
            forge(out, RUN_STATUS, |status| set(status, "/state", json!("in_progress")));
        }),
        (&["bundle_failed"], |out| {
            edit(&out.join(INDEX), |index| set(index, "/status", json!("failed")));
        }),
        (&["bundle_incomplete"], |out| {
            edit(&out.join(INDEX), |index| set(index, "/missing", json!(["x"])));
        }),
        (&["bundle_incomplete"], |out| {
            edit(&out.join(INDEX), |index| drop(index.get_mut("artifacts").unwrap().as_array_mut().unwrap().pop()));
        }),
        (&["bundle_integrity_unverified"], |out| fs::remove_file(out.join(INDEX)).unwrap()),
        (&["bundle_integrity_unverified"], |out| fs::write(out.join("summary.json"), "{}").unwrap()),
        // One byte of a profile that was used, the size as it was.
        (&["bundle_integrity_unverified"], |out| {
            let path = out.join(RUNTIME_PROFILES).join("one.runtime.sb");
            let mut bytes = fs::read(&path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        (&["bundle_incomplete", "bundle_integrity_unverified"], |out| {
            fs::remove_file(out.join("summary.json")).unwrap();
        }),
        (&["bundle_incomplete", "bundle_integrity_unverified", "decision_stage_artifacts_missing"], |out| {
            fs::remove_file(out.join("runtime_results.json")).unwrap();
        }),
        (&["apply_preflight_missing", "bundle_incomplete", "bundle_integrity_unverified", "manifest_missing"], |out| {
            fs::remove_file(out.join("run_manifest.json")).unwrap()
        }),
        (&["bundle_incomplete", "bundle_integrity_unverified", "run_status_missing"], |out| {
            fs::remove_file(out.join(RUN_STATUS)).unwrap();
        }),
    ];
    let good = tempfile::tempdir().unwrap();
    commit(&made(), good.path());
    for (number, (expected, change)) in cases.iter().enumerate() {
        let out = copy(good.path());
        change(out.path());
        assert_eq!(reasons(out.path()), *expected, "case {number}");
    }
}

fn copy(folder: &Path) -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    for name in files(folder, folder) {
        let to = out.path().join(&name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(folder.join(&name), to).unwrap();
    }
    out
}

/// Folders that somebody else made.
#[cfg(unix)]
#[test]
fn a_hostile_folder_is_not_promotable_and_harms_nobody() {
    use std::os::unix::fs::symlink;
    let good = tempfile::tempdir().unwrap();
    commit(&made(), good.path());
    let entry = |out: &Path, path: &str, size: u64| {
        edit(&out.join(INDEX), |index| {
            let entry = json!({"path": path, "file_size": size, "sha256": "0".repeat(64)});
            index.get_mut("artifacts").unwrap().as_array_mut().unwrap().push(entry);
        });
    };
    type Change<'a> = &'a dyn Fn(&Path);
    let link = |out: &Path, name: &str, to: &Path| {
        let _ = fs::remove_file(out.join(name));
        symlink(to, out.join(name)).unwrap();
    };
    let cases: &[Change<'_>] = &[
        &|out| entry(out, "../../etc/passwd", 1),
        &|out| entry(out, "/etc/passwd", 1),
        &|out| entry(out, "", 0),
        &|out| entry(out, "nul\0", 0),
        &|out| entry(out, "runtime_profiles", 0),
        &|out| entry(out, &"a/".repeat(100_000), 0),
        // The same bytes, by a link.
        &|out| link(out, "summary.json", &good.path().join("summary.json")),
        &|out| {
            fs::remove_dir_all(out.join(RUNTIME_PROFILES)).unwrap();
            symlink(good.path().join(RUNTIME_PROFILES), out.join(RUNTIME_PROFILES)).unwrap();
        },
        &|out| link(out, INDEX, Path::new("/dev/zero")),
        &|out| link(out, RUN_STATUS, Path::new(RUN_STATUS)),
        &|out| {
            fs::remove_file(out.join("run_manifest.json")).unwrap();
            assert!(Command::new("mkfifo").arg(out.join("run_manifest.json")).status().unwrap().success());
        },
        &|out| {
            // A terabyte of nothing.
            let file = fs::File::create(out.join("huge")).unwrap();
            file.set_len(1 << 40).unwrap();
            entry(out, "huge", 1 << 40);
        },
        &|out| fs::File::options().write(true).open(out.join(INDEX)).unwrap().set_len(1 << 40).unwrap(),
        &|out| fs::write(out.join(INDEX), "[".repeat(1 << 20)).unwrap(),
        &|out| fs::write(out.join(INDEX), "{\"artifacts\":3}").unwrap(),
        &|out| fs::write(out.join("run_manifest.json"), b"\xff\xfe").unwrap(),
        &|out| edit(&out.join(INDEX), |index| set(index, "/artifacts/0/file_size", json!(u64::MAX))),
        &|out| edit(&out.join(INDEX), |index| set(index, "/artifacts/0/file_size", json!(-1))),
        &|out| fs::read_dir(out).unwrap().for_each(|entry| drop(fs::remove_file(entry.unwrap().path()))),
    ];
    for (number, change) in cases.iter().enumerate() {
        let out = copy(good.path());
        change(out.path());
        let found = reasons(out.path());
        assert!(!found.is_empty(), "case {number}");
    }
}

fn state(out: &Path) -> String {
    json_of(&out.join(RUN_STATUS)).get("state").unwrap().as_str().unwrap().to_owned()
}

#[test]
fn a_run_that_never_ended_leaves_no_result_and_the_next_one_works() {
    let out = tempfile::tempdir().unwrap();
    let out = out.path();
    assert!(probe_into(GOLDEN, out).status.success());
    fs::write(out.join("notes of mine.txt"), "kept").unwrap();
    let record = made();
    // As if the process ended here: what it holds is never written.
    let mut folder = Folder::open(out, false, status_of(&record)).unwrap();
    folder.write("runtime_profiles/half.sb.bin", b"half").unwrap();
    fs::write(out.join(".sbtool-unfinishedXXXX"), "half").unwrap();
    drop(folder);
    assert!(!out.join(INDEX).exists() && !out.join("runtime_results.json").exists());
    assert_eq!(state(out), "in_progress");
    assert!(promotion::judge(out).reasons.contains(&promotion::Reason::BundleInProgress));
    assert!(probe_into(GOLDEN, out).status.success());
    assert_eq!(fs::read(out.join("notes of mine.txt")).unwrap(), b"kept");
    fs::remove_file(out.join("notes of mine.txt")).unwrap();
    check(out);
}

#[test]
fn a_run_that_fails_says_so_and_leaves_no_index() {
    let out = tempfile::tempdir().unwrap();
    let out = out.path();
    assert!(probe_into(GOLDEN, out).status.success());
    let folder = tempfile::tempdir().unwrap();
    let matrix = folder.path().join("matrix.json");
    let text = json!({"world_id": "w", "profiles": {"p": {"blob": "missing.sb", "mode": "sbpl", "probes": []}}});
    fs::write(&matrix, text.to_string()).unwrap();
    assert_eq!(probe_into(matrix.to_str().unwrap(), out).status.code(), Some(66));
    assert!(!out.join(INDEX).exists());
    let status = json_of(&out.join(RUN_STATUS));
    validator("run_status").validate(&status).unwrap();
    assert_eq!((state(out).as_str(), status.get("failure_stage").unwrap()), ("failed", &json!("run")));
    // What is no matrix touches nothing.
    assert!(probe_into(GOLDEN, out).status.success());
    assert_eq!(probe_into("Cargo.toml", out).status.code(), Some(65));
    check(out);
}

#[test]
fn a_matrix_is_not_overwritten_by_what_it_asks_for() {
    let out = tempfile::tempdir().unwrap();
    let matrix = out.path().join("expected_matrix.json");
    fs::copy(root().join("tests/cli/probe/mismatch.json"), &matrix).unwrap();
    let before = fs::read(&matrix).unwrap();
    assert_eq!(probe_into(matrix.to_str().unwrap(), out.path()).status.code(), Some(64));
    assert_eq!(fs::read(&matrix).unwrap(), before);
}

#[test]
fn two_runs_do_not_share_a_folder() {
    let out = tempfile::tempdir().unwrap();
    let out = out.path();
    let record = made();
    let folder = Folder::open(out, false, status_of(&record)).unwrap();
    let refused = probe_into(GOLDEN, out);
    assert_eq!(refused.status.code(), Some(73));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("another run is writing to this folder"), "{said}");
    assert_eq!(state(out), "in_progress");
    let mut waiting = Command::new(env!("CARGO_BIN_EXE_sbtool"));
    let waiting = waiting.args(["probe", GOLDEN, "--lock", "wait", "--out"]).arg(out).current_dir(root());
    let mut waiting = waiting.stdout(std::process::Stdio::null()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(waiting.try_wait().unwrap().is_none());
    folder.commit(&record).unwrap();
    assert!(waiting.wait().unwrap().success());
    assert_eq!(json_of(&out.join("run_manifest.json")).get("backend").unwrap(), "evaluator");
    check(out);
}

/// A profile that is a pipe keeps the run waiting; then it is interrupted.
#[cfg(unix)]
#[test]
fn an_interrupted_run_leaves_no_result_and_the_next_one_works() {
    let out = tempfile::tempdir().unwrap();
    let out = out.path();
    assert!(probe_into(GOLDEN, out).status.success());
    let folder = tempfile::tempdir().unwrap();
    let matrix = folder.path().join("matrix.json");
    let text = json!({"world_id": "w", "profiles": {"p": {"blob": "pipe", "mode": "sbpl", "probes": []}}});
    fs::write(&matrix, text.to_string()).unwrap();
    assert!(Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap().success());
    for signal in ["-INT", "-TERM", "-KILL"].into_iter().filter(|signal| *signal != "-INT" || !ignores_interruptions())
    {
        let mut run = Command::new(env!("CARGO_BIN_EXE_sbtool"));
        let mut run = run.arg("probe").arg(&matrix).arg("--out").arg(out).spawn().unwrap();
        let since = std::time::Instant::now();
        while out.join(INDEX).exists() || !out.join(RUN_STATUS).exists() {
            assert!(since.elapsed().as_secs() < 60, "the run does not begin");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(Command::new("kill").arg(signal).arg(run.id().to_string()).status().unwrap().success());
        assert!(!run.wait().unwrap().success());
        assert!(!out.join(INDEX).exists() && !out.join("summary.json").exists());
        assert_ne!(state(out), "complete");
        assert!(probe_into(GOLDEN, out).status.success());
        check(out);
    }
}

/// Whether SIGINT is ignored by this process, and so by what it starts: a shell does that in the background.
#[cfg(unix)]
fn ignores_interruptions() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let ignores = mask & 2 != 0;
    if ignores {
        eprintln!("SIGINT is ignored here: not tried");
    }
    ignores
}

/// On file systems that are too small for the run, in a mount namespace; where none can be had nothing is tried.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_no_index() {
    let mount = tempfile::tempdir().unwrap();
    let script = r#"mount -t tmpfs -o size="$1" none "$2" || exit 99
        "$3" probe golden/expected_matrix.json --out "$2"/out >/dev/null
        status=$?
        test -e "$2"/out/artifact_index.json && echo "an index" >&2
        exit $status"#;
    let mut statuses = BTreeSet::new();
    // Every size, so that each file is once the one that has no room.
    for size in (4..=256).step_by(4) {
        let mut run = Command::new("unshare");
        run.args(["-rm", "sh", "-c", script, "sh", &format!("{size}k")]);
        run.arg(mount.path()).arg(env!("CARGO_BIN_EXE_sbtool"));
        let Ok(output) = run.current_dir(root()).output() else { return };
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(99) || said.contains("unshare:") {
            eprintln!("no small file system here: {said}");
            return;
        }
        let status = output.status.code().unwrap_or(-1);
        assert!(matches!(status, 0 | 73 | 74), "{size}k: {status} {said}");
        assert_eq!(said.contains("an index"), status == 0, "{size}k: {status} {said}");
        assert!(status == 0 || said.contains("/out"), "{size}k: {said}");
        statuses.insert(status);
    }
    assert!(statuses.contains(&0) && statuses.contains(&74), "{statuses:?}");
}

/// Profiles of an older run go, what a run is asked about does not.
#[test]
fn a_folder_holds_the_profiles_of_one_run() {
    let out = tempfile::tempdir().unwrap();
    let out: PathBuf = out.path().to_owned();
    assert!(probe_into(GOLDEN, &out).status.success());
    assert_eq!(probe_into("tests/cli/probe/mismatch.json", &out).status.code(), Some(1));
    let profiles = files(&out, &out.join(RUNTIME_PROFILES));
    assert_eq!(profiles, ["runtime_profiles/one.runtime.sb"]);
}
