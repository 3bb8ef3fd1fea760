//! What adjustments must be on every database.

use std::sync::Arc;

use ledger::{
    Adjusted, AdjustmentRefused, Change, Credits, HistoryFilter, NewAdjustment, NewOrganization, Outcome, PageRequest,
    Period, UsageEvent, UsageLimits,
};

use super::Fresh;
use super::cases::{acme, at, change, event, id};
use crate::{Difference, Store};

const NOW: &str = "2026-11-24T08:00:00Z";

pub(super) fn whole(credits: i64) -> Credits {
    Credits::from_whole(credits).unwrap()
}

fn november() -> Period {
    id("2026-11")
}

/// An adjustment of Acme's.
fn adjustment(key: &str, credits: i64) -> NewAdjustment {
    NewAdjustment {
        organization_id: id("acme"),
        key: key.into(),
        credits: whole(credits),
        reason: "the answer was empty".into(),
        adjusts: None,
        user_id: None,
        request_id: id("req_1"),
        endpoint: "/adjustments",
    }
}

/// Acme with a limit of 100 credits.
async fn with_acme(fresh: &Fresh) {
    let limits = UsageLimits { monthly_credits: Some(ledger::Limit::Credits(whole(100))), ..UsageLimits::default() };
    let acme = NewOrganization { usage_limits: Some(limits), ..acme("free") };
    fresh.store.put_organization(&acme, &change()).await.unwrap();
}

async fn made(store: &dyn Store, new: &NewAdjustment) -> UsageEvent {
    match store.adjust(new, &change()).await.unwrap() {
        Adjusted::Made(event) => event,
        other => panic!("{other:?}"),
    }
}

async fn used(store: &dyn Store, period: Period) -> (i64, u64, u64, i64) {
    let balance = store.balance(&id("acme"), period).await.unwrap();
    (balance.used.micros() / 1_000_000, balance.events, balance.calls, balance.adjusted.micros() / 1_000_000)
}

pub(super) async fn an_adjustment_is_an_event_of_its_period_and_of_the_user_it_names(fresh: Fresh) {
    with_acme(&fresh).await;
    let charge = event("acme", "alice", "2026-10-30T08:00:00Z", 28_000_000);
    let call = event("acme", "bob", "2026-11-01T08:00:00Z", 5_000_000);
    fresh.store.apply(&[charge.clone(), call]).await.unwrap();
    let of_event = NewAdjustment { adjusts: Some(charge.id), ..adjustment("a", -28) };
    let given = made(&*fresh.store, &of_event).await;
    assert_eq!((given.user_id.as_str(), given.outcome, given.credits), ("alice", Outcome::Adjusted, whole(-28)));
    assert_eq!((given.period(), given.id.moment()), (november(), Some(at(NOW))));
    let named = made(&*fresh.store, &NewAdjustment { user_id: Some(id("bob")), ..adjustment("b", 2) }).await;
    let neither = made(&*fresh.store, &adjustment("c", -1)).await;
    assert_eq!((named.user_id.as_str(), neither.user_id.as_str()), ("bob", "op"));
    // What was settled stays as it was; the present month is below nothing.
    assert_eq!(used(&*fresh.store, id("2026-10")).await, (28, 1, 1, 0));
    assert_eq!(used(&*fresh.store, november()).await, (5 - 28 + 2 - 1, 4, 1, -27));
    assert_eq!(fresh.store.event(&id("acme"), charge.id).await.unwrap(), Some(charge.clone()));
    assert_eq!(fresh.store.event(&id("acme"), given.id).await.unwrap(), Some(given.clone()));
    let report = fresh.store.report(&id("acme"), november(), None).await.unwrap();
    let by_user: Vec<_> =
        report.by_user.iter().map(|user| (user.user_id.as_str(), user.credits.micros() / 1_000_000)).collect();
    assert_eq!((report.credits, by_user), (whole(-22), vec![("bob", 7), ("op", -1), ("alice", -28)]));
    let first_page = PageRequest { page: 1, limit: 50 };
    let page = fresh.store.history(&id("acme"), &HistoryFilter::default(), first_page).await.unwrap();
    assert_eq!((page.summary.total_credits, page.summary.total_events), (whole(6), 5));
    let entry = fresh.store.audit(&id("acme"), None, 1).await.unwrap().remove(0);
    assert_eq!((entry.action.as_str(), entry.target), ("adjustment.make", format!("event:{}", neither.id)));
    assert_eq!(entry.new_value["reason"], "the answer was empty");
}

