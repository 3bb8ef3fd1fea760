//! How far a limit is used, for people: a percentage and two warnings, computed without floats.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::{Credits, Limit};

/// A percentage in tenths: 85.2 % is 852. JSON shows the decimal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PercentTenths(pub u64);

impl PercentTenths {
    /// The share that `part` has of `whole`, rounded half up; 0 of nothing, 100 % of any part of nothing.
    pub fn of(part: Credits, whole: Credits) -> Self {
        let (part, whole) = (i128::from(part.micros().max(0)), i128::from(whole.micros()));
        if whole <= 0 {
            return Self(if part == 0 { 0 } else { 1_000 });
        }
        Self(u64::try_from((part * 2_000 + whole) / (whole * 2)).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for PercentTenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 10, self.0 % 10) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, tenth) => write!(f, "{whole}.{tenth}"),
        }
    }
}

impl Serialize for PercentTenths {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string()).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

/// How far a limit is used. No limit is never near.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Level {
    /// Percent of the limit that is used; 0 where there is none.
    pub percentage_used: PercentTenths,
    /// Whether the warning threshold is reached.
    pub is_near_limit: bool,
    /// Whether nothing is left: at exactly 100 % too, where the next call is refused.
    pub is_over_limit: bool,
}

impl Level {
    /// Compares what is used with the limit and the warning threshold in percent.
    pub fn of(used: Credits, limit: Limit, warning_percent: u8) -> Self {
        let Limit::Credits(limit) = limit else { return Self::default() };
        let reached = i128::from(used.micros()) * 100 >= i128::from(limit.micros()) * i128::from(warning_percent);
        Self { percentage_used: PercentTenths::of(used, limit), is_near_limit: reached, is_over_limit: used >= limit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_warns_at_its_threshold_and_not_a_micro_credit_before() {
        let cases = [
            (4_260_000_000, 5_000_000_000, "85.2", true, false),
            (4_000_000_000, 5_000_000_000, "80", true, false),
            (3_999_999_999, 5_000_000_000, "80", false, false),
            (5_000_000_000, 5_000_000_000, "100", true, true),
            (6_000_000_000, 5_000_000_000, "120", true, true),
            (0, 0, "0", true, true),
            (1, 0, "100", true, true),
        ];
        for (used, limit, percent, near, over) in cases {
            let level = Level::of(Credits::from_micros(used), Limit::Credits(Credits::from_micros(limit)), 80);
            let shown = (level.percentage_used.to_string(), level.is_near_limit, level.is_over_limit);
            assert_eq!(shown, (percent.to_owned(), near, over), "{used} of {limit}");
        }
        assert_eq!(Level::of(Credits::MAX, Limit::Unlimited, 80), Level::default());
    }
}
