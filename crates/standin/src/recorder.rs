//! Remembers what arrived, so that tests can say what the backend must have seen. Bounded: it must never grow with the
//! number of calls.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use parking_lot::Mutex;

use crate::{BODY_BYTES_MAX, answer, endpoints};

/// A request, as it arrived.
#[derive(Clone)]
pub struct Received {
    /// The method.
    pub method: Method,
    /// Path and query, byte for byte.
    pub target: String,
    /// The headers, credentials included: this is for tests.
    pub headers: HeaderMap,
    /// The beginning of the body, as much as [`crate::Options::body_bytes_kept_max`] says.
    pub body: Bytes,
    /// How long the body was, in bytes.
    pub body_bytes: usize,
}

/// Headers can hold credentials and bodies prompts, so neither is printed.
impl fmt::Debug for Received {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {} ({} bytes)", self.method, self.target, self.body_bytes)
    }
}

/// The memory of a stand-in.
#[derive(Debug)]
pub(crate) struct Recorder {
    requests_kept_max: usize,
    body_bytes_kept_max: usize,
    calls: AtomicU64,
    requests: AtomicU64,
    received: Mutex<VecDeque<Received>>,
}

impl Recorder {
    pub(crate) fn new(requests_kept_max: usize, body_bytes_kept_max: usize) -> Self {
        Self {
            requests_kept_max,
            body_bytes_kept_max,
            calls: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            received: Mutex::default(),
        }
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().iter().cloned().collect()
    }

    pub(crate) fn forget(&self) {
        self.calls.store(0, Ordering::SeqCst);
        self.requests.store(0, Ordering::SeqCst);
        self.received.lock().clear();
    }

    fn keep(&self, received: Received) {
        if self.requests_kept_max == 0 {
            return;
        }
        let mut kept = self.received.lock();
        if kept.len() >= self.requests_kept_max {
            kept.pop_front();
        }
        kept.push_back(received);
    }
}

/// Reads every request whole, notes it, and passes it on.
pub(crate) async fn record(State(recorder): State<Arc<Recorder>>, request: Request, next: Next) -> Response {
    recorder.requests.fetch_add(1, Ordering::SeqCst);
    if request.method() == Method::POST && endpoints::is_ai_path(request.uri().path()) {
        recorder.calls.fetch_add(1, Ordering::SeqCst);
    }
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return answer::failure(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long or was cut short");
    };
    let kept = body.get(..recorder.body_bytes_kept_max).map_or_else(|| body.clone(), Bytes::copy_from_slice);
    recorder.keep(Received {
        method: head.method.clone(),
        target: head.uri.to_string(),
        headers: head.headers.clone(),
        body: kept,
        body_bytes: body.len(),
    });
    next.run(Request::from_parts(head, Body::from(body))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(target: &str) -> Received {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", "Bearer secret".parse().unwrap());
        Received { method: Method::POST, target: target.to_owned(), headers, body: "prompt".into(), body_bytes: 6 }
    }

    #[test]
    fn the_oldest_requests_are_forgotten_beyond_the_limit() {
        let recorder = Recorder::new(2, 10);
        for target in ["/1", "/2", "/3"] {
            recorder.keep(received(target));
        }
        let targets: Vec<_> = recorder.received().into_iter().map(|received| received.target).collect();
        assert_eq!(targets, ["/2", "/3"]);
        recorder.forget();
        assert!(recorder.received().is_empty());
    }

    #[test]
    fn a_recorder_of_nothing_keeps_nothing() {
        let recorder = Recorder::new(0, 10);
        recorder.keep(received("/1"));
        assert!(recorder.received().is_empty());
    }

    #[test]
    fn neither_credentials_nor_bodies_are_printed() {
        assert_eq!(format!("{:?}", received("/1")), "POST /1 (6 bytes)");
    }
}
