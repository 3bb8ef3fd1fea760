//! Clients that leave: what the backend did is charged as if they had stayed.

use serde_json::json;

use crate::world::{Answer, Gate, World, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_while_it_waits_is_charged_all_the_same() {
    let world = World::start().await;
    let gate = Gate::new();
    world.backend.answers(Answer::default().held_by(&gate));
    let connection = world.diagnosis("acme", "ann").json(&json!({"content": ["short"]})).start().await;
    world.backend.has_calls(1).await;
    drop(connection);
    assert_eq!(world.counter("acme").await["held"], 10);
    gate.open();
    until("the call is charged", || async { world.counter("acme").await["used"] == 10 }).await;
    let event = &world.events("acme").await[0];
    assert_eq!((&event["outcome"], &event["upstreamStatus"]), (&json!("captured"), &json!(200)));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_a_failure_is_not_charged_for_it() {
    let world = World::start().await;
    let gate = Gate::new();
    world.backend.answers(Answer::with("500 Oops", "", "sorry").held_by(&gate));
    let connection = world.diagnosis("acme", "ann").json(&json!({"content": ["short"]})).start().await;
    world.backend.has_calls(1).await;
    drop(connection);
    gate.open();
    until("the call is settled", || async { world.events("acme").await.len() == 1 }).await;
    assert_eq!(world.events("acme").await[0]["outcome"], "voided");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_in_mid_stream_is_charged_for_the_whole_stream() {
    let world = World::start().await;
    let gate = Gate::new();
    let stream = (0..2_000).fold(Answer::events("").chunk("data: first\n\n").after(&gate), |answer, _| {
        answer.chunk(format!("data: {}\n\n", "x".repeat(500)))
    });
    world.backend.answers(stream.chunk(""));
    let request = world.diagnosis("acme", "ann").json(&json!({"content": ["short"]}));
    let mut connection = request.start().await;
    request.note(&connection.head("POST").await);
    connection.piece().await.unwrap().unwrap();
    drop(connection);
    gate.open();
    until("the stream is charged", || async { world.counter("acme").await["used"] == 10 }).await;
    assert_eq!(world.events("acme").await[0]["outcome"], "captured");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_its_sending_half_still_gets_its_answer() {
    let world = World::start().await;
    let gate = Gate::new();
    world.backend.answers(Answer::default().held_by(&gate));
    let request = world.diagnosis("acme", "ann").json(&json!({"content": ["short"]}));
    let mut connection = request.start().await;
    connection.half_close().await;
    world.backend.has_calls(1).await;
    gate.open();
    assert_eq!(request.answer(&mut connection).await.usage_headers().1, "10");
    world.end().await;
}
