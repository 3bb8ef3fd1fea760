//! What a drill found, and whether the promise held: exactly as many calls as there was credit for, each charged once.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use http::StatusCode;
use ledger::Credits;

use super::burst::Answer;
use super::target::Target;

/// What the database and the gateways say afterwards.
pub(super) struct Books {
    pub(super) used: Credits,
    pub(super) events: u64,
    pub(super) sum_of_events: Credits,
    pub(super) held: Credits,
}

/// The outcome.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    organization_id: String,
    calls: u64,
    credit_for: u64,
    price: Credits,
    limit: Credits,
    /// Answered with a success.
    admitted: u64,
    /// Events with a charge that a client was told of.
    charged: u64,
    /// Answered with 402 `credit_limit_exceeded`.
    refused: u64,
    /// Every other answer, by status and code.
    other: BTreeMap<String, u64>,
    events: u64,
    used: Credits,
    overspend: Credits,
    leaked_holds: Credits,
    /// By how much the answers, the events and the balance differ.
    drift: Credits,
    p50_ms: f64,
    p99_ms: f64,
    calls_a_second: u64,
}

impl Report {
    pub(super) fn new(target: &Target, answers: &[Answer], books: &Books, took: Duration) -> Self {
        let count = |of: &dyn Fn(&Answer) -> bool| {
            u64::try_from(answers.iter().filter(|answer| of(answer)).count()).unwrap_or(u64::MAX)
        };
        let refused = |answer: &Answer| {
            answer.status == StatusCode::PAYMENT_REQUIRED && answer.code.as_deref() == Some("credit_limit_exceeded")
        };
        let mut other = BTreeMap::new();
        for answer in answers.iter().filter(|answer| !answer.status.is_success() && !refused(answer)) {
            let name = format!("{} {}", answer.status.as_u16(), answer.code.as_deref().unwrap_or("-"));
            *other.entry(name).or_insert(0_u64) += 1;
        }
        let told = answers.iter().fold(Credits::ZERO, |sum, answer| sum.saturating_add(answer.charged));
        let apart = |one: Credits, another: Credits| one.micros().abs_diff(another.micros());
        let drift = apart(told, books.used).max(apart(books.sum_of_events, books.used));
        let mut latencies: Vec<_> = answers.iter().map(|answer| answer.took).collect();
        latencies.sort_unstable();
        let calls = u64::try_from(answers.len()).unwrap_or(u64::MAX);
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
        Self {
            organization_id: target.organization.to_string(),
            calls,
            credit_for: target.credit_for,
            price: target.price,
            limit: target.limit,
            admitted: count(&|answer| answer.status.is_success()),
            charged: count(&|answer| answer.charged > Credits::ZERO),
            refused: count(&refused),
            other,
            events: books.events,
            used: books.used,
            overspend: Credits::from_micros(books.used.micros().saturating_sub(target.limit.micros()).max(0)),
            leaked_holds: books.held,
            drift: Credits::from_micros(i64::try_from(drift).unwrap_or(i64::MAX)),
            p50_ms: percentile_ms(&latencies, 50),
            p99_ms: percentile_ms(&latencies, 99),
            calls_a_second: calls.saturating_mul(1_000) / millis,
        }
    }

