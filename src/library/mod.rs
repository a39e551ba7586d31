//! libsandbox behind Rust types: Apple's own on a Mac, or the one that `SBTOOL_LIBSANDBOX` names on any
//! system. It is opened when it is asked for; nothing is linked to it.
//!
//! In: texts, parameters, bytes, questions. Out: what the library makes of them, or what it says is wrong,
//! in its words. Never: a pointer that leaves `boundary`, which is the only file here with `unsafe`.

mod boundary;

use std::io;
use std::path::{Path, PathBuf};

pub use boundary::{CompiledProfile, Library, Parameters};

/// The environment's name for the file that is opened in place of the system's.
pub const VARIABLE: &str = "SBTOOL_LIBSANDBOX";

/// Apple's library. It is no file of its own on a recent Mac but part of the loader's cache, so only
/// opening tells whether it is there.
const SYSTEM: &str = "/usr/lib/libsandbox.1.dylib";

/// Flag of `sandbox_init`: the first argument is the name of a profile, not its text.
pub const NAMED: u64 = 1;

/// Flag of `sandbox_check`'s type: a denial is not recorded (RUNTIME.md part 3).
pub const CHECK_NO_REPORT: i32 = 0x4000_0000;

/// Flag of `sandbox_check`'s type: refuse a path that is not spelled canonically (RUNTIME.md part 3).
pub const CHECK_CANONICAL: i32 = 0x2000_0000;

/// What a question to `sandbox_check` is about. The numbers are the publicly reported ones of Apple's
/// private header; only that of `Path` was seen at work (RUNTIME.md part 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum FilterType {
    /// A path.
    Path = 1,
    /// A Mach service known to all.
    GlobalName = 2,
    /// A Mach service known to a session.
    LocalName = 3,
    /// The application an Apple event goes to.
    AppleEventDestination = 4,
    /// A right that is asked for.
    RightName = 5,
    /// A domain of preferences.
    PreferenceDomain = 6,
    /// A kernel extension.
    KextBundleId = 7,
}

impl FilterType {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Path,
        Self::GlobalName,
        Self::LocalName,
        Self::AppleEventDestination,
        Self::RightName,
        Self::PreferenceDomain,
        Self::KextBundleId,
    ];

    /// The filter of the vocabulary whose value such a subject is.
    #[must_use]
    pub fn filter(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::GlobalName => "global-name",
            Self::LocalName => "local-name",
            Self::AppleEventDestination => "appleevent-destination",
            Self::RightName => "right-name",
            Self::PreferenceDomain => "preference-domain",
            Self::KextBundleId => "kext-bundle-id",
        }
    }

    /// The type of a number without flags.
    #[must_use]
    pub fn of_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as i32 == number)
    }
}

/// Why a library, or a call of it, gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// This system has none, and none is named.
    #[error("there is no libsandbox on this system; {VARIABLE} names one")]
    None,
    /// The file that was named is not there.
    #[error("{}: {source}", .path.display())]
    Missing {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no library of this system.
    #[error("{}: {reason}", .path.display())]
    Load {
        /// Which file.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// It lacks a function.
    #[error("{}: no symbol '{symbol}'", .path.display())]
    Symbol {
        /// Which library.
        path: PathBuf,
        /// Which function.
        symbol: &'static str,
    },
    /// Something that has to be a C string holds a NUL.
    #[error("{what} holds a NUL, which no C string can")]
    Nul {
        /// What it is.
        what: &'static str,
    },
    /// A call failed.
    #[error("{}", .message.as_deref().map_or_else(|| format!("{call}: {error}"), str::to_owned))]
    Refused {
        /// Which call.
        call: &'static str,
        /// What the library says about it.
        message: Option<String>,
        /// The number that the system left behind.
        error: io::Error,
    },
    /// The profile is one that the kernel holds already, or is no profile.
    #[error("{call}: the profile has no bytes that can be read")]
    NoBytes {
        /// Which call made it.
        call: &'static str,
    },
}

impl Library {
    /// Opens the library that [`VARIABLE`] names, or else the system's.
    ///
    /// # Errors
    /// [`LibraryError`]; a missing function is named.
    pub fn open() -> Result<Self, LibraryError> {
        match std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
            Some(path) => Self::open_file(Path::new(&path)),
            None if cfg!(target_os = "macos") => Self::load(Path::new(SYSTEM)),
            None => Err(LibraryError::None),
        }
    }

    /// Opens a file. Its code runs in this process, with all that this process may: it is as trusted as
    /// this program.
    ///
    /// # Errors
    /// As [`Library::open`].
    pub fn open_file(path: &Path) -> Result<Self, LibraryError> {
        // A name without a slash would be looked for elsewhere.
        let absolute = std::path::absolute(path).and_then(|absolute| absolute.metadata().map(|_| absolute));
        let absolute = absolute.map_err(|source| LibraryError::Missing { path: path.to_owned(), source })?;
        Self::load(&absolute)
    }
}
