//! Who changed what, from what to what. Entries are only ever added.

use serde::{Deserialize, Serialize};

use crate::{OrganizationId, Timestamp};

/// Who makes a change, and from where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    /// The credential's `sub`.
    pub user_id: String,
    /// `owner`, `admin` … or `platform_admin`.
    pub role: String,
    /// The address from which the change came, where known.
    pub remote_address: Option<String>,
    /// The request that made it.
    pub request_id: Option<String>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Counts up; also the page cursor.
    pub id: i64,
    /// The organisation that it concerns; `None` for plans and event definitions.
    pub organization_id: Option<OrganizationId>,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What was done, such as `usage_limits.update`.
    pub action: String,
    /// What was changed, such as `organization:acme` or `plan:free`.
    pub target: String,
    /// The values before; null where there were none.
    pub old_value: serde_json::Value,
    /// The values after; null where there are none.
    pub new_value: serde_json::Value,
}
