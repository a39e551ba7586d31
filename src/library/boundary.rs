//! In: Rust values. Out: calls of libsandbox's C functions, and their results as Rust values. Never: a
//! pointer, or memory of the library's, that outlives what owns it.
//!
//! The signatures are the publicly reported ones: none of these functions but `sandbox_init` and
//! `sandbox_free_error` is in a public header.

#![allow(unsafe_code, reason = "functions of a C library; each block says why it is sound")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::{io, slice};

use super::{FilterType, LibraryError};

/// Largest profile that is taken from a library, in bytes. Real ones are below 2 MB.
const MAX_PROFILE: usize = 64 << 20;

/// What the library calls parameters; only it looks inside.
#[repr(C)]
struct RawParameters {
    _opaque: [u8; 0],
}

/// What `sandbox_compile_*` returns, in the publicly reported layout of current releases:
/// `{ char *builtin; unsigned char *data; size_t size; }`. Older reports, and the harness of RUNTIME.md
/// whose marker has `profile_type` and `bytecode_length`, have `{ uint32_t type; void *bytecode;
/// size_t length; }`: the same places on a 64-bit system, with another reading of the first word.
#[repr(C)]
struct RawProfile {
    first: usize,
    data: *mut u8,
    size: usize,
}

type Compile = unsafe extern "C" fn(*const c_char, *mut RawParameters, *mut *mut c_char) -> *mut RawProfile;
type Initialise = unsafe extern "C" fn(*const c_char, u64, *mut *mut c_char) -> c_int;
type InitialiseWith = unsafe extern "C" fn(*const c_char, u64, *const *const c_char, *mut *mut c_char) -> c_int;

/// The functions of a libsandbox.
///
/// The library stays loaded as long as the process: it may keep state of its own, and threads and values
/// of threads do not survive that their code goes away. So the functions are valid for ever.
#[derive(Clone, Copy, Debug)]
pub struct Library {
    compile_string: Compile,
    compile_file: Compile,
    compile_named: Compile,
    create_params: unsafe extern "C" fn() -> *mut RawParameters,
    set_param: unsafe extern "C" fn(*mut RawParameters, *const c_char, *const c_char) -> c_int,
    free_params: unsafe extern "C" fn(*mut RawParameters),
    apply: unsafe extern "C" fn(*mut RawProfile) -> c_int,
    free_profile: unsafe extern "C" fn(*mut RawProfile),
    init: Initialise,
    init_with_parameters: InitialiseWith,
    free_error: unsafe extern "C" fn(*mut c_char),
    check: unsafe extern "C" fn(i32, *const c_char, c_int, ...) -> c_int,
}

impl Library {
    /// Loads a library and looks up all functions.
    pub(super) fn load(path: &Path) -> Result<Self, LibraryError> {
        // SAFETY: loading runs the library's initialisers. That it is a libsandbox, whose initialisers do
        // no harm, is what the caller (in the end the user, who named the file or uses the system's) vouches
        // for; no program can check it.
        let library = unsafe { libloading::Library::new(path) }
            .map_err(|error| LibraryError::Load { path: path.to_owned(), reason: error.to_string() })?;
        // Never unloaded; see the type.
        let library: &'static libloading::Library = Box::leak(Box::new(library));
        macro_rules! symbol {
            ($name:literal) => {
                // SAFETY: the field that this goes to gives it the type of the C function of this name, and
                // the library is never unloaded.
                *unsafe { library.get($name.as_bytes()) }
                    .map_err(|_| LibraryError::Symbol { path: path.to_owned(), symbol: $name })?
            };
        }
        Ok(Self {
            compile_string: symbol!("sandbox_compile_string"),
            compile_file: symbol!("sandbox_compile_file"),
            compile_named: symbol!("sandbox_compile_named"),
            create_params: symbol!("sandbox_create_params"),
            set_param: symbol!("sandbox_set_param"),
            free_params: symbol!("sandbox_free_params"),
            apply: symbol!("sandbox_apply"),
            free_profile: symbol!("sandbox_free_profile"),
            init: symbol!("sandbox_init"),
            init_with_parameters: symbol!("sandbox_init_with_parameters"),
            free_error: symbol!("sandbox_free_error"),
            check: symbol!("sandbox_check"),
        })
    }

    /// Parameters of a profile. That there are none is something else than that there is an empty list
    /// (LANGUAGE.md §4.4).
    ///
    /// # Errors
    /// A NUL in a name or value; what the library refuses.
    pub fn parameters(&self, list: &[(String, String)]) -> Result<Parameters, LibraryError> {
        // SAFETY: takes nothing.
        let raw = unsafe { (self.create_params)() };
        let raw = NonNull::new(raw).ok_or_else(|| refused("sandbox_create_params", None))?;
        let parameters = Parameters { library: *self, raw, not_shared: PhantomData };
        for (name, value) in list {
            let (name, value) = (c_string("a parameter's name", name)?, c_string("a parameter's value", value)?);
            // SAFETY: `raw` came from `sandbox_create_params` and is freed by Drop alone; both strings end
            // in NUL and live until after the call.
            if unsafe { (self.set_param)(raw.as_ptr(), name.as_ptr(), value.as_ptr()) } != 0 {
                return Err(refused("sandbox_set_param", None));
            }
        }
        Ok(parameters)
    }

