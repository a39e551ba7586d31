//! In: what a test wants to be in a blob of absolute words. Out: the blob, by FORMAT.md §1.1 to §1.4. Never:
//! code of sbtool, but for the places of header fields, which a test of their own holds against the text.

#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use sbtool::vocabulary::Release;

pub fn release(name: &str) -> &'static Release {
    Release::named(name).unwrap()
}

pub enum Value {
    Number(u16),
    /// The object with this number.
    Object(usize),
}

pub enum Made {
    Terminal(u16),
    /// Flags, signal, number of a message.
    Ending(u8, u8, u8),
    Test(u8, Value, usize, usize),
}

/// A string with its type.
pub fn string(form: u8, text: &str) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_le_bytes()[..], &[form], text.as_bytes()].concat()
}

/// A name: its length counts the NUL.
pub fn name(text: &str) -> Vec<u8> {
    [&u32::try_from(text.len() + 1).unwrap().to_le_bytes()[..], text.as_bytes(), &[0]].concat()
}

/// `^/x`, version 3.
pub fn regex() -> Vec<u8> {
    let code = [0x19, 0x02, b'/', 0x02, b'x', 0x15, 0x00];
    [&[13, 0, 0, 0, 0, 0, 0, 3, 7, 0][..], &code].concat()
}

