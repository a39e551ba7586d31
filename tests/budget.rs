#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! In: profiles that would never end, or would need more memory or stack than there is. Out: that
//! each ends in an error or a result. Never: a large budget; the programs have to end within any.
//!
//! Tests run on threads with 2 MB of stack, so an overflow ends the whole run.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use sbtool::sbpl::{self, Budget, Diagnostic, Evaluated, Options};
use sbtool::vocabulary::Release;

/// Large enough for every program here that is meant to succeed.
const BUDGET: Budget = Budget { steps: 200_000, depth: 20_000, bytes: 16 << 20 };

/// No program here may take longer, even in a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn run_with(text: &[u8], change: impl FnOnce(&mut Options)) -> Result<Evaluated, Box<Diagnostic>> {
    let mut options = Options::new(Release::named("macos-14.4").unwrap());
    options.budget = BUDGET;
    change(&mut options);
    let start = Instant::now();
    let result = sbpl::evaluate("<input string>", text, &options);
    assert!(start.elapsed() < PATIENCE, "took {:?}", start.elapsed());
    if std::env::var_os("SBTOOL_TIMES").is_some() {
        let shown: String = String::from_utf8_lossy(text).chars().take(90).collect();
        println!("{:?}\t{shown}", start.elapsed());
    }
    result
}

/// As [`BUDGET`], for programs that are meant to end well.
const AMPLE: Budget = Budget { steps: 3_000_000, depth: 200_000, bytes: 256 << 20 };

fn run(program: &str) -> Result<Evaluated, Box<Diagnostic>> {
    run_with(format!("(version 1)\n{program}").as_bytes(), |_| {})
}

/// The program ends because its budget is used up.
fn runs_out(programs: &[&str]) {
    for program in programs {
        match run(program) {
            Ok(_) => panic!("ended well: {program}"),
            Err(error) => assert_eq!(error.code, "budget", "{program}\n   {}", error.message),
        }
    }
}

fn fails(program: &str, message: &str) {
    match run(program) {
        Ok(_) => panic!("ended well: {program}"),
        Err(error) => assert_eq!(error.message, message, "{program}"),
    }
}

fn run_amply(program: &str) -> Result<Evaluated, Box<Diagnostic>> {
    run_with(format!("(version 1)\n{program}").as_bytes(), |options| options.budget = AMPLE)
}

fn ends_well(program: &str) {
    if let Err(error) = run_amply(program) {
        panic!("{program}\n   {}", error.message);
    }
}

#[test]
fn endless_programs_run_out_of_steps() {
    runs_out(&[
        "(let loop () (loop))",
        "(define (f) (f)) (f)",
        "(define-macro (m) '(m)) (m)",
        "(do () (#f))",
        "(let ((k (call/cc (lambda (c) c)))) (k k))",
        "(define f (lambda () (apply f '()))) (f)",
        "(define (f) (force (delay (f)))) (f)",
        "(let loop ((l '())) (loop (cons 1 l)))",
        "(define (f) (eval '(f))) (f)",
        "(let loop () (allow file-read* (literal \"/x\")) (loop))",
        "(let loop () (defined? 'nope) (loop))",
        "(let loop ((x 1)) (loop (* x 3)))",
    ]);
}

#[test]
fn endless_recursion_runs_out_of_depth() {
    runs_out(&[
        "(define (f n) (+ 1 (f n))) (f 1)",
        "(define (f) (map (lambda (x) (f)) '(1))) (f)",
        "(define-macro (m) '(+ 1 (m))) (m)",
        "(define (f) (apply-message-filter (f))) (f)",
        "(define (f) (let ((x (f))) x)) (f)",
        "(define (f) (cond ((f) 1))) (f)",
        "(define p #f) (define (f) (+ 1 (force (delay (f))))) (f)",
    ]);
}

#[test]
fn growth_runs_out_of_memory() {
    runs_out(&[
        "(let loop ((s \"ab\")) (loop (string-append s s)))",
        "(make-string 99999999999)",
        "(make-vector 99999999999)",
        "(let loop ((l '(1 2))) (loop (append l l)))",
        "(let loop ((v '())) (loop (cons (make-vector 1000 0) v)))",
        "(define s (make-string 60000 #\\a)) (let loop ((l '())) (loop (cons (literal s) l)))",
        "(define s (make-string 60000 #\\a)) (let loop ((l '())) (loop (cons (regex s) l)))",
        "(define s (make-string 60000 #\\a)) (let loop ((l '())) (loop (cons (require-entitlement s) l)))",
        "(define s (make-string 60000 #\\a)) (let loop ((l '())) (loop (cons (with message s) l)))",
        "(define (f) (lambda () (f))) (let loop ((l '())) (loop (cons (f) l)))",
        "(define big (vector->list (make-vector 5000 1))) (define ks '()) \
         (map (lambda (x) (call/cc (lambda (k) (set! ks (cons k ks)) x))) big)",
    ]);
    // Rules remember their text.
    let padding = " ".repeat(50_000);
    let program = format!(
        "(define (f n) (if (> n 0) (begin (allow file-read*{padding}) (deny file-read*{padding}) (f (- n 1))))) (f 100000)"
    );
    runs_out(&[&program]);
}

