//! Requests that are no business of ours: through Pingora's own phases, untouched but for the request's name.

use http::{StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::{FailToProxy, Session};
use pingora::{ErrorSource, ErrorType};
use refusal::Refusal;

use crate::call::Call;
use crate::gateway::Gateway;
use crate::{answer, headers, passing};

/// Tells the backend what it is told of every request.
pub(crate) fn request(
    gateway: &Gateway,
    session: &Session,
    header: &mut RequestHeader,
    call: &Call,
) -> pingora::Result<()> {
    headers::to_origin_form(header);
    passing::prepare(&gateway.rules.load().passing, session, call, header)
}

/// Ends an upload that takes too long in all.
pub(crate) fn body(gateway: &Gateway, call: &Call) -> pingora::Result<()> {
    if call.started.elapsed() <= gateway.rules.load().limits.upload_timeout {
        return Ok(());
    }
    Err(pingora::Error::explain(ErrorType::ReadTimedout, "limits.upload_timeout").into_down())
}

/// Names the request for the client, unless the backend did, and frames the answer as the client understands it.
pub(crate) fn response(session: &mut Session, header: &mut ResponseHeader, call: &Call) -> pingora::Result<()> {
    if session.req_header().version == Version::HTTP_10 && header.headers.contains_key(header::TRANSFER_ENCODING) {
        // An older client knows no chunks: its answer ends where the connection does.
        header.remove_header(&header::TRANSFER_ENCODING);
        session.set_keepalive(None);
    }
    if header.status != StatusCode::SWITCHING_PROTOCOLS {
        headers::strip_but_framing(header);
    }
    if header.headers.contains_key(headers::REQUEST_ID) {
        return Ok(());
    }
    header.insert_header(headers::REQUEST_ID, call.request_id.as_str())
}

/// Answers a request that could not be passed on, if an answer can still be read.
pub(crate) async fn failed(session: &mut Session, error: &pingora::Error, call: &mut Call) -> FailToProxy {
    let refusal = match (error.esource(), error.etype()) {
        (ErrorSource::Downstream, ErrorType::WriteError | ErrorType::ReadError | ErrorType::ConnectionClosed) => None,
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => Some(Refusal::BodyTimeout),
        (ErrorSource::Downstream, _) => {
            Some(Refusal::InvalidRequest("The request is not well-formed HTTP.".to_owned()))
        }
        (_, ErrorType::ReadTimedout | ErrorType::WriteTimedout | ErrorType::ConnectTimedout) => {
            Some(Refusal::UpstreamTimeout)
        }
        _ => Some(Refusal::UpstreamUnavailable),
    };
    let unanswered = session.response_written().is_none();
    let error_code = match refusal.filter(|_| unanswered) {
        Some(refusal) => {
            session.set_keepalive(None);
            let written = answer::refuse(session, call, &refusal, None).await;
            written.map_or(0, |()| refusal.status())
        }
        None => 0,
    };
    FailToProxy { error_code, can_reuse_downstream: false }
}
