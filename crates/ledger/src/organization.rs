//! An organisation and what applies to it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{Grant, Limit, Member, OrganizationId, Plan, PlanName, SubscriptionStatus, Timestamp, UsageLimits, UserId};

/// An organisation's own settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Organization {
    /// Its id.
    pub organization_id: OrganizationId,
    /// For people to read.
    pub name: String,
    /// The plan it is on.
    pub plan: PlanName,
    /// Whether it pays.
    pub subscription_status: SubscriptionStatus,
    /// Limits of its own, in place of the plan's.
    pub usage_limits: UsageLimits,
    /// When to warn.
    pub alert_thresholds: AlertThresholds,
    /// The app's automatic plan scaling, kept for it as it was sent: a JSON object, or null.
    pub auto_scaling: serde_json::Value,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// When an organisation is warned, in percent of its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AlertThresholds {
    /// Near the limit, 1 to 100; 80 unless set.
    #[serde(default = "AlertThresholds::default_warning", alias = "warningThreshold")]
    pub warning: u8,
    /// Close to its end, 1 to 100; 95 unless set.
    #[serde(default = "AlertThresholds::default_critical", alias = "criticalThreshold")]
    pub critical: u8,
}

impl AlertThresholds {
    const fn default_warning() -> u8 {
        80
    }

    const fn default_critical() -> u8 {
        95
    }
}

impl Default for AlertThresholds {
    fn default() -> Self {
        Self { warning: Self::default_warning(), critical: Self::default_critical() }
    }
}

/// An organisation with all that a call needs to know of it: one load, one unit of change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganizationRecord {
    /// The organisation.
    pub organization: Organization,
    /// The plan it is on, as it stands now.
    pub plan: Plan,
    /// Its members.
    pub members: HashMap<UserId, Member>,
}

impl OrganizationRecord {
    /// The limits in force: the organisation's own, else its plan's.
    pub fn limits(&self) -> UsageLimits {
        self.plan.limits_with(&self.organization.usage_limits)
    }

    /// What a period allows a member: the member's own limit, else the one for each member.
    pub fn member_limit(&self, member: &Member) -> Limit {
        member.monthly_credits.or(self.limits().member_monthly_credits).unwrap_or(Limit::Unlimited)
    }

    /// What a period grants this organisation.
    pub fn grant(&self) -> Grant {
        self.plan.grant(&self.organization.usage_limits)
    }
}
