//! What a start finds after an orderly end and after a kill.

use ledger::Outcome;

use super::world::{NOW, World, event, ids, interrupted};
use crate::JournalError;
use crate::segment::widen;

#[tokio::test]
async fn a_settled_event_comes_back_as_it_was_until_it_is_applied() {
    let world = World::new();
    let events: Vec<_> = (1..=3).map(event).collect();
    for event in &events {
        world.call(event).await;
    }
    assert_eq!(world.waiting().await, events);
    assert_eq!(world.waiting().await, events, "they come again until they are applied");
    assert_eq!(world.journal.stats().oldest_unapplied, Some(events[0].settled_at));

    let batch = world.journal.unapplied(2).await.unwrap();
    assert_eq!(batch.events, events[..2]);
    world.journal.persisted(world.journal.taken(&batch)).await.unwrap();
    assert_eq!(world.waiting().await, events[2..]);
    assert_eq!(world.journal.stats().oldest_unapplied, Some(events[2].settled_at));

    let killed = world.killed();
    assert_eq!(killed.recovery.unapplied, 1);
    assert_eq!(killed.waiting().await, events[2..]);
    assert!(killed.recovery.interrupted.is_empty() && killed.recovery.set_aside.is_empty());
}

#[tokio::test]
async fn a_hold_survives_a_kill_and_becomes_an_event_as_its_record_says_once() {
    let world = World::new();
    let event = event(7);
    world.journal.open_hold(&interrupted(&event)).await.unwrap();
    assert_eq!(world.journal.stats().open_holds, 1);

    let killed = world.killed();
    assert_eq!(killed.recovery.interrupted, [event.id]);
    let found = killed.waiting().await;
    let mut want = interrupted(&event);
    want.settled_at = NOW.max(event.occurred_at);
    assert_eq!(found, [want]);
    assert_eq!(found[0].outcome, Outcome::Interrupted);

    let again = killed.killed();
    assert!(again.recovery.interrupted.is_empty(), "{:?}", again.recovery);
    assert_eq!(ids(&again.waiting().await), [event.id]);
}

#[tokio::test]
async fn a_forgotten_hold_leaves_no_event() {
    let world = World::new();
    let (kept, gone) = (event(1), event(2));
    for hold in [&kept, &gone] {
        world.journal.open_hold(&interrupted(hold)).await.unwrap();
    }
    world.journal.forget(gone.id).await.unwrap();
    world.journal.forget(event(3).id).await.unwrap();
    assert_eq!(world.journal.stats().open_holds, 1);
    assert_eq!(world.killed().recovery.interrupted, [kept.id]);
}

#[tokio::test]
async fn a_hold_whose_caller_left_before_hearing_of_it_leaves_no_event() {
    let world = World::new();
    let (hold, other) = (interrupted(&event(1)), interrupted(&event(2)));
    world.disk.stop_writes();
    let (journal, first, runtime) = (world.journal.clone(), other.clone(), tokio::runtime::Handle::current());
    let busy = tokio::task::spawn_blocking(move || runtime.block_on(journal.open_hold(&first)));
    world.until("another write is on its way", |_| world.disk.writes_waiting() == 1).await;
    tokio::select! {
        biased;
        _ = world.journal.open_hold(&hold) => panic!("nothing can have been written"),
        () = std::future::ready(()) => {}
    }
    world.disk.resume_writes();
    busy.await.unwrap().unwrap();
    world.journal.close().await.unwrap();
    assert_eq!(world.killed().recovery.interrupted, [other.id]);
}

#[tokio::test]
async fn a_closed_journal_refuses_and_can_be_opened_again() {
    let world = World::new();
    let event = event(1);
    world.call(&event).await;
    world.journal.close().await.unwrap();
    world.journal.close().await.unwrap();
    let refused = world.journal.open_hold(&event).await;
    assert!(matches!(refused, Err(JournalError::Closed)), "{refused:?}");
    assert!(matches!(world.journal.settle(&event).await, Err(JournalError::Closed)));
    assert!(matches!(world.journal.unapplied(1).await, Err(JournalError::Closed)));
    world.journal.caught_up().await;
    let again = World::try_in(world.directory, |_| {}).unwrap();
    assert_eq!(again.waiting().await, [event]);
}

#[tokio::test]
async fn a_second_owner_is_refused_by_name() {
    let world = World::new();
    let options = crate::Options::new(world.directory.path());
    let second = crate::Journal::open(options, world.seen.clone(), NOW);
    let error = second.err().unwrap();
    assert_eq!(error.code(), "journal_owned");
    assert!(error.to_string().contains(world.directory.path().to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn caught_up_waits_for_what_was_settled_before_it_and_for_nothing_else() {
    let world = World::new();
    world.journal.caught_up().await;
    world.call(&event(1)).await;
    let batch = world.journal.unapplied(1).await.unwrap();
    let caught_up = world.journal.caught_up();
    tokio::pin!(caught_up);
    tokio::select! {
        biased;
        () = &mut caught_up => panic!("an event is on its way"),
        () = std::future::ready(()) => {}
    }
    world.call(&event(2)).await;
    world.journal.persisted(world.journal.taken(&batch)).await.unwrap();
    caught_up.await;
    assert_eq!(world.journal.stats().unapplied, 1);
}

#[tokio::test]
async fn events_beyond_the_memory_come_back_from_disk_in_order() {
    let world = World::with(|options| options.segment_bytes_max = 64 << 10);
    let count = i64::try_from(crate::ready::EVENTS_IN_MEMORY_MAX).unwrap() * 2 + 10;
    let events: Vec<_> = (0..count).map(event).collect();
    let mut settling = tokio::task::JoinSet::new();
    for event in events.clone() {
        let journal = world.journal.clone();
        settling.spawn(async move { journal.settle(&event).await.unwrap() });
        tokio::task::yield_now().await;
    }
    settling.join_all().await;
    let image = World::try_in(world.image(), |_| {}).unwrap();
    for world in [world, image] {
        assert_eq!(world.journal.stats().unapplied, widen(events.len()));
        let mut found = Vec::new();
        while world.journal.stats().unapplied > 0 {
            let batch = world.journal.unapplied(300).await.unwrap();
            world.journal.persisted(world.journal.taken(&batch)).await.unwrap();
            found.extend(batch.events);
        }
        assert_eq!(found, events);
        assert_eq!(world.journal.stats().oldest_unapplied, None);
    }
}
