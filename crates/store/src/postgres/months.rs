//! One partition a month: made ahead, made at need for what is replayed late, dropped by retention.
//!
//! An event whose month has no partition must never be lost: it is refused by the database, and tried again once the
//! partition is there.

use ledger::{Period, StoreError, Timestamp};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use super::PostgresStore;
use crate::error::from_driver;
use crate::open::Maintained;

/// Months made ahead of the current one.
const AHEAD: usize = 2;
/// Those who make and drop partitions take turns.
const TAKE_TURN: &str = "BEGIN; SELECT pg_advisory_xact_lock(1734440293, hashtext(current_schema()))";
const IS_THERE: &str = "SELECT to_regclass($1) IS NOT NULL";
const LIST: &str = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'usage_events'::regclass ORDER BY 1";

impl PostgresStore {
    /// Makes the partitions of these months where they are not known to be there.
    pub(super) async fn make_room_for(&self, months: impl Iterator<Item = Period> + Send) -> Result<(), StoreError> {
        let missing = {
            let known = self.own.months.lock();
            let missing: std::collections::BTreeSet<Period> = months.filter(|month| !known.contains(month)).collect();
            missing
        };
        for month in missing {
            self.make(month).await?;
        }
        Ok(())
    }

    /// Makes this month's partition and the next ones', and drops those of months more than `keep_months` back.
    pub(super) async fn maintain_months(
        &self,
        now: Timestamp,
        keep_months: Option<u32>,
    ) -> Result<Maintained, StoreError> {
        let due = self.due_months(now, keep_months).await?;
        let mut done = Maintained::default();
        for month in due.made {
            // Another instance may have been faster.
            if self.make(month).await? {
                done.made.push(month);
            }
        }
        for month in due.dropped {
            let mut connection = self.writers.acquire().await.map_err(from_driver)?;
            drop_month(&mut connection, month).await.map_err(from_driver)?;
            self.own.months.lock().remove(&month);
            done.dropped.push(month);
        }
        Ok(done)
    }

    /// The partitions that are to be made and dropped now.
    pub(super) async fn due_months(&self, now: Timestamp, keep_months: Option<u32>) -> Result<Maintained, StoreError> {
        let names: Vec<String> = sqlx::query_scalar(LIST).fetch_all(&self.readers).await.map_err(from_driver)?;
        let there: Vec<Period> = names.iter().filter_map(|name| month_of(name)).collect();
        let this = Period::of(now);
        let ahead = std::iter::successors(Some(this), |month| Some(month.next())).take(AHEAD + 1);
        let made = ahead.filter(|month| !there.contains(month)).collect();
        let Some(keep) = keep_months else { return Ok(Maintained { made, dropped: Vec::new() }) };
        let oldest_kept = (0..keep).fold(this, |month, _| month.previous());
        let dropped = there.into_iter().filter(|month| *month < oldest_kept).collect();
        Ok(Maintained { made, dropped })
    }

    /// Makes a partition; whether it was not there.
    async fn make(&self, month: Period) -> Result<bool, StoreError> {
        let mut connection = self.writers.acquire().await.map_err(from_driver)?;
        let made = make_month(&mut connection, month).await.map_err(from_driver)?;
        self.own.months.lock().insert(month);
        Ok(made)
    }
}

/// The table is made beside the others and attached, which keeps nobody from reading or writing them meanwhile.
async fn make_month(connection: &mut PgConnection, month: Period) -> Result<bool, sqlx::Error> {
    let name = name_of(month);
    let mut transaction = connection.begin_with(TAKE_TURN).await?;
    let is_there: bool = sqlx::query_scalar(IS_THERE).bind(&name).fetch_one(&mut *transaction).await?;
    if is_there {
        return Ok(false);
    }
    // Neither a name made of a period nor a number has anything in it that could be more than that.
    let (from, until) = (month.start().millis(), month.end().millis());
    let make = format!("CREATE TABLE {name} (LIKE usage_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)");
    sqlx::query(AssertSqlSafe(make)).execute(&mut *transaction).await?;
    let attach = format!("ALTER TABLE usage_events ATTACH PARTITION {name} FOR VALUES FROM ({from}) TO ({until})");
    sqlx::query(AssertSqlSafe(attach)).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Whether a month has a partition.
pub(super) async fn is_there(connection: &mut PgConnection, month: Period) -> Result<bool, StoreError> {
    sqlx::query_scalar(IS_THERE).bind(name_of(month)).fetch_one(connection).await.map_err(from_driver)
}

/// Drops a partition. It waits for the statements that run, no longer than any lock is waited for.
async fn drop_month(connection: &mut PgConnection, month: Period) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with(TAKE_TURN).await?;
    let forget = format!("DROP TABLE IF EXISTS {}", name_of(month));
    sqlx::query(AssertSqlSafe(forget)).execute(&mut *transaction).await?;
    transaction.commit().await
}

/// `usage_events_2026_11` for November 2026.
fn name_of(month: Period) -> String {
    format!("usage_events_{}", month.to_string().replace('-', "_"))
}

/// The month of a partition that we named.
fn month_of(name: &str) -> Option<Period> {
    name.strip_prefix("usage_events_")?.replace('_', "-").parse().ok()
}
