//! In: a decoded blob. Out: [`Document`], which writes itself entry by entry as
//! `docs/schemas/decode.schema.json` describes it. Never: a copy of the blob, or of its nodes.

use std::rc::Rc;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::{PatternString, Texts, text};
use crate::blob::{Decoded, PoolObject, User};
use crate::policy::describe;
use crate::policy::graph::{Argument, Graph, Modifier, ModifierArgument, Node, Terminal, Test};
use crate::policy::rules::PROTOCOLS;
use crate::vocabulary::{FilterKind, ModifierArgumentKind, Release};

/// A decoded blob for programs.
#[derive(Serialize)]
pub struct Document<'a> {
    blob: &'a str,
    length: usize,
    sha256: String,
    release: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    unproven: Option<&'static str>,
    header: Map<String, Value>,
    tables: Map<String, Value>,
    sections: Vec<Value>,
    names: Vec<Value>,
    operations: Operations<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profiles: Option<Profiles<'a>>,
    nodes: Nodes<'a>,
    pool: Pool<'a>,
    leftover: LeftOvers<'a>,
}

impl<'a> Document<'a> {
    /// The document of a blob with this name, length and SHA-256.
    #[must_use]
    pub fn new(name: &'a str, length: usize, sha256: String, decoded: &'a Decoded) -> Self {
        let header = &decoded.header;
        let entry = |(name, list): &(String, Vec<u16>)| (name.clone(), list.clone().into());
        let section = |section: &crate::blob::Section| json!({"name": section.name, "start": section.range.start, "end": section.range.end});
        let named = |(what, number, name): (&str, usize, String)| json!({"what": what, "number": number, "name": name});
        Self {
            blob: name,
            length,
            sha256,
            release: decoded.graph.release.name(),
            unproven: super::unproven(decoded),
            header: header.fields.iter().map(|(name, value)| (name.clone(), (*value).into())).collect(),
            tables: header.tables.iter().map(entry).collect(),
            sections: decoded.sections.iter().map(section).collect(),
            names: names(decoded).into_iter().map(named).collect(),
            operations: Operations(&decoded.graph),
            profiles: header.is_collection.then_some(Profiles(decoded)),
            nodes: Nodes(decoded),
            pool: Pool(&decoded.objects),
            leftover: LeftOvers(decoded),
        }
    }
}

/// The names of a blob: what they are for, number, name.
#[must_use]
pub fn names(decoded: &Decoded) -> Vec<(&'static str, usize, String)> {
    let graph = &decoded.graph;
    let lists = [
        ("variable", &graph.variables[..]),
        ("state flag", &graph.states[..]),
        ("profile flag", &decoded.collection.profile_flags[..]),
        ("flag asked for", &graph.profile_flags[..]),
    ];
    let entries = lists
        .into_iter()
        .flat_map(|(what, list)| list.iter().enumerate().map(move |(number, name)| (what, number, text(name))));
    entries.collect()
}

struct Operations<'a>(&'a Graph);

impl Serialize for Operations<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Entry<'a> {
            id: usize,
            name: Option<&'a str>,
            node: u32,
        }
        let names = self.0.release.operations();
        serializer.collect_seq(self.0.entries.iter().enumerate().map(|(id, node)| Entry {
            id,
            name: names.get(id).map(|operation| operation.name.as_str()),
            node: node.0,
        }))
    }
}

struct Profiles<'a>(&'a Decoded);

impl Serialize for Profiles<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Entry<'a> {
            name: String,
            flags: u16,
            extends: Option<String>,
            profile_flags: Option<Vec<String>>,
            operations: Operations<'a>,
        }
        let collection = &self.0.collection;
        let flag = |number: &u16| {
            collection.profile_flags.get(usize::from(*number)).map(|name| text(name)).unwrap_or_default()
        };
        serializer.collect_seq(collection.profiles.iter().zip(&self.0.header.records).map(|(profile, record)| Entry {
            name: text(&profile.name),
            flags: record.flags,
            extends: profile.base.as_deref().map(text),
            profile_flags: profile.flag_set.as_ref().map(|set| set.iter().map(flag).collect()),
            operations: Operations(&profile.graph),
        }))
    }
}

struct Nodes<'a>(&'a Decoded);

#[derive(Serialize)]
#[serde(untagged)]
enum NodeEntry<'a> {
    Test {
        index: usize,
        offset: usize,
        filter: String,
        test: Rc<str>,
        argument: ArgumentEntry,
        #[serde(rename = "match")]
        matched: u32,
        unmatch: u32,
    },
    Terminal {
        index: usize,
        offset: usize,
        action: &'static str,
        rule: String,
        flags: u32,
        flag_names: Vec<&'a str>,
        report: bool,
        modifiers: Vec<ModifierEntry<'a>>,
    },
}

/// A number, with its name where the filter has one.
#[derive(Clone, Serialize)]
struct Number {
    number: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum ArgumentEntry {
    Boolean {
        value: bool,
    },
    Number(Number),
    Numbers {
        numbers: Vec<Number>,
    },
    Mask {
        width: u16,
        numbers: Vec<Number>,
    },
    Text {
        text: String,
    },
    /// `strings` is null where the pattern is no plain list of strings.
    Pattern {
        strings: Option<Rc<[PatternString]>>,
    },
    /// `text` is null where the code is too large to be written as an expression.
    Regex {
        text: Option<String>,
        states: usize,
    },
    Address {
        protocol: &'static str,
        host: &'static str,
        /// 0 in the blob is any port.
        port: Option<u16>,
    },
    StateFlag {
        name: String,
    },
    ProfileFlag {
        name: String,
    },
}

#[derive(Serialize)]
struct ModifierEntry<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    constant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<u32>,
}

