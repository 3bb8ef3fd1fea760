//! What a plugin may use, each limit with its unit and default.

use std::path::PathBuf;
use std::time::Duration;

use ledger::Credits;

/// Where the plugin is and what it may use.
#[derive(Clone, Debug)]
pub struct Options {
    /// The plugin's file; its folder is watched.
    pub path: PathBuf,
    /// Linear memory of a call, in bytes: 16 MiB.
    pub memory_bytes_max: usize,
    /// Table elements of a call: 4096.
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
    /// Compiling: 30 s. A compilation that takes longer is given up; its thread ends when it can.
    pub compile_time_max: Duration,
    /// How often the file is looked at besides being watched: 2 s.
    pub poll: Duration,
    /// How long a changing file is left alone: 150 ms.
    pub debounce: Duration,
}

impl Options {
    /// Steps in which a call's time is measured.
    pub const EPOCH: Duration = Duration::from_millis(5);

    /// The plugin at `path`, with every limit at its default.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            memory_bytes_max: 16 << 20,
            table_elements_max: 4_096,
            time_max: Duration::from_millis(20),
            stack_bytes_max: 256 << 10,
            output_bytes_max: 64 << 10,
            items_max: 64,
            credits_per_call_max: Credits::from_micros(1_000_000 * Credits::MICROS_PER_CREDIT),
            file_bytes_max: 32 << 20,
            compile_time_max: Duration::from_secs(30),
            poll: Duration::from_secs(2),
            debounce: Duration::from_millis(150),
        }
    }
}
