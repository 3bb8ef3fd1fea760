//! What the databases do not share, each piece as small as it can be. Everything else is written once, in `ops`.
//!
//! A dialect supplies the texts that begin transactions, the form in which a batch of rows travels, and what must be
//! there before events are added. It must never supply a whole statement: that would be a second copy of it.

use std::time::Duration;

use ledger::{InstanceId, Period, StoreError, UsageEvent};
use sqlx::query::Query;
use sqlx::{Database, IntoArguments};

use crate::batch::Rows;
use crate::sql_store::SqlStore;

/// A database that the statements can be run on.
pub(crate) trait Dialect: Database<Arguments: IntoArguments<Self>> {
    /// What a store keeps for this database alone, such as its ownership.
    type Own: Send + Sync + 'static;

    /// Begins a transaction whose statements all see the same moment.
    const BEGIN_SNAPSHOT: &'static str;
    /// Begins a transaction that adds events.
    const BEGIN_APPLY: &'static str;
    /// Begins a transaction about keys of calls, which outlasts a power cut once it is committed.
    const BEGIN_KEYS: &'static str;
    /// Begins a transaction that changes the directory. There is one at a time, so that what it reads holds until it
    /// writes, and revisions become visible in their order.
    const BEGIN_CHANGE: &'static str;
    /// Begins a transaction that compares what is stored with the events, all at the same moment, and may take its time.
    const BEGIN_RECONCILE: &'static str;
    /// Begins a transaction that writes anew what was wrong: a change of the directory, because it is audited, which may
    /// take its time.
    const BEGIN_REPAIR: &'static str;
    /// How long an answer may take in all; `None` where nothing but this process can hold it up.
    const DEADLINE: Option<Duration>;

    /// The order of event ids, as the key of the events has it.
    const BY_EVENT_ID: &'static str;

    /// How many rows of a batch go with one statement, at most.
    const ROWS_AT_ONCE_MAX: usize;

    /// What is inserted: these rows, in their order.
    fn rows(rows: &Rows<'_>) -> String;

    /// Binds the rows that [`Dialect::rows`] inserts.
    fn bind_rows<'q>(query: Asked<'q, Self>, rows: &Rows<'_>) -> Asked<'q, Self>;

    /// A `SELECT` of the texts of a list, which is a JSON array bound to this marker.
    fn list(marker: &str) -> String;

    /// Makes room for events, before the transaction that adds them.
    fn make_room(store: &SqlStore<Self>, events: &[UsageEvent]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes new events from the leases of the gateway that charged them, where gateways lease, and moves the accounts of
    /// members that have one. The events' balances have moved.
    fn charge(
        connection: &mut Self::Connection,
        events: &[&UsageEvent],
        by: Option<InstanceId>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// How many rows a statement changed.
    fn changed(result: &Self::QueryResult) -> u64;

    /// Makes events that were added outlast a power cut, where their transactions did not see to it.
    fn persist(store: &SqlStore<Self>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Whether the events of a month are there, as seen by a transaction that has looked at events before.
    fn keeps_events(
        connection: &mut Self::Connection,
        of: Period,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Whether the same transaction, tried again at once, may well succeed.
    fn try_again(store: &SqlStore<Self>, error: &StoreError) -> bool;
}

/// A statement with what was bound to it.
pub(crate) type Asked<'q, D> = Query<'q, D, <D as Database>::Arguments>;
