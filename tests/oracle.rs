//! In: the reference material beside the project, where it is present. Out: proof on Apple's own
//! bytes and on verdicts recorded on a Mac. Skips, with a line that says so, where it is absent.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use sbtool::blob;
use sbtool::policy::passes::{Passes, build};
use sbtool::policy::rules::Action;
use sbtool::runtime::policy::Policy;
use sbtool::runtime::question::{Question, ask, probed_operation};
use sbtool::runtime::shim;
use sbtool::runtime::world::World;
use sbtool::sbpl::{self, Options};
use sbtool::vocabulary::Release;

fn release() -> &'static Release {
    Release::named("macos-14.4").unwrap()
}

/// A folder of the reference material.
fn shared(folder: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(folder);
    if path.is_dir() {
        return Some(path);
    }
    say(&format!("skipped: ../shared/{folder} is not here"));
    None
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "sb"));
    files.sort();
    files
}

fn compile(path: &Path) -> Vec<u8> {
    let mut options = Options::new(release());
    if path.ends_with("param_path_file_with_params.sb") {
        options.parameters = Some(vec![("ROOT".to_owned(), "/private/tmp".to_owned())]);
    }
    let text = std::fs::read(path).unwrap();
    let evaluated =
        sbpl::evaluate(&path.display().to_string(), &text, &options).unwrap_or_else(|d| panic!("{}", d.render(false)));
    blob::encode(&build(&evaluated.rules, Passes::default()).unwrap()).unwrap()
}

#[test]
fn hashed_cases_are_byte_for_byte_apples() {
    let Some(folder) = shared("oracle/apple-macos-14.4.1/cases") else { return };
    let files = sources(&folder);
    assert_eq!(files.len(), 34);
    for path in files {
        let apple = std::fs::read(path.with_extension("bin")).unwrap();
        assert_eq!(compile(&path), apple, "{}", path.display());
        let decoded = blob::decode(&apple, release()).unwrap();
        assert_eq!(decoded.leftover, []);
        assert_eq!(blob::encode(&decoded.graph).unwrap(), apple, "{}", path.display());
    }
}

/// Rebuilt from traces and lengths, without a published hash. `matrix_v2` differs in the order of
/// two names of equal length, for which its evidence (lengths and offsets) says nothing.
#[test]
fn unhashed_cases_are_as_rebuilt() {
    let Some(folder) = shared("oracle/apple-macos-14.4.1/unhashed") else { return };
    let mut differing = Vec::new();
    for path in sources(&folder) {
        let rebuilt = std::fs::read(path.with_extension("bin")).unwrap();
        let ours = compile(&path);
        assert_eq!(ours.len(), rebuilt.len(), "{}", path.display());
        if ours != rebuilt {
            differing.push(path.file_stem().unwrap().to_string_lossy().into_owned());
        }
        let decoded = blob::decode(&rebuilt, release()).unwrap();
        assert_eq!(blob::encode(&decoded.graph).unwrap(), rebuilt, "{}", path.display());
    }
    assert_eq!(differing, ["matrix_v2"]);
}

fn policy_of(name: &str, text: &str) -> Policy {
    let evaluated = sbpl::evaluate(name, text.as_bytes(), &Options::new(release()))
        .unwrap_or_else(|d| panic!("{}", d.render(false)));
    Policy::of_rules(evaluated.rules).unwrap()
}

fn verdict(policy: &Policy, world: &World, operation: &str, target: &str) -> &'static str {
    let question = Question { operation: probed_operation(operation), subject: Some(target), facts: &[] };
    match ask(policy, world, &question).unwrap().action() {
        Action::Allow => "allow",
        Action::Deny | Action::Delegate | Action::Autobox => "deny",
    }
}

/// The runtime profiles that ran on the Mac, as they are.
#[test]
fn recorded_runtime_profiles_give_the_recorded_verdicts() {
    let Some(folder) = shared("oracle/verdicts") else { return };
    let table = std::fs::read_to_string(folder.join("verdicts.tsv")).unwrap();
    let world = World::of(release());
    let mut decided = 0;
    for line in table.lines().filter(|line| !line.starts_with('#')).skip(1) {
        let row: Vec<&str> = line.split('\t').collect();
        let (operation, target, profile, actual) = (row[2], row[3], row[4], row[6]);
        let Ok(text) = std::fs::read_to_string(folder.join("profiles").join(profile)) else { continue };
        assert_eq!(verdict(&policy_of(profile, &text), &world, operation, target), actual, "{line}");
        decided += 1;
    }
    // Rows of the blob and of Apple's own files have no text.
    assert_eq!(decided, 15);
}

/// Literals that a profile of the path suite allows to read and write, and those whose metadata.
struct Allowed {
    paths: Vec<&'static str>,
    metadata: Vec<&'static str>,
}

