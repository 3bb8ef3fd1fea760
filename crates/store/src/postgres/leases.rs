//! Leases on this database: each account's requests take turns, at a lock on its balance.
//!
//! What is granted is decided by the ledger's own rule from rows that nobody else can change meanwhile. An account must
//! never be decided on rows that were read before its lock was held: the lock is a statement of its own, and those after
//! it see everything that was committed before it was given.
//!
//! Locks are taken in one order everywhere: balances by key, then leases by key.

mod members;
mod news;
mod rows;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use ledger::{
    Credits, InstanceId, LeaseGrant, LeaseKey, LeaseNews, LeaseRequest, LeaseStore, LeaseTerms, LeaseUsed, Share,
    StoreError, UsageEvent,
};
use sqlx::postgres::PgConnection;

pub(super) use self::members::add as add_members;
pub(super) use self::news::News;
use super::PostgresStore;
use crate::dialect::Dialect as _;
use crate::error::from_driver;
use crate::ops::balances;
use crate::sql_store::commit;
use crate::usage::{Asking, add_all};

/// The wait after a failed attempt to listen.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_secs(1);

const CHARGE: &str =
    "INSERT INTO leases (organization_id, period_start_ms, instance_id, granted_micros, granted_calls, charged_micros,
    charged_calls, epoch, expires_at_ms, yielded_at_ms, strikes, struck_at_ms)
    SELECT o, p, $1, c, n, c, n, 0, 0, 0, 0, 0 FROM UNNEST($2::text[], $3::bigint[], $4::bigint[], $5::bigint[]) AS k (o, p, c, n)
    ON CONFLICT (organization_id, period_start_ms, user_id, instance_id) DO UPDATE SET
    charged_micros = leases.charged_micros + excluded.charged_micros,
    charged_calls = leases.charged_calls + excluded.charged_calls,
    granted_micros = GREATEST(leases.granted_micros, leases.charged_micros + excluded.charged_micros),
    granted_calls = GREATEST(leases.granted_calls, leases.charged_calls + excluded.charged_calls)";
/// An ask whose end is further ahead than one can be was left by a clock that was set back.
const ASKED: &str = "WITH now AS (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms)
    SELECT DISTINCT l.organization_id, l.period_start_ms, l.user_id FROM now, lease_asks a
    JOIN leases l ON l.organization_id = a.organization_id AND l.period_start_ms = a.period_start_ms AND l.user_id = a.user_id
    WHERE l.instance_id = $1 AND a.instance_id <> $1 AND a.expires_at_ms > now.ms AND a.expires_at_ms <= now.ms + $2
    AND (l.granted_micros > l.charged_micros OR l.granted_calls > l.charged_calls) ORDER BY 1, 2, 3";
/// One that somebody is renewing now is passed over: it will not be expired then.
const RECLAIM: &str = "WITH now AS (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms),
    due AS (SELECT l.organization_id, l.period_start_ms, l.user_id, l.instance_id, now.ms FROM leases l, now
        WHERE (l.granted_micros > l.charged_micros OR l.granted_calls > l.charged_calls)
        AND (l.expires_at_ms > now.ms + $1 OR l.expires_at_ms <= now.ms AND abs(now.ms - l.struck_at_ms) >= $2)
        ORDER BY 1, 2, 3, 4 FOR UPDATE OF l SKIP LOCKED),
    judged AS (SELECT d.*, l.expires_at_ms > d.ms AS is_ahead, l.strikes + 1 >= $3 AS is_over FROM due d
        JOIN leases l USING (organization_id, period_start_ms, user_id, instance_id)),
    struck AS (UPDATE leases l SET
        expires_at_ms = CASE WHEN j.is_ahead THEN j.ms + $1 ELSE l.expires_at_ms END,
        strikes = CASE WHEN j.is_ahead THEN l.strikes ELSE l.strikes + 1 END,
        struck_at_ms = CASE WHEN j.is_ahead THEN l.struck_at_ms ELSE j.ms END,
        granted_micros = CASE WHEN j.is_over AND NOT j.is_ahead THEN l.charged_micros ELSE l.granted_micros END,
        granted_calls = CASE WHEN j.is_over AND NOT j.is_ahead THEN l.charged_calls ELSE l.granted_calls END
        FROM judged j WHERE l.organization_id = j.organization_id AND l.period_start_ms = j.period_start_ms
        AND l.user_id = j.user_id AND l.instance_id = j.instance_id RETURNING j.is_over AND NOT j.is_ahead AS is_lost)
    SELECT COUNT(*) FILTER (WHERE is_lost) FROM struck";
const RETIRE_LEASES: &str = "DELETE FROM leases WHERE instance_id = $1";
const RETIRE_ASKS: &str = "DELETE FROM lease_asks WHERE instance_id = $1";

