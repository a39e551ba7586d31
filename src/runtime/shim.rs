//! In: the text of a profile. Out: the same text, made runnable (RUNTIME.md part 1): alias twins
//! for paths under `/tmp`, `/var` and `/etc`, and the rules that a program needs to start. Never:
//! evaluation; comments, order and layout stay, and a second run changes nothing.

use std::collections::HashSet;

use super::world::World;
use crate::policy::rules::Place;
use crate::sbpl::Diagnostic;
use crate::sbpl::reader::{ReadError, read_form};
use crate::sbpl::scheme::{Symbols, Value};
use crate::sbpl::source::{Sources, Span};
use crate::sbpl_text::quoted;
use crate::vocabulary::{MatchKind, Release};

/// The rule that lets the probed program start.
const EXEC: &str = "(allow process-exec*)";

/// What a program reads before it does anything of its own.
const READS: [&str; 5] = ["/System", "/usr", "/bin", "/sbin", "/dev"];

/// Paths whose metadata a lookup below `/tmp` needs.
const LOOKUP: [&str; 3] = ["/private", "/private/tmp", "/tmp"];

/// Which parts are added.
#[derive(Clone, Debug)]
pub struct ShimOptions {
    /// `(allow process-exec*)`.
    pub exec: bool,
    /// The baseline reads.
    pub reads: bool,
    /// Twins for aliased paths, and metadata on the symlinks.
    pub alias: bool,
    /// Rules for this profile alone, put last.
    pub key_rules: Vec<String>,
}

impl Default for ShimOptions {
    fn default() -> Self {
        Self { exec: true, reads: true, alias: true, key_rules: Vec::new() }
    }
}

/// Something added, or something left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addition {
    /// What was added; nothing for a remark.
    pub text: Option<String>,
    /// Where it was added, if inside the input.
    pub place: Option<Place>,
    /// Why, or what should be looked at.
    pub why: String,
}

/// A shimmed profile.
#[derive(Clone, Debug)]
pub struct Shimmed {
    /// The whole text.
    pub text: Vec<u8>,
    /// What was added and why.
    pub additions: Vec<Addition>,
    /// Paths that could not be given a twin.
    pub remarks: Vec<Addition>,
}

/// The recorded baseline, in order (RUNTIME.md part 1): what `probe` appends.
#[must_use]
pub fn baseline() -> Vec<String> {
    let reads = READS.iter().map(|path| format!("(allow file-read* (subpath \"{path}\"))"));
    let lookups = LOOKUP.iter().map(|path| metadata_rule(path));
    std::iter::once(EXEC.to_owned()).chain(reads).chain(lookups).collect()
}

fn metadata_rule(path: &str) -> String {
    format!("(allow file-read-metadata (literal \"{path}\"))")
}

/// The recorded way of adding rules: the text without trailing white space, then one rule a line.
#[must_use]
pub fn append(text: &[u8], rules: &[String]) -> Vec<u8> {
    if rules.is_empty() {
        return text.to_vec();
    }
    let mut out = text.trim_ascii_end().to_vec();
    for rule in rules {
        if !out.is_empty() {
            out.push(b'\n');
        }
        out.extend_from_slice(rule.as_bytes());
    }
    out.push(b'\n');
    out
}

/// Why a profile cannot be shimmed.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    /// The text cannot be read.
    #[error("{}", .0.message)]
    Syntax(Box<Diagnostic>),
}

