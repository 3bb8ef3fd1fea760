//! Keys of calls: one is first, and what it got is there for the rest.

use std::sync::Arc;

use ledger::{
    CallKey, Claimed, Credits, InstanceId, KeptAnswer, KeyClaim, KeyLimits, Outcome, Timestamp, UsageEvent,
    UsageEventId,
};

use super::Fresh;
use super::cases::{at, event, id};
use crate::Occupancy;

const NOW: &str = "2026-11-24T08:00:00Z";
const ROOMY: KeyLimits = KeyLimits { keys: 1_000, answer_bytes: 1_000_000 };

fn call(organization: &str, endpoint: &str, key: &str) -> CallKey {
    CallKey { organization_id: id(organization), endpoint: endpoint.into(), key: id(key) }
}

fn claim(key: &str) -> KeyClaim {
    KeyClaim {
        call: call("acme", "/a", key),
        fingerprint: "same".into(),
        event: UsageEventId::new(at(NOW)),
        instance: None,
        at: at(NOW),
        until: at(NOW).plus_millis(1_000),
    }
}

async fn taken(fresh: &Fresh, claim: &KeyClaim) -> (UsageEventId, KeptAnswer) {
    match fresh.store.claim_key(claim, ROOMY).await.unwrap() {
        Claimed::Taken(taken) => (taken.event, taken.answer),
        other => panic!("{other:?}"),
    }
}

/// The event that a claim names, with this outcome.
fn event_of(claim: &KeyClaim, outcome: Outcome, credits: i64) -> UsageEvent {
    let made = event("acme", "ann", NOW, credits);
    UsageEvent { id: claim.event, outcome, credits: Credits::from_micros(credits), ..made }
}

pub(super) async fn of_many_who_want_a_key_exactly_one_is_first(fresh: Fresh) {
    let beside = fresh.beside(Occupancy::Companion).await.unwrap();
    let stores = [Arc::clone(&fresh.store), beside];
    let claims: Vec<KeyClaim> = (0..40).map(|_| claim("k")).collect();
    let asking = claims.iter().zip(stores.iter().cycle()).map(|(claim, store)| {
        let (claim, store) = (claim.clone(), Arc::clone(store));
        tokio::spawn(async move { (claim.event, store.claim_key(&claim, ROOMY).await.unwrap()) })
    });
    let (mut first, mut told) = (Vec::new(), Vec::new());
    for asked in asking.collect::<Vec<_>>() {
        match asked.await.unwrap() {
            (event, Claimed::First) => first.push(event),
            (_, Claimed::Taken(taken)) => told.push(taken.event),
            (_, Claimed::Full) => panic!("there is room"),
        }
    }
    assert_eq!((first.len(), told.len()), (1, 39));
    assert!(told.iter().all(|event| *event == first[0]), "all are told of the one that was first");
    // Asked again, as after a lost connection, it is still first.
    let again = KeyClaim { event: first[0], ..claim("k") };
    assert_eq!(fresh.store.claim_key(&again, ROOMY).await.unwrap(), Claimed::First);
}

pub(super) async fn a_key_names_one_call_of_one_organisation_and_route(fresh: Fresh) {
    for call in [call("acme", "/a", "k"), call("acme", "/a", "K"), call("acme", "/b", "k"), call("other", "/a", "k")] {
        let claim = KeyClaim { call, ..claim("k") };
        assert_eq!(fresh.store.claim_key(&claim, ROOMY).await.unwrap(), Claimed::First, "{claim:?}");
    }
}

