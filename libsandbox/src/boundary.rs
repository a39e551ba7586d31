//! In: what C callers pass. Out: the functions of `include/sandbox.h`. Never: a panic that leaves a function,
//! or a pointer that is used without a look.
//!
//! What a function cannot check is that a pointer which is not null leads to what it says: that is the
//! caller's duty, as of any C library, and what each `SAFETY` below rests on.

#![allow(unsafe_code, reason = "functions for C callers; each block says why it is sound")]
#![allow(non_camel_case_types, reason = "the names of the C interface")]

use std::collections::HashMap;
use std::ffi::{c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{ptr, slice};

use libc::pid_t;
use sbtool::enforce::{self, ApplyError, Plan};
use sbtool::sbpl::MAX_FILE;

use crate::profile::{self, Refusal, Source};
use crate::question::{self, Kind};

/// Flag of sandbox_init: the profile is named, and is one of those built in.
pub const SANDBOX_NAMED: u64 = 1;

/// Type for sandbox_check: no further argument.
pub const SANDBOX_FILTER_NONE: c_int = 0;
/// Type for sandbox_check: a path. This number and those below are publicly reported, not from a public
/// header of Apple's.
pub const SANDBOX_FILTER_PATH: c_int = 1;
/// Type for sandbox_check: a Mach service known to all.
pub const SANDBOX_FILTER_GLOBAL_NAME: c_int = 2;
/// Type for sandbox_check: a Mach service known to a session.
pub const SANDBOX_FILTER_LOCAL_NAME: c_int = 3;
/// Type for sandbox_check: the application an Apple event goes to.
pub const SANDBOX_FILTER_APPLEEVENT_DESTINATION: c_int = 4;
/// Type for sandbox_check: a right.
pub const SANDBOX_FILTER_RIGHT_NAME: c_int = 5;
/// Type for sandbox_check: a domain of preferences.
pub const SANDBOX_FILTER_PREFERENCE_DOMAIN: c_int = 6;
/// Type for sandbox_check: a kernel extension.
pub const SANDBOX_FILTER_KEXT_BUNDLE_ID: c_int = 7;

/// Flag of sandbox_check's type: a path that is not spelled canonically is refused.
pub const SANDBOX_CHECK_CANONICAL: c_int = 0x2000_0000;
/// Flag of sandbox_check's type: a denial is not recorded. Here none ever is.
pub const SANDBOX_CHECK_NO_REPORT: c_int = 0x4000_0000;

/// Longest parameter, name or path, in bytes.
const MAX_STRING: usize = 1 << 20;

/// Most parameters.
const MAX_PARAMETERS: usize = 4_096;

/// A compiled profile. sandbox_apply takes one made by hand as well: builtin null, and a blob. The layout is
/// the publicly reported one of Apple's library.
#[repr(C)]
pub struct sandbox_profile {
    /// Null.
    pub builtin: *mut c_char,
    /// The bytes that Apple's compiler makes.
    pub data: *mut u8,
    /// How many there are.
    pub size: usize,
}

/// A compiled profile.
pub type sandbox_profile_t = *mut sandbox_profile;

/// Parameters of a profile: opaque.
pub struct sandbox_params {
    _opaque: [u8; 0],
}

/// Parameters of a profile, as `(param "NAME")` finds them.
pub type sandbox_params_t = *mut sandbox_params;

type List = Vec<(String, String)>;

/// Parameters by handle. A handle is a number and leads nowhere, so that one which was freed is refused.
static PARAMETERS: Mutex<Option<HashMap<usize, List>>> = Mutex::new(None);

/// What profiles were compiled from, by their address, so that records of denials name rules by line.
static SOURCES: Mutex<Option<HashMap<usize, Arc<Source>>>> = Mutex::new(None);

/// Runs something with a table. A panic that left a lock behind left the table whole: each change is one call.
fn with<T, R>(table: &Mutex<Option<HashMap<usize, T>>>, work: impl FnOnce(&mut HashMap<usize, T>) -> R) -> R {
    let mut table: MutexGuard<'_, _> = table.lock().unwrap_or_else(PoisonError::into_inner);
    work(table.get_or_insert_default())
}

/// Compiles the text of a profile (at most 64 MB). `params` may be null, which is something else than an
/// empty list: patterns may then have variables in them.
///
/// Returns a profile for sandbox_free_profile; or null, with errno, and with a text for sandbox_free_error at
/// `error`, which is null otherwise. `error` itself may be null.
///
/// # Safety
/// `data` is null or a C string, `error` null or a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandbox_compile_string(
    data: *const c_char,
    params: sandbox_params_t,
    error: *mut *mut c_char,
) -> sandbox_profile_t {
    // SAFETY: as the caller says.
    unsafe {
        compiled(error, || {
            let text = string("the profile", data, MAX_FILE as usize)?;
            Ok(Source::of_text(text, parameters(params)?))
        })
    }
}

