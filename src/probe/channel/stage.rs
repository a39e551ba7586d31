//! In: a matrix and what it names, later the results of a job. Out: copies of them in a folder that this user
//! alone can use, and the results where they belong; dropping it removes the folder. Never: a link followed where
//! somebody else could have put it.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use super::ChannelError;
use crate::probe::Plan;
use crate::sbpl;

/// Most levels that a profile may lie above its matrix, and results below their folder.
const MAX_LEVELS: usize = 32;

/// What says that results are whole; copied behind the rest, in this order.
const LAST: [&str; 2] = ["artifact_index.json", "LATEST"];

/// The folder of one run.
#[derive(Debug)]
pub struct Stage {
    folder: PathBuf,
}

impl Stage {
    /// Makes a folder of this name, and the one that it is in where that is missing.
    pub fn new(root: &Path, name: &str) -> Result<Self, ChannelError> {
        let make = |path: &Path| DirBuilder::new().mode(0o700).create(path);
        match make(root) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(ChannelError::files(root))?,
        }
        // In a folder that anybody can write in, anybody may have made that one first.
        let status = fs::symlink_metadata(root).map_err(ChannelError::files(root))?;
        let reason = match () {
            () if !status.is_dir() => Some("it is not a folder"),
            () if status.uid() != rustix::process::geteuid().as_raw() => Some("it is somebody else's"),
            () if status.mode() & 0o022 != 0 => Some("others may change it"),
            () => None,
        };
        if let Some(reason) = reason {
            return Err(ChannelError::Root { path: root.to_owned(), reason });
        }
        let folder = root.join(name);
        make(&folder).map_err(ChannelError::files(&folder))?;
        let stage = Self { folder };
        for name in ["plan", "results"] {
            let path = stage.file(name);
            make(&path).map_err(ChannelError::files(&path))?;
        }
        Ok(stage)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where the job puts its results.
    pub fn results(&self) -> PathBuf {
        self.file("results")
    }

    /// Copies a matrix and its profiles, each to where the matrix says; where that is now. A profile with an
    /// absolute path stays where it is.
    pub fn take(&self, plan: &Plan<'_>, name: &str) -> Result<PathBuf, ChannelError> {
        let profiles = || plan.matrix.profiles.iter().map(|(_, profile)| Path::new(&profile.blob));
        let levels = profiles().map(levels_above).max().unwrap_or(0);
        if levels > MAX_LEVELS {
            let path = profiles().find(|path| levels_above(path) > MAX_LEVELS).unwrap_or(Path::new("")).to_owned();
            return Err(ChannelError::Told { path, reason: "too many levels above the matrix" });
        }
        let mut folder = self.file("plan");
        folder.extend(std::iter::repeat_n("in", levels));
        fs::create_dir_all(&folder).map_err(ChannelError::files(&folder))?;
        for path in profiles().filter(|path| !path.is_absolute()) {
            let from = plan.folder.join(path);
            let bytes = File::open(&from).and_then(sbpl::read_limited).map_err(ChannelError::files(&from))?;
            let mut to = folder.clone();
            let mut parts = path.components().peekable();
            while let Some(part) = parts.next() {
                to.push(part);
                // Also one that is left again: a path through it must lead somewhere.
                if parts.peek().is_some() && matches!(part, Component::Normal(_)) {
                    fs::create_dir_all(&to).map_err(ChannelError::files(&to))?;
                }
            }
            fs::write(&to, bytes).map_err(ChannelError::files(&to))?;
        }
        // Behind the profiles: one of this name is not there in place of it.
        let to = folder.join(name);
        fs::write(&to, plan.text).map_err(ChannelError::files(&to))?;
        Ok(to)
    }

    /// Copies the program; where that is now.
    pub fn take_program(&self, program: &Path) -> Result<PathBuf, ChannelError> {
        let to = self.file("sbtool");
        fs::copy(program, &to).map_err(ChannelError::files(program))?;
        fs::set_permissions(&to, fs::Permissions::from_mode(0o700)).map_err(ChannelError::files(&to))?;
        Ok(to)
    }

    /// What a stream of the job held; at most so many bytes.
    pub fn said(&self, name: &str, most: u64) -> String {
        let mut bytes = Vec::new();
        // It is not there where the job never started.
        let _ = File::open(self.file(name)).and_then(|file| file.take(most).read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Copies the results to where they belong, those last that say that they are whole. Each file appears whole.
    /// What is hidden (locks, folders of a run) stays.
    pub fn give_back(&self, out: &Path) -> Result<(), ChannelError> {
        let results = self.results();
        let mut files = Vec::new();
        listed(&results, Path::new(""), 0, &mut files)?;
        let rank = |path: &PathBuf| LAST.iter().position(|last| path.ends_with(last)).map_or(0, |place| place + 1);
        files.sort_by(|left, right| rank(left).cmp(&rank(right)).then_with(|| left.cmp(right)));
        for path in files {
            let (from, to) = (results.join(&path), out.join(&path));
            let folder = to.parent().unwrap_or(out);
            fs::create_dir_all(folder).map_err(ChannelError::files(folder))?;
            let copied = || -> io::Result<()> {
                let new =
                    tempfile::Builder::new().permissions(fs::metadata(&from)?.permissions()).tempfile_in(folder)?;
                io::copy(&mut File::open(&from)?, &mut new.as_file())?;
                new.persist(&to)?;
                Ok(())
            };
            copied().map_err(ChannelError::files(&to))?;
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Nobody is left whom it could be told; the system clears this folder when it starts.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// How far a path leads above where it starts.
fn levels_above(path: &Path) -> usize {
    let (mut depth, mut above) = (0usize, 0usize);
    for part in path.components() {
        match part {
            Component::ParentDir if depth == 0 => above += 1,
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            _ => {}
        }
    }
    above
}

/// All files below a folder that are not hidden, as paths from there.
fn listed(folder: &Path, inner: &Path, level: usize, files: &mut Vec<PathBuf>) -> Result<(), ChannelError> {
    let at = folder.join(inner);
    if level > MAX_LEVELS {
        return Err(ChannelError::Told { path: at, reason: "too many levels of folders" });
    }
    for entry in fs::read_dir(&at).map_err(ChannelError::files(&at))? {
        let entry = entry.map_err(ChannelError::files(&at))?;
        let path = inner.join(entry.file_name());
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        match entry.file_type().map_err(ChannelError::files(&at))? {
            kind if kind.is_dir() => listed(folder, &path, level + 1, files)?,
            kind if kind.is_file() => files.push(path),
            _ => {}
        }
    }
    Ok(())
}
