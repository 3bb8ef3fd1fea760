//! A client that is a socket: it sees every byte, stops where the test says, and hides nothing.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::tls::TlsClient;

/// How long a read may take before the journey fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to the gateway.
pub(crate) struct Connection {
    stream: Box<dyn Wire>,
    peer: SocketAddr,
    buffer: Vec<u8>,
    framing: Framing,
}

/// What bytes go over.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
    Over,
}

/// An answer, or as much of it as came.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the body ended as its framing says.
    pub(crate) complete: bool,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(Box::new(stream), address)
    }

    /// The same over TLS, where a client is given that speaks it.
    pub(crate) async fn open_with(address: SocketAddr, tls: Option<&TlsClient>) -> Self {
        match tls {
            None => Self::open(address).await,
            Some(tls) => Self::over(Box::new(tls.connect(address, &[b"http/1.1"]).await.unwrap()), address),
        }
    }

    fn over(stream: Box<dyn Wire>, peer: SocketAddr) -> Self {
        Self { stream, peer, buffer: Vec::new(), framing: Framing::Over }
    }

    /// Writes bytes; one that has answered and closed early may take no more.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// Reads an answer's header, interim ones included.
    pub(crate) async fn head(&mut self, method: &str) -> Answered {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            assert!(
                self.fill().await,
                "the connection ended before an answer: {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        };
        let text = String::from_utf8(self.buffer.drain(..end + 4).collect()).unwrap();
        let mut lines = text.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| line.split_once(':').unwrap());
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        let answered = Answered { status, headers, body: Vec::new(), complete: false };
        self.framing = match (answered.header("transfer-encoding"), answered.header("content-length")) {
            _ if method == "HEAD" || status < 200 || status == 204 || status == 304 => Framing::Over,
            (Some("chunked"), None) => Framing::Chunked,
            (None, Some(length)) => Framing::Length(length.parse().unwrap()),
            (None, None) => Framing::UntilClose,
            both => panic!("two framings: {both:?}"),
        };
        answered
    }

    /// The next piece of the body as it is framed: a chunk, or all that is there. `None` at its end, an error where the
    /// connection ends before it.
    pub(crate) async fn piece(&mut self) -> Result<Option<Vec<u8>>, ()> {
        match self.framing {
            Framing::Over | Framing::Length(0) => Ok(None),
            Framing::Length(left) => {
                if self.buffer.is_empty() && !self.fill().await {
                    return Err(());
                }
                let take = left.min(self.buffer.len());
                self.framing = Framing::Length(left - take);
                Ok(Some(self.buffer.drain(..take).collect()))
            }
            Framing::UntilClose => {
                let more = !self.buffer.is_empty() || self.fill().await;
                Ok(more.then(|| std::mem::take(&mut self.buffer)))
            }
            Framing::Chunked => self.chunk().await,
        }
    }

    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, ()> {
        let end = loop {
            if let Some(end) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                break end;
            }
            if !self.fill().await {
                return Err(());
            }
        };
        let size = usize::from_str_radix(std::str::from_utf8(&self.buffer[..end]).unwrap(), 16).unwrap();
        while self.buffer.len() < end + size + 4 {
            if !self.fill().await {
                return Err(());
            }
        }
        let chunk: Vec<u8> = self.buffer.drain(..end + size + 4).skip(end + 2).take(size).collect();
        if chunk.is_empty() {
            self.framing = Framing::Over;
            return Ok(None);
        }
        Ok(Some(chunk))
    }

    /// The final answer, whole or as much of it as comes.
    pub(crate) async fn answer(&mut self, method: &str) -> Answered {
        let mut answered = self.head(method).await;
        while answered.status < 200 {
            answered = self.head(method).await;
        }
        answered.complete = loop {
            match self.piece().await {
                Ok(Some(piece)) => answered.body.extend(piece),
                Ok(None) => break true,
                Err(()) => break false,
            }
        };
        answered
    }

    /// Says that nothing more will be sent, and stays to read.
    pub(crate) async fn half_close(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// The address of the gateway.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The bytes that come next, whatever they are, at least this many.
    pub(crate) async fn raw(&mut self, at_least: usize) -> Vec<u8> {
        while self.buffer.len() < at_least {
            assert!(self.fill().await, "the connection ended after {} bytes", self.buffer.len());
        }
        std::mem::take(&mut self.buffer)
    }

    /// Whether the connection ends now, without another byte.
    pub(crate) async fn is_over(&mut self) -> bool {
        self.buffer.is_empty() && !self.fill().await
    }

    /// Whether the connection ends within this time; what comes before its end is read away.
    pub(crate) async fn has_ended(&mut self, within: Duration) -> bool {
        self.buffer.clear();
        let read = timeout(within, async {
            while matches!(self.stream.read_buf(&mut self.buffer).await, Ok(read) if read > 0) {}
        });
        read.await.is_ok()
    }

    /// Waits until the connection ends.
    pub(crate) async fn ends(&mut self, what: &str) {
        assert!(self.has_ended(PATIENCE).await, "the connection is still open: {what}");
    }

    async fn fill(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
        read.expect("nothing came").is_ok_and(|read| read > 0)
    }
}

impl Answered {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        let first = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} stands twice");
        first
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|why| panic!("{why}: {}", self.text()))
    }

    /// Status and code of a refusal, whose shape is checked.
    pub(crate) fn refusal(&self) -> (u16, String) {
        let body = self.json();
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(body["success"], false, "{body}");
        assert!(body["error"].as_str().is_some_and(|error| error.len() > 10 && error.contains(' ')), "{body}");
        assert_eq!(body["requestId"].as_str(), self.header("x-request-id"), "{body}");
        assert!(body["requestId"].as_str().is_some_and(|id| !id.is_empty()));
        let retry = matches!(self.status, 429 | 503);
        assert_eq!(self.header("retry-after").is_some(), retry, "{}", self.status);
        assert_eq!(self.header("www-authenticate").is_some(), self.status == 401);
        (self.status, body["code"].as_str().unwrap().to_owned())
    }

    /// The three headers of a settled answer: event, credits, remaining.
    pub(crate) fn usage_headers(&self) -> (&str, &str, &str) {
        let header = |name| self.header(name).unwrap_or_else(|| panic!("{name} is missing: {self:?}"));
        (header("x-usage-event-id"), header("x-credits-consumed"), header("x-credits-remaining"))
    }
}
