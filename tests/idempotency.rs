//! Calls that carry an `Idempotency-Key`: one call and one charge, however often they are sent.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::world::{Answer, Answered, Gate, OWNER, On, Request, World, gzip, on_each_database};

on_each_database! {
    a_hundred_twins_at_once_make_one_call_and_one_charge,
    another_call_under_the_same_key_is_refused,
    an_answer_is_given_again_after_a_restart,
    a_key_is_free_again_where_nothing_was_charged,
    a_key_stands_until_its_window_ends,
}

const KEY: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";

/// A diagnosis of Ann's under this key.
fn keyed(world: &World, key: &str) -> Request {
    world.diagnosis("acme", "ann").header("Idempotency-Key", key).json(&json!({"content": ["short"]}))
}

fn is_repeat(answer: &Answered) -> bool {
    answer.header("idempotency-replayed") == Some("true")
}

async fn used(world: &World) -> Value {
    world.counter("acme").await["used"].take()
}

async fn a_hundred_twins_at_once_make_one_call_and_one_charge(on: On) {
    let world = World::start_on(on).await;
    let gate = Gate::new();
    world.backend.answers(Answer::default().held_by(&gate));
    let requests: Vec<Request> = (0..100).map(|_| keyed(&world, KEY)).collect();
    let mut connections = join_all(requests.iter().map(Request::start)).await;
    world.backend.has_calls(1).await;
    gate.open();
    let answers = requests.iter().zip(&mut connections).map(|(request, connection)| request.answer(connection));
    let answers = join_all(answers).await;
    let first = answers[0].usage_headers();
    for answer in &answers {
        assert_eq!((answer.status, answer.text(), answer.usage_headers()), (200, answers[0].text(), first));
    }
    assert_eq!(answers.iter().filter(|answer| !is_repeat(answer)).count(), 1);
    assert_eq!((world.backend.calls(), used(&world).await), (1, json!(10)));
    let metrics = world.metrics().await;
    assert!(metrics.contains("gateway_idempotency_total{result=\"first\"} 1\n"), "{metrics}");
    assert!(metrics.contains("gateway_idempotency_total{result=\"replayed\"} 99\n"), "{metrics}");
    world.end().await;
}

async fn another_call_under_the_same_key_is_refused(on: On) {
    let world = World::start_on(on).await;
    world.organization("other", json!({})).await;
    let gate = Gate::new();
    world.backend.answers(Answer::default().held_by(&gate));
    let first = keyed(&world, KEY);
    let mut connection = first.start().await;
    world.backend.has_calls(1).await;
    let path = "/api/organizations/acme/structuring/analyze-pain-points";
    let under_the_key = |request: Request| request.header("Idempotency-Key", KEY);
    let others = || {
        [
            under_the_key(world.diagnosis("acme", "ann")).json(&json!({"content": ["other"]})),
            under_the_key(world.diagnosis("acme", OWNER)).json(&json!({"content": ["short"]})),
            under_the_key(world.request("POST", &format!("{path}?a=b")).by(&world.credential("ann")))
                .json(&json!({"content": ["short"]})),
        ]
    };
    for other in others() {
        assert_eq!(other.send().await.refusal(), (422, "idempotency_key_reused".to_owned()), "while it is on its way");
    }
    gate.open();
    assert_eq!(first.answer(&mut connection).await.status, 200);
    for other in others() {
        assert_eq!(other.send().await.refusal(), (422, "idempotency_key_reused".to_owned()));
    }
    assert_eq!(world.backend.calls(), 1);
    // The same key elsewhere is another key; quotes make it no other one.
    assert!(is_repeat(&keyed(&world, &format!("\"{KEY}\"")).send().await));
    let enhance = world.request("POST", "/api/organizations/acme/solutioning/enhance-text");
    let elsewhere = [
        under_the_key(enhance.by(&world.credential("ann"))).json(&json!({"text": "short"})),
        under_the_key(world.diagnosis("other", OWNER)).json(&json!({"content": ["short"]})),
    ];
    for other in elsewhere {
        let answer = other.send().await;
        assert_eq!((answer.status, is_repeat(&answer)), (200, false));
    }
    assert_eq!(world.backend.calls(), 3);
    world.end().await;
}

