//! In: the files of `tests/cli` with `;; RUN:` lines. Out: one test for each, which runs the
//! binary and compares with the files beside it; `BLESS=1` rewrites those. To add a test is to add
//! a file.
//!
//! - `;; RUN: ARGUMENTS` may stand several times; `%` is the file itself, `%tmp` a folder of the
//!   test's own, `< FILE` standard input. What is printed is put one after the other.
//! - `NAME=VALUE` before the arguments sets a variable of the environment.
//! - `;; EXIT: N` is the status of the RUN line before it; 0 where there is none.
//! - `NAME.stdout` and `NAME.stderr` hold what was printed; none stands for nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli");
    let mut files = Vec::new();
    collect(&folder, &mut files);
    files.sort();
    let trials = files
        .into_iter()
        .filter(|file| !runs(file).is_empty())
        .map(|file| {
            let name = file.strip_prefix(&folder).unwrap_or(&file).display().to_string();
            let folder = folder.clone();
            Trial::test(name, move || run(&file, &folder))
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.extension().and_then(|extension| extension.to_str()) {
            _ if path.is_dir() => collect(&path, files),
            Some("stdout" | "stderr") => {}
            _ => files.push(path),
        }
    }
}

/// The RUN lines of a file with the status expected of each.
fn runs(file: &Path) -> Vec<(String, i32)> {
    let bytes = fs::read(file).unwrap();
    let mut runs: Vec<(String, i32)> = Vec::new();
    for line in String::from_utf8_lossy(&bytes).lines() {
        if let Some(arguments) = line.strip_prefix(";; RUN: ") {
            runs.push((arguments.to_owned(), 0));
        } else if let (Some(status), Some(last)) = (line.strip_prefix(";; EXIT: "), runs.last_mut()) {
            last.1 = status.trim().parse().unwrap();
        }
    }
    runs
}

fn run(file: &Path, folder: &Path) -> Result<(), Failed> {
    let scratch = tempfile::tempdir()?;
    let name = file.strip_prefix(folder)?.display().to_string();
    let place = |text: &str| text.replace("%tmp", &scratch.path().display().to_string()).replace('%', &name);
    let (mut stdout, mut stderr) = (String::new(), String::new());
    for (line, status) in runs(file) {
        let mut words = words(&line).into_iter().map(|word| place(&word));
        let mut arguments = Vec::new();
        let mut variables = Vec::new();
        let mut input = Stdio::null();
        while let Some(word) = words.next() {
            if word == "<" {
                input = File::open(folder.join(words.next().unwrap_or_default()))?.into();
            } else if let (true, Some((name, value))) = (arguments.is_empty(), word.split_once('=')) {
                variables.push((name.to_owned(), value.to_owned()));
            } else {
                arguments.push(word);
            }
        }
        let output = Command::new(env!("CARGO_BIN_EXE_sbtool"))
            .args(&arguments)
            .current_dir(folder)
            .env_remove("NO_COLOR")
            .env_remove("SBTOOL_LIBSANDBOX")
            .envs(variables)
            .stdin(input)
            .output()?;
        let neutral =
            |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&scratch.path().display().to_string(), "%tmp");
        stdout.push_str(&neutral(&output.stdout));
        stderr.push_str(&neutral(&output.stderr));
        if output.status.code() != Some(status) {
            let message =
                format!("{line}\nexit status {:?}, expected {status}\n{stdout}{stderr}", output.status.code());
            return Err(message.into());
        }
    }
    compare(file, "stdout", &stdout)?;
    compare(file, "stderr", &stderr)
}

/// Words as a shell splits them, with single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quoted, mut open) = (String::new(), false, false);
    for character in line.chars() {
        match character {
            '\'' => {
                quoted = !quoted;
                open = true;
            }
            ' ' if !quoted => {
                if open || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            other => word.push(other),
        }
    }
    if open || !word.is_empty() {
        words.push(word);
    }
    words
}

fn compare(file: &Path, suffix: &str, actual: &str) -> Result<(), Failed> {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    let path = PathBuf::from(name);
    if std::env::var_os("BLESS").is_some() {
        if actual.is_empty() {
            let _ = fs::remove_file(&path);
        } else {
            fs::write(&path, actual)?;
        }
        return Ok(());
    }
    let expected = if path.exists() { fs::read_to_string(&path)? } else { String::new() };
    if expected == actual {
        return Ok(());
    }
    let diff = similar::TextDiff::from_lines(&expected, actual);
    let shown = diff.unified_diff().header("expected", "actual").to_string();
    Err(format!("{} differs (BLESS=1 rewrites it)\n{shown}", path.display()).into())
}