/// Compiles a file; otherwise as sandbox_compile_string.
///
/// # Safety
/// `path` is null or a C string, `error` null or a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandbox_compile_file(
    path: *const c_char,
    params: sandbox_params_t,
    error: *mut *mut c_char,
) -> sandbox_profile_t {
    // SAFETY: as the caller says.
    unsafe { compiled(error, || Source::of_file(string("the path", path, MAX_STRING)?, parameters(params)?)) }
}

/// Compiles a profile by its name, with or without ".sb". There are sbtool's own stand-ins for what profiles
/// import on a Mac, which say the like in other words. Otherwise as sandbox_compile_string.
///
/// # Safety
/// `name` is null or a C string, `error` null or a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandbox_compile_named(
    name: *const c_char,
    params: sandbox_params_t,
    error: *mut *mut c_char,
) -> sandbox_profile_t {
    // SAFETY: as the caller says.
    unsafe { compiled(error, || Source::named(string("the name", name, MAX_STRING)?, parameters(params)?)) }
}

/// Makes an empty list of parameters, for sandbox_free_params. Null, with errno, where there are too many.
#[unsafe(no_mangle)]
pub extern "C" fn sandbox_create_params() -> sandbox_params_t {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    guarded(ptr::null_mut(), || {
        // Not null, and aligned as if something were there.
        let handle = NEXT.fetch_add(1, Ordering::Relaxed).checked_mul(16);
        let handle = handle.ok_or(Refusal { errno: libc::ENOMEM, message: String::new() })?;
        with(&PARAMETERS, |table| table.insert(handle, Vec::new()));
        Ok(ptr::without_provenance_mut(handle))
    })
}

/// Sets a parameter (name and value at most 1 MB, UTF-8; at most 4,096 of them); one of the same name is
/// replaced. Returns 0, or -1 with errno.
///
/// # Safety
/// `key` and `value` are null or C strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandbox_set_param(
    params: sandbox_params_t,
    key: *const c_char,
    value: *const c_char,
) -> c_int {
    guarded(-1, || {
        // SAFETY: as the caller says.
        let (key, value) = unsafe { (utf8("a parameter", key)?, utf8("a parameter", value)?) };
        with(&PARAMETERS, |table| {
            let list = table.get_mut(&params.addr()).ok_or_else(|| Refusal::invalid("no parameters"))?;
            add(list, key, value)
        })?;
        Ok(0)
    })
}

/// Frees parameters. Null is nothing to free.
#[unsafe(no_mangle)]
pub extern "C" fn sandbox_free_params(params: sandbox_params_t) {
    guarded((), || {
        with(&PARAMETERS, |table| table.remove(&params.addr()));
        Ok(())
    });
}

/// Puts this process, and all that it starts, under a compiled profile: one of sandbox_compile_*, or one made
/// by hand whose `data` is a blob of macOS 14.4.
///
/// Returns 0, or -1 with errno, and then nothing is in force: EPERM where the process is under a profile
/// already, or where the profile is one that a Mac refuses to apply; ENOSYS where the kernel lacks what is
/// needed; EINVAL for what is no profile.
///
/// # Safety
/// `profile` is null or leads to a profile, whose `data` is null or has `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandbox_apply(profile: sandbox_profile_t) -> c_int {
    guarded(-1, || {
        let address = profile.addr();
        // SAFETY: null, or as the caller says.
        let profile = unsafe { profile.as_ref() }.ok_or_else(|| Refusal::invalid("no profile"))?;
        if profile.data.is_null() || profile.size == 0 || profile.size as u64 > MAX_FILE {
            return Err(Refusal::invalid("the profile has no bytes"));
        }
        // SAFETY: not null, and as the caller says; nothing here writes there.
        let bytes = unsafe { slice::from_raw_parts(profile.data, profile.size) };
        let source = with(&SOURCES, |table| table.get(&address).cloned());
        apply(source.as_deref(), bytes)?;
        Ok(0)
    })
}

