//! The API without a gateway in its process: what it cannot know it does not pretend to know.

use async_trait::async_trait;
use ledger::{BookSnapshot, Changed, EventType, OrganizationId, Period, PluginFile};
use pricing::{Checked, LoadError};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

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

/// Plugins set prices in gateways, and only those know how they fare. Uploads are tried here all the same.
#[derive(Clone, Debug)]
pub struct NoGateway {
    options: pricing::Options,
    in_use: Vec<EventType>,
}

impl NoGateway {
    /// Tries uploads with these options, for these routes' event types.
    pub fn new(options: pricing::Options, in_use: Vec<EventType>) -> Self {
        Self { options, in_use }
    }
}

#[async_trait]
impl PricingStatus for NoGateway {
    fn report(&self) -> Box<RawValue> {
        let note =
            "How plugins fare is known to the gateways only: ask for this path on a gateway's own or admin port.";
        let report =
            json!({ "active": null, "previous": null, "canary": null, "shadow": null, "rejected": [], "note": note });
        to_raw_value(&report).unwrap_or_default()
    }

    async fn check(&self, file: PluginFile) -> Result<Checked, LoadError> {
        let options = self.options.clone();
        let checking = tokio::task::spawn_blocking(move || pricing::check(&file, &options)).await;
        checking.unwrap_or_else(|error| Err(LoadError::Host(error.to_string())))
    }

    fn in_use(&self) -> Vec<EventType> {
        self.in_use.clone()
    }
}
