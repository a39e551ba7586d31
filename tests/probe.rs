//! Probes by a kernel: the golden matrix and the path table give the recorded verdicts at the recorded stages,
//! the kernel does what the evaluator says, and each way to fail is told from the others (RUNTIME.md part 2).
//!
//! Runs as whoever runs the tests, and for root as an ordinary user as well. Where the kernel lacks what
//! enforcement or a root in the shape of a Mac's needs, it says so and skips.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

const NOBODY: u32 = 65_534;

/// Somebody who runs a probe; nothing for whoever runs the tests.
type User = Option<u32>;

fn users() -> Vec<User> {
    if rustix::process::geteuid().is_root() { vec![None, Some(NOBODY)] } else { vec![None] }
}

fn open_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let at = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &at)
        } else {
            let _ = fs::copy(entry.path(), at).unwrap();
        }
    }
}

/// The programs and the matrices, where everybody may use them.
struct Place {
    folder: TempDir,
    library: Option<PathBuf>,
}

fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        let folder = open_folder();
        fs::copy(env!("CARGO_BIN_EXE_sbtool"), folder.path().join("sbtool")).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for name in ["golden", "system-profiles"] {
            copy_tree(&root.join(name), &folder.path().join(name));
        }
        let built = std::env::current_exe().unwrap().parent().unwrap().join("libsandbox.so");
        let library = built.exists().then(|| folder.path().join("libsandbox.so"));
        if let Some(library) = &library {
            fs::copy(built, library).unwrap();
        }
        Place { folder, library }
    })
}

fn sbtool(user: User) -> Command {
    let mut command = Command::new(place().folder.path().join("sbtool"));
    command.current_dir(place().folder.path()).stdin(Stdio::null());
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    command
}

/// Where a run of this user writes.
struct Out {
    folder: TempDir,
    user: User,
}

impl Out {
    fn new(user: User) -> Self {
        let folder = open_folder();
        if let Some(user) = user {
            chown(folder.path(), Some(user), Some(user)).unwrap();
        }
        Self { folder, user }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn command(&self, backend: &str, matrix: &Path) -> Command {
        let mut command = sbtool(self.user);
        command.arg("probe").arg("--backend").arg(backend).arg(matrix).arg("--out").arg(self.path());
        command.args(["--format", "json"]);
        if let Some(library) = &place().library {
            command.env("SBTOOL_LIBSANDBOX", library);
        }
        command
    }

    fn run(&self, backend: &str, matrix: &Path) -> (Output, Value) {
        let output = self.command(backend, matrix).output().unwrap();
        let results = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output, results)
    }

    /// A matrix of one's own: files by name, and the profiles of the matrix.
    fn matrix(&self, files: &[(&str, &str)], profiles: &Value) -> PathBuf {
        for (name, text) in files {
            fs::write(self.folder.path().join(name), text).unwrap();
        }
        let path = self.folder.path().join("matrix.json");
        fs::write(&path, json!({"world_id": "test", "profiles": profiles}).to_string()).unwrap();
        path
    }
}

/// Whether this system can do it; says why where not.
fn is_supported() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        users().into_iter().all(|user| {
            let out = Out::new(user);
            let matrix = out.matrix(&[], &json!({}));
            let (output, _) = out.run("linux", &matrix);
            if output.status.code() == Some(71) {
                eprintln!("probe: skipped, {}", String::from_utf8_lossy(&output.stderr).trim());
            }
            output.status.code() != Some(71)
        })
    })
}

fn probes(results: &Value) -> Vec<(&str, &Value)> {
    let profiles = results.as_object().unwrap();
    profiles
        .iter()
        .flat_map(|(id, one)| one["probes"].as_array().unwrap().iter().map(move |probe| (id.as_str(), probe)))
        .collect()
}

/// Each probe gave what is expected at the stage that goes with it.
fn as_recorded(output: &Output, results: &Value, blocked: &str) -> usize {
    assert_eq!(output.status.code(), Some(0), "{}\n{}", String::from_utf8_lossy(&output.stderr), results);
    for (id, probe) in probes(results) {
        let name = format!("{id} {}", probe["name"]);
        let result = &probe["runtime_result"];
        let stage = (&result["status"], &result["failure_stage"], &result["failure_kind"], &result["errno"]);
        if id == blocked {
            assert_eq!(probe["actual"], Value::Null, "{name}");
            let kind = json!("preflight_apply_gate_signature");
            assert_eq!(stage, (&json!("blocked"), &json!("preflight"), &kind, &Value::Null), "{name}");
            continue;
        }
        assert_eq!(probe["actual"], probe["expected"], "{name}");
        if probe["expected"] == "allow" {
            assert_eq!(stage, (&json!("success"), &Value::Null, &Value::Null, &Value::Null), "{name}");
            assert_eq!(probe["exit_code"], 0, "{name}");
        } else {
            let kind = json!("probe_nonzero_exit");
            assert_eq!(stage, (&json!("errno"), &json!("probe"), &kind, &json!(1)), "{name}");
            assert_eq!(result["errno_source"], "probe_marker", "{name}");
            assert_eq!(probe["exit_code"], 2, "{name}");
        }
    }
    probes(results).len()
}

