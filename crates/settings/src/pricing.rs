//! `[pricing]`: the plugin, and what it may use.

use std::path::PathBuf;
use std::time::Duration;

use crate::document::Document;
use crate::section::Section;

/// `[pricing]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pricing {
    /// The plugin's file; its folder is watched.
    pub plugin: PathBuf,
    /// Memory of a call, in bytes.
    pub max_memory: u64,
    /// Elements of a call's tables.
    pub max_table_elements: u64,
    /// Time of a call.
    pub max_time: Duration,
    /// Time that compiling a plugin may take.
    pub max_compile_time: Duration,
    /// The price of a call, in whole credits.
    pub max_credits_per_call: u64,
    /// Public keys in base64, of which one must have signed every plugin; none: nothing need be signed.
    pub signing_keys: Vec<String>,
    /// Faults of a canary, in parts of 10 000 of its calls.
    pub canary_max_faults: u64,
    /// Calls of which a canary's rate of faults is at least.
    pub canary_min_calls: u64,
    /// Calls that wait for the shadow.
    pub shadow_queue: u64,
}

impl Pricing {
    pub(crate) fn read(document: &mut Document) -> Self {
        let mut section = Section::open(document, "pricing");
        let read = Self {
            plugin: section
                .required("plugin", "the file of a pricing plugin, such as pricing-plugins/standard.wasm")
                .into(),
            max_memory: section.size("max_memory", 16 << 20, 1 << 20..=1 << 30),
            max_table_elements: section.count("max_table_elements", 16_384, 1_024..=1_000_000),
            max_time: section.duration(
                "max_time",
                Duration::from_millis(20),
                Duration::from_millis(5)..=Duration::from_secs(10),
            ),
            max_compile_time: section.duration(
                "max_compile_time",
                Duration::from_secs(60),
                Duration::from_secs(1)..=Duration::from_secs(600),
            ),
            max_credits_per_call: section.count("max_credits_per_call", 1_000_000, 1..=1_000_000_000),
            signing_keys: section.list("signing_keys"),
            canary_max_faults: section.count("canary_max_faults", 100, 0..=10_000),
            canary_min_calls: section.count("canary_min_calls", 100, 1..=1_000_000),
            shadow_queue: section.count("shadow_queue", 1_024, 1..=100_000),
        };
        section.close();
        read
    }
}
