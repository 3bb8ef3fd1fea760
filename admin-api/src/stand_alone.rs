//! The API without a gateway in its process: what it cannot know it does not pretend to know.

use async_trait::async_trait;
use ledger::{BookSnapshot, Changed, OrganizationId, Period};
use serde_json::{Value, json};

use crate::{Live, PricingStatus};

/// No book is open in this process: counters come from the store, and gateways learn of changes from it within a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLiveBook;

#[async_trait]
impl Live for NoLiveBook {
    async fn snapshot(&self, _id: &OrganizationId, _period: Period) -> Option<BookSnapshot> {
        None
    }

    async fn caught_up(&self) {}

    async fn changed(&self, _changed: &Changed) {}
}

/// Plugins are loaded by gateways: ask one of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct KnownToTheGatewayOnly;

impl PricingStatus for KnownToTheGatewayOnly {
    fn report(&self) -> Value {
        let note = "Plugins are known to the gateway only: ask for this path on a gateway's own or admin port.";
        json!({ "active": null, "previous": null, "rejected": [], "note": note })
    }
}
