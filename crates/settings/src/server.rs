//! `[server]`: where users call, and how much at once.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::document::Document;
use crate::section::Section;

/// `[server]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where users call.
    pub listen: SocketAddr,
    /// The certificate chain, for TLS.
    pub tls_certificate: Option<PathBuf>,
    /// Its key.
    pub tls_key: Option<PathBuf>,
    /// Whether clients may speak HTTP/2, over TLS.
    pub http2: bool,
    /// A metered request's body, in bytes.
    pub max_body: u64,
    /// Metered calls at once, from when their body is there.
    pub max_in_flight: u64,
    /// Bodies that are still coming, in bytes, all together.
    pub max_arriving: u64,
    /// How long a metered request's body may take.
    pub body_timeout: Duration,
    /// How long calls on their way may go on after SIGTERM.
    pub shutdown_grace: Duration,
    /// Where the next gateway process is given this one's ports.
    pub handover: Option<PathBuf>,
    /// Worker threads; 0 is one a core.
    pub threads: u64,
}

impl Server {
    pub(crate) fn read(document: &mut Document) -> Self {
        let seconds = Duration::from_secs;
        let mut section = Section::open(document, "server");
        let listen = section.address("listen", SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)));
        let mut file = |key| section.text(key).filter(|file| !file.is_empty()).map(PathBuf::from);
        let (tls_certificate, tls_key, handover) = (file("tls_certificate"), file("tls_key"), file("handover"));
        let max_body = section.size("max_body", 10 << 20, 1..=1 << 30);
        let read = Self {
            listen,
            http2: section.flag("http2", true),
            max_body,
            max_in_flight: section.count("max_in_flight", 4_096, 1..=1_000_000),
            max_arriving: section.size("max_arriving", max_body.max(256 << 20), 1..=1 << 40),
            body_timeout: section.duration("body_timeout", seconds(30), Duration::from_millis(1)..=seconds(3_600)),
            shutdown_grace: section.duration("shutdown_grace", seconds(30), seconds(0)..=seconds(3_600)),
            threads: section.count("threads", 0, 0..=1_024),
            tls_certificate,
            tls_key,
            handover,
        };
        if read.max_arriving < read.max_body {
            section.wrong(
                "max_arriving",
                "is less than max_body, so that a long body could never arrive",
                "max_body or more",
            );
        }
        let (here, missing) = if read.tls_key.is_none() {
            ("tls_certificate", "is set without tls_key")
        } else {
            ("tls_key", "is set without tls_certificate")
        };
        if read.tls_key.is_some() != read.tls_certificate.is_some() {
            section.wrong(here, missing, "both, for TLS, or none");
        }
        section.close();
        read
    }

    /// The certificate and the key, for TLS.
    pub fn tls_files(&self) -> Option<(&Path, &Path)> {
        Some((self.tls_certificate.as_deref()?, self.tls_key.as_deref()?))
    }
}
