use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use ledger::{Lease, LeaseGrant, Limit, Reach, Share, StoreError, Timestamp, UsageEvent};

use super::*;

/// A store for one account: the rule of `LeaseRequest::decide`, and nothing of time.
#[derive(Default)]
struct FakeStore {
    rows: Mutex<BTreeMap<InstanceId, Row>>,
    asks: Mutex<HashSet<InstanceId>>,
    statements: AtomicU64,
    down: AtomicBool,
    limit: Mutex<i64>,
    news: Notify,
}

#[derive(Clone, Default)]
struct Row {
    granted: Share,
    epoch: i64,
    yielded: Option<Instant>,
}

impl FakeStore {
    fn of(limit: i64) -> Arc<Self> {
        Arc::new(Self { limit: Mutex::new(limit), ..Self::default() })
    }

    fn grant(&self) -> Grant {
        Grant { credits: Limit::Credits(credits(*self.limit.lock())), calls: None }
    }

    fn leased(&self) -> Credits {
        self.rows.lock().values().fold(Credits::ZERO, |sum, row| sum.saturating_add(row.granted.credits))
    }

    fn decide(&self, instance: InstanceId, request: &LeaseRequest) -> LeaseGrant {
        let mut rows = self.rows.lock();
        let others: Vec<Row> =
            rows.iter().filter(|(other, _)| **other != instance).map(|(_, row)| row.clone()).collect();
        let elsewhere = others.iter().fold(Share::ZERO, |sum, row| sum.plus(row.granted));
        let row = rows.entry(instance).or_default();
        let reach = Reach::new(self.grant(), Share::ZERO, Share::ZERO, elsewhere);
        let (granted, met) = request.decide(row.granted, Share::ZERO, reach);
        assert!(request.epoch > row.epoch);
        let yielded = if request.yields { Some(Instant::now()) } else { row.yielded };
        *row = Row { granted, epoch: request.epoch, yielded };
        let mut asks = self.asks.lock();
        if met {
            asks.remove(&instance);
        } else {
            asks.insert(instance);
            self.news.notify_waiters();
        }
        let silent = others.iter().filter(|row| !row.granted.is_zero()).map(|row| match row.yielded {
            Some(at) => u64::try_from(at.elapsed().as_millis()).unwrap(),
            None => u64::MAX,
        });
        let lease =
            Lease { epoch: request.epoch, granted, charged: Share::ZERO, expires_at: Timestamp::from_millis(0) };
        LeaseGrant {
            key: request.key.clone(),
            lease,
            grant: self.grant(),
            used: Share::ZERO,
            leased_elsewhere: elsewhere,
            silent_ms: silent.max().unwrap_or(0),
            asked: asks.iter().any(|asker| *asker != instance),
        }
    }
}

#[async_trait]
impl LeaseStore for FakeStore {
    async fn apply_leased(&self, _: InstanceId, _: &[UsageEvent]) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn renew(&self, instance: InstanceId, requests: &[LeaseRequest]) -> Result<Vec<LeaseGrant>, StoreError> {
        self.statements.fetch_add(1, Ordering::SeqCst);
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("down".into()));
        }
        Ok(requests.iter().map(|request| self.decide(instance, request)).collect())
    }

    async fn asked(&self, instance: InstanceId) -> Result<Vec<LeaseKey>, StoreError> {
        let asked = self.asks.lock().iter().any(|asker| *asker != instance);
        Ok(if asked { vec![key()] } else { Vec::new() })
    }

    async fn asked_soon(&self) {
        self.news.notified().await;
    }

    async fn reclaim(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn retire(&self, instance: InstanceId) -> Result<(), StoreError> {
        self.rows.lock().remove(&instance);
        Ok(())
    }
}

fn credits(whole: i64) -> Credits {
    Credits::from_whole(whole).unwrap()
}

