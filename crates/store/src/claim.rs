//! An organisation's balance of a month, taken hold of by whoever changes it outside of calls.

use ledger::{Credits, Limit, Organization, Period, StoreError};
use sqlx::{ColumnIndex, Decode, Encode, Executor, Type};

use crate::dialect::Dialect;
use crate::error::damaged;
use crate::ops::adjustments::AdjustmentRows;
use crate::ops::plans::Plans;
use crate::ops::reconciliation::Reconciling;

/// What may be spent of a month, and what of that is gone. Until its transaction ends nobody moves the balance or grants a
/// lease on it.
pub(crate) struct Claimed {
    pub(crate) used: Credits,
    pub(crate) leased: Credits,
    pub(crate) limit: Limit,
}

/// Takes hold of a balance.
pub(crate) async fn claim<D>(
    conn: &mut D::Connection,
    organization: &Organization,
    period: Period,
) -> Result<Claimed, StoreError>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    let id = &organization.organization_id;
    let plan = Plans::<D>(&mut *conn).find(&organization.plan).await?;
    let plan = plan.ok_or_else(|| damaged("plan name", &organization.plan))?;
    let used = Reconciling::<D>(&mut *conn).claim_balance(id, period).await?.used;
    let leased = AdjustmentRows::<D>(&mut *conn).leased(id, period).await?;
    Ok(Claimed { used, leased, limit: plan.grant(&organization.usage_limits).credits })
}
