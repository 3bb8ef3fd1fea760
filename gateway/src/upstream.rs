//! The backend's address, and the connections to it that are kept from call to call.
//!
//! Pingora connects where TLS is spoken, and its HTTP client speaks on every connection; keeping them is our own, because
//! its pool costs a task and two wake-ups a call.

mod idle;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use pingora::connectors::TransportConnector;
use pingora::http::RequestHeader;
use pingora::protocols::Stream;
use pingora::protocols::http::v1::client::HttpSession as BackendSession;
use pingora::upstreams::peer::HttpPeer;
use pingora::{ErrorType, OrErr as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::idle::Idle;
use crate::socket::Socket;

/// How often a host name is resolved anew.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);
/// How often idle connections are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Where the backend is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpstreamOptions {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
    pub(crate) idle_timeout: Duration,
}

/// The way to the backend.
pub(crate) struct Upstream {
    connector: TransportConnector,
    idle: Idle,
    target: ArcSwap<Target>,
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
}

impl Connection {
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

/// A connection of our own, or the stream as it was.
fn as_socket(stream: Stream) -> Result<Socket, Stream> {
    if stream.as_any().is::<Socket>() {
        stream.into_any().downcast().map(|socket| *socket).map_err(|_| unreachable!("it was just seen to be one"))
    } else {
        Err(stream)
    }
}

impl fmt::Display for Upstream {
    /// Its address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UpstreamOptions { host, port, tls, .. } = &self.options;
        write!(f, "{}://{host}:{port}", if *tls { "https" } else { "http" })
    }
}

/// What the backend's name stands for now.
struct Target {
    address: SocketAddr,
    peer: HttpPeer,
}

impl Upstream {
    /// Resolves the backend's name; an address that does not resolve is a failed start.
    pub(crate) async fn new(options: UpstreamOptions) -> std::io::Result<Arc<Self>> {
        let target = target(&options).await?;
        Ok(Arc::new(Self {
            connector: TransportConnector::new(None),
            idle: Idle::new(options.idle_timeout),
            target: ArcSwap::from_pointee(target),
            response_timeout: options.response_timeout,
            lost_in_use: AtomicU64::new(0),
            options,
        }))
    }

    /// A connection to the backend, kept-alive or new, for a request with this body.
    pub(crate) async fn connect(&self, body: Bytes) -> pingora::Result<Connection> {
        let (stream, is_reused) = match self.idle.take() {
            Some(stream) => (stream, true),
            None => (self.open().await?, false),
        };
        // Our own socket sends the body by itself, while the answer is read; one that speaks TLS is written to.
        match as_socket(stream) {
            Ok(socket) => {
                let stream: Stream = Box::new(socket.with_body(body));
                Ok(Connection { session: BackendSession::new(stream), to_write: None, is_reused })
            }
            Err(stream) => Ok(Connection { session: BackendSession::new(stream), to_write: Some(body), is_reused }),
        }
    }