impl Serialize for Nodes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let graph = &self.0.graph;
        let texts = Texts::new(graph);
        serializer.collect_seq(graph.nodes.iter().enumerate().map(|(index, node)| {
            let offset = self.0.node_offset(index);
            match node {
                Node::Test { test, matched, unmatched } => NodeEntry::Test {
                    index,
                    offset,
                    filter: graph.release.filter_name(test.filter).into_owned(),
                    test: texts.test(test),
                    argument: argument(graph, test, &texts),
                    matched: matched.0,
                    unmatch: unmatched.0,
                },
                Node::Terminal(terminal) => NodeEntry::Terminal {
                    index,
                    offset,
                    action: terminal.action().name(),
                    rule: describe::terminal(graph, terminal),
                    flags: terminal.flags,
                    flag_names: flag_names(graph.release, terminal),
                    report: terminal.flags & Terminal::REPORT != 0,
                    modifiers: terminal.modifiers.iter().map(|entry| modifier(graph.release, entry)).collect(),
                },
            }
        }))
    }
}

/// The modifiers whose bits are set.
fn flag_names<'a>(release: &'a Release, terminal: &Terminal) -> Vec<&'a str> {
    let flags = release.modifiers().iter().filter(|modifier| modifier.argument == ModifierArgumentKind::None);
    let set = flags.filter(|modifier| modifier.set != 0 && terminal.flags & modifier.mask == modifier.set);
    set.map(|modifier| modifier.name.as_str()).collect()
}

fn modifier<'a>(release: &'a Release, modifier: &Modifier) -> ModifierEntry<'a> {
    let known = release.modifier(modifier.id);
    let mut entry = ModifierEntry {
        name: known.map_or("unknown-modifier", |known| known.name.as_str()),
        number: None,
        constant: None,
        text: None,
        operation: None,
        node: None,
    };
    match &modifier.argument {
        ModifierArgument::Number(number) => {
            entry.number = Some(*number);
            let constant = known.and_then(|known| known.values.iter().find(|(_, value)| *value == number));
            entry.constant = constant.map(|(name, _)| name.as_str());
        }
        ModifierArgument::Text(bytes) => entry.text = Some(text(bytes)),
        ModifierArgument::MessageFilter { operation, entry: node } => {
            entry.operation = Some(release.operation_name(*operation).into_owned());
            entry.node = Some(node.0);
        }
    }
    entry
}

fn argument(graph: &Graph, test: &Test, texts: &Texts<'_>) -> ArgumentEntry {
    let filter = graph.release.filter(test.filter);
    let number = |number: u16| Number {
        number,
        name: filter
            .and_then(|filter| filter.values.iter().find(|(_, value)| **value == number).map(|(name, _)| name.clone())),
    };
    let name =
        |names: &[Vec<u8>], number: u16| names.get(usize::from(number)).map(|name| text(name)).unwrap_or_default();
    match &test.argument {
        Argument::Number(value) if filter.is_some_and(|filter| filter.kind == FilterKind::Boolean) => {
            ArgumentEntry::Boolean { value: *value != 0 }
        }
        Argument::Number(value) => ArgumentEntry::Number(number(*value)),
        Argument::Numbers(list) => ArgumentEntry::Numbers { numbers: list.iter().copied().map(number).collect() },
        Argument::Mask { width, numbers } => {
            ArgumentEntry::Mask { width: *width, numbers: numbers.iter().copied().map(number).collect() }
        }
        Argument::Text(bytes) => ArgumentEntry::Text { text: text(bytes) },
        Argument::Pattern(tree) => ArgumentEntry::Pattern { strings: texts.strings(tree) },
        Argument::Regex(automaton) => {
            ArgumentEntry::Regex { text: expression(&texts.test(test)), states: automaton.states.len() }
        }
        Argument::Address(address) => ArgumentEntry::Address {
            protocol: PROTOCOLS.iter().find(|(_, number)| *number == address.protocol).map_or("ip", |(name, _)| name),
            host: if address.localhost { "localhost" } else { "*" },
            port: (address.port != 0).then_some(address.port),
        },
        Argument::StateFlag(number) => ArgumentEntry::StateFlag { name: name(&graph.states, *number) },
        Argument::ProfileFlag(number) => ArgumentEntry::ProfileFlag { name: name(&graph.profile_flags, *number) },
    }
}

/// The expression in `(regex #"…")`; raw strings have no quotes inside.
fn expression(test: &str) -> Option<String> {
    let (_, raw) = test.split_once("#\"")?;
    raw.strip_suffix("\")").map(str::to_owned)
}

struct Pool<'a>(&'a [PoolObject]);

impl Serialize for Pool<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Entry {
            kind: &'static str,
            start: usize,
            end: usize,
            #[serde(skip_serializing_if = "Option::is_none")]
            node: Option<usize>,
            #[serde(skip_serializing_if = "Option::is_none")]
            profile: Option<usize>,
            #[serde(skip_serializing_if = "Option::is_none")]
            table: Option<&'static str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            entry: Option<usize>,
        }
        serializer.collect_seq(self.0.iter().map(|object| {
            let (start, end) = (object.range.start, object.range.end);
            let plain = Entry { kind: object.kind, start, end, node: None, profile: None, table: None, entry: None };
            match object.user {
                User::Node(index) => Entry { node: Some(index), ..plain },
                User::Profile(index) => Entry { profile: Some(index), ..plain },
                User::Table(table, number) => Entry { table: Some(table), entry: Some(number), ..plain },
            }
        }))
    }
}

struct LeftOvers<'a>(&'a Decoded);

impl Serialize for LeftOvers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            self.0.leftover.iter().map(
                |leftover| json!({"what": leftover.what, "start": leftover.range.start, "end": leftover.range.end}),
            ),
        )
    }
}
