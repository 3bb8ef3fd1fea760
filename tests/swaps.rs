//! A thousand swaps of the plugin under load: no call fails, and each version charged what it should have.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::rollouts::{step, upload};
use crate::world::{OPERATOR, World};

const SWAPS: usize = 1_000;
const CALLERS: usize = 4;

/// A text that the standard plugin prices at 12 and the faulty one, which knows no complexity, at 10.
const TEXT_UNITS: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_swaps_lose_no_call_and_each_version_charged_what_it_should() {
    let world = World::start().await;
    world.limit("acme", -1).await;
    let (standard, faulty) = (upload(&world, "standard.wasm").await, upload(&world, "faulty.wasm").await);
    let stop = Arc::new(AtomicBool::new(false));
    let calling = async {
        let callers = (0..CALLERS).map(|_| async {
            let mut charged: BTreeMap<String, u64> = BTreeMap::new();
            while !stop.load(Ordering::Relaxed) {
                let answer = world.diagnose("acme", "ann", &json!({"content": ["x".repeat(TEXT_UNITS)]})).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                *charged.entry(answer.usage_headers().1.to_owned()).or_default() += 1;
            }
            charged
        });
        futures_util::future::join_all(callers).await
    };
    let swapping = async {
        for swap in 0..SWAPS {
            let sha256 = if swap % 2 == 0 { &faulty } else { &standard };
            step(&world, json!({"step": "activate", "sha256": sha256})).await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    let (charged, ()) = tokio::join!(calling, swapping);
    // What the callers counted, against what the events say.
    let mut by_price: BTreeMap<String, u64> = BTreeMap::new();
    for (price, calls) in charged.into_iter().flatten() {
        *by_price.entry(price).or_default() += calls;
    }
    assert_eq!(by_price.keys().collect::<Vec<_>>(), ["10", "12"], "both set prices");
    let mut by_plugin: BTreeMap<(String, String), u64> = BTreeMap::new();
    for event in world.whole_history("acme").await {
        let name = event["plugin"]["name"].as_str().unwrap().to_owned();
        *by_plugin.entry((name, event["creditsConsumed"].to_string())).or_default() += 1;
    }
    let want = [
        (("faulty".to_owned(), "10".to_owned()), by_price["10"]),
        (("standard".to_owned(), "12".to_owned()), by_price["12"]),
    ];
    assert_eq!(by_plugin, BTreeMap::from(want), "the sum of each version");
    let report = world.get("/api/admin/pricing", OPERATOR).await.json();
    assert_eq!((&report["pricing"]["rollout"]["number"], &report["pricing"]["faults"]), (&json!(SWAPS), &json!({})));
    world.end().await;
}