async fn an_answer_is_given_again_after_a_restart(on: On) {
    let mut world = World::start_on(on).await;
    let answers = [
        Answer::with(
            "201 Created",
            "Content-Type: application/json\r\nSet-Cookie: a=b\r\nX-Model: m\r\n",
            r#"{"a":1}"#,
        ),
        Answer::with("200 OK", "Content-Type: image/png\r\n", [0xff, 0, 0xfe]),
        Answer::with("200 OK", "Content-Type: application/json\r\nContent-Encoding: gzip\r\n", gzip(r#"{"a":1}"#)),
        Answer::raw("HTTP/1.1 204 No Content\r\n\r\n"),
    ];
    let mut before = Vec::new();
    for (number, answer) in answers.into_iter().enumerate() {
        world.backend.answers(answer);
        before.push(keyed(&world, &number.to_string()).send().await);
    }
    world.restart().await;
    for (number, before) in before.iter().enumerate() {
        let again = keyed(&world, &number.to_string()).send().await;
        assert!(is_repeat(&again) && !is_repeat(before));
        assert_eq!((again.status, &again.body), (before.status, &before.body));
        assert_eq!(again.usage_headers(), before.usage_headers());
        for kept in ["content-type", "content-encoding", "content-length", "x-model"] {
            assert_eq!(again.header(kept), before.header(kept), "{kept}");
        }
        assert_eq!(again.header("set-cookie"), None);
        assert_ne!(again.header("x-request-id"), before.header("x-request-id"));
    }
    assert_eq!((world.backend.calls(), used(&world).await), (4, json!(40)));
    world.end().await;
}

async fn a_key_is_free_again_where_nothing_was_charged(on: On) {
    let world = World::start_on(on).await;
    for (status, body) in [("500 Internal Server Error", "{}"), ("429 Too Many Requests", "{}"), ("302 Found", "")] {
        world.backend.answers(Answer::with(status, "", body));
        for _ in 0..2 {
            let answer = keyed(&world, KEY).send().await;
            assert!(status.starts_with(&answer.status.to_string()) && !is_repeat(&answer));
        }
    }
    world.backend.answers(Answer::nothing().close());
    assert_eq!(keyed(&world, KEY).send().await.status, 502);
    // What is refused is not charged either, and another body may take the key.
    world.limit("acme", 5).await;
    assert_eq!(keyed(&world, KEY).send().await.refusal().0, 402);
    world.limit("acme", 50).await;
    world.backend.answers(Answer::default());
    let longer = world.diagnosis("acme", "ann").header("Idempotency-Key", KEY).json(&json!({"content": ["other"]}));
    let (first, again) = (longer.send().await, longer.send().await);
    assert_eq!((first.status, is_repeat(&first), is_repeat(&again)), (200, false, true));
    assert_eq!((world.backend.calls(), used(&world).await), (8, json!(10)));
    world.end().await;
}

async fn a_key_stands_until_its_window_ends(on: On) {
    let world = World::with_on(on, &[("IDEMPOTENCY__WINDOW", "1h"), ("IDEMPOTENCY__MAX_KEYS", "2")]).await;
    let first = keyed(&world, KEY).send().await;
    assert_eq!(keyed(&world, "another").send().await.status, 200);
    assert_eq!(keyed(&world, "one more").send().await.refusal(), (400, "idempotency_key_invalid".to_owned()));
    assert_eq!(keyed(&world, "one-more").send().await.refusal(), (429, "too_many_idempotency_keys".to_owned()));
    world.at("2026-11-10T12:59:59.999Z");
    let again = keyed(&world, KEY).send().await;
    assert_eq!((is_repeat(&again), again.usage_headers()), (true, first.usage_headers()));
    world.at("2026-11-10T13:00:00Z");
    let anew = keyed(&world, KEY).send().await;
    assert_eq!((anew.status, is_repeat(&anew), world.backend.calls()), (200, false, 3));
    assert_ne!(anew.usage_headers().0, first.usage_headers().0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_table_a_call_with_a_key_is_refused_and_one_without_goes_on() {
    let world = World::start_on(On::Postgres).await;
    world.database().execute("ALTER TABLE idempotency_keys RENAME TO elsewhere").await.unwrap();
    assert_eq!(keyed(&world, KEY).send().await.refusal(), (503, "store_unavailable".to_owned()));
    assert_eq!(world.call("acme", "ann").await.status, 200, "a call without a key asks no database for one");
    assert_eq!(world.backend.calls(), 1);
    world.database().execute("ALTER TABLE elsewhere RENAME TO idempotency_keys").await.unwrap();
    assert_eq!(keyed(&world, KEY).send().await.status, 200);
    assert!(is_repeat(&keyed(&world, KEY).send().await));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_a_charged_call_is_never_charged_again() {
    let world = World::start().await;
    let first = keyed(&world, KEY).send().await;
    world.backend.answers(Answer::events("").chunk("data: 1\n\n").chunk(""));
    let stream = keyed(&world, "stream").send().await;
    let reborn = world.after_a_kill(2).await;
    let again = keyed(&reborn, KEY).send().await;
    assert!(is_repeat(&again));
    assert_eq!((again.text(), again.usage_headers()), (first.text(), first.usage_headers()));
    let lost = keyed(&reborn, "stream").send().await;
    assert_eq!(lost.refusal(), (409, "idempotency_answer_not_kept".to_owned()));
    assert_eq!(lost.json()["usageEventId"].as_str(), stream.header("x-usage-event-id"));
    assert_eq!((reborn.backend.calls(), used(&reborn).await), (0, json!(20)));
    reborn.end().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_in_mid_call_the_key_is_free_unless_the_call_is_charged() {
    for (policy, freed) in [("void", true), ("capture", false)] {
        let world = World::with(&[("SETTLEMENT__INTERRUPTED", policy)]).await;
        let gate = Gate::new();
        world.backend.answers(Answer::default().held_by(&gate));
        let request = keyed(&world, KEY);
        let mut connection = request.start().await;
        world.backend.has_calls(1).await;
        let reborn = world.after_a_kill(1).await;
        let again = keyed(&reborn, KEY).send().await;
        if freed {
            assert_eq!((again.status, is_repeat(&again)), (200, false));
            assert!(is_repeat(&keyed(&reborn, KEY).send().await));
        } else {
            assert_eq!(again.refusal(), (409, "idempotency_answer_not_kept".to_owned()));
        }
        assert_eq!(used(&reborn).await, 10, "one charge");
        reborn.end().await;
        gate.open();
        assert_eq!(request.answer(&mut connection).await.status, 200);
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_kept_up_to_the_limit_and_a_longer_one_is_charged_once() {
    let world = World::start().await;
    let first = keyed(&world, KEY).send().await;
    let bytes = first.body.len();
    world.end().await;
    for (max, kept) in [(bytes, true), (bytes - 1, false)] {
        let world = World::with(&[("IDEMPOTENCY__MAX_ANSWER", &max.to_string())]).await;
        let first = keyed(&world, KEY).send().await;
        assert_eq!((first.status, first.body.len()), (200, bytes));
        let again = keyed(&world, KEY).send().await;
        if kept {
            assert!(is_repeat(&again));
        } else {
            assert_eq!(again.refusal(), (409, "idempotency_answer_not_kept".to_owned()));
            assert_eq!(again.header("x-usage-event-id"), first.header("x-usage-event-id"));
        }
        assert_eq!((world.backend.calls(), used(&world).await), (1, json!(10)));
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_and_an_answer_that_is_passed_on_are_charged_once_and_not_given_again() {
    let world = World::with(&[("UPSTREAM__MAX_RESPONSE", "100")]).await;
    let answers =
        [Answer::events("").chunk("data: 1\n\n").chunk(""), Answer::json(json!({"a": "x".repeat(200)}).to_string())];
    for (number, answer) in answers.into_iter().enumerate() {
        world.backend.answers(answer);
        let first = keyed(&world, &number.to_string()).send().await;
        assert!(first.status == 200 && first.complete);
        let again = keyed(&world, &number.to_string()).send().await;
        assert_eq!(again.refusal(), (409, "idempotency_answer_not_kept".to_owned()));
        assert_eq!(again.json()["usageEventId"].as_str(), first.header("x-usage-event-id"));
    }
    assert_eq!((world.backend.calls(), used(&world).await), (2, json!(20)));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charged_failure_is_given_again() {
    let world = World::with(&[("SETTLEMENT__SERVER_ERROR", "capture")]).await;
    world.backend.answers(Answer::with("500 Internal Server Error", "", "broken"));
    let (first, again) = (keyed(&world, KEY).send().await, keyed(&world, KEY).send().await);
    assert_eq!((again.status, again.text(), is_repeat(&again)), (500, first.text(), true));
    assert_eq!((world.backend.calls(), used(&world).await), (1, json!(10)));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_twin_waits_no_longer_than_it_may() {
    let world = World::with(&[("IDEMPOTENCY__WAIT", "50ms")]).await;
    let gate = Gate::new();
    world.backend.answers(Answer::default().held_by(&gate));
    let request = keyed(&world, KEY);
    let mut connection = request.start().await;
    world.backend.has_calls(1).await;
    assert_eq!(keyed(&world, KEY).send().await.refusal(), (409, "idempotency_in_progress".to_owned()));
    gate.open();
    assert_eq!(request.answer(&mut connection).await.status, 200);
    assert!(is_repeat(&keyed(&world, KEY).send().await));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_none_is_refused_and_on_free_requests_it_means_nothing() {
    let world = World::start().await;
    let longest = "k".repeat(255);
    for (key, status) in [("", 400), ("\"", 400), ("a,b", 400), (&format!("{longest}k"), 400), (&longest, 200)] {
        let answer = keyed(&world, key).send().await;
        assert_eq!(answer.status, status, "{key}: {}", answer.text());
        if status == 400 {
            assert_eq!(answer.refusal().1, "idempotency_key_invalid");
            assert!(answer.text().contains("allowed: one, of 1 to 255"), "{}", answer.text());
        }
    }
    assert_eq!(keyed(&world, "a").header("Idempotency-Key", "b").send().await.refusal().0, 400);
    let stranger = world.diagnosis("acme", "nobody").header("Idempotency-Key", &longest);
    let stranger = stranger.json(&json!({"content": ["short"]})).send().await;
    assert_eq!(stranger.refusal().0, 403, "who may not call is not told what others were");
    for _ in 0..2 {
        let request = world.request("GET", "/elsewhere").header("Idempotency-Key", "no, key");
        assert_eq!(request.send().await.status, 200);
    }
    assert_eq!((world.backend.calls(), world.backend.requests()), (1, 3));
    world.end().await;
}
