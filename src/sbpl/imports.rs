//! In: names of files and parameters. Out: texts to evaluate, values of parameters and
//! entitlements. Never: writing, or reading of anything but regular files of bounded size.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::diagnostics::Diagnostic;
use super::scheme::{Call, Error, HostFrame, Native, Step, Value};
use super::source::Span;
use super::state::{Importing, Sbpl, SbplMachine};

include!(concat!(env!("OUT_DIR"), "/system-profiles.rs"));

/// Largest profile that is read, in bytes.
pub const MAX_FILE: u64 = 64 << 20;

/// What an import costs besides its text.
const IMPORT_BYTES: usize = 4_096;

/// Imports inside one another.
const MAX_IMPORTS: usize = 64;

/// Apple's folders (LANGUAGE.md §4.3).
const APPLE_FOLDERS: [&str; 2] = ["/System/Library/Sandbox/Profiles", "/usr/share/sandbox"];

/// One of our own texts for what profiles import.
#[derive(Clone, Copy, Debug)]
pub struct StandIn {
    /// Name as imported.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// All stand-ins, by name.
pub fn stand_ins() -> impl Iterator<Item = StandIn> {
    SYSTEM_PROFILES.iter().map(|(name, text)| StandIn { name, text })
}

/// Procedures of SBPL that are about files and parameters.
pub(super) fn procedures() -> Vec<Native<Sbpl>> {
    vec![
        Native { names: &["import"], least: 1, most: Some(1), run: |machine, call| import(machine, call, Reach::Any) },
        Native {
            names: &["load"],
            least: 1,
            most: Some(1),
            run: |machine, call| import(machine, call, Reach::Imports),
        },
        Native { names: &["open-input-file"], least: 1, most: Some(1), run: open_input_file },
        Native { names: &["open-output-file"], least: 1, most: None, run: refuse },
        Native { names: &["open-input-output-file"], least: 1, most: None, run: refuse },
        Native { names: &["call-with-output-file"], least: 1, most: None, run: refuse },
        Native { names: &["with-output-to-file"], least: 1, most: None, run: refuse },
        Native { names: &["param", "getenv"], least: 1, most: Some(1), run: parameter },
    ]
}

fn parameter(machine: &mut SbplMachine, call: Call<'_>) -> Result<Step, Error> {
    let name = String::from_utf8_lossy(&call.string(0)?).into_owned();
    let value = machine.host.parameter(&name).map(|value| value.as_bytes().to_vec());
    Ok(Step::Return(value.map_or(Value::Bool(false), Value::literal)))
}

/// The alist `*params*`.
pub(super) fn parameters(machine: &SbplMachine) -> Value {
    let list = machine.host.options.parameters.iter().flatten();
    Value::list(
        list.map(|(name, value)| {
            Value::cons(Value::literal(name.as_bytes().to_vec()), Value::literal(value.as_bytes().to_vec()))
        })
        .collect(),
    )
}

/// The list `*default-import-search-paths*`.
pub(super) fn search_paths() -> Value {
    Value::list(APPLE_FOLDERS.iter().map(|folder| Value::literal(folder.as_bytes().to_vec())).collect())
}

/// The alist `*entitlements*`.
pub(super) fn entitlements(machine: &SbplMachine) -> Value {
    machine.host.options.entitlements.as_ref().map_or(Value::Nil, json_value)
}

/// A JSON value as LANGUAGE.md §4.4 converts dictionaries. serde_json bounds the nesting.
fn json_value(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => {
            number.as_i64().map(Value::Integer).or_else(|| number.as_f64().map(Value::Real)).unwrap_or_default()
        }
        serde_json::Value::String(text) => Value::literal(text.as_bytes().to_vec()),
        serde_json::Value::Array(items) => Value::list(items.iter().map(json_value).collect()),
        serde_json::Value::Object(entries) => Value::list(
            entries
                .iter()
                .map(|(key, value)| Value::cons(Value::literal(key.as_bytes().to_vec()), json_value(value)))
                .collect(),
        ),
    }
}

/// What a name leads to.
enum Found {
    File(PathBuf, Vec<u8>),
    StandIn(StandIn),
}

/// `(import "name")`: the file is evaluated in the global scope, each time again.
fn import(machine: &mut SbplMachine, call: Call<'_>, reach: Reach) -> Result<Step, Error> {
    struct Finished {
        depth: usize,
        outer_path: Value,
    }
    impl HostFrame<Sbpl> for Finished {
        fn resume(&self, machine: &mut SbplMachine, value: Value) -> Result<Step, Error> {
            machine.host.importing.truncate(self.depth);
            let name = machine.symbols.intern("*import-path*");
            machine.global.define(&name, self.outer_path.clone());
            Ok(Step::Return(value))
        }
    }
    let name = String::from_utf8_lossy(&call.string(0)?).into_owned();
    let (key, text) = open(machine, &name, reach, call.at)?;
    if machine.host.importing.iter().any(|outer| outer.name == key) || machine.sources.name(machine.host.main) == key {
        return Err(Error::new(format!("import cycle: \"{name}\" imports itself"), call.at));
    }
    if machine.host.importing.len() >= MAX_IMPORTS {
        return Err(Error::new(format!("imports nested deeper than {MAX_IMPORTS}"), call.at));
    }
    // Every import keeps its text, and takes a look at the disk.
    machine.charge(text.len() + IMPORT_BYTES, call.at)?;
    let path_name = machine.symbols.intern("*import-path*");
    let outer_path = machine.global.get_here(&path_name).unwrap_or(Value::Bool(false));
    machine.push_host_frame(Rc::new(Finished { depth: machine.host.importing.len(), outer_path }));
    machine.global.define(&path_name, Value::literal(key.as_bytes().to_vec()));
    machine.host.importing.push(Importing { name: key.clone() });
    let source = machine.sources.add(key, &text);
    Ok(machine.enter_source(source, name, call.at))
}

