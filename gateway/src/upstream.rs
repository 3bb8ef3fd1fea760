//! The backend's address, and Pingora's connector to it with its pool of kept-alive connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::Connector;
use pingora::protocols::http::client::HttpSession as BackendSession;
use pingora::upstreams::peer::HttpPeer;

/// Idle connections that are kept, at most.
const POOLED_CONNECTIONS_MAX: usize = 512;
/// How often a host name is resolved anew.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);

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
    connector: Connector,
    peer: ArcSwap<HttpPeer>,
    options: UpstreamOptions,
    pub(crate) response_timeout: Duration,
}

impl Upstream {
    /// Resolves the backend's name; an address that does not resolve is a failed start.
    pub(crate) async fn new(options: UpstreamOptions) -> std::io::Result<Arc<Self>> {
        let address = resolve(&options).await?;
        Ok(Arc::new(Self {
            connector: Connector::new(Some(ConnectorOptions::new(POOLED_CONNECTIONS_MAX))),
            peer: ArcSwap::from_pointee(peer(&options, address)),
            response_timeout: options.response_timeout,
            options,
        }))
    }

    /// A connection to the backend, kept-alive or new.
    pub(crate) async fn connect(&self) -> pingora::Result<BackendSession> {
        let peer = self.peer.load_full();
        let (session, _reused) = self.connector.get_http_session(&*peer).await?;
        Ok(session)
    }

    /// Keeps a connection whose answer was read to its end.
    pub(crate) async fn release(&self, session: BackendSession) {
        let peer = self.peer.load_full();
        self.connector.release_http_session(session, &*peer, Some(self.options.idle_timeout)).await;
    }

    /// The peer for Pingora's own phases, which carry everything unmetered.
    pub(crate) fn peer(&self) -> Box<HttpPeer> {
        Box::new(HttpPeer::clone(&self.peer.load()))
    }

    /// Follows the name to its new addresses. Never returns; a name that stops resolving keeps its last address.
    pub(crate) async fn follow_name(self: Arc<Self>) {
        if self.options.host.parse::<std::net::IpAddr>().is_ok() {
            return;
        }
        loop {
            tokio::time::sleep(RESOLVE_EVERY).await;
            match resolve(&self.options).await {
                Ok(address) => self.peer.store(Arc::new(peer(&self.options, address))),
                Err(error) => tracing::warn!(%error, host = self.options.host, "the backend's name does not resolve"),
            }
        }
    }
}

async fn resolve(options: &UpstreamOptions) -> std::io::Result<SocketAddr> {
    let host = options.host.trim_start_matches('[').trim_end_matches(']');
    let mut addresses = tokio::net::lookup_host((host, options.port)).await?;
    addresses.next().ok_or_else(|| std::io::Error::other(format!("{host} has no address")))
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
