//! What was recorded, over all organisations: for whoever prices it once more. Nothing here changes anything.

use async_trait::async_trait;
use ledger::{EventDefinition, OrganizationId, StoreError, Timestamp, UsageEvent, UsageEventId};
use sqlx::{ColumnIndex, Decode, Encode, Executor, Type};

use crate::dialect::Dialect;
use crate::ops::definitions::Definitions;
use crate::ops::recorded::Events;
use crate::sql_store::SqlStore;

/// Recorded events of all organisations, and the definitions that priced them.
#[async_trait]
pub trait Recorded: Send + Sync + 'static {
    /// The events of a range, its end out, in the order of their ids; at most `limit` of those `after` one. All of them,
    /// or those of one organisation.
    async fn recorded(
        &self,
        of: Option<&OrganizationId>,
        range: (Timestamp, Timestamp),
        after: Option<UsageEventId>,
        limit: u32,
    ) -> Result<Vec<UsageEvent>, StoreError>;
    /// How many there are.
    async fn recorded_count(
        &self,
        of: Option<&OrganizationId>,
        range: (Timestamp, Timestamp),
    ) -> Result<u64, StoreError>;
    /// One event, whoever's it is.
    async fn recorded_event(&self, id: UsageEventId) -> Result<Option<UsageEvent>, StoreError>;
    /// Every version of every event definition, in no order; one may be there twice.
    async fn definitions_ever(&self) -> Result<Vec<EventDefinition>, StoreError>;
}

#[async_trait]
impl<D> Recorded for SqlStore<D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    async fn recorded(
        &self,
        of: Option<&OrganizationId>,
        range: (Timestamp, Timestamp),
        after: Option<UsageEventId>,
        limit: u32,
    ) -> Result<Vec<UsageEvent>, StoreError> {
        Events::<D>(&mut *self.read().await?).page(of, range, after, limit).await
    }

    async fn recorded_count(
        &self,
        of: Option<&OrganizationId>,
        range: (Timestamp, Timestamp),
    ) -> Result<u64, StoreError> {
        // All events of many months are counted: that may take longer than a statement may elsewhere.
        Events::<D>(&mut *self.reconciling().await?).count(of, range).await
    }

    async fn recorded_event(&self, id: UsageEventId) -> Result<Option<UsageEvent>, StoreError> {
        Events::<D>(&mut *self.read().await?).find(id).await
    }

    async fn definitions_ever(&self) -> Result<Vec<EventDefinition>, StoreError> {
        let mut connection = self.read().await?;
        let mut versions = Events::<D>(&mut connection).changed_definitions().await?;
        versions.extend(Definitions::<D>(&mut connection).list().await?);
        Ok(versions)
    }
}
