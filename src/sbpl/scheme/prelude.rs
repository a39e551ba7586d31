//! In: names that no scope binds. Out: the procedures and macros that are written in Scheme
//! (LANGUAGE.md §2.1, §2.2), each made when it is first asked for. Never: evaluation; a definition
//! is read and closed over the global scope, no more.

use std::rc::Rc;

use super::super::reader::read_form;
use super::machine::{Host, Machine};
use super::value::{Closure, Symbol, Value};

/// What a text defines.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `(parameters body…)` of a procedure.
    Procedure,
    /// `(parameters body…)` of a macro.
    Macro,
    /// A value.
    Datum,
}

use Kind::{Datum, Macro, Procedure};

/// Name, kind, text.
const DEFINITIONS: &[(&str, Kind, &str)] = &[
    ("*handlers*", Datum, "()"),
    ("push-handler", Procedure, "((handler) (set! *handlers* (cons handler *handlers*)))"),
    ("pop-handler", Procedure, "(() (let ((handler (car *handlers*))) (set! *handlers* (cdr *handlers*)) handler))"),
    ("more-handlers?", Procedure, "(() (pair? *handlers*))"),
    ("throw", Procedure, "(objects (if (more-handlers?) (apply (pop-handler) objects) (apply error objects)))"),
    // The first form is the value when the others throw.
    (
        "catch",
        Macro,
        "((form) (let ((leave (gensym)) (value (gensym)))
           `(call/cc (lambda (,leave)
              (push-handler (lambda ignored (,leave ,(cadr form))))
              (let ((,value (begin ,@(cddr form)))) (pop-handler) ,value)))))",
    ),
    ("make-environment", Macro, "((form) `((lambda () ,@(cdr form) (current-environment))))"),
    ("define-with-return", Macro, "((form) `(define ,(cadr form) (call/cc (lambda (return) ,@(cddr form)))))"),
    ("*features*", Datum, "(srfi-0 tinyscheme)"),
    (
        "cond-expand",
        Macro,
        "((form)
           (define (holds? wanted)
             (if (pair? wanted)
                 (case (car wanted)
                   ((and) (all? (cdr wanted)))
                   ((or) (any? (cdr wanted)))
                   ((not) (not (holds? (cadr wanted))))
                   (else #f))
                 (or (eq? wanted 'else) (pair? (memq wanted *features*)))))
           (define (all? list) (or (null? list) (and (holds? (car list)) (all? (cdr list)))))
           (define (any? list) (and (pair? list) (or (holds? (car list)) (any? (cdr list)))))
           (let loop ((clauses (cdr form)))
             (cond ((null? clauses) #f)
                   ((holds? (caar clauses)) (cons 'begin (cdar clauses)))
                   (else (loop (cdr clauses))))))",
    ),
    ("unzip1-with-cdr", Procedure, "(lists (cons (map car lists) (map cdr lists)))"),
    (
        "generic-member",
        Procedure,
        "((same? object list)
           (cond ((null? list) #f)
                 ((same? object (car list)) list)
                 (else (generic-member same? object (cdr list)))))",
    ),
    (
        "generic-assoc",
        Procedure,
        "((same? object list)
           (cond ((null? list) #f)
                 ((same? object (caar list)) (car list))
                 (else (generic-assoc same? object (cdr list)))))",
    ),
];

/// The value of a name that is defined here.
pub(super) fn global<H: Host>(machine: &mut Machine<H>, name: &Symbol) -> Option<Value> {
    let (_, kind, text) = DEFINITIONS.iter().find(|(known, ..)| *known == name.name())?;
    let id = machine.sources.add(String::from("<sbtool library>"), text.as_bytes());
    let form = read_form(id, machine.sources.get(id)?, 0, &mut machine.symbols).ok()??.value;
    if *kind == Datum {
        return Some(form);
    }
    let Value::Pair(definition) = form else { return None };
    let mut parameters = Vec::new();
    let mut rest = definition.car();
    while let Value::Pair(pair) = rest {
        let Value::Symbol(parameter) = pair.car() else { return None };
        parameters.push(parameter);
        rest = pair.cdr();
    }
    let closure = Rc::new(Closure {
        parameters: parameters.into(),
        rest: if let Value::Symbol(rest) = rest { Some(rest) } else { None },
        body: definition.cdr(),
        environment: machine.global.clone(),
        name: Some(name.clone()),
    });
    Some(if *kind == Macro { Value::Macro(closure) } else { Value::Closure(closure) })
}
