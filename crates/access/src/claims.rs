//! What a credential says, and whether it may be believed now.

use ledger::{Timestamp, UserId};
use serde::Deserialize;

use crate::presented::Unauthenticated;

/// Somebody whose credential was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `sub`.
    pub user_id: UserId,
    /// `name`, for people to read.
    pub name: Option<String>,
    /// `email`, for people to read.
    pub email: Option<String>,
    /// Whether this is one of the platform's operators.
    pub platform_admin: bool,
    /// `exp`.
    pub expires_at: Timestamp,
}

/// The claims that we read. A claim of another type than its own is no claim.
#[derive(Deserialize)]
pub(crate) struct Claims {
    sub: UserId,
    iss: String,
    aud: Audience,
    exp: NumericDate,
    #[serde(default)]
    nbf: Option<NumericDate>,
    #[serde(default)]
    name: Option<serde_json::Value>,
    #[serde(default)]
    email: Option<serde_json::Value>,
    #[serde(default)]
    platform_admin: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn includes(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Many(many) => many.iter().any(|one| one == audience),
        }
    }
}

/// Seconds since 1970, perhaps with a fraction (RFC 7519 §2).
#[derive(Deserialize)]
#[serde(transparent)]
struct NumericDate(serde_json::Number);

impl NumericDate {
    /// The moment in milliseconds, its fraction dropped; `None` where it is out of any range.
    fn moment(&self) -> Option<Timestamp> {
        let whole = self.0.to_string();
        let whole = whole.split('.').next().unwrap_or_default();
        Some(Timestamp::from_millis(whole.parse::<i64>().ok()?.checked_mul(1_000)?))
    }
}

/// What is expected of every credential.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) leeway_ms: i64,
}

impl Claims {
    /// The identity, if everything is as expected at `now`.
    pub(crate) fn believe(self, expected: &Expected, now: Timestamp) -> Result<Identity, Unauthenticated> {
        if self.iss != expected.issuer {
            return Err(Unauthenticated("another issuer"));
        }
        if !self.aud.includes(&expected.audience) {
            return Err(Unauthenticated("another audience"));
        }
        let expires_at = self.exp.moment().ok_or(Unauthenticated("exp is no date"))?;
        if is_over(expires_at, now, expected.leeway_ms) {
            return Err(Unauthenticated("expired"));
        }
        if let Some(not_before) = self.nbf {
            let not_before = not_before.moment().ok_or(Unauthenticated("nbf is no date"))?;
            if now.plus_millis(expected.leeway_ms) < not_before {
                return Err(Unauthenticated("not valid yet"));
            }
        }
        let text =
            |claim: Option<serde_json::Value>| claim.as_ref().and_then(|claim| claim.as_str()).map(str::to_owned);
        Ok(Identity {
            user_id: self.sub,
            name: text(self.name),
            email: text(self.email),
            platform_admin: self.platform_admin == Some(serde_json::Value::Bool(true)),
            expires_at,
        })
    }
}

/// Whether a credential that expires then is expired at `now`, the leeway given.
pub(crate) fn is_over(expires_at: Timestamp, now: Timestamp, leeway_ms: i64) -> bool {
    now >= expires_at.plus_millis(leeway_ms)
}
