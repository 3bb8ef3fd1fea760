//! One process takes the place of another under load: no call fails, whoever owns what.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cluster::TestDatabase;
use serde_json::Value;
use standin::{Mint, Person, Standin};

use super::process::{Gateway, PATIENCE, SECRET, insist};
use super::{CALLERS, QUIET, Seen, USAGE, call, give, history};

/// How often the process is replaced.
const UPGRADES: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_the_next_process_takes_the_ports_the_journal_and_the_database() {
    let _beside_others = QUIET.read().await;
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("usage.db").display());
    no_call_fails(folder.path(), &database, |_| None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_with_a_journal_of_its_own_the_next_process_serves_before_the_one_before_drains() {
    let _beside_others = QUIET.read().await;
    let (folder, database) = (tempfile::tempdir().unwrap(), TestDatabase::new().await.unwrap());
    let journal = |upgrade: usize| Some(folder.path().join(format!("journal-{}", ["b", "a"][upgrade % 2])));
    no_call_fails(folder.path(), &database.url(), journal).await;
}

async fn no_call_fails(folder: &Path, database: &str, journal: impl Fn(usize) -> Option<PathBuf>) {
    let options = standin::Options { delay: Duration::from_millis(3), ..standin::Options::default() };
    let backend = Standin::start(options).await.unwrap();
    let mut gateway = Gateway::start(0, folder, database, backend.address());
    let mint = Mint::new("i", "a", SECRET.as_bytes());
    let until = "2090-01-01T00:00:00Z".parse().unwrap();
    let operator = mint.credential(&Person::operator("op"), until).unwrap();
    let owner = mint.credential(&Person::new("olga"), until).unwrap();
    give(gateway.address, &operator, 100_000_000).await;
    let (seen, mut callers) = (Arc::new(Seen::default()), tokio::task::JoinSet::new());
    for _ in 0..CALLERS {
        let (address, owner, seen) = (gateway.address, owner.clone(), Arc::clone(&seen));
        callers.spawn(async move {
            while !seen.stop.load(Ordering::SeqCst) {
                let answer = call(address, &owner).await;
                let Some((200, body)) = answer else { panic!("a call failed: {answer:?}") };
                seen.paid.fetch_add(1, Ordering::SeqCst);
                seen.events.lock().push(body["usage"]["usageEventId"].as_str().unwrap().to_owned());
            }
        });
    }
    for upgrade in 0..=UPGRADES {
        let (began, paid) = (Instant::now(), seen.paid.load(Ordering::SeqCst));
        while seen.paid.load(Ordering::SeqCst) < paid + 50 {
            assert!(began.elapsed() < PATIENCE, "nothing is paid any more before upgrade {upgrade}");
            if let Some(ended) = callers.try_join_next() {
                ended.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if upgrade < UPGRADES {
            let next = journal(upgrade);
            gateway = tokio::task::spawn_blocking(move || {
                gateway.upgrade(next.as_deref());
                gateway
            })
            .await
            .unwrap();
        }
    }
    seen.stop.store(true, Ordering::SeqCst);
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    let paid = seen.paid.load(Ordering::SeqCst);
    assert_eq!(paid, backend.calls(), "every call reached the backend once");
    let resolved = |answer: &Value| answer["usage"]["held"] == 0;
    insist(gateway.address, "GET", USAGE, &owner, &Value::Null, resolved).await;
    let events = history(gateway.address, &owner).await;
    assert!(events.iter().all(|(_, outcome)| outcome == "captured"));
    let (ids, seen): (HashSet<_>, HashSet<_>) =
        (events.into_iter().map(|(id, _)| id).collect(), seen.events.lock().drain(..).collect());
    assert_eq!((ids.len(), ids == seen), (usize::try_from(paid).unwrap(), true), "each has its one event");
    println!("{UPGRADES} upgrades, {paid} calls, none failed");
}
