//! The property `decompiled` on any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sbtool::properties::decompiled(data));