#[async_trait]
impl LeaseStore for PostgresStore {
    async fn apply_leased(&self, instance: InstanceId, events: &[UsageEvent]) -> Result<u64, StoreError> {
        if events.is_empty() {
            return Ok(0);
        }
        self.until_added(|asking| self.apply_leased_once(instance, events, asking)).await
    }

    async fn begin(
        &self,
        instance: InstanceId,
        key: &LeaseKey,
        captured: Credits,
        epoch: i64,
    ) -> Result<(), StoreError> {
        self.within(async {
            let mut transaction = self.adding().await?;
            members::begin(&mut transaction, instance, key, captured, epoch).await?;
            commit::<sqlx::Postgres>(transaction).await
        })
        .await
    }

    /// A renewal whose outcome is unknown is not sent again here: its numbers may be old by then. The next one has them.
    async fn renew(&self, instance: InstanceId, requests: &[LeaseRequest]) -> Result<Vec<LeaseGrant>, StoreError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        self.within(async {
            let mut transaction = self.adding().await?;
            let grants = rows::renew(&mut transaction, instance, requests, LeaseTerms::default()).await?;
            commit::<sqlx::Postgres>(transaction).await?;
            Ok(grants)
        })
        .await
    }

    async fn asked(&self, instance: InstanceId) -> Result<Vec<LeaseKey>, StoreError> {
        self.within(async {
            let asked = sqlx::query_as(ASKED).bind(instance.to_string()).bind(millis(LeaseTerms::default().ask_ttl_ms));
            let keys: Vec<(String, i64, String)> = asked.fetch_all(&self.readers).await.map_err(from_driver)?;
            keys.iter().map(|(organization, period, user)| rows::key(organization, *period, user)).collect()
        })
        .await
    }

    async fn tell(&self, instance: InstanceId, spent: &[(LeaseKey, Share)]) -> Result<Vec<LeaseUsed>, StoreError> {
        self.within(self.own.news.tell(instance, spent)).await
    }

    async fn news(&self, instance: InstanceId) -> LeaseNews {
        match self.own.news.heard(instance).await {
            Ok(news) => news,
            Err(_broken) => {
                tokio::time::sleep(LISTEN_AGAIN_AFTER).await;
                // What was said meanwhile was missed.
                LeaseNews::Asked
            }
        }
    }

    async fn reclaim(&self) -> Result<u64, StoreError> {
        let terms = LeaseTerms::default();
        let reclaim =
            sqlx::query_scalar::<_, i64>(RECLAIM).bind(millis(terms.ttl_ms)).bind(millis(terms.strike_every_ms));
        let reclaim = reclaim.bind(millis(terms.strikes_max));
        self.within(async {
            let lost = reclaim.fetch_one(&self.writers).await.map_err(from_driver)?;
            Ok(u64::try_from(lost).unwrap_or(0))
        })
        .await
    }

    async fn retire(&self, instance: InstanceId) -> Result<(), StoreError> {
        self.within(async {
            let mut transaction = self.adding().await?;
            for statement in [RETIRE_LEASES, RETIRE_ASKS] {
                let retire = sqlx::query(statement).bind(instance.to_string());
                retire.execute(&mut *transaction).await.map_err(from_driver)?;
            }
            commit::<sqlx::Postgres>(transaction).await
        })
        .await
    }
}

impl PostgresStore {
    async fn apply_leased_once(
        &self,
        instance: InstanceId,
        events: &[UsageEvent],
        asking: Asking,
    ) -> Result<Option<u64>, StoreError> {
        sqlx::Postgres::make_room(self, events).await?;
        let mut transaction = self.adding().await?;
        let added = add_all::<sqlx::Postgres>(&mut transaction, events, asking, Some(instance)).await?;
        let Some(added) = added else { return Ok(None) };
        commit::<sqlx::Postgres>(transaction).await?;
        Ok(Some(u64::try_from(added.len()).unwrap_or(u64::MAX)))
    }
}

/// Takes the new events' charges from the leases, after the balances moved by the same.
pub(super) async fn charge(
    connection: &mut PgConnection,
    of: InstanceId,
    events: &[&UsageEvent],
) -> Result<(), StoreError> {
    let sums = balances::sums(events)?;
    let (organizations, periods): (Vec<&str>, Vec<i64>) = sums.keys().copied().unzip();
    let used: Vec<i64> = sums.values().map(|sum| sum.used).collect();
    let calls: Vec<i64> = sums.values().map(|sum| sum.calls).collect();
    let charge = sqlx::query(CHARGE).bind(of.to_string()).bind(organizations).bind(periods).bind(used).bind(calls);
    charge.execute(connection).await.map_err(from_driver)?;
    Ok(())
}

/// A term as the database counts it.
fn millis(term: u64) -> i64 {
    i64::try_from(term).unwrap_or(i64::MAX)
}