/// A profile of a blob made here: name, flags, and the nodes of operations that do not start at the last
/// node.
pub type MadeProfile<'a> = (usize, u16, &'a [(&'a str, usize)]);

/// Profiles of a collection, or one profile without a name; nodes; objects; which of them are regexes.
pub fn blob(
    release: &Release,
    is_collection: bool,
    profiles: &[MadeProfile],
    nodes: &[Made],
    objects: &[Vec<u8>],
    regexes: &[usize],
) -> Vec<u8> {
    blob_with(release, is_collection, profiles, nodes, objects, [regexes, &[], &[]])
}

/// The same with which objects are regexes, names of variables and messages, where the release has such.
pub fn blob_with(
    release: &Release,
    is_collection: bool,
    profiles: &[MadeProfile],
    nodes: &[Made],
    objects: &[Vec<u8>],
    tables: [&[usize]; 3],
) -> Vec<u8> {
    let layout = release.early_layout().unwrap();
    let collection = layout.collection.as_ref().filter(|_| is_collection);
    let more = collection.map_or(&[][..], |collection| &collection.fields);
    let fields: Vec<_> = layout.fields.iter().chain(more).collect();
    let header = fields.last().map_or(0, |field| field.offset + field.width);
    let slots = release.operation_slots();
    let record = 2 * slots + if is_collection { 4 } else { 0 };
    let start = (header + record * profiles.len()).next_multiple_of(8);
    let mut end = start + 8 * nodes.len();
    let table_places = tables.map(|table| {
        let place = end;
        end = (end + 2 * table.len()).next_multiple_of(8);
        place
    });
    let mut pool = end;
    let mut places = Vec::new();
    for object in objects {
        places.push(u16::try_from(pool / 8).unwrap());
        pool = (pool + object.len()).next_multiple_of(8);
    }
    let node = |index: usize| u16::try_from(start / 8 + index).unwrap();
    let count = |count: usize| u16::try_from(count).unwrap();
    let mut out = Vec::new();
    for field in fields {
        let value = match field.name.as_str() {
            "flags" if is_collection => 0x8000,
            "flags" => profiles[0].1,
            "profiles" => count(profiles.len()),
            "regex_table" => count(table_places[0] / 8),
            "variables_table" => count(table_places[1] / 8),
            "messages_table" => count(table_places[2] / 8),
            "regexes" => count(tables[0].len()),
            "variables" => count(tables[1].len()),
            "messages" => count(tables[2].len()),
            other => panic!("{other}"),
        };
        assert_eq!(out.len(), field.offset);
        out.extend(&value.to_le_bytes()[..field.width]);
    }
    let mut words = Vec::new();
    for (name, flags, entries) in profiles {
        if is_collection {
            words.extend([places[*name], *flags]);
        }
        let mut operations = vec![node(nodes.len() - 1); slots];
        for (operation, index) in *entries {
            operations[release.operation(operation).unwrap().index()] = node(*index);
        }
        words.extend(operations);
    }
    out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    out.resize(start, 0);
    for made in nodes {
        let (head, words) = match made {
            Made::Terminal(flags) => ([1, 0], [*flags, 0, 0]),
            Made::Ending(flags, signal, message) => ([1, *flags], [u16::from(*signal), u16::from(*message), 0]),
            Made::Test(filter, value, matched, unmatched) => {
                let value = match value {
                    Value::Number(number) => *number,
                    Value::Object(object) => places[*object],
                };
                ([0, *filter], [value, node(*matched), node(*unmatched)])
            }
        };
        out.extend(head);
        out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }
    for (table, place) in tables.iter().zip(table_places).filter(|(table, _)| !table.is_empty()) {
        out.resize(place, 0);
        out.extend(table.iter().flat_map(|object| places[*object].to_le_bytes()));
    }
    for (object, place) in objects.iter().zip(places) {
        out.resize(8 * usize::from(place), 0);
        out.extend(object);
    }
    out
}

/// A program: its length does not count itself.
pub fn program(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_le_bytes()[..], bytes].concat()
}

/// Blobs of the families that are known from descriptions only (FORMAT.md §1.1, §1.2, §1.4, §3.3, §4.2).
pub fn from_the_text_alone() -> Vec<(&'static str, Vec<u8>)> {
    let nodes = |ending: fn(u8) -> Made, extension: u8, extended: Value| {
        vec![
            Made::Test(0x01, Value::Object(0), 3, 1),
            Made::Test(0x81, Value::Number(0), 3, 4),
            Made::Test(extension, extended, 3, 4),
            ending(0),
            ending(5),
        ]
    };
    let flags: fn(u8) -> Made = |flags| Made::Terminal(u16::from(flags));
    let bytes: fn(u8) -> Made = |flags| Made::Ending(flags, 0, 0);
    let entries: [(&str, usize); 2] = [("file-read-data", 0), ("file-write-data", 2)];
    let mut blobs = Vec::new();
    // Paths are expressions only, and an extension is asked for without a name.
    let only = [Made::Test(1, Value::Number(0), 2, 3), Made::Test(12, Value::Number(1), 2, 3), flags(0), flags(5)];
    let starts: [(&str, usize); 2] = [("file-read-data", 0), ("file-write-data", 1)];
    blobs.push(("ios-4", blob(release("ios-4"), false, &[(0, 0, &starts)], &only, &[regex()], &[0])));
    for (name, extension, extended) in
        [("ios-5", 0x12, Value::Number(1)), ("ios-6", 0x14, Value::Object(2)), ("ios-7", 0x17, Value::Object(2))]
    {
        let nodes = nodes(flags, extension, extended);
        let objects = [string(0, "/a"), regex(), name_of_extension()];
        let count = if name == "ios-5" { 2 } else { 3 };
        blobs.push((name, blob(release(name), false, &[(0, 0, &entries)], &nodes, &objects[..count], &[1])));
    }
    let literal = || program(b"\x41/a\x0f\x00\x0f\x0a");
    for (name, ending) in [("ios-10", flags), ("ios-11", flags), ("ios-12", bytes)] {
        let with_variable = program(b"\x10\x0f\x41/t\x0f\x0a");
        let objects = [literal(), regex(), name_of_extension(), with_variable, self::name("HOME"), self::name("one")];
        let mut nodes = nodes(ending, 0x17, Value::Object(2));
        nodes.insert(0, Made::Test(0x01, Value::Object(3), 4, 1));
        for made in &mut nodes[1..] {
            if let Made::Test(_, _, matched, unmatched) = made {
                (*matched, *unmatched) = (*matched + 1, *unmatched + 1);
            }
        }
        let entries: [(&str, usize); 2] = [("file-read-data", 0), ("file-write-data", 3)];
        let (single, of_many) = ([(0, 1, &entries[..])], [(5, 0, &entries[..])]);
        let tables: [&[usize]; 3] = [&[1], &[4], &[]];
        blobs.push((name, blob_with(release(name), false, &single, &nodes, &objects[..5], tables)));
        blobs.push((name, blob_with(release(name), true, &of_many, &nodes, &objects, tables)));
    }
    blobs
}

pub fn name_of_extension() -> Vec<u8> {
    name("com.apple.key")
}
