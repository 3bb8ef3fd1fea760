//! Event definitions.

use ledger::{EventDefinition, EventType, StoreError};
use sqlx::{ColumnIndex, Decode, Encode, Executor, Row as _, Type};

use super::{from_text, to_text};
use crate::dialect::Dialect;
use crate::error::from_driver;

const FIND_DEFINITION: &str = "SELECT document FROM event_definitions WHERE event_type = $1";
const LIST_DEFINITIONS: &str = "SELECT document FROM event_definitions ORDER BY event_type";
const PUT_DEFINITION: &str = "INSERT INTO event_definitions (event_type, version, document) VALUES ($1, $2, $3)
    ON CONFLICT (event_type) DO UPDATE SET version = excluded.version, document = excluded.document";

/// Event definitions, on an open connection.
pub(crate) struct Definitions<'c, D: Dialect>(pub(crate) &'c mut D::Connection);

impl<D> Definitions<'_, D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    pub(crate) async fn find(&mut self, of: &EventType) -> Result<Option<EventDefinition>, StoreError> {
        let row =
            sqlx::query(FIND_DEFINITION).bind(of.as_str()).fetch_optional(&mut *self.0).await.map_err(from_driver)?;
        row.map(|row| from_text("event definition", row.try_get(0).map_err(from_driver)?)).transpose()
    }

    pub(crate) async fn list(&mut self) -> Result<Vec<EventDefinition>, StoreError> {
        let rows = sqlx::query(LIST_DEFINITIONS).fetch_all(&mut *self.0).await.map_err(from_driver)?;
        rows.iter().map(|row| from_text("event definition", row.try_get(0).map_err(from_driver)?)).collect()
    }

    pub(crate) async fn put(&mut self, definition: &EventDefinition) -> Result<(), StoreError> {
        let document = to_text(definition)?;
        let put = sqlx::query(PUT_DEFINITION)
            .bind(definition.event_type.as_str())
            .bind(definition.version)
            .bind(document.as_str());
        put.execute(&mut *self.0).await.map_err(from_driver)?;
        Ok(())
    }
}
