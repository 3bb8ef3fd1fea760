//! What reconciliation must do on every database.

use std::sync::Arc;

use ledger::{Balance, Credits, OrganizationId, Outcome, Period, UsageEvent};

use super::Fresh;
use super::cases::{acme, at, change, event, id};
use crate::{Compared, Difference, Repaired, Store};

fn november() -> Period {
    id("2026-11")
}

fn balance(used: i64, events: u64, calls: u64) -> Balance {
    Balance { used: Credits::from_micros(used), events, calls, ..Balance::default() }
}

/// Three organisations in November, one of them in October too; one call was not captured.
async fn with_events(fresh: &Fresh) -> Vec<UsageEvent> {
    let voided = UsageEvent { outcome: Outcome::Voided, ..event("beta", "bob", "2026-11-30T23:59:59.999Z", 0) };
    let events = vec![
        event("acme", "alice", "2026-10-31T23:59:59.999Z", 1),
        event("acme", "alice", "2026-11-01T00:00:00Z", 20),
        event("acme", "alan", "2026-11-02T08:00:00Z", 300),
        event("beta", "bob", "2026-11-30T00:00:00Z", 4_000),
        voided,
        event("gamma", "gina", "2026-11-15T12:00:00Z", 50_000),
    ];
    assert_eq!(fresh.store.apply(&events).await.unwrap(), 6);
    events
}

async fn compared(store: &dyn Store, of: Option<&str>) -> (Compared, Vec<String>) {
    let mut told = Vec::new();
    let of: Option<OrganizationId> = of.map(id);
    let compared = store.compare(november(), of.as_ref(), &mut |difference| told.push(shown(&difference))).await;
    (compared.unwrap(), told)
}

fn shown(difference: &Difference) -> String {
    match difference {
        Difference::Balance(it) => {
            let sums = [it.by_events, it.stored].map(|sum| (sum.used.micros(), sum.events, sum.calls));
            format!("{} {}: {:?} not {:?}", it.organization_id, it.period, sums[0], sums[1])
        }
        Difference::Rollup(it) => {
            let sums = [it.by_events, it.stored].map(|sum| (sum.credits.micros(), sum.events));
            format!("{} {} {}: {:?} not {:?}", it.organization_id, it.day, it.user_id, sums[0], sums[1])
        }
    }
}

pub(super) async fn books_that_are_sound_show_no_difference(fresh: Fresh) {
    assert_eq!(fresh.store.span(None).await.unwrap(), None);
    with_events(&fresh).await;
    assert_eq!(fresh.store.span(None).await.unwrap(), Some((id("2026-10"), november())));
    assert_eq!(fresh.store.span(Some(&id("beta"))).await.unwrap(), Some((november(), november())));
    let all = Compared { events_kept: true, organizations: 3, by_events: balance(54_320, 5, 4) };
    assert_eq!(compared(&*fresh.store, None).await, (all, Vec::new()));
    let one = Compared { events_kept: true, organizations: 1, by_events: balance(4_000, 2, 1) };
    assert_eq!(compared(&*fresh.store, Some("beta")).await, (one, Vec::new()));
    let nothing = fresh.store.repair(&id("beta"), november(), &change()).await.unwrap();
    assert_eq!(nothing, Repaired::default());
    assert_eq!(fresh.store.revision().await.unwrap(), 0, "what changes nothing leaves no trace");
}

/// Wrong in each way that there is: another sum, another count, missing, in excess.
const MEDDLED: &str = "
    UPDATE balances SET used_micros = used_micros + 7 WHERE organization_id = 'acme' AND period_start_ms = 1793491200000;
    DELETE FROM balances WHERE organization_id = 'gamma';
    INSERT INTO balances VALUES ('nobody', 1793491200000, 9, 1, 1, 0);
    DELETE FROM daily_rollups WHERE organization_id = 'acme' AND user_id = 'alan';
    UPDATE daily_rollups SET events = events + 1 WHERE organization_id = 'beta';
    INSERT INTO daily_rollups VALUES ('nobody', 1793491200000, 'x', 'nora', 9, 1)";

pub(super) async fn what_differs_from_the_events_is_told_and_nothing_else(fresh: Fresh) {
    with_events(&fresh).await;
    fresh.meddle(MEDDLED).await;
    let (counted, told) = compared(&*fresh.store, None).await;
    let want = [
        "acme 2026-11: (320, 2, 2) not (327, 2, 2)",
        "acme 2026-11-02 alan: (300, 1) not (0, 0)",
        "beta 2026-11-30 bob: (4000, 2) not (4000, 3)",
        "gamma 2026-11: (50000, 1, 1) not (0, 0, 0)",
        "nobody 2026-11: (0, 0, 0) not (9, 1, 1)",
        "nobody 2026-11-01 nora: (0, 0) not (9, 1)",
    ];
    assert_eq!(told, want);
    assert_eq!(counted, Compared { events_kept: true, organizations: 4, by_events: balance(54_320, 5, 4) });
    assert_eq!(compared(&*fresh.store, Some("beta")).await.1, [want[2]]);
}

