//! HTTP's own rules: connections that close, requests without a host, `HEAD`.

use crate::world::{Answer, Connection, Gate, OPERATOR, OWNER, World, diagnosis_path};

#[tokio::test(flavor = "multi_thread")]
async fn an_older_client_sees_its_connection_close_unless_it_asks_to_keep_it() {
    let world = World::start().await;
    let own = "/api/organizations/acme/usage".to_owned();
    // What is asked for, how, by whom, and what the answer's status is.
    let cases = [
        ("a metered call", "POST", diagnosis_path("acme"), "ann", 200),
        ("a refusal", "POST", diagnosis_path("acme"), "stranger", 403),
        ("one of our paths", "GET", own, OWNER, 200),
        ("what passes through", "GET", "/elsewhere".to_owned(), "ann", 200),
    ];
    let sized = Answer::default();
    let chunks = Answer::raw("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n");
    for backend in [sized, chunks.chunk("{}").chunk("")] {
        world.backend.answers(backend);
        for (what, method, target, user, status) in &cases {
            for (kept, connection) in
                [(false, ""), (false, "Connection: close\r\n"), (true, "Connection: keep-alive\r\n")]
            {
                let head = format!(
                    "{method} {target} HTTP/1.0\r\nAuthorization: Bearer {}\r\n{connection}Content-Length: 2\r\n\r\n{{}}",
                    world.credential(user)
                );
                let mut client = Connection::open(world.running().address).await;
                client.send(head.as_bytes()).await;
                let answer = client.answer(method).await;
                assert_eq!(answer.status, *status, "{what} {connection:?}");
                // A refusal that does not wait for the body closes the connection whatever was asked.
                if kept && *status == 200 && answer.header("content-length").is_some() {
                    assert_eq!(answer.header("connection"), Some("keep-alive"), "{what}");
                    continue;
                }
                assert_eq!(answer.header("connection"), Some("close"), "{what} {connection:?}");
                assert_eq!(answer.header("transfer-encoding"), None, "{what}: HTTP/1.0 knows no chunks");
                assert!(client.is_over().await, "{what} {connection:?}");
            }
        }
    }
    let seen = world.events("acme").await;
    assert_eq!(seen.len(), 6);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_host_is_refused_wherever_it_goes() {
    let world = World::start().await;
    for target in [diagnosis_path("acme"), "/api/organizations/acme/usage".to_owned(), "/elsewhere".to_owned()] {
        let head = format!(
            "POST {target} HTTP/1.1\r\nAuthorization: Bearer {}\r\nContent-Length: 2\r\n\r\n{{}}",
            world.credential("ann")
        );
        let mut client = Connection::open(world.running().address).await;
        client.send(head.as_bytes()).await;
        let answer = client.answer("POST").await;
        assert_eq!(answer.refusal(), (400, "invalid_request".to_owned()), "{target}");
        assert!(answer.json()["error"].as_str().unwrap().contains("Host"), "{}", answer.text());
    }
    assert_eq!(world.backend.requests(), 0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn head_says_the_length_that_get_would_have() {
    let world = World::start().await;
    let cases = [
        ("/api/organizations/acme/usage", OWNER, 200),
        ("/api/organizations/acme/usage/me", "ann", 200),
        ("/api/organizations/acme/usage", "stranger", 403),
        ("/api/admin/plans/free", OPERATOR, 200),
        ("/api/admin/plans/none", OPERATOR, 404),
    ];
    for (path, user, status) in cases {
        let request = |method| world.request(method, path).by(&world.credential(user));
        let named = |method| request(method).header("X-Request-Id", "the-same-request");
        let (get, head) = (named("GET").send().await, named("HEAD").send().await);
        assert_eq!((get.status, head.status, head.body.len()), (status, status, 0), "{path}");
        assert_eq!(get.header("content-length"), Some(get.body.len().to_string().as_str()), "{path}");
        assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_passes_through_does_not_wait_for_its_body() {
    let world = World::start().await;
    let gate = Gate::new();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\n";
    world.backend.answers(Answer::raw(head).after(&gate).then("body"));
    let request = world.request("GET", "/elsewhere");
    let mut connection = request.start().await;
    assert_eq!(connection.head("GET").await.status, 200, "while the body is held back");
    gate.open();
    assert_eq!(connection.piece().await, Ok(Some(b"body".to_vec())));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_gets_our_refusal_and_the_connection_closes() {
    let world = World::start().await;
    for (bytes, want) in [
        ("nonsense\r\n\r\n", (400, "invalid_request")),
        ("GET / HTTP/1.1\r\nHost: a\r\nNo colon\r\n\r\n", (400, "invalid_request")),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", (405, "method_not_allowed")),
    ] {
        let mut client = Connection::open(world.running().address).await;
        client.send(bytes.as_bytes()).await;
        let answer = client.answer("GET").await;
        let (status, code) = answer.refusal();
        assert_eq!((status, code.as_str()), want, "{bytes}");
        assert!(answer.complete && client.is_over().await, "{bytes}");
    }
    // After a request that was one, too.
    let mut client = Connection::open(world.running().address).await;
    client.send(b"GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.answer("GET").await.status, 200);
    client.send(b"nonsense\r\n\r\n").await;
    assert_eq!(client.answer("GET").await.refusal().0, 400);
    assert_eq!(world.backend.requests(), 1);
    world.end().await;
}
