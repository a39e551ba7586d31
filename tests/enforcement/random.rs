//! In: a number of calls. Out: how many of them got what the policy says; the first that did not. Never: a
//! use of `src/enforce` but by `sbtool run`; which operations a call asks is written here again.
//!
//! A call is compared where it works without a policy: what permissions or a missing file decide says
//! nothing about a policy. Each call stands alone: what it changed is put back outside.

use std::fs;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sbtool::policy::request::Request;
use sbtool::policy::rules::Action;
use sbtool::runtime::policy::Policy;
use sbtool::sbpl;
use sbtool::vocabulary::Release;

use super::attacks::name_of_error;
use super::stage::{Stage, User, owned};
use super::system::{HERE, at, by_path, call, close, open, text};

/// Files of the scratch directory, by what they are.
const FILES: [(&str, &str); 7] = [
    ("a/x", "REGULAR-FILE"),
    ("a/y.txt", "REGULAR-FILE"),
    ("a/d", "DIRECTORY"),
    ("a/d/z", "REGULAR-FILE"),
    ("b/x", "REGULAR-FILE"),
    ("b/d", "DIRECTORY"),
    ("b/d/y.txt", "REGULAR-FILE"),
];

/// Links, and what they lead to.
const LINKS: [(&str, &str); 3] = [("a/l", "b/x"), ("l", "a/d"), ("b/m", "a/y.txt")];

/// The release that `sbtool run` takes where none is said.
const RELEASE: &str = sbtool::vocabulary::DEFAULT_RELEASE;

/// A call: its name, its path, as it is spelled.
type Call = (&'static str, String);

const NAMES: [&str; 13] = [
    "open", "openat", "write", "rdwr", "stat", "lstat", "access", "chmod", "utimens", "unlink", "mkdir", "create",
    "truncate",
];

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let paths: Vec<String> = FILES
        .iter()
        .chain(&LINKS)
        .map(|(name, _)| (*name).to_owned())
        .chain(["l/z", "a/new", "b/new", "l/new", "a/d/../x", "./b//x"].map(str::to_owned))
        .collect();
    prop::collection::vec((prop::sample::select(&NAMES[..]), prop::sample::select(paths)), 200)
}

fn filters() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["a/x", "a/y.txt", "a/d", "b/x", "a/l", "l", "b/new", "a/d/new"])
            .prop_map(|name| format!("(literal \"@/{name}\")")),
        prop::sample::select(vec!["a", "b", "a/d", "b/d"]).prop_map(|name| format!("(subpath \"@/{name}\")")),
        prop::sample::select(vec!["x$", "\\\\.txt$", "/d/", "/b/[^/]*$"])
            .prop_map(|text| format!("(require-all (subpath \"@\") (regex #\"{}\"))", text.replace("\\\\", "\\"))),
        prop::sample::select(vec!["REGULAR-FILE", "DIRECTORY", "SYMLINK"])
            .prop_map(|kind| format!("(require-all (subpath \"@\") (vnode-type {kind}))")),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|one| format!("(require-all (subpath \"@\") (require-not {one}))")),
            (inner.clone(), inner.clone()).prop_map(|(one, two)| format!("(require-all {one} {two})")),
            (inner.clone(), inner).prop_map(|(one, two)| format!("(require-any {one} {two})")),
        ]
    })
}

fn profiles() -> impl Strategy<Value = String> {
    let operations = vec![
        "file*",
        "file-read*",
        "file-read-data",
        "file-read-metadata",
        "file-write*",
        "file-write-data",
        "file-write-create",
        "file-write-unlink",
        "file-write-mode",
        "file-write-times",
        "file-test-existence",
    ];
    let action = prop_oneof![3 => Just("deny"), 2 => Just("allow")];
    let rule = (action, prop::sample::select(operations), filters(), prop::bool::weighted(0.2)).prop_map(
        |(action, operation, filter, other)| {
            let errno = if other && action == "deny" { " (with errno 2)" } else { "" };
            format!("({action} {operation} {filter}{errno})")
        },
    );
    prop::collection::vec(rule, 1..6).prop_map(|rules| format!("(version 1)(allow default){}", rules.join("")))
}

