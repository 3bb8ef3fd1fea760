//! Usage by day, event type and user: moved in the transaction that adds the events, so that a report never scans them.

use std::collections::BTreeMap;

use ledger::{
    DailyUsage, Day, EventTypeUsage, OrganizationId, Period, StoreError, Timestamp, UsageEvent, UsageReport, UserId,
    UserUsage,
};
use serde_json::json;
use sqlx::Row as _;

use super::{count, credits, id, to_text};
use crate::connection::Connection;
use crate::error::{damaged, from_driver};

const ADD_TO_ROLLUPS: &str =
    "INSERT INTO daily_rollups (organization_id, day_start_ms, event_type, user_id, credits_micros, events)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 FROM json_each($1) WHERE true
    ON CONFLICT (organization_id, day_start_ms, event_type, user_id) DO UPDATE SET
    credits_micros = credits_micros + excluded.credits_micros, events = events + excluded.events";
const BY_EVENT_TYPE: &str =
    "SELECT event_type, CAST(SUM(credits_micros) AS BIGINT), CAST(SUM(events) AS BIGINT) FROM daily_rollups
    WHERE organization_id = $1 AND day_start_ms >= $2 AND day_start_ms < $3 AND ($4 IS NULL OR user_id = $4)
    GROUP BY event_type ORDER BY 2 DESC, 1";
const BY_USER: &str =
    "SELECT r.user_id, CAST(SUM(r.credits_micros) AS BIGINT), CAST(SUM(r.events) AS BIGINT), MAX(m.name), MAX(m.email)
    FROM daily_rollups r LEFT JOIN members m ON m.organization_id = r.organization_id AND m.user_id = r.user_id
    WHERE r.organization_id = $1 AND r.day_start_ms >= $2 AND r.day_start_ms < $3 AND ($4 IS NULL OR r.user_id = $4)
    GROUP BY r.user_id ORDER BY 2 DESC, 1";
const BY_DAY: &str =
    "SELECT day_start_ms, CAST(SUM(credits_micros) AS BIGINT), CAST(SUM(events) AS BIGINT) FROM daily_rollups
    WHERE organization_id = $1 AND day_start_ms >= $2 AND day_start_ms < $3 AND ($4 IS NULL OR user_id = $4)
    GROUP BY day_start_ms ORDER BY 1";

/// Adds new events to their days.
pub(crate) async fn add(conn: &mut Connection, events: &[&UsageEvent]) -> Result<(), StoreError> {
    let mut sums: BTreeMap<(&str, i64, &str, &str), (i64, i64)> = BTreeMap::new();
    for event in events {
        let day = Day::of(event.occurred_at).start().millis();
        let key = (event.organization_id.as_str(), day, event.event_type.as_str(), event.user_id.as_str());
        let (used, number) = sums.entry(key).or_default();
        *used = used.checked_add(event.credits.micros()).ok_or_else(|| damaged("sum of credits", "it overflows"))?;
        *number = number.saturating_add(1);
    }
    let rows: Vec<_> = sums.iter().map(|(key, sum)| json!([key.0, key.1, key.2, key.3, sum.0, sum.1])).collect();
    sqlx::query(ADD_TO_ROLLUPS).bind(to_text(&rows)?).execute(conn).await.map_err(from_driver)?;
    Ok(())
}

/// A period by event type, user and day.
pub(crate) async fn report(
    conn: &mut Connection,
    of: &OrganizationId,
    period: Period,
    user: Option<&UserId>,
) -> Result<UsageReport, StoreError> {
    let mut report = UsageReport::default();
    let (from, until) = (period.start().millis(), period.end().millis());
    let asked =
        |text: &'static str| sqlx::query(text).bind(of.as_str()).bind(from).bind(until).bind(user.map(UserId::as_str));
    for row in asked(BY_EVENT_TYPE).fetch_all(&mut *conn).await.map_err(from_driver)? {
        let (credits, count) =
            (credits(row.try_get(1).map_err(from_driver)?), count(row.try_get(2).map_err(from_driver)?)?);
        report.credits =
            report.credits.checked_add(credits).ok_or_else(|| damaged("sum of credits", "it overflows"))?;
        report.count = report.count.saturating_add(count);
        let event_type = id("event type", row.try_get(0).map_err(from_driver)?)?;
        report.by_event_type.push(EventTypeUsage { event_type, credits, count });
    }
    for row in asked(BY_USER).fetch_all(&mut *conn).await.map_err(from_driver)? {
        report.by_user.push(UserUsage {
            user_id: id("user id", row.try_get(0).map_err(from_driver)?)?,
            credits: credits(row.try_get(1).map_err(from_driver)?),
            count: count(row.try_get(2).map_err(from_driver)?)?,
            name: row.try_get(3).map_err(from_driver)?,
            email: row.try_get(4).map_err(from_driver)?,
        });
    }
    for row in asked(BY_DAY).fetch_all(&mut *conn).await.map_err(from_driver)? {
        report.by_day.push(DailyUsage {
            day: Day::of(Timestamp::from_millis(row.try_get(0).map_err(from_driver)?)),
            credits: credits(row.try_get(1).map_err(from_driver)?),
            count: count(row.try_get(2).map_err(from_driver)?)?,
        });
    }
    Ok(report)
}