/// The host's own files are not what is probed.
fn hosts() -> Vec<u8> {
    fs::read("/etc/hosts").unwrap_or_default()
}

#[test]
fn the_golden_matrix_runs_by_the_kernel() {
    if !is_supported() {
        return;
    }
    let before = hosts();
    for user in users() {
        let out = Out::new(user);
        let matrix = place().folder.path().join("golden/expected_matrix.json");
        let output = out.command("linux", &matrix).arg("--callouts").output().unwrap();
        let results = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(as_recorded(&output, &results, "sys:airlock"), 26);
        assert!(!out.path().join(".staging").exists());
    }
    assert_eq!(hosts(), before);
}

#[test]
fn the_golden_matrix_runs_by_our_libsandbox() {
    if !is_supported() {
        return;
    }
    if place().library.is_none() {
        eprintln!("probe: skipped, no libsandbox.so beside this test");
        return;
    }
    for user in users() {
        let out = Out::new(user);
        let matrix = place().folder.path().join("golden/expected_matrix.json");
        let output = out.command("libsandbox", &matrix).arg("--callouts").output().unwrap();
        let results = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(as_recorded(&output, &results, "sys:airlock"), 26);
    }
}

/// The evaluator's verdicts stand in that run too: a disagreement would be a mismatch, and the status 1.
#[test]
fn the_path_table_holds_by_the_evaluator_and_by_the_kernel() {
    let matrix = place().folder.path().join("golden/paths_matrix.json");
    let out = Out::new(None);
    let (output, results) = out.run("evaluator", &matrix);
    assert_eq!(output.status.code(), Some(0), "{results}");
    if !is_supported() {
        return;
    }
    for user in users() {
        let out = Out::new(user);
        let (output, results) = out.run("linux", &matrix);
        assert_eq!(as_recorded(&output, &results, ""), 120);
    }
}

/// The table of the reference material, where that is at hand: each of its rows is in the matrix, but those of
/// a profile whose text nobody has.
#[test]
fn the_path_table_is_the_recorded_one() {
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/oracle/verdicts/vfs-verdicts.tsv");
    let Ok(table) = fs::read_to_string(&table) else {
        eprintln!("probe: skipped, {} is not here", table.display());
        return;
    };
    let text = fs::read(place().folder.path().join("golden/paths_matrix.json")).unwrap();
    let matrix: Value = serde_json::from_slice(&text).unwrap();
    let known = |profile: &str, target: &str, operation: &str, driver: &str| {
        let probes = matrix["profiles"][profile]["probes"].as_array();
        let found = probes.into_iter().flatten().find(|probe| {
            probe["target"] == target
                && probe["operation"] == operation
                && probe["driver"].as_str().unwrap_or("open") == driver
        });
        found.map(|probe| probe["expected"].as_str().unwrap().to_owned())
    };
    let (mut rows, mut left_out) = (0, Vec::new());
    for line in table.lines().filter(|line| !line.starts_with('#')).skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let (profile, target, operations, actual) = (cells[0], cells[2], cells[3], cells[4]);
        let profile = match profile {
            "metafilter_any(run 44d5a9db)" => "metafilter_any:alias",
            "metafilter_any(run 0319c452)" => "metafilter_any:private",
            "adv:path_edges" => "path_edges",
            "adv:path_edges_private" => {
                left_out.push(target);
                continue;
            }
            other => other,
        };
        let driver = if target.contains("openat") { "openat" } else { "open" };
        let targets: Vec<&str> = match target {
            "same openat leaf" => vec!["/tmp/foo", "/private/tmp/foo"],
            other => other.split(" via ").next().unwrap().split(" or ").collect(),
        };
        for target in targets {
            for operation in operations.split(',') {
                let operation = format!("file-{operation}*");
                let expected = known(profile, target, &operation, driver);
                assert_eq!(expected.as_deref(), Some(actual), "{line}");
                rows += 1;
            }
        }
    }
    assert_eq!(left_out.len(), 5, "profile text not given: {left_out:?}");
    assert_eq!(rows, 120);
}

