//! The stand-in over real connections, written and read by hand so that nothing comes between.

use std::io::Read as _;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

const DIAGNOSE: &str = "/api/organizations/acme/structuring/analyze-pain-points";

/// An answer: the head as text, the body as it came.
struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

async fn exchange(standin: &Standin, request: &str) -> Answer {
    let mut stream = TcpStream::connect(standin.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(bytes.len());
    let body = bytes.get(end + 4..).unwrap_or_default().to_vec();
    Answer { head: String::from_utf8_lossy(&bytes[..end]).to_lowercase(), body }
}

async fn get(standin: &Standin, target: &str) -> Answer {
    exchange(standin, &format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await
}

async fn post(standin: &Standin, target: &str, body: &Value) -> Answer {
    let (body, kind) = (body.to_string(), "Content-Type: application/json");
    let length = body.len();
    let head =
        format!("POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{kind}\r\nContent-Length: {length}\r\n");
    exchange(standin, &format!("{head}Authorization: Bearer none\r\n\r\n{body}")).await
}

async fn start() -> Standin {
    Standin::start(Options::default()).await.unwrap()
}

#[tokio::test]
async fn the_same_call_always_has_the_same_readable_answer() {
    let standin = start().await;
    let body = json!({"content": ["Invoices arrive late.", "Invoices get lost."], "echo": true, "traceback": true});
    let (one, other) = (post(&standin, DIAGNOSE, &body).await, post(&standin, DIAGNOSE, &body).await);
    assert_eq!(one.body, other.body);
    assert_eq!(one.status(), "200");
    let result = one.json();
    assert_eq!(result["success"], true);
    let result = &result["result"];
    assert_eq!(result["title"], "Pain points");
    assert_eq!(result["summary"], "6 words in 2 sentences, chiefly about invoices, arrive, late and lost.");
    assert_eq!(result["echo"], "You began: Invoices arrive late. Invoices get lost.");
    assert_eq!(result["traceback"].as_array().map(Vec::len), Some(3));
    assert_eq!(standin.calls(), 2);
}

#[tokio::test]
async fn all_ten_endpoints_answer_calls_and_health_checks() {
    let standin = start().await;
    let paths = [
        "/structuring/analyze-pain-points",
        "/structuring/generate-solution",
        "/visuals/generate-planning",
        "/solutioning/structure-solution",
        "/visuals/generate-sketch",
        "/solutioning/analyze-image",
        "/solutioning/enhance-text",
        "/solutioning/analyze-pernode",
        "/solutioning/auto-format",
        "/sow/generate-loe",
    ];
    for path in paths {
        let target = format!("/api/organizations/acme{path}");
        let health = get(&standin, &target).await;
        assert_eq!(health.json(), json!({"status": "ok", "endpoint": path}));
        assert_eq!(post(&standin, &target, &json!({})).await.json()["success"], true, "{path}");
    }
    assert_eq!((standin.calls(), standin.requests()), (10, 20));
}

#[tokio::test]
async fn a_stream_is_asked_for_by_body_or_header_and_ends_with_done() {
    let standin = start().await;
    let by_body = post(&standin, DIAGNOSE, &json!({"content": ["late invoices"], "stream": true})).await;
    let by_header = exchange(
        &standin,
        &format!("POST {DIAGNOSE} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"),
    )
    .await;
    for answer in [by_body, by_header] {
        assert!(answer.head.contains("content-type: text/event-stream"), "{}", answer.head);
        let text = answer.text();
        assert!(text.contains(r#""object":"chat.completion.chunk""#), "{text}");
        assert!(text.contains("data: [DONE]\n\n"), "{text}");
        assert_eq!(text.matches(r#""finish_reason":"stop""#).count(), 1);
    }
}

#[tokio::test]
async fn the_wishes_of_a_call_are_granted() {
    let standin = start().await;
    let body = json!({"content": ["late invoices"]});

    let began = Instant::now();
    post(&standin, &format!("{DIAGNOSE}?delay_ms=30"), &body).await;
    assert!(began.elapsed() >= Duration::from_millis(30));

    let failed = post(&standin, &format!("{DIAGNOSE}?status=503"), &body).await;
    assert_eq!((failed.status(), &failed.json()["success"]), ("503", &json!(false)));

    let whole = post(&standin, DIAGNOSE, &body).await;
    let cut = post(&standin, &format!("{DIAGNOSE}?cut=true"), &body).await;
    assert!(cut.head.contains(&format!("content-length: {}", whole.body.len())), "{}", cut.head);
    assert_eq!(cut.body, whole.body[..whole.body.len() / 2]);

    let packed = post(&standin, &format!("{DIAGNOSE}?gzip=true"), &body).await;
    assert!(packed.head.contains("content-encoding: gzip"), "{}", packed.head);
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, whole.body);

    let streamed = json!({"content": ["late invoices"], "stream": true, "standin": {"cut": true}});
    let cut = post(&standin, DIAGNOSE, &streamed).await.text();
    assert!(cut.contains("data: ") && !cut.contains("[DONE]"), "{cut}");
}

#[tokio::test]
async fn what_the_app_would_not_take_is_refused() {
    let standin = start().await;
    let not_json = format!("POST {DIAGNOSE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\n{{");
    assert_eq!(exchange(&standin, &not_json).await.status(), "400");
    assert_eq!(post(&standin, &format!("{DIAGNOSE}?delay_ms=60001"), &json!({})).await.status(), "400");
    assert_eq!(get(&standin, "/nowhere").await.status(), "404");
    assert_eq!(post(&standin, "/", &json!({})).await.status(), "405");
}

#[tokio::test]
async fn pages_are_sent_whole_and_with_their_length() {
    let standin = start().await;
    assert!(get(&standin, "/").await.text().starts_with("<!doctype html>"));
    for bytes in [0_usize, 1, 65_536, 65_537, 1_000_000] {
        let answer = get(&standin, &format!("/download/{bytes}")).await;
        assert!(answer.head.contains(&format!("content-length: {bytes}")), "{}", answer.head);
        assert_eq!(answer.body.len(), bytes);
    }
    for too_much in ["1073741825", "-1", "many"] {
        assert_eq!(get(&standin, &format!("/download/{too_much}")).await.status(), "400", "{too_much}");
    }
    assert_eq!(standin.calls(), 0);
}

#[tokio::test]
async fn what_arrived_can_be_read_byte_for_byte_up_to_the_limit() {
    let options = Options { body_bytes_kept_max: 6, ..Options::default() };
    let standin = Standin::start(options).await.unwrap();
    post(&standin, &format!("{DIAGNOSE}?a=%2F&b"), &json!({"a": 1})).await;
    post(&standin, DIAGNOSE, &json!([1, 2])).await;
    let received = standin.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].target, format!("{DIAGNOSE}?a=%2F&b"));
    assert_eq!(received[0].headers["authorization"], "Bearer none");
    assert_eq!((&received[0].body[..], received[0].body_bytes), (&br#"{"a":1"#[..], 7));
    assert_eq!((&received[1].body[..], received[1].body_bytes), (&b"[1,2]"[..], 5));
    standin.forget();
    assert!(standin.received().is_empty());
    assert_eq!(standin.requests(), 0);
}

#[tokio::test]
async fn a_stopped_stand_in_answers_what_is_on_its_way_and_closes_the_port() {
    let standin = start().await;
    let address = standin.address();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let call = format!("POST {DIAGNOSE}?delay_ms=50 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}");
    stream.write_all(call.as_bytes()).await.unwrap();
    while standin.calls() == 0 {
        tokio::task::yield_now().await;
    }
    standin.stop().await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    assert!(TcpStream::connect(address).await.is_err());
}
