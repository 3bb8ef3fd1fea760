//! The admin API inside the gateway: what it sees of live books, journal and plugins, and how its changes arrive at once.

use std::sync::Arc;
use std::time::Duration;

use admin_api::{Live, NotSetAside, PricingStatus};
use async_trait::async_trait;
use journal::Journal;
use ledger::{BookSnapshot, Changed, Credits, Hold, HoldRefused, Limit, OrganizationId, Period};
use pricing::Pricing;
use tokio::sync::Notify;

use crate::books::{Books, NotHeld};
use crate::organizations::Organizations;

/// How long a report waits for the newest events to reach the store. After it, it shows what is there.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(1);

/// The gateway as the admin API sees it.
pub(crate) struct Embedded {
    pub(crate) books: Arc<Books>,
    pub(crate) organizations: Arc<Organizations>,
    pub(crate) journal: Journal,
    /// Asks the applier not to wait for more events.
    pub(crate) hurry: Arc<Notify>,
}

#[async_trait]
impl Live for Embedded {
    async fn snapshot(&self, id: &OrganizationId, period: Period) -> Option<BookSnapshot> {
        if self.books.are_leased() {
            self.caught_up().await;
        }
        self.books.seen(id, period).await
    }

    async fn set_aside(
        &self,
        id: &OrganizationId,
        period: Period,
        amount: Credits,
        limit: Limit,
    ) -> Result<Option<Hold>, NotSetAside> {
        self.books.set_aside(id, period, amount, limit).await.map_err(|not_held| match not_held {
            NotHeld::Refused(HoldRefused::Credits { available, .. }) => NotSetAside::Remaining(available),
            NotHeld::Refused(_) => NotSetAside::OutOfRange,
            NotHeld::Unknown(error) => NotSetAside::Unknown(error),
        })
    }

    async fn caught_up(&self) {
        self.hurry.notify_one();
        if tokio::time::timeout(CAUGHT_UP_WITHIN, self.journal.caught_up()).await.is_err() {
            tracing::warn!("a report does not wait any longer for the newest events");
        }
    }

    async fn changed(&self, changed: &Changed) {
        for arrived in [self.organizations.changed(changed).await, self.books.changed(changed).await] {
            if let Err(error) = arrived {
                tracing::error!(%error, "a change arrives late");
            }
        }
    }
}

/// The plugins as the admin API shows them.
pub(crate) struct Plugins(pub(crate) Arc<Pricing>);

impl PricingStatus for Plugins {
    fn report(&self) -> serde_json::Value {
        serde_json::to_value(self.0.report()).unwrap_or_default()
    }
}
