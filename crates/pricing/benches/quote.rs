//! What the standard plugin costs: a quote in a fresh instance from one thread and from two at once, its slowest calls,
//! loading, a recorded call priced once more, and the memory of ten loaded versions.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ledger::{
    Clamp, Credits, EventDefinition, Outcome, PluginIdentity, Signals, Thousandths, Timestamp, UsageEvent, UsageEventId,
};
use pricing::{Call, Options, Plugin, rerate};

fn standard() -> Plugin {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../pricing-plugins/standard.wasm");
    Plugin::load(&Options::new(path)).unwrap()
}

fn definition() -> EventDefinition {
    EventDefinition {
        event_type: "structuring_diagnose".parse().unwrap(),
        name: "Problem diagnosis".to_owned(),
        category: "ai_analysis".to_owned(),
        base_credits: Credits::from_whole(10).unwrap(),
        complexity: Some(Clamp { min: Thousandths(1_000), max: Thousandths(2_500) }),
        features: BTreeMap::from([("echo".to_owned(), Credits::from_whole(5).unwrap())]),
        version: 1,
    }
}

fn quote(criterion: &mut Criterion) {
    let (plugin, definition) = (standard(), definition());
    let plan = "free".parse().unwrap();
    let signals = Signals { text_units: 700, flags: vec!["echo".to_owned()], ..Signals::default() };
    let call = Call { definition: &definition, plan: &plan, signals: &signals };
    criterion.bench_function("quote, one thread", |bencher| bencher.iter(|| black_box(plugin.quote(&call))));
    criterion.bench_function("quote, beside another thread", |bencher| {
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = black_box(plugin.quote(&call));
                }
            });
            bencher.iter(|| black_box(plugin.quote(&call)));
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    });
}

/// The middle and the slowest calls, which a mean hides, from two threads at once.
fn slowest(_: &mut Criterion) {
    const CALLS: usize = 100_000;
    let plugin = standard();
    let (definition, plan, signals) = (definition(), "free".parse().unwrap(), Signals::default());
    let call = Call { definition: &definition, plan: &plan, signals: &signals };
    let timed = || {
        let mut times: Vec<Duration> = (0..CALLS)
            .map(|_| {
                let started = Instant::now();
                let _ = black_box(plugin.quote(&call));
                started.elapsed()
            })
            .collect();
        times.sort_unstable();
        times
    };
    let threads = std::thread::scope(|scope| {
        let other = scope.spawn(timed);
        [timed(), other.join().unwrap()]
    });
    for times in threads {
        let at = |part: usize| times[CALLS * part / 1_000];
        println!("quote, two threads: p50 {:?}, p99 {:?}, p99.9 {:?}", at(500), at(990), at(999));
    }
}

fn load(criterion: &mut Criterion) {
    criterion.bench_function("load to ready, standard plugin", |bencher| bencher.iter(|| black_box(standard())));
}

fn ten_versions(_: &mut Criterion) {
    let before = resident_kib();
    let kept: Vec<Plugin> = (0..10).map(|_| standard()).collect();
    println!("ten loaded versions: {} KiB more in memory", resident_kib().saturating_sub(before));
    drop(kept);
}

fn once_more(criterion: &mut Criterion) {
    let (plugin, definition, plan) = (standard(), definition(), "free".parse().unwrap());
    let event = event(&definition);
    let mut group = criterion.benchmark_group("a recorded call, priced once more");
    group.throughput(Throughput::Elements(1));
    group.bench_function("one thread", |bencher| {
        bencher.iter(|| black_box(rerate(&plugin, &event, &definition, &plan)));
    });
    group.finish();
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn event(definition: &EventDefinition) -> UsageEvent {
    let occurred_at = Timestamp::from_millis(1_764_000_000_000);
    UsageEvent {
        id: UsageEventId::new(occurred_at),
        organization_id: "acme".parse().unwrap(),
        user_id: "ann".parse().unwrap(),
        event_type: definition.event_type.clone(),
        event_name: definition.name.clone(),
        category: definition.category.clone(),
        definition_version: 1,
        occurred_at,
        settled_at: occurred_at,
        outcome: Outcome::Captured,
        credits: Credits::from_whole(15).unwrap(),
        held: Credits::from_whole(15).unwrap(),
        items: Vec::new(),
        plugin: PluginIdentity::none().into(),
        signals: Signals { text_units: 700, body_bytes: 900, ..Signals::default() },
        plan: None,
        answer: None,
        session_id: None,
        request_id: "req_1".parse().unwrap(),
        endpoint: "/x/{orgId}".into(),
        upstream_status: Some(200),
        adjustment: None,
    }
}

criterion_group!(benches, quote, slowest, load, ten_versions, once_more);
criterion_main!(benches);
