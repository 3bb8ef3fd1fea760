//! Which database an address means, and what every store can do beside the ledger's traits.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use ledger::{
    Adjustments, ApiKeys, CreditGrants, Directory, IdempotencyStore, LeaseStore, Period, Reratings, Rollouts,
    StoreError, Timestamp, UsageStore,
};

use crate::error::OpenError;
use crate::postgres::{self, PostgresStore};
use crate::reconciliation::Reconciliation;
use crate::recorded::Recorded;
use crate::sqlite::SqliteStore;

/// Where the database is and who opens it.
#[derive(Clone)]
pub struct Options {
    /// `sqlite:FILE`, relative to the working directory, or absolute.
    pub url: String,
    /// Reading connections.
    pub readers: u32,
    /// Who opens it.
    pub occupancy: Occupancy,
}

impl fmt::Debug for Options {
    /// An address may hold a password: it is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, readers, occupancy } = self;
        f.debug_struct("Options").field("readers", readers).field("occupancy", occupancy).finish_non_exhaustive()
    }
}

/// Who opens a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupancy {
    /// A gateway, which spends. On SQLite it owns the database: a second one is refused.
    Gateway,
    /// The admin API beside a gateway.
    Companion,
    /// Somebody who only looks: nothing is made or changed.
    Visitor,
}

/// A database that is open.
#[async_trait]
pub trait Store:
    Directory
    + Rollouts
    + UsageStore
    + Adjustments
    + Reratings
    + CreditGrants
    + ApiKeys
    + IdempotencyStore
    + Reconciliation
    + Recorded
{
    /// Closes every connection.
    async fn close(&self);

    /// Its leases, where several gateways can share it.
    fn leases(self: Arc<Self>) -> Option<Arc<dyn LeaseStore>>;

    /// What [`Store::maintain`] would do.
    async fn upkeep(&self, now: Timestamp, keep_months: Option<u32>) -> Result<Maintained, StoreError>;

    /// Makes what the coming months need, and drops the usage events of months more than `keep_months` back, where the
    /// database keeps months apart. Balances and rollups stay.
    async fn maintain(&self, now: Timestamp, keep_months: Option<u32>) -> Result<Maintained, StoreError>;
}

/// What upkeep did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Months for which there is room now.
    pub made: Vec<Period>,
    /// Months whose usage events are gone.
    pub dropped: Vec<Period>,
}

/// What a gateway needs of a database that can be reached, and does not have there: a sentence each. Nothing is changed.
pub async fn lacks(options: &Options) -> Result<Vec<String>, OpenError> {
    if postgres::is_address(&options.url) { postgres::lacks(&options.url).await } else { Ok(Vec::new()) }
}

/// Whether gateways can share the database that the address names.
pub fn is_shared(url: &str) -> bool {
    postgres::is_address(url)
}

/// Opens the database that the address names; a gateway or companion brings its schema up to date.
pub async fn open(options: Options) -> Result<Arc<dyn Store>, OpenError> {
    if postgres::is_address(&options.url) {
        return Ok(Arc::new(PostgresStore::open(options).await?));
    }
    Ok(Arc::new(SqliteStore::open(options).await?))
}
