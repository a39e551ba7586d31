//! The C functions of Apple's libsandbox, on Linux: profiles are compiled and put in force by sbtool.
//!
//! In: what C programs pass. Out: what they expect of Apple's library. Never: a verdict or a byte of its
//! own; those are sbtool's.
//!
//! - `boundary`: the functions; the only file with `unsafe`
//! - `profile`: sources to bytes and policies, errors as texts
//! - `question`: what `sandbox_check` asks
//!
//! On any other system this crate is empty: above all it exports nothing on a Mac, where Apple's library has
//! these names.

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"), target_pointer_width = "64"))]
pub mod boundary;
#[cfg(target_os = "linux")]
mod profile;
#[cfg(target_os = "linux")]
mod question;

#[cfg(all(
    target_os = "linux",
    not(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_pointer_width = "64"))
))]
compile_error!(
    "sandbox_check has variable arguments in C, and is defined here with a fixed one in their place; that \
     is known to be the same call on x86-64 and aarch64 only"
);
