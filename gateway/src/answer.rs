//! The answers that are our own: refusals, rendered once, here.

use bytes::Bytes;
use http::{Method, header};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use refusal::Refusal;

use crate::call::Call;
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
