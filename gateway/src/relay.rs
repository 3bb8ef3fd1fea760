//! Step 8: the answer, back to the client: what the backend sent, and `usage`, and nothing else changed.
//!
//! Whatever the client does meanwhile, the backend's answer is read to its end and the hold is settled.

mod streamed;
mod whole;

use bytes::Bytes;
use http::{Version, header};
use payload::content;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use crate::call::Call;
use crate::forward::{Answer, NoAnswer};
use crate::gateway::Gateway;
use crate::headers;
use crate::hold::OpenHold;
use crate::settle::{self, Ending};
use crate::stop::Stop;

/// Settles the hold by the answer and passes the answer on.
pub(crate) async fn deliver(
    gateway: &Gateway,
    session: &mut Session,
    call: &mut Call,
    answer: Result<Answer, NoAnswer>,
    hold: OpenHold<'_>,
) -> Result<(), Stop> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(failure) => return Err(give_up(gateway, call, hold, failure, Ending::default()).await),
    };
    if is_event_stream(&answer.header) {
        streamed::deliver(gateway, session, call, answer, hold).await
    } else {
        whole::deliver(gateway, session, call, answer, hold).await
    }
}

/// Settles a call whose backend gave no whole answer, and says what the client is told.
async fn give_up(gateway: &Gateway, call: &mut Call, hold: OpenHold<'_>, failure: NoAnswer, so_far: Ending) -> Stop {
    let NoAnswer { refusal, reached, timed_out } = failure;
    if !reached {
        settle::forget(gateway, call, hold).await;
        return refusal.into();
    }
    let ending = Ending { status: None, timed_out, ..so_far };
    match settle::settle(gateway, call, hold, ending).await {
        Ok(usage) => Stop::Settled(refusal, Box::new(usage)),
        Err(unrecorded) => unrecorded.into(),
    }
}

/// What a header says before the charge is settled: its event, and no figure. However certain one may seem, a gateway that is
/// killed before the end charges nothing.
fn name_event(hold: &OpenHold<'_>, header: &mut ResponseHeader) -> pingora::Result<()> {
    header.insert_header(headers::USAGE_EVENT_ID, hold.event.id.to_string())
}

/// Ends the client's answer where it is, visibly: its length is short, or its last chunk is missing.
fn broken(why: &'static str) -> Stop {
    pingora::Error::explain(pingora::ErrorType::ConnectionClosed, why).into_up().into()
}

fn is_event_stream(header: &ResponseHeader) -> bool {
    header.status.is_success() && content_type(header).is_some_and(content::is_event_stream)
}

fn content_type(header: &ResponseHeader) -> Option<&str> {
    header.headers.get(header::CONTENT_TYPE)?.to_str().ok()
}

/// The one coding we can undo. Any other makes the body opaque.
fn coding(header: &ResponseHeader) -> Coding {
    let mut codings = header.headers.get_all(header::CONTENT_ENCODING).iter();
    match (codings.next().map(|coding| coding.as_bytes().to_ascii_lowercase()), codings.next()) {
        (None, _) => Coding::Identity,
        (Some(coding), None) if coding == b"identity" => Coding::Identity,
        (Some(coding), None) if coding == b"gzip" || coding == b"x-gzip" => Coding::Gzip,
        _ => Coding::Opaque,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Opaque,
}

/// The header for the client: the backend's, less what concerns its connection only.
fn client_header(mut header: Box<ResponseHeader>, call: &Call) -> pingora::Result<Box<ResponseHeader>> {
    headers::strip_from_answer(&mut header);
    header.set_version(Version::HTTP_11);
    header.insert_header(headers::REQUEST_ID, call.request_id.as_str())?;
    Ok(header)
}

/// Frames a body whose length may be unknown: in chunks, or for HTTP/1.0 until the connection closes.
fn frame(session: &mut Session, header: &mut ResponseHeader) -> pingora::Result<()> {
    if header.headers.contains_key(header::CONTENT_LENGTH) {
        return Ok(());
    }
    match session.req_header().version {
        Version::HTTP_10 => session.set_keepalive(None),
        Version::HTTP_11 => header.insert_header(header::TRANSFER_ENCODING, "chunked")?,
        _ => {}
    }
    Ok(())
}

/// The client's side of the answer. Once a write fails the client is gone: nothing more is written, nothing breaks.
struct Client<'a> {
    session: &'a mut Session,
    gone: bool,
}

impl<'a> Client<'a> {
    fn new(session: &'a mut Session) -> Self {
        Self { session, gone: false }
    }

    async fn header(&mut self, header: Box<ResponseHeader>, end: bool) {
        if !self.gone {
            self.gone = self.session.write_response_header(header, end).await.is_err();
        }
    }

    async fn body(&mut self, bytes: Bytes, end: bool) {
        if !self.gone && (end || !bytes.is_empty()) {
            self.gone = self.session.write_response_body(Some(bytes), end).await.is_err();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codings_that_can_be_undone_are_transparent() {
        let cases: [(&[&str], Coding); 6] = [
            (&[], Coding::Identity),
            (&["identity"], Coding::Identity),
            (&["GZIP"], Coding::Gzip),
            (&["br"], Coding::Opaque),
            (&["gzip, br"], Coding::Opaque),
            (&["gzip", "gzip"], Coding::Opaque),
        ];
        for (codings, want) in cases {
            let mut answer = ResponseHeader::build(200, None).unwrap();
            for value in codings {
                answer.append_header(header::CONTENT_ENCODING, *value).unwrap();
            }
            assert_eq!(coding(&answer), want, "{codings:?}");
        }
    }
}
