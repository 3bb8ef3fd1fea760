//! How long the standard plugin takes to quote, in a fresh instance, from one thread and from two at once.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::PathBuf;

use criterion::{Criterion, criterion_group, criterion_main};
use ledger::{Clamp, Credits, EventDefinition, Signals, Thousandths};
use pricing::{Call, Options, Plugin};

fn quote(criterion: &mut Criterion) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../pricing-plugins/standard.wasm");
    let plugin = Plugin::load(&Options::new(path)).unwrap();
    let definition = EventDefinition {
        event_type: "structuring_diagnose".parse().unwrap(),
        name: "Problem diagnosis".to_owned(),
        category: "ai_analysis".to_owned(),
        base_credits: Credits::from_whole(10).unwrap(),
        complexity: Some(Clamp { min: Thousandths(1_000), max: Thousandths(2_500) }),
        features: BTreeMap::from([("echo".to_owned(), Credits::from_whole(5).unwrap())]),
        version: 1,
    };
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

criterion_group!(benches, quote);
criterion_main!(benches);
