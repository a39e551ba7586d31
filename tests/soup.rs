#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! In: random soup of the tokens that profiles are made of, and random programs whose parts fit.
//! Out: that evaluation ends, in a result or an error; that what a result is written as means the
//! same; that the compiler takes it and agrees with the plain reading of the rules. Never: profiles
//! that make sense, except by chance.
//!
//! `PROPTEST_CASES=20000 cargo test --test soup` runs many.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use sbtool::blob;
use sbtool::policy::passes::{Passes, build};
use sbtool::policy::request::Request;
use sbtool::runtime::policy::{AnswerError, Policy};
use sbtool::sbpl::{self, Budget, Options};
use sbtool::vocabulary::Release;

const BUDGET: Budget = Budget { steps: 20_000, depth: 2_000, bytes: 1 << 20 };

/// No soup may take longer with that budget, even in a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Parentheses, quotes and the like.
const MARKS: &[&str] =
    &["(", "(", "(", "(", ")", ")", ")", ")", "'", "`", ",", ",@", "#(", ".", ";", "\n", "\"", "#", "()", "#!"];

/// Special forms and what makes programs go round.
const FORMS: &[&str] = &[
    "(define ",
    "(define (f x) ",
    "(lambda (x) ",
    "(lambda x ",
    "(let ((x ",
    "(let loop ((x 1)) ",
    "(let* ((x 1) (y x)) ",
    "(letrec ((f ",
    "(if ",
    "(cond (",
    "(case ",
    "else",
    "=>",
    "(set! x ",
    "(begin ",
    "(and ",
    "(or ",
    "(when ",
    "(unless ",
    "(do ((x 1 (+ x 1))) ((> x 3)) ",
    "(delay ",
    "(force ",
    "(cons-stream ",
    "(macro (m form) ",
    "(define-macro (m . x) ",
    "(m ",
    "(loop ",
    "(f ",
    "(quote ",
    "(quasiquote ",
    "(unquote ",
    "(call/cc (lambda (k) ",
    "(k ",
    "(call/cc ",
    "(define k #f)",
    "(set! k c)",
    "(eval ",
    "(apply ",
    "(map ",
    "(for-each ",
    "(filter ",
    "(partition ",
    "(foldr ",
    "(error ",
    "(defined? 'x)",
    "(current-environment)",
    "(list ",
    "(cons ",
    "(car ",
    "(cdr ",
    "(set-car! ",
    "(set-cdr! ",
    "(append ",
    "(reverse ",
    "(length ",
    "(list-tail ",
    "(memq ",
    "(assoc ",
    "(equal? ",
    "(vector ",
    "(make-vector ",
    "(vector-ref ",
    "(vector-set! ",
    "(list->vector ",
    "(string-append ",
    "(substring ",
    "(make-string ",
    "(string-ref ",
    "(string->symbol ",
    "(string->number ",
    "(number->string ",
    "(+ ",
    "(- ",
    "(* ",
    "(/ ",
    "(quotient ",
    "(modulo ",
    "(< ",
    "(= ",
    "(not ",
    "(eq? ",
    "(flatten ",
    "(gensym)",
    "x",
    "y",
    "f",
    "k",
    "loop",
    "(catch 1 ",
    "(throw ",
    "(read (open-input-string ",
    "(cond-expand (srfi-0 ",
    "(vector-fill! ",
    "(string-set! ",
    "(string->list ",
    "(cons-stream 1 ",
    "(tail ",
    "(define when ",
    "(define (allow . x) ",
    "(let ((c (list 1))) (set-cdr! c c) ",
];

/// The sandbox's own words.
const WORDS: &[&str] = &[
    "(version 1)",
    "(version 3)",
    "(allow ",
    "(deny ",
    "(allow default)",
    "(deny default)",
    "file-read*",
    "file-write-data",
    "network*",
    "mach-lookup",
    "process-exec*",
    "signal",
    "sysctl-write",
    "iokit-open",
    "default",
    "(literal ",
    "(subpath ",
    "(prefix ",
    "(regex ",
    "(require-all ",
    "(require-any ",
    "(require-not ",
    "(with ",
    "report",
    "no-report",
    "send-signal",
    "errno",
    "message",
    "no-callout",
    "SIGKILL",
    "(target ",
    "self",
    "(remote ",
    "(local ",
    "ip",
    "tcp",
    "unix-socket",
    "\"*:80\"",
    "\"localhost:*\"",
    "(global-name ",
    "(file-mode ",
    "(vnode-type ",
    "TTY",
    "(extension ",
    "(require-entitlement ",
    "(entitlement-value ",
    "(path-ancestors ",
    "(apply-message-filter ",
    "(with-filter ",
    "(with-modifier ",
    "(with-operations ",
    "(import \"system.sb\")",
    "(import \"bsd.sb\")",
    "(import ",
    "(param \"A\")",
    "(param ",
    "*params*",
    "*entitlements*",
    "(trace ",
    "(debug ",
    "(regex-quote ",
    "(socket-domain ",
    "(syscall-number ",
    "(iokit-property ",
    "(%entitlement-load ",
];

