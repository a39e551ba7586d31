//! The page is read with a tokenizer of HTML, as a browser reads it.

#![allow(clippy::unwrap_used)]

use std::fs;

use html5gum::emitters::default::DefaultEmitter;
use html5gum::{Token, Tokenizer};
use proptest::prelude::*;

use super::*;
use crate::probe::artifacts::DecidedBy;
use crate::probe::matrix::Matrix;
use crate::probe::observation::{Exit, Marker, Markers, Observation, OpenedPath, Step, Tool};
use crate::probe::stage::Kind;
use crate::probe::{Plan, evaluate};
use crate::sbpl::Options;

/// A run of two probes, one not as expected.
fn evaluated() -> Record {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("profile.sb"), "(version 1)\n(deny default)\n(allow file-read* (subpath \"/a\"))\n")
        .unwrap();
    let text = br#"{"world_id": "w", "profiles": {"one": {"blob": "profile.sb", "mode": "sbpl", "probes": [
        {"name": "read", "operation": "file-read*", "target": "/a", "expected": "allow", "facts": ["vnode-type=DIRECTORY"]},
        {"name": "write", "operation": "file-write*", "target": "/tmp/a", "expected": "allow"}]}}}"#;
    let matrix = Matrix::read(text).unwrap();
    let options = Options::new(Release::named("macos-14.4").unwrap());
    let plan = Plan { matrix: &matrix, text, folder: folder.path(), name: "plan", options: &options };
    evaluate(&plan, |_, _| {}).unwrap()
}

/// A run of the kernel with a text of somebody's wherever there can be one.
fn observed(text: &str) -> Record {
    let mut record = evaluated();
    record.backend = Backend::Linux;
    let mut apply = Marker::new(Tool::Apply, Step::Apply).classed(-1, 1, Some(text.to_owned()));
    (apply.pid, apply.profile) = (1, Some(text.to_owned()));
    let mut callout = Marker::new(Tool::Callout, Step::PreSyscall);
    (callout.operation, callout.argument) = (Some(text.to_owned()), Some(text.to_owned()));
    (callout.decision, callout.canonicalization) = (Some(text.to_owned()), Some(text.to_owned()));
    let seen = Observation {
        runner: "reader",
        starts_program: false,
        command: vec![text.to_owned()],
        exit: Exit::Code(1),
        stdout: format!("o{text}"),
        stderr: format!("e{text}"),
        dropped: 1,
        markers: Markers { list: vec![apply, callout] },
        opened: OpenedPath { path: Some(Ok(text.to_owned())), without_firmlinks: None },
        milliseconds: 5,
    };
    let outcome = Outcome::denied(Kind::NonzeroExit, 1, ErrnoSource::ProbeMarker);
    record.apply_preflight =
        Some(ApplyPreflight { profile: text.to_owned(), seen: seen.clone(), outcome, is_sandboxed: Some(true) });
    for name in [&mut record.plan_id, &mut record.run_id, &mut record.matrix.world_id, &mut record.plan_digest] {
        text.clone_into(name);
    }
    for profile in &mut record.profiles {
        for name in [&mut profile.id, &mut profile.profile.blob, &mut profile.runtime_name] {
            text.clone_into(name);
        }
        profile.runtime = format!("; {text}\n(allow {text}) {text}\n;{text}").into_bytes();
        for probe in &mut profile.probes {
            for name in [&mut probe.probe.name, &mut probe.probe.operation, &mut probe.probe.target] {
                text.clone_into(name);
            }
            probe.probe.expectation_id = Some(text.to_owned());
            let prediction = probe.prediction.as_mut().unwrap();
            prediction.decided_by = Some(DecidedBy {
                operation: text.to_owned(),
                subject: Some(text.to_owned()),
                by: "rule",
                file: Some(format!("runtime_profiles/{text}")),
                line: Some(2),
                column: Some(1),
                text: Some(format!("(allow {text})")),
            });
            for check in &mut prediction.checks {
                text.clone_into(&mut check.operation);
                check.subject = Some(text.to_owned());
            }
            (probe.scenario, probe.baseline) = (Some(seen.clone()), Some(seen.clone()));
            probe.outcome = outcome;
        }
    }
    record
}

/// What a browser makes of a page: its tags with their attributes, and its text.
#[derive(Default)]
struct Read {
    tags: Vec<(String, Vec<(String, String)>)>,
    ends: usize,
    text: String,
}

fn read(page: &str) -> Read {
    let mut emitter = DefaultEmitter::<()>::default();
    emitter.naively_switch_states(true);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut out = Read::default();
    for Ok(token) in Tokenizer::new_with_emitter(page, emitter) {
        match token {
            Token::StartTag(tag) => {
                let attributes = tag.attributes.iter().map(|(name, value)| (text(name), text(value)));
                out.tags.push((text(&tag.name), attributes.collect()));
            }
            Token::EndTag(_) => out.ends += 1,
            Token::String(string) => out.text.push_str(&text(&string)),
            Token::Doctype(_) => {}
            other => unreachable!("{other:?}"),
        }
    }
    out
}