/// Where a path leads, without symlinks, and the links on the way; the last one is followed or not.
fn resolved(path: &str, follows: bool) -> (String, Vec<String>) {
    let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    let (mut here, mut crossed) = (Vec::<String>::new(), Vec::new());
    while let Some(name) = rest.pop() {
        match name.as_str() {
            "" | "." => {}
            ".." => _ = here.pop(),
            name => {
                here.push(name.to_owned());
                let whole = here.join("/");
                if let Some((_, target)) = LINKS.iter().find(|(link, _)| *link == whole)
                    && (follows || !rest.is_empty())
                {
                    crossed.push(whole);
                    here.clear();
                    rest.extend(target.split('/').rev().map(str::to_owned));
                }
            }
        }
    }
    (here.join("/"), crossed)
}

/// What a call asks: operations, each with a path and what that is.
fn asked(name: &str, path: &str) -> Vec<(&'static str, String, &'static str)> {
    let follows = !matches!(name, "lstat" | "unlink" | "mkdir");
    let (whole, crossed) = resolved(path, follows);
    let there = FILES.iter().find(|(file, _)| *file == whole).map(|(_, kind)| *kind);
    let is_link = LINKS.iter().any(|(link, _)| *link == whole);
    let kind = if is_link { Some("SYMLINK") } else { there };
    let mut out: Vec<_> = crossed.into_iter().map(|link| ("file-read-metadata", link, "SYMLINK")).collect();
    let operations: &[&str] = match (name, kind) {
        ("open" | "openat", _) => &["file-read-data"],
        ("create", None) => &["file-write-create"],
        ("write" | "truncate" | "create", _) => &["file-write-data"],
        ("rdwr", _) => &["file-read-data", "file-write-data"],
        ("stat" | "lstat", _) => &["file-read-metadata"],
        ("access", _) => &["file-test-existence"],
        ("chmod", _) => &["file-write-mode"],
        ("utimens", _) => &["file-write-times"],
        ("unlink", _) => &["file-write-unlink"],
        _ => &["file-write-create"],
    };
    let kind = kind.unwrap_or(if name == "mkdir" { "DIRECTORY" } else { "REGULAR-FILE" });
    out.extend(operations.iter().map(|operation| (*operation, whole.clone(), kind)));
    out
}

/// Whether the policy allows all of it.
fn allows(policy: &Policy, release: &Release, root: &str, call: &Call) -> bool {
    asked(call.0, &call.1).into_iter().all(|(operation, path, kind)| {
        let named = |name: &str| release.filter_named(name).unwrap();
        let operation =
            release.operation(operation).unwrap_or_else(|| release.operation("file-read-metadata").unwrap());
        let mut request = Request::new(operation);
        request.add_text(release, named("path").id, format!("{root}/{path}").as_bytes()).unwrap();
        request.add_number(release, named("vnode-type").id, named("vnode-type").values[kind]).unwrap();
        policy.answer(&request).unwrap().action == Action::Allow
    })
}

/// Does the calls; what each got, and what was changed is put back.
pub fn inside() {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    for (number, line) in std::env::args().skip(1).enumerate() {
        let (name, path) = line.split_once(' ').unwrap();
        let mut status = [0u64; 32];
        let into = status.as_mut_ptr() as u64;
        let opened = |result: super::system::Result<i64>| result.inspect(|descriptor| close(*descriptor));
        let result = match name {
            "open" => opened(by_path(libc::SYS_open, path, &[0, 0])),
            "openat" => opened(open(path, libc::O_RDONLY)),
            "write" => opened(open(path, libc::O_WRONLY)),
            "rdwr" => opened(open(path, libc::O_RDWR)),
            "create" => opened(open(path, libc::O_WRONLY | libc::O_CREAT)),
            "stat" => by_path(libc::SYS_stat, path, &[into]),
            "lstat" => by_path(libc::SYS_lstat, path, &[into]),
            "access" => by_path(libc::SYS_access, path, &[0]),
            "chmod" => by_path(libc::SYS_chmod, path, &[0o755]),
            "utimens" => at(libc::SYS_utimensat, HERE, path, &[0, 0]),
            "unlink" => by_path(libc::SYS_unlink, path, &[]),
            "mkdir" => by_path(libc::SYS_mkdir, path, &[0o755]),
            _ => by_path(libc::SYS_truncate, path, &[0]),
        };
        let got = result.map_or_else(name_of_error, |_| "ok".into());
        // Whoever is outside puts back what is gone or new, and says so.
        writeln!(out, "{number}={got}").unwrap();
        out.flush().unwrap();
        if result.is_ok() && matches!(name, "unlink" | "mkdir" | "create") {
            let mut byte = [0u8; 1];
            let _ = call(libc::SYS_read, &[0, byte.as_mut_ptr() as u64, 1]);
        }
    }
    let _ = text("");
}

