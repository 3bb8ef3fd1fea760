//! What an organisation may set and how it stands: limits, alert thresholds, usage patterns, permissions.

mod patterns;
mod shape;
mod update;

use std::sync::Arc;

use access::permissions_of;
use axum::Json;
use axum::extract::State;
use ledger::{Changed, OrganizationRecord, Updated};
use refusal::Refusal;

use crate::advice::{recommendations, warnings};
use crate::answer::{Answer, Refused};
use crate::context::Context;
use crate::counter::book;
use crate::dashboard::trends;
use crate::guard::Membership;
use crate::json_body::JsonBody;
use crate::month::Month;
use crate::operators::credit_grants;
use crate::overview::Overview;

use patterns::UsagePatterns;
pub(crate) use shape::ThresholdsShown;
use shape::{CurrentUsage, Management, ManagementAnswer, OrganizationShown};
pub(crate) use update::LimitsGiven;
use update::Update;

/// Limits, thresholds and how usage stands
#[utoipa::path(get, path = "/api/organizations/{orgId}/usage/management", operation_id = "showManagement",
    params(("orgId" = String, Path, description = "The organization")),
    responses((status = 200, description = "The management view", body = ManagementAnswer)))]
pub(crate) async fn show(State(context): State<Arc<Context>>, membership: Membership) -> Answer<ManagementAnswer> {
    let management = management(&context, &membership, &membership.record).await?;
    Ok(Json(ManagementAnswer { success: true, management }))
}

/// Change limits, thresholds or scaling
///
/// A part that is given replaces that part as a whole, but a threshold that is absent stays; null clears a part; one that is
/// absent stays as it is.
#[utoipa::path(put, path = "/api/organizations/{orgId}/usage/management", operation_id = "updateManagement",
    params(("orgId" = String, Path, description = "The organization")),
    request_body = Update,
    responses((status = 200, description = "The management view after the change", body = ManagementAnswer)))]
pub(crate) async fn update(
    State(context): State<Arc<Context>>,
    membership: Membership,
    JsonBody(update): JsonBody<Update>,
) -> Answer<ManagementAnswer> {
    let update = update.checked()?;
    let change = membership.change(context.clock.now());
    match context.directory.update_management(membership.id(), &update, &change).await? {
        Updated::Organization(_) => {}
        Updated::Unknown => return Err(Refusal::Forbidden.into()),
        Updated::CriticalBelowWarning(present) => return Err(update::critical_below_warning(&update, present).into()),
    }
    context.live.changed(&Changed::Organization(membership.id().clone())).await;
    let record = context.directory.organization(membership.id()).await?.ok_or(Refusal::Forbidden)?;
    let management = management(&context, &membership, &record).await?;
    Ok(Json(ManagementAnswer { success: true, management }))
}

async fn management(
    context: &Context,
    membership: &Membership,
    record: &OrganizationRecord,
) -> Result<Management, Refused> {
    let now = context.clock.now();
    let month = Month::at(ledger::Period::of(now), now);
    context.live.caught_up().await;
    let report = context.usage.report(membership.id(), month.period, None).await?;
    let held = book(context, membership.id(), month.period).await?.held;
    let trends = trends(context, membership.id(), month, &report).await?;
    let plans = context.directory.plans().await?;
    let organization = &record.organization;
    let forecast = month.forecast(&report, record.grant().credits, organization.alert_thresholds.warning);
    let warnings = warnings(record, month, report.credits, &forecast);
    Ok(Management {
        organization: OrganizationShown::from(organization),
        plan: record.plan.clone(),
        limits: record.limits(),
        usage_limits: organization.usage_limits.clone(),
        alert_thresholds: organization.alert_thresholds,
        auto_scaling: organization.auto_scaling.clone(),
        grants: credit_grants::shown(context, record).await?,
        current_usage: CurrentUsage {
            overview: Overview::of(record, report.credits),
            held_credits: held,
            total_events: report.count,
            projected_end_of_month_usage: month.projected(&report),
            will_exceed_limit: forecast.will_exceed_limit,
            resets_at: month.period.end(),
        },
        usage_patterns: UsagePatterns::of(month, &report),
        trends,
        recommendations: recommendations(record, &plans, month, &report, &warnings),
        warnings,
        permissions: permissions_of(membership.member.role),
    })
}
