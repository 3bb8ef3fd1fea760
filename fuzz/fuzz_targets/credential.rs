//! `make fuzz TARGET=credential`: see `hostile::credential`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hostile::credential(bytes));
