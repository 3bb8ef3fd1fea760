//! What is told, counted and repaired, on books of which every figure is known.

use std::path::PathBuf;

use async_trait::async_trait;
use ledger::{Balance, Change, Credits, OrganizationId, Period, StoreError};
use parking_lot::Mutex;
use store::{BalanceDifference, Compared, Difference, Reconciliation, Repaired, RollupDifference, RollupSum};

use super::report::{Line, Total};
use super::{Reconcile, books};

fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn whole(credits: i64) -> Credits {
    Credits::from_whole(credits).unwrap()
}

/// October is gone, November is wrong where it says so, December is sound.
struct Books {
    wrong: Mutex<Vec<Difference>>,
    /// Whether a repair helps.
    mends: bool,
    audited: Mutex<Vec<String>>,
}

impl Books {
    fn new(mends: bool) -> Self {
        let balance = |used, events| Balance { used: whole(used), events, calls: events, ..Balance::default() };
        let sum = |credits, events| RollupSum { credits: whole(credits), events };
        let rollup = |organization: &str, by_events, stored| {
            Difference::Rollup(RollupDifference {
                organization_id: id(organization),
                day: id("2026-11-24"),
                event_type: id("structuring_diagnose"),
                user_id: id("alice"),
                by_events,
                stored,
            })
        };
        let wrong = vec![
            Difference::Balance(BalanceDifference {
                organization_id: id("acme"),
                period: id("2026-11"),
                by_events: balance(30, 3),
                stored: balance(20, 2),
            }),
            rollup("acme", sum(30, 3), sum(32, 3)),
            rollup("beta", sum(5, 1), sum(5, 2)),
        ];
        Self { wrong: Mutex::new(wrong), mends, audited: Mutex::default() }
    }
}

#[async_trait]
impl Reconciliation for Books {
    async fn span(&self, _: Option<&OrganizationId>) -> Result<Option<(Period, Period)>, StoreError> {
        Ok(Some((id("2026-10"), id("2026-12"))))
    }

    async fn compare(
        &self,
        period: Period,
        of: Option<&OrganizationId>,
        tell: &mut (dyn FnMut(Difference) + Send),
    ) -> Result<Compared, StoreError> {
        if period == id("2026-10") {
            return Ok(Compared::default());
        }
        let by_events = Balance { used: whole(35), events: 4, calls: 4, ..Balance::default() };
        if period == id("2026-11") {
            let wrong = self.wrong.lock().clone();
            wrong.into_iter().filter(|wrong| of.is_none_or(|of| of == wrong.organization_id())).for_each(tell);
        }
        Ok(Compared { events_kept: true, organizations: 2, by_events })
    }

    async fn repair(&self, of: &OrganizationId, period: Period, change: &Change) -> Result<Repaired, StoreError> {
        self.audited.lock().push(format!("{of} {period} by {}", change.actor.user_id));
        if self.mends {
            self.wrong.lock().retain(|wrong| wrong.organization_id() != of);
        }
        Ok(Repaired { balance: None, rollups: 1 })
    }
}

fn asked(more: impl FnOnce(&mut Reconcile)) -> Reconcile {
    let mut asked = Reconcile {
        config: PathBuf::new(),
        from: None,
        to: None,
        organization: None,
        repair_rollups: false,
        json: false,
    };
    more(&mut asked);
    asked
}

async fn found(asked: &Reconcile, in_books: &Books) -> (Vec<String>, Total) {
    let mut told = Vec::new();
    let total = books(asked, in_books, &mut |line: Line| told.push(line.to_string())).await.unwrap();
    (told, total)
}

const GONE: &str = "2026-10 is not compared: retention has dropped its events, and its sums stay as they are";
const ACME: &str =
    "acme 2026-11 balance: the events say 30 credits, 3 events, 3 calls; stored is 20 credits, 2 events, 2 calls";
const ACME_DAY: &str = "acme 2026-11-24 structuring_diagnose by alice: the events say 30 credits, 3 events; stored is 32 credits, 3 events";
const BETA_DAY: &str =
    "beta 2026-11-24 structuring_diagnose by alice: the events say 5 credits, 1 events; stored is 5 credits, 2 events";

#[tokio::test]
async fn every_difference_is_a_line_and_counts() {
    let in_books = Books::new(true);
    let (told, total) = found(&asked(|_| {}), &in_books).await;
    assert_eq!(told, [GONE, ACME, ACME_DAY, BETA_DAY]);
    assert_eq!(total.faults(), ["BROKEN: 3 differences; 12 credits are unexplained"]);
    assert_eq!((total.span, total.without_events), (Some((id("2026-11"), id("2026-12"))), 1));
    assert_eq!(total.by_events.used, whole(70));
    assert!(in_books.audited.lock().is_empty(), "nothing is repaired unasked");
}

#[tokio::test]
async fn a_difference_in_a_count_alone_is_one_too() {
    let beta = asked(|asked| asked.organization = Some(id("beta")));
    let (told, total) = found(&beta, &Books::new(true)).await;
    assert_eq!(told, [GONE, BETA_DAY]);
    assert_eq!(total.faults(), ["BROKEN: 1 differences; 0 credits are unexplained"]);
}

#[tokio::test]
async fn a_range_is_kept_to() {
    let cases = [
        ("2026-12", "2026-12", Some(("2026-12", "2026-12")), 0),
        ("0001-01", "9999-12", Some(("2026-11", "2026-12")), 4),
        ("2026-11", "2026-11", Some(("2026-11", "2026-11")), 3),
        ("2027-01", "2027-02", None, 0),
    ];
    for (from, to, span, lines) in cases {
        let range = asked(|asked| (asked.from, asked.to) = (Some(id(from)), Some(id(to))));
        let (told, total) = found(&range, &Books::new(true)).await;
        let span = span.map(|(first, last)| (id(first), id(last)));
        assert_eq!((told.len(), total.span), (lines, span), "{from} to {to}");
    }
}

#[tokio::test]
async fn after_a_repair_counts_what_is_left() {
    let repair = asked(|asked| asked.repair_rollups = true);
    let mended = Books::new(true);
    let (told, total) = found(&repair, &mended).await;
    let repaired = ["acme", "beta"].map(|of| format!("{of} 2026-11 repaired: 1 rollups; the balance was right"));
    assert_eq!(told, [GONE, ACME, ACME_DAY, BETA_DAY, &repaired[0], &repaired[1]]);
    assert_eq!((total.repaired, total.faults()), (2, Vec::new()));
    let audited = ["acme", "beta"].map(|of| format!("{of} 2026-11 by gateway-reconcile"));
    assert_eq!(*mended.audited.lock(), audited);
    let (_, total) = found(&repair, &Books::new(false)).await;
    assert_eq!(total.faults(), ["BROKEN: 3 differences; 12 credits are unexplained"], "a repair that did not help");
}

#[test]
fn programs_read_a_json_object_a_line() {
    let difference = Books::new(true).wrong.lock().remove(1);
    assert_eq!(
        Line::Difference(difference).to_json(),
        r#"{"byEvents":{"credits":30,"events":3},"day":"2026-11-24","eventType":"structuring_diagnose","kind":"rollup","organizationId":"acme","stored":{"credits":32,"events":3},"userId":"alice"}"#
    );
    let total: serde_json::Value = serde_json::from_str(&Line::Total(Total::default()).to_json()).unwrap();
    assert_eq!(
        (&total["kind"], &total["unexplained"], &total["journal"]["gatewayRuns"]),
        (&"total".into(), &0.into(), &false.into())
    );
}
