//! One kept-alive connection of the load: bytes out, a whole answer in.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::framing::{first_message, succeeded};

/// A connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("nobody listens on {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(8 << 10) })
    }

    /// Sends a request and reads its answer. An answer that is no success is an error: a bench of refusals is none.
    pub(crate) async fn call(&mut self, request: &[u8]) -> anyhow::Result<&[u8]> {
        self.buffer.clear();
        self.stream.write_all(request).await?;
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the connection was closed before the answer was whole");
            }
            if first_message(&self.buffer)?.is_some() {
                break;
            }
        }
        if !succeeded(&self.buffer) {
            bail!("an answer that is no success:\n{}", String::from_utf8_lossy(&self.buffer));
        }
        Ok(&self.buffer)
    }
}