/// A probe of one's own: what came out of it.
fn one(out: &Out, files: &[(&str, &str)], profile: &Value, more: &[&str]) -> (Option<i32>, Value) {
    let matrix = out.matrix(files, &json!({"one": profile}));
    let output = out.command("linux", &matrix).args(more).output().unwrap();
    let results: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), results["one"]["probes"][0].clone())
}

fn probe(operation: &str, target: &str, expected: &str) -> Value {
    json!([{"name": "it", "operation": operation, "target": target, "expected": expected}])
}

/// Each stage and kind is told from the others, and only a denial of a policy in force is one.
#[test]
fn each_failure_has_its_stage_and_kind() {
    if !is_supported() {
        return;
    }
    for user in users() {
        let check = |name: &str, text: &str, profile: Value, more: &[&str], wanted: (Value, &str, &str, Value, i32)| {
            let out = Out::new(user);
            let (status, probe) = one(&out, &[("p.sb", text)], &profile, more);
            let result = &probe["runtime_result"];
            let got = (&probe["actual"], &result["failure_stage"], &result["failure_kind"], &result["errno"], status);
            let (actual, stage, kind, errno, wanted_status) = wanted;
            assert_eq!(got, (&actual, &json!(stage), &json!(kind), &errno, Some(wanted_status)), "{name}: {probe}");
        };
        let sbpl = |probes: Value| json!({"blob": "p.sb", "mode": "sbpl", "probes": probes});
        let blob = |probes: Value| json!({"blob": "p.sb", "mode": "blob", "probes": probes});
        let (deny, nothing) = (json!("deny"), Value::Null);
        let all = "(version 1)(allow default)";
        check(
            "denied by the policy",
            "(version 1)(deny default)",
            sbpl(probe("file-read*", "/private/tmp/x", "deny")),
            &[],
            (deny.clone(), "probe", "probe_nonzero_exit", json!(1), 0),
        );
        check(
            "denied with another number",
            "(version 1)(allow default)(deny file-read-data (with errno EACCES) (literal \"/private/tmp/x\"))",
            sbpl(probe("file-read*", "/private/tmp/x", "deny")),
            &[],
            (deny.clone(), "probe", "probe_nonzero_exit", json!(13), 0),
        );
        check(
            "not there",
            all,
            sbpl(probe("file-read*", "/nowhere/at/all", "allow")),
            &[],
            (nothing.clone(), "probe", "probe_fails_without_profile", json!(2), 1),
        );
        let long = format!("/private/tmp/{}", "x".repeat(500));
        check(
            "a name that no file can have",
            all,
            sbpl(probe("file-read*", &long, "allow")),
            &[],
            (nothing.clone(), "probe", "probe_fails_without_profile", json!(36), 1),
        );
        if user.is_some() {
            check(
                "kept from this user by the mode of a file of its own",
                all,
                json!({"blob": "p.sb", "mode": "sbpl", "fixtures": [{"path": "/private/tmp/x", "mode": 0}],
                       "probes": probe("file-read*", "/private/tmp/x", "deny")}),
                &[],
                (nothing.clone(), "probe", "probe_fails_without_profile", json!(13), 1),
            );
            check(
                "kept from this user by file permissions",
                all,
                sbpl(probe("file-read*", "/proc/1/environ", "deny")),
                &[],
                (nothing.clone(), "probe", "probe_fails_without_profile", json!(13), 1),
            );
        }
        check(
            "the program may not start",
            "(version 1)(allow default)(deny process-exec*)",
            blob(probe("process-exec*", "/bin/true", "deny")),
            &[],
            (deny.clone(), "bootstrap", "bootstrap_deny_process_exec", json!(1), 0),
        );
        check(
            "there is no such program",
            all,
            blob(probe("process-exec*", "/nowhere/true", "allow")),
            &[],
            (nothing.clone(), "bootstrap", "bootstrap_exec_failed", json!(2), 1),
        );
        check(
            "the program cannot be loaded",
            "(version 1)(allow default)(deny file-read-data (regex #\"/libc\\.so\"))",
            blob(probe("file-read*", "/private/tmp/x", "allow")),
            &[],
            (nothing.clone(), "bootstrap", "bootstrap_exec_failed", nothing.clone(), 1),
        );
        check(
            "it takes too long",
            all,
            json!({"blob": "p.sb", "mode": "sbpl", "fixtures": [{"path": "/private/tmp/slow", "symlink": "/dev/stdin"}],
                   "probes": probe("process-exec*", "/usr/bin/yes", "allow")}),
            &["--timeout", "0.3"],
            (nothing.clone(), "probe", "probe_timeout", nothing.clone(), 1),
        );
        check(
            "a Mac's service",
            all,
            sbpl(probe("mach-lookup", "com.apple.cfprefsd", "allow")),
            &[],
            (nothing.clone(), "probe", "probe_not_supported", nothing.clone(), 1),
        );
        check(
            "gated",
            "(version 1)(allow default)(allow iokit-open-user-client (apply-message-filter (deny iokit-external-method)))",
            json!({"blob": "p.sb", "mode": "sbpl", "expect_apply": "gated", "probes": probe("file-read*", "/tmp/x", "deny")}),
            &[],
            (nothing.clone(), "preflight", "preflight_apply_gate_signature", nothing.clone(), 0),
        );
    }
}

