//! In: a list and one release, or two. Out: what the release knows, or what the second one added,
//! dropped and changed. Never: knowledge of a release that is not in its grammar.

use std::collections::HashMap;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::input;
use super::output::{Console, Format, table};
use super::status::{Failure, Status};
use crate::vocabulary::{DEFAULT_RELEASE, Filter, Modifier, Operation, Release, TerminalDefault};

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum List {
    Operations,
    Filters,
    Modifiers,
}

/// List the operations, filters or modifiers of a release
///
/// What no table confirms is marked as inferred. With two releases, the list says what the second
/// one added, dropped and changed.
#[derive(Args)]
#[command(after_help = "Examples:
  sbtool vocabulary operations
  sbtool vocabulary filters --format json
  sbtool vocabulary operations --release macos-10.15 --release macos-14.4")]
pub struct Options {
    /// Which list
    #[arg(value_enum)]
    list: List,
    /// Release to list; a second one is held against the first
    #[arg(long = "release", value_name = "NAME", default_value = DEFAULT_RELEASE)]
    releases: Vec<String>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub fn run(options: &Options, console: &Console) -> Result<Status, Failure> {
    let list = options.list;
    let releases = options.releases.iter().map(|name| input::release(name)).collect::<Result<Vec<_>, _>>()?;
    match releases.as_slice() {
        [release] => {
            let entries = list.entries(release);
            match options.format {
                Format::Text => {
                    let rows = entries.iter().map(Entry::row).collect();
                    console.print(table(&list.columns(), rows))?;
                    console.print(remarks(list, release))?;
                }
                Format::Json => console.print_json(&entries.iter().map(|e| e.json(list)).collect::<Vec<_>>())?,
            }
        }
        [before, after] => {
            let difference = Difference::new(list.entries(before), list.entries(after));
            match options.format {
                Format::Text => {
                    console.print(difference.text())?;
                    console.print(remarks(list, before) + &remarks(list, after))?;
                }
                Format::Json => console.print_json(&difference.json(list))?,
            }
        }
        _ => return Err(Failure::Usage("--release may be given once or twice".to_owned())),
    }
    Ok(Status::Holds)
}

/// Parts of this list's data that no source confirms, one a line.
fn remarks(list: List, release: &Release) -> String {
    let line = |entry: &crate::vocabulary::Inferred| {
        format!("inferred for {}: {}, from {}\n", release.name(), entry.key, entry.from)
    };
    release.inferred().iter().filter(|entry| entry.key.contains(list.stem())).map(line).collect()
}

/// One property of an entry.
struct Cell {
    column: &'static str,
    value: String,
    inferred: bool,
}

impl Cell {
    fn new(column: &'static str, value: impl ToString, inferred: bool) -> Self {
        Self { column, value: value.to_string(), inferred }
    }

    fn shown(&self) -> String {
        let mark = if self.inferred && !self.value.is_empty() { " (inferred)" } else { "" };
        format!("{}{mark}", self.value)
    }
}

/// One line of a list.
struct Entry {
    name: String,
    cells: Vec<Cell>,
    /// Marks of operations, which have a column of their own for them.
    remark: Option<String>,
}

impl Entry {
    /// The cells as the list shows them.
    fn row(&self) -> Vec<String> {
        match &self.remark {
            Some(remark) => self.cells.iter().map(|cell| cell.value.clone()).chain([remark.clone()]).collect(),
            None => self.cells.iter().map(Cell::shown).collect(),
        }
    }

    fn json(&self, list: List) -> Value {
        let columns = list.columns().into_iter().map(str::to_owned);
        Value::Object(columns.zip(self.row().into_iter().map(Value::String)).collect::<Map<_, _>>())
    }
}

impl List {
    /// Keys of the grammar that are about this list contain this.
    fn stem(self) -> &'static str {
        match self {
            Self::Operations => "operation",
            Self::Filters => "filter",
            Self::Modifiers => "modifier",
        }
    }

    fn columns(self) -> Vec<&'static str> {
        match self {
            Self::Operations => vec!["id", "name", "parent", "default", "remark"],
            Self::Filters => vec!["id", "name", "kind", "cost", "functions"],
            Self::Modifiers => vec!["id", "name", "action", "argument"],
        }
    }

    fn entries(self, release: &Release) -> Vec<Entry> {
        match self {
            Self::Operations => release.operations().iter().map(operation).collect(),
            Self::Filters => release.filters().iter().map(filter).collect(),
            Self::Modifiers => release.modifiers().iter().map(modifier).collect(),
        }
    }
}

