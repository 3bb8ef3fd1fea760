//! What the events of an organisation and period add up to: moved in the transaction that adds the events.

use std::collections::BTreeMap;

use ledger::{Balance, MonthlyUsage, OrganizationId, Outcome, Period, StoreError, Timestamp, UsageEvent};
use serde_json::json;
use sqlx::Row as _;

use super::{count, credits, to_text};
use crate::connection::Connection;
use crate::error::{damaged, from_driver};

const ADD_TO_BALANCES: &str = "INSERT INTO balances (organization_id, period_start_ms, used_micros, events, calls)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each($1) WHERE true
    ON CONFLICT (organization_id, period_start_ms) DO UPDATE SET used_micros = used_micros + excluded.used_micros,
    events = events + excluded.events, calls = calls + excluded.calls";
const FIND_BALANCE: &str =
    "SELECT used_micros, events, calls FROM balances WHERE organization_id = $1 AND period_start_ms = $2";
const LIST_BALANCES: &str = "SELECT period_start_ms, used_micros, events FROM balances
    WHERE organization_id = $1 AND period_start_ms BETWEEN $2 AND $3";

/// Adds new events to their balances.
pub(crate) async fn add(conn: &mut Connection, events: &[&UsageEvent]) -> Result<(), StoreError> {
    let mut sums: BTreeMap<(&str, i64), (i64, i64, i64)> = BTreeMap::new();
    for event in events {
        let key = (event.organization_id.as_str(), event.period().start().millis());
        let (used, number, calls) = sums.entry(key).or_default();
        *used = used.checked_add(event.credits.micros()).ok_or_else(|| damaged("sum of credits", "it overflows"))?;
        *number = number.saturating_add(1);
        *calls = calls.saturating_add(i64::from(event.outcome == Outcome::Captured));
    }
    let rows: Vec<_> = sums.iter().map(|(key, sum)| json!([key.0, key.1, sum.0, sum.1, sum.2])).collect();
    sqlx::query(ADD_TO_BALANCES).bind(to_text(&rows)?).execute(conn).await.map_err(from_driver)?;
    Ok(())
}

pub(crate) async fn find(conn: &mut Connection, of: &OrganizationId, period: Period) -> Result<Balance, StoreError> {
    let find = sqlx::query(FIND_BALANCE).bind(of.as_str()).bind(period.start().millis());
    let Some(row) = find.fetch_optional(conn).await.map_err(from_driver)? else { return Ok(Balance::default()) };
    Ok(Balance {
        used: credits(row.try_get(0).map_err(from_driver)?),
        events: count(row.try_get(1).map_err(from_driver)?)?,
        calls: count(row.try_get(2).map_err(from_driver)?)?,
    })
}

/// The periods `first` to `last`, with zeros where nothing happened.
pub(crate) async fn monthly(
    conn: &mut Connection,
    of: &OrganizationId,
    first: Period,
    last: Period,
) -> Result<Vec<MonthlyUsage>, StoreError> {
    let list = sqlx::query(LIST_BALANCES).bind(of.as_str()).bind(first.start().millis()).bind(last.start().millis());
    let mut months = Vec::new();
    let mut period = first;
    while period <= last {
        months.push(MonthlyUsage { period, credits: credits(0), count: 0 });
        period = period.next();
    }
    for row in list.fetch_all(conn).await.map_err(from_driver)? {
        let period = Period::of(Timestamp::from_millis(row.try_get(0).map_err(from_driver)?));
        if let Some(month) = months.iter_mut().find(|month| month.period == period) {
            month.credits = credits(row.try_get(1).map_err(from_driver)?);
            month.count = count(row.try_get(2).map_err(from_driver)?)?;
        }
    }
    Ok(months)
}
