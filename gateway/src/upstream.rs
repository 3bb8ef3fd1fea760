//! The way to the backend: which of its addresses a call goes to, and the connections that are kept from call to call. A
//! request must never be sent a second time once anything of it may have been received.
//!
//! Pingora connects where TLS is spoken, and its HTTP client speaks on every connection; keeping them is our own, because
//! its pool costs a task and two wake-ups a call.

mod health;
mod idle;
mod place;
mod turns;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use pingora::ErrorType;
use pingora::connectors::TransportConnector;
use pingora::http::RequestHeader;
use pingora::protocols::Stream;
use pingora::protocols::http::v1::client::HttpSession as BackendSession;
use pingora::upstreams::peer::HttpPeer;
use settings::Address;

use self::place::Place;
use self::turns::Tried;
use crate::socket::Socket;

/// How often host names are resolved anew.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);
/// How often idle connections are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Where the backend is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpstreamOptions {
    pub(crate) addresses: Vec<Address>,
    pub(crate) health_path: Option<String>,
    pub(crate) health_interval: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
    pub(crate) idle_timeout: Duration,
}

/// The way to the backend.
pub(crate) struct Upstream {
    connector: TransportConnector,
    places: Vec<Place>,
    /// Whose turn it is.
    turn: AtomicUsize,
    options: UpstreamOptions,
    pub(crate) response_timeout: Duration,
    /// How many connections that had served a call before broke off before the next one's answer.
    lost_in_use: AtomicU64,
}

/// A connection to the backend, and the call on it.
pub(crate) struct Connection {
    pub(crate) session: BackendSession,
    /// The request's body, as long as it was not written; `None` where the connection sends it by itself.
    to_write: Option<Bytes>,
    /// Whether it served a call before.
    is_reused: bool,
    /// The address that it goes to.
    place: usize,
}

/// The address that a request of Pingora's own phases goes to, and those that it cannot go to any more.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Passage {
    place: usize,
    tried: Tried,
}

impl Connection {
    /// Our own socket sends the body by itself, while the answer is read; one that speaks TLS is written to.
    fn new(stream: Stream, body: Bytes, is_reused: bool, place: usize) -> Self {
        let (stream, to_write): (Stream, _) = match as_socket(stream) {
            Ok(socket) => (Box::new(socket.with_body(body)), None),
            Err(stream) => (stream, Some(body)),
        };
        Self { session: BackendSession::new(stream), to_write, is_reused, place }
    }

    /// Sends the request. On a connection of our own that is begun here, and goes on while the answer is read.
    pub(crate) async fn send(&mut self, header: Box<RequestHeader>) -> pingora::Result<()> {
        self.session.write_request_header(header).await?;
        let Some(body) = &self.to_write else { return Ok(()) };
        if !body.is_empty() {
            self.session.write_body(body).await?;
        }
        self.session.finish_body().await?;
        self.to_write = None;
        Ok(())
    }
}

