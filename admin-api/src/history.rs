//! The events themselves, filtered and in pages, with sums over everything that passes the filter. A member who may not see
//! the organisation's usage sees none but their own.

mod filter;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use ledger::{Credits, PageRequest, Timestamp, UsageEvent, UserUsage};
use refusal::Refusal;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::Answer;
use crate::context::Context;
use crate::event::{EventShown, SessionShown, UserShown};
use crate::guard::Membership;
use crate::query::Query;

use filter::Filters;

/// A page of history.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryAnswer {
    success: bool,
    /// Newest first; within a millisecond, the larger id first.
    events: Vec<EventShown>,
    pagination: Pagination,
    /// The filters that were applied, as they were given.
    filters: Filters,
    /// Over everything that passes the filters.
    summary: Summary,
    /// The sessions of the page's events, over all their events, or those of the user asked for.
    sessions: Vec<SessionShown>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Pagination {
    page: u32,
    limit: u32,
    /// Events that pass the filters.
    total: u64,
    total_pages: u64,
    has_next: bool,
    has_prev: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Summary {
    #[schema(value_type = f64)]
    total_credits: Credits,
    total_events: u64,
    unique_users: u64,
    date_range: DateRange,
}

/// The oldest and the newest event that pass the filters; null where none does.
#[derive(Debug, Serialize, ToSchema)]
struct DateRange {
    #[schema(value_type = Option<String>, format = DateTime)]
    start: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    end: Option<Timestamp>,
}

/// Usage events, filtered
///
/// Newest first; within a millisecond, the larger event id first. Members and viewers see their own events only.
#[utoipa::path(get, path = "/api/organizations/{orgId}/usage/history", operation_id = "listHistory",
    params(("orgId" = String, Path, description = "The organization"),
        ("eventType" = Option<String>, Query, description = "Of this event type"),
        ("userId" = Option<String>, Query, description = "By this user"),
        ("startDate" = Option<String>, Query, description = "From this day (UTC) or RFC 3339 moment on"),
        ("endDate" = Option<String>, Query, description = "Up to this day (UTC) or RFC 3339 moment, it included"),
        ("category" = Option<String>, Query, description = "Of this category"),
        ("minCredits" = Option<f64>, Query, description = "Charged at least this"),
        ("maxCredits" = Option<f64>, Query, description = "Charged at most this"),
        ("sessionId" = Option<String>, Query, description = "Of this session"),
        ("page" = Option<u32>, Query, description = "Counts from 1"),
        ("limit" = Option<u32>, Query, description = "Events a page, 1 to 100; 50 unless given")),
    responses((status = 200, description = "The page", body = HistoryAnswer)))]
pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    membership: Membership,
    query: Query,
) -> Answer<HistoryAnswer> {
    let own = &membership.member.user_id;
    let asked = query.text("userId").ok().flatten();
    if !membership.sees_all() && asked.is_some_and(|asked| asked != own.as_str()) {
        return Err(Refusal::Forbidden.into());
    }
    let (mut filters, mut filter) = filter::read(&query)?;
    if !membership.sees_all() {
        filters.narrow_to(own);
        filter.user_id = Some(own.clone());
    }
    let request = PageRequest {
        page: query.count("page", u32::MAX, 1)?,
        limit: query.count("limit", PageRequest::LIMIT_MAX, PageRequest::LIMIT_DEFAULT)?,
    };
    context.live.caught_up().await;
    let page = context.usage.history(membership.id(), &filter, request).await?;
    let sessions: Vec<SessionShown> = page.sessions.into_iter().map(SessionShown::from).collect();
    Ok(Json(HistoryAnswer {
        success: true,
        events: page.events.iter().map(|(event, user)| shown(event, user, &sessions)).collect(),
        pagination: pagination(request, page.summary.total_events),
        filters,
        summary: Summary {
            total_credits: page.summary.total_credits,
            total_events: page.summary.total_events,
            unique_users: page.summary.unique_users,
            date_range: DateRange { start: page.summary.first, end: page.summary.last },
        },
        sessions,
    }))
}

fn shown(event: &UsageEvent, user: &UserUsage, sessions: &[SessionShown]) -> EventShown {
    let user = UserShown { id: user.user_id.clone(), name: user.name.clone(), email: user.email.clone() };
    let session = sessions.iter().find(|session| Some(&session.id) == event.session_id.as_ref());
    EventShown::new(event, user, session.cloned())
}

fn pagination(request: PageRequest, total: u64) -> Pagination {
    let PageRequest { page, limit } = request;
    let total_pages = total.div_ceil(u64::from(limit));
    Pagination { page, limit, total, total_pages, has_next: u64::from(page) < total_pages, has_prev: page > 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_know_their_neighbours() {
        let cases = [
            (1, 50, 0, 0, false, false),
            (1, 50, 50, 1, false, false),
            (1, 50, 51, 2, true, false),
            (2, 50, 51, 2, false, true),
            (9, 50, 51, 2, false, true),
        ];
        for (page, limit, total, pages, next, prev) in cases {
            let shown = pagination(PageRequest { page, limit }, total);
            assert_eq!((shown.total_pages, shown.has_next, shown.has_prev), (pages, next, prev), "{page} of {total}");
        }
    }
}
