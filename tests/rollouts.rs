//! The life of a plugin on live traffic: shadow, canary, active, rollback, each with what callers are charged.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::world::{Answer, Gate, OPERATOR, On, World, on_each_database, plugin, until};

on_each_database! {
    a_plugin_lives_from_shadow_to_rollback,
    steps_made_by_another_process_are_followed,
    what_was_active_is_active_after_a_restart,
    a_canary_that_fails_is_taken_back_by_itself,
}

/// A text that the standard plugin prices at 12 and the faulty one, which knows no complexity, at 10.
fn body() -> Value {
    json!({"content": ["x".repeat(200)]})
}

async fn pricing(world: &World) -> Value {
    world.get("/api/admin/pricing", OPERATOR).await.json()["pricing"].take()
}

pub(crate) async fn upload(world: &World, file: &str) -> String {
    let content = STANDARD.encode(std::fs::read(plugin(file)).unwrap());
    let body = json!({"plugin": content, "reason": "a journey"});
    let kept =
        world.request("POST", "/api/admin/pricing/plugins").by(&world.credential(OPERATOR)).json(&body).send().await;
    assert_eq!(kept.status, 200, "{}", kept.text());
    kept.json()["plugin"]["sha256"].as_str().unwrap().to_owned()
}

pub(crate) async fn step(world: &World, mut step: Value) -> Value {
    step["reason"] = json!("a journey");
    let path = "/api/admin/pricing/rollout";
    let made = world.request("POST", path).by(&world.credential(OPERATOR)).json(&step).send().await;
    assert_eq!(made.status, 200, "{}", made.text());
    made.json()["rollout"].take()
}

