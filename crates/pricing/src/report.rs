//! What the operators are shown of plugins.

use std::collections::BTreeMap;

use ledger::{CanaryShare, Rollout, Timestamp};
use serde::Serialize;

use crate::shadow::ShadowFigures;

/// Plugins as they are now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PricingReport {
    /// The one that sets prices.
    pub active: Option<LoadedPlugin>,
    /// Its calls that failed here, by cause.
    pub faults: BTreeMap<&'static str, u64>,
    /// The one that did before it.
    pub previous: Option<LoadedPlugin>,
    /// The one that sets prices for a share of organisations.
    pub canary: Option<CanaryReport>,
    /// The one that is asked beside, and what it would have charged.
    pub shadow: Option<ShadowReport>,
    /// Files that were rejected, newest first; the last 20.
    pub rejected: Vec<RejectedFile>,
    /// The state that this gateway follows.
    pub rollout: Rollout,
}

/// The canary, as this gateway sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CanaryReport {
    /// Which.
    pub plugin: LoadedPlugin,
    /// For how many of 10 000 organisations.
    pub share: CanaryShare,
    /// How often it was asked here.
    pub calls: u64,
    /// How often it failed here.
    pub faults: u64,
    /// The same by cause.
    pub causes: BTreeMap<&'static str, u64>,
    /// Whether it failed too often here, sets no more prices here and is being taken back.
    pub failing: bool,
}

/// The shadow, as this gateway sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShadowReport {
    /// Which.
    pub plugin: LoadedPlugin,
    /// Since when.
    pub since: Timestamp,
    /// What it would have charged for this gateway's calls.
    #[serde(flatten)]
    pub figures: ShadowFigures,
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
