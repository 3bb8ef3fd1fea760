//! Grants, as operators make and end them.

use serde_json::{Value, json};

use super::World;

const PATH: &str = "/organizations/acme/grants";

fn top_up(credits: i64) -> Value {
    json!({ "credits": credits, "expiresAt": "2026-12-24T12:00:00Z", "reason": "a top-up" })
}

#[tokio::test]
async fn a_grant_is_made_once_for_its_key_shown_and_ended() {
    let world = World::new().await;
    let made = world.post(PATH, "k", &top_up(50)).await.good();
    let id = made["id"].as_str().unwrap();
    assert_eq!(
        (&made["credits"], &made["expiresAt"], &made["repeated"]),
        (&json!(50), &json!("2026-12-24T12:00:00.000Z"), &json!(false))
    );
    let again = world.post(PATH, "k", &top_up(50)).await.good();
    assert_eq!((&again["id"], &again["repeated"]), (&json!(id), &json!(true)));
    world.post(PATH, "k", &top_up(51)).await.refused(422, "idempotency_key_reused");
    let shown = json!([{ "id": id, "credits": 50, "remaining": 50, "expiresAt": "2026-12-24T12:00:00.000Z" }]);
    assert_eq!(world.operate("GET", PATH, None).await.good()["grants"], shown);
    assert_eq!(world.get("olga", "/management").await.good()["management"]["grants"], shown);
    assert_eq!(world.get("olga", "").await.good()["usage"]["remaining"], 150);
    let event = &world.get("olga", &format!("/events/{id}")).await.good()["event"];
    assert_eq!(event["adjustment"]["expiresAt"], "2026-12-24T12:00:00.000Z");
    for ended in [true, false] {
        assert_eq!(world.operate("DELETE", &format!("{PATH}/{id}"), None).await.good()["ended"], ended);
    }
    // Repeated after its end, it is still the same.
    world.clock.set("2027-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(world.post(PATH, "k", &top_up(50)).await.good()["id"], id);
}

#[tokio::test]
async fn a_grant_with_a_fault_is_not_made_and_names_the_field() {
    let world = World::new().await;
    let with = |field: &str, value: Value| {
        let mut body = top_up(5);
        body[field] = value;
        body
    };
    let cases = [
        (with("credits", json!(0)), "credits: an amount is above 0"),
        (with("credits", json!(1_000_000_001)), "credits: an amount is above 0 and at most 1000000000"),
        (
            with("expiresAt", json!("2026-11-24T12:00:00Z")),
            "expiresAt: it is over; allowed: after 2026-11-24T12:00:00.000Z",
        ),
        (with("expiresAt", json!("soon")), "expiresAt"),
        (with("reason", json!("")), "reason: a text of 1 to 500 bytes"),
        (with("direction", json!("give")), "direction: unknown field"),
    ];
    for (body, part) in cases {
        let sentence = world.post(PATH, "k", &body).await.refused(400, "invalid_request");
        assert!(sentence.contains(part), "{body}: {sentence}");
    }
    world.post(PATH, "", &top_up(5)).await.refused(400, "invalid_request");
    world.post("/organizations/nobody/grants", "k", &top_up(5)).await.refused(404, "not_found");
    world.operate("GET", "/organizations/nobody/grants", None).await.refused(404, "not_found");
    world.operate("DELETE", &format!("{PATH}/evt_1"), None).await.refused(400, "invalid_request");
    assert_eq!(world.operate("GET", PATH, None).await.good()["grants"], json!([]));
    world.post(PATH, "at the end", &top_up(5)).await.refused(400, "invalid_request");
    world.post(PATH, "just-after-now", &with("expiresAt", json!("2026-11-24T12:00:00.001Z"))).await.good();
}
