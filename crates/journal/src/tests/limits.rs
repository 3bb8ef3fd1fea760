//! Each limit, at it and one past it.

use ledger::UsageEvent;

use super::world::{World, event, interrupted};
use crate::segment::HEADER_END;
use crate::segment::widen;
use crate::{Health, JournalError, frame};

/// The event of a hold whose settlement failed.
fn interrupted_at(event: &UsageEvent) -> UsageEvent {
    UsageEvent { settled_at: event.settled_at, ..interrupted(event) }
}

fn hold_bytes() -> u64 {
    widen(frame::hold(&interrupted(&event(1))).unwrap().len())
}

#[tokio::test]
async fn a_hold_fits_to_the_byte_and_not_one_byte_past() {
    for (missing, fits) in [(0, true), (1, false)] {
        let world = World::with(|options| options.bytes_max = HEADER_END + hold_bytes() - missing);
        let opened = world.journal.open_hold(&interrupted(&event(1))).await;
        assert_eq!(opened.is_ok(), fits, "{opened:?}");
        if !fits {
            assert!(matches!(opened, Err(JournalError::Full { .. })), "{opened:?}");
            assert_eq!(world.journal.health(), Health::Refusing("the journal is full"));
        }
    }
}

#[tokio::test]
async fn a_full_journal_settles_within_its_reserve_and_goes_on_once_events_are_applied() {
    let settlement = widen(frame::settled(&event(1)).unwrap().len());
    for (missing, fits) in [(0, true), (1, false)] {
        let world = World::with(|options| {
            options.bytes_max = HEADER_END + hold_bytes();
            // The settlement needs a segment of its own here, as the hold fills the first.
            options.bytes_reserve = settlement - missing;
        });
        let first = event(1);
        world.journal.open_hold(&interrupted(&first)).await.unwrap();
        assert!(world.journal.open_hold(&interrupted(&event(2))).await.is_err());
        let settled = world.journal.settle(&first).await;
        assert_eq!(settled.is_ok(), fits, "{settled:?}");
        if fits {
            assert_eq!(world.journal.stats().open_holds, 0);
            assert_eq!(world.apply_all().await, 1);
            world.until_accepting().await;
        } else {
            assert_eq!(settled.unwrap_err().code(), "journal_full");
            // The hold's own record is shorter and fits.
            world.until("it is settled as its hold says", |journal| journal.stats().open_holds == 0).await;
            assert_eq!(world.waiting().await, [interrupted_at(&first)]);
        }
    }
}

#[tokio::test]
async fn new_holds_need_free_space_on_the_disk_and_open_ones_settle_without() {
    let world = World::new();
    let first = event(1);
    world.journal.open_hold(&interrupted(&first)).await.unwrap();
    world.disk.set_free(999);
    let refused = world.journal.open_hold(&interrupted(&event(2))).await;
    assert!(
        matches!(refused, Err(JournalError::DiskNearlyFull { free_bytes: 999, free_bytes_min: 1_000 })),
        "{refused:?}"
    );
    assert_eq!(world.journal.health(), Health::Refusing("the journal's disk is nearly full"));
    world.journal.settle(&first).await.unwrap();
    world.disk.set_free(1_000);
    world.until_accepting().await;
    world.journal.open_hold(&interrupted(&event(2))).await.unwrap();
}

#[tokio::test]
async fn an_event_at_its_longest_is_written_and_one_byte_more_is_refused() {
    let world = World::new();
    let mut longest = event(1);
    let short = frame::settled(&longest).unwrap().len();
    longest.event_name.push_str(&"x".repeat(frame::FRAME_BYTES_MAX - short));
    world.journal.settle(&longest).await.unwrap();
    assert_eq!(world.killed().waiting().await, [longest.clone()]);
    longest.event_name.push('x');
    let refused = world.journal.settle(&longest).await;
    assert!(matches!(refused, Err(JournalError::RecordTooLarge { .. })), "{refused:?}");

    let mut grown = event(2);
    world.journal.open_hold(&interrupted(&grown)).await.unwrap();
    grown.event_name = longest.event_name;
    assert!(world.journal.settle(&grown).await.is_err());
    world.until("its hold is settled as it stands", |journal| journal.stats().open_holds == 0).await;
}

#[tokio::test]
async fn settlements_past_the_queue_wait_and_none_is_lost() {
    let world = World::with(|options| options.queue_records_max = 2);
    world.disk.stop_syncs();
    let mut settling = tokio::task::JoinSet::new();
    for n in 0..10 {
        let journal = world.journal.clone();
        settling.spawn(async move { journal.settle(&event(n)).await });
    }
    world.until("the queue is full", |journal| journal.stats().queue == 2).await;
    world.disk.resume_syncs();
    assert!(settling.join_all().await.iter().all(Result::is_ok));
    assert_eq!(world.apply_all().await, 10);
}

#[tokio::test]
async fn applied_events_give_their_space_back() {
    let world = World::with(|options| options.segment_bytes_max = 4_096);
    for n in 0..200 {
        world.call(&event(n)).await;
        world.apply_all().await;
    }
    world.until("space comes back", |journal| journal.stats().bytes < 3 * 4_096).await;
    let on_disk: u64 =
        super::world::segments(world.directory.path()).iter().map(|path| path.metadata().unwrap().len()).sum();
    assert_eq!(on_disk, world.journal.stats().bytes);
}

#[tokio::test]
async fn a_hold_that_stays_open_pins_no_more_than_a_few_segments_and_survives() {
    let world = World::with(|options| options.segment_bytes_max = 4_096);
    let slow: Vec<_> = (0..3).map(|n| event(1_000_000 + n)).collect();
    for event in &slow {
        world.journal.open_hold(&interrupted(event)).await.unwrap();
    }
    for n in 0..300 {
        world.call(&event(n)).await;
        world.apply_all().await;
    }
    world.until("space comes back", |journal| journal.stats().bytes < 8 * 4_096).await;
    let killed = world.killed();
    assert_eq!(killed.recovery.interrupted, super::world::ids(&slow));
    for event in &slow {
        world.journal.settle(event).await.unwrap();
    }
    let killed = world.killed();
    assert!(killed.recovery.interrupted.is_empty());
    assert_eq!(killed.waiting().await, slow);
}
