//! Plans, as the operators keep them. A change is in force for every organisation on the plan when its answer arrives.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use ledger::{Changed, Credits, Limit, Plan, PlanName, PlanPricing, Timestamp, UsageLimits, Version};
use refusal::Refusal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{named, repeated, required};
use crate::answer::{Answer, Refused};
use crate::bounded::{Amount, Count, Given, Name, Object};
use crate::context::Context;
use crate::dashboard::LimitsShown;
use crate::guard::Operator;
use crate::json_body::JsonBody;

/// Features that a plan advertises, at most.
const FEATURES_MAX: usize = 64;

/// A plan.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlanAnswer {
    success: bool,
    #[schema(value_type = PlanShown)]
    plan: Plan,
}

/// The versions of a plan.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlanVersionsAnswer {
    success: bool,
    versions: Vec<PlanVersion>,
}

#[derive(Debug, Serialize, ToSchema)]
struct PlanVersion {
    /// Since when it was in force; null for what was there from the start.
    #[schema(value_type = Option<String>, format = DateTime)]
    at: Option<Timestamp>,
    /// Who made it.
    by: Option<String>,
    #[schema(value_type = PlanShown)]
    plan: Plan,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes ledger::Plan")]
pub(crate) struct PlanShown {
    plan: String,
    display_name: String,
    /// -1 is unlimited.
    monthly_credits: f64,
    /// US dollars for a credit over the limit.
    overage_rate: f64,
    pricing: PricingShown,
    limits: LimitsShown,
    features: Vec<String>,
    /// Counts up with every change.
    version: i64,
}

/// US dollars.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes ledger::PlanPricing")]
struct PricingShown {
    monthly: f64,
    annual: f64,
}

/// A plan to make or change. What is absent stays as it is, what is null is as if it had never been set; `monthlyCredits`
/// must always be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PlanGiven {
    /// The same as in the path, or absent.
    #[schema(value_type = Option<String>)]
    plan: Option<PlanName>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    display_name: Given<Name>,
    /// Credits that each month grants; -1 is unlimited.
    #[serde(default)]
    #[schema(value_type = Option<f64>)]
    monthly_credits: Given<Limit>,
    /// US dollars for a credit over the limit; 0 where there is no overage.
    #[serde(default)]
    #[schema(value_type = Option<f64>)]
    overage_rate: Given<Amount>,
    #[serde(default)]
    #[schema(value_type = Option<PricingGiven>)]
    pricing: Given<Object<PricingGiven>>,
    #[serde(default)]
    #[schema(value_type = Option<PlanLimitsGiven>)]
    limits: Given<Object<PlanLimitsGiven>>,
    /// 64 at most.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    features: Given<Vec<Name>>,
    /// Written by the gateway; taken so that what was read can be sent back, and not looked at.
    #[serde(rename = "version")]
    _version: Option<i64>,
}

/// US dollars.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PricingGiven {
    #[schema(value_type = f64)]
    monthly: Amount,
    #[schema(value_type = f64)]
    annual: Amount,
}

/// A plan's other limits, all of them; -1 is unlimited, an absent one too.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PlanLimitsGiven {
    /// Credits a month for each member that has no limit of their own.
    #[schema(value_type = Option<f64>)]
    member_monthly_credits: Option<Limit>,
    #[schema(value_type = Option<i64>)]
    ai_calls_per_month: Option<Count>,
    #[schema(value_type = Option<i64>)]
    pdf_exports_per_month: Option<Count>,
    #[schema(value_type = Option<i64>)]
    session_limit: Option<Count>,
    #[schema(value_type = Option<i64>)]
    team_members_limit: Option<Count>,
    #[schema(value_type = Option<i64>)]
    storage_limit: Option<Count>,
}

/// A plan
#[utoipa::path(get, path = "/api/admin/plans/{plan}", operation_id = "showPlan",
    params(("plan" = String, Path, description = "The plan")),
    responses((status = 200, description = "The plan", body = PlanAnswer), (status = 404, description = "No such plan")))]
pub(crate) async fn show(
    State(context): State<Arc<Context>>,
    _operator: Operator,
    Path(name): Path<String>,
) -> Answer<PlanAnswer> {
    let plan = find(&context, &named(&name)?).await?.ok_or(Refusal::NotFound("plan"))?;
    Ok(Json(PlanAnswer { success: true, plan }))
}

