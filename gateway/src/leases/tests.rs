use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64};

use async_trait::async_trait;
use ledger::{Lease, LeaseGrant, LeaseUsed, Limit, Reach, Share, StoreError, Timestamp, UsageEvent};
use tokio::sync::broadcast;

use super::*;

/// A store for one account: the rule of `LeaseRequest::decide`, and nothing of time.
struct FakeStore {
    rows: Mutex<BTreeMap<InstanceId, Row>>,
    asks: Mutex<HashSet<InstanceId>>,
    statements: AtomicU64,
    down: AtomicBool,
    limit: Mutex<i64>,
    spent: Mutex<BTreeMap<InstanceId, Share>>,
    news: broadcast::Sender<LeaseNews>,
    listeners: Mutex<BTreeMap<InstanceId, broadcast::Receiver<LeaseNews>>>,
}

#[derive(Clone, Default)]
struct Row {
    granted: Share,
    epoch: i64,
    yielded: Option<Instant>,
}

impl FakeStore {
    fn of(limit: i64) -> Arc<Self> {
        Arc::new(Self {
            rows: Mutex::default(),
            asks: Mutex::default(),
            statements: AtomicU64::new(0),
            down: AtomicBool::new(false),
            limit: Mutex::new(limit),
            spent: Mutex::default(),
            news: broadcast::channel(1_000).0,
            listeners: Mutex::default(),
        })
    }

    fn grant(&self) -> Grant {
        Grant { credits: Limit::Credits(credits(*self.limit.lock())), calls: None }
    }

    fn told_elsewhere(&self, than: InstanceId) -> Share {
        let spent = self.spent.lock();
        spent.iter().filter(|(by, _)| **by != than).fold(Share::ZERO, |sum, (_, spent)| sum.plus(*spent))
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
            let _ = self.news.send(LeaseNews::Asked);
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
            told_elsewhere: self.told_elsewhere(instance),
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

    async fn begin(&self, _: InstanceId, _: &LeaseKey, _: Credits, _: i64) -> Result<(), StoreError> {
        Ok(())
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

    async fn tell(&self, instance: InstanceId, spent: &[(LeaseKey, Share)]) -> Result<Vec<LeaseUsed>, StoreError> {
        let mut is_news = spent.is_empty();
        let of = |(key, spent): &(LeaseKey, Share)| {
            is_news |= self.spent.lock().insert(instance, *spent) != Some(*spent);
            let told_elsewhere = self.told_elsewhere(instance);
            LeaseUsed { key: key.clone(), used: Share::ZERO, told_elsewhere, charged: Share::ZERO }
        };
        let all = spent.iter().map(of).collect();
        if is_news {
            let _ = self.news.send(LeaseNews::Told(instance, spent.iter().map(|(key, _)| key.clone()).collect()));
        }
        Ok(all)
    }

    async fn news(&self, instance: InstanceId) -> LeaseNews {
        let known = self.listeners.lock().remove(&instance);
        let mut news = known.unwrap_or_else(|| self.news.subscribe());
        loop {
            match news.recv().await.unwrap() {
                LeaseNews::Told(by, _) if by == instance => {}
                heard => {
                    self.listeners.lock().insert(instance, news);
                    return heard;
                }
            }
        }
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
    LeaseKey::of("acme".parse().unwrap(), Period::of(Timestamp::from_millis(0)))
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

#[tokio::test]
async fn what_one_gateway_charged_is_counted_by_the_others_before_any_store_applied_it() {
    let store = FakeStore::of(1_000);
    let (gateways, _running) = gateways(&store, 3);
    let id = key().organization_id;
    for call in 1..=9 {
        let leases = &gateways[usize::try_from(call).unwrap() % 3];
        let hold = leases.open(key(), None, credits(5), store.grant()).await.unwrap();
        hold.capture(credits(5));
        leases.charged(&id, key().period);
        let all_know = || {
            let books = gateways.iter().filter_map(|leases| leases.book(&id, key().period));
            books.map(|book| book.snapshot().used).all(|used| used == credits(5 * call))
        };
        timeout(Duration::from_secs(1), async {
            while !all_know() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("not everybody knows of call {call}"));
    }
}
