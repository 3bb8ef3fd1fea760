//! Metrics by plugin: of those alone that are asked now, so that the labels stay few however many versions come and go.

use std::collections::HashMap;

use ledger::{Credits, PluginIdentity};
use parking_lot::RwLock;
use pricing::Compared;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use super::credits::CreditsVec;

/// The label of a plugin that is asked no more, for the calls that it quoted before.
const OTHER: &str = "(other)";
const RESULTS: [&str; 3] = ["priced", "declined", "fault"];

/// What is counted by plugin, and of the shadow.
pub(super) struct Versions {
    /// Those asked now, by hash, each as `name@version`.
    live: RwLock<HashMap<String, String>>,
    stage: IntGaugeVec,
    calls: IntCounterVec,
    credits: CreditsVec,
    shadow_calls: IntCounterVec,
    shadow_credits: CreditsVec,
}

impl Versions {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let stage = Opts::new("gateway_plugin_stage", "1 for each plugin that is asked now, by its stage");
        let calls = Opts::new("gateway_plugin_version_calls_total", "Calls of plugins asked now, by plugin and result");
        let credits = Opts::new("gateway_plugin_version_credits_total", "Credits charged by plugins asked now");
        let shadow_calls =
            Opts::new("gateway_plugin_shadow_calls_total", "Calls that the shadow was asked about, by result");
        let shadow_credits =
            Opts::new("gateway_plugin_shadow_credits_total", "Credits charged, and what the shadow would have charged");
        let versions = Self {
            live: RwLock::default(),
            stage: IntGaugeVec::new(stage, &["stage", "version", "sha256"])?,
            calls: IntCounterVec::new(calls, &["version", "sha256", "result"])?,
            credits: CreditsVec::new(credits, "sha256")?,
            shadow_calls: IntCounterVec::new(shadow_calls, &["result"])?,
            shadow_credits: CreditsVec::new(shadow_credits, "of")?,
        };
        registry.register(Box::new(versions.stage.clone()))?;
        registry.register(Box::new(versions.calls.clone()))?;
        registry.register(Box::new(versions.credits.clone()))?;
        registry.register(Box::new(versions.shadow_calls.clone()))?;
        registry.register(Box::new(versions.shadow_credits.clone()))?;
        Ok(versions)
    }

    /// Other plugins are asked from now on.
    pub(super) fn arranged(&self, live: &[(&'static str, &PluginIdentity)]) {
        let named = |plugin: &PluginIdentity| format!("{}@{}", plugin.name, plugin.version);
        let now: HashMap<String, String> =
            live.iter().map(|(_, plugin)| (plugin.sha256.clone(), named(plugin))).collect();
        let mut before = self.live.write();
        for (sha256, version) in before.iter().filter(|(sha256, _)| !now.contains_key(*sha256)) {
            for result in RESULTS {
                // It is there only where such a call came.
                let _ = self.calls.remove_label_values(&[version.as_str(), sha256.as_str(), result]);
            }
            self.credits.remove(sha256);
        }
        self.stage.reset();
        for (stage, plugin) in live {
            self.stage.with_label_values(&[stage, &*named(plugin), &*plugin.sha256]).set(1);
        }
        *before = now;
    }

    /// A plugin was asked.
    pub(super) fn called(&self, plugin: &PluginIdentity, fault: Option<&'static str>) {
        let result = match fault {
            None => "priced",
            Some("declined") => "declined",
            Some(_) => "fault",
        };
        let live = self.live.read();
        let (version, sha256) = match live.get(&plugin.sha256) {
            Some(version) => (version.as_str(), plugin.sha256.as_str()),
            None => (OTHER, OTHER),
        };
        self.calls.with_label_values(&[version, sha256, result]).inc();
    }

    /// A plugin's price was charged.
    pub(super) fn charged(&self, plugin: &PluginIdentity, credits: Credits) {
        let live = self.live.read();
        let sha256 = if live.contains_key(&plugin.sha256) { plugin.sha256.as_str() } else { OTHER };
        self.credits.add(sha256, credits);
    }

    /// The shadow was asked.
    pub(super) fn shadowed(&self, compared: Compared) {
        let result = match compared {
            Compared::Priced { charged, would_charge } => {
                self.shadow_credits.add("charged", charged);
                self.shadow_credits.add("would_charge", would_charge);
                match would_charge.cmp(&charged) {
                    std::cmp::Ordering::Equal => "same",
                    std::cmp::Ordering::Greater => "higher",
                    std::cmp::Ordering::Less => "lower",
                }
            }
            Compared::GivenBack => "given_back",
            Compared::Declined => "declined",
            Compared::Fault(_) => "fault",
            Compared::Dropped => "dropped",
        };
        self.shadow_calls.with_label_values(&[result]).inc();
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{Encoder as _, TextEncoder};

    use super::*;

    fn plugin(number: u32) -> PluginIdentity {
        PluginIdentity { name: "prices".into(), version: number.to_string(), sha256: format!("{number:064}") }
    }

    #[test]
    fn however_many_versions_come_and_go_the_labels_stay_those_of_the_live_ones() {
        let registry = Registry::new();
        let versions = Versions::new(&registry).unwrap();
        for number in 0..200 {
            let (active, canary) = (plugin(number), plugin(number + 1));
            versions.arranged(&[("active", &active), ("canary", &canary)]);
            for fault in [None, Some("declined"), Some("trap")] {
                versions.called(&active, fault);
                versions.called(&plugin(number.saturating_sub(9)), fault);
            }
            versions.charged(&active, Credits::from_micros(1_500_000));
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let of = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
        assert_eq!(of("gateway_plugin_stage{"), 2);
        assert_eq!(of("gateway_plugin_version_calls_total{"), 6, "{text}");
        assert!(of("gateway_plugin_version_credits_total{") <= 2, "{text}");
        assert!(text.contains(r#"result="priced",sha256="(other)",version="(other)"} 199"#), "{text}");
    }
}
