//! Step 6: the call, sent to the backend on a kept-alive connection, byte for byte as it was authorised.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::v1::client::HttpSession as BackendSession;
use pingora::proxy::Session;
use refusal::Refusal;
use tokio::time::timeout;

use crate::call::Call;
use crate::gateway::Gateway;
use crate::upstream::Connection;
use crate::{headers, passing};

/// The backend's answer: its header, and its body still to come.
pub(crate) struct Answer {
    pub(crate) header: Box<ResponseHeader>,
    pub(crate) body: AnswerBody,
}

/// A body that is still on the backend's connection.
pub(crate) struct AnswerBody {
    connection: Option<Box<Connection>>,
    /// Summed up for the latency metric.
    pub(crate) waited: Duration,
}

/// The backend gave no answer.
pub(crate) struct NoAnswer {
    pub(crate) refusal: Refusal,
    /// Whether a byte of the call may have reached it.
    pub(crate) reached: bool,
    /// Whether it ran out of time.
    pub(crate) timed_out: bool,
}

impl NoAnswer {
    pub(crate) fn broken(reached: bool) -> Self {
        Self { refusal: Refusal::UpstreamUnavailable, reached, timed_out: false }
    }

    fn timed_out() -> Self {
        Self { refusal: Refusal::UpstreamTimeout, reached: true, timed_out: true }
    }
}

/// Sends the call and waits for the answer's header.
pub(crate) async fn send(
    gateway: &Gateway,
    session: &Session,
    call: &mut Call,
    body: Bytes,
) -> Result<Answer, NoAnswer> {
    let started = Instant::now();
    let sent = exchange(gateway, session, call, body).await;
    call.backend += started.elapsed();
    sent
}

async fn exchange(gateway: &Gateway, session: &Session, call: &Call, body: Bytes) -> Result<Answer, NoAnswer> {
    let header = request_header(gateway, session, call, body.len()).map_err(|_| NoAnswer::broken(false))?;
    let upstream = &gateway.upstream;
    let mut backend = upstream.connect(body).await.map_err(|error| {
        tracing::warn!(%error, "the backend cannot be reached");
        NoAnswer::broken(false)
    })?;
    backend.session.read_timeout = Some(upstream.response_timeout);
    backend.session.write_timeout = Some(upstream.response_timeout);
    // A backend may answer before it has read everything: its answer counts, not our failure to write.
    let written = backend.send(Box::new(header)).await;
    let read = timeout(upstream.response_timeout, final_header(&mut backend.session)).await;
    match read {
        Ok(Ok(header)) => {
            let connection = Some(backend);
            Ok(Answer { header, body: AnswerBody { connection, waited: Duration::ZERO } })
        }
        Ok(Err(error)) if is_timeout(&error) => Err(NoAnswer::timed_out()),
        Ok(Err(error)) => {
            upstream.lost(&backend);
            // Its text may have the backend's bytes in it.
            let error = error.etype().as_str();
            tracing::warn!(error, written = written.is_ok(), "the backend broke off before its answer");
            Err(NoAnswer::broken(true))
        }
        Err(_elapsed) => Err(NoAnswer::timed_out()),
    }
}

/// Reads past interim answers (RFC 9110 §15.2) to the final one.
async fn final_header(backend: &mut BackendSession) -> pingora::Result<Box<ResponseHeader>> {
    loop {
        backend.read_response().await?;
        let header = backend.resp_header().filter(|header| !header.status.is_informational());
        if let Some(header) = header {
            return headers::copy_of_answer(header);
        }
    }
}

fn is_timeout(error: &pingora::Error) -> bool {
    matches!(error.etype(), pingora::ErrorType::ReadTimedout | pingora::ErrorType::WriteTimedout)
}

fn request_header(
    gateway: &Gateway,
    session: &Session,
    call: &Call,
    body_bytes: usize,
) -> pingora::Result<RequestHeader> {
    let mut header = headers::copy_of_request(session.req_header())?;
    headers::strip_hop_by_hop(&mut header);
    headers::to_origin_form(&mut header);
    headers::from_http2(&mut header)?;
    header.remove_header(&header::EXPECT);
    header.set_version(Version::HTTP_11);
    header.insert_header(header::CONTENT_LENGTH, body_bytes)?;
    // What is spliced must be readable; a backend that compresses all the same is undone in `relay`.
    header.insert_header(header::ACCEPT_ENCODING, "identity")?;
    passing::prepare(&gateway.rules.load().passing, session, call, &mut header)?;
    Ok(header)
}

impl AnswerBody {
    /// The next piece; `None` at the end, after which the connection is kept for the next call.
    pub(crate) async fn next(&mut self, gateway: &Gateway) -> Result<Option<Bytes>, NoAnswer> {
        let Some(connection) = self.connection.as_mut() else { return Ok(None) };
        let started = Instant::now();
        let read = connection.session.read_body_bytes().await;
        self.waited += started.elapsed();
        match read {
            Ok(Some(piece)) => Ok(Some(piece)),
            Ok(None) => {
                if let Some(connection) = self.connection.take() {
                    gateway.upstream.release(connection).await;
                }
                Ok(None)
            }
            Err(error) => {
                self.connection = None;
                tracing::warn!(error = error.etype().as_str(), "the backend broke off in its answer");
                Err(if is_timeout(&error) { NoAnswer::timed_out() } else { NoAnswer::broken(true) })
            }
        }
    }
}
