//! In: every file of `grammar/`. Out: its counts and a few facts, each with the place it was taken
//! from, so that a slip in a file is seen. Never: a second copy of the tables.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use sbtool::blob::{self, BlobError, EncodeError};
use sbtool::policy::passes::{Passes, build};
use sbtool::sbpl::{self, Evaluated};
use sbtool::vocabulary::{FilterKind, ModifierArgumentKind, Release, TerminalDefault, release_names};

fn release(name: &str) -> &'static Release {
    Release::named(name).unwrap_or_else(|error| panic!("{error}"))
}

fn evaluate(release: &'static Release, text: &str) -> Evaluated {
    sbpl::evaluate("<test>", text.as_bytes(), &sbpl::Options::new(release))
        .unwrap_or_else(|diagnostic| panic!("{release:?}: {text}: {}", diagnostic.message))
}

/// Blobs of these are read and not written.
const EARLY: &[&str] =
    &["ios-4", "ios-5", "ios-6", "ios-7", "ios-8.4", "ios-9.3", "ios-10", "ios-11", "ios-12", "macos-10.6"];

/// Name, slots, operations of message filters, filters, modifiers, versions, whether the container
/// can be written.
type Counts = (&'static str, usize, usize, usize, usize, &'static [u8], bool);

/// Operations: LANGUAGE.md §6.1 and FORMAT.md §6. Filters: LANGUAGE.md §5.2, FORMAT.md §3.2. Modifiers:
/// LANGUAGE.md §4.2. Versions: LANGUAGE.md §3.
const COUNTS: &[Counts] = &[
    ("ios-4", 73, 0, 13, 4, &[1], false),
    ("ios-5", 73, 0, 22, 4, &[1], false),
    ("ios-6", 73, 0, 29, 4, &[1], false),
    ("ios-7", 114, 0, 49, 4, &[1], false),
    ("ios-8.4", 114, 0, 49, 4, &[1], false),
    ("ios-9.3", 125, 0, 49, 4, &[1], false),
    ("ios-10", 137, 0, 51, 8, &[1], false),
    ("ios-11", 144, 0, 59, 9, &[1], false),
    ("ios-12", 148, 0, 63, 12, &[1], false),
    ("ios-13", 145, 0, 70, 14, &[1], true),
    ("ios-17", 190, 6, 93, 19, &[1, 2, 3], true),
    ("ios-18", 192, 6, 97, 19, &[1, 2, 3], true),
    ("ios-26", 195, 6, 102, 19, &[1, 2, 3], true),
    ("macos-10.6", 59, 0, 13, 4, &[1], false),
    ("macos-10.12", 137, 0, 51, 8, &[1], false),
    ("macos-10.13", 144, 0, 59, 9, &[1], false),
    ("macos-10.14", 148, 0, 63, 12, &[1], false),
    ("macos-10.15", 145, 0, 69, 14, &[1], true),
    ("macos-14.4", 190, 6, 93, 19, &[1, 2, 3], true),
    ("macos-15.2", 192, 6, 97, 19, &[1, 2, 3], true),
];

#[test]
fn counts_of_every_release() {
    assert_eq!(release_names(), COUNTS.iter().map(|(name, ..)| *name).collect::<Vec<_>>());
    for (name, slots, message, filters, modifiers, versions, has_format) in COUNTS {
        let release = release(name);
        assert_eq!(release.operation_slots(), *slots, "{name}: slots");
        assert_eq!(release.operations().len(), slots + message, "{name}: operations");
        assert_eq!(release.filters().len(), *filters, "{name}: filters");
        assert_eq!(release.modifiers().len(), *modifiers, "{name}: modifiers");
        assert_eq!(release.versions(), *versions, "{name}: versions");
        assert_eq!(release.layout().is_ok(), *has_format, "{name}: layout");
        assert_eq!(release.early_layout().is_some(), EARLY.contains(name), "{name}: early layout");
        assert_eq!(release.reads_blobs(), *has_format || EARLY.contains(name), "{name}: blobs");
    }
}

