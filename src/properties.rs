//! In: any bytes. Out: nothing; each function panics if a property of sbtool does not hold for them.
//! For the fuzz targets and the test that runs their seeds. Never: called by anything else.

#![allow(clippy::panic)]

use crate::blob;
use crate::policy::collection::Profile;
use crate::policy::passes::{Passes, build};
use crate::runtime::decompiled;
use crate::sbpl::reader::read_form;
use crate::sbpl::scheme::Symbols;
use crate::sbpl::source::{SourceId, Sources};
use crate::sbpl::{self, Budget, Options};
use crate::views;
use crate::vocabulary::{DEFAULT_RELEASE, Release};

fn release() -> &'static Release {
    Release::named(DEFAULT_RELEASE).unwrap_or_else(|error| panic!("{error}"))
}

/// Any bytes are read to forms, or to one error with a place inside the text; what was read and is
/// written again reads the same.
pub fn reader(text: &[u8]) {
    let mut sources = Sources::default();
    let id = sources.add("fuzz".to_owned(), text);
    let mut symbols = Symbols::default();
    let mut written = Vec::new();
    let mut position = 0;
    while let Some(source) = sources.get(id) {
        match read_form(id, source, position, &mut symbols) {
            Ok(None) => break,
            Ok(Some(form)) => {
                assert!(form.span.start < form.span.end && form.span.end <= form.next && form.next > position);
                position = form.next;
                written.push(form.value.written());
            }
            Err(error) => {
                assert!(error.span.source == id && error.span.start as usize <= text.len());
                return;
            }
        }
    }
    // Long values are cut short when written, and symbols are shown with what is no UTF-8 replaced.
    // A symbol of one dot has no notation but by what stands behind it: `.(`.
    let lone_dot = text.windows(2).any(|pair| matches!(pair, [b'.', b'(' | b')' | b';']));
    if lone_dot || written.iter().any(|form| form.ends_with("...") || form.contains('\u{fffd}')) {
        return;
    }
    let mut again = Sources::default();
    let joined = written.join("\n");
    let id: SourceId = again.add("again".to_owned(), joined.as_bytes());
    let mut position = 0;
    for form in written {
        let Some(source) = again.get(id) else { return };
        match read_form(id, source, position, &mut symbols) {
            Ok(Some(read)) => {
                assert_eq!(read.value.written(), form);
                position = read.next;
            }
            other => panic!("{form} reads as {other:?}"),
        }
    }
}

/// Any bytes evaluate to rules or to one error, within a budget; rules that are written evaluate to
/// the same rules.
pub fn evaluator(text: &[u8]) {
    let mut options = Options::new(release());
    options.budget = Budget { steps: 50_000, depth: 5_000, bytes: 8 << 20 };
    // Nothing of this machine is read.
    options.stand_ins = false;
    options.parameters = Some(vec![("IMPORT_DIR".to_owned(), "/nonexistent".to_owned())]);
    let Ok(evaluated) = sbpl::evaluate("fuzz", text, &options) else { return };
    let written = sbpl::write_rules(&evaluated.rules);
    options.budget = Budget::default();
    match sbpl::evaluate("again", written.as_bytes(), &options) {
        Ok(again) => assert_eq!(again.rules.list, evaluated.rules.list),
        Err(diagnostic) => panic!("{}\n{written}", diagnostic.render(false)),
    }
}

/// Releases that stand for each form of container (FORMAT.md §1.1 to §1.6).
const CONTAINERS: [&str; 7] = [DEFAULT_RELEASE, "ios-13", "ios-26", "ios-9.3", "macos-10.6", "ios-10", "ios-12"];

/// Any bytes decode or give an error, as a blob of any container; what decodes has views, of which the
/// parts are the whole blob in its order; it encodes, where the release is not read only, and encodes the
/// same when it is decoded again.
pub fn blob(bytes: &[u8]) {
    for name in CONTAINERS {
        let release = Release::named(name).unwrap_or_else(|error| panic!("{error}"));
        let Ok(decoded) = blob::decode(bytes, release) else { continue };
        let mut end = 0;
        let parts = views::parts(&decoded, bytes, |part, note| {
            assert_eq!(part.range.start, end, "{name}: {part:?}");
            end = part.range.end;
            (0..part.range.len().div_ceil(part.width)).for_each(|row| drop(note(row)));
            Ok::<(), ()>(())
        });
        assert!(parts.is_ok() && end == bytes.len(), "{name}: the parts end at {end}");
        let document = views::Document::new("fuzz", bytes.len(), String::new(), &decoded);
        if let Err(error) = serde_json::to_writer(std::io::sink(), &document) {
            panic!("{name}: {error}");
        }
        let Ok(encoded) = blob::encode_collection(&decoded.collection) else { continue };
        match blob::decode(&encoded, release) {
            Ok(again) => {
                assert_eq!(blob::encode_collection(&again.collection).ok().as_ref(), Some(&encoded), "{name}");
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

/// What decompiles, from any bytes that are a blob of any container or a profile, compiles to a policy
/// that no request tells from the first, if the text can be compiled: a made blob can say what no rule
/// may.
pub fn decompiled(bytes: &[u8]) {
    let mut profiles = Vec::new();
    for name in CONTAINERS {
        let release = Release::named(name).unwrap_or_else(|error| panic!("{error}"));
        if let Ok(decoded) = blob::decode(bytes, release) {
            profiles.extend(decoded.collection.profiles.into_iter().take(2));
        }
    }
    let mut options = Options::new(release());
    options.budget = Budget { steps: 50_000, depth: 5_000, bytes: 8 << 20 };
    options.stand_ins = false;
    if let Ok(evaluated) = sbpl::evaluate("fuzz", bytes, &options)
        && let Ok(graph) = build(&evaluated.rules, Passes::default())
    {
        profiles.push(Profile { base: evaluated.rules.base, ..Profile::new(Vec::new(), graph) });
    }
    for profile in profiles {
        let Ok(text) = decompiled::decompiled(&profile) else { continue };
        let Ok(verified) = decompiled::verify(&profile, &text) else { continue };
        if let Some((operation, difference)) = verified.comparison.different().next() {
            let operation = profile.graph.release.operation_name(operation);
            panic!("{operation}: {difference:?}\n{}", text.text);
        }
    }
}
