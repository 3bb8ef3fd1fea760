//! Usage by day, event type and user: moved in the transaction that adds the events, so that a report never scans them.

use std::collections::BTreeMap;

use ledger::{
    Credits, DailyUsage, Day, EventTypeUsage, OrganizationId, Period, StoreError, Timestamp, UsageEvent, UsageReport,
    UserId, UserUsage,
};
use sqlx::{ColumnIndex, Decode, Encode, Executor, Row as _, Type};

use super::{count, credits, id};
use crate::batch::Batch;
use crate::dialect::Dialect;
use crate::error::{damaged, from_driver};

const INTO_ROLLUPS: &str =
    "INSERT INTO daily_rollups (organization_id, day_start_ms, event_type, user_id, credits_micros, events)";
const MOVED: &str = "ON CONFLICT (organization_id, day_start_ms, event_type, user_id) DO UPDATE SET
    credits_micros = daily_rollups.credits_micros + excluded.credits_micros,
    events = daily_rollups.events + excluded.events";
const BY_EVENT_TYPE: &str =
    "SELECT event_type, CAST(SUM(credits_micros) AS BIGINT), CAST(SUM(events) AS BIGINT) FROM daily_rollups
    WHERE organization_id = $1 AND day_start_ms >= $2 AND day_start_ms < $3 AND ($4 IS NULL OR user_id = $4)
    GROUP BY event_type ORDER BY 2 DESC, 1";
const BY_USER: &str =
    "SELECT r.user_id, CAST(SUM(r.credits_micros) AS BIGINT), CAST(SUM(r.events) AS BIGINT), MAX(m.name), MAX(m.email)
    FROM daily_rollups r LEFT JOIN members m ON m.organization_id = r.organization_id AND m.user_id = r.user_id
    WHERE r.organization_id = $1 AND r.day_start_ms >= $2 AND r.day_start_ms < $3 AND ($4 IS NULL OR r.user_id = $4)
    GROUP BY r.user_id ORDER BY 2 DESC, 1";
const USED_BY: &str = "SELECT CAST(COALESCE(SUM(credits_micros), 0) AS BIGINT) FROM daily_rollups
    WHERE organization_id = $1 AND day_start_ms >= $2 AND day_start_ms < $3 AND user_id = $4";
const BY_DAY: &str =
    "SELECT day_start_ms, CAST(SUM(credits_micros) AS BIGINT), CAST(SUM(events) AS BIGINT) FROM daily_rollups
    WHERE organization_id = $1 AND day_start_ms >= $2 AND day_start_ms < $3 AND ($4 IS NULL OR user_id = $4)
    GROUP BY day_start_ms ORDER BY 1";

/// Daily rollups, on an open connection.
pub(crate) struct Rollups<'c, D: Dialect>(pub(crate) &'c mut D::Connection);

impl<D> Rollups<'_, D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    /// Adds new events to their days, in the order of their keys, as balances are.
    pub(crate) async fn add(&mut self, events: &[&UsageEvent]) -> Result<(), StoreError> {
        let mut sums: BTreeMap<(&str, i64, &str, &str), (i64, i64)> = BTreeMap::new();
        for event in events {
            let day = Day::of(event.occurred_at).start().millis();
            let key = (event.organization_id.as_str(), day, event.event_type.as_str(), event.user_id.as_str());
            let (used, number) = sums.entry(key).or_default();
            *used =
                used.checked_add(event.credits.micros()).ok_or_else(|| damaged("sum of credits", "it overflows"))?;
            *number = number.saturating_add(1);
        }
        let rows = Batch::default()
            .texts(sums.keys().map(|key| key.0))
            .integers(sums.keys().map(|key| key.1))
            .texts(sums.keys().map(|key| key.2))
            .texts(sums.keys().map(|key| key.3))
            .integers(sums.values().map(|sum| sum.0))
            .integers(sums.values().map(|sum| sum.1));
        rows.insert::<D>(&mut *self.0, INTO_ROLLUPS, MOVED).await?;
        Ok(())
    }

    /// What one user's events of a period add up to.
    pub(crate) async fn used_by(
        &mut self,
        of: &OrganizationId,
        period: Period,
        user: &UserId,
    ) -> Result<Credits, StoreError> {
        let used = sqlx::query(USED_BY).bind(of.as_str()).bind(period.start().millis());
        let used = used.bind(period.end().millis()).bind(user.as_str());
        let row = used.fetch_one(&mut *self.0).await.map_err(from_driver)?;
        Ok(credits(row.try_get(0).map_err(from_driver)?))
    }

    /// A period by event type, user and day.
    pub(crate) async fn report(
        &mut self,
        of: &OrganizationId,
        period: Period,
        user: Option<&UserId>,
    ) -> Result<UsageReport, StoreError> {
        let mut report = UsageReport::default();
        let (from, until) = (period.start().millis(), period.end().millis());
        let asked = |text: &'static str| {
            sqlx::query(text).bind(of.as_str()).bind(from).bind(until).bind(user.map(UserId::as_str))
        };
        for row in asked(BY_EVENT_TYPE).fetch_all(&mut *self.0).await.map_err(from_driver)? {
            let (credits, count) =
                (credits(row.try_get(1).map_err(from_driver)?), count(row.try_get(2).map_err(from_driver)?)?);
            report.credits =
                report.credits.checked_add(credits).ok_or_else(|| damaged("sum of credits", "it overflows"))?;
            report.count = report.count.saturating_add(count);
            let event_type = id("event type", row.try_get(0).map_err(from_driver)?)?;
            report.by_event_type.push(EventTypeUsage { event_type, credits, count });
        }
        for row in asked(BY_USER).fetch_all(&mut *self.0).await.map_err(from_driver)? {
            report.by_user.push(UserUsage {
                user_id: id("user id", row.try_get(0).map_err(from_driver)?)?,
                credits: credits(row.try_get(1).map_err(from_driver)?),
                count: count(row.try_get(2).map_err(from_driver)?)?,
                name: row.try_get::<Option<&str>, _>(3).map_err(from_driver)?.map(str::to_owned),
                email: row.try_get::<Option<&str>, _>(4).map_err(from_driver)?.map(str::to_owned),
            });
        }
        for row in asked(BY_DAY).fetch_all(&mut *self.0).await.map_err(from_driver)? {
            report.by_day.push(DailyUsage {
                day: Day::of(Timestamp::from_millis(row.try_get(0).map_err(from_driver)?)),
                credits: credits(row.try_get(1).map_err(from_driver)?),
                count: count(row.try_get(2).map_err(from_driver)?)?,
            });
        }
        Ok(report)
    }
}
