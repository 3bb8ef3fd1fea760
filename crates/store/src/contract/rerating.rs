//! What recorded calls and their re-rating must be on every database.

use std::sync::Arc;

use ledger::{
    AdjustmentRefused, Change, Credits, Limit, NewOrganization, NewPrice, Outcome, Period, PluginIdentity, Rerated,
    Rerating, UsageEvent, UsageLimits,
};

use super::Fresh;
use super::adjusting::whole;
use super::cases::{acme, at, change, event, id};
use crate::Store;

fn by(plan: &str) -> Rerating {
    Rerating {
        plan: plan.into(),
        plugin: PluginIdentity { name: "new".into(), version: "2".into(), sha256: "22".into() },
        reason: "priced too high".into(),
        request_id: id("rerate-1"),
    }
}

/// A call that would cost so many credits.
fn price(of: &UsageEvent, charged: i64, price: i64) -> NewPrice {
    NewPrice {
        event_id: of.id,
        organization_id: of.organization_id.clone(),
        event_type: of.event_type.clone(),
        charged: whole(charged),
        price: whole(price),
        difference: whole(price - charged),
    }
}

async fn with(fresh: &Fresh, organization: &str, limit: i64) {
    let limits = UsageLimits { monthly_credits: Some(Limit::Credits(whole(limit))), ..UsageLimits::default() };
    let organization =
        NewOrganization { organization_id: id(organization), usage_limits: Some(limits), ..acme("free") };
    fresh.store.put_organization(&organization, &change()).await.unwrap();
}

async fn used(store: &dyn Store, of: &str) -> (i64, u64) {
    let balance = store.balance(&id(of), id("2026-11")).await.unwrap();
    (balance.used.micros() / 1_000_000, balance.events)
}

pub(super) async fn recorded_calls_come_in_the_order_of_their_ids_whoever_made_them(fresh: Fresh) {
    let mut events = Vec::new();
    for (number, when) in [
        "2026-09-30T23:59:59.999Z",
        "2026-10-01T00:00:00Z",
        "2026-10-15T12:00:00Z",
        "2026-10-15T12:00:00Z",
        "2026-10-31T23:59:59.999Z",
        "2026-11-01T00:00:00Z",
        "2026-11-30T23:59:59.999Z",
        "2026-12-01T00:00:00Z",
    ]
    .into_iter()
    .enumerate()
    {
        events.push(event(if number % 2 == 0 { "acme" } else { "globex" }, "alice", when, 1_000_000));
    }
    events.sort_by_key(|event| event.id);
    let mut shuffled = events.clone();
    shuffled.reverse();
    fresh.store.apply(&shuffled).await.unwrap();
    let months = |from: &str, to: &str| (id::<Period>(from).start(), id::<Period>(to).end());
    let globex = id("globex");
    for of in [None, Some(&globex)] {
        let want: Vec<_> = events[1..7].iter().filter(|it| of.is_none_or(|of| it.organization_id == *of)).collect();
        let range = months("2026-10", "2026-11");
        assert_eq!(fresh.store.recorded_count(of, range).await.unwrap(), u64::try_from(want.len()).unwrap());
        let (mut got, mut after) = (Vec::new(), None);
        loop {
            let page = fresh.store.recorded(of, range, after, 2).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            got.extend(page);
        }
        assert_eq!(got.iter().collect::<Vec<_>>(), want, "{of:?}");
    }
    assert!(fresh.store.recorded(None, months("2027-01", "2027-02"), None, 9).await.unwrap().is_empty());
    assert_eq!(fresh.store.recorded_count(None, months("2027-01", "2027-02")).await.unwrap(), 0);
}

pub(super) async fn what_priced_a_call_is_found_years_later(fresh: Fresh) {
    let call = event("acme", "alice", "2026-10-15T12:00:00Z", 1_000_000);
    fresh.store.apply(std::slice::from_ref(&call)).await.unwrap();
    assert_eq!(fresh.store.recorded_event(call.id).await.unwrap(), Some(call));
    let strange = event("acme", "alice", "2026-10-15T12:00:00Z", 1_000_000).id;
    assert_eq!(fresh.store.recorded_event(strange).await.unwrap(), None);
    let all = fresh.store.event_definitions().await.unwrap();
    let mut definition = all.iter().find(|it| it.event_type.as_str() == "structuring_diagnose").unwrap().clone();
    let mut want = vec![definition.clone()];
    for base in [20, 30] {
        definition.base_credits = whole(base);
        definition = fresh.store.put_event_definition(&definition, &change()).await.unwrap();
        want.push(definition.clone());
    }
    let ever = fresh.store.definitions_ever().await.unwrap();
    for version in want {
        assert!(ever.contains(&version), "version {} is known", version.version);
    }
}

