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
    /// Time of a call.
    pub max_time: Duration,
    /// The price of a call, in whole credits.
    pub max_credits_per_call: u64,
}

impl Pricing {
    pub(crate) fn read(document: &mut Document) -> Self {
        let mut section = Section::open(document, "pricing");
        let read = Self {
            plugin: section
                .required("plugin", "the file of a pricing plugin, such as pricing-plugins/standard.wasm")
                .into(),
            max_memory: section.size("max_memory", 16 << 20, 1 << 20..=1 << 30),
            max_time: section.duration(
                "max_time",
                Duration::from_millis(20),
                Duration::from_millis(5)..=Duration::from_secs(10),
            ),
            max_credits_per_call: section.count("max_credits_per_call", 1_000_000, 1..=1_000_000_000),
        };
        section.close();
        read
    }
}
