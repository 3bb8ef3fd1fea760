//! What goes on beside the calls: changes made elsewhere, upkeep of the database, gauges. None of it may end by itself.

use std::sync::Arc;
use std::time::Duration;

use store::Store;

use crate::gateway::Gateway;

/// How often changes made by other processes are looked for.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);
/// How often gauges are read and old books closed.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// How often months are made ahead and dropped.
const MAINTAIN_EVERY: Duration = Duration::from_secs(15 * 60);

/// Follows what other processes change.
pub(crate) async fn follow_changes(gateway: Arc<Gateway>) {
    let mut ticks = tokio::time::interval(FOLLOW_EVERY);
    loop {
        ticks.tick().await;
        if let Err(error) = gateway.organizations.follow(&gateway.books, &gateway.rollout).await {
            tracing::warn!(%error, "changes made elsewhere cannot be read");
        }
    }
}

/// Makes months ahead and drops old ones.
pub(crate) async fn maintain(gateway: Arc<Gateway>, store: Arc<dyn Store>, keep_months: Option<u32>) {
    let mut ticks = tokio::time::interval(MAINTAIN_EVERY);
    loop {
        ticks.tick().await;
        match store.maintain(gateway.clock.now(), keep_months).await {
            Ok(done) => {
                for month in done.made {
                    tracing::info!(%month, "there is room for this month's usage events");
                }
                for month in done.dropped {
                    tracing::info!(%month, "usage events past retention are gone");
                }
            }
            Err(error) => {
                tracing::warn!(%error, source = ?std::error::Error::source(&error), "upkeep is tried again later");
            }
        }
    }
}

/// Reads gauges and closes old books.
pub(crate) async fn sample(gateway: Arc<Gateway>) {
    let mut ticks = tokio::time::interval(SAMPLE_EVERY);
    loop {
        ticks.tick().await;
        let now = gateway.clock.now();
        gateway.books.close_before(ledger::Period::of(now));
        let (closed, out) = (gateway.upstream.closed(), gateway.upstream.out());
        gateway.metrics.sample(gateway.books.holds_open(), &gateway.journal.stats(), closed, now);
        gateway.metrics.addresses_out(out);
    }
}