fn put_back(stage: &Stage) {
    for name in ["a/new", "b/new", "a/d/new"] {
        let _ = fs::remove_file(stage.path(name));
        let _ = fs::remove_dir(stage.path(name));
    }
    for (name, kind) in FILES {
        if fs::symlink_metadata(stage.path(name)).is_err() {
            if kind == "DIRECTORY" { stage.folder_named(name) } else { stage.file(name, "text") }
        }
    }
    for (name, target) in LINKS {
        if fs::symlink_metadata(stage.path(name)).is_err() {
            stage.link(name, &stage.path(target));
        }
    }
}

fn results(stage: &Stage, mut command: std::process::Command, calls: &[Call]) -> Vec<String> {
    use std::io::{BufRead, BufReader, Write};
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    let mut out = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        let Some((_, got)) = line.split_once('=') else { continue };
        let Some((name, _)) = calls.get(out.len()) else { break };
        if got == "ok" && matches!(*name, "unlink" | "mkdir" | "create") {
            put_back(stage);
            let _ = to.write_all(b"x");
        }
        out.push(got.to_owned());
    }
    drop(to);
    child.wait().unwrap();
    out
}

/// Compares; `wanted` calls.
pub fn compare(wanted: usize, user: User) {
    let release = Release::named(RELEASE).unwrap();
    let mut runner = TestRunner::deterministic();
    let (mut compared, mut apart, mut denied) = (0, 0, 0);
    let mut disagreements = Vec::new();
    while compared < wanted {
        let stage = Stage::new("random", user);
        put_back(&stage);
        let root = stage.path("");
        let root = root.trim_end_matches('/');
        let profile = profiles().new_tree(&mut runner).unwrap().current().replace('@', root);
        let calls = calls().new_tree(&mut runner).unwrap().current();
        let lines: Vec<String> = calls.iter().map(|(name, path)| format!("{name} {root}/{path}")).collect();
        let evaluated = sbpl::evaluate("random", profile.as_bytes(), &sbpl::Options::new(release)).unwrap();
        let policy = Policy::of_rules(evaluated.rules).unwrap();
        let free = results(&stage, stage.outside(&lines), &calls);
        let under = results(&stage, stage.under(&profile, &lines), &calls);
        assert_eq!((free.len(), under.len()), (calls.len(), calls.len()), "{profile}");
        for ((call, free), under) in calls.iter().zip(free).zip(under) {
            if free != "ok" {
                apart += 1;
                continue;
            }
            compared += 1;
            let allowed = allows(&policy, release, root, call);
            denied += usize::from(!allowed);
            if allowed != (under == "ok") || !(allowed || matches!(under.as_str(), "EPERM" | "ENOENT")) {
                disagreements.push(format!("{profile}\n{call:?}: {under}, the policy allows it: {allowed}"));
            }
        }
    }
    let _ = owned(&[]);
    eprintln!("{compared} calls compared ({denied} denied), {apart} set apart, {} disagreements", disagreements.len());
    assert!(disagreements.is_empty(), "{}", disagreements[0]);
    assert!(denied * 20 > compared && denied < compared, "the profiles decide nothing");
}