pub(super) async fn new_prices_are_made_up_once_by_adjustments_beside_the_calls(fresh: Fresh) {
    with(&fresh, "acme", 100).await;
    with(&fresh, "globex", 100).await;
    let calls = [
        event("acme", "alice", "2026-10-30T08:00:00Z", 28_000_000),
        event("acme", "bob", "2026-11-01T08:00:00Z", 10_000_000),
        event("globex", "eve", "2026-11-02T08:00:00Z", 5_000_000),
    ];
    fresh.store.apply(&calls).await.unwrap();
    let prices = [price(&calls[0], 28, 14), price(&calls[1], 10, 12), price(&calls[2], 5, 1)];
    assert_eq!(fresh.store.rerate(&by("p"), &prices, &change()).await.unwrap(), [Rerated::Made; 3]);
    assert_eq!((used(&*fresh.store, "acme").await, used(&*fresh.store, "globex").await), ((10 - 14 + 2, 3), (1, 2)));
    let later = Change { at: at("2026-12-24T08:00:00Z"), ..change() };
    assert_eq!(fresh.store.rerate(&by("p"), &prices, &later).await.unwrap(), [Rerated::Repeated; 3]);
    assert_eq!((used(&*fresh.store, "acme").await, used(&*fresh.store, "globex").await), ((-2, 3), (1, 2)));
    // The call is as it was; beside it is what refers to it and says why.
    assert_eq!(fresh.store.event(&id("acme"), calls[0].id).await.unwrap(), Some(calls[0].clone()));
    let beside = fresh.store.adjustments(&id("acme"), None, 10).await.unwrap();
    let of_first = beside.iter().find(|it| it.adjustment.as_ref().unwrap().adjusts == Some(calls[0].id)).unwrap();
    assert_eq!(
        (of_first.outcome, of_first.credits, of_first.user_id.as_str()),
        (Outcome::Adjusted, whole(-14), "alice")
    );
    assert_eq!(of_first.plugin.name, "new");
    let lines: Vec<_> = of_first.items.iter().map(|item| (item.label.as_str(), item.credits)).collect();
    assert_eq!(lines, [("charged before", whole(-28)), ("new price", whole(14))]);
    let entry = fresh.store.audit(&id("acme"), None, 1).await.unwrap().remove(0);
    assert_eq!(
        (entry.action.as_str(), &entry.new_value["events"], &entry.new_value["credits"]),
        ("adjustment.rerate", &serde_json::json!(2), &serde_json::json!(-12))
    );
    let (first, last) = (calls[0].id, calls[2].id);
    let mut sums = fresh.store.rerated(first, last).await.unwrap();
    sums.sort_unstable();
    assert_eq!(sums, [(calls[0].id, whole(-14)), (calls[1].id, whole(2)), (calls[2].id, whole(-4))]);
    assert_eq!(fresh.store.rerated(calls[1].id, calls[1].id).await.unwrap(), [(calls[1].id, whole(2))]);
    let mut told = Vec::new();
    fresh.store.compare(id("2026-11"), None, &mut |difference| told.push(difference)).await.unwrap();
    assert!(told.is_empty(), "{told:?}");
}

