//! A TCP connection that sends in one piece what belongs together. It must never keep back what was flushed, except
//! towards a backend, where a request is flushed by waiting for its answer.
//!
//! Pingora's own stream holds 64 KiB for reading on every connection, and sends a header apart from its body: beside
//! a call of a few hundred bytes that is most of the memory and half of the system calls.

use std::io::{self, IoSlice};
use std::os::fd::AsRawFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use bytes::{Buf as _, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
    UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What is gathered before it is sent unasked, in bytes: a header and a usual answer.
const GATHERED_BYTES_MAX: usize = 16 * 1024;

/// When what was written goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Send {
    /// When it is flushed: a client waits for every piece.
    WhenFlushed,
    /// When the answer is awaited: a request's header and body travel together.
    WhenRead,
}

/// One side's connection.
#[derive(Debug)]
pub(crate) struct Socket {
    tcp: TcpStream,
    /// Written, and not yet sent.
    gathered: BytesMut,
    send: Send,
    digest: Arc<SocketDigest>,
}

impl Socket {
    /// A client's connection.
    pub(crate) fn of_client(tcp: TcpStream) -> io::Result<Self> {
        Self::new(tcp, Send::WhenFlushed)
    }

    /// A connection to the backend.
    pub(crate) fn to_backend(tcp: TcpStream) -> io::Result<Self> {
        Self::new(tcp, Send::WhenRead)
    }

    fn new(tcp: TcpStream, send: Send) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        let digest = Arc::new(SocketDigest::from_raw_fd(tcp.as_raw_fd()));
        Ok(Self { tcp, gathered: BytesMut::new(), send, digest })
    }

    /// Sends what is gathered, all of it.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            let sent = ready!(Pin::new(&mut self.tcp).poll_write(cx, &self.gathered))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.gathered.advance(sent);
        }
        // An idle connection holds no memory for what it may write one day.
        self.gathered = BytesMut::new();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.send == Send::WhenRead && !self.gathered.is_empty() {
            // A backend that stops reading may have answered already: its answer counts, not our failure to write.
            if let Poll::Ready(Err(_)) = self.poll_send(cx) {
                self.gathered = BytesMut::new();
            }
        }
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let socket = &mut *self;
        loop {
            if socket.gathered.len() + bytes.len() <= GATHERED_BYTES_MAX {
                socket.gathered.extend_from_slice(bytes);
                return Poll::Ready(Ok(bytes.len()));
            }
            let both = [IoSlice::new(&socket.gathered), IoSlice::new(bytes)];
            let sent = ready!(Pin::new(&mut socket.tcp).poll_write_vectored(cx, &both))?;
            let of_gathered = sent.min(socket.gathered.len());
            socket.gathered.advance(of_gathered);
            if sent > of_gathered || sent == 0 {
                return Poll::Ready(Ok(sent - of_gathered));
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.send {
            Send::WhenFlushed => self.poll_send(cx),
            Send::WhenRead => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

// What Pingora asks of a connection beside its bytes.

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
        self.tcp.as_raw_fd()
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair(of: fn(TcpStream) -> io::Result<Socket>) -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (ours, theirs) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (of(ours.unwrap()).unwrap(), theirs.unwrap().0)
    }

    async fn has_come(theirs: &TcpStream) -> bool {
        let mut byte = [0];
        let came = tokio::time::timeout(std::time::Duration::from_millis(50), theirs.peek(&mut byte)).await;
        matches!(came, Ok(Ok(1)))
    }

    #[tokio::test]
    async fn a_client_gets_what_is_flushed_and_nothing_before() {
        let (mut ours, mut theirs) = pair(Socket::of_client).await;
        ours.write_all(b"header ").await.unwrap();
        ours.write_all(b"body").await.unwrap();
        assert!(!has_come(&theirs).await);
        ours.flush().await.unwrap();
        let mut all = [0; 64];
        let read = theirs.read(&mut all).await.unwrap();
        assert_eq!(&all[..read], b"header body", "in one piece");
    }

    #[tokio::test]
    async fn a_backend_gets_a_request_when_its_answer_is_awaited() {
        let (mut ours, mut theirs) = pair(Socket::to_backend).await;
        ours.write_all(b"header ").await.unwrap();
        ours.flush().await.unwrap();
        ours.write_all(b"body").await.unwrap();
        assert!(!has_come(&theirs).await);
        let backend = async {
            let mut all = [0; 64];
            let read = theirs.read(&mut all).await.unwrap();
            assert_eq!(&all[..read], b"header body", "in one piece");
            theirs.write_all(b"answer").await.unwrap();
        };
        let mut answer = [0; 6];
        let (read, ()) = tokio::join!(ours.read_exact(&mut answer), backend);
        assert_eq!((read.unwrap(), &answer), (6, b"answer"));
    }

    #[tokio::test]
    async fn long_writes_arrive_whole_and_in_order_however_they_are_cut() {
        let both: [fn(TcpStream) -> io::Result<Socket>; 2] = [Socket::of_client, Socket::to_backend];
        for of in both {
            let (mut ours, mut theirs) = pair(of).await;
            let sizes = [1, 100, GATHERED_BYTES_MAX - 101, 1, GATHERED_BYTES_MAX, GATHERED_BYTES_MAX + 1, 1 << 20, 3];
            let sent: Vec<u8> = (0..sizes.iter().sum()).map(|n: usize| u8::try_from(n % 251).unwrap()).collect();
            let writing = async {
                let mut rest = sent.as_slice();
                for size in sizes {
                    ours.write_all(&rest[..size]).await.unwrap();
                    rest = &rest[size..];
                }
                tokio::io::AsyncWriteExt::shutdown(&mut ours).await.unwrap();
            };
            let mut received = Vec::new();
            let ((), read) = tokio::join!(writing, theirs.read_to_end(&mut received));
            read.unwrap();
            assert!(received == sent);
        }
    }

    #[tokio::test]
    async fn an_answer_is_read_though_the_request_can_no_longer_be_written() {
        let (mut ours, mut theirs) = pair(Socket::to_backend).await;
        theirs.write_all(b"413").await.unwrap();
        ours.write_all(b"a request").await.unwrap();
        let mut answer = [0; 3];
        ours.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"413");
    }
}
