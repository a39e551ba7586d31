//! In: a decoded blob with its bytes. Out: [`Part`]s, which are the whole blob in its order, each with what
//! it is, and a note for each of its rows. Never: how a row looks.

use std::collections::HashSet;
use std::ops::Range;

use super::Texts;
use crate::blob::{Decoded, PoolObject, Record, User};
use crate::policy::describe;
use crate::policy::graph::{Graph, Node};
use crate::sbpl_text::quoted;

/// What bytes are, coarsely: one colour each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PartKind {
    /// Header fields.
    Header,
    /// Tables of offsets and nodes.
    Tables,
    /// What a collection says of a profile, but for its operations.
    Profiles,
    /// Where operations start.
    Operations,
    /// Nodes.
    Nodes,
    /// Pattern programs, or strings in their place.
    Patterns,
    /// Code of regular expressions.
    Regexes,
    /// Names and messages.
    Strings,
    /// Sets of numbers.
    Sets,
    /// Network addresses.
    Addresses,
    /// Lists of modifiers.
    Modifiers,
    /// Zeros that align what follows.
    Padding,
    /// What nothing refers to.
    LeftOver,
}

impl PartKind {
    /// All, in the order in which a blob has them.
    pub const ALL: [Self; 13] = [
        Self::Header,
        Self::Tables,
        Self::Profiles,
        Self::Operations,
        Self::Nodes,
        Self::Patterns,
        Self::Regexes,
        Self::Strings,
        Self::Sets,
        Self::Addresses,
        Self::Modifiers,
        Self::Padding,
        Self::LeftOver,
    ];

    /// Its name in a legend.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Tables => "tables",
            Self::Profiles => "profile records",
            Self::Operations => "operations",
            Self::Nodes => "nodes",
            Self::Patterns => "patterns",
            Self::Regexes => "regexes",
            Self::Strings => "strings",
            Self::Sets => "sets",
            Self::Addresses => "addresses",
            Self::Modifiers => "modifiers",
            Self::Padding => "padding",
            Self::LeftOver => "left over",
        }
    }

    fn of_object(object: &PoolObject) -> Self {
        match object.kind {
            "table" => Self::Tables,
            "pattern" => Self::Patterns,
            "regex" => Self::Regexes,
            "set" | "mask" => Self::Sets,
            "address" => Self::Addresses,
            "modifiers" => Self::Modifiers,
            _ => Self::Strings,
        }
    }
}

/// Bytes that are one thing, or several of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What they are.
    pub kind: PartKind,
    /// The bytes; none of a part that is only the heading of those behind it.
    pub range: Range<usize>,
    /// What they are, in words; empty where the part before it is told of as well.
    pub title: String,
    /// How many bytes a row has: 8 or 16.
    pub width: usize,
}

/// Longest title or note: the bytes are there, and other views say all.
const MOST_LETTERS: usize = 200;

