//! Adjustments: credits that operators give back or take, each a usage event with a reason. None is ever changed or
//! removed: one that was wrong is put right by another.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use ledger::{
    Adjusted, Adjustment, AdjustmentRefused, Changed, CreditGrant, Credits, Hold, NewAdjustment, OrganizationId,
    Period, Timestamp, UsageEvent, UsageEventId, UserId,
};
use refusal::Refusal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::named;
use crate::answer::{Answer, Origin, Refused};
use crate::bounded::{Positive, Reason};
use crate::context::Context;
use crate::guard::Operator;
use crate::json_body::JsonBody;
use crate::live::NotSetAside;
use crate::operators::idempotency_key;
use crate::query::Query;

/// The route, as its events name it.
const ENDPOINT: &str = "/api/admin/organizations/{orgId}/adjustments";
/// Adjustments a page, at most.
const LIMIT_MAX: u32 = 100;
/// Adjustments a page unless asked otherwise.
const LIMIT_DEFAULT: u32 = 50;

/// Which way credits go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Direction {
    /// To the organization: less is used.
    Give,
    /// From the organization: more is used.
    Take,
}

/// An adjustment to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AdjustmentGiven {
    direction: Direction,
    /// How many: above 0, at most 1000000000.
    #[schema(value_type = f64)]
    credits: Positive,
    /// 1 to 500 bytes.
    #[schema(value_type = String)]
    reason: Reason,
    /// The usage event that is put right. No more is given back for one than it was charged.
    #[schema(value_type = Option<String>)]
    adjusts: Option<UsageEventId>,
    /// The user for whom it counts; else that of the event that is put right, else the operator.
    #[schema(value_type = Option<String>)]
    user_id: Option<UserId>,
}

/// An adjustment.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AdjustmentAnswer {
    success: bool,
    adjustment: AdjustmentShown,
    /// Whether it had been made before under this `Idempotency-Key`.
    repeated: bool,
}

/// A page of adjustments.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AdjustmentsAnswer {
    success: bool,
    /// Newest first.
    adjustments: Vec<AdjustmentShown>,
    /// `cursor` of the next page; null on the last.
    #[schema(value_type = Option<String>)]
    cursor: Option<UsageEventId>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AdjustmentShown {
    /// Its usage event's.
    #[schema(value_type = String)]
    id: UsageEventId,
    #[schema(value_type = String)]
    organization_id: OrganizationId,
    #[schema(value_type = String)]
    user_id: UserId,
    direction: Direction,
    #[schema(value_type = f64)]
    credits: Credits,
    /// As the usage event has it: below zero where credits are given.
    #[schema(value_type = f64)]
    credits_consumed: Credits,
    reason: String,
    #[schema(value_type = Option<String>)]
    adjusts: Option<UsageEventId>,
    made_by: String,
    /// It counts in this moment's month.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// Give credits back, or take some
///
/// A new usage event of the present month, with the outcome `adjusted`; events that are there never change. It needs an
/// `Idempotency-Key`, 1 to 255 visible ASCII characters, which names the adjustment for ever: the same key answers with the
/// same event, another body under it is refused with 422. What is taken must be left, or it is refused with 409; what is
/// given has no limit, and may take what is used below zero.
#[utoipa::path(post, path = "/api/admin/organizations/{orgId}/adjustments", operation_id = "makeAdjustment",
    params(("orgId" = String, Path, description = "The organization"),
        ("Idempotency-Key" = String, Header, description = "The adjustment's name, of the client's choice")),
    request_body = AdjustmentGiven,
    responses((status = 200, description = "The adjustment", body = AdjustmentAnswer),
        (status = 404, description = "No such organization or event"),
        (status = 409, description = "More than is left, or than the event was charged"),
        (status = 422, description = "The key was used for another adjustment")))]
pub(crate) async fn make(
    State(context): State<Arc<Context>>,
    operator: Operator,
    origin: Origin,
    Path(id): Path<String>,
    headers: HeaderMap,
    JsonBody(given): JsonBody<AdjustmentGiven>,
) -> Answer<AdjustmentAnswer> {
    let organization_id: OrganizationId = named(&id)?;
    let credits = match given.direction {
        Direction::Give => Credits::ZERO.saturating_sub(given.credits.0),
        Direction::Take => given.credits.0,
    };
    let new = NewAdjustment {
        organization_id,
        key: idempotency_key(&headers)?,
        credits,
        reason: given.reason.0,
        adjusts: given.adjusts,
        user_id: given.user_id,
        expires_at: None,
        request_id: origin.request_id,
        endpoint: ENDPOINT,
    };
    let (event, repeated) = adjust(&context, &operator, &new).await?;
    Ok(Json(AdjustmentAnswer { success: true, adjustment: AdjustmentShown::from(event), repeated }))
}

/// An organization's adjustments, newest first
#[utoipa::path(get, path = "/api/admin/organizations/{orgId}/adjustments", operation_id = "listAdjustments",
    params(("orgId" = String, Path, description = "The organization"),
        ("limit" = Option<u32>, Query, description = "Adjustments a page, 1 to 100; 50 unless given"),
        ("cursor" = Option<String>, Query, description = "`cursor` of the page before")),
    responses((status = 200, description = "The page", body = AdjustmentsAnswer),
        (status = 404, description = "No such organization")))]
pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    _operator: Operator,
    Path(id): Path<String>,
    query: Query,
) -> Answer<AdjustmentsAnswer> {
    let id: OrganizationId = named(&id)?;
    let limit = query.count("limit", LIMIT_MAX, LIMIT_DEFAULT)?;
    let before = query.parsed::<UsageEventId>("cursor", "cursor of the page before")?;
    context.directory.organization(&id).await?.ok_or(Refusal::NotFound("organization"))?;
    // One more than is shown tells whether there is a next page.
    let mut events = context.adjustments.adjustments(&id, before, limit.saturating_add(1)).await?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_next = events.len() > shown;
    events.truncate(shown);
    let cursor = events.last().filter(|_| has_next).map(|event| event.id);
    Ok(Json(AdjustmentsAnswer {
        success: true,
        adjustments: events.into_iter().map(AdjustmentShown::from).collect(),
        cursor,
    }))
}

/// Makes an adjustment, unless its key was used before; answers its event, and whether that was there already.
pub(super) async fn adjust(
    context: &Context,
    operator: &Operator,
    new: &NewAdjustment,
) -> Result<(UsageEvent, bool), Refused> {
    let adjusted = match context.adjustments.adjusted(new).await? {
        Some(before) => before,
        None => adjust_anew(context, operator, new).await?,
    };
    match adjusted {
        Adjusted::Made(event) => Ok((event, false)),
        Adjusted::Repeated(event) => Ok((event, true)),
        Adjusted::Refused(why) => Err(refusal(why, new).into()),
    }
}

async fn adjust_anew(context: &Context, operator: &Operator, new: &NewAdjustment) -> Result<Adjusted, Refused> {
    // The event that is put right may still be on its way to the store, and so may what is used.
    context.live.caught_up().await;
    let change = operator.change(context.clock.now());
    let set_aside = set_aside(context, new, change.at).await?;
    let adjusted = context.adjustments.adjust(new, &change).await?;
    if let Adjusted::Made(_) = adjusted {
        context.live.changed(&Changed::Organization(new.organization_id.clone())).await;
    }
    // Until here the live book counted it as held, from here on as used.
    drop(set_aside);
    Ok(adjusted)
}

/// What is taken, held in the live book where there is one: calls on their way hold credits of which the store knows
/// nothing.
async fn set_aside(context: &Context, new: &NewAdjustment, now: Timestamp) -> Result<Option<Hold>, Refused> {
    if new.credits.is_negative() {
        return Ok(None);
    }
    let id = &new.organization_id;
    let record = context.directory.organization(id).await?.ok_or(Refusal::NotFound("organization"))?;
    let held = context.live.set_aside(id, Period::of(now), new.credits, record.grant().credits).await;
    held.map_err(|why| match why {
        NotSetAside::Remaining(remaining) => refusal(AdjustmentRefused::OverLimit { remaining }, new).into(),
        NotSetAside::OutOfRange => refusal(AdjustmentRefused::OutOfRange, new).into(),
        NotSetAside::Unknown(error) => error.into(),
    })
}

fn refusal(why: AdjustmentRefused, new: &NewAdjustment) -> Refusal {
    match why {
        AdjustmentRefused::NoOrganization => Refusal::NotFound("organization"),
        AdjustmentRefused::NoEvent => Refusal::NotFound("usage event"),
        AdjustmentRefused::KeyReused => Refusal::IdempotencyKeyReused,
        AdjustmentRefused::MoreThanCharged { left } => {
            Refusal::Conflict(format!("credits: more than the event was charged; allowed: up to {left}."))
        }
        AdjustmentRefused::OtherPrice { rated } => {
            Refusal::Conflict(format!("adjusts: the event costs {rated} by now; allowed: a plan that says so."))
        }
        AdjustmentRefused::OverLimit { remaining } => {
            let wanted = new.credits;
            Refusal::Conflict(format!(
                "credits: {wanted} are more than is left of the limit; allowed: up to {remaining}."
            ))
        }
        AdjustmentRefused::TooManyGrants => {
            let allowed = CreditGrant::OPEN_MAX;
            Refusal::Conflict(format!("The organization has too many grants; allowed: {allowed} that have not ended."))
        }
        AdjustmentRefused::OutOfRange => {
            Refusal::Conflict("credits: the month's sum would be too large to be counted; allowed: less.".to_owned())
        }
    }
}

impl From<UsageEvent> for AdjustmentShown {
    fn from(event: UsageEvent) -> Self {
        let direction = if event.credits.is_negative() { Direction::Give } else { Direction::Take };
        let none = Adjustment { reason: String::new(), adjusts: None, made_by: String::new(), expires_at: None };
        let Adjustment { reason, adjusts, made_by, expires_at: _ } = event.adjustment.unwrap_or(none);
        Self {
            id: event.id,
            organization_id: event.organization_id,
            user_id: event.user_id,
            direction,
            credits: event.credits.max(Credits::ZERO.saturating_sub(event.credits)),
            credits_consumed: event.credits,
            reason,
            adjusts,
            made_by,
            created_at: event.occurred_at,
        }
    }
}
