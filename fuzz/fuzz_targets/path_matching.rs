//! `make fuzz TARGET=path_matching`: see `hostile::path_matching`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hostile::path_matching(bytes));