/// What a runner meets that is under a profile already: blocked, which is no failure of any probe.
#[test]
fn a_run_within_a_sandbox_is_blocked() {
    if !is_supported() {
        return;
    }
    for user in users() {
        let out = Out::new(user);
        let matrix = out.matrix(
            &[("p.sb", "(version 1)(deny default)")],
            &json!({"one": {"blob": "p.sb", "mode": "sbpl", "probes": probe("file-read*", "/tmp/x", "deny")}}),
        );
        let inner = out.command("linux", &matrix);
        let mut outer = sbtool(user);
        outer.args(["run", "-p", "(version 1)(allow default)", "--"]).arg(inner.get_program()).args(inner.get_args());
        let output = outer.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(71), "{said}");
        assert!(said.contains("already sandboxed"), "{said}");
        let results: Value = serde_json::from_slice(&output.stdout).unwrap();
        let probe = &results["one"]["probes"][0];
        assert_eq!(results["one"]["status"], "blocked");
        assert_eq!(probe["actual"], Value::Null);
        assert_eq!(probe["runtime_result"]["failure_stage"], "apply");
        assert_eq!(probe["runtime_result"]["failure_kind"], "apply_already_sandboxed");
    }
}

/// What belongs to the user is not changed, not even by the attempt without a profile.
#[test]
fn files_of_the_user_are_not_changed() {
    if !is_supported() {
        return;
    }
    let out = Out::new(None);
    let Ok(own) = tempfile::tempdir_in("/dev/shm") else { return };
    let precious = own.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    for operation in ["file-write-unlink", "file-write*", "file-write-mode"] {
        let (_, probe) = one(
            &out,
            &[("p.sb", "(version 1)(allow default)")],
            &json!({"blob": "p.sb", "mode": "sbpl", "probes": probe(operation, precious.to_str().unwrap(), "allow")}),
            &[],
        );
        assert_eq!(probe["runtime_result"]["failure_kind"], "probe_not_supported", "{operation}");
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious", "{operation}");
    }
}

