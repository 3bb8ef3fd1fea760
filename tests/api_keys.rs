//! Keys of machines: what one opens, for how long, and that it is gone everywhere once it was revoked.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::world::{Answered, OPERATOR, OWNER, On, Request, World, diagnosis_path, on_each_database, until};

const KEYS: &str = "/api/organizations/acme/usage/keys";
/// How soon a key that was revoked through one gateway is nobody's at the others.
const REVOKED_WITHIN: Duration = Duration::from_secs(1);

on_each_database! {
    a_machine_calls_by_its_key_until_it_is_revoked,
    a_key_opens_what_its_role_and_event_types_do_and_nothing_else,
    a_key_ends_at_its_time_and_spends_no_more_than_its_own_limit,
    keys_outlive_the_gateway_that_made_them,
}

/// A key of acme's; its id and its secret.
async fn made(world: &World, body: Value) -> (String, String) {
    let made = world.request("POST", KEYS).by(&world.credential(OWNER)).json(&body).send().await;
    assert_eq!(made.status, 200, "{}", made.text());
    let made = made.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&made["apiKey"]["id"]), text(&made["secret"]))
}

async fn revoke(world: &World, id: &str) -> Answered {
    world.request("DELETE", &format!("{KEYS}/{id}")).by(&world.credential(OWNER)).send().await
}

fn call(world: &World, organization: &str, key: &str) -> Request {
    world.request("POST", &diagnosis_path(organization)).by(key).json(&json!({"content": ["short"]}))
}

async fn a_machine_calls_by_its_key_until_it_is_revoked(on: On) {
    let world = World::start_on(on).await;
    world.organization("other", json!({})).await;
    let (id, key) = made(&world, json!({"name": "nightly run"})).await;
    assert!(key.starts_with(&format!("{id}_")) && key.len() == 85);
    let answer = call(&world, "acme", &key).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let event = world.event(&answer).await;
    assert_eq!(event["user"]["id"], format!("apikey:{id}"));
    let received = world.backend.last();
    assert_eq!(received.header("x-gateway-user"), Some(format!("apikey:{id}").as_str()));
    assert_eq!(received.header("authorization"), None, "a key is between the machine and us");
    world.request("GET", &diagnosis_path("acme")).by(&key).send().await;
    assert_eq!(world.backend.last().header("authorization"), None, "on a free request too");

    let elsewhere = [call(&world, "other", &key).send().await, call(&world, "nowhere", &key).send().await];
    assert!(elsewhere.iter().all(|answer| answer.refusal() == (403, "forbidden".to_owned())));
    let others = format!("{}_{}", id, "0".repeat(64));
    for unknown in [others.as_str(), "gwk_", &key.to_uppercase(), &key[..84], &format!("{key}0")] {
        assert_eq!(call(&world, "acme", unknown).send().await.refusal().0, 401, "{unknown}");
        let shown = world.request("GET", "/api/organizations/acme/usage/me").by(unknown).send().await;
        assert_eq!(shown.refusal().0, 401, "{unknown}");
    }
    let listed = world.get(KEYS, OWNER).await;
    assert_eq!(listed.json()["apiKeys"][0]["id"], id);
    assert!(!listed.text().contains(&key[22..]), "a secret is shown once");

    for revoked in [true, false] {
        assert_eq!(revoke(&world, &id).await.json()["revoked"], revoked);
        assert_eq!(call(&world, "acme", &key).send().await.refusal().0, 401);
    }
    let audit = world.owned("acme", "/audit").await;
    let actions: Vec<_> = audit["entries"].as_array().unwrap().iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions[..2], ["api_key.revoke", "api_key.create"]);
    assert_eq!(world.backend.calls(), 1);
    world.end().await;
}

