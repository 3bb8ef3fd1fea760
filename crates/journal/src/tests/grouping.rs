//! Groups, and who waits for whom.

use std::time::Duration;

use super::world::{World, event, ids, interrupted};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn settlements_that_wait_share_one_sync() {
    let world = World::new();
    world.disk.stop_syncs();
    let mut settling = tokio::task::JoinSet::new();
    let journal = world.journal.clone();
    settling.spawn(async move { journal.settle(&event(0)).await });
    world.until("the first group syncs", |_| world.disk.syncs_waiting() == 1).await;
    for n in 1..100 {
        let journal = world.journal.clone();
        settling.spawn(async move { journal.settle(&event(n)).await });
    }
    world.until("the others wait", |journal| journal.stats().queue == 99).await;
    assert_eq!(world.journal.stats().unapplied, 0, "nothing is told before the sync");
    world.disk.resume_syncs();
    assert!(settling.join_all().await.iter().all(Result::is_ok));
    assert_eq!(*world.seen.groups.lock(), [1, 99]);
}

#[tokio::test]
async fn a_hold_does_not_wait_for_a_running_sync() {
    let world = World::new();
    world.disk.stop_syncs();
    let journal = world.journal.clone();
    let settling = tokio::spawn(async move { journal.settle(&event(0)).await });
    world.until("a sync runs", |_| world.disk.syncs_waiting() == 1).await;
    let hold = interrupted(&event(1));
    tokio::time::timeout(SOON, world.journal.open_hold(&hold)).await.unwrap().unwrap();
    tokio::time::timeout(SOON, world.journal.forget(hold.id)).await.unwrap().unwrap();
    assert!(!settling.is_finished());
    world.disk.resume_syncs();
    settling.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_settlement_whose_caller_left_is_settled_all_the_same() {
    let world = World::new();
    world.disk.stop_syncs();
    let event = event(1);
    world.journal.open_hold(&interrupted(&event)).await.unwrap();
    tokio::select! {
        biased;
        _ = world.journal.settle(&event) => panic!("no sync can have ended"),
        () = std::future::ready(()) => {}
    }
    world.disk.resume_syncs();
    assert_eq!(ids(&world.journal.unapplied(1).await.unwrap().events), [event.id]);
    assert_eq!(world.journal.stats().open_holds, 0);
    assert_eq!(world.killed().waiting().await, [event]);
}
