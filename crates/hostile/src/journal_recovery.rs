//! A journal's file as a crash, a disk or somebody else left it.

use std::sync::Arc;
use std::time::Duration;

use journal::{Journal, Observer, Options};
use ledger::Timestamp;

/// Small, because each start writes a segment of zeros: with the usual 8 MiB a fuzzer tries two journals a second.
const SEGMENT_BYTES_MAX: u64 = 64 << 10;
const BYTES_MAX: u64 = 1 << 20;

struct Unheard;

impl Observer for Unheard {
    fn synced(&self, _records: usize, _took: Duration) {}
    fn failed(&self) {}
}

/// A file is recovered or refused, and once recovered it stays so: a second start finds the same and nothing new.
pub fn journal_recovery(segment: &[u8]) {
    let Ok(folder) = tempfile::tempdir() else { return };
    if std::fs::write(folder.path().join("00000000000000000001.journal"), segment).is_err() {
        return;
    }
    let open = || {
        let small =
            Options { bytes_max: BYTES_MAX, segment_bytes_max: SEGMENT_BYTES_MAX, ..Options::new(folder.path()) };
        Journal::open(small, Arc::new(Unheard), Timestamp::from_millis(1))
    };
    // One of another version is refused: that is for people to decide.
    let Ok((journal, first)) = open() else { return };
    drop(journal);
    let second = open();
    assert!(second.is_ok(), "what was recovered opens again");
    let Ok((journal, second)) = second else { return };
    drop(journal);
    assert_eq!(second.unapplied, first.unapplied, "no event is lost or doubled");
    assert!(second.interrupted.is_empty(), "what was interrupted is settled");
}
