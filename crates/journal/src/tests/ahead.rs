//! Segments that are made of zeros before they are needed: what was not written in them is no damage, what was torn is.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::world::{NOW, Seen, event, interrupted, segments};
use crate::{Journal, Options, Recovery};

const SEGMENT_BYTES: u64 = 8 << 10;

fn open(directory: &Path) -> (Journal, Recovery) {
    let options = Options { segment_bytes_max: SEGMENT_BYTES, disk_free_bytes_min: 0, ..Options::new(directory) };
    Journal::open(options, Arc::new(Seen::default()), NOW).unwrap()
}

fn copy(directory: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for path in segments(directory) {
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

#[tokio::test]
async fn what_was_written_over_zeros_comes_back_and_the_zeros_are_no_damage() {
    let directory = TempDir::new().unwrap();
    let (journal, _) = open(directory.path());
    let events: Vec<_> = (1..=40).map(event).collect();
    for event in &events {
        journal.open_hold(&interrupted(event)).await.unwrap();
        journal.settle(event).await.unwrap();
    }
    let filled =
        segments(directory.path()).iter().filter(|path| path.metadata().unwrap().len() == SEGMENT_BYTES).count();
    assert!(filled >= 1, "the first one at least is made ahead");

    let killed = copy(directory.path());
    let (again, recovery) = open(killed.path());
    assert_eq!((recovery.unapplied, recovery.set_aside), (40, vec![]));
    let batch = again.unapplied(100).await.unwrap();
    assert_eq!(batch.events, events);
}

#[tokio::test]
async fn a_record_torn_before_the_zeros_costs_itself_only() {
    let directory = TempDir::new().unwrap();
    let (journal, _) = open(directory.path());
    let events = [event(1), event(2)];
    for event in &events {
        journal.settle(event).await.unwrap();
    }
    let killed = copy(directory.path());
    let path = segments(killed.path()).pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len(), usize::try_from(SEGMENT_BYTES).unwrap());
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end - 10..].fill(0);
    std::fs::write(&path, &bytes).unwrap();

    let (again, recovery) = open(killed.path());
    assert_eq!((recovery.unapplied, recovery.set_aside.len()), (1, 1), "{:?}", recovery.set_aside);
    assert_eq!(again.unapplied(100).await.unwrap().events, events[..1]);
    let torn = std::fs::read_dir(killed.path().join("set-aside")).unwrap().next().unwrap().unwrap();
    assert!(torn.metadata().unwrap().len() < 2_000, "the zeros behind it are not set aside");
}

#[tokio::test]
async fn a_file_that_was_not_finished_before_a_kill_is_made_anew() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("next.zeros"), b"no zeros").unwrap();
    let (journal, recovery) = open(directory.path());
    assert_eq!(recovery, Recovery::default());
    journal.settle(&event(1)).await.unwrap();
    journal.close().await.unwrap();
    let (_, recovery) = open(directory.path());
    assert_eq!((recovery.unapplied, recovery.set_aside), (1, vec![]));
}
