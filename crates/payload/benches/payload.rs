//! What the work on bytes costs a call: signals from a request, `usage` into an answer, an event of a stream.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use payload::events::EventRelay;
use payload::signals::{Extractor, SignalRules};
use payload::splice::splice_usage;

const USAGE: &str =
    r#"{"creditsConsumed":28,"remainingCredits":72,"usageEventId":"evt_01890a5d-ac96-774b-bcce-b302099a8057"}"#;

/// A request like the app's: `content` of `bytes` bytes, two flags and a session.
fn request(bytes: usize, item: &str) -> Vec<u8> {
    let items = vec![format!("\"{item}\""); bytes / item.len()].join(",");
    format!(r#"{{"content":[{items}],"echo":true,"traceback":false,"sessionId":"s-1"}}"#).into_bytes()
}

fn extract(criterion: &mut Criterion) {
    let rules = SignalRules {
        text: vec!["/content".into()],
        flags: vec!["/echo".into(), "/traceback".into()],
        session: Some("/sessionId".into()),
        ..SignalRules::default()
    };
    let Ok(extractor) = Extractor::new(rules) else { return };
    let mut group = criterion.benchmark_group("extract");
    group.measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    let plain = "Customers wait too long for an answer, and nobody knows why.";
    for (name, body) in [
        ("400 B", request(400, plain)),
        ("1 MiB", request(1 << 20, plain)),
        ("1 MiB with escapes", request(1 << 20, r"Zeile\nHaus\u00fcbergabe und „Übergröße“")),
    ] {
        group.throughput(Throughput::Bytes(body.len().try_into().unwrap_or(0)));
        group.bench_function(name, |bencher| bencher.iter(|| extractor.extract(black_box(&body))));
    }
    group.finish();
}

fn splice(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("splice");
    group.measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    let numbers = format!("{{\"vector\":[{}]}}", vec!["-0.0123456"; 100_000].join(","));
    for (name, body) in [
        ("1 KiB", request(1 << 10, "An answer.")),
        ("1 MiB", request(1 << 20, "A longer answer of the model.")),
        ("1 MiB of numbers", numbers.into_bytes()),
    ] {
        group.throughput(Throughput::Bytes(body.len().try_into().unwrap_or(0)));
        group.bench_function(name, |bencher| bencher.iter(|| splice_usage(black_box(&body), USAGE)));
    }
    group.finish();
}

fn relay(criterion: &mut Criterion) {
    let event = Bytes::from_static(b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\n\n");
    let mut relay = EventRelay::new();
    criterion.bench_function("relay an event", |bencher| bencher.iter(|| relay.push(black_box(event.clone()))));
}

criterion_group!(benches, extract, splice, relay);
criterion_main!(benches);