#[test]
fn work_inside_one_step_counts() {
    runs_out(&[
        "(define s (make-string 10000000 #\\a)) (define t (string-copy s)) (let loop () (string=? s t) (loop))",
        "(define s (make-string 10000000 #\\a)) (let loop () (string-length s) (string-ref s 5) (loop))",
        "(define l (vector->list (make-vector 1000000 1))) (let loop () (length l) (loop))",
        "(define l (vector->list (make-vector 1000000 1))) (let loop () (list? l) (loop))",
        "(define l (vector->list (make-vector 1000000 1))) (let loop () (memq 'x l) (loop))",
        "(define l (vector->list (make-vector 1000000 1))) (let loop () (list-ref l 999999) (loop))",
        "(define l (vector->list (make-vector 1000000 1))) (let loop () (equal? l l) (loop))",
        "(define l (vector->list (make-vector 1000000 1))) (let loop () (eval (list 'case 2 (list l 1))) (loop))",
        "(define-macro (deeper n) `(let ((x ,n)) (if (> x 0) (deeper ,(- n 1)) (let loop () (car '(1)) (loop))))) (deeper 5000)",
    ]);
}

#[test]
fn circles_end() {
    let circle = "(define c (list 1 2 3)) (set-cdr! (cddr c) c) (define d (list 1)) (set-car! d d)";
    let circles = |program: &str| format!("{circle} {program}");
    for (program, message) in [
        ("(length c)", "length: argument 1 must be: pair or '()"),
        ("(reverse c)", "reverse: argument 1 must be: pair or '()"),
        ("(append c '(1))", "append: argument 1 must be: pair or '()"),
        ("(apply + c)", "apply: argument 2 must be: pair or '()"),
        ("(list->vector c)", "list->vector: argument 1 must be: pair or '()"),
        ("(list->string c)", "list->string: argument 1 must be: pair or '()"),
        ("(take c 2)", "take: argument 1 must be: pair or '()"),
        ("(last-pair c)", "last-pair: argument 1 must be: pair or '()"),
        ("(error (list? c))", "#f"),
        ("(error (list-ref c 7))", "2"),
    ] {
        let shown = run(&circles(program)).map(|_| ()).unwrap_err().message;
        assert_eq!(shown, message, "{program}");
    }
    let shown = run(&circles("(error (memv 2 c))")).map(|_| ()).unwrap_err().message;
    assert!(shown.starts_with("(2 3 1 2 3") && shown.ends_with("...") && shown.len() < 5_000, "{shown}");
    for program in [
        "(equal? c (list-tail c 3))",
        "(equal? d (list d))",
        "(map car (list c))(map + c c)",
        "(for-each (lambda (x) x) c)",
        "(filter number? c)",
        "(memq 'nothing c)",
        "(assq 'nothing (begin (set-car! c '(a)) (set-car! (cdr c) '(b)) (set-car! (cddr c) '(d)) c))",
        "(member c c)",
        "(list-tail c 4000000000000000000)",
        "(flatten c)",
        "(flatten d)",
        "(eval (cons 'begin c))",
        "(eval (cons '+ c))",
        "(eval (cons 'and c))",
        "(define v (make-vector 1000 0)) (vector->list v) (vector-set! v 0 v) (vector-set! v 999 v) (equal? v (vector v))\
         (define w (make-vector 1000 0)) (vector-set! w 0 w) (vector-set! w 999 w) (equal? v w)",
    ] {
        match run(&circles(program)) {
            Err(error) => assert_eq!(error.code, "budget", "{program}\n   {}", error.message),
            // What is the same object is not walked through.
            Ok(_) => panic!("ended well: {program}"),
        }
    }
    for program in [
        "(error \"circle\" c d)",
        "(allow c)",
        "(literal c)",
        "(car (list->vector d))",
        "(eval (cons 'let c))",
        "(eval (cons 'lambda c))",
        "(eval (cons 'cond c))",
        "(eval (list 'quasiquote d))",
        "(eval (list 'quasiquote c))",
        "(define v (make-vector 500000 0)) (vector-set! v 0 v) (vector-set! v 499999 v) (error \"vector\" v)",
    ] {
        let error = run(&circles(program)).map(|_| ()).unwrap_err();
        assert!(error.message.len() < 20_000, "{program}: {} bytes", error.message.len());
    }
}

