//! `cargo +nightly fuzz run json_splice`: see `hostile::json_splice`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hostile::json_splice(bytes));