fn key() -> LeaseKey {
    LeaseKey { organization_id: "acme".parse().unwrap(), period: Period::of(Timestamp::from_millis(0)) }
}

/// Gateways that share a store, for as long as the set lives.
fn gateways(store: &Arc<FakeStore>, count: i64) -> (Vec<Arc<Leases>>, JoinSet<()>) {
    let mut running = JoinSet::new();
    let gateways = (0..count).map(|number| {
        let store: Arc<dyn LeaseStore> = store.clone();
        let leases = Leases::new(store, InstanceId::new(Timestamp::from_millis(number)));
        running.spawn(Arc::clone(&leases).run());
        leases
    });
    (gateways.collect(), running)
}

#[tokio::test]
async fn five_hundred_calls_over_three_gateways_at_a_balance_for_twenty_open_exactly_twenty_holds() {
    let store = FakeStore::of(20 * 28);
    let (gateways, _running) = gateways(&store, 3);
    let mut calls = JoinSet::new();
    for call in 0..500 {
        let (leases, grant) = (Arc::clone(&gateways[call % 3]), store.grant());
        calls.spawn(async move { leases.open(key(), None, credits(28), grant).await });
    }
    let outcomes = calls.join_all().await;
    let (holds, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(holds.len(), 20);
    assert!(refused.iter().all(|it| matches!(it, Err(NoHold::Refused(HoldRefused::Credits { .. })))));
}

#[tokio::test]
async fn single_calls_over_three_gateways_use_the_balance_to_its_last_credit() {
    let store = FakeStore::of(30);
    let (gateways, _running) = gateways(&store, 3);
    let mut holds = Vec::new();
    for call in 0..30 {
        holds.push(gateways[call % 3].open(key(), None, credits(1), store.grant()).await.unwrap());
    }
    let refused = gateways[0].open(key(), None, credits(1), store.grant()).await.unwrap_err();
    assert_eq!(refused, NoHold::Refused(HoldRefused::Credits { available: Credits::ZERO, needed: credits(1) }));
}

#[tokio::test]
async fn a_call_that_finds_its_credit_leased_asks_the_store_nothing() {
    let store = FakeStore::of(1_000);
    let (gateways, running) = gateways(&store, 1);
    drop(gateways[0].open(key(), None, credits(5), store.grant()).await.unwrap());
    drop(running);
    let before = store.statements.load(Ordering::SeqCst);
    for _ in 0..100 {
        drop(gateways[0].open(key(), None, credits(5), store.grant()).await.unwrap());
    }
    assert_eq!(store.statements.load(Ordering::SeqCst), before);
}

#[tokio::test]
async fn a_store_that_is_down_is_no_reason_to_say_that_there_is_no_credit() {
    let store = FakeStore::of(1_000);
    store.down.store(true, Ordering::SeqCst);
    let (gateways, _running) = gateways(&store, 1);
    let refused = gateways[0].open(key(), None, credits(5), store.grant()).await.unwrap_err();
    assert_eq!(refused, NoHold::NotAnswered);
    store.down.store(false, Ordering::SeqCst);
    let mut hold = gateways[0].open(key(), None, credits(5), store.grant()).await.unwrap();
    assert!(gateways[0].secure(key(), &mut hold).await);
}

#[tokio::test]
async fn a_lowered_limit_takes_ready_credit_back() {
    let store = FakeStore::of(1_000);
    let (gateways, _running) = gateways(&store, 2);
    let held = gateways[0].open(key(), None, credits(50), store.grant()).await.unwrap();
    *store.limit.lock() = 60;
    for leases in &gateways {
        leases.limits_changed(Some(&key().organization_id));
    }
    timeout(Duration::from_secs(1), async {
        while store.leased() > credits(60) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert!(gateways[1].open(key(), None, credits(11), store.grant()).await.is_err());
    assert!(gateways[1].open(key(), None, credits(10), store.grant()).await.is_ok());
    held.void();
}
