//! What Prometheus scrapes. Every label is bounded: a configured route, a known method, a code of ours; never an
//! organisation, a user or a raw path.

mod credits;
mod versions;

use std::sync::Arc;
use std::time::Duration;

use ledger::{Timestamp, UsageEvent};
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::call::Call;

use credits::CreditsVec;
use versions::Versions;

/// Buckets in seconds, from 50 µs (our own work) to two minutes (a slow model).
const BUCKETS_S: [f64; 18] = [
    0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0,
    120.0,
];
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// Every metric, and the registry that shows them.
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    added_latency: HistogramVec,
    backend_latency: HistogramVec,
    refusals: IntCounterVec,
    credits_captured: CreditsVec,
    events: IntCounterVec,
    holds_open: IntGauge,
    journal_unapplied: IntGauge,
    journal_lag: prometheus::Gauge,
    journal_queue: IntGauge,
    journal_bytes: IntGauge,
    journal_sync: Histogram,
    journal_sync_records: Histogram,
    journal_failures: IntCounter,
    journal_set_aside: IntCounter,
    applied: IntCounter,
    plugin_calls: HistogramVec,
    plugin_faults: IntCounterVec,
    plugin_active: IntGaugeVec,
    plugin_loads: IntCounter,
    plugin_rejections: IntCounterVec,
    versions: Versions,
    reloads: IntCounterVec,
    idempotency: IntCounterVec,
    backend_closed: IntCounterVec,
    addresses_out: IntGauge,
    turned_away: IntCounter,
    routes: Names,
}

struct Names {
    own: Arc<str>,
    unmetered: Arc<str>,
    unknown: Arc<str>,
}

/// Makes a family and registers it.
macro_rules! register {
    ($registry:expr, $family:expr) => {{
        let family = $family?;
        $registry.register(Box::new(family.clone()))?;
        family
    }};
}

