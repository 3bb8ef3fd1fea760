//! Answers on their way to the client: the backend's bytes and our `usage`, and nothing else changed.

use serde_json::json;

use crate::world::{Answer, Answered, World, gzip};

const JSON: &str = "Content-Type: application/json\r\n";

/// `body` with the usage of an answer to a call of 10 credits where `{}` stands.
fn with_usage(body: &str, answer: &Answered) -> String {
    let (id, credits, remaining) = answer.usage_headers();
    assert_eq!(credits, "10");
    body.replace("{}", &format!(r#""creditsConsumed":10,"remainingCredits":{remaining},"usageEventId":"{id}""#))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_gains_usage_and_keeps_every_other_byte() {
    let cases = [
        (
            r#"{"b":1.50,"a":1e400,"b":0.1000000000000000000001}"#,
            r#"{"b":1.50,"a":1e400,"b":0.1000000000000000000001,"usage":{{}}}"#,
        ),
        ("{ }", r#"{"usage":{{}} }"#),
        ("\n{ \"a\" : [ 1 , 2 ] }\r\n", "\n{ \"a\" : [ 1 , 2 ] ,\"usage\":{{}}}\r\n"),
        (
            r#"{"nested":{"usage":1},"text":"\u00e9 \"usage\":"}"#,
            r#"{"nested":{"usage":1},"text":"\u00e9 \"usage\":","usage":{{}}}"#,
        ),
        (r#"{"usage":null}"#, r#"{"usage":{{}}}"#),
        (r#"{"usage":"old","z":1}"#, r#"{"usage":{{}},"z":1}"#),
    ];
    let world = World::start().await;
    for (sent, want) in cases {
        for packed in [false, true] {
            let in_gzip = Answer::with("200 OK", &format!("{JSON}Content-Encoding: gzip\r\n"), gzip(sent));
            world.backend.answers(if packed { in_gzip } else { Answer::json(sent) });
            let answer = world.call("acme", "ann").await;
            let want = with_usage(want, &answer);
            // Where white space goes around what is added is ours to choose; all else is not.
            let bare = |text: &str| text.split_whitespace().collect::<String>();
            assert_eq!(bare(&answer.text()), bare(&want), "{sent}");
            assert_eq!(answer.header("content-encoding"), None);
            assert!(answer.complete);
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_usage_object_that_is_there_keeps_its_other_fields() {
    let world = World::start().await;
    // What it says under our names is not ours: the warning of its own tracker goes, there is none of ours.
    let theirs =
        r#"{"usage":{"prompt_tokens":1.0,"creditsConsumed":999,"warning":{"percentageUsed":99},"total":[2]},"id":1}"#;
    world.backend.answers(Answer::json(theirs));
    let answer = world.call("acme", "ann").await;
    let id = answer.usage_headers().0;
    let want = json!({"prompt_tokens": 1.0, "creditsConsumed": 10, "total": [2], "remainingCredits": 4990, "usageEventId": id});
    assert_eq!(answer.json(), json!({"usage": want, "id": 1}));
    assert!(answer.text().contains("\"prompt_tokens\":1.0,"), "{}", answer.text());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_json_object_of_a_success_passes_untouched() {
    let world = World::start().await;
    let object = r#"{"a":1}"#;
    let cases: [(&str, &str, Vec<u8>, &str); 16] = [
        ("200 OK", JSON, b"[1,2]".to_vec(), "10"),
        ("200 OK", JSON, b" 7 ".to_vec(), "10"),
        ("200 OK", JSON, b"null".to_vec(), "10"),
        ("200 OK", JSON, b"\"text\"".to_vec(), "10"),
        ("200 OK", JSON, b"{\"a\":1".to_vec(), "10"),
        ("200 OK", JSON, b"{\"a\":1}{".to_vec(), "10"),
        ("200 OK", JSON, b"".to_vec(), "10"),
        ("200 OK", JSON, b"{\"a\":\"\xff\"}".to_vec(), "10"),
        ("200 OK", "Content-Type: text/html\r\n", object.into(), "10"),
        ("200 OK", "", object.into(), "10"),
        ("200 OK", "Content-Type: application/json\r\nContent-Encoding: br\r\n", object.into(), "10"),
        (
            "206 Partial Content",
            "Content-Type: application/json\r\nContent-Range: bytes 0-6/100\r\n",
            object.into(),
            "10",
        ),
        ("302 Found", "Content-Type: application/json\r\nLocation: /elsewhere\r\n", object.into(), "0"),
        ("404 Not Found", JSON, object.into(), "0"),
        ("429 Too Many Requests", "Content-Type: application/json\r\nRetry-After: 9\r\n", object.into(), "0"),
        ("500 Internal Server Error", JSON, object.into(), "0"),
    ];
    let mut used = 0;
    for (status, headers, body, credits) in cases {
        world.backend.answers(Answer::with(
            status,
            &format!("{headers}X-Kept: yes\r\nX-Usage-Event-Id: forged\r\n"),
            &body,
        ));
        let answer = world.call("acme", "ann").await;
        let what = format!("{status} {headers} {}", String::from_utf8_lossy(&body));
        assert_eq!(answer.status.to_string(), status[..3], "{what}");
        assert_eq!(answer.body, body, "{what}");
        assert_eq!(answer.header("x-kept"), Some("yes"));
        used += credits.parse::<i64>().unwrap();
        let (_, consumed, remaining) = answer.usage_headers();
        assert_eq!((consumed, remaining), (credits, (5_000 - used).to_string().as_str()), "{what}");
        for line in headers.lines() {
            let (name, value) = line.split_once(": ").unwrap();
            assert_eq!(answer.header(&name.to_lowercase()), Some(value), "{what}");
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_body_have_headers_only() {
    let routes = r#"[{ methods = ["POST", "HEAD"], path = "/ai/{orgId}/run", event_type = "structuring_diagnose" }]"#;
    let world = World::with(&[("ROUTES", routes)]).await;
    world.backend.answers(Answer::raw("HTTP/1.1 204 No Content\r\nX-Kept: yes\r\n\r\n"));
    let run = |method| world.request(method, "/ai/acme/run").by(&world.credential("ann")).body("{}");
    let answer = run("POST").send().await;
    assert_eq!((answer.status, answer.usage_headers().1, answer.body.len()), (204, "10", 0));
    assert_eq!((answer.header("content-length"), answer.header("x-kept")), (None, Some("yes")));
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1234\r\n\r\n";
    world.backend.answers(Answer::raw(head));
    let answer = run("HEAD").send().await;
    assert_eq!((answer.status, answer.usage_headers().1), (200, "10"));
    assert_eq!(answer.header("content-length"), Some("1234"));
    world.backend.answers(Answer::json("{}"));
    assert_eq!(run("POST").send().await.usage_headers().2, "4970");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_answers_are_read_past_to_the_final_one() {
    let world = World::start().await;
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}";
    world.backend.answers(Answer::raw(format!("HTTP/1.1 100 Continue\r\n\r\n{interim}{interim}{last}")));
    for left in ["4990", "4980"] {
        let answer = world.call("acme", "ann").await;
        assert_eq!((answer.json()["a"].as_i64(), answer.usage_headers().2), (Some(1), left));
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_framing_of_the_backend_is_understood() {
    let world = World::start().await;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n";
    let cases = [
        (
            "chunks",
            Answer::raw(format!("{head}Transfer-Encoding: chunked\r\n\r\n")).chunk("{\"a\"").chunk(":1}").chunk(""),
        ),
        ("until close", Answer::raw(format!("{head}\r\n{{\"a\":1}}")).close()),
        ("an older protocol", Answer::raw(format!("{}\r\n{{\"a\":1}}", head.replace("1.1", "1.0"))).close()),
    ];
    for (framing, answer) in cases {
        world.backend.answers(answer);
        let answer = world.call("acme", "ann").await;
        assert_eq!(
            (&answer.json()["a"], &answer.json()["usage"]["creditsConsumed"]),
            (&json!(1), &json!(10)),
            "{framing}"
        );
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_the_backends_connection_and_of_its_exact_bytes_do_not_reach_the_client() {
    let world = World::start().await;
    let own = "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nX-Credits-Remaining: 1\r\n";
    let of_bytes = "ETag: \"v1\"\r\nDigest: sha-256=x\r\nContent-MD5: x\r\nSet-Cookie: a=1\r\n";
    world.backend.answers(Answer::with("200 OK", &format!("{JSON}{own}{of_bytes}"), "{}"));
    let answer = world.call("acme", "ann").await;
    for name in ["x-hop", "keep-alive", "proxy-connection", "etag", "digest", "content-md5"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_eq!((answer.header("set-cookie"), answer.usage_headers().2), (Some("a=1"), "4990"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_the_limit_gets_usage_and_a_longer_one_passes_on() {
    let world = World::with(&[("UPSTREAM__MAX_RESPONSE", "100KiB")]).await;
    let frame = r#"{"fill":""}"#;
    for (bytes, spliced) in [(100 << 10, true), ((100 << 10) + 1, false), (1 << 20, false)] {
        let body = format!(r#"{{"fill":"{}"}}"#, "x".repeat(bytes - frame.len()));
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        for sent in [Answer::json(&body), Answer::raw(head).chunk(&body[..70_000]).chunk(&body[70_000..]).chunk("")] {
            world.backend.answers(sent);
            let answer = world.call("acme", "ann").await;
            assert_eq!(answer.header("x-credits-consumed"), spliced.then_some("10"), "{bytes}");
            assert!(answer.complete);
            assert_eq!(answer.json()["usage"].is_object(), spliced, "{bytes}");
            assert_eq!(answer.text() == body, !spliced, "{bytes}");
        }
    }
    // A small answer that unpacks to more than is kept stays packed.
    let bomb = gzip(format!(r#"{{"fill":"{}"}}"#, " ".repeat(1 << 20)));
    world.backend.answers(Answer::with("200 OK", &format!("{JSON}Content-Encoding: gzip\r\n"), &bomb));
    let answer = world.call("acme", "ann").await;
    assert_eq!((answer.body, answer.headers.iter().any(|(name, _)| name == "content-encoding")), (bomb, true));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_long_to_keep_and_breaks_off_is_visibly_broken() {
    let world = World::with(&[("UPSTREAM__MAX_RESPONSE", "1KiB")]).await;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let chunked = Answer::raw(format!("{head}Transfer-Encoding: chunked\r\n\r\n")).chunk("x".repeat(5_000)).close();
    let sized = Answer::raw(format!("{head}Content-Length: 9000\r\n\r\n{}", "x".repeat(5_000))).close();
    for sent in [chunked, sized] {
        world.backend.answers(sent);
        let answer = world.call("acme", "ann").await;
        assert_eq!((answer.status, answer.complete), (200, false));
        assert_eq!(answer.header("x-credits-consumed"), None, "it was not settled when its header went out");
        assert_eq!(world.event(&answer).await["creditsConsumed"], 10);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_passed_on_before_it_broke_off_is_settled_as_configured() {
    let world = World::with(&[("UPSTREAM__MAX_RESPONSE", "1KiB"), ("SETTLEMENT__CUT_STREAM", "void")]).await;
    let head =
        |status: &str| format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n\r\n");
    // Its status, how much of 9 000 bytes comes, what becomes of the hold, what the header may say of it.
    let cases = [
        ("200 OK", 9_000, "captured", None),
        ("200 OK", 5_000, "voided", None),
        ("500 Oops", 9_000, "voided", Some("0")),
        ("500 Oops", 5_000, "voided", Some("0")),
    ];
    for (status, bytes, outcome, told) in cases {
        world.backend.answers(Answer::raw(head(status)).then("x".repeat(bytes)).close());
        let answer = world.call("acme", "ann").await;
        assert_eq!((answer.complete, answer.body.len() <= bytes), (bytes == 9_000, true), "{status} {bytes}");
        assert_eq!(answer.header("x-credits-consumed"), told, "{status} {bytes}");
        let event = world.event(&answer).await;
        assert_eq!(event["outcome"], outcome, "{status} {bytes}");
    }
    assert_eq!(world.counter("acme").await["used"], 10);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_keeps_the_name_that_its_client_gave_it() {
    let world = World::start().await;
    let named = world.diagnosis("acme", "ann").header("X-Request-Id", "trace-0123456789").json(&json!({})).send().await;
    assert_eq!(named.header("x-request-id"), Some("trace-0123456789"));
    assert_eq!(world.backend.last().header("x-request-id"), Some("trace-0123456789"));
    assert_eq!(world.events("acme").await[0]["requestId"], "trace-0123456789");
    let forged = world.diagnosis("acme", "ann").header("X-Request-Id", "a b\"c").json(&json!({})).send().await;
    assert!(forged.header("x-request-id").unwrap().starts_with("req_"));
    world.end().await;
}
