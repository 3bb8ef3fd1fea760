//! Paths: one reading or none; what is not metered passes untouched.

use serde_json::json;

use crate::world::{Answer, Connection, Gate, OPERATOR, OWNER, World, diagnosis_path};

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_could_be_read_as_another_reaches_nobody() {
    let world = World::start().await;
    let path = "/api/organizations/acme/structuring/analyze-pain-points";
    let tricks = [
        path.replace("/structuring", "//structuring"),
        path.replace("/structuring", "/./structuring"),
        path.replace("/structuring", "/x/../structuring"),
        path.replace("/structuring", "/x/%2e%2e/structuring"),
        path.replace("/structuring", "/x/.%2E/structuring"),
        path.replace("/structuring", "%2fstructuring"),
        path.replace("/structuring", "%252fstructuring"),
        path.replace("analyze-", "analyze%252D"),
        path.replace("/structuring", "\\structuring"),
        path.replace("/structuring", "%5Cstructuring"),
        path.replace("acme", "acme%00"),
        path.replace("acme", "acme%0d%0a"),
        path.replace("acme", "acme%zz"),
        path.replace("acme", "acme%"),
        path.replace("acme", "ac\u{e9}me"),
        format!("{path}/"),
        format!("{path};v=1"),
        format!("{path}%20"),
        path.replace("acme/", "acme;x/").replace("points", "POINTS"),
        path.to_uppercase(),
        path.replace("structuring", "Structuring"),
        format!("/x/..{path}"),
        format!("/{path}"),
        format!("{path}/.."),
        format!("{path}/%2e"),
        format!("/x/..;{path}"),
        format!("/;{path}"),
        format!("{path}.json"),
        "/download/../api".to_owned(),
    ];
    for trick in tricks {
        let answer =
            world.request("POST", &trick).by(&world.credential("ann")).json(&json!({"content": []})).send().await;
        assert_eq!(answer.status, 400, "{trick}");
        assert_eq!(answer.refusal(), (400, "path_not_canonical".to_owned()), "{trick}");
    }
    assert_eq!(world.backend.requests(), 0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_authorized_is_what_the_backend_receives() {
    let world = World::start().await;
    world.organization("a%20b", json!({})).await;
    world.member("a%20b", "ann", "member").await;
    let path = "/api/organizations/a%20b/structuring/analyze%2Dpain-points?q=../%2f//&x=%zz";
    let answer =
        world.request("POST", path).by(&world.credential("ann")).json(&json!({"content": ["short"]})).send().await;
    assert_eq!((answer.status, world.backend.last().target.as_str()), (200, path));
    // A fragment is no part of a target: it is dropped before anything is decided.
    let path = diagnosis_path("acme");
    let fragment =
        world.request("POST", &format!("{path}#/../x")).by(&world.credential("ann")).json(&json!({})).send().await;
    assert_eq!((fragment.usage_headers().1, world.backend.last().target.as_str()), ("10", path.as_str()));
    let absolute = format!("http://app.example{}?a=1", diagnosis_path("acme"));
    let answer =
        world.request("POST", &absolute).by(&world.credential("ann")).json(&json!({"content": ["short"]})).send().await;
    assert_eq!(answer.usage_headers().1, "10");
    assert_eq!(world.backend.last().target, format!("{}?a=1", diagnosis_path("acme")));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_method_slips_past_a_metered_path() {
    let world = World::start().await;
    // A lenient backend takes it for the metered one.
    let lower = world.request("post", &diagnosis_path("acme")).by(&world.credential("ann")).send().await;
    assert_eq!(lower.status, 400);
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
        let path = diagnosis_path("acme");
        assert_eq!(world.request(method, &path).send().await.status, 401, "{method}");
        let stranger = world.request(method, &path).by(&world.credential("stranger"));
        assert_eq!(stranger.send().await.status, 403, "{method}");
    }
    assert_eq!(world.backend.requests(), 0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_metered_passes_untouched() {
    let world = World::start().await;
    let cases = [
        ("GET", "/"),
        ("GET", "/_next/static/a.js?v=1"),
        ("POST", "/api/login"),
        ("PUT", "/api/organizations/acme/members"),
        ("DELETE", "/api/a%20b/c"),
    ];
    for (method, target) in cases {
        world.backend.answers(Answer::with("418 Teapot", "ETag: \"1\"\r\nX-Own: a\r\n", "{\"a\":1}"));
        let request = world.request(method, target).header("X-Mine", "b");
        let answer = if method == "GET" { request } else { request.body("not json") }.send().await;
        assert_eq!((answer.status, answer.text().as_str()), (418, "{\"a\":1}"), "{target}");
        assert_eq!((answer.header("etag"), answer.header("x-own")), (Some("\"1\""), Some("a")));
        let received = world.backend.last();
        assert_eq!((received.method.as_str(), received.target.as_str()), (method, target));
        assert_eq!((received.header("x-mine"), received.header("host")), (Some("b"), Some("app.example")));
        assert_eq!(received.body, if method == "GET" { b"".as_slice() } else { b"not json" });
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_passes_both_ways() {
    let world = World::start().await;
    let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let gate = Gate::new();
    world.backend.follows({
        let gate = gate.clone();
        move |received| match received.target.as_str() {
            "/socket" => Answer::raw(switching).echo().held_by(&gate),
            _ => Answer::default(),
        }
    });
    let request = world.request("GET", "/socket").header("Connection", "Upgrade").header("Upgrade", "websocket");
    let request = request.header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==").header("Sec-WebSocket-Version", "13");
    let mut connection = request.start().await;
    // Pingora 0.9.1 takes an upgrade for ended where the backend agrees before the request's own end has gone through its
    // pipe, which is microseconds after its header. No backend behind a network is that fast; this one waits a while.
    crate::world::until("the upgrade has arrived", || async { world.backend.requests() == 1 }).await;
    assert_eq!(world.get("/meanwhile", "ann").await.status, 200);
    let received = world.backend.first();
    gate.open();
    let head = connection.head("GET").await;
    assert_eq!((head.status, head.header("upgrade")), (101, Some("websocket")));
    assert_eq!(received.header("upgrade"), Some("websocket"));
    for message in ["hello", "and again"] {
        connection.send(message.as_bytes()).await;
        assert_eq!(connection.raw(message.len()).await, message.as_bytes());
    }
    drop(connection);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_download_and_a_large_upload_pass_as_they_come() {
    let world = World::with(&[("SERVER__MAX_BODY", "1KiB"), ("UPSTREAM__MAX_RESPONSE", "1KiB")]).await;
    let large: Vec<u8> = (0..8_u32 << 20).map(|n| (n % 251) as u8).collect();
    let gate = Gate::new();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", large.len());
    world.backend.answers(Answer::raw(head).then(&large[..1_000]).after(&gate).then(&large[1_000..]));
    let request = world.request("GET", "/download");
    let mut connection: Connection = request.start().await;
    let mut came = Vec::new();
    connection.head("GET").await;
    while came.len() < 1_000 {
        came.extend(connection.piece().await.unwrap().unwrap());
    }
    gate.open();
    while let Some(piece) = connection.piece().await.unwrap() {
        came.extend(piece);
    }
    assert!(came == large);
    world.backend.answers(Answer::default());
    for chunk_bytes in [None, Some(100_000)] {
        let request = world.request("POST", "/upload").body(large.clone());
        let request = match chunk_bytes {
            Some(chunk_bytes) => request.chunked(chunk_bytes),
            None => request,
        };
        assert_eq!(request.send().await.status, 200);
        assert!(world.backend.last().body == large);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_paths_are_ours_even_where_there_is_nothing() {
    let world = World::start().await;
    for path in ["/api/admin", "/api/admin/x", "/api/admin/organizations", "/api/admin/a/b/c/d/e?f=g"] {
        for method in ["GET", "POST", "DELETE"] {
            let as_somebody = |user: &str| world.request(method, path).by(&world.credential(user));
            assert_eq!(world.request(method, path).send().await.refusal().0, 401, "{method} {path}");
            assert_eq!(as_somebody(OWNER).send().await.refusal().0, 403, "{method} {path}");
            assert_eq!(as_somebody(OPERATOR).send().await.refusal().0, 404, "{method} {path}");
        }
    }
    assert_eq!(world.backend.requests(), 0, "the backend hears of none of them");
    world.end().await;
}
