//! Adjustments: the event, what it adds up to, its key and its audit entry, in one transaction.

use async_trait::async_trait;
use ledger::{
    Adjusted, AdjustmentRefused, Adjustments, Change, Changed, CreditGrant, Credits, NewAdjustment, OrganizationId,
    Period, StoreError, UsageEvent, UsageEventId,
};
use sqlx::{ColumnIndex, Decode, Encode, Executor, Type};

use crate::claim::{Claimed, claim};
use crate::dialect::Dialect;
use crate::error::damaged;
use crate::ops::adjustments::AdjustmentRows;
use crate::ops::audit::{Act, Audit};
use crate::ops::balances::Balances;
use crate::ops::credit_grants::GrantRows;
use crate::ops::events::Events;
use crate::ops::organizations::Organizations;
use crate::sql_store::{SqlStore, commit};
use crate::usage::{Asking, add_all};

#[async_trait]
impl<D> Adjustments for SqlStore<D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    async fn adjust(&self, new: &NewAdjustment, change: &Change) -> Result<Adjusted, StoreError> {
        // The user may still change; the id, its time and so its month do not.
        let event = new.event(change, None).map_err(|error| damaged("user id", error))?;
        self.within(async {
            D::make_room(self, std::slice::from_ref(&event)).await?;
            let mut transaction = self.change().await?;
            let adjusted = make::<D>(&mut transaction, new, event, change).await?;
            if let Adjusted::Made(_) = adjusted {
                commit::<D>(transaction).await?;
            }
            Ok(adjusted)
        })
        .await
    }

    async fn adjusted(&self, new: &NewAdjustment) -> Result<Option<Adjusted>, StoreError> {
        self.within(async { AdjustmentRows::<D>(&mut *self.read().await?).find(new).await }).await
    }

    async fn adjustments(
        &self,
        id: &OrganizationId,
        before: Option<UsageEventId>,
        limit: u32,
    ) -> Result<Vec<UsageEvent>, StoreError> {
        self.within(async { AdjustmentRows::<D>(&mut *self.read().await?).list(id, before, limit).await }).await
    }
}

/// Makes an adjustment in a transaction that changes the directory: others wait, so that a key is looked up once.
pub(crate) async fn make<D>(
    conn: &mut D::Connection,
    new: &NewAdjustment,
    mut event: UsageEvent,
    change: &Change,
) -> Result<Adjusted, StoreError>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    let id = &new.organization_id;
    let refused = |why| Ok(Adjusted::Refused(why));
    if let Some(before) = AdjustmentRows::<D>(&mut *conn).find(new).await? {
        return Ok(before);
    }
    let Some(organization) = Organizations::<D>(&mut *conn).find(id).await? else {
        return refused(AdjustmentRefused::NoOrganization);
    };
    if let Some(adjusts) = new.adjusts {
        let Some(adjusted) = Events::<D>(&mut *conn).find(id, adjusts).await? else {
            return refused(AdjustmentRefused::NoEvent);
        };
        let before = AdjustmentRows::<D>(&mut *conn).sum_of(id, adjusts).await?;
        let left = adjusted.credits.max(Credits::ZERO).saturating_add(before);
        if new.credits.is_negative() && left.saturating_add(new.credits).is_negative() {
            return refused(AdjustmentRefused::MoreThanCharged { left: left.max(Credits::ZERO) });
        }
        event.user_id = new.user_id.clone().unwrap_or(adjusted.user_id);
    }
    if new.expires_at.is_some() && GrantRows::<D>(&mut *conn).list(id).await?.len() >= CreditGrant::OPEN_MAX {
        return refused(AdjustmentRefused::TooManyGrants);
    }
    let period = Period::of(event.occurred_at);
    let Claimed { used, leased, limit } = claim::<D>(&mut *conn, &organization, period).await?;
    if let Some(why) = AdjustmentRefused::of(new.credits, used, leased, limit) {
        return refused(why);
    }
    add_all::<D>(&mut *conn, std::slice::from_ref(&event), Asking::WhichAreNew, None).await?;
    Balances::<D>(&mut *conn).add_adjusted(id, period, event.credits).await?;
    AdjustmentRows::<D>(&mut *conn).add(new, &event).await?;
    if let Some(expires_at) = new.expires_at {
        let credits = Credits::ZERO.saturating_sub(new.credits);
        let grant = CreditGrant { id: event.id, expires_at, period, credits };
        GrantRows::<D>(&mut *conn).add(id, &grant).await?;
    }
    let changed = Changed::Organization(id.clone());
    let part = Some(format!("event:{}", event.id));
    let act = Act { action: "adjustment.make", changed: &changed, part, old: None, new: Some(new) };
    Audit::<D>(&mut *conn).record(act, change).await?;
    Ok(Adjusted::Made(event))
}
