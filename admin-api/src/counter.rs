//! The live counter: what is used and held of the present month, as the next call will find it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use ledger::{BookSnapshot, Credits, Limit, OrganizationId, Period, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::{Answer, Refused};
use crate::context::Context;
use crate::guard::Membership;
use crate::overview::{Overview, left};

/// The live counter.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CounterAnswer {
    success: bool,
    usage: Counter,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Counter {
    #[schema(value_type = String)]
    organization_id: OrganizationId,
    #[schema(value_type = String, example = "2026-11")]
    period: Period,
    /// -1 is unlimited.
    #[schema(value_type = f64)]
    limit: Limit,
    #[schema(value_type = f64)]
    used: Credits,
    /// Set aside for calls on their way.
    #[schema(value_type = f64)]
    held: Credits,
    /// The limit less what is used; -1 is unlimited.
    #[schema(value_type = f64)]
    remaining: Limit,
    /// The limit less what is used and held; -1 is unlimited.
    #[schema(value_type = f64)]
    available: Limit,
    is_unlimited: bool,
    #[serde(flatten)]
    overview: Overview,
    #[schema(value_type = f64)]
    held_credits: Credits,
    /// Metered calls of the period.
    calls: Calls,
    /// When the next period begins.
    #[schema(value_type = String, format = DateTime)]
    resets_at: Timestamp,
}

#[derive(Debug, Serialize, ToSchema)]
struct Calls {
    /// -1 is unlimited.
    limit: i64,
    used: u64,
    held: u64,
}

/// The live counter of the present month
#[utoipa::path(get, path = "/api/organizations/{orgId}/usage", operation_id = "showCounter",
    params(("orgId" = String, Path, description = "The organization")),
    responses((status = 200, description = "The counter", body = CounterAnswer)))]
pub(crate) async fn show(State(context): State<Arc<Context>>, membership: Membership) -> Answer<CounterAnswer> {
    let period = Period::of(context.clock.now());
    let book = book(&context, membership.id(), period).await?;
    let grant = membership.record.grant();
    let usage = Counter {
        organization_id: membership.id().clone(),
        period,
        limit: grant.credits,
        used: book.used,
        held: book.held,
        remaining: left(grant.credits, book.used),
        available: left(grant.credits, book.used.saturating_add(book.held)),
        is_unlimited: grant.credits == Limit::Unlimited,
        overview: Overview::of(&membership.record, book.used),
        held_credits: book.held,
        calls: Calls {
            limit: grant.calls.map_or(-1, |calls| i64::try_from(calls).unwrap_or(i64::MAX)),
            used: book.calls_used,
            held: book.calls_held,
        },
        resets_at: period.end(),
    };
    Ok(Json(CounterAnswer { success: true, usage }))
}

/// The live book, or where none is open here what the store's events add up to.
pub(crate) async fn book(context: &Context, id: &OrganizationId, period: Period) -> Result<BookSnapshot, Refused> {
    if let Some(book) = context.live.snapshot(id, period).await {
        return Ok(book);
    }
    let balance = context.usage.balance(id, period).await?;
    Ok(BookSnapshot { used: balance.used, calls_used: balance.calls, ..BookSnapshot::default() })
}
