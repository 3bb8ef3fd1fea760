//! What a client may ask for: at each limit, and past it.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::world::{Answer, Connection, Gate, World, diagnosis_path, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_target_and_a_header_may_be_as_long_as_the_limit() {
    let world =
        World::with(&[("LIMITS__MAX_TARGET", "200"), ("LIMITS__MAX_HEADERS", "10"), ("LIMITS__MAX_HEADER", "2KiB")])
            .await;
    let target = |bytes: usize| format!("/x?{}", "y".repeat(bytes - 3));
    assert_eq!(world.request("GET", &target(200)).send().await.status, 200);
    let refused = world.request("GET", &target(201)).send().await;
    assert_eq!(refused.refusal(), (414, "target_too_long".to_owned()));
    assert_eq!(refused.header("connection"), Some("close"));

    let fields = |count: usize| {
        // Host is one of them.
        (1..count).fold(world.request("GET", "/x"), |request, n| request.header(&format!("X-{n}"), "1"))
    };
    assert_eq!(fields(10).send().await.status, 200);
    let refused = fields(11).send().await;
    assert_eq!(refused.refusal(), (431, "header_too_large".to_owned()));
    assert!(refused.json()["error"].as_str().unwrap().contains("11 fields; allowed: 10"));

    // "host: app.example\r\n" has 19 bytes with its line's end, "x-long: …\r\n" ten and the value.
    let long = |bytes: usize| world.request("GET", "/x").header("X-Long", &"z".repeat(bytes - 19 - 10));
    assert_eq!(long(2_048).send().await.status, 200);
    assert_eq!(long(2_049).send().await.refusal(), (431, "header_too_large".to_owned()));
    assert_eq!(world.backend.requests(), 3);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_never_ends_is_not_read_for_ever() {
    let world = World::with(&[("LIMITS__MAX_HEADER", "1KiB")]).await;
    let mut client = Connection::open(world.running().address).await;
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: ").await;
    for _ in 0..64 {
        client.send(&[b'x'; 16 * 1024]).await;
    }
    client.ends("a header of a mebibyte").await;
    assert_eq!(world.backend.requests(), 0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_has_its_time_however_its_bytes_drip() {
    let world = World::with(&[("LIMITS__HEADER_TIMEOUT", "1s")]).await;
    let address = world.running().address;
    for before in [None, Some("a request before it")] {
        let mut client = Connection::open(address).await;
        if before.is_some() {
            client.send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(client.answer("GET").await.status, 200);
        }
        let started = Instant::now();
        let mut drips = 0;
        client.send(b"GET /slow HTTP/1.1\r\n").await;
        while !client.has_ended(Duration::from_millis(50)).await {
            client.send(b"X: y\r\n").await;
            drips += 1;
            assert!(started.elapsed() < Duration::from_secs(10), "{before:?}: still open after {drips} drips");
        }
        assert!(started.elapsed() >= Duration::from_millis(900), "{before:?}: {:?}", started.elapsed());
    }
    // One that is merely idle is another matter.
    let mut idle = Connection::open(address).await;
    idle.send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(idle.answer("GET").await.status, 200);
    assert!(!idle.has_ended(Duration::from_millis(1_500)).await);
    idle.send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(idle.answer("GET").await.status, 200);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_past_the_limit_hear_so_and_others_go_on() {
    let world = World::with(&[("LIMITS__CONNECTIONS", "3")]).await;
    let address = world.running().address;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut client = Connection::open(address).await;
        client.send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.answer("GET").await.status, 200);
        open.push(client);
    }
    let mut past = Connection::open(address).await;
    let answer = past.answer("GET").await;
    assert_eq!(answer.refusal(), (503, "too_many_connections".to_owned()));
    assert!(past.is_over().await);
    for client in &mut open {
        client.send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.answer("GET").await.status, 200);
    }
    drop(open);
    until("there is room again", || async {
        let mut client = Connection::open(address).await;
        client.send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.answer("GET").await.status == 200
    })
    .await;
    assert!(world.metrics().await.contains("gateway_connections_turned_away_total"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_closes_after_its_last_request() {
    let world = World::with(&[("LIMITS__REQUESTS_PER_CONNECTION", "2")]).await;
    let mut client = Connection::open(world.running().address).await;
    for last in [false, true] {
        client.send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = client.answer("GET").await;
        assert_eq!((answer.status, answer.header("connection") == Some("close")), (200, last));
    }
    assert!(client.is_over().await);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_once_are_limited_by_user_and_by_organization() {
    let world = World::with(&[("LIMITS__USER_IN_FLIGHT", "2"), ("LIMITS__ORGANIZATION_IN_FLIGHT", "3")]).await;
    for user in ["bob", "cid"] {
        world.member("acme", user, "member").await;
    }
    world.organization("umbrella", json!({"plan": "professional"})).await;
    world.member("umbrella", "dan", "member").await;
    let gate = Gate::new();
    world.backend.answers(Answer::default().held_by(&gate));
    let start = |organization: &str, user: &str| world.diagnosis(organization, user).json(&json!({"content": []}));
    let (ann, bob) = (start("acme", "ann"), start("acme", "bob"));
    let mut held = Vec::new();
    for request in [&ann, &ann, &bob] {
        held.push((request, request.start().await));
        world.backend.has_calls(held.len()).await;
    }
    for (user, of) in [("ann", "user"), ("cid", "organization")] {
        let refused = world.call("acme", user).await;
        assert_eq!(refused.refusal(), (429, "too_many_in_flight".to_owned()), "{user}");
        assert!(refused.json()["error"].as_str().unwrap().contains(of), "{user}: {}", refused.text());
    }
    let elsewhere = start("umbrella", "dan");
    let mut other = elsewhere.start().await;
    world.backend.has_calls(4).await;
    gate.open();
    assert_eq!(elsewhere.answer(&mut other).await.status, 200);
    for (request, connection) in &mut held {
        assert_eq!(request.answer(connection).await.status, 200);
    }
    // A place is given back when its call is over, which the access log is the last to see.
    until("ann has her places back", || async { world.call("acme", "ann").await.status == 200 }).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_a_minute_are_limited_by_user_and_by_organization() {
    let limits = [("LIMITS__USER_CALLS_PER_MINUTE", "2"), ("LIMITS__ORGANIZATION_CALLS_PER_MINUTE", "3")];
    let world = World::with(&limits).await;
    world.member("acme", "bob", "member").await;
    assert_eq!(world.call("acme", "ann").await.status, 200);
    assert_eq!(world.call("acme", "ann").await.status, 200);
    let refused = world.call("acme", "ann").await;
    assert_eq!(refused.refusal(), (429, "too_many_calls".to_owned()));
    assert_eq!(refused.header("retry-after"), Some("30"));
    assert_eq!(refused.header("ratelimit-policy"), Some("\"user\";q=2;w=60"));
    assert_eq!(refused.header("ratelimit"), Some("\"user\";r=0;t=30"));
    assert_eq!(world.call("acme", "bob").await.status, 200);
    let refused = world.call("acme", "bob").await;
    assert_eq!(refused.header("ratelimit"), Some("\"organization\";r=0;t=20"));
    world.at("2026-11-10T12:00:20Z");
    assert_eq!(world.call("acme", "bob").await.status, 200, "one of the organization's is free again");
    world.at("2026-11-10T12:05:00Z");
    assert_eq!(world.call("acme", "ann").await.status, 200);
    assert_eq!(world.backend.calls(), 5);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_has_its_time_in_all() {
    let world = World::with(&[("LIMITS__UPLOAD_TIMEOUT", "1s")]).await;
    let mut client = Connection::open(world.running().address).await;
    client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n").await;
    let started = Instant::now();
    while !client.has_ended(Duration::from_millis(50)).await {
        client.send(b"a byte or so").await;
        assert!(started.elapsed() < Duration::from_secs(10), "still open");
    }
    assert!(started.elapsed() >= Duration::from_millis(900));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_outlasts_its_time_is_cut_and_charged() {
    let world = World::with(&[("LIMITS__STREAM_DURATION", "1s")]).await;
    let gate = Gate::new();
    let events =
        (0..40).fold(Answer::events(""), |answer, n| answer.chunk(format!("data: {{\"n\": {n}}}\n\n")).after(&gate));
    world.backend.answers(events.chunk("data: the end\n\n").chunk(""));
    let request = world.diagnosis("acme", "ann").json(&json!({"content": []}));
    let mut connection = request.start().await;
    let stepping = async {
        for _ in 0..40 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            gate.step();
        }
    };
    let (answer, ()) = tokio::join!(request.answer(&mut connection), stepping);
    assert!(!answer.complete, "the stream breaks off visibly");
    assert!(answer.text().contains("\"n\": 5") && !answer.text().contains("the end"), "{}", answer.text());
    assert!(answer.text().contains("event: usage"), "{}", answer.text());
    let event = world.event(&answer).await;
    assert_eq!((&event["outcome"], &event["creditsConsumed"]), (&json!("captured"), &json!(10)), "{event}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_reloaded_with_the_rest() {
    let mut world = World::with(&[("LIMITS__USER_CALLS_PER_MINUTE", "1")]).await;
    assert_eq!(world.call("acme", "ann").await.status, 200);
    assert_eq!(world.call("acme", "ann").await.status, 429);
    world.set("LIMITS__USER_CALLS_PER_MINUTE", "100");
    world.running().reload(&world.options()).unwrap();
    // What was asked for too fast is forgiven within a minute.
    world.at("2026-11-10T12:01:00Z");
    for _ in 0..3 {
        assert_eq!(world.call("acme", "ann").await.status, 200);
    }
    let long = format!("/x?{}", "y".repeat(100));
    assert_eq!(world.request("GET", &long).send().await.status, 200);
    world.set("LIMITS__MAX_TARGET", "64");
    world.running().reload(&world.options()).unwrap();
    assert_eq!(world.request("GET", &long).send().await.refusal().0, 414);
    let paid = format!("{}?and=more-and-more", diagnosis_path("acme"));
    assert_eq!(world.request("POST", &paid).send().await.refusal().0, 414, "a paid one too");
    world.end().await;
}
