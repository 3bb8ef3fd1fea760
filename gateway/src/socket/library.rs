//! What Pingora asks of a connection beside its bytes. Nothing here must ever decide anything.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
    UniqueIDType,
};

use super::Socket;

#[async_trait]
impl Shutdown for Socket {
    async fn shutdown(&mut self) {
        if let Err(error) = tokio::io::AsyncWriteExt::shutdown(self).await {
            tracing::debug!(%error, "a connection was gone before it was closed");
        }
    }
}

impl UniqueID for Socket {
    fn id(&self) -> UniqueIDType {
        self.wire.raw_fd()
    }
}

impl Ssl for Socket {}

#[async_trait]
impl Peek for Socket {}

impl GetTimingDigest for Socket {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Socket {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Socket {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.digest))
    }
}