pub(super) async fn an_answer_is_kept_for_those_who_come_later(fresh: Fresh) {
    let (whole, nothing) = (claim("whole"), claim("nothing"));
    let answer = "{\"body\":\"\\u0000 ü\"}";
    for (claim, answer) in [(&whole, Some(answer)), (&nothing, None)] {
        assert_eq!(fresh.store.claim_key(claim, ROOMY).await.unwrap(), Claimed::First);
        let until = at(NOW).plus_millis(5_000);
        let kept = fresh.store.keep_answer(&claim.call, claim.event, answer, until, ROOMY).await.unwrap().unwrap();
        let want = answer.map_or(KeptAnswer::Dropped, |answer| KeptAnswer::Whole(answer.into()));
        assert_eq!(kept, want);
        // Kept twice, as after a lost connection, it is kept once.
        assert_eq!(fresh.store.keep_answer(&claim.call, claim.event, answer, until, ROOMY).await.unwrap(), Some(kept));
    }
    let stranger = fresh.store.keep_answer(&whole.call, claim("x").event, Some("no"), at(NOW), ROOMY).await.unwrap();
    assert_eq!(stranger, None, "only whoever claimed a key has its answer kept");
    let fresh = fresh.reopened().await;
    let later = KeyClaim { at: at(NOW).plus_millis(4_999), ..claim("whole") };
    assert_eq!(taken(&fresh, &later).await, (whole.event, KeptAnswer::Whole(answer.into())));
    assert_eq!(taken(&fresh, &claim("nothing")).await, (nothing.event, KeptAnswer::Dropped));
}

pub(super) async fn a_key_is_free_again_where_its_call_was_not_charged(fresh: Fresh) {
    let (one, other) = (claim("k"), claim("k"));
    assert_eq!(fresh.store.claim_key(&one, ROOMY).await.unwrap(), Claimed::First);
    assert!(!fresh.store.free_key(&one.call, other.event).await.unwrap(), "nobody frees another one's claim");
    assert!(fresh.store.free_key(&one.call, one.event).await.unwrap());
    assert_eq!(fresh.store.claim_key(&other, ROOMY).await.unwrap(), Claimed::First);
    fresh.store.keep_answer(&other.call, other.event, Some("answer"), at(NOW), ROOMY).await.unwrap().unwrap();
    assert!(!fresh.store.free_key(&other.call, other.event).await.unwrap(), "what was answered stays");
}

pub(super) async fn a_key_that_is_past_its_end_is_taken_anew_and_cleaned_away(fresh: Fresh) {
    let one = claim("k");
    assert_eq!(fresh.store.claim_key(&one, ROOMY).await.unwrap(), Claimed::First);
    let later = |millis| KeyClaim { at: at(NOW).plus_millis(millis), until: at(NOW).plus_millis(9_000), ..claim("k") };
    assert_eq!(taken(&fresh, &later(999)).await.0, one.event);
    let next = later(1_000);
    assert_eq!(fresh.store.claim_key(&next, ROOMY).await.unwrap(), Claimed::First);
    for key in ["a", "b", "c"] {
        assert_eq!(fresh.store.claim_key(&claim(key), ROOMY).await.unwrap(), Claimed::First);
    }
    let delete = async |millis, limit| fresh.store.delete_ended_keys(at(NOW).plus_millis(millis), limit).await.unwrap();
    assert_eq!(delete(999, 10).await, 0);
    assert_eq!((delete(1_000, 2).await, delete(1_000, 2).await, delete(1_000, 2).await), (2, 1, 0));
    assert_eq!(taken(&fresh, &later(1_001)).await.0, next.event, "one that still stands was left alone");
}

pub(super) async fn an_organisation_has_no_more_keys_than_it_may(fresh: Fresh) {
    let two = KeyLimits { keys: 2, ..ROOMY };
    let ask = async |claim: &KeyClaim| fresh.store.claim_key(claim, two).await.unwrap();
    let first = claim("1");
    assert_eq!((ask(&first).await, ask(&claim("2")).await), (Claimed::First, Claimed::First));
    assert_eq!(ask(&claim("3")).await, Claimed::Full);
    assert_eq!(taken(&fresh, &claim("1")).await.0, first.event, "what it has stays its own");
    let other = KeyClaim { call: call("other", "/a", "3"), ..claim("3") };
    assert_eq!(ask(&other).await, Claimed::First, "others have their own");
    assert!(fresh.store.free_key(&first.call, first.event).await.unwrap());
    assert_eq!((ask(&claim("3")).await, ask(&claim("4")).await), (Claimed::First, Claimed::Full));
    let ended = at(NOW).plus_millis(1_000);
    assert_eq!(fresh.store.delete_ended_keys(ended, 10).await.unwrap(), 3);
    assert_eq!((ask(&claim("5")).await, ask(&claim("6")).await), (Claimed::First, Claimed::First));
    assert_eq!(ask(&claim("7")).await, Claimed::Full);
}

