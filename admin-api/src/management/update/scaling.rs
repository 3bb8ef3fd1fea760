//! The app's automatic scaling of an organisation's limit. The gateway keeps it for the app and does not act on it, so that
//! what is kept must be what was sent, to the digit.

use ledger::{Credits, Limit};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::bounded::{Amount, Percent};

/// Automatic scaling: what is absent or null is not set.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ScalingGiven {
    /// Whether the app scales at all.
    enabled: Option<bool>,
    /// Percent of the limit from which it does, 1 to 100.
    #[schema(value_type = Option<u8>)]
    threshold: Option<Percent>,
    /// Credits that a step adds to the limit, 0 to 1000000000.
    #[schema(value_type = Option<f64>)]
    increment: Option<Amount>,
    /// Up to which limit: 0 to 1000000000 credits, -1 is without end.
    #[serde(alias = "maxCredits")]
    #[schema(value_type = Option<f64>)]
    max_monthly_credits: Option<Ceiling>,
}

/// A limit that JSON numbers of any reader keep exactly: 15 digits at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ceiling(Limit);

impl<'de> Deserialize<'de> for Ceiling {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let most = Credits::from_whole(Amount::WHOLE_MAX).unwrap_or(Credits::MAX);
        match Limit::deserialize(deserializer)? {
            Limit::Credits(credits) if credits > most => {
                Err(D::Error::custom(format!("a limit is -1 (unlimited) or 0 to {}", Amount::WHOLE_MAX)))
            }
            limit => Ok(Self(limit)),
        }
    }
}

impl ScalingGiven {
    /// The object that is kept: what was set, and nothing else.
    pub(super) fn kept(self) -> Value {
        let members = [
            ("enabled", self.enabled.map(Value::from)),
            ("threshold", self.threshold.map(|percent| percent.0.into())),
            ("increment", self.increment.and_then(|amount| serde_json::to_value(amount.0).ok())),
            ("maxMonthlyCredits", self.max_monthly_credits.and_then(|limit| serde_json::to_value(limit.0).ok())),
        ];
        let set = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(set.collect::<Map<_, _>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_was_sent() {
        for text in [
            "{}",
            r#"{"enabled":true}"#,
            r#"{"enabled":false,"increment":999999999.999999,"maxMonthlyCredits":-1,"threshold":90}"#,
            r#"{"increment":0.25,"maxMonthlyCredits":123456789.012345}"#,
            r#"{"maxMonthlyCredits":1000000000}"#,
        ] {
            let given: ScalingGiven = serde_json::from_str(text).unwrap();
            assert_eq!(given.kept(), serde_json::from_str::<Value>(text).unwrap());
            assert_eq!(serde_json::from_str::<ScalingGiven>(text).unwrap().kept().to_string(), text);
        }
        let null: ScalingGiven = serde_json::from_str(r#"{"enabled":null,"maxCredits":5}"#).unwrap();
        assert_eq!(null.kept().to_string(), r#"{"maxMonthlyCredits":5}"#);
    }
}
