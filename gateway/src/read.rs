//! Step 3: the body, read once, kept as one piece, sent as it came.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header;
use payload::signals::{Extracted, InvalidJson};
use pingora::proxy::Session;
use refusal::Refusal;
use tokio::time::timeout;

use crate::gateway::Gateway;
use crate::room::Arriving;
use crate::routes::Route;
use crate::stop::Stop;

/// How much of an oversized body is read after its refusal, so that the client sees the answer and not a reset.
const DRAIN_BYTES_MAX: usize = 256 * 1024;
/// For how long.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);
/// What is set aside for a body before it comes, at most: a promise alone takes little.
const BUFFER_BYTES_FIRST: usize = 256 * 1024;

/// A whole body and what of it the price depends on. Only this step makes one.
pub(crate) struct RequestBody {
    pub(crate) bytes: Bytes,
    pub(crate) extracted: Extracted,
}

/// Reads the body in any framing, up to `server.max_body`, within `server.body_timeout`.
pub(crate) async fn body(gateway: &Gateway, session: &mut Session, route: &Route) -> Result<RequestBody, Stop> {
    let rules = gateway.rules.load_full();
    let bytes = match timeout(rules.body_timeout, whole(session, rules.body_bytes_max, gateway.room.arriving())).await {
        Ok(read) => read?,
        Err(_elapsed) => return Err(Refusal::BodyTimeout.into()),
    };
    let extracted = route.extractor.extract(&bytes).map_err(|why| Refusal::InvalidJson(sentence(&why)))?;
    Ok(RequestBody { bytes, extracted })
}

/// Reads at most `bytes_max` bytes, whatever the header promises. What comes in pieces needs room while it comes.
pub(crate) async fn whole(session: &mut Session, bytes_max: usize, mut arriving: Arriving<'_>) -> Result<Bytes, Stop> {
    let too_large = || Refusal::BodyTooLarge(u64::try_from(bytes_max).unwrap_or(u64::MAX));
    let promised = session.get_header(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if promised.is_some_and(|promised: usize| promised > bytes_max) {
        session.set_keepalive(None);
        return Err(too_large().into());
    }
    expect_continue(session).await?;
    let Some(first) = piece(session).await? else { return Ok(Bytes::new()) };
    if first.len() > bytes_max {
        session.set_keepalive(None);
        return Err(too_large().into());
    }
    if promised == Some(first.len()) {
        return Ok(first);
    }
    let expected = promised.unwrap_or(0).min(BUFFER_BYTES_FIRST).max(first.len());
    make_room(session, &mut arriving, first.len())?;
    let mut collected = BytesMut::with_capacity(expected);
    collected.extend_from_slice(&first);
    while let Some(chunk) = piece(session).await? {
        if collected.len().saturating_add(chunk.len()) > bytes_max {
            session.set_keepalive(None);
            return Err(too_large().into());
        }
        make_room(session, &mut arriving, chunk.len())?;
        collected.extend_from_slice(&chunk);
    }
    Ok(collected.freeze())
}

fn make_room(session: &mut Session, arriving: &mut Arriving<'_>, bytes: usize) -> Result<(), Stop> {
    arriving.grow(bytes).map_err(|full| {
        session.set_keepalive(None);
        full.into()
    })
}

/// The next piece of the body. A body that is cut short or badly framed is the client's fault, and says so.
async fn piece(session: &mut Session) -> Result<Option<Bytes>, Stop> {
    let read = session.read_request_body().await;
    read.map_err(|error| {
        session.set_keepalive(None);
        tracing::debug!(error = error.etype().as_str(), "a body cannot be read");
        match error.etype() {
            pingora::ErrorType::ReadTimedout => Refusal::BodyTimeout.into(),
            _ => Refusal::InvalidRequest("The body is cut short or badly framed.".to_owned()).into(),
        }
    })
}

/// Tells a client that waits for it to go on. Nobody else does in `request_filter`.
async fn expect_continue(session: &mut Session) -> Result<(), Stop> {
    let expected =
        session.get_header(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if expected {
        let keepalive = session.get_keepalive();
        session.write_continue_response().await?;
        // Writing the interim answer before the body is read turns keep-alive off: the body is read next.
        session.set_keepalive(keepalive);
    }
    Ok(())
}

/// Reads on for a little while after an oversized body was refused.
pub(crate) async fn drain(session: &mut Session) {
    let _ = timeout(DRAIN_TIME_MAX, read_away(session)).await;
}

async fn read_away(session: &mut Session) {
    let mut left = DRAIN_BYTES_MAX;
    while let Ok(Some(chunk)) = session.read_request_body().await {
        left = left.saturating_sub(chunk.len());
        if left == 0 {
            return;
        }
    }
}

fn sentence(why: &InvalidJson) -> String {
    format!("{} at line {} column {}", why.reason, why.line, why.column)
}