/// Makes a profile runnable.
///
/// # Errors
/// [`ShimError`] where the text is no list of forms.
pub fn shim(name: &str, text: &[u8], release: &'static Release, options: &ShimOptions) -> Result<Shimmed, ShimError> {
    let mut sources = Sources::default();
    let id = sources.add(name.to_owned(), text);
    let forms = top_level(&sources, id)
        .map_err(|error| ShimError::Syntax(Box::new(Diagnostic::of_read_error(&sources, &error))))?;
    let world = World::of(release);
    // Rules that an earlier run put at the end stay as they are and are not added again.
    let mut known: HashSet<String> = baseline().into_iter().map(|rule| canonical(&rule)).collect();
    known.extend(world.symlinks().iter().map(|(link, _)| canonical(&metadata_rule(link))));
    known.extend(options.key_rules.iter().map(|rule| canonical(rule)));
    let own = forms.iter().rposition(|(value, _)| !known.contains(&value.written())).map_or(0, |at| at + 1);
    let present: HashSet<String> = forms[own..].iter().map(|(value, _)| value.written()).collect();

    let mut twins = Twins::new(&sources, release, &world);
    if options.alias {
        for (value, span) in &forms[..own] {
            twins.form(value, *span);
        }
    }
    let Twins { insertions, remarks, used, .. } = twins;
    let mut wanted: Vec<(String, String)> = Vec::new();
    if options.exec {
        wanted.push((EXEC.to_owned(), "the probing program or the tool it runs must start".to_owned()));
    }
    if options.reads {
        let reads = baseline().into_iter().filter(|rule| rule != EXEC && !rule.contains("metadata"));
        wanted.extend(reads.map(|rule| (rule, "system files that every program reads to start".to_owned())));
        wanted.extend(
            LOOKUP
                .iter()
                .map(|path| (metadata_rule(path), "a path spelled /tmp/… is looked up through this".to_owned())),
        );
    }
    for link in used {
        wanted.push((metadata_rule(&link), format!("{link} is a symlink: a lookup through it needs its metadata")));
    }
    for rule in &options.key_rules {
        wanted.push((rule.clone(), "key-specific rule".to_owned()));
    }
    let mut seen = HashSet::new();
    wanted.retain(|(rule, _)| !present.contains(&canonical(rule)) && seen.insert(canonical(rule)));

    let mut out = Vec::with_capacity(text.len() + 1024);
    let mut copied = 0;
    let mut additions = Vec::new();
    for insertion in insertions {
        out.extend_from_slice(&text[copied..insertion.at]);
        out.extend_from_slice(insertion.text.as_bytes());
        copied = insertion.at;
        additions.push(Addition {
            text: Some(insertion.text.trim().to_owned()),
            place: Some(insertion.place),
            why: insertion.why,
        });
    }
    out.extend_from_slice(&text[copied..]);
    let rules: Vec<String> = wanted.iter().map(|(rule, _)| rule.clone()).collect();
    additions.extend(wanted.into_iter().map(|(rule, why)| Addition { text: Some(rule), place: None, why }));
    Ok(Shimmed { text: append(&out, &rules), additions, remarks })
}

/// A rule as the evaluator would write it, so that layout does not matter.
fn canonical(rule: &str) -> String {
    let mut sources = Sources::default();
    let id = sources.add(String::new(), rule.as_bytes());
    match top_level(&sources, id) {
        Ok(forms) => forms.iter().map(|(value, _)| value.written()).collect(),
        Err(_) => rule.to_owned(),
    }
}

fn top_level(sources: &Sources, id: crate::sbpl::source::SourceId) -> Result<Vec<(Value, Span)>, ReadError> {
    let mut symbols = Symbols::default();
    let mut forms = Vec::new();
    let mut position = 0;
    if let Some(source) = sources.get(id) {
        while let Some(form) = read_form(id, source, position, &mut symbols)? {
            position = form.next;
            forms.push((form.value, form.span));
        }
    }
    Ok(forms)
}

struct Insertion {
    at: usize,
    text: String,
    place: Place,
    why: String,
}

/// Looks for path filters and collects what to insert.
struct Twins<'a> {
    sources: &'a Sources,
    release: &'static Release,
    world: &'a World,
    insertions: Vec<Insertion>,
    remarks: Vec<Addition>,
    used: Vec<String>,
}

impl<'a> Twins<'a> {
    fn new(sources: &'a Sources, release: &'static Release, world: &'a World) -> Self {
        Self { sources, release, world, insertions: Vec::new(), remarks: Vec::new(), used: Vec::new() }
    }

    /// Walks a form; the reader bounds its nesting, and the work is kept on a list anyway.
    fn form(&mut self, value: &Value, _: Span) {
        let mut work = vec![value.clone()];
        while let Some(value) = work.pop() {
            let Value::Pair(list) = &value else { continue };
            if let Value::Symbol(head) = list.car() {
                if head.name() == "quote" {
                    continue;
                }
                let function = self.release.function(head.name()).filter(|(filter, _)| filter.name == "path");
                if let Some((_, function)) = function {
                    self.call(function.matching, &list.cdr());
                }
            }
            let mut rest = value.clone();
            let mut items = Vec::new();
            while let Value::Pair(pair) = &rest {
                items.push(pair.car());
                let next = pair.cdr();
                rest = next;
            }
            items.reverse();
            work.extend(items);
        }
        self.insertions.sort_by_key(|insertion| insertion.at);
    }

    fn place(&self, span: Span) -> Place {
        let at = self.sources.line_column(span);
        Place { file: self.sources.name(span.source).to_owned(), line: at.line, column: at.column }
    }

    /// The symlink that a path goes through at its start, and its spelling without it.
    fn alias(&self, path: &str) -> Option<(String, String)> {
        self.world.symlinks().iter().find_map(|(link, target)| {
            let rest = path.strip_prefix(link.as_str())?;
            (rest.is_empty() || rest.starts_with('/')).then(|| (link.clone(), format!("{target}{rest}")))
        })
    }

