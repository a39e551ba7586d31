//! What is compiled for macOS alone cannot be tried on another system. So it is little, and in one folder: this
//! counts it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

/// Fewer lines than this are for macOS alone.
const MOST: usize = 400;

/// Where they are.
const FOLDER: &str = "src/probe/macos";

/// What makes an item one of macOS alone.
const MARKS: [&str; 2] = ["#[cfg(target_os = \"macos\")]", "#[cfg(target_vendor = \"apple\")]"];

fn sources(folder: &Path) -> Vec<(PathBuf, Vec<String>)> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let lines = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
            out.push((path, lines));
        }
    }
    out
}

/// Lines of the item behind a mark: one, or a function whose body is one line.
fn seam(lines: &[String]) -> Option<usize> {
    let first = lines.first()?.trim_end();
    if first.ends_with([';', ',']) {
        return Some(1);
    }
    let indent = &first[..first.len() - first.trim_start().len()];
    (first.ends_with('{') && lines.get(2).is_some_and(|line| *line == format!("{indent}}}"))).then_some(3)
}

#[test]
fn little_is_for_macos_alone_and_in_one_folder() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    let sources: Vec<_> = ["src", "libsandbox/src"].iter().flat_map(|folder| sources(&root.join(folder))).collect();
    for (path, lines) in &sources {
        if path.starts_with(root.join(FOLDER)) {
            count += lines.len();
            let is_boundary = path.ends_with("system.rs");
            let has_unsafe = lines.iter().any(|line| line.contains("unsafe {"));
            assert!(is_boundary || !has_unsafe, "{}: unsafe", path.display());
            continue;
        }
        for (number, line) in lines.iter().enumerate() {
            // Such as `any(target_os = "macos", …)`: more than this knows to count.
            let place = format!("{}:{}", path.display(), number + 1);
            let code = line.split("//").next().unwrap_or_default();
            let names_it = code.contains("target_os = \"macos\"") || code.contains("target_vendor = \"apple\"");
            let is_known = code.contains("cfg!(") || code.contains("not(") || MARKS.contains(&code.trim());
            assert!(!names_it || is_known, "{place}: {line}");
            if MARKS.contains(&code.trim()) {
                let seam = seam(lines.get(number + 1..).unwrap_or_default());
                count +=
                    seam.unwrap_or_else(|| panic!("{place}: more than a seam of one line; it belongs in {FOLDER}"));
            }
        }
    }
    let inside = sources.iter().filter(|(path, _)| path.starts_with(root.join(FOLDER))).count();
    assert!(inside > 0 && count > inside, "nothing was counted");
    assert!(count < MOST, "{count} lines are for macOS alone; {MOST} are too many");
    println!("{count} lines are for macOS alone");
}
