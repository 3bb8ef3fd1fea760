//! The answers that are our own: refusals, rendered once, here.

use bytes::Bytes;
use http::{Method, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use refusal::Refusal;

use crate::call::{Call, new_request_id};
use crate::headers;
use crate::usage::Usage;

/// Answers with a refusal, and where a call was settled before it, with what became of its charge. A client that is gone
/// already loses nothing.
pub(crate) async fn refuse(
    session: &mut Session,
    call: &mut Call,
    refusal: &Refusal,
    settled: Option<&Usage>,
) -> pingora::Result<()> {
    call.refused = Some(refusal.code());
    let body = refusal.body(call.request_id.as_str());
    let mut header = ResponseHeader::build(refusal.status(), Some(8))?;
    header.insert_header(header::CONTENT_TYPE, "application/json")?;
    header.insert_header(header::CACHE_CONTROL, "no-store")?;
    header.insert_header(header::CONTENT_LENGTH, body.len())?;
    header.insert_header(headers::REQUEST_ID, call.request_id.as_str())?;
    for (name, value) in refusal.headers() {
        header.insert_header(name, value.as_ref())?;
    }
    if let Some(usage) = settled {
        usage.set_headers(&mut header)?;
    }
    let head = session.req_header().method == Method::HEAD;
    session.write_response_header(Box::new(header), head).await?;
    if head { Ok(()) } else { session.write_response_body(Some(Bytes::from(body)), true).await }
}

/// What a client is told whose bytes are no request, in place of the HTTP library's own bare answer. The connection closes.
pub(crate) fn of_no_request(of_library: &[u8]) -> Vec<u8> {
    if of_library.starts_with(b"HTTP/1.1 405") {
        return bare(&Refusal::MethodNotAllowed("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS".into()));
    }
    bare(&Refusal::InvalidRequest("The request is not well-formed HTTP.".to_owned()))
}

/// A refusal as bytes, where there is no request to answer. The connection closes.
pub(crate) fn bare(refusal: &Refusal) -> Vec<u8> {
    let (status, id) = (refusal.status(), new_request_id());
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
    let body = refusal.body(id.as_str());
    let mut answer = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n\
         Content-Length: {}\r\nX-Request-Id: {id}\r\nConnection: close\r\n",
        body.len()
    );
    for (name, value) in refusal.headers() {
        answer.extend([name, ": ", &*value, "\r\n"]);
    }
    answer.push_str("\r\n");
    let mut answer = answer.into_bytes();
    answer.extend(body);
    answer
}
