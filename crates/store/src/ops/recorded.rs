//! Recorded events of all organisations, in the order of their ids, and what the definitions said that priced them.

use ledger::{EventDefinition, StoreError, Timestamp, UsageEvent, UsageEventId};
use sqlx::{ColumnIndex, Decode, Encode, Executor, Row as _, Type};

use super::{count, from_text};
use crate::dialect::Dialect;
use crate::error::from_driver;

const PAGE: &str =
    "SELECT document FROM usage_events WHERE event_id > $1 AND occurred_at_ms >= $2 AND occurred_at_ms < $3
    ORDER BY event_id LIMIT $4";
const COUNT: &str = "SELECT COUNT(*) FROM usage_events WHERE occurred_at_ms >= $1 AND occurred_at_ms < $2";
const FIND: &str = "SELECT document FROM usage_events WHERE event_id = $1 AND occurred_at_ms = $2";
/// Each change has what was before it and after it, so the trail and the present together know every version.
const CHANGED_DEFINITIONS: &str =
    "SELECT old_value, new_value FROM audit_entries WHERE target LIKE 'event_definition:%' ORDER BY audit_entry_id";

/// Recorded events, on an open connection.
pub(crate) struct Events<'c, D: Dialect>(pub(crate) &'c mut D::Connection);

impl<D> Events<'_, D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    pub(crate) async fn page(
        &mut self,
        range: (Timestamp, Timestamp),
        after: Option<UsageEventId>,
        limit: u32,
    ) -> Result<Vec<UsageEvent>, StoreError> {
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let asked = sqlx::query(PAGE).bind(after.as_str()).bind(range.0.millis()).bind(range.1.millis());
        let rows = asked.bind(i64::from(limit)).fetch_all(&mut *self.0).await.map_err(from_driver)?;
        rows.iter().map(|row| from_text("usage event", row.try_get(0).map_err(from_driver)?)).collect()
    }

    pub(crate) async fn count(&mut self, range: (Timestamp, Timestamp)) -> Result<u64, StoreError> {
        let asked = sqlx::query(COUNT).bind(range.0.millis()).bind(range.1.millis());
        let row = asked.fetch_one(&mut *self.0).await.map_err(from_driver)?;
        count(row.try_get(0).map_err(from_driver)?)
    }

    pub(crate) async fn find(&mut self, id: UsageEventId) -> Result<Option<UsageEvent>, StoreError> {
        let Some(occurred_at) = id.moment() else { return Ok(None) };
        let text = id.to_string();
        let asked = sqlx::query(FIND).bind(text.as_str()).bind(occurred_at.millis());
        let row = asked.fetch_optional(&mut *self.0).await.map_err(from_driver)?;
        row.map(|row| from_text("usage event", row.try_get(0).map_err(from_driver)?)).transpose()
    }

    pub(crate) async fn changed_definitions(&mut self) -> Result<Vec<EventDefinition>, StoreError> {
        let rows = sqlx::query(CHANGED_DEFINITIONS).fetch_all(&mut *self.0).await.map_err(from_driver)?;
        let mut versions = Vec::new();
        for row in &rows {
            for column in [0, 1] {
                let version: Option<EventDefinition> =
                    from_text("event definition", row.try_get(column).map_err(from_driver)?)?;
                versions.extend(version);
            }
        }
        Ok(versions)
    }
}
