//! A backend that answers at once: the same kilobyte of JSON, whatever it is asked. Written by hand on bare sockets so
//! that it takes as little of the machine as can be.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::framing::first_message;

/// How long the text in the answer is, so that the whole body is about a kilobyte.
const TEXT_BYTES: usize = 960;

/// Serves until the process is ended.
pub(crate) fn run(listen: SocketAddr) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(listen))
}

async fn serve(listen: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let answer: Arc<[u8]> = answer().into();
    loop {
        let (stream, _client) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = Arc::clone(&answer);
        tokio::spawn(async move {
            // A client that leaves, or sends what cannot be framed, loses its connection and nothing else.
            drop(answer_all(stream, &answer).await);
        });
    }
}

async fn answer_all(mut stream: TcpStream, answer: &[u8]) -> anyhow::Result<()> {
    let mut buffer = Vec::with_capacity(4 << 10);
    while stream.read_buf(&mut buffer).await? > 0 {
        while let Some(length) = first_message(&buffer)? {
            buffer.drain(..length);
            stream.write_all(answer).await?;
        }
    }
    Ok(())
}

fn answer() -> Vec<u8> {
    let body = format!(r#"{{"success":true,"result":{{"summary":"{}"}}}}"#, "a".repeat(TEXT_BYTES));
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}