pub(super) async fn a_key_names_one_adjustment_for_ever(fresh: Fresh) {
    with_acme(&fresh).await;
    let first = made(&*fresh.store, &adjustment("k", -5)).await;
    let later = Change { at: at("2026-12-24T08:00:00Z"), ..change() };
    let again = fresh.store.adjust(&adjustment("k", -5), &later).await.unwrap();
    assert_eq!(again, Adjusted::Repeated(first.clone()));
    let others = [
        adjustment("k", -6),
        NewAdjustment { reason: "another".into(), ..adjustment("k", -5) },
        NewAdjustment { user_id: Some(id("bob")), ..adjustment("k", -5) },
        NewAdjustment { adjusts: Some(first.id), ..adjustment("k", -5) },
    ];
    for other in others {
        let got = fresh.store.adjust(&other, &change()).await.unwrap();
        assert_eq!(got, Adjusted::Refused(AdjustmentRefused::KeyReused), "{other:?}");
    }
    fresh
        .store
        .put_organization(&NewOrganization { organization_id: id("globex"), ..acme("free") }, &change())
        .await
        .unwrap();
    let elsewhere = made(&*fresh.store, &NewAdjustment { organization_id: id("globex"), ..adjustment("k", -6) }).await;
    assert_ne!(elsewhere.id, first.id);
    assert_eq!(used(&*fresh.store, november()).await, (-5, 1, 0, -5));
    assert_eq!(used(&*fresh.store, id("2026-12")).await, (0, 0, 0, 0));
    let nobody = NewAdjustment { organization_id: id("nobody"), ..adjustment("k", -5) };
    let got = fresh.store.adjust(&nobody, &change()).await.unwrap();
    assert_eq!(got, Adjusted::Refused(AdjustmentRefused::NoOrganization));
}

pub(super) async fn no_more_is_given_back_than_an_event_was_charged(fresh: Fresh) {
    with_acme(&fresh).await;
    let charge = event("acme", "alice", "2026-11-01T08:00:00Z", 28_000_000);
    let strange = event("globex", "alice", "2026-11-01T08:00:00Z", 28_000_000);
    fresh.store.apply(&[charge.clone(), strange.clone()]).await.unwrap();
    let of = |key: &str, credits: i64| NewAdjustment { adjusts: Some(charge.id), ..adjustment(key, credits) };
    let more = |left| Adjusted::Refused(AdjustmentRefused::MoreThanCharged { left: whole(left) });
    assert_eq!(fresh.store.adjust(&of("a", -29), &change()).await.unwrap(), more(28));
    let first = made(&*fresh.store, &of("a", -20)).await;
    assert_eq!(fresh.store.adjust(&of("b", -9), &change()).await.unwrap(), more(8));
    made(&*fresh.store, &of("b", -8)).await;
    let micro = NewAdjustment { credits: Credits::from_micros(-1), ..of("c", 1) };
    assert_eq!(fresh.store.adjust(&micro, &change()).await.unwrap(), more(0));
    // What was given in error is taken again, by an adjustment of the adjustment or of the event.
    made(&*fresh.store, &NewAdjustment { adjusts: Some(first.id), ..adjustment("d", 20) }).await;
    let of_given = NewAdjustment { adjusts: Some(first.id), ..adjustment("e", -21) };
    assert_eq!(fresh.store.adjust(&of_given, &change()).await.unwrap(), more(20));
    let unknown = NewAdjustment { adjusts: Some(strange.id), ..adjustment("f", -1) };
    let got = fresh.store.adjust(&unknown, &change()).await.unwrap();
    assert_eq!(got, Adjusted::Refused(AdjustmentRefused::NoEvent), "another organisation's event is none");
    assert_eq!(used(&*fresh.store, november()).await, (20, 4, 1, -8));
}

