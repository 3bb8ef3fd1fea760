//! `[idempotency]`: calls that carry an `Idempotency-Key`.

use std::time::Duration;

use crate::document::Document;
use crate::section::Section;

/// `[idempotency]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// How long a key stands after its call.
    pub window: Duration,
    /// How long a twin waits for the first one's answer; then it is refused.
    pub wait: Duration,
    /// The longest body of an answer that is kept for a repeat, in bytes.
    pub max_answer: u64,
    /// Keys of one organisation at a time.
    pub max_keys: u64,
    /// Kept answers of one organisation, in bytes, all together.
    pub max_stored: u64,
}

impl Idempotency {
    pub(crate) fn read(document: &mut Document) -> Self {
        let seconds = Duration::from_secs;
        let mut section = Section::open(document, "idempotency");
        let read = Self {
            window: section.duration("window", seconds(86_400), seconds(60)..=seconds(7 * 86_400)),
            wait: section.duration("wait", seconds(10), seconds(0)..=seconds(60)),
            max_answer: section.size("max_answer", 1 << 20, 0..=64 << 20),
            max_keys: section.count("max_keys", 100_000, 1..=10_000_000),
            max_stored: section.size("max_stored", 256 << 20, 0..=1 << 40),
        };
        section.close();
        read
    }
}
