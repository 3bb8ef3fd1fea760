//! What the API is given: the stores, the clock, and what only a gateway in the same process knows.

use std::sync::Arc;

use access::Authenticator;
use async_trait::async_trait;
use ledger::{
    Adjustments, ApiKeys, BookSnapshot, Changed, Clock, CreditGrants, Credits, Directory, EventType, Hold, Limit,
    OrganizationId, Period, PluginFile, Rollouts, StoreError, UsageStore,
};
use pricing::{Checked, LoadError};
use refusal::Refusal;
use serde_json::value::RawValue;

use crate::quote::{self, Asked, Priced};

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
    /// Keys of machines.
    pub api_keys: Arc<dyn ApiKeys>,
    /// Who is calling.
    pub authenticator: Arc<Authenticator>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The gateway's live books, where it is in this process.
    pub live: Arc<dyn Live>,
    /// The gateway's plugins, where it is in this process.
    pub pricing: Arc<dyn PricingStatus>,
}

/// A gateway as the API sees it.
#[async_trait]
pub trait Live: Send + Sync + 'static {
    /// The book of an organisation's period; `None` where none is open here: then the store's balance is the truth.
    async fn snapshot(&self, id: &OrganizationId, period: Period) -> Option<BookSnapshot>;
    /// Sets credits aside in the live book until what an operator takes is in it; `None` where there is no such book: then
    /// what the store knows decides.
    async fn set_aside(
        &self,
        _id: &OrganizationId,
        _period: Period,
        _amount: Credits,
        _limit: Limit,
    ) -> Result<Option<Hold>, NotSetAside> {
        Ok(None)
    }
    /// Returns once every event settled before now is in the store, or after about a second.
    async fn caught_up(&self);
    /// Drops what is remembered of what changed. Awaited after each write, before its answer.
    async fn changed(&self, changed: &Changed);
    /// What a call would cost now. Refused as the call itself would be, and where no gateway is in this process.
    async fn quote(&self, _asked: Asked<'_>) -> Result<Priced, Refusal> {
        Err(quote::not_here())
    }
}

/// Why nothing is set aside.
#[derive(Debug)]
pub enum NotSetAside {
    /// Less than that remains: so much.
    Remaining(Credits),
    /// The sums would leave 64 bits.
    OutOfRange,
    /// Nobody can say what remains.
    Unknown(StoreError),
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
