//! What the usage events alone add up to, beside what is stored. It must never change an event.

use ledger::{Balance, Day, OrganizationId, Period, StoreError, Timestamp};
use sqlx::{ColumnIndex, Decode, Encode, Executor, Row as _, Type};

use super::{count, credits, id};
use crate::dialect::Dialect;
use crate::error::from_driver;
use crate::reconciliation::{RollupDifference, RollupSum};

const FIND_SPAN: &str = "SELECT MIN(first_ms), MAX(last_ms) FROM (
    SELECT MIN(occurred_at_ms) AS first_ms, MAX(occurred_at_ms) AS last_ms FROM usage_events
        WHERE $1 IS NULL OR organization_id = $1
    UNION ALL SELECT MIN(period_start_ms), MAX(period_start_ms) FROM balances WHERE $1 IS NULL OR organization_id = $1
    UNION ALL SELECT MIN(day_start_ms), MAX(day_start_ms) FROM daily_rollups WHERE $1 IS NULL OR organization_id = $1
    ) AS spans";
/// The next name in any of the three, each found by its index: nobody is passed over because one of them lacks him.
const NEXT_ORGANIZATION: &str = "SELECT MIN(organization_id) FROM (
    SELECT MIN(organization_id) AS organization_id FROM usage_events
        WHERE organization_id > $1 AND occurred_at_ms >= $2 AND occurred_at_ms < $3
    UNION ALL SELECT MIN(organization_id) FROM balances
        WHERE organization_id > $1 AND period_start_ms >= $2 AND period_start_ms < $3
    UNION ALL SELECT MIN(organization_id) FROM daily_rollups
        WHERE organization_id > $1 AND day_start_ms >= $2 AND day_start_ms < $3) AS names";
const SUM_EVENTS: &str = "SELECT CAST(COALESCE(SUM(credits_micros), 0) AS BIGINT), COUNT(*),
    COUNT(CASE WHEN outcome = 'captured' THEN 1 END),
    CAST(COALESCE(SUM(CASE WHEN outcome = 'adjusted' THEN credits_micros END), 0) AS BIGINT)
    FROM usage_events WHERE organization_id = $1 AND occurred_at_ms >= $2 AND occurred_at_ms < $3";

/// What the rollups of an organisation must be. One text, so that comparison and repair cannot differ. The time of an
/// event is that of its id, which is never before 1970, so the remainder is never below zero.
macro_rules! rollups_of_events {
    () => {
        "SELECT organization_id, occurred_at_ms - occurred_at_ms % 86400000 AS day_start_ms, event_type, user_id,
        SUM(credits_micros) AS credits_micros, COUNT(*) AS events FROM usage_events
        WHERE organization_id = $1 AND occurred_at_ms >= $2 AND occurred_at_ms < $3 GROUP BY 1, 2, 3, 4"
    };
}

const COMPARE_ROLLUPS: &str = concat!(
    "SELECT day_start_ms, event_type, user_id, CAST(SUM(told_micros) AS BIGINT), CAST(SUM(told_events) AS BIGINT),
    CAST(SUM(stored_micros) AS BIGINT), CAST(SUM(stored_events) AS BIGINT) FROM (
    SELECT day_start_ms, event_type, user_id, credits_micros AS told_micros, events AS told_events,
        0 AS stored_micros, 0 AS stored_events FROM (",
    rollups_of_events!(),
    ") AS told
    UNION ALL SELECT day_start_ms, event_type, user_id, 0, 0, credits_micros, events FROM daily_rollups
        WHERE organization_id = $1 AND day_start_ms >= $2 AND day_start_ms < $3) AS both_sides
    GROUP BY day_start_ms, event_type, user_id
    HAVING SUM(told_micros) <> SUM(stored_micros) OR SUM(told_events) <> SUM(stored_events)
    ORDER BY 1, 2, 3"
);
const DELETE_ROLLUPS: &str =
    "DELETE FROM daily_rollups WHERE organization_id = $1 AND day_start_ms >= $2 AND day_start_ms < $3";
const REBUILD_ROLLUPS: &str = concat!(
    "INSERT INTO daily_rollups (organization_id, day_start_ms, event_type, user_id, credits_micros, events) ",
    rollups_of_events!()
);
const REBUILD_MEMBERS: &str = "UPDATE member_balances SET used_micros = (
    SELECT CAST(COALESCE(SUM(r.credits_micros), 0) AS BIGINT) FROM daily_rollups r
    WHERE r.organization_id = member_balances.organization_id AND r.user_id = member_balances.user_id
    AND r.day_start_ms >= $2 AND r.day_start_ms < $3) WHERE organization_id = $1 AND period_start_ms = $2";
/// Takes hold of the balance, whether or not it was there, so that nobody adds events to it until this transaction ends:
/// whoever adds events moves the balance before the rollups.
const CLAIM_BALANCE: &str = "INSERT INTO balances (organization_id, period_start_ms, used_micros, events, calls)
    VALUES ($1, $2, 0, 0, 0)
    ON CONFLICT (organization_id, period_start_ms) DO UPDATE SET used_micros = balances.used_micros
    RETURNING used_micros, events, calls, adjusted_micros";
const SET_BALANCE: &str = "UPDATE balances SET used_micros = $3, events = $4, calls = $5, adjusted_micros = $6
    WHERE organization_id = $1 AND period_start_ms = $2";

