//! What operators give back and take: in force for the next call, and in every sum.

use ledger::{Clock as _, Credits, NewPrice, Rerated, Rerating};
use serde_json::{Value, json};

use crate::world::{Answer, Gate, On, World, on_each_database, until};

const PATH: &str = "/api/admin/organizations/acme/adjustments";

on_each_database! {
    what_is_given_back_for_a_charge_can_be_spent_again_to_the_last_credit,
    what_is_taken_cannot_be_spent,
    an_adjustment_counts_in_the_month_in_which_it_is_made,
    adjustments_survive_a_restart,
    a_re_rating_beside_a_gateway_counts_there,
}

fn give(credits: i64) -> Value {
    json!({"direction": "give", "credits": credits, "reason": "the answer was empty"})
}

fn take(credits: i64) -> Value {
    json!({"direction": "take", "credits": credits, "reason": "given in error"})
}

async fn adjust(world: &World, key: &str, body: &Value) -> Value {
    let made = world.post(PATH, key, body).await;
    assert_eq!(made.status, 200, "{}", made.text());
    made.json()["adjustment"].take()
}

/// Calls until one is refused; how many were not.
async fn calls_until_refused(world: &World) -> usize {
    for calls in 0..100 {
        let answer = world.call("acme", "ann").await;
        if answer.status != 200 {
            assert_eq!(answer.refusal(), (402, "credit_limit_exceeded".to_owned()));
            return calls;
        }
    }
    panic!("no call was refused")
}

async fn what_is_given_back_for_a_charge_can_be_spent_again_to_the_last_credit(on: On) {
    let world = World::start_on(on).await;
    world.limit("acme", 30).await;
    let charged = world.call("acme", "ann").await.usage_headers().0.to_owned();
    assert_eq!(calls_until_refused(&world).await, 2);
    let mut body = give(10);
    body["adjusts"] = json!(charged);
    // Asked for three times, it is given once.
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(adjust(&world, "empty-answer", &body).await["id"].take());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    until("the given credits remain", || async { world.counter("acme").await["remaining"] == 10 }).await;
    assert_eq!(calls_until_refused(&world).await, 1);
    let event = world.owned("acme", &format!("/events/{}", ids[0].as_str().unwrap())).await["event"].take();
    assert_eq!((&event["creditsConsumed"], &event["user"]["id"]), (&json!(-10), &json!("ann")));
    assert_eq!(event["adjustment"]["adjusts"], json!(charged));
    // No more than was charged.
    assert_eq!(world.post(PATH, "again", &body).await.refusal(), (409, "conflict".to_owned()));
    world.end().await;
}

async fn what_is_taken_cannot_be_spent(on: On) {
    let world = World::start_on(on).await;
    world.limit("acme", 100).await;
    let refused = world.post(PATH, "k", &take(101)).await;
    assert_eq!(refused.refusal(), (409, "conflict".to_owned()));
    assert!(refused.text().contains("allowed: up to 100."), "{}", refused.text());
    let gate = Gate::new();
    world.backend.answers(Answer::default().held_by(&gate));
    let request = world.diagnosis("acme", "ann").json(&json!({"content": ["short"]}));
    let mut connection = request.start().await;
    world.backend.has_calls(1).await;
    // A call on its way holds 10.
    assert_eq!(world.post(PATH, "k", &take(91)).await.refusal(), (409, "conflict".to_owned()));
    if let On::Sqlite = on {
        adjust(&world, "k", &take(90)).await;
        assert_eq!(world.call("acme", "ann").await.refusal().0, 402);
    }
    gate.open();
    assert_eq!(request.answer(&mut connection).await.status, 200);
    world.backend.answers(Answer::default());
    if let On::Postgres = on {
        adjust(&world, "k", &take(50)).await;
        assert_eq!(calls_until_refused(&world).await, 4);
    }
    assert_eq!(world.counter("acme").await["remaining"], 0);
    world.end().await;
}

async fn an_adjustment_counts_in_the_month_in_which_it_is_made(on: On) {
    let world = World::start_on(on).await;
    world.limit("acme", 20).await;
    assert_eq!(calls_until_refused(&world).await, 2);
    world.at("2026-12-01T00:00:00Z");
    adjust(&world, "k", &give(10)).await;
    let counter = world.counter("acme").await;
    assert_eq!(
        (&counter["period"], &counter["used"], &counter["remaining"]),
        (&json!("2026-12"), &json!(-10), &json!(30))
    );
    assert_eq!(calls_until_refused(&world).await, 3);
    let november = world.owned("acme", "/dashboard?month=2026-11").await;
    assert_eq!(november["dashboard"]["overview"]["usedCredits"], 20);
    world.end().await;
}

async fn adjustments_survive_a_restart(on: On) {
    let mut world = World::start_on(on).await;
    world.limit("acme", 20).await;
    assert_eq!(calls_until_refused(&world).await, 2);
    adjust(&world, "k", &give(10)).await;
    world.restart().await;
    assert_eq!(calls_until_refused(&world).await, 1);
    adjust(&world, "k", &give(10)).await;
    assert_eq!(calls_until_refused(&world).await, 0, "one key is one adjustment");
    world.end().await;
}

async fn a_re_rating_beside_a_gateway_counts_there(on: On) {
    let world = World::start_on(on).await;
    world.limit("acme", 20).await;
    let calls = [world.call("acme", "ann").await, world.call("acme", "ann").await];
    let credits = |whole| Credits::from_whole(whole).unwrap();
    let mut prices = Vec::new();
    for call in &calls {
        // That it is in history says that it is in the store.
        let event = world.event(call).await;
        prices.push(NewPrice {
            event_id: event["id"].as_str().unwrap().parse().unwrap(),
            organization_id: "acme".parse().unwrap(),
            event_type: "structuring_diagnose".parse().unwrap(),
            charged: credits(10),
            price: credits(4),
            difference: credits(-6),
        });
    }
    let options = store::Options { url: world.database_url(), readers: 1, occupancy: store::Occupancy::Companion };
    let beside = store::open(options).await.unwrap();
    let actor =
        ledger::Actor { user_id: "op".into(), role: "command_line".into(), remote_address: None, request_id: None };
    let change = ledger::Change { actor, at: world.clock.now() };
    let by = Rerating {
        plan: "p".into(),
        plugin: ledger::PluginIdentity { name: "new".into(), version: "1".into(), sha256: "11".into() },
        reason: "priced too high".into(),
        request_id: "rerate-1".parse().unwrap(),
    };
    assert_eq!(beside.rerate(&by, &prices, &change).await.unwrap(), [Rerated::Made; 2]);
    beside.close().await;
    until("the gateway has heard of it", || async { world.counter("acme").await["remaining"] == 12 }).await;
    assert_eq!(calls_until_refused(&world).await, 1);
    let history = world.events("acme").await;
    let of_first = history.iter().find(|event| event["adjustment"]["adjusts"] == json!(prices[0].event_id)).unwrap();
    assert_eq!((&of_first["creditsConsumed"], &of_first["user"]["id"]), (&json!(-6), &json!("ann")));
    world.end().await;
}
