//! Organisations, as the operators keep them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use ledger::{
    AlertThresholds, Changed, NewOrganization, Organization, OrganizationId, OrganizationRecord, PlanName,
    SubscriptionStatus, Timestamp, UsageLimits,
};
use refusal::Refusal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::members::MemberShown;
use super::named;
use crate::answer::{Answer, Refused};
use crate::bounded::{Given, Name, Object};
use crate::context::Context;
use crate::guard::Operator;
use crate::json_body::JsonBody;
use crate::management::{LimitsGiven, ThresholdsShown};

/// An organisation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrganizationAnswer {
    success: bool,
    organization: OrganizationShown,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OrganizationShown {
    #[schema(value_type = String)]
    organization_id: OrganizationId,
    name: String,
    #[schema(value_type = String)]
    plan: PlanName,
    #[schema(value_type = String)]
    subscription_status: SubscriptionStatus,
    /// Limits of its own, in place of the plan's.
    #[schema(value_type = LimitsGiven)]
    usage_limits: UsageLimits,
    #[schema(value_type = ThresholdsShown)]
    alert_thresholds: AlertThresholds,
    #[schema(value_type = Object)]
    auto_scaling: Value,
    /// By user id.
    members: Vec<MemberShown>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// An organisation to make or change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OrganizationGiven {
    /// 1 to 200 bytes.
    #[schema(value_type = String)]
    name: Name,
    #[schema(value_type = String)]
    plan: PlanName,
    /// `active`, `trialing`, `past_due` or `canceled`.
    #[schema(value_type = String)]
    subscription_status: SubscriptionStatus,
    /// Absent: those that are there stay. Null: none of its own.
    #[serde(default)]
    #[schema(value_type = Option<LimitsGiven>)]
    usage_limits: Given<Object<LimitsGiven>>,
}

/// An organization with its members
#[utoipa::path(get, path = "/api/admin/organizations/{orgId}", operation_id = "showOrganization",
    params(("orgId" = String, Path, description = "The organization")),
    responses((status = 200, description = "The organization", body = OrganizationAnswer),
        (status = 404, description = "No such organization")))]
pub(crate) async fn show(
    State(context): State<Arc<Context>>,
    _operator: Operator,
    Path(id): Path<String>,
) -> Answer<OrganizationAnswer> {
    Ok(Json(answer(&context, &named(&id)?).await?))
}

/// Make or change an organization
#[utoipa::path(put, path = "/api/admin/organizations/{orgId}", operation_id = "putOrganization",
    params(("orgId" = String, Path, description = "The organization")),
    request_body = OrganizationGiven,
    responses((status = 200, description = "The organization as it is now", body = OrganizationAnswer)))]
pub(crate) async fn put(
    State(context): State<Arc<Context>>,
    operator: Operator,
    Path(id): Path<String>,
    JsonBody(given): JsonBody<OrganizationGiven>,
) -> Answer<OrganizationAnswer> {
    let id: OrganizationId = named(&id)?;
    let new = NewOrganization {
        organization_id: id.clone(),
        name: given.name.0,
        plan: given.plan,
        subscription_status: given.subscription_status,
        usage_limits: given.usage_limits.replacing(|Object(limits)| limits.into()),
    };
    let made = context.directory.put_organization(&new, &operator.change(context.clock.now())).await?;
    if made.is_none() {
        return Err(unknown_plan(&context, &new.plan).await?.into());
    }
    context.live.changed(&Changed::Organization(id.clone())).await;
    Ok(Json(answer(&context, &id).await?))
}

async fn answer(context: &Context, id: &OrganizationId) -> Result<OrganizationAnswer, Refused> {
    let record = context.directory.organization(id).await?.ok_or(Refusal::NotFound("organization"))?;
    Ok(OrganizationAnswer { success: true, organization: record.into() })
}

async fn unknown_plan(context: &Context, plan: &PlanName) -> Result<Refusal, Refused> {
    let plans = context.directory.plans().await?;
    let known = plans.iter().map(|plan| plan.plan.as_str()).collect::<Vec<_>>().join(", ");
    Ok(Refusal::InvalidRequest(format!("plan: there is no plan {plan}; allowed: {known}.")))
}

impl From<OrganizationRecord> for OrganizationShown {
    fn from(record: OrganizationRecord) -> Self {
        let mut members: Vec<MemberShown> = record.members.into_values().map(MemberShown::from).collect();
        members.sort_by(|one, other| one.user_id.cmp(&other.user_id));
        let Organization { organization_id, name, plan, subscription_status, .. } = record.organization;
        let Organization { usage_limits, alert_thresholds, auto_scaling, created_at, updated_at, .. } =
            record.organization;
        Self {
            organization_id,
            name,
            plan,
            subscription_status,
            usage_limits,
            alert_thresholds,
            auto_scaling,
            members,
            created_at,
            updated_at,
        }
    }
}
