//! Leases by many instances on real connections.

mod members;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster::TestDatabase;
use ledger::{
    Actor, Change, Credits, InstanceId, LeaseGrant, LeaseKey, LeaseRequest, LeaseStore, LeaseTerms, NewOrganization,
    Share, SubscriptionStatus, Timestamp,
};

use super::super::tests::{event, number};
use crate::{Occupancy, Options, Store, open};

fn change() -> Change {
    let actor = Actor { user_id: "op".into(), role: "platform_admin".into(), remote_address: None, request_id: None };
    Change { actor, at: Timestamp::from_millis(1) }
}

/// A database with an organisation that may spend so many millionths of a credit.
struct Scene {
    database: TestDatabase,
    store: Arc<dyn Store>,
    leases: Arc<dyn LeaseStore>,
}

impl Scene {
    async fn with(limit: i64) -> Self {
        let database = TestDatabase::new().await.unwrap();
        let store = open(Options { url: database.url(), readers: 4, occupancy: Occupancy::Companion }).await.unwrap();
        let leases = Arc::clone(&store).leases().unwrap();
        let scene = Self { database, store, leases };
        scene.limit(limit).await;
        scene
    }

    async fn limit(&self, micros: i64) {
        let limits = serde_json::json!({"monthlyCredits": Credits::from_micros(micros), "aiCallsPerMonth": 100_000});
        let acme = NewOrganization {
            organization_id: "acme".parse().unwrap(),
            name: "Acme".into(),
            plan: "free".parse().unwrap(),
            subscription_status: SubscriptionStatus::Active,
            usage_limits: Some(serde_json::from_value(limits).unwrap()),
        };
        self.store.put_organization(&acme, &change()).await.unwrap().unwrap();
    }

    async fn renew(&self, instance: InstanceId, request: LeaseRequest) -> LeaseGrant {
        self.leases.renew(instance, &[request]).await.unwrap().pop().unwrap()
    }

    /// `used + Σ amounts`, as one statement sees it.
    async fn sum(&self) -> i64 {
        let sum = "SELECT (COALESCE((SELECT SUM(used_micros) FROM balances), 0)
            + COALESCE((SELECT SUM(granted_micros - charged_micros) FROM leases), 0))::bigint";
        number(&self.database, sum).await
    }

    /// Makes time pass for every row.
    async fn pass(&self, millis: i64) {
        let pass = format!(
            "UPDATE leases SET expires_at_ms = expires_at_ms - {millis}, struck_at_ms = struck_at_ms - {millis},
             yielded_at_ms = yielded_at_ms - {millis};
             UPDATE lease_asks SET expires_at_ms = expires_at_ms - {millis}"
        );
        self.database.execute(&pass).await.unwrap();
    }
}

fn instance() -> InstanceId {
    InstanceId::new(Timestamp::from_millis(1_764_000_000_000))
}

fn key(organization: &str) -> LeaseKey {
    LeaseKey::of(organization.parse().unwrap(), "2026-11".parse().unwrap())
}

fn share(micros: i64, calls: u64) -> Share {
    Share { credits: Credits::from_micros(micros), calls }
}

/// Keeps and needs these, and wants no more than it needs.
fn request(epoch: i64, keep: i64, need: i64) -> LeaseRequest {
    let of = |micros| share(micros, u64::try_from(micros / 10).unwrap());
    LeaseRequest { key: key("acme"), epoch, keep: of(keep), need: of(need), want: of(need), yields: false }
}

fn micros(share: Share) -> i64 {
    share.credits.micros()
}

