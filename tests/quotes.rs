//! A quote without a call: the price that the call would have, and nothing else happens.

use serde_json::{Value, json};

use crate::world::{World, diagnosis_path};

async fn quote(world: &World, user: &str, asked: &Value) -> Value {
    let answer = ask(world, user, asked).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["quote"].take()
}

async fn ask(world: &World, user: &str, asked: &Value) -> crate::world::Answered {
    let path = "/api/organizations/acme/usage/quote";
    world.request("POST", path).by(&world.credential(user)).json(asked).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_says_what_the_call_then_costs_and_charges_nothing_itself() {
    let world = World::start().await;
    let body = json!({"content": ["x".repeat(1_500)], "echo": true, "traceback": true});
    let named = [
        json!({"path": "/api/organizations/{orgId}/structuring/analyze-pain-points", "body": body}),
        json!({"path": diagnosis_path("acme"), "body": body}),
        json!({"eventType": "structuring_diagnose", "body": body}),
    ];
    for asked in named {
        let quote = quote(&world, "ann", &asked).await;
        assert_eq!((&quote["credits"], &quote["exact"], &quote["wouldPass"]), (&json!(28), &json!(true), &json!(true)));
        assert_eq!((&quote["remainingCredits"], &quote["refusal"]), (&json!(5_000), &Value::Null));
        assert_eq!(quote["endpoint"], "/api/organizations/{orgId}/structuring/analyze-pain-points");
    }
    assert_eq!(world.backend.calls(), 0);
    assert!(world.events("acme").await.is_empty());
    assert_eq!(world.counter("acme").await["held"], 0);
    let items = quote(&world, "ann", &json!({"eventType": "structuring_diagnose", "body": body})).await["items"].take();
    let called = world.diagnose("acme", "ann", &body).await;
    assert_eq!(called.usage_headers().1, "28");
    assert_eq!(world.event(&called).await["items"], items);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_says_whether_the_call_would_pass_and_if_not_why() {
    let world = World::start().await;
    let asked = json!({"eventType": "structuring_diagnose", "body": {"content": ["short"]}});
    for (limit, refusal) in [(9, json!("credit_limit_exceeded")), (10, Value::Null)] {
        world.limit("acme", limit).await;
        let quote = quote(&world, "ann", &asked).await;
        assert_eq!((&quote["remainingCredits"], &quote["refusal"]["code"]), (&json!(limit), &refusal));
        assert_eq!(quote["wouldPass"], refusal.is_null());
        assert_eq!(world.call("acme", "ann").await.status, if refusal.is_null() { 200 } else { 402 });
    }
    world.organization("acme", json!({"usageLimits": {"aiCallsPerMonth": 1}})).await;
    assert_eq!(quote(&world, "ann", &asked).await["refusal"]["code"], "call_limit_exceeded");
    world.organization("acme", json!({"subscriptionStatus": "past_due"})).await;
    assert_eq!(quote(&world, "ann", &asked).await["refusal"]["code"], "billing_inactive");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_quoted_is_refused_with_what_is_allowed() {
    let route = |path: &str| {
        format!(r#"{{ methods = ["POST"], path = "/ai/{{orgId}}/{path}", event_type = "visuals_sketch" }}"#)
    };
    let world =
        World::with(&[("ROUTES", &format!("[{}, {}]", route("one"), route("two"))), ("SERVER__MAX_BODY", "1KiB")])
            .await;
    let cases = [
        (json!({}), 400, "either path or eventType"),
        (json!({"path": "/ai/acme/one", "eventType": "visuals_sketch"}), 400, "either path or eventType"),
        (json!({"eventType": "visuals_sketch"}), 400, "allowed: /ai/{orgId}/one, /ai/{orgId}/two."),
        (json!({"eventType": "structuring_diagnose"}), 400, "allowed: visuals_sketch."),
        (json!({"path": "/ai/other/one"}), 400, "no metered path of this organization"),
        (json!({"path": "/ai//one"}), 400, "ambiguous"),
        (json!({"path": "/ai/acme/one", "body": {"x": "y".repeat(1_024)}}), 413, "1024"),
        (json!({"path": "/ai/acme/one", "route": 1}), 400, "unknown field `route`"),
    ];
    for (asked, status, part) in cases {
        let answer = ask(&world, "ann", &asked).await;
        assert!(
            answer.status == status && answer.text().contains(part),
            "{asked}: {} {}",
            answer.status,
            answer.text()
        );
    }
    assert_eq!(ask(&world, "stranger", &json!({"path": "/ai/acme/one"})).await.status, 403);
    assert_eq!(quote(&world, "ann", &json!({"path": "/ai/acme/one"})).await["credits"], 12);
    world.end().await;
}
