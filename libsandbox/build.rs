//! In: nothing. Out: the library's own name in it, so that programs find it by name wherever it lies.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libsandbox.so");
    }
}
