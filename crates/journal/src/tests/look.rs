//! What somebody sees who does not own the directory, and that he leaves no trace.

use std::collections::BTreeMap;
use std::path::Path;

use ledger::Credits;
use tempfile::TempDir;

use super::world::{World, event, interrupted, segments};
use crate::{JournalError, Look, look, segment};

fn whole(credits: i64) -> Credits {
    Credits::from_whole(credits).unwrap()
}

/// Every file with its bytes.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.display().to_string(), std::fs::read(path).unwrap())).collect()
}

/// Event 1 is applied, 2 and 3 wait, 4 is forgotten, 5 and 6 are on their way.
async fn busy() -> World {
    let world = World::new();
    world.call(&event(1)).await;
    world.apply_all().await;
    for n in 2..=3 {
        world.call(&event(n)).await;
    }
    let calls = [event(4), event(5), event(6)];
    for call in &calls {
        world.journal.open_hold(&interrupted(call)).await.unwrap();
    }
    world.journal.forget(calls[0].id).await.unwrap();
    world
}

#[tokio::test]
async fn what_waits_and_what_is_held_is_seen_beside_the_owner() {
    let world = World::new();
    let directory = world.directory.path();
    assert_eq!(look(directory).unwrap().0, Look { owned: true, ..Look::default() });
    let (first, second, third) = (event(1), event(2), event(3));
    world.call(&first).await;
    world.apply_all().await;
    world.journal.open_hold(&interrupted(&second)).await.unwrap();
    world.journal.open_hold(&interrupted(&third)).await.unwrap();
    let holding = Look { owned: true, holds: 2, held: whole(5), ..Look::default() };
    assert_eq!(look(directory).unwrap().0, holding);
    world.journal.settle(&third).await.unwrap();
    let one_each = Look { waiting: 1, waiting_credits: whole(3), holds: 1, held: whole(2), ..holding };
    let (seen, waiting) = look(directory).unwrap();
    assert_eq!(seen, one_each);
    assert_eq!(waiting.iter().map(|event| event.id).collect::<Vec<_>>(), [third.id]);
    // The store may have what is not marked yet.
    let mut seen = seen;
    seen.is_there(&waiting[0]);
    assert_eq!(seen, Look { waiting: 0, waiting_credits: Credits::ZERO, ..one_each });
    world.journal.forget(second.id).await.unwrap();
    world.apply_all().await;
    assert_eq!(look(directory).unwrap().0, Look { owned: true, ..Look::default() });
}

#[tokio::test]
async fn a_dead_gateways_journal_is_read_and_not_touched() {
    let world = busy().await;
    let image = world.image();
    let before = files(image.path());
    let seen = look(image.path()).unwrap().0;
    let want = Look { waiting: 2, waiting_credits: whole(5), holds: 2, held: whole(11), ..Look::default() };
    assert_eq!(seen, want);
    assert_eq!(files(image.path()), before);
}

#[tokio::test]
async fn damage_is_counted_and_costs_the_records_it_hit() {
    let image = busy().await.image();
    let path = segments(image.path()).pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let before = look(image.path()).unwrap().0;
    let tail = bytes.len() - 3;
    bytes.truncate(tail);
    std::fs::write(&path, &bytes).unwrap();
    let torn = look(image.path()).unwrap().0;
    assert_eq!((torn.damaged, torn.waiting), (1, before.waiting), "the last record was not about an event that waits");
    let middle = bytes.windows(9).position(|window| window == b"request-2").unwrap();
    let second = middle + 9 + bytes[middle + 9..].windows(9).position(|window| window == b"request-2").unwrap();
    bytes[second] ^= 0x55;
    std::fs::write(&path, &bytes).unwrap();
    let flipped = look(image.path()).unwrap().0;
    assert_eq!((flipped.damaged, flipped.waiting, flipped.waiting_credits), (2, 1, whole(3)));
}

#[test]
fn where_there_is_none_nothing_waits_and_nothing_is_made() {
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("journal");
    assert_eq!(look(&missing).unwrap().0, Look::default());
    assert!(!missing.exists());
}

#[test]
fn another_versions_journal_is_named() {
    let folder = TempDir::new().unwrap();
    let mut header = segment::header(1);
    header[8..12].copy_from_slice(&7_u32.to_le_bytes());
    let crc = crc32fast::hash(&header[..20]);
    header[20..].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(folder.path().join(segment::file_name(1)), header).unwrap();
    assert!(matches!(look(folder.path()), Err(JournalError::Version { found: 7, .. })));
}
