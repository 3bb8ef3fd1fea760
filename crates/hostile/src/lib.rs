//! What must hold for any bytes that a stranger sends: one property a reader of such bytes, checked by an assertion.
//!
//! The fuzzer's targets in `fuzz/` run these on bytes that it invents; `cargo test` runs them on the seeds beside them, in
//! `fuzz/corpus`, and needs no fuzzer. A property must never depend on anything but its bytes.

#![expect(clippy::missing_panics_doc, reason = "a property that does not hold panics: that is all it does")]

mod configuration;
mod credential;
mod journal_recovery;
mod json_splice;
#[cfg(feature = "paths")]
mod path_matching;
mod sse_relay;

pub use configuration::configuration;
pub use credential::credential;
pub use journal_recovery::journal_recovery;
pub use json_splice::json_splice;
#[cfg(feature = "paths")]
pub use path_matching::path_matching;
pub use sse_relay::sse_relay;

/// A property of any bytes: it panics where it does not hold.
pub type Property = fn(&[u8]);

/// Every property, by the name of its target and of its folder of seeds.
pub const PROPERTIES: &[(&str, Property)] = &[
    ("configuration", configuration),
    ("credential", credential),
    ("journal_recovery", journal_recovery),
    ("json_splice", json_splice),
    #[cfg(feature = "paths")]
    ("path_matching", path_matching),
    ("sse_relay", sse_relay),
];
