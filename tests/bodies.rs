//! Bodies on their way to the backend: in any framing, of any size, byte for byte.

use serde_json::json;

use crate::world::{Connection, World, diagnosis_path};

/// A megabyte of JSON whose spacing and numbers no serialiser would keep.
fn megabyte() -> Vec<u8> {
    let mut body =
        b"{ \"content\" : [\"short\"],\n\t\"n\":1.50e+2, \"n\": 0.10000000000000000000001,\"fill\":\"".to_vec();
    while body.len() < 1 << 20 {
        body.extend("0123456789\\u00e9é".bytes());
    }
    body.extend(b"\" }\r\n ");
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_megabyte_arrives_byte_for_byte_in_either_framing() {
    let world = World::start().await;
    let body = megabyte();
    for chunk_bytes in [None, Some(777), Some(200_000)] {
        let request = world.diagnosis("acme", "ann").header("X-Custom", "kept").body(body.clone());
        let request = match chunk_bytes {
            Some(chunk_bytes) => request.chunked(chunk_bytes),
            None => request,
        };
        let answer = request.send().await;
        assert_eq!(answer.json()["usage"]["creditsConsumed"], 10, "{chunk_bytes:?}");
        let received = world.backend.last();
        assert!(received.body == body, "{chunk_bytes:?}");
        assert_eq!(received.header("content-length"), Some(body.len().to_string().as_str()));
        assert_eq!(received.header("transfer-encoding"), None);
        assert_eq!((received.header("x-custom"), received.header("host")), (Some("kept"), Some("app.example")));
    }
    assert_eq!(world.backend.calls(), 3);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_100_continue_is_told_to_go_on_and_may_call_again() {
    let world = World::start().await;
    let address = world.running().address;
    let mut connection = Connection::open(address).await;
    for _ in 0..2 {
        let request =
            world.diagnosis("acme", "ann").header("Expect", "100-continue").json(&json!({"content": ["short"]}));
        connection.send(&request.head_bytes()).await;
        assert_eq!(connection.head("POST").await.status, 100);
        connection.send(&request.body_bytes()).await;
        let answer = request.answer(&mut connection).await;
        assert_eq!((answer.status, answer.usage_headers().1), (200, "10"));
        assert_eq!(world.backend.last().header("expect"), None);
    }
    // One that is refused before its body is read is not asked for it.
    let refused =
        world.diagnosis("acme", "stranger").header("Expect", "100-continue").json(&json!({"content": ["short"]}));
    connection.send(&refused.head_bytes()).await;
    assert_eq!(connection.head("POST").await.status, 403);
    assert_eq!(world.backend.calls(), 2);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_follow_each_other_on_one_connection() {
    let world = World::start().await;
    let mut connection = Connection::open(world.running().address).await;
    for (n, left) in [(1, "4990"), (2, "4980"), (3, "4970")] {
        let request = world.diagnosis("acme", "ann").json(&json!({"content": ["short"], "n": n})).chunked(5 * n);
        connection.send(&request.head_bytes()).await;
        connection.send(&request.body_bytes()).await;
        assert_eq!(request.answer(&mut connection).await.usage_headers().2, left);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_sent_before_the_first_ones_answer_is_not_taken_and_not_charged() {
    let world = World::start().await;
    let mut connection = Connection::open(world.running().address).await;
    let request = world.diagnosis("acme", "ann").json(&json!({"content": ["short"]}));
    let one = [request.head_bytes(), request.body_bytes()].concat();
    connection.send(&[one.clone(), one].concat()).await;
    assert_eq!(request.answer(&mut connection).await.usage_headers().2, "4990");
    assert!(connection.is_over().await, "the client sees that its second call was not taken");
    assert_eq!(world.backend.calls(), 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_the_clients_connection_do_not_reach_the_backend() {
    let world = World::start().await;
    let request = world.diagnosis("acme", "ann").json(&json!({}));
    let request =
        request.header("Connection", "keep-alive, X-Secret").header("X-Secret", "1").header("Keep-Alive", "timeout=5");
    let request = request.header("TE", "trailers").header("Proxy-Authorization", "Basic eA==").header("Upgrade", "h2c");
    assert_eq!(request.send().await.status, 200);
    let received = world.backend.last();
    for name in ["x-secret", "keep-alive", "te", "proxy-authorization", "upgrade", "connection"] {
        assert_eq!(received.header(name), None, "{name}");
    }
    assert!(received.header("authorization").is_some());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_comes_whole_calls_nobody() {
    let world = World::with(&[("SERVER__BODY_TIMEOUT", "150ms")]).await;
    let request = world.diagnosis("acme", "ann").json(&json!({"content": ["short"]}));
    let mut slow = Connection::open(world.running().address).await;
    slow.send(&request.head_bytes()).await;
    slow.send(b"{\"content\":").await;
    assert_eq!(request.answer(&mut slow).await.refusal(), (408, "body_timeout".to_owned()));
    let mut leaving = Connection::open(world.running().address).await;
    leaving.send(&request.head_bytes()).await;
    drop(leaving);
    assert_eq!(world.call("acme", "ann").await.status, 200);
    assert_eq!(world.backend.calls(), 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_take_no_place_from_others_and_are_bounded_by_their_bytes() {
    let world =
        World::with(&[("SERVER__MAX_IN_FLIGHT", "2"), ("SERVER__MAX_BODY", "1000"), ("SERVER__MAX_ARRIVING", "1000")])
            .await;
    let long = world.diagnosis("acme", "ann").body(format!("{{}}{}", " ".repeat(900)));
    let mut slow = [Connection::open(world.running().address).await, Connection::open(world.running().address).await];
    for connection in &mut slow {
        connection.send(&long.head_bytes()).await;
        connection.send(&long.body_bytes()[..100]).await;
    }
    assert_eq!(world.call("acme", "ann").await.status, 200, "both places are free");
    for connection in &mut slow {
        connection.send(&long.body_bytes()[100..600]).await;
    }
    // Both do not fit: the one whose bytes come second is told to come back, at once.
    let [one, other] = &mut slow;
    let (refused, one_is_left) = tokio::select! {
        refused = long.answer(one) => (refused, false),
        refused = long.answer(other) => (refused, true),
    };
    assert_eq!(refused.refusal(), (429, "too_many_in_flight".to_owned()));
    let slow = &mut slow[usize::from(!one_is_left)];
    slow.send(&long.body_bytes()[600..]).await;
    assert_eq!(long.answer(slow).await.status, 200);
    assert_eq!(world.backend.calls(), 2);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_cut_short_or_badly_framed_is_the_clients_fault() {
    let world = World::start().await;
    let cases = [
        ("Content-Length: 50", "{}"),
        ("Transfer-Encoding: chunked", "zz\r\n{}\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", "-1\r\n{}\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", "ffffffffffffffffff\r\n{}\r\n"),
        ("Transfer-Encoding: chunked", "2\r\n{}\r\n"),
    ];
    for (framing, body) in cases {
        let mut connection = Connection::open(world.running().address).await;
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: app.example\r\nAuthorization: Bearer {}\r\n{framing}\r\n\r\n{body}",
            diagnosis_path("acme"),
            world.credential("ann")
        );
        connection.send(head.as_bytes()).await;
        connection.half_close().await;
        let refused = connection.answer("POST").await.refusal();
        assert_eq!(refused, (400, "invalid_request".to_owned()), "{framing} {body:?}");
    }
    assert_eq!(world.backend.requests(), 0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_promises_too_much_is_refused_before_it_comes() {
    let world = World::with(&[("SERVER__MAX_BODY", "100"), ("SERVER__BODY_TIMEOUT", "30s")]).await;
    for expect in ["", "Expect: 100-continue\r\n"] {
        let mut connection = Connection::open(world.running().address).await;
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: app.example\r\nAuthorization: Bearer {}\r\n{expect}Content-Length: 101\r\n\r\n",
            diagnosis_path("acme"),
            world.credential("ann")
        );
        connection.send(head.as_bytes()).await;
        let answer = tokio::time::timeout(std::time::Duration::from_secs(5), connection.answer("POST")).await;
        assert_eq!(answer.unwrap().refusal(), (413, "body_too_large".to_owned()), "{expect:?}");
    }
    assert_eq!(world.backend.requests(), 0);
    world.end().await;
}
