//! A counter of credits that does not drift: whole micro-credits inside, divided once, when it is rendered.

use ledger::Credits;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, MetricFamily};
use prometheus::{IntCounterVec, Opts};

/// Micro-credits in a credit, as Prometheus divides.
const MICROS_PER_CREDIT: f64 = 1_000_000.0;

/// Credits, by one label.
#[derive(Clone)]
pub(super) struct CreditsVec(IntCounterVec);

impl CreditsVec {
    pub(super) fn new(opts: Opts, label: &str) -> prometheus::Result<Self> {
        IntCounterVec::new(opts, &[label]).map(Self)
    }

    /// Adds credits, which are never below zero.
    pub(super) fn add(&self, label: &str, credits: Credits) {
        self.0.with_label_values(&[label]).inc_by(u64::try_from(credits.micros()).unwrap_or(0));
    }
}

impl CreditsVec {
    /// Forgets a label.
    pub(super) fn remove(&self, label: &str) {
        // It is there only where something was added.
        let _ = self.0.remove_label_values(&[label]);
    }
}

impl Collector for CreditsVec {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.0.collect();
        for metric in families.iter_mut().flat_map(MetricFamily::mut_metric) {
            let mut in_credits = Counter::default();
            in_credits.set_value(metric.get_counter().get_value() / MICROS_PER_CREDIT);
            metric.set_counter(in_credits);
        }
        families
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_tenths_is_exact() {
        let credits = CreditsVec::new(Opts::new("credits", "Credits"), "event_type").unwrap();
        let shown = || credits.collect()[0].get_metric()[0].get_counter().get_value().to_string();
        for (micros, want) in
            [(100_000, "0.1"), (100_000, "0.2"), (100_000, "0.3"), (1, "0.300001"), (27_700_000, "28.000001")]
        {
            credits.add("a", Credits::from_micros(micros));
            assert_eq!(shown(), want);
        }
    }
}
