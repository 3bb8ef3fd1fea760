//! The gateway's parts, shared by all calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use access::Authenticator;
use arc_swap::ArcSwap;
use journal::{Health, Journal};
use ledger::Clock;
use pricing::Pricing;

use crate::books::Books;
use crate::metrics::Metrics;
use crate::once::Once;
use crate::organizations::Organizations;
use crate::rollout::Follower;
use crate::room::Room;
use crate::rules::Rules;
use crate::upstream::Upstream;

/// Everything that a call needs.
pub(crate) struct Gateway {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rules: Arc<ArcSwap<Rules>>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) organizations: Arc<Organizations>,
    pub(crate) books: Arc<Books>,
    pub(crate) pricing: Arc<Pricing>,
    pub(crate) rollout: Arc<Follower>,
    pub(crate) journal: Journal,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) metrics: Arc<Metrics>,
    /// The admin API, for its paths on the gateway's own port.
    pub(crate) own: axum::Router,
    /// The keys of calls that may be sent more than once.
    pub(crate) once: Arc<Once>,
    /// For bodies that are coming, and for calls.
    pub(crate) room: Room,
    pub(crate) shutting_down: Arc<AtomicBool>,
}

impl Gateway {
    /// Whether new paid calls are turned away because the process is about to end.
    pub(crate) fn is_shutting_down(&self) -> bool {
        self.shutting_down.load(Ordering::Relaxed)
    }

    /// Whether paid calls are taken; if not, why.
    pub(crate) fn ready(&self) -> Result<(), &'static str> {
        match self.journal.health() {
            _ if self.is_shutting_down() => Err("shutting down"),
            Health::Accepting => Ok(()),
            Health::Refusing(why) => Err(why),
        }
    }
}