pub(super) async fn a_repair_writes_the_books_anew_and_leaves_an_audit_entry(fresh: Fresh) {
    let events = with_events(&fresh).await;
    fresh.store.put_organization(&acme("free"), &change()).await.unwrap();
    fresh.meddle(MEDDLED).await;
    let repair = async |of: &str| fresh.store.repair(&id(of), november(), &change()).await.unwrap();
    let both = Repaired { balance: Some((balance(327, 2, 2), balance(320, 2, 2))), rollups: 1 };
    assert_eq!(repair("acme").await, both);
    assert_eq!(repair("beta").await, Repaired { balance: None, rollups: 1 });
    let missing = Repaired { balance: Some((Balance::default(), balance(50_000, 1, 1))), rollups: 0 };
    assert_eq!(repair("gamma").await, missing);
    let excess = Repaired { balance: Some((balance(9, 1, 1), Balance::default())), rollups: 1 };
    assert_eq!(repair("nobody").await, excess);
    assert_eq!(compared(&*fresh.store, None).await.1, Vec::<String>::new());
    let october = fresh.store.balance(&id("acme"), id("2026-10")).await.unwrap();
    assert_eq!(october, balance(1, 1, 1), "other periods stay");
    for event in events {
        assert_eq!(fresh.store.event(&event.organization_id, event.id).await.unwrap(), Some(event));
    }
    let entry = fresh.store.audit(&id("acme"), None, 1).await.unwrap().remove(0);
    assert_eq!((entry.action.as_str(), entry.target.as_str()), ("books.repair", "period:2026-11"));
    let values = [entry.old_value, entry.new_value].map(|value| value.to_string());
    assert_eq!(values[0], r#"{"adjusted":0,"calls":2,"events":2,"rollupCredits":0,"rollupEvents":0,"used":0.000327}"#);
    assert_eq!(
        values[1],
        r#"{"adjusted":0,"calls":2,"events":2,"rollupCredits":0.0003,"rollupEvents":1,"used":0.00032}"#
    );
}

/// Adds events, some at a time, until it has added so many.
fn adding(store: &Arc<dyn Store>, batches: usize) -> tokio::task::JoinHandle<()> {
    let store = Arc::clone(store);
    tokio::spawn(async move {
        for number in 0..batches {
            let organization = ["acme", "beta", "gamma"][number % 3];
            let when = if number % 2 == 0 { "2026-11-24T08:00:00Z" } else { "2026-11-25T08:00:00Z" };
            let events: Vec<_> = (0..5).map(|_| event(organization, "alice", when, 10)).collect();
            store.apply(&events).await.unwrap();
        }
    })
}

pub(super) async fn books_are_sound_at_every_moment_while_events_are_added(fresh: Fresh) {
    let adding = adding(&fresh.store, 60);
    let mut seen = std::collections::BTreeSet::new();
    while !adding.is_finished() {
        let (counted, told) = compared(&*fresh.store, None).await;
        assert_eq!(told, Vec::<String>::new());
        seen.insert(counted.by_events.events);
    }
    adding.await.unwrap();
    assert!(seen.len() > 1, "it was looked at while events were added: {seen:?}");
    assert_eq!(compared(&*fresh.store, None).await.0.by_events, balance(3_000, 300, 300));
}

pub(super) async fn a_repair_beside_events_that_arrive_loses_none_of_them(fresh: Fresh) {
    with_events(&fresh).await;
    let adding = adding(&fresh.store, 60);
    let mut repairs = 0;
    while !adding.is_finished() || repairs == 0 {
        fresh.meddle("UPDATE daily_rollups SET events = events + 1 WHERE organization_id = 'acme'").await;
        let repaired = fresh.store.repair(&id("acme"), november(), &change()).await.unwrap();
        assert!(repaired.balance.is_none() && repaired.rollups > 0, "{repaired:?}");
        repairs += 1;
    }
    adding.await.unwrap();
    assert_eq!(compared(&*fresh.store, None).await.1, Vec::<String>::new());
    assert_eq!(fresh.store.balance(&id("acme"), november()).await.unwrap(), balance(1_320, 102, 102));
    assert_eq!(november().start(), at("2026-11-01T00:00:00Z"));
}
