//! In: a folder, and a record once there is one. Out: a [`Folder`] that nobody else writes to, and in it the
//! artifacts of one run. Never: two runs in one folder, or an index beside files that are not all there.
//!
//! The order is the protocol. An older index goes first, then what it was about; `run_status.json` says
//! `in_progress`. Then each file appears whole, the status says `complete`, and the index comes last. So where an
//! index is, a run is; what is killed, fails or finds no room on the way leaves none.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use fs4::{FileExt, TryLockError};

use super::index::{ArtifactIndex, IndexEntry};
use super::run::{self, RunStatus, State};
use super::{Header, INDEX, NAMES, RUN_STATUS, RUNTIME_PROFILES};
use crate::files::{self, WriteError};
use crate::probe::record::Record;

/// The file that is locked. It stays: to remove it would let two runs each lock their own.
pub const LOCK: &str = ".runtime.lock";

/// Why artifacts are not written.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another run writes there.
    #[error("{name}: another run is writing to this folder")]
    Busy {
        /// The folder.
        name: String,
    },
    /// A file cannot be made, removed or filled.
    #[error(transparent)]
    Files(#[from] WriteError),
}

/// A folder of artifacts, locked for one run.
pub struct Folder {
    path: PathBuf,
    lock: File,
    status: RunStatus,
    written: Vec<IndexEntry>,
}

impl Folder {
    /// Makes the folder if it is missing, locks it, removes what an older run left, and says that a run is under
    /// way. `waits`: until another run is done; otherwise that is an error. Profiles of an older run stay until
    /// this one has read its own, which may be among them.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn open(path: &Path, waits: bool, status: RunStatus) -> Result<Self, FolderError> {
        let fail = |path: &Path, source| WriteError::new(path, source);
        fs::create_dir_all(path).map_err(|source| fail(path, source))?;
        let lock_path = path.join(LOCK);
        let lock = File::options().read(true).write(true).create(true).truncate(false).open(&lock_path);
        let lock = lock.map_err(|source| fail(&lock_path, source))?;
        if waits {
            FileExt::lock(&lock).map_err(|source| fail(&lock_path, source))?;
        } else {
            match FileExt::try_lock(&lock) {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(FolderError::Busy { name: path.display().to_string() }),
                Err(TryLockError::Error(source)) => return Err(fail(&lock_path, source).into()),
            }
        }
        let folder = Self { path: path.to_owned(), lock, status, written: Vec::new() };
        for name in std::iter::once(INDEX).chain(NAMES.iter().map(|(name, _)| *name)) {
            folder.remove(name)?;
        }
        folder.remove_unfinished()?;
        folder.say(State::InProgress)?;
        Ok(folder)
    }

    /// Writes a file that belongs to the run; `name` with `/`. The index will have it.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        files::replace(&self.path.join(name), bytes)?;
        self.written.retain(|entry| entry.path != name);
        self.written.push(IndexEntry::new(name, bytes));
        Ok(())
    }

    /// Writes all artifacts, and the index last. If that fails, the run failed.
    ///
    /// # Errors
    /// [`FolderError`]; there is no index then.
    pub fn commit(mut self, record: &Record) -> Result<(), FolderError> {
        let outcome = self.write_all(record);
        if let Err(error) = &outcome {
            self.fail("write", &error.to_string());
        }
        outcome
    }

    /// Says that the run failed, while doing what, and why.
    pub fn fail(mut self, stage: &'static str, error: &str) {
        (self.status.failure_stage, self.status.error) = (Some(stage), Some(error.to_owned()));
        // Where there is no room even for that, no status is better than one that says something else.
        if self.say(State::Failed).is_err() {
            let _ = self.remove(RUN_STATUS);
        }
    }

    fn write_all(&mut self, record: &Record) -> Result<(), FolderError> {
        self.status.run_id = Some(record.run_id.clone());
        let profiles = self.path.join(RUNTIME_PROFILES);
        fs::create_dir_all(&profiles).map_err(|source| WriteError::new(&profiles, source))?;
        let used = record.profiles.iter().map(|profile| profile.runtime_name.as_str()).collect();
        self.remove_older_profiles(&used)?;
        for profile in &record.profiles {
            self.write(&format!("{RUNTIME_PROFILES}/{}", profile.runtime_name), &profile.runtime)?;
        }
        for (name, text) in super::contents(record, &self.path) {
            self.write(name, text.as_bytes())?;
        }
        let status = super::text(&self.status.now(State::Complete));
        self.write(RUN_STATUS, status.as_bytes())?;
        let index = ArtifactIndex {
            header: Header::new(record, super::version::ARTIFACT_INDEX),
            artifacts: std::mem::take(&mut self.written),
            missing: Vec::new(),
            status: run::status(record),
        };
        files::replace(&self.path.join(INDEX), super::text(&index).as_bytes())?;
        Ok(())
    }

    fn say(&self, state: State) -> Result<(), WriteError> {
        files::replace(&self.path.join(RUN_STATUS), super::text(&self.status.now(state)).as_bytes())
    }

    fn remove(&self, name: &str) -> Result<(), WriteError> {
        remove(&self.path.join(name))
    }

    /// What a run that was killed left of a file. Nobody else writes files of a run here.
    fn remove_unfinished(&self) -> Result<(), WriteError> {
        for folder in [self.path.clone(), self.path.join(RUNTIME_PROFILES)] {
            remove_where(&folder, |name| name.starts_with(files::TEMPORARY))?;
        }
        Ok(())
    }

    fn remove_older_profiles(&self, used: &BTreeSet<&str>) -> Result<(), WriteError> {
        remove_where(&self.path.join(RUNTIME_PROFILES), |name| {
            (name.ends_with(".runtime.sb") || name.ends_with(".sb.bin")) && !used.contains(name)
        })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // By name, since a child may still hold the file open.
        let _ = FileExt::unlock(&self.lock);
    }
}

fn remove(path: &Path) -> Result<(), WriteError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(WriteError::new(path, error)),
        _ => Ok(()),
    }
}

/// Removes files of a folder by their names. A folder that is a link to elsewhere is left alone.
fn remove_where(folder: &Path, is_meant: impl Fn(&str) -> bool) -> Result<(), WriteError> {
    let fail = |source| WriteError::new(folder, source);
    if !folder.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name: &OsStr = &entry.file_name();
        if name.to_str().is_some_and(&is_meant) && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}
