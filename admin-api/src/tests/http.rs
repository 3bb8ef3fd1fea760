//! What every answer has in common.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;

use super::World;
use crate::{BODY_BYTES_MAX, Operations, operations_router};

#[tokio::test]
async fn every_answer_names_its_request_and_is_not_cached() {
    let world = World::new().await;
    for answered in [world.get("olga", "").await, world.get("otto", "").await] {
        assert_eq!(answered.header("cache-control"), "no-store");
        assert_eq!(answered.header("x-request-id"), "the-request");
        assert_eq!(answered.header("content-type"), "application/json");
    }
    assert_eq!(world.get("otto", "").await.json()["requestId"], "the-request");
    let alone = Request::builder().uri("/api/admin/pricing").header("x-request-id", "forged-by-a-client");
    let alone = world.send(alone.body(Body::empty()).unwrap()).await;
    assert!(alone.header("x-request-id").starts_with("req_"));
    assert_eq!(alone.json()["requestId"], alone.header("x-request-id"));
}

#[tokio::test]
async fn a_method_that_a_path_lacks_is_refused_with_those_it_has() {
    let world = World::new().await;
    let cases = [
        ("POST", "/api/organizations/acme/usage", "GET, HEAD"),
        ("DELETE", "/api/organizations/acme/usage/management", "GET, HEAD, PUT"),
        ("GET", "/api/admin/organizations/acme/members/mia", "PUT, DELETE"),
        ("PATCH", "/api/admin/plans/free", "GET, HEAD, PUT"),
        ("OPTIONS", "/api/admin/pricing", "GET, HEAD"),
    ];
    for (method, path, allowed) in cases {
        let answered = world.call("root", method, path, None).await;
        let sentence = answered.refused(405, "method_not_allowed");
        assert!(sentence.contains(allowed), "{sentence}");
        assert_eq!(answered.header("allow"), allowed, "{method} {path}");
    }
    world.call("olga", "PATCH", "/api/admin/plans/free", None).await.refused(403, "forbidden");
    let nobody = Request::builder().method("PATCH").uri("/api/admin/plans/free");
    world.send(nobody.body(Body::empty()).unwrap()).await.refused(401, "unauthenticated");
    world.call("root", "GET", "/api/admin/elsewhere", None).await.refused(404, "not_found");
    world.call("root", "GET", "/api/admin/plans/%FF", None).await.refused(400, "invalid_request");
    world.call("olga", "GET", "/api/organizations/%FF/usage", None).await.refused(403, "forbidden");
}

#[tokio::test]
async fn head_answers_like_get_without_a_body() {
    let world = World::new().await;
    for (user, status) in [("olga", 200), ("mia", 403)] {
        let get = world.get(user, "/dashboard").await;
        let head = world.call(user, "HEAD", "/api/organizations/acme/usage/dashboard", None).await;
        assert_eq!((head.status, head.text.as_str()), (status, ""));
        assert_eq!(head.header("content-type"), get.header("content-type"));
    }
}

#[tokio::test]
async fn a_body_at_the_limit_is_read_and_one_byte_more_is_refused() {
    let world = World::new().await;
    let body = |bytes: usize| format!("{{\"role\": \"member\"}}{}", " ".repeat(bytes - 18));
    let path = "/api/admin/organizations/acme/members/new";
    world.call("root", "PUT", path, Some(body(BODY_BYTES_MAX))).await.good();
    world.call("root", "PUT", path, Some(body(BODY_BYTES_MAX + 1))).await.refused(413, "body_too_large");
}

#[tokio::test]
async fn two_credentials_are_nobody() {
    let world = World::new().await;
    let second = format!("Bearer {}", world.credential("olga"));
    let twice = world.request("olga", "GET", "/api/organizations/acme/usage").header("authorization", second);
    world.send(twice.body(Body::empty()).unwrap()).await.refused(401, "unauthenticated");
    world.clock.advance_ms(3_600_000);
    let late = world.get("olga", "").await;
    late.good();
}

#[tokio::test]
async fn operations_are_open_and_say_why_not_ready() {
    let world = World::new().await;
    let operations = |ready: Result<(), &'static str>| Operations {
        metrics: Arc::new(|| "gateway_up 1\n".to_owned()),
        ready: Arc::new(move || ready),
    };
    // As on the admin listener: both together.
    let world = World { router: operations_router(operations(Ok(()))).merge(world.router.clone()), ..world };
    let bare = |path: &str| Request::builder().uri(path).body(Body::empty()).unwrap();
    let metrics = world.send(bare("/metrics")).await;
    assert_eq!((metrics.status, metrics.text.as_str()), (200, "gateway_up 1\n"));
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    assert_eq!(world.send(bare("/healthz")).await.status, 200);
    assert_eq!(world.send(bare("/readyz")).await.status, 200);
    assert_eq!(world.send(bare("/openapi.json")).await.json()["openapi"], "3.1.0");
    world.send(bare("/elsewhere")).await.refused(404, "not_found");
    world.get("olga", "").await.good();
    let world = World { router: operations_router(operations(Err("the disk is full"))), ..world };
    let ready = world.send(bare("/readyz")).await;
    assert_eq!((ready.status, ready.json()["reason"].as_str()), (503, Some("the disk is full")));
}
