//! What the operators' tools ask for: health, readiness, metrics, the API's description. Never served on the public port,
//! and open to whoever reaches the admin listener.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use refusal::Refusal;
use serde_json::json;

use crate::answer::{Methods, Refused, finish};

/// What Prometheus calls its text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the operations paths show.
#[derive(Clone)]
pub struct Operations {
    /// The metrics in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Whether work is taken; if not, why.
    pub ready: Arc<dyn Fn() -> Result<(), &'static str> + Send + Sync>,
}

/// `/healthz`, `/readyz`, `/metrics` and `/openapi.json`.
pub fn operations_router(operations: Operations) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(openapi))
        .fallback(async || Refused(Refusal::NotFound("path")))
        .layer(from_fn_with_state(Methods::default(), finish))
        .with_state(operations)
}

async fn health() -> Response {
    Json(json!({ "status": "alive" })).into_response()
}

async fn readiness(State(operations): State<Operations>) -> Response {
    match (operations.ready)() {
        Ok(()) => Json(json!({ "status": "ready" })).into_response(),
        Err(why) => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "not ready", "reason": why }))).into_response()
        }
    }
}

async fn metrics(State(operations): State<Operations>) -> Response {
    ([(header::CONTENT_TYPE, METRICS_TYPE)], (operations.metrics)()).into_response()
}

async fn openapi() -> Response {
    Json(crate::document()).into_response()
}
