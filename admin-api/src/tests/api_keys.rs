//! Keys of machines, as owners, admins and operators make, list and revoke them.

use serde_json::{Value, json};

use super::World;

const PATH: &str = "/api/organizations/acme/usage/keys";
const OPERATORS: &str = "/organizations/acme/api-keys";

async fn make(world: &World, body: &Value) -> super::Answered {
    world.call("olga", "POST", PATH, Some(body.to_string())).await
}

#[tokio::test]
async fn a_key_is_shown_with_its_secret_once_and_listed_without_it() {
    let world = World::new().await;
    let body = json!({ "name": "ci", "role": "viewer", "eventTypes": ["structuring_diagnose"], "monthlyCredits": 2.5,
        "expiresAt": "2027-01-01T00:00:00Z" });
    let made = make(&world, &body).await.good();
    let (key, secret) = (&made["apiKey"], made["secret"].as_str().unwrap());
    let id = key["id"].as_str().unwrap();
    assert!(secret.starts_with(&format!("{id}_")), "{id}");
    let want = json!({ "id": id, "name": "ci", "role": "viewer", "eventTypes": ["structuring_diagnose"],
        "monthlyCredits": 2.5, "createdAt": "2026-11-24T12:00:00.000Z", "createdBy": "olga",
        "expiresAt": "2027-01-01T00:00:00.000Z", "expired": false });
    assert_eq!(key, &want);
    let plain = make(&world, &json!({ "name": "plain" })).await.good();
    let plain = &plain["apiKey"];
    assert_eq!(
        (&plain["role"], &plain["eventTypes"], &plain["monthlyCredits"], &plain["expiresAt"]),
        (&json!("member"), &Value::Null, &Value::Null, &json!("2027-11-24T12:00:00.000Z"))
    );
    for listed in [world.get("adam", "/keys").await, world.operate("GET", OPERATORS, None).await] {
        let keys = &listed.good()["apiKeys"];
        assert_eq!(keys.as_array().unwrap().len(), 2);
        assert!(keys.as_array().unwrap().contains(&want), "{keys}");
        assert!(!listed.text.contains(secret.rsplit_once('_').unwrap().1));
    }
    world.clock.set("2027-01-01T00:00:00Z".parse().unwrap());
    let keys = world.get("olga", "/keys").await.good()["apiKeys"].take();
    assert_eq!(keys.as_array().unwrap().iter().filter(|key| key["expired"] == true).count(), 1);
    let audit = world.get("olga", "/audit").await;
    assert!(audit.text.contains("api_key.create") && !audit.text.contains(secret.rsplit_once('_').unwrap().1));
}

#[tokio::test]
async fn a_key_with_a_fault_is_not_made_and_names_the_field() {
    let world = World::new().await;
    let many: Vec<String> = (0..101).map(|number| format!("t{number}")).collect();
    let cases = [
        (json!({}), "name"),
        (json!({ "name": "" }), "name: a text of 1 to 200 bytes"),
        (json!({ "name": "n", "role": "owner" }), "role: \"owner\"; allowed: member, viewer, billing"),
        (json!({ "name": "n", "role": "admin" }), "role: \"admin\""),
        (json!({ "name": "n", "eventTypes": [] }), "eventTypes: 0 of them; allowed: 1 to 100"),
        (json!({ "name": "n", "eventTypes": many }), "eventTypes: 101 of them"),
        (json!({ "name": "n", "eventTypes": ["misspelt"] }), "eventTypes: \"misspelt\" is unknown; allowed: "),
        (json!({ "name": "n", "expiresAt": "2026-11-24T12:00:00Z" }), "expiresAt: it is over"),
        (json!({ "name": "n", "monthlyCredits": -2 }), "monthlyCredits"),
        (json!({ "name": "n", "scopes": [] }), "scopes: unknown field"),
    ];
    for (body, part) in cases {
        let sentence = make(&world, &body).await.refused(400, "invalid_request");
        assert!(sentence.contains(part), "{body}: {sentence}");
    }
    world.call("olga", "DELETE", &format!("{PATH}/gwk_1"), None).await.refused(400, "invalid_request");
    world
        .operate("POST", "/organizations/nobody/api-keys", Some(json!({ "name": "n" })))
        .await
        .refused(404, "not_found");
    world.operate("GET", "/organizations/nobody/api-keys", None).await.refused(404, "not_found");
    assert_eq!(world.get("olga", "/keys").await.good()["apiKeys"], json!([]));
}

#[tokio::test]
async fn an_organization_has_no_more_keys_than_it_may() {
    let world = World::new().await;
    for number in 0..ledger::ApiKey::PER_ORGANIZATION_MAX {
        make(&world, &json!({ "name": format!("key {number}") })).await.good();
    }
    let sentence = make(&world, &json!({ "name": "one more" })).await.refused(409, "conflict");
    assert!(sentence.contains("100"), "{sentence}");
}