#[test]
fn what_is_deep_is_freed_without_recursion() {
    for program in [
        "(let loop ((n 0) (x 1)) (if (< n 30000) (loop (+ n 1) (list x))))",
        "(let loop ((n 0) (x 1)) (if (< n 20000) (loop (+ n 1) (vector x))))",
        "(let loop ((n 0) (x 1)) (if (< n 20000) (loop (+ n 1) (let ((p (delay x))) (force p) p))))",
        "(let loop ((n 0) (x 1)) (if (< n 30000) (loop (+ n 1) (delay x))))",
        "(let loop ((n 0) (x 1)) (if (< n 30000) (loop (+ n 1) (lambda () x))))",
        "(define (second a b) b) (define (f n k) (if (> n 0) (f (- n 1) (second k (call/cc (lambda (c) c)))))) (f 20000 1)",
        "(let loop ((n 0) (x 1)) (if (< n 20000) (loop (+ n 1) (cons-stream x x))))",
        "(define-macro (deeper n) (if (> n 0) `(let ((x ,n)) (deeper ,(- n 1))) 1)) (deeper 1000)",
        "(define (f n) (if (> n 0) (cons 1 (f (- n 1))) '())) (f 20000)",
    ] {
        ends_well(program);
    }
    // And with an error half-way, while everything is still held.
    let error = run_amply("(define (f n x) (if (= n 0) (nope) (+ 1 (f (- n 1) (list x))))) (f 20000 1)");
    assert_eq!(error.map(|_| ()).unwrap_err().message, "unbound variable: nope");
}

#[test]
fn deep_filters_and_message_filters_are_refused() {
    fails(
        "(let loop ((n 0) (f (literal \"/\"))) (if (< n 100000) (loop (+ n 1) (require-not f))))",
        "filters nested too deep (limit 200)",
    );
    fails(
        "(let loop ((n 0) (f (literal \"/\"))) (loop (+ n 1) (require-any f f)))",
        "filter with too many tests (limit 1000000)",
    );
    fails("(define (f) (with-filter (literal \"/x\") (f))) (f)", "with-filter nested too deep (limit 200)");
    fails(
        "(let loop ((n 0) (m (apply-message-filter (deny mach-message-send)))) \
           (loop (+ n 1) (apply-message-filter (allow mach-lookup m))))",
        "a message filter cannot stand inside another one",
    );
}

#[test]
fn a_jump_leaves_nothing_open() {
    let rules = |program: &str| sbpl::write_rules(&run(program).unwrap().rules);
    assert_eq!(
        rules("(call/cc (lambda (k) (apply-message-filter (deny mach-message-send) (k 1)))) (deny file-read*)"),
        "(version 1)\n(deny file-read*)\n"
    );
    assert_eq!(
        rules("(call/cc (lambda (k) (with-filter (literal \"/x\") (k 1)))) (deny file-read*)"),
        "(version 1)\n(deny file-read*)\n"
    );
    // The other way round: back into the form, whose context holds again.
    assert_eq!(
        rules(
            "(define k #f) (define n 0) (with-filter (literal \"/x\") (call/cc (lambda (c) (set! k c))) (deny file-read*))\
             (set! n (+ n 1)) (if (< n 2) (k 1))"
        ),
        "(version 1)\n(deny file-read* (literal \"/x\"))\n(deny file-read* (literal \"/x\"))\n"
    );
    fails(
        "(define k #f) (apply-message-filter (call/cc (lambda (c) (set! k c))) (deny mach-message-send)) (k 1)",
        "continuation goes back into a finished apply-message-filter",
    );
}

