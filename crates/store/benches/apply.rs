//! Usage events a second into SQLite, with balances and rollups, in the batches that the gateway makes.
#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ledger::{Credits, Outcome, PluginIdentity, Signals, Timestamp, UsageEvent, UsageEventId};
use store::{Occupancy, Options};

const BATCH: u64 = 500;

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
    }
}

fn apply(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("usage.db").display());
    let store = runtime.block_on(store::open(Options { url, readers: 1, occupancy: Occupancy::Gateway })).unwrap();
    let mut number = 0;
    let mut group = criterion.benchmark_group("store");
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function("apply 500 events", |bencher| {
        bencher.iter_batched(
            || {
                number += BATCH;
                (number..number + BATCH).map(event).collect::<Vec<_>>()
            },
            |events| runtime.block_on(store.apply(&events)).unwrap(),
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, apply);
criterion_main!(benches);