/// Frees a profile of sandbox_compile_*. Null is nothing to free.
///
/// # Safety
/// `profile` is null or came from sandbox_compile_*, and was not freed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandbox_free_profile(profile: sandbox_profile_t) {
    guarded((), || {
        if profile.is_null() {
            return Ok(());
        }
        with(&SOURCES, |table| table.remove(&profile.addr()));
        // SAFETY: it came from `allocate`, as did its bytes; `builtin` is null there, or what the caller put
        // there from malloc.
        unsafe {
            libc::free((*profile).data.cast());
            libc::free((*profile).builtin.cast());
            libc::free(profile.cast());
        }
        Ok(())
    });
}

/// Compiles a profile and puts this process, and all that it starts, under it: its text, or with
/// SANDBOX_NAMED in `flags` its name.
///
/// Returns 0, or -1 with errno as sandbox_apply, and a text for sandbox_free_error at `errorbuf`, which may
/// itself be null.
///
/// # Safety
/// `profile` is null or a C string, `errorbuf` null or a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandbox_init(profile: *const c_char, flags: u64, errorbuf: *mut *mut c_char) -> c_int {
    // SAFETY: as the caller says.
    unsafe { initialised(profile, flags, || Ok(None), errorbuf) }
}

/// As sandbox_init, with parameters: names and values in turn, a null pointer at the end. `parameters` itself
/// may be null, which is something else than an empty list.
///
/// # Safety
/// As of sandbox_init; `parameters` is null or such an array of C strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandbox_init_with_parameters(
    profile: *const c_char,
    flags: u64,
    parameters: *const *const c_char,
    errorbuf: *mut *mut c_char,
) -> c_int {
    let read = || {
        if parameters.is_null() {
            return Ok(None);
        }
        let mut list = List::new();
        for index in 0.. {
            // SAFETY: the array goes on until a null pointer, at which the loop ends; each of the others is a
            // C string, as the caller says. Behind a name there is one more place, even if it is the last.
            let word = |place: usize| unsafe { *parameters.add(2 * index + place) };
            if word(0).is_null() {
                break;
            }
            // SAFETY: as above; null is refused.
            let (key, value) = unsafe { (utf8("a parameter", word(0))?, utf8("a parameter's value", word(1))?) };
            add(&mut list, key, value)?;
        }
        Ok(Some(list))
    };
    // SAFETY: as the caller says.
    unsafe { initialised(profile, flags, read, errorbuf) }
}

/// Frees the text of an error. Null is nothing to free.
///
/// # Safety
/// `errorbuf` is null, or came from a function here and was not freed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandbox_free_error(errorbuf: *mut c_char) {
    // SAFETY: all texts come from malloc, and free takes null.
    unsafe { libc::free(errorbuf.cast()) };
}

