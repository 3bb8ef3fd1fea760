//! The answers that we choose to give instead of what was asked for, and their one renderer.
//!
//! A refusal is not an error: nothing broke. It must never carry a credential, a body, or anything of another
//! organisation; an organisation that does not exist reads exactly like one that the caller does not belong to.

use std::borrow::Cow;

use ledger::{Credits, SubscriptionStatus, Timestamp};
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
    /// The period's calls are used up.
    CallLimitExceeded {
        /// The period's calls.
        limit: u64,
        /// When the next period begins.
        resets_at: Timestamp,
    },
    /// More at once than the gateway takes.
    TooManyInFlight,
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
    /// What is asked for does not fit what is there: the code, and a sentence.
    Conflict {
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

/// Seconds after which a refusal that is ours is worth another try.
const RETRY_AFTER_S: &str = "1";

impl Refusal {
    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        match self {
            Self::PathNotCanonical(_) | Self::InvalidJson(_) | Self::InvalidRequest(_) => 400,
            Self::Unauthenticated => 401,
            Self::BillingInactive(_) | Self::CreditLimitExceeded { .. } | Self::CallLimitExceeded { .. } => 402,
            Self::Forbidden => 403,
            Self::NotFound(_) => 404,
            Self::MethodNotAllowed(_) => 405,
            Self::BodyTimeout => 408,
            Self::BodyTooLarge(_) => 413,
            Self::Conflict { .. } => 409,
            Self::PricingRefused(_) | Self::PluginRejected { .. } => 422,
            Self::TooManyInFlight => 429,
            Self::UpstreamUnavailable => 502,
            Self::PricingUnavailable | Self::JournalUnavailable | Self::StoreUnavailable | Self::ShuttingDown => 503,
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
            Self::CallLimitExceeded { .. } => "call_limit_exceeded",
            Self::TooManyInFlight => "too_many_in_flight",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::PricingUnavailable => "pricing_unavailable",
            Self::PricingRefused(_) => "pricing_refused",
            Self::PluginRejected { .. } => "plugin_rejected",
            Self::Conflict { code, .. } => code,
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
            Self::InvalidRequest(why) | Self::Conflict { why, .. } => why.into(),
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
            Self::CallLimitExceeded { limit, resets_at } => {
                format!("Call limit exceeded: all {limit} calls are used until {resets_at}.").into()
            }
            Self::TooManyInFlight => "Too many calls at once; try again shortly.".into(),
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
            Self::TooManyInFlight
            | Self::PricingUnavailable
            | Self::JournalUnavailable
            | Self::StoreUnavailable
            | Self::ShuttingDown => vec![("Retry-After", RETRY_AFTER_S.into())],
            _ => Vec::new(),
        }
    }

    /// The JSON body: `{"success": false, "error": "…", "code": "…", "requestId": "…"}`, and for a credit limit
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
            Refusal::CreditLimitExceeded { remaining, needed, resets_at } => {
                map.serialize_entry("remainingCredits", remaining)?;
                map.serialize_entry("creditsNeeded", needed)?;
                map.serialize_entry("resetsAt", resets_at)?;
            }
            Refusal::CallLimitExceeded { limit, resets_at } => {
                map.serialize_entry("callLimit", limit)?;
                map.serialize_entry("resetsAt", resets_at)?;
            }
            Refusal::PluginRejected { cause, .. } => map.serialize_entry("cause", cause)?,
            _ => {}
        }
        map.end()
    }
}

#[cfg(test)]
mod tests;
