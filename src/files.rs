//! In: a path, and what is to stand there. Out: a file that appears whole or not at all. Never: half a file, or
//! an old one lost to a failure.

use std::io::{self, Write};
use std::path::Path;

/// Start of the names of files that are not whole yet. One that a killed process left may be removed.
pub const TEMPORARY: &str = ".sbtool-unfinished";

/// Why a file is not there.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It cannot be made.
    #[error("{name}: {source}")]
    Create {
        /// Which file.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// It cannot be filled: no room, mostly.
    #[error("{name}: {source}")]
    Write {
        /// Which file.
        name: String,
        /// Why.
        source: io::Error,
    },
}

impl WriteError {
    /// That it cannot be made; where there is no room, that it cannot be filled.
    #[must_use]
    pub fn new(path: &Path, source: io::Error) -> Self {
        let name = path.display().to_string();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::Write { name, source }
            }
            _ => Self::Create { name, source },
        }
    }
}

/// Writes a file in one step: a failure leaves the old file as it was.
///
/// # Errors
/// [`WriteError`].
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    replace_with(path, |out| out.write_all(bytes))
}

/// As [`replace`], for what is made as it is written.
///
/// # Errors
/// [`WriteError`].
pub fn replace_with(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), WriteError> {
    let create = |source: io::Error| WriteError::new(path, source);
    let fill = |source: io::Error| WriteError::Write { name: path.display().to_string(), source };
    // A device or pipe cannot be replaced; it is written to.
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        let device = std::fs::OpenOptions::new().write(true).truncate(true).open(path).map_err(create)?;
        let mut out = io::BufWriter::new(device);
        return write(&mut out).and_then(|()| out.flush()).map_err(fill);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A missing folder is told by its own name and not by that of the temporary file.
    folder.metadata().map_err(create)?;
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // What the umask leaves of this, as for a file that is simply created.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.prefix(TEMPORARY).tempfile_in(folder).map_err(create)?;
    let mut out = io::BufWriter::with_capacity(1 << 16, file.as_file_mut());
    write(&mut out).and_then(|()| out.flush()).map_err(fill)?;
    drop(out);
    if let Ok(metadata) = path.metadata() {
        // An old file keeps its mode.
        file.as_file().set_permissions(metadata.permissions()).map_err(create)?;
    }
    file.persist(path).map_err(|error| create(error.error))?;
    Ok(())
}