    /// The arguments of one `literal`, `subpath`, `prefix` or `regex`.
    fn call(&mut self, matching: MatchKind, arguments: &Value) {
        let mut texts = Vec::new();
        let mut rest = arguments.clone();
        while let Value::Pair(pair) = &rest {
            if let Some(span) = pair.car_span {
                match pair.car().bytes() {
                    Some(bytes) => texts.push((String::from_utf8_lossy(&bytes).into_owned(), span)),
                    None => self.remark(
                        span,
                        "computed path: give it both spellings where it may lie under /tmp, /var or /etc",
                    ),
                }
            }
            let next = pair.cdr();
            rest = next;
        }
        if matching == MatchKind::Regex {
            for (text, span) in texts {
                let path = text.trim_start_matches('^').replace('\\', "");
                if self.alias(&path).is_some() {
                    self.remark(span, "regular expression under a symlink: it never matches; spell it with /private");
                }
            }
            return;
        }
        let mut spelled: HashSet<String> = texts.iter().map(|(text, _)| text.clone()).collect();
        for (text, span) in texts {
            let Some((link, twin)) = self.alias(&text) else { continue };
            if !self.used.contains(&link) {
                self.used.push(link.clone());
            }
            if spelled.insert(twin.clone()) {
                self.insertions.push(Insertion {
                    at: span.end as usize,
                    text: format!(" {}", quoted(twin.as_bytes())),
                    place: self.place(span),
                    why: format!("{link} is a symlink: the kernel compares the resolved path"),
                });
            }
        }
    }

    fn remark(&mut self, span: Span, why: &str) {
        let remark = Addition { text: None, place: Some(self.place(span)), why: why.to_owned() };
        if !self.remarks.contains(&remark) {
            self.remarks.push(remark);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::DEFAULT_RELEASE;

    fn run(text: &str, options: &ShimOptions) -> String {
        let release = Release::named(DEFAULT_RELEASE).unwrap_or_else(|error| panic!("{error}"));
        let shimmed = shim("t.sb", text.as_bytes(), release, options).unwrap_or_else(|error| panic!("{error}"));
        String::from_utf8_lossy(&shimmed.text).into_owned()
    }

    fn alias_only() -> ShimOptions {
        ShimOptions { exec: false, reads: false, ..ShimOptions::default() }
    }

    #[test]
    fn twins_join_the_same_call() {
        let text = "(version 1)\n; keep\n(deny file-read* (require-not (subpath \"/tmp/x\" ; here\n  \"/private/etc\")))\n(allow file-read* (literal \"/var/a\" \"/private/var/a\"))\n";
        let expected = "(version 1)\n; keep\n(deny file-read* (require-not (subpath \"/tmp/x\" \"/private/tmp/x\" ; here\n  \"/private/etc\")))\n(allow file-read* (literal \"/var/a\" \"/private/var/a\"))\n(allow file-read-metadata (literal \"/tmp\"))\n(allow file-read-metadata (literal \"/var\"))\n";
        assert_eq!(run(text, &alias_only()), expected);
    }

    #[test]
    fn twice_is_once() {
        let options = ShimOptions {
            key_rules: vec!["(allow  file-read* (subpath \"/tmp/k\"))".into()],
            ..ShimOptions::default()
        };
        for text in [
            "(version 1)(deny default)(allow file-read* (subpath \"/tmp/foo\" (param \"X\")))",
            "(version 1)\n(allow process-exec*)\n\n",
            "(version 1)(allow file-read* (literal \"/etc/hosts\"))(allow file-read-metadata (literal \"/tmp\"))",
        ] {
            let once = run(text, &options);
            assert_ne!(once, text);
            assert_eq!(run(&once, &options), once);
        }
    }

    #[test]
    fn the_baseline_is_the_recorded_one() {
        assert_eq!(baseline().len(), 9);
        assert_eq!(
            run("(version 1)  \n\n", &ShimOptions::default()),
            format!("(version 1)\n{}\n", baseline().join("\n"))
        );
    }

    #[test]
    fn computed_paths_are_reported() {
        let release = Release::named(DEFAULT_RELEASE).unwrap_or_else(|error| panic!("{error}"));
        let text = b"(allow file-read* (subpath (param \"A\")) (regex #\"^/tmp/x\"))";
        let shimmed = shim("t.sb", text, release, &alias_only()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(shimmed.text, text);
        assert_eq!(shimmed.remarks.len(), 2);
    }
}