async fn a_key_opens_what_its_role_and_event_types_do_and_nothing_else(on: On) {
    let world = World::start_on(on).await;
    let usage = |path: &str| format!("/api/organizations/acme/usage{path}");
    let (_, narrow) = made(&world, json!({"name": "n", "eventTypes": ["visuals_planning"]})).await;
    assert_eq!(call(&world, "acme", &narrow).send().await.refusal(), (403, "forbidden".to_owned()));
    assert_eq!(world.request("GET", &diagnosis_path("acme")).by(&narrow).send().await.refusal().0, 403);
    let other = "/api/organizations/acme/visuals/generate-planning";
    let answer = world.request("POST", other).by(&narrow).json(&json!({"content": "x"})).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());

    for (role, sees_all) in [("member", false), ("viewer", false), ("billing", true)] {
        let (_, key) = made(&world, json!({"name": role, "role": role})).await;
        assert_eq!(call(&world, "acme", &key).send().await.status, 200, "{role}");
        for (method, path, want) in [
            ("GET", usage("/me"), 200),
            ("GET", usage(""), if sees_all { 200 } else { 403 }),
            ("GET", usage("/keys"), 403),
            ("POST", usage("/keys"), 403),
            ("PUT", usage("/management"), 403),
            ("GET", "/api/admin/plans/free".to_owned(), 403),
            ("GET", "/api/admin/nothing".to_owned(), 403),
        ] {
            let answer = world.request(method, &path).by(&key).json(&json!({"name": "x"})).send().await;
            assert_eq!(answer.status, want, "{role}: {method} {path}");
        }
    }
    // A payment is overdue: who pays for the organisation still calls.
    let (_, member) = made(&world, json!({"name": "m"})).await;
    let (_, billing) = made(&world, json!({"name": "b", "role": "billing"})).await;
    world.organization("acme", json!({"plan": "professional", "subscriptionStatus": "past_due"})).await;
    assert_eq!(call(&world, "acme", &member).send().await.refusal(), (402, "billing_inactive".to_owned()));
    assert_eq!(call(&world, "acme", &billing).send().await.status, 200);
    world.end().await;
}

async fn a_key_ends_at_its_time_and_spends_no_more_than_its_own_limit(on: On) {
    let world = World::start_on(on).await;
    let (_, key) = made(&world, json!({"name": "k", "expiresAt": "2026-11-10T13:00:00Z"})).await;
    let (_, for_ever) = made(&world, json!({"name": "k", "expiresAt": null})).await;
    world.at("2026-11-10T12:59:59.999Z");
    assert_eq!(call(&world, "acme", &key).send().await.status, 200);
    world.at("2026-11-10T13:00:00Z");
    assert_eq!(call(&world, "acme", &key).send().await.refusal().0, 401);
    assert_eq!(world.request("GET", "/api/organizations/acme/usage/me").by(&key).send().await.refusal().0, 401);
    assert_eq!(call(&world, "acme", &for_ever).send().await.status, 200);
    let (_, thrifty) = made(&world, json!({"name": "t", "monthlyCredits": 20})).await;
    for want in [200, 200, 402] {
        let answer = call(&world, "acme", &thrifty).send().await;
        assert_eq!(answer.status, want, "{}", answer.text());
    }
    assert_eq!(call(&world, "acme", &thrifty).send().await.refusal().1, "user_limit_exceeded");
    assert_eq!(call(&world, "acme", &for_ever).send().await.status, 200, "its limit is its own");
    world.end().await;
}

async fn keys_outlive_the_gateway_that_made_them(on: On) {
    let mut world = World::start_on(on).await;
    let (id, key) = made(&world, json!({"name": "k"})).await;
    world.restart().await;
    assert_eq!(call(&world, "acme", &key).send().await.status, 200);
    revoke(&world, &id).await;
    world.restart().await;
    assert_eq!(call(&world, "acme", &key).send().await.refusal().0, 401);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_known_and_revoked_at_every_gateway_within_a_second() {
    let world = World::with_gateways(3, &[]).await;
    let (id, key) = made(&world, json!({"name": "k"})).await;
    let through = async |gateway: usize| {
        let request = world.request_through(gateway, "POST", &diagnosis_path("acme")).by(&key);
        request.json(&json!({"content": ["short"]})).send().await
    };
    let everywhere = async |status: u16| {
        let began = Instant::now();
        for gateway in 0..3 {
            until("the key's change has arrived", async || through(gateway).await.status == status).await;
        }
        // A busy machine is slow in calling, too.
        assert!(began.elapsed() < REVOKED_WITHIN * 2, "{status}: {:?}", began.elapsed());
    };
    everywhere(200).await;
    revoke(&world, &id).await;
    everywhere(401).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_keep_the_keys_of_any_organization_and_no_member_is_called_like_one() {
    let world = World::start().await;
    let path = "/api/admin/organizations/acme/api-keys";
    let made = world.post(path, "", &json!({"name": "by the platform"})).await.json();
    let (id, key) = (made["apiKey"]["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert_eq!(call(&world, "acme", key).send().await.status, 200);
    let member = format!("/api/admin/organizations/acme/members/apikey:{id}");
    assert_eq!(world.put(&member, OPERATOR, &json!({"role": "owner"})).await.refusal().0, 400);
    let gone = world.request("DELETE", &format!("{path}/{id}")).by(&world.credential(OPERATOR)).send().await;
    assert_eq!(gone.json()["revoked"], true);
    assert_eq!(call(&world, "acme", key).send().await.refusal().0, 401);
    world.end().await;
}
