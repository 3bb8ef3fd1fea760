//! `[admin]`: where operators call.

use std::net::{Ipv4Addr, SocketAddr};

use crate::document::Document;
use crate::section::Section;

/// `[admin]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where operators and Prometheus call.
    pub listen: SocketAddr,
    /// Whether the admin API is served there by the gateway; otherwise only metrics, health and readiness are.
    pub embedded: bool,
}

impl Admin {
    pub(crate) fn read(document: &mut Document) -> Self {
        let mut section = Section::open(document, "admin");
        let read = Self {
            listen: section.address("listen", SocketAddr::from((Ipv4Addr::LOCALHOST, 8081))),
            embedded: section.flag("embedded", true),
        };
        section.close();
        read
    }
}
