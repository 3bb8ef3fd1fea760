//! A request in the making.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use super::client::{Answered, Connection};
use super::tls::TlsClient;

/// A request, byte for byte as it will be sent.
pub(crate) struct Request {
    address: SocketAddr,
    pub(crate) method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    chunk_bytes: Option<usize>,
    tls: Option<TlsClient>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Request {
    pub(crate) fn new(address: SocketAddr, method: &str, target: &str, seen: Arc<Mutex<Vec<String>>>) -> Self {
        let (method, target) = (method.to_owned(), target.to_owned());
        let headers = vec![("Host".to_owned(), "app.example".to_owned())];
        Self { address, method, target, headers, body: Vec::new(), chunk_bytes: None, tls: None, seen }
    }

    /// Sends it over TLS, where a client is given.
    pub(crate) fn over(mut self, tls: Option<TlsClient>) -> Self {
        self.tls = tls;
        self
    }

    pub(crate) fn by(self, credential: &str) -> Self {
        self.header("Authorization", &format!("Bearer {credential}"))
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body(body.to_string())
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("Content-Type", "application/json")
    }

    /// Sends the body in chunks of so many bytes.
    pub(crate) fn chunked(mut self, chunk_bytes: usize) -> Self {
        self.chunk_bytes = Some(chunk_bytes);
        self
    }

    /// The header alone, its empty line included.
    pub(crate) fn head_bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        match self.chunk_bytes {
            Some(_) => head += "Transfer-Encoding: chunked\r\n",
            None if self.body.is_empty() && self.method == "GET" => {}
            None => head.extend(["Content-Length: ", &self.body.len().to_string(), "\r\n"]),
        }
        (head + "\r\n").into_bytes()
    }

    /// The body in its framing.
    pub(crate) fn body_bytes(&self) -> Vec<u8> {
        let Some(chunk_bytes) = self.chunk_bytes else { return self.body.clone() };
        let mut framed = Vec::new();
        for chunk in self.body.chunks(chunk_bytes) {
            framed.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            framed.extend(chunk);
            framed.extend(b"\r\n");
        }
        framed.extend(b"0\r\n\r\n");
        framed
    }

    /// Opens a connection and sends everything.
    pub(crate) async fn start(&self) -> Connection {
        let mut connection = Connection::open_with(self.address, self.tls.as_ref()).await;
        let mut bytes = self.head_bytes();
        bytes.extend(self.body_bytes());
        connection.send(&bytes).await;
        connection
    }

    /// Sends everything on a connection of its own and reads the answer.
    pub(crate) async fn send(&self) -> Answered {
        let mut connection = self.start().await;
        self.answer(&mut connection).await
    }

    /// Reads the answer, and remembers the event that it names.
    pub(crate) async fn answer(&self, connection: &mut Connection) -> Answered {
        let answered = connection.answer(&self.method).await;
        self.note(&answered);
        answered
    }

    /// Remembers the event that an answer names.
    pub(crate) fn note(&self, answered: &Answered) {
        if let Some(id) = answered.header("x-usage-event-id") {
            self.seen.lock().push(id.to_owned());
        }
    }
}