pub(super) async fn no_more_is_taken_than_is_left(fresh: Fresh) {
    with_acme(&fresh).await;
    fresh.store.apply(&[event("acme", "alice", "2026-11-01T08:00:00Z", 40_000_000)]).await.unwrap();
    fresh
        .meddle(
            "INSERT INTO leases (organization_id, period_start_ms, instance_id, granted_micros, granted_calls, charged_micros,
            charged_calls, epoch, expires_at_ms, yielded_at_ms, strikes, struck_at_ms)
            VALUES ('acme', 1793491200000, 'i', 15000000, 0, 5000000, 0, 1, 0, 0, 0, 0)",
        )
        .await;
    assert_eq!(november().start().millis(), 1_793_491_200_000);
    let over = |remaining| Adjusted::Refused(AdjustmentRefused::OverLimit { remaining: whole(remaining) });
    assert_eq!(fresh.store.adjust(&adjustment("a", 51), &change()).await.unwrap(), over(50), "10 of 60 are leased");
    made(&*fresh.store, &adjustment("a", 50)).await;
    assert_eq!(fresh.store.adjust(&adjustment("b", 1), &change()).await.unwrap(), over(0));
    made(&*fresh.store, &adjustment("b", -500)).await;
    made(&*fresh.store, &adjustment("c", 500)).await;
    assert_eq!(used(&*fresh.store, november()).await, (90, 4, 1, 50));
    fresh.meddle("UPDATE balances SET used_micros = 9223372036854775807").await;
    let unlimited = UsageLimits { monthly_credits: Some(ledger::Limit::Unlimited), ..UsageLimits::default() };
    let acme = NewOrganization { usage_limits: Some(unlimited), ..acme("free") };
    fresh.store.put_organization(&acme, &change()).await.unwrap();
    let past = fresh.store.adjust(&adjustment("d", 1), &change()).await.unwrap();
    assert_eq!(past, Adjusted::Refused(AdjustmentRefused::OutOfRange));
}

pub(super) async fn adjustments_at_once_take_turns(fresh: Fresh) {
    with_acme(&fresh).await;
    let takes: Vec<_> = (0..24)
        .map(|number| {
            let store = Arc::clone(&fresh.store);
            // Every key comes twice.
            let new = adjustment(&format!("k{}", number / 2), 10);
            tokio::spawn(async move { store.adjust(&new, &change()).await.unwrap() })
        })
        .collect();
    let mut counts = [0; 3];
    for take in takes {
        match take.await.unwrap() {
            Adjusted::Made(_) => counts[0] += 1,
            Adjusted::Repeated(_) => counts[1] += 1,
            Adjusted::Refused(why) => {
                assert_eq!(why, AdjustmentRefused::OverLimit { remaining: Credits::ZERO });
                counts[2] += 1;
            }
        }
    }
    assert_eq!(counts, [10, 10, 4], "ten of 10 credits each fit into 100");
    assert_eq!(used(&*fresh.store, november()).await, (100, 10, 0, 100));
}

pub(super) async fn books_with_adjustments_are_sound_and_repaired(fresh: Fresh) {
    with_acme(&fresh).await;
    fresh.store.apply(&[event("acme", "alice", "2026-11-01T08:00:00Z", 9_000_000)]).await.unwrap();
    made(&*fresh.store, &adjustment("a", -30)).await;
    let mut told = Vec::new();
    let compared = fresh.store.compare(november(), None, &mut |difference| told.push(difference)).await.unwrap();
    assert_eq!((compared.by_events.used, compared.by_events.adjusted), (whole(-21), whole(-30)));
    assert!(told.is_empty(), "{told:?}");
    fresh.meddle("UPDATE balances SET adjusted_micros = 0").await;
    fresh.store.compare(november(), None, &mut |difference| told.push(difference)).await.unwrap();
    assert!(matches!(told.as_slice(), [Difference::Balance(_)]), "{told:?}");
    fresh.store.repair(&id("acme"), november(), &change()).await.unwrap();
    assert_eq!(used(&*fresh.store, november()).await, (-21, 2, 1, -30));
}

pub(super) async fn adjustments_are_listed_newest_first(fresh: Fresh) {
    with_acme(&fresh).await;
    let mut want = Vec::new();
    for number in 1..=5 {
        let now = Change { at: at(&format!("2026-11-0{number}T08:00:00Z")), ..change() };
        match fresh.store.adjust(&adjustment(&format!("k{number}"), -number), &now).await.unwrap() {
            Adjusted::Made(event) => want.insert(0, event),
            other => panic!("{other:?}"),
        }
    }
    let first = fresh.store.adjustments(&id("acme"), None, 3).await.unwrap();
    let rest = fresh.store.adjustments(&id("acme"), Some(first[2].id), 3).await.unwrap();
    assert_eq!((first.len(), rest.len()), (3, 2));
    assert_eq!([first, rest].concat(), want);
    assert!(fresh.store.adjustments(&id("globex"), None, 3).await.unwrap().is_empty());
}
