//! Event definitions.

use ledger::{EventDefinition, EventType, StoreError};
use sqlx::Row as _;

use super::{from_text, to_text};
use crate::connection::Connection;
use crate::error::from_driver;

const FIND_DEFINITION: &str = "SELECT document FROM event_definitions WHERE event_type = $1";
const LIST_DEFINITIONS: &str = "SELECT document FROM event_definitions ORDER BY event_type";
const PUT_DEFINITION: &str = "INSERT INTO event_definitions (event_type, version, document) VALUES ($1, $2, $3)
    ON CONFLICT (event_type) DO UPDATE SET version = excluded.version, document = excluded.document";

pub(crate) async fn find(conn: &mut Connection, of: &EventType) -> Result<Option<EventDefinition>, StoreError> {
    let row = sqlx::query(FIND_DEFINITION).bind(of.as_str()).fetch_optional(conn).await.map_err(from_driver)?;
    row.map(|row| from_text("event definition", row.try_get(0).map_err(from_driver)?)).transpose()
}

pub(crate) async fn list(conn: &mut Connection) -> Result<Vec<EventDefinition>, StoreError> {
    let rows = sqlx::query(LIST_DEFINITIONS).fetch_all(conn).await.map_err(from_driver)?;
    rows.iter().map(|row| from_text("event definition", row.try_get(0).map_err(from_driver)?)).collect()
}

pub(crate) async fn put(conn: &mut Connection, definition: &EventDefinition) -> Result<(), StoreError> {
    let document = to_text(definition)?;
    let put = sqlx::query(PUT_DEFINITION).bind(definition.event_type.as_str()).bind(definition.version).bind(document);
    put.execute(conn).await.map_err(from_driver)?;
    Ok(())
}
