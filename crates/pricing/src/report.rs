//! What the operators are shown of plugins.

use ledger::Timestamp;
use serde::Serialize;

/// Plugins as they are now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PricingReport {
    /// The one that sets prices.
    pub active: Option<LoadedPlugin>,
    /// The one that did before it.
    pub previous: Option<LoadedPlugin>,
    /// Files that were rejected, newest first; the last 20.
    pub rejected: Vec<RejectedFile>,
}

/// A plugin that set prices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadedPlugin {
    /// Its name for itself.
    pub name: String,
    /// Its version of itself.
    pub version: String,
    /// SHA-256 of its file.
    pub sha256: String,
    /// Length of its file in bytes.
    pub bytes: u64,
    /// Where it was loaded from.
    pub path: String,
    /// When it became active.
    pub loaded_at: Timestamp,
    /// How long it took to load, in milliseconds.
    pub load_ms: u64,
    /// The event types that it names; none means all.
    pub event_types: Vec<String>,
}

/// A file that did not become active.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RejectedFile {
    /// Where it is.
    pub path: String,
    /// SHA-256 of it, where it could be read.
    pub sha256: Option<String>,
    /// A fixed name for why.
    pub cause: &'static str,
    /// Why, for people.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}
