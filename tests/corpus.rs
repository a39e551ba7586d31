#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! In: the profiles of other people in the corpus. Out: which evaluate, and why the others do not;
//! the number is pinned. Each that does compiles, and its blob comes back from what is read of it. What `rules` writes is the same rules and text again; what `fmt` writes has
//! the same forms and rules. Never: files that have to be there; without the corpus it is skipped.

use std::path::{Path, PathBuf};

use sbtool::blob;
use sbtool::policy::collection::{Collection, Profile};
use sbtool::policy::passes::Passes;
use sbtool::runtime::limits;
use sbtool::sbpl::reader::read_form;
use sbtool::sbpl::scheme::Symbols;
use sbtool::sbpl::source::Sources;
use sbtool::sbpl::{self, Options};
use sbtool::vocabulary::Release;

fn corpus() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    if folder.is_dir() {
        return Some(folder);
    }
    say("skipped: ../shared/corpus is not here");
    None
}

/// Paths of the profiles in the order of `INDEX.tsv`.
fn profiles(folder: &Path) -> Vec<String> {
    let index = std::fs::read_to_string(folder.join("INDEX.tsv")).unwrap();
    let header: Vec<&str> = index.lines().next().unwrap().split('\t').collect();
    let column = header.iter().position(|name| *name == "path").unwrap();
    index.lines().skip(1).map(|line| line.split('\t').nth(column).unwrap().to_owned()).collect()
}

/// What the profiles ask for with `(param …)`, as their users would give it: the file beside this
/// test. Names that switch an optional part on (`INCLUDE_DIR_0`…) are given too, so that the part is
/// evaluated; `COMMON_SB` is a file of its repository that the corpus does not have, any profile will do.
fn parameters() -> Vec<(String, String)> {
    let file = include_str!("corpus.parameters.json");
    serde_json::from_str::<std::collections::BTreeMap<String, String>>(file).unwrap().into_iter().collect()
}

/// How a profile of the corpus is evaluated.
fn options(path: &Path) -> Options {
    let mut options = Options::new(Release::named("macos-14.4").unwrap());
    options.parameters = Some(parameters());
    options.import_directories = vec![path.parent().unwrap().to_owned()];
    options
}

/// The forms of a text as the reader writes them.
fn forms(text: &[u8]) -> Vec<String> {
    let mut sources = Sources::default();
    let id = sources.add("t".to_owned(), text);
    let mut symbols = Symbols::default();
    let (mut position, mut out) = (0, Vec::new());
    while let Some(form) = read_form(id, sources.get(id).unwrap(), position, &mut symbols).unwrap() {
        position = form.next;
        out.push(form.value.written());
    }
    out
}

#[test]
fn formatting_changes_no_program() {
    let Some(folder) = corpus() else { return };
    for name in &profiles(&folder) {
        let path = folder.join(name);
        let text = std::fs::read(&path).unwrap();
        for width in [40, sbpl::DEFAULT_WIDTH] {
            let formatted = sbpl::format(name, &text, width).unwrap();
            assert!(sbpl::format(name, &formatted, width).unwrap() == formatted, "{name} at {width} again");
            assert_eq!(forms(&formatted), forms(&text), "{name} at {width}");
            let rules = |text: &[u8]| match sbpl::evaluate(name, text, &options(&path)) {
                Ok(evaluated) => Ok(sbpl::write_rules(&evaluated.rules)),
                Err(error) => Err(error.message),
            };
            assert_eq!(rules(&formatted), rules(&text), "{name} at {width}");
        }
    }
}

#[test]
fn profiles_evaluate_and_compile() {
    let Some(folder) = corpus() else { return };
    let names = profiles(&folder);
    let mut failures = Vec::new();
    let mut graphs = Vec::new();
    for name in &names {
        let path = folder.join(name);
        let text = std::fs::read(&path).unwrap();
        match sbpl::evaluate(name, &text, &options(&path)) {
            Ok(evaluated) => {
                let (bytes, graph) = limits::compile(&evaluated.rules, Passes::default()).unwrap();
                let decoded = blob::decode(&bytes, evaluated.rules.release).unwrap();
                assert!(decoded.leftover.is_empty(), "{name}");
                assert!(blob::encode_collection(&decoded.collection).unwrap() == bytes, "{name}");
                let (rules, nodes) = (evaluated.rules.list.len(), graph.nodes.len());
                println!("ok     {name}: {rules} rules, {nodes} nodes, {} bytes", bytes.len());
                graphs.push(Profile::new(name.clone(), graph));
                // What the writer makes of the rules means the same rules, without any help, and is
                // written the same again.
                let written = sbpl::write_rules(&evaluated.rules);
                let mut alone = Options::new(evaluated.rules.release);
                alone.stand_ins = false;
                let again = sbpl::evaluate(name, written.as_bytes(), &alone).unwrap();
                assert_eq!(again.rules.list, evaluated.rules.list, "{name}");
                assert_eq!(again.rules.version, evaluated.rules.version, "{name}");
                assert_eq!(again.rules.profile_flags, evaluated.rules.profile_flags, "{name}");
                assert_eq!(sbpl::write_rules(&again.rules), written, "{name}");
                // Beside the version and the forms that set profile flags.
                let is_rule = |line: &&str| line.starts_with("(allow ") || line.starts_with("(deny ");
                let lines = written.lines().filter(is_rule).count();
                assert_eq!(lines, evaluated.rules.list.len(), "{name}: a line for each rule");
            }
            Err(error) => {
                println!("fails  {name}:{}:{}: {}", error.place.line, error.place.column, error.message);
                failures.push((name.as_str(), error.message.clone()));
            }
        }
    }
    println!("{} of {} profiles evaluate", names.len() - failures.len(), names.len());
    let expected: Vec<(&str, String)> =
        EXPECTED_FAILURES.iter().map(|(name, message)| (*name, (*message).to_owned())).collect();
    assert_eq!(names.len(), 59);
    assert_eq!(failures, expected);
    // All of them in one blob.
    let all = Collection::of(graphs).unwrap();
    let bytes = blob::encode_collection(&all).unwrap();
    let decoded = blob::decode(&bytes, all.release).unwrap();
    assert_eq!((decoded.collection.profiles.len(), decoded.leftover.len()), (58, 0));
    assert!(blob::encode_collection(&decoded.collection).unwrap() == bytes);
}

/// The profile that does not evaluate, with its message: it is wrong on purpose.
const EXPECTED_FAILURES: &[(&str, &str)] = &[("g-cqd+sbpl-toolchain/unknown_char.sb", "unbound variable: @invalid")];

/// Says something past the test harness, which keeps what a passing test prints to itself.
fn say(line: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
}
