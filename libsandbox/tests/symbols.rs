//! In: the built library, and the header. Out: proof that the library exports the functions of the header and
//! nothing else.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;

use object::{Object, ObjectSymbol};

/// Names of functions in C: what stands before a parenthesis at the start of a declaration.
fn declared() -> BTreeSet<String> {
    let header = std::fs::read_to_string(common::include().join("sandbox.h")).unwrap();
    let code = header.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.filter(|line| !line.starts_with(['#', ' ']))
        .filter_map(|line| line.split_once('('))
        .filter_map(|(before, _)| before.rsplit([' ', '*']).next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_library_exports_the_functions_of_the_header() {
    let bytes = std::fs::read(common::library()).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let exported: BTreeSet<String> = file
        .dynamic_symbols()
        .filter(|symbol| symbol.is_definition())
        .map(|symbol| symbol.name().unwrap().to_owned())
        .collect();
    assert_eq!(declared().len(), 12, "{:?}", declared());
    assert_eq!(exported, declared());
}