impl fmt::Display for Upstream {
    /// Its addresses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, Place { address, .. }) in self.places.iter().enumerate() {
            write!(f, "{}{address}", if place == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl Upstream {
    /// Resolves the backend's names; an address that does not resolve is a failed start.
    pub(crate) async fn new(options: UpstreamOptions) -> std::io::Result<Arc<Self>> {
        let mut places = Vec::new();
        for address in &options.addresses {
            places.push(Place::find(address, &options).await?);
        }
        Ok(Arc::new(Self {
            connector: TransportConnector::new(None),
            places,
            turn: AtomicUsize::new(0),
            response_timeout: options.response_timeout,
            lost_in_use: AtomicU64::new(0),
            options,
        }))
    }

    /// A connection to the backend, kept-alive or new, for a request with this body. Where an address cannot be reached the
    /// next one is tried: nothing was sent.
    pub(crate) async fn connect(&self, body: Bytes) -> pingora::Result<Box<Connection>> {
        let (turn, mut tried) = (self.turn(), Tried::default());
        let mut failure = None;
        while let Some((number, place)) = self.next(turn, &mut tried) {
            let (opened, is_reused) = match place.idle.take() {
                Some(stream) => (Ok(stream), true),
                None => (place.open(&self.connector, &self.options).await, false),
            };
            match opened {
                Ok(stream) => {
                    // Where it is asked for its health, a connection alone says nothing of that.
                    if !is_reused && self.options.health_path.is_none() {
                        place.note(true);
                    }
                    return Ok(Box::new(Connection::new(stream, body, is_reused, number)));
                }
                Err(error) => {
                    place.note(false);
                    failure = Some(error);
                }
            }
        }
        Err(failure.unwrap_or_else(|| pingora::Error::explain(ErrorType::ConnectError, "there is no address")))
    }

    /// Keeps a connection whose answer was read to its end, where both sides wish it and the whole request was sent: what
    /// is said on it next would be taken for the rest of this one.
    pub(crate) async fn release(&self, connection: Box<Connection>) {
        let Connection { mut session, to_write, is_reused: _, place } = *connection;
        session.respect_keepalive();
        let Some(stream) = session.reuse().await else { return };
        let Some(Place { idle, .. }) = self.places.get(place) else { return };
        match as_socket(stream) {
            Ok(socket) if socket.is_done() => idle.keep(Box::new(socket)),
            Err(stream) if to_write.is_none() => idle.keep(stream),
            Ok(_) | Err(_) => {}
        }
    }

    /// Notes a connection that broke off before anything of an answer: the backend may have closed it while it was idle. The
    /// call is not sent again: nobody can know that the backend did not receive it (RFC 9110 §9.2.2).
    pub(crate) fn lost(&self, connection: &Connection) {
        if connection.is_reused {
            self.lost_in_use.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Kept connections that the backend closed: those found closed before they were used, and those lost in use.
    pub(crate) fn closed(&self) -> (u64, u64) {
        let found = self.places.iter().map(|place| place.idle.found_closed()).sum();
        (found, self.lost_in_use.load(Ordering::Relaxed))
    }

    /// How many addresses are left out for now.
    pub(crate) fn out(&self) -> usize {
        self.places.iter().filter(|place| place.is_out()).count()
    }

    /// The peer for Pingora's own phases, which carry everything unmetered: the next one that the request did not try.
    pub(crate) fn peer(&self, passage: &mut Passage) -> pingora::Result<Box<HttpPeer>> {
        // It counts as tried when it could not be reached: one that could may be asked again, if Pingora may.
        let mut tried = passage.tried;
        let (number, place) = self
            .next(self.turn(), &mut tried)
            .ok_or_else(|| pingora::Error::explain(ErrorType::ConnectError, "there is no address left"))?;
        passage.place = number;
        Ok(Box::new(place.peer()))
    }

    /// Notes that Pingora could not connect there: nothing was sent, so the request may go to the next address.
    pub(crate) fn unreachable(&self, passage: &mut Passage, error: &mut pingora::Error) {
        if let Some(place) = self.places.get(passage.place) {
            place.note(false);
        }
        passage.tried.note(passage.place);
        error.set_retry(!passage.tried.are_all(self.places.len()));
    }

    /// Follows names to their new addresses. Never returns.
    pub(crate) async fn follow_name(self: Arc<Self>) {
        loop {
            tokio::time::sleep(RESOLVE_EVERY).await;
            for place in &self.places {
                place.resolve(&self.options).await;
            }
        }
    }

    /// Closes connections that nobody needed for a while. Never returns.
    pub(crate) async fn sweep_idle(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        loop {
            ticks.tick().await;
            self.places.iter().for_each(|place| place.idle.close_expired());
        }
    }

    /// With one address there are no turns to count.
    fn turn(&self) -> usize {
        if self.places.len() > 1 { self.turn.fetch_add(1, Ordering::Relaxed) } else { 0 }
    }

    fn next(&self, turn: usize, tried: &mut Tried) -> Option<(usize, &Place)> {
        let number = turns::next(&self.places, turn, tried)?;
        Some((number, self.places.get(number)?))
    }
}

/// A connection of our own, or the stream as it was.
fn as_socket(stream: Stream) -> Result<Socket, Stream> {
    if stream.as_any().is::<Socket>() {
        stream.into_any().downcast().map(|socket| *socket).map_err(|_| unreachable!("it was just seen to be one"))
    } else {
        Err(stream)
    }
}

#[cfg(test)]
mod tests;
