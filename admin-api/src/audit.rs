//! Who changed what of an organisation, newest first. Entries are only read here: writes make their own.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use ledger::{Actor, AuditEntry, Timestamp};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::answer::Answer;
use crate::context::Context;
use crate::guard::Membership;
use crate::query::Query;

/// Entries a page, at most.
pub(crate) const LIMIT_MAX: u32 = 100;
/// Entries a page unless asked otherwise.
pub(crate) const LIMIT_DEFAULT: u32 = 50;
/// What a cursor may be.
pub(crate) const CURSOR_ALLOWED: &str = "cursor of the page before";

/// A page of the audit trail.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditAnswer {
    success: bool,
    /// Newest first.
    entries: Vec<Entry>,
    /// `cursor` of the next page; null on the last.
    cursor: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Entry {
    id: i64,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    #[schema(value_type = ActorShown)]
    actor: Actor,
    /// What was done.
    action: String,
    /// What was changed.
    target: String,
    /// Null where there was nothing before.
    #[schema(value_type = Object)]
    old_value: Value,
    /// Null where there is nothing after.
    #[schema(value_type = Object)]
    new_value: Value,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes ledger::Actor")]
struct ActorShown {
    user_id: String,
    role: String,
    remote_address: Option<String>,
    request_id: Option<String>,
}

/// The audit trail, newest first
#[utoipa::path(get, path = "/api/organizations/{orgId}/usage/audit", operation_id = "listAudit",
    params(("orgId" = String, Path, description = "The organization"),
        ("limit" = Option<u32>, Query, description = "Entries a page, 1 to 100; 50 unless given"),
        ("cursor" = Option<i64>, Query, description = "`cursor` of the page before")),
    responses((status = 200, description = "The page", body = AuditAnswer)))]
pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    membership: Membership,
    query: Query,
) -> Answer<AuditAnswer> {
    let limit = query.count("limit", LIMIT_MAX, LIMIT_DEFAULT)?;
    let before = query.place("cursor", CURSOR_ALLOWED)?;
    // One more than is shown tells whether there is a next page.
    let entries = context.directory.audit(membership.id(), before, limit.saturating_add(1)).await?;
    Ok(Json(page(entries, limit)))
}

/// A page of the entries found, of which one more than is shown was asked for.
pub(crate) fn page(mut entries: Vec<AuditEntry>, limit: u32) -> AuditAnswer {
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_next = entries.len() > shown;
    entries.truncate(shown);
    let cursor = entries.last().filter(|_| has_next).map(|entry| entry.id);
    AuditAnswer { success: true, entries: entries.into_iter().map(Entry::from).collect(), cursor }
}

impl From<AuditEntry> for Entry {
    fn from(entry: AuditEntry) -> Self {
        let AuditEntry { id, organization_id: _, at, actor, action, target, old_value, new_value } = entry;
        Self { id, at, actor, action, target, old_value, new_value }
    }
}
