//! Grants: credits beside the plan's that end, such as a top-up. Each is an adjustment that gives; what is left of it when
//! it ends is taken by another.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use ledger::{
    Changed, CreditGrant, Credits, NewAdjustment, OrganizationId, OrganizationRecord, Period, Timestamp, UsageEventId,
    left_of,
};
use refusal::Refusal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::adjustments::adjust;
use super::{idempotency_key, named};
use crate::answer::{Answer, Origin, Refused};
use crate::bounded::{Positive, Reason};
use crate::context::Context;
use crate::counter::book;
use crate::guard::Operator;
use crate::json_body::JsonBody;

/// The route, as its events name it.
const ENDPOINT: &str = "/api/admin/organizations/{orgId}/grants";

/// A grant to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct GrantGiven {
    /// How many: above 0, at most 1000000000.
    #[schema(value_type = f64)]
    credits: Positive,
    /// When what is left of it ends: after now.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// 1 to 500 bytes.
    #[schema(value_type = String)]
    reason: Reason,
}

/// A grant.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GrantAnswer {
    success: bool,
    /// Its usage event's id, by which it is ended.
    #[schema(value_type = String)]
    id: UsageEventId,
    #[schema(value_type = f64)]
    credits: Credits,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// Whether it had been made before under this `Idempotency-Key`.
    repeated: bool,
}

/// An organization's grants.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GrantsAnswer {
    success: bool,
    grants: Vec<GrantShown>,
}

/// A grant that has not ended.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GrantShown {
    #[schema(value_type = String)]
    id: UsageEventId,
    /// What was left of it when the month began, or when it was made.
    #[schema(value_type = f64)]
    credits: Credits,
    /// What is left of it now, beside what calls on their way hold.
    #[schema(value_type = f64)]
    remaining: Credits,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// Whether there was a grant to end.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndedAnswer {
    success: bool,
    ended: bool,
}

/// Grant credits that end
///
/// An adjustment that gives, and needs an `Idempotency-Key` like one. The plan's credits are spent first, then those of
/// grants, first of that which ends first; what is left of one goes with it from month to month until it ends.
#[utoipa::path(post, path = "/api/admin/organizations/{orgId}/grants", operation_id = "makeGrant",
    params(("orgId" = String, Path, description = "The organization"),
        ("Idempotency-Key" = String, Header, description = "The grant's name, of the client's choice")),
    request_body = GrantGiven,
    responses((status = 200, description = "The grant", body = GrantAnswer),
        (status = 404, description = "No such organization"),
        (status = 409, description = "As many grants as an organization may have"),
        (status = 422, description = "The key was used for another adjustment or grant")))]
pub(crate) async fn make(
    State(context): State<Arc<Context>>,
    operator: Operator,
    origin: Origin,
    Path(id): Path<String>,
    headers: HeaderMap,
    JsonBody(given): JsonBody<GrantGiven>,
) -> Answer<GrantAnswer> {
    let new = NewAdjustment {
        organization_id: named(&id)?,
        key: idempotency_key(&headers)?,
        credits: Credits::ZERO.saturating_sub(given.credits.0),
        reason: given.reason.0,
        adjusts: None,
        user_id: CreditGrant::USER.parse().ok(),
        expires_at: Some(given.expires_at),
        request_id: origin.request_id,
        endpoint: ENDPOINT,
    };
    let now = context.clock.now();
    // A grant that is repeated may have ended since.
    if given.expires_at <= now && context.adjustments.adjusted(&new).await?.is_none() {
        return Err(Refusal::InvalidRequest(format!("expiresAt: it is over; allowed: after {now}.")).into());
    }
    let (event, repeated) = adjust(&context, &operator, &new).await?;
    let (credits, expires_at) = (given.credits.0, given.expires_at);
    Ok(Json(GrantAnswer { success: true, id: event.id, credits, expires_at, repeated }))
}

/// An organization's grants that have not ended, the first to end first
#[utoipa::path(get, path = "/api/admin/organizations/{orgId}/grants", operation_id = "listGrants",
    params(("orgId" = String, Path, description = "The organization")),
    responses((status = 200, description = "The grants", body = GrantsAnswer),
        (status = 404, description = "No such organization")))]
pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    _operator: Operator,
    Path(id): Path<String>,
) -> Answer<GrantsAnswer> {
    let id: OrganizationId = named(&id)?;
    let record = context.directory.organization(&id).await?.ok_or(Refusal::NotFound("organization"))?;
    Ok(Json(GrantsAnswer { success: true, grants: shown(&context, &record).await? }))
}

/// End a grant now: what is left of it is taken within a second
#[utoipa::path(delete, path = "/api/admin/organizations/{orgId}/grants/{grantId}", operation_id = "endGrant",
    params(("orgId" = String, Path, description = "The organization"), ("grantId" = String, Path, description = "The grant")),
    responses((status = 200, description = "The grant has ended", body = EndedAnswer),
        (status = 404, description = "No such organization")))]
pub(crate) async fn end(
    State(context): State<Arc<Context>>,
    operator: Operator,
    Path((id, grant)): Path<(String, String)>,
) -> Answer<EndedAnswer> {
    let (id, grant): (OrganizationId, UsageEventId) = (named(&id)?, named(&grant)?);
    context.directory.organization(&id).await?.ok_or(Refusal::NotFound("organization"))?;
    let change = operator.change(context.clock.now());
    let ended = context.credit_grants.end_credit_grant(&id, grant, &change).await?;
    context.live.changed(&Changed::Organization(id)).await;
    Ok(Json(EndedAnswer { success: true, ended }))
}

/// The grants of an organisation with what is left of them.
pub(crate) async fn shown(context: &Context, record: &OrganizationRecord) -> Result<Vec<GrantShown>, Refused> {
    let id = &record.organization.organization_id;
    let mut grants = context.credit_grants.credit_grants(id).await?;
    // One whose month or time is over is about to be moved: within a second, or once nothing of its month is leased.
    let now = context.clock.now();
    grants.retain(|grant| !grant.is_due(now));
    if grants.is_empty() {
        return Ok(Vec::new());
    }
    let book = book(context, id, Period::of(now)).await?;
    let left = left_of(&grants, book.available(record.grant().credits).unwrap_or(Credits::MAX));
    let shown = grants.into_iter().zip(left).map(|(grant, remaining)| {
        let CreditGrant { id, expires_at, period: _, credits } = grant;
        GrantShown { id, credits, remaining, expires_at }
    });
    Ok(shown.collect())
}
