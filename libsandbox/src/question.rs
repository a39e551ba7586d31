//! In: what `sandbox_check` was asked. Out: allow or deny. Never: a verdict of its own; the process that
//! supervises this one has the policy.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use sbtool::enforce;
use sbtool::library::{CHECK_CANONICAL, CHECK_NO_REPORT, FilterType};

use crate::profile;

/// The operation that is asked about where the question is only whether a process is under a policy.
const ANY_OPERATION: &str = "file-read-data";

/// What a type with its flags says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// What the subject is; none where there is no subject.
    pub filter: Option<FilterType>,
    canonical: bool,
}

impl Kind {
    /// Reads it.
    ///
    /// # Errors
    /// A type or flag that is not known. What takes no string is among them.
    pub fn of_number(number: i32) -> io::Result<Self> {
        // Questions are not recorded here in any case.
        let canonical = number & CHECK_CANONICAL != 0;
        let number = number & !(CHECK_CANONICAL | CHECK_NO_REPORT);
        if number == 0 {
            return Ok(Self { filter: None, canonical });
        }
        let filter = FilterType::of_number(number).ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
        Ok(Self { filter: Some(filter), canonical })
    }
}

/// Whether a process may do something; without an operation, whether it is under no policy.
///
/// # Errors
/// Those of [`enforce::check`], and EINVAL for an operation that the release does not have.
pub fn may(pid: i32, operation: Option<&str>, kind: Kind, subject: &[u8]) -> io::Result<bool> {
    let process = u32::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
    let own = process == std::process::id();
    let Some(operation) = operation else {
        return match enforce::check(process, ANY_OPERATION, None) {
            Ok(_) => Ok(false),
            // This process is under no policy: so nothing is known about others.
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) && own => Ok(true),
            Err(error) => Err(error),
        };
    };
    let release = profile::release().map_err(|refusal| io::Error::from_raw_os_error(refusal.errno))?;
    if release.operation(operation).is_none() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    if kind.canonical && kind.filter == Some(FilterType::Path) && !is_canonical(subject)? {
        return Ok(false);
    }
    match enforce::check(process, operation, kind.filter.map(|filter| (filter.filter(), subject))) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) && own => Ok(true),
        answer => answer,
    }
}

/// Whether a path is spelled as the kernel would: absolute, nothing to leave out, no symlink in it. The last
/// component need not be there.
///
/// # Errors
/// Where the policy lets this process not look.
fn is_canonical(path: &[u8]) -> io::Result<bool> {
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    // Components leave out `.` and repeated slashes, so they come to the same length only without any.
    let plain: std::path::PathBuf = path.components().collect();
    if !path.is_absolute()
        || plain.as_os_str() != path.as_os_str()
        || path.components().any(|component| component == Component::ParentDir)
    {
        return Ok(false);
    }
    let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    match path.canonicalize() {
        Ok(resolved) => Ok(resolved == path),
        Err(error) if missing(&error) => match path.symlink_metadata() {
            // A symlink that leads nowhere.
            Ok(_) => Ok(false),
            Err(error) if !missing(&error) => Err(error),
            Err(_) => match path.parent().map(Path::canonicalize) {
                Some(Ok(resolved)) => Ok(Some(resolved.as_path()) == path.parent()),
                Some(Err(error)) if !missing(&error) => Err(error),
                _ => Ok(false),
            },
        },
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_flags() {
        let path = |canonical| Kind { filter: Some(FilterType::Path), canonical };
        assert_eq!(Kind::of_number(0x4000_0001).unwrap(), path(false));
        assert_eq!(Kind::of_number(0x6000_0001).unwrap(), path(true));
        assert_eq!(Kind::of_number(0).unwrap(), Kind { filter: None, canonical: false });
        for number in [8, 99, -1, 0x1000_0001] {
            assert_eq!(Kind::of_number(number).unwrap_err().raw_os_error(), Some(libc::EINVAL), "{number}");
        }
    }

    #[test]
    fn each_type_names_a_filter_of_the_release() {
        for kind in FilterType::ALL {
            assert!(profile::release().unwrap().filter_named(kind.filter()).is_some(), "{kind:?}");
        }
    }

    #[test]
    fn canonical_spellings() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        std::fs::write(folder.join("file"), "").unwrap();
        std::os::unix::fs::symlink("file", folder.join("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.join("loose")).unwrap();
        std::os::unix::fs::symlink(".", folder.join("here")).unwrap();
        let canonical = |name: &str| is_canonical(format!("{}/{name}", folder.display()).as_bytes()).unwrap();
        for (name, expected) in [
            ("file", true),
            ("missing", true),
            ("link", false),
            ("loose", false),
            ("here/file", false),
            ("here/missing", false),
            ("./file", false),
            ("../x", false),
            ("/file", false),
            ("missing/file", false),
        ] {
            assert_eq!(canonical(name), expected, "{name}");
        }
        assert!(!is_canonical(b"file").unwrap());
        assert!(!is_canonical(b"").unwrap());
        assert!(is_canonical(b"/").unwrap());
    }
}