/// Network and signals: real calls, and the evaluator agrees (a disagreement is status 1).
#[test]
fn sockets_and_signals_are_probed() {
    if !is_supported() {
        return;
    }
    let profile = "(version 1)(allow default)(deny network-outbound (remote tcp \"localhost:47001\"))\
                   (deny network-bind (local udp \"localhost:47002\"))(deny signal (target others))";
    for user in users() {
        let out = Out::new(user);
        let probes: Vec<Value> = [
            ("network-outbound", "tcp4:localhost:47001", "deny"),
            ("network-outbound", "tcp4:localhost:47003", "allow"),
            ("network-outbound", "udp4:localhost:47001", "allow"),
            ("network-bind", "udp4:localhost:47002", "deny"),
            ("network-bind", "udp4:localhost:47004", "allow"),
            ("signal", "self", "allow"),
            ("signal", "others", "deny"),
        ]
        .iter()
        .map(|(operation, target, expected)| {
            json!({"name": format!("{operation} {target}"), "operation": operation, "target": target, "expected": expected})
        })
        .collect();
        let matrix =
            out.matrix(&[("p.sb", profile)], &json!({"one": {"blob": "p.sb", "mode": "sbpl", "probes": probes}}));
        let (output, results) = out.run("linux", &matrix);
        assert_eq!(output.status.code(), Some(0), "{} {results:#}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A profile that keeps its process from writing to standard error hides nothing, and a program that writes
/// markers of its own is not believed.
#[test]
fn markers_are_the_runners_own() {
    if !is_supported() {
        return;
    }
    let out = Out::new(None);
    let profile = "(version 1)(allow default)(deny file-write* (regex #\"^/dev/std|^/proc/.*/fd|^/dev/fd\"))\
                   (deny file-read-data (literal \"/private/tmp/x\"))";
    let (status, probe) = one(
        &out,
        &[("p.sb", profile)],
        &json!({"blob": "p.sb", "mode": "sbpl", "probes": probe("file-read*", "/private/tmp/x", "deny")}),
        &[],
    );
    assert_eq!((status, &probe["runtime_result"]["errno_source"]), (Some(0), &json!("probe_marker")), "{probe}");
    // `sh` cannot read the script that the target is, but writes that it can: an exit status is not a marker.
    let liar =
        "#!/bin/sh\necho '{\"tool\":\"sbpl-probe\",\"stage\":\"probe\",\"rc\":-1,\"errno\":1,\"pid\":1}' >&2\nexit 0\n";
    let (status, probe) = one(
        &out,
        &[("p.sb", "(version 1)(allow default)")],
        &json!({
            "blob": "p.sb", "mode": "blob",
            "fixtures": [{"path": "/private/tmp/liar", "contents": liar, "mode": 0o755}],
            "probes": self::probe("process-exec*", "/private/tmp/liar", "allow"),
        }),
        &[],
    );
    assert_eq!((status, &probe["actual"]), (Some(0), &json!("allow")), "{probe}");
}

/// As much output as one likes: the run ends, and keeps little of it.
#[test]
fn much_output_is_cut() {
    if !is_supported() {
        return;
    }
    let out = Out::new(None);
    let loud = "#!/bin/sh\nhead -c 100000000 /dev/zero | tr '\\0' x\nhead -c 1000000 /dev/zero | tr '\\0' y >&2\n";
    let (status, probe) = one(
        &out,
        &[("p.sb", "(version 1)(allow default)")],
        &json!({
            "blob": "p.sb", "mode": "blob",
            "fixtures": [{"path": "/private/tmp/loud", "contents": loud, "mode": 0o755}],
            "probes": self::probe("process-exec*", "/private/tmp/loud", "allow"),
        }),
        &["--timeout", "60"],
    );
    assert_eq!((status, &probe["actual"]), (Some(0), &json!("allow")));
    let written: u64 = walk(&out.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(written < 2_000_000, "{written} bytes of artifacts");
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() { out.extend(walk(&entry.path())) } else { out.push(entry.path()) }
    }
    out
}

/// SIGINT, SIGTERM, and SIGKILL in the middle: no result is left that could be taken for one, no runner goes on,
/// and the next run works.
#[test]
fn an_interrupted_run_leaves_no_result() {
    if !is_supported() {
        return;
    }
    let slow =
        json!({"one": {"blob": "p.sb", "mode": "blob", "probes": probe("process-exec*", "/usr/bin/yes", "allow")}});
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM, rustix::process::Signal::KILL] {
        let out = Out::new(None);
        let matrix = out.matrix(&[("p.sb", "(version 1)(allow default)")], &slow);
        let mut command = out.command("linux", &matrix);
        let run = out.folder.path().to_str().unwrap().to_owned();
        command.args(["--timeout", "100"]).env(RUN, &run).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let running = || runners(&run, child.id());
        wait_until("a runner", || !running().is_empty());
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        let harness = child.id();
        let status = child.wait().unwrap();
        if signal != rustix::process::Signal::KILL {
            assert_eq!(status.code(), Some(130));
            assert!(!out.path().join(".staging").exists());
        }
        assert!(!out.path().join("artifact_index.json").exists());
        wait_until("the end of all runners", || runners(&run, harness).is_empty());
        let quick =
            json!({"one": {"blob": "p.sb", "mode": "blob", "probes": probe("process-exec*", "/bin/true", "allow")}});
        let matrix = out.matrix(&[], &quick);
        let (output, _) = out.run("linux", &matrix);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!out.path().join(".staging").exists());
    }
}

/// The variable of the environment by which processes of a run are known.
const RUN: &str = "SBTOOL_TEST_RUN";

/// Processes with that value of it, but for one.
fn runners(run: &str, but: u32) -> Vec<u32> {
    let wanted = format!("{RUN}={run}");
    let mut out = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        if pid != but && environment.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes()) {
            out.push(pid);
        }
    }
    out
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < until, "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A runner that is killed at each stage: no stage's failure is taken for a denial.
#[test]
fn a_killed_runner_is_no_denial() {
    if !is_supported() {
        return;
    }
    let out = Out::new(None);
    let suicide = "#!/bin/sh\nkill -KILL $$\n";
    let (_, probe) = one(
        &out,
        &[("p.sb", "(version 1)(allow default)")],
        &json!({
            "blob": "p.sb", "mode": "blob",
            "fixtures": [{"path": "/private/tmp/suicide", "contents": suicide, "mode": 0o755}],
            "probes": self::probe("process-exec*", "/private/tmp/suicide", "deny"),
        }),
        &[],
    );
    assert_eq!(
        (&probe["actual"], &probe["runtime_result"]["failure_kind"]),
        (&Value::Null, &json!("bootstrap_signal"))
    );
}