/// The tags but those that show what cannot be seen.
fn frame(page: &Read) -> Vec<&(String, Vec<(String, String)>)> {
    page.tags.iter().filter(|(_, attributes)| !attributes.iter().any(|(_, value)| value == "unseen")).collect()
}

fn hostile() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "</script>",
        "<script>alert(1)</script>",
        "</style>",
        "<!--",
        "-->",
        "<![CDATA[",
        "\"",
        "'",
        "`",
        "&",
        "&lt;",
        "&#60;",
        "<img src=x onerror=alert(1)>",
        "\" onclick=\"a",
        "javascript:a",
        "</code></pre></td>",
        "<base href=x>",
        "<plaintext>",
        "</title>",
        "</textarea>",
        "\u{202e}",
        "\u{0}",
        "\u{1b}]8;;x",
        "\r",
        "{{a}}",
        "\u{2028}",
    ]);
    prop::collection::vec(prop_oneof![known.prop_map(str::to_owned), ".{0,6}"], 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn texts_of_others_are_texts(text in hostile()) {
        let (page, plain) = (read(&page(&observed(&text))), read(&page(&observed("a"))));
        prop_assert_eq!(frame(&page), frame(&plain));
        prop_assert_eq!(page.ends - plain.ends, page.tags.len() - plain.tags.len());
        prop_assert!(!page.text.contains("class=\"unseen\""));
        let shown = text::plain(&text);
        for around in [("(allow ", ")"), ("o", ""), ("e", ""), ("Probes of ", "")] {
            let wanted = format!("{}{shown}{}", around.0, around.1);
            prop_assert!(page.text.contains(&wanted), "{wanted:?}");
        }
    }
}

#[test]
fn nothing_is_loaded_and_only_the_pages_own_script_runs() {
    let text = page(&observed("a"));
    let page = read(&text);
    for (tag, attributes) in &page.tags {
        assert!(!["link", "img", "iframe", "object", "embed", "base", "svg"].contains(&tag.as_str()), "{tag}");
        for (name, value) in attributes {
            assert!(
                !name.starts_with("on") && !["src", "srcset", "style", "action"].contains(&name.as_str()),
                "{name}"
            );
            assert!(name != "href" || value.starts_with('#'), "{value}");
        }
    }
    assert_eq!(page.tags.iter().filter(|(tag, _)| tag == "script").count(), 1);
    let policy = page.tags.iter().flat_map(|(_, attributes)| attributes).find(|(_, value)| value.contains("-src"));
    let digest = |text: &str| STANDARD.encode(Sha256::digest(text));
    let policy = &policy.unwrap().1;
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    for own in [SCRIPT, STYLE] {
        assert!(text.contains(&format!(">{own}</")) && policy.contains(&digest(own)));
        assert!(!own.contains("</") && !own.contains("url(") && !own.contains("@import"));
    }
}

#[test]
fn a_record_has_one_page() {
    assert_eq!(page(&observed("a")), page(&observed("a")));
    assert_eq!(page(&evaluated()), page(&evaluated()));
}

#[test]
fn the_evaluator_runs_nothing() {
    let text = read(&page(&evaluated())).text;
    assert!(text.contains("The evaluator decided; nothing was run."));
    assert!(text.contains("preflight passedapply not runbootstrap not runprobe not run"), "{text}");
    assert!(!text.contains("Under the profile"));
}

#[test]
fn what_differs_stands_first_and_leads_to_its_row() {
    let page = read(&page(&evaluated()));
    let row = |wanted: &str| {
        page.tags.iter().filter(|(_, all)| all.iter().any(|(name, value)| name == "id" && value == wanted)).count()
    };
    let links: Vec<_> = page.tags.iter().filter(|(tag, _)| tag == "a").collect();
    assert_eq!(links, [&("a".to_owned(), vec![("href".to_owned(), "#probe-1-2".to_owned())])]);
    assert_eq!(row("probe-1-2"), 1);
    let at = |text: &str| page.text.find(text).unwrap();
    assert!(at("one write: expected allow, got deny") < at("Matrix"));
    // The path walk: the symlink on the way, then the object.
    assert!(page.text.contains("file-read-metadata /tmp symlink on the way"), "{}", page.text);
}

#[test]
fn numbers_have_their_names() {
    let record = evaluated();
    let context = Context { record: &record, release: Release::named(&record.release).ok() };
    assert_eq!(context.errno(1), "EPERM (1)");
    assert_eq!(context.errno(2), "ENOENT (2)");
    assert_eq!(context.errno(9999), "9999");
    #[cfg(target_os = "linux")]
    assert_eq!(context.errno(libc::EAGAIN), format!("EAGAIN ({})", libc::EAGAIN));
}
