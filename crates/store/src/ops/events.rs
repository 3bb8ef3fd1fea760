//! Usage events: added once, by id.

use std::collections::HashSet;

use ledger::{OrganizationId, StoreError, UsageEvent, UsageEventId};
use serde_json::json;
use sqlx::Row as _;

use super::{from_text, id, to_text};
use crate::connection::Connection;
use crate::error::from_driver;

/// One parameter, a JSON array of rows; an event that is there already is passed over and not answered.
const ADD_EVENTS: &str =
    "INSERT INTO usage_events (event_id, organization_id, user_id, event_type, category, session_id,
    occurred_at_ms, outcome, credits_micros, document)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
    value ->> 8, value ->> 9 FROM json_each($1) WHERE true
    ON CONFLICT (event_id) DO NOTHING RETURNING event_id";
const FIND_EVENT: &str = "SELECT document FROM usage_events WHERE event_id = $1 AND organization_id = $2";

/// Adds events; answers the ids of those that were new.
pub(crate) async fn add(conn: &mut Connection, events: &[UsageEvent]) -> Result<HashSet<UsageEventId>, StoreError> {
    let rows: Vec<serde_json::Value> = events.iter().map(row).collect::<Result<_, _>>()?;
    let added = sqlx::query(ADD_EVENTS).bind(to_text(&rows)?).fetch_all(conn).await.map_err(from_driver)?;
    added.iter().map(|row| id("event id", row.try_get(0).map_err(from_driver)?)).collect()
}

pub(crate) async fn find(
    conn: &mut Connection,
    of: &OrganizationId,
    event: UsageEventId,
) -> Result<Option<UsageEvent>, StoreError> {
    let find = sqlx::query(FIND_EVENT).bind(event.to_string()).bind(of.as_str());
    let row = find.fetch_optional(conn).await.map_err(from_driver)?;
    row.map(|row| from_text("usage event", row.try_get(0).map_err(from_driver)?)).transpose()
}

fn row(event: &UsageEvent) -> Result<serde_json::Value, StoreError> {
    Ok(json!([
        event.id,
        event.organization_id,
        event.user_id,
        event.event_type,
        event.category,
        event.session_id,
        event.occurred_at.millis(),
        event.outcome.as_str(),
        event.credits.micros(),
        to_text(event)?,
    ]))
}
