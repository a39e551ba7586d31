//! In: dice, ports. Out: a profile about the scratch directory, whose name is `@`. Never: a rule that keeps
//! the test itself from starting.

use super::dice::Dice;

const PLACES: [&str; 21] = [
    "a", "b", "a/d", "b/d", "a/x", "a/y.txt", "b/x", "a/l", "l", "b/m", "b/u", "a/q", "b/none", "b/new", "a/d/new",
    "a/p", "a/s", "b/p", "b/s", "b/t", "a/d/z",
];

/// Operations on files; those that are denied without a filter are the ones that no start of a program asks.
const FILES: [&str; 21] = [
    "file*",
    "file-read*",
    "file-read-data",
    "file-read-metadata",
    "file-write*",
    "file-write-data",
    "file-write-create",
    "file-write-unlink",
    "file-write-mode",
    "file-write-owner",
    "file-write-times",
    "file-test-existence",
    "file-read-xattr",
    "file-write-xattr",
    "file-link",
    "file-mknod",
    "file-write-setugid",
    "process-exec*",
    "process-exec-interpreter",
    "network-outbound",
    "network-bind",
];

const WHOLE: [&str; 19] = [
    "file-write-create",
    "file-write-unlink",
    "file-write-mode",
    "file-write-owner",
    "file-write-times",
    "file-write-xattr",
    "file-read-xattr",
    "file-link",
    "file-write*",
    "network*",
    "network-outbound",
    "network-bind",
    "network-inbound",
    "signal",
    "ipc-sysv-shm",
    "ipc-sysv-sem",
    "ipc-sysv-msg",
    "process-fork",
    "system-socket",
];

const ERRORS: [&str; 6] = ["EPERM", "EACCES", "ENOENT", "EAGAIN", "ECONNREFUSED", "EINVAL"];

fn file(dice: &mut Dice, depth: usize) -> String {
    if depth > 0 && dice.percent(35) {
        let one = file(dice, depth - 1);
        if dice.percent(35) {
            return format!("(require-all (subpath \"@\") (require-not {one}))");
        }
        let two = file(dice, depth - 1);
        return format!("(require-{} {one} {two})", dice.one(&["all", "any"]));
    }
    match dice.below(10) {
        0..2 => format!("(literal \"@/{}\")", dice.one(&PLACES)),
        2..5 => format!("(subpath \"@/{}\")", dice.one(&["a", "b", "a/d", "b/d", "c", "r"])),
        5 => "(subpath \"@\")".to_owned(),
        6 => format!("(prefix \"@/{}\")", dice.one(&["a/", "b/", "l", "a/d"])),
        7 => {
            let text = dice.one(&["x$", r"\.txt$", "/d/", "/b/[^/]*$", "/(new|z)$", "/a(/d)*/[^/]*$"]);
            format!("(require-all (subpath \"@\") (regex #\"{text}\"))")
        }
        _ => {
            let kind = dice.one(&["REGULAR-FILE", "DIRECTORY", "SYMLINK", "SOCKET"]);
            format!("(require-all (subpath \"@\") (vnode-type {kind}))")
        }
    }
}

fn address(dice: &mut Dice, side: &str, ports: &[u16]) -> String {
    let protocol = dice.one(&["ip", "ip4", "ip6", "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6"]);
    let host = dice.one(&["*", "localhost"]);
    let port = if dice.percent(40) { "*".to_owned() } else { dice.one(ports).to_string() };
    format!("({side} {protocol} \"{host}:{port}\")")
}

fn network(dice: &mut Dice, operation: &str, ports: &[u16]) -> String {
    let side = if operation == "network-outbound" { "remote" } else { "local" };
    let one = address(dice, side, ports);
    match dice.below(6) {
        0 => format!("(require-not {one})"),
        1 => format!("(require-any {one} {})", address(dice, side, ports)),
        2 => format!("(require-all {one} (require-not {}))", address(dice, side, ports)),
        _ => one,
    }
}

fn signal(dice: &mut Dice) -> String {
    let target = |dice: &mut Dice| {
        format!("(target {})", dice.one(&["self", "pgrp", "others", "children", "same-sandbox", "initproc"]))
    };
    let number = |dice: &mut Dice| format!("(signal-number {})", dice.one(&["SIGUSR1", "SIGUSR2", "SIGURG"]));
    match dice.below(6) {
        0 => format!("(require-not {})", target(dice)),
        1 => format!("(require-all {} {})", target(dice), number(dice)),
        2 => format!("(require-any {} {})", target(dice), number(dice)),
        3 => number(dice),
        _ => target(dice),
    }
}

fn rule(dice: &mut Dice, ports: &[u16]) -> String {
    let (operation, filter) = match dice.below(20) {
        0..11 => {
            let operation = dice.one(&FILES);
            let mut filter = file(dice, 2);
            if operation.ends_with("-xattr") && dice.percent(60) {
                filter = format!("(require-all {filter} (xattr \"user.{}\"))", dice.one(&["one", "two"]));
            }
            (operation, filter)
        }
        11..15 => {
            let operation = dice.one(&["network*", "network-outbound", "network-inbound", "network-bind"]);
            (operation, network(dice, operation, ports))
        }
        15..17 => ("signal", signal(dice)),
        17 => {
            let filter = dice.one(&["(socket-domain AF_ROUTE)", "(socket-domain AF_INET)", "(socket-type SOCK_RAW)"]);
            ("system-socket", filter.to_owned())
        }
        _ => (dice.one(&WHOLE), String::new()),
    };
    let denies = dice.percent(70);
    let errno = match denies && dice.percent(30) {
        true => format!(" (with errno {})", dice.one(&ERRORS)),
        false => String::new(),
    };
    // Without a fork hardly anything is left to compare.
    let denies = denies && (operation != "process-fork" || dice.percent(20));
    let errno = if denies { errno } else { String::new() };
    format!("({} {operation} {filter}{errno})", if denies { "deny" } else { "allow" })
}

/// A profile.
pub fn profile(dice: &mut Dice, ports: &[u16]) -> String {
    let mut out = String::from("(version 1)");
    if dice.percent(80) {
        out += "(allow default)";
    } else {
        out += "(deny default)(allow process-fork)(allow system*)\
            (allow file* file-test-existence file-link process-exec* (require-not (subpath \"@\")))";
        for more in ["network*", "signal", "ipc*", "file-test-existence file-link process-exec*", "file*"] {
            if dice.percent(60) {
                out += &format!("(allow {more})");
            }
        }
    }
    for _ in 0..5 + dice.below(10) {
        out += &rule(dice, ports);
    }
    out
}
