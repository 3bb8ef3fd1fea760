//! A TCP connection that sends in one piece what belongs together: a header waits for what follows it. It must never keep
//! anything else back from a client.
//!
//! Pingora's own stream sends a header apart from its body, and keeps 64 KiB for reading on every connection.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use bytes::{Buf as _, Bytes, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
    UniqueIDType,
};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::connection::Arrival;

/// What may wait, in bytes: a header, and towards the backend a usual body after it.
const GATHERED_BYTES_MAX: usize = 16 * 1024;
/// Pieces that go out in one system call.
const PIECES_MAX: usize = 8;

/// What waits to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Send {
    /// To a client: a header, until the next piece, a flush, or a look at what the client says. Pieces of a body may be far apart, so none of them waits.
    HeaderWithBody,
    /// To the backend: the request, until its answer is awaited. A flush is not the end of it.
    WholeRequest,
}

/// One side's connection.
#[derive(Debug)]
pub(crate) struct Socket {
    tcp: TcpStream,
    /// Written, and not yet sent.
    gathered: BytesMut,
    /// A request's body, sent behind what is gathered while the answer is awaited, and without a copy.
    body: Bytes,
    /// Whether sending failed half-way: what is said on this connection next would be taken for the rest.
    failed: bool,
    send: Send,
    digest: Arc<SocketDigest>,
    /// The header that a client's connection waits for.
    arrival: Option<(Arc<Arrival>, Patience)>,
}

/// How long a header has been coming.
#[derive(Debug)]
enum Patience {
    /// Nothing of it is there.
    Unmoved,
    /// Its first byte is there, since then.
    Since(Instant),
    /// It did not come in one piece: then it is over.
    Until(Pin<Box<Sleep>>),
}

impl Socket {
    /// A client's connection.
    pub(crate) fn of_client(tcp: TcpStream, address: SocketAddr, arrival: Arc<Arrival>) -> io::Result<Self> {
        let socket = Self::new(tcp, Send::HeaderWithBody)?;
        // It is known: asking the system again would cost a call.
        let _ = socket.digest.peer_addr.set(Some(address.into()));
        Ok(Self { arrival: Some((arrival, Patience::Unmoved)), ..socket })
    }

    /// A connection to the backend.
    pub(crate) fn to_backend(tcp: TcpStream) -> io::Result<Self> {
        Self::new(tcp, Send::WholeRequest)
    }

    /// Takes the body of the request whose header is written next.
    pub(crate) fn with_body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    /// Whether all that was to be sent was: only then may another request follow.
    pub(crate) fn is_done(&self) -> bool {
        self.gathered.is_empty() && self.body.is_empty() && !self.failed
    }

    /// Whether nothing has come, the end of the other side included. The system is asked: the runtime hears of it later, and
    /// a request written meanwhile would be lost.
    pub(crate) fn is_quiet(&self) -> bool {
        let look = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        matches!(rustix::net::recv(&self.tcp, &mut [0_u8; 1], look), Err(Errno::AGAIN))
    }

    fn new(tcp: TcpStream, send: Send) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        let digest = Arc::new(SocketDigest::from_raw_fd(tcp.as_raw_fd()));
        Ok(Self { tcp, gathered: BytesMut::new(), body: Bytes::new(), failed: false, send, digest, arrival: None })
    }

    /// Whether these bytes wait for more.
    fn waits(&self, bytes: &[u8]) -> bool {
        self.gathered.len() + bytes.len() <= GATHERED_BYTES_MAX
            && match self.send {
                Send::HeaderWithBody => {
                    self.gathered.is_empty() && bytes.starts_with(b"HTTP/") && bytes.ends_with(b"\r\n\r\n")
                }
                Send::WholeRequest => true,
            }
    }

    /// Sends what is gathered, and the body behind it, all of it.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() || !self.body.is_empty() {
            let both = [IoSlice::new(&self.gathered), IoSlice::new(&self.body)];
            let sent = ready!(Pin::new(&mut self.tcp).poll_write_vectored(cx, &both))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_gathered = sent.min(self.gathered.len());
            self.gathered.advance(of_gathered);
            self.body.advance(sent - of_gathered);
        }
        // An idle connection holds no memory for what it may write one day.
        (self.gathered, self.body) = (BytesMut::new(), Bytes::new());
        Poll::Ready(Ok(()))
    }

    /// Sends these pieces behind what is gathered; answers how much of them went out.
    fn poll_send_with(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            if self.gathered.is_empty() {
                return Pin::new(&mut self.tcp).poll_write_vectored(cx, pieces);
            }
            let mut all = [IoSlice::new(&[]); PIECES_MAX];
            let gathered = std::iter::once(IoSlice::new(&self.gathered));
            let used =
                all.iter_mut().zip(gathered.chain(pieces.iter().copied())).map(|(to, piece)| *to = piece).count();
            let sent = ready!(Pin::new(&mut self.tcp).poll_write_vectored(cx, &all[..used]))?;
            let of_gathered = sent.min(self.gathered.len());
            self.gathered.advance(of_gathered);
            if sent > of_gathered || sent == 0 {
                return Poll::Ready(Ok(sent - of_gathered));
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.send == Send::WholeRequest && !self.is_done() && !self.failed {
            // A backend that stops reading may have answered already: its answer counts, not our failure to write.
            self.failed = matches!(self.poll_send(cx), Poll::Ready(Err(_)));
        }
        if self.send == Send::HeaderWithBody && !self.gathered.is_empty() {
            // Whoever listens to a client has nothing to say to it now: its header waits no longer. Where that cannot be
            // sent yet it goes on at the next look, or with what follows it.
            if let Poll::Ready(Err(error)) = self.poll_send(cx) {
                return Poll::Ready(Err(error));
            }
        }
        let filled = buffer.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, buffer);
        match &mut self.arrival {
            Some((arrival, patience)) => await_header(arrival, patience, cx, read, buffer.filled().len() - filled),
            None => read,
        }
    }
}