/// Data.
const DATA: &[&str] = &[
    "0",
    "1",
    "-1",
    "3.5",
    "1e999",
    "9223372036854775807",
    "-9223372036854775808",
    "65536",
    "#t",
    "#f",
    "#o0004",
    "#xff",
    "#\\a",
    "#\\space",
    "\"\"",
    "\"/\"",
    "\"/private/tmp\"",
    "\"a${HOME}b\"",
    "\"${\"",
    "#\"^/a\\.b$\"",
    "#\"([a-z]*)+\"",
    "\"[\"",
    "\"(?:x)\"",
    "\"\\x41\"",
    "'()",
    "'(1 2 3)",
    "\"\u{e9}\"",
    "sym",
    "...",
    "127.0.0.1:80",
    "car",
    "+",
    "literal",
    "string-append",
];

fn token() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        4 => proptest::sample::select(MARKS),
        4 => proptest::sample::select(FORMS),
        4 => proptest::sample::select(WORDS),
        3 => proptest::sample::select(DATA),
    ]
}

/// Soup as it comes, or with its parentheses balanced, so that more of it is evaluated.
fn soup() -> impl Strategy<Value = String> {
    (proptest::collection::vec(token(), 0..60), any::<bool>(), any::<bool>()).prop_map(
        |(tokens, balanced, versioned)| {
            let mut text = String::from(if versioned { "(version 1) " } else { "" });
            let mut open = 0usize;
            for token in tokens {
                if balanced {
                    if matches!(token, "\"" | ";" | "#" | "#!" | ".") || (open == 0 && token == ")") {
                        continue;
                    }
                    // Strings are whole, so their parentheses come in pairs but for two.
                    let quoted = token.contains('"') && !token.starts_with('(');
                    if !quoted {
                        open += token.matches('(').count();
                        open = open.saturating_sub(token.matches(')').count());
                    }
                }
                text.push_str(token);
                text.push(' ');
            }
            if balanced {
                text.push_str(&")".repeat(open));
            }
            text
        },
    )
}

/// Programs whose parts fit together, most of the time.
fn program() -> impl Strategy<Value = String> {
    let string = || {
        proptest::sample::select(
            &["\"/\"", "\"/a\"", "\"/a/b\"", "\"a.b\"", "(param \"A\")", "(string-append \"/\" \"x\")", "x"][..],
        )
    };
    let operation = || {
        let names = [
            "file-read*",
            "file-write*",
            "file-read-data",
            "network*",
            "network-outbound",
            "mach-lookup",
            "signal",
            "process-exec*",
            "sysctl-write",
            "default",
            "iokit-open",
            "syscall-unix",
        ];
        proptest::collection::vec(proptest::sample::select(names.to_vec()), 1..3).prop_map(|names| names.join(" "))
    };
    let leaf = prop_oneof![
        (
            proptest::sample::select(
                &[
                    "literal",
                    "subpath",
                    "prefix",
                    "global-name",
                    "sysctl-name",
                    "extension",
                    "xattr",
                    "require-entitlement"
                ][..]
            ),
            proptest::collection::vec(string(), 1..4)
        )
            .prop_map(|(name, strings)| format!("({name} {})", strings.join(" "))),
        proptest::sample::select(
            &["#\"^/a\"", "#\"[a-z]+$\"", "#\"(a|b)*c\"", "#\"x?.\"", "#\"^/private/(tmp|var)/.*\\.log$\"",][..]
        )
        .prop_map(|text| format!("(regex {text})")),
        proptest::sample::select(
            &[
                "(remote ip \"*:80\")",
                "(remote tcp)",
                "(local udp4 \"localhost:*\")",
                "(remote unix-socket (literal \"/s\"))",
                "(target self)",
                "(vnode-type TTY)",
                "(file-mode #o0004)",
                "(socket-domain 2 30)",
                "(tty)",
                "(syscall-number SYS_open SYS_read)",
                "f"
            ][..]
        )
        .prop_map(str::to_owned),
    ];
    let filter = leaf.prop_recursive(4, 12, 3, |inner| {
        (
            proptest::sample::select(&["require-all", "require-any", "require-not"][..]),
            proptest::collection::vec(inner, 1..4),
        )
            .prop_map(|(name, list)| match name {
                "require-not" => format!("(require-not {})", list[0]),
                _ => format!("({name} {})", list.join(" ")),
            })
    });
    let modifier = proptest::sample::select(
        &[
            "",
            "",
            "",
            "(with message \"n\")",
            "(with send-signal SIGKILL)",
            "(with message \"m\")",
            "(with no-callout)",
        ][..],
    );
    let rule = (
        proptest::sample::select(&["allow", "deny"][..]),
        operation(),
        proptest::collection::vec(filter.clone(), 0..3),
        modifier,
    )
        .prop_map(|(action, operations, filters, modifier)| {
            format!("({action} {operations} {} {modifier})", filters.join(" "))
        })
        .boxed();
    let form = rule.prop_recursive(3, 12, 4, move |inner| {
        let several = proptest::collection::vec(inner, 1..4).prop_map(|forms| forms.join(" "));
        (0..9u8, several, filter.clone()).prop_map(|(kind, body, filter)| match kind {
            0 => format!("(with-filter {filter} {body})"),
            1 => format!("(define f {filter})(begin {body})"),
            2 => format!("(if (defined? 'f) (begin {body}))"),
            3 => format!("(for-each (lambda (x) {body}) '(\"/1\" \"/2\"))"),
            4 => format!("(let ((x file-read*) (f {filter})) {body})"),
            5 => format!("(call/cc (lambda (k) {body} (k 1) {body}))"),
            6 => format!("(with-modifier (with telemetry) {body})"),
            7 => format!("(define-macro (m . forms) `(begin ,@forms)) (m {body})"),
            _ => format!("(when (param \"A\") (let loop ((n 0)) (if (< n 3) (begin {body} (loop (+ n 1))))))"),
        })
    });
    proptest::collection::vec(form, 1..6)
        .prop_map(|forms| format!("(version 1)(define f (literal \"/f\"))(define x \"/x\") {}", forms.join("\n")))
}

