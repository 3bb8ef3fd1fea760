//! `make fuzz TARGET=sse_relay`: see `hostile::sse_relay`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hostile::sse_relay(bytes));
