//! What the caller used: for every role. With the caller's own limit; nothing of other members, nor what the
//! organisation has left.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use ledger::{Credits, Limit, OrganizationId, Period, Timestamp, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::Answer;
use crate::context::Context;
use crate::dashboard::{Share, event_shares};
use crate::guard::Membership;
use crate::month::{DayShare, Month, ratio};
use crate::overview::left;
use crate::query::Query;

/// One's own usage.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OwnUsageAnswer {
    success: bool,
    usage: OwnUsage,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OwnUsage {
    #[schema(value_type = String)]
    organization_id: OrganizationId,
    #[schema(value_type = String)]
    user_id: UserId,
    role: &'static str,
    #[schema(value_type = String, example = "2026-11")]
    period: Period,
    #[schema(value_type = f64)]
    used_credits: Credits,
    /// What the caller may spend in a month, as it is now; -1 is unlimited.
    #[schema(value_type = f64)]
    monthly_limit: Limit,
    /// What that leaves; -1 is unlimited. The organization's own limit may leave less.
    #[schema(value_type = f64)]
    remaining_credits: Limit,
    total_events: u64,
    events: OwnEvents,
    daily_usage: Vec<DayShare>,
    #[schema(value_type = f64)]
    daily_average: Credits,
    #[schema(value_type = f64)]
    avg_credits_per_event: Credits,
    /// When the period ends.
    #[schema(value_type = String, format = DateTime)]
    resets_at: Timestamp,
}

#[derive(Debug, Serialize, ToSchema)]
struct OwnEvents {
    /// By event type.
    breakdown: BTreeMap<String, Share>,
}

/// One's own usage of a month
#[utoipa::path(get, path = "/api/organizations/{orgId}/usage/me", operation_id = "showOwnUsage",
    params(("orgId" = String, Path, description = "The organization"),
        ("month" = Option<String>, Query, description = "The month, such as 2026-11; the present one unless given")),
    responses((status = 200, description = "The caller's usage", body = OwnUsageAnswer)))]
pub(crate) async fn show(
    State(context): State<Arc<Context>>,
    membership: Membership,
    query: Query,
) -> Answer<OwnUsageAnswer> {
    let now = context.clock.now();
    let month = Month::at(query.month(now)?, now);
    context.live.caught_up().await;
    let user = &membership.member.user_id;
    let report = context.usage.report(membership.id(), month.period, Some(user)).await?;
    let monthly_limit = membership.record.member_limit(&membership.member);
    let usage = OwnUsage {
        organization_id: membership.id().clone(),
        user_id: user.clone(),
        role: membership.member.role.as_str(),
        period: month.period,
        used_credits: report.credits,
        monthly_limit,
        remaining_credits: left(monthly_limit, report.credits),
        total_events: report.count,
        events: OwnEvents { breakdown: event_shares(&report) },
        daily_usage: month.days(&report),
        daily_average: month.daily_average(report.credits),
        avg_credits_per_event: ratio(report.credits, 1, report.count),
        resets_at: month.period.end(),
    };
    Ok(Json(OwnUsageAnswer { success: true, usage }))
}
