//! A month of an organisation at a glance, from the rollups: no event is read.

mod shape;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use ledger::{Limit, OrganizationId, PercentTenths, Timestamp, UsageReport, UserId};

use crate::advice::{recommendations, warnings};
use crate::answer::{Answer, Refused};
use crate::context::Context;
use crate::guard::Membership;
use crate::month::{Month, MonthShare, ratio};
use crate::overview::Overview;
use crate::query::Query;

use shape::{Analytics, Dashboard, EventRank, Events, Limits, Meta, UserRank, UserShare, Users};
pub(crate) use shape::{DashboardAnswer, LimitsShown, Share};

/// Event types and users in the top lists, at most.
const TOP_MAX: usize = 10;

/// A month at a glance
#[utoipa::path(get, path = "/api/organizations/{orgId}/usage/dashboard", operation_id = "showDashboard",
    params(("orgId" = String, Path, description = "The organization"),
        ("month" = Option<String>, Query, description = "The month, such as 2026-11; the present one unless given")),
    responses((status = 200, description = "The dashboard", body = DashboardAnswer)))]
pub(crate) async fn show(
    State(context): State<Arc<Context>>,
    membership: Membership,
    query: Query,
) -> Answer<DashboardAnswer> {
    let now = context.clock.now();
    let month = Month::at(query.month(now)?, now);
    context.live.caught_up().await;
    let report = context.usage.report(membership.id(), month.period, None).await?;
    let trends = trends(&context, membership.id(), month, &report).await?;
    let plans = context.directory.plans().await?;
    let record = &*membership.record;
    let limit = record.grant().credits;
    let forecast = month.forecast(&report, limit, record.organization.alert_thresholds.warning);
    let warnings = warnings(record, month, report.credits, &forecast);
    let dashboard = Dashboard {
        overview: Overview::of(record, report.credits),
        events: events(&report),
        users: users(&report),
        analytics: Analytics {
            daily_usage: month.days(&report),
            monthly_trends: trends,
            forecast,
            daily_average: month.daily_average(report.credits),
            avg_credits_per_event: ratio(report.credits, 1, report.count),
        },
        limits: Limits {
            plan_type: record.plan.plan.clone(),
            is_unlimited: limit == Limit::Unlimited,
            days_in_month: month.period.days(),
            in_force: record.limits(),
        },
        recommendations: recommendations(record, &plans, month, &report, &warnings),
        warnings,
        meta: meta(&membership, month, now),
    };
    Ok(Json(DashboardAnswer { success: true, dashboard }))
}

/// The three months that end with this one, oldest first.
pub(crate) async fn trends(
    context: &Context,
    id: &OrganizationId,
    month: Month,
    report: &UsageReport,
) -> Result<Vec<MonthShare>, Refused> {
    let last = month.period.previous();
    let before = context.usage.monthly(id, last.previous(), last).await?;
    let before =
        before.into_iter().map(|usage| MonthShare { month: usage.period, credits: usage.credits, count: usage.count });
    // The month itself comes from the report, so that the two never disagree.
    let own = MonthShare { month: month.period, credits: report.credits, count: report.count };
    Ok(before.chain([own]).collect())
}

/// A report's event types, by name.
pub(crate) fn event_shares(report: &UsageReport) -> BTreeMap<String, Share> {
    let share = |usage: &ledger::EventTypeUsage| Share { count: usage.count, credits: usage.credits };
    report.by_event_type.iter().map(|usage| (usage.event_type.to_string(), share(usage))).collect()
}

fn events(report: &UsageReport) -> Events {
    let rank = |usage: &ledger::EventTypeUsage| EventRank {
        event_type: usage.event_type.clone(),
        count: usage.count,
        credits: usage.credits,
    };
    Events {
        breakdown: event_shares(report),
        top_events: report.by_event_type.iter().take(TOP_MAX).map(rank).collect(),
        total_events: report.count,
    }
}

fn users(report: &UsageReport) -> Users {
    let share =
        |usage: &ledger::UserUsage| UserShare { name: usage.name.clone(), count: usage.count, credits: usage.credits };
    let rank = |usage: &ledger::UserUsage| UserRank {
        id: usage.user_id.clone(),
        name: usage.name.clone(),
        credits: usage.credits,
        count: usage.count,
        percentage: PercentTenths::of(usage.credits, report.credits),
    };
    Users {
        breakdown: report.by_user.iter().map(|usage| (usage.user_id.to_string(), share(usage))).collect(),
        top_users: report.by_user.iter().take(TOP_MAX).map(rank).collect(),
        total_users: report.by_user.len(),
    }
}

fn meta(membership: &Membership, month: Month, now: Timestamp) -> Meta {
    let generated_by: UserId = membership.member.user_id.clone();
    Meta { organization_id: membership.id().clone(), report_month: month.period, generated_at: now, generated_by }
}
