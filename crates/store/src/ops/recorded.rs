//! Recorded events of all organisations, in the order of their ids, and what the definitions said that priced them.

use ledger::{EventDefinition, OrganizationId, StoreError, Timestamp, UsageEvent, UsageEventId};
use sqlx::{AssertSqlSafe, ColumnIndex, Decode, Encode, Executor, Row as _, Type};

use super::{count, from_text};
use crate::dialect::Dialect;
use crate::error::from_driver;

/// Ids have their times in them, so the key is the index by time: between two ids in one database, between two times in
/// the other, whose key begins with the time.
const PAGE: &str = "SELECT document FROM usage_events WHERE event_id > $1 AND event_id < $2
    AND occurred_at_ms >= $3 AND occurred_at_ms < $4";
/// The same of one organisation, by its own index.
const PAGE_OF: &str = "SELECT document FROM usage_events WHERE organization_id = $6 AND event_id > $1 AND event_id < $2
    AND occurred_at_ms >= $3 AND occurred_at_ms < $4 ORDER BY occurred_at_ms, event_id LIMIT $5";
const COUNT: &str = "SELECT COUNT(*) FROM usage_events
    WHERE occurred_at_ms >= $1 AND occurred_at_ms < $2 AND ($3 IS NULL OR organization_id = $3)";
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
        of: Option<&OrganizationId>,
        range: (Timestamp, Timestamp),
        after: Option<UsageEventId>,
        limit: u32,
    ) -> Result<Vec<UsageEvent>, StoreError> {
        let least = after.and_then(UsageEventId::moment).unwrap_or(range.0).max(range.0);
        let [from, until] = [range.0, range.1].map(UsageEventId::least_at);
        let (after, until) = (after.unwrap_or(from).max(from).to_string(), until.to_string());
        let text = match of {
            Some(_) => PAGE_OF.to_owned(),
            None => format!("{PAGE} ORDER BY {} LIMIT $5", D::BY_EVENT_ID),
        };
        let asked = sqlx::query(AssertSqlSafe(text)).bind(after.as_str()).bind(until.as_str());
        let mut asked = asked.bind(least.millis()).bind(range.1.millis()).bind(i64::from(limit));
        if let Some(of) = of {
            asked = asked.bind(of.as_str());
        }
        let rows = asked.fetch_all(&mut *self.0).await.map_err(from_driver)?;
        rows.iter().map(|row| from_text("usage event", row.try_get(0).map_err(from_driver)?)).collect()
    }

    pub(crate) async fn count(
        &mut self,
        of: Option<&OrganizationId>,
        range: (Timestamp, Timestamp),
    ) -> Result<u64, StoreError> {
        let asked = sqlx::query(COUNT).bind(range.0.millis()).bind(range.1.millis());
        let asked = asked.bind(of.map(OrganizationId::as_str));
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
