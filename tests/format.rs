#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! In: random soup of tokens, comments and white space. Out: that what can be read can be
//! formatted, to the same forms, and that formatting again changes nothing. Never: profiles that
//! make sense.
//!
//! `PROPTEST_CASES=100000 cargo test --test format` runs many.

use proptest::prelude::*;
use proptest::sample::select;
use sbtool::sbpl::reader::read_form;
use sbtool::sbpl::scheme::Symbols;
use sbtool::sbpl::source::Sources;
use sbtool::sbpl::{FormatError, format};

const ATOMS: &[&str] = &[
    "allow",
    "deny",
    "require-any",
    "define",
    "let",
    "let*",
    "if",
    "cond",
    "else",
    "do",
    "lambda",
    "begin",
    "with",
    "f",
    "file-read*",
    "x",
    ".",
    ".",
    ".x",
    "@x",
    "a\"b",
    "f'",
    "#t",
    "#o0004",
    "#\\(",
    "#\\;",
    "#\\ ",
    "#\\\n",
    "-1.50",
    "\"/a\"",
    "\"a long string that fills lines\"",
    "\"two\nlines\"",
    "\"\\\"\\x41\"",
    "#\"^/a\\.b$\"",
    "\"\r\n\"",
    "é",
    "()",
    "#()",
];

const BETWEEN: &[&str] = &[
    " ",
    " ",
    " ",
    " ",
    "",
    "\n",
    "\n",
    "\n  ",
    "\n\n",
    "\n\n\n",
    "\t",
    "   ",
    "\r\n",
    "\r\n\r\n",
    "\x0b",
    " ; c\n",
    ";c\n",
    "     ; far\n",
    "\n; own\n",
    "\n          ; deep\n",
    " ; c  \n             ; goes on\n",
    "\t;tab\n",
    "#!x\n",
    "; (f  x)\r\n",
    "\n\n;; c\n\n",
    " ;\n",
];

const PREFIXES: &[&str] = &["", "", "", "", "", "", "'", "`", ",", ",@", "' ", ", ", "'\n", ",;c\n", ". "];

/// Forms with anything between their parts; most of it can be read.
fn soup() -> impl Strategy<Value = String> {
    let between = || select(BETWEEN);
    let leaf = (select(PREFIXES), select(ATOMS)).prop_map(|(prefix, atom)| format!("{prefix}{atom}"));
    let form = leaf.prop_recursive(5, 60, 6, move |inner| {
        let items = proptest::collection::vec((inner, between()), 0..6);
        (select(PREFIXES), prop_oneof![4 => Just("("), 1 => Just("#(")], between(), items).prop_map(
            |(prefix, open, first, items)| {
                let items: String = items.into_iter().map(|(item, after)| item + after).collect();
                format!("{prefix}{open}{first}{items})")
            },
        )
    });
    proptest::collection::vec((form, between()), 0..5)
        .prop_map(|forms| forms.into_iter().map(|(form, after)| form + after).collect())
}

/// The forms as the reader writes them; nothing where it refuses the text.
fn forms(text: &[u8]) -> Option<Vec<String>> {
    let mut sources = Sources::default();
    let id = sources.add("t".to_owned(), text);
    let mut symbols = Symbols::default();
    let (mut position, mut out) = (0, Vec::new());
    while let Some(form) = read_form(id, sources.get(id)?, position, &mut symbols).ok()? {
        position = form.next;
        out.push(form.value.written());
    }
    Some(out)
}

fn holds(text: &[u8], width: usize) -> Result<(), TestCaseError> {
    let Some(wanted) = forms(text) else {
        prop_assert!(matches!(format("t", text, width), Err(FormatError::Unreadable(_))));
        return Ok(());
    };
    let once = format("t", text, width).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let shown = String::from_utf8_lossy(&once).into_owned();
    prop_assert_eq!(forms(&once), Some(wanted), "{}", shown);
    let twice = format("t", &once, width).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(&String::from_utf8_lossy(&twice), &shown);
    prop_assert!(once.is_empty() || once.ends_with(b"\n"));
    prop_assert!(!once.starts_with(b"\n"));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn formatting_keeps_the_forms_and_is_idempotent(text in soup(), width in select(vec![20usize, 40, 100])) {
        holds(text.as_bytes(), width)?;
    }

    #[test]
    fn bytes_are_formatted_or_refused(text in proptest::collection::vec(select(b"()';\"#.,@ \n\t\\ax\xff".to_vec()), 0..40)) {
        holds(&text, 20)?;
    }
}