/// LANGUAGE.md §6.1: the terminal operations of 10.12 to 10.15, in full.
#[test]
fn terminal_operations_of_the_older_releases() {
    let common = [
        "file-link",
        "file-map-executable",
        "iokit-get-properties",
        "mach-cross-domain-lookup",
        "nvram*",
        "process-info*",
        "process-info-codesignature",
        "system-privilege",
    ];
    let since_10_13 = ["dynamic-code-generation", "file-test-existence", "socket-ioctl"];
    let since_10_14 = ["darwin-notification-post", "file-clone"];
    let cases: [(&str, Vec<&str>, Vec<&str>); 4] = [
        ("macos-10.12", common.to_vec(), vec!["default", "job-creation"]),
        ("macos-10.13", [&common[..], &since_10_13].concat(), vec!["default", "file-write-setugid", "job-creation"]),
        (
            "macos-10.14",
            [&common[..], &since_10_13, &since_10_14].concat(),
            vec!["default", "file-write-setugid", "job-creation", "storage-class-map"],
        ),
        (
            "macos-10.15",
            [&common[..], &since_10_13, &since_10_14, &["syscall-unix"]].concat(),
            vec!["default", "file-write-setugid", "job-creation", "storage-class-map"],
        ),
    ];
    for (name, mut allow, mut deny) in cases {
        let terminal = |wanted: TerminalDefault| {
            let operations = release(name).operations().iter().filter(|entry| entry.terminal == Some(wanted));
            let mut names: Vec<&str> = operations.map(|entry| entry.name.as_str()).collect();
            names.sort_unstable();
            names
        };
        allow.sort_unstable();
        deny.sort_unstable();
        assert_eq!(terminal(TerminalDefault::Allow), allow, "{name}: terminal allow");
        assert_eq!(terminal(TerminalDefault::Deny), deny, "{name}: terminal deny");
    }
}

#[test]
fn filter_numbers_drift_as_the_tables_say() {
    let id = |name: &str, filter: &str| release(name).filter_named(filter).map(|entry| entry.id.0);
    // FORMAT.md §3.3: the rootless filters shift what follows until 10.14.
    for name in ["macos-10.12", "macos-10.13"] {
        assert_eq!(id(name, "rootless-file-filter"), Some(0x29), "{name}");
        assert_eq!(id(name, "rootless-proc-filter"), Some(0x2b), "{name}");
        assert_eq!(id(name, "privilege-id"), Some(0x2c), "{name}");
        assert_eq!(id(name, "host-special-port"), Some(0x31), "{name}");
    }
    for name in ["macos-10.14", "macos-10.15", "ios-13", "macos-14.4"] {
        assert_eq!(id(name, "rootless-file-filter"), None, "{name}");
        assert_eq!(id(name, "privilege-id"), Some(0x2a), "{name}");
        assert_eq!(id(name, "csr"), Some(0x2e), "{name}");
    }
    // LANGUAGE.md §5.2, last rows.
    assert_eq!(id("macos-10.12", "datavault-file-filter"), None);
    assert_eq!(id("macos-10.13", "datavault-file-filter"), Some(53));
    assert_eq!(id("macos-10.15", "syscall-mask"), Some(66));
    assert_eq!(id("macos-14.4", "syscall-mask"), None);
    assert_eq!(id("macos-10.15", "require-target-with-entitlement"), Some(67));
    assert_eq!(id("macos-14.4", "require-target-with-entitlement"), Some(66));
    // The iOS 13 list has one filter that the 10.15 table does not reach to.
    assert_eq!(id("ios-13", "snapshot-name"), Some(70));
    // FORMAT.md §3.3: what macOS 14 and iOS 17, and then macOS 15 and iOS 18, added.
    for name in ["macos-14.4", "ios-17"] {
        assert_eq!(id(name, "kas-info-selector"), Some(0x5d), "{name}");
        assert_eq!(id(name, "profile-flag"), None, "{name}");
    }
    for name in ["macos-15.2", "ios-18", "ios-26"] {
        assert_eq!(id(name, "profile-flag"), Some(0x5d), "{name}");
        assert_eq!(id(name, "kas-info-selector"), Some(0x5e), "{name}");
        assert_eq!(id(name, "check-operation"), Some(0x61), "{name}");
    }
}

