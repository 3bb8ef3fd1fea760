//! What the dashboard looks like. The front end reads these names: one may be added, none changed.

use std::collections::BTreeMap;

use ledger::{Credits, EventType, OrganizationId, PercentTenths, Period, PlanName, Timestamp, UsageLimits, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::advice::Advice;
use crate::month::{DayShare, Forecast, MonthShare};
use crate::overview::Overview;

/// The dashboard.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DashboardAnswer {
    pub(super) success: bool,
    pub(super) dashboard: Dashboard,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Dashboard {
    pub(super) overview: Overview,
    pub(super) events: Events,
    pub(super) users: Users,
    pub(super) analytics: Analytics,
    pub(super) limits: Limits,
    pub(super) warnings: Vec<Advice>,
    pub(super) recommendations: Vec<Advice>,
    pub(super) meta: Meta,
}

/// Events and their credits.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Share {
    pub(crate) count: u64,
    #[schema(value_type = f64)]
    pub(crate) credits: Credits,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names are the front end's")]
pub(super) struct Events {
    /// By event type.
    pub(super) breakdown: BTreeMap<String, Share>,
    /// Most credits first, ten at most.
    pub(super) top_events: Vec<EventRank>,
    pub(super) total_events: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventRank {
    #[schema(value_type = String)]
    pub(super) event_type: EventType,
    pub(super) count: u64,
    #[schema(value_type = f64)]
    pub(super) credits: Credits,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names are the front end's")]
pub(super) struct Users {
    /// By user id.
    pub(super) breakdown: BTreeMap<String, UserShare>,
    /// Most credits first, ten at most.
    pub(super) top_users: Vec<UserRank>,
    pub(super) total_users: usize,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UserShare {
    pub(super) name: Option<String>,
    pub(super) count: u64,
    #[schema(value_type = f64)]
    pub(super) credits: Credits,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UserRank {
    #[schema(value_type = String)]
    pub(super) id: UserId,
    /// Null where the user is a member no more or has no name.
    pub(super) name: Option<String>,
    #[schema(value_type = f64)]
    pub(super) credits: Credits,
    pub(super) count: u64,
    /// Of the month's credits; one decimal.
    #[schema(value_type = f64)]
    pub(super) percentage: PercentTenths,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Analytics {
    /// Every day of the month that has begun, oldest first.
    pub(super) daily_usage: Vec<DayShare>,
    /// Three months, oldest first, the report's own last.
    pub(super) monthly_trends: Vec<MonthShare>,
    pub(super) forecast: Forecast,
    #[schema(value_type = f64)]
    pub(super) daily_average: Credits,
    #[schema(value_type = f64)]
    pub(super) avg_credits_per_event: Credits,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Limits {
    #[schema(value_type = String)]
    pub(super) plan_type: PlanName,
    pub(super) is_unlimited: bool,
    pub(super) days_in_month: u8,
    #[serde(flatten)]
    #[schema(value_type = LimitsShown)]
    pub(super) in_force: UsageLimits,
}

/// Limits; -1 is unlimited, an absent one too.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes ledger::UsageLimits")]
pub(crate) struct LimitsShown {
    monthly_credits: Option<f64>,
    /// For each member that has no limit of their own.
    member_monthly_credits: Option<f64>,
    ai_calls_per_month: Option<i64>,
    pdf_exports_per_month: Option<i64>,
    session_limit: Option<i64>,
    team_members_limit: Option<i64>,
    storage_limit: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    #[schema(value_type = String)]
    pub(super) organization_id: OrganizationId,
    #[schema(value_type = String, example = "2026-11")]
    pub(super) report_month: Period,
    #[schema(value_type = String, format = DateTime)]
    pub(super) generated_at: Timestamp,
    /// The user who asked.
    #[schema(value_type = String)]
    pub(super) generated_by: UserId,
}
