//! Pricing plugins that come, go and fail while calls are on their way.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::world::{OPERATOR, World, plugin, until};

/// A text that the standard plugin prices at 12 and the faulty one, which knows no complexity, at 10.
fn body() -> Value {
    json!({"content": ["x".repeat(200)]})
}

/// Another build of a plugin: the same code with a note at its end, a custom section.
fn rebuilt(name: &str, note: u8) -> Vec<u8> {
    let mut bytes = std::fs::read(plugin(name)).unwrap();
    bytes.extend([0, 3, 1, b'n', note]);
    bytes
}

async fn pricing(world: &World) -> Value {
    let answer = world.get("/api/admin/pricing", OPERATOR).await;
    assert_eq!(answer.status, 200);
    answer.json()["pricing"].take()
}

/// Waits until the active plugin is the one with these bytes' name and length, and not `old`.
async fn is_active(world: &World, name: &str, old: &str) -> String {
    let sha = || async { pricing(world).await["active"]["sha256"].as_str().unwrap().to_owned() };
    until(&format!("{name} takes over"), || async { sha().await != old }).await;
    assert_eq!(pricing(world).await["active"]["name"], name);
    sha().await
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_are_swapped_under_load_without_a_failed_call_and_each_event_names_its_own() {
    let world = World::start().await;
    world.organization("acme", json!({"plan": "professional", "usageLimits": {"monthlyCredits": -1}})).await;
    let over = AtomicBool::new(false);
    let caller = async || {
        let mut charged = Vec::new();
        while !over.load(Ordering::SeqCst) {
            let answer = world.diagnose("acme", "ann", &body()).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let (id, credits, _) = answer.usage_headers();
            charged.push((id.to_owned(), credits.to_owned()));
        }
        charged
    };
    let swapping = async {
        let mut old = pricing(&world).await["active"]["sha256"].as_str().unwrap().to_owned();
        for (file, name) in [("faulty.wasm", "faulty"), ("standard.wasm", "standard"), ("faulty.wasm", "faulty")] {
            world.swap_plugin(&rebuilt(file, b'1'));
            let new = is_active(&world, name, &old).await;
            assert_eq!(pricing(&world).await["previous"]["sha256"], old);
            old = new;
        }
        over.store(true, Ordering::SeqCst);
    };
    let (charged, ()) = tokio::join!(join_all((0..4).map(|_| caller())), swapping);
    let mut by_plugin: BTreeMap<String, usize> = BTreeMap::new();
    for (id, credits) in charged.concat() {
        let event = world.owned("acme", &format!("/events/{id}")).await["event"].take();
        let (name, sha) = (event["plugin"]["name"].as_str().unwrap(), event["plugin"]["sha256"].as_str().unwrap());
        assert_eq!(credits, if name == "standard" { "12" } else { "10" }, "{event}");
        *by_plugin.entry(sha.to_owned()).or_default() += 1;
    }
    assert!(by_plugin.len() >= 3, "{by_plugin:?}");
    assert!(pricing(&world).await["rejected"].as_array().unwrap().is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_plugin_file_changes_nothing_and_is_shown() {
    let world = World::start().await;
    let before = pricing(&world).await["active"].clone();
    let torn = rebuilt("faulty.wasm", b'2');
    let files: [(&str, &[u8]); 4] = [
        ("no WebAssembly", b"not a plugin"),
        ("empty", b""),
        ("torn", &torn[..torn.len() / 2]),
        ("a bare module", b"\0asm\x01\0\0\0"),
    ];
    for (count, (what, bytes)) in files.into_iter().enumerate() {
        world.swap_plugin(bytes);
        until(&format!("{what} is reported"), || async {
            pricing(&world).await["rejected"].as_array().unwrap().len() > count
        })
        .await;
        let report = pricing(&world).await;
        assert_eq!(report["active"], before, "{what}");
        assert!(report["rejected"][0]["reason"].as_str().is_some_and(|reason| reason.len() > 10), "{report}");
        assert_eq!(world.diagnose("acme", "ann", &body()).await.usage_headers().1, "12", "{what}");
    }
    assert!(world.metrics().await.contains("gateway_plugin_rejections_total"));
    world.swap_plugin(&torn);
    is_active(&world, "faulty", before["sha256"].as_str().unwrap()).await;
    assert_eq!(world.diagnose("acme", "ann", &body()).await.usage_headers().1, "10");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_fails_refuses_that_one_call_and_nothing_else() {
    let faults = [
        "trap",
        "loop",
        "recursion",
        "memory",
        "output",
        "items",
        "wrong_sum",
        "overflow",
        "negative",
        "absurd",
        "not_utf8",
        "control",
        "empty_label",
        "decline",
        "misconfigured",
    ];
    let route =
        |name: &str| format!(r#"{{ methods = ["POST"], path = "/ai/{{orgId}}/{name}", event_type = "{name}" }}"#);
    let names = faults.iter().chain(&["fine", "settle_more", "settle_trap", "by_bytes"]);
    let routes = format!("[{}]", names.clone().map(|name| route(name)).collect::<Vec<_>>().join(", "));
    let world = World::with(&[("ROUTES", &routes)]).await;
    for name in names {
        let path = format!("/api/admin/event-definitions/{name}");
        assert_eq!(world.put(&path, OPERATOR, &json!({"baseCredits": 40})).await.status, 200);
    }
    let old = pricing(&world).await["active"]["sha256"].as_str().unwrap().to_owned();
    world.swap_plugin(&rebuilt("faulty.wasm", b'3'));
    is_active(&world, "faulty", &old).await;
    let call = |name: &str| world.request("POST", &format!("/ai/acme/{name}")).by(&world.credential("ann")).body("{}");
    for fault in faults {
        let refused = call(fault).send().await;
        let want = if fault == "decline" { (422, "pricing_refused") } else { (503, "pricing_unavailable") };
        assert_eq!(refused.refusal(), (want.0, want.1.to_owned()), "{fault}");
        assert_eq!(call("fine").send().await.usage_headers().1, "40", "after {fault}");
    }
    assert_eq!(world.backend.calls(), faults.len());
    // A plugin that fails when it settles leaves its quote standing; one that settles lower is believed, to the millionth.
    for (name, want) in [("settle_more", "40"), ("settle_trap", "40"), ("by_bytes", "0.000032")] {
        assert_eq!(call(name).send().await.usage_headers().1, want, "{name}");
    }
    // Each by its name; to decline is no fault.
    let by_cause = json!({
        "invalid_text": 2, "malformed": 1, "memory_limit": 1, "misconfigured": 1, "out_of_range": 4, "output_limit": 2,
        "stack_overflow": 1, "time_limit": 1, "trap": 2, "wrong_sum": 1
    });
    assert_eq!(pricing(&world).await["faults"], by_cause);
    let metrics = world.metrics().await;
    for (cause, calls) in by_cause.as_object().unwrap() {
        let line = format!("gateway_plugin_faults_total{{cause=\"{cause}\"}} {calls}");
        assert!(metrics.contains(&line), "{line}");
    }
    world.end().await;
}
