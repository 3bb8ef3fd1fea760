//! Usage events: when the statements of `ops` run, and in which transaction.

use async_trait::async_trait;
use ledger::{
    Balance, HistoryFilter, HistoryPage, MonthlyUsage, OrganizationId, PageRequest, Period, StoreError, UsageEvent,
    UsageEventId, UsageReport, UsageStore, UserId,
};

use super::{SqliteStore, commit};
use crate::ops::{balances, events, history, rollups};

#[async_trait]
impl UsageStore for SqliteStore {
    async fn apply(&self, applied: &[UsageEvent]) -> Result<u64, StoreError> {
        if applied.is_empty() {
            return Ok(0);
        }
        let mut transaction = self.write().await?;
        let mut new = events::add(&mut transaction, applied).await?;
        // Taken out as they are met, so that an event which a batch names twice counts once.
        let added: Vec<&UsageEvent> = applied.iter().filter(|event| new.remove(&event.id)).collect();
        if !added.is_empty() {
            balances::add(&mut transaction, &added).await?;
            rollups::add(&mut transaction, &added).await?;
        }
        commit(transaction).await?;
        Ok(u64::try_from(added.len()).unwrap_or(u64::MAX))
    }

    async fn balance(&self, id: &OrganizationId, period: Period) -> Result<Balance, StoreError> {
        balances::find(&mut *self.read().await?, id, period).await
    }

    async fn event(&self, id: &OrganizationId, event: UsageEventId) -> Result<Option<UsageEvent>, StoreError> {
        events::find(&mut *self.read().await?, id, event).await
    }

    async fn history(
        &self,
        id: &OrganizationId,
        filter: &HistoryFilter,
        page: PageRequest,
    ) -> Result<HistoryPage, StoreError> {
        let mut snapshot = self.readers.begin().await.map_err(crate::error::from_driver)?;
        history::page(&mut snapshot, id, filter, page).await
    }

    async fn report(
        &self,
        id: &OrganizationId,
        period: Period,
        user: Option<&UserId>,
    ) -> Result<UsageReport, StoreError> {
        let mut snapshot = self.readers.begin().await.map_err(crate::error::from_driver)?;
        rollups::report(&mut snapshot, id, period, user).await
    }

    async fn monthly(&self, id: &OrganizationId, first: Period, last: Period) -> Result<Vec<MonthlyUsage>, StoreError> {
        balances::monthly(&mut *self.read().await?, id, first, last).await
    }
}
