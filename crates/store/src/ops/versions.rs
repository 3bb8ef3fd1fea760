//! What plans and event definitions said at each version: written once, never changed.

use ledger::{Change, StoreError, Timestamp, Version};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::{ColumnIndex, Decode, Encode, Executor, Row as _, Type};

use super::{from_text, to_text};
use crate::dialect::Dialect;
use crate::error::from_driver;

const ADD_PLAN: &str =
    "INSERT INTO plan_versions (plan, version, document, at_ms, made_by) VALUES ($1, $2, $3, $4, $5)";
const LIST_PLAN: &str = "SELECT document, at_ms, made_by FROM plan_versions WHERE plan = $1 ORDER BY version DESC";
const ADD_DEFINITION: &str = "INSERT INTO event_definition_versions (event_type, version, document, at_ms, made_by)
    VALUES ($1, $2, $3, $4, $5)";
const LIST_DEFINITION: &str =
    "SELECT document, at_ms, made_by FROM event_definition_versions WHERE event_type = $1 ORDER BY version DESC";

/// What has versions.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Of {
    Plan,
    EventDefinition,
}

/// Versions, on an open connection.
pub(crate) struct Versions<'c, D: Dialect>(pub(crate) &'c mut D::Connection, pub(crate) Of);

impl<D> Versions<'_, D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    pub(crate) async fn add(
        &mut self,
        name: &str,
        version: i64,
        value: &impl Serialize,
        change: &Change,
    ) -> Result<(), StoreError> {
        let add = match self.1 {
            Of::Plan => ADD_PLAN,
            Of::EventDefinition => ADD_DEFINITION,
        };
        let document = to_text(value)?;
        let add = sqlx::query(add)
            .bind(name)
            .bind(version)
            .bind(document.as_str())
            .bind(change.at.millis())
            .bind(change.actor.user_id.as_str());
        add.execute(&mut *self.0).await.map_err(from_driver)?;
        Ok(())
    }

    pub(crate) async fn list<T: DeserializeOwned>(&mut self, name: &str) -> Result<Vec<Version<T>>, StoreError> {
        let list = match self.1 {
            Of::Plan => LIST_PLAN,
            Of::EventDefinition => LIST_DEFINITION,
        };
        let rows = sqlx::query(list).bind(name).fetch_all(&mut *self.0).await.map_err(from_driver)?;
        let read = |row: &D::Row| {
            let at: Option<i64> = row.try_get(1).map_err(from_driver)?;
            let by: Option<&str> = row.try_get(2).map_err(from_driver)?;
            Ok(Version {
                at: at.map(Timestamp::from_millis),
                by: by.map(str::to_owned),
                value: from_text("version", row.try_get(0).map_err(from_driver)?)?,
            })
        };
        rows.iter().map(read).collect()
    }
}
