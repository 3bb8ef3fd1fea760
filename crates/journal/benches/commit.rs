//! Calls a second: each opens a hold, settles it and waits for the sync, while an applier takes the events away.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use journal::{Journal, Observer, Options};
use ledger::{ChargeItem, Credits, Outcome, PluginIdentity, Signals, Timestamp, UsageEvent, UsageEventId};

const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

/// Counts syncs, to tell how large the groups are.
#[derive(Default)]
struct Syncs {
    syncs: AtomicU64,
    records: AtomicU64,
}

impl Observer for Syncs {
    fn synced(&self, records: usize, _took: Duration) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(u64::try_from(records).unwrap(), Ordering::Relaxed);
    }

    fn failed(&self) {}
}

/// Some 700 bytes of JSON.
fn event() -> UsageEvent {
    let credits = Credits::from_whole(28).unwrap();
    UsageEvent {
        id: UsageEventId::new(NOW),
        organization_id: "org-7f3a".parse().unwrap(),
        user_id: "auth0|5f7c8ec7c33c6c004bbafe82".parse().unwrap(),
        event_type: "structuring_diagnose".parse().unwrap(),
        event_name: "Problem diagnosis".to_owned(),
        category: "ai_analysis".to_owned(),
        definition_version: 1,
        occurred_at: NOW,
        settled_at: NOW,
        outcome: Outcome::Captured,
        credits,
        held: credits,
        items: vec![
            ChargeItem { label: "base".to_owned(), credits: Credits::from_whole(23).unwrap() },
            ChargeItem { label: "echo".to_owned(), credits: Credits::from_whole(5).unwrap() },
        ],
        plugin: Arc::new(PluginIdentity { name: "standard".into(), version: "1.0.0".into(), sha256: "ab".repeat(32) }),
        signals: Signals { text_units: 700, flags: vec!["echo".to_owned()], ..Signals::default() },
        session_id: Some("session-1".parse().unwrap()),
        request_id: "0192f1d2-7c1e-7a4b-9d0e-2f6a4b8c1d3e".parse().unwrap(),
        endpoint: "/api/organizations/{orgId}/structuring/analyze-pain-points".into(),
        upstream_status: Some(200),
        adjustment: None,
    }
}

async fn apply(journal: Journal) {
    while let Ok(batch) = journal.unapplied(500).await {
        journal.persisted(journal.taken(&batch)).await.unwrap();
    }
}

/// `calls` in all, by `callers` at once.
async fn run(journal: &Journal, callers: u64, calls: u64, hold: bool) {
    let left = Arc::new(AtomicU64::new(calls));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (journal, left, mut event) = (journal.clone(), Arc::clone(&left), event());
        running.spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                event.id = UsageEventId::new(NOW);
                if hold {
                    journal.open_hold(&event).await.unwrap();
                }
                journal.settle(&event).await.unwrap();
            }
        });
    }
    running.join_all().await;
}

fn commit(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut group = criterion.benchmark_group("commit");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    for (callers, hold) in [(1, true), (32, true), (100, true), (400, true), (100, false), (400, false)] {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let syncs = Arc::new(Syncs::default());
        let journal = Journal::open(Options::new(directory.path()), syncs.clone(), NOW).unwrap().0;
        runtime.spawn(apply(journal.clone()));
        group.throughput(Throughput::Elements(1));
        let what = if hold { "hold and settlement" } else { "settlement" };
        group.bench_function(format!("{what}, {callers} callers"), |bencher| {
            bencher.iter_custom(|calls| {
                let started = Instant::now();
                runtime.block_on(run(&journal, callers, calls, hold));
                started.elapsed()
            });
        });
        let (records, count) = (syncs.records.load(Ordering::Relaxed), syncs.syncs.load(Ordering::Relaxed));
        println!("{} records a sync\n", records / count.max(1));
        runtime.block_on(journal.close()).unwrap();
    }
}

criterion_group!(benches, commit);
criterion_main!(benches);
