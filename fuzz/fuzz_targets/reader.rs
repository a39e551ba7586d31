//! The property `reader` on any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sbtool::properties::reader(data));