/// Every version of a plan, newest first
///
/// A usage event names the version that was in force when it was priced.
#[utoipa::path(get, path = "/api/admin/plans/{plan}/versions", operation_id = "listPlanVersions",
    params(("plan" = String, Path, description = "The plan")),
    responses((status = 200, description = "The versions", body = PlanVersionsAnswer),
        (status = 404, description = "No such plan")))]
pub(crate) async fn versions(
    State(context): State<Arc<Context>>,
    _operator: Operator,
    Path(name): Path<String>,
) -> Answer<PlanVersionsAnswer> {
    let versions = context.directory.plan_versions(&named(&name)?).await?;
    if versions.is_empty() {
        return Err(Refusal::NotFound("plan").into());
    }
    let shown = |version: Version<Plan>| PlanVersion { at: version.at, by: version.by, plan: version.value };
    Ok(Json(PlanVersionsAnswer { success: true, versions: versions.into_iter().map(shown).collect() }))
}

/// Make or change a plan
#[utoipa::path(put, path = "/api/admin/plans/{plan}", operation_id = "putPlan",
    params(("plan" = String, Path, description = "The plan")),
    request_body = PlanGiven,
    responses((status = 200, description = "The plan as it is now", body = PlanAnswer)))]
pub(crate) async fn put(
    State(context): State<Arc<Context>>,
    operator: Operator,
    Path(name): Path<String>,
    JsonBody(mut given): JsonBody<PlanGiven>,
) -> Answer<PlanAnswer> {
    let name: PlanName = named(&name)?;
    repeated("plan", &name, given.plan.take())?;
    if matches!(&given.features, Given::Value(features) if features.len() > FEATURES_MAX) {
        return Err(Refusal::InvalidRequest(format!("features: too many; allowed: {FEATURES_MAX} at most.")).into());
    }
    let present = find(&context, &name).await?;
    let plan = merged(name.clone(), given, present)?;
    let plan = context.directory.put_plan(&plan, &operator.change(context.clock.now())).await?;
    context.live.changed(&Changed::Plan(name)).await;
    Ok(Json(PlanAnswer { success: true, plan }))
}

async fn find(context: &Context, name: &PlanName) -> Result<Option<Plan>, Refused> {
    Ok(context.directory.plans().await?.into_iter().find(|plan| plan.plan == *name))
}

/// What is given over what is there.
fn merged(name: PlanName, given: PlanGiven, present: Option<Plan>) -> Result<Plan, Refusal> {
    let monthly_credits = present.as_ref().map(|plan| plan.monthly_credits);
    let unset = Plan {
        display_name: name.to_string(),
        monthly_credits: required("monthlyCredits", given.monthly_credits, monthly_credits, "a new plan")?,
        overage_rate: Credits::ZERO,
        pricing: PlanPricing::default(),
        limits: UsageLimits::default(),
        features: Vec::new(),
        version: 0,
        plan: name,
    };
    let present = present.unwrap_or_else(|| unset.clone());
    let names = |names: Vec<Name>| names.into_iter().map(|name| name.0).collect();
    Ok(Plan {
        plan: unset.plan,
        display_name: given.display_name.else_of(present.display_name, unset.display_name, |name| name.0),
        monthly_credits: unset.monthly_credits,
        overage_rate: given.overage_rate.else_of(present.overage_rate, unset.overage_rate, |rate| rate.0),
        pricing: given.pricing.else_of(present.pricing, unset.pricing, |Object(pricing)| pricing.into()),
        limits: given.limits.else_of(present.limits, unset.limits, |Object(limits)| limits.into()),
        features: given.features.else_of(present.features, unset.features, names),
        version: present.version,
    })
}

impl From<PricingGiven> for PlanPricing {
    fn from(given: PricingGiven) -> Self {
        Self { monthly: given.monthly.0, annual: given.annual.0 }
    }
}

impl From<PlanLimitsGiven> for UsageLimits {
    fn from(given: PlanLimitsGiven) -> Self {
        let count = |count: Option<Count>| count.map(|count| count.0);
        Self {
            monthly_credits: None,
            member_monthly_credits: given.member_monthly_credits,
            ai_calls_per_month: count(given.ai_calls_per_month),
            pdf_exports_per_month: count(given.pdf_exports_per_month),
            session_limit: count(given.session_limit),
            team_members_limit: count(given.team_members_limit),
            storage_limit: count(given.storage_limit),
        }
    }
}
