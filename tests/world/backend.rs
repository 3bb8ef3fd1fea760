//! The scripted upstream: a socket that keeps the exact bytes of every request and answers with given ones. It must never
//! repair anything.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::until;

/// The upstream.
pub(crate) struct Backend {
    address: SocketAddr,
    received: Mutex<Vec<Received>>,
    script: Mutex<Script>,
}

type Script = Arc<dyn Fn(&Received) -> Answer + Send + Sync>;

/// A request, as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) version: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What to do about a request, step by step.
#[derive(Clone)]
pub(crate) struct Answer(Vec<Step>);

#[derive(Clone)]
enum Step {
    Send(Vec<u8>),
    Wait(Gate),
    Close,
    Echo,
}

/// Holds answers back until the test lets them go.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets one step pass.
    pub(crate) fn step(&self) {
        self.0.add_permits(1);
    }

    /// Lets everything pass from now on.
    pub(crate) fn open(&self) {
        self.0.add_permits(1 << 20);
    }
}

impl Answer {
    pub(crate) fn nothing() -> Self {
        Self(Vec::new())
    }

    /// These bytes and nothing else.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::nothing().then(bytes)
    }

    /// A status, headers (each line with its end) and a body with its length.
    pub(crate) fn with(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
        Self::raw([head.as_bytes(), body].concat())
    }

    /// JSON, as the app answers.
    pub(crate) fn json(body: impl AsRef<[u8]>) -> Self {
        Self::with("200 OK", "Content-Type: application/json\r\n", body)
    }

    /// The head of a chunked event stream.
    pub(crate) fn events(headers: &str) -> Self {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n";
        Self::raw(format!("{head}{headers}\r\n"))
    }

    pub(crate) fn then(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.push(Step::Send(bytes.into()));
        self
    }

    /// A chunk; an empty one is the end.
    pub(crate) fn chunk(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.then([format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat())
    }

    pub(crate) fn after(mut self, gate: &Gate) -> Self {
        self.0.push(Step::Wait(gate.clone()));
        self
    }

    pub(crate) fn close(mut self) -> Self {
        self.0.push(Step::Close);
        self
    }

    /// Sends back what comes, as a web socket's end would.
    pub(crate) fn echo(mut self) -> Self {
        self.0.push(Step::Echo);
        self
    }

    /// This answer, once the gate lets it go.
    pub(crate) fn held_by(self, gate: &Gate) -> Self {
        let mut steps = Self::nothing().after(gate);
        steps.0.extend(self.0);
        steps
    }
}

impl Default for Answer {
    fn default() -> Self {
        Self::json(r#"{"success":true,"result":"done"}"#)
    }
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found: Vec<_> = self.headers.iter().filter(|(known, _)| known == name).collect();
        assert!(found.len() < 2, "{name} stands twice");
        found.first().map(|(_, value)| value.as_str())
    }

    /// Whether it is a paid call: what the gateway must have an event for.
    fn is_call(&self) -> bool {
        let of_the_app = self.target.starts_with("/api/organizations/") && self.method == "POST";
        // A route that some journeys add, with any method.
        of_the_app || self.target.starts_with("/ai/")
    }
}

impl Backend {
    pub(crate) async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let backend =
            Arc::new(Self { address, received: Mutex::default(), script: Mutex::new(Arc::new(|_| Answer::default())) });
        let serving = Arc::clone(&backend);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let backend = Arc::clone(&serving);
                tokio::spawn(async move { backend.serve(stream).await });
            }
        });
        backend
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers every request so from now on.
    pub(crate) fn answers(&self, answer: Answer) {
        self.follows(move |_| answer.clone());
    }

    /// Answers by the request from now on.
    pub(crate) fn follows(&self, script: impl Fn(&Received) -> Answer + Send + Sync + 'static) {
        *self.script.lock() = Arc::new(script);
    }

    pub(crate) fn last(&self) -> Received {
        self.received.lock().last().cloned().expect("the backend received nothing")
    }

    pub(crate) fn first(&self) -> Received {
        self.received.lock().first().cloned().expect("the backend received nothing")
    }

    /// All that came.
    pub(crate) fn all(&self) -> Vec<Received> {
        self.received.lock().clone()
    }

    /// How many requests came in all.
    pub(crate) fn requests(&self) -> usize {
        self.received.lock().len()
    }

    /// How many paid calls came.
    pub(crate) fn calls(&self) -> usize {
        self.received.lock().iter().filter(|received| received.is_call()).count()
    }

    /// Waits until so many paid calls came.
    pub(crate) async fn has_calls(&self, calls: usize) {
        until(&format!("the backend has {calls} calls"), || async { self.calls() >= calls }).await;
    }

    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut buffer = Vec::new();
        loop {
            let received = read(&mut stream, &mut buffer).await?;
            let script = Arc::clone(&*self.script.lock());
            let Answer(steps) = script(&received);
            self.received.lock().push(received);
            for step in steps {
                match step {
                    Step::Send(bytes) => stream.write_all(&bytes).await.ok()?,
                    Step::Wait(gate) => gate.0.acquire().await.ok()?.forget(),
                    Step::Close => return None,
                    Step::Echo => echo(&mut stream, &mut buffer).await?,
                }
            }
        }
    }
}

async fn echo(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    loop {
        stream.write_all(buffer).await.ok()?;
        buffer.clear();
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Received> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        fill(stream, buffer).await?;
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end);
    let mut lines = head.trim_end().split("\r\n");
    let (first, headers) = (lines.next()?, lines.filter_map(|line| line.split_once(':')));
    let (method, rest) = first.split_once(' ')?;
    let mut received = Received {
        method: method.to_owned(),
        target: rest.rsplit_once(' ')?.0.to_owned(),
        version: rest.rsplit_once(' ')?.1.to_owned(),
        headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect(),
        body: Vec::new(),
    };
    if received.header("transfer-encoding").is_some() {
        received.body = read_chunks(stream, buffer).await?;
    } else if let Some(length) = received.header("content-length").and_then(|length| length.parse::<usize>().ok()) {
        while buffer.len() < length {
            fill(stream, buffer).await?;
        }
        received.body = buffer.drain(..length).collect();
    }
    Some(received)
}

async fn read_chunks(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = buffer.windows(2).position(|window| window == b"\r\n") {
                break end;
            }
            fill(stream, buffer).await?;
        };
        let size = usize::from_str_radix(std::str::from_utf8(&buffer[..end]).ok()?, 16).ok()?;
        while buffer.len() < end + size + 4 {
            fill(stream, buffer).await?;
        }
        body.extend(buffer.drain(..end + size + 4).skip(end + 2).take(size));
        if size == 0 {
            return Some(body);
        }
    }
}

async fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    (stream.read_buf(buffer).await.ok()? > 0).then_some(())
}

/// Bytes, compressed.
pub(crate) fn gzip(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes.as_ref()).unwrap();
    encoder.finish().unwrap()
}