#[tokio::test]
async fn of_many_who_ask_at_once_exactly_those_get_a_lease_for_whom_there_is_credit() {
    let scene = Scene::with(200).await;
    for _ in 0..3 {
        // Also for an account that was never seen before.
        scene.database.execute("DELETE FROM leases; DELETE FROM lease_asks; DELETE FROM balances").await.unwrap();
        let asking: Vec<_> = (0..50)
            .map(|_| {
                let leases = Arc::clone(&scene.leases);
                tokio::spawn(async move { leases.renew(instance(), &[request(1, 0, 10)]).await })
            })
            .collect();
        let (mut given, mut refused) = (0, 0);
        for asked in asking {
            // A pool that is busy for too long is an error, not a grant.
            let grant = asked.await.unwrap().unwrap().pop().unwrap();
            match micros(grant.lease.granted) {
                10 => given += 1,
                0 => refused += 1,
                other => panic!("half a grant: {other}"),
            }
        }
        assert_eq!((given, refused), (20, 30));
        assert_eq!(scene.sum().await, 200);
    }
}

#[tokio::test]
async fn what_is_charged_leaves_the_lease_as_it_enters_the_balance_and_once_only() {
    let scene = Scene::with(100).await;
    let (one, other) = (instance(), instance());
    assert_eq!(micros(scene.renew(one, request(1, 0, 60)).await.lease.granted), 60);
    let events: Vec<_> = (0..10).map(|_| event("acme", "2026-11-24T08:00:00Z")).collect();
    for fresh in [10, 0] {
        assert_eq!(scene.leases.apply_leased(one, &events).await.unwrap(), fresh);
        assert_eq!(scene.sum().await, 60);
    }
    let grant = scene.renew(other, request(1, 0, 50)).await;
    assert_eq!((micros(grant.lease.granted), micros(grant.used), micros(grant.leased_elsewhere)), (0, 10, 50));
    assert_eq!(micros(scene.renew(other, request(2, 0, 40)).await.lease.granted), 40);
    // Charges without a lease are counted all the same: they were earned.
    let stranger = instance();
    assert_eq!(scene.leases.apply_leased(stranger, &[event("acme", "2026-11-24T08:00:00Z")]).await.unwrap(), 1);
    assert_eq!(scene.sum().await, 101);
    let grant = scene.renew(stranger, request(1, 1, 1)).await;
    assert_eq!((micros(grant.lease.granted), micros(grant.lease.charged)), (1, 1));
}

#[tokio::test]
async fn a_request_that_comes_late_changes_nothing_and_has_no_answer() {
    let scene = Scene::with(100).await;
    let one = instance();
    scene.renew(one, request(5, 0, 50)).await;
    for epoch in [4, 5] {
        assert!(scene.leases.renew(one, &[request(epoch, 0, 90)]).await.unwrap().is_empty());
    }
    assert_eq!(scene.sum().await, 50);
    // Many leases at once, each for itself: nobody knows the second organisation.
    let unknown = LeaseRequest { key: key("nobody"), ..request(1, 0, 10) };
    let grants = scene.leases.renew(one, &[unknown, request(6, 50, 70)]).await.unwrap();
    let granted: BTreeMap<_, _> =
        grants.iter().map(|grant| (grant.key.organization_id.to_string(), micros(grant.lease.granted))).collect();
    assert_eq!(granted, BTreeMap::from([("acme".into(), 70), ("nobody".into(), 0)]));
}

