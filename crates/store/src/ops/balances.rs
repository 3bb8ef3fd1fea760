//! What the events of an organisation and period add up to: moved in the transaction that adds the events.

use std::collections::BTreeMap;

use ledger::{Balance, Credits, MonthlyUsage, OrganizationId, Outcome, Period, StoreError, Timestamp, UsageEvent};
use sqlx::{ColumnIndex, Decode, Encode, Executor, Row as _, Type};

use super::{count, credits};
use crate::batch::Batch;
use crate::dialect::Dialect;
use crate::error::{damaged, from_driver};

const INTO_BALANCES: &str = "INSERT INTO balances (organization_id, period_start_ms, used_micros, events, calls)";
const MOVED: &str = "ON CONFLICT (organization_id, period_start_ms) DO UPDATE SET
    used_micros = balances.used_micros + excluded.used_micros, events = balances.events + excluded.events,
    calls = balances.calls + excluded.calls";
const FIND_BALANCE: &str = "SELECT used_micros, events, calls, adjusted_micros FROM balances WHERE organization_id = $1 AND period_start_ms = $2";
const ADD_ADJUSTED: &str = "UPDATE balances SET adjusted_micros = adjusted_micros + $3
    WHERE organization_id = $1 AND period_start_ms = $2";
const LIST_BALANCES: &str = "SELECT period_start_ms, used_micros, events FROM balances
    WHERE organization_id = $1 AND period_start_ms BETWEEN $2 AND $3";

/// What events add to one balance.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    /// In millionths of a credit.
    pub(crate) used: i64,
    pub(crate) events: i64,
    /// Those that were captured.
    pub(crate) calls: i64,
}

/// What events add to each balance, by organisation and period, in the order of these.
pub(crate) fn sums<'e>(events: &[&'e UsageEvent]) -> Result<BTreeMap<(&'e str, i64), Sum>, StoreError> {
    let mut sums: BTreeMap<(&str, i64), Sum> = BTreeMap::new();
    for event in events {
        let sum = sums.entry((event.organization_id.as_str(), event.period().start().millis())).or_default();
        let used = sum.used.checked_add(event.credits.micros());
        sum.used = used.ok_or_else(|| damaged("sum of credits", "it overflows"))?;
        sum.events = sum.events.saturating_add(1);
        sum.calls = sum.calls.saturating_add(i64::from(event.outcome == Outcome::Captured));
    }
    Ok(sums)
}

/// Balances, on an open connection.
pub(crate) struct Balances<'c, D: Dialect>(pub(crate) &'c mut D::Connection);

impl<D> Balances<'_, D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    /// Adds new events to their balances, in the order of their keys, so that two who add never wait for each other in a
    /// circle.
    pub(crate) async fn add(&mut self, events: &[&UsageEvent]) -> Result<(), StoreError> {
        let sums = sums(events)?;
        let rows = Batch::default()
            .texts(sums.keys().map(|key| key.0))
            .integers(sums.keys().map(|key| key.1))
            .integers(sums.values().map(|sum| sum.used))
            .integers(sums.values().map(|sum| sum.events))
            .integers(sums.values().map(|sum| sum.calls));
        rows.insert::<D>(&mut *self.0, INTO_BALANCES, MOVED).await?;
        Ok(())
    }

    pub(crate) async fn find(&mut self, of: &OrganizationId, period: Period) -> Result<Balance, StoreError> {
        let find = sqlx::query(FIND_BALANCE).bind(of.as_str()).bind(period.start().millis());
        let Some(row) = find.fetch_optional(&mut *self.0).await.map_err(from_driver)? else {
            return Ok(Balance::default());
        };
        Ok(Balance {
            used: credits(row.try_get(0).map_err(from_driver)?),
            events: count(row.try_get(1).map_err(from_driver)?)?,
            calls: count(row.try_get(2).map_err(from_driver)?)?,
            adjusted: credits(row.try_get(3).map_err(from_driver)?),
        })
    }

    /// Adds to what a balance counts as adjusted; the events themselves are added like all others.
    pub(crate) async fn add_adjusted(
        &mut self,
        of: &OrganizationId,
        period: Period,
        amount: Credits,
    ) -> Result<(), StoreError> {
        let add = sqlx::query(ADD_ADJUSTED).bind(of.as_str()).bind(period.start().millis()).bind(amount.micros());
        add.execute(&mut *self.0).await.map_err(from_driver)?;
        Ok(())
    }

    /// The periods `first` to `last`, with zeros where nothing happened.
    pub(crate) async fn monthly(
        &mut self,
        of: &OrganizationId,
        first: Period,
        last: Period,
    ) -> Result<Vec<MonthlyUsage>, StoreError> {
        let list =
            sqlx::query(LIST_BALANCES).bind(of.as_str()).bind(first.start().millis()).bind(last.start().millis());
        let mut months = Vec::new();
        let mut period = first;
        while period <= last {
            months.push(MonthlyUsage { period, credits: credits(0), count: 0 });
            period = period.next();
        }
        for row in list.fetch_all(&mut *self.0).await.map_err(from_driver)? {
            let period = Period::of(Timestamp::from_millis(row.try_get(0).map_err(from_driver)?));
            if let Some(month) = months.iter_mut().find(|month| month.period == period) {
                month.credits = credits(row.try_get(1).map_err(from_driver)?);
                month.count = count(row.try_get(2).map_err(from_driver)?)?;
            }
        }
        Ok(months)
    }
}
