//! In: a profile's text with parameters, or bytes. Out: bytes, or the policy that they stand for; errors as
//! texts in the words of Apple's compiler. Never: pointers.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use sbtool::blob;
use sbtool::policy::passes::Passes;
use sbtool::runtime::limits;
use sbtool::runtime::policy::Policy;
use sbtool::sbpl::{self, Evaluated};
use sbtool::vocabulary::{DEFAULT_RELEASE, Release};

/// Stack of the thread that compiles: a caller's may be small.
const STACK: usize = 64 << 20;

/// A profile before compilation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What messages call it.
    pub name: String,
    /// Its text.
    pub text: Vec<u8>,
    /// Parameters; none at all is something else than an empty list (LANGUAGE.md §4.4).
    pub parameters: Option<Vec<(String, String)>>,
}

/// Why something was not done.
#[derive(Debug)]
pub struct Refusal {
    /// The number for `errno`.
    pub errno: i32,
    /// The text for whoever asks for one.
    pub message: String,
}

impl Refusal {
    /// A refusal of a caller's mistake.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { errno: libc::EINVAL, message: message.into() }
    }

    fn internal(message: impl Into<String>) -> Self {
        Self { errno: libc::EIO, message: message.into() }
    }
}

impl Source {
    /// A text without a file.
    pub fn of_text(text: &[u8], parameters: Option<Vec<(String, String)>>) -> Self {
        Self { name: "<input string>".to_owned(), text: text.to_vec(), parameters }
    }

    /// A file.
    ///
    /// # Errors
    /// Where it cannot be read, or is no regular file.
    pub fn of_file(path: &[u8], parameters: Option<Vec<(String, String)>>) -> Result<Self, Refusal> {
        use std::os::unix::ffi::OsStrExt;
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(path));
        let name = path.display().to_string();
        let read = || {
            if path.metadata()?.is_dir() {
                return Err(io::Error::from_raw_os_error(libc::EISDIR));
            }
            sbpl::read_limited(File::open(&path)?)
        };
        match read() {
            Ok(text) => Ok(Self { name, text, parameters }),
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(libc::EFBIG);
                // As Apple's tool prints it (LANGUAGE.md §2.3): without the number.
                let text = error.to_string();
                let text = text.split(" (os error").next().unwrap_or_default();
                Err(Refusal { errno, message: format!("{name}: {text}") })
            }
        }
    }

    /// A profile that the system has under a name: one of sbtool's own stand-ins. The words are those of an
    /// import that is not found; that Apple has the same for a name is guessed.
    ///
    /// # Errors
    /// Where there is none.
    pub fn named(name: &[u8], parameters: Option<Vec<(String, String)>>) -> Result<Self, Refusal> {
        let wanted = String::from_utf8_lossy(name);
        let short = |full: &'static str| full.strip_suffix(".sb").unwrap_or(full);
        let found = sbpl::stand_ins().find(|known| known.name == wanted || short(known.name) == wanted);
        let Some(found) = found else {
            return Err(Refusal { errno: libc::ENOENT, message: format!("unable to open \"{wanted}\": not found") });
        };
        Ok(Self { name: format!("<stand-in {}>", found.name), text: found.text.as_bytes().to_vec(), parameters })
    }

    /// The bytes.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn compile(&self) -> Result<Vec<u8>, Refusal> {
        aside(|| Ok(self.compiled()?.1))
    }

    fn compiled(&self) -> Result<(Evaluated, Vec<u8>), Refusal> {
        if blob::is_blob(&self.text) {
            return Err(Refusal::invalid(format!("{}: is compiled already", self.name)));
        }
        let mut options = sbpl::Options::new(release()?);
        options.parameters.clone_from(&self.parameters);
        let evaluated = sbpl::evaluate(&self.name, &self.text, &options)
            .map_err(|diagnostic| Refusal::invalid(diagnostic.backtrace()))?;
        if let Some(base) = &evaluated.rules.base {
            let base = String::from_utf8_lossy(base);
            return Err(Refusal::invalid(format!("{}: extends '{base}', which needs a collection", self.name)));
        }
        // Apple's words are those before the colon (LANGUAGE.md §7.6).
        let (bytes, _) = limits::compile(&evaluated.rules, Passes::default())
            .map_err(|error| Refusal::invalid(format!("profile compilation failed: {error}")))?;
        Ok((evaluated, bytes))
    }
}

/// The policy of a compiled profile. Its rules are known by their places in the text if it came from one
/// that still compiles to these bytes; else the bytes are read.
///
/// # Errors
/// Bytes that are no profile; one that Apple's kernel does not apply either (RUNTIME.md part 2, "Apply
/// gate").
pub fn policy(source: Option<&Source>, bytes: &[u8]) -> Result<Policy, Refusal> {
    let policy = aside(|| {
        if let Some(source) = source
            && let Ok((evaluated, same)) = source.compiled()
            && same == bytes
        {
            return Policy::of_rules(evaluated.rules).map_err(|error| Refusal::invalid(error.to_string()));
        }
        let decoded = blob::decode(bytes, release()?).map_err(|error| Refusal::invalid(error.to_string()))?;
        if decoded.header.is_collection {
            return Err(Refusal::invalid("a collection of profiles cannot be applied"));
        }
        Ok(Policy::of_graph(decoded.graph))
    })?;
    if !policy.gate().is_empty() {
        let message = "Operation not permitted: missing message filter entitlement".to_owned();
        return Err(Refusal { errno: libc::EPERM, message });
    }
    Ok(policy)
}

/// The release whose compiler and vocabulary this library has.
pub fn release() -> Result<&'static Release, Refusal> {
    Release::named(DEFAULT_RELEASE).map_err(|error| Refusal::internal(error.to_string()))
}

/// Runs something on a thread with a stack of a known size, and waits for it.
fn aside<T: Send>(work: impl FnOnce() -> Result<T, Refusal> + Send) -> Result<T, Refusal> {
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        match worker.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Refusal::internal("internal error; this is a bug in sbtool, please report it")),
            Err(error) => {
                Err(Refusal { errno: error.raw_os_error().unwrap_or(libc::EAGAIN), message: error.to_string() })
            }
        }
    })
}