/// Sums of usage events beside what is stored, on an open connection.
pub(crate) struct Reconciling<'c, D: Dialect>(pub(crate) &'c mut D::Connection);

impl<D> Reconciling<'_, D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    /// The first and the last period of which anything is known.
    pub(crate) async fn span(&mut self, of: Option<&OrganizationId>) -> Result<Option<(Period, Period)>, StoreError> {
        let find = sqlx::query(FIND_SPAN).bind(of.map(OrganizationId::as_str));
        let row = find.fetch_one(&mut *self.0).await.map_err(from_driver)?;
        let period = |column: usize| -> Result<Option<Period>, StoreError> {
            let moment: Option<i64> = row.try_get(column).map_err(from_driver)?;
            Ok(moment.map(|moment| Period::of(Timestamp::from_millis(moment))))
        };
        Ok(period(0)?.zip(period(1)?))
    }

    /// The organisation that comes after this name, of those of which anything is known in the period.
    pub(crate) async fn next_organization(
        &mut self,
        after: &str,
        period: Period,
    ) -> Result<Option<OrganizationId>, StoreError> {
        let find = sqlx::query(NEXT_ORGANIZATION).bind(after);
        let find = find.bind(period.start().millis()).bind(period.end().millis());
        let row = find.fetch_one(&mut *self.0).await.map_err(from_driver)?;
        let name: Option<&str> = row.try_get(0).map_err(from_driver)?;
        name.map(|name| id("organisation id", name)).transpose()
    }

    /// The balance as the events have it.
    pub(crate) async fn sum_events(&mut self, of: &OrganizationId, period: Period) -> Result<Balance, StoreError> {
        let sum = sqlx::query(SUM_EVENTS).bind(of.as_str());
        let sum = sum.bind(period.start().millis()).bind(period.end().millis());
        Self::read_balance(&sum.fetch_one(&mut *self.0).await.map_err(from_driver)?)
    }

    /// The rollups that are not as the events have them, oldest first.
    pub(crate) async fn compare_rollups(
        &mut self,
        of: &OrganizationId,
        period: Period,
    ) -> Result<Vec<RollupDifference>, StoreError> {
        let compare = sqlx::query(COMPARE_ROLLUPS).bind(of.as_str());
        let compare = compare.bind(period.start().millis()).bind(period.end().millis());
        let rows = compare.fetch_all(&mut *self.0).await.map_err(from_driver)?;
        rows.iter().map(|row| Self::read_difference(of, row)).collect()
    }

    /// Takes hold of a balance and answers it.
    pub(crate) async fn claim_balance(&mut self, of: &OrganizationId, period: Period) -> Result<Balance, StoreError> {
        let claim = sqlx::query(CLAIM_BALANCE).bind(of.as_str()).bind(period.start().millis());
        Self::read_balance(&claim.fetch_one(&mut *self.0).await.map_err(from_driver)?)
    }

    /// Sets a balance that was claimed.
    pub(crate) async fn set_balance(
        &mut self,
        of: &OrganizationId,
        period: Period,
        to: Balance,
    ) -> Result<(), StoreError> {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let set = sqlx::query(SET_BALANCE).bind(of.as_str()).bind(period.start().millis());
        let set = set.bind(to.used.micros()).bind(number(to.events)).bind(number(to.calls)).bind(to.adjusted.micros());
        set.execute(&mut *self.0).await.map_err(from_driver)?;
        Ok(())
    }

    /// Writes an organisation's rollups of a period anew, from its events, and what its members used by them.
    pub(crate) async fn rebuild_rollups(&mut self, of: &OrganizationId, period: Period) -> Result<(), StoreError> {
        for text in [DELETE_ROLLUPS, REBUILD_ROLLUPS, REBUILD_MEMBERS] {
            let rebuild = sqlx::query(text).bind(of.as_str());
            let rebuild = rebuild.bind(period.start().millis()).bind(period.end().millis());
            rebuild.execute(&mut *self.0).await.map_err(from_driver)?;
        }
        Ok(())
    }

    fn read_balance(row: &D::Row) -> Result<Balance, StoreError> {
        Ok(Balance {
            used: credits(row.try_get(0).map_err(from_driver)?),
            events: count(row.try_get(1).map_err(from_driver)?)?,
            calls: count(row.try_get(2).map_err(from_driver)?)?,
            adjusted: credits(row.try_get(3).map_err(from_driver)?),
        })
    }

    fn read_difference(of: &OrganizationId, row: &D::Row) -> Result<RollupDifference, StoreError> {
        let sum = |column: usize| -> Result<RollupSum, StoreError> {
            Ok(RollupSum {
                credits: credits(row.try_get(column).map_err(from_driver)?),
                events: count(row.try_get(column.saturating_add(1)).map_err(from_driver)?)?,
            })
        };
        Ok(RollupDifference {
            organization_id: of.clone(),
            day: Day::of(Timestamp::from_millis(row.try_get(0).map_err(from_driver)?)),
            event_type: id("event type", row.try_get(1).map_err(from_driver)?)?,
            user_id: id("user id", row.try_get(2).map_err(from_driver)?)?,
            by_events: sum(3)?,
            stored: sum(5)?,
        })
    }
}
