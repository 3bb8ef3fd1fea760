//! What operators give back and take.

use std::sync::Arc;

use async_trait::async_trait;
use ledger::{Book, BookSnapshot, Changed, Credits, Grant, Hold, HoldRefused, Limit, OrganizationId, Period};
use serde_json::{Value, json};

use super::{World, event};
use crate::{Live, NotSetAside};

const PATH: &str = "/organizations/acme/adjustments";

fn give(credits: i64) -> Value {
    json!({ "direction": "give", "credits": credits, "reason": "the answer was empty" })
}

fn take(credits: i64) -> Value {
    json!({ "direction": "take", "credits": credits, "reason": "given in error" })
}

#[tokio::test]
async fn an_adjustment_shows_in_history_dashboard_counter_and_audit_alike() {
    let world = World::new().await;
    let charge = event("2026-10-20T10:00:00Z", "mia", "structuring_diagnose", 28);
    world.record(&[charge.clone(), event("2026-11-20T10:00:00Z", "vic", "structuring_diagnose", 10)]).await;
    let mut body = give(28);
    body["adjusts"] = json!(charge.id);
    let made = world.post(PATH, "k1", &body).await.good();
    let id = made["adjustment"]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        made,
        json!({ "success": true, "repeated": false, "adjustment": {
            "id": id, "organizationId": "acme", "userId": "mia", "direction": "give", "credits": 28, "creditsConsumed": -28,
            "reason": "the answer was empty", "adjusts": charge.id, "madeBy": "root", "createdAt": "2026-11-24T12:00:00.000Z" } })
    );
    let history = world.get("olga", "/history").await.good();
    let shown = &history["events"][0];
    assert_eq!(
        (&shown["outcome"], &shown["creditsConsumed"], &shown["eventType"]),
        (&json!("adjusted"), &json!(-28), &json!("adjustment"))
    );
    let note = json!({ "reason": "the answer was empty", "adjusts": charge.id, "madeBy": "root" });
    assert_eq!((&shown["adjustment"], &shown["user"]["name"]), (&note, &json!("Name of mia")));
    assert!(history["events"][1].get("adjustment").is_none());
    let explained = &world.get("mia", &format!("/events/{id}")).await.good()["event"];
    assert_eq!(
        (&explained["plugin"], &explained["items"]),
        (&json!(null), &json!([{ "label": "adjustment", "credits": -28 }]))
    );
    let dashboard = &world.get("olga", "/dashboard").await.good()["dashboard"];
    assert_eq!(
        (&dashboard["overview"]["usedCredits"], &dashboard["overview"]["remainingCredits"]),
        (&json!(-18), &json!(118))
    );
    assert_eq!(dashboard["overview"]["percentageUsed"], 0);
    assert_eq!(dashboard["events"]["breakdown"]["adjustment"], json!({ "count": 1, "credits": -28 }));
    assert_eq!(dashboard["users"]["breakdown"]["mia"]["credits"], -28);
    // Calls go on as they went, 10 in 24 days; what was given was given once.
    assert_eq!(dashboard["analytics"]["forecast"]["projectedCredits"], json!(-15.5));
    assert_eq!(world.get("mia", "/me").await.good()["usage"]["usedCredits"], -28);
    let counter = &world.get("olga", "").await.good()["usage"];
    assert_eq!(
        (&counter["used"], &counter["remaining"], &counter["calls"]["used"]),
        (&json!(-18), &json!(118), &json!(1))
    );
    let audit = &world.get("bill", "/audit?limit=1").await.good()["entries"][0];
    assert_eq!((&audit["action"], &audit["target"]), (&json!("adjustment.make"), &json!(format!("event:{id}"))));
    assert_eq!(world.get("olga", "/dashboard?month=2026-10").await.good()["dashboard"]["overview"]["usedCredits"], 28);
}

#[tokio::test]
async fn a_key_is_one_adjustment_and_pages_follow_each_other() {
    let world = World::new().await;
    let first = world.post(PATH, "k", &give(5)).await.good();
    world.clock.advance_ms(60_000);
    let again = world.post(PATH, "k", &give(5)).await.good();
    assert_eq!((&again["adjustment"], &again["repeated"]), (&first["adjustment"], &json!(true)));
    for other in [give(6), take(5), json!({ "direction": "give", "credits": 5, "reason": "another" })] {
        world.post(PATH, "k", &other).await.refused(422, "idempotency_key_reused");
    }
    // What was taken can be repeated when nothing is left.
    world.post(PATH, "all", &take(105)).await.good();
    assert_eq!(world.post(PATH, "all", &take(105)).await.good()["repeated"], true);
    world.clock.advance_ms(1);
    world.post(PATH, "last", &give(1)).await.good();
    let page = world.operate("GET", &format!("{PATH}?limit=2"), None).await.good();
    let directions = |page: &Value| -> Vec<(String, Value)> {
        let shown = page["adjustments"].as_array().unwrap().iter();
        shown.map(|it| (it["direction"].as_str().unwrap().to_owned(), it["credits"].clone())).collect()
    };
    assert_eq!(directions(&page), [("give".to_owned(), json!(1)), ("take".to_owned(), json!(105))]);
    let rest = format!("{PATH}?limit=2&cursor={}", page["cursor"].as_str().unwrap());
    let rest = world.operate("GET", &rest, None).await.good();
    assert_eq!((directions(&rest), &rest["cursor"]), (vec![("give".to_owned(), json!(5))], &json!(null)));
    for query in ["limit=0", "limit=101", "cursor=x", "page=1"] {
        world.operate("GET", &format!("{PATH}?{query}"), None).await.refused(400, "invalid_request");
    }
}