fn operation(operation: &Operation) -> Entry {
    let versions: Vec<String> = operation.allowed_in.iter().map(ToString::to_string).collect();
    let default = match operation.terminal {
        Some(TerminalDefault::Allow) => "allow".to_owned(),
        Some(TerminalDefault::Deny) => "deny".to_owned(),
        None if versions.is_empty() => "parent".to_owned(),
        None => format!("allow in version {}", versions.join(", ")),
    };
    let marks = [
        (operation.inferred, "id inferred"),
        (operation.parent_inferred, "parent inferred"),
        (operation.default_inferred, "default inferred"),
        (operation.message_filter, "only in message filters"),
    ];
    let remarks: Vec<&str> = marks.into_iter().filter(|(holds, _)| *holds).map(|(_, mark)| mark).collect();
    Entry {
        name: operation.name.clone(),
        cells: vec![
            Cell::new("id", operation.id, operation.inferred),
            Cell::new("name", &operation.name, false),
            Cell::new("parent", operation.parent.as_deref().unwrap_or_default(), operation.parent_inferred),
            Cell::new("default", default, operation.default_inferred),
        ],
        remark: Some(remarks.join(", ")),
    }
}

fn filter(filter: &Filter) -> Entry {
    let functions: Vec<&str> = filter.functions.iter().map(|function| function.name.as_str()).collect();
    Entry {
        name: filter.name.clone(),
        cells: vec![
            Cell::new("id", filter.id.0, false),
            Cell::new("name", &filter.name, filter.inferred),
            Cell::new("kind", filter.kind.name().to_owned(), filter.kind_inferred),
            Cell::new("cost", filter.cost, filter.cost_inferred),
            Cell::new("functions", functions.join(" "), false),
        ],
        remark: None,
    }
}

fn modifier(modifier: &Modifier) -> Entry {
    Entry {
        name: modifier.name.clone(),
        cells: vec![
            Cell::new("id", modifier.id.0, modifier.inferred),
            Cell::new("name", &modifier.name, false),
            Cell::new("action", format!("{:?}", modifier.actions).to_lowercase(), false),
            Cell::new("argument", format!("{:?}", modifier.argument).to_lowercase(), false),
        ],
        remark: None,
    }
}

/// Two lists held against each other, by name.
struct Difference {
    added: Vec<Entry>,
    dropped: Vec<Entry>,
    /// Entries of the second list, each with the cells that differ, before and after.
    changed: Vec<(String, Vec<(Cell, Cell)>)>,
}

impl Difference {
    fn new(before: Vec<Entry>, after: Vec<Entry>) -> Self {
        let mut order: Vec<String> = before.iter().map(|entry| entry.name.clone()).collect();
        let mut old: HashMap<String, Entry> = before.into_iter().map(|entry| (entry.name.clone(), entry)).collect();
        let (mut added, mut changed) = (Vec::new(), Vec::new());
        for entry in after {
            let Some(known) = old.remove(&entry.name) else {
                added.push(entry);
                continue;
            };
            let pairs = known.cells.into_iter().zip(entry.cells);
            let differing: Vec<_> = pairs.filter(|(a, b)| a.value != b.value).collect();
            if !differing.is_empty() {
                changed.push((entry.name, differing));
            }
        }
        order.retain(|name| old.contains_key(name));
        let dropped = order.iter().filter_map(|name| old.remove(name)).collect();
        Self { added, dropped, changed }
    }

    fn text(&self) -> String {
        let whole = |word: &str, entry: &Entry| {
            let cells = entry.cells.iter().filter(|cell| cell.column != "name" && !cell.value.is_empty());
            let cells: Vec<String> = cells.map(|cell| format!("{} {}", cell.column, cell.shown())).collect();
            vec![word.to_owned(), entry.name.clone(), cells.join(", ")]
        };
        let mut rows: Vec<Vec<String>> = Vec::new();
        rows.extend(self.added.iter().map(|entry| whole("added", entry)));
        rows.extend(self.dropped.iter().map(|entry| whole("dropped", entry)));
        for (name, cells) in &self.changed {
            let or_none = |cell: &Cell| if cell.value.is_empty() { "none".to_owned() } else { cell.shown() };
            let cells: Vec<String> =
                cells.iter().map(|(a, b)| format!("{} {} → {}", a.column, or_none(a), or_none(b))).collect();
            rows.push(vec!["changed".to_owned(), name.clone(), cells.join(", ")]);
        }
        let summary =
            format!("{} added, {} dropped, {} changed\n", self.added.len(), self.dropped.len(), self.changed.len());
        if rows.is_empty() { summary } else { table(&["change", "name", "what"], rows) + &summary }
    }

    fn json(&self, list: List) -> Value {
        let whole = |entries: &[Entry]| entries.iter().map(|entry| entry.json(list)).collect::<Vec<_>>();
        let changed = self.changed.iter().map(|(name, cells)| {
            let mut object = Map::new();
            object.insert("name".to_owned(), json!(name));
            for (a, b) in cells {
                object.insert(a.column.to_owned(), json!({"from": a.shown(), "to": b.shown()}));
            }
            Value::Object(object)
        });
        let changed: Vec<Value> = changed.collect();
        json!({"added": whole(&self.added), "dropped": whole(&self.dropped), "changed": changed})
    }
}