pub(super) async fn an_organisation_keeps_no_more_bytes_than_it_may(fresh: Fresh) {
    let ten = KeyLimits { answer_bytes: 10, ..ROOMY };
    let until = at(NOW).plus_millis(1_000);
    for (key, answer, fits) in [("1", "1234567", true), ("2", "1234", false), ("3", "123", true), ("4", "1", false)] {
        let claim = claim(key);
        assert_eq!(fresh.store.claim_key(&claim, ten).await.unwrap(), Claimed::First);
        let kept = fresh.store.keep_answer(&claim.call, claim.event, Some(answer), until, ten).await.unwrap();
        assert_eq!(matches!(kept, Some(KeptAnswer::Whole(_))), fits, "{answer}");
        assert_eq!(Some(taken(&fresh, &KeyClaim { event: UsageEventId::new(at(NOW)), ..claim }).await.1), kept);
    }
    assert_eq!(fresh.store.delete_ended_keys(until, 10).await.unwrap(), 4);
    let claim = claim("5");
    assert_eq!(fresh.store.claim_key(&claim, ten).await.unwrap(), Claimed::First);
    let kept = fresh.store.keep_answer(&claim.call, claim.event, Some("1234567890"), until, ten).await.unwrap();
    assert!(matches!(kept, Some(KeptAnswer::Whole(_))), "what is gone takes no room");
}

pub(super) async fn a_life_that_is_over_frees_what_was_not_charged(fresh: Fresh) {
    let (ours, theirs) = (InstanceId::new(Timestamp::from_millis(1)), InstanceId::new(Timestamp::from_millis(2)));
    let made = |key: &str| KeyClaim { instance: Some(ours), ..claim(key) };
    let [captured, voided, interrupted, charged, unheard, answered] =
        ["captured", "voided", "interrupted", "charged", "unheard", "answered"].map(made);
    let alive = KeyClaim { instance: Some(theirs), ..claim("alive") };
    let nameless = claim("nameless");
    for claim in [&captured, &voided, &interrupted, &charged, &unheard, &answered, &alive, &nameless] {
        assert_eq!(fresh.store.claim_key(claim, ROOMY).await.unwrap(), Claimed::First);
    }
    fresh.store.keep_answer(&answered.call, answered.event, Some("a"), answered.until, ROOMY).await.unwrap().unwrap();
    let events = [
        // An event that costs nothing was charged all the same.
        event_of(&captured, Outcome::Captured, 0),
        event_of(&voided, Outcome::Voided, 0),
        event_of(&interrupted, Outcome::Interrupted, 0),
        event_of(&charged, Outcome::Interrupted, 5),
    ];
    assert_eq!(fresh.store.apply(&events).await.unwrap(), 4);
    assert_eq!(fresh.store.free_keys_of(Some(ours)).await.unwrap(), 3);
    for (of, free) in [
        (&captured, false),
        (&voided, true),
        (&interrupted, true),
        (&charged, false),
        (&unheard, true),
        (&answered, false),
        (&alive, false),
        (&nameless, false),
    ] {
        let again = KeyClaim { event: UsageEventId::new(at(NOW)), ..of.clone() };
        let claimed = fresh.store.claim_key(&again, ROOMY).await.unwrap();
        assert_eq!(claimed == Claimed::First, free, "{:?}", of.call.key);
    }
    assert_eq!(fresh.store.free_keys_of(None).await.unwrap(), 1);
}
