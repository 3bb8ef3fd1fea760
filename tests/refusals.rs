//! Refusals: which, in which order, in which shape; the backend is not called and nothing is charged.

use serde_json::json;

use crate::world::{Answer, Gate, OWNER, World, diagnosis_path};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_reason_to_refuse_is_the_one_that_is_given() {
    let world = World::with(&[("SERVER__MAX_BODY", "1KiB")]).await;
    world.organization("poor", json!({"usageLimits": {"monthlyCredits": 5}})).await;
    world.organization("canceled", json!({"subscriptionStatus": "canceled"})).await;
    for organization in ["poor", "canceled"] {
        world.member(organization, "ann", "member").await;
    }
    let (broken, large, fine) = ("{", "x".repeat(2_000), r#"{"content":["short"]}"#);
    let cases = [
        // Everything is wrong with the first; each that follows has one fault less.
        ("//structuring", None, "canceled", large.as_str(), 400, "path_not_canonical"),
        ("", None, "nowhere", &large, 401, "unauthenticated"),
        ("", Some("stranger"), "canceled", &large, 403, "forbidden"),
        ("", Some("ann"), "canceled", &large, 413, "body_too_large"),
        ("", Some("ann"), "canceled", broken, 400, "invalid_json"),
        ("", Some("ann"), "canceled", fine, 402, "billing_inactive"),
        ("", Some("ann"), "poor", fine, 402, "credit_limit_exceeded"),
    ];
    for (suffix, user, organization, body, status, code) in cases {
        let request = world.request("POST", &format!("{}{suffix}", diagnosis_path(organization))).body(body);
        let request = match user {
            Some(user) => request.by(&world.credential(user)),
            None => request,
        };
        assert_eq!(request.send().await.refusal(), (status, code.to_owned()));
    }
    let refused = world.call("poor", "ann").await.json();
    let want = (&json!(5), &json!(10), &json!("2026-12-01T00:00:00.000Z"));
    assert_eq!((&refused["remainingCredits"], &refused["creditsNeeded"], &refused["resetsAt"]), want);
    assert_eq!(world.backend.requests(), 0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_the_limit_passes_and_one_byte_more_does_not() {
    let world = World::with(&[("SERVER__MAX_BODY", "100KiB")]).await;
    let max = 100 * 1_024;
    for (bytes, want) in [(max, 200), (max + 1, 413), (4 * max, 413)] {
        let frame = r#"{"content":[""]}"#;
        let body = format!(r#"{{"content":["{}"]}}"#, "x".repeat(bytes - frame.len()));
        for chunk_bytes in [None, Some(1_000), Some(70_000)] {
            let request = world.diagnosis("acme", "ann").body(body.clone());
            let request = match chunk_bytes {
                Some(chunk_bytes) => request.chunked(chunk_bytes),
                None => request,
            };
            let answer = request.send().await;
            assert_eq!(answer.status, want, "{bytes} bytes in chunks of {chunk_bytes:?}");
            if want == 413 {
                assert_eq!(answer.refusal().1, "body_too_large");
            } else {
                assert_eq!(world.backend.last().body, body.as_bytes());
            }
        }
    }
    assert_eq!(world.backend.requests(), 3);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_json_is_refused_and_says_where() {
    let world = World::start().await;
    for body in ["{\"content\":", "{'content': 1}", "{\"a\":1}{", "nul", "[1,]", "{\"a\":\"\u{1}\"}", "\u{feff}{}"] {
        let answer = world.diagnosis("acme", "ann").body(body).send().await;
        assert_eq!(answer.refusal(), (400, "invalid_json".to_owned()), "{body:?}");
    }
    assert_eq!(world.backend.requests(), 0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_more_than_fit_is_told_to_come_back() {
    let world = World::with(&[("SERVER__MAX_IN_FLIGHT", "2")]).await;
    let gate = Gate::new();
    world.backend.answers(Answer::default().held_by(&gate));
    let requests =
        [world.diagnosis("acme", "ann"), world.diagnosis("acme", OWNER)].map(|request| request.json(&json!({})));
    let mut connections = [requests[0].start().await, requests[1].start().await];
    world.backend.has_calls(2).await;
    let refused = world.call("acme", "ann").await;
    assert_eq!(refused.refusal(), (429, "too_many_in_flight".to_owned()));
    gate.open();
    for (request, connection) in requests.iter().zip(&mut connections) {
        assert_eq!(request.answer(connection).await.status, 200);
    }
    assert_eq!(world.call("acme", "ann").await.status, 200);
    assert_eq!(world.backend.calls(), 3);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_cannot_be_reached_costs_nothing_and_leaves_no_event() {
    let mut world = World::start().await;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    world.set("UPSTREAM__URL", &format!("http://{address}"));
    world.restart().await;
    let answer = world.call("acme", "ann").await;
    assert_eq!(answer.refusal(), (502, "upstream_unavailable".to_owned()));
    assert_eq!(answer.header("x-usage-event-id"), None, "there is none");
    assert_eq!(world.counter("acme").await["available"], 5_000);
    assert!(world.events("acme").await.is_empty());
    assert_eq!(world.get("/elsewhere", "ann").await.refusal().0, 502, "unmetered paths alike");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_breaks_off_is_a_clean_502_that_costs_nothing() {
    let world = World::start().await;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let cases = [
        ("before its answer", Answer::nothing().close()),
        ("in its header", Answer::raw("HTTP/1.1 200 OK\r\nContent-").close()),
        ("in its body", Answer::raw(format!("{head}Content-Length: 100\r\n\r\n{{\"a\":")).close()),
        ("in its chunks", Answer::raw(format!("{head}Transfer-Encoding: chunked\r\n\r\n")).chunk("{\"a\":").close()),
        ("with no HTTP", Answer::raw("hello\r\n\r\n").close()),
    ];
    for (when, answer) in cases {
        world.backend.answers(answer);
        let answer = world.call("acme", "ann").await;
        assert_eq!(answer.refusal(), (502, "upstream_unavailable".to_owned()), "{when}");
        let event = world.event(&answer).await;
        assert_eq!((&event["outcome"], &event["creditsConsumed"]), (&json!("voided"), &json!(0)), "{when}");
        assert_eq!((answer.usage_headers().1, answer.usage_headers().2), ("0", "5000"), "{when}");
    }
    assert_eq!(world.backend.calls(), 5, "nothing is sent twice");
    assert_eq!(world.counter("acme").await["available"], 5_000);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_does_not_answer_in_time_is_a_504_that_costs_nothing() {
    let world = World::with(&[("UPSTREAM__RESPONSE_TIMEOUT", "150ms")]).await;
    let gate = Gate::new();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    for answer in [Answer::nothing().after(&gate), Answer::raw(head).after(&gate)] {
        world.backend.answers(answer);
        let refused = world.call("acme", "ann").await;
        assert_eq!(refused.refusal(), (504, "upstream_timeout".to_owned()));
        assert_eq!(world.event(&refused).await["outcome"], "voided");
        assert_eq!((refused.usage_headers().1, refused.usage_headers().2), ("0", "5000"));
    }
    assert_eq!(world.counter("acme").await["available"], 5_000);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settlement_of_failures_is_configuration() {
    let world = World::with(&[("SETTLEMENT__SERVER_ERROR", "capture"), ("SETTLEMENT__CLIENT_ERROR", "capture")]).await;
    for status in ["500 Oops", "422 No"] {
        world.backend.answers(Answer::with(status, "", "sorry"));
        let answer = world.call("acme", "ann").await;
        assert_eq!((answer.text().as_str(), answer.usage_headers().1), ("sorry", "10"));
    }
    world.end().await;
}
