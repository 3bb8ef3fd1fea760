//! TLS for clients: the certificate, as its files are now. A pair of files that cannot be used changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use pingora::listeners::tls::Acceptor;
use pingora::protocols::tls::TlsStream;
use pingora::tls::{ServerConfig, load_certs_and_key_files, version};

use crate::socket::Socket;

/// How often the files are looked at.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// Where the certificate is, and what is spoken over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) http2: bool,
}

/// What speaks TLS with clients.
pub(crate) struct Tls {
    acceptor: ArcSwap<Acceptor>,
    files: TlsFiles,
}

/// What tells one state of a file from another.
type Seen = [Option<(SystemTime, u64)>; 2];

impl Tls {
    /// Reads the certificate. One that cannot be used is a failed start.
    pub(crate) fn load(files: TlsFiles) -> anyhow::Result<Arc<Self>> {
        let acceptor = ArcSwap::from_pointee(acceptor(&files)?);
        Ok(Arc::new(Self { acceptor, files }))
    }

    /// Shakes hands with a client.
    pub(crate) async fn accept(&self, socket: Socket) -> pingora::Result<TlsStream<Socket>> {
        let acceptor = self.acceptor.load_full();
        acceptor.tls_handshake(socket).await
    }

    /// Takes the files as they are now.
    pub(crate) fn reload(&self) -> anyhow::Result<()> {
        self.acceptor.store(Arc::new(acceptor(&self.files)?));
        Ok(())
    }

    /// Follows the files. Never returns. A certificate without its key is taken when the key comes, and not before.
    pub(crate) async fn follow(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(FOLLOW_EVERY);
        let mut last = self.seen();
        loop {
            ticks.tick().await;
            let seen = self.seen();
            if seen == last {
                continue;
            }
            last = seen;
            match self.reload() {
                Ok(()) => {
                    tracing::info!(certificate = %self.files.certificate.display(), "a new certificate is in use");
                }
                Err(error) => tracing::error!(error = format!("{error:#}"), "the certificate stays as it was"),
            }
        }
    }

    fn seen(&self) -> Seen {
        let of = |file: &Path| {
            let metadata = std::fs::metadata(file).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        [of(&self.files.certificate), of(&self.files.key)]
    }
}

fn acceptor(files: &TlsFiles) -> anyhow::Result<Acceptor> {
    // The libraries that speak TLS in this process share one cryptography.
    pingora::tls::install_default_crypto_provider();
    let (certificate, key) = (files.certificate.display().to_string(), files.key.display().to_string());
    let read = load_certs_and_key_files(&certificate, &key);
    let read = read.map_err(|error| anyhow::anyhow!("{error}")).context("server.tls_certificate, server.tls_key")?;
    let (chain, key) = read.context("server.tls_certificate or server.tls_key has no certificate or no key in it")?;
    let config = ServerConfig::builder_with_protocol_versions(&[&version::TLS12, &version::TLS13]);
    let config = config.with_no_client_auth().with_single_cert(chain, key);
    let mut config = config.context("server.tls_key is not the key of server.tls_certificate")?;
    let http2 = files.http2.then(|| b"h2".to_vec());
    config.alpn_protocols = http2.into_iter().chain([b"http/1.1".to_vec()]).collect();
    Ok(Acceptor::from_server_config(Arc::new(config)))
}
