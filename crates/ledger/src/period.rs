//! Moments, days and calendar months in UTC. A period is half-open: its first instant is in, the next one's is out.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment, in milliseconds since 1970 UTC; written as RFC 3339 with three decimals of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Not an RFC 3339 moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 moment, such as 2026-11-24T08:20:30Z")]
pub struct TimestampError;

impl Timestamp {
    /// From milliseconds since 1970 UTC, kept within the years 0001 to 9999.
    pub const fn from_millis(millis: i64) -> Self {
        const FIRST: i64 = -62_135_596_800_000;
        const LAST: i64 = 253_402_207_200_000;
        Self(if millis < FIRST {
            FIRST
        } else if millis > LAST {
            LAST
        } else {
            millis
        })
    }

    /// Milliseconds since 1970 UTC.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970 (zero before it) and the nanoseconds beyond them.
    pub(crate) fn seconds_and_nanos(self) -> (u64, u32) {
        let millis = u64::try_from(self.0).unwrap_or(0);
        (millis / 1_000, u32::try_from(millis % 1_000).unwrap_or(0) * 1_000_000)
    }

    /// This moment moved by `millis`.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self::from_millis(self.0.saturating_add(millis))
    }

    fn date(self) -> Date {
        let moment = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        TimeZone::UTC.to_datetime(moment).date()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        write!(f, "{moment:.3}")
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        match text.parse::<jiff::Timestamp>() {
            Ok(moment) => Ok(Self::from_millis(moment.as_millisecond())),
            Err(_) if is_past_the_last(text) => Ok(Self::from_millis(i64::MAX)),
            Err(_) => Err(TimestampError),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Whether a moment lies in the last hours of the year 9999, which the library has no room for: people write them for ever.
fn is_past_the_last(text: &str) -> bool {
    let last = TimeZone::UTC.to_datetime(jiff::Timestamp::MAX).date();
    let written = jiff::fmt::temporal::Pieces::parse(text);
    written.is_ok_and(|it| it.time().is_some() && it.offset().is_some() && it.date() >= last)
}

/// A day's first instant; of the days that the library has no moments for, the last moment.
fn start_of(date: Date) -> Timestamp {
    let midnight = TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0));
    let outside = if date.year() > 0 { i64::MAX } else { i64::MIN };
    Timestamp::from_millis(midnight.map_or(outside, jiff::Timestamp::as_millisecond))
}

/// Not a day or month as they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    /// Not a month.
    #[error("not a month, such as 2026-11")]
    NotAMonth,
    /// Not a day.
    #[error("not a day, such as 2026-11-24")]
    NotADay,
}

/// A calendar day in UTC, written `2026-11-24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(Date);

impl Day {
    /// The day in which `moment` lies.
    pub fn of(moment: Timestamp) -> Self {
        Self(moment.date())
    }

    /// The day's first instant.
    pub fn start(self) -> Timestamp {
        start_of(self.0)
    }

    /// The next day's first instant.
    pub fn end(self) -> Timestamp {
        self.next().start()
    }

    /// The day after.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.tomorrow().unwrap_or(self.0))
    }

    /// The month in which the day lies.
    pub fn period(self) -> Period {
        Period(self.0.first_of_month())
    }

    /// The day of the month, 1 to 31.
    pub fn day_of_month(self) -> u8 {
        u8::try_from(self.0.day()).unwrap_or(1)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Day {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let date: Date = text.parse().map_err(|_| PeriodError::NotADay)?;
        // The parser also takes other spellings; ours is one.
        if text.len() == 10 && date.year() >= 1 { Ok(Self(date)) } else { Err(PeriodError::NotADay) }
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A billing period: a calendar month in UTC, written `2026-11`. The date inside is the month's first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(Date);

impl Period {
    /// The period in which `moment` lies.
    pub fn of(moment: Timestamp) -> Self {
        Day::of(moment).period()
    }

    /// The period's first instant.
    pub fn start(self) -> Timestamp {
        start_of(self.0)
    }

    /// The next period's first instant: when the credits are granted anew.
    pub fn end(self) -> Timestamp {
        self.next().start()
    }

    /// The first day.
    pub fn first_day(self) -> Day {
        Day(self.0)
    }

    /// The period after.
    #[must_use]
    pub fn next(self) -> Self {
        Day(self.0.last_of_month()).next().period()
    }

    /// The period before.
    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0.yesterday().unwrap_or(self.0).first_of_month())
    }

    /// How many days the month has, 28 to 31.
    pub fn days(self) -> u8 {
        u8::try_from(self.0.days_in_month()).unwrap_or(31)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.year(), self.0.month())
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        if text.len() != 7 {
            return Err(PeriodError::NotAMonth);
        }
        let first: Day = format!("{text}-01").parse().map_err(|_| PeriodError::NotAMonth)?;
        Ok(first.period())
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_period_holds_its_first_instant_and_not_the_next_ones() {
        let cases = [
            ("2026-11-30T23:59:59.999Z", "2026-11"),
            ("2026-12-01T00:00:00.000Z", "2026-12"),
            ("2024-02-29T23:59:59.999Z", "2024-02"),
            ("2026-12-31T23:59:59.999Z", "2026-12"),
            ("2027-01-01T00:00:00Z", "2027-01"),
            ("2026-12-01T00:30:00+01:00", "2026-11"),
        ];
        for (moment, want) in cases {
            let period = Period::of(at(moment));
            assert_eq!(period.to_string(), want, "{moment}");
            assert!(period.start() <= at(moment) && at(moment) < period.end(), "{moment}");
            assert_eq!(period.next().previous(), period);
        }
    }

    #[test]
    fn moments_are_written_as_rfc_3339() {
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(at("2026-11-24T08:20:30.5Z").to_string(), "2026-11-24T08:20:30.500Z");
        assert_eq!(Period::of(at("2026-11-24T08:20:30Z")).end().to_string(), "2026-12-01T00:00:00.000Z");
    }

    #[test]
    fn the_end_of_the_year_9999_is_the_last_moment() {
        let last = Timestamp::from_millis(i64::MAX);
        for text in ["9999-12-31T23:59:59Z", "9999-12-31T00:00:00.000+01:00", "9999-12-30T23:00:00Z"] {
            assert_eq!(text.parse(), Ok(last), "{text}");
        }
        for text in ["9999-12-31", "9999-12-31T23:59:59", "9999-12-32T00:00:00Z", "9999-12-31T25:00:00Z"] {
            assert_eq!(text.parse::<Timestamp>(), Err(TimestampError), "{text}");
        }
        for text in ["9999-12-30", "9999-12-31"] {
            let day: Day = text.parse().unwrap();
            assert_eq!(day.end(), last, "{text}");
        }
    }

    #[test]
    fn what_is_no_month_or_day_is_refused() {
        for text in ["", "2026", "2026-13", "2026-00", "26-11", "2026-1", "2026-11-01", "+002026-11"] {
            assert_eq!(text.parse::<Period>(), Err(PeriodError::NotAMonth), "{text}");
        }
        for text in ["2026-02-30", "20261124", "2026-11", "x"] {
            assert_eq!(text.parse::<Day>(), Err(PeriodError::NotADay), "{text}");
        }
    }
}
