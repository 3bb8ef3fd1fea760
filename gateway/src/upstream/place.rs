//! One address of the backend: what its name stands for now, the connections to it that are kept, and whether it can be
//! reached. It must never be asked for a connection that it keeps for another address.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use pingora::connectors::TransportConnector;
use pingora::protocols::Stream;
use pingora::upstreams::peer::HttpPeer;
use pingora::{ErrorType, OrErr as _};
use settings::Address;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::UpstreamOptions;
use super::idle::Idle;
use crate::socket::{Socket, Wire};

/// An address.
pub(super) struct Place {
    pub(super) address: Address,
    pub(super) idle: Idle,
    target: ArcSwap<Target>,
    /// Whether calls go elsewhere, as long as there is an elsewhere.
    out: AtomicBool,
}

/// What the address stands for now.
struct Target {
    /// Over TCP.
    ip: Option<SocketAddr>,
    peer: HttpPeer,
}

impl Place {
    /// Resolves the address; one that does not resolve is a failed start.
    pub(super) async fn find(address: &Address, options: &UpstreamOptions) -> std::io::Result<Self> {
        Ok(Self {
            target: ArcSwap::from_pointee(target(address, options).await?),
            address: address.clone(),
            idle: Idle::new(options.idle_timeout),
            out: AtomicBool::new(false),
        })
    }

    pub(super) fn is_out(&self) -> bool {
        self.out.load(Ordering::Relaxed)
    }

    /// Notes whether it could be reached.
    pub(super) fn note(&self, reached: bool) {
        // It is nearly always as it was: then nothing is written, so that no other worker waits for the line.
        if self.is_out() == reached {
            self.out.store(!reached, Ordering::Relaxed);
            if reached {
                tracing::info!(address = %self.address, "the backend can be reached again");
            } else {
                tracing::warn!(address = %self.address, "the backend cannot be reached: calls go to its other addresses");
            }
        }
    }

    /// A new connection.
    pub(super) async fn open(
        &self,
        connector: &TransportConnector,
        options: &UpstreamOptions,
    ) -> pingora::Result<Stream> {
        let target = self.target.load_full();
        let wire: Wire = match (&self.address, target.ip) {
            (Address::Unix(path), _) => within(options, UnixStream::connect(path)).await?.into(),
            (Address::Tcp { tls: false, .. }, Some(ip)) => within(options, TcpStream::connect(ip)).await?.into(),
            // Large, and seldom: it must not be part of every call.
            (Address::Tcp { .. }, _) => return Box::pin(connector.new_stream(&target.peer)).await,
        };
        let socket = Socket::to_backend(wire).or_err(ErrorType::ConnectError, "setting up the connection")?;
        Ok(Box::new(socket))
    }

    /// The peer for Pingora's own phases.
    pub(super) fn peer(&self) -> HttpPeer {
        self.target.load().peer.clone()
    }

    /// Follows a name to its new address. A name that stops resolving keeps its last one.
    pub(super) async fn resolve(&self, options: &UpstreamOptions) {
        let Address::Tcp { host, .. } = &self.address else { return };
        if host.parse::<std::net::IpAddr>().is_ok() {
            return;
        }
        match target(&self.address, options).await {
            Ok(target) if target.ip == self.target.load().ip => {}
            Ok(target) => {
                self.target.store(Arc::new(target));
                self.idle.close_all();
            }
            Err(error) => tracing::warn!(%error, host, "the backend's name does not resolve"),
        }
    }
}

async fn within<T>(
    options: &UpstreamOptions,
    connecting: impl Future<Output = std::io::Result<T>>,
) -> pingora::Result<T> {
    timeout(options.connect_timeout, connecting)
        .await
        .or_err(ErrorType::ConnectTimedout, "connecting to the backend")?
        .or_err(ErrorType::ConnectError, "connecting to the backend")
}

async fn target(address: &Address, options: &UpstreamOptions) -> std::io::Result<Target> {
    match address {
        Address::Unix(path) => Ok(Target { ip: None, peer: unix_peer(path, options)? }),
        Address::Tcp { tls, host, port } => {
            let mut addresses = tokio::net::lookup_host((host.as_str(), *port)).await?;
            let ip = addresses.next().ok_or_else(|| std::io::Error::other(format!("{host} has no address")))?;
            // The name is what the certificate is checked against: an empty one would switch the check off.
            let peer = patient(HttpPeer::new(ip, *tls, host.clone()), options);
            Ok(Target { ip: Some(ip), peer })
        }
    }
}

fn unix_peer(path: &Path, options: &UpstreamOptions) -> std::io::Result<HttpPeer> {
    let text = path.to_str().ok_or_else(|| std::io::Error::other("the socket's path is no text"))?;
    let peer =
        HttpPeer::new_uds(text, false, String::new()).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(patient(peer, options))
}

/// The peer with our time limits.
fn patient(mut peer: HttpPeer, options: &UpstreamOptions) -> HttpPeer {
    peer.options.connection_timeout = Some(options.connect_timeout);
    peer.options.total_connection_timeout = Some(options.connect_timeout.saturating_mul(2));
    peer.options.read_timeout = Some(options.response_timeout);
    peer.options.write_timeout = Some(options.response_timeout);
    peer.options.idle_timeout = Some(options.idle_timeout);
    peer
}
