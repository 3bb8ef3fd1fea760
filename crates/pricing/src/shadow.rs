//! The shadow: a plugin that is asked what settled calls would have cost, and charges nothing. It works behind the
//! calls, in a thread of its own, on a bounded queue; what does not fit is counted and left out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::time::{Duration, Instant};

use ledger::{
    Credits, EventDefinition, EventType, OrganizationId, PlanName, PluginIdentity, Signals, Timestamp, UsageEventId,
};
use parking_lot::Mutex;
use serde::Serialize;

use crate::error::PricingError;
use crate::lineup::Observer;
use crate::plugin::{Call, CallOutcome, Plugin};

/// The largest differences that are shown.
const LARGEST_MAX: usize = 20;
/// Event types that are added up apart; configuration names fewer.
const EVENT_TYPES_MAX: usize = 200;
/// A call that took longer is followed by a rest as long as it: a slow shadow has at most half a core.
const SLOW: Duration = Duration::from_millis(1);

/// A call that was settled, as the shadow is asked about it.
#[derive(Clone, Debug)]
pub struct ShadowCall {
    /// Its event.
    pub event: UsageEventId,
    /// Who called.
    pub organization: OrganizationId,
    /// The kind of call.
    pub definition: Arc<EventDefinition>,
    /// The organisation's plan.
    pub plan: PlanName,
    /// What is known of the request.
    pub signals: Signals,
    /// How it ended.
    pub outcome: CallOutcome,
    /// What it was charged; `None` where it was given back.
    pub charged: Option<Credits>,
}

/// What came of asking the shadow about one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// It would have cost this in place of that.
    Priced {
        /// What it was charged.
        charged: Credits,
        /// What the shadow would have charged.
        would_charge: Credits,
    },
    /// It has a price for it, but the call was given back and costs nothing by any plugin.
    GivenBack,
    /// The shadow declines such calls.
    Declined,
    /// The shadow failed, by this cause.
    Fault(&'static str),
    /// The queue was full.
    Dropped,
}

/// What the shadow would have charged, all together, since it became the shadow of this gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShadowFigures {
    /// Calls that it priced, without those that were given back.
    pub priced: u64,
    /// Of them, calls at the same price.
    pub same: u64,
    /// Calls that would have cost more.
    pub higher: u64,
    /// Calls that would have cost less.
    pub lower: u64,
    /// Calls that it declines.
    pub declined: u64,
    /// Calls on which it failed, by cause.
    pub faults: BTreeMap<&'static str, u64>,
    /// Calls that it was not asked about, because too many came at once.
    pub dropped: u64,
    /// Σ what the priced calls were charged.
    pub charged: Credits,
    /// Σ what it would have charged.
    pub would_charge: Credits,
    /// The same by event type.
    pub by_event_type: BTreeMap<EventType, TypeFigures>,
    /// The calls that differ most.
    pub largest: Vec<LargeDifference>,
}

/// The sums of one event type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TypeFigures {
    /// Calls that were priced.
    pub priced: u64,
    /// Σ what they were charged.
    pub charged: Credits,
    /// Σ what they would have been charged.
    pub would_charge: Credits,
}

/// A call that would have cost something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LargeDifference {
    /// Its event.
    pub usage_event_id: UsageEventId,
    /// Who called.
    pub organization_id: OrganizationId,
    /// What was called.
    pub event_type: EventType,
    /// What it was charged.
    pub charged: Credits,
    /// What it would have been charged.
    pub would_charge: Credits,
}

/// The shadow of a gateway.
pub struct Shadow {
    plugin: Arc<Plugin>,
    since: Timestamp,
    queue: SyncSender<ShadowCall>,
    figures: Arc<Mutex<ShadowFigures>>,
    observer: Arc<dyn Observer>,
}

impl Shadow {
    /// Begins. Its thread ends when the shadow is dropped, after the call that it is at.
    pub(crate) fn start(
        plugin: Arc<Plugin>,
        observer: Arc<dyn Observer>,
        since: Timestamp,
        queue_max: usize,
    ) -> std::io::Result<Self> {
        let (queue, calls) = mpsc::sync_channel::<ShadowCall>(queue_max);
        let figures = Arc::new(Mutex::new(ShadowFigures::default()));
        let shadow = Self {
            plugin: Arc::clone(&plugin),
            since,
            queue,
            figures: Arc::clone(&figures),
            observer: Arc::clone(&observer),
        };
        let worker = std::thread::Builder::new().name("pricing-shadow".to_owned());
        worker.spawn(move || {
            for call in calls {
                let started = Instant::now();
                let compared = compare(&plugin, &call);
                let took = started.elapsed();
                observer.shadowed(compared);
                figures.lock().note(&call, compared);
                if took > SLOW {
                    std::thread::sleep(took);
                }
            }
        })?;
        Ok(shadow)
    }

    /// Asks about a call, later. It never waits.
    pub fn offer(&self, call: ShadowCall) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.queue.try_send(call) {
            self.figures.lock().dropped += 1;
            self.observer.shadowed(Compared::Dropped);
        }
    }

    /// Name, version and hash.
    pub fn identity(&self) -> &Arc<PluginIdentity> {
        self.plugin.identity()
    }

    pub(crate) fn since(&self) -> Timestamp {
        self.since
    }

    pub(crate) fn figures(&self) -> ShadowFigures {
        self.figures.lock().clone()
    }
}

