//! Values of request bodies that have bounds, each with a sentence that says them. A value out of bounds never gets past
//! here.

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::ops::RangeInclusive;

use ledger::{Adjustment, Credits};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A limit that counts things: −1 is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) i64);

/// A whole percentage, 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Percent(pub(crate) u8);

/// A name for people or a category: 1 to 200 bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) String);

/// An amount from 0 to a thousand million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Amount(pub(crate) Credits);

/// An amount above 0, up to a thousand million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Positive(pub(crate) Credits);

/// A sentence for those who read it later: 1 to 500 bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason(pub(crate) String);

/// A JSON object, and nothing that could be read as one by its order: an array has no names to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object<T>(pub(crate) T);

/// A field that may be absent ("as it is"), null ("as if it had never been set") or a value: the one meaning of null in all
/// bodies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Given<T> {
    #[default]
    Absent,
    Null,
    Value(T),
}

impl<T> Given<T> {
    /// What the field is afterwards, where it is `present` now.
    pub(crate) fn over(self, present: Option<T>) -> Option<T> {
        match self {
            Self::Absent => present,
            Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    /// What the field is afterwards, where it is `present` now and would be `unset` had it never been set.
    pub(crate) fn else_of<U>(self, present: U, unset: U, make: impl FnOnce(T) -> U) -> U {
        match self {
            Self::Absent => present,
            Self::Null => unset,
            Self::Value(value) => make(value),
        }
    }

    /// What replaces the field as a whole: nothing, its default, or what the value makes.
    pub(crate) fn replacing<U: Default>(self, make: impl FnOnce(T) -> U) -> Option<U> {
        match self {
            Self::Absent => None,
            Self::Null => Some(U::default()),
            Self::Value(value) => Some(make(value)),
        }
    }
}

impl Name {
    /// The longest name in bytes.
    pub(crate) const BYTES_MAX: usize = 200;
}

impl Amount {
    /// The largest amount, in credits or dollars.
    pub(crate) const WHOLE_MAX: i64 = 1_000_000_000;
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        whole(deserializer, -1..=i64::MAX, "a count is -1 (unlimited), 0 or more, and whole").map(Self)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const ALLOWED: &str = "a threshold is a whole percentage from 1 to 100";
        let percent = whole(deserializer, 1..=100, ALLOWED)?;
        u8::try_from(percent).map(Self).map_err(|_| D::Error::custom(ALLOWED))
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, Self::BYTES_MAX).map(Self)
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, Adjustment::REASON_BYTES_MAX).map(Self)
    }
}

impl<'de> Deserialize<'de> for Positive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let allowed = || D::Error::custom(format!("an amount is above 0 and at most {}", Amount::WHOLE_MAX));
        let Ok(Amount(amount)) = Amount::deserialize(deserializer) else { return Err(allowed()) };
        if amount > Credits::ZERO { Ok(Self(amount)) } else { Err(allowed()) }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let amount = Credits::deserialize(deserializer)?;
        let most = Credits::from_whole(Self::WHOLE_MAX).unwrap_or(Credits::MAX);
        let allowed = || D::Error::custom(format!("an amount is 0 to {}", Self::WHOLE_MAX));
        if amount >= Credits::ZERO && amount <= most { Ok(Self(amount)) } else { Err(allowed()) }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Named<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Named<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with named members")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(Object)
            }
        }
        deserializer.deserialize_map(Named(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Null, Self::Value))
    }
}

/// A text that has something in it and can stand in a line.
fn text<'de, D: Deserializer<'de>>(deserializer: D, bytes_max: usize) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let fits = !text.trim().is_empty() && text.len() <= bytes_max && !text.chars().any(char::is_control);
    let allowed = || D::Error::custom(format!("a text of 1 to {bytes_max} bytes without control characters"));
    if fits { Ok(text) } else { Err(allowed()) }
}

/// A whole number as it is written: `1.0` and `"1"` are none.
fn whole<'de, D: Deserializer<'de>>(
    deserializer: D,
    range: RangeInclusive<i64>,
    allowed: impl Display,
) -> Result<i64, D::Error> {
    let number = Box::<RawValue>::deserialize(deserializer)?;
    let number = number.get().parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| D::Error::custom(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads<T: for<'de> Deserialize<'de>>(json: &str) -> bool {
        serde_json::from_str::<T>(json).is_ok()
    }

    #[test]
    fn values_at_their_bounds_are_taken_and_one_past_them_are_not() {
        let name = |bytes: usize| format!("\"{}\"", "x".repeat(bytes));
        let cases = [
            ("the least count", reads::<Count>("-1"), true),
            ("under the least count", reads::<Count>("-2"), false),
            ("the most count", reads::<Count>("9223372036854775807"), true),
            ("over the most count", reads::<Count>("9223372036854775808"), false),
            ("a broken count", reads::<Count>("0.5"), false),
            ("the least percentage", reads::<Percent>("1"), true),
            ("no percentage", reads::<Percent>("0"), false),
            ("the most percentage", reads::<Percent>("100"), true),
            ("over all", reads::<Percent>("101"), false),
            ("the longest name", reads::<Name>(&name(Name::BYTES_MAX)), true),
            ("a longer name", reads::<Name>(&name(Name::BYTES_MAX + 1)), false),
            ("a blank name", reads::<Name>("\" \""), false),
            ("the longest reason", reads::<Reason>(&name(Adjustment::REASON_BYTES_MAX)), true),
            ("a longer reason", reads::<Reason>(&name(Adjustment::REASON_BYTES_MAX + 1)), false),
            ("the least above nothing", reads::<Positive>("0.000001"), true),
            ("nothing where something is needed", reads::<Positive>("0"), false),
            ("the most", reads::<Positive>("1000000000"), true),
            ("more than the most", reads::<Positive>("1000000000.000001"), false),
            ("no amount", reads::<Amount>("0"), true),
            ("under nothing", reads::<Amount>("-0.000001"), false),
            ("the most", reads::<Amount>("1000000000"), true),
            ("more than the most", reads::<Amount>("1000000000.000001"), false),
        ];
        for (name, taken, want) in cases {
            assert_eq!(taken, want, "{name}");
        }
    }
}
