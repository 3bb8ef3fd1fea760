//! The app's AI endpoints: one line each, the path and the members of the body that hold its text.

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::BODY_BYTES_MAX;
use crate::analysis::text_in;
use crate::answer::{self, Answer};
use crate::wishes::Wishes;

/// What every endpoint's path starts with.
const PREFIX: &str = "/api/organizations/{orgId}";

/// An AI endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoint {
    /// The path after the organisation.
    pub(crate) path: &'static str,
    /// What its answer is called.
    pub(crate) title: &'static str,
    /// Where the body holds its text; none means in the whole body.
    text: &'static [&'static str],
}

const ENDPOINTS: [Endpoint; 10] = [
    endpoint("/structuring/analyze-pain-points", "Pain points", &["content"]),
    endpoint("/structuring/generate-solution", "Solution", &["solution_content", "pain_points"]),
    endpoint("/visuals/generate-planning", "Planning", &["solution", "content"]),
    endpoint("/solutioning/structure-solution", "Structured solution", &["solution", "content"]),
    endpoint("/visuals/generate-sketch", "Sketch", &["planning"]),
    endpoint("/solutioning/analyze-image", "Image", &[]),
    endpoint("/solutioning/enhance-text", "Enhanced text", &["text"]),
    endpoint("/solutioning/analyze-pernode", "Node stack", &["context"]),
    endpoint("/solutioning/auto-format", "Formatted text", &["title", "steps", "approach"]),
    endpoint("/sow/generate-loe", "Level of effort", &[]),
];

const fn endpoint(path: &'static str, title: &'static str, text: &'static [&'static str]) -> Endpoint {
    Endpoint { path, title, text }
}

/// Every endpoint, with its `GET` health check.
pub(crate) fn router(delay: Duration) -> Router {
    ENDPOINTS.iter().fold(Router::new(), |router, endpoint| {
        router.route(&format!("{PREFIX}{}", endpoint.path), methods(*endpoint, delay))
    })
}

/// Whether a path is an AI endpoint's.
pub(crate) fn is_ai_path(path: &str) -> bool {
    let Some((_organization, rest)) = path.strip_prefix("/api/organizations/").and_then(|path| path.split_once('/'))
    else {
        return false;
    };
    ENDPOINTS.iter().any(|endpoint| endpoint.path.strip_prefix('/') == Some(rest))
}

fn methods(endpoint: Endpoint, delay: Duration) -> MethodRouter {
    let health = move |Path(_organization): Path<String>| async move { answer::health(endpoint) };
    get(health).post(move |request: Request| call(endpoint, delay, request))
}

async fn call(endpoint: Endpoint, delay: Duration, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, BODY_BYTES_MAX).await else {
        return answer::failure(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long or was cut short");
    };
    let Ok(body) = serde_json::from_slice::<Value>(&bytes) else {
        return answer::failure(StatusCode::BAD_REQUEST, "the body is not JSON");
    };
    let wishes = match Wishes::of(head.uri.query().unwrap_or_default(), &body) {
        Ok(wishes) => wishes,
        Err(why) => return answer::failure(StatusCode::BAD_REQUEST, &why),
    };
    tokio::time::sleep(wishes.delay(delay)).await;
    if !wishes.status().is_success() {
        return answer::failure(wishes.status(), "the model gave up, as it was asked to");
    }
    let answer = Answer::new(endpoint, &endpoint.text_of(&body), &body);
    if wants_stream(&head.headers, &body) { answer.streamed(wishes) } else { answer.whole(wishes) }
}

impl Endpoint {
    fn text_of(&self, body: &Value) -> String {
        if self.text.is_empty() {
            return text_in(body);
        }
        let texts = self.text.iter().filter_map(|member| body.get(member)).map(text_in);
        texts.filter(|text| !text.trim().is_empty()).collect::<Vec<_>>().join(" ")
    }
}

fn wants_stream(headers: &HeaderMap, body: &Value) -> bool {
    let accepts = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let is_json = headers.get(CONTENT_TYPE).is_none_or(|kind| kind.as_bytes().starts_with(b"application/json"));
    accepts.is_some_and(|accept| accept.contains("text/event-stream"))
        || (is_json && body.get("stream") == Some(&Value::Bool(true)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_ai_path_is_a_known_one_under_an_organization() {
        let cases = [
            ("/api/organizations/acme/structuring/analyze-pain-points", true),
            ("/api/organizations/a%20b/sow/generate-loe", true),
            ("/api/organizations/acme/structuring/analyze-pain-points/", false),
            ("/api/organizations/structuring/analyze-pain-points", false),
            ("/api/organizations/acme/sessions", false),
            ("/download/10", false),
        ];
        for (path, want) in cases {
            assert_eq!(is_ai_path(path), want, "{path}");
        }
    }

    #[test]
    fn each_endpoint_reads_its_own_members() {
        let body = json!({"content": ["a", "b"], "text": "t", "title": "x", "steps": ["y"], "approach": "z"});
        let cases = [
            ("/structuring/analyze-pain-points", "a b"),
            ("/solutioning/enhance-text", "t"),
            ("/solutioning/auto-format", "x y z"),
            ("/visuals/generate-sketch", ""),
        ];
        for (path, want) in cases {
            let endpoint = ENDPOINTS.iter().find(|endpoint| endpoint.path == path).unwrap();
            assert_eq!(endpoint.text_of(&body), want, "{path}");
        }
    }
}
