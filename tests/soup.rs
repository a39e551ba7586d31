#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! In: random soup of the tokens that profiles are made of. Out: that evaluation ends, in a result
//! or an error, and that what a result is written as means the same. Never: profiles that make
//! sense, except by chance.
//!
//! `PROPTEST_CASES=20000 cargo test --release --test soup` runs many.

use std::time::{Duration, Instant};

use proptest::prelude::*;
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

fn options() -> Options {
    let mut options = Options::new(Release::named("macos-14.4").unwrap());
    options.budget = BUDGET;
    options.parameters = Some(vec![("A".to_owned(), "/a".to_owned())]);
    options
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn evaluation_ends(text in soup()) {
        let start = Instant::now();
        let result = sbpl::evaluate("<input string>", text.as_bytes(), &options());
        let took = start.elapsed();
        prop_assert!(took < PATIENCE, "took {took:?}");
        match result {
            Ok(evaluated) => {
                let written = sbpl::write_rules(&evaluated.rules);
                let again = sbpl::evaluate("<written>", written.as_bytes(), &Options::new(evaluated.rules.release));
                let again = again.map_err(|error| TestCaseError::fail(format!("{written}\n{}", error.message)))?;
                prop_assert_eq!(again.rules.list, evaluated.rules.list, "{}", written);
            }
            Err(error) => {
                // `(error)` has nothing to say.
                prop_assert!(!error.message.is_empty() || text.contains("error") || text.contains("throw"));
                let _ = error.render(false);
                let _ = error.json();
            }
        }
    }

    #[test]
    fn bytes_are_read_to_an_end(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = sbpl::evaluate("<input string>", &text, &options()).map_err(|error| error.render(true));
    }
}
