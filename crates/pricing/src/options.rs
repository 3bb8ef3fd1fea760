//! What a plugin may use, each limit with its unit and default.

use std::path::PathBuf;
use std::time::Duration;

use ledger::Credits;

use crate::signature::SigningKey;

/// Where the plugin is and what it may use.
#[derive(Clone, Debug)]
pub struct Options {
    /// The plugin's file; its folder is watched.
    pub path: PathBuf,
    /// Linear memory of a call, in bytes: 16 MiB. A Python plugin starts with 12.
    pub memory_bytes_max: usize,
    /// Table elements of a call: 16384. A Python plugin has 5800, one with a large JavaScript engine 7700.
    pub table_elements_max: usize,
    /// Time that a call's thread may run: 20 ms. It is measured in steps of [`Options::EPOCH`], of which a call may
    /// have two more, and never cut short: a machine that is busy elsewhere refuses no call.
    pub time_max: Duration,
    /// Stack of a call, in bytes: 256 KiB.
    pub stack_bytes_max: usize,
    /// What a call may hand to the host, in bytes: 64 KiB.
    pub output_bytes_max: usize,
    /// Items of a price: 64.
    pub items_max: usize,
    /// The price of a call: a million credits.
    pub credits_per_call_max: Credits,
    /// The file, in bytes: 32 MiB.
    pub file_bytes_max: u64,
    /// Compiling: 60 s. A compilation that takes longer is given up; its thread ends when it can.
    pub compile_time_max: Duration,
    /// How often the file is looked at besides being watched: 2 s.
    pub poll: Duration,
    /// How long a changing file is left alone: 150 ms.
    pub debounce: Duration,
    /// Who may sign plugins: where there is anybody, nothing else loads.
    pub signing_keys: Vec<SigningKey>,
    /// Faults of a canary, in parts of 10 000 of its calls: 100. One fault more, and it is taken back.
    pub canary_faults_max: u16,
    /// Calls of which a canary's rate of faults is at least: 100.
    pub canary_calls_min: u64,
    /// Calls that wait for the shadow: 1024.
    pub shadow_queue_max: usize,
}

impl Options {
    /// Steps in which a call's time is measured.
    pub const EPOCH: Duration = Duration::from_millis(5);

    /// The plugin at `path`, with every limit at its default.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            memory_bytes_max: 16 << 20,
            table_elements_max: 16_384,
            time_max: Duration::from_millis(20),
            stack_bytes_max: 256 << 10,
            output_bytes_max: 64 << 10,
            items_max: 64,
            credits_per_call_max: Credits::from_micros(1_000_000 * Credits::MICROS_PER_CREDIT),
            file_bytes_max: 32 << 20,
            compile_time_max: Duration::from_secs(60),
            poll: Duration::from_secs(2),
            debounce: Duration::from_millis(150),
            signing_keys: Vec::new(),
            canary_faults_max: 100,
            canary_calls_min: 100,
            shadow_queue_max: 1_024,
        }
    }
}
