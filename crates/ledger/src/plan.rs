//! Plans and limits: what a period grants.

use serde::{Deserialize, Serialize};

use crate::{Credits, Grant, Limit, PlanName};

/// What a plan gives and costs. Only `monthly_credits` and of `limits` `ai_calls_per_month` and `member_monthly_credits` are
/// enforced by the gateway; the rest travels with the plan for the app to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// The plan's name, such as `free`.
    pub plan: PlanName,
    /// The name for people.
    pub display_name: String,
    /// Credits that each period grants; −1 is unlimited.
    pub monthly_credits: Limit,
    /// US dollars for a credit over the limit, exact to a millionth; 0 where there is no overage.
    pub overage_rate: Credits,
    /// What the plan costs.
    pub pricing: PlanPricing,
    /// The other limits.
    pub limits: UsageLimits,
    /// What the plan advertises.
    pub features: Vec<String>,
    /// Counts up with every change; 1 is the first. Written by the store.
    #[serde(default = "Plan::first_version")]
    pub version: i64,
}

impl Plan {
    /// Plans that were written before they had versions are the first one.
    const fn first_version() -> i64 {
        1
    }

    /// The limits in force for an organisation on this plan: its own, else the plan's.
    pub fn limits_with(&self, own: &UsageLimits) -> UsageLimits {
        let of_plan = UsageLimits { monthly_credits: Some(self.monthly_credits), ..self.limits.clone() };
        own.or(&of_plan)
    }

    /// What a period grants an organisation on this plan with these limits of its own.
    pub fn grant(&self, own: &UsageLimits) -> Grant {
        let limits = self.limits_with(own);
        Grant {
            credits: limits.monthly_credits.unwrap_or(self.monthly_credits),
            calls: limits.ai_calls_per_month.and_then(|calls| u64::try_from(calls).ok()),
        }
    }
}

/// What a plan costs, in US dollars, exact to a millionth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanPricing {
    /// A month.
    pub monthly: Credits,
    /// A year.
    pub annual: Credits,
}

/// Limits of a plan, or an organisation's own in their place. Absent means "as the plan says" (in a plan: unlimited);
/// −1 means unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UsageLimits {
    /// Credits a period. In a plan this is `monthlyCredits` of the plan itself.
    #[serde(default, alias = "creditsPerMonth", skip_serializing_if = "Option::is_none")]
    pub monthly_credits: Option<Limit>,
    /// Credits a period for each member that has no limit of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_monthly_credits: Option<Limit>,
    /// Metered calls a period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ai_calls_per_month: Option<i64>,
    /// Not enforced here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pdf_exports_per_month: Option<i64>,
    /// Not enforced here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_limit: Option<i64>,
    /// Not enforced here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_members_limit: Option<i64>,
    /// Not enforced here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_limit: Option<i64>,
}

impl UsageLimits {
    /// The first count that is under −1, by its JSON name.
    pub fn first_invalid(&self) -> Option<&'static str> {
        let counts = [
            ("aiCallsPerMonth", self.ai_calls_per_month),
            ("pdfExportsPerMonth", self.pdf_exports_per_month),
            ("sessionLimit", self.session_limit),
            ("teamMembersLimit", self.team_members_limit),
            ("storageLimit", self.storage_limit),
        ];
        counts.into_iter().find(|(_, count)| count.is_some_and(|count| count < -1)).map(|(name, _)| name)
    }

    /// These limits, with `other`'s where these are silent.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self {
            monthly_credits: self.monthly_credits.or(other.monthly_credits),
            member_monthly_credits: self.member_monthly_credits.or(other.member_monthly_credits),
            ai_calls_per_month: self.ai_calls_per_month.or(other.ai_calls_per_month),
            pdf_exports_per_month: self.pdf_exports_per_month.or(other.pdf_exports_per_month),
            session_limit: self.session_limit.or(other.session_limit),
            team_members_limit: self.team_members_limit.or(other.team_members_limit),
            storage_limit: self.storage_limit.or(other.storage_limit),
        }
    }
}
