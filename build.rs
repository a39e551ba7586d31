//! In: the files of `grammar/` and `system-profiles/`. Out: two tables of (name, text) in
//! `OUT_DIR`, so that a new release or a new stand-in is a new file and nothing else.
//! Never reads anything outside the package.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    for (folder, suffix, constant) in
        [("grammar", ".json", "GRAMMAR_FILES"), ("system-profiles", ".sb", "SYSTEM_PROFILES")]
    {
        let folder_path = Path::new(&root).join(folder);
        println!("cargo::rerun-if-changed={}", folder_path.display());
        let mut names = fs::read_dir(&folder_path)?
            .map(|entry| entry.map(|e| e.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()?;
        names.retain(|name| name.ends_with(suffix));
        names.sort_by_cached_key(|name| (by_version(name), name.clone()));
        let mut text = format!("pub(crate) static {constant}: &[(&str, &str)] = &[\n");
        for name in names {
            let path = folder_path.join(&name);
            println!("cargo::rerun-if-changed={}", path.display());
            writeln!(text, "    ({name:?}, include_str!({:?})),", path.display().to_string())
                .map_err(io::Error::other)?;
        }
        text.push_str("];\n");
        fs::write(Path::new(&out).join(format!("{folder}.rs")), text)?;
    }
    Ok(())
}

/// A key in whose order `macos-10.6` comes before `macos-10.12`: texts and the numbers behind them.
fn by_version(name: &str) -> Vec<(String, u64)> {
    let mut key = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let (text, after) = rest.split_at(rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len()));
        let (digits, after) = after.split_at(after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len()));
        key.push((text.to_owned(), digits.parse().unwrap_or(0)));
        rest = after;
    }
    key
}
