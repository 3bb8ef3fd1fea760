//! A thousand swaps of the plugin under load: no call fails, and each version charged what it should have.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ledger::Clock as _;
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
    let by_plugin = recorded(&world).await;
    let want = [
        (("faulty".to_owned(), "10".to_owned()), by_price["10"]),
        (("standard".to_owned(), "12".to_owned()), by_price["12"]),
    ];
    assert_eq!(by_plugin, BTreeMap::from(want), "the sum of each version");
    let report = world.get("/api/admin/pricing", OPERATOR).await.json();
    assert_eq!((&report["pricing"]["rollout"]["number"], &report["pricing"]["faults"]), (&json!(SWAPS), &json!({})));
    world.end().await;
}

/// The events that the store has, by their plugin and what they were charged.
async fn recorded(world: &World) -> BTreeMap<(String, String), u64> {
    // A report waits for all that was settled before it.
    world.dashboard("acme").await;
    let options = store::Options { url: world.database_url(), readers: 1, occupancy: store::Occupancy::Companion };
    let beside = store::open(options).await.unwrap();
    let month = ledger::Period::of(world.clock.now());
    let (mut by_plugin, mut after) = (BTreeMap::new(), None);
    loop {
        let page = beside.recorded(None, (month.start(), month.end()), after, 1_000).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for event in &page {
            *by_plugin.entry((event.plugin.name.clone(), event.credits.to_string())).or_default() += 1;
        }
    }
    beside.close().await;
    by_plugin
}
