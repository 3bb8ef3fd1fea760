//! The gateway in the same process, as the API asks it: its books, and what a call would cost. Where there is none, what the
//! store knows is the truth.

use std::sync::Arc;

use async_trait::async_trait;
use ledger::{
    BookSnapshot, Changed, ChargeItem, Credits, EventType, Hold, Limit, OrganizationId, OrganizationRecord, Period,
    PluginIdentity, StoreError,
};
use refusal::Refusal;

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
        Err(not_here())
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

/// What is to be quoted.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The organisation that would pay.
    pub record: &'a OrganizationRecord,
    /// Which call.
    pub which: Which<'a>,
    /// The call's body, as it would be sent.
    pub body: &'a [u8],
}

/// How a call is named.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// By its path, as configured or as it would be called.
    Path(&'a str),
    /// By its event type, which must have one route.
    EventType(&'a EventType),
}

/// What a gateway says of a call.
#[derive(Clone, Debug)]
pub struct Priced {
    /// What is charged.
    pub event_type: EventType,
    /// Its name for people.
    pub event_name: String,
    /// The definition's version.
    pub definition_version: i64,
    /// The route's path as configured.
    pub endpoint: Arc<str>,
    /// The most that the call can cost.
    pub credits: Credits,
    /// Item by item.
    pub items: Vec<ChargeItem>,
    /// Whether a success costs exactly that.
    pub exact: bool,
    /// The plugin that set the price.
    pub plugin: Arc<PluginIdentity>,
}

/// What a program without a gateway says: it knows no routes and no plugin.
fn not_here() -> Refusal {
    Refusal::NotFound("path here: quotes are made by a gateway, on its own or its admin port")
}
