//! Organisations.

use ledger::{Organization, OrganizationId, StoreError, SubscriptionStatus, Timestamp};
use sqlx::{ColumnIndex, Decode, Encode, Executor, Row as _, Type};

use super::{from_text, id, to_text};
use crate::dialect::Dialect;
use crate::error::{damaged, from_driver};

const FIND_ORGANIZATION: &str =
    "SELECT organization_id, name, plan, subscription_status, usage_limits, alert_thresholds,
    auto_scaling, created_at_ms, updated_at_ms FROM organizations WHERE organization_id = $1";
const PUT_ORGANIZATION: &str =
    "INSERT INTO organizations (organization_id, name, plan, subscription_status, usage_limits,
    alert_thresholds, auto_scaling, created_at_ms, updated_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (organization_id) DO UPDATE SET name = excluded.name, plan = excluded.plan,
    subscription_status = excluded.subscription_status, usage_limits = excluded.usage_limits,
    alert_thresholds = excluded.alert_thresholds, auto_scaling = excluded.auto_scaling,
    updated_at_ms = excluded.updated_at_ms";

/// Organisations, on an open connection.
pub(crate) struct Organizations<'c, D: Dialect>(pub(crate) &'c mut D::Connection);

impl<D> Organizations<'_, D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    pub(crate) async fn find(&mut self, of: &OrganizationId) -> Result<Option<Organization>, StoreError> {
        let row =
            sqlx::query(FIND_ORGANIZATION).bind(of.as_str()).fetch_optional(&mut *self.0).await.map_err(from_driver)?;
        row.as_ref().map(Self::read).transpose()
    }

    pub(crate) async fn put(&mut self, organization: &Organization) -> Result<(), StoreError> {
        let put = sqlx::query(PUT_ORGANIZATION)
            .bind(organization.organization_id.as_str())
            .bind(organization.name.as_str())
            .bind(organization.plan.as_str())
            .bind(organization.subscription_status.as_str())
            .bind(to_text(&organization.usage_limits)?.as_str())
            .bind(to_text(&organization.alert_thresholds)?.as_str())
            .bind(to_text(&organization.auto_scaling)?.as_str())
            .bind(organization.created_at.millis())
            .bind(organization.updated_at.millis());
        put.execute(&mut *self.0).await.map_err(from_driver)?;
        Ok(())
    }

    fn read(row: &D::Row) -> Result<Organization, StoreError> {
        let text = |column: usize| row.try_get::<&str, _>(column).map_err(from_driver);
        let time = |column: usize| row.try_get(column).map(Timestamp::from_millis).map_err(from_driver);
        let status = text(3)?;
        Ok(Organization {
            organization_id: id("organisation id", text(0)?)?,
            name: text(1)?.to_owned(),
            plan: id("plan name", text(2)?)?,
            subscription_status: SubscriptionStatus::from_name(status).ok_or_else(|| damaged("status", status))?,
            usage_limits: from_text("usage limits", text(4)?)?,
            alert_thresholds: from_text("alert thresholds", text(5)?)?,
            auto_scaling: from_text("auto scaling", text(6)?)?,
            created_at: time(7)?,
            updated_at: time(8)?,
        })
    }
}
