//! A usage event as the API shows it, and one event explained: what was charged, item by item, and by which plugin.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use ledger::{
    Adjustment, AnswerSignals, ChargeItem, Credits, EventType, HistoryFilter, ModelUsage, OrganizationId, PageRequest,
    PluginIdentity, PricedPlan, RequestId, Scalar, SessionId, SessionUsage, Thousandths, Timestamp, UsageEvent,
    UsageEventId, UserId,
};
use refusal::Refusal;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::{Answer, Refused};
use crate::context::Context;
use crate::guard::Membership;

/// What a plugin that follows the standard one's labels calls the item that complexity adds; the factor follows.
const COMPLEXITY_LABEL: &str = "complexity x";
/// The item of such a plugin that is there with every charge.
const BASE_LABEL: &str = "base";

/// A usage event.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventShown {
    #[schema(value_type = String)]
    id: UsageEventId,
    #[schema(value_type = String)]
    event_type: EventType,
    event_name: String,
    category: String,
    #[schema(value_type = f64)]
    credits_consumed: Credits,
    user: UserShown,
    session: Option<SessionShown>,
    event_data: EventData,
    /// When the call was accepted: the event belongs to this moment's month.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The factor by which the text's length raised the price; null where the plugin does not say.
    #[schema(value_type = Option<f64>)]
    complexity: Option<Thousandths>,
    endpoint: String,
    /// `captured` (charged), `voided` (given back: the backend failed), `interrupted` (given back: the gateway died) or
    /// `adjusted` (no call: an operator gave or took credits).
    outcome: &'static str,
    /// What was set aside for the call.
    #[schema(value_type = f64)]
    held: Credits,
    upstream_status: Option<u16>,
    #[schema(value_type = String)]
    request_id: RequestId,
    /// Of an adjustment, why it was made; absent of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<AdjustmentNote>)]
    adjustment: Option<Adjustment>,
}

/// Why an adjustment was made.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes ledger::Adjustment")]
struct AdjustmentNote {
    reason: String,
    /// The usage event that it puts right.
    adjusts: Option<String>,
    made_by: String,
}

/// Who called.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserShown {
    #[schema(value_type = String)]
    pub(crate) id: UserId,
    pub(crate) name: Option<String>,
    pub(crate) email: Option<String>,
}

/// The session of a call, over all its events; over one user's where only those were asked for.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionShown {
    #[schema(value_type = String)]
    pub(crate) id: SessionId,
    #[schema(value_type = f64)]
    total_credits: Credits,
    total_events: u64,
    #[schema(value_type = String, format = DateTime)]
    first_event_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    last_event_at: Timestamp,
}

/// What the price depended on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EventData {
    /// Length of the text in UTF-16 code units.
    text_units: u64,
    item_count: u64,
    body_bytes: u64,
    flags: Vec<String>,
    #[schema(value_type = Object)]
    scalars: BTreeMap<String, Scalar>,
    /// What the backend's answer said of its work: model, tokens and the fields that the route names. What it did not say is
    /// not here; null where there was no answer.
    #[schema(value_type = Option<Object>)]
    usage: Option<ModelUsage>,
    /// Whether the charge is the quote, because what the backend did is not known well enough.
    estimated: bool,
}

impl EventShown {
    /// An event with its user and session.
    pub(crate) fn new(event: &UsageEvent, user: UserShown, session: Option<SessionShown>) -> Self {
        let signals = &event.signals;
        Self {
            id: event.id,
            event_type: event.event_type.clone(),
            event_name: event.event_name.clone(),
            category: event.category.clone(),
            credits_consumed: event.credits,
            user,
            session,
            event_data: EventData {
                text_units: signals.text_units,
                item_count: signals.item_count,
                body_bytes: signals.body_bytes,
                flags: signals.flags.clone(),
                scalars: signals.scalars.clone(),
                usage: event.answer.as_ref().map(|answer| answer.usage.clone()),
                estimated: event.is_estimated(),
            },
            created_at: event.occurred_at,
            complexity: complexity(&event.items),
            endpoint: event.endpoint.to_string(),
            outcome: event.outcome.as_str(),
            held: event.held,
            upstream_status: event.upstream_status,
            request_id: event.request_id.clone(),
            adjustment: event.adjustment.clone(),
        }
    }
}

impl From<SessionUsage> for SessionShown {
    fn from(session: SessionUsage) -> Self {
        Self {
            id: session.id,
            total_credits: session.credits,
            total_events: session.count,
            first_event_at: session.first,
            last_event_at: session.last,
        }
    }
}

/// The factor that a charge's items name. One without a line for it, but with a base, was not raised.
fn complexity(items: &[ChargeItem]) -> Option<Thousandths> {
    let named = items.iter().find_map(|item| item.label.strip_prefix(COMPLEXITY_LABEL)?.parse().ok());
    named.or_else(|| items.iter().any(|item| item.label == BASE_LABEL).then_some(Thousandths(1_000)))
}