/// Asks whether a process may do something: this one, or one under the same profile. `type` is one of
/// SANDBOX_FILTER_*, with SANDBOX_CHECK_* flags; each but SANDBOX_FILTER_NONE takes one more argument, a C
/// string. Without an operation (null): whether the process is under a profile at all.
///
/// Returns 0 for allowed (or not under a profile), 1 for denied (or under one), -1 with errno where there is
/// no answer: EINVAL for an operation or type that is not known, ESRCH for a process that is not under the
/// profile of this one, ENOSYS for another process where this one is under none.
///
/// # Safety
/// `operation` is null or a C string; `argument` is one where `type` takes one, and is not looked at else.
//
// C declares this with variable arguments, which stable Rust cannot define. On x86-64 (System V) and aarch64
// (AAPCS64 as Linux has it, not Apple's variant, which passes variable arguments in memory) a call with
// variable arguments puts a pointer that comes fourth where one with four fixed parameters does: the fourth
// register for integers. If the caller passes none, the register holds some number, which is a valid value of
// a raw pointer; it is used only where the type says that an argument was passed. Elsewhere `lib.rs` refuses
// to compile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandbox_check(
    pid: pid_t,
    operation: *const c_char,
    r#type: c_int,
    argument: *const c_char,
) -> c_int {
    let answer = || {
        let error = |error: std::io::Error| Refusal {
            errno: error.raw_os_error().unwrap_or(libc::EIO),
            message: error.to_string(),
        };
        let kind = Kind::of_number(r#type).map_err(error)?;
        // SAFETY: as the caller says.
        let operation = match operation.is_null() {
            true => None,
            false => Some(unsafe { utf8("the operation", operation) }?),
        };
        let subject = match kind.filter {
            None => &[][..],
            // SAFETY: the type says that there is an argument, which is a C string.
            Some(_) => unsafe { string("the subject", argument, MAX_STRING) }?,
        };
        question::may(pid, operation.as_deref(), kind, subject).map_err(error)
    };
    guarded(-1, || Ok(c_int::from(!answer()?)))
}

/// Compiles what `source` gives, and hands out the profile or the error.
///
/// # Safety
/// `error` is null or a place for a pointer.
unsafe fn compiled(error: *mut *mut c_char, source: impl FnOnce() -> Result<Source, Refusal>) -> sandbox_profile_t {
    let work = || {
        let source = source()?;
        let bytes = source.compile()?;
        let profile = allocate(&bytes).ok_or(Refusal { errno: libc::ENOMEM, message: "no memory".to_owned() })?;
        with(&SOURCES, |table| table.insert(profile.addr(), Arc::new(source)));
        Ok(profile)
    };
    // SAFETY: as the caller says.
    unsafe { reported(ptr::null_mut(), error, work) }
}

/// The two ways to initialise.
///
/// # Safety
/// `profile` is null or a C string, `errorbuf` null or a place for a pointer.
unsafe fn initialised(
    profile: *const c_char,
    flags: u64,
    parameters: impl FnOnce() -> Result<Option<List>, Refusal>,
    errorbuf: *mut *mut c_char,
) -> c_int {
    let work = || {
        // SAFETY: as the caller says.
        let text = unsafe { string("the profile", profile, MAX_FILE as usize) }?;
        let source = match flags {
            0 => Source::of_text(text, parameters()?),
            SANDBOX_NAMED => Source::named(text, parameters()?)?,
            _ => return Err(Refusal::invalid(format!("unknown flags: {flags:#x}"))),
        };
        let bytes = source.compile()?;
        apply(Some(&source), &bytes)?;
        Ok(0)
    };
    // SAFETY: as the caller says.
    unsafe { reported(-1, errorbuf, work) }
}

/// Puts the process under a profile.
fn apply(source: Option<&Source>, bytes: &[u8]) -> Result<(), Refusal> {
    let policy = profile::policy(source, bytes)?;
    enforce::apply(Plan { policy: Arc::new(policy), log: None, world: enforce::World::Host }).map_err(|error| {
        let errno = match &error {
            ApplyError::AlreadySandboxed => libc::EPERM,
            ApplyError::Unsupported(_) => libc::ENOSYS,
            ApplyError::System { source, .. } | ApplyError::Program { source, .. } => {
                source.raw_os_error().unwrap_or(libc::EIO)
            }
        };
        Refusal { errno, message: error.to_string() }
    })
}

/// Adds a parameter to a list.
fn add(list: &mut List, key: String, value: String) -> Result<(), Refusal> {
    if let Some((_, old)) = list.iter_mut().find(|(known, _)| *known == key) {
        *old = value;
    } else if list.len() < MAX_PARAMETERS {
        list.push((key, value));
    } else {
        return Err(Refusal::invalid(format!("more than {MAX_PARAMETERS} parameters")));
    }
    Ok(())
}

/// The parameters of a handle; none for null.
fn parameters(handle: sandbox_params_t) -> Result<Option<List>, Refusal> {
    if handle.is_null() {
        return Ok(None);
    }
    let list = with(&PARAMETERS, |table| table.get(&handle.addr()).cloned());
    list.map(Some).ok_or_else(|| Refusal::invalid("no parameters, or freed ones"))
}

/// A copy of bytes with a profile around it, from malloc: programs are known to call free.
fn allocate(bytes: &[u8]) -> Option<sandbox_profile_t> {
    // SAFETY: malloc takes any size; where it gives memory, it is of that size and aligned for anything, and
    // nobody else has it. Both are written whole before they are read.
    unsafe {
        let profile: sandbox_profile_t = libc::malloc(size_of::<sandbox_profile>()).cast();
        let data: *mut u8 = libc::malloc(bytes.len().max(1)).cast();
        if profile.is_null() || data.is_null() {
            libc::free(profile.cast());
            libc::free(data.cast());
            return None;
        }
        ptr::copy_nonoverlapping(bytes.as_ptr(), data, bytes.len());
        profile.write(sandbox_profile { builtin: ptr::null_mut(), data, size: bytes.len() });
        Some(profile)
    }
}

/// The bytes of a C string that is at most `limit` long.
///
/// # Safety
/// The pointer is null or leads to a C string, which nobody changes as long as the result is used.
unsafe fn string<'a>(what: &str, text: *const c_char, limit: usize) -> Result<&'a [u8], Refusal> {
    if text.is_null() {
        return Err(Refusal::invalid(format!("{what} is missing")));
    }
    // SAFETY: strnlen stops at the NUL, or before it.
    let length = unsafe { libc::strnlen(text, limit.saturating_add(1)) };
    if length > limit {
        return Err(Refusal { errno: libc::ENAMETOOLONG, message: format!("{what} is longer than {limit} bytes") });
    }
    // SAFETY: so many bytes lie before the NUL.
    Ok(unsafe { slice::from_raw_parts(text.cast(), length) })
}

/// A C string that is UTF-8.
///
/// # Safety
/// As of [`string`].
unsafe fn utf8(what: &str, text: *const c_char) -> Result<String, Refusal> {
    // SAFETY: as the caller says; it is copied before this returns.
    let bytes = unsafe { string(what, text, MAX_STRING) }?;
    String::from_utf8(bytes.to_vec())
        .map_err(|_| Refusal { errno: libc::EILSEQ, message: format!("{what} is not UTF-8") })
}

/// Runs the body of a function. An error sets errno, and so does a panic, which ends here.
fn guarded<T>(failed: T, body: impl FnOnce() -> Result<T, Refusal>) -> T {
    match caught(body) {
        Ok(value) => value,
        Err(refusal) => {
            set_errno(refusal.errno);
            failed
        }
    }
}

/// As [`guarded`], with a place for the error's text.
///
/// # Safety
/// `error` is null or a place for a pointer.
unsafe fn reported<T>(failed: T, error: *mut *mut c_char, body: impl FnOnce() -> Result<T, Refusal>) -> T {
    let (value, text, errno) = match caught(body) {
        Ok(value) => (value, ptr::null_mut(), None),
        Err(refusal) => {
            (failed, if error.is_null() { ptr::null_mut() } else { c_text(&refusal.message) }, Some(refusal.errno))
        }
    };
    if !error.is_null() {
        // SAFETY: a place for a pointer, as the caller says.
        unsafe { error.write(text) };
    }
    // Last: what is above may change it.
    if let Some(errno) = errno {
        set_errno(errno);
    }
    value
}

fn caught<T>(body: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    // What a panic left half done is not looked at again: tables change by single calls, memory is leaked.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| {
        let message = "internal error; this is a bug in sbtool, please report it".to_owned();
        Err(Refusal { errno: libc::EIO, message })
    })
}

