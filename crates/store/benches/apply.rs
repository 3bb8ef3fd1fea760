//! Usage events a second into each database, with balances and rollups.
#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ledger::{Credits, Outcome, PluginIdentity, Signals, Timestamp, UsageEvent, UsageEventId};
use store::{Occupancy, Options};

const BATCH: u64 = 1_000;

fn event(number: u64) -> UsageEvent {
    let occurred_at = Timestamp::from_millis(1_764_000_000_000 + i64::try_from(number).unwrap());
    UsageEvent {
        id: UsageEventId::new(occurred_at),
        organization_id: format!("org-{}", number % 100).parse().unwrap(),
        user_id: format!("user-{}", number % 7).parse().unwrap(),
        event_type: "structuring_diagnose".parse().unwrap(),
        event_name: "Problem diagnosis".to_owned(),
        category: "ai_analysis".to_owned(),
        definition_version: 1,
        occurred_at,
        settled_at: occurred_at,
        outcome: Outcome::Captured,
        credits: Credits::from_micros(28_000_000),
        held: Credits::from_micros(28_000_000),
        items: Vec::new(),
        plugin: Arc::new(PluginIdentity { name: "standard".into(), version: "1.0.0".into(), sha256: "0".repeat(64) }),
        signals: Signals { text_units: 700, body_bytes: 900, ..Signals::default() },
        session_id: None,
        request_id: "req_bench".parse().unwrap(),
        endpoint: "/api/organizations/{orgId}/structuring/analyze-pain-points".into(),
        upstream_status: Some(200),
        adjustment: None,
    }
}

/// Batches that nobody has applied yet.
fn batches(number: &mut u64, many: usize) -> Vec<Vec<UsageEvent>> {
    let mut batch = || {
        *number += BATCH;
        (*number..*number + BATCH).map(event).collect()
    };
    (0..many).map(|_| batch()).collect()
}

fn apply(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let database = runtime.block_on(cluster::TestDatabase::new()).unwrap();
    // A test's server does not sync; one that is measured must.
    for statement in
        ["ALTER SYSTEM SET fsync = on", "ALTER SYSTEM SET full_page_writes = on", "SELECT pg_reload_conf()"]
    {
        runtime.block_on(database.execute(statement)).unwrap();
    }
    let sqlite = format!("sqlite:{}", folder.path().join("usage.db").display());
    let mut number = 0;
    let mut group = criterion.benchmark_group("store");
    // Two at once: while the database works on one batch, the next one is written out.
    for (name, url, at_once) in
        [("SQLite", sqlite, 1), ("PostgreSQL", database.url(), 1), ("PostgreSQL", database.url(), 2)]
    {
        let options = Options { url, readers: 1, occupancy: Occupancy::Companion };
        let store = runtime.block_on(store::open(options)).unwrap();
        group.throughput(Throughput::Elements(BATCH * u64::try_from(at_once).unwrap()));
        group.bench_function(format!("{name}: {at_once} × {BATCH} events"), |bencher| {
            bencher.iter_batched(
                || batches(&mut number, at_once),
                |batches| {
                    let applying = batches.into_iter().map(|events| {
                        let store = Arc::clone(&store);
                        runtime.spawn(async move { store.apply(&events).await.unwrap() })
                    });
                    let applying: Vec<_> = applying.collect();
                    applying.into_iter().map(|applied| runtime.block_on(applied).unwrap()).sum::<u64>()
                },
                criterion::BatchSize::PerIteration,
            );
        });
        runtime.block_on(store.close());
    }
    group.finish();
}

criterion_group!(benches, apply);
criterion_main!(benches);
