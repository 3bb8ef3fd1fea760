//! A plugin that is asked for prices, together with who counts its calls and whether it fails too often.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use ledger::PluginIdentity;
use parking_lot::Mutex;

use crate::error::PricingError;
use crate::lineup::Observer;
use crate::options::Options;
use crate::plugin::{Call, CallOutcome, Plugin, Quote, Settled};

/// Calls after which the rate of faults is counted anew, so that a plugin that breaks late is noticed as soon as one that
/// breaks early.
const WINDOW_CALLS: u64 = 1_000;

/// A plugin together with who counts its calls: what a call keeps from its quote to its settlement.
pub struct Active {
    plugin: Arc<Plugin>,
    observer: Arc<dyn Observer>,
    health: Health,
    /// Calls that failed, by cause.
    faults: Mutex<BTreeMap<&'static str, u64>>,
}

/// How often a plugin failed lately.
#[derive(Debug)]
struct Health {
    calls: AtomicU64,
    faults: AtomicU64,
    all_calls: AtomicU64,
    /// In parts of 10 000.
    faults_max: u64,
    calls_min: u64,
    failing: AtomicBool,
}

impl Active {
    pub(crate) fn new(plugin: Arc<Plugin>, observer: Arc<dyn Observer>, options: &Options) -> Self {
        Self { plugin, observer, health: Health::new(options), faults: Mutex::default() }
    }

    /// Name, version and hash.
    pub fn identity(&self) -> &Arc<PluginIdentity> {
        self.plugin.identity()
    }

    /// See [`Plugin::settles_at_quote`].
    pub fn settles_at_quote(&self) -> bool {
        self.plugin.settles_at_quote()
    }

    /// See [`Plugin::prices`].
    pub fn prices(&self, event_type: &ledger::EventType) -> bool {
        self.plugin.prices(event_type)
    }

    /// See [`Plugin::quote`].
    pub fn quote(&self, call: &Call<'_>) -> Result<Quote, PricingError> {
        self.observed("quote", || self.plugin.quote(call))
    }

    /// See [`Plugin::settle`].
    pub fn settle(&self, call: &Call<'_>, quote: &Quote, outcome: &CallOutcome) -> Result<Settled, PricingError> {
        self.observed("settle", || self.plugin.settle(call, quote, outcome))
    }

    /// Whether it failed more often than a canary may.
    pub(crate) fn is_failing(&self) -> bool {
        self.health.failing.load(Ordering::Relaxed)
    }

    /// Calls and faults since it began.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.health.all_calls.load(Ordering::Relaxed), self.faults.lock().values().sum())
    }

    /// Calls that failed since it began, by cause.
    pub(crate) fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.faults.lock().clone()
    }

    fn observed<T>(
        &self,
        function: &'static str,
        ask: impl FnOnce() -> Result<T, PricingError>,
    ) -> Result<T, PricingError> {
        let started = Instant::now();
        let answered = ask();
        let error = answered.as_ref().err();
        let fault = error.filter(|error| error.is_fault());
        self.health.note(fault.is_some());
        if let Some(fault) = fault {
            *self.faults.lock().entry(fault.cause()).or_default() += 1;
        }
        self.observer.called(self.plugin.identity(), function, started.elapsed(), error.map(PricingError::cause));
        answered
    }
}

impl Health {
    fn new(options: &Options) -> Self {
        Self {
            calls: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            all_calls: AtomicU64::new(0),
            faults_max: u64::from(options.canary_faults_max),
            calls_min: options.canary_calls_min,
            failing: AtomicBool::new(false),
        }
    }

    /// Notes a call. The numbers of calls at once may be off by these calls: a rate needs no better.
    fn note(&self, is_fault: bool) {
        self.all_calls.fetch_add(1, Ordering::Relaxed);
        let calls = self.calls.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if is_fault {
            let faults = self.faults.fetch_add(1, Ordering::Relaxed).saturating_add(1);
            if faults.saturating_mul(10_000) > self.faults_max.saturating_mul(calls.max(self.calls_min)) {
                self.failing.store(true, Ordering::Relaxed);
            }
        }
        if calls >= WINDOW_CALLS {
            self.calls.store(0, Ordering::Relaxed);
            self.faults.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `faults` of `calls`, the faults last, are too many.
    fn fails(faults_max: u16, calls_min: u64, faults: u64, calls: u64) -> bool {
        let options = Options { canary_faults_max: faults_max, canary_calls_min: calls_min, ..Options::new("-") };
        let health = Health::new(&options);
        (0..calls).for_each(|call| health.note(call >= calls - faults));
        health.failing.load(Ordering::Relaxed)
    }

    #[test]
    fn a_rate_of_faults_at_its_limit_stands_and_one_fault_more_does_not() {
        for (faults_max, calls_min, faults, calls, want) in [
            (100, 100, 1, 1, false),
            (100, 100, 2, 2, true),
            (100, 100, 2, 200, false),
            (100, 100, 3, 200, true),
            (0, 100, 0, 500, false),
            (0, 100, 1, 500, true),
            (10_000, 1, 500, 500, false),
            (100, 100, 9, 999, false),
            (100, 100, 10, 999, true),
        ] {
            assert_eq!(fails(faults_max, calls_min, faults, calls), want, "{faults} of {calls}");
        }
        assert!(fails(100, 100, 2, 50_002), "one that breaks late is noticed at once");
    }
}
