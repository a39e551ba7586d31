#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! In: the regex objects of real blobs, and expressions made here. Out: whether code, automaton,
//! expression and text say the same, each way. Never: files that have to be there; without the
//! blobs their tests are skipped.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::path::Path;

use proptest::prelude::*;
use sbtool::blob::regex_object::{read, write};
use sbtool::pattern::regex::{Automaton, Expression, RegexErrorKind, State, StateId, StructureError, parse};

// ---------------------------------------------------------------------------------------------
// Which automata match the same: decided, by walking both at once over all sets of states.

/// Whether a range list holds a byte: over the end where the bounds are the wrong way round, empty
/// where the lower is one above the upper.
fn holds(ranges: &[(u8, u8)], byte: u8) -> bool {
    ranges.iter().any(|(low, high)| match (low <= high, low.wrapping_sub(*high)) {
        (true, _) => (*low..=*high).contains(&byte),
        (false, 1) => false,
        (false, _) => byte >= *low || byte <= *high,
    })
}

/// The states that are reached without a byte. `None`: whatever follows, it matches.
fn reached(automaton: &Automaton, from: impl IntoIterator<Item = StateId>, first: bool) -> Option<BTreeSet<StateId>> {
    let mut out = BTreeSet::new();
    let mut work: Vec<StateId> = from.into_iter().collect();
    while let Some(id) = work.pop() {
        if !out.insert(id) {
            continue;
        }
        match &automaton.states[id.index()] {
            State::Accept | State::AcceptEmpty => return None,
            State::Fork(one, other) => work.extend([*one, *other]),
            State::Join(next) => work.push(*next),
            State::Start(next) if first => work.push(*next),
            _ => {}
        }
    }
    Some(out)
}

/// Whether a subject that ends here matches.
fn accepts_at_end(automaton: &Automaton, set: &Option<BTreeSet<StateId>>, first: bool) -> bool {
    let Some(set) = set else { return true };
    let mut seen = BTreeSet::new();
    let mut work: Vec<StateId> = set.iter().copied().collect();
    while let Some(id) = work.pop() {
        if !seen.insert(id) {
            continue;
        }
        match &automaton.states[id.index()] {
            State::Accept | State::AcceptEmpty => return true,
            State::Fork(one, other) => work.extend([*one, *other]),
            State::Join(next) | State::End(next) => work.push(*next),
            State::Start(next) if first => work.push(*next),
            _ => {}
        }
    }
    false
}

fn step(automaton: &Automaton, set: &Option<BTreeSet<StateId>>, byte: u8) -> Option<BTreeSet<StateId>> {
    let next = set.as_ref()?.iter().filter_map(|id| match &automaton.states[id.index()] {
        State::Byte(wanted, next) if *wanted == byte => Some(*next),
        State::Any(next) => Some(*next),
        State::Class(ranges, next) if holds(ranges, byte) => Some(*next),
        _ => None,
    });
    reached(automaton, next.collect::<Vec<_>>(), false)
}

/// One byte of each kind that the automata tell apart.
fn kinds(automata: [&Automaton; 2]) -> Vec<u8> {
    let mut by_kind: HashMap<Vec<bool>, u8> = HashMap::new();
    let states: HashSet<&State> = automata.iter().flat_map(|automaton| &automaton.states).collect();
    let mut sets: Vec<Box<dyn Fn(u8) -> bool>> = Vec::new();
    let (mut bytes, mut classes) = (BTreeSet::new(), BTreeSet::new());
    for state in states {
        match state {
            State::Byte(wanted, _) => drop(bytes.insert(*wanted)),
            State::Class(ranges, _) => drop(classes.insert(ranges.clone())),
            _ => {}
        }
    }
    sets.extend(bytes.into_iter().map(|wanted| Box::new(move |byte| byte == wanted) as Box<dyn Fn(u8) -> bool>));
    sets.extend(classes.into_iter().map(|set| Box::new(move |byte| holds(&set, byte)) as Box<dyn Fn(u8) -> bool>));
    for byte in 0..=u8::MAX {
        by_kind.entry(sets.iter().map(|set| set(byte)).collect()).or_insert(byte);
    }
    let mut out: Vec<u8> = by_kind.into_values().collect();
    out.sort_unstable();
    out
}

