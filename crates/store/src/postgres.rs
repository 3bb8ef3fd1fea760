//! The shared database: pools with short time-outs, partitions by month, leases for the gateways that spend from it.
//!
//! It must never wait without an end: every wait has a limit here, in the session's settings, or both.

mod address;
mod leases;
mod months;
mod rights;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ledger::{InstanceId, LeaseStore, Period, StoreError, Timestamp, UsageEvent};
use parking_lot::Mutex;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgQueryResult};
use sqlx::{Connection as _, PgConnection, Postgres};

use self::leases::News;
pub(crate) use self::rights::lacks;
use crate::batch::{Rows, Values};
use crate::dialect::{Asked, Dialect};
use crate::error::{DriverError, OpenError};
use crate::open::{Maintained, Occupancy, Options, Store};
use crate::sql_store::{SqlStore, bring_up};

/// How long a request waits for a connection, a new one included.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer may take in all: the database's own time-outs come first, unless it has stopped answering.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);
/// Writing connections: one for the applier, two for changes of the directory.
const WRITERS: u32 = 3;
/// What every session is told: limits on a statement, on a wait for a lock, on a transaction left open, and how soon a
/// silent end of the line is noticed.
const SESSION: [(&str, &str); 7] = [
    ("client_min_messages", "warning"),
    ("statement_timeout", "5s"),
    ("lock_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];
/// What a session that changes the schema is told: it waits for other instances that start at the same moment.
const MIGRATION_SESSION: [(&str, &str); 2] = [("statement_timeout", "0"), ("lock_timeout", "60s")];

/// The store over PostgreSQL.
pub(crate) type PostgresStore = SqlStore<Postgres>;

/// What only this database has.
#[derive(Debug)]
pub(crate) struct Own {
    /// Months whose partition is known to be there.
    months: Mutex<BTreeSet<Period>>,
    news: News,
}

impl Dialect for Postgres {
    type Own = Own;

    const BEGIN_SNAPSHOT: &'static str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    const BEGIN_APPLY: &'static str = "BEGIN ISOLATION LEVEL READ COMMITTED";
    const BEGIN_KEYS: &'static str = "BEGIN ISOLATION LEVEL READ COMMITTED";
    const BEGIN_CHANGE: &'static str = "BEGIN ISOLATION LEVEL READ COMMITTED;
        SELECT pg_advisory_xact_lock(1734440292, hashtext(current_schema()))";
    // A large organisation's month is summed in one statement; between two, whoever reads what is told may be slow.
    const BEGIN_RECONCILE: &'static str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
        SET LOCAL statement_timeout = '10min'; SET LOCAL idle_in_transaction_session_timeout = '10min'";
    // The time-outs come after the lock: others' changes wait for it, and are not waited for longer than usual.
    const BEGIN_REPAIR: &'static str = "BEGIN ISOLATION LEVEL READ COMMITTED;
        SELECT pg_advisory_xact_lock(1734440292, hashtext(current_schema())); SET LOCAL statement_timeout = '10min'";
    const DEADLINE: Option<Duration> = Some(ANSWER_TIMEOUT);

    const BY_EVENT_ID: &'static str = "occurred_at_ms, event_id";
    const ROWS_AT_ONCE_MAX: usize = usize::MAX;

    /// An array a column.
    fn rows(rows: &Rows<'_>) -> String {
        let arrays: Vec<_> = rows.columns().zip(1..).map(array).collect();
        format!("SELECT * FROM UNNEST({})", arrays.join(", "))
    }

    fn bind_rows<'q>(query: Asked<'q, Self>, rows: &Rows<'_>) -> Asked<'q, Self> {
        rows.columns().fold(query, |query, column| match column {
            Values::Texts(texts) => query.bind(texts),
            Values::Integers(integers) => query.bind(integers),
        })
    }

    fn list(marker: &str) -> String {
        format!("SELECT value FROM json_array_elements_text({marker}::json)")
    }

    async fn make_room(store: &PostgresStore, events: &[UsageEvent]) -> Result<(), StoreError> {
        store.make_room_for(events.iter().map(UsageEvent::period)).await
    }

    async fn charge(
        connection: &mut PgConnection,
        events: &[&UsageEvent],
        by: Option<InstanceId>,
    ) -> Result<(), StoreError> {
        if let Some(instance) = by {
            leases::charge(&mut *connection, instance, events).await?;
        }
        leases::add_members(connection, events, by).await
    }

    fn changed(result: &PgQueryResult) -> u64 {
        result.rows_affected()
    }

    async fn persist(_: &SqlStore<Self>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn keeps_events(connection: &mut PgConnection, of: Period) -> Result<bool, StoreError> {
        months::is_there(connection, of).await
    }

    fn try_again(store: &PostgresStore, error: &StoreError) -> bool {
        let StoreError::Unavailable(source) = error else { return false };
        match source.downcast_ref::<DriverError>().map(|error| &error.0) {
            Some(sqlx::Error::Database(error)) => match error.code().as_deref() {
                // Could not serialize, deadlock, told to stop by an administrator who may have a successor up.
                Some("40001" | "40P01" | "57P01") => true,
                // No partition takes the row: another instance dropped it. A check of ours would have a name.
                Some("23514") if error.constraint().is_none() => {
                    store.own.months.lock().clear();
                    true
                }
                _ => false,
            },
            // The connection broke, perhaps while it committed.
            Some(sqlx::Error::Io(_) | sqlx::Error::Protocol(_)) => true,
            _ => false,
        }
    }
}

/// Whether an address is one of this database.
pub(crate) fn is_address(url: &str) -> bool {
    address::is_ours(url)
}

fn array((column, number): (Values<'_>, u32)) -> String {
    match column {
        Values::Texts(_) => format!("${number}::text[]"),
        Values::Integers(_) => format!("${number}::bigint[]"),
    }
}

impl SqlStore<Postgres> {
    /// Opens the database; a gateway or companion brings its schema up to date.
    pub(crate) async fn open(options: Options) -> Result<Self, OpenError> {
        let connect = address::read(&options.url)?.options(SESSION);
        match options.occupancy {
            Occupancy::Gateway | Occupancy::Companion => migrate(&connect).await?,
            Occupancy::Visitor => look(&connect).await?,
        }
        // Which filters are given changes the best plan: it is made for the values, each time.
        let reading = connect.clone().options([("plan_cache_mode", "force_custom_plan")]);
        let readers = pool(options.readers.max(1)).connect_lazy_with(reading);
        let news = News::new(&connect);
        let writers = pool(WRITERS).connect_lazy_with(connect);
        Ok(Self { readers, writers, own: Own { months: Mutex::default(), news } })
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn close(&self) {
        self.own.news.close().await;
        self.readers.close().await;
        self.writers.close().await;
    }

    fn leases(self: Arc<Self>) -> Option<Arc<dyn LeaseStore>> {
        Some(self)
    }

    async fn upkeep(&self, now: Timestamp, keep_months: Option<u32>) -> Result<Maintained, StoreError> {
        self.within(self.due_months(now, keep_months)).await
    }

    async fn maintain(&self, now: Timestamp, keep_months: Option<u32>) -> Result<Maintained, StoreError> {
        self.maintain_months(now, keep_months).await
    }
}

fn pool(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT)
}

/// Brings the schema up to date. Instances that start together take turns, by a lock of the driver's; one that is a
/// version behind leaves what the newer one has added.
async fn migrate(connect: &PgConnectOptions) -> Result<(), OpenError> {
    let mut connection = reach(&connect.clone().options(MIGRATION_SESSION)).await?;
    let mut migrator = sqlx::migrate!("../../migrations/postgres");
    migrator.set_ignore_missing(true);
    bring_up(&migrator, &mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Looks whether the schema is there, and changes nothing.
async fn look(connect: &PgConnectOptions) -> Result<(), OpenError> {
    let mut connection = reach(connect).await?;
    let there: bool =
        sqlx::query_scalar("SELECT to_regclass('event_definitions') IS NOT NULL").fetch_one(&mut connection).await?;
    connection.close().await?;
    if there { Ok(()) } else { Err(OpenError::Missing(address::shown(connect))) }
}

/// Connects within the time that a request would wait.
async fn reach(connect: &PgConnectOptions) -> Result<PgConnection, OpenError> {
    let connecting = PgConnection::connect_with(connect);
    let reached = tokio::time::timeout(ACQUIRE_TIMEOUT, connecting).await;
    let unreachable = |error| OpenError::Unreachable { address: address::shown(connect), source: DriverError(error) };
    reached.unwrap_or_else(|_late| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))).map_err(unreachable)
}
