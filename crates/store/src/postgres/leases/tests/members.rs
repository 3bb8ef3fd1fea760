//! The accounts of members who have a limit.

use ledger::{Limit, Member, Role};

use super::*;

fn alice() -> ledger::UserId {
    "alice".parse().unwrap()
}

fn hers() -> LeaseKey {
    key("acme").of_member(&alice())
}

async fn allow(scene: &Scene, micros: Option<i64>) {
    let monthly_credits = micros.map(Limit::from_stored_micros);
    let member = Member { user_id: alice(), role: Role::Member, name: None, email: None, monthly_credits };
    scene.store.put_member(&"acme".parse().unwrap(), &member, &change()).await.unwrap().unwrap();
}

/// Keeps and needs these, and wants no more than it needs.
fn asks(epoch: i64, keep: i64, need: i64) -> LeaseRequest {
    let of = |micros| share(micros, 0);
    LeaseRequest { key: hers(), epoch, keep: of(keep), need: of(need), want: of(need), yields: false }
}

async fn begin(scene: &Scene, at: InstanceId, captured: i64, epoch: i64) -> bool {
    scene.leases.begin(at, &hers(), Credits::from_micros(captured), epoch).await.is_ok()
}

/// Granted and charged of the lease, used of the account.
fn told(grant: &LeaseGrant) -> (i64, i64, i64) {
    (micros(grant.lease.granted), micros(grant.lease.charged), micros(grant.used))
}

/// Events of hers, a millionth of a credit each.
fn events(count: usize) -> Vec<ledger::UsageEvent> {
    (0..count).map(|_| event("acme", "2026-11-24T08:00:00Z")).collect()
}

#[tokio::test]
async fn an_account_begins_with_what_the_member_used_and_moves_with_every_event() {
    let scene = Scene::with(1_000).await;
    allow(&scene, Some(100)).await;
    let (one, other) = (instance(), instance());
    scene.leases.apply_leased(one, &events(10)).await.unwrap();
    assert!(begin(&scene, one, 10, -5).await);
    assert_eq!(told(&scene.renew(one, asks(1, 10, 60)).await), (60, 10, 10));
    assert!(begin(&scene, other, 0, -5).await);
    assert_eq!(told(&scene.renew(other, asks(1, 0, 41)).await), (0, 0, 10), "50 are leased and 40 are left");
    assert_eq!(told(&scene.renew(other, asks(2, 0, 40)).await), (40, 0, 10));
    // A charge leaves the lease as it enters the account, and once only.
    let charges = events(5);
    for _ in 0..2 {
        scene.leases.apply_leased(one, &charges).await.unwrap();
    }
    let grant = scene.renew(one, asks(2, 60, 60)).await;
    assert_eq!((told(&grant), micros(grant.leased_elsewhere)), ((60, 15, 15), 40));
    // Nobody's lease, and an account that has not begun.
    scene.store.apply(&events(1)).await.unwrap();
    let of_bob = ledger::UsageEvent { user_id: "bob".parse().unwrap(), ..events(1).remove(0) };
    scene.leases.apply_leased(one, &[of_bob]).await.unwrap();
    assert_eq!(told(&scene.renew(one, asks(3, 60, 60)).await), (60, 15, 16));
    assert_eq!(number(&scene.database, "SELECT COUNT(*) FROM member_balances").await, 1);
    // The organisation's own lease knows nothing of it.
    let whole = scene.renew(one, request(1, 16, 16)).await;
    assert_eq!((micros(whole.lease.charged), micros(whole.used), micros(whole.leased_elsewhere)), (16, 17, 0));
    scene.leases.retire(one).await.unwrap();
    scene.leases.retire(other).await.unwrap();
    assert_eq!(number(&scene.database, "SELECT COUNT(*) FROM leases").await, 0);
}

#[tokio::test]
async fn a_lease_begins_anew_until_its_first_request_and_never_after() {
    let scene = Scene::with(1_000).await;
    allow(&scene, Some(100)).await;
    let one = instance();
    assert!(begin(&scene, one, 0, -9).await);
    assert!(begin(&scene, one, 3, -8).await, "something was captured meanwhile");
    assert!(!begin(&scene, one, 0, -9).await, "the first one comes late");
    assert_eq!(told(&scene.renew(one, asks(1, 3, 20)).await), (20, 3, 0));
    assert!(!begin(&scene, one, 3, -7).await);
    assert_eq!(told(&scene.renew(one, asks(2, 20, 20)).await), (20, 3, 0));
    // Who has not begun has no answer.
    let stranger = LeaseRequest { key: key("acme").of_member(&"bob".parse().unwrap()), ..asks(1, 0, 1) };
    assert!(scene.leases.renew(one, &[stranger]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_limit_that_is_changed_or_lifted_holds_for_the_next_request_and_who_lacks_credit_is_heard() {
    let scene = Scene::with(1_000).await;
    allow(&scene, Some(100)).await;
    let (rich, poor) = (instance(), instance());
    for who in [rich, poor] {
        assert!(begin(&scene, who, 0, -1).await);
    }
    scene.renew(rich, asks(1, 0, 100)).await;
    assert_eq!(told(&scene.renew(poor, asks(1, 0, 30)).await).0, 0);
    assert_eq!(scene.leases.asked(rich).await.unwrap(), [hers()]);
    allow(&scene, Some(50)).await;
    assert_eq!(told(&scene.renew(rich, asks(2, 40, 100)).await).0, 40, "what is held stays, what is free goes");
    assert_eq!(told(&scene.renew(poor, asks(2, 0, 10)).await).0, 10);
    allow(&scene, Some(-1)).await;
    assert_eq!(told(&scene.renew(poor, asks(3, 10, 10_000)).await).0, 10_000, "no limit of her own");
    allow(&scene, None).await;
    assert_eq!(told(&scene.renew(poor, asks(4, 10_000, 20_000)).await).0, 20_000, "nor one for each member");
    scene.store.delete_member(&"acme".parse().unwrap(), &alice(), &change()).await.unwrap();
    assert_eq!(told(&scene.renew(poor, asks(5, 20_000, 20_001)).await).0, 20_000, "no member is granted nothing more");
}