/// `None` where both match the same subjects, otherwise a subject that one of them matches.
fn difference(one: &Automaton, other: &Automaton) -> Option<Vec<u8>> {
    let kinds = kinds([one, other]);
    let start = (reached(one, [one.start], true), reached(other, [other.start], true));
    if accepts_at_end(one, &start.0, true) != accepts_at_end(other, &start.1, true) {
        return Some(Vec::new());
    }
    let mut seen = HashSet::from([start.clone()]);
    let mut work = VecDeque::from([(start, Vec::new())]);
    while let Some(((a, b), way)) = work.pop_front() {
        if !way.is_empty() && accepts_at_end(one, &a, false) != accepts_at_end(other, &b, false) {
            return Some(way);
        }
        for byte in &kinds {
            let next = (step(one, &a, *byte), step(other, &b, *byte));
            if seen.insert(next.clone()) {
                assert!(seen.len() < 200_000, "too many sets of states");
                work.push_back((next, [way.as_slice(), &[*byte]].concat()));
            }
        }
    }
    None
}

fn compiled(text: &[u8]) -> Automaton {
    Automaton::of(&[parse(text).unwrap_or_else(|e| panic!("{}: {e}", String::from_utf8_lossy(text)))]).unwrap()
}

#[test]
fn equivalence_is_decided() {
    let same = |a: &str, b: &str| difference(&compiled(a.as_bytes()), &compiled(b.as_bytes())).is_none();
    for (a, b) in
        [("a+", "aa*"), ("^(a|b)*$", "^(a*b*)*$"), ("", "x?"), ("^[^a-c]", "^[\u{0}-`d-\u{7f}]|^[^\u{0}-\u{7f}]")]
    {
        assert!(same(a, b), "{a} {b}");
    }
    for (a, b) in [("^a", "a"), ("a$", "a"), ("^(ab)*$", "^(a|b)*$"), ("^a.*b$", "^a.*b"), ("[^/]", "."), ("a", "b")] {
        assert!(!same(a, b), "{a} {b}");
    }
}

// ---------------------------------------------------------------------------------------------
// Real blobs.

fn half(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

/// The regex objects of a blob by a walk of its header and regex table (FORMAT.md §1.3, §1.5, §1.6).
fn objects(name: &str, bytes: &[u8]) -> Vec<Vec<u8>> {
    let byte = |at: usize| usize::from(bytes[at]);
    let word = |at: usize| half(bytes, at);
    if name == "ios9.3_collection.bin" {
        let table = 8 * word(2);
        let object = |index: usize| {
            let at = 8 * word(table + 2 * index);
            let length = word(at) + (word(at + 2) << 16);
            bytes[at + 4..at + 4 + length].to_vec()
        };
        return (0..word(4)).map(object).collect();
    }
    // Header size, operations, profiles, regexes, words of other tables, words of a record's head.
    let (head, operations, profiles, regexes, others, record) = match name {
        "ios13_collection.bin" => (12, byte(4), word(6), word(8), byte(10) + byte(11), 2),
        "ios17_platform.bin" => (14, byte(4), word(8), word(10), byte(5) + byte(6) + word(12), 2),
        "ios26_platform.bin" => (16, byte(4), word(10), word(12), byte(5) + byte(6) + byte(7) + word(8) + word(14), 4),
        other => panic!("{other} is not known"),
    };
    let is_collection = word(0) & 0x8000 != 0;
    let tables = if is_collection { profiles * (record + operations) } else { operations };
    let nodes = (head + 2 * (regexes + others + tables)).next_multiple_of(8);
    let pool = nodes + 8 * word(2);
    let object = |index: usize| {
        let at = pool + 8 * word(head + 2 * index);
        bytes[at + 2..at + 2 + word(at)].to_vec()
    };
    (0..regexes).map(object).collect()
}

fn blob(name: &str) -> Option<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/oracle/blobs").join(name);
    let bytes = std::fs::read(&path).ok();
    if bytes.is_none() {
        say(&format!("skipped: ../shared/oracle/blobs/{name} is not here"));
    }
    bytes
}

/// Objects with an alternative of nothing, `(x|)`, which is a jump in their code.
const EMPTY_ALTERNATIVES: &[(&str, &[usize])] = &[
    ("ios13_collection.bin", &[48]),
    ("ios17_platform.bin", &[5]),
    ("ios26_platform.bin", &[3]),
    ("ios9.3_collection.bin", &[54, 55, 57]),
];

