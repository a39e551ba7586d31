//! In: profiles of several sizes, made here. Out: how long evaluating, compiling and asking take.
//! Never: part of CI; figures and how to read them are in `docs/performance.md`.
//!
//! `cargo bench` runs all; `cargo bench --bench pipeline -- rules` those whose name has that word.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fmt::Write as _;

use divan::Bencher;
use sbtool::blob;
use sbtool::policy::passes::{Passes, build};
use sbtool::policy::request::Request;
use sbtool::policy::verdict;
use sbtool::sbpl::{self, Options};
use sbtool::vocabulary::Release;

fn main() {
    divan::main();
}

fn options() -> Options {
    let mut options = Options::new(Release::named("macos-14.4").unwrap());
    options.parameters = Some(vec![("HOME".to_owned(), "/Users/me".to_owned())]);
    options
}

const SMALL: &str = "(version 1)
(deny default)
(allow file-read* (subpath \"/usr/lib\"))
(allow file-read* file-write* (subpath (string-append (param \"HOME\") \"/work\")))
(allow mach-lookup (global-name \"com.apple.logd\"))";

/// Allow and deny in turn, so that nothing merges. Short paths: 16,384 strings of one rule each
/// have to fit the format's 512 KB.
fn alternating(count: usize) -> String {
    let mut text = "(version 1)\n(deny default)\n".to_owned();
    for number in 0..count {
        let action = if number % 2 == 0 { "allow" } else { "deny" };
        writeln!(text, "({action} file-read* (literal \"/a/{number}\"))").unwrap();
    }
    text
}

/// In the style of an application's profile: entitlements are looked up in lists, paths are cut
/// up and put together by named lets, macros make the rules.
fn application() -> String {
    let mut text = include_str!("application.sb").to_owned();
    for number in 0..40 {
        writeln!(text, "(sandbox-array-entitlement \"com.example.files.{number}\" (lambda (path) (allow-tree path)))")
            .unwrap();
    }
    text
}

fn application_options() -> Options {
    let list = |number: usize| -> Vec<String> {
        (0..5).map(|item| format!("/Users/me/Documents/Project {number}/part-{item}/deep/down/file.txt")).collect()
    };
    let entries: serde_json::Map<String, serde_json::Value> =
        (0..40).map(|number| (format!("com.example.files.{number}"), list(number).into())).collect();
    Options { entitlements: Some(entries.into()), ..options() }
}

#[divan::bench]
fn small_evaluate_and_compile(bencher: Bencher<'_, '_>) {
    let options = options();
    bencher.bench(|| {
        let evaluated = sbpl::evaluate("small", SMALL.as_bytes(), &options).unwrap();
        blob::encode(&build(&evaluated.rules, Passes::default()).unwrap()).unwrap()
    });
}

#[divan::bench(args = [1_000, 4_000, 16_384, 64_000], sample_count = 10)]
fn rules_evaluate(bencher: Bencher<'_, '_>, count: usize) {
    let (text, options) = (alternating(count), options());
    bencher.bench(|| sbpl::evaluate("rules", text.as_bytes(), &options).unwrap().rules.list.len());
}

#[divan::bench(args = [1_000, 4_000, 16_384], sample_count = 10)]
fn rules_compile(bencher: Bencher<'_, '_>, count: usize) {
    let evaluated = sbpl::evaluate("rules", alternating(count).as_bytes(), &options()).unwrap();
    bencher.bench(|| blob::encode(&build(&evaluated.rules, Passes::default()).unwrap()).unwrap());
}

/// A profile of the size and kind of the largest that is known (about 90 KB of text): 970 rules
/// with paths, names, conjunctions and regular expressions.
fn large() -> String {
    let mut text = "(version 1)\n(deny default)\n".to_owned();
    for n in 0..194 {
        writeln!(
            text,
            "(allow file-read* (subpath \"/Library/Application Support/Component {n}/Data\"))
(allow file-read* file-write* (require-all (literal \"/private/var/db/component-{n}.plist\") (vnode-type REGULAR-FILE)))
(allow mach-lookup (global-name \"com.example.component{n}.service\") (global-name \"com.example.component{n}.xpc\"))
(allow file-read-data (regex #\"^/private/var/folders/[^/]+/component-{n}(/|$)\"))
(deny file-write-data (require-not (subpath \"/Users/me/Documents/{n}\")))"
        )
        .unwrap();
    }
    text
}

#[divan::bench(sample_count = 20)]
fn large_source_to_bytes(bencher: Bencher<'_, '_>) {
    let (text, options) = (large(), options());
    assert!((80_000..110_000).contains(&text.len()), "{}", text.len());
    bencher.bench(|| {
        let evaluated = sbpl::evaluate("large", text.as_bytes(), &options).unwrap();
        blob::encode(&build(&evaluated.rules, Passes::default()).unwrap()).unwrap()
    });
}

#[divan::bench(sample_count = 20)]
fn application_evaluate(bencher: Bencher<'_, '_>) {
    let (text, options) = (application(), application_options());
    let rules = sbpl::evaluate("application", text.as_bytes(), &options).map_err(|d| d.render(false)).unwrap().rules;
    assert_eq!(rules.list.len(), 225);
    bencher.bench(|| sbpl::evaluate("application", text.as_bytes(), &options).unwrap().rules.list.len());
}

#[divan::bench(args = [16, 1_024, 16_384])]
fn decide(bencher: Bencher<'_, '_>, count: usize) {
    let evaluated = sbpl::evaluate("rules", alternating(count).as_bytes(), &options()).unwrap();
    let graph = build(&evaluated.rules, Passes::default()).unwrap();
    let release = graph.release;
    let mut request = Request::new(release.operation("file-read-data").unwrap());
    let path = release.filter_named("path").unwrap().id;
    request.add_text(release, path, b"/a/0").unwrap();
    bencher.bench(|| verdict::decide(&graph, &request).unwrap().denies());
}