/// A text as a C string from malloc; null where there is no memory. A NUL in it becomes a question mark.
fn c_text(text: &str) -> *mut c_char {
    let mut bytes: Vec<u8> = text.bytes().map(|byte| if byte == 0 { b'?' } else { byte }).collect();
    bytes.push(0);
    // SAFETY: malloc takes any size, and where it gives memory, it has room for the bytes.
    unsafe {
        let copy: *mut u8 = libc::malloc(bytes.len()).cast();
        if !copy.is_null() {
            ptr::copy_nonoverlapping(bytes.as_ptr(), copy, bytes.len());
        }
        copy.cast()
    }
}

fn set_errno(errno: i32) {
    // SAFETY: the address of this thread's errno, which is always there.
    unsafe { *libc::__errno_location() = errno };
}

#[cfg(test)]
mod tests {
    use sbtool::library::{CHECK_CANONICAL, CHECK_NO_REPORT, FilterType, NAMED};

    use super::*;

    /// The header's numbers are those that sbtool calls a library with.
    #[test]
    fn both_sides_have_the_same_numbers() {
        let numbers = [
            SANDBOX_FILTER_PATH,
            SANDBOX_FILTER_GLOBAL_NAME,
            SANDBOX_FILTER_LOCAL_NAME,
            SANDBOX_FILTER_APPLEEVENT_DESTINATION,
            SANDBOX_FILTER_RIGHT_NAME,
            SANDBOX_FILTER_PREFERENCE_DOMAIN,
            SANDBOX_FILTER_KEXT_BUNDLE_ID,
        ];
        assert_eq!(FilterType::ALL.map(|kind| kind as c_int), numbers);
        assert_eq!(Kind::of_number(SANDBOX_FILTER_NONE).unwrap().filter, None);
        assert_eq!((CHECK_CANONICAL, CHECK_NO_REPORT), (SANDBOX_CHECK_CANONICAL, SANDBOX_CHECK_NO_REPORT));
        assert_eq!(NAMED, SANDBOX_NAMED);
    }

    #[test]
    fn a_panic_does_not_leave_a_function() {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let status = guarded(-1, || panic!("inside"));
        std::panic::set_hook(hook);
        assert_eq!(status, -1);
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EIO));
    }
}
