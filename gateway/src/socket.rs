//! A connection that sends in one piece what belongs together: a header waits for what follows it. It must never keep
//! anything else back from a client.
//!
//! Pingora's own stream sends a header apart from its body, and keeps 64 KiB for reading on every connection.

mod library;
mod patience;
mod wire;

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use pingora::protocols::SocketDigest;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use self::patience::Awaited;
pub(crate) use self::wire::Wire;
use crate::answer;
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
    wire: Wire,
    /// Written, and not yet sent.
    gathered: BytesMut,
    /// A request's body, sent behind what is gathered while the answer is awaited, and without a copy.
    body: Bytes,
    /// Whether sending failed half-way: what is said on this connection next would be taken for the rest.
    failed: bool,
    send: Send,
    digest: Arc<SocketDigest>,
    /// The header that a client's connection waits for.
    awaited: Option<Awaited>,
}

impl Socket {
    /// A client's connection.
    pub(crate) fn of_client(tcp: TcpStream, address: SocketAddr, arrival: Arc<Arrival>) -> io::Result<Self> {
        let socket = Self::new(tcp.into(), Send::HeaderWithBody)?;
        // It is known: asking the system again would cost a call.
        let _ = socket.digest.peer_addr.set(Some(address.into()));
        Ok(Self { awaited: Some(Awaited::new(arrival)), ..socket })
    }

    /// A connection to the backend.
    pub(crate) fn to_backend(wire: impl Into<Wire>) -> io::Result<Self> {
        Self::new(wire.into(), Send::WholeRequest)
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
        matches!(rustix::net::recv(&self.wire, &mut [0_u8; 1], look), Err(Errno::AGAIN))
    }

    fn new(wire: Wire, send: Send) -> io::Result<Self> {
        wire.prepare()?;
        let digest = Arc::new(SocketDigest::from_raw_fd(wire.raw_fd()));
        Ok(Self { wire, gathered: BytesMut::new(), body: Bytes::new(), failed: false, send, digest, awaited: None })
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

    /// Puts our own answer in the place of a bare one: before there is a request, whatever is said to a client is the HTTP
    /// library's refusal of bytes that are none.
    fn speak_for_library(&mut self, bytes: &[u8]) -> bool {
        let is_refusal = self.awaited.as_ref().is_some_and(Awaited::is_header) && bytes.starts_with(b"HTTP/1.1 4");
        if is_refusal {
            self.gathered = answer::of_no_request(bytes).as_slice().into();
        }
        is_refusal
    }

    /// Sends what is gathered, and the body behind it, all of it.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() || !self.body.is_empty() {
            let both = [IoSlice::new(&self.gathered), IoSlice::new(&self.body)];
            let sent = ready!(self.wire.poll_write(cx, &both))?;
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
                return self.wire.poll_write(cx, pieces);
            }
            let mut all = [IoSlice::new(&[]); PIECES_MAX];
            let gathered = std::iter::once(IoSlice::new(&self.gathered));
            let used =
                all.iter_mut().zip(gathered.chain(pieces.iter().copied())).map(|(to, piece)| *to = piece).count();
            let sent = ready!(self.wire.poll_write(cx, &all[..used]))?;
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
        let read = self.wire.poll_read(cx, buffer);
        match &mut self.awaited {
            Some(awaited) => awaited.after(read, buffer.filled().len() - filled, cx),
            None => read,
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.waits(bytes) {
            if !self.speak_for_library(bytes) {
                self.gathered.extend_from_slice(bytes);
            }
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
        self.wire.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
