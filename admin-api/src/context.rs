//! What the API is given: the stores, the clock, and what only a gateway in the same process knows.

use std::sync::Arc;

use access::Authenticator;
use async_trait::async_trait;
use ledger::{Adjustments, Clock, CreditGrants, Directory, EventType, PluginFile, Rollouts, UsageStore};
use pricing::{Checked, LoadError};
use serde_json::value::RawValue;

use crate::live::Live;

/// Everything that a handler may use.
pub struct Context {
    /// Organisations, members, plans, prices, the audit trail.
    pub directory: Arc<dyn Directory>,
    /// Uploaded plugins, and which of them sets prices for whom.
    pub rollouts: Arc<dyn Rollouts>,
    /// Usage events and their sums.
    pub usage: Arc<dyn UsageStore>,
    /// What operators give back and take.
    pub adjustments: Arc<dyn Adjustments>,
    /// What of it ends.
    pub credit_grants: Arc<dyn CreditGrants>,
    /// Who is calling.
    pub authenticator: Arc<Authenticator>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The gateway's live books, where it is in this process.
    pub live: Arc<dyn Live>,
    /// The gateway's plugins, where it is in this process.
    pub pricing: Arc<dyn PricingStatus>,
}

/// The pricing plugins as the operators are shown them.
#[async_trait]
pub trait PricingStatus: Send + Sync + 'static {
    /// Active, previous and rejected plugins, canary and shadow.
    fn report(&self) -> Box<RawValue>;
    /// Tries an upload, as it would be tried before it sets prices.
    async fn check(&self, file: PluginFile) -> Result<Checked, LoadError>;
    /// The event types that routes charge.
    fn in_use(&self) -> Vec<EventType>;
}