#[tokio::test]
async fn who_lacks_credit_is_heard_by_those_who_have_it() {
    let scene = Scene::with(100).await;
    let (rich, poor) = (instance(), instance());
    scene.renew(rich, request(1, 0, 100)).await;
    let hearing = {
        let leases = Arc::clone(&scene.leases);
        tokio::spawn(async move { leases.news(instance()).await })
    };
    // The listener may not listen yet when the first ask is made: the poor one asks until it is heard.
    let mut epoch = 1;
    while !hearing.is_finished() {
        let grant = scene.renew(poor, request(epoch, 0, 30)).await;
        assert_eq!(micros(grant.lease.granted), 0);
        assert!(grant.silent_ms > 1_000_000, "the rich one never yielded");
        epoch += 1;
        tokio::task::yield_now().await;
    }
    assert_eq!(scene.leases.asked(rich).await.unwrap(), [key("acme")]);
    assert!(scene.leases.asked(poor).await.unwrap().is_empty());
    let yielded = scene.renew(rich, LeaseRequest { yields: true, ..request(2, 60, 60) }).await;
    assert!(yielded.asked);
    assert_eq!(micros(yielded.lease.granted), 60);
    let grant = scene.renew(poor, request(epoch, 0, 30)).await;
    assert_eq!(micros(grant.lease.granted), 30);
    assert!(grant.silent_ms < 60_000, "{}", grant.silent_ms);
    assert!(scene.leases.asked(rich).await.unwrap().is_empty(), "whose need is met asks no more");
    // An ask that nobody repeats is over after a while.
    scene.renew(poor, request(epoch + 1, 30, 90)).await;
    assert_eq!(scene.leases.asked(rich).await.unwrap().len(), 1);
    scene.pass(2_001).await;
    assert!(scene.leases.asked(rich).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_expired_lease_is_reclaimed_after_so_many_strikes_and_a_renewal_forgets_them() {
    let scene = Scene::with(100).await;
    let terms = LeaseTerms::default();
    let one = instance();
    scene.renew(one, request(1, 0, 80)).await;
    assert_eq!(scene.leases.reclaim().await.unwrap(), 0, "it lives");
    let strike = async |times: u64| {
        let mut lost = 0;
        for _ in 0..times {
            scene.pass(13_000).await;
            lost += scene.leases.reclaim().await.unwrap();
            assert_eq!(scene.leases.reclaim().await.unwrap(), 0, "one strike at a time");
        }
        lost
    };
    assert_eq!(strike(terms.strikes_max - 1).await, 0);
    scene.renew(one, request(2, 80, 80)).await;
    assert_eq!(strike(terms.strikes_max - 1).await, 0);
    assert_eq!(scene.sum().await, 80);
    assert_eq!(strike(1).await, 1);
    assert_eq!(scene.sum().await, 0);
    // An end further ahead than it can be, as a clock that was set back leaves it.
    scene.renew(one, request(3, 0, 80)).await;
    scene.pass(-3_600_000).await;
    assert_eq!(scene.leases.reclaim().await.unwrap(), 0);
    let ahead = "SELECT (MAX(expires_at_ms) - extract(epoch FROM clock_timestamp()) * 1000)::bigint FROM leases";
    assert!(number(&scene.database, ahead).await <= i64::try_from(terms.ttl_ms).unwrap());
    scene.leases.retire(one).await.unwrap();
    assert_eq!(number(&scene.database, "SELECT COUNT(*) FROM leases").await, 0);
}

#[tokio::test]
async fn a_changed_limit_holds_for_the_next_request() {
    let scene = Scene::with(100).await;
    let (one, other) = (instance(), instance());
    scene.renew(one, request(1, 0, 100)).await;
    scene.limit(50).await;
    let grant = scene.renew(one, request(2, 70, 100)).await;
    assert_eq!(micros(grant.lease.granted), 70, "what is held stays, what is free goes");
    assert_eq!(micros(scene.renew(other, request(1, 0, 10)).await.lease.granted), 0);
    scene.limit(90).await;
    assert_eq!(micros(scene.renew(other, request(2, 0, 20)).await.lease.granted), 20);
    scene.limit(-1_000_000).await;
    assert_eq!(micros(scene.renew(other, request(3, 20, 10_000)).await.lease.granted), 10_000, "no limit");
}

#[tokio::test]
async fn whatever_happens_at_once_the_sum_stays_within_the_limit_and_nobody_waits_in_a_circle() {
    let scene = Scene::with(1_000).await;
    let working: Vec<_> = (0..4)
        .map(|turn: i64| {
            let leases = Arc::clone(&scene.leases);
            tokio::spawn(async move {
                let me = instance();
                let mut applied = 0;
                for epoch in 1..=25 {
                    let want = request(epoch, 0, 40 + turn * 20);
                    let mut keys = [want.clone(), LeaseRequest { key: key("nobody"), ..want }];
                    if epoch % 2 == 0 {
                        keys.reverse();
                    }
                    let grants = leases.renew(me, &keys).await.unwrap();
                    let lease = grants.iter().find(|grant| grant.key == key("acme")).unwrap().lease;
                    let free = micros(lease.granted.less(lease.charged)).min(5);
                    let events: Vec<_> = (0..free).map(|_| event("acme", "2026-11-24T08:00:00Z")).collect();
                    applied += leases.apply_leased(me, &events).await.unwrap();
                    leases.reclaim().await.unwrap();
                }
                applied
            })
        })
        .collect();
    while !working.iter().all(tokio::task::JoinHandle::is_finished) {
        let sum = scene.sum().await;
        assert!(sum <= 1_000, "{sum}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut applied = 0;
    for worked in working {
        applied += worked.await.unwrap();
    }
    assert!(applied > 50, "{applied}");
    let used = number(&scene.database, "SELECT used_micros FROM balances WHERE organization_id = 'acme'").await;
    let charged = number(&scene.database, "SELECT SUM(charged_micros)::bigint FROM leases").await;
    assert_eq!((used, charged), (i64::try_from(applied).unwrap(), used));
}

#[tokio::test]
async fn what_others_charged_is_heard_of_before_it_is_applied_and_counted_once_after() {
    let scene = Scene::with(100).await;
    let (one, other) = (instance(), instance());
    for who in [one, other] {
        scene.renew(who, request(1, 0, 10)).await;
    }
    let told = scene.leases.tell(one, &[(key("acme"), share(3, 3))]).await.unwrap();
    assert_eq!((told[0].used, told[0].told_elsewhere, told[0].charged), (Share::ZERO, Share::ZERO, Share::ZERO));
    let all = async || {
        let heard = scene.leases.tell(other, &[(key("acme"), Share::ZERO)]).await.unwrap().remove(0);
        let granted = scene.renew(other, request(next_epoch(), 0, 10)).await;
        assert_eq!((granted.used, granted.told_elsewhere), (heard.used, heard.told_elsewhere));
        (micros(heard.used), micros(heard.told_elsewhere))
    };
    assert_eq!(all().await, (0, 3));
    let events: Vec<_> = (0..2).map(|_| event("acme", "2026-11-24T08:00:00Z")).collect();
    scene.leases.apply_leased(one, &events).await.unwrap();
    assert_eq!(all().await, (2, 1));
    // An old tell that comes late changes nothing.
    scene.leases.tell(one, &[(key("acme"), share(1, 1))]).await.unwrap();
    assert_eq!(all().await, (2, 1));
    scene.leases.apply_leased(one, &[event("acme", "2026-11-24T08:00:00Z")]).await.unwrap();
    assert_eq!(all().await, (3, 0));
    assert_eq!(micros(scene.leases.tell(one, &[(key("acme"), share(3, 3))]).await.unwrap()[0].charged), 3);
    assert_eq!(scene.leases.tell(one, &[(key("nobody"), share(3, 3))]).await.unwrap()[0].used, Share::ZERO);
}

/// A number that no request of the scene had before.
fn next_epoch() -> i64 {
    static LAST: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(1);
    LAST.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1
}

#[tokio::test]
async fn instances_hear_of_each_other_and_not_of_themselves() {
    let scene = Scene::with(100).await;
    let (one, other) = (instance(), instance());
    scene.renew(one, request(1, 0, 10)).await;
    let hearing = scene.leases.news(other);
    let telling = async {
        // Whoever listens late has missed what was said before: it is said until it is heard.
        for spent in 1.. {
            scene.leases.tell(other, &[]).await.unwrap();
            scene.leases.tell(one, &[(key("acme"), share(spent, 1))]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let heard = tokio::select! { heard = hearing => heard, () = telling => unreachable!() };
    assert_eq!(heard, ledger::LeaseNews::Told(one, vec![key("acme")]));
}
