//! What a kind of metered call costs before a plugin looks at it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::{Credits, EventType};

/// A kind of metered call, as the price list has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventDefinition {
    /// Its name, such as `structuring_diagnose`.
    pub event_type: EventType,
    /// The name for people.
    pub name: String,
    /// The group in which reports show it, such as `ai_analysis`.
    pub category: String,
    /// Credits before complexity and add-ons.
    pub base_credits: Credits,
    /// Between what the complexity is kept; `None` where complexity does not apply.
    #[serde(default)]
    pub complexity: Option<Clamp>,
    /// Credits that each feature flag adds.
    #[serde(default)]
    pub features: BTreeMap<String, Credits>,
    /// Counts up with every change; 1 is the first. Written by the store.
    #[serde(default)]
    pub version: i64,
}

/// The range in which complexity is kept, both ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clamp {
    /// The least.
    pub min: Thousandths,
    /// The most.
    pub max: Thousandths,
}

/// A factor in thousandths: 1.5 is 1500. JSON shows the decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Thousandths(pub u32);

impl fmt::Display for Thousandths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credits = Credits::from_micros(i64::from(self.0).saturating_mul(1_000));
        fmt::Display::fmt(&credits, f)
    }
}

impl FromStr for Thousandths {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "a factor is 0 to 4000000 with at most 3 decimals";
        let micros = text.parse::<Credits>().map_err(|_| expected)?.micros();
        let exact = micros % 1_000 == 0;
        u32::try_from(micros / 1_000).ok().filter(|factor| exact && *factor <= 4_000_000_000).map(Self).ok_or(expected)
    }
}

impl Serialize for Thousandths {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string()).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Thousandths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer)?.get().parse().map_err(D::Error::custom)
    }
}
