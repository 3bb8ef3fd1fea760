//! The admin listener's connections: so many, and none that is silent for long. Whoever holds them open must never take the
//! descriptors of the port that users call.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::{Listener, ListenerExt as _, TapIo};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Connections at once. One more waits until another has ended.
pub(crate) const CONNECTIONS_MAX: usize = 256;
/// How long nothing may come or go on a connection. The slowest answer, to an uploaded plugin that is compiled and tried, is
/// there sooner.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(300);

/// A listener that bounds its connections.
#[derive(Debug)]
pub struct Bounded {
    tcp: TcpListener,
    room: Arc<Semaphore>,
    silence_max: Duration,
}

/// A connection that has a place, and ends when nothing comes.
#[derive(Debug)]
pub struct Connection {
    tcp: TcpStream,
    silence: Pin<Box<Sleep>>,
    silence_max: Duration,
    _place: Option<OwnedSemaphorePermit>,
}

/// Bounds a listener's connections. They are tapped for nothing but their addresses, which the library then tells requests.
pub fn bounded(tcp: TcpListener) -> TapIo<Bounded, fn(&mut Connection)> {
    with_limits(tcp, CONNECTIONS_MAX, SILENCE_MAX)
}

fn with_limits(tcp: TcpListener, connections_max: usize, silence_max: Duration) -> TapIo<Bounded, fn(&mut Connection)> {
    Bounded { tcp, room: Arc::new(Semaphore::new(connections_max)), silence_max }.tap_io(|_| {})
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // Nobody closes the semaphore.
        let place = Arc::clone(&self.room).acquire_owned().await.ok();
        let (tcp, address) = Listener::accept(&mut self.tcp).await;
        let silence = Box::pin(sleep(self.silence_max));
        (Connection { tcp, silence, silence_max: self.silence_max, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

impl Connection {
    fn is_heard(&mut self) {
        let until = Instant::now() + self.silence_max;
        self.silence.as_mut().reset(until);
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = Pin::new(&mut self.tcp).poll_read(cx, buffer) {
            self.is_heard();
            return Poll::Ready(read);
        }
        self.silence.as_mut().poll(cx).map(|()| Err(ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, bytes);
        if written.is_ready() {
            self.is_heard();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

    #[tokio::test]
    async fn one_too_many_waits_until_a_silent_one_is_closed() {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = tcp.local_addr().unwrap();
        let service = Router::new().route("/", get(|| async { "fine" }));
        let service = service.into_make_service_with_connect_info::<SocketAddr>();
        let listener = with_limits(tcp, 2, Duration::from_millis(300));
        let serving = tokio::spawn(axum::serve(listener, service).into_future());
        // Half a header each.
        let mut silent = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(at).await.unwrap();
            stream.write_all(&REQUEST[..20]).await.unwrap();
            silent.push(stream);
        }
        let began = Instant::now();
        let mut third = TcpStream::connect(at).await.unwrap();
        third.write_all(REQUEST).await.unwrap();
        let mut answer = String::new();
        third.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("fine"), "{answer}");
        assert!(began.elapsed() > Duration::from_millis(200), "it waited for a place: {:?}", began.elapsed());
        for mut stream in silent {
            let mut rest = Vec::new();
            // Closed, one way or the other: nobody waits here for ever.
            let _ = stream.read_to_end(&mut rest).await;
        }
        serving.abort();
    }
}
