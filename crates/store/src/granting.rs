//! Grants: what is left of them is taken when they end and goes with them from month to month, by adjustments like any
//! other, all of a period's in one transaction.

use async_trait::async_trait;
use ledger::{
    Adjusted, Change, Changed, CreditGrant, CreditGrants, Credits, NewAdjustment, OrganizationId, Period, StoreError,
    Timestamp, UsageEventId, left_of,
};
use sqlx::{ColumnIndex, Decode, Encode, Executor, Type};

use crate::adjusting::make;
use crate::claim::{Claimed, claim};
use crate::dialect::Dialect;
use crate::error::damaged;
use crate::ops::audit::{Act, Audit};
use crate::ops::credit_grants::GrantRows;
use crate::ops::organizations::Organizations;
use crate::sql_store::{SqlStore, commit};

#[async_trait]
impl<D> CreditGrants for SqlStore<D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    async fn credit_grants(&self, id: &OrganizationId) -> Result<Vec<CreditGrant>, StoreError> {
        self.within(async { GrantRows::<D>(&mut *self.read().await?).list(id).await }).await
    }

    async fn end_credit_grant(
        &self,
        id: &OrganizationId,
        grant: UsageEventId,
        change: &Change,
    ) -> Result<bool, StoreError> {
        self.within(async {
            let mut transaction = self.change().await?;
            let open = GrantRows::<D>(&mut transaction).list(id).await?;
            let Some(old) = open.iter().find(|open| open.id == grant && open.expires_at > change.at) else {
                return Ok(false);
            };
            GrantRows::<D>(&mut transaction).end(id, grant, change.at).await?;
            let changed = Changed::Organization(id.clone());
            let part = Some(format!("event:{grant}"));
            let (old, new) = (old.expires_at, change.at);
            let act = Act { action: "credit_grant.end", changed: &changed, part, old: Some(&old), new: Some(&new) };
            Audit::<D>(&mut transaction).record(act, change).await?;
            commit::<D>(transaction).await?;
            Ok(true)
        })
        .await
    }

    async fn credit_grants_due(&self, now: Timestamp) -> Result<Vec<(OrganizationId, Period)>, StoreError> {
        self.within(async { GrantRows::<D>(&mut *self.read().await?).due(now).await }).await
    }

    async fn move_credit_grants(
        &self,
        id: &OrganizationId,
        period: Period,
        free: Option<Credits>,
        change: &Change,
    ) -> Result<bool, StoreError> {
        let (out, into) = (leaving(period, change), change.clone());
        let mut room = Vec::new();
        for change in [out, into] {
            let event = moving(id, UsageEventId::new(change.at), period, Credits::ZERO)?.event(&change, None);
            room.push(event.map_err(|error| damaged("user id", error))?);
        }
        self.within(async {
            D::make_room(self, &room).await?;
            let mut transaction = self.change().await?;
            let moved = move_all::<D>(&mut transaction, id, period, free, change).await?;
            if moved {
                commit::<D>(transaction).await?;
            }
            Ok(moved)
        })
        .await
    }
}

async fn move_all<D>(
    conn: &mut D::Connection,
    id: &OrganizationId,
    period: Period,
    free: Option<Credits>,
    change: &Change,
) -> Result<bool, StoreError>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    let present = Period::of(change.at);
    let mut grants = GrantRows::<D>(&mut *conn).list(id).await?;
    grants.retain(|grant| grant.period == period);
    if !grants.iter().any(|grant| grant.is_due(change.at)) {
        return Ok(false);
    }
    let free = match free {
        Some(free) => Some(free),
        None => free_of::<D>(&mut *conn, id, period, present).await?,
    };
    let Some(free) = free else { return Ok(false) };
    let left = left_of(&grants, free);
    for (grant, left) in grants.iter().zip(left).filter(|(grant, _)| grant.is_due(change.at)) {
        let goes_on = grant.expires_at > change.at;
        if left > Credits::ZERO {
            let taken = moving(id, grant.id, period, left)?;
            must_be_made(make_one::<D>(&mut *conn, &taken, &leaving(period, change)).await?)?;
        }
        if goes_on && left > Credits::ZERO {
            let given = moving(id, grant.id, present, Credits::ZERO.saturating_sub(left))?;
            must_be_made(make_one::<D>(&mut *conn, &given, change).await?)?;
        }
        GrantRows::<D>(&mut *conn).put(id, grant.id, goes_on.then_some((present, left))).await?;
    }
    Ok(true)
}

/// What the limit leaves beside what is used and leased; `None` where a month that is over has leases: what they hold may
/// still be charged or come back.
async fn free_of<D>(
    conn: &mut D::Connection,
    id: &OrganizationId,
    period: Period,
    present: Period,
) -> Result<Option<Credits>, StoreError>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    let Some(organization) = Organizations::<D>(&mut *conn).find(id).await? else { return Ok(None) };
    let Claimed { used, leased, limit } = claim::<D>(&mut *conn, &organization, period).await?;
    if period < present && leased > Credits::ZERO {
        return Ok(None);
    }
    Ok(Some(limit.remaining(used.saturating_add(leased)).unwrap_or(Credits::MAX)))
}

async fn make_one<D>(conn: &mut D::Connection, new: &NewAdjustment, change: &Change) -> Result<Adjusted, StoreError>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    let event = new.event(change, None).map_err(|error| damaged("user id", error))?;
    make::<D>(conn, new, event, change).await
}

fn must_be_made(adjusted: Adjusted) -> Result<(), StoreError> {
    match adjusted {
        Adjusted::Made(_) => Ok(()),
        other => Err(damaged("grant", format!("it cannot be moved: {other:?}"))),
    }
}

/// Credits of a grant that leave a period, or come into one where they are below zero. The key has a blank in it, which
/// no client's has.
fn moving(
    id: &OrganizationId,
    grant: UsageEventId,
    period: Period,
    credits: Credits,
) -> Result<NewAdjustment, StoreError> {
    let (way, reason) = if credits.is_negative() {
        ("into", format!("what was left of the grant {grant} is carried over"))
    } else {
        ("out of", format!("what was left of the grant {grant} leaves the month, or ended"))
    };
    Ok(NewAdjustment {
        organization_id: id.clone(),
        key: format!("{grant} {way} {period}"),
        credits,
        reason,
        adjusts: None,
        user_id: CreditGrant::USER.parse().ok(),
        expires_at: None,
        // No request asks for it: it is named for its grant.
        request_id: grant.to_string().parse().map_err(|error| damaged("request id", error))?,
        endpoint: "(credit grants)",
    })
}

/// The same change at the last instant of a month that is over.
fn leaving(period: Period, change: &Change) -> Change {
    Change { at: change.at.min(period.end().plus_millis(-1)), ..change.clone() }
}