/// A libsandbox that applies nothing: it refuses texts with `deny default`, and every blob; it kills the process,
/// and keeps it waiting, where a text says so.
const REFUSING: &str = r#"
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
typedef struct { char *builtin; unsigned char *data; size_t size; } profile;
profile *sandbox_compile_string(const char *t, void *p, char **e) { return 0; }
profile *sandbox_compile_file(const char *t, void *p, char **e) { return 0; }
profile *sandbox_compile_named(const char *t, void *p, char **e) { return 0; }
void *sandbox_create_params(void) { return 0; }
int sandbox_set_param(void *p, const char *n, const char *v) { return 0; }
void sandbox_free_params(void *p) {}
int sandbox_apply(profile *p) { errno = EPERM; return -1; }
void sandbox_free_profile(profile *p) {}
int sandbox_init(const char *t, uint64_t f, char **e) {
    if (strstr(t, "kill me")) raise(SIGKILL);
    if (strstr(t, "keep me")) for (;;) pause();
    if (!strstr(t, "deny default")) return 0;
    *e = strdup("not today"); errno = EACCES; return -1;
}
int sandbox_init_with_parameters(const char *t, uint64_t f, const char *const *p, char **e) { return sandbox_init(t, f, e); }
void sandbox_free_error(char *e) { free(e); }
int sandbox_check(int pid, const char *op, int type, ...) { return 0; }
"#;

/// What a library refuses says nothing about any operation, whatever the number.
#[test]
fn what_a_library_refuses_is_no_denial() {
    if !is_supported() {
        return;
    }
    let out = Out::new(None);
    let (source, library) = (out.folder.path().join("refusing.c"), out.folder.path().join("refusing.so"));
    fs::write(&source, REFUSING).unwrap();
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-w", "-o"]).arg(&library).arg(&source).status();
    if !compiled.is_ok_and(|status| status.success()) {
        eprintln!("probe: skipped, no C compiler");
        return;
    }
    let read = probe("file-read*", "/private/tmp/x", "deny");
    let matrix = out.matrix(
        &[
            ("text.sb", "(version 1)(deny default)"),
            ("blob.sb", "(version 1)(deny default)"),
            ("killed.sb", "(version 1)(allow default) ; kill me"),
            ("kept.sb", "(version 1)(allow default) ; keep me"),
        ],
        &json!({
            "killed": {"blob": "killed.sb", "mode": "sbpl", "probes": read},
            "kept": {"blob": "kept.sb", "mode": "sbpl", "probes": read},
            "text": {"blob": "text.sb", "mode": "sbpl", "probes": read},
            "blob": {"blob": "blob.sb", "mode": "blob", "probes": read},
        }),
    );
    let mut command = out.command("libsandbox", &matrix);
    let output = command.env("SBTOOL_LIBSANDBOX", &library).args(["--timeout", "2"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let results: Value = serde_json::from_slice(&output.stdout).unwrap();
    let unsaid = Value::Null;
    for (id, kind, errno) in [
        ("text", "sandbox_init_failed", json!(13)),
        ("blob", "sandbox_apply_failed", json!(1)),
        ("killed", "apply_not_reported", unsaid.clone()),
        ("kept", "apply_not_reported", unsaid),
    ] {
        let probe = &results[id]["probes"][0];
        let result = &probe["runtime_result"];
        assert_eq!(probe["actual"], Value::Null);
        assert_eq!(
            (&result["failure_stage"], &result["failure_kind"], &result["errno"]),
            (&json!("apply"), &json!(kind), &errno)
        );
        assert_eq!(results[id]["status"], "blocked");
    }
}
