//! What calls are priced by: definitions and plans that change, endpoints that come by configuration alone.

use serde_json::json;
use settings::TextJoin;

use crate::world::{ANNOTATED, OPERATOR, On, World, on_each_database};

on_each_database! {
    an_event_names_the_versions_that_priced_it_whatever_changes_later,
}

/// The shipped routes and one more, as a value of `GATEWAY__ROUTES`.
fn routes_and(more: &str) -> (Vec<settings::Route>, String) {
    let shipped = settings::parse("shipped", ANNOTATED, []).unwrap().routes;
    let written = shipped.iter().map(|route| {
        let list = |texts: &[String]| serde_json::to_string(texts).unwrap();
        let session = route.session.as_ref().map(|session| format!(", session = {session:?}")).unwrap_or_default();
        let join = if route.text_join == TextJoin::Concat { ", text_join = \"concat\"" } else { "" };
        let (methods, text, flags) = (list(&route.methods), list(&route.text), list(&route.flags));
        let (path, event_type) = (&route.path, &route.event_type);
        format!(
            "{{ methods = {methods}, path = {path:?}, event_type = {:?}, text = {text}, flags = {flags}{session}{join} }}",
            event_type.as_str()
        )
    });
    let all: Vec<_> = written.chain([more.to_owned()]).collect();
    (shipped, format!("[{}]", all.join(", ")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_metered_endpoint_needs_configuration_only() {
    let more = r#"{ methods = ["POST"], path = "/api/organizations/{orgId}/sow/translate", event_type = "sow_translate",
        text = ["/text"], flags = ["/formal"], scalars = ["/language"] }"#;
    let (shipped, routes) = routes_and(&more.replace('\n', " "));
    assert_eq!(shipped.len(), 10, "the app's ten endpoints");
    let world = World::with(&[("ROUTES", &routes)]).await;
    world.organization("acme", json!({"plan": "professional", "usageLimits": {"monthlyCredits": -1}})).await;
    let call = |path: &str, body: &serde_json::Value| {
        world.request("POST", &path.replace("{orgId}", "acme")).by(&world.credential("ann")).json(body)
    };
    for route in &shipped {
        let definition = format!("/api/admin/event-definitions/{}", route.event_type);
        let base = world.get(&definition, OPERATOR).await.json()["eventDefinition"]["baseCredits"].to_string();
        let answer = call(&route.path, &json!({})).send().await;
        assert_eq!((answer.status, answer.usage_headers().1), (200, base.as_str()), "{}", route.path);
        assert_eq!(world.event(&answer).await["eventType"], route.event_type.as_str());
    }
    // Without a definition there is no price, and the backend is not called.
    let translate = "/api/organizations/{orgId}/sow/translate";
    let refused = call(translate, &json!({})).send().await;
    assert_eq!(refused.refusal(), (503, "pricing_unavailable".to_owned()));
    let definition = json!({"name": "Translation", "category": "ai_text", "baseCredits": 7, "features": {"formal": 2.5},
        "complexity": {"min": 1, "max": 3}});
    assert_eq!(world.put("/api/admin/event-definitions/sow_translate", OPERATOR, &definition).await.status, 200);
    let body = json!({"text": "x".repeat(200), "formal": true, "language": "fi"});
    let answer = call(translate, &body).send().await;
    assert_eq!(
        (answer.status, answer.usage_headers().1),
        (200, "11"),
        "7 x 1.2 + 2.5, as the standard price list rounds"
    );
    let event = world.event(&answer).await;
    assert_eq!((&event["eventName"], &event["category"]), (&json!("Translation"), &json!("ai_text")));
    assert_eq!(event["eventData"]["scalars"], json!({"language": "fi"}));
    world.end().await;
}

async fn an_event_names_the_versions_that_priced_it_whatever_changes_later(on: On) {
    let world = World::start_on(on).await;
    let first = world.call("acme", "ann").await;
    let cheaper = json!({"baseCredits": 4});
    assert_eq!(world.put("/api/admin/event-definitions/structuring_diagnose", OPERATOR, &cheaper).await.status, 200);
    let plan = json!({"displayName": "Pro"});
    assert_eq!(world.put("/api/admin/plans/professional", OPERATOR, &plan).await.status, 200);
    let second = world.call("acme", "ann").await;
    assert_eq!((first.usage_headers().1, second.usage_headers().1), ("10", "4"));
    for (answer, version) in [(&first, 1), (&second, 2)] {
        let event = world.event(answer).await;
        assert_eq!(event["definitionVersion"], version);
        assert_eq!(event["plan"], json!({"name": "professional", "version": version}));
    }
    let versions = world.get("/api/admin/event-definitions/structuring_diagnose/versions", OPERATOR).await.json();
    let priced_by = |place: usize| versions["versions"][place]["eventDefinition"]["baseCredits"].clone();
    assert_eq!((priced_by(0), priced_by(1)), (json!(4), json!(10)));
    world.end().await;
}
