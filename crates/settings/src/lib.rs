//! Typed configuration: one TOML file, then the environment; everything read, checked and cross-checked before a port is
//! bound, and every fault named at once.
//!
//! Nothing is silently defaulted that somebody tried to set: an unknown key is a fault. Relative paths are relative to the
//! working directory. This crate must never print a secret.

mod admin;
mod auth;
mod database;
mod document;
mod faults;
mod headers;
mod idempotency;
mod inspected;
mod journal;
mod limits;
mod log;
mod places;
mod pricing;
mod routes;
mod secret;
mod section;
mod server;
mod settlement;
mod units;
mod upstream;

use std::net::SocketAddr;
use std::path::Path;

pub use admin::Admin;
pub use auth::Auth;
pub use database::Database;
pub use faults::{Fault, Faults};
pub use headers::{Credentials, Forwarded, Headers, Network};
pub use idempotency::Idempotency;
pub use inspected::Inspected;
pub use journal::Journal;
pub use limits::Limits;
pub use log::{Log, LogFormat};
pub use pricing::Pricing;
pub use routes::{Route, TextJoin};
pub use secret::Secret;
pub use server::Server;
pub use settlement::{Settlement, Verdict};
pub use upstream::{Address, Upstream};

use document::Document;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `[server]`
    pub server: Server,
    /// `[limits]`
    pub limits: Limits,
    /// `[headers]`
    pub headers: Headers,
    /// `[upstream]`
    pub upstream: Upstream,
    /// `[admin]`
    pub admin: Admin,
    /// `[database]`
    pub database: Database,
    /// `[journal]`
    pub journal: Journal,
    /// `[auth]`
    pub auth: Auth,
    /// `[pricing]`
    pub pricing: Pricing,
    /// `[settlement]`
    pub settlement: Settlement,
    /// `[idempotency]`
    pub idempotency: Idempotency,
    /// `[log]`
    pub log: Log,
    /// `[[routes]]`
    pub routes: Vec<Route>,
}

/// Reads a file, then what the environment sets over it (`GATEWAY__SECTION__KEY`).
pub fn load(file: &Path, env: impl IntoIterator<Item = (String, String)>) -> Result<Settings, Faults> {
    inspect(file, env)?.into_settings()
}

/// Reads the same for somebody who wants to look on where there are faults. Refused only where there is nothing to read.
pub fn inspect(file: &Path, env: impl IntoIterator<Item = (String, String)>) -> Result<Inspected, Faults> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| Faults::one(Fault::file(&name, error.to_string())))?;
    read(&name, &text, env)
}

/// Reads a configuration from its text; `name` is the file's, for faults.
pub fn parse(name: &str, text: &str, env: impl IntoIterator<Item = (String, String)>) -> Result<Settings, Faults> {
    read(name, text, env)?.into_settings()
}

fn read(name: &str, text: &str, env: impl IntoIterator<Item = (String, String)>) -> Result<Inspected, Faults> {
    let mut document = Document::read(name, text, env)?;
    let settings = Settings {
        server: Server::read(&mut document),
        limits: Limits::read(&mut document),
        headers: Headers::read(&mut document),
        upstream: Upstream::read(&mut document),
        admin: Admin::read(&mut document),
        database: Database::read(&mut document),
        journal: Journal::read(&mut document),
        auth: Auth::read(&mut document),
        pricing: Pricing::read(&mut document),
        settlement: Settlement::read(&mut document),
        idempotency: Idempotency::read(&mut document),
        log: Log::read(&mut document),
        routes: routes::read(&mut document),
    };
    if clash(settings.server.listen, settings.admin.listen) {
        // Where one of them is the default, the other is what somebody wrote.
        let mut keys = ["admin.listen", "server.listen"];
        keys.sort_by_key(|key| !document.stands(key));
        let [key, other] = keys;
        document.fault(key, &format!("is also {other}"), "another address or port");
    }
    let is_us = |address: &Address| match address {
        Address::Tcp { host, port, .. } => {
            host.parse().map(|ip| SocketAddr::new(ip, *port)) == Ok(settings.server.listen)
        }
        Address::Unix(_) => false,
    };
    if settings.upstream.addresses.iter().any(is_us) {
        document.fault("upstream.url", "is server.listen: the gateway would call itself", "the address of the backend");
    }
    Ok(Inspected::new(settings, document.finish()))
}

/// Whether both cannot be listened on; port 0 lets the system pick one.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let same = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    same && one.port() == other.port() && one.port() != 0
}

impl Settings {
    /// The keys that differ from `other`'s and that a reload cannot change.
    pub fn fixed_keys_changed(&self, other: &Self) -> Vec<&'static str> {
        let differs = [
            ("server.listen", self.server.listen != other.server.listen),
            ("server.max_in_flight", self.server.max_in_flight != other.server.max_in_flight),
            ("server.max_arriving", self.server.max_arriving != other.server.max_arriving),
            ("server.tls", self.server.tls_files() != other.server.tls_files()),
            ("server.http2", self.server.http2 != other.server.http2),
            ("limits.connections", self.limits.connections != other.limits.connections),
            ("limits.http2_streams", self.limits.http2_streams != other.limits.http2_streams),
            ("server.handover", self.server.handover != other.server.handover),
            ("server.threads", self.server.threads != other.server.threads),
            ("server.shutdown_grace", self.server.shutdown_grace != other.server.shutdown_grace),
            (
                "upstream",
                Upstream { max_response: other.upstream.max_response, ..self.upstream.clone() } != other.upstream,
            ),
            ("admin", self.admin != other.admin),
            ("database", self.database != other.database),
            ("journal", self.journal != other.journal),
            ("auth", self.auth != other.auth),
            ("pricing", self.pricing != other.pricing),
            ("idempotency", self.idempotency != other.idempotency),
            ("log", self.log != other.log),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests;
