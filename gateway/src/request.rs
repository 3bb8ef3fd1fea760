//! What a request is, and so which way it takes: ours, paid, free for members, or through to the backend.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use http::{Version, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use refusal::Refusal;

use crate::call::{Call, sound_request_id};
use crate::gateway::Gateway;
use crate::routes::Matched;
use crate::stop::Stop;
use crate::{answer, canonical, connection, headers, journey, own, read};

/// Whether we answered the request, or Pingora is to pass it to the backend.
enum Handled {
    Answered,
    PassOn,
}

/// Whether the request is answered: by its journey, or by a refusal. A bug ends this request only.
pub(crate) async fn answered(gateway: &Gateway, session: &mut Session, call: &mut Call) -> pingora::Result<bool> {
    let handled = AssertUnwindSafe(handle(gateway, session, call)).catch_unwind().await;
    let handled = handled.unwrap_or_else(|_panic| {
        tracing::error!(request_id = %call.request_id, "a call ended by a bug: the panic's own message says where");
        session.set_keepalive(None);
        match session.response_written() {
            None => Err(Refusal::Internal.into()),
            Some(_) => Err(Stop::Broken(pingora::Error::explain(pingora::ErrorType::InternalError, "a bug"))),
        }
    });
    match handled {
        Ok(Handled::Answered) => Ok(true),
        Ok(Handled::PassOn) => Ok(false),
        Err(Stop::Refused(refusal)) => {
            answer::refuse(session, call, &refusal, None).await.map_err(pingora::Error::into_down)?;
            if matches!(refusal, Refusal::BodyTooLarge(_) | Refusal::TooManyInFlight) {
                read::drain(session).await;
            }
            Ok(true)
        }
        Err(Stop::Settled(refusal, usage)) => {
            let answered = answer::refuse(session, call, &refusal, Some(&usage)).await;
            answered.map_err(pingora::Error::into_down)?;
            Ok(true)
        }
        Err(Stop::Repeated(repeat)) => {
            repeat.send(session, call).await.map_err(pingora::Error::into_down)?;
            Ok(true)
        }
        Err(Stop::Broken(error)) => Err(error),
    }
}

/// Sends a request its way.
async fn handle(gateway: &Gateway, session: &mut Session, call: &mut Call) -> Result<Handled, Stop> {
    if let Some(id) = session.get_header(&headers::REQUEST_ID).and_then(|id| sound_request_id(id.as_bytes())) {
        call.request_id = id;
    }
    connection::fits(gateway, session)?;
    names_its_host(session.req_header())?;
    is_plainly_framed(session)?;
    let path = canonical::read(path_of(session)).map_err(Refusal::PathNotCanonical)?;
    if admin_api::is_ours(session.req_header().uri.path()) {
        call.route = gateway.metrics.own_route();
        own::serve(gateway, session, call).await?;
        return Ok(Handled::Answered);
    }
    match gateway.rules.load_full().routes.find(&session.req_header().method, &path) {
        Matched::Unmetered => {
            call.route = gateway.metrics.unmetered_route();
            Ok(Handled::PassOn)
        }
        Matched::Metered(route, organization) => {
            call.route = Arc::clone(&route.path);
            call.organization = Some(organization.clone());
            journey::paid(gateway, session, call, route, organization).await?;
            Ok(Handled::Answered)
        }
        Matched::MembersOnly(route, organization) => {
            call.route = Arc::clone(&route.path);
            call.organization = Some(organization.clone());
            journey::free(gateway, session, call, &route, organization).await?;
            Ok(Handled::PassOn)
        }
        Matched::LookAlike => Err(Refusal::PathNotCanonical("the look of a metered path without being one").into()),
        Matched::MethodInOtherCase => {
            let sentence = "The method is a metered one in another case; allowed: as it is configured, in capitals.";
            Err(Refusal::InvalidRequest(sentence.to_owned()).into())
        }
        Matched::NoSuchOrganization => Err(Refusal::Forbidden.into()),
    }
}

/// HTTP requires a host (RFC 9112 §3.2, RFC 9113 §8.3.1); that there is no more than one was seen to when the header was read.
fn names_its_host(request: &RequestHeader) -> Result<(), Refusal> {
    let named = request.headers.contains_key(header::HOST) || request.uri.authority().is_some();
    if matches!(request.version, Version::HTTP_11 | Version::HTTP_2) && !named {
        let allowed = "The Host field is missing; allowed: one, as HTTP requires.";
        return Err(Refusal::InvalidRequest(allowed.to_owned()));
    }
    Ok(())
}

/// A body has one length or is in chunks, said in one way. What could be read in another is nobody's to guess.
fn is_plainly_framed(session: &mut Session) -> Result<(), Refusal> {
    let fields = &session.req_header().headers;
    let mut codings = fields.get_all(header::TRANSFER_ENCODING).iter();
    let coding = match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(only), None) => only.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    };
    let mut lengths = fields.get_all(header::CONTENT_LENGTH).iter();
    let length = match (lengths.next(), lengths.next()) {
        (None, _) => true,
        (Some(only), None) => !only.is_empty() && only.as_bytes().iter().all(u8::is_ascii_digit),
        (Some(_), Some(_)) => false,
    };
    if coding && length {
        return Ok(());
    }
    session.set_keepalive(None);
    let allowed =
        "The body's framing is ambiguous; allowed: one Content-Length of digits, or Transfer-Encoding: chunked.";
    Err(Refusal::InvalidRequest(allowed.to_owned()))
}

/// The path as it came over the wire, without its query: what is read is what is sent on.
fn path_of(session: &Session) -> &[u8] {
    let request = session.req_header();
    let raw = if headers::is_absolute_form(request) { request.uri.path().as_bytes() } else { request.raw_path() };
    raw.split(|byte| *byte == b'?').next().unwrap_or(raw)
}
