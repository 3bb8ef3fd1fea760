//! Keys of machines: each change with its audit entry and its number, in one transaction. What is audited must never have a
//! digest in it.

use std::cmp::Reverse;
use std::sync::Arc;

use async_trait::async_trait;
use ledger::{ApiKey, ApiKeyId, ApiKeys, Change, Changed, KeyDigest, KeyMade, OrganizationId, StoreError};
use sqlx::{ColumnIndex, Decode, Encode, Executor, Type};

use crate::dialect::Dialect;
use crate::ops::api_keys::KeyRows;
use crate::ops::audit::{Act, Audit};
use crate::ops::organizations::Organizations;
use crate::sql_store::{SqlStore, commit};

#[async_trait]
impl<D> ApiKeys for SqlStore<D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    async fn make_api_key(&self, key: &ApiKey, digest: &KeyDigest, change: &Change) -> Result<KeyMade, StoreError> {
        self.within(async {
            // Changes of the directory take turns, so that what is counted is still so when the key is added.
            let mut transaction = self.change().await?;
            if Organizations::<D>(&mut transaction).find(&key.organization_id).await?.is_none() {
                return Ok(KeyMade::UnknownOrganization);
            }
            let most = u64::try_from(ApiKey::PER_ORGANIZATION_MAX).unwrap_or(u64::MAX);
            if KeyRows::<D>(&mut transaction).count(&key.organization_id).await? >= most {
                return Ok(KeyMade::TooMany);
            }
            KeyRows::<D>(&mut transaction).add(key, digest).await?;
            let changed = Changed::Organization(key.organization_id.clone());
            let part = Some(format!("api_key:{}", key.id));
            let act = Act { action: "api_key.create", changed: &changed, part, old: None, new: Some(key) };
            Audit::<D>(&mut transaction).record(act, change).await?;
            commit::<D>(transaction).await?;
            Ok(KeyMade::Made)
        })
        .await
    }

    async fn revoke_api_key(&self, of: &OrganizationId, id: &ApiKeyId, change: &Change) -> Result<bool, StoreError> {
        self.within(async {
            let mut transaction = self.change().await?;
            let Some(old) = KeyRows::<D>(&mut transaction).find(of, id).await? else { return Ok(false) };
            KeyRows::<D>(&mut transaction).remove(of, id).await?;
            let changed = Changed::Organization(of.clone());
            let part = Some(format!("api_key:{id}"));
            let act = Act { action: "api_key.revoke", changed: &changed, part, old: Some(&old), new: None };
            Audit::<D>(&mut transaction).record(act, change).await?;
            commit::<D>(transaction).await?;
            Ok(true)
        })
        .await
    }

    async fn api_keys(&self, of: &OrganizationId) -> Result<Vec<(KeyDigest, ApiKey)>, StoreError> {
        self.within(async {
            let mut keys = KeyRows::<D>(&mut *self.read().await?).list(of).await?;
            keys.sort_by(|(_, one), (_, other)| {
                (Reverse(one.created_at), &one.id).cmp(&(Reverse(other.created_at), &other.id))
            });
            Ok(keys)
        })
        .await
    }

    async fn all_api_keys(&self) -> Result<Vec<(KeyDigest, ApiKey)>, StoreError> {
        self.within(async { KeyRows::<D>(&mut *self.read().await?).list_all().await }).await
    }

    async fn api_key(&self, digest: &KeyDigest) -> Result<Option<Arc<ApiKey>>, StoreError> {
        self.within(async { Ok(KeyRows::<D>(&mut *self.read().await?).find_by(digest).await?.map(Arc::new)) }).await
    }
}
