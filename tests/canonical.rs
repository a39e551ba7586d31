#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! In: every filter function, constant, modifier and operation name of a release, in rules of every
//! SBPL version. Out: that what `rules` writes of them is the same rules, one a line, and written
//! the same again. Never: what the rules mean.

use sbtool::sbpl::{self, Options};
use sbtool::vocabulary::{DEFAULT_RELEASE, Release};

fn release() -> &'static Release {
    Release::named(DEFAULT_RELEASE).unwrap()
}

/// What is written of a program, or nothing if it has no rules.
fn round_trip(program: &str) -> Option<String> {
    let options = Options::new(release());
    let evaluated = sbpl::evaluate("t", program.as_bytes(), &options).ok()?;
    let written = sbpl::write_rules(&evaluated.rules);
    let again = sbpl::evaluate("written", written.as_bytes(), &options)
        .unwrap_or_else(|error| panic!("{program}\n{written}\n{}", error.message));
    assert_eq!(again.rules.list, evaluated.rules.list, "{program}\n{written}");
    assert_eq!(again.rules.version, evaluated.rules.version, "{program}");
    assert_eq!(again.rules.profile_flags, evaluated.rules.profile_flags, "{program}");
    assert_eq!(sbpl::write_rules(&again.rules), written, "{program}");
    assert!(again.notes.iter().all(|note| note.code != "deprecated"), "{program}");
    Some(written)
}

/// Arguments of which each function takes some.
const ARGUMENTS: &[&str] = &[
    "",
    "\"/a\" \"b\"",
    "\"/\"",
    "\"\"",
    "\"/a/\"",
    "\"\\xff\\n\\\"\"",
    "\"${HOME}/a\"",
    "\"^/\\\\x22\\\"\"",
    "#\"^/[a-z]\\.b$\" #\"x\"",
    "3 5",
    "#o0004",
    "#t",
    "#f",
    "tcp \"*:80\"",
    "ip \"localhost:*\"",
];

#[test]
fn filters() {
    let release = release();
    let options = Options::new(release);
    let known = |version: u8, argument: &str, function: &str| {
        let program = format!("(version {version})(allow file-read* ({function} {argument}))");
        sbpl::evaluate("t", program.as_bytes(), &options).is_ok()
    };
    let mut covered = 0;
    for filter in release.filters() {
        for function in &filter.functions {
            let name = function.name.as_str();
            // All versions take the same arguments, if they know the name at all.
            let taken = |version| ARGUMENTS.iter().filter(|argument| known(version, argument, name)).copied().collect();
            let mut arguments: Vec<&str> = taken(1);
            if arguments.is_empty() {
                arguments = taken(3);
            }
            if arguments.contains(&"#o0004") {
                arguments.extend(filter.values.keys().map(String::as_str));
            }
            let rules: String = arguments
                .iter()
                .map(|argument| {
                    format!(
                        "(allow file-read* ({name} {argument}))\
                         (deny file-read* (require-not (require-all ({name} {argument}) (vnode-type TTY))))"
                    )
                })
                .collect();
            for version in 1..=3 {
                let written = round_trip(&format!("(version {version}){rules}"));
                covered += written.map_or(0, |written| written.lines().count() - 1);
            }
        }
    }
    assert!(covered > 1_000, "{covered}");
}

#[test]
fn modifiers() {
    let release = release();
    let only = release.modifiers().iter().flat_map(|modifier| modifier.only.iter().map(String::as_str));
    let mut operations: Vec<&str> = ["file-read*", "mach-lookup"].into_iter().chain(only).collect();
    operations.sort_unstable();
    operations.dedup();
    let names = release.modifiers().iter().map(|modifier| modifier.name.as_str());
    let deprecated = release.deprecated_modifiers().iter().map(|modifier| modifier.name.as_str());
    let mut covered = 0;
    for name in names.chain(deprecated) {
        let mut found = false;
        for version in 1..=3 {
            for action in ["allow", "deny"] {
                for operation in &operations {
                    for argument in ["", "9", "SIGKILL", "\"a\\\"b\""] {
                        let rule = format!("(version {version})({action} {operation} (with {name} {argument}))");
                        if round_trip(&rule).is_none() {
                            continue;
                        }
                        found = true;
                        round_trip(&format!("{rule}({action} {operation} (with {name} {argument}) (with telemetry))"));
                    }
                }
            }
        }
        covered += usize::from(found);
        assert!(found || name == "message-filter", "{name}");
    }
    assert!(covered > 15, "{covered}");
}

#[test]
fn operation_names() {
    let release = release();
    let names = release.operations().iter().map(|operation| operation.name.as_str());
    let aliases = release.operation_aliases().iter().map(|alias| alias.name.as_str());
    for name in names.chain(aliases) {
        let mut found = false;
        for version in 1..=3 {
            let written = round_trip(&format!("(version {version})(deny {name})(allow {name} (with telemetry))"));
            found |= written.is_some();
            // An alias is written as what it stands for.
            let hidden = |alias: &str| release.operation(alias).is_none() || version == 1;
            for alias in release.operation_aliases().iter().filter(|alias| hidden(&alias.name)) {
                let spelled = format!(" {}\n", alias.name);
                assert!(!written.iter().any(|written| written.contains(&spelled)), "{name} in version {version}");
            }
        }
        assert!(
            found || release.operation(name).is_some_and(|id| release.operations()[usize::from(id.0)].message_filter),
            "{name}"
        );
    }
}

#[test]
fn flags_and_message_filters() {
    for (program, wanted) in [
        ("(version 1)(disable-callouts)(deny default)", "(version 1)\n(disable-callouts)\n(deny default)\n"),
        (
            "(version 1)(deny default (with no-callout))(deny signal (with partial-symbolication))",
            "(version 1)\n(disable-callouts)\n(disable-full-symbolication)\n(deny default)\n(deny signal)\n",
        ),
        ("(version 2)(disable-full-symbolication)", "(version 2)\n(disable-full-symbolication)\n"),
        (
            "(version 3)(allow iokit-open-user-client (apply-message-filter (allow iokit-external-method \
             (iokit-method-number 1 2) (with report)) (deny iokit-external-trap)) (with telemetry))",
            "(version 3)\n(allow iokit-open-user-client (apply-message-filter (allow iokit-external-method \
             (iokit-method-number 1 2) (with report)) (deny iokit-external-trap)) (with telemetry))\n",
        ),
        (
            "(version 1)(allow mach-lookup (global-name \"a\") (apply-message-filter (deny mach-message-send \
             (require-not (message-number 3)))))",
            "(version 1)\n(allow mach-lookup (global-name \"a\") (apply-message-filter (deny mach-message-send \
             (require-not (message-number 3)))))\n",
        ),
        ("(version 1)", "(version 1)\n"),
    ] {
        assert_eq!(round_trip(program).as_deref(), Some(wanted), "{program}");
    }
}
