//! The backend's address, and the connections to it that are kept from call to call.
//!
//! Pingora connects where TLS is spoken, and its HTTP client speaks on every connection; keeping them is our own, because
//! its pool costs a task and two wake-ups a call.

mod idle;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora::connectors::TransportConnector;
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
            options,
        }))
    }

    /// A connection to the backend, kept-alive or new.
    pub(crate) async fn connect(&self) -> pingora::Result<BackendSession> {
        let stream = match self.idle.take() {
            Some(stream) => stream,
            None => self.open().await?,
        };
        Ok(BackendSession::new(stream))
    }

    /// Keeps a connection whose answer was read to its end, where both sides wish it.
    pub(crate) async fn release(&self, mut session: BackendSession) {
        session.respect_keepalive();
        if let Some(stream) = session.reuse().await {
            self.idle.keep(stream);
        }
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
