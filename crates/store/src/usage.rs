//! Usage events: when the statements of `ops` run, and in which transaction.

use async_trait::async_trait;
use ledger::{
    Balance, Credits, HistoryFilter, HistoryPage, InstanceId, MonthlyUsage, OrganizationId, PageRequest, Period,
    StoreError, UsageEvent, UsageEventId, UsageReport, UsageStore, UserId,
};

use sqlx::{ColumnIndex, Decode, Encode, Executor, Type};

use crate::dialect::Dialect;
use crate::ops::balances::Balances;
use crate::ops::events::Events;
use crate::ops::history::History;
use crate::ops::rollups::Rollups;
use crate::sql_store::{SqlStore, commit};

/// How often a transaction is begun in all, where the next try may well succeed.
pub(crate) const ATTEMPTS: u32 = 4;

#[async_trait]
impl<D> UsageStore for SqlStore<D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    /// An unknown outcome, such as a connection lost while it committed, is settled by trying again: what arrived the
    /// first time changes nothing the second time. Only the number that is answered is then too small.
    async fn apply(&self, events: &[UsageEvent]) -> Result<u64, StoreError> {
        if events.is_empty() {
            return Ok(0);
        }
        self.until_added(|asking| self.apply_once(events, asking)).await
    }

    async fn persist(&self) -> Result<(), StoreError> {
        self.within(D::persist(self)).await
    }

    async fn balance(&self, id: &OrganizationId, period: Period) -> Result<Balance, StoreError> {
        self.within(async { Balances::<D>(&mut *self.read().await?).find(id, period).await }).await
    }

    async fn used_by(&self, id: &OrganizationId, period: Period, user: &UserId) -> Result<Credits, StoreError> {
        self.within(async { Rollups::<D>(&mut *self.read().await?).used_by(id, period, user).await }).await
    }

    async fn event(&self, id: &OrganizationId, event: UsageEventId) -> Result<Option<UsageEvent>, StoreError> {
        self.within(async { Events::<D>(&mut *self.read().await?).find(id, event).await }).await
    }

    async fn history(
        &self,
        id: &OrganizationId,
        filter: &HistoryFilter,
        page: PageRequest,
    ) -> Result<HistoryPage, StoreError> {
        self.within(async {
            let mut snapshot = self.snapshot().await?;
            History::<D>(&mut snapshot).page(id, filter, page).await
        })
        .await
    }

    async fn report(
        &self,
        id: &OrganizationId,
        period: Period,
        user: Option<&UserId>,
    ) -> Result<UsageReport, StoreError> {
        self.within(async {
            let mut snapshot = self.snapshot().await?;
            Rollups::<D>(&mut snapshot).report(id, period, user).await
        })
        .await
    }

    async fn monthly(&self, id: &OrganizationId, first: Period, last: Period) -> Result<Vec<MonthlyUsage>, StoreError> {
        self.within(async { Balances::<D>(&mut *self.read().await?).monthly(id, first, last).await }).await
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
    /// Begins a transaction that adds events until one is through: again where the next try may well succeed, and where
    /// it must be asked which events are new.
    pub(crate) async fn until_added<F>(&self, add: impl Fn(Asking) -> F + Send + Sync) -> Result<u64, StoreError>
    where
        F: Future<Output = Result<Option<u64>, StoreError>> + Send,
    {
        self.within(async {
            let (mut attempt, mut asking) = (1, Asking::IfAllAreNew);
            loop {
                match add(asking).await {
                    Ok(None) => asking = Asking::WhichAreNew,
                    Ok(Some(added)) => return Ok(added),
                    Err(error) if attempt < ATTEMPTS && D::try_again(self, &error) => attempt += 1,
                    Err(error) => return Err(error),
                }
            }
        })
        .await
    }

    /// `None` where nothing was added, because it must be asked which are new.
    async fn apply_once(&self, events: &[UsageEvent], asking: Asking) -> Result<Option<u64>, StoreError> {
        D::make_room(self, events).await?;
        let mut transaction = self.adding().await?;
        let Some(added) = add_all::<D>(&mut transaction, events, asking, None).await? else { return Ok(None) };
        commit::<D>(transaction).await?;
        Ok(Some(u64::try_from(added.len()).unwrap_or(u64::MAX)))
    }
}

/// What adding events asks of the database. All are new as a rule, and to be told of each costs more than half as much as to
/// add it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asking {
    IfAllAreNew,
    WhichAreNew,
}

/// Adds events and all that they add up to, taken from the leases of the instance that charged them, if one did; answers
/// those that were new. `None` where it was asked whether all are and some
/// were there already: the transaction is to be dropped.
pub(crate) async fn add_all<'e, D>(
    conn: &mut D::Connection,
    events: &'e [UsageEvent],
    asking: Asking,
    charged_by: Option<InstanceId>,
) -> Result<Option<Vec<&'e UsageEvent>>, StoreError>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    let mut statements = Events::<D>(&mut *conn);
    let added: Vec<&UsageEvent> = match asking {
        Asking::IfAllAreNew if statements.add_new(events).await? => events.iter().collect(),
        Asking::IfAllAreNew => return Ok(None),
        Asking::WhichAreNew => {
            let mut new = statements.add(events).await?;
            // Taken out as they are met, so that an event which a batch names twice counts once.
            events.iter().filter(|event| new.remove(&event.id)).collect()
        }
    };
    if !added.is_empty() {
        Balances::<D>(&mut *conn).add(&added).await?;
        Rollups::<D>(&mut *conn).add(&added).await?;
        D::charge(&mut *conn, &added, charged_by).await?;
    }
    Ok(Some(added))
}
