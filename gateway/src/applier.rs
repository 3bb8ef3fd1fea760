//! Moves usage events from the journal to the store, in batches, one transaction each. Events that cannot be applied now
//! stay in the journal: nothing is lost while the database is away.

use std::sync::Arc;
use std::time::Duration;

use journal::Journal;
use ledger::{InstanceId, LeaseStore, StoreError, UsageEvent, UsageStore};
use tokio::sync::Notify;

use crate::metrics::Metrics;

/// Events a transaction, at most.
const BATCH_EVENTS_MAX: u16 = 500;
/// The wait after a failed transaction: doubled each time, up to the longest.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(5);

/// How long the first event of a batch waits for others: a transaction costs about the same for one as for a hundred, and
/// its sync disturbs the journal's. Our own reports do not wait: they hurry the batch.
const LINGER: Duration = Duration::from_millis(200);

/// Where usage events go.
#[derive(Clone)]
pub(crate) enum Destination {
    /// To a store of which this gateway may spend all.
    Whole(Arc<dyn UsageStore>),
    /// To one in which their charges are taken from this instance's leases.
    Leased(Arc<dyn LeaseStore>, InstanceId),
}

impl Destination {
    async fn apply(&self, events: &[UsageEvent]) -> Result<u64, StoreError> {
        match self {
            Self::Whole(store) => store.apply(events).await,
            Self::Leased(store, instance) => store.apply_leased(*instance, events).await,
        }
    }
}

/// Applies events for ever, at once where somebody waits for them (`hurry`). Ends only when its task is dropped; what was not applied is in the journal.
pub(crate) async fn run(journal: Journal, store: Destination, metrics: Arc<Metrics>, hurry: Arc<Notify>) {
    let mut wait = RETRY_FIRST;
    loop {
        let first = journal.unapplied(1).await.map(drop);
        // Where a whole batch waits already, nobody waits for more.
        if journal.stats().unapplied < BATCH_EVENTS_MAX.into() {
            // Whoever came to hurry before there was anything is served with what there is now.
            let _ = tokio::time::timeout(LINGER, hurry.notified()).await;
        }
        let applied = match first {
            Ok(()) => apply_next(&journal, &store).await,
            Err(closed) => Err(closed.into()),
        };
        match applied {
            Ok(applied) => {
                metrics.applied(applied);
                wait = RETRY_FIRST;
            }
            Err(error) => {
                tracing::error!(error = %error, source = ?error.source(), retry_in_ms = wait.as_millis(), "usage events wait in the journal");
                // Whoever waits for a report has it tried again at once.
                let _ = tokio::time::timeout(wait, hurry.notified()).await;
                wait = wait.saturating_mul(2).min(RETRY_LONGEST);
            }
        }
    }
}

/// Applies what an earlier life of this gateway left in the journal, before the first call is taken.
pub(crate) async fn replay(
    journal: &Journal,
    store: &Destination,
) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
    let mut replayed: u64 = 0;
    while journal.stats().unapplied > 0 {
        replayed = replayed.saturating_add(apply_next(journal, store).await?);
    }
    Ok(replayed)
}

async fn apply_next(journal: &Journal, store: &Destination) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
    let batch = journal.unapplied(BATCH_EVENTS_MAX.into()).await?;
    store.apply(&batch.events).await?;
    journal.applied(&batch).await?;
    Ok(u64::try_from(batch.events.len()).unwrap_or(u64::MAX))
}