#[tokio::test]
async fn an_adjustment_with_a_fault_is_not_made_and_names_the_field() {
    let world = World::new().await;
    let charge = event("2026-11-20T10:00:00Z", "mia", "structuring_diagnose", 28);
    world.record(std::slice::from_ref(&charge)).await;
    let with = |field: &str, value: Value| {
        let mut body = give(5);
        body[field] = value;
        body
    };
    let cases = [
        (with("credits", json!(0)), "credits: an amount is above 0 and at most 1000000000"),
        (with("credits", json!(-5)), "credits: an amount is above 0"),
        (with("credits", json!(1_000_000_000.5)), "credits: an amount is above 0 and at most 1000000000"),
        (with("credits", json!("5")), "credits: an amount is above 0"),
        (with("direction", json!("up")), "direction: unknown variant `up`, expected `give` or `take`"),
        (with("reason", json!(" ")), "reason: a text of 1 to 500 bytes"),
        (with("reason", json!("x".repeat(501))), "reason: a text of 1 to 500 bytes"),
        (with("reason", json!(null)), "reason"),
        (with("adjusts", json!("evt_1")), "adjusts: a usage event id"),
        (with("userId", json!("")), "userId: a user id must have 1 to 256 bytes"),
        (with("other", json!(1)), "other: unknown field"),
        (json!({ "credits": 5, "reason": "x" }), "missing field `direction`"),
    ];
    for (body, part) in cases {
        let sentence = world.post(PATH, "k", &body).await.refused(400, "invalid_request");
        assert!(sentence.contains(part), "{body}: {sentence}");
    }
    for key in ["", "with a blank", &"k".repeat(256)] {
        let sentence = world.post(PATH, key, &give(5)).await.refused(400, "invalid_request");
        assert!(sentence.starts_with("Idempotency-Key: "), "{sentence}");
    }
    let of_charge = |credits: i64| {
        let mut body = give(credits);
        body["adjusts"] = json!(charge.id);
        body
    };
    let sentence = world.post(PATH, "k", &of_charge(29)).await.refused(409, "conflict");
    assert!(sentence.contains("allowed: up to 28"), "{sentence}");
    let sentence = world.post(PATH, "k", &take(73)).await.refused(409, "conflict");
    assert!(sentence.contains("allowed: up to 72"), "{sentence}");
    let mut strange = give(1);
    strange["adjusts"] = json!(event("2026-11-20T10:00:00Z", "mia", "structuring_diagnose", 28).id);
    world.post(PATH, "k", &strange).await.refused(404, "not_found");
    world.post("/organizations/nobody/adjustments", "k", &give(1)).await.refused(404, "not_found");
    world.post("/organizations/nobody/adjustments", "k", &take(1)).await.refused(404, "not_found");
    world.operate("GET", "/organizations/nobody/adjustments", None).await.refused(404, "not_found");
    assert_eq!(world.operate("GET", PATH, None).await.good()["adjustments"], json!([]));
    // At the bounds.
    world.post(PATH, &"k".repeat(255), &with("reason", json!("x".repeat(500)))).await.good();
    world.post(PATH, "most", &give(1_000_000_000)).await.good();
    for (user, method) in [("olga", "GET"), ("olga", "POST")] {
        world.call(user, method, &format!("/api/admin{PATH}"), None).await.refused(403, "forbidden");
    }
}

/// A gateway whose book for Acme holds 30 of 100 credits that the store knows nothing of.
struct Busy(Arc<Book>);

#[async_trait]
impl Live for Busy {
    async fn snapshot(&self, id: &OrganizationId, _period: Period) -> Option<BookSnapshot> {
        (id.as_str() == "acme").then(|| self.0.snapshot())
    }

    async fn set_aside(
        &self,
        _id: &OrganizationId,
        _period: Period,
        amount: Credits,
        limit: Limit,
    ) -> Result<Option<Hold>, NotSetAside> {
        self.0.open(amount, Grant { credits: limit, calls: None }).map(Some).map_err(|why| match why {
            HoldRefused::Credits { available, .. } => NotSetAside::Remaining(available),
            other => panic!("{other}"),
        })
    }

    async fn caught_up(&self) {}

    async fn changed(&self, _changed: &Changed) {}
}

#[tokio::test]
async fn what_calls_on_their_way_hold_is_not_taken() {
    let book = Book::new(Credits::ZERO, 0);
    let whole = |credits| Credits::from_whole(credits).unwrap();
    let hold = book.open(whole(30), Grant { credits: Limit::Credits(whole(100)), calls: None }).unwrap();
    let world = World::with(Arc::new(Busy(Arc::clone(&book)))).await;
    let sentence = world.post(PATH, "k", &take(71)).await.refused(409, "conflict");
    assert!(sentence.contains("allowed: up to 70"), "{sentence}");
    world.post(PATH, "k", &take(70)).await.good();
    assert_eq!((book.snapshot().held, hold.amount()), (whole(30), whole(30)), "what was set aside is let go");
    world.post(PATH, "more", &give(200)).await.good();
}
