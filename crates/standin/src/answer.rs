//! The answers in their two forms, whole and streamed, and the app's way of failing. No answer holds a time or a
//! number of its own: the same call always gets the same bytes.

use std::io::{self, Write as _};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use crate::analysis::{Analysis, analyze};
use crate::endpoints::Endpoint;
use crate::wishes::Wishes;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// What an AI endpoint answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    title: &'static str,
    #[serde(flatten)]
    analysis: Analysis,
    #[serde(skip_serializing_if = "Option::is_none")]
    echo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceback: Option<Vec<String>>,
}

impl Answer {
    pub(crate) fn new(endpoint: Endpoint, text: &str, body: &Value) -> Self {
        let analysis = analyze(text);
        let asked_for = |flag: &str| body.get(flag) == Some(&Value::Bool(true));
        let steps = || {
            vec![
                format!("read {} characters", analysis.counts.characters),
                format!("split them into {} words", analysis.counts.words),
                format!("kept {} keywords", analysis.keywords.len()),
            ]
        };
        Self {
            title: endpoint.title,
            echo: asked_for("echo").then(|| format!("You began: {}", analysis.first_words)),
            traceback: asked_for("traceback").then(steps),
            analysis,
        }
    }

    /// One JSON document, with its exact length.
    pub(crate) fn whole(&self, wishes: Wishes) -> Response {
        let bytes = json_bytes(&json!({"success": true, "result": self}));
        if wishes.gzip() {
            return match gzip(&bytes) {
                Ok(packed) => with_header(sized(wishes, packed), CONTENT_ENCODING, HeaderValue::from_static("gzip")),
                Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            };
        }
        sized(wishes, bytes)
    }

    /// Events in the form of the `OpenAI` API: a word at a time, then `[DONE]`.
    pub(crate) fn streamed(&self, wishes: Wishes) -> Response {
        let mut events: Vec<Bytes> =
            self.text().split_inclusive(' ').map(|word| chunk(&json!({"content": word}), None)).collect();
        events.push(chunk(&json!({}), Some("stop")));
        events.push(Bytes::from_static(b"data: [DONE]\n\n"));
        let parts = if wishes.cut() { cut_short(events) } else { events.into_iter().map(Ok).collect() };
        let response = Response::new(paced(parts, wishes.event_delay()));
        let response = with_header(response, CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        with_header(with_status(response, wishes.status()), CONTENT_TYPE, EVENT_STREAM)
    }

    fn text(&self) -> String {
        let mut sentences = vec![format!("{}:", self.title), self.analysis.summary.clone()];
        sentences.extend(self.analysis.recommendations.iter().cloned());
        sentences.extend(self.echo.iter().cloned());
        sentences.extend(self.traceback.iter().flatten().cloned());
        sentences.join(" ")
    }
}

/// The answer of a health check.
pub(crate) fn health(endpoint: Endpoint) -> Response {
    json_response(StatusCode::OK, &json!({"status": "ok", "endpoint": endpoint.path}))
}

/// A failure in the app's own shape.
pub(crate) fn failure(status: StatusCode, error: &str) -> Response {
    json_response(status, &json!({"success": false, "error": error}))
}

/// A body that comes in parts, with a pause before each. An error among them breaks the connection off.
pub(crate) fn paced(parts: Vec<io::Result<Bytes>>, pause: Duration) -> Body {
    Body::from_stream(stream::unfold(parts.into_iter(), move |mut parts| async move {
        let part = parts.next()?;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        if part.is_err() {
            // The server writes out what it has when the body makes it wait; without that the error would overtake it.
            tokio::task::yield_now().await;
        }
        Some((part, parts))
    }))
}

/// The first half, then the end of the connection.
fn cut_short(mut parts: Vec<Bytes>) -> Vec<io::Result<Bytes>> {
    parts.truncate(parts.len() / 2);
    let died = io::Error::new(io::ErrorKind::ConnectionAborted, "the stand-in dies here, as it was asked to");
    parts.into_iter().map(Ok).chain([Err(died)]).collect()
}

/// A body of known length; one that is cut announces all of it and breaks off half-way.
fn sized(wishes: Wishes, bytes: Vec<u8>) -> Response {
    let length = HeaderValue::from(bytes.len());
    let body = if wishes.cut() {
        let halves = [bytes.get(..bytes.len() / 2), bytes.get(bytes.len() / 2..)];
        let halves = halves.into_iter().flatten().map(Bytes::copy_from_slice).collect();
        paced(cut_short(halves), Duration::ZERO)
    } else {
        Body::from(bytes)
    };
    let response = with_header(Response::new(body), CONTENT_TYPE, JSON);
    with_header(with_status(response, wishes.status()), CONTENT_LENGTH, length)
}

fn chunk(delta: &Value, finish_reason: Option<&str>) -> Bytes {
    let data = json!({
        "id": "chatcmpl-standin",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "standin",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    });
    format!("data: {data}\n\n").into()
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn json_bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn json_response(status: StatusCode, value: &Value) -> Response {
    with_status(with_header(Response::new(Body::from(json_bytes(value))), CONTENT_TYPE, JSON), status)
}

fn with_status(mut response: Response, status: StatusCode) -> Response {
    *response.status_mut() = status;
    response
}

fn with_header(mut response: Response, name: http::HeaderName, value: HeaderValue) -> Response {
    response.headers_mut().insert(name, value);
    response
}
