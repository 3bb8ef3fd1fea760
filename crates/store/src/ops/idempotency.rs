//! Keys of calls, and how much each organisation keeps. Whoever changes both locks the rows of keys first, then totals in
//! the order of organisations.

use std::collections::BTreeMap;

use ledger::{
    CallKey, InstanceId, KeptAnswer, KeyClaim, OrganizationId, StoreError, TakenKey, Timestamp, UsageEventId,
};
use sqlx::{ColumnIndex, Decode, Encode, Executor, Row as _, Type};

use super::id;
use crate::dialect::{Asked, Dialect};
use crate::error::{damaged, from_driver};

const CLAIM: &str = "INSERT INTO idempotency_keys (organization_id, endpoint, idempotency_key, fingerprint, event_id,
    event_at_ms, instance_id, expires_at_ms, answer_state, answer_bytes)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'awaited', 0) ON CONFLICT DO NOTHING RETURNING event_id";
const FIND: &str = "SELECT fingerprint, event_id, answer_state, answer, expires_at_ms FROM idempotency_keys
    WHERE organization_id = $1 AND endpoint = $2 AND idempotency_key = $3";
const KEEP: &str = "UPDATE idempotency_keys SET answer_state = $5, answer = $6, answer_bytes = $7, expires_at_ms = $8
    WHERE organization_id = $1 AND endpoint = $2 AND idempotency_key = $3 AND event_id = $4 AND answer_state = 'awaited'
    RETURNING event_id";
const DROP_ANSWER: &str = "UPDATE idempotency_keys SET answer_state = 'dropped', answer = NULL, answer_bytes = 0
    WHERE organization_id = $1 AND endpoint = $2 AND idempotency_key = $3 AND event_id = $4";
const FREE: &str = "DELETE FROM idempotency_keys
    WHERE organization_id = $1 AND endpoint = $2 AND idempotency_key = $3 AND event_id = $4 AND answer_state = 'awaited'
    RETURNING organization_id, answer_bytes";
const DELETE_IF_ENDED: &str = "DELETE FROM idempotency_keys
    WHERE organization_id = $1 AND endpoint = $2 AND idempotency_key = $3 AND expires_at_ms <= $4
    RETURNING organization_id, answer_bytes";
const FREE_THOSE_OF: &str = "DELETE FROM idempotency_keys WHERE answer_state = 'awaited' AND instance_id = $1
    AND NOT EXISTS (SELECT 1 FROM usage_events e WHERE e.event_id = idempotency_keys.event_id
        AND e.occurred_at_ms = idempotency_keys.event_at_ms AND (e.outcome = 'captured' OR e.credits_micros > 0))
    RETURNING organization_id, answer_bytes";
const DELETE_ENDED: &str = "DELETE FROM idempotency_keys WHERE (organization_id, endpoint, idempotency_key) IN
    (SELECT organization_id, endpoint, idempotency_key FROM idempotency_keys WHERE expires_at_ms <= $1
        ORDER BY expires_at_ms LIMIT $2)
    RETURNING organization_id, answer_bytes";
const COUNT_KEY: &str = "INSERT INTO idempotency_totals (organization_id, keys, answer_bytes) VALUES ($1, 1, 0)
    ON CONFLICT (organization_id) DO UPDATE SET keys = idempotency_totals.keys + 1
    WHERE idempotency_totals.keys < $2 RETURNING keys";
const COUNT_ANSWER: &str = "UPDATE idempotency_totals SET answer_bytes = answer_bytes + $2
    WHERE organization_id = $1 AND answer_bytes + $2 <= $3 RETURNING answer_bytes";
const DISCOUNT: &str = "UPDATE idempotency_totals SET keys = keys - $2, answer_bytes = answer_bytes - $3
    WHERE organization_id = $1";

/// What is gone: keys and bytes of answers, by organisation.
pub(crate) type Gone = BTreeMap<OrganizationId, (i64, i64)>;

/// Keys of calls, on an open connection.
pub(crate) struct Keys<'c, D: Dialect>(pub(crate) &'c mut D::Connection);

