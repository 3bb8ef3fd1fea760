//! What the seed promises: its example, its four attribution tests, and the app's ten endpoints by configuration alone.

use serde_json::{Value, json};

use crate::world::{OPERATOR, OWNER, World};

/// A text of so many UTF-16 code units.
fn text(units: usize) -> String {
    "x".repeat(units)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seeds_example_costs_28_everywhere() {
    let world = World::start().await;
    let body = json!({"content": [text(1_000), "  ", text(500)], "echo": true, "traceback": true});
    let answer = world.diagnose("acme", "ann", &body).await;
    let usage = &answer.json()["usage"];
    let id = usage["usageEventId"].as_str().unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["result"], "done");
    assert_eq!(usage, &json!({"creditsConsumed": 28, "remainingCredits": 4972, "usageEventId": id}));
    assert_eq!(answer.usage_headers(), (id, "28", "4972"));
    assert!(id.starts_with("evt_"), "{id}");
    assert_eq!((id.len(), id.as_bytes()[4 + 14]), (40, b'7'));

    let events = world.events("acme").await;
    assert_eq!(events.len(), 1);
    let event = &events[0];
    assert_eq!((event["id"].as_str(), &event["creditsConsumed"]), (Some(id), &json!(28)));
    assert_eq!(event["user"], json!({"id": "ann", "name": "Name of ann", "email": "ann@example.com"}));
    assert_eq!((&event["complexity"], &event["eventData"]["textUnits"]), (&json!(2), &json!(1_501)));
    let explained = world.owned("acme", &format!("/events/{id}")).await;
    let items = json!([
        {"label": "base", "credits": 10}, {"label": "complexity x2.000", "credits": 10},
        {"label": "echo", "credits": 5}, {"label": "traceback", "credits": 3},
    ]);
    assert_eq!(explained["event"]["items"], items);
    let dashboard = world.dashboard("acme").await;
    assert_eq!(dashboard["overview"]["usedCredits"], 28);
    assert_eq!(dashboard["overview"]["remainingCredits"], 4972);
    assert_eq!(dashboard["events"]["breakdown"], json!({"structuring_diagnose": {"count": 1, "credits": 28}}));
    assert_eq!(dashboard["analytics"]["dailyUsage"][9], json!({"date": "2026-11-10", "count": 1, "credits": 28}));
    let metrics = world.metrics().await;
    assert!(metrics.contains("gateway_credits_captured_total{event_type=\"structuring_diagnose\"} 28\n"), "{metrics}");
    let counted = "gateway_usage_events_total{event_type=\"structuring_diagnose\",outcome=\"captured\"} 1\n";
    assert!(metrics.contains(counted), "{metrics}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn basic_attribution_charges_the_organization_and_the_user_who_called() {
    let world = World::start().await;
    world.member("acme", "bob", "viewer").await;
    world.call("acme", "ann").await;
    world.diagnose("acme", "bob", &json!({"content": ["short"], "echo": true})).await;
    let dashboard = world.dashboard("acme").await;
    assert_eq!(dashboard["users"]["breakdown"]["ann"], json!({"name": "Name of ann", "count": 1, "credits": 10}));
    assert_eq!(dashboard["users"]["breakdown"]["bob"], json!({"name": "Name of bob", "count": 1, "credits": 15}));
    let top = json!({"id": "bob", "name": "Name of bob", "credits": 15, "count": 1, "percentage": 60});
    assert_eq!(dashboard["users"]["topUsers"][0], top);
    let own = world.get("/api/organizations/acme/usage/me", "ann").await.json();
    assert_eq!((&own["usage"]["usedCredits"], &own["usage"]["totalEvents"]), (&json!(10), &json!(1)));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_organizations_usage_never_shows_in_anothers() {
    let world = World::start().await;
    world.organization("umbrella", json!({"plan": "free"})).await;
    world.member("umbrella", "ann", "admin").await;
    world.member("umbrella", "zoe", "admin").await;
    let in_acme = world.call("acme", "ann").await;
    let in_umbrella = world.diagnose("umbrella", "ann", &json!({"content": ["short"], "echo": true})).await;
    assert_eq!(in_acme.usage_headers().2, "4990");
    assert_eq!(in_umbrella.usage_headers().2, "85");
    for (organization, used, answer, other) in
        [("acme", 10, &in_acme, &in_umbrella), ("umbrella", 15, &in_umbrella, &in_acme)]
    {
        assert_eq!(world.dashboard(organization).await["overview"]["usedCredits"], used);
        let events = world.events(organization).await;
        assert_eq!(events.len(), 1);
        assert_eq!(events[0]["id"].as_str(), Some(answer.usage_headers().0));
        let path = format!("/api/organizations/{organization}/usage/events/{}", other.usage_headers().0);
        assert_eq!(world.get(&path, OWNER).await.refusal(), (404, "not_found".to_owned()));
    }
    // Zoe is nobody at Acme, whatever she asks for.
    for path in ["", "/me", "/dashboard", "/history", "/history?userId=zoe", "/management", "/audit"] {
        let answer = world.get(&format!("/api/organizations/acme/usage{path}"), "zoe").await;
        assert_eq!(answer.refusal(), (403, "forbidden".to_owned()), "{path}");
    }
    assert_eq!(world.call("acme", "zoe").await.refusal(), (403, "forbidden".to_owned()));
    assert!(!world.metrics().await.contains("umbrella"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_belong_to_the_session_that_the_body_names() {
    let world = World::start().await;
    for session in [json!("s-1"), json!(77), json!("s-1"), Value::Null] {
        world.diagnose("acme", "ann", &json!({"content": ["short"], "sessionId": session})).await;
    }
    let of = |session: &str| format!("/history?sessionId={session}");
    for (session, count) in [("s-1", 2), ("77", 1), ("other", 0)] {
        let history = world.owned("acme", &of(session)).await;
        assert_eq!(history["summary"]["totalEvents"], count, "{session}");
        for event in history["events"].as_array().unwrap() {
            assert_eq!(event["session"]["id"], session);
            assert_eq!(event["session"]["totalCredits"], 10 * count);
        }
    }
    let without = world.events("acme").await.iter().filter(|event| event["session"].is_null()).count();
    assert_eq!(without, 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_ten_endpoints_are_priced_by_configuration_and_their_breakdown_is_exact() {
    let world = World::start().await;
    let (short, long) = (text(50), text(1_500));
    let cases = [
        ("/structuring/analyze-pain-points", "structuring_diagnose", json!({"content": [long], "echo": true}), 25),
        (
            "/structuring/generate-solution",
            "structuring_generate_solution",
            json!({"pain_points": [long], "echo": true, "traceback": true, "enhanced": true}),
            23,
        ),
        ("/visuals/generate-planning", "visuals_planning", json!({"solution": long}), 8),
        ("/solutioning/structure-solution", "solutioning_structure_solution", json!({"content": short}), 15),
        ("/visuals/generate-sketch", "visuals_sketch", json!({"planning": long}), 12),
        ("/solutioning/analyze-image", "solutioning_image_analysis", json!({"image": "data:"}), 8),
        ("/solutioning/enhance-text", "solutioning_ai_enhance", json!({"text": long}), 12),
        ("/solutioning/analyze-pernode", "solutioning_node_stack", json!({"context": long}), 12),
        ("/solutioning/auto-format", "solutioning_formatting", json!({"title": "a", "steps": "b", "approach": "c"}), 5),
        ("/sow/generate-loe", "push_sow_to_loe", json!({"sow": [long]}), 5),
    ];
    let mut total = 0;
    for (path, event_type, body, credits) in &cases {
        world.clock.advance_ms(1);
        let target = format!("/api/organizations/acme{path}");
        let answer = world.request("POST", &target).by(&world.credential("ann")).json(body).send().await;
        assert_eq!(answer.json()["usage"]["creditsConsumed"], *credits, "{path}");
        assert_eq!(world.backend.last().target, target);
        // The health check beside it is free, and for members only.
        let health = world.get(&target, "ann").await;
        assert_eq!((health.status, health.header("x-usage-event-id")), (200, None), "{path}");
        assert_eq!(world.get(&target, "stranger").await.refusal().0, 403, "{path}");
        let event = &world.events("acme").await[0];
        assert_eq!(event["eventType"], *event_type);
        assert_eq!(event["endpoint"], format!("/api/organizations/{{orgId}}{path}"));
        total += credits;
    }
    let dashboard = world.dashboard("acme").await;
    assert_eq!(dashboard["overview"]["usedCredits"], total);
    for (_, event_type, _, credits) in &cases {
        assert_eq!(dashboard["events"]["breakdown"][event_type], json!({"count": 1, "credits": credits}));
    }
    let filtered = "/history?eventType=structuring_diagnose&userId=ann&startDate=2026-11-01&endDate=2026-11-30&category=ai_analysis&minCredits=10&page=1&limit=50";
    assert_eq!(world.owned("acme", filtered).await["summary"]["totalEvents"], 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_event_type_needs_configuration_and_no_code() {
    let routes = r#"[{ methods = ["POST"], path = "/ai/{orgId}/poem", event_type = "poem", flags = ["/rhymes"] }]"#;
    let world = World::with(&[("ROUTES", routes)]).await;
    let poem = || world.request("POST", "/ai/acme/poem").by(&world.credential("ann")).json(&json!({"rhymes": true}));
    assert_eq!(poem().send().await.refusal(), (503, "pricing_unavailable".to_owned()));
    assert_eq!(world.backend.requests(), 0);
    let definition = json!({"baseCredits": 1.5, "features": {"rhymes": 2}, "category": "art"});
    assert_eq!(world.put("/api/admin/event-definitions/poem", OPERATOR, &definition).await.status, 200);
    // 1.5 and 2, rounded half up to a whole credit.
    assert_eq!(poem().send().await.json()["usage"]["creditsConsumed"], 4);
    assert_eq!(world.events("acme").await[0]["category"], "art");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn near_its_limit_an_organization_is_warned() {
    let world = World::start().await;
    world.limit("acme", 50).await;
    for (used, warned) in [(10, false), (20, false), (30, false), (40, true), (50, true)] {
        let usage = world.call("acme", "ann").await.json()["usage"].take();
        assert_eq!(usage["warning"].is_object(), warned, "{used}");
        if warned {
            let want = json!({"percentageUsed": used * 2, "isNearLimit": true, "isOverLimit": used == 50, "recommendedAction": "Consider upgrading your plan"});
            assert_eq!(usage["warning"], want);
        }
    }
    world.end().await;
}
