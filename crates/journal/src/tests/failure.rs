//! A disk that fills up or fails, and comes back.

use std::sync::atomic::Ordering;

use ledger::Outcome;

use super::world::{World, event, ids, interrupted};
use crate::{Health, JournalError};

#[tokio::test]
async fn a_full_disk_refuses_and_the_journal_recovers_by_itself() {
    let world = World::new();
    let (before, during, after) = (event(1), event(2), event(3));
    world.call(&before).await;
    world.journal.open_hold(&interrupted(&during)).await.unwrap();
    world.disk.leave_room(Some(100));

    let refused = world.journal.open_hold(&interrupted(&event(9))).await;
    assert!(matches!(refused, Err(JournalError::Unwritable(_))), "{refused:?}");
    let refused = world.journal.settle(&during).await;
    assert!(matches!(refused, Err(JournalError::Unwritable(_))), "{refused:?}");
    assert_eq!(world.journal.health(), Health::Refusing("the journal cannot be written"));
    assert!(world.seen.failures.load(Ordering::SeqCst) > 0);
    let killed = world.killed();
    assert_eq!(killed.recovery.interrupted, [during.id], "a kill now finds the hold, and not the one that was refused");

    world.disk.leave_room(None);
    world.until_accepting().await;
    world.call(&after).await;
    world.until("the failed one is settled as its hold says", |journal| journal.stats().open_holds == 0).await;
    for world in [world.killed(), world] {
        let mut found = world.waiting().await;
        found.sort_by_key(|event| event.id);
        assert_eq!(ids(&found), [before.id, during.id, after.id]);
        assert_eq!(
            found.iter().map(|event| event.outcome).collect::<Vec<_>>(),
            [Outcome::Captured, Outcome::Interrupted, Outcome::Captured]
        );
        assert!(world.recovery.set_aside.is_empty() && world.recovery.interrupted.is_empty());
    }
}

#[tokio::test]
async fn a_failed_sync_is_never_taken_for_a_success_and_what_it_lost_is_written_anew() {
    let world = World::new();
    let (safe, told_no, open, gone) = (event(1), event(2), event(3), event(4));
    world.call(&safe).await;
    for hold in [&told_no, &open, &gone] {
        world.journal.open_hold(&interrupted(hold)).await.unwrap();
    }
    world.journal.forget(gone.id).await.unwrap();
    world.disk.fail_syncs(2);
    let refused = world.journal.settle(&told_no).await;
    assert!(matches!(refused, Err(JournalError::Unwritable(_))), "{refused:?}");
    world.until_accepting().await;
    world.until("the failed one is settled as its hold says", |journal| journal.stats().unapplied == 2).await;
    assert_eq!(world.journal.stats().open_holds, 1);

    let killed = world.killed();
    assert_eq!(killed.recovery.interrupted, [open.id]);
    assert!(killed.recovery.set_aside.is_empty(), "{:?}", killed.recovery.set_aside);
    let found = killed.waiting().await;
    assert_eq!(ids(&found), [safe.id, told_no.id, open.id]);
    assert_eq!(found[1].outcome, Outcome::Interrupted, "its caller was told that it failed");

    world.journal.settle(&open).await.unwrap();
    assert_eq!(world.killed().waiting().await.last(), Some(&open));
}

#[tokio::test]
async fn what_is_forgotten_and_applied_while_nothing_can_be_written_is_not_lost() {
    let world = World::new();
    world.call(&event(1)).await;
    let hold = interrupted(&event(2));
    world.journal.open_hold(&hold).await.unwrap();
    world.disk.leave_room(Some(0));
    assert!(world.journal.forget(hold.id).await.is_err());
    let batch = world.journal.unapplied(1).await.unwrap();
    assert!(world.journal.persisted(world.journal.taken(&batch)).await.is_err());
    assert_eq!(world.journal.stats().unapplied, 0);
    world.disk.leave_room(None);
    world.until_accepting().await;
    let killed = world.killed();
    assert_eq!(killed.recovery, crate::Recovery::default());
}

#[tokio::test]
async fn a_hold_that_is_interrupted_is_settled_as_it_stands_and_a_settled_one_stays() {
    let world = World::new();
    let (settled, left, struck) = (event(1), event(2), event(3));
    world.call(&settled).await;
    for hold in [&left, &struck] {
        world.journal.open_hold(&interrupted(hold)).await.unwrap();
    }
    world.journal.forget(struck.id).await.unwrap();
    for id in [settled.id, left.id, left.id, struck.id] {
        world.journal.interrupt(id, left.settled_at);
    }
    world.until("it is settled", |journal| journal.stats().open_holds == 0 && journal.stats().unapplied == 2).await;
    let found = world.waiting().await;
    assert_eq!(ids(&found), [settled.id, left.id]);
    assert_eq!(found[0], settled);
    assert_eq!((found[1].outcome, found[1].settled_at), (Outcome::Interrupted, left.settled_at));
    assert!(world.killed().recovery.interrupted.is_empty(), "nothing is left for the next start");
}
