//! Ends and beginnings: a stop, a kill, a second gateway.

use std::sync::Arc;

use serde_json::json;

use crate::world::{Answer, Gate, On, World, on_each_database};

on_each_database! {
    after_a_restart_the_numbers_are_the_same,
    a_stop_lets_the_calls_on_their_way_end,
}

async fn after_a_restart_the_numbers_are_the_same(on: On) {
    let mut world = World::start_on(on).await;
    world.limit("acme", 30).await;
    for _ in 0..2 {
        assert_eq!(world.call("acme", "ann").await.status, 200);
    }
    let (counter, dashboard, events) =
        (world.counter("acme").await, world.dashboard("acme").await, world.events("acme").await);
    world.restart().await;
    assert_eq!(world.counter("acme").await, counter);
    assert_eq!(world.dashboard("acme").await, dashboard);
    assert_eq!(world.events("acme").await, events);
    assert_eq!(world.call("acme", "ann").await.usage_headers().2, "0");
    assert_eq!(world.call("acme", "ann").await.refusal().0, 402);
    world.end().await;
}

async fn a_stop_lets_the_calls_on_their_way_end(on: On) {
    let mut world = World::start_on(on).await;
    let gate = Gate::new();
    world.backend.answers(Answer::default().held_by(&gate));
    let request = world.diagnosis("acme", "ann").json(&json!({"content": ["short"]}));
    let mut connection = request.start().await;
    world.backend.has_calls(1).await;
    let letting_go = async {
        // The port is closed once the stop is under way.
        let address = connection.peer();
        crate::world::until("the port is closed", || async { tokio::net::TcpStream::connect(address).await.is_err() })
            .await;
        gate.open();
        request.answer(&mut connection).await
    };
    let (answer, ()) = tokio::join!(letting_go, world.restart());
    assert_eq!((answer.status, answer.usage_headers().1), (200, "10"));
    assert_eq!(world.counter("acme").await["used"], 10);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_leaves_every_hold_as_an_interrupted_event_that_costs_nothing() {
    let world = World::start().await;
    assert_eq!(world.call("acme", "ann").await.status, 200);
    let gate = Gate::new();
    world.backend.answers(Answer::default().held_by(&gate));
    let requests: Vec<_> =
        (0..3).map(|_| world.diagnosis("acme", "ann").json(&json!({"content": ["short"]}))).collect();
    let mut connections = Vec::new();
    for request in &requests {
        connections.push(request.start().await);
    }
    world.backend.has_calls(4).await;
    let reborn = world.after_a_kill(4).await;
    let counter = reborn.counter("acme").await;
    assert_eq!((&counter["used"], &counter["held"]), (&json!(10), &json!(0)));
    let interrupted = reborn.events("acme").await;
    let interrupted: Vec<_> = interrupted.iter().filter(|event| event["outcome"] == "interrupted").collect();
    assert_eq!(interrupted.len(), 3);
    assert!(interrupted.iter().all(|event| event["creditsConsumed"] == 0 && event["held"] == 10));
    assert_eq!(reborn.call("acme", "ann").await.usage_headers().2, "4980");
    reborn.end().await;
    gate.open();
    for (request, connection) in requests.iter().zip(&mut connections) {
        assert_eq!(request.answer(connection).await.status, 200);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_a_client_saw_survives_a_kill_at_once() {
    let world = World::start().await;
    for calls in 1..=5 {
        let answer = world.call("acme", "ann").await;
        let id = answer.usage_headers().0.to_owned();
        let reborn = world.after_a_kill(calls).await;
        let event = reborn.owned("acme", &format!("/events/{id}")).await;
        assert_eq!((&event["event"]["outcome"], &event["event"]["creditsConsumed"]), (&json!("captured"), &json!(10)));
        reborn.end().await;
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_calls_are_charged_where_the_configuration_says_so() {
    let world = World::with(&[("SETTLEMENT__INTERRUPTED", "capture")]).await;
    let gate = Gate::new();
    world.backend.answers(Answer::default().held_by(&gate));
    let request = world.diagnosis("acme", "ann").json(&json!({"content": ["short"]}));
    let mut connection = request.start().await;
    world.backend.has_calls(1).await;
    let reborn = world.after_a_kill(1).await;
    assert_eq!(reborn.counter("acme").await["used"], 10);
    assert_eq!(reborn.events("acme").await[0]["creditsConsumed"], 10);
    reborn.end().await;
    gate.open();
    request.answer(&mut connection).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_gateway_on_the_same_sqlite_database_does_not_start() {
    let world = World::start().await;
    let second = gateway::start(world.options(), Arc::clone(&world.clock) as Arc<dyn ledger::Clock>).await;
    let why = format!("{:#}", second.err().expect("a second gateway started"));
    assert!(why.contains("database.url") && why.contains("another"), "{why}");
    assert_eq!(world.call("acme", "ann").await.status, 200);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_the_routes_for_the_next_call() {
    let mut world = World::start().await;
    assert_eq!(world.call("acme", "ann").await.status, 200);
    world.set("SERVER__MAX_BODY", "10");
    world.running().reload(&world.options()).unwrap();
    assert_eq!(world.call("acme", "ann").await.refusal().0, 413);
    world.set("SERVER__MAX_BODY", "1KiB");
    world.running().reload(&world.options()).unwrap();
    assert_eq!(world.call("acme", "ann").await.status, 200);
    world.end().await;
}