fn path_suite() -> HashMap<&'static str, Allowed> {
    let mut suite = HashMap::new();
    let mut add = |name, paths: &[&'static str], metadata: &[&'static str]| {
        suite.insert(name, Allowed { paths: paths.to_vec(), metadata: metadata.to_vec() });
    };
    let alias = ["/tmp/foo", "/tmp/bar", "/tmp/nested/child", "/var/tmp/canon"];
    let canonical = ["/private/tmp/foo", "/private/tmp/bar", "/private/tmp/nested/child", "/private/var/tmp/canon"];
    let (var, private_var, data_var) = (
        "/var/tmp/vfs_canon_probe",
        "/private/var/tmp/vfs_canon_probe",
        "/System/Volumes/Data/private/var/tmp/vfs_canon_probe",
    );
    let (firm, data_firm) = ("/private/tmp/vfs_firmlink_probe", "/System/Volumes/Data/private/tmp/vfs_firmlink_probe");
    let (link, linked) = ("/private/var/tmp/vfs_link_probe", "/private/tmp/vfs_linkdir/to_var_tmp/vfs_link_probe");
    add("vfs_tmp_only", &alias, &[]);
    add("vfs_private_tmp_only", &canonical, &[]);
    add("vfs_both_paths", &[alias, canonical].concat(), &[]);
    add("vfs_var_tmp_alias_only", &[var], &[]);
    add("vfs_var_tmp_private_only", &[private_var], &[]);
    add("vfs_var_tmp_both", &[var, private_var], &[]);
    add("vfs_var_tmp_data_only", &[data_var], &[]);
    add("vfs_var_tmp_both_plus_metadata_var", &[var, private_var], &["/var"]);
    add("vfs_etc_private_only", &["/private/etc/hosts"], &[]);
    add("vfs_etc_both", &["/etc/hosts", "/private/etc/hosts"], &[]);
    add("vfs_etc_both_plus_metadata_etc", &["/etc/hosts", "/private/etc/hosts"], &["/etc"]);
    add("vfs_firmlink_private_only", &[firm], &[]);
    add("vfs_firmlink_both", &[firm, data_firm], &[]);
    add("vfs_firmlink_data_only", &[data_firm], &[]);
    add("vfs_link_var_tmp_only", &[link], &[]);
    add("vfs_link_both", &[link, linked], &[]);
    add("vfs_link_private_tmp_only", &[linked], &[]);
    add("vfs_link_both_plus_metadata_to_var_tmp", &[link, linked], &["/private/tmp/vfs_linkdir/to_var_tmp"]);
    suite
}

#[test]
fn the_path_suite_gives_the_recorded_verdicts() {
    let Some(folder) = shared("oracle/verdicts") else { return };
    let table = std::fs::read_to_string(folder.join("vfs-verdicts.tsv")).unwrap();
    let world = World::of(release()).with_symlink("/private/tmp/vfs_linkdir/to_var_tmp", "/private/var/tmp");
    let suite = path_suite();
    let edges = std::fs::read_to_string(folder.join("profiles/path_edges.sb")).unwrap();
    let (mut decided, mut skipped) = (0, 0);
    for line in table.lines().filter(|line| !line.starts_with('#') && !line.starts_with("profile\t")) {
        let row: Vec<&str> = line.split('\t').collect();
        let (profile, target, operations, actual) = (row[0], row[2], row[3], row[4]);
        let base = match (suite.get(profile), profile) {
            (Some(allowed), _) => {
                let rule = |operation: &str, path: &&str| format!("(allow {operation} (literal \"{path}\"))\n");
                let read = allowed.paths.iter().map(|path| rule("file-read*", path));
                let write = allowed.paths.iter().map(|path| rule("file-write*", path));
                let metadata = allowed.metadata.iter().map(|path| rule("file-read-metadata", path));
                format!("(version 1)\n(deny default)\n{}", metadata.chain(read).chain(write).collect::<String>())
            }
            (None, "adv:path_edges") => edges.clone(),
            // Opened by way of a folder descriptor, or the text is not known.
            _ => {
                skipped += 1;
                continue;
            }
        };
        let text = shim::append(base.as_bytes(), &shim::baseline());
        let policy = policy_of(profile, &String::from_utf8(text).unwrap());
        for operation in operations.split(',') {
            let name = if operation == "read" { "file-read*" } else { "file-write*" };
            assert_eq!(verdict(&policy, &world, name, target), actual, "{line}");
            decided += 1;
        }
    }
    assert_eq!((decided, skipped), (112, 10));
}

/// Says something past the test harness, which keeps what a passing test prints to itself.
fn say(line: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
}