/// `(open-input-file "name")`: a port on a file of the import directories.
fn open_input_file(machine: &mut SbplMachine, call: Call<'_>) -> Result<Step, Error> {
    let name = String::from_utf8_lossy(&call.string(0)?).into_owned();
    let (key, text) = open(machine, &name, Reach::Imports, call.at)?;
    machine.charge(text.len() + IMPORT_BYTES, call.at)?;
    let source = machine.sources.add(key, &text);
    Ok(Step::Return(Value::port(source)))
}

/// A profile has no business writing files (LANGUAGE.md §2.4).
fn refuse(_: &mut SbplMachine, call: Call<'_>) -> Result<Step, Error> {
    Err(Error::new(format!("{}: writing files is refused", call.name), call.at))
}

/// Which files a form may read.
#[derive(Clone, Copy, PartialEq)]
enum Reach {
    /// Any, as `import` may.
    Any,
    /// Those in the import directories, and stand-ins: what reads text as data or code without
    /// being an import is confined (LANGUAGE.md §2.4).
    Imports,
}

/// The name and text of a file that a form names; using a stand-in leaves a note.
fn open(machine: &mut SbplMachine, name: &str, reach: Reach, at: Option<Span>) -> Result<(String, Vec<u8>), Error> {
    let found = find(machine, name).map_err(|reason| Error::new(reason, at))?;
    match found {
        Found::File(path, _) if reach == Reach::Imports && !is_import(machine, &path) => {
            Err(Error::new(format!("unable to open \"{name}\": not in an import directory"), at))
        }
        Found::File(path, text) => Ok((path.display().to_string(), text)),
        Found::StandIn(stand_in) => {
            let message = format!(
                "\"{}\" is not here; a stand-in of sbtool's own is used (-I DIR gives the real one, --no-stand-ins turns them off)",
                stand_in.name
            );
            if !machine.host.notes.iter().any(|note| note.message == message) {
                let mut note = Diagnostic::note("stand-in", message, machine.sources.name(machine.host.main));
                if let Some(at) = at {
                    note.set_place(&machine.sources, at);
                }
                machine.host.notes.push(note);
            }
            Ok((format!("<stand-in {}>", stand_in.name), stand_in.text.as_bytes().to_vec()))
        }
    }
}

/// Whether a file lies in an import directory, whatever links or dots its path goes through.
fn is_import(machine: &SbplMachine, path: &Path) -> bool {
    let host = &machine.host;
    let parameter = host.parameter("IMPORT_DIR").map(PathBuf::from);
    let apple = APPLE_FOLDERS.iter().map(PathBuf::from);
    let Ok(path) = path.canonicalize() else { return false };
    host.options
        .import_directories
        .iter()
        .cloned()
        .chain(parameter)
        .chain(apple)
        .filter_map(|folder| folder.canonicalize().ok())
        .any(|folder| path.starts_with(folder))
}

/// Looks a name up: an absolute path as it is; else, and for an absolute path under Apple's
/// folders that is not there, `-I` directories, then `IMPORT_DIR` or (on macOS) Apple's folders,
/// then the stand-ins.
fn find(machine: &SbplMachine, name: &str) -> Result<Found, String> {
    let host = &machine.host;
    let missing = || format!("unable to open \"{name}\": not found");
    let read = |path: PathBuf| match read_regular(&path) {
        Ok(text) => Some(Ok(Found::File(path, text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(Err(format!("unable to open \"{name}\": {error}"))),
    };
    let mut candidates: Vec<PathBuf> = Vec::new();
    let mut base_name = name;
    if name.starts_with('/') {
        candidates.push(PathBuf::from(name));
        let below = APPLE_FOLDERS.iter().find_map(|folder| name.strip_prefix(folder)?.strip_prefix('/'));
        match below {
            Some(below) => base_name = below,
            None => return read(PathBuf::from(name)).unwrap_or_else(|| Err(missing())),
        }
    }
    candidates.extend(host.options.import_directories.iter().map(|folder| folder.join(base_name)));
    if let Some(folder) = host.parameter("IMPORT_DIR") {
        candidates.push(Path::new(folder).join(base_name));
    } else if cfg!(target_os = "macos") {
        candidates.extend(APPLE_FOLDERS.iter().map(|folder| Path::new(folder).join(base_name)));
    }
    for candidate in candidates {
        if let Some(found) = read(candidate) {
            return found;
        }
    }
    let stand_in = stand_ins().find(|stand_in| stand_in.name == base_name);
    match stand_in.filter(|_| host.options.stand_ins) {
        Some(stand_in) => Ok(Found::StandIn(stand_in)),
        None => Err(missing()),
    }
}

/// Reads a regular file; devices and pipes could go on for ever.
fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let file = std::fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    read_limited(file)
}

/// Reads to the end, but no more than [`MAX_FILE`] bytes.
///
/// # Errors
/// What reading raises, and `FileTooLarge` beyond the limit.
pub fn read_limited(input: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    input.take(MAX_FILE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {} MB", MAX_FILE >> 20)));
    }
    Ok(text)
}