#[test]
fn texts_that_are_all_nesting_or_all_size() {
    let long = |part: &str, count: usize| part.repeat(count);
    for (text, message) in [
        (long("(", 100_000), "lists nested too deep (limit 1000)"),
        (long("'", 100_000), "lists nested too deep (limit 1000)"),
        (long("#(", 100_000), "lists nested too deep (limit 1000)"),
        (long("`(", 100_000), "lists nested too deep (limit 1000)"),
        (long("(let ((x ", 100_000), "lists nested too deep (limit 1000)"),
        (long(")", 100_000), "syntax error: illegal token"),
        (long("\"", 99_999), "Error reading string"),
        (long(" ", 1_000_000), "no version specified"),
        (long(";", 1_000_000), "no version specified"),
        (long("; x\n", 300_000), "no version specified"),
        (format!("(quote ({}", long("x ", 300_000)), "syntax error: expecting ')'"),
        (format!("(quote {}{})", long("(", 998), long(")", 998)), "no version specified"),
        (format!("(quote {}x{})", long("`(,", 333), long(")", 333)), "no version specified"),
        (long("a", 1_000_000), ""),
    ] {
        let error = run_with(text.as_bytes(), |_| {}).map(|_| ()).unwrap_err();
        if message.is_empty() {
            assert!(error.message.starts_with("unbound variable: aaaa"), "{}", error.message);
        } else {
            assert_eq!(error.message, message, "{}", text.get(..20).unwrap_or(&text));
        }
        // Its place and excerpt are made from the text too.
        assert!(error.render(false).len() < 10_000_000);
    }
    // A list of 200,000 pairs: read, held, dropped.
    let million = format!("(version 1)(define l '({})) (length l)", long("(1 . \"two\") ", 100_000));
    assert!(run_with(million.as_bytes(), |options| options.budget = AMPLE).is_ok());
    // A rule of many filters, a body of many forms.
    let mut text = String::from("(version 1)(allow file-read*");
    for number in 0..50_000 {
        let _ = write!(text, "(literal \"/{number}\")");
    }
    text.push(')');
    assert!(run_with(text.as_bytes(), |options| options.budget = AMPLE).is_ok());
}

#[test]
fn templates_nest_to_a_limit() {
    ends_well(&format!("`{}{}", "(".repeat(99), ")".repeat(99)));
    ends_well(&format!("`{}1{}", "(,`".repeat(300), ")".repeat(300)));
    let too_deep = "quasiquote nested too deep (limit 100)";
    fails(&format!("`{}{}", "(".repeat(990), ")".repeat(990)), too_deep);
    fails(&format!("`{}{}", "#(".repeat(990), ")".repeat(990)), too_deep);
    fails(&format!("{}x", "`".repeat(990)), too_deep);
    fails(
        "(define (nest n x) (if (= n 0) x (nest (- n 1) (list x)))) (eval (list 'quasiquote (nest 5000 1)))",
        too_deep,
    );
}

#[test]
fn imports_end() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("self.sb", "(version 1)(import \"self.sb\")");
    write("a.sb", "(import \"b.sb\")");
    write("b.sb", "(import \"./a.sb\")");
    write("dots.sb", "(define dots (string-append \"./\" dots)) (import (string-append dots \"dots.sb\"))");
    for number in 0..60 {
        let next = number + 1;
        write(&format!("twice{number}.sb"), &format!("(import \"twice{next}.sb\")(import \"twice{next}.sb\")"));
    }
    write("twice60.sb", "");
    std::fs::create_dir(folder.path().join("folder.sb")).unwrap();
    let import = |program: &str| {
        run_with(format!("(version 1)(define dots \"\"){program}").as_bytes(), |options| {
            options.import_directories = vec![folder.path().to_owned()];
        })
        .map(|_| ())
        .unwrap_err()
        .message
    };
    assert_eq!(import("(import \"self.sb\")"), "import cycle: \"self.sb\" imports itself");
    let cycle = import("(import \"a.sb\")");
    assert!(cycle.starts_with("import cycle") || cycle == "imports nested deeper than 64", "{cycle}");
    assert_eq!(import("(import \"dots.sb\")"), "imports nested deeper than 64");
    assert!(import("(import \"twice0.sb\")").starts_with("out of memory"));
    assert_eq!(import("(let loop () (import \"nope.sb\") (loop))"), "unable to open \"nope.sb\": not found");
    assert_eq!(import("(import \"folder.sb\")"), "unable to open \"folder.sb\": not a regular file");
    assert_eq!(import("(import \"/dev/zero\")"), "unable to open \"/dev/zero\": not a regular file");
}

/// As text it is no problem, as a pattern it is too long, with a place.
#[test]
fn a_string_of_ten_megabytes() {
    let long = "x".repeat(10 << 20);
    let roomy = Budget { bytes: 256 << 20, ..BUDGET };
    let text = format!("(version 1)\n(define long \"{long}\")\n(allow file-read* (literal long))");
    let error = run_with(text.as_bytes(), |options| options.budget = roomy).unwrap_err();
    assert_eq!(error.message, "pattern of 10485760 bytes is too long (limit 65,535)");
    assert_eq!((error.place.line, error.place.column), (3, 19));
}
