//! Amounts of credit, exact to a millionth. Never a float, never unchecked.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// An amount of credits in micro-credits (a millionth of a credit). Inside an integer, outside a JSON number with no
/// more decimals than needed: `28`, `0.5`, `12.345678`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Credits(i64);

/// Decimals of a micro-credit.
const MICRO_DECIMALS: i64 = 6;
/// Digits of the largest count of micro-credits.
const DIGITS_MAX: usize = 19;

/// Why a text or number is no amount of credits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreditsError {
    /// Not a plain decimal number.
    #[error("not a plain decimal number, such as 28 or 0.5")]
    NotANumber,
    /// Finer than a millionth of a credit.
    #[error("finer than a millionth of a credit (at most 6 decimals)")]
    TooFine,
    /// Outside what 64 bits of micro-credits hold.
    #[error("out of range (at most 9223372036854 credits)")]
    OutOfRange,
}

impl Credits {
    /// Micro-credits in a credit.
    pub const MICROS_PER_CREDIT: i64 = 1_000_000;
    /// No credits.
    pub const ZERO: Self = Self(0);
    /// The largest amount.
    pub const MAX: Self = Self(i64::MAX);

    /// From a count of micro-credits.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From whole credits; `None` where that overflows.
    pub const fn from_whole(credits: i64) -> Option<Self> {
        match credits.checked_mul(Self::MICROS_PER_CREDIT) {
            Some(micros) => Some(Self(micros)),
            None => None,
        }
    }

    /// The count of micro-credits.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The sum; `None` on overflow.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference; `None` on overflow.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// The sum, or the nearest end of the range.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, or the nearest end of the range.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Whether the amount is below zero.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// The checked sum of many amounts.
    pub fn checked_sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }
}

impl fmt::Display for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = Self::MICROS_PER_CREDIT.unsigned_abs();
        let magnitude = self.0.unsigned_abs();
        let (whole, fraction) = (magnitude / per, magnitude % per);
        let sign = if self.0 < 0 { "-" } else { "" };
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        let decimals = format!("{fraction:06}");
        write!(f, "{sign}{whole}.{}", decimals.trim_end_matches('0'))
    }
}

impl FromStr for Credits {
    type Err = CreditsError;

    fn from_str(text: &str) -> Result<Self, CreditsError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (digits, exponent) = match digits.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, read_exponent(exponent)?),
            None => (digits, 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        if !all_digits(whole) || !all_digits(fraction) {
            return Err(CreditsError::NotANumber);
        }
        let micros = scaled(&format!("{whole}{fraction}"), fraction.len(), exponent)?;
        Ok(Self(if negative { micros.saturating_neg() } else { micros }))
    }
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What JSON may have after its `e`. One past all bounds is as far past them as one can be.
fn read_exponent(text: &str) -> Result<i64, CreditsError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !all_digits(digits) {
        return Err(CreditsError::NotANumber);
    }
    let magnitude = digits.parse().unwrap_or(i64::MAX);
    Ok(if text.starts_with('-') { magnitude.saturating_neg() } else { magnitude })
}

/// Micro-credits of digits, of which the last `decimals` are decimals, times ten to the `exponent`: exact, or refused.
fn scaled(digits: &str, decimals: usize, exponent: i64) -> Result<i64, CreditsError> {
    let significant = digits.trim_end_matches('0');
    let zeros = digits.len().saturating_sub(significant.len());
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Ok(0);
    }
    let count = |length: usize| i64::try_from(length).map_err(|_| CreditsError::OutOfRange);
    let shift = exponent.saturating_add(count(zeros)?).saturating_sub(count(decimals)?).saturating_add(MICRO_DECIMALS);
    let Ok(shift) = usize::try_from(shift) else { return Err(CreditsError::TooFine) };
    if significant.len().saturating_add(shift) > DIGITS_MAX {
        return Err(CreditsError::OutOfRange);
    }
    format!("{significant}{}", "0".repeat(shift)).parse().map_err(|_| CreditsError::OutOfRange)
}

impl Serialize for Credits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % Self::MICROS_PER_CREDIT == 0 {
            return serializer.serialize_i64(self.0 / Self::MICROS_PER_CREDIT);
        }
        // A raw JSON number: a float would lose digits above 2^53 micro-credits.
        let number = RawValue::from_string(self.to_string()).map_err(serde::ser::Error::custom)?;
        number.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Credits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Box::<RawValue>::deserialize(deserializer)?;
        number.get().parse().map_err(D::Error::custom)
    }
}

