//! Where the journal lives and how large it may grow. Never read from the environment: whoever opens it says so.

use std::path::PathBuf;
use std::time::Duration;

/// How a journal is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its directory, made where it is missing. One process owns it.
    pub directory: PathBuf,
    /// Bytes on disk, past which no new hold is taken.
    pub bytes_max: u64,
    /// Bytes beyond `bytes_max` that are kept for settling the holds that are open then.
    pub bytes_reserve: u64,
    /// Bytes that must be free on the file system, below which no new hold is taken: open ones can still settle.
    pub disk_free_bytes_min: u64,
    /// How often that is looked at, at most. What a disk can lose meanwhile must be a small part of `disk_free_bytes_min`.
    pub disk_look_every: Duration,
    /// Bytes of one segment file, more or less: space comes back a segment at a time. At most a quarter of `bytes_max`.
    pub segment_bytes_max: u64,
    /// Records that may wait for the writer, past which new holds are refused and settlements wait their turn.
    pub queue_records_max: usize,
}

impl Options {
    /// 1 GiB.
    pub const BYTES_MAX: u64 = 1 << 30;
    /// 64 MiB: room for more settlements than a gateway has calls in flight.
    pub const BYTES_RESERVE: u64 = 64 << 20;
    /// 64 MiB.
    pub const DISK_FREE_BYTES_MIN: u64 = 64 << 20;
    /// 10 ms.
    pub const DISK_LOOK_EVERY: Duration = Duration::from_millis(10);
    /// 8 MiB, some five thousand calls.
    pub const SEGMENT_BYTES_MAX: u64 = 8 << 20;
    /// Twice the calls that a gateway takes at once.
    pub const QUEUE_RECORDS_MAX: usize = 8_192;

    /// The defaults, in `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            bytes_max: Self::BYTES_MAX,
            bytes_reserve: Self::BYTES_RESERVE,
            disk_free_bytes_min: Self::DISK_FREE_BYTES_MIN,
            disk_look_every: Self::DISK_LOOK_EVERY,
            segment_bytes_max: Self::SEGMENT_BYTES_MAX,
            queue_records_max: Self::QUEUE_RECORDS_MAX,
        }
    }

    /// The segment size in force: a journal of one or two segments could never give space back.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segment_bytes_max.min(self.bytes_max / 4).max(1)
    }
}
