//! How every answer leaves: a refusal is rendered here and nowhere else, nothing may be kept in a cache, and each answer
//! names its request.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ledger::{RequestId, StoreError};
use refusal::Refusal;
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Where a request comes from. Whoever embeds the router puts it into the request's extensions; a request without one gets
/// an id of our making and its connection's address.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The request, as logs and answers name it.
    pub request_id: RequestId,
    /// The client's address, where it is known.
    pub remote_address: Option<IpAddr>,
}

/// An answer that we chose instead of what was asked for. [`finish`] renders it.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Refusal);

/// The methods of each path, as `Allow` lists them.
pub(crate) type Methods = Arc<HashMap<String, String>>;

/// What a handler answers.
pub(crate) type Answer<T> = Result<Json<T>, Refused>;

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, source = ?std::error::Error::source(&error), "the store did not do what it was asked");
        Self(Refusal::StoreUnavailable)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status(&self.0);
        response.extensions_mut().insert(Arc::new(self.0));
        response
    }
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        if let Some(origin) = parts.extensions.get::<Self>() {
            return Ok(origin.clone());
        }
        let connection = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self { request_id: new_request_id(), remote_address: connection.map(|connection| connection.0.ip()) })
    }
}

/// The outermost layer: names the request, renders refusals (the router's own included), forbids caching.
pub(crate) async fn finish(
    State(methods): State<Methods>,
    origin: Origin,
    mut request: Request,
    next: Next,
) -> Response {
    let request_id = origin.request_id.clone();
    let is_head = request.method() == Method::HEAD;
    // What is on no list is read only.
    let path = request.extensions().get::<MatchedPath>();
    let allowed = path.and_then(|path| methods.get(path.as_str())).map_or("GET, HEAD", String::as_str);
    request.extensions_mut().insert(origin);
    let mut response = next.run(request).await;
    if let Some(refusal) = refusal_in(&response, allowed) {
        response = rendered(&refusal, &request_id, is_head);
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
        headers.insert(REQUEST_ID, value);
    }
    response
}

/// A handler's refusal, or what axum's bare 400, 404 and 405 mean.
fn refusal_in(response: &Response, allowed: &str) -> Option<Arc<Refusal>> {
    if let Some(refusal) = response.extensions().get::<Arc<Refusal>>() {
        return Some(Arc::clone(refusal));
    }
    match response.status() {
        StatusCode::NOT_FOUND => Some(Arc::new(Refusal::NotFound("path"))),
        // What a path's parameters say when they are not UTF-8.
        StatusCode::BAD_REQUEST => Some(Arc::new(Refusal::InvalidRequest("The path cannot be read.".to_owned()))),
        StatusCode::METHOD_NOT_ALLOWED => Some(Arc::new(Refusal::MethodNotAllowed(allowed.to_owned().into()))),
        _ => None,
    }
}

fn rendered(refusal: &Refusal, request_id: &RequestId, is_head: bool) -> Response {
    let body = refusal.body(request_id.as_str());
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(if is_head { Body::empty() } else { Body::from(body) });
    *response.status_mut() = status(refusal);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_LENGTH, length);
    for (name, value) in refusal.headers() {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(&value)) {
            headers.insert(name, value);
        }
    }
    response
}

fn status(refusal: &Refusal) -> StatusCode {
    StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}

/// `req_` and a UUIDv7.
fn new_request_id() -> RequestId {
    let text = format!("req_{}", Uuid::now_v7().as_hyphenated());
    text.parse().or_else(|_| "req".parse()).unwrap_or_else(|_| unreachable!("a request id is 40 plain characters"))
}
