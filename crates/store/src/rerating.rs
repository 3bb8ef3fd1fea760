//! Re-rating: the adjustments of many calls, their keys and what they add up to, in one transaction.

use std::collections::BTreeMap;

use async_trait::async_trait;
use ledger::{
    AdjustmentRefused, Change, Changed, Credits, NewPrice, OrganizationId, Outcome, Period, Rerated, Rerating,
    Reratings, StoreError, UsageEvent, UsageEventId,
};
use serde::Serialize;
use sqlx::{ColumnIndex, Decode, Encode, Executor, Type};

use crate::claim::{Claimed, claim};
use crate::dialect::Dialect;
use crate::error::damaged;
use crate::ops::adjustments::AdjustmentRows;
use crate::ops::audit::{Act, Audit};
use crate::ops::balances::Balances;
use crate::ops::events::Events;
use crate::ops::organizations::Organizations;
use crate::sql_store::{SqlStore, commit};
use crate::usage::{Asking, add_all};

#[async_trait]
impl<D> Reratings for SqlStore<D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    async fn rerate(&self, by: &Rerating, prices: &[NewPrice], change: &Change) -> Result<Vec<Rerated>, StoreError> {
        let Some(first) = prices.first() else { return Ok(Vec::new()) };
        // All of them are of the present month.
        let (_, event) = by.adjustment(first, None, change).map_err(|error| damaged("user id", error))?;
        self.within(async {
            D::make_room(self, std::slice::from_ref(&event)).await?;
            let mut transaction = self.change().await?;
            let rerated = make::<D>(&mut transaction, by, prices, change).await?;
            if rerated.contains(&Rerated::Made) {
                commit::<D>(transaction).await?;
            }
            Ok(rerated)
        })
        .await
    }

    async fn rerated(
        &self,
        first: UsageEventId,
        last: UsageEventId,
    ) -> Result<Vec<(UsageEventId, Credits)>, StoreError> {
        AdjustmentRows::<D>(&mut *self.read().await?).rerated(first, last).await
    }
}

/// What an event cost before, by its adjustments.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    /// Of re-ratings.
    rerated: Credits,
    /// Of all.
    adjusted: Credits,
    /// Whether this plan adjusted it.
    repeated: bool,
}

/// An organisation's balance of the present month, which nobody else moves meanwhile.
struct Account {
    claimed: Claimed,
    added: Credits,
    events: u64,
}

/// What of a plan was applied to an organisation, in its audit trail.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    plan: &'a str,
    plugin: &'a ledger::PluginIdentity,
    reason: &'a str,
    events: u64,
    credits: Credits,
}

