//! How usage is spread over the days of a month.

use ledger::{Credits, Day, UsageReport};
use serde::Serialize;
use utoipa::ToSchema;

use crate::month::Month;

/// How usage is spread over the days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct UsagePatterns {
    /// The day with the most credits, the first of equals; null in a month without any.
    #[schema(value_type = Option<String>, format = Date)]
    peak_usage_day: Option<Day>,
    #[schema(value_type = f64)]
    average_daily_usage: Credits,
    /// 100 where every day used the same, 0 where one day used all or nothing was used: the mean deviation from the
    /// average, in percent of the largest that it could be, taken from 100.
    consistency_score: u8,
}

impl UsagePatterns {
    /// The patterns of a month so far.
    pub(super) fn of(month: Month, report: &UsageReport) -> Self {
        let most = report.by_day.iter().map(|day| day.credits).max().filter(|most| *most > Credits::ZERO);
        let peak = most.and_then(|most| report.by_day.iter().find(|day| day.credits == most));
        Self {
            peak_usage_day: peak.map(|day| day.day),
            average_daily_usage: month.daily_average(report.credits),
            consistency_score: consistency(month, report),
        }
    }
}

fn consistency(month: Month, report: &UsageReport) -> u8 {
    let days = i128::from(month.days_elapsed);
    let micros: Vec<i128> = month.days(report).iter().map(|day| i128::from(day.credits.micros())).collect();
    let total: i128 = micros.iter().sum();
    if total <= 0 {
        return 0;
    }
    // Each deviation times the number of days, so that the average needs no rounding. Their sum is largest, twice the
    // total times one day less than all, when one day has everything.
    let deviations: i128 = micros.iter().map(|day| (day * days - total).abs()).sum();
    let largest = total * 2 * (days - 1);
    if largest == 0 {
        return 100;
    }
    let score = 100 - (deviations * 200 + largest) / (largest * 2);
    u8::try_from(score).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::DailyUsage;

    fn of(now: &str, days: &[(&str, i64)]) -> UsagePatterns {
        let now = now.parse().unwrap();
        let month = Month::at(ledger::Period::of(now), now);
        let by_day = days.iter().map(|(day, used)| DailyUsage {
            day: day.parse().unwrap(),
            credits: Credits::from_whole(*used).unwrap(),
            count: 1,
        });
        let credits = Credits::from_whole(days.iter().map(|(_, used)| used).sum()).unwrap();
        UsagePatterns::of(month, &UsageReport { by_day: by_day.collect(), credits, ..UsageReport::default() })
    }

    #[test]
    fn patterns_name_the_peak_and_score_how_even_the_days_are() {
        type Case<'a> = (&'a str, &'a [(&'a str, i64)], Option<&'a str>, &'a str, u8);
        let cases: [Case<'_>; 5] = [
            ("2026-11-10T00:00:00Z", &[], None, "0", 0),
            ("2026-11-01T00:00:00Z", &[("2026-11-01", 5)], Some("2026-11-01"), "5", 100),
            ("2026-11-02T00:00:00Z", &[("2026-11-01", 5), ("2026-11-02", 5)], Some("2026-11-01"), "5", 100),
            ("2026-11-04T00:00:00Z", &[("2026-11-03", 8)], Some("2026-11-03"), "2", 0),
            ("2026-11-02T00:00:00Z", &[("2026-11-01", 1), ("2026-11-02", 3)], Some("2026-11-02"), "2", 50),
        ];
        for (now, days, peak, average, score) in cases {
            let got = of(now, days);
            assert_eq!(got.peak_usage_day.map(|day| day.to_string()).as_deref(), peak, "{days:?}");
            assert_eq!(got.average_daily_usage.to_string(), average, "{days:?}");
            assert_eq!(got.consistency_score, score, "{days:?}");
        }
    }
}
