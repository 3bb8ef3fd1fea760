//! Keys of calls: when the statements of `ops` run, and in which transaction. What is asked again after a lost connection
//! finds its own claim by the event's id, which nobody else can have made.

use async_trait::async_trait;
use ledger::{
    CallKey, Claimed, IdempotencyStore, InstanceId, KeptAnswer, KeyClaim, KeyLimits, StoreError, Timestamp,
    UsageEventId,
};
use sqlx::{ColumnIndex, Decode, Encode, Executor, Type};

use crate::dialect::Dialect;
use crate::error::damaged;
use crate::ops::idempotency::{Gone, Keys};
use crate::sql_store::{SqlStore, commit};
use crate::usage::ATTEMPTS;

#[async_trait]
impl<D> IdempotencyStore for SqlStore<D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    async fn claim_key(&self, claim: &KeyClaim, limits: KeyLimits) -> Result<Claimed, StoreError> {
        self.within(async {
            let mut attempt = 1;
            loop {
                match self.claim_once(claim, limits).await {
                    Ok(Some(claimed)) => return Ok(claimed),
                    // Whoever had it let go of it between two statements, or it was at its end: the next look decides.
                    Ok(None) => {}
                    Err(error) if attempt < ATTEMPTS && D::try_again(self, &error) => attempt += 1,
                    Err(error) => return Err(error),
                }
            }
        })
        .await
    }

    async fn keep_answer(
        &self,
        call: &CallKey,
        event: UsageEventId,
        answer: Option<&str>,
        until: Timestamp,
        limits: KeyLimits,
    ) -> Result<Option<KeptAnswer>, StoreError> {
        self.within(async {
            let mut attempt = 1;
            loop {
                match self.keep_once(call, event, answer, until, limits).await {
                    Err(error) if attempt < ATTEMPTS && D::try_again(self, &error) => attempt += 1,
                    done => return done,
                }
            }
        })
        .await
    }

    async fn free_key(&self, call: &CallKey, event: UsageEventId) -> Result<bool, StoreError> {
        self.within(async {
            let mut transaction = self.keys().await?;
            let gone = Keys::<D>(&mut transaction).free(call, event).await?;
            commit::<D>(transaction).await?;
            Ok(!gone.is_empty())
        })
        .await
    }

    async fn free_keys_of(&self, instance: Option<InstanceId>) -> Result<u64, StoreError> {
        self.within(async {
            let mut transaction = self.keys().await?;
            let gone = Keys::<D>(&mut transaction).free_those_of(instance).await?;
            commit::<D>(transaction).await?;
            Ok(how_many(&gone))
        })
        .await
    }

    async fn delete_ended_keys(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.within(async {
            let mut transaction = self.keys().await?;
            let gone = Keys::<D>(&mut transaction).delete_ended(now, limit).await?;
            commit::<D>(transaction).await?;
            Ok(how_many(&gone))
        })
        .await
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
    async fn claim_once(&self, claim: &KeyClaim, limits: KeyLimits) -> Result<Option<Claimed>, StoreError> {
        let mut transaction = self.keys().await?;
        if Keys::<D>(&mut transaction).claim(claim).await? {
            let of = &claim.call.organization_id;
            if !Keys::<D>(&mut transaction).count_key(of, stored(limits.keys)?).await? {
                return Ok(Some(Claimed::Full));
            }
            commit::<D>(transaction).await?;
            return Ok(Some(Claimed::First));
        }
        let Some((taken, until)) = Keys::<D>(&mut transaction).find(&claim.call).await? else { return Ok(None) };
        if taken.event == claim.event {
            return Ok(Some(Claimed::First));
        }
        if until > claim.at {
            return Ok(Some(Claimed::Taken(taken)));
        }
        Keys::<D>(&mut transaction).delete_if_ended(&claim.call, claim.at).await?;
        commit::<D>(transaction).await?;
        Ok(None)
    }

    async fn keep_once(
        &self,
        call: &CallKey,
        event: UsageEventId,
        answer: Option<&str>,
        until: Timestamp,
        limits: KeyLimits,
    ) -> Result<Option<KeptAnswer>, StoreError> {
        let bytes = i64::try_from(answer.map_or(0, str::len)).map_err(|error| damaged("answer", error))?;
        let mut transaction = self.keys().await?;
        if !Keys::<D>(&mut transaction).keep(call, event, answer, bytes, until).await? {
            let found = Keys::<D>(&mut transaction).find(call).await?;
            let ours = found.map(|(taken, _)| taken).filter(|taken| taken.event == event);
            return Ok(ours.map(|taken| taken.answer));
        }
        let max = stored(limits.answer_bytes)?;
        let fits = bytes == 0 || Keys::<D>(&mut transaction).count_answer(&call.organization_id, bytes, max).await?;
        if !fits {
            Keys::<D>(&mut transaction).drop_answer(call, event).await?;
        }
        commit::<D>(transaction).await?;
        Ok(Some(match answer.filter(|_| fits) {
            Some(answer) => KeptAnswer::Whole(answer.into()),
            None => KeptAnswer::Dropped,
        }))
    }
}

fn stored(limit: u64) -> Result<i64, StoreError> {
    i64::try_from(limit).map_err(|error| damaged("limit", error))
}

fn how_many(gone: &Gone) -> u64 {
    gone.values().map(|(keys, _)| u64::try_from(*keys).unwrap_or(0)).sum()
}
