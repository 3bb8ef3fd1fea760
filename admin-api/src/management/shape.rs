//! What the management view looks like. The front end reads these names: one may be added, none changed.

use access::Permissions;
use ledger::{
    AlertThresholds, Credits, Organization, OrganizationId, Plan, SubscriptionStatus, Timestamp, UsageLimits,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::patterns::UsagePatterns;
use crate::advice::Advice;
use crate::dashboard::LimitsShown;
use crate::month::MonthShare;
use crate::operators::credit_grants::GrantShown;
use crate::operators::plans::PlanShown;
use crate::overview::Overview;

/// The management view.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ManagementAnswer {
    pub(super) success: bool,
    pub(super) management: Management,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Management {
    pub(super) organization: OrganizationShown,
    #[schema(value_type = PlanShown)]
    pub(super) plan: Plan,
    /// The limits in force: the organization's own, else its plan's.
    #[schema(value_type = LimitsShown)]
    pub(super) limits: UsageLimits,
    /// The organization's own limits.
    #[schema(value_type = LimitsShown)]
    pub(super) usage_limits: UsageLimits,
    #[schema(value_type = ThresholdsShown)]
    pub(super) alert_thresholds: AlertThresholds,
    #[schema(value_type = Object)]
    pub(super) auto_scaling: Value,
    /// Credits beside the plan's that have not ended, the first to end first.
    pub(super) grants: Vec<GrantShown>,
    pub(super) current_usage: CurrentUsage,
    pub(super) usage_patterns: UsagePatterns,
    /// Three months, oldest first, the present one last.
    pub(super) trends: Vec<MonthShare>,
    pub(super) warnings: Vec<Advice>,
    pub(super) recommendations: Vec<Advice>,
    #[schema(value_type = PermissionsShown)]
    pub(super) permissions: Permissions,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrganizationShown {
    #[schema(value_type = String)]
    id: OrganizationId,
    name: String,
    #[schema(value_type = String)]
    subscription_status: SubscriptionStatus,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<&Organization> for OrganizationShown {
    fn from(organization: &Organization) -> Self {
        Self {
            id: organization.organization_id.clone(),
            name: organization.name.clone(),
            subscription_status: organization.subscription_status,
            created_at: organization.created_at,
            updated_at: organization.updated_at,
        }
    }
}

/// Percent of the limit at which to warn.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes ledger::AlertThresholds")]
pub(crate) struct ThresholdsShown {
    warning: u8,
    critical: u8,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CurrentUsage {
    #[serde(flatten)]
    pub(super) overview: Overview,
    /// Set aside for calls on their way.
    #[schema(value_type = f64)]
    pub(super) held_credits: Credits,
    pub(super) total_events: u64,
    #[schema(value_type = f64)]
    pub(super) projected_end_of_month_usage: Credits,
    pub(super) will_exceed_limit: bool,
    #[schema(value_type = String, format = DateTime)]
    pub(super) resets_at: Timestamp,
}

/// What the caller's role may do.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, clippy::struct_excessive_bools, reason = "it describes access::Permissions")]
struct PermissionsShown {
    can_modify_limits: bool,
    can_view_usage: bool,
    can_manage_plan: bool,
    can_view_billing: bool,
}