    /// Keeps a connection whose answer was read to its end, where both sides wish it and the whole request was sent: what
    /// is said on it next would be taken for the rest of this one.
    pub(crate) async fn release(&self, connection: Connection) {
        let Connection { mut session, to_write, is_reused: _ } = connection;
        session.respect_keepalive();
        let Some(stream) = session.reuse().await else { return };
        match as_socket(stream) {
            Ok(socket) if socket.is_done() => self.idle.keep(Box::new(socket)),
            Err(stream) if to_write.is_none() => self.idle.keep(stream),
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
        (self.idle.found_closed(), self.lost_in_use.load(Ordering::Relaxed))
    }

    async fn open(&self) -> pingora::Result<Stream> {
        let target = self.target.load_full();
        if self.options.tls {
            return self.connector.new_stream(&target.peer).await;
        }
        let connected = timeout(self.options.connect_timeout, TcpStream::connect(target.address)).await;
        let tcp = connected
            .or_err(ErrorType::ConnectTimedout, "connecting to the backend")?
            .or_err(ErrorType::ConnectError, "connecting to the backend")?;
        let socket = Socket::to_backend(tcp).or_err(ErrorType::ConnectError, "setting up the connection")?;
        Ok(Box::new(socket))
    }

    /// The peer for Pingora's own phases, which carry everything unmetered.
    pub(crate) fn peer(&self) -> Box<HttpPeer> {
        Box::new(self.target.load().peer.clone())
    }

    /// Follows the name to its new addresses. Never returns; a name that stops resolving keeps its last address.
    pub(crate) async fn follow_name(self: Arc<Self>) {
        if self.options.host.parse::<std::net::IpAddr>().is_ok() {
            return;
        }
        loop {
            tokio::time::sleep(RESOLVE_EVERY).await;
            match target(&self.options).await {
                Ok(target) if target.address == self.target.load().address => {}
                Ok(target) => {
                    self.target.store(Arc::new(target));
                    self.idle.close_all();
                }
                Err(error) => tracing::warn!(%error, host = self.options.host, "the backend's name does not resolve"),
            }
        }
    }

    /// Closes connections that nobody needed for a while. Never returns.
    pub(crate) async fn sweep_idle(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        loop {
            ticks.tick().await;
            self.idle.close_expired();
        }
    }
}

async fn target(options: &UpstreamOptions) -> std::io::Result<Target> {
    let host = options.host.trim_start_matches('[').trim_end_matches(']');
    let mut addresses = tokio::net::lookup_host((host, options.port)).await?;
    let address = addresses.next().ok_or_else(|| std::io::Error::other(format!("{host} has no address")))?;
    Ok(Target { address, peer: peer(options, address) })
}

fn peer(options: &UpstreamOptions, address: SocketAddr) -> HttpPeer {
    // The name is what the certificate is checked against: an empty one would switch the check off.
    let mut peer = HttpPeer::new(address, options.tls, options.host.clone());
    peer.options.connection_timeout = Some(options.connect_timeout);
    peer.options.total_connection_timeout = Some(options.connect_timeout.saturating_mul(2));
    peer.options.read_timeout = Some(options.response_timeout);
    peer.options.write_timeout = Some(options.response_timeout);
    peer.options.idle_timeout = Some(options.idle_timeout);
    peer
}

#[cfg(test)]
mod tests {
    use pingora::http::RequestHeader;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_upstream_is_shown_by_its_address() {
        let options = |host: &str, tls| UpstreamOptions {
            host: host.to_owned(),
            port: 81,
            tls,
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(1),
        };
        for (host, tls, shown) in [("127.0.0.1", false, "http://127.0.0.1:81"), ("[::1]", true, "https://[::1]:81")] {
            assert_eq!(Upstream::new(options(host, tls)).await.unwrap().to_string(), shown);
        }
    }

    #[tokio::test]
    async fn a_connection_with_half_a_request_on_it_is_not_used_again() {
        for (body_bytes, kept) in [(0, true), (1_000, true), (64 << 20, false)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let second = Duration::from_secs(1);
            let upstream = Upstream::new(UpstreamOptions {
                host: "127.0.0.1".to_owned(),
                port: listener.local_addr().unwrap().port(),
                tls: false,
                connect_timeout: second,
                response_timeout: second,
                idle_timeout: second,
            });
            let upstream = upstream.await.unwrap();
            let mut connection = upstream.connect(Bytes::from(vec![b'x'; body_bytes])).await.unwrap();
            let mut header = RequestHeader::build("POST", b"/", None).unwrap();
            header.insert_header("content-length", body_bytes).unwrap();
            let backend = async {
                let (mut theirs, _) = listener.accept().await.unwrap();
                let _ = theirs.read(&mut [0; 100]).await.unwrap();
                theirs.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                theirs
            };
            let gateway = async {
                connection.send(Box::new(header)).await.unwrap();
                connection.session.read_response().await.unwrap();
                assert_eq!(connection.session.resp_header().unwrap().status, 413);
                assert!(connection.session.read_body_bytes().await.unwrap().is_none());
                upstream.release(connection).await;
            };
            let (_theirs, ()) = tokio::join!(backend, gateway);
            assert_eq!(upstream.idle.take().is_some(), kept, "{body_bytes} bytes");
        }
    }
}