pub(super) async fn of_two_plans_for_one_call_one_is_applied(fresh: Fresh) {
    with(&fresh, "acme", 100).await;
    let call = event("acme", "alice", "2026-11-01T08:00:00Z", 28_000_000);
    let voided = UsageEvent {
        outcome: Outcome::Voided,
        credits: Credits::ZERO,
        ..event("acme", "alice", "2026-11-01T08:00:00Z", 0)
    };
    let strange = event("globex", "eve", "2026-11-01T08:00:00Z", 28_000_000);
    fresh.store.apply(&[call.clone(), voided.clone(), strange.clone()]).await.unwrap();
    let refused = |why| [Rerated::Refused(why)];
    let rerate = async |plan: &str, price: NewPrice| fresh.store.rerate(&by(plan), &[price], &change()).await.unwrap();
    // The same plan twice in one batch: once.
    let twice = [price(&call, 28, 20), price(&call, 28, 20)];
    let got = fresh.store.rerate(&by("a"), &twice, &change()).await.unwrap();
    assert_eq!(got, [Rerated::Made, Rerated::Repeated]);
    let other = AdjustmentRefused::OtherPrice { rated: whole(20) };
    assert_eq!(rerate("b", price(&call, 28, 10)).await, refused(other));
    assert_eq!(rerate("c", price(&call, 20, 28)).await, [Rerated::Made], "and back again");
    assert_eq!(rerate("a", price(&call, 28, 20)).await, [Rerated::Repeated]);
    assert_eq!(rerate("d", price(&voided, 0, 9)).await, refused(AdjustmentRefused::NoEvent));
    assert_eq!(
        rerate("d", NewPrice { organization_id: id("acme"), ..price(&strange, 28, 9) }).await,
        refused(AdjustmentRefused::NoEvent)
    );
    assert_eq!(rerate("d", price(&strange, 28, 9)).await, refused(AdjustmentRefused::NoOrganization));
    assert!(fresh.store.rerate(&by("d"), &[], &change()).await.unwrap().is_empty());
    assert_eq!(used(&*fresh.store, "acme").await, (28, 4));
}

pub(super) async fn what_a_re_rating_takes_must_be_left(fresh: Fresh) {
    with(&fresh, "acme", 100).await;
    let calls: Vec<UsageEvent> =
        (1..=3).map(|day| event("acme", "alice", &format!("2026-11-0{day}T08:00:00Z"), 30_000_000)).collect();
    fresh.store.apply(&calls).await.unwrap();
    // 90 of 100 are used. What is given comes first: 5 back and 15 taken fit, the other one does not.
    let prices = [price(&calls[0], 30, 45), price(&calls[1], 30, 46), price(&calls[2], 30, 25)];
    let over = Rerated::Refused(AdjustmentRefused::OverLimit { remaining: Credits::ZERO });
    let got = fresh.store.rerate(&by("p"), &prices, &change()).await.unwrap();
    assert_eq!(got, [Rerated::Made, over, Rerated::Made]);
    assert_eq!(used(&*fresh.store, "acme").await, (100, 5));
    // What an operator gave back by hand is not given back again.
    let by_hand = ledger::NewAdjustment {
        organization_id: id("acme"),
        key: "k".into(),
        credits: whole(-30),
        reason: "the answer was empty".into(),
        adjusts: Some(calls[1].id),
        user_id: None,
        expires_at: None,
        request_id: id("req_1"),
        endpoint: "/adjustments",
    };
    fresh.store.adjust(&by_hand, &change()).await.unwrap();
    let got = fresh.store.rerate(&by("q"), &[price(&calls[1], 30, 29)], &change()).await.unwrap();
    assert_eq!(got, [Rerated::Refused(AdjustmentRefused::MoreThanCharged { left: Credits::ZERO })]);
}

pub(super) async fn re_ratings_at_once_take_turns(fresh: Fresh) {
    with(&fresh, "acme", 100).await;
    let calls: Vec<UsageEvent> = (0..40).map(|_| event("acme", "alice", "2026-11-01T08:00:00Z", 1_000_000)).collect();
    fresh.store.apply(&calls).await.unwrap();
    let prices: Arc<Vec<NewPrice>> = Arc::new(calls.iter().map(|call| price(call, 1, 2)).collect());
    let both: Vec<_> = ["a", "a", "b", "b"]
        .into_iter()
        .map(|plan| {
            let (store, prices) = (Arc::clone(&fresh.store), Arc::clone(&prices));
            tokio::spawn(async move { store.rerate(&by(plan), &prices, &change()).await.unwrap() })
        })
        .collect();
    let mut made = 0;
    for rerated in both {
        made += rerated.await.unwrap().iter().filter(|it| **it == Rerated::Made).count();
    }
    assert_eq!((made, used(&*fresh.store, "acme").await), (40, (80, 80)));
}