/// FORMAT.md §3.1, §3.3: the numbers of iOS 9 are those of 10.12 up to 49; iOS 4 has a list of its own, in
/// which the forms of a pattern are no second number.
#[test]
fn filter_numbers_of_early_releases() {
    let numbers = |name: &str| -> Vec<(u8, &str)> {
        release(name).filters().iter().map(|filter| (filter.id.0, filter.name.as_str())).collect()
    };
    let later = numbers("macos-10.12");
    for name in ["ios-8.4", "ios-9.3"] {
        let differs: Vec<_> = numbers(name).into_iter().filter(|entry| !later.contains(entry)).collect();
        assert_eq!(differs, [(0x27, "process-name")], "{name}");
    }
    let first: Vec<&str> = numbers("macos-10.6").into_iter().take(10).map(|(_, name)| name).collect();
    let expected = [
        "path",
        "xattr",
        "file-mode",
        "ipc-posix-name",
        "global-name",
        "local-name",
        "local",
        "remote",
        "socket-domain",
        "target",
    ];
    assert_eq!(first, expected);
}

#[test]
fn operations_come_and_go_as_the_sources_say() {
    let has = |name: &str, operation: &str| release(name).operation(operation).is_some();
    // LANGUAGE.md §6.2, end: every difference of the older releases.
    let names = |name: &str| release(name).operations().iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>();
    let minus = |a: &str, b: &str| {
        let without = names(b);
        names(a).into_iter().filter(|name| !without.contains(name)).collect::<std::collections::BTreeSet<_>>()
    };
    let same = |found: std::collections::BTreeSet<&str>, expected: &[&str]| {
        assert_eq!(found, expected.iter().copied().collect());
    };
    let in_10_13 = [
        "dynamic-code-generation",
        "file-test-existence",
        "file-write-finderinfo",
        "fs-rename",
        "managed-preference-read",
        "socket-ioctl",
        "system-automount",
    ];
    same(minus("macos-10.13", "macos-10.12"), &in_10_13);
    same(minus("macos-10.12", "macos-10.13"), &[]);
    let in_10_14 = ["darwin-notification-post", "file-clone", "opendirectory-user-modify", "storage-class-map"];
    same(minus("macos-10.14", "macos-10.13"), &in_10_14);
    same(minus("macos-10.13", "macos-10.14"), &[]);
    same(minus("macos-10.15", "macos-10.14"), &["syscall-unix"]);
    let gone = ["ipc-posix-shm-read*", "ipc-posix-shm-read-metadata", "mach-per-user-lookup", "system-chud"];
    same(minus("macos-10.14", "macos-10.15"), &gone);
    // LANGUAGE.md §6.3.
    assert!(has("macos-10.15", "iokit-open") && !has("macos-14.4", "iokit-open"));
    assert!(has("macos-10.15", "load-unsigned-code") && !has("macos-14.4", "load-unsigned-code"));
    assert!(!has("macos-10.15", "syscall-mach") && has("macos-14.4", "syscall-mach"));
    // FORMAT.md §6: the two that iOS 18 added, each right before its neighbour.
    for name in ["macos-15.2", "ios-18"] {
        let release = release(name);
        for (new, next) in [("mach-task-exception-port-set", "mach-task-inspect"), ("sandbox-check", "signal")] {
            let (new, next) = (release.operation(new).unwrap(), release.operation(next).unwrap());
            assert_eq!(new.0 + 1, next.0, "{name}");
        }
    }
    // FORMAT.md §6: what the iOS 26 beta added and dropped.
    for operation in ["consume-extension", "process-info-sandbox-container", "process-iopolicy*"] {
        assert!(has("ios-26", operation) && !has("ios-18", operation), "{operation}");
    }
    for operation in ["ipc-posix-issue-extension", "mach-kernel-endpoint"] {
        assert!(!has("ios-26", operation) && has("ios-18", operation), "{operation}");
    }
    // FORMAT.md §6: equal lists.
    for (a, b) in [("ios-13", "macos-10.15"), ("ios-17", "macos-14.4"), ("ios-18", "macos-15.2")] {
        assert_eq!(names(a), names(b), "{a} and {b}");
    }
}