impl<D> Keys<'_, D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    /// Whether the key was not taken, and now is.
    pub(crate) async fn claim(&mut self, claim: &KeyClaim) -> Result<bool, StoreError> {
        let event_at = claim.event.moment().ok_or_else(|| damaged("usage event id", "it has no time"))?;
        let add = of_call::<D>(CLAIM, &claim.call)
            .bind(claim.fingerprint.as_str())
            .bind(claim.event.to_string().as_str())
            .bind(event_at.millis())
            .bind(name_of(claim.instance).as_str())
            .bind(claim.until.millis());
        Ok(add.fetch_optional(&mut *self.0).await.map_err(from_driver)?.is_some())
    }

    /// A key that is taken, and when it ends.
    pub(crate) async fn find(&mut self, call: &CallKey) -> Result<Option<(TakenKey, Timestamp)>, StoreError> {
        let row = of_call::<D>(FIND, call).fetch_optional(&mut *self.0).await.map_err(from_driver)?;
        let Some(row) = row else { return Ok(None) };
        let text = |column: usize| row.try_get::<&str, _>(column).map_err(from_driver);
        let answer = match text(2)? {
            "awaited" => KeptAnswer::Awaited,
            "dropped" => KeptAnswer::Dropped,
            "whole" => KeptAnswer::Whole(text(3)?.into()),
            other => return Err(damaged("state of an answer", other)),
        };
        let taken = TakenKey { fingerprint: text(0)?.to_owned(), event: id("event id", text(1)?)?, answer };
        Ok(Some((taken, Timestamp::from_millis(row.try_get(4).map_err(from_driver)?))))
    }

    /// Whether the organisation may have one key more, which is then counted.
    pub(crate) async fn count_key(&mut self, of: &OrganizationId, keys_max: i64) -> Result<bool, StoreError> {
        let count = sqlx::query(COUNT_KEY).bind(of.as_str()).bind(keys_max);
        Ok(count.fetch_optional(&mut *self.0).await.map_err(from_driver)?.is_some())
    }

    /// Whether it may keep so many bytes more, which are then counted.
    pub(crate) async fn count_answer(&mut self, of: &OrganizationId, more: i64, max: i64) -> Result<bool, StoreError> {
        let count = sqlx::query(COUNT_ANSWER).bind(of.as_str()).bind(more).bind(max);
        Ok(count.fetch_optional(&mut *self.0).await.map_err(from_driver)?.is_some())
    }

    /// Whether the answer belongs to the claim, which is now over.
    pub(crate) async fn keep(
        &mut self,
        call: &CallKey,
        event: UsageEventId,
        answer: Option<&str>,
        bytes: i64,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let keep = of_call::<D>(KEEP, call)
            .bind(event.to_string().as_str())
            .bind(if answer.is_some() { "whole" } else { "dropped" })
            .bind(answer)
            .bind(bytes)
            .bind(until.millis());
        Ok(keep.fetch_optional(&mut *self.0).await.map_err(from_driver)?.is_some())
    }

    pub(crate) async fn drop_answer(&mut self, call: &CallKey, event: UsageEventId) -> Result<(), StoreError> {
        let drop_it = of_call::<D>(DROP_ANSWER, call).bind(event.to_string().as_str());
        drop_it.execute(&mut *self.0).await.map_err(from_driver)?;
        Ok(())
    }

    pub(crate) async fn free(&mut self, call: &CallKey, event: UsageEventId) -> Result<Gone, StoreError> {
        self.delete(of_call::<D>(FREE, call).bind(event.to_string().as_str())).await
    }

    pub(crate) async fn delete_if_ended(&mut self, call: &CallKey, now: Timestamp) -> Result<Gone, StoreError> {
        self.delete(of_call::<D>(DELETE_IF_ENDED, call).bind(now.millis())).await
    }

    pub(crate) async fn free_those_of(&mut self, instance: Option<InstanceId>) -> Result<Gone, StoreError> {
        self.delete(sqlx::query(FREE_THOSE_OF).bind(name_of(instance).as_str())).await
    }

    pub(crate) async fn delete_ended(&mut self, now: Timestamp, limit: u32) -> Result<Gone, StoreError> {
        self.delete(sqlx::query(DELETE_ENDED).bind(now.millis()).bind(i64::from(limit))).await
    }

    /// Deletes keys, and counts them no more.
    async fn delete(&mut self, delete: Asked<'_, D>) -> Result<Gone, StoreError> {
        let mut gone = Gone::new();
        for row in delete.fetch_all(&mut *self.0).await.map_err(from_driver)? {
            let of = id("organisation id", row.try_get(0).map_err(from_driver)?)?;
            let bytes: i64 = row.try_get(1).map_err(from_driver)?;
            let sum = gone.entry(of).or_default();
            *sum = (sum.0.saturating_add(1), sum.1.saturating_add(bytes));
        }
        for (of, (keys, bytes)) in &gone {
            let discount = sqlx::query(DISCOUNT).bind(of.as_str()).bind(*keys).bind(*bytes);
            discount.execute(&mut *self.0).await.map_err(from_driver)?;
        }
        Ok(gone)
    }
}

/// A statement that begins with the three parts of a key.
fn of_call<'q, D>(statement: &'static str, call: &CallKey) -> Asked<'q, D>
where
    D: Dialect,
    for<'v> &'v str: Encode<'v, D> + Type<D>,
{
    sqlx::query(statement).bind(call.organization_id.as_str()).bind(&*call.endpoint).bind(call.key.as_str())
}

/// A gateway that has the database for itself needs no name.
fn name_of(instance: Option<InstanceId>) -> String {
    instance.map_or_else(String::new, |instance| instance.to_string())
}
