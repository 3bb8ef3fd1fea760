//! A gateway that is stopped under load for longer than its lease lasts: what it had leased goes to the others, and when it
//! goes on it must not spend what it lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cluster::TestDatabase;
use serde_json::Value;
use standin::{Mint, Person, Standin};
use tokio::task::JoinSet;

use crate::process::{Gateway, PATIENCE, SECRET, insist};
use crate::{QUIET, Seen, USAGE, call, give};

/// What the organisation may spend: calls of 10.
const CALLS: u64 = 200;
/// How many are paid before the gateway is stopped.
const BEFORE: u64 = 60;
/// Callers of each gateway.
const CALLERS: usize = 8;

/// Calls one gateway over and over, until it is told to stop; every answer is counted.
async fn calls(gateway: std::net::SocketAddr, credential: String, seen: Arc<Seen>) {
    while !seen.stop.load(Ordering::SeqCst) {
        match call(gateway, &credential).await {
            Some((200, body)) => {
                let credits = body["usage"]["creditsConsumed"].as_i64().unwrap();
                seen.events.lock().push(body["usage"]["usageEventId"].as_str().unwrap().to_owned());
                seen.paid.fetch_add(u64::from(credits == 10), Ordering::SeqCst);
            }
            Some((402 | 503, _)) | None => tokio::time::sleep(Duration::from_millis(20)).await,
            Some((status, body)) => panic!("{status} {body}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_stopped_past_its_lease_does_not_spend_it_when_it_goes_on() {
    let _beside_others = QUIET.read().await;
    let (folder, database) = (tempfile::tempdir().unwrap(), TestDatabase::new().await.unwrap());
    let options = standin::Options { delay: Duration::from_millis(300), ..standin::Options::default() };
    let backend = Standin::start(options).await.unwrap();
    let start = |number| Gateway::start(number, folder.path(), &database.url(), backend.address());
    let (stopped, other) = (start(0), start(1));
    let mint = Mint::new("i", "a", SECRET.as_bytes());
    let until = "2090-01-01T00:00:00Z".parse().unwrap();
    let operator = mint.credential(&Person::operator("op"), until).unwrap();
    let owner = mint.credential(&Person::new("olga"), until).unwrap();
    give(other.address, &operator, i64::try_from(CALLS).unwrap() * 10).await;
    let (by_stopped, by_other) = (Arc::new(Seen::default()), Arc::new(Seen::default()));
    let paid = || by_stopped.paid.load(Ordering::SeqCst) + by_other.paid.load(Ordering::SeqCst);
    let mut callers = JoinSet::new();
    let call_it = |callers: &mut JoinSet<()>, gateway: &Gateway, seen: &Arc<Seen>| {
        for _ in 0..CALLERS {
            callers.spawn(calls(gateway.address, owner.clone(), Arc::clone(seen)));
        }
    };
    call_it(&mut callers, &stopped, &by_stopped);
    let began = Instant::now();
    while paid() < BEFORE {
        assert!(began.elapsed() < PATIENCE && callers.try_join_next().is_none());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // What it charged is applied: charges that lie in the journal of a gateway that is away are another story.
    by_stopped.stop.store(true, Ordering::SeqCst);
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    insist(stopped.address, "GET", USAGE, &owner, &Value::Null, |answer| answer["usage"]["held"] == 0).await;
    by_stopped.stop.store(false, Ordering::SeqCst);
    // Credit lies ready in its lease, and calls are on their way.
    let before = backend.calls();
    call_it(&mut callers, &stopped, &by_stopped);
    while backend.calls() < before + u64::try_from(CALLERS).unwrap() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stopped.signal("STOP");
    let began = Instant::now();
    call_it(&mut callers, &other, &by_other);
    // What its own calls held is lost with the lease: it all goes to the other one, and not before the lease is over.
    let mut used = 0;
    while used < i64::try_from(CALLS).unwrap() * 10 {
        assert!(began.elapsed() < PATIENCE, "credit is stranded: {used} are used");
        tokio::time::sleep(Duration::from_millis(100)).await;
        let usage = insist(other.address, "GET", USAGE, &owner, &Value::Null, |_| true).await;
        used = usage["usage"]["used"].as_i64().unwrap();
    }
    println!("all credit was used {:?} after the stop, {} calls paid", began.elapsed(), paid());
    stopped.signal("CONT");
    // Its callers call it again and again: nothing is charged any more.
    let asked = Instant::now();
    while asked.elapsed() < Duration::from_secs(3) {
        assert!(callers.try_join_next().is_none(), "a caller ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for seen in [&by_stopped, &by_other] {
        seen.stop.store(true, Ordering::SeqCst);
    }
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    for gateway in [&stopped, &other] {
        let resolved = |answer: &Value| answer["usage"]["held"] == 0;
        let usage = insist(gateway.address, "GET", USAGE, &owner, &Value::Null, resolved).await;
        assert_eq!(usage["usage"]["used"], i64::try_from(CALLS).unwrap() * 10, "more was spent than there was");
        println!("{}", gateway.reconciled());
    }
    // What was on its way when it was stopped was given free.
    assert_eq!(paid(), CALLS);
}