#[test]
fn modifiers_as_available() {
    let modifier = |name: &str, modifier: &str| release(name).modifier_named(modifier);
    // LANGUAGE.md §4.2.
    assert!(modifier("macos-10.12", "message").is_none() && modifier("macos-10.13", "message").is_some());
    for (name, has) in [("macos-10.13", false), ("macos-10.14", true), ("macos-10.15", false)] {
        assert_eq!(modifier(name, "file-approval-override").is_some(), has, "{name}");
    }
    assert!(modifier("macos-10.15", "rootless").is_some() && modifier("macos-10.15", "sip-override").is_none());
    assert_eq!(modifier("macos-10.15", "no-times").unwrap().only, ["file-read-metadata"]);
    assert_eq!(modifier("macos-10.15", "rootless").unwrap().except, ["syscall-unix", "storage-class-map"]);
    // FORMAT.md §2.3: 19, and 21 since iOS 26.
    for (name, id) in [("macos-14.4", 19), ("macos-15.2", 19), ("ios-17", 19), ("ios-18", 19), ("ios-26", 21)] {
        let entry = modifier(name, "message-filter").unwrap();
        assert_eq!((entry.id.0, entry.argument), (id, ModifierArgumentKind::MessageFilter), "{name}");
    }
}

#[test]
fn aliases_and_names_that_do_nothing() {
    // LANGUAGE.md §4.6: the alias that only 10.15 has among the older ones, and the gone operations.
    let alias = |name: &str, alias: &str| {
        release(name).operation_aliases().iter().find(|entry| entry.name == alias).map(|entry| entry.operation.clone())
    };
    assert_eq!(alias("macos-10.14", "ipc-posix-shm-read*"), None);
    assert_eq!(alias("macos-10.15", "ipc-posix-shm-read*").as_deref(), Some("ipc-posix-shm-read-data"));
    for name in release_names() {
        assert_eq!(alias(name, "sysctl-write").as_deref(), Some("sysctl*"), "{name}");
    }
    assert!(release("macos-10.14").no_op_operations().names.is_empty());
    assert_eq!(release("macos-10.15").no_op_operations().names.len(), 4);
}

/// Compilers of the time of iOS 13 drop a saved place and keep simple expressions as objects.
#[test]
fn programs_of_old_and_new_compilers() {
    use sbtool::pattern::tree::Saved;
    for name in release_names() {
        let is_old = name == "ios-13" || name.starts_with("macos-10") || EARLY.contains(&name);
        let programs = release(name).programs();
        assert_eq!((programs.saved == Saved::Dropped, !programs.lowers_regexes), (is_old, is_old), "{name}");
        let inferred = release(name).inferred().iter().any(|entry| entry.key == "programs");
        assert_eq!(inferred, is_old && name != "ios-13", "{name}");
    }
}

#[test]
fn what_is_guessed_is_marked() {
    // The numbers that only blobs of the iOS 26 beta show have no name that a profile could use.
    let unnamed: Vec<_> = release("ios-26").filters().iter().filter(|filter| filter.inferred).collect();
    assert_eq!(unnamed.iter().map(|filter| filter.id.0).collect::<Vec<_>>(), [98, 99, 100, 101, 102]);
    assert!(unnamed.iter().all(|filter| filter.functions.is_empty()));
    assert!(unnamed.iter().all(|filter| filter.kind_inferred));
    assert_eq!(release("macos-10.12").filter_named("path").unwrap().kind, FilterKind::Path);
    // Implicit rules before 14.4 are not published (LANGUAGE.md §7.4), nor is whether later ones differ.
    for name in release_names().into_iter().filter(|name| *name != "macos-14.4") {
        assert!(release(name).implicit_rules().iter().all(|rule| rule.inferred), "{name}");
        assert!(!release(name).inferred().is_empty(), "{name}");
    }
    // No table has parents for iOS.
    for name in ["ios-4", "ios-5", "ios-6", "ios-7", "ios-8.4", "ios-9.3", "ios-13", "ios-17", "ios-18", "ios-26"] {
        let mut with_parent = release(name).operations().iter().filter(|entry| entry.parent.is_some());
        assert!(with_parent.all(|entry| entry.parent_inferred), "{name}");
        assert!(!release(name).folds_paths() && release(name).target_platform() == "ios", "{name}");
    }
}