    /// Compiles a text.
    ///
    /// # Errors
    /// What is wrong with it, in the library's words.
    pub fn compile_string(
        &self,
        text: &[u8],
        parameters: Option<&Parameters>,
    ) -> Result<CompiledProfile, LibraryError> {
        self.compile("sandbox_compile_string", self.compile_string, &c_string("the profile", text)?, parameters)
    }

    /// Compiles a file.
    ///
    /// # Errors
    /// As [`Library::compile_string`].
    pub fn compile_file(&self, path: &Path, parameters: Option<&Parameters>) -> Result<CompiledProfile, LibraryError> {
        let path = c_string("the path", path.as_os_str().as_encoded_bytes())?;
        self.compile("sandbox_compile_file", self.compile_file, &path, parameters)
    }

    /// Compiles a profile that the system has under a name.
    ///
    /// # Errors
    /// As [`Library::compile_string`].
    pub fn compile_named(&self, name: &str, parameters: Option<&Parameters>) -> Result<CompiledProfile, LibraryError> {
        self.compile("sandbox_compile_named", self.compile_named, &c_string("the name", name)?, parameters)
    }

    fn compile(
        &self,
        call: &'static str,
        compile: Compile,
        subject: &CStr,
        parameters: Option<&Parameters>,
    ) -> Result<CompiledProfile, LibraryError> {
        let mut message = ptr::null_mut();
        let parameters = parameters.map_or(ptr::null_mut(), |parameters| parameters.raw.as_ptr());
        // SAFETY: `subject` ends in NUL, `parameters` is null or alive (its owner is borrowed), `message` is
        // a place for a pointer; all outlive the call.
        let raw = unsafe { compile(subject.as_ptr(), parameters, &raw mut message) };
        let error = io::Error::last_os_error();
        let message = self.take_message(message);
        let raw = NonNull::new(raw).ok_or(LibraryError::Refused { call, message, error })?;
        Ok(CompiledProfile { library: *self, raw, call, not_shared: PhantomData })
    }

    /// Puts this process under a compiled profile.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn apply(&self, profile: &CompiledProfile) -> Result<(), LibraryError> {
        // SAFETY: the profile came from this interface and is alive, since it is borrowed.
        answer("sandbox_apply", unsafe { (self.apply)(profile.raw.as_ptr()) }, None)
    }

    /// Puts this process under a blob.
    ///
    /// # Errors
    /// As [`Library::apply`].
    pub fn apply_blob(&self, blob: &[u8]) -> Result<(), LibraryError> {
        let mut raw = RawProfile { first: 0, data: blob.as_ptr().cast_mut(), size: blob.len() };
        // SAFETY: `raw` has the layout of a profile, and its bytes live until after the call, which reads
        // them and keeps nothing; it is not passed to `sandbox_free_profile`.
        answer("sandbox_apply", unsafe { (self.apply)(&raw mut raw) }, None)
    }

    /// Puts this process under a profile: a text, or with [`super::NAMED`] a name.
    ///
    /// # Errors
    /// What is wrong with it, or what the system refuses, in the library's words.
    pub fn init(&self, profile: &[u8], flags: u64) -> Result<(), LibraryError> {
        let profile = c_string("the profile", profile)?;
        let mut message = ptr::null_mut();
        // SAFETY: `profile` ends in NUL, `message` is a place for a pointer; both outlive the call.
        let status = unsafe { (self.init)(profile.as_ptr(), flags, &raw mut message) };
        let error = io::Error::last_os_error();
        let message = self.take_message(message);
        answer_with("sandbox_init", status, message, error)
    }

    /// As [`Library::init`], with parameters.
    ///
    /// # Errors
    /// As [`Library::init`].
    pub fn init_with_parameters(
        &self,
        profile: &[u8],
        flags: u64,
        parameters: &[(String, String)],
    ) -> Result<(), LibraryError> {
        let profile = c_string("the profile", profile)?;
        let words = parameters.iter().flat_map(|(name, value)| [name, value]);
        let words = words.map(|word| c_string("a parameter", word)).collect::<Result<Vec<_>, _>>()?;
        let list: Vec<_> = words.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect();
        let mut message = ptr::null_mut();
        // SAFETY: `profile` and all of `list` but its last, which is null, end in NUL; they and the place
        // for a pointer outlive the call.
        let status = unsafe { (self.init_with_parameters)(profile.as_ptr(), flags, list.as_ptr(), &raw mut message) };
        let error = io::Error::last_os_error();
        let message = self.take_message(message);
        answer_with("sandbox_init_with_parameters", status, message, error)
    }

    /// Whether a process may do something; without an operation, whether it is under no profile at all.
    /// `flags` are [`super::CHECK_NO_REPORT`] and [`super::CHECK_CANONICAL`].
    ///
    /// # Errors
    /// What the library refuses to answer.
    pub fn check(
        &self,
        pid: i32,
        operation: Option<&str>,
        subject: Option<(FilterType, &[u8])>,
        flags: i32,
    ) -> Result<bool, LibraryError> {
        let operation = operation.map(|operation| c_string("the operation", operation)).transpose()?;
        let operation = operation.as_ref().map_or(ptr::null(), |operation| operation.as_ptr());
        let status = match subject {
            // SAFETY: `operation` is null or ends in NUL; a type without subject has no further arguments.
            None => unsafe { (self.check)(pid, operation, flags) },
            Some((kind, subject)) => {
                let subject = c_string("the subject", subject)?;
                // SAFETY: as above; each of these types takes one more argument, a C string, which outlives
                // the call.
                unsafe { (self.check)(pid, operation, flags | kind as i32, subject.as_ptr()) }
            }
        };
        match status {
            0 => Ok(true),
            1 => Ok(false),
            _ => Err(refused("sandbox_check", None)),
        }
    }

    /// The text of an error, which is given back to the library.
    fn take_message(&self, message: *mut c_char) -> Option<String> {
        if message.is_null() {
            return None;
        }
        // SAFETY: what a call leaves at the place for an error is null or a C string that is the caller's
        // until it is passed to `sandbox_free_error`, which is done below, after it was copied.
        let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
        // SAFETY: as above; nothing refers to it any more.
        unsafe { (self.free_error)(message) };
        Some(text)
    }
}

