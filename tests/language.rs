#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! In: the snippets of the language oracle (LANGUAGE.md §10). Out: each one's outcome, message,
//! rules and decisions against what was measured or read in the original. Never: files that have to
//! be there; without the oracle the test is skipped.

use std::path::{Path, PathBuf};

use sbtool::policy::request::{Request, subject_filter};
use sbtool::policy::rules::Action;
use sbtool::runtime::policy::Policy;
use sbtool::sbpl::{self, Diagnostic, Evaluated, Options};
use sbtool::vocabulary::Release;

/// One row of `snippets.json`.
#[derive(Debug, serde::Deserialize)]
struct Snippet {
    id: u32,
    source: String,
    outcome: String,
    detail: String,
}

fn oracle() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/oracle/language");
    folder.is_dir().then_some(folder)
}

fn snippets() -> Option<Vec<Snippet>> {
    let Some(folder) = oracle() else {
        say("skipped: ../shared/oracle/language is not here");
        return None;
    };
    let text = std::fs::read(folder.join("snippets.json")).unwrap();
    Some(serde_json::from_slice(&text).unwrap())
}

fn release() -> &'static Release {
    Release::named("macos-14.4").unwrap()
}

fn evaluate(source: &str) -> Result<Evaluated, Box<Diagnostic>> {
    sbpl::evaluate("<input string>", source.as_bytes(), &Options::new(release()))
}

/// The text that a row wants. A remark may stand behind it in parentheses; where the detail has a
/// text for each generation, the one of G3 counts, since that is what the release is.
fn text(detail: &str) -> &str {
    let part = detail.split_once(" (G3); ").map_or(detail, |(modern, _)| modern);
    match part.rsplit_once(" (") {
        Some((text, remark)) if remark.ends_with(')') => text,
        _ => part,
    }
}

#[test]
fn remarks_are_cut_off_and_the_modern_text_is_taken() {
    assert_eq!(text("no version specified"), "no version specified");
    assert_eq!(text("illegal modifier (G1 text)"), "illegal modifier");
    assert_eq!(text("unsupported version 4 (old text; new one unknown)"), "unsupported version 4");
    assert_eq!(text("a \"x\": b (G3); a x (G1/G2)"), "a \"x\": b");
    assert_eq!(text("of path filter; expected pattern"), "of path filter; expected pattern");
    assert_eq!(text("syntax error: expecting ')'"), "syntax error: expecting ')'");
}

