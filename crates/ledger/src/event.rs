//! A usage event: what one call cost and why, or what an operator gave or took. Written once, never changed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    Adjustment, AnswerSignals, Credits, EventType, OrganizationId, Period, PlanName, RequestId, SessionId, Signals,
    Timestamp, UsageEventId, UserId,
};

/// The record of one metered call that reached the backend.
///
/// It belongs to the period in which its hold was opened, which is also the time inside its id, however long the call
/// took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageEvent {
    /// Its id, known to the client.
    pub id: UsageEventId,
    /// Who pays.
    pub organization_id: OrganizationId,
    /// Who called.
    pub user_id: UserId,
    /// What was called.
    pub event_type: EventType,
    /// The definition's name for people, as it was then.
    pub event_name: String,
    /// The definition's category, as it was then.
    pub category: String,
    /// The definition's version.
    pub definition_version: i64,
    /// When the hold was opened.
    pub occurred_at: Timestamp,
    /// When the hold was settled.
    pub settled_at: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// What was charged; zero unless captured. Of an adjustment what it adds to what is used: below zero where it gives.
    pub credits: Credits,
    /// What was held for it.
    pub held: Credits,
    /// The charge, item by item; their sum is `credits` where captured, and the quote otherwise.
    pub items: Vec<ChargeItem>,
    /// The plugin that set the price.
    pub plugin: Arc<PluginIdentity>,
    /// What the price depended on.
    pub signals: Signals,
    /// What the backend's answer said of its work; `None` before there is one, and in events of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerSignals>,
    /// The app's session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// The request, as logs and answers name it.
    pub request_id: RequestId,
    /// The route's path as configured, `{orgId}` and all.
    pub endpoint: Arc<str>,
    /// The backend's status; `None` where it gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_status: Option<u16>,
    /// The plan that it was priced for, as it was then; `None` of events that were written before it was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PricedPlan>,
    /// Why an operator made it; `None` of a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjustment: Option<Adjustment>,
}

impl UsageEvent {
    /// Whether the charge is the quote because what the backend did is not known well enough.
    pub fn is_estimated(&self) -> bool {
        self.outcome == Outcome::Captured && self.answer.as_ref().is_some_and(|answer| answer.estimated)
    }

    /// The period to which the event belongs.
    pub fn period(&self) -> Period {
        Period::of(self.occurred_at)
    }
}

/// The plan that a call was priced for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PricedPlan {
    /// Its name.
    pub name: PlanName,
    /// Its version then.
    pub version: i64,
}

/// How a hold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Charged.
    Captured,
    /// Given back: the backend failed or refused.
    Voided,
    /// Given back: the gateway died before the call ended.
    Interrupted,
    /// No call: an operator gave credits back or took some.
    Adjusted,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Captured, Self::Voided, Self::Interrupted, Self::Adjusted];

    /// The name in JSON, SQL and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Captured => "captured",
            Self::Voided => "voided",
            Self::Interrupted => "interrupted",
            Self::Adjusted => "adjusted",
        }
    }

    /// From the name in JSON and SQL.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == name)
    }
}

/// One line of a charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChargeItem {
    /// What it is for, such as `base` or `echo`.
    pub label: String,
    /// What it costs.
    pub credits: Credits,
}

/// The exact plugin that set a price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginIdentity {
    /// Its name for itself.
    pub name: String,
    /// Its version of itself.
    pub version: String,
    /// SHA-256 of its file, in lower-case hexadecimal.
    pub sha256: String,
}

impl PluginIdentity {
    /// No plugin: an operator set the amount.
    pub const fn none() -> Self {
        Self { name: String::new(), version: String::new(), sha256: String::new() }
    }
}