/// Objects with an alternation at the end of an alternative that is not the first, `(a|b(c|d))`: its
/// ways meet at a jump of their own.
const INNER_ALTERNATIONS: &[(&str, &[usize])] = &[
    ("ios13_collection.bin", &[51, 52, 53]),
    ("ios17_platform.bin", &[]),
    ("ios26_platform.bin", &[]),
    ("ios9.3_collection.bin", &[65]),
];

/// Whether a fork's second branch is a jump into what its first branch leads to.
fn has_empty_alternative(automaton: &Automaton) -> bool {
    automaton.states.iter().enumerate().any(|(index, state)| match state {
        State::Fork(_, second) => {
            matches!(&automaton.states[second.index()], State::Join(to) if to.index() > index)
        }
        _ => false,
    })
}

/// Whether more than one way leads to a jump.
fn has_inner_alternation(automaton: &Automaton) -> bool {
    let mut links = vec![0; automaton.states.len()];
    for state in &automaton.states {
        match state {
            State::Byte(_, next)
            | State::Any(next)
            | State::Class(_, next)
            | State::Start(next)
            | State::End(next)
            | State::Join(next) => links[next.index()] += 1,
            State::Fork(first, second) => {
                links[first.index()] += 1;
                links[second.index()] += 1;
            }
            State::Accept | State::AcceptEmpty => {}
        }
    }
    automaton.states.iter().zip(links).any(|(state, links)| matches!(state, State::Join(_)) && links > 1)
}