fn options() -> Options {
    let mut options = Options::new(Release::named("macos-14.4").unwrap());
    options.budget = BUDGET;
    options.parameters = Some(vec![("A".to_owned(), "/a".to_owned())]);
    options
}

/// Questions that the rules of [`program`] tell apart.
fn requests(release: &Release) -> Vec<Request> {
    let rows: &[(&str, &[&str])] = &[
        ("file-read-data", &["path=/"]),
        ("file-read-data", &["path=/a", "extension=/a", "vnode-type=TTY"]),
        ("file-read-data", &["path=/A/B/c.log", "file-mode=4", "xattr=a.b"]),
        ("file-write-create", &["path=/private/tmp/x.log", "entitlement=a.b"]),
        ("process-exec*", &["path=/a/b"]),
        ("mach-lookup", &["global-name=a.b"]),
        ("network-outbound", &["remote=tcp4:localhost:80", "socket-domain=2"]),
        ("network-outbound", &["path=/s"]),
        ("network-bind", &["local=udp4:localhost:53", "socket-domain=30"]),
        ("signal", &["target=self"]),
        ("signal", &["target=others"]),
        ("sysctl-read", &["sysctl-name=a.b"]),
        ("syscall-unix", &["syscall-number=SYS_read"]),
    ];
    rows.iter()
        .map(|(operation, facts)| {
            let mut request = Request::new(release.operation(operation).unwrap());
            facts.iter().for_each(|fact| request.add_fact(release, fact).unwrap());
            request
        })
        .collect()
}

/// Evaluates, writes, evaluates again, compiles, decodes, asks.
fn ends_well_or_with_an_error(text: &str) -> Result<(), TestCaseError> {
    let start = Instant::now();
    let result = sbpl::evaluate("<input string>", text.as_bytes(), &options());
    let took = start.elapsed();
    prop_assert!(took < PATIENCE, "took {took:?}");
    match result {
        Ok(evaluated) => {
            let written = sbpl::write_rules(&evaluated.rules);
            let again =
                sbpl::evaluate("<written>", written.as_bytes(), &Options { budget: Budget::default(), ..options() });
            let again = again.map_err(|error| TestCaseError::fail(format!("{written}\n{}", error.message)))?;
            prop_assert_eq!(&again.rules.list, &evaluated.rules.list, "{}", written);
            // Random rules are a test of the compiler as well: bytes or an error.
            if let Ok(graph) = build(&evaluated.rules, Passes::default()) {
                if let Ok(bytes) = blob::encode(&graph) {
                    let decoded = blob::decode(&bytes, evaluated.rules.release);
                    prop_assert!(decoded.is_ok(), "{}", written);
                }
                let policy =
                    Policy::of_rules(evaluated.rules).map_err(|error| TestCaseError::fail(error.to_string()))?;
                for request in requests(policy.release()) {
                    if let Err(error @ AnswerError::Disagreement { .. }) = policy.answer(&request) {
                        return Err(TestCaseError::fail(format!("{written}\n{error}\n{request:?}")));
                    }
                }
            }
        }
        Err(error) => {
            // `(error)` has nothing to say.
            prop_assert!(!error.message.is_empty() || text.contains("error") || text.contains("throw"));
            let _ = error.render(false);
            let _ = error.json();
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn evaluation_ends(text in soup()) {
        ends_well_or_with_an_error(&text)?;
    }

    #[test]
    fn programs_end(text in program()) {
        ends_well_or_with_an_error(&text)?;
    }

    #[test]
    fn bytes_are_read_to_an_end(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = sbpl::evaluate("<input string>", &text, &options()).map_err(|error| error.render(true));
    }
}
