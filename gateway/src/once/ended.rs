//! Keys whose call has ended without an answer to keep: set free, or noted as charged, in the background, and tried again
//! while the database is away. Keys past their end are cleaned away here too.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ledger::{CallKey, UsageEventId};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{MissedTickBehavior, interval};

use super::Once;
use super::line::Turn;

/// How often what failed is tried again.
const AGAIN_EVERY: Duration = Duration::from_secs(1);
/// How often keys past their end are deleted.
const CLEAN_EVERY: Duration = Duration::from_secs(30);
/// Keys that are deleted in one transaction.
const CLEANED_AT_ONCE: u32 = 500;
/// What may wait for the database, at most: what is forgotten is known by its event, or set free by the next life.
const WAITING_MAX: usize = 100_000;

/// A claim that is over.
pub(crate) struct Ended {
    pub(super) call: CallKey,
    pub(super) event: UsageEventId,
    pub(super) what: What,
    /// Those behind it go on once the database has been told.
    pub(super) turn: Option<Turn>,
}

/// What became of its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It was not charged.
    Free,
    /// It was charged; its answer is not kept.
    Dropped,
}

/// Tells the database of claims that are over. Ends only when its task is dropped.
pub(crate) async fn run(once: Arc<Once>, mut ended: UnboundedReceiver<Ended>) {
    let mut waiting: VecDeque<Ended> = VecDeque::new();
    let (mut again, mut clean) = (interval(AGAIN_EVERY), interval(CLEAN_EVERY));
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    clean.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some(mut claim) = ended.recv() => {
                let told = tell(&once, &claim).await;
                drop(claim.turn.take());
                if !told && waiting.len() < WAITING_MAX {
                    waiting.push_back(claim);
                }
            }
            _ = again.tick() => {
                while let Some(claim) = waiting.pop_front() {
                    if !tell(&once, &claim).await {
                        waiting.push_front(claim);
                        break;
                    }
                }
            }
            _ = clean.tick() => clean_away(&once).await,
        }
    }
}

async fn tell(once: &Once, claim: &Ended) -> bool {
    let told = match claim.what {
        What::Free => once.store.free_key(&claim.call, claim.event).await.map(drop),
        What::Dropped => {
            let until = once.clock.now().plus_millis(once.options.window_ms);
            once.store.keep_answer(&claim.call, claim.event, None, until, once.options.limits).await.map(drop)
        }
    };
    told.inspect_err(|error| tracing::warn!(%error, event = %claim.event, "an idempotency key is ended later")).is_ok()
}

async fn clean_away(once: &Once) {
    loop {
        match once.store.delete_ended_keys(once.clock.now(), CLEANED_AT_ONCE).await {
            Ok(deleted) if deleted >= u64::from(CLEANED_AT_ONCE) => {}
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%error, "idempotency keys past their end are deleted later");
                return;
            }
        }
    }
}
