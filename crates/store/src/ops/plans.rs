//! Plans.

use ledger::{Plan, PlanName, StoreError};
use sqlx::Row as _;

use super::{from_text, to_text};
use crate::connection::Connection;
use crate::error::from_driver;

const FIND_PLAN: &str = "SELECT document FROM plans WHERE plan = $1";
const LIST_PLANS: &str = "SELECT document FROM plans ORDER BY plan";
const PUT_PLAN: &str = "INSERT INTO plans (plan, document) VALUES ($1, $2)
    ON CONFLICT (plan) DO UPDATE SET document = excluded.document";

pub(crate) async fn find(conn: &mut Connection, plan: &PlanName) -> Result<Option<Plan>, StoreError> {
    let row = sqlx::query(FIND_PLAN).bind(plan.as_str()).fetch_optional(conn).await.map_err(from_driver)?;
    row.map(|row| from_text("plan", row.try_get(0).map_err(from_driver)?)).transpose()
}

pub(crate) async fn list(conn: &mut Connection) -> Result<Vec<Plan>, StoreError> {
    let rows = sqlx::query(LIST_PLANS).fetch_all(conn).await.map_err(from_driver)?;
    rows.iter().map(|row| from_text("plan", row.try_get(0).map_err(from_driver)?)).collect()
}

pub(crate) async fn put(conn: &mut Connection, plan: &Plan) -> Result<(), StoreError> {
    let document = to_text(plan)?;
    sqlx::query(PUT_PLAN).bind(plan.plan.as_str()).bind(document).execute(conn).await.map_err(from_driver)?;
    Ok(())
}