#[test]
fn every_release_evaluates_and_builds_and_encodes_what_it_can() {
    let text = "(version 1)(deny default)(allow file-read* (subpath \"/usr\"))
        (allow mach-lookup (require-all (require-entitlement \"a\") (global-name \"b\")))
        (allow network-outbound (remote ip \"*:80\"))(allow signal (target self))";
    for name in release_names() {
        let release = release(name);
        // Before there were entitlements.
        let has_entitlements = release.filter_named("%entitlement-load").is_some();
        assert_eq!(has_entitlements, !["ios-4", "ios-5", "macos-10.6"].contains(&name), "{name}");
        let text = if has_entitlements { text.to_owned() } else { text.replace("(require-entitlement \"a\")", "") };
        let evaluated = evaluate(release, &text);
        let graph = build(&evaluated.rules, Passes::default()).unwrap();
        assert_eq!(graph.entries.len(), release.operation_slots(), "{name}");
        match (release.layout(), blob::encode(&graph)) {
            (Ok(_), Ok(bytes)) => {
                let decoded = blob::decode(&bytes, release).unwrap();
                assert!(decoded.leftover.is_empty(), "{name}");
                assert_eq!(blob::encode(&decoded.graph).unwrap(), bytes, "{name}");
            }
            (Err(_), Err(error @ EncodeError::ReadOnly { .. })) => {
                assert!(EARLY.contains(&name) && error.to_string().contains(name), "{error}");
            }
            (Err(known), Err(EncodeError::UnknownFormat(error))) => {
                assert_eq!(error, known);
                assert!(error.to_string().contains(name), "{error}");
                let decoded = blob::decode(&[0; 64], release);
                assert!(matches!(decoded, Err(BlobError::UnknownFormat(_))), "{name}");
            }
            (layout, encoded) => panic!("{name}: {layout:?}, {encoded:?}"),
        }
    }
}

/// The same slots and the same header: a profile without filters whose treatment differs has the
/// same bytes on both (FORMAT.md §1.5, §6).
#[test]
fn ios_17_has_the_container_of_macos_14() {
    let bytes = |name: &str| {
        let evaluated = evaluate(release(name), "(version 1)(deny default)(allow file-read* (literal \"/etc/x\"))");
        blob::encode(&build(&evaluated.rules, Passes::default()).unwrap()).unwrap()
    };
    assert_eq!(bytes("ios-17"), bytes("macos-14.4"));
}

/// FORMAT.md §4.6: macOS compiles folded paths, iOS does not.
#[test]
fn ios_keeps_the_case_of_paths() {
    let holds = |name: &str, text: &[u8]| {
        let evaluated = evaluate(release(name), "(version 1)(deny default)(allow file-read* (literal \"/A\"))");
        let bytes = blob::encode(&build(&evaluated.rules, Passes::default()).unwrap()).unwrap();
        bytes.windows(text.len()).any(|window| window == text)
    };
    assert!(holds("macos-14.4", b"/a") && !holds("macos-14.4", b"/A"));
    assert!(holds("ios-17", b"/A") && !holds("ios-17", b"/a"));
}

#[test]
fn a_release_may_have_other_operations() {
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let made = |list: &[&str]| Release::with_operations("ios-17", &names(list));
    let release = made(&["default", "file*", "file-read*", "file-read-new", "strange", "mach-message-send"]).unwrap();
    assert_eq!((release.operation_slots(), release.operations().len()), (5, 6));
    let parent = |name: &str| release.operations().iter().find(|entry| entry.name == name).unwrap().parent.as_deref();
    assert_eq!(parent("file-read*"), Some("file*"));
    assert_eq!(parent("file-read-new"), Some("file-read*"));
    assert_eq!(parent("strange"), Some("default"));
    assert!(release.operations().iter().any(|entry| entry.name == "file-read-new" && entry.inferred));
    // The release's own list gives the release again, whatever it has.
    for name in release_names() {
        let known = self::release(name);
        let list: Vec<String> = known.operations().iter().map(|operation| operation.name.clone()).collect();
        let again = Release::with_operations(name, &list).unwrap();
        assert_eq!(again.operation_slots(), known.operation_slots(), "{name}");
        assert_eq!(format!("{:?}", again.operations()), format!("{:?}", known.operations()), "{name}");
        assert_eq!(again.implicit_rules().len(), known.implicit_rules().len(), "{name}");
    }
    for list in [&["file*", "default"][..], &["default", "a", "a"], &["default", "a b"], &["default", "literal"], &[]] {
        assert!(made(list).is_err(), "{list:?}");
    }
}
