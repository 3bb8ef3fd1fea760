//! `make fuzz TARGET=json_splice`: see `hostile::json_splice`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hostile::json_splice(bytes));