/// Parameters that a library keeps.
#[derive(Debug)]
pub struct Parameters {
    library: Library,
    raw: NonNull<RawParameters>,
    /// That a library takes them from another thread is said nowhere.
    not_shared: PhantomData<*mut c_void>,
}

impl Drop for Parameters {
    fn drop(&mut self) {
        // SAFETY: it came from `sandbox_create_params`, and this is the only place that frees it.
        unsafe { (self.library.free_params)(self.raw.as_ptr()) };
    }
}

/// A profile that a library compiled.
#[derive(Debug)]
pub struct CompiledProfile {
    library: Library,
    raw: NonNull<RawProfile>,
    call: &'static str,
    not_shared: PhantomData<*mut c_void>,
}

impl CompiledProfile {
    /// Its bytes.
    ///
    /// # Errors
    /// [`LibraryError::NoBytes`]: a profile that the kernel knows by name has none.
    pub fn bytes(&self) -> Result<&[u8], LibraryError> {
        // SAFETY: it came from a `sandbox_compile_*`, which returns a profile of this layout, and lives until
        // Drop.
        let raw = unsafe { self.raw.as_ref() };
        if raw.data.is_null() || raw.size == 0 || raw.size > MAX_PROFILE {
            return Err(LibraryError::NoBytes { call: self.call });
        }
        // SAFETY: the library keeps `size` bytes at `data`, which nobody changes, until the profile is freed;
        // the slice borrows from what frees it.
        Ok(unsafe { slice::from_raw_parts(raw.data, raw.size) })
    }

    /// What RUNTIME.md's compile marker has as `profile_type`: the low half of the first word.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
    pub fn profile_type(&self) -> u32 {
        // SAFETY: as in `bytes`.
        unsafe { self.raw.as_ref() }.first as u32
    }
}

impl Drop for CompiledProfile {
    fn drop(&mut self) {
        // SAFETY: it came from a `sandbox_compile_*`, and this is the only place that frees it.
        unsafe { (self.library.free_profile)(self.raw.as_ptr()) };
    }
}

/// A C string.
fn c_string(what: &'static str, text: impl AsRef<[u8]>) -> Result<CString, LibraryError> {
    CString::new(text.as_ref()).map_err(|_| LibraryError::Nul { what })
}

/// The error of a call that has just failed.
fn refused(call: &'static str, message: Option<String>) -> LibraryError {
    LibraryError::Refused { call, message, error: io::Error::last_os_error() }
}

/// The outcome of a call that has just returned a status.
fn answer(call: &'static str, status: c_int, message: Option<String>) -> Result<(), LibraryError> {
    answer_with(call, status, message, io::Error::last_os_error())
}

fn answer_with(
    call: &'static str,
    status: c_int,
    message: Option<String>,
    error: io::Error,
) -> Result<(), LibraryError> {
    if status == 0 { Ok(()) } else { Err(LibraryError::Refused { call, message, error }) }
}
