//! One `Idempotency-Key` at several gateways on one PostgreSQL: one call and one charge, whoever is asked.

use futures_util::future::join_all;
use serde_json::json;

use crate::world::{Answer, Answered, Gate, Request, World, diagnosis_path};

/// A diagnosis of Ann's under this key, through one of the gateways.
fn keyed(world: &World, gateway: usize, key: &str) -> Request {
    let request = world.request_through(gateway, "POST", &diagnosis_path("acme")).by(&world.credential("ann"));
    request.header("Idempotency-Key", key).json(&json!({"content": ["short"]}))
}

fn is_repeat(answer: &Answered) -> bool {
    answer.header("idempotency-replayed") == Some("true")
}

#[tokio::test(flavor = "multi_thread")]
async fn twins_over_the_gateways_make_one_call_and_one_charge_and_get_one_answer() {
    for gateways in [2, 3] {
        let world = World::with_gateways(gateways, &[]).await;
        for round in 1..=3 {
            let key = format!("key-{round}");
            let gate = Gate::new();
            world.backend.answers(Answer::default().held_by(&gate));
            let requests: Vec<Request> = (0..60).map(|call| keyed(&world, call, &key)).collect();
            let mut connections = join_all(requests.iter().map(Request::start)).await;
            world.backend.has_calls(round).await;
            gate.open();
            let answers = requests.iter().zip(&mut connections).map(|(request, line)| request.answer(line));
            let answers = join_all(answers).await;
            let first = answers[0].usage_headers();
            for answer in &answers {
                assert_eq!((answer.status, answer.text(), answer.usage_headers()), (200, answers[0].text(), first));
            }
            assert_eq!(answers.iter().filter(|answer| !is_repeat(answer)).count(), 1, "{gateways} gateways");
            assert_eq!(world.backend.calls(), round);
        }
        assert_eq!(world.counter("acme").await["used"], 30);
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_not_charged_leaves_its_key_to_a_twin_at_another_gateway() {
    let world = World::with_gateways(2, &[]).await;
    world.backend.answers(Answer::with("503 Busy", "", ""));
    assert_eq!(keyed(&world, 0, "k").send().await.status, 503);
    world.backend.answers(Answer::default());
    let answer = keyed(&world, 1, "k").send().await;
    assert_eq!((answer.status, is_repeat(&answer)), (200, false));
    let again = keyed(&world, 0, "k").send().await;
    assert_eq!((again.status, is_repeat(&again), again.text()), (200, true, answer.text()));
    // Another call under the key is refused, wherever it is sent.
    for gateway in 0..2 {
        let request = world.request_through(gateway, "POST", &diagnosis_path("acme")).by(&world.credential("ann"));
        let other = request.header("Idempotency-Key", "k").json(&json!({"content": ["other"]})).send().await;
        assert_eq!(other.refusal(), (422, "idempotency_key_reused".to_owned()));
    }
    assert_eq!(world.backend.calls(), 2);
    world.end().await;
}

/// Nobody knows whether the other gateway is dead, slow or cut off, nor whether its client has an answer.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_gateway_that_does_not_return_is_taken_until_its_window_ends() {
    let world = World::with_gateways(2, &[("IDEMPOTENCY__WAIT", "50ms")]).await;
    let gate = Gate::new();
    world.backend.answers(Answer::default().held_by(&gate));
    let first = keyed(&world, 1, "k");
    let mut connection = first.start().await;
    world.backend.has_calls(1).await;
    // Neither a long silence nor the end of all its leases is a reason to charge a second time.
    world
        .database()
        .execute("UPDATE leases SET expires_at_ms = 0, granted_micros = charged_micros, strikes = 99")
        .await
        .unwrap();
    for now in ["2026-11-10T12:00:00Z", "2026-11-11T11:59:59.999Z"] {
        world.at(now);
        assert_eq!(keyed(&world, 0, "k").send().await.refusal(), (409, "idempotency_in_progress".to_owned()), "{now}");
    }
    assert_eq!(world.backend.calls(), 1);
    world.at("2026-11-11T12:00:00Z");
    world.backend.answers(Answer::default());
    let answer = keyed(&world, 0, "k").send().await;
    assert_eq!((answer.status, is_repeat(&answer)), (200, false), "the window is over: it is another call");
    gate.open();
    let late = first.answer(&mut connection).await;
    assert_eq!(late.status, 200);
    let again = keyed(&world, 1, "k").send().await;
    assert_eq!(
        (is_repeat(&again), again.usage_headers()),
        (true, answer.usage_headers()),
        "the key is the later one's"
    );
    world.end().await;
}
