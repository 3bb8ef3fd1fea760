//! `make fuzz TARGET=journal_recovery`: see `hostile::journal_recovery`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hostile::journal_recovery(bytes));
