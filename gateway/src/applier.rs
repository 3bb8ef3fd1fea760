//! Moves usage events from the journal to the store, in batches, one transaction each. Events that cannot be applied now
//! stay in the journal: nothing is lost while the database is away.

use std::sync::Arc;
use std::time::Duration;

use journal::Journal;
use ledger::{InstanceId, LeaseStore, StoreError, UsageEvent, UsageStore};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::metrics::Metrics;

/// Events a transaction, at most.
const BATCH_EVENTS_MAX: u16 = 500;
/// The wait after a failed transaction: doubled each time, up to the longest.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(5);

/// How long the first event of a batch waits for others: a transaction costs about the same for one as for a hundred. Our own
/// reports do not wait: they hurry the batch.
const LINGER: Duration = Duration::from_millis(200);
/// The same beside the journal, on one disk: what a transaction writes has to be synced, and holds up the journal's syncs
/// meanwhile. One that reads the database from outside still sees an event within a second.
const LINGER_ON_OUR_DISK: Duration = Duration::from_millis(400);
/// How often it is looked meanwhile whether a whole batch waits: the journal keeps only so many events in memory.
const LOOK: Duration = Duration::from_millis(25);

/// Where usage events go.
#[derive(Clone)]
pub(crate) enum Destination {
    /// To a store of which this gateway may spend all.
    Whole(Arc<dyn UsageStore>),
    /// To one in which their charges are taken from this instance's leases.
    Leased(Arc<dyn LeaseStore>, InstanceId),
}

impl Destination {
    fn linger(&self) -> Duration {
        match self {
            Self::Whole(_) => LINGER_ON_OUR_DISK,
            Self::Leased(..) => LINGER,
        }
    }

    async fn apply(&self, events: &[UsageEvent]) -> Result<u64, StoreError> {
        match self {
            Self::Whole(store) => store.apply(events).await,
            Self::Leased(store, instance) => store.apply_leased(*instance, events).await,
        }
    }

    async fn persist(&self) -> Result<(), StoreError> {
        match self {
            Self::Whole(store) => store.persist().await,
            // Leases are granted by databases whose transactions last.
            Self::Leased(..) => Ok(()),
        }
    }
}

/// How long applied events stay in the journal too, at most, because the store may lose them in a power cut. The journal's
/// syncs wait for this one on most disks: the more there is to persist, the longer. At 1 000 calls a second their p99 was
/// 19 to 32 ms with 5 s, and 8 to 10 ms with one.
const PERSIST_EVERY: Duration = Duration::from_secs(1);
/// How many of them, at most: some 50 MB of journal.
const PERSIST_EVENTS_MAX: u64 = 20_000;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What was applied and not persisted.
struct Pending {
    events: u64,
    due: Instant,
}

impl Pending {
    fn none() -> Self {
        Self { events: 0, due: Instant::now() + PERSIST_EVERY }
    }

    fn is_due(&self) -> bool {
        self.events >= PERSIST_EVENTS_MAX || (self.events > 0 && Instant::now() >= self.due)
    }
}

/// Applies events for ever, at once where somebody waits for them (`hurry`), and persists them now and then. Ends only when
/// its task is dropped; what was not applied or not persisted is in the journal.
///
/// `failures` counts what failed, for whoever has to know whether it is of use to wait.
pub(crate) async fn run(
    journal: Journal,
    store: Destination,
    metrics: Arc<Metrics>,
    hurry: Arc<Notify>,
    failures: watch::Sender<u64>,
) {
    let mut wait = RETRY_FIRST;
    let mut pending = Pending::none();
    loop {
        match step(&journal, &store, &hurry, &mut pending).await {
            Ok(applied) => {
                metrics.applied(applied);
                wait = RETRY_FIRST;
            }
            Err(error) => {
                tracing::error!(error = %error, source = ?error.source(), retry_in_ms = wait.as_millis(), "usage events wait in the journal");
                failures.send_modify(|failures| *failures = failures.saturating_add(1));
                // Whoever waits for a report has it tried again at once.
                let _ = timeout(wait, hurry.notified()).await;
                wait = wait.saturating_mul(2).min(RETRY_LONGEST);
            }
        }
    }
}

/// Waits for events and applies a batch, or persists what was applied; answers how many were applied.
async fn step(journal: &Journal, store: &Destination, hurry: &Notify, pending: &mut Pending) -> Result<u64, Failure> {
    if pending.is_due() {
        persist(journal, store).await?;
        *pending = Pending::none();
    }
    // Where nothing was applied, there is nothing to persist either, however long the wait.
    let first = async {
        match pending.events {
            0 => Ok(journal.unapplied(1).await),
            _ => timeout_at(pending.due, journal.unapplied(1)).await,
        }
    };
    let Ok(first) = first.await else { return Ok(0) };
    first?;
    // Where a whole batch waits already, nobody waits for more.
    let until = Instant::now() + store.linger();
    while journal.stats().unapplied < BATCH_EVENTS_MAX.into() && Instant::now() < until {
        // Whoever came to hurry before there was anything is served with what there is now.
        if timeout(LOOK, hurry.notified()).await.is_ok() {
            break;
        }
    }
    if pending.events == 0 {
        pending.due = Instant::now() + PERSIST_EVERY;
    }
    let applied = apply_next(journal, store).await?;
    pending.events = pending.events.saturating_add(applied);
    Ok(applied)
}

/// Applies what an earlier life of this gateway left in the journal, before the first call is taken.
pub(crate) async fn replay(journal: &Journal, store: &Destination) -> Result<u64, Failure> {
    let mut replayed: u64 = 0;
    while journal.stats().unapplied > 0 {
        replayed = replayed.saturating_add(apply_next(journal, store).await?);
    }
    if replayed > 0 {
        persist(journal, store).await?;
    }
    Ok(replayed)
}

/// Has the store persist what it was given, and the journal forget it.
pub(crate) async fn persist(journal: &Journal, store: &Destination) -> Result<(), Failure> {
    let taken = journal.taken_so_far();
    store.persist().await?;
    journal.persisted(taken).await?;
    Ok(())
}

async fn apply_next(journal: &Journal, store: &Destination) -> Result<u64, Failure> {
    let batch = journal.unapplied(BATCH_EVENTS_MAX.into()).await?;
    store.apply(&batch.events).await?;
    journal.taken(&batch);
    Ok(u64::try_from(batch.events.len()).unwrap_or(u64::MAX))
}
