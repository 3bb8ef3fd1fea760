//! Connections to the backend that wait for their next call. A connection that may be broken must never be handed out.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pingora::protocols::Stream;
use tokio::io::{AsyncRead as _, ReadBuf};

use crate::socket::Socket;

/// Idle connections that are kept, at most.
const KEPT_MAX: usize = 512;

/// The idle connections, oldest first.
pub(super) struct Idle {
    kept: Mutex<VecDeque<(Stream, Instant)>>,
    /// `upstream.idle_timeout`: shorter than the backend's own, so that it never closes one that we are about to use.
    timeout: Duration,
    /// How many were found closed when they were to be used.
    found_closed: AtomicU64,
}

impl Idle {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { kept: Mutex::default(), timeout, found_closed: AtomicU64::new(0) }
    }

    /// The connection that was used last and is still good.
    pub(super) fn take(&self) -> Option<Stream> {
        loop {
            let (mut stream, since) = self.kept.lock().pop_back()?;
            if since.elapsed() >= self.timeout {
                continue;
            }
            if is_quiet(&mut stream) {
                return Some(stream);
            }
            self.found_closed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many connections the backend had closed before we did.
    pub(super) fn found_closed(&self) -> u64 {
        self.found_closed.load(Ordering::Relaxed)
    }

    /// Keeps a connection whose last answer was read to its end.
    pub(super) fn keep(&self, stream: Stream) {
        let mut kept = self.kept.lock();
        if kept.len() < KEPT_MAX {
            kept.push_back((stream, Instant::now()));
        }
    }

    /// Closes what has waited too long.
    pub(super) fn close_expired(&self) {
        let mut kept = self.kept.lock();
        let fresh = kept.partition_point(|(_, since)| since.elapsed() >= self.timeout);
        let expired: Vec<_> = kept.drain(..fresh).collect();
        drop(kept);
        drop(expired);
    }

    /// Closes all: the backend has moved.
    pub(super) fn close_all(&self) {
        let all = std::mem::take(&mut *self.kept.lock());
        drop(all);
    }
}

/// Whether nothing has come on an idle connection, its end included: a backend never speaks first.
fn is_quiet(stream: &mut Stream) -> bool {
    if stream.as_any().downcast_ref::<Socket>().is_some_and(|socket| !socket.is_quiet()) {
        return false;
    }
    let mut byte = [0];
    let mut buffer = ReadBuf::new(&mut byte);
    Pin::new(stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer).is_pending()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, DuplexStream};

    use super::*;

    fn connection() -> (Stream, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(64);
        (Box::new(ours), theirs)
    }

    #[tokio::test]
    async fn only_a_quiet_and_fresh_connection_is_handed_out() {
        let idle = Idle::new(Duration::from_secs(60));
        let ((quiet, _theirs), (spoken, mut speaks), (closed, closes)) = (connection(), connection(), connection());
        for stream in [quiet, spoken, closed] {
            idle.keep(stream);
        }
        speaks.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await.unwrap();
        drop(closes);
        assert!(idle.take().is_some(), "the quiet one");
        assert!(idle.take().is_none(), "the others were closed");
        assert_eq!(idle.found_closed(), 2);

        let expired = Idle::new(Duration::ZERO);
        let (stream, _theirs) = connection();
        expired.keep(stream);
        assert!(expired.take().is_none());
    }

    #[tokio::test]
    async fn a_connection_that_was_closed_just_now_is_not_handed_out() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut theirs, _) = listener.accept().unwrap();
        let mut socket = Socket::to_backend(tcp).unwrap();
        std::io::Write::write_all(&mut theirs, b"x").unwrap();
        assert_eq!(tokio::io::AsyncReadExt::read(&mut socket, &mut [0; 9]).await.unwrap(), 1);
        let idle = Idle::new(Duration::from_secs(60));
        idle.keep(Box::new(socket));
        // Nothing is awaited from here on: the runtime has not heard of the end yet, and must be asked no more.
        drop(theirs);
        assert!(idle.take().is_none());
    }

    #[tokio::test]
    async fn no_more_are_kept_than_the_limit_and_the_expired_ones_are_closed() {
        let idle = Idle::new(Duration::ZERO);
        let mut theirs = Vec::new();
        for _ in 0..=KEPT_MAX {
            let (stream, other) = connection();
            idle.keep(stream);
            theirs.push(other);
        }
        assert_eq!(idle.kept.lock().len(), KEPT_MAX);
        idle.close_expired();
        assert_eq!(idle.kept.lock().len(), 0);
    }
}
