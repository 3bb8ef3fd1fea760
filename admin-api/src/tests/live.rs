//! The API beside a gateway in its process: live books are shown, changes are told before their answer.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use ledger::{BookSnapshot, Changed, Credits, OrganizationId, Period};
use serde_json::json;

use super::World;
use crate::Live;

/// A gateway with one book, which notes what it is told.
#[derive(Default)]
struct Gateway(Mutex<Vec<String>>);

impl Gateway {
    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[async_trait]
impl Live for Gateway {
    async fn snapshot(&self, id: &OrganizationId, _period: Period) -> Option<BookSnapshot> {
        let credits = |whole| Credits::from_whole(whole).unwrap();
        let book = BookSnapshot { used: credits(60), held: credits(30), calls_used: 3, calls_held: 2 };
        (id.as_str() == "acme").then_some(book)
    }

    async fn caught_up(&self) {
        self.0.lock().unwrap().push("caught up".to_owned());
    }

    async fn changed(&self, changed: &Changed) {
        self.0.lock().unwrap().push(format!("{changed:?}"));
    }
}

#[tokio::test]
async fn the_counter_shows_the_live_book_and_reports_wait_for_the_store() {
    let gateway = Arc::new(Gateway::default());
    let world = World::with(gateway.clone()).await;
    let usage = &world.get("olga", "").await.good()["usage"];
    assert_eq!((&usage["used"], &usage["held"], &usage["heldCredits"]), (&json!(60), &json!(30), &json!(30)));
    assert_eq!((&usage["remaining"], &usage["available"]), (&json!(40), &json!(10)));
    assert_eq!(usage["calls"], json!({ "limit": -1, "used": 3, "held": 2 }));
    gateway.told();
    for path in ["/me", "/dashboard", "/history", "/management"] {
        world.get("olga", path).await.good();
        assert_eq!(gateway.told(), ["caught up"], "{path}");
    }
}

#[tokio::test]
async fn the_gateway_is_told_of_each_change_before_its_answer() {
    let gateway = Arc::new(Gateway::default());
    let world = World::with(gateway.clone()).await;
    gateway.told();
    let organization = json!({ "name": "a", "plan": "free", "subscriptionStatus": "active" });
    let cases = [
        ("PUT", "/organizations/acme", organization, "Organization(\"acme\")"),
        ("PUT", "/organizations/acme/members/new", json!({ "role": "viewer" }), "Organization(\"acme\")"),
        ("DELETE", "/organizations/acme/members/new", json!(null), "Organization(\"acme\")"),
        ("PUT", "/plans/free", json!({ "monthlyCredits": 5 }), "Plan(\"free\")"),
        (
            "PUT",
            "/event-definitions/visuals_sketch",
            json!({ "baseCredits": 5 }),
            "EventDefinition(\"visuals_sketch\")",
        ),
    ];
    for (method, path, body, want) in cases {
        world.operate(method, path, Some(body)).await.good();
        assert_eq!(gateway.told(), [want], "{method} {path}");
    }
    let limits = json!({ "usageLimits": { "monthlyCredits": 5 } }).to_string();
    world.call("olga", "PUT", "/api/organizations/acme/usage/management", Some(limits)).await.good();
    assert_eq!(gateway.told().first().map(String::as_str), Some("Organization(\"acme\")"));
    // A refused change is none.
    world.operate("PUT", "/plans/free", Some(json!({ "monthlyCredits": -5 }))).await.refused(400, "invalid_request");
    assert!(gateway.told().is_empty());
}