#[test]
fn outcomes_and_messages() {
    let Some(snippets) = snippets() else { return };
    assert_eq!(snippets.len(), 68, "the oracle changed: look at its new rows");
    let mut wrong = Vec::new();
    for Snippet { id, source, outcome, detail } in &snippets {
        match (outcome.as_str(), evaluate(source)) {
            ("ok", Ok(_)) => {}
            ("error", Err(error)) if error.message == text(detail) => {}
            ("ok", Err(error)) => wrong.push(format!("{id} {source}\n   error: {}", error.message)),
            ("error", Err(error)) => wrong.push(format!("{id} {source}\n   {:?}, wanted {detail:?}", error.message)),
            (other, Ok(_)) => wrong.push(format!("{id} {source}\n   evaluates, wanted {other}: {detail}")),
            (other, Err(_)) => wrong.push(format!("{id}: unknown outcome {other}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The rules that the details of the `ok` rows describe, one rule of the source after the other.
/// How rules of one operation are merged and ordered is the graph's business (LANGUAGE.md §7.1).
const RULES: &[(u32, &[&str])] = &[
    (5, &[]),
    (19, &["(deny default)"]),
    (22, &[]),
    (25, &["(allow file-read* (subpath \"/\"))"]),
    (26, &["(allow file-read* (require-any (literal \"/a\") (literal \"/b\")))"]),
    (28, &["(allow file-read* (literal \"/a\"))", "(allow file-read* (literal \"/b\"))"]),
    (
        29,
        &[
            "(allow file-read* (literal \"/a\"))",
            "(deny file-read* (literal \"/b\"))",
            "(allow file-read* (literal \"/c\"))",
        ],
    ),
    (31, &["(allow file-read* file-write* (subpath \"/a\"))"]),
    (37, &["(allow file-read* (regex #\"^/a\\.b$\"))"]),
    (38, &["(allow file-read* (regex #\"^/a\\.b$\"))"]),
    (40, &["(deny file-read* (literal \"/a\") (with no-report))"]),
    (43, &["(allow default (with report))"]),
    (44, &["(deny default (with no-report))"]),
    (52, &["(disable-callouts)", "(disable-full-symbolication)", "(deny default)"]),
    (53, &[]),
    (59, &["(allow network-outbound (remote ip \"*:80\"))"]),
    (61, &["(allow network-outbound (remote tcp \"*:*\"))"]),
    (71, &["(allow network-outbound (literal \"/a\"))"]),
    (73, &["(allow process-info* (target self))"]),
    (74, &["(allow mach-priv-host-port (subpath \"/tmp\"))"]),
    (77, &["(allow file-read* (file-mode 4))"]),
    (79, &["(allow sysctl* (sysctl-name \"kern.x\"))"]),
    (80, &["(allow iokit-open* (iokit-registry-entry-class \"A\"))"]),
    (82, &["(allow file-read* (require-all (%entitlement-load \"a.b\") (%entitlement-boolean #t)))"]),
    (85, &["(allow file-read* (require-any (literal \"/\") (literal \"/a\") (literal \"/a/b\")))"]),
    (88, &["(allow file-clone)"]),
    (89, &["(allow file-read* (literal \"/1\"))", "(allow file-read* (literal \"/2\"))"]),
    (92, &[]),
    (95, &["(allow iokit-open-user-client (apply-message-filter (deny iokit-external-trap)))"]),
];

#[test]
fn rules() {
    let Some(snippets) = snippets() else { return };
    for snippet in snippets.iter().filter(|snippet| snippet.outcome == "ok" && !snippet.detail.starts_with("decide ")) {
        let (_, wanted) = RULES.iter().find(|(id, _)| *id == snippet.id).expect("a row without expected rules");
        let written = sbpl::write_rules(&evaluate(&snippet.source).unwrap().rules);
        let lines: Vec<&str> = written.lines().skip(1).collect();
        assert_eq!(lines, *wanted, "snippet {}: {}", snippet.id, snippet.detail);
    }
}

/// `(id, operation, subject, verdict)` for the rows whose detail gives decisions.
const DECISIONS: &[(u32, &str, Option<&str>, Action)] = &[
    (97, "file-read-data", Some("/a/f"), Action::Allow),
    (97, "file-read-data", Some("/b"), Action::Deny),
    (98, "file-write-create", Some("/t/f"), Action::Allow),
    (98, "file-write-create", Some("/u"), Action::Deny),
    (98, "file-write-setugid", Some("/t/f"), Action::Deny),
    (100, "process-info-pidinfo", None, Action::Deny),
    (100, "syscall-unix", Some("SYS_open"), Action::Deny),
    (101, "network-bind", None, Action::Deny),
];

#[test]
fn decisions() {
    let Some(snippets) = snippets() else { return };
    let release = release();
    for snippet in snippets.iter().filter(|snippet| snippet.detail.starts_with("decide ")) {
        let rows: Vec<_> = DECISIONS.iter().filter(|(id, ..)| *id == snippet.id).collect();
        let given = snippet.detail.matches(": ALLOW").count() + snippet.detail.matches(": DENY").count();
        assert_eq!(rows.len(), given, "decisions of snippet {}: {}", snippet.id, snippet.detail);
        let policy = Policy::of_rules(evaluate(&snippet.source).unwrap().rules).unwrap();
        for (id, operation, subject, wanted) in rows {
            let mut request = Request::new(release.operation(operation).unwrap());
            if let Some(subject) = subject {
                let filter =
                    if *operation == "syscall-unix" { "syscall-number" } else { subject_filter(operation).unwrap() };
                request.add_fact(release, &format!("{filter}={subject}")).unwrap();
            }
            let answer = policy.answer(&request).unwrap();
            assert_eq!(answer.action, *wanted, "snippet {id}: {operation} {subject:?}");
        }
    }
}

/// Short programs about names of LANGUAGE.md §4 that the snippets do not have: what they are
/// written as, or the error.
#[test]
fn names_of_section_four() {
    let rows = [
        ("(allow file-read* (tty))", "(allow file-read* (vnode-type TTY))"),
        ("(allow file-read* (debug-mode))", "(allow file-read* (system-attribute sandbox-debug-mode))"),
        ("(allow signal (process-is-plugin))", "(allow signal (process-attribute is-plugin))"),
        ("(allow signal (process-is-installer))", "(allow signal (process-attribute is-installer))"),
        ("(allow file-read* (container))", "(allow file-read* (extension \"com.apple.sandbox.container\"))"),
        ("(allow file-read* (executable-bundle))", "(allow file-read* (extension \"com.apple.sandbox.executable\"))"),
        ("(allow file-read* (system-group 1))", "error: system-group: needs 0 arguments"),
        ("(define-once x 1)(define-once x 2)(if (= x 1) (allow signal))", "(allow signal)"),
        ("(define-once (literal x) 1)(allow signal (literal \"/\"))", "(allow signal (literal \"/\"))"),
        ("(record \"/x\")(eliminate-duplicate-rules)(allow signal)", "(allow signal)"),
        (
            "(define-storage-class \"x\" (literal \"/\"))",
            "error: storage class definition not permitted in this context",
        ),
        ("(if (member \"/usr/share/sandbox\" *default-import-search-paths*) (allow signal))", "(allow signal)"),
        ("(trace \"/a\")(trace \"/b\")", "error: only one trace path may be specified"),
        ("(version 2)", "error: only one version may be specified"),
        ("(allow signal (with report) (with report))", "error: report modifier can only appear once per rule"),
        ("(deny signal (with termination 1))", "error: unexpected argument"),
        ("(require-all)", "error: require-all requires at least one filter"),
        ("(allow signal (with-filter (literal \"/\") 1))", "error: illegal argument:  1"),
        (
            "(with-filter (literal \"/x\") (allow file-read* (literal \"/y\")))",
            "(allow file-read* (require-all (literal \"/y\") (literal \"/x\")))",
        ),
        // What they add is evaluated for each rule, the innermost first.
        (
            "(define n 0) (with-filter (begin (set! n (+ n 1)) (uid n)) (allow signal) (with-modifier (with report) (with-filter (file-mode n) (allow signal (uid 9)))))",
            "(allow signal (uid 1))\n(allow signal (require-all (require-all (uid 9) (file-mode 1)) (uid 2)) (with report))",
        ),
        ("(with-filter 5 (define x 1))(allow signal)", "(allow signal)"),
        ("(with-filter 5 (allow signal))", "error: illegal argument to with-filter: 5"),
        ("(with-modifier (with report) (allow signal))", "(allow signal (with report))"),
        ("(with-operations (list signal) (allow file-read*))", "(allow file-read* signal)"),
        ("(allow qtn-download)(allow signal)", "(allow signal)"),
    ];
    for (program, wanted) in rows {
        let got = match evaluate(&format!("(version 1){program}")) {
            Ok(evaluated) => {
                let written = sbpl::write_rules(&evaluated.rules);
                written.lines().skip(1).collect::<Vec<_>>().join("\n")
            }
            Err(error) => format!("error: {}", error.message),
        };
        assert_eq!(got, wanted, "{program}");
    }
    let error = evaluate("(version 3)(allow file-read* (container))").unwrap_err();
    assert_eq!(error.message, "unbound variable: container");
}

/// Says something past the test harness, which keeps what a passing test prints to itself.
fn say(line: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
}
