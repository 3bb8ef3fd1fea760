//! Gateways as processes of their own, replaced and killed. Three on one PostgreSQL, killed with -9 at random moments under load: `ROUNDS` says how often (3 unless
//! given), `SEED` repeats the moments: `ROUNDS=100 cargo test -p gateway --test kills -- --nocapture`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test stops at the first thing that is not as it should be, says what it did, and has two settings that are no product's"
)]

mod crowds;
mod paused;
mod process;
mod upgrades;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cluster::TestDatabase;
use parking_lot::Mutex;
use serde_json::{Value, json};
use standin::{Mint, Person, Standin};
use tokio::sync::RwLock;

use process::{Gateway, PATIENCE, SECRET, ask, insist};

const CALL: &str = "/api/organizations/acme/structuring/analyze-pain-points";
const USAGE: &str = "/api/organizations/acme/usage";
const ADMIN: &str = "/api/admin/organizations/acme";
const GATEWAYS: usize = 3;
const CALLERS: usize = 6;

/// Held by every test: by one that looks at how long calls take, alone.
static QUIET: RwLock<()> = RwLock::const_new(());

/// A small generator: the moments need no better one.
struct Moments(u64);

impl Moments {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What the callers saw.
#[derive(Default)]
struct Seen {
    events: Mutex<Vec<String>>,
    paid: AtomicU64,
    stop: AtomicBool,
}

async fn call(address: SocketAddr, credential: &str) -> Option<(u16, Value)> {
    ask(address, "POST", CALL, credential, &json!({"content": ["short"]})).await
}

async fn calls(number: usize, addresses: Vec<SocketAddr>, credential: String, seen: Arc<Seen>) {
    let mut turn = number;
    while !seen.stop.load(Ordering::SeqCst) {
        turn += 1;
        match call(addresses[turn % GATEWAYS], &credential).await {
            Some((200, body)) => {
                seen.paid.fetch_add(1, Ordering::SeqCst);
                seen.events.lock().push(body["usage"]["usageEventId"].as_str().unwrap().to_owned());
            }
            // One that starts has nobody at its port.
            None => tokio::time::sleep(Duration::from_millis(10)).await,
            Some((503, _)) => {}
            Some((status, body)) => panic!("{status} {body}"),
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// The callers' organisation, with so many credits, all of which its one caller may spend: both accounts are leased.
async fn give(address: SocketAddr, operator: &str, credits: i64) {
    let limits = json!({"monthlyCredits": credits, "memberMonthlyCredits": credits});
    let body = json!({"name": "Acme", "plan": "free", "subscriptionStatus": "active", "usageLimits": limits});
    insist(address, "PUT", ADMIN, operator, &body, |_| true).await;
    let owner = json!({"role": "owner"});
    insist(address, "PUT", &format!("{ADMIN}/members/olga"), operator, &owner, |_| true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_are_killed_under_load_lose_and_double_nothing() {
    let _beside_others = QUIET.read().await;
    let (rounds, seed) = (setting("ROUNDS", 3), setting("SEED", u64::from(std::process::id())));
    println!("SEED={seed} ROUNDS={rounds}");
    let (folder, database) = (tempfile::tempdir().unwrap(), TestDatabase::new().await.unwrap());
    let options = standin::Options { delay: Duration::from_millis(3), ..standin::Options::default() };
    let backend = Standin::start(options).await.unwrap();
    let start = |number| Gateway::start(number, folder.path(), &database.url(), backend.address());
    let mut gateways: Vec<Gateway> = (0..GATEWAYS).map(start).collect();
    let addresses: Vec<SocketAddr> = gateways.iter().map(|it| it.address).collect();
    let mint = Mint::new("i", "a", SECRET.as_bytes());
    let until = "2090-01-01T00:00:00Z".parse().unwrap();
    let operator = mint.credential(&Person::operator("op"), until).unwrap();
    let owner = mint.credential(&Person::new("olga"), until).unwrap();
    give(addresses[0], &operator, 100_000_000).await;
    let (seen, mut callers) = (Arc::new(Seen::default()), tokio::task::JoinSet::new());
    for number in 0..CALLERS {
        callers.spawn(calls(number, addresses.clone(), owner.clone(), Arc::clone(&seen)));
    }
    let mut moments = Moments(seed);
    for round in 1..=rounds {
        // Something is paid between two kills, and then any moment will do.
        let (began, paid) = (Instant::now(), seen.paid.load(Ordering::SeqCst));
        while seen.paid.load(Ordering::SeqCst) < paid + 20 {
            assert!(began.elapsed() < PATIENCE, "nothing is paid any more in round {round}");
            assert!(callers.try_join_next().is_none(), "a caller ended");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(moments.below(150))).await;
        let first = usize::try_from(moments.below(3)).unwrap();
        gateways[first].kill();
        // Every third time another one goes with it.
        if moments.below(3) == 0 {
            gateways[(first + 1) % GATEWAYS].kill();
        }
    }
    seen.stop.store(true, Ordering::SeqCst);
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    check(&gateways, &owner, &seen, backend.calls()).await;
    the_rest_is_paid_to_the_last_credit(&addresses, &operator, &owner).await;
    println!("{rounds} rounds, {} calls paid", seen.paid.load(Ordering::SeqCst));
}

/// No event lost or doubled, all holds resolved, the journals drained, and the books explained by the events.
async fn check(gateways: &[Gateway], owner: &str, seen: &Seen, backend_calls: u64) {
    for gateway in gateways {
        let resolved = |answer: &Value| answer["usage"]["held"] == 0;
        insist(gateway.address, "GET", USAGE, owner, &Value::Null, resolved).await;
    }
    let events = history(gateways[0].address, owner).await;
    let ids: HashSet<&str> = events.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids.len(), events.len(), "an event stands twice");
    let seen = seen.events.lock();
    let seen_ids: HashSet<&str> = seen.iter().map(String::as_str).collect();
    assert_eq!(seen_ids.len(), seen.len(), "two answers named one event");
    let lost: Vec<_> = seen_ids.difference(&ids).collect();
    assert!(lost.is_empty(), "clients saw {lost:?}, which are in no history");
    let captured = u64::try_from(events.iter().filter(|(_, outcome)| outcome == "captured").count()).unwrap();
    let all = u64::try_from(events.len()).unwrap();
    let counts = format!("{captured} charged, {backend_calls} received by the backend, {all} events");
    assert!(captured <= backend_calls && backend_calls <= all, "{counts}");
    println!("{counts}");
    for gateway in gateways {
        println!("{}", gateway.reconciled());
    }
}

/// Every event of the organisation, by id, with its outcome.
async fn history(at: SocketAddr, who: &str) -> Vec<(String, String)> {
    let mut events = Vec::new();
    for page in 1.. {
        let path = format!("{USAGE}/history?limit=100&page={page}");
        let answer = insist(at, "GET", &path, who, &Value::Null, |_| true).await;
        let text = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
        events.extend(answer["events"].as_array().unwrap().iter().map(|it| (text(it, "id"), text(it, "outcome"))));
        if answer["pagination"]["hasNext"] == false {
            break;
        }
    }
    events
}

/// What a killed gateway had leased is free again, and no credit is lost.
async fn the_rest_is_paid_to_the_last_credit(addresses: &[SocketAddr], operator: &str, owner: &str) {
    let usage = insist(addresses[0], "GET", USAGE, owner, &Value::Null, |_| true).await;
    give(addresses[0], operator, usage["usage"]["used"].as_i64().unwrap() + 60).await;
    // In force everywhere within a second.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (began, mut more) = (Instant::now(), 0);
    while more < 6 {
        assert!(began.elapsed() < PATIENCE, "credit is stranded: {more} of 6 were paid");
        more += usize::from(call(addresses[more % GATEWAYS], owner).await.is_some_and(|(status, _)| status == 200));
    }
    for address in addresses {
        assert_eq!(call(*address, owner).await.map(|(status, _)| status), Some(402));
    }
}
