//! The life of a plugin as the operators' API has it.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::World;

fn built(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../pricing-plugins").join(name)).unwrap()
}

fn upload(content: &[u8]) -> Value {
    json!({ "plugin": STANDARD.encode(content), "reason": "new prices" })
}

impl World {
    async fn uploaded(&self, name: &str) -> Value {
        let body = upload(&built(name));
        self.operate("POST", "/pricing/plugins", Some(body)).await.good()["plugin"].take()
    }

    async fn step(&self, step: Value) -> super::Answered {
        let mut body = json!({ "reason": "a try" });
        body.as_object_mut().unwrap().extend(step.as_object().unwrap().clone());
        self.operate("POST", "/pricing/rollout", Some(body)).await
    }
}

#[tokio::test]
async fn a_plugin_is_tried_when_it_is_uploaded_and_kept_once() {
    let world = World::new().await;
    let kept = world.uploaded("standard.wasm").await;
    assert_eq!(
        (&kept["name"], &kept["signed"], &kept["uploadedBy"]),
        (&json!("standard"), &json!(false), &json!("root"))
    );
    assert_eq!(world.uploaded("standard.wasm").await, kept);
    let listed = world.operate("GET", "/pricing/plugins", None).await.good();
    assert_eq!((&listed["plugins"], &listed["rollout"]["number"]), (&json!([kept]), &json!(0)));
    let steps = world.operate("GET", "/pricing/steps", None).await.good()["entries"].take();
    assert_eq!((steps.as_array().unwrap().len(), &steps[0]["newValue"]["reason"]), (1, &json!("new prices")));

    let sound = built("standard.wasm");
    let cases = json!({ "cases": "[trial]\nbase = 1\ncalls = [{ credits = 99 }]\n" });
    let with = |more: Value| {
        let mut body = upload(&sound);
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (body, cause, part) in [
        (upload(b"nonsense"), "not_a_component", "no sound WebAssembly component"),
        (upload(&sound[..sound.len() / 2]), "not_a_component", "component"),
        (with(cases), "golden_cases", "wanted 99, answered"),
    ] {
        let answered = world.operate("POST", "/pricing/plugins", Some(body)).await;
        let sentence = answered.refused(422, "plugin_rejected");
        assert!(answered.json()["cause"] == cause && sentence.contains(part), "{cause}: {}", answered.text);
    }
    for (body, part) in [
        (json!({ "plugin": "%", "reason": "r" }), "plugin: "),
        (json!({ "plugin": "" }), "reason"),
        (json!({ "plugin": "", "reason": " " }), "reason: a text of 1 to 200 bytes"),
        (with(json!({ "signature": "x".repeat(129) })), "signature: too long"),
        (with(json!({ "other": 1 })), "other"),
    ] {
        let sentence = world.operate("POST", "/pricing/plugins", Some(body)).await.refused(400, "invalid_request");
        assert!(sentence.contains(part), "{sentence}");
    }
}

#[tokio::test]
async fn steps_that_lead_nowhere_say_why() {
    let world = World::new().await;
    let standard = world.uploaded("standard.wasm").await["sha256"].as_str().unwrap().to_owned();
    let faulty = world.uploaded("faulty.wasm").await["sha256"].as_str().unwrap().to_owned();
    world.step(json!({ "step": "rollback" })).await.refused(409, "nothing_to_roll_back_to");
    world.step(json!({ "step": "stop_shadow" })).await.refused(409, "no_shadow");
    world.step(json!({ "step": "activate", "sha256": "0".repeat(64) })).await.refused(404, "not_found");
    let rollout = world.step(json!({ "step": "activate", "sha256": standard })).await.good()["rollout"].take();
    assert_eq!((&rollout["active"], &rollout["earlier"]), (&json!(standard), &json!([null])));
    let again = world.step(json!({ "step": "activate", "sha256": standard })).await;
    assert!(again.refused(409, "already_active").contains(&standard));
    world.step(json!({ "step": "shadow", "sha256": faulty })).await.good();
    world.step(json!({ "step": "rollback" })).await.good();
    let steps = world.operate("GET", "/pricing/steps?limit=1", None).await.good();
    assert_eq!((&steps["entries"][0]["action"], steps["cursor"].is_i64()), (&json!("pricing.rollback"), true));
    for (step, part) in [
        (json!({ "step": "activate" }), "sha256: missing"),
        (json!({ "step": "canary", "sha256": faulty }), "share: missing"),
        (json!({ "step": "canary", "sha256": faulty, "share": 0 }), "share: a share is 1 to 10000"),
        (json!({ "step": "canary", "sha256": faulty, "share": 10_001 }), "share: a share is 1 to 10000"),
        (json!({ "step": "rollback", "sha256": faulty }), "sha256: this step takes none"),
        (json!({ "step": "shadow", "sha256": faulty, "share": 1 }), "share: this step takes none"),
        (json!({ "step": "shadow", "sha256": "AB" }), "sha256: a plugin's SHA-256 has 64"),
        (json!({ "step": "take_back" }), "unknown variant `take_back`"),
    ] {
        let sentence = world.step(step).await.refused(400, "invalid_request");
        assert!(sentence.contains(part), "{sentence}");
    }
}
