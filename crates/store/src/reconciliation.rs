//! Reconciliation: the usage events alone say what balances and rollups must be. What differs is told, and on request
//! written anew. Events are never changed.

use async_trait::async_trait;
use ledger::{Balance, Change, Changed, Credits, Day, EventType, OrganizationId, Period, StoreError, UserId};
use serde::Serialize;
use sqlx::{ColumnIndex, Decode, Encode, Executor, Type};

use crate::dialect::Dialect;
use crate::ops::audit::{Act, Audit};
use crate::ops::balances::Balances;
use crate::ops::reconciliation::Reconciling;
use crate::sql_store::{SqlStore, commit};

/// What the events say beside what is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Of a balance.
    Balance(BalanceDifference),
    /// Of a daily rollup.
    Rollup(RollupDifference),
}

/// A balance that is not as the events have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalanceDifference {
    /// Whose.
    pub organization_id: OrganizationId,
    /// Of when.
    pub period: Period,
    /// As the events have it.
    pub by_events: Balance,
    /// As it is stored; zeros where it is not.
    pub stored: Balance,
}

/// A daily rollup that is not as the events have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollupDifference {
    /// Whose.
    pub organization_id: OrganizationId,
    /// Of when.
    pub day: Day,
    /// Of which calls.
    pub event_type: EventType,
    /// By whom.
    pub user_id: UserId,
    /// As the events have it.
    pub by_events: RollupSum,
    /// As it is stored; zeros where it is not.
    pub stored: RollupSum,
}

/// What a daily rollup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RollupSum {
    /// Σ credits.
    pub credits: Credits,
    /// How many events.
    pub events: u64,
}

impl Difference {
    /// Whose books differ.
    pub fn organization_id(&self) -> &OrganizationId {
        match self {
            Self::Balance(difference) => &difference.organization_id,
            Self::Rollup(difference) => &difference.organization_id,
        }
    }

    /// By how many credits, whichever is more.
    pub fn credits(&self) -> Credits {
        let (by_events, stored) = match self {
            Self::Balance(difference) => (difference.by_events.used, difference.stored.used),
            Self::Rollup(difference) => (difference.by_events.credits, difference.stored.credits),
        };
        by_events.saturating_sub(stored).max(stored.saturating_sub(by_events))
    }
}

/// A period that was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Whether its events are there. Where retention has dropped them there is nothing to compare with.
    pub events_kept: bool,
    /// How many organisations have anything in it.
    pub organizations: u64,
    /// What their events add up to.
    pub by_events: Balance,
}

/// What a repair wrote anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// The balance before and after, where it differed.
    pub balance: Option<(Balance, Balance)>,
    /// How many rollups differed.
    pub rollups: u64,
}

/// Comparing what is stored with what the events say.
#[async_trait]
pub trait Reconciliation: Send + Sync + 'static {
    /// The first and the last period of which anything is known, of one organisation or of all.
    async fn span(&self, of: Option<&OrganizationId>) -> Result<Option<(Period, Period)>, StoreError>;

    /// Compares a period, of one organisation or of all, in one snapshot, however many events are added meanwhile. Each
    /// difference is told as it is found, an organisation at a time.
    async fn compare(
        &self,
        period: Period,
        of: Option<&OrganizationId>,
        tell: &mut (dyn FnMut(Difference) + Send),
    ) -> Result<Compared, StoreError>;

    /// Writes an organisation's rollups of a period anew from its events, and its balance where it differs, with an audit
    /// entry, in one transaction. Where nothing differs, or the events are gone, nothing is written.
    async fn repair(&self, id: &OrganizationId, period: Period, change: &Change) -> Result<Repaired, StoreError>;
}

