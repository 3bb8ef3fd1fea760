//! Torn and flipped bytes: they cost the records they hit and no other.

use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::world::{World, event, ids, interrupted, segments};
use crate::frame::HEAD_BYTES;
use crate::segment::widen;
use crate::segment::{self, HEADER_BYTES, HEADER_END};
use crate::{JournalError, frame};

/// A journal's only segment, and where its records start and end.
async fn three_settled() -> (Vec<u8>, Vec<usize>) {
    let world = World::new();
    let mut ends = vec![HEADER_BYTES];
    for n in 1..=3 {
        world.journal.settle(&event(n)).await.unwrap();
        ends.push(usize::try_from(world.journal.stats().bytes).unwrap());
    }
    let path = segments(world.directory.path()).pop().unwrap();
    (std::fs::read(path).unwrap(), ends)
}

fn opened(bytes: &[u8]) -> World {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join(segment::file_name(1)), bytes).unwrap();
    World::try_in(directory, |_| {}).unwrap()
}

/// What the events are called that a journal with these bytes delivers.
async fn delivered(world: &World) -> Vec<String> {
    world.waiting().await.iter().map(|event| event.request_id.to_string()).collect()
}

#[tokio::test]
async fn a_tail_torn_at_any_byte_costs_the_last_record_only() {
    let (bytes, ends) = three_settled().await;
    for end in ends[2]..=ends[3] {
        let world = opened(&bytes[..end]);
        let whole = end == ends[3];
        let want: &[_] = if whole { &["request-1", "request-2", "request-3"] } else { &["request-1", "request-2"] };
        assert_eq!(delivered(&world).await, want, "cut at {end}");
        assert_eq!(world.recovery.set_aside.len(), usize::from(!whole && end > ends[2]), "cut at {end}");
    }
}

#[tokio::test]
async fn a_flipped_byte_anywhere_in_a_record_costs_that_record_only() {
    let (bytes, ends) = three_settled().await;
    for at in ends[1]..ends[2] {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x55;
        let world = opened(&flipped);
        assert_eq!(delivered(&world).await, ["request-1", "request-3"], "byte {at}");
        assert_eq!(world.recovery.set_aside.len(), 1, "byte {at}");
        let folder = world.directory.path().join("set-aside");
        let copies: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(copies.len(), 1);
        assert_eq!(std::fs::read(&copies[0]).unwrap(), flipped[ends[1]..ends[2]], "byte {at}");
    }
}

#[tokio::test]
async fn damage_is_named_with_its_event_and_only_once() {
    let (mut bytes, ends) = three_settled().await;
    let id = frame::id_in(&bytes[ends[1] + HEAD_BYTES + 9..ends[2]]).unwrap();
    bytes[ends[2] - 1] ^= 1;
    let world = opened(&bytes);
    assert!(world.recovery.set_aside[0].contains(&id.to_string()), "{:?}", world.recovery.set_aside);
    world.journal.close().await.unwrap();
    let again = World::try_in(world.directory, |_| {}).unwrap();
    assert!(again.recovery.set_aside.is_empty());
    assert_eq!(again.waiting().await.len(), 2);
}

#[tokio::test]
async fn a_hold_whose_settlement_is_damaged_is_interrupted() {
    let world = World::new();
    let event = event(1);
    world.call(&event).await;
    let path = segments(world.directory.path()).pop().unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let again = opened(&bytes);
    assert_eq!(again.recovery.interrupted, [event.id]);
    assert_eq!(ids(&again.waiting().await), [event.id]);
    assert_eq!(again.recovery.set_aside.len(), 1);
}

#[tokio::test]
async fn another_version_is_refused_by_file_and_nothing_is_touched() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(segment::file_name(1));
    let mut header = segment::header(1);
    header[8] = 2;
    let crc = crc32fast::hash(&header[..HEADER_BYTES - 4]).to_le_bytes();
    header[HEADER_BYTES - 4..].copy_from_slice(&crc);
    std::fs::write(&path, &header).unwrap();
    let listed = |directory: &Path| std::fs::read_dir(directory).unwrap().count();
    let kept = directory.path().to_owned();
    let Err(error) = World::try_in(directory, |_| {}) else { panic!("opened") };
    assert!(matches!(error, JournalError::Version { found: 2, wanted: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("00000000000000000001.journal"), "{error}");
    assert!(!kept.exists() || listed(&kept) == 2);
}

#[tokio::test]
async fn a_damaged_header_costs_no_record() {
    let (mut bytes, _) = three_settled().await;
    bytes[9] ^= 0xFF;
    let world = opened(&bytes);
    assert_eq!(world.waiting().await.len(), 3);
    assert_eq!(world.recovery.set_aside.len(), 1);
    assert_eq!(HEADER_END, widen(HEADER_BYTES));
}

#[tokio::test]
async fn files_cut_within_their_header_or_empty_are_no_obstacle() {
    for bytes in [0, 1, HEADER_BYTES - 1] {
        let world = opened(&segment::header(1)[..bytes]);
        world.journal.open_hold(&interrupted(&event(1))).await.unwrap();
        assert_eq!(world.recovery.unapplied, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_done_to_the_bytes_untouched_records_are_delivered_and_nothing_is_invented(
        writes in prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 1..40)), 1..4)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (whole, ends) = three_settled().await;
            let mut bytes = whole.clone();
            for (at, with) in writes {
                let at = at.index(bytes.len());
                let end = bytes.len().min(at + with.len());
                bytes[at..end].copy_from_slice(&with[..end - at]);
            }
            if segment::header(1) != bytes[..HEADER_BYTES] && bytes.starts_with(b"UEJOURNL") {
                bytes[..HEADER_BYTES].copy_from_slice(&whole[..HEADER_BYTES]);
            }
            let found = delivered(&opened(&bytes)).await;
            for n in 0..3 {
                let touched = whole[ends[n]..ends[n + 1]] != bytes[ends[n]..ends[n + 1]];
                assert_eq!(found.contains(&format!("request-{}", n + 1)), !touched, "record {n}, {found:?}");
            }
        });
    }
}
