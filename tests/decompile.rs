#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! In: blobs of real systems, and profiles whose rules are known: Apple's cases, the corpus, random
//! ones. Out: whether decompiling gives those rules back, or rules of the same meaning, and how long
//! the text is. Never: files that have to be there; without the reference material its tests are
//! skipped.

mod random;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use proptest::prelude::*;
use random::aim::Chance;
use random::{any_filter, lawful_rules, spell};
use sbtool::blob;
use sbtool::policy::collection::{Collection, Profile};
use sbtool::policy::decompile::DecompileError;
use sbtool::policy::equal;
use sbtool::policy::graph::Graph;
use sbtool::policy::inline::inlined;
use sbtool::policy::passes::{Passes, build};
use sbtool::policy::rules::{Argument, Filter, Rule, Rules, Test};
use sbtool::runtime::decompiled::{decompiled, verify};
use sbtool::runtime::limits;
use sbtool::sbpl::{self, Options};
use sbtool::vocabulary::{DEFAULT_RELEASE, OperationId, Release};

fn release() -> &'static Release {
    Release::named(DEFAULT_RELEASE).unwrap()
}

fn say(line: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
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

fn single(graph: Graph) -> Profile {
    Profile::new(Vec::new(), graph)
}

/// Alternatives and conjunctions as sorted texts, negations at the tests.
fn canonical(release: &Release, filter: &Filter, negated: bool) -> String {
    let list = |name: &str, items: &[std::sync::Arc<Filter>]| {
        let mut out = Vec::new();
        for item in items {
            let text = canonical(release, item, negated);
            // Lists of the same kind inside are part of it.
            match text.strip_prefix(name) {
                Some(inner) => out.extend(inner.lines().skip(1).map(str::to_owned)),
                None => out.push(text.replace('\n', "\t")),
            }
        }
        out.sort();
        out.dedup();
        if out.len() == 1 { out.remove(0) } else { format!("{name}\n{}", out.join("\n")) }
    };
    match (filter, negated) {
        (Filter::Not(inner), _) => canonical(release, inner, !negated),
        (Filter::Any(items), false) | (Filter::All(items), true) => list("any", items),
        (Filter::All(items), false) | (Filter::Any(items), true) => list("all", items),
        (Filter::Test(test), _) => {
            let folds = release.folds_paths() && release.filter(test.filter).is_some_and(|filter| filter.folds);
            let text = format!("{test:?}");
            let text = if folds { folded(test) } else { text };
            if negated { format!("not {text}") } else { text }
        }
    }
}

/// The compiler folds these strings, so a blob has them in lower case.
fn folded(test: &Test) -> String {
    match &test.argument {
        Argument::Pattern(pattern) => format!("{:?}", (test.filter, pattern.clone().folded())),
        other => format!("{:?}", (test.filter, other)),
    }
}

/// What each operation's rules say, in the order in which they are tested: neighbours with the same
/// action are alternatives, as the graph cannot tell them apart.
fn by_operation(rules: &Rules) -> BTreeMap<String, Vec<String>> {
    let mut out = BTreeMap::new();
    for (number, entry) in rules.by_operation().iter().enumerate() {
        let id = OperationId(u16::try_from(number).unwrap());
        // Action and modifiers as a rule without operations and filter.
        let action = |number: usize| {
            let rule = Rule { filter: None, operations: Vec::new(), ..rules.list[number].clone() };
            sbpl::write_rules(&Rules { list: vec![rule], ..rules.clone() }).lines().last().unwrap().to_owned()
        };
        let mut list: Vec<(String, Vec<String>)> = Vec::new();
        for number in &entry.filtered {
            let text = canonical(rules.release, rules.list[*number].filter.as_ref().unwrap(), false);
            let items: Vec<String> = match text.strip_prefix("any\n") {
                Some(inner) => inner.lines().map(str::to_owned).collect(),
                None => vec![text.replace('\n', "\t")],
            };
            match list.last_mut() {
                Some((known, texts)) if *known == action(*number) => texts.extend(items),
                _ => list.push((action(*number), items)),
            }
        }
        let mut lines: Vec<String> = list
            .into_iter()
            .map(|(action, mut items)| {
                items.sort();
                items.dedup();
                format!("{action}: {}", items.join(" | "))
            })
            .collect();
        if let sbtool::policy::rules::Tail::Rule(number) = entry.tail {
            // Without a rule, the same is so.
            if id != OperationId::DEFAULT || action(number) != "(deny)" {
                lines.push(action(number));
            }
        }
        if !lines.is_empty() {
            out.insert(rules.release.operation_name(id).into_owned(), lines);
        }
    }
    out
}

/// All 46 cases of macOS 14.4.1: the rules of the source come back from Apple's bytes.
#[test]
fn rules_of_the_sources_come_back() {
    let Some(root) = shared("oracle/apple-macos-14.4.1") else { return };
    let mut count = 0;
    for folder in ["cases", "unhashed"] {
        let mut files: Vec<_> =
            std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "sb")) {
            let mut options = Options::new(release());
            if path.ends_with("param_path_file_with_params.sb") {
                options.parameters = Some(vec![("ROOT".to_owned(), "/private/tmp".to_owned())]);
            }
            let source = sbpl::evaluate("p", &std::fs::read(path).unwrap(), &options).map_err(|d| d.message).unwrap();
            let decoded = blob::decode(&std::fs::read(path.with_extension("bin")).unwrap(), release()).unwrap();
            let profile = &decoded.collection.profiles[0];
            let text = decompiled(profile).unwrap();
            assert_eq!(text.rules.version, source.rules.version, "{}", path.display());
            assert_eq!(by_operation(&text.rules), by_operation(&source.rules), "{}", path.display());
            assert!(verify(profile, &text).unwrap().holds(), "{}", path.display());
            count += 1;
        }
    }
    assert_eq!(count, 46);
}