/// Each object is an automaton that is the object again, and its text compiles to the object: no
/// exceptions. Each begins with `^` or searches: the matcher itself starts at the subject's start.
#[test]
fn objects_of_real_blobs_are_their_texts() {
    for (name, count, distinct, searching) in [
        ("ios13_collection.bin", 289, 289, 14),
        ("ios17_platform.bin", 8, 8, 0),
        ("ios26_platform.bin", 8, 8, 0),
        ("ios9.3_collection.bin", 362, 360, 9),
    ] {
        let Some(bytes) = blob(name) else { continue };
        let objects = objects(name, &bytes);
        assert_eq!(objects.len(), count, "{name}");
        let mut known: HashSet<&[u8]> = HashSet::new();
        let (mut searches, mut empty, mut inner) = (0, Vec::new(), Vec::new());
        for (index, object) in objects.iter().enumerate() {
            if !known.insert(object) {
                continue;
            }
            let automaton = read(object, 0).unwrap_or_else(|error| panic!("{name} {index}: {error}"));
            assert_eq!(write(&automaton).as_ref(), Some(object), "{name} {index}");
            assert_eq!(automaton.in_order(), automaton, "{name} {index}");
            let text = automaton.expression().unwrap_or_else(|error| panic!("{name} {index}: {error}")).text();
            let shown = String::from_utf8_lossy(&text);
            println!("{name} {index} {shown}");
            let again = compiled(&text);
            assert_eq!(difference(&again, &automaton), None, "{name} {index} {shown}");
            assert_eq!(again, automaton, "{name} {index} {shown}");
            assert_eq!(write(&again).as_ref(), Some(object), "{name} {index} {shown}");
            if !matches!(automaton.states[0], State::Start(_)) {
                assert!(!text.starts_with(b"^") && matches!(automaton.states[0], State::Fork(..)), "{shown}");
                searches += 1;
            }
            if has_empty_alternative(&automaton) {
                empty.push(index);
            }
            if has_inner_alternation(&automaton) {
                inner.push(index);
            }
        }
        say(&format!("{name}: {count} regex objects, {} distinct, all are their texts", known.len()));
        let pinned = |list: &[(&str, &'static [usize])]| list.iter().find(|(blob, _)| *blob == name).unwrap().1;
        assert_eq!((known.len(), searches), (distinct, searching), "{name}");
        assert_eq!(empty, pinned(EMPTY_ALTERNATIVES), "{name}");
        assert_eq!(inner, pinned(INNER_ALTERNATIONS), "{name}");
    }
}

/// What a few of them are called: what a person would have written.
#[test]
fn texts_of_real_objects() {
    for (name, index, text) in [
        ("ios17_platform.bin", 5, "^/private/var/Users/[0-9A-F-]+(/|)$"),
        ("ios26_platform.bin", 4, "^/mnt[1-9][0-9]*(/|$)"),
        ("ios13_collection.bin", 0, "^/private/var/containers/Shared/SystemGroup/[^/]+(/|$)"),
        // Any, by the accept of the empty expression.
        ("ios9.3_collection.bin", 15, ""),
    ] {
        let Some(bytes) = blob(name) else { continue };
        let automaton = read(&objects(name, &bytes)[index], 0).unwrap();
        assert_eq!(String::from_utf8(automaton.expression().unwrap().text()).unwrap(), text, "{name} {index}");
    }
}

/// The object of version 1 (FORMAT.md §1.1, §5).
#[test]
fn version_1_is_read() {
    let Some(bytes) = blob("macos10.6_sample1.bin") else { return };
    assert_eq!(half(&bytes, 2), 1);
    let at = 8 * half(&bytes, 8 * half(&bytes, 0));
    let length = half(&bytes, at) + (half(&bytes, at + 2) << 16);
    let automaton = read(&bytes[at + 4..at + 4 + length], 0).unwrap();
    assert_eq!(automaton.expression().unwrap().text(), b"^/tmp/woowoo$");
    assert_eq!(automaton, compiled(b"^/tmp/woowoo$"));
}

// ---------------------------------------------------------------------------------------------
// Text, expression, automaton and code, all ways.

/// Code to text, as a person would write it, and text to the same code.
#[test]
fn code_comes_back_as_it_was_written() {
    for text in [
        "^/private/var/(mobile|euser[0-9]+)",
        r"\.(aif|wav)$",
        "^/dev/bpf[0-9]+$",
        "^/private/var/folders/[^/]+/[^/]+/[^/]",
        "^/a/b/c*",
        "^(/|)$",
        "^(|/)$",
        "^/?$",
        "^(a|b|c(d|e)|f?)*x",
        "((a*)*b+)+",
        "(a+)?(b?)*(c?)+",
        "(ab|cd)+|e(f|(g|))",
        "a||b",
        "|",
        "(|a|)*$",
        "^^a$$b",
        "a^b$c",
        "[^./]",
        "[^/a-z]*",
        "[]a-]",
        "[^]^a-]",
        r"[\^a][*+.?]",
        r"[:[\\]",
        r"[+-[\:-z]",
        r"\^\.\[\$\(\)\|\*\+\?\{\\]}",
        ".*.+.?",
        "^.*$",
        "()",
        "()*a",
        "",
    ] {
        let automaton = compiled(text.as_bytes());
        let back = automaton.expression().unwrap_or_else(|error| panic!("{text}: {error}")).text();
        let again = compiled(&back);
        assert_eq!(difference(&automaton, &again), None, "{text}");
        let exact = !text.starts_with("()");
        if exact {
            assert_eq!(String::from_utf8_lossy(&back), text);
            assert_eq!(write(&again), write(&automaton), "{text}");
        }
        assert_eq!(read(&write(&automaton).unwrap(), 0).unwrap(), automaton, "{text}");
    }
}

/// States that no expression has are eliminated one by one: the text matches the same.
#[test]
fn other_states_have_an_equal_expression() {
    let to = StateId;
    // A loop with two ways in and two ways out.
    let states = vec![
        State::Fork(to(1), to(2)),
        State::Byte(b'a', to(3)),
        State::Byte(b'b', to(4)),
        State::Fork(to(2), to(5)),
        State::Fork(to(1), to(6)),
        State::Byte(b'c', to(7)),
        State::End(to(7)),
        State::Accept,
    ];
    let automaton = Automaton { states, start: to(0) };
    let text = automaton.expression().unwrap().text();
    assert_eq!(difference(&compiled(&text), &automaton), None, "{}", String::from_utf8_lossy(&text));
    // A branch first, its repeat second.
    let states = vec![State::Fork(to(1), to(2)), State::Accept, State::Byte(b'a', to(0))];
    let lazy = Automaton { states, start: to(0) };
    assert_eq!(lazy.expression().unwrap().text(), b"^a*");
    // Nothing matches.
    let never = Automaton { states: vec![State::Byte(b'a', to(0))], start: to(0) };
    let text = never.expression().unwrap().text();
    assert_eq!(difference(&compiled(&text), &never), None);
    let dangling = Automaton { states: vec![State::Any(to(7))], start: to(0) };
    assert_eq!(dangling.expression(), Err(StructureError::NoState(7)));
}

/// Where the expression would be too large the answer is an error, and soon.
#[test]
fn too_large_is_an_error() {
    let count = 300;
    // A byte after each fork, and the fork's other way leads far away: no expression of a reasonable size.
    let mut states: Vec<State> = (0..count)
        .map(|index: u32| match index % 2 {
            0 => State::Fork(StateId(index + 1), StateId((index * 7919 + 5) % count)),
            _ => State::Byte(index.to_le_bytes()[0], StateId(index + 1)),
        })
        .collect();
    states.push(State::Accept);
    let automaton = Automaton { states, start: StateId(0) };
    let start = std::time::Instant::now();
    assert_eq!(automaton.expression(), Err(StructureError::TooLarge));
    assert!(start.elapsed().as_secs() < 20);
}

/// Code that has no meaning is refused, with the place.
#[test]
fn code_without_meaning_is_refused() {
    let object = |code: &[u8]| [&[0, 0, 0, 3], &u16::try_from(code.len()).unwrap().to_le_bytes()[..], code].concat();
    assert!(read(&object(&[0x15, 0]), 0).is_ok() && read(&object(&[0xf5, 0xff]), 0).is_ok());
    for (code, offset) in [
        // Accepts whose operand is not known.
        (&[0x15, 1][..], 106),
        (&[0xf5, 0], 106),
        (&[0x25, 0], 106),
        // An instruction that is not known.
        (&[0x19, 0x39], 107),
        // A jump into an instruction, beyond the end, and the end itself.
        (&[0x0a, 4, 0, 0x02, 0x61, 0x15, 0], 110),
        (&[0x0a, 99, 0], 109),
        (&[0x09], 107),
        // Jumps in a circle.
        (&[0x2f, 6, 0, 0x0a, 6, 0, 0x0a, 3, 0], 109),
    ] {
        let error = read(&object(code), 100).unwrap_err().to_string();
        assert!(error.contains(&format!("offset {offset}:")), "{code:02x?}: {error}");
    }
    for (version, rest) in [(0, 0), (4, 0), (1, 3), (2, 3)] {
        assert!(read(&[&[0, 0, 0, version], vec![rest; 20].as_slice()].concat(), 0).is_err(), "{version}");
    }
}

fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![4 => prop_oneof![Just(b'a'), Just(b'b'), Just(b'/')], 1 => any::<u8>()]
}

fn ranges() -> impl Strategy<Value = Vec<(u8, u8)>> {
    let range = (byte(), prop_oneof![2 => Just(0u8), 1 => any::<u8>()]);
    proptest::collection::vec(range.prop_map(|(low, length)| (low, low.saturating_add(length))), 1..5).prop_map(
        |mut list| {
            list.sort_unstable();
            list.dedup();
            list
        },
    )
}

fn expression() -> impl Strategy<Value = Expression> {
    let leaf = prop_oneof![
        1 => Just(Expression::Empty),
        6 => byte().prop_map(Expression::Byte),
        1 => Just(Expression::Any),
        2 => ranges().prop_map(Expression::Class),
        2 => ranges().prop_map(Expression::NegatedClass),
        1 => Just(Expression::Start),
        1 => Just(Expression::End),
    ];
    leaf.prop_recursive(5, 32, 4, |inner| {
        prop_oneof![
            3 => proptest::collection::vec(inner.clone(), 1..5).prop_map(Expression::Sequence),
            2 => proptest::collection::vec(inner.clone(), 2..4).prop_map(Expression::Alternation),
            1 => inner.clone().prop_map(|e| Expression::Star(Box::new(e))),
            1 => inner.clone().prop_map(|e| Expression::Plus(Box::new(e))),
            1 => inner.prop_map(|e| Expression::Optional(Box::new(e))),
        ]
    })
}

/// Any states, with links that lead somewhere.
fn automaton() -> impl Strategy<Value = Automaton> {
    (1u32..9).prop_flat_map(|count| {
        let to = move || (0..count).prop_map(StateId);
        let state = prop_oneof![
            3 => (byte(), to()).prop_map(|(byte, next)| State::Byte(byte, next)),
            1 => to().prop_map(State::Any),
            1 => (proptest::collection::vec((byte(), byte()), 0..4), to()).prop_map(|(set, next)| State::Class(set, next)),
            1 => to().prop_map(State::Start),
            1 => to().prop_map(State::End),
            1 => to().prop_map(State::Join),
            4 => (to(), to()).prop_map(|(first, second)| State::Fork(first, second)),
            1 => Just(State::Accept),
        ];
        let size = count as usize;
        proptest::collection::vec(state, size..=size)
            .prop_map(|states| Automaton { states, start: StateId(0) })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// The text of an expression says the same; and the automaton's own expression, too.
    #[test]
    fn texts_mean_their_expressions(e in expression()) {
        let automaton = Automaton::of(std::slice::from_ref(&e)).unwrap();
        let text = e.text();
        prop_assert_eq!(difference(&compiled(&text), &automaton), None, "{}", String::from_utf8_lossy(&text));
        let bytes = write(&automaton).unwrap();
        prop_assert_eq!(&read(&bytes, 0).unwrap(), &automaton);
        prop_assert_eq!(&automaton.in_order(), &automaton);
        let structured = automaton.structured();
        prop_assert!(structured.is_some());
        let text = structured.unwrap().text();
        prop_assert_eq!(&compiled(&text), &automaton, "{}", String::from_utf8_lossy(&text));
        let text = automaton.expression().unwrap().text();
        prop_assert_eq!(difference(&compiled(&text), &automaton), None, "{}", String::from_utf8_lossy(&text));
    }

    /// One object of several expressions matches what one of them matches, and has a text.
    #[test]
    fn several_are_an_alternation(
        shared in "\\^?[ab/]{0,3}",
        rests in proptest::collection::vec(prop_oneof![3 => "(a|b|/|\\[ab\\]\\+|\\.\\*|\\(a\\|b\\)){0,3}\\$?", 1 => "\\^a"], 2..5),
    ) {
        let texts: Vec<String> = rests.iter().map(|rest| format!("{shared}{rest}")).collect();
        let list: Vec<Expression> = texts.iter().map(|text| parse(text.as_bytes()).unwrap()).collect();
        let several = Automaton::of(&list).unwrap();
        let alternation = Automaton::of(&[Expression::Alternation(list)]).unwrap();
        prop_assert_eq!(difference(&several, &alternation), None, "{:?}", texts);
        let text = several.structured().unwrap().text();
        prop_assert_eq!(compiled(&text), several, "{:?} {}", texts, String::from_utf8_lossy(&text));
    }

    /// The automaton matches what the reference matcher finds, on any bytes.
    #[test]
    fn automata_mean_their_expressions(
        e in expression(),
        subjects in proptest::collection::vec(proptest::collection::vec(byte(), 0..8), 1..8),
    ) {
        let reference = e.reference(false).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let automaton = Automaton::of(std::slice::from_ref(&e)).unwrap();
        for subject in subjects {
            prop_assert_eq!(automaton.matches(&subject), reference.is_match(&subject), "{:?} {:?}", e, subject);
        }
    }

    /// Any states at all: order, code and expression change nothing.
    #[test]
    fn any_states_keep_their_meaning(a in automaton()) {
        prop_assert_eq!(difference(&a.in_order(), &a), None);
        let Ok(expression) = a.expression() else { return Ok(()) };
        let text = expression.text();
        prop_assert_eq!(difference(&compiled(&text), &a), None, "{}", String::from_utf8_lossy(&text));
        // Joins in a circle are code that cannot be read.
        if let Ok(back) = read(&write(&a).unwrap(), 0) {
            prop_assert_eq!(difference(&back, &a), None);
            prop_assert_eq!(read(&write(&back).unwrap(), 0).unwrap(), back);
        }
    }

    /// The dialect against the parser of the `regex` crate, on what both have.
    #[test]
    fn the_dialect_is_the_usual_one(
        tokens in proptest::collection::vec(
            prop::sample::select(vec![
                "a", "b", "/", ".", "^", "$", "*", "+", "?", "|", "(", ")", "()", "(a|", "|b)", "[]a]", "[^]a]", "[a-b]",
                "[^/]", "[a-]", "[^a-]", "[.^$*]", r"\.", r"\*", r"\\", r"\^", r"[\]^]", r"[\\a]", r"[^\^/]", "\n", "a|",
            ]),
            0..9,
        ),
        subjects in proptest::collection::vec(
            proptest::collection::vec(
                prop::sample::select(vec![b'a', b'b', b'/', b']', b'-', b'^', b'\\', b'.', b'*', b'\n', 0, 0x80, 0xff]),
                0..6,
            ),
            1..10,
        ),
    ) {
        let text: String = tokens.concat();
        let mut builder = regex::bytes::RegexBuilder::new(&text);
        let theirs = builder.unicode(false).dot_matches_new_line(true).build();
        // Two marks are a lazy repeat there.
        let two_marks = ["??", "*?", "+?", "?*", "**", "+*", "?+", "*+", "++", "(?"];
        if two_marks.iter().any(|marks| text.contains(marks)) {
            return Ok(());
        }
        let ours = parse(text.as_bytes());
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => {
                let automaton = Automaton::of(&[ours]).unwrap();
                for subject in subjects {
                    prop_assert_eq!(automaton.matches(&subject), theirs.is_match(&subject), "{} {:?}", text, subject);
                }
            }
            (ours, theirs) => prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{} {:?}", text, ours),
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in proptest::collection::vec(
        prop_oneof![prop::sample::select(br"()[]{}|*+?^$.\-:=ab1".to_vec()), any::<u8>()], 0..24)
    ) {
        match parse(&text) {
            Ok(expression) => {
                let again = parse(&expression.text()).unwrap();
                let of = |e| Automaton::of(&[e]).unwrap();
                prop_assert_eq!(difference(&of(again), &of(expression)), None);
            }
            Err(error) => prop_assert!(error.offset <= text.len()),
        }
    }
}

/// What the dialect does not have, with the offset (LANGUAGE.md §5.1).
#[test]
fn refusals() {
    use RegexErrorKind as Kind;
    for (text, kind, offset) in [
        ("a(?:b)", Kind::SpecialGroup, 1),
        ("a(?!b)", Kind::SpecialGroup, 1),
        ("(?=b)", Kind::SpecialGroup, 0),
        ("(?<=b)", Kind::SpecialGroup, 0),
        ("x(?i)", Kind::SpecialGroup, 1),
        (r"^\d", Kind::Escape('d'), 1),
        (r"^\w+", Kind::Escape('w'), 1),
        (r"a\b", Kind::Escape('b'), 1),
        (r"\n", Kind::Escape('n'), 0),
        (r"(a)\1", Kind::Escape('1'), 3),
        (r"[\d]", Kind::Escape('d'), 1),
        ("a{2}", Kind::Counted, 1),
        ("a{2,}", Kind::Counted, 1),
        ("{", Kind::Counted, 0),
        ("*a", Kind::NothingToRepeat('*'), 0),
        ("a|+", Kind::NothingToRepeat('+'), 2),
        ("(?", Kind::SpecialGroup, 0),
        ("a(*)", Kind::NothingToRepeat('*'), 2),
        ("a(b", Kind::UnclosedGroup, 1),
        ("a)b", Kind::UnmatchedClose, 1),
        ("a[b", Kind::UnclosedSet, 1),
        ("[]", Kind::UnclosedSet, 0),
        ("[^]", Kind::UnclosedSet, 0),
        ("[[:alpha:]]", Kind::PosixClass, 1),
        ("[a[.b.]]", Kind::PosixClass, 2),
        ("[[=a=]]", Kind::PosixClass, 1),
        ("[b-a]", Kind::BadRange, 4),
        ("a\\", Kind::LoneBackslash, 1),
    ] {
        let error = parse(text.as_bytes()).unwrap_err();
        assert_eq!((error.kind, error.offset), (kind, offset), "{text}");
    }
    let deep = "(".repeat(10_000);
    let error = parse(deep.as_bytes()).unwrap_err();
    assert_eq!((error.kind, error.offset), (Kind::Nesting, 250));
}

/// Says something past the test harness, which keeps what a passing test prints to itself.
fn say(line: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
}
