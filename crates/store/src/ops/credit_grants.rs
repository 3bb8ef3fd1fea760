//! Grants that have not ended, and where their credits are. One that has ended stays as the events that it made.

use ledger::{CreditGrant, Credits, OrganizationId, Period, StoreError, Timestamp, UsageEventId};
use sqlx::{ColumnIndex, Decode, Encode, Executor, Row as _, Type};

use super::{credits, id};
use crate::dialect::Dialect;
use crate::error::from_driver;

const ADD_GRANT: &str =
    "INSERT INTO credit_grants (organization_id, event_id, expires_at_ms, period_start_ms, credits_micros)
    VALUES ($1, $2, $3, $4, $5)";
const LIST_GRANTS: &str = "SELECT event_id, expires_at_ms, period_start_ms, credits_micros FROM credit_grants
    WHERE organization_id = $1 ORDER BY expires_at_ms, event_id";
const END_GRANT: &str =
    "UPDATE credit_grants SET expires_at_ms = $3 WHERE organization_id = $1 AND event_id = $2 AND expires_at_ms > $3";
const MOVE_GRANT: &str = "UPDATE credit_grants SET period_start_ms = $3, credits_micros = $4
    WHERE organization_id = $1 AND event_id = $2";
const DROP_GRANT: &str = "DELETE FROM credit_grants WHERE organization_id = $1 AND event_id = $2";
const LIST_DUE: &str = "SELECT DISTINCT organization_id, period_start_ms FROM credit_grants
    WHERE expires_at_ms <= $1 OR period_start_ms < $2 ORDER BY 1, 2 LIMIT 100";

/// Grants, on an open connection.
pub(crate) struct GrantRows<'c, D: Dialect>(pub(crate) &'c mut D::Connection);

impl<D> GrantRows<'_, D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    pub(crate) async fn add(&mut self, of: &OrganizationId, grant: &CreditGrant) -> Result<(), StoreError> {
        let add = sqlx::query(ADD_GRANT).bind(of.as_str()).bind(grant.id.to_string().as_str());
        let add = add.bind(grant.expires_at.millis()).bind(grant.period.start().millis()).bind(grant.credits.micros());
        add.execute(&mut *self.0).await.map_err(from_driver)?;
        Ok(())
    }

    /// In the order in which they end.
    pub(crate) async fn list(&mut self, of: &OrganizationId) -> Result<Vec<CreditGrant>, StoreError> {
        let rows = sqlx::query(LIST_GRANTS).bind(of.as_str()).fetch_all(&mut *self.0).await.map_err(from_driver)?;
        let read = |row: &D::Row| -> Result<CreditGrant, StoreError> {
            Ok(CreditGrant {
                id: id("event id", row.try_get(0).map_err(from_driver)?)?,
                expires_at: Timestamp::from_millis(row.try_get(1).map_err(from_driver)?),
                period: Period::of(Timestamp::from_millis(row.try_get(2).map_err(from_driver)?)),
                credits: credits(row.try_get(3).map_err(from_driver)?),
            })
        };
        rows.iter().map(read).collect()
    }

    pub(crate) async fn end(
        &mut self,
        of: &OrganizationId,
        grant: UsageEventId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let end = sqlx::query(END_GRANT).bind(of.as_str()).bind(grant.to_string().as_str()).bind(at.millis());
        end.execute(&mut *self.0).await.map_err(from_driver)?;
        Ok(())
    }

    /// Puts what is left of a grant into a period; nothing left, or no period, is its end.
    pub(crate) async fn put(
        &mut self,
        of: &OrganizationId,
        grant: UsageEventId,
        into: Option<(Period, Credits)>,
    ) -> Result<(), StoreError> {
        let id = grant.to_string();
        let put = match into.filter(|(_, left)| *left > Credits::ZERO) {
            Some((period, left)) => sqlx::query(MOVE_GRANT)
                .bind(of.as_str())
                .bind(id.as_str())
                .bind(period.start().millis())
                .bind(left.micros()),
            None => sqlx::query(DROP_GRANT).bind(of.as_str()).bind(id.as_str()),
        };
        put.execute(&mut *self.0).await.map_err(from_driver)?;
        Ok(())
    }

    pub(crate) async fn due(&mut self, now: Timestamp) -> Result<Vec<(OrganizationId, Period)>, StoreError> {
        let due = sqlx::query(LIST_DUE).bind(now.millis()).bind(Period::of(now).start().millis());
        let rows = due.fetch_all(&mut *self.0).await.map_err(from_driver)?;
        let read = |row: &D::Row| -> Result<_, StoreError> {
            let period = Period::of(Timestamp::from_millis(row.try_get(1).map_err(from_driver)?));
            Ok((id("organisation id", row.try_get(0).map_err(from_driver)?)?, period))
        };
        rows.iter().map(read).collect()
    }
}