impl Metrics {
    /// All families, at zero.
    pub(crate) fn new() -> prometheus::Result<Arc<Self>> {
        let r = Registry::new();
        let total = |name: &str, help: &str| IntCounter::new(name, help);
        let seconds = |name: &str, help: &str| HistogramOpts::new(name, help).buckets(BUCKETS_S.to_vec());
        let in_seconds = |name: &str, help: &str, labels: &[&str]| HistogramVec::new(seconds(name, help), labels);
        let count = |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let group = HistogramOpts::new("gateway_journal_sync_records", "Records that one sync made durable")
            .buckets(vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0]);
        let request_labels = ["route", "method", "status", "outcome"];
        let credits = Opts::new("gateway_credits_captured_total", "Credits charged, by event type");
        let active = Opts::new("gateway_plugin_active", "1 for the pricing plugin that sets prices now");
        Ok(Arc::new(Self {
            requests: register!(
                r,
                count(
                    "gateway_requests_total",
                    "Requests, by route, method, status class and outcome",
                    &request_labels
                )
            ),
            added_latency: register!(
                r,
                in_seconds("gateway_added_latency_seconds", "Time in the gateway, the backend's left out", &["route"])
            ),
            backend_latency: register!(
                r,
                in_seconds(
                    "gateway_backend_latency_seconds",
                    "Time spent waiting for the backend on metered routes",
                    &["route"]
                )
            ),
            refusals: register!(r, count("gateway_refusals_total", "Answers that were refusals, by code", &["code"])),
            credits_captured: register!(r, CreditsVec::new(credits, "event_type")),
            events: register!(
                r,
                count("gateway_usage_events_total", "Usage events, by type and outcome", &["event_type", "outcome"])
            ),
            holds_open: register!(r, IntGauge::new("gateway_holds_open", "Holds of calls on their way")),
            journal_unapplied: register!(
                r,
                IntGauge::new(
                    "gateway_journal_unapplied_events",
                    "Events in the journal that are not in the store yet"
                )
            ),
            journal_lag: register!(
                r,
                prometheus::Gauge::new(
                    "gateway_journal_lag_seconds",
                    "Age of the oldest event that is not in the store yet"
                )
            ),
            journal_queue: register!(
                r,
                IntGauge::new("gateway_journal_queue_records", "Records waiting to be written")
            ),
            journal_bytes: register!(r, IntGauge::new("gateway_journal_bytes", "Size of the journal on disk")),
            journal_sync: register!(
                r,
                Histogram::with_opts(seconds("gateway_journal_sync_seconds", "Time that a sync of the journal takes"))
            ),
            journal_sync_records: register!(r, Histogram::with_opts(group)),
            journal_failures: register!(
                r,
                total("gateway_journal_failures_total", "Writes or syncs of the journal that failed")
            ),
            journal_set_aside: register!(
                r,
                total("gateway_journal_set_aside_total", "Damaged records that were in the journal")
            ),
            applied: register!(r, total("gateway_events_applied_total", "Events moved from the journal to the store")),
            plugin_calls: register!(
                r,
                in_seconds("gateway_plugin_call_seconds", "Calls of the pricing plugin, by function", &["function"])
            ),
            plugin_faults: register!(
                r,
                count("gateway_plugin_faults_total", "Calls of the pricing plugin that failed, by cause", &["cause"])
            ),
            plugin_active: register!(r, IntGaugeVec::new(active, &["name", "version", "sha256"])),
            plugin_loads: register!(r, total("gateway_plugin_loads_total", "Pricing plugins that became active")),
            plugin_rejections: register!(
                r,
                count("gateway_plugin_rejections_total", "Plugin files that were rejected, by cause", &["cause"])
            ),
            versions: Versions::new(&r)?,
            turned_away: register!(r, IntCounter::new("gateway_connections_turned_away_total", "Connections too many")),
            reloads: register!(
                r,
                count("gateway_configuration_reloads_total", "Reloads of the configuration, by result", &["result"])
            ),
            idempotency: repeats(&r)?,
            backend_closed: backend_closed(&r)?,
            addresses_out: addresses_out(&r)?,
            routes: Names { own: "(usage api)".into(), unmetered: "(unmetered)".into(), unknown: "(refused)".into() },
            registry: r,
        }))
    }

    /// The route label of the admin API's paths.
    pub(crate) fn own_route(&self) -> Arc<str> {
        Arc::clone(&self.routes.own)
    }

    /// The route label of everything that passes through.
    pub(crate) fn unmetered_route(&self) -> Arc<str> {
        Arc::clone(&self.routes.unmetered)
    }

    /// The route label of a request whose path could not be read.
    pub(crate) fn unknown_route(&self) -> Arc<str> {
        Arc::clone(&self.routes.unknown)
    }

    /// A request has ended.
    pub(crate) fn request(&self, method: &str, call: &Call, status: u16, took: Duration) {
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
        let class = match status / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            5 => "5xx",
            _ => "none",
        };
        let outcome = match (call.refused, call.charge) {
            (Some(_), _) => "refused",
            (None, Some(charge)) => charge.outcome.as_str(),
            (None, None) if call.repeated => "repeated",
            (None, None) => "passed",
        };
        self.requests.with_label_values(&[&*call.route, method, class, outcome]).inc();
        if let Some(code) = call.refused {
            self.refusals.with_label_values(&[code]).inc();
        }
        if call.charge.is_some() {
            self.added_latency
                .with_label_values(&[&*call.route])
                .observe(took.saturating_sub(call.backend).as_secs_f64());
            self.backend_latency.with_label_values(&[&*call.route]).observe(call.backend.as_secs_f64());
        }
    }

    /// A hold was settled.
    pub(crate) fn settled(&self, event: &UsageEvent) {
        let event_type = event.event_type.as_str();
        self.credits_captured.add(event_type, event.credits);
        self.versions.charged(&event.plugin, event.credits);
        self.events.with_label_values(&[event_type, event.outcome.as_str()]).inc();
    }

    /// Damaged records of the journal were set aside.
    pub(crate) fn set_aside(&self, records: usize) {
        self.journal_set_aside.inc_by(u64::try_from(records).unwrap_or(u64::MAX));
    }

    /// Events reached the store.
    pub(crate) fn applied(&self, events: u64) {
        self.applied.inc_by(events);
    }

    /// The configuration was reloaded, or refused.
    pub(crate) fn reloaded(&self, taken: bool) {
        self.reloads.with_label_values(&[if taken { "taken" } else { "refused" }]).inc();
    }

    /// A call that carries a key: the first of it, a repeat, or the code of a refusal.
    pub(crate) fn repeated(&self, result: &'static str) {
        self.idempotency.with_label_values(&[result]).inc();
    }

    /// A connection was closed because there were too many.
    pub(crate) fn turned_away(&self) {
        self.turned_away.inc();
    }

    /// Gauges, as they are now.
    pub(crate) fn sample(&self, holds_open: u64, journal: &journal::Stats, closed: (u64, u64), now: Timestamp) {
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.holds_open.set(gauge(holds_open));
        self.journal_unapplied.set(gauge(journal.unapplied));
        self.journal_queue.set(gauge(journal.queue));
        self.journal_bytes.set(gauge(journal.bytes));
        let age_ms = journal.oldest_unapplied.map_or(0, |oldest| now.millis().saturating_sub(oldest.millis()).max(0));
        let age = Duration::from_millis(u64::try_from(age_ms).unwrap_or(0));
        self.journal_lag.set(age.as_secs_f64());
        for (found, count) in [("before_use", closed.0), ("in_use", closed.1)] {
            let counter = self.backend_closed.with_label_values(&[found]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }

    /// How many addresses of the backend are left out.
    pub(crate) fn addresses_out(&self, out: usize) {
        self.addresses_out.set(i64::try_from(out).unwrap_or(i64::MAX));
    }

    /// The text that Prometheus reads.
    pub(crate) fn render(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics cannot be rendered");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// What became of calls that carry a key.
fn repeats(registry: &Registry) -> prometheus::Result<IntCounterVec> {
    let help = "Metered calls with an Idempotency-Key, by what became of them";
    Ok(register!(registry, IntCounterVec::new(Opts::new("gateway_idempotency_total", help), &["result"])))
}

/// Addresses of the backend that are left out.
fn addresses_out(registry: &Registry) -> prometheus::Result<IntGauge> {
    let help = "Addresses of the backend that calls do not go to for now";
    Ok(register!(registry, IntGauge::new("gateway_backend_addresses_out", help)))
}

/// Kept connections that the backend closed before we did.
fn backend_closed(registry: &Registry) -> prometheus::Result<IntCounterVec> {
    let help =
        "Kept connections that the backend closed, by when that was found; keep upstream.idle_timeout below its own";
    let family = IntCounterVec::new(Opts::new("gateway_backend_connections_closed_total", help), &["found"]);
    Ok(register!(registry, family))
}

impl journal::Observer for Metrics {
    fn synced(&self, records: usize, took: Duration) {
        self.journal_sync.observe(took.as_secs_f64());
        self.journal_sync_records.observe(f64::from(u32::try_from(records).unwrap_or(u32::MAX)));
    }

    fn failed(&self) {
        self.journal_failures.inc();
    }
}

impl pricing::Observer for Metrics {
    fn called(
        &self,
        plugin: &ledger::PluginIdentity,
        function: &'static str,
        took: Duration,
        fault: Option<&'static str>,
    ) {
        self.versions.called(plugin, fault);
        self.plugin_calls.with_label_values(&[function]).observe(took.as_secs_f64());
        if let Some(cause) = fault {
            self.plugin_faults.with_label_values(&[cause]).inc();
        }
    }

    fn loaded(&self, identity: &ledger::PluginIdentity) {
        self.plugin_loads.inc();
        self.plugin_active.reset();
        self.plugin_active.with_label_values(&[&identity.name, &identity.version, &identity.sha256]).set(1);
    }

    fn arranged(&self, live: &[(&'static str, &ledger::PluginIdentity)]) {
        self.versions.arranged(live);
    }

    fn shadowed(&self, compared: pricing::Compared) {
        self.versions.shadowed(compared);
    }

    fn rejected(&self, cause: &'static str) {
        self.plugin_rejections.with_label_values(&[cause]).inc();
    }
}
