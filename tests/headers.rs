//! What the backend is told beside what the client said, and what a client cannot say.

use serde_json::json;

use crate::world::{Answer, Received, World, diagnosis_path};

/// What a client would like the backend to believe.
const FORGED: [(&str, &str); 9] = [
    ("X-Gateway-Organization", "umbrella"),
    ("X-Gateway-User", "root"),
    ("x_gateway_user", "root"),
    ("X-Gateway-Role", "owner"),
    ("X-Usage-Event-Id", "evt_forged"),
    ("X-Forwarded-For", "6.6.6.6"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Real-Ip", "6.6.6.6"),
    ("Forwarded", "for=6.6.6.6"),
];

fn assert_no_forgery(received: &Received, what: &str) {
    for (name, value) in &received.headers {
        let said = ["umbrella", "root", "evt_forged", "6.6.6.6", "evil.example"];
        assert!(!said.iter().any(|forged| value.contains(forged)), "{what}: {name}: {value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_is_told_who_calls_and_no_client_can_say_it() {
    let world = World::start().await;
    let forge = |request: crate::world::Request| {
        FORGED.iter().fold(request, |request, (name, value)| request.header(name, value))
    };
    let answer = forge(world.diagnosis("acme", "ann").json(&json!({"content": []}))).send().await;
    let (event, ..) = answer.usage_headers();
    let received = world.backend.last();
    assert_no_forgery(&received, "a call");
    assert_eq!(received.header("x-gateway-organization"), Some("acme"));
    assert_eq!(received.header("x-gateway-user"), Some("ann"));
    assert_eq!(received.header("x-gateway-role"), Some("member"));
    assert_eq!(received.header("x-usage-event-id"), Some(event), "the event that the client is told of");

    forge(world.request("GET", &diagnosis_path("acme")).by(&world.credential("ann"))).send().await;
    let received = world.backend.last();
    assert_no_forgery(&received, "a member's free request");
    assert_eq!(received.header("x-gateway-user"), Some("ann"));
    assert_eq!(received.header("x-usage-event-id"), None, "nothing is charged");

    forge(world.request("GET", "/elsewhere").by(&world.credential("ann"))).send().await;
    let received = world.backend.last();
    assert_no_forgery(&received, "what passes through");
    assert_eq!(
        (received.header("x-gateway-user"), received.header("x-gateway-role")),
        (None, None),
        "nobody was asked"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_no_plain_text_stay_apart() {
    let world = World::start().await;
    for (user, told) in [("zo\u{eb}", "zo%C3%AB"), ("a b", "a%20b"), ("a%20b", "a%2520b")] {
        let path = format!(
            "/api/admin/organizations/acme/members/{}",
            user.replace('%', "%25").replace(' ', "%20").replace('\u{eb}', "%C3%AB")
        );
        let made = world.put(&path, crate::world::OPERATOR, &json!({"role": "viewer"})).await;
        assert_eq!(made.status, 200, "{}", made.text());
        world.call("acme", user).await.usage_headers();
        assert_eq!(world.backend.last().header("x-gateway-user"), Some(told));
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_request_came_from_is_said_and_believed_of_trusted_proxies_only() {
    let said =
        [("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "https"), ("Forwarded", "for=1.2.3.4;proto=https")];
    // Whom we trust, and what the backend hears.
    let cases = [
        ("10.0.0.1", "127.0.0.1", "http", "for=127.0.0.1;host=\"app.example\";proto=http"),
        (
            "127.0.0.0/8",
            "1.2.3.4, 127.0.0.1",
            "https",
            "for=1.2.3.4;proto=https, for=127.0.0.1;host=\"app.example\";proto=http",
        ),
    ];
    for (trusted, heard_for, heard_proto, heard) in cases {
        let world = World::with(&[("HEADERS__TRUSTED_PROXIES", trusted)]).await;
        for target in [diagnosis_path("acme"), "/elsewhere".to_owned()] {
            let request = world.request("POST", &target).by(&world.credential("ann")).json(&json!({"content": []}));
            said.iter().fold(request, |request, (name, value)| request.header(name, value)).send().await;
            let received = world.backend.last();
            assert_eq!(received.header("x-forwarded-for"), Some(heard_for), "{target} {trusted}");
            assert_eq!(received.header("x-forwarded-proto"), Some(heard_proto), "{target} {trusted}");
            assert_eq!(received.header("x-forwarded-host"), Some("app.example"), "{target} {trusted}");
            assert_eq!(received.header("forwarded"), Some(heard), "{target} {trusted}");
        }
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_passed_on_or_begun_and_so_is_the_requests_name() {
    let world = World::start().await;
    let sound = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for target in [diagnosis_path("acme"), "/elsewhere".to_owned()] {
        let request = || world.request("POST", &target).by(&world.credential("ann")).json(&json!({"content": []}));
        let answer = request()
            .header("traceparent", sound)
            .header("tracestate", "a=1")
            .header("X-Request-Id", "my-own-name")
            .send()
            .await;
        let received = world.backend.last();
        assert_eq!((received.header("traceparent"), received.header("tracestate")), (Some(sound), Some("a=1")));
        assert_eq!(
            (received.header("x-request-id"), answer.header("x-request-id")),
            (Some("my-own-name"), Some("my-own-name"))
        );
        let answer = request()
            .header("traceparent", "00-forged\tx")
            .header("tracestate", "a=1")
            .header("X-Request-Id", "no name!")
            .send()
            .await;
        let received = world.backend.last();
        let trace = received.header("traceparent").unwrap();
        assert!(trace.len() == 55 && trace.starts_with("00-") && !trace.contains("forged"), "{trace}");
        assert_eq!(received.header("tracestate"), None);
        assert!(received.header("x-request-id").unwrap().starts_with("req_"));
        assert_eq!(received.header("x-request-id"), answer.header("x-request-id"));
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_credential_reaches_the_backend_only_where_configured() {
    for (configured, reaches) in [("pass", true), ("strip", false)] {
        let world = World::with(&[("HEADERS__CREDENTIALS", configured), ("AUTH__COOKIE", "session")]).await;
        let credential = world.credential("ann");
        let by_header = world.diagnosis("acme", "ann").json(&json!({"content": []}));
        assert_eq!(by_header.header("Cookie", "theme=dark").send().await.status, 200);
        let received = world.backend.last();
        assert_eq!(received.header("authorization").is_some(), reaches);
        assert_eq!(received.header("cookie"), Some("theme=dark"));
        let by_cookie = world.request("POST", &diagnosis_path("acme")).json(&json!({"content": []}));
        let cookies = format!("theme=dark; session={credential}");
        assert_eq!(by_cookie.header("Cookie", &cookies).send().await.status, 200);
        let want = if reaches { cookies.as_str() } else { "theme=dark" };
        assert_eq!(world.backend.last().header("cookie"), Some(want));
        // Where the gateway does not look at it, it is the backend's business.
        world.request("GET", "/elsewhere").by(&credential).send().await;
        assert!(world.backend.last().header("authorization").is_some());
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_concerns_one_connection_does_not_travel_either_way() {
    let world = World::start().await;
    let answer = "Connection: close, X-Internal\r\nKeep-Alive: timeout=5\r\nX-Internal: 1\r\nProxy-Authenticate: Basic\r\nX-Own: a\r\n";
    world.backend.answers(Answer::with("200 OK", &format!("{answer}Content-Type: application/json\r\n"), "{}").close());
    for target in [diagnosis_path("acme"), "/elsewhere".to_owned()] {
        let request = world.request("POST", &target).by(&world.credential("ann")).json(&json!({"content": []}));
        let request = request
            .header("Connection", "keep-alive, X-Hop")
            .header("X-Hop", "1")
            .header("TE", "trailers")
            .header("Keep-Alive", "timeout=5")
            .header("Proxy-Authorization", "Basic secret");
        let answer = request.send().await;
        let received = world.backend.last();
        for name in ["x-hop", "te", "keep-alive", "proxy-authorization", "proxy-connection", "trailer", "upgrade"] {
            assert_eq!(received.header(name), None, "{name} went to the backend of {target}");
        }
        assert!(received.header("connection").is_none_or(|value| !value.contains("X-Hop")), "{target}");
        assert_eq!(answer.header("x-own"), Some("a"));
        for name in ["x-internal", "keep-alive"] {
            assert_eq!(answer.header(name), None, "{name} came from the backend of {target}");
        }
    }
    world.end().await;
}
