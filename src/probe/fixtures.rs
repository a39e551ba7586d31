//! In: a matrix. Out: the files that its probes are about, made before a probe and removed behind it. Never: a
//! change to a file that was there.
//!
//! Where a root in the shape of a Mac's can be made (Linux), each probe gets a `/private` of its own, in a folder
//! of the run; the host's `/tmp` and `/etc` are not touched. Elsewhere the files are made where they are asked
//! for, below the temporary folders alone.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::matrix::{Fixture, Matrix, Profile};
use crate::enforce::DATA_VOLUME;

/// What of the host's `/etc` a program may need to start, or a probe to find.
const ETC: [&str; 7] = ["hosts", "passwd", "group", "nsswitch.conf", "ld.so.cache", "ld.so.conf", "resolv.conf"];

/// Where files are made that lie in no folder of the run.
const TEMPORARY: [&str; 2] = ["/private/tmp/", "/private/var/tmp/"];

/// The fixtures of one profile: those that its matrix lists, and a small file for each target that is a path
/// and has none.
#[must_use]
pub fn of_profile(matrix: &Matrix, profile: &Profile) -> Vec<Fixture> {
    let mut out: Vec<Fixture> = matrix.fixtures.iter().chain(&profile.fixtures).cloned().collect();
    for probe in profile.probes.iter().filter(|probe| needs_file(&probe.operation)) {
        let path = at_root(&probe.target);
        // What leads through a symlink of the list is made where that leads, or not at all.
        let is_beyond_link = out.iter().any(|known| {
            known.symlink.is_some()
                && path.strip_prefix(&at_root(&known.path)).is_some_and(|rest| rest.starts_with('/'))
        });
        if path.starts_with("/private/") && !is_beyond_link && !out.iter().any(|known| at_root(&known.path) == path) {
            out.push(Fixture { path, is_target: true, ..Fixture::default() });
        }
    }
    out
}

/// Whether files are made there where they lie in no folder of the run.
#[must_use]
pub fn is_temporary(path: &str) -> bool {
    TEMPORARY.iter().any(|folder| path.starts_with(folder))
}

fn needs_file(operation: &str) -> bool {
    operation.starts_with("file") && operation != "file-write-create"
}

/// The spelling at the root of a path of a Mac: aliases and `..` resolved, the data volume left out.
fn at_root(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    let path = format!("/{}", parts.join("/"));
    let path = path.strip_prefix(DATA_VOLUME).filter(|rest| rest.starts_with("/private/")).unwrap_or(&path).to_owned();
    let is_alias = ["/tmp/", "/var/", "/etc/"].iter().any(|alias| path.starts_with(alias));
    if is_alias { format!("/private{path}") } else { path }
}

/// Files that were made; dropping it removes them.
#[derive(Debug)]
pub struct Made {
    made: Vec<PathBuf>,
    staged: Option<PathBuf>,
}

impl Made {
    /// The folder that stands for `/private`.
    #[must_use]
    pub fn private(&self) -> Option<&Path> {
        self.staged.as_deref()
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // What is gone, or was closed to this user by a probe, stays as it is; the next run clears its folder.
        for path in self.made.iter().rev() {
            let is_directory = fs::symlink_metadata(path).is_ok_and(|status| status.is_dir());
            let _ = if is_directory { fs::remove_dir(path) } else { fs::remove_file(path) };
        }
        if let Some(staged) = &self.staged {
            let _ = fs::remove_dir_all(staged);
        }
    }
}

/// Makes a folder that stands for `/private`, with the fixtures in it.
///
/// # Errors
/// What the system says.
pub fn staged(folder: &Path, fixtures: &[Fixture]) -> io::Result<Made> {
    let made = Made { made: Vec::new(), staged: Some(folder.to_owned()) };
    // A new one: what a program under test left at that name is not followed.
    fs::create_dir(folder)?;
    for name in ["tmp", "var/tmp", "etc"] {
        fs::create_dir_all(folder.join(name))?;
    }
    for name in ETC {
        // A host may lack any of them.
        if let Ok(contents) = fs::read(Path::new("/etc").join(name)) {
            fs::write(folder.join("etc").join(name), contents)?;
        }
    }
    let hosts = folder.join("etc/hosts");
    if !hosts.exists() {
        fs::write(hosts, "127.0.0.1 localhost\n")?;
    }
    for fixture in fixtures {
        let path = at_root(&fixture.path);
        let Some(inner) = path.strip_prefix("/private/") else { continue };
        let at = folder.join(inner);
        let done = at.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| match fs::symlink_metadata(&at) {
            Ok(_) => Ok(()),
            Err(_) => make(&at, fixture),
        });
        needed(fixture, done)?;
    }
    Ok(made)
}

/// Makes the fixtures where they are asked for, those that are not there yet.
///
/// # Errors
/// What the system says.
pub fn in_place(fixtures: &[Fixture]) -> io::Result<Made> {
    let mut made = Made { made: Vec::new(), staged: None };
    for fixture in fixtures {
        let path = at_root(&fixture.path);
        if !is_temporary(&path) {
            continue;
        }
        let at = PathBuf::from(path);
        let missing: Vec<PathBuf> =
            at.ancestors().skip(1).take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
        let done = missing.into_iter().rev().try_for_each(|folder| {
            fs::create_dir(&folder)?;
            made.made.push(folder);
            Ok(())
        });
        let done = done.and_then(|()| {
            if fs::symlink_metadata(&at).is_err() {
                make(&at, fixture)?;
                made.made.push(at);
            }
            Ok(())
        });
        needed(fixture, done)?;
    }
    Ok(made)
}

/// A target that no file can have is not there: its probe says so. What a matrix names must be there.
fn needed(fixture: &Fixture, done: io::Result<()>) -> io::Result<()> {
    done.or_else(
        |error| if fixture.is_target && error.kind() != io::ErrorKind::StorageFull { Ok(()) } else { Err(error) },
    )
}

fn make(at: &Path, fixture: &Fixture) -> io::Result<()> {
    if let Some(target) = &fixture.symlink {
        return std::os::unix::fs::symlink(target, at);
    }
    if fixture.directory {
        fs::create_dir(at)?;
    } else {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(at)?;
        let name = at.file_name().unwrap_or_default().to_string_lossy();
        let usual = format!("runtime-checks {name}\n");
        file.write_all(fixture.contents.as_deref().unwrap_or(&usual).as_bytes())?;
    }
    match fixture.mode {
        Some(mode) => fs::set_permissions(at, fs::Permissions::from_mode(mode & 0o7777)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_come_to_one() {
        for (path, resolved) in [
            ("/tmp/foo", "/private/tmp/foo"),
            ("/private/tmp/nested/../foo", "/private/tmp/foo"),
            ("/System/Volumes/Data/private/var/tmp/x", "/private/var/tmp/x"),
            ("/etc/hosts", "/private/etc/hosts"),
            ("/usr/lib", "/usr/lib"),
            ("/../..", "/"),
        ] {
            assert_eq!(at_root(path), resolved);
        }
    }
}
