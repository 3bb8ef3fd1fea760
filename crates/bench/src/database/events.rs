//! Usage events as a call of the standard plugin leaves them. No two may have the same id.

use std::sync::Arc;

use ledger::{
    ChargeItem, Credits, OrganizationId, Outcome, PluginIdentity, Signals, Timestamp, UsageEvent, UsageEventId,
};

use super::ORGANIZATIONS;

/// Users of each organisation.
const USERS: u64 = 10;

pub(super) fn organization(number: usize) -> anyhow::Result<OrganizationId> {
    Ok(format!("org-{number}").parse()?)
}

/// The event of this number, that much after the first one.
pub(super) fn event(number: u64, at: Timestamp) -> anyhow::Result<UsageEvent> {
    // Neighbours are of different organisations, as in a load that is spread.
    let organization = usize::try_from(number.wrapping_mul(7_919))? % ORGANIZATIONS;
    let turn = number / u64::try_from(ORGANIZATIONS)?;
    let credits = Credits::from_micros(i64::try_from(10_000_000 + number % 18 * 1_000_000)?);
    Ok(UsageEvent {
        id: UsageEventId::new(at),
        organization_id: self::organization(organization)?,
        user_id: format!("user-{}", turn % USERS).parse()?,
        event_type: if turn.is_multiple_of(4) { "text_enhance" } else { "structuring_diagnose" }.parse()?,
        event_name: "Problem diagnosis".to_owned(),
        category: "ai_analysis".to_owned(),
        definition_version: 1,
        occurred_at: at,
        settled_at: at.plus_millis(400),
        outcome: Outcome::Captured,
        credits,
        held: credits,
        items: vec![ChargeItem { label: "base".to_owned(), credits }],
        plugin: Arc::new(PluginIdentity { name: "standard".into(), version: "1.0.0".into(), sha256: "0".repeat(64) }),
        signals: Signals { text_units: 700, body_bytes: 900, ..Signals::default() },
        plan: None,
        answer: None,
        session_id: turn.is_multiple_of(3).then(|| format!("session-{}", turn % 500).parse()).transpose()?,
        request_id: format!("req_{number}").parse()?,
        endpoint: "/api/organizations/{orgId}/structuring/analyze-pain-points".into(),
        upstream_status: Some(200),
        adjustment: None,
    })
}

/// So many events from this number on, a millisecond apart.
pub(super) fn batch(first: u64, count: u64, begin: Timestamp) -> anyhow::Result<Vec<UsageEvent>> {
    (first..first + count).map(|number| event(number, begin.plus_millis(i64::try_from(number)?))).collect()
}