/// One event explained.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventAnswer {
    success: bool,
    event: EventExplained,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EventExplained {
    #[serde(flatten)]
    event: EventShown,
    #[schema(value_type = String)]
    organization_id: OrganizationId,
    #[schema(value_type = String, format = DateTime)]
    settled_at: Timestamp,
    /// The charge, item by item; of a call that was given back, what it was quoted.
    #[schema(value_type = Vec<ItemShown>)]
    items: Vec<ChargeItem>,
    /// The plugin that set the price; null of an adjustment.
    #[schema(value_type = Option<PluginShown>)]
    plugin: Option<Arc<PluginIdentity>>,
    /// The same as `eventData`, as the plugin was given it.
    #[schema(value_type = Object)]
    signals: ledger::Signals,
    /// The answer, as the plugin was given it to settle.
    #[schema(value_type = Option<Object>)]
    answer: Option<AnswerSignals>,
    /// The version of the event definition that it was priced by.
    definition_version: i64,
    /// The plan that it was priced for, and its version then; null of events from before versions were noted.
    #[schema(value_type = Option<PricedPlanShown>)]
    plan: Option<PricedPlan>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes ledger::PricedPlan")]
struct PricedPlanShown {
    name: String,
    version: i64,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes ledger::ChargeItem")]
pub(crate) struct ItemShown {
    label: String,
    credits: f64,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes ledger::PluginIdentity")]
pub(crate) struct PluginShown {
    name: String,
    version: String,
    sha256: String,
}

/// One event, with its charge item by item
///
/// Who sees the organization's usage sees every event, everybody else their own.
#[utoipa::path(get, path = "/api/organizations/{orgId}/usage/events/{usageEventId}", operation_id = "showEvent",
    params(("orgId" = String, Path, description = "The organization"),
        ("usageEventId" = String, Path, description = "`usageEventId` of the call's answer")),
    responses((status = 200, description = "The event", body = EventAnswer), (status = 404, description = "No such event")))]
pub(crate) async fn show(
    State(context): State<Arc<Context>>,
    membership: Membership,
    Path((_organization, event_id)): Path<(String, String)>,
) -> Answer<EventAnswer> {
    let unknown = Refusal::NotFound("usage event");
    let event_id = event_id.parse::<UsageEventId>().map_err(|_| unknown.clone())?;
    context.live.caught_up().await;
    let event = context.usage.event(membership.id(), event_id).await?.ok_or(unknown)?;
    if event.user_id != membership.member.user_id && !membership.sees_all() {
        return Err(Refusal::Forbidden.into());
    }
    let member = membership.record.members.get(&event.user_id);
    let user = UserShown {
        id: event.user_id.clone(),
        name: member.and_then(|member| member.name.clone()),
        email: member.and_then(|member| member.email.clone()),
    };
    let session = session(&context, &membership, &event).await?;
    let event = EventExplained {
        event: EventShown::new(&event, user, session),
        organization_id: event.organization_id,
        settled_at: event.settled_at,
        items: event.items,
        plugin: event.adjustment.is_none().then_some(event.plugin),
        signals: event.signals,
        answer: event.answer,
        definition_version: event.definition_version,
        plan: event.plan,
    };
    Ok(Json(EventAnswer { success: true, event }))
}

/// The event's session, over what the caller may see of it.
async fn session(
    context: &Context,
    membership: &Membership,
    event: &UsageEvent,
) -> Result<Option<SessionShown>, Refused> {
    if event.session_id.is_none() {
        return Ok(None);
    }
    let user_id = (!membership.sees_all()).then(|| event.user_id.clone());
    let filter = HistoryFilter { session_id: event.session_id.clone(), user_id, ..HistoryFilter::default() };
    let page = context.usage.history(membership.id(), &filter, PageRequest { page: 1, limit: 1 }).await?;
    Ok(page.sessions.into_iter().next().map(SessionShown::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complexity_is_read_from_the_items() {
        let cases: [(&[&str], Option<&str>); 4] = [
            (&["base", "complexity x2.000", "echo"], Some("2")),
            (&["base", "complexity x1.250"], Some("1.25")),
            (&["base", "echo"], Some("1")),
            (&["tokens", "complexity of prompt"], None),
        ];
        for (labels, want) in cases {
            let item = |label: &&str| ChargeItem { label: (*label).to_owned(), credits: Credits::ZERO };
            let items: Vec<_> = labels.iter().map(item).collect();
            assert_eq!(complexity(&items).map(|factor| factor.to_string()).as_deref(), want, "{labels:?}");
        }
    }
}