/// What the shadow makes of a call. A call that was given back costs nothing by any plugin; it is asked for its quote all
/// the same, to see whether it can.
fn compare(plugin: &Plugin, call: &ShadowCall) -> Compared {
    let asked = Call { definition: &call.definition, plan: &call.plan, signals: &call.signals };
    let priced = plugin.quote(&asked).and_then(|quote| match call.charged {
        None => Ok(Compared::GivenBack),
        Some(charged) if plugin.settles_at_quote() => Ok(Compared::Priced { charged, would_charge: quote.credits }),
        Some(charged) => {
            let settled = plugin.settle(&asked, &quote, &call.outcome);
            settled.map(|settled| Compared::Priced { charged, would_charge: settled.quote.credits })
        }
    });
    match priced {
        Ok(compared) => compared,
        Err(PricingError::Refused(_)) => Compared::Declined,
        Err(fault) => Compared::Fault(fault.cause()),
    }
}

impl ShadowFigures {
    fn note(&mut self, call: &ShadowCall, compared: Compared) {
        match compared {
            Compared::Declined => self.declined += 1,
            Compared::Dropped => self.dropped += 1,
            Compared::Fault(cause) => *self.faults.entry(cause).or_default() += 1,
            Compared::GivenBack => {}
            Compared::Priced { charged, would_charge } => {
                self.priced += 1;
                *match would_charge.cmp(&charged) {
                    std::cmp::Ordering::Equal => &mut self.same,
                    std::cmp::Ordering::Greater => &mut self.higher,
                    std::cmp::Ordering::Less => &mut self.lower,
                } += 1;
                self.charged = self.charged.saturating_add(charged);
                self.would_charge = self.would_charge.saturating_add(would_charge);
                self.note_type(&call.definition.event_type, charged, would_charge);
                self.note_difference(call, charged, would_charge);
            }
        }
    }

    fn note_type(&mut self, event_type: &EventType, charged: Credits, would_charge: Credits) {
        if self.by_event_type.len() >= EVENT_TYPES_MAX && !self.by_event_type.contains_key(event_type) {
            return;
        }
        let figures = self.by_event_type.entry(event_type.clone()).or_default();
        figures.priced += 1;
        figures.charged = figures.charged.saturating_add(charged);
        figures.would_charge = figures.would_charge.saturating_add(would_charge);
    }

    fn note_difference(&mut self, call: &ShadowCall, charged: Credits, would_charge: Credits) {
        let size = |charged: Credits, would: Credits| would.saturating_sub(charged).micros().unsigned_abs();
        let (ours, least) = (size(charged, would_charge), self.largest.last());
        let is_large = least.is_none_or(|least| size(least.charged, least.would_charge) < ours);
        if ours == 0 || (self.largest.len() >= LARGEST_MAX && !is_large) {
            return;
        }
        let place = self.largest.partition_point(|other| size(other.charged, other.would_charge) >= ours);
        let difference = LargeDifference {
            usage_event_id: call.event,
            organization_id: call.organization.clone(),
            event_type: call.definition.event_type.clone(),
            charged,
            would_charge,
        };
        self.largest.insert(place, difference);
        self.largest.truncate(LARGEST_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(charged: Option<i64>) -> ShadowCall {
        let definition = EventDefinition {
            event_type: "image".parse().unwrap(),
            name: String::new(),
            category: String::new(),
            base_credits: Credits::ZERO,
            complexity: None,
            features: BTreeMap::new(),
            version: 1,
        };
        ShadowCall {
            event: UsageEventId::new(Timestamp::from_millis(1)),
            organization: "acme".parse().unwrap(),
            definition: Arc::new(definition),
            plan: "free".parse().unwrap(),
            signals: Signals::default(),
            outcome: CallOutcome::default(),
            charged: charged.map(Credits::from_micros),
        }
    }

    #[test]
    fn figures_add_up_and_keep_the_largest_differences_only() {
        let mut figures = ShadowFigures::default();
        let price = |charged, would| Compared::Priced {
            charged: Credits::from_micros(charged),
            would_charge: Credits::from_micros(would),
        };
        for would in 0..60 {
            figures.note(&call(Some(30)), price(30, would));
        }
        figures.note(&call(None), Compared::GivenBack);
        figures.note(&call(Some(1)), Compared::Declined);
        figures.note(&call(Some(1)), Compared::Fault("trap"));
        assert_eq!((figures.priced, figures.lower, figures.same, figures.higher), (60, 30, 1, 29));
        assert_eq!((figures.charged.micros(), figures.would_charge.micros()), (1_800, 1_770));
        assert_eq!((figures.declined, figures.faults["trap"]), (1, 1));
        let by_type = figures.by_event_type.values().next().unwrap();
        assert_eq!((by_type.priced, by_type.would_charge), (60, figures.would_charge));
        let sizes: Vec<_> = figures.largest.iter().map(|one| (one.would_charge.micros() - 30).abs()).collect();
        assert_eq!((sizes.len(), sizes[0], sizes[LARGEST_MAX - 1]), (LARGEST_MAX, 30, 20));
        assert!(sizes.is_sorted_by(|one, other| one >= other), "{sizes:?}");
    }
}
