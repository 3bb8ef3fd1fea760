//! The usage paths on the gateway's own port: the admin API, called in this process, so that the front end keeps one
//! origin.

use axum::body::Body;
use bytes::Bytes;
use http::{Method, header};
use http_body_util::{BodyExt, Limited};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use refusal::Refusal;
use tower::ServiceExt;

use crate::call::Call;
use crate::gateway::Gateway;
use crate::stop::Stop;
use crate::{headers, identify, passing, read};

/// The longest answer that the admin API gives; a page of history is far below it.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Hands the request to the admin API and its answer to the client.
pub(crate) async fn serve(gateway: &Gateway, session: &mut Session, call: &mut Call) -> Result<(), Stop> {
    let bytes_max = match session.req_header().uri.path() {
        // So long a body is read for an operator alone.
        admin_api::UPLOAD_PATH if session.req_header().method == Method::POST => {
            if !identify::caller(gateway, session).await?.is_operator() {
                return Err(Refusal::Forbidden.into());
            }
            admin_api::UPLOAD_BYTES_MAX
        }
        path if path.ends_with("/usage/quote") => admin_api::QUOTE_BYTES_MAX,
        _ => admin_api::BODY_BYTES_MAX,
    };
    let body = read::whole(session, bytes_max, gateway.room.arriving()).await?;
    let request = request(gateway, session, call, body)
        .ok_or_else(|| Refusal::InvalidRequest("The request is not well-formed.".to_owned()))?;
    let answer = match gateway.own.clone().oneshot(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    };
    let (parts, body) = answer.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| {
        tracing::error!(%error, "the admin API's answer cannot be read");
        Refusal::StoreUnavailable
    })?;
    let body = body.to_bytes();
    let mut header = ResponseHeader::build(parts.status, Some(parts.headers.len()))?;
    for (name, value) in &parts.headers {
        header.append_header(name.clone(), value.clone())?;
    }
    headers::strip_from_answer(&mut header);
    let head = session.req_header().method == Method::HEAD;
    if !head {
        // What HEAD answers has the length that GET would have: the API says it.
        header.insert_header(header::CONTENT_LENGTH, body.len())?;
    }
    header.insert_header(headers::REQUEST_ID, call.request_id.as_str())?;
    session.write_response_header(Box::new(header), head).await?;
    if !head {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}

fn request(gateway: &Gateway, session: &Session, call: &Call, body: Bytes) -> Option<http::Request<Body>> {
    let client = session.req_header();
    let target = client.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut request = http::Request::builder().method(client.method.clone()).uri(target);
    *request.headers_mut()? = client.headers.clone();
    let origin = admin_api::Origin {
        request_id: call.request_id.clone(),
        remote_address: passing::client_address(&gateway.rules.load().passing, session),
    };
    request.extension(origin).body(Body::from(body)).ok()
}
