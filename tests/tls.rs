//! TLS, and HTTP/2 over it: the same calls, the same charges, and nothing that a client can hold for ever.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;

use crate::world::{Answer, Connection, Gate, OWNER, TlsClient, World, diagnosis_path, tls_file, until};

async fn world(more: &[(&str, &str)]) -> World {
    let file = |name| tls_file(name).display().to_string();
    let (certificate, key) = (file("one.pem"), file("one.key"));
    let ours = [("SERVER__TLS_CERTIFICATE", certificate.as_str()), ("SERVER__TLS_KEY", key.as_str())];
    World::with(&[&ours, more].concat()).await
}

fn request(world: &World, method: &str, path: &str, user: &str) -> http::request::Builder {
    let credential = format!("Bearer {}", world.credential(user));
    http::Request::builder()
        .method(method)
        .uri(format!("https://app.example{path}"))
        .header("authorization", credential)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_over_tls_is_a_call() {
    let world = world(&[]).await;
    let answer = world.call("acme", "ann").await;
    assert_eq!(answer.usage_headers().1, "10");
    let received = world.backend.last();
    assert_eq!(received.header("x-forwarded-proto"), Some("https"));
    assert!(received.header("forwarded").unwrap().ends_with(";proto=https"));
    // Who does not speak TLS gets no answer, and costs nothing.
    let mut plain = Connection::open(world.running().address).await;
    plain.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    plain.ends("no TLS").await;
    assert_eq!(world.backend.requests(), 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_carries_every_kind_of_request() {
    let world = world(&[("AUTH__COOKIE", "session")]).await;
    let client = TlsClient::new().http2(world.running().address).await;
    let path = diagnosis_path("acme");

    let call = request(&world, "POST", &path, "ann").header("x-gateway-user", "root").body(()).unwrap();
    let answer = client.send(call, r#"{"content": ["short"]}"#).await;
    assert_eq!((answer.status, answer.usage_headers().1), (200, "10"), "{}", answer.text());
    assert_eq!(answer.json()["usage"]["creditsConsumed"], 10);
    let received = world.backend.last();
    assert_eq!((received.method.as_str(), received.target.as_str()), ("POST", path.as_str()));
    assert_eq!(received.header("host"), Some("app.example"));
    assert_eq!(received.header("x-gateway-user"), Some("ann"));
    assert_eq!(received.header("x-forwarded-proto"), Some("https"));
    assert_eq!(received.body, br#"{"content": ["short"]}"#);

    // Cookies may come apart, and go on in one line.
    let cookies = http::Request::builder().method("POST").uri(format!("https://app.example{path}"));
    let cookies = cookies.header("cookie", "a=1").header("cookie", format!("session={}", world.credential("ann")));
    assert_eq!(client.send(cookies.body(()).unwrap(), "{}").await.status, 200);
    assert!(world.backend.last().header("cookie").unwrap().starts_with("a=1; session="));

    let refused = client.send(request(&world, "POST", &path, "stranger").body(()).unwrap(), "{}").await;
    assert_eq!(refused.refusal(), (403, "forbidden".to_owned()));
    let own = client.send(request(&world, "GET", "/api/organizations/acme/usage", OWNER).body(()).unwrap(), "").await;
    assert_eq!((own.status, &own.json()["usage"]["used"]), (200, &json!(20)), "{}", own.text());
    world.backend.answers(Answer::with("418 Teapot", "X-Own: a\r\nConnection: X-Hop\r\nX-Hop: 1\r\n", "tea"));
    let passed = client.send(request(&world, "PUT", "/elsewhere?q=1", "ann").body(()).unwrap(), "as it is").await;
    assert_eq!((passed.status, passed.text().as_str(), passed.header("x-own")), (418, "tea", Some("a")));
    assert_eq!(passed.header("x-hop"), None);
    let received = world.backend.last();
    assert_eq!((received.target.as_str(), received.body.as_slice()), ("/elsewhere?q=1", &b"as it is"[..]));
    assert_eq!(received.header("host"), Some("app.example"));

    world.backend.answers(Answer::events("").chunk("data: {\"n\": 1}\n\n").chunk("data: [DONE]\n\n").chunk(""));
    let streamed = client.send(request(&world, "POST", &path, "ann").body(()).unwrap(), "{}").await;
    assert!(
        streamed.complete && streamed.text().starts_with("data: {\"n\": 1}\n\ndata: [DONE]\n\nevent: usage\n"),
        "{}",
        streamed.text()
    );
    assert_eq!(world.events("acme").await.len(), 3);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_has_two_readings_over_http_2_either() {
    let world = world(&[]).await;
    let client = TlsClient::new().http2(world.running().address).await;
    let path = diagnosis_path("acme");
    for trick in [
        path.replace("/structuring", "//structuring"),
        path.replace("/structuring", "/x/../structuring"),
        path.replace("/structuring", "%2fstructuring"),
        format!("{path}/"),
        path.to_uppercase(),
    ] {
        let answer = client.send(request(&world, "POST", &trick, "ann").body(()).unwrap(), "{}").await;
        assert_eq!(answer.refusal(), (400, "path_not_canonical".to_owned()), "{trick}");
    }
    assert_eq!(world.backend.requests(), 0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_and_a_header_too_large_are_refused_over_http_2() {
    let world = world(&[("SERVER__MAX_BODY", "1KiB"), ("LIMITS__MAX_HEADERS", "20")]).await;
    let client = TlsClient::new().http2(world.running().address).await;
    let path = diagnosis_path("acme");
    let fits = client
        .send(
            request(&world, "POST", &path, "ann").body(()).unwrap(),
            format!("{{\"content\": \"{}\"}}", "x".repeat(1_024 - 15)),
        )
        .await;
    assert_eq!(fits.status, 200, "{}", fits.text());
    let long = client.send(request(&world, "POST", &path, "ann").body(()).unwrap(), "x".repeat(1_025)).await;
    assert_eq!(long.refusal(), (413, "body_too_large".to_owned()));
    let many = (0..20).fold(request(&world, "POST", &path, "ann"), |request, n| request.header(format!("x-{n}"), "1"));
    assert_eq!(client.send(many.body(()).unwrap(), "{}").await.refusal(), (431, "header_too_large".to_owned()));
    assert_eq!(world.backend.requests(), 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_its_client_resets_is_settled_as_if_it_had_stayed() {
    let world = world(&[]).await;
    let gate = Gate::new();
    world.backend.answers(Answer::default().held_by(&gate));
    let client = TlsClient::new().http2(world.running().address).await;
    for calls in 1..=20 {
        let mut requests = client.requests.clone().ready().await.unwrap();
        let call = request(&world, "POST", &diagnosis_path("acme"), "ann").body(()).unwrap();
        let (answer, mut sending) = requests.send_request(call, false).unwrap();
        sending.send_data(Bytes::from_static(b"{}"), true).unwrap();
        world.backend.has_calls(calls).await;
        sending.send_reset(h2::Reason::CANCEL);
        drop(answer);
    }
    gate.open();
    until("all are charged", || async { world.counter("acme").await["used"] == json!(200) }).await;
    // The connection is as good as before.
    let call = request(&world, "POST", &diagnosis_path("acme"), "ann").body(()).unwrap();
    assert_eq!(client.send(call, "{}").await.status, 200);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_at_once_are_limited_and_a_flood_of_resets_ends_the_connection_alone() {
    let world = world(&[("LIMITS__HTTP2_STREAMS", "5")]).await;
    let gate = Gate::new();
    world.backend.answers(Answer::default().held_by(&gate));
    let client = TlsClient::new().http2(world.running().address).await;
    let mut open = Vec::new();
    for calls in 1..=5 {
        let mut requests = client.requests.clone().ready().await.unwrap();
        let call = request(&world, "POST", &diagnosis_path("acme"), "ann").body(()).unwrap();
        let (answer, mut sending) = requests.send_request(call, false).unwrap();
        sending.send_data(Bytes::from_static(b"{}"), true).unwrap();
        open.push(answer);
        world.backend.has_calls(calls).await;
    }
    // The sixth must wait: the client library keeps to what the gateway told it.
    let sixth = tokio::time::timeout(Duration::from_millis(200), client.requests.clone().ready()).await;
    assert!(sixth.is_err() || world.backend.calls() == 5);
    gate.open();
    for answer in open {
        assert_eq!(answer.await.unwrap().status(), 200);
    }

    let flood = TlsClient::new().http2(world.running().address).await;
    let started = Instant::now();
    while !flood.ended.is_finished() && started.elapsed() < Duration::from_secs(10) {
        let Ok(mut requests) = flood.requests.clone().ready().await else { break };
        let reset = http::Request::get("https://app.example/elsewhere").body(()).unwrap();
        let Ok((_answer, mut sending)) = requests.send_request(reset, false) else { break };
        sending.send_reset(h2::Reason::CANCEL);
    }
    // Whether or not it was ended, everybody else is served.
    assert_eq!(world.call("acme", "ann").await.status, 200);
    until("the calls are charged", || async { world.counter("acme").await["used"] == json!(60) }).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_takes_over_once_its_key_is_there_and_nobody_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let place = |from: &str, to: &str| {
        let aside = folder.path().join("aside");
        std::fs::copy(tls_file(from), &aside).unwrap();
        std::fs::rename(&aside, folder.path().join(to)).unwrap();
    };
    place("one.pem", "cert.pem");
    place("one.key", "key.pem");
    let path = |name| folder.path().join(name).display().to_string();
    let world =
        World::with(&[("SERVER__TLS_CERTIFICATE", &path("cert.pem")), ("SERVER__TLS_KEY", &path("key.pem"))]).await;
    let serial = || async {
        let stream = TlsClient::new().connect(world.running().address, &[b"http/1.1"]).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let old = TlsClient::new().http2(world.running().address).await;
    let before = serial().await;
    place("two.pem", "cert.pem");
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(serial().await, before, "a certificate without its key changes nothing");
    place("two.key", "key.pem");
    until("the new certificate is in use", || async { serial().await != before }).await;
    let call = request(&world, "POST", &diagnosis_path("acme"), "ann").body(()).unwrap();
    assert_eq!(old.send(call, "{}").await.status, 200, "an open connection goes on");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_has_its_time() {
    let world = world(&[("LIMITS__HEADER_TIMEOUT", "1s")]).await;
    for first in [&b""[..], b"\x16\x03\x01\x02"] {
        let started = Instant::now();
        let mut silent = Connection::open(world.running().address).await;
        silent.send(first).await;
        silent.ends("a handshake that does not come").await;
        assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
    }
    world.end().await;
}