/// What a call of `acme`'s is charged.
async fn charged(world: &World) -> String {
    let answer = world.diagnose("acme", "ann", &body()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.usage_headers().1.to_owned()
}

async fn a_plugin_lives_from_shadow_to_rollback(on: On) {
    let world = World::start_on(on).await;
    let new = upload(&world, "faulty.wasm").await;
    assert_eq!(charged(&world).await, "12", "an upload sets no prices");

    step(&world, json!({"step": "shadow", "sha256": new})).await;
    for _ in 0..3 {
        assert_eq!(charged(&world).await, "12", "a shadow charges nothing");
    }
    until("the shadow has priced the calls", || async { pricing(&world).await["shadow"]["priced"] == 3 }).await;
    let shadow = pricing(&world).await["shadow"].take();
    assert_eq!((&shadow["lower"], &shadow["charged"], &shadow["wouldCharge"]), (&json!(3), &json!(36), &json!(30)));
    assert_eq!(shadow["byEventType"]["structuring_diagnose"]["priced"], 3);
    assert_eq!(shadow["largest"][0]["organizationId"], "acme");
    let metrics = world.metrics().await;
    assert!(metrics.contains(r#"gateway_plugin_shadow_calls_total{result="lower"} 3"#), "{metrics}");
    assert!(metrics.contains(r#"gateway_plugin_shadow_credits_total{of="would_charge"} 30"#), "{metrics}");

    // Acme stands at 4367 of 10 000.
    step(&world, json!({"step": "canary", "sha256": new, "share": 4367})).await;
    assert_eq!(charged(&world).await, "12", "it is just outside the share");
    step(&world, json!({"step": "canary", "sha256": new, "share": 4368})).await;
    assert_eq!(charged(&world).await, "10", "it is inside");
    let stage = format!(r#"gateway_plugin_stage{{sha256="{new}",stage="canary""#);
    assert!(world.metrics().await.contains(&stage));
    step(&world, json!({"step": "rollback"})).await;
    assert_eq!(charged(&world).await, "12", "the canary is taken back");

    // A call on its way settles with the plugin that quoted it.
    let gate = Gate::new();
    let held = gate.clone();
    world.backend.follows(move |_| Answer::default().held_by(&held));
    let old = async { world.diagnose("acme", "ann", &body()).await };
    let swap = async {
        world.backend.has_calls(8).await;
        step(&world, json!({"step": "activate", "sha256": new})).await;
        gate.open();
    };
    let (answer, ()) = tokio::join!(old, swap);
    assert_eq!((answer.usage_headers().1, &world.event(&answer).await["plugin"]["name"]), ("12", &json!("standard")));
    world.backend.follows(|_| Answer::default());
    assert_eq!(charged(&world).await, "10");
    assert_eq!(pricing(&world).await["active"]["sha256"], new.as_str());
    assert_eq!(pricing(&world).await["previous"]["name"], "standard");
    let rollout = step(&world, json!({"step": "rollback"})).await;
    assert_eq!(
        (charged(&world).await.as_str(), &rollout["active"]),
        ("12", &Value::Null),
        "back to the file in one step"
    );

    let steps = world.get("/api/admin/pricing/steps", OPERATOR).await.json()["entries"].take();
    let actions: Vec<_> = steps.as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        [
            "pricing.rollback",
            "pricing.activate",
            "pricing.rollback",
            "pricing.canary",
            "pricing.canary",
            "pricing.shadow",
            "pricing.upload"
        ]
    );
    assert!(
        steps
            .as_array()
            .unwrap()
            .iter()
            .all(|entry| entry["actor"]["userId"] == OPERATOR && entry["newValue"]["reason"] == "a journey")
    );
    world.end().await;
}

async fn steps_made_by_another_process_are_followed(on: On) {
    let world = World::start_on(on).await;
    let new = upload(&world, "faulty.wasm").await;
    let options = store::Options { url: world.database_url(), readers: 1, occupancy: store::Occupancy::Companion };
    let beside = store::open(options).await.unwrap();
    let actor =
        ledger::Actor { user_id: "op".into(), role: "command_line".into(), remote_address: None, request_id: None };
    let change = ledger::Change { actor, at: "2026-11-10T12:00:00Z".parse().unwrap() };
    for (made, name) in
        [(ledger::Step::Activate { sha256: new.parse().unwrap() }, "faulty"), (ledger::Step::Rollback, "standard")]
    {
        beside.step(&made, &[], "from afar", &change).await.unwrap().unwrap();
        until(&format!("{name} sets prices"), || async { pricing(&world).await["active"]["name"] == name }).await;
    }
    assert_eq!(charged(&world).await, "12");
    beside.close().await;
    world.end().await;
}

async fn what_was_active_is_active_after_a_restart(on: On) {
    let mut world = World::start_on(on).await;
    let new = upload(&world, "faulty.wasm").await;
    step(&world, json!({"step": "activate", "sha256": new})).await;
    world.restart().await;
    assert_eq!(charged(&world).await, "10");
    // Another file lands meanwhile: it sets no prices before it is returned to.
    let mut rebuilt = std::fs::read(plugin("standard.wasm")).unwrap();
    rebuilt.extend([0, 3, 1, b'n', b'r']);
    world.swap_plugin(&rebuilt);
    step(&world, json!({"step": "shadow", "sha256": upload(&world, "standard.wasm").await})).await;
    assert_eq!(charged(&world).await, "10");
    step(&world, json!({"step": "rollback"})).await;
    until("the new file sets prices", || async {
        pricing(&world).await["active"]["bytes"] == u64::try_from(rebuilt.len()).unwrap()
    })
    .await;
    assert_eq!(charged(&world).await, "12");
    world.end().await;
}

async fn a_canary_that_fails_is_taken_back_by_itself(on: On) {
    let route = r#"[{ methods = ["POST"], path = "/ai/{orgId}/trap", event_type = "trap" }]"#;
    let overrides = [("ROUTES", route), ("PRICING__CANARY_MIN_CALLS", "10"), ("PRICING__CANARY_MAX_FAULTS", "1000")];
    let world = World::with_on(on, &overrides).await;
    let priced = world.put("/api/admin/event-definitions/trap", OPERATOR, &json!({"baseCredits": 40})).await;
    assert_eq!(priced.status, 200);
    let new = upload(&world, "faulty.wasm").await;
    step(&world, json!({"step": "canary", "sha256": new, "share": 10_000})).await;
    for _ in 0..4 {
        let answer = world.request("POST", "/ai/acme/trap").by(&world.credential("ann")).body("{}").send().await;
        assert_eq!((answer.status, answer.usage_headers().1), (200, "40"), "the active plugin steps in");
    }
    until("the canary is taken back", || async { pricing(&world).await["rollout"]["canary"].is_null() }).await;
    let newest = world.get("/api/admin/pricing/steps?limit=1", OPERATOR).await.json()["entries"][0].take();
    assert_eq!((&newest["action"], &newest["actor"]["userId"]), (&json!("pricing.take_back"), &json!("gateway")));
    let why = newest["newValue"]["reason"].as_str().unwrap();
    assert!(why.contains("failed in 2 of 2 calls"), "{why}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_operator_may_send_a_long_body() {
    let world = World::start().await;
    let long = vec![b' '; 1 << 20];
    for user in ["ann", crate::world::OWNER] {
        let refused =
            world.request("POST", "/api/admin/pricing/plugins").by(&world.credential(user)).body(long.clone());
        assert_eq!(refused.send().await.refusal(), (403, "forbidden".to_owned()), "{user}");
    }
    let nobody = world.request("POST", "/api/admin/pricing/plugins").body(long.clone()).send().await;
    assert_eq!(nobody.refusal(), (401, "unauthenticated".to_owned()));
    let wrong = world.request("POST", "/api/admin/pricing/plugins").by(&world.credential(OPERATOR)).body(long);
    assert_eq!(wrong.send().await.refusal(), (400, "invalid_json".to_owned()));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_keys_configured_only_signed_plugins_are_taken() {
    let secret = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let key = STANDARD.encode(secret.verifying_key().as_bytes());
    let sign = |content: &[u8]| ed25519_dalek::Signer::sign(&secret, content).to_bytes();
    let mut world = World::start().await;
    let beside = |path: &Path| std::path::PathBuf::from(format!("{}.sig", path.display()));
    std::fs::write(beside(&world.plugin_path()), sign(&std::fs::read(plugin("standard.wasm")).unwrap())).unwrap();
    world.set("PRICING__SIGNING_KEYS", &format!("[\"{key}\"]"));
    world.restart().await;
    assert_eq!(charged(&world).await, "12");

    let content = std::fs::read(plugin("faulty.wasm")).unwrap();
    let send = async |signature: Option<String>| {
        let body = json!({"plugin": STANDARD.encode(&content), "signature": signature, "reason": "a journey"});
        let path = "/api/admin/pricing/plugins";
        world.request("POST", path).by(&world.credential(OPERATOR)).json(&body).send().await
    };
    for (signature, cause) in [(None, "unsigned"), (Some(STANDARD.encode(sign(b"other"))), "signature")] {
        let refused = send(signature).await;
        assert_eq!((refused.status, &refused.json()["cause"]), (422, &json!(cause)));
    }
    let kept = send(Some(STANDARD.encode(sign(&content)))).await.json();
    assert_eq!(kept["plugin"]["signed"], true, "{kept}");
    step(&world, json!({"step": "activate", "sha256": kept["plugin"]["sha256"]})).await;
    assert_eq!(charged(&world).await, "10");
    step(&world, json!({"step": "rollback"})).await;

    // A file without the signature of its own changes nothing; once that is there, it takes over.
    world.swap_plugin(&content);
    until("the file is rejected", || async { pricing(&world).await["rejected"][0]["cause"] == "signature" }).await;
    assert_eq!(charged(&world).await, "12");
    std::fs::write(beside(&world.plugin_path()), STANDARD.encode(sign(&content))).unwrap();
    until("the signed file takes over", || async { pricing(&world).await["active"]["name"] == "faulty" }).await;
    world.end().await;
}