async fn make<D>(
    conn: &mut D::Connection,
    by: &Rerating,
    prices: &[NewPrice],
    change: &Change,
) -> Result<Vec<Rerated>, StoreError>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    let ids: Vec<UsageEventId> = prices.iter().map(|price| price.event_id).collect();
    let recorded = Events::<D>(&mut *conn).find_all(&ids).await?;
    let recorded: BTreeMap<UsageEventId, UsageEvent> = recorded.into_iter().map(|event| (event.id, event)).collect();
    let mut before: BTreeMap<UsageEventId, Before> = BTreeMap::new();
    for (of, key, credits) in AdjustmentRows::<D>(&mut *conn).of_all(&ids).await? {
        let it = before.entry(of).or_default();
        it.adjusted = it.adjusted.saturating_add(credits);
        if key.starts_with(Rerating::KEY_PREFIX) {
            it.rerated = it.rerated.saturating_add(credits);
        }
        it.repeated |= key == by.key(of);
    }
    let mut accounts = BTreeMap::new();
    // What was applied already needs no balance.
    for price in prices.iter().filter(|price| before.get(&price.event_id).is_none_or(|before| !before.repeated)) {
        accounts.entry(&price.organization_id).or_insert(None);
    }
    let period = Period::of(change.at);
    // In the order of their names, as everybody does, so that none waits in a circle.
    for (id, account) in &mut accounts {
        let Some(organization) = Organizations::<D>(&mut *conn).find(id).await? else { continue };
        let claimed = claim::<D>(&mut *conn, &organization, period).await?;
        *account = Some(Account { claimed, added: Credits::ZERO, events: 0 });
    }
    let mut order: Vec<usize> = (0..prices.len()).collect();
    order.sort_by_key(|at| prices.get(*at).map(|price| price.difference));
    let (mut rerated, mut made) = (vec![Rerated::Repeated; prices.len()], Vec::new());
    for at in order {
        let (Some(price), Some(rerated)) = (prices.get(at), rerated.get_mut(at)) else { continue };
        let before = before.entry(price.event_id).or_default();
        let account = accounts.get_mut(&price.organization_id).and_then(Option::as_mut);
        *rerated = decide(price, recorded.get(&price.event_id), before, account);
        if *rerated == Rerated::Made {
            let user_id = recorded.get(&price.event_id).map(|event| event.user_id.clone());
            made.push(by.adjustment(price, user_id, change).map_err(|error| damaged("user id", error))?);
        }
    }
    if !made.is_empty() {
        let events: Vec<UsageEvent> = made.iter().map(|(_, event)| event.clone()).collect();
        add_all::<D>(&mut *conn, &events, Asking::WhichAreNew, None).await?;
        AdjustmentRows::<D>(&mut *conn).add_all(&made).await?;
        note::<D>(&mut *conn, by, &accounts, change).await?;
    }
    Ok(rerated)
}

/// What becomes of a new price; where its difference is made up, the account has it.
fn decide(
    price: &NewPrice,
    recorded: Option<&UsageEvent>,
    before: &mut Before,
    account: Option<&mut Account>,
) -> Rerated {
    let refused = Rerated::Refused;
    if before.repeated {
        return Rerated::Repeated;
    }
    let Some(account) = account else { return refused(AdjustmentRefused::NoOrganization) };
    let is_of = |event: &&UsageEvent| event.organization_id == price.organization_id;
    let Some(event) = recorded.filter(|event| event.outcome == Outcome::Captured).filter(is_of) else {
        return refused(AdjustmentRefused::NoEvent);
    };
    let rated = event.credits.saturating_add(before.rerated);
    if rated != price.charged {
        return refused(AdjustmentRefused::OtherPrice { rated });
    }
    let left = event.credits.saturating_add(before.adjusted);
    if price.difference.is_negative() && left.saturating_add(price.difference).is_negative() {
        return refused(AdjustmentRefused::MoreThanCharged { left: left.max(Credits::ZERO) });
    }
    let Claimed { used, leased, limit } = &mut account.claimed;
    if let Some(why) = AdjustmentRefused::of(price.difference, *used, *leased, *limit) {
        return refused(why);
    }
    // A plan that names an event twice adjusts it once.
    before.repeated = true;
    *used = used.saturating_add(price.difference);
    account.added = account.added.saturating_add(price.difference);
    account.events = account.events.saturating_add(1);
    Rerated::Made
}

/// Notes what was added to each account.
async fn note<D>(
    conn: &mut D::Connection,
    by: &Rerating,
    accounts: &BTreeMap<&OrganizationId, Option<Account>>,
    change: &Change,
) -> Result<(), StoreError>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    for (id, account) in accounts {
        let Some(Account { added, events, .. }) = account.as_ref().filter(|account| account.events > 0) else {
            continue;
        };
        Balances::<D>(&mut *conn).add_adjusted(id, Period::of(change.at), *added).await?;
        let changed = Changed::Organization((*id).clone());
        let entry = Entry { plan: &by.plan, plugin: &by.plugin, reason: &by.reason, events: *events, credits: *added };
        let act = Act { action: "adjustment.rerate", changed: &changed, part: None, old: None, new: Some(&entry) };
        Audit::<D>(&mut *conn).record(act, change).await?;
    }
    Ok(())
}
