//! `make fuzz TARGET=configuration`: see `hostile::configuration`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hostile::configuration(bytes));
