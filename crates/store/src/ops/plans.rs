//! Plans.

use ledger::{Plan, PlanName, StoreError};
use sqlx::{ColumnIndex, Decode, Encode, Executor, Row as _, Type};

use super::{from_text, to_text};
use crate::dialect::Dialect;
use crate::error::from_driver;

const FIND_PLAN: &str = "SELECT document FROM plans WHERE plan = $1";
const LIST_PLANS: &str = "SELECT document FROM plans ORDER BY plan";
const PUT_PLAN: &str = "INSERT INTO plans (plan, document) VALUES ($1, $2)
    ON CONFLICT (plan) DO UPDATE SET document = excluded.document";

/// Plans, on an open connection.
pub(crate) struct Plans<'c, D: Dialect>(pub(crate) &'c mut D::Connection);

impl<D> Plans<'_, D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    pub(crate) async fn find(&mut self, plan: &PlanName) -> Result<Option<Plan>, StoreError> {
        let row = sqlx::query(FIND_PLAN).bind(plan.as_str()).fetch_optional(&mut *self.0).await.map_err(from_driver)?;
        row.map(|row| from_text("plan", row.try_get(0).map_err(from_driver)?)).transpose()
    }

    pub(crate) async fn list(&mut self) -> Result<Vec<Plan>, StoreError> {
        let rows = sqlx::query(LIST_PLANS).fetch_all(&mut *self.0).await.map_err(from_driver)?;
        rows.iter().map(|row| from_text("plan", row.try_get(0).map_err(from_driver)?)).collect()
    }

    pub(crate) async fn put(&mut self, plan: &Plan) -> Result<(), StoreError> {
        let document = to_text(plan)?;
        sqlx::query(PUT_PLAN)
            .bind(plan.plan.as_str())
            .bind(document.as_str())
            .execute(&mut *self.0)
            .await
            .map_err(from_driver)?;
        Ok(())
    }
}
