//! The admin API inside the gateway: what it sees of live books, journal and plugins, and how its changes arrive at once.

use std::sync::Arc;
use std::time::Duration;

use admin_api::{Live, PricingStatus};
use async_trait::async_trait;
use journal::Journal;
use ledger::{BookSnapshot, Changed, OrganizationId, Period};
use pricing::Pricing;
use tokio::sync::Notify;

use crate::books::Books;
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

    async fn caught_up(&self) {
        self.hurry.notify_one();
        if tokio::time::timeout(CAUGHT_UP_WITHIN, self.journal.caught_up()).await.is_err() {
            tracing::warn!("a report does not wait any longer for the newest events");
        }
    }

    async fn changed(&self, changed: &Changed) {
        if let Err(error) = self.organizations.changed(changed).await {
            tracing::error!(%error, "a change arrives late");
        }
        self.books.limits_changed(changed);
    }
}

/// The plugins as the admin API shows them.
pub(crate) struct Plugins(pub(crate) Arc<Pricing>);

impl PricingStatus for Plugins {
    fn report(&self) -> serde_json::Value {
        serde_json::to_value(self.0.report()).unwrap_or_default()
    }
}