    /// What broke the promise, a line each; none where it held.
    pub(super) fn faults(&self) -> Vec<String> {
        let payable = self.calls.min(self.credit_for);
        let mut faults = Vec::new();
        let mut check = |sound: bool, fault: String| {
            if !sound {
                faults.push(format!("BROKEN: {fault}"));
            }
        };
        check(self.overspend == Credits::ZERO, format!("{} credits over the limit", self.overspend));
        check(self.leaked_holds == Credits::ZERO, format!("{} credits are still held", self.leaked_holds));
        check(self.drift == Credits::ZERO, format!("answers, events and balance differ by {} credits", self.drift));
        check(
            self.admitted <= payable,
            format!("{} calls were admitted; there was credit for {payable}", self.admitted),
        );
        if self.other.is_empty() {
            check(self.admitted >= payable, format!("{} calls were admitted; {payable} could pay", self.admitted));
            check(self.charged == self.admitted, format!("{} of {} were charged", self.charged, self.admitted));
        } else {
            let others: Vec<_> = self.other.iter().map(|(answer, count)| format!("{count} × {answer}")).collect();
            faults.push(format!("NOT PROVEN: some calls were answered otherwise: {}", others.join(", ")));
        }
        faults
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "organization      {}", self.organization_id)?;
        writeln!(
            f,
            "calls at once     {} at a balance for {} ({} credits each)",
            self.calls, self.credit_for, self.price
        )?;
        writeln!(f, "admitted          {}", self.admitted)?;
        writeln!(f, "charged           {} ({} of {} credits)", self.charged, self.used, self.limit)?;
        writeln!(f, "refused           {}", self.refused)?;
        for (answer, count) in &self.other {
            writeln!(f, "answered {answer:<8} {count}")?;
        }
        writeln!(f, "events            {}", self.events)?;
        writeln!(f, "overspend         {}", self.overspend)?;
        writeln!(f, "leaked holds      {}", self.leaked_holds)?;
        writeln!(f, "drift             {}", self.drift)?;
        write!(f, "latency           p50 {} ms, p99 {} ms; {} calls/s", self.p50_ms, self.p99_ms, self.calls_a_second)
    }
}

fn percentile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    let latency = sorted.get(rank).copied().unwrap_or_default();
    (latency.as_secs_f64() * 1e4).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What may have happened to a report, by so many credits.
    type Happened = fn(&mut Report, Credits);

    /// 500 calls at a balance for 20, as promised.
    fn kept() -> Report {
        let credits = Credits::from_micros;
        Report {
            organization_id: "drill-1".to_owned(),
            calls: 500,
            credit_for: 20,
            price: credits(10),
            limit: credits(200),
            admitted: 20,
            charged: 20,
            refused: 480,
            other: BTreeMap::new(),
            events: 20,
            used: credits(200),
            overspend: Credits::ZERO,
            leaked_holds: Credits::ZERO,
            drift: Credits::ZERO,
            p50_ms: 1.0,
            p99_ms: 2.0,
            calls_a_second: 1_000,
        }
    }

    #[test]
    fn a_promise_that_broke_is_named() {
        let credit = Credits::from_micros(1_000_000);
        let cases: [(&str, Happened, &[&str]); 8] = [
            ("kept", |_, _| {}, &[]),
            ("fewer calls than credit", |it, _| (it.calls, it.credit_for) = (20, 40), &[]),
            ("overspend", |it, credit| it.overspend = credit, &["BROKEN: 1 credits over the limit"]),
            ("a leak", |it, credit| it.leaked_holds = credit, &["BROKEN: 1 credits are still held"]),
            ("drift", |it, credit| it.drift = credit, &["BROKEN: answers, events and balance differ by 1 credits"]),
            (
                "one too many",
                |it, _| (it.admitted, it.charged) = (21, 21),
                &["BROKEN: 21 calls were admitted; there was credit for 20"],
            ),
            (
                "stranded credit",
                |it, _| (it.admitted, it.charged) = (19, 19),
                &["BROKEN: 19 calls were admitted; 20 could pay"],
            ),
            (
                "a backend that fails",
                |it, _| {
                    (it.admitted, it.charged) = (0, 0);
                    it.other.insert("502 upstream_unavailable".to_owned(), 30);
                },
                &["NOT PROVEN: some calls were answered otherwise: 30 × 502 upstream_unavailable"],
            ),
        ];
        for (name, happened, faults) in cases {
            let mut report = kept();
            happened(&mut report, credit);
            assert_eq!(report.faults(), faults, "{name}");
        }
    }

    #[test]
    fn a_percentile_is_the_latency_that_so_many_did_not_exceed() {
        let sorted: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        let shown = [(&sorted[..], 50), (&sorted[..], 99), (&[], 99)].map(|(of, at)| percentile_ms(of, at).to_string());
        assert_eq!(shown, ["100", "198", "0"]);
    }
}
