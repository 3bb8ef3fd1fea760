//! The audit trail, and the numbered changes that other processes follow. Both are only ever added to.

use ledger::{AuditEntry, Change, Changed, OrganizationId, StoreError, Timestamp};
use serde::Serialize;
use sqlx::{ColumnIndex, Decode, Encode, Executor, Row as _, Type};

use super::{from_text, id, to_text};
use crate::dialect::Dialect;
use crate::error::{damaged, from_driver};

const ADD_ENTRY: &str =
    "INSERT INTO audit_entries (organization_id, at_ms, actor, action, target, old_value, new_value)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
const LIST_ENTRIES: &str = "SELECT audit_entry_id, organization_id, at_ms, actor, action, target, old_value, new_value
    FROM audit_entries WHERE organization_id = $1 AND audit_entry_id < $2 ORDER BY audit_entry_id DESC LIMIT $3";
/// Those of uploaded plugins and their steps, which belong to no organisation.
const LIST_PRICING: &str = "SELECT audit_entry_id, organization_id, at_ms, actor, action, target, old_value, new_value
    FROM audit_entries WHERE organization_id IS NULL AND action LIKE 'pricing.%' AND audit_entry_id < $1
    ORDER BY audit_entry_id DESC LIMIT $2";
const ADD_CHANGE: &str = "INSERT INTO directory_changes (kind, key) VALUES ($1, $2)";
const LIST_CHANGES: &str =
    "SELECT revision, kind, key FROM directory_changes WHERE revision > $1 ORDER BY revision LIMIT 1000";
const NEWEST_REVISION: &str = "SELECT COALESCE(MAX(revision), 0) FROM directory_changes";

/// What was done to what.
pub(crate) struct Act<'a, T> {
    pub(crate) action: &'a str,
    pub(crate) changed: &'a Changed,
    /// What of it, such as a member; the changed thing itself where there is none.
    pub(crate) part: Option<String>,
    pub(crate) old: Option<&'a T>,
    pub(crate) new: Option<&'a T>,
}

/// The audit trail and the numbered changes, on an open connection.
pub(crate) struct Audit<'c, D: Dialect>(pub(crate) &'c mut D::Connection);

impl<D> Audit<'_, D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    /// Notes a change for people and for other processes.
    pub(crate) async fn record<T: Serialize>(&mut self, act: Act<'_, T>, change: &Change) -> Result<(), StoreError> {
        let (kind, key, organization) = match act.changed {
            Changed::Organization(id) => ("organization", id.as_str(), Some(id.as_str())),
            Changed::Plan(plan) => ("plan", plan.as_str(), None),
            Changed::EventDefinition(event_type) => ("event_definition", event_type.as_str(), None),
            Changed::Pricing => ("pricing", "rollout", None),
        };
        let target = act.part.unwrap_or_else(|| format!("{kind}:{key}"));
        let add = sqlx::query(ADD_ENTRY)
            .bind(organization)
            .bind(change.at.millis())
            .bind(to_text(&change.actor)?.as_str())
            .bind(act.action)
            .bind(target.as_str())
            .bind(to_text(&act.old)?.as_str())
            .bind(to_text(&act.new)?.as_str());
        add.execute(&mut *self.0).await.map_err(from_driver)?;
        sqlx::query(ADD_CHANGE).bind(kind).bind(key).execute(&mut *self.0).await.map_err(from_driver)?;
        Ok(())
    }

    pub(crate) async fn list(
        &mut self,
        of: &OrganizationId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let list = sqlx::query(LIST_ENTRIES).bind(of.as_str()).bind(before.unwrap_or(i64::MAX)).bind(i64::from(limit));
        list.fetch_all(&mut *self.0).await.map_err(from_driver)?.iter().map(Self::read_entry).collect()
    }

    pub(crate) async fn list_pricing(
        &mut self,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let list = sqlx::query(LIST_PRICING).bind(before.unwrap_or(i64::MAX)).bind(i64::from(limit));
        list.fetch_all(&mut *self.0).await.map_err(from_driver)?.iter().map(Self::read_entry).collect()
    }

    pub(crate) async fn changes_since(&mut self, since: i64) -> Result<Vec<(i64, Changed)>, StoreError> {
        let rows = sqlx::query(LIST_CHANGES).bind(since).fetch_all(&mut *self.0).await.map_err(from_driver)?;
        rows.iter().map(Self::read_change).collect()
    }

    pub(crate) async fn revision(&mut self) -> Result<i64, StoreError> {
        let row = sqlx::query(NEWEST_REVISION).fetch_one(&mut *self.0).await.map_err(from_driver)?;
        row.try_get(0).map_err(from_driver)
    }

    fn read_entry(row: &D::Row) -> Result<AuditEntry, StoreError> {
        let text = |column: usize| row.try_get::<&str, _>(column).map_err(from_driver);
        let organization: Option<&str> = row.try_get(1).map_err(from_driver)?;
        Ok(AuditEntry {
            id: row.try_get(0).map_err(from_driver)?,
            organization_id: organization.map(|organization| id("organisation id", organization)).transpose()?,
            at: Timestamp::from_millis(row.try_get(2).map_err(from_driver)?),
            actor: from_text("actor", text(3)?)?,
            action: text(4)?.to_owned(),
            target: text(5)?.to_owned(),
            old_value: from_text("old value", text(6)?)?,
            new_value: from_text("new value", text(7)?)?,
        })
    }

    fn read_change(row: &D::Row) -> Result<(i64, Changed), StoreError> {
        let (kind, key): (&str, &str) = (row.try_get(1).map_err(from_driver)?, row.try_get(2).map_err(from_driver)?);
        let changed = match kind {
            "organization" => Changed::Organization(id("organisation id", key)?),
            "plan" => Changed::Plan(id("plan name", key)?),
            "event_definition" => Changed::EventDefinition(id("event type", key)?),
            "pricing" => Changed::Pricing,
            other => return Err(damaged("kind of change", other)),
        };
        Ok((row.try_get(0).map_err(from_driver)?, changed))
    }
}
