//! Uploaded plugins and the steps of their life: each with its audit entry and its number, in one transaction.

use async_trait::async_trait;
use ledger::{
    AuditEntry, Change, Changed, EventType, PluginFile, PluginHash, Rollout, Rollouts, Step, StepRefused, StoreError,
    StoredPlugin,
};
use serde::Serialize;
use sqlx::{ColumnIndex, Decode, Encode, Executor, Type};

use crate::dialect::Dialect;
use crate::ops::audit::{Act, Audit};
use crate::ops::plugins::Plugins;
use crate::sql_store::{SqlStore, commit};

/// Plugins that are kept, at most. None is ever dropped: usage events name the one that priced them.
pub(crate) const PLUGINS_MAX: u64 = 500;

/// What the audit trail says of a change: the reason stands beside the new values.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Audited<'a, T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    made: Option<&'a Step>,
    #[serde(flatten)]
    value: &'a T,
}

impl<'a, T> Audited<'a, T> {
    fn old(value: &'a T) -> Self {
        Self { reason: None, made: None, value }
    }

    fn new(why: &'a str, made: Option<&'a Step>, value: &'a T) -> Self {
        Self { reason: Some(why), made, value }
    }
}

#[async_trait]
impl<D> Rollouts for SqlStore<D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> &'v [u8]: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    async fn put_plugin(
        &self,
        plugin: &StoredPlugin,
        file: &PluginFile,
        why: &str,
        change: &Change,
    ) -> Result<Option<StoredPlugin>, StoreError> {
        self.within(async {
            let mut transaction = self.change().await?;
            let old = Plugins::<D>(&mut transaction).find(&plugin.sha256).await?;
            if old.is_none() && Plugins::<D>(&mut transaction).count().await? >= PLUGINS_MAX {
                return Ok(None);
            }
            let mut wanted = plugin.clone();
            if let Some(old) = &old {
                (wanted.uploaded_at, wanted.uploaded_by) = (old.uploaded_at, old.uploaded_by.clone());
                let there = Plugins::<D>(&mut transaction).file(&plugin.sha256).await?;
                if there.as_ref() == Some(file) && wanted == *old {
                    return Ok(Some(wanted));
                }
            }
            Plugins::<D>(&mut transaction).put(&wanted, file).await?;
            let (before, after) = (old.as_ref().map(Audited::old), Audited::new(why, None, &wanted));
            let act = Act {
                action: "pricing.upload",
                changed: &Changed::Pricing,
                part: Some(format!("plugin:{}", wanted.sha256)),
                old: before.as_ref(),
                new: Some(&after),
            };
            Audit::<D>(&mut transaction).record(act, change).await?;
            commit::<D>(transaction).await?;
            Ok(Some(wanted))
        })
        .await
    }

    async fn plugins(&self) -> Result<Vec<StoredPlugin>, StoreError> {
        self.within(async { Plugins::<D>(&mut *self.read().await?).list().await }).await
    }

    async fn plugin_file(&self, of: &PluginHash) -> Result<Option<PluginFile>, StoreError> {
        self.within(async { Plugins::<D>(&mut *self.read().await?).file(of).await }).await
    }

    async fn rollout(&self) -> Result<Rollout, StoreError> {
        self.within(async { Plugins::<D>(&mut *self.read().await?).rollout().await }).await
    }

    async fn step(
        &self,
        step: &Step,
        in_use: &[EventType],
        why: &str,
        change: &Change,
    ) -> Result<Result<Rollout, StepRefused>, StoreError> {
        self.within(async {
            let mut transaction = self.change().await?;
            if let Some(sha256) = step.plugin() {
                let Some(plugin) = Plugins::<D>(&mut transaction).find(sha256).await? else {
                    return Ok(Err(StepRefused::UnknownPlugin(sha256.clone())));
                };
                let lacks = plugin.lacks(in_use);
                if step.charges() && !lacks.is_empty() {
                    return Ok(Err(StepRefused::NotPriced(lacks)));
                }
            }
            let old = Plugins::<D>(&mut transaction).rollout().await?;
            let new = match old.after(step) {
                Ok(new) => new,
                Err(refused) => return Ok(Err(refused)),
            };
            if new == old {
                return Ok(Ok(new));
            }
            Plugins::<D>(&mut transaction).put_rollout(&new).await?;
            let (before, after) = (Audited::old(&old), Audited::new(why, Some(step), &new));
            let act = Act {
                action: step.action(),
                changed: &Changed::Pricing,
                part: None,
                old: Some(&before),
                new: Some(&after),
            };
            Audit::<D>(&mut transaction).record(act, change).await?;
            commit::<D>(transaction).await?;
            Ok(Ok(new))
        })
        .await
    }

    async fn steps(&self, before: Option<i64>, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        self.within(async { Audit::<D>(&mut *self.read().await?).list_pricing(before, limit).await }).await
    }
}