/// Ends a connection whose header is too long in coming, or too long.
fn await_header(
    arrival: &Arrival,
    patience: &mut Patience,
    cx: &mut Context<'_>,
    read: Poll<io::Result<()>>,
    came: usize,
) -> Poll<io::Result<()>> {
    let Some(so_far) = arrival.so_far() else {
        *patience = Patience::Unmoved;
        return read;
    };
    if so_far == 0 {
        *patience = if came > 0 { Patience::Since(Instant::now()) } else { Patience::Unmoved };
    }
    if came > 0 && !arrival.came(came) {
        return Poll::Ready(Err(io::Error::other("the header is too long")));
    }
    if let Patience::Since(since) = patience
        && (read.is_pending() || so_far > 0)
    {
        *patience = Patience::Until(Box::pin(tokio::time::sleep_until(*since + arrival.timeout)));
    }
    // A byte now and then does not help: the time counts from the first one.
    match patience {
        Patience::Until(over) => match over.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => read,
        },
        Patience::Unmoved | Patience::Since(_) => read,
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.waits(bytes) {
            self.gathered.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        self.poll_send_with(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send_with(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.send {
            Send::HeaderWithBody => self.poll_send(cx),
            Send::WholeRequest => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.send == Send::HeaderWithBody {
            ready!(self.poll_send(cx))?;
        }
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

    fn to_client(tcp: TcpStream) -> io::Result<Socket> {
        Socket::new(tcp, Send::HeaderWithBody)
    }

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
    async fn a_header_waits_for_its_body_and_nothing_else_waits() {
        let (mut ours, mut theirs) = pair(to_client).await;
        let mut all = [0; 64];
        ours.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        assert!(!has_come(&theirs).await);
        ours.write_all(b"body").await.unwrap();
        let read = theirs.read(&mut all).await.unwrap();
        assert_eq!(&all[..read], b"HTTP/1.1 200 OK\r\n\r\nbody", "in one piece");
        ours.write_all(b"more").await.unwrap();
        assert!(has_come(&theirs).await, "unasked");
        let read = theirs.read(&mut all).await.unwrap();
        assert_eq!(&all[..read], b"more");

        ours.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        ours.flush().await.unwrap();
        let read = theirs.read(&mut all).await.unwrap();
        assert_eq!(&all[..read], b"HTTP/1.1 204 No Content\r\n\r\n");
    }

    #[tokio::test]
    async fn a_header_goes_out_when_its_client_is_listened_to() {
        let (mut ours, mut theirs) = pair(to_client).await;
        ours.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let mut byte = [0];
        let listening = tokio::time::timeout(std::time::Duration::from_millis(20), ours.read(&mut byte)).await;
        assert!(listening.is_err(), "the client says nothing");
        let mut all = [0; 64];
        let read = tokio::time::timeout(std::time::Duration::from_secs(5), theirs.read(&mut all)).await;
        assert_eq!(&all[..read.expect("the header waits").unwrap()], b"HTTP/1.1 200 OK\r\n\r\n");
    }

    #[tokio::test]
    async fn a_chunk_goes_out_with_the_header_before_it() {
        let (mut ours, mut theirs) = pair(to_client).await;
        ours.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let mut chunk = bytes::Buf::chain(&b"4\r\n"[..], bytes::Buf::chain(&b"data"[..], &b"\r\n"[..]));
        ours.write_all_buf(&mut chunk).await.unwrap();
        let mut all = [0; 64];
        let read = theirs.read(&mut all).await.unwrap();
        assert_eq!(&all[..read], b"HTTP/1.1 200 OK\r\n\r\n4\r\ndata\r\n", "in one piece");
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
    async fn an_early_answer_is_read_while_the_body_waits_and_nothing_may_follow_it() {
        let (ours, mut theirs) = pair(Socket::to_backend).await;
        let mut ours = ours.with_body(Bytes::from(vec![b'x'; 16 << 20]));
        ours.write_all(b"header").await.unwrap();
        theirs.write_all(b"413").await.unwrap();
        let mut answer = [0; 3];
        ours.read_exact(&mut answer).await.unwrap();
        assert_eq!((&answer, ours.is_done()), (b"413", false));
    }

    #[tokio::test]
    async fn a_request_is_done_when_its_whole_body_is_sent() {
        let (ours, mut theirs) = pair(Socket::to_backend).await;
        let mut ours = ours.with_body(Bytes::from_static(b"body"));
        ours.write_all(b"header ").await.unwrap();
        assert!(!ours.is_done());
        let backend = async {
            let mut all = [0; 11];
            theirs.read_exact(&mut all).await.unwrap();
            assert_eq!(&all, b"header body");
            theirs.write_all(b"answer").await.unwrap();
        };
        let mut answer = [0; 6];
        let (read, ()) = tokio::join!(ours.read_exact(&mut answer), backend);
        read.unwrap();
        assert!(ours.is_done());
    }

    #[tokio::test]
    async fn long_writes_arrive_whole_and_in_order_however_they_are_cut() {
        let both: [fn(TcpStream) -> io::Result<Socket>; 2] = [to_client, Socket::to_backend];
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
                std::future::poll_fn(|cx| ours.poll_send(cx)).await.unwrap();
                drop(ours);
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