/// The profiles of other people: what they compile to decompiles to the same meaning, in a text that
/// is not much longer than theirs without comments and layout.
#[test]
fn corpus_profiles_come_back() {
    let Some(folder) = shared("corpus") else { return };
    let parameters: BTreeMap<String, String> = serde_json::from_str(include_str!("corpus.parameters.json")).unwrap();
    let index = std::fs::read_to_string(folder.join("INDEX.tsv")).unwrap();
    let column = index.lines().next().unwrap().split('\t').position(|name| name == "path").unwrap();
    let (mut count, mut written, mut again) = (0, 0, 0);
    for line in index.lines().skip(1) {
        let path = folder.join(line.split('\t').nth(column).unwrap());
        let mut options = Options::new(release());
        options.parameters = Some(parameters.clone().into_iter().collect());
        options.import_directories = vec![path.parent().unwrap().to_owned()];
        let Ok(evaluated) = sbpl::evaluate("p", &std::fs::read(&path).unwrap(), &options) else { continue };
        let (bytes, _) = limits::compile(&evaluated.rules, Passes::default()).unwrap();
        let decoded = blob::decode(&bytes, release()).unwrap();
        let profile = &decoded.collection.profiles[0];
        let text = decompiled(profile).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let verified = verify(profile, &text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(verified.holds(), "{}: {verified:?}\n{}", path.display(), text.text);
        let (source, ours) = (sbpl::compose(&evaluated.rules).len(), text.text.len());
        assert!(2 * ours <= 3 * source + 400, "{}: {source} bytes became {ours}", path.display());
        written += source;
        again += ours;
        count += 1;
    }
    println!("{count} profiles: {written} bytes of rules, {again} decompiled");
    assert_eq!(count, 58);
}

/// Blob, release, and how many profiles it has.
const BLOBS: [(&str, &str, usize); 5] = [
    ("macos10.6_sample1", "macos-10.6", 1),
    ("ios9.3_collection", "ios-9.3", 121),
    ("ios13_collection", "ios-13", 218),
    ("ios17_platform", "ios-17", 1),
    ("ios26_platform", "ios-26", 1),
];

/// Without optimization only each so many-th profile of a collection is compared.
const STEP: usize = if cfg!(debug_assertions) { 30 } else { 1 };

/// Each profile at hand is proven to come back the same.
#[test]
fn real_profiles_verify() {
    let Some(folder) = shared("oracle/blobs") else { return };
    for (name, release, count) in BLOBS {
        let Ok(bytes) = std::fs::read(folder.join(format!("{name}.bin"))) else {
            say(&format!("skipped: {name} is not here"));
            continue;
        };
        let collection = blob::decode(&bytes, Release::named(release).unwrap()).unwrap().collection;
        assert_eq!(collection.profiles.len(), count, "{name}");
        let start = Instant::now();
        let profiles = || collection.profiles.iter().step_by(STEP);
        for profile in profiles() {
            let title = String::from_utf8_lossy(&profile.name);
            let verified = verify(profile, &decompiled(profile).unwrap());
            let verified = verified.unwrap_or_else(|error| panic!("{name}: {title}: {error}"));
            assert!(verified.holds(), "{name}: {title}: {verified:?}");
        }
        say(&format!("{name}: {} profiles the same, in {:?}", profiles().count(), start.elapsed()));
    }
}

/// That the passes come near to Apple's: the platform profiles have about as many nodes when their rules
/// are compiled again.
#[test]
fn platform_profiles_have_as_many_nodes_again() {
    let Some(folder) = shared("oracle/blobs") else { return };
    for (name, release, nodes, again) in
        [("ios17_platform", "ios-17", 9957, 10091), ("ios26_platform", "ios-26", 9652, 9605)]
    {
        let Ok(bytes) = std::fs::read(folder.join(format!("{name}.bin"))) else { continue };
        let collection = blob::decode(&bytes, Release::named(release).unwrap()).unwrap().collection;
        let profile = &collection.profiles[0];
        let rules = decompiled(profile).unwrap().rules;
        let compiled = build(&rules, Passes::default()).unwrap();
        assert_eq!((profile.graph.reachable().len(), compiled.reachable().len()), (nodes, again), "{name}");
    }
}

/// What a profile leaves to the one that it extends is in it once that is inlined.
#[test]
fn inlined_bases_decide() {
    let ios = Release::named("ios-26").unwrap();
    let profile = |name: &str, text: &str| {
        let evaluated = sbpl::evaluate(name, text.as_bytes(), &Options::new(ios)).map_err(|d| d.message).unwrap();
        let graph = build(&evaluated.rules, Passes::default()).unwrap();
        Profile { base: evaluated.rules.base.clone(), ..Profile::new(name, graph) }
    };
    let base = profile(
        "base",
        "(version 3)(deny default)(allow file-read* (subpath \"/a\" \"${HOME}/b\"))(allow signal)(deny mach-lookup (global-name \"x\"))",
    );
    let own = profile(
        "own",
        "(version 3)(extends \"base\")(deny file-read-data (literal \"/a/b\"))(allow mach-lookup (global-name \"x\"))",
    );
    let collection = Collection::of(vec![base, own]).unwrap();
    let bytes = blob::encode_collection(&collection).unwrap();
    let decoded = blob::decode(&bytes, ios).unwrap();
    let (base, own) = (decoded.collection.profile(b"base").unwrap(), decoded.collection.profile(b"own").unwrap());
    let text = decompiled(own).unwrap();
    assert!(text.text.contains("(extends \"base\")"), "{}", text.text);
    assert!(verify(own, &text).unwrap().holds());
    let whole = inlined(own, base);
    let text = decompiled(&whole).unwrap();
    assert!(!text.text.contains("extends") && !text.text.contains("delegate"), "{}", text.text);
    assert!(verify(&whole, &text).unwrap().holds(), "{}", text.text);
    let wanted = profile(
        "wanted",
        "(version 3)(deny default)(allow file-read* (subpath \"/a\" \"${HOME}/b\"))(allow signal)\
         (deny file-read-data (literal \"/a/b\"))(deny mach-lookup (global-name \"x\"))(allow mach-lookup (global-name \"x\"))",
    );
    let comparison = equal::compare(&whole.graph, &wanted.graph);
    assert!(comparison.is_same(), "{comparison:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Decompiling and compiling again keeps the policy, whatever passes made the graph.
    #[test]
    fn decompiled_rules_mean_the_graph(rules in lawful_rules(any_filter(), Just(true).boxed()), bits in 0_u8..16, seed: u64) {
        let passes = Passes {
            thread: bits & 1 != 0,
            sort: bits & 2 != 0,
            merge: bits & 4 != 0,
            lower_regexes: bits & 8 != 0,
        };
        let Ok(graph) = build(&rules, passes) else { return Ok(()) };
        let profile = single(graph);
        let text = match decompiled(&profile) {
            Ok(text) => text,
            // No profile can be about such an operation, but these rules are not read from one.
            Err(DecompileError::InOperation { reason, .. }) if matches!(*reason, DecompileError::NoName { .. }) => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(format!("{error}\n{}", sbpl::write_rules(&rules)))),
        };
        let source = spell::text_of(&rules, &mut Chance(seed)).unwrap_or_default();
        match verify(&profile, &text) {
            Ok(verified) => prop_assert!(
                verified.holds(),
                "{:?}\n{}\nbecame\n{}\n{}", verified, sbpl::write_rules(&rules), text.text, source
            ),
            Err(error) => return Err(TestCaseError::fail(format!("{error}\n{}\nbecame\n{}", sbpl::write_rules(&rules), text.text))),
        }
    }
}
