//! The answers that we choose to give instead of what was asked for, and their one renderer.
//!
//! A refusal is not an error: nothing broke. It must never carry a credential, a body, or anything of another
//! organisation; an organisation that does not exist reads exactly like one that the caller does not belong to.

use std::borrow::Cow;

use ledger::{Credits, HoldRefused, IdempotencyKey, SubscriptionStatus, Timestamp, UsageEventId};
use serde::Serialize;
use serde::ser::SerializeMap;

/// Why a request is refused. Each has one status, one code and one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The path could mean another path to somebody else.
    PathNotCanonical(&'static str),
    /// The body is no JSON.
    InvalidJson(String),
    /// A parameter or field is wrong: which, why, what is allowed.
    InvalidRequest(String),
    /// Nobody we know.
    Unauthenticated,
    /// Not allowed, or not there: the two read alike.
    Forbidden,
    /// Something of ours that does not exist.
    NotFound(&'static str),
    /// The path knows other methods only, listed as in `Allow`.
    MethodNotAllowed(Cow<'static, str>),
    /// The body is longer than the limit in bytes.
    BodyTooLarge(u64),
    /// The body did not arrive in time.
    BodyTimeout,
    /// The subscription does not allow this caller's calls.
    BillingInactive(SubscriptionStatus),
    /// The period's credits do not cover the quote.
    CreditLimitExceeded {
        /// What may still be held.
        remaining: Credits,
        /// What the call was quoted.
        needed: Credits,
        /// When the next period begins.
        resets_at: Timestamp,
    },
    /// What the user may spend in the period does not cover the quote.
    UserLimitExceeded {
        /// What the user may still hold.
        remaining: Credits,
        /// What the call was quoted.
        needed: Credits,
        /// When the next period begins.
        resets_at: Timestamp,
    },
    /// The period's calls are used up.
    CallLimitExceeded {
        /// The period's calls.
        limit: u64,
        /// When the next period begins.
        resets_at: Timestamp,
    },
    /// What is there does not allow it: why, and what is allowed.
    Conflict(String),
    /// The `Idempotency-Key` is no key: why.
    IdempotencyKeyInvalid(&'static str),
    /// The first call of the key is still on its way.
    IdempotencyInProgress,
    /// The key's call was charged, and its answer was not kept.
    IdempotencyAnswerNotKept {
        /// The charge.
        event: UsageEventId,
    },
    /// The key was used for another call.
    IdempotencyKeyReused,
    /// The organisation has as many keys as it may have.
    TooManyIdempotencyKeys,
    /// More at once than the gateway takes.
    TooManyInFlight,
    /// More at once than one organisation or user may have on their way.
    TooManyInFlightOf(Subject),
    /// More in a minute than one organisation or user may make.
    TooManyCalls {
        /// Whose.
        of: Subject,
        /// How many a minute.
        per_minute: u64,
        /// Seconds until the next one is taken.
        retry_after_s: u64,
    },
    /// More connections than the gateway keeps.
    TooManyConnections,
    /// The path and query are longer than the limit in bytes.
    TargetTooLong(u64),
    /// There are more header fields, or they are longer, than the limit.
    HeaderTooLarge(String),
    /// A bug of ours ended the call.
    Internal,
    /// The backend cannot be reached, or broke off.
    UpstreamUnavailable,
    /// The backend did not answer in time.
    UpstreamTimeout,
    /// The plugin has no price for this call.
    PricingUnavailable,
    /// What is uploaded is no pricing plugin: a fixed name for why, and a sentence.
    PluginRejected {
        /// The cause, one of a fixed set.
        cause: &'static str,
        /// Why, for people.
        why: String,
    },
    /// A step that leads nowhere: the code, and a sentence.
    StepRefused {
        /// The stable name.
        code: &'static str,
        /// Why, for people.
        why: String,
    },
    /// The plugin declines this call, in its own words.
    PricingRefused(String),
    /// The charge cannot be written down.
    JournalUnavailable,
    /// The organisation's data cannot be read or written.
    StoreUnavailable,
    /// The gateway is going down.
    ShuttingDown,
}

/// Whose calls are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// All calls of one organisation.
    Organization,
    /// All calls of one user.
    User,
}

impl Subject {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::User => "user",
        }
    }
}

/// Seconds after which a refusal that is ours is worth another try.
const RETRY_AFTER_S: &str = "1";

