#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! In: Scheme programs inside a profile. Out: their values, which `error` shows, against
//! LANGUAGE.md §2. Never: rules; what operations and filters mean is tests/language.rs.

use sbtool::sbpl::{self, Options};
use sbtool::vocabulary::Release;

/// The message of the error that the program ends in.
fn error(program: &str) -> String {
    let options = Options::new(Release::named("macos-14.4").unwrap());
    let text = format!("(version 1)\n{program}");
    match sbpl::evaluate("<input string>", text.as_bytes(), &options) {
        Ok(_) => panic!("no error: {program}"),
        Err(error) => error.message,
    }
}

/// The value of the last of several forms, as `write` shows it.
fn value(program: &str) -> String {
    let shown = error(&format!("(error \"=>\" (let () {program}))"));
    shown.strip_prefix("=> ").map_or_else(|| format!("error: {shown}"), str::to_owned)
}

fn check(rows: &[(&str, &str)]) {
    let wrong: Vec<String> = rows
        .iter()
        .map(|(program, wanted)| (program, wanted, value(program)))
        .filter(|(_, wanted, got)| *wanted != got)
        .map(|(program, wanted, got)| format!("{program}\n   {got}, wanted {wanted}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn tail_calls_do_not_grow() {
    check(&[
        ("(let loop ((n 0)) (if (< n 1000000) (loop (+ n 1)) n))", "1000000"),
        ("(let loop ((n 0)) (cond ((< n 10000) (loop (+ n 1))) (else n)))", "10000"),
        ("(let loop ((n 0)) (and #t (or #f (if (< n 10000) (begin 1 (loop (+ n 1))) n))))", "10000"),
        ("(let loop ((n 0)) (case (< n 10000) ((#t) (when #t (loop (+ n 1)))) (else n)))", "10000"),
        ("(define (f n) (let* ((m (+ n 1))) (letrec ((x m)) (if (< x 10000) (apply f (list x)) x)))) (f 0)", "10000"),
        (
            "(define (even n) (if (= n 0) #t (odd (- n 1)))) (define (odd n) (if (= n 0) #f (even (- n 1)))) (even 10000)",
            "#t",
        ),
        ("(do ((n 0 (+ n 1)) (sum 0 (+ sum n))) ((= n 1000) sum))", "499500"),
    ]);
}

#[test]
fn recursion_is_as_deep_as_memory() {
    check(&[
        ("(define (count n) (if (= n 0) 0 (+ 1 (count (- n 1))))) (count 100000)", "100000"),
        (
            "(define (copy l) (if (null? l) l (cons (car l) (copy (cdr l))))) (define (make n) (if (= n 0) '() (cons n (make (- n 1))))) (length (copy (make 20000)))",
            "20000",
        ),
    ]);
}

#[test]
fn continuations_are_full() {
    check(&[
        ("(+ 1 (call/cc (lambda (k) (+ 10 (k 1)))))", "2"),
        (
            "(define k #f) (define n 0) (define r (+ 100 (call-with-current-continuation (lambda (c) (set! k c) 1)))) (set! n (+ n 1)) (if (< n 3) (k n)) (list n r)",
            "(3 102)",
        ),
        (
            "(define k #f) (define n 0) (define r (map (lambda (x) (call/cc (lambda (c) (if (= x 2) (set! k c)) x))) '(1 2 3))) (set! n (+ n 1)) (if (< n 3) (k (* n 10)) r)",
            "(1 20 3)",
        ),
        (
            "(define r '()) (for-each (lambda (x) (call/cc (lambda (k) (if (= x 2) (k 'skip)) (set! r (cons x r))))) '(1 2 3)) r",
            "(3 1)",
        ),
        (
            "(define (generate l) (define return #f) (define (next) (for-each (lambda (x) (call/cc (lambda (resume) (set! next (lambda () (resume #t))) (return x)))) l) (return 'end)) (lambda () (call/cc (lambda (r) (set! return r) (next))))) (define g (generate '(a b))) (let* ((x (g)) (y (g)) (z (g))) (list x y z))",
            "(a b end)",
        ),
        ("(call/cc procedure?)", "#t"),
    ]);
}

#[test]
fn quasiquote_nests_and_splices() {
    check(&[
        ("(define x 5) `(a ,x ,@(list 1 2) b)", "(a 5 1 2 b)"),
        ("(define x 5) `(a . ,x)", "(a . 5)"),
        ("`(1 ,@'() . 2)", "(1 . 2)"),
        ("`#(1 ,(+ 1 1) ,@(list 3 4))", "#(1 2 3 4)"),
        ("`(a `(b ,(c ,(+ 1 2))))", "(a (quasiquote (b (unquote (c 3)))))"),
        ("`(a `(b ,(c ,@(list 1 2))))", "(a (quasiquote (b (unquote (c 1 2)))))"),
        ("`(a (b ,@(map (lambda (x) (* x x)) '(1 2 3))) ((,1)))", "(a (b 1 4 9) ((1)))"),
        ("`,(+ 1 2)", "3"),
        ("`x", "x"),
        ("`()", "()"),
        ("(let ((list vector) (cons +)) `(1 ,(- 3 1)))", "(1 2)"),
    ]);
}

#[test]
fn binding_forms() {
    check(&[
        ("(let* ((x 1) (y (+ x 1)) (x (+ y 1))) (list x y))", "(3 2)"),
        (
            "(letrec ((e? (lambda (n) (if (= n 0) #t (o? (- n 1))))) (o? (lambda (n) (if (= n 0) #f (e? (- n 1)))))) (e? 10))",
            "#t",
        ),
        ("(let loop ((i 0) (acc '())) (if (= i 3) (reverse acc) (loop (+ i 1) (cons i acc))))", "(0 1 2)"),
        ("(define (f a . rest) (list a rest)) (list (f 1) (f 1 2 3))", "((1 ()) (1 (2 3)))"),
        ("((lambda all all) 1 2)", "(1 2)"),
        ("(define (f) (define x 1) (define (g) (+ x 1)) (g)) (f)", "2"),
        ("(define x 1) (define (f) (set! x (+ x 1)) x) (f) (f)", "3"),
        ("(define x 3)", "x"),
        ("(define car cdr) (car '(1 2))", "(2)"),
        ("(let ((x 1)) (let ((x 2) (y x)) (list x y)))", "(2 1)"),
        ("(do ((v (make-vector 3)) (i 0 (+ i 1))) ((= i 3) v) (vector-set! v i i))", "#(0 1 2)"),
    ]);
}

#[test]
fn conditionals() {
    check(&[
        ("(cond ((assv 'b '((a 1) (b 2))) => cadr) (else 'no))", "2"),
        ("(cond (#f 1) (2))", "2"),
        ("(cond (#f 1))", "()"),
        ("(cond ((= 1 1) 'a 'b) (else 'c))", "b"),
        ("(case (* 2 3) ((2 3 5 7) 'prime) ((1 4 6 8 9) 'composite))", "composite"),
        ("(case 'x ((y) 1) (else 2))", "2"),
        ("(case 1.0 ((1) 'same) (else 'other))", "same"),
        ("(case \"a\" ((\"a\") 'same) (else 'other))", "other"),
        ("(if #f 1)", "()"),
        ("(if '() 1 2)", "1"),
        ("(if 0 1 2)", "1"),
        ("(list (and) (or) (and 1 2) (or #f 3) (and 1 #f 2))", "(#t #f 2 3 #f)"),
        ("(list (when #f 1) (when #t 1 2) (unless #f 3) (unless #t 4))", "(() 2 3 ())"),
    ]);
}

#[test]
fn macros_get_forms() {
    check(&[
        (
            "(define-macro (swap a b) `(let ((t ,a)) (set! ,a ,b) (set! ,b t))) (define x 1) (define y 2) (swap x y) (list x y)",
            "(2 1)",
        ),
        (
            "(define-macro (my-or . forms) (if (null? forms) #f `(let ((v ,(car forms))) (if v v (my-or ,@(cdr forms)))))) (my-or #f #f 3)",
            "3",
        ),
        ("(macro (whole form) `(quote ,form)) (whole 1 (+ 1 2))", "(whole 1 (+ 1 2))"),
        ("(macro (debug2 args)) (debug2 anything)", "()"),
        (
            "(macro twice (lambda (form) `(begin ,(cadr form) ,(cadr form)))) (define n 0) (twice (set! n (+ n 1))) n",
            "2",
        ),
        ("(define x 'outer) (define-macro (get) 'x) (let ((x 'inner)) (get))", "inner"),
        ("(define-macro (loop-to n) `(let again ((i 0)) (if (< i ,n) (again (+ i 1)) i))) (loop-to 1000)", "1000"),
    ]);
}

#[test]
fn procedures_over_lists() {
    check(&[
        ("((lambda (a b) (list b a)) 1 2 3 4)", "(2 1)"),
        ("(map + '(1 2 3) '(10 20 30) '(100 200 300))", "(111 222 333)"),
        ("(map (lambda (x y) (list x y)) '(1 2 3) '(a b))", "((1 a) (2 b))"),
        ("(let ((r '())) (map (lambda (x) (set! r (cons x r))) '(1 2 3)) r)", "(3 2 1)"),
        ("(let ((r '())) (for-each (lambda (x y) (set! r (cons (+ x y) r))) '(1 2) '(10 20)) r)", "(22 11)"),
        ("(for-each car '())", "#t"),
        ("(filter (lambda (x) (> x 1)) '(1 2 3))", "(2 3)"),
        ("(partition (lambda (x) (> x 1)) '(1 2 3))", "((2 3) (1))"),
        ("(foldr - 0 '(1 2 3))", "-6"),
        ("(apply + 1 2 '(3 4))", "10"),
        ("(list (take '(1 2 3) 2) (drop '(1 2 3) 2))", "((1 2) (3))"),
        ("(flatten '(1 (2 (3)) () 4))", "(1 2 3 4)"),
        ("(append '(1) '(2 3) '() 4)", "(1 2 3 . 4)"),
        ("(list* 1 2 '(3))", "(1 2 3)"),
        (
            "(list (length '(1 2)) (reverse '(1 2)) (list-tail '(1 2 3) 1) (list-ref '(1 2 3) 2) (last-pair '(1 2)))",
            "(2 (2 1) (2 3) 3 (2))",
        ),
        (
            "(list (memq 'b '(a b c)) (member \"b\" '(\"a\" \"b\")) (memv 2 '(1 2)) (assq 'b '((a . 1) (b . 2))) (assoc \"x\" '()))",
            "((b c) (\"b\") (2) (b . 2) #f)",
        ),
        (
            "(list (equal? '(1 #(2 \"a\")) '(1 #(2 \"a\"))) (eqv? 1 1.0) (eq? 'a 'a) (eqv? \"a\" \"a\"))",
            "(#t #t #t #f)",
        ),
        ("(acons 1 2 '())", "((1 . 2))"),
        ("(list->vector (vector->list #(1 2)))", "#(1 2)"),
        ("(let ((v (make-vector 2 0))) (vector-fill! v 7) v)", "#(7 7)"),
        ("(list (gcd 12 18) (lcm 4 6) (gcd) (lcm) (abs -3) (max 1 3 2) (min 3 1))", "(6 12 0 1 3 3 1)"),
        ("(list (quotient 7 2) (remainder -7 2) (modulo -7 2) (/ 6 3) (/ 1 2) (+) (*) (- 3))", "(3 -1 1 2 0.5 0 1 -3)"),
    ]);
}

#[test]
fn strings_and_their_bounds() {
    check(&[
        ("(string-append \"a\" \"b\" \"\")", "\"ab\""),
        ("(substring \"hello\" 1 3)", "\"el\""),
        ("(substring \"hello\" 2)", "\"llo\""),
        ("(string-ref \"abc\" 1)", "#\\b"),
        ("(string-length \"abc\")", "3"),
        ("(list->string (reverse (string->list \"abc\")))", "\"cba\""),
        ("(let ((s (make-string 2 #\\x))) (string-set! s 1 #\\y) s)", "\"xy\""),
        ("(let ((s (string-copy \"abc\"))) (string-fill! s #\\z) s)", "\"zzz\""),
        (
            "(list (string->symbol \"a b\") (symbol->string 'x) (number->string 10) (string->number \"12\") (string->number \"ff\" 16))",
            "(a b \"x\" \"10\" 12 255)",
        ),
        (
            "(list (string<? \"a\" \"b\") (string=? \"a\" \"a\") (string-ci=? \"A\" \"a\") (char<? #\\a #\\b) (char-upcase #\\a))",
            "(#t #t #t #t #\\A)",
        ),
        ("(string-ref \"abc\" 3)", "error: string-ref: out of bounds: 3"),
        ("(string-ref \"abc\" -1)", "error: string-ref: out of bounds: -1"),
        ("(substring \"abc\" 4)", "error: substring: start out of bounds: 4"),
        ("(substring \"abc\" 1 9)", "error: substring: end out of bounds: 9"),
        ("(substring \"abc\" 2 1)", "error: substring: end out of bounds: 1"),
        ("(vector-ref #(1 2) 2)", "error: vector-ref: out of bounds: 2"),
        ("(string-append #f \"a\")", "error: string-append: argument 1 must be: string"),
        ("(string-append \"a\" 'b)", "error: string-append: argument 2 must be: string"),
        ("(string->number \"abc\")", "error: string->xxx: not a xxx"),
        ("(string-set! \"literal\" 0 #\\a)", "error: string-set!: unable to alter immutable string: \"literal\""),
    ]);
}

#[test]
fn errors_have_the_texts_of_the_specification() {
    check(&[
        ("nope", "error: unbound variable: nope"),
        ("(nope 1)", "error: unbound variable: nope"),
        ("(1 2)", "error: illegal function"),
        ("((lambda (a b) a) 1)", "error: not enough arguments"),
        ("(car 1)", "error: car: argument 1 must be: pair"),
        ("(car)", "error: car: needs 1 argument"),
        ("(cons 1)", "error: cons: needs 2 arguments"),
        ("(apply)", "error: apply: needs at least 1 argument"),
        ("(eval 1 2 3)", "error: eval: needs at most 2 arguments"),
        ("(set! nope 1)", "error: set!: unbound variable: nope"),
        ("(/ 1 0)", "error: /: division by zero"),
        ("(+ 1 'a)", "error: +: argument 2 must be: number"),
        ("(error \"m\" 1 \"two\" 'three '(4 \"5\"))", "error: m 1 \"two\" three (4 \"5\")"),
    ]);
}

#[test]
fn promises_and_streams() {
    check(&[
        ("(define n 0) (define p (delay (begin (set! n (+ n 1)) n))) (force p) (force p) (list n (force p))", "(1 1)"),
        ("(force 5)", "5"),
        ("(define (from n) (cons-stream n (from (+ n 1)))) (head (tail (tail (from 1))))", "3"),
        (
            "(define (from n) (cons-stream n (from (+ n 1)))) (define (nth s n) (if (= n 0) (head s) (nth (tail s) (- n 1)))) (nth (from 0) 1000)",
            "1000",
        ),
    ]);
}

#[test]
fn environments_and_text() {
    check(&[
        ("(eval '(+ 1 2))", "3"),
        ("(define x 1) (eval 'x (let ((x 2)) (current-environment)))", "2"),
        ("(list (defined? 'car) (defined? 'nope) (defined? 'file-read*) (let ((y 1)) (defined? 'y)))", "(#t #f #t #t)"),
        ("(read (open-input-string \"(a . b) c\"))", "(a . b)"),
        ("(let ((p (open-input-string \"1 2\"))) (list (read p) (read p) (eof-object? (read p))))", "(1 2 #t)"),
        (
            "(let ((p (open-input-string \"ab\"))) (list (peek-char p) (read-char p) (read-char p) (eof-object? (read-char p))))",
            "(#\\a #\\a #\\b #t)",
        ),
        ("(catch 'caught (+ 1 (throw 'x)))", "caught"),
        ("(catch 'caught 1 2)", "2"),
        ("(cond-expand (nope 1) (else 2))", "2"),
        ("(macro-expand '(nope 1))", "error: unbound variable: nope"),
    ]);
}

/// LANGUAGE.md §2.1: what is a macro in the original can be bound, what is native cannot.
#[test]
fn a_program_may_bind_names_of_forms() {
    check(&[
        ("(define-macro (when test . body) `(list 'mine ,@body)) (when #f 1)", "(mine 1)"),
        ("(define (unless x) (list 'mine x)) (unless 1)", "(mine 1)"),
        ("(let ((do (lambda (x) x))) (do 5))", "5"),
        ("((lambda (debug) (debug 1)) list)", "(1)"),
        ("(define (debug . args) args) (debug 1 2)", "(1 2)"),
        ("(define (with-filter a b) (list a b)) (with-filter 1 2)", "(1 2)"),
        ("(define (if2 if) (if #t 1 2)) (if2 list)", "1"),
        ("(list (defined? 'when) (defined? 'if) (defined? 'debug))", "(#t #f #t)"),
    ]);
}

#[test]
fn the_library_in_scheme() {
    check(&[
        ("(catch (list 1 2) (throw 'a) 3)", "(1 2)"),
        ("(catch 0 (catch 1 (throw 'a)) (throw 'b))", "0"),
        ("(throw \"nobody\" 1)", "error: nobody 1"),
        ("(catch 1 (car 2))", "error: car: argument 1 must be: pair"),
        ("(define-with-return (f x) (if (> x 1) (return 'large)) 'small) (list (f 1) (f 2))", "(small large)"),
        ("(eval '(+ a b) (make-environment (define a 1) (define b 2)))", "3"),
        ("(cond-expand ((and srfi-0 (not nope)) 1) (else 2))", "1"),
        ("(unzip1-with-cdr '(1 2) '(3 4))", "((1 3) (2) (4))"),
        ("(list (generic-member = 2 '(1 2 3)) (generic-assoc = 2 '((1 . a) (2 . b))))", "((2 3) (2 . b))"),
        ("(define-macro (m x) `(+ ,x 1)) (macro-expand '(m 2))", "error: unbound variable: m"),
        ("(define *handlers* '(mine)) *handlers*", "(mine)"),
        ("(read (open-input-string \"(a\"))", "error: syntax error: expecting ')'"),
        ("(map eval (let ((p (open-input-string \"(+ 1 2) 'x\"))) (list (read p) (read p))))", "(3 x)"),
        (
            "(list (string->atom \"12\") (string->atom \"a\") (exact->inexact 1) (exact? 1) (inexact? 1.5))",
            "(12 a 1.0 #t #t)",
        ),
        ("(list (vector-equal? #(1 (2)) #(1 (2))) (atom? '()) (atom? '(1)))", "(#t #t #f)"),
    ]);
}

/// Every name of LANGUAGE.md §2.1 and §2.2 that a profile may use. Left out are what it has no use
/// for or is refused here (§2.4): ports to files and for writing, `load`, `quit`, the garbage
/// collector, `oblist`, `put`, `get`, `get-closure-code`, `eval-polymorphic`, `random-next`.
#[test]
fn the_names_of_the_specification_are_bound() {
    let names = "quasiquote when unless do define-macro define-with-return catch make-environment cond-expand \
        eval apply call-with-current-continuation force + - * / quotient remainder modulo = < > <= >= \
        car cdr cons set-car! set-cdr! list* append reverse length assq eq? eqv? not \
        boolean? null? pair? list? symbol? number? integer? real? char? string? vector? procedure? closure? macro? \
        environment? eof-object? port? input-port? output-port? \
        char-alphabetic? char-numeric? char-whitespace? char-upper-case? char-lower-case? \
        char->integer integer->char char-upcase char-downcase symbol->string string->symbol atom->string string->atom \
        gensym make-string string-length string-ref string-set! string-append substring make-vector vector \
        vector-length vector-ref vector-set! defined? current-environment interaction-environment \
        write display newline write-char read read-char peek-char char-ready? open-input-string error \
        cadr cddddr caaaar exact? inexact? even? odd? zero? positive? negative? complex? rational? abs exact->inexact \
        <> max min succ pred gcd lcm call/cc string list->string string-fill! string->list string-copy string->number \
        number->string char=? char<? char>? char<=? char>=? char-ci=? string=? string<? string>=? string-ci=? \
        list foldr unzip1-with-cdr map for-each list-tail list-ref last-pair head tail vector-equal? list->vector \
        vector-fill! vector->list atom? equal? memq memv member assq assv assoc acons generic-member generic-assoc \
        macro-expand push-handler pop-handler more-handlers? throw filter partition take drop flatten";
    let missing: Vec<&str> =
        names.split_whitespace().filter(|name| value(&format!("(defined? '{name})")) != "#t").collect();
    assert!(missing.is_empty(), "not bound: {}", missing.join(" "));
}

/// Calls inside calls are partly evaluated before the machine waits for the others; order and
/// continuations must not show it.
#[test]
fn arguments_inside_arguments() {
    check(&[
        (
            "(define (f x) (string-append x \"f\")) (list (string-length (string-append \"a\" (f \"b\") \"c\")) 2)",
            "(4 2)",
        ),
        ("(define (f) 1) (+ 1 (- (* 2 (f)) (+ (f) (quotient (* 9 (f)) 2))) (f))", "-1"),
        ("(define (n x) x) (+ 1 (+ 2 (+ 3 (+ 4 (+ 5 (+ 6 (+ 7 (+ 8 (+ 9 (+ 10 (n 11)))))))))))", "66"),
        ("(+ 1 (+ 2 (+ 3 (+ 4 (+ 5 (+ 6 (+ 7 (+ 8 (+ 9 (+ 10 (+ 11 12)))))))))))", "78"),
        (
            "(define seen '()) (define (note x) (set! seen (cons x seen)) x) (list (note 1) (car (list (note 2))) (+ 0 (note 3))) (reverse seen)",
            "(1 2 3)",
        ),
        (
            "(define k #f) (define n 0) (define r (list 0 (+ 1 (call/cc (lambda (c) (set! k c) 10))) (+ 0 n))) (set! n (+ n 1)) (if (< n 3) (k n) r)",
            "(0 3 2)",
        ),
        // A name that was global becomes a local one of a scope that was there before.
        ("(define (f) (list car)) (define (g car) (car 1)) (g (lambda (x) (+ x 1)))", "2"),
        ("(let ((e (make-environment))) (eval '(define cdr 5) e) (list (eval 'cdr e) (cdr '(1 2))))", "(5 (2))"),
    ]);
}
