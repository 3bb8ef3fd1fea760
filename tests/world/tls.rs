//! A client that speaks TLS, and HTTP/2 over it. It believes the journeys' own authority and nobody else.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::client::Answered;

/// A client.
#[derive(Clone)]
pub(crate) struct TlsClient(ClientConfig);

/// An HTTP/2 connection.
pub(crate) struct Http2 {
    pub(crate) requests: h2::client::SendRequest<Bytes>,
    /// Ends when the connection does, with its error.
    pub(crate) ended: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

/// A file of the journeys' certificates.
pub(crate) fn tls_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tls").join(name)
}

impl TlsClient {
    pub(crate) fn new() -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(tls_file("ca.pem")).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap();
        Self(config.with_root_certificates(roots).with_no_client_auth())
    }

    /// Connects, offering these protocols.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        protocols: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = self.0.clone();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("app.example").unwrap(), tcp).await
    }

    /// An HTTP/2 connection.
    pub(crate) async fn http2(&self, address: SocketAddr) -> Http2 {
        let stream = self.connect(address, &[b"h2", b"http/1.1"]).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        Http2 { requests, ended: tokio::spawn(connection) }
    }
}

impl Http2 {
    /// Sends a request and reads the answer.
    pub(crate) async fn send(&self, request: http::Request<()>, body: impl Into<Bytes>) -> Answered {
        let mut requests = self.requests.clone().ready().await.unwrap();
        let (answer, mut sending) = requests.send_request(request, false).unwrap();
        // A stream that was answered and ended before the body came (RFC 9113 section 8.1) takes none.
        let _ = sending.send_data(body.into(), true);
        let answer = answer.await.unwrap();
        let headers = answer.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned())).collect();
        let mut answered = Answered { status: answer.status().as_u16(), headers, body: Vec::new(), complete: true };
        let mut body = answer.into_body();
        while let Some(piece) = body.data().await {
            let Ok(piece) = piece else {
                answered.complete = false;
                break;
            };
            body.flow_control().release_capacity(piece.len()).unwrap();
            answered.body.extend_from_slice(&piece);
        }
        answered
    }
}
