//! A month as far as it has gone, and what follows from it: averages, the forecast, the days without gaps. Whole numbers
//! throughout; amounts are rounded half up to a millionth of a credit.

use std::collections::HashMap;

use ledger::{Credits, DailyUsage, Day, Level, Limit, PercentTenths, Period, Timestamp, UsageReport};
use serde::Serialize;
use utoipa::ToSchema;

/// A month and how much of it is behind us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Month {
    /// The month.
    pub(crate) period: Period,
    /// Its days up to today, today included; all of them once it is over.
    pub(crate) days_elapsed: u8,
    /// Whether it is over.
    pub(crate) is_over: bool,
    /// Its last day that has begun.
    last_day: Day,
}

impl Month {
    /// A month that has begun, as it stands at `now`.
    pub(crate) fn at(period: Period, now: Timestamp) -> Self {
        let is_over = period.end() <= now;
        let days_elapsed = if is_over { period.days() } else { Day::of(now).day_of_month() };
        let last_day = if is_over { Day::of(period.end().plus_millis(-1)) } else { Day::of(now) };
        Self { period, days_elapsed, is_over, last_day }
    }

    /// Every day that has begun, oldest first, days without events with zeros.
    pub(crate) fn days(&self, report: &UsageReport) -> Vec<DayShare> {
        let known: HashMap<Day, &DailyUsage> = report.by_day.iter().map(|usage| (usage.day, usage)).collect();
        let all = std::iter::successors(Some(self.period.first_day()), |day| Some(day.next()));
        let begun = all.take(usize::from(self.days_elapsed));
        begun
            .map(|date| match known.get(&date) {
                Some(usage) => DayShare { date, credits: usage.credits, count: usage.count },
                None => DayShare { date, credits: Credits::ZERO, count: 0 },
            })
            .collect()
    }

    /// Credits a day, over the days that have begun.
    pub(crate) fn daily_average(&self, used: Credits) -> Credits {
        ratio(used, 1, u64::from(self.days_elapsed))
    }

    /// What the whole month will have used, if calls go on as they went. Adjustments are made once.
    pub(crate) fn projected(&self, report: &UsageReport) -> Credits {
        let of_calls = ratio(report.of_calls(), u64::from(self.period.days()), u64::from(self.days_elapsed));
        of_calls.saturating_add(report.adjusted())
    }

    /// The forecast of a month under a limit.
    pub(crate) fn forecast(&self, report: &UsageReport, limit: Limit, warning_percent: u8) -> Forecast {
        let projected = self.projected(report);
        Forecast {
            method: if self.is_over {
                "actual: the month is over"
            } else {
                "linear: average of the days so far × days of the month"
            },
            projected_credits: projected,
            projected_percentage: Level::of(projected, limit, warning_percent).percentage_used,
            will_exceed_limit: matches!(limit, Limit::Credits(limit) if projected > limit),
            projected_exhaustion_date: self.exhaustion(report, limit),
            days_elapsed: self.days_elapsed,
            days_remaining: self.period.days().saturating_sub(self.days_elapsed),
        }
    }

    /// The day on which the limit is used up: seen in the days so far, or foreseen at their average.
    fn exhaustion(&self, report: &UsageReport, limit: Limit) -> Option<Day> {
        let Limit::Credits(limit) = limit else { return None };
        let mut used = Credits::ZERO;
        for day in &report.by_day {
            used = used.saturating_add(day.credits);
            if used >= limit {
                return Some(day.day);
            }
        }
        if self.is_over || report.of_calls() <= Credits::ZERO {
            return None;
        }
        let left = i128::from(limit.saturating_sub(report.credits).micros()) * i128::from(self.days_elapsed);
        let used = i128::from(report.of_calls().micros());
        let days_away = usize::try_from((left + used - 1) / used).ok()?;
        let days_left = usize::from(self.period.days().saturating_sub(self.days_elapsed));
        if days_away > days_left {
            return None;
        }
        std::iter::successors(Some(self.last_day), |day| Some(day.next())).nth(days_away)
    }
}

/// `total` × `times` ÷ `parts`, rounded half up; 0 of no parts.
pub(crate) fn ratio(total: Credits, times: u64, parts: u64) -> Credits {
    if parts == 0 {
        return Credits::ZERO;
    }
    let (scaled, parts) = (i128::from(total.micros()) * i128::from(times), i128::from(parts));
    let rounded = (scaled * 2 + parts).div_euclid(parts * 2);
    Credits::from_micros(i64::try_from(rounded).unwrap_or(i64::MAX))
}

/// A day's share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct DayShare {
    #[schema(value_type = String, format = Date)]
    pub(crate) date: Day,
    #[schema(value_type = f64)]
    pub(crate) credits: Credits,
    /// Events, those without a charge included.
    pub(crate) count: u64,
}

/// A month's share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct MonthShare {
    #[schema(value_type = String, example = "2026-11")]
    pub(crate) month: Period,
    #[schema(value_type = f64)]
    pub(crate) credits: Credits,
    pub(crate) count: u64,
}

/// What the month will have used when it ends.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Forecast {
    /// How it was computed.
    method: &'static str,
    #[schema(value_type = f64)]
    projected_credits: Credits,
    #[schema(value_type = f64)]
    projected_percentage: PercentTenths,
    pub(crate) will_exceed_limit: bool,
    /// When the limit is used up, where that is within the month.
    #[schema(value_type = Option<String>, format = Date)]
    pub(crate) projected_exhaustion_date: Option<Day>,
    days_elapsed: u8,
    days_remaining: u8,
}

#[cfg(test)]
mod tests;
