//! Months, averages and forecasts.

use super::*;
use proptest::prelude::*;

fn credits(whole: i64) -> Credits {
    Credits::from_whole(whole).unwrap()
}

fn month(period: &str, now: &str) -> Month {
    Month::at(period.parse().unwrap(), now.parse().unwrap())
}

fn report(days: &[(&str, i64)]) -> UsageReport {
    let by_day =
        days.iter().map(|(day, used)| DailyUsage { day: day.parse().unwrap(), credits: credits(*used), count: 1 });
    let total = days.iter().map(|(_, used)| used).sum();
    UsageReport { by_day: by_day.collect(), credits: credits(total), count: 1, ..UsageReport::default() }
}

#[test]
fn a_month_has_every_day_up_to_today_and_all_days_once_it_is_over() {
    let cases = [
        ("2026-11", "2026-11-01T00:00:00Z", 1, false),
        ("2026-11", "2026-11-30T23:59:59.999Z", 30, false),
        ("2026-11", "2026-12-01T00:00:00Z", 30, true),
        ("2024-02", "2026-12-01T00:00:00Z", 29, true),
        ("2026-02", "2026-02-28T12:00:00Z", 28, false),
    ];
    for (period, now, days, is_over) in cases {
        let month = month(period, now);
        let shares = month.days(&report(&[]));
        assert_eq!((shares.len(), month.is_over), (days, is_over), "{period} at {now}");
        assert_eq!(shares[0].date.to_string(), format!("{period}-01"));
        assert_eq!(shares[days - 1].date, month.last_day, "{period} at {now}");
    }
}

#[test]
fn days_with_events_stand_among_days_with_zeros() {
    let days = month("2026-11", "2026-11-03T10:00:00Z").days(&report(&[("2026-11-02", 28)]));
    let shown: Vec<_> = days.iter().map(|day| (day.date.to_string(), day.credits)).collect();
    let want = [("2026-11-01", 0), ("2026-11-02", 28), ("2026-11-03", 0)];
    assert_eq!(shown, want.map(|(date, used)| (date.to_owned(), credits(used))));
}

#[test]
fn the_forecast_goes_on_as_the_days_went() {
    let of = |now: &str, used: i64, limit: i64| {
        let forecast =
            month("2026-11", now).forecast(&report(&[("2026-11-01", used)]), Limit::Credits(credits(limit)), 80);
        (
            forecast.projected_credits.to_string(),
            forecast.projected_percentage.to_string(),
            forecast.will_exceed_limit,
            forecast.projected_exhaustion_date.map(|day| day.to_string()),
        )
    };
    let day = |text: &str| Some(text.to_owned());
    assert_eq!(of("2026-11-10T12:00:00Z", 0, 100), ("0".to_owned(), "0".to_owned(), false, None));
    assert_eq!(of("2026-11-10T12:00:00Z", 50, 100), ("150".to_owned(), "150".to_owned(), true, day("2026-11-20")));
    assert_eq!(of("2026-11-10T12:00:00Z", 33, 100), ("99".to_owned(), "99".to_owned(), false, None));
    // Used up exactly with the last day is not over the limit.
    assert_eq!(of("2026-11-15T12:00:00Z", 50, 100), ("100".to_owned(), "100".to_owned(), false, day("2026-11-30")));
    assert_eq!(of("2026-11-10T12:00:00Z", 120, 100), ("360".to_owned(), "360".to_owned(), true, day("2026-11-01")));
    assert_eq!(of("2026-12-10T12:00:00Z", 50, 100), ("50".to_owned(), "50".to_owned(), false, None));
    let unlimited =
        month("2026-11", "2026-11-10T12:00:00Z").forecast(&report(&[("2026-11-01", 50)]), Limit::Unlimited, 80);
    assert!(!unlimited.will_exceed_limit && unlimited.projected_exhaustion_date.is_none());
}

#[test]
fn ratios_round_half_up_to_a_micro_credit() {
    for (micros, times, parts, want) in
        [(1, 1, 2, 1), (1, 1, 3, 0), (2, 1, 3, 1), (5, 1, 0, 0), (i64::MAX, 31, 1, i64::MAX)]
    {
        assert_eq!(ratio(Credits::from_micros(micros), times, parts).micros(), want, "{micros}·{times}/{parts}");
    }
}

proptest! {
    #[test]
    fn the_day_of_exhaustion_is_the_first_on_which_the_average_reaches_the_limit(
        used in 1_i64..10_000, limit in 1_i64..10_000, today in 1_u8..=30,
    ) {
        let now = format!("2026-11-{today:02}T12:00:00Z");
        let forecast = month("2026-11", &now).forecast(&report(&[("2026-11-01", used)]), Limit::Credits(credits(limit)), 80);
        let got = forecast.projected_exhaustion_date.map(Day::day_of_month);
        let reached = (today..=30).find(|day| used * i64::from(*day) >= limit * i64::from(today));
        let want = if used >= limit { Some(1) } else { reached };
        prop_assert_eq!(got, want);
    }
}
