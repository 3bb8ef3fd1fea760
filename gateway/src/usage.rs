//! What the client is told of its charge: one place, so that body, event and headers agree to the byte.

use ledger::{BookSnapshot, Credits, Level, UsageEvent, UsageEventId};
use pingora::http::ResponseHeader;
use serde::Serialize;

use crate::headers;
use crate::hold::Terms;

/// What to do when the limit is near.
const RECOMMENDATION: &str = "Consider upgrading your plan";

/// The `usage` object of an answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Usage {
    credits_consumed: Credits,
    /// What the limit leaves; -1 where there is none.
    remaining_credits: RemainingCredits,
    usage_event_id: UsageEventId,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<Warning>,
}

#[derive(Clone, Copy)]
struct RemainingCredits(Option<Credits>);

impl std::fmt::Display for RemainingCredits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            None => f.write_str("-1"),
            Some(credits) => credits.fmt(f),
        }
    }
}

impl Serialize for RemainingCredits {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            None => serializer.serialize_i64(-1),
            Some(credits) => credits.serialize(serializer),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Warning {
    #[serde(flatten)]
    level: Level,
    recommended_action: &'static str,
}

impl Usage {
    /// The usage of a settled event, with the book right after it.
    pub(crate) fn new(event: &UsageEvent, book: BookSnapshot, terms: Terms) -> Self {
        let Terms { grant, warning_percent } = terms;
        let level = Level::of(book.used, grant.credits, warning_percent);
        Self {
            credits_consumed: event.credits,
            remaining_credits: RemainingCredits(grant.credits.remaining(book.used)),
            usage_event_id: event.id,
            warning: level.is_near_limit.then_some(Warning { level, recommended_action: RECOMMENDATION }),
        }
    }

    /// The object as JSON.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Sets the three headers of a settled answer.
    pub(crate) fn set_headers(&self, header: &mut ResponseHeader) -> pingora::Result<()> {
        header.insert_header(headers::USAGE_EVENT_ID, self.usage_event_id.to_string())?;
        header.insert_header(headers::CREDITS_CONSUMED, self.credits_consumed.to_string())?;
        header.insert_header(headers::CREDITS_REMAINING, self.remaining_credits.to_string())
    }
}
