//! What an organisation is told beside its figures: warnings about what is or will be, recommendations of what to do.

use ledger::{Credits, Limit, OrganizationRecord, Plan, SubscriptionStatus, UsageReport};
use serde::Serialize;
use utoipa::ToSchema;

use crate::month::{Forecast, Month};

/// One piece of advice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Advice {
    /// A fixed name for its kind.
    #[serde(rename = "type")]
    kind: &'static str,
    /// What is the matter.
    message: String,
    /// What to do about it.
    action: String,
}

/// Warnings about the present month. A month that is over warns of nothing.
pub(crate) fn warnings(record: &OrganizationRecord, month: Month, used: Credits, forecast: &Forecast) -> Vec<Advice> {
    if month.is_over {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    warnings.extend(of_level(record, used));
    if let (Limit::Credits(limit), true) = (record.grant().credits, forecast.will_exceed_limit)
        && used < limit
    {
        let when = forecast.projected_exhaustion_date.map(|day| format!(" on {day}")).unwrap_or_default();
        let message = format!("At the present rate the {limit} credits of {} are used up{when}.", month.period);
        warnings.push(advice("projected_overage", message, "Consider upgrading your plan"));
    }
    warnings.extend(match record.organization.subscription_status {
        SubscriptionStatus::PastDue => Some(advice(
            "subscription_past_due",
            "A payment is overdue: members and viewers cannot make AI calls.".to_owned(),
            "Update the payment method",
        )),
        SubscriptionStatus::Canceled => Some(advice(
            "subscription_canceled",
            "The subscription is canceled: nobody can make AI calls.".to_owned(),
            "Renew the subscription",
        )),
        SubscriptionStatus::Active | SubscriptionStatus::Trialing => None,
    });
    warnings
}

fn of_level(record: &OrganizationRecord, used: Credits) -> Option<Advice> {
    let Limit::Credits(limit) = record.grant().credits else { return None };
    let thresholds = record.organization.alert_thresholds;
    let reached = |percent: u8| i128::from(used.micros()) * 100 >= i128::from(limit.micros()) * i128::from(percent);
    if used >= limit {
        let message = format!("All {limit} credits of the month are used: further AI calls are refused.");
        return Some(advice("limit_reached", message, "Upgrade your plan or raise the limit"));
    }
    let (kind, threshold) = match (reached(thresholds.critical), reached(thresholds.warning)) {
        (true, _) => ("critical_threshold", thresholds.critical),
        (false, true) => ("near_limit", thresholds.warning),
        (false, false) => return None,
    };
    let message = format!("{used} of {limit} credits are used: that is {threshold}% or more.");
    Some(advice(kind, message, "Consider upgrading your plan"))
}

/// Recommendations for the present month: the cheapest plan that covers what the month will have used.
pub(crate) fn recommendations(
    record: &OrganizationRecord,
    plans: &[Plan],
    month: Month,
    report: &UsageReport,
    warnings: &[Advice],
) -> Vec<Advice> {
    let about_credits =
        |kind: &str| matches!(kind, "limit_reached" | "critical_threshold" | "near_limit" | "projected_overage");
    let Limit::Credits(limit) = record.grant().credits else { return Vec::new() };
    if !warnings.iter().any(|warning| about_credits(warning.kind)) {
        return Vec::new();
    }
    let mut recommendations = Vec::new();
    let projected = month.projected(report);
    if matches!(record.plan.monthly_credits, Limit::Credits(of_plan) if of_plan <= limit) {
        recommendations.extend(larger_plan(plans, limit, projected).map(|plan| {
            let credits = match plan.monthly_credits {
                Limit::Credits(credits) => credits.to_string(),
                Limit::Unlimited => "unlimited".to_owned(),
            };
            let name = &plan.display_name;
            let message = format!("The plan {name} has {credits} credits a month; this month heads for {projected}.");
            advice("upgrade_plan", message, format!("Upgrade to {name}"))
        }));
    } else {
        let message = format!("Your own limit of {limit} credits is below what your plan grants.");
        recommendations.push(advice("raise_limit", message, "Raise the limit in the usage settings"));
    }
    recommendations
}

/// The smallest plan beyond `limit` that covers `projected`, else the largest beyond `limit`.
fn larger_plan(plans: &[Plan], limit: Credits, projected: Credits) -> Option<&Plan> {
    let size = |plan: &&Plan| match plan.monthly_credits {
        Limit::Credits(credits) => credits,
        Limit::Unlimited => Credits::MAX,
    };
    let mut larger: Vec<&Plan> = plans.iter().filter(|plan| size(plan) > limit).collect();
    larger.sort_by_key(size);
    larger.iter().find(|plan| size(plan) >= projected).or(larger.last()).copied()
}

fn advice(kind: &'static str, message: String, action: impl Into<String>) -> Advice {
    Advice { kind, message, action: action.into() }
}
