//! Connections as they come: no more than the limit, each in a task of its own, until told to stop.
//!
//! The accept loop is our own (Pingora documents the arrangement at `HttpProxy::new`): a port that cannot be bound fails
//! the start, the port of `:0` can be read, and a drain ends when the last call has, not after a fixed sleep.

use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pingora::apps::{HttpServerApp as _, HttpServerOptions, ReusedHttpStream, ServerApp as _};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::default_h2_options;
use pingora::protocols::{ALPN, Stream};
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;
use refusal::Refusal;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::answer;
use crate::connection::{ARRIVAL, Arrival};
use crate::gateway::Gateway;
use crate::handover::Successor;
use crate::proxy::Proxy;
use crate::socket::Socket;
use crate::tls::Tls;

/// The wait after a failed accept: a process out of descriptors must not spin.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How long idle connections are kept open after the next gateway took over, for a request that is on its way.
const LINGER: Duration = Duration::from_millis(500);

/// What serves a connection.
struct Door {
    proxy: Arc<HttpProxy<Proxy>>,
    gateway: Arc<Gateway>,
    tls: Option<Arc<Tls>>,
    stop: watch::Receiver<bool>,
}

/// Accepts connections until told to stop, then lets those that are open end within the grace time.
pub(crate) async fn run(
    listener: TcpListener,
    gateway: Arc<Gateway>,
    tls: Option<Arc<Tls>>,
    mut stop: watch::Receiver<bool>,
    successor: Arc<Successor>,
    grace: Duration,
) {
    let (connections_max, proxy) = {
        let limits = &gateway.rules.load().limits;
        (usize::try_from(limits.connections).unwrap_or(usize::MAX), proxy(&gateway, limits))
    };
    let places = Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)));
    let door = Arc::new(Door { proxy, gateway, tls, stop: stop.clone() });
    let mut connections = JoinSet::new();
    let mut spare = spare();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((tcp, address)) => match Arc::clone(&places).try_acquire_owned() {
                    Ok(place) => {
                        let door = Arc::clone(&door);
                        connections.spawn(async move {
                            door.serve(tcp, address).await;
                            drop(place);
                        });
                    }
                    Err(_full) => turn_away(&door, &tcp),
                },
                Err(error) => {
                    tracing::error!(%error, "no connection can be accepted");
                    if !shed(&listener, &door, &mut spare) {
                        tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                    }
                }
            },
            Some(_ended) = connections.join_next() => {}
            _ = stop.changed() => break,
        }
    }
    drop(listener);
    if successor.is_there() {
        // Connections that were accepted a moment ago may not have said anything yet: nobody else will answer them.
        let _ = timeout(LINGER, async { while connections.join_next().await.is_some() {} }).await;
    }
    door.proxy.http_cleanup().await;
    let drained = timeout(grace, async {
        while connections.join_next().await.is_some() {}
        // A request of HTTP/2 may outlive its connection: its backend's answer is still read and settled.
        door.gateway.room.emptied().await;
    });
    if drained.await.is_err() {
        tracing::warn!(open = connections.len(), "the grace time is over: connections are cut");
    }
}

fn proxy(gateway: &Arc<Gateway>, limits: &settings::Limits) -> Arc<HttpProxy<Proxy>> {
    let conf = Arc::new(ServerConf {
        threads: tokio::runtime::Handle::current().metrics().num_workers(),
        ..ServerConf::default()
    });
    let mut proxy = HttpProxy::new(Proxy(Arc::clone(gateway)), conf);
    proxy.handle_init_modules();
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = Some(limits.keepalive);
    proxy.server_options = Some(options);
    let mut h2 = default_h2_options();
    h2.max_concurrent_streams(u32::try_from(limits.http2_streams).unwrap_or(u32::MAX));
    h2.max_header_list_size(u32::try_from(limits.max_header.saturating_add(limits.max_target)).unwrap_or(u32::MAX));
    proxy.h2_options = Some(h2);
    Arc::new(proxy)
}

impl Door {
    async fn serve(&self, tcp: TcpStream, address: SocketAddr) {
        let arrival = Arrival::new(&self.gateway.rules.load().limits);
        let socket = match Socket::of_client(tcp, address, Arc::clone(&arrival)) {
            Ok(socket) => socket,
            Err(error) => return tracing::debug!(%error, "a connection ended before it began"),
        };
        let stream: Stream = match &self.tls {
            None => Box::new(socket),
            Some(tls) => match timeout(arrival.timeout, tls.accept(socket)).await {
                Ok(Ok(stream)) => Box::new(stream),
                Ok(Err(error)) => return tracing::debug!(%error, "a client's TLS handshake failed"),
                Err(_elapsed) => return tracing::debug!("a client's TLS handshake took too long"),
            },
        };
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            self.proxy.process_new(stream, &self.stop).await;
        } else {
            ARRIVAL.scope(Arc::clone(&arrival), self.one_by_one(stream, &arrival)).await;
        }
    }

    /// HTTP/1: request after request.
    async fn one_by_one(&self, stream: Stream, arrival: &Arrival) {
        let mut next = Some((stream, None));
        let mut is_first = true;
        while let Some((stream, settings)) = next {
            let mut session = ServerSession::new_http1(stream);
            match settings {
                Some(settings) => pingora::apps::HttpPersistentSettings::apply_to_session(settings, &mut session),
                None if is_first => {
                    let limits = &self.gateway.rules.load().limits;
                    session.set_keepalive(Some(limits.header_timeout.as_secs().max(1)));
                    // How often it may be used again, which is once less than how often it may be used.
                    let again = limits.requests_per_connection.saturating_sub(1);
                    session.set_keepalive_reuses_remaining(Some(u32::try_from(again).unwrap_or(u32::MAX)));
                }
                None => {}
            }
            if *self.stop.borrow() {
                session.set_keepalive(None);
            }
            is_first = false;
            arrival.begin();
            next = self.proxy.process_new_http(session, &self.stop).await.map(ReusedHttpStream::consume);
        }
    }
}

/// Says that there is no room, as far as that can be said without waiting.
fn turn_away(door: &Door, tcp: &TcpStream) {
    door.gateway.metrics.turned_away();
    if door.tls.is_none() {
        // Whoever cannot take a line at once goes without it.
        let _ = tcp.try_write(&answer::bare(&Refusal::TooManyConnections));
    }
}

/// A descriptor that is kept for when there is no other.
fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Out of descriptors, takes the spare one to close a connection that waits: its client hears at once that it must try
/// elsewhere. Whether one was closed.
fn shed(listener: &TcpListener, door: &Door, spare: &mut Option<File>) -> bool {
    drop(spare.take());
    let mut context = Context::from_waker(Waker::noop());
    let waiting = match listener.poll_accept(&mut context) {
        Poll::Ready(Ok((tcp, _address))) => Some(tcp),
        _ => None,
    };
    let closes = waiting.is_some();
    if let Some(tcp) = waiting {
        turn_away(door, &tcp);
    }
    *spare = self::spare();
    closes
}