/// How many credits a period allows. `-1` in JSON and SQL means unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// No limit.
    Unlimited,
    /// At most this much.
    Credits(Credits),
}

impl Limit {
    /// What is left of the limit after `spent`: at least zero; `None` where there is no limit.
    pub fn remaining(self, spent: Credits) -> Option<Credits> {
        match self {
            Self::Unlimited => None,
            Self::Credits(limit) => Some(limit.saturating_sub(spent).max(Credits::ZERO)),
        }
    }

    /// The limit in micro-credits as stored: −1 for unlimited.
    pub const fn stored_micros(self) -> i64 {
        match self {
            Self::Unlimited => -1,
            Self::Credits(limit) => limit.micros(),
        }
    }

    /// From micro-credits as stored: −1 (or anything below zero) is unlimited.
    pub const fn from_stored_micros(micros: i64) -> Self {
        if micros < 0 { Self::Unlimited } else { Self::Credits(Credits::from_micros(micros)) }
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unlimited => serializer.serialize_i64(-1),
            Self::Credits(credits) => credits.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let credits = Credits::deserialize(deserializer)?;
        match credits.micros() {
            0.. => Ok(Self::Credits(credits)),
            micros if micros == -Credits::MICROS_PER_CREDIT => Ok(Self::Unlimited),
            _ => Err(D::Error::custom("a limit is -1 (unlimited), 0 or more")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_print_with_no_more_decimals_than_needed() {
        let cases = [(28_000_000, "28"), (500_000, "0.5"), (12_345_678, "12.345678"), (-1, "-0.000001"), (0, "0")];
        for (micros, want) in cases {
            assert_eq!(Credits::from_micros(micros).to_string(), want);
            assert_eq!(serde_json::to_string(&Credits::from_micros(micros)).unwrap(), want);
        }
    }

    #[test]
    fn texts_that_are_no_amount_say_why() {
        let cases = [
            ("", CreditsError::NotANumber),
            ("1e", CreditsError::NotANumber),
            ("1e+", CreditsError::NotANumber),
            ("e3", CreditsError::NotANumber),
            ("1e1.5", CreditsError::NotANumber),
            ("1e--2", CreditsError::NotANumber),
            ("+1", CreditsError::NotANumber),
            ("1e-7", CreditsError::TooFine),
            ("12e-7", CreditsError::TooFine),
            ("1e-99999999999999999999", CreditsError::TooFine),
            ("1e13", CreditsError::OutOfRange),
            ("1e99999999999999999999", CreditsError::OutOfRange),
            (".5", CreditsError::NotANumber),
            ("1.", CreditsError::NotANumber),
            ("0.0000001", CreditsError::TooFine),
            ("9223372036855", CreditsError::OutOfRange),
            ("99999999999999999999", CreditsError::OutOfRange),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse::<Credits>(), Err(want), "{text}");
        }
    }

    #[test]
    fn an_amount_may_be_written_with_an_exponent_and_is_exact() {
        let cases = [
            ("1.0e+2", 100_000_000),
            ("1e3", 1_000_000_000),
            ("1E0", 1_000_000),
            ("-2.5e1", -25_000_000),
            ("1.2345678e1", 12_345_678),
            ("120e-7", 12),
            ("0.0000001e1", 1),
            ("9.223372036854775807e12", i64::MAX),
            ("0e99999999999999999999", 0),
            ("0.00e-99999999999999999999", 0),
        ];
        for (text, micros) in cases {
            assert_eq!(text.parse(), Ok(Credits::from_micros(micros)), "{text}");
            assert_eq!(serde_json::from_str::<Credits>(text).unwrap().micros(), micros, "{text}");
        }
    }

    #[test]
    fn a_limit_below_minus_one_is_refused() {
        assert_eq!(serde_json::from_str::<Limit>("-1").unwrap(), Limit::Unlimited);
        assert_eq!(serde_json::from_str::<Limit>("0").unwrap(), Limit::Credits(Credits::ZERO));
        assert!(serde_json::from_str::<Limit>("-2").is_err());
        assert!(serde_json::from_str::<Limit>("-0.5").is_err());
    }

    proptest! {
        #[test]
        fn every_amount_survives_a_round_trip(micros in -i64::MAX..=i64::MAX) {
            let credits = Credits::from_micros(micros);
            let json = serde_json::to_string(&credits).unwrap();
            prop_assert_eq!(serde_json::from_str::<Credits>(&json).unwrap(), credits);
            let value = serde_json::from_str::<serde_json::Value>("[0]").unwrap();
            prop_assert!(value.is_array());
        }
    }
}