#[async_trait]
impl<D> Reconciliation for SqlStore<D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    async fn span(&self, of: Option<&OrganizationId>) -> Result<Option<(Period, Period)>, StoreError> {
        let mut snapshot = self.reconciling().await?;
        Reconciling::<D>(&mut snapshot).span(of).await
    }

    async fn compare(
        &self,
        period: Period,
        of: Option<&OrganizationId>,
        tell: &mut (dyn FnMut(Difference) + Send),
    ) -> Result<Compared, StoreError> {
        let mut snapshot = self.reconciling().await?;
        // It looks at the events first, and so keeps retention from dropping them until the end.
        let first = Reconciling::<D>(&mut snapshot).next_organization("", period).await?;
        let mut compared = Compared::default();
        if !D::keeps_events(&mut snapshot, period).await? {
            return Ok(compared);
        }
        compared.events_kept = true;
        let mut next = of.cloned().or(first);
        while let Some(id) = next {
            let by_events = self.compare_one(&mut snapshot, &id, period, tell).await?;
            compared.organizations = compared.organizations.saturating_add(1);
            compared.by_events.used = compared.by_events.used.saturating_add(by_events.used);
            compared.by_events.events = compared.by_events.events.saturating_add(by_events.events);
            compared.by_events.calls = compared.by_events.calls.saturating_add(by_events.calls);
            compared.by_events.adjusted = compared.by_events.adjusted.saturating_add(by_events.adjusted);
            next = match of {
                Some(_) => None,
                None => Reconciling::<D>(&mut snapshot).next_organization(id.as_str(), period).await?,
            };
        }
        Ok(compared)
    }

    async fn repair(&self, id: &OrganizationId, period: Period, change: &Change) -> Result<Repaired, StoreError> {
        let mut transaction = self.repairing().await?;
        let stored = Reconciling::<D>(&mut transaction).claim_balance(id, period).await?;
        let by_events = Reconciling::<D>(&mut transaction).sum_events(id, period).await?;
        let rollups = Reconciling::<D>(&mut transaction).compare_rollups(id, period).await?;
        let kept = D::keeps_events(&mut transaction, period).await?;
        if !kept || (stored == by_events && rollups.is_empty()) {
            return Ok(Repaired::default());
        }
        if stored != by_events {
            Reconciling::<D>(&mut transaction).set_balance(id, period, by_events).await?;
        }
        if !rollups.is_empty() {
            Reconciling::<D>(&mut transaction).rebuild_rollups(id, period).await?;
        }
        let old = Books::of(stored, rollups.iter().map(|difference| difference.stored));
        let new = Books::of(by_events, rollups.iter().map(|difference| difference.by_events));
        let changed = Changed::Organization(id.clone());
        let part = Some(format!("period:{period}"));
        let act = Act { action: "books.repair", changed: &changed, part, old: Some(&old), new: Some(&new) };
        Audit::<D>(&mut transaction).record(act, change).await?;
        commit::<D>(transaction).await?;
        Ok(Repaired {
            balance: (stored != by_events).then_some((stored, by_events)),
            rollups: u64::try_from(rollups.len()).unwrap_or(u64::MAX),
        })
    }
}

impl<D> SqlStore<D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    /// Compares one organisation, and answers what its events add up to.
    async fn compare_one(
        &self,
        snapshot: &mut D::Connection,
        id: &OrganizationId,
        period: Period,
        tell: &mut (dyn FnMut(Difference) + Send),
    ) -> Result<Balance, StoreError> {
        let by_events = Reconciling::<D>(&mut *snapshot).sum_events(id, period).await?;
        let stored = Balances::<D>(&mut *snapshot).find(id, period).await?;
        if stored != by_events {
            let organization_id = id.clone();
            tell(Difference::Balance(BalanceDifference { organization_id, period, by_events, stored }));
        }
        for difference in Reconciling::<D>(snapshot).compare_rollups(id, period).await? {
            tell(Difference::Rollup(difference));
        }
        Ok(by_events)
    }
}

/// The books of a period in an audit entry: its balance, and the sums of the rollups that were wrong.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Books {
    used: Credits,
    events: u64,
    calls: u64,
    adjusted: Credits,
    rollup_credits: Credits,
    rollup_events: u64,
}

impl Books {
    fn of(balance: Balance, rollups: impl Iterator<Item = RollupSum>) -> Self {
        let Balance { used, events, calls, adjusted } = balance;
        rollups.fold(
            Self { used, events, calls, adjusted, rollup_credits: Credits::ZERO, rollup_events: 0 },
            |sum, rollup| Self {
                rollup_credits: sum.rollup_credits.saturating_add(rollup.credits),
                rollup_events: sum.rollup_events.saturating_add(rollup.events),
                ..sum
            },
        )
    }
}