fn short(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MOST_LETTERS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// The note of a row of a part, by its number; may be empty.
pub type Notes<'a> = &'a dyn Fn(usize) -> String;

/// Hands out the parts of a blob in its order; the second argument tells of a row by its number.
///
/// # Errors
/// What `each` returns.
pub fn parts<E>(
    decoded: &Decoded,
    bytes: &[u8],
    mut each: impl FnMut(&Part, Notes<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let viewer = Viewer {
        decoded,
        bytes,
        texts: Texts::new(&decoded.graph),
        numbers: decoded.nodes_of_blob(),
        left_over: decoded.leftover.iter().map(|leftover| leftover.range.start).collect(),
    };
    for section in &decoded.sections {
        let range = section.range.clone();
        match section.name {
            "header" => viewer.header(range, &mut each)?,
            "tables" => viewer.tables(range, &mut each)?,
            "operations" | "profiles" => viewer.records(&mut each)?,
            "nodes" => viewer.nodes(range, &mut each)?,
            "pool" => viewer.pool(range, &mut each)?,
            _ => each(&plain(PartKind::Padding, range, "padding"), &|_| String::new())?,
        }
    }
    Ok(())
}

/// A part with a title that names it and tells its place.
fn plain(kind: PartKind, range: Range<usize>, what: &str) -> Part {
    let title = format!("{what} (offset 0x{:x}, {} bytes)", range.start, range.len());
    Part { kind, range, title: short(title), width: 16 }
}

struct Viewer<'a> {
    decoded: &'a Decoded,
    bytes: &'a [u8],
    texts: Texts<'a>,
    /// Numbers of nodes in the graph, in the order of the blob.
    numbers: Vec<usize>,
    /// Where what nothing refers to starts.
    left_over: HashSet<usize>,
}

impl Viewer<'_> {
    /// Each field in a row of its own.
    fn header<E>(
        &self,
        range: Range<usize>,
        each: &mut impl FnMut(&Part, Notes<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let header = &self.decoded.header;
        let mut title = plain(PartKind::Header, range.clone(), "header").title;
        let ends = header.field_offsets.iter().copied().skip(1).chain([range.end]);
        for (((name, value), start), end) in header.fields.iter().zip(&header.field_offsets).zip(ends) {
            let title = std::mem::take(&mut title);
            let part = Part { kind: PartKind::Header, range: *start..end, title, width: 8 };
            each(&part, &|_| short(format!("{name} = {value}")))?;
        }
        Ok(())
    }

    fn tables<E>(
        &self,
        range: Range<usize>,
        each: &mut impl FnMut(&Part, Notes<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut start = range.start;
        for (name, entries) in &self.decoded.header.tables {
            let end = start + 2 * entries.len();
            let what = format!("table of {}, {} entries", name.replace('_', " "), entries.len());
            if start < end {
                each(&plain(PartKind::Tables, start..end, &what), &|row| {
                    let last = (8 * row + 7).min(entries.len() - 1);
                    short(if last == 8 * row { format!("{last}") } else { format!("{}-{last}", 8 * row) })
                })?;
            }
            start = end;
        }
        Ok(())
    }

    /// The records of profiles with their operation tables; a single profile has the table only.
    fn records<E>(&self, each: &mut impl FnMut(&Part, Notes<'_>) -> Result<(), E>) -> Result<(), E> {
        let header = &self.decoded.header;
        let release = self.decoded.graph.release;
        for (number, (record, profile)) in header.records.iter().zip(&self.decoded.collection.profiles).enumerate() {
            let start = record.operations_start;
            let end = start + 2 * record.operations.len();
            let mut title = plain(PartKind::Operations, start..end, "operations").title;
            if header.is_collection {
                let what = format!("profile {number} {}", quoted(&profile.name));
                let part = Part { width: 8, ..plain(PartKind::Profiles, record.offset..start, &what) };
                each(&part, &|_| short(said(record, profile.base.as_deref())))?;
                title = String::new();
            }
            let part = Part { kind: PartKind::Operations, range: start..end, title, width: 16 };
            each(&part, &|row| {
                let (first, last) = (8 * row, (8 * row + 7).min(record.operations.len().saturating_sub(1)));
                let name = |id: usize| release.operations().get(id).map_or("", |operation| operation.name.as_str());
                short(match last - first {
                    0 => format!("{first} {}", name(first)),
                    _ => format!("{first} {} … {last} {}", name(first), name(last)),
                })
            })?;
        }
        Ok(())
    }

    fn nodes<E>(&self, range: Range<usize>, each: &mut impl FnMut(&Part, Notes<'_>) -> Result<(), E>) -> Result<(), E> {
        let graph = &self.decoded.graph;
        let mut title = plain(PartKind::Nodes, range.clone(), &format!("{} nodes", graph.nodes.len())).title;
        let is_left_over = |row: usize| self.left_over.contains(&(range.start + 8 * row));
        let mut start = 0;
        while start < self.numbers.len() {
            let left_over = is_left_over(start);
            let length = (start..self.numbers.len()).take_while(|row| is_left_over(*row) == left_over).count();
            let bytes = range.start + 8 * start..range.start + 8 * (start + length);
            let part = if left_over {
                let what = format!("{length} nodes that no operation leads to");
                Part { width: 8, ..plain(PartKind::LeftOver, bytes, &what) }
            } else {
                Part { kind: PartKind::Nodes, range: bytes, title: std::mem::take(&mut title), width: 8 }
            };
            each(&part, &|row| {
                let index = self.numbers.get(start + row);
                index.map(|index| short(format!("{index} {}", self.node(graph, *index)))).unwrap_or_default()
            })?;
            start += length;
        }
        Ok(())
    }

    fn node(&self, graph: &Graph, index: usize) -> String {
        match graph.nodes.get(index) {
            Some(Node::Test { test, matched, unmatched }) => {
                format!("{} → {}, else {}", short(self.texts.test(test).to_string()), matched.0, unmatched.0)
            }
            Some(Node::Terminal(terminal)) => describe::terminal(graph, terminal),
            None => String::new(),
        }
    }

    fn pool<E>(&self, range: Range<usize>, each: &mut impl FnMut(&Part, Notes<'_>) -> Result<(), E>) -> Result<(), E> {
        let title = plain(PartKind::Padding, range.clone(), "pool").title;
        let title = format!("{title}, {} objects", self.decoded.objects.len());
        each(&Part { kind: PartKind::Padding, range: range.start..range.start, title, width: 16 }, &|_| String::new())?;
        let mut start = range.start;
        let none: Notes<'_> = &|_| String::new();
        let end = PoolObject { range: range.end..range.end, kind: "end", user: User::Node(0) };
        for object in self.decoded.objects.iter().chain([&end]) {
            let gap = start..object.range.start;
            if !gap.is_empty() {
                if self.left_over.contains(&gap.start) {
                    each(&plain(PartKind::LeftOver, gap, "left over: nothing refers to it"), none)?;
                } else {
                    let padding = Part { kind: PartKind::Padding, range: gap, title: String::new(), width: 16 };
                    each(&padding, none)?;
                }
            }
            start = object.range.end;
            if object.range.is_empty() {
                continue;
            }
            let mut part = plain(PartKind::of_object(object), object.range.clone(), "");
            let (place, length) = (object.range.start, object.range.len());
            part.title = format!("pool object 0x{place:x}: {}, {length} bytes", self.object(object));
            each(&part, none)?;
        }
        Ok(())
    }

    /// What an object is and says.
    fn object(&self, object: &PoolObject) -> String {
        let graph = &self.decoded.graph;
        let kind = object.kind;
        let what = match (kind, object.user) {
            ("string", user) => {
                let content = self.bytes.get(object.range.clone()).unwrap_or_default();
                let skipped = if self.decoded.header.tables_behind_nodes.is_some() { 4 } else { 2 };
                let content = content.get(skipped..).unwrap_or_default();
                let what = match user {
                    User::Node(_) => "",
                    User::Profile(_) => ", name of a profile",
                    User::Table(table, _) => match table {
                        "variables" => ", name of a variable",
                        "states" => ", name of a state flag",
                        "profile_flags" => ", name of a profile flag",
                        "profile_flag_references" => ", name of a profile flag that is asked for",
                        _ => ", a message",
                    },
                };
                format!("{}{what}", quoted(content.strip_suffix(&[0]).unwrap_or(content)))
            }
            (_, User::Node(index)) => match graph.nodes.get(index) {
                Some(Node::Test { test, .. }) => self.texts.test(test).to_string(),
                Some(Node::Terminal(terminal)) => describe::modifiers(graph, terminal).join(" "),
                None => String::new(),
            },
            (_, User::Profile(index)) => {
                let flags = &self.decoded.collection.profile_flags;
                let profile = self.decoded.collection.profiles.get(index);
                let set = profile.and_then(|profile| profile.flag_set.as_ref()).into_iter().flatten();
                let names = set.map(|flag| {
                    flags.get(usize::from(*flag)).map_or("", |name| std::str::from_utf8(name).unwrap_or_default())
                });
                format!("profile flags {}", names.collect::<Vec<_>>().join(" "))
            }
            ("table", User::Table(table, _)) => format!("of {table}"),
            (_, User::Table(table, number)) => format!("number {number} of the {table}, which no node asks for"),
        };
        short(format!("{kind} {what}"))
    }
}

/// What a record says besides its name.
fn said(record: &Record, base: Option<&[u8]>) -> String {
    let base = base.map(|base| format!(", extends {}", quoted(base))).unwrap_or_default();
    format!("name at {}, flags 0x{:04x}{base}", record.name, record.flags)
}