impl Refusal {
    /// What a call is told whose credits cannot be held in a period that ends then. An amount that no book holds is the
    /// plugin's fault.
    pub fn of_hold(refused: HoldRefused, resets_at: Timestamp) -> Self {
        match refused {
            HoldRefused::Credits { available, needed } => {
                Self::CreditLimitExceeded { remaining: available, needed, resets_at }
            }
            HoldRefused::User { available, needed } => {
                Self::UserLimitExceeded { remaining: available, needed, resets_at }
            }
            HoldRefused::Calls { limit } => Self::CallLimitExceeded { limit, resets_at },
            HoldRefused::Amount(_) => Self::PricingUnavailable,
        }
    }

    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        match self {
            Self::PathNotCanonical(_)
            | Self::InvalidJson(_)
            | Self::InvalidRequest(_)
            | Self::IdempotencyKeyInvalid(_) => 400,
            Self::Unauthenticated => 401,
            Self::BillingInactive(_)
            | Self::CreditLimitExceeded { .. }
            | Self::UserLimitExceeded { .. }
            | Self::CallLimitExceeded { .. } => 402,
            Self::Forbidden => 403,
            Self::NotFound(_) => 404,
            Self::MethodNotAllowed(_) => 405,
            Self::BodyTimeout => 408,
            Self::StepRefused { .. }
            | Self::Conflict(_)
            | Self::IdempotencyInProgress
            | Self::IdempotencyAnswerNotKept { .. } => 409,
            Self::BodyTooLarge(_) => 413,
            Self::TargetTooLong(_) => 414,
            Self::PricingRefused(_) | Self::PluginRejected { .. } | Self::IdempotencyKeyReused => 422,
            Self::TooManyInFlight
            | Self::TooManyInFlightOf(_)
            | Self::TooManyCalls { .. }
            | Self::TooManyIdempotencyKeys => 429,
            Self::HeaderTooLarge(_) => 431,
            Self::Internal => 500,
            Self::UpstreamUnavailable => 502,
            Self::TooManyConnections
            | Self::PricingUnavailable
            | Self::JournalUnavailable
            | Self::StoreUnavailable
            | Self::ShuttingDown => 503,
            Self::UpstreamTimeout => 504,
        }
    }

    /// The stable name: for programs, and the label in metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::PathNotCanonical(_) => "path_not_canonical",
            Self::InvalidJson(_) => "invalid_json",
            Self::InvalidRequest(_) => "invalid_request",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound(_) => "not_found",
            Self::MethodNotAllowed(_) => "method_not_allowed",
            Self::BodyTooLarge(_) => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::BillingInactive(_) => "billing_inactive",
            Self::CreditLimitExceeded { .. } => "credit_limit_exceeded",
            Self::UserLimitExceeded { .. } => "user_limit_exceeded",
            Self::CallLimitExceeded { .. } => "call_limit_exceeded",
            Self::Conflict(_) => "conflict",
            Self::IdempotencyKeyInvalid(_) => "idempotency_key_invalid",
            Self::IdempotencyInProgress => "idempotency_in_progress",
            Self::IdempotencyAnswerNotKept { .. } => "idempotency_answer_not_kept",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::TooManyIdempotencyKeys => "too_many_idempotency_keys",
            Self::TooManyInFlight | Self::TooManyInFlightOf(_) => "too_many_in_flight",
            Self::TooManyCalls { .. } => "too_many_calls",
            Self::TooManyConnections => "too_many_connections",
            Self::TargetTooLong(_) => "target_too_long",
            Self::HeaderTooLarge(_) => "header_too_large",
            Self::Internal => "internal",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::PricingUnavailable => "pricing_unavailable",
            Self::PricingRefused(_) => "pricing_refused",
            Self::PluginRejected { .. } => "plugin_rejected",
            Self::StepRefused { code, .. } => code,
            Self::JournalUnavailable => "journal_unavailable",
            Self::StoreUnavailable => "store_unavailable",
            Self::ShuttingDown => "shutting_down",
        }
    }

    /// The sentence for people.
    pub fn sentence(&self) -> Cow<'_, str> {
        match self {
            Self::PathNotCanonical(why) => format!("The path is ambiguous: it has {why}.").into(),
            Self::InvalidJson(why) => format!("The body is not valid JSON: {why}.").into(),
            Self::InvalidRequest(why)
            | Self::Conflict(why)
            | Self::StepRefused { why, .. }
            | Self::HeaderTooLarge(why) => why.into(),
            Self::Unauthenticated => "Sign in: a valid credential is required.".into(),
            Self::Forbidden => "You may not do this in this organization.".into(),
            Self::NotFound(what) => format!("There is no such {what}.").into(),
            Self::MethodNotAllowed(allowed) => format!("This path allows {allowed} only.").into(),
            Self::BodyTooLarge(max) => format!("The body is larger than the {max} bytes allowed.").into(),
            Self::BodyTimeout => "The body did not arrive in time.".into(),
            Self::BillingInactive(SubscriptionStatus::Canceled) => {
                "The organization's subscription is canceled; renew it to go on.".into()
            }
            Self::BillingInactive(_) => {
                "The organization's subscription is past due; its owner, admin or billing contact can resolve it."
                    .into()
            }
            Self::CreditLimitExceeded { remaining, needed, resets_at } => format!(
                "Credit limit exceeded: this call needs {needed} credits and {remaining} are left until {resets_at}."
            )
            .into(),
            Self::UserLimitExceeded { remaining, needed, resets_at } => format!(
                "Your own limit is exceeded: this call needs {needed} credits and {remaining} are left to you until {resets_at}."
            )
            .into(),
            Self::CallLimitExceeded { limit, resets_at } => {
                format!("Call limit exceeded: all {limit} calls are used until {resets_at}.").into()
            }
            Self::IdempotencyKeyInvalid(why) => format!(
                "The Idempotency-Key {why}; allowed: one, of 1 to {} printable ASCII characters, such as a UUID.",
                IdempotencyKey::CHARACTERS_MAX
            )
            .into(),
            Self::IdempotencyInProgress => {
                "The first call with this Idempotency-Key has not ended yet; try again shortly.".into()
            }
            Self::IdempotencyAnswerNotKept { event } => format!(
                "The call with this Idempotency-Key was made and charged as {event}, and its answer was not kept."
            )
            .into(),
            Self::IdempotencyKeyReused => "This Idempotency-Key was used for another request; use a new one.".into(),
            Self::TooManyIdempotencyKeys => {
                "The organization has too many Idempotency-Keys; try again later, or call without one.".into()
            }
            Self::TooManyInFlight => "Too many calls at once; try again shortly.".into(),
            Self::TooManyInFlightOf(of) => {
                format!("Too many calls of this {} at once; try again shortly.", of.as_str()).into()
            }
            Self::TooManyCalls { of, per_minute, retry_after_s } => {
                format!("This {} may make {per_minute} calls a minute; try again in {retry_after_s} s.", of.as_str())
                    .into()
            }
            Self::TooManyConnections => "Too many connections at once; try again shortly.".into(),
            Self::TargetTooLong(max) => format!("The path and query are longer than the {max} bytes allowed.").into(),
            Self::Internal => "Something went wrong in the gateway; nothing was charged.".into(),
            Self::UpstreamUnavailable => "The AI service cannot be reached, or broke off.".into(),
            Self::UpstreamTimeout => "The AI service did not answer in time.".into(),
            Self::PricingUnavailable => "This call cannot be priced at the moment; nothing was charged.".into(),
            Self::PricingRefused(why) => format!("This call is not offered: {why}").into(),
            Self::PluginRejected { why, .. } => format!("The plugin is not taken: {why}.").into(),
            Self::JournalUnavailable => "Charges cannot be recorded at the moment; nothing was charged.".into(),
            Self::StoreUnavailable => "The organization's data cannot be reached at the moment.".into(),
            Self::ShuttingDown => "The gateway is restarting; try again shortly.".into(),
        }
    }

    /// The headers beyond those of every JSON answer.
    pub fn headers(&self) -> Vec<(&'static str, Cow<'_, str>)> {
        match self {
            Self::Unauthenticated => vec![("WWW-Authenticate", "Bearer".into())],
            Self::MethodNotAllowed(allowed) => vec![("Allow", allowed.clone())],
            Self::IdempotencyAnswerNotKept { event } => vec![("X-Usage-Event-Id", event.to_string().into())],
            Self::TooManyCalls { of, per_minute, retry_after_s } => vec![
                ("Retry-After", retry_after_s.to_string().into()),
                ("RateLimit-Policy", format!("\"{}\";q={per_minute};w=60", of.as_str()).into()),
                ("RateLimit", format!("\"{}\";r=0;t={retry_after_s}", of.as_str()).into()),
            ],
            Self::TooManyInFlight
            | Self::TooManyInFlightOf(_)
            | Self::TooManyIdempotencyKeys
            | Self::TooManyConnections
            | Self::PricingUnavailable
            | Self::JournalUnavailable
            | Self::StoreUnavailable
            | Self::ShuttingDown => vec![("Retry-After", RETRY_AFTER_S.into())],
            _ => Vec::new(),
        }
    }

    /// The JSON body: `{"success": false, "error": "…", "code": "…", "requestId": "…"}`, and for a credit limit, the organisation's or the user's,
    /// `remainingCredits`, `creditsNeeded` and `resetsAt` besides.
    pub fn body(&self, request_id: &str) -> Vec<u8> {
        serde_json::to_vec(&Body { refusal: self, request_id }).unwrap_or_default()
    }
}

struct Body<'a> {
    refusal: &'a Refusal,
    request_id: &'a str,
}

impl Serialize for Body<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("success", &false)?;
        map.serialize_entry("error", &self.refusal.sentence())?;
        map.serialize_entry("code", self.refusal.code())?;
        map.serialize_entry("requestId", self.request_id)?;
        match self.refusal {
            Refusal::CreditLimitExceeded { remaining, needed, resets_at }
            | Refusal::UserLimitExceeded { remaining, needed, resets_at } => {
                map.serialize_entry("remainingCredits", remaining)?;
                map.serialize_entry("creditsNeeded", needed)?;
                map.serialize_entry("resetsAt", resets_at)?;
            }
            Refusal::CallLimitExceeded { limit, resets_at } => {
                map.serialize_entry("callLimit", limit)?;
                map.serialize_entry("resetsAt", resets_at)?;
            }
            Refusal::PluginRejected { cause, .. } => map.serialize_entry("cause", cause)?,
            Refusal::IdempotencyAnswerNotKept { event } => map.serialize_entry("usageEventId", event)?,
            _ => {}
        }
        map.end()
    }
}

#[cfg(test)]
mod tests;
