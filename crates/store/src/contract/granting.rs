//! What grants must do on every database.

use ledger::{
    Adjusted, AdjustmentRefused, Change, CreditGrant, NewAdjustment, NewOrganization, Period, UsageEventId, UsageLimits,
};

use super::Fresh;
use super::adjusting::whole;
use super::cases::{acme, at, change, event, id};
use crate::Store;

/// A change at a moment.
fn on(moment: &str) -> Change {
    Change { at: at(moment), ..change() }
}

async fn with_acme(fresh: &Fresh) {
    let limits = UsageLimits { monthly_credits: Some(ledger::Limit::Credits(whole(100))), ..UsageLimits::default() };
    let acme = NewOrganization { usage_limits: Some(limits), ..acme("free") };
    fresh.store.put_organization(&acme, &change()).await.unwrap();
}

async fn grant(
    store: &dyn Store,
    key: &str,
    credits: i64,
    expires_at: &str,
) -> Result<UsageEventId, AdjustmentRefused> {
    let new = NewAdjustment {
        organization_id: id("acme"),
        key: key.into(),
        credits: whole(-credits),
        reason: "a top-up".into(),
        adjusts: None,
        user_id: Some(id(CreditGrant::USER)),
        expires_at: Some(at(expires_at)),
        request_id: id("req_1"),
        endpoint: "/grants",
    };
    match store.adjust(&new, &on("2026-11-10T08:00:00Z")).await.unwrap() {
        Adjusted::Made(event) | Adjusted::Repeated(event) => Ok(event.id),
        Adjusted::Refused(why) => Err(why),
    }
}

async fn moved(store: &dyn Store, period: &str, free: Option<i64>, moment: &str) -> bool {
    store.move_credit_grants(&id("acme"), id(period), free.map(whole), &on(moment)).await.unwrap()
}

/// Where the credits of the open grants are.
async fn open(store: &dyn Store) -> Vec<(String, i64)> {
    let grants = store.credit_grants(&id("acme")).await.unwrap();
    grants.iter().map(|grant| (grant.period.to_string(), grant.credits.micros() / 1_000_000)).collect()
}

async fn used(store: &dyn Store, period: &str) -> i64 {
    store.balance(&id("acme"), id(period)).await.unwrap().used.micros() / 1_000_000
}

fn in_month(period: &str, credits: i64) -> (String, i64) {
    (period.to_owned(), credits)
}

async fn is_sound(store: &dyn Store) {
    for period in ["2026-11", "2026-12", "2027-01"] {
        let mut told = Vec::new();
        store.compare(id::<Period>(period), None, &mut |difference| told.push(difference)).await.unwrap();
        assert!(told.is_empty(), "{told:?}");
    }
}

pub(super) async fn what_is_left_of_grants_goes_from_month_to_month_until_it_ends(fresh: Fresh) {
    with_acme(&fresh).await;
    let store = &*fresh.store;
    grant(store, "b", 50, "2027-01-05T00:00:00Z").await.unwrap();
    let first = grant(store, "a", 30, "2026-12-15T00:00:00Z").await.unwrap();
    assert_eq!(grant(store, "a", 30, "2026-12-15T00:00:00Z").await, Ok(first), "repeated, it is there once");
    assert_eq!(open(store).await, [in_month("2026-11", 30), in_month("2026-11", 50)]);
    // 100 of the plan and 20 of the grant that ends first.
    store.apply(&[event("acme", "alice", "2026-11-20T08:00:00Z", 120_000_000)]).await.unwrap();
    assert!(!moved(store, "2026-11", None, "2026-11-30T23:59:59.999Z").await, "nothing is due");
    assert_eq!(store.credit_grants_due(at("2026-11-30T23:59:59.999Z")).await.unwrap(), []);
    let next = at("2026-12-01T00:00:00Z");
    assert_eq!(store.credit_grants_due(next).await.unwrap(), [(id("acme"), id("2026-11"))]);
    assert!(moved(store, "2026-11", None, "2026-12-01T00:00:00Z").await);
    assert!(!moved(store, "2026-11", None, "2026-12-01T00:00:00Z").await, "it is moved once");
    assert_eq!(open(store).await, [in_month("2026-12", 10), in_month("2026-12", 50)]);
    assert_eq!((used(store, "2026-11").await, used(store, "2026-12").await), (100, -60));
    // One ends in the middle of a month in which 105 are spent: it had 5 of its 10 left.
    store.apply(&[event("acme", "alice", "2026-12-02T08:00:00Z", 105_000_000)]).await.unwrap();
    assert!(moved(store, "2026-12", None, "2026-12-15T00:00:00Z").await);
    assert_eq!(open(store).await, [in_month("2026-12", 50)]);
    assert_eq!(used(store, "2026-12").await, 105 - 60 + 5);
    // Nobody looked for two months: what ended meanwhile is taken where it was.
    assert!(moved(store, "2026-12", None, "2027-02-01T00:00:00Z").await);
    assert_eq!((open(store).await, used(store, "2026-12").await), (Vec::new(), 100));
    assert_eq!(store.credit_grants_due(at("2027-02-01T00:00:00Z")).await.unwrap(), []);
    is_sound(store).await;
}

pub(super) async fn what_is_leased_of_a_month_keeps_its_grants_there(fresh: Fresh) {
    with_acme(&fresh).await;
    let store = &*fresh.store;
    grant(store, "a", 30, "2027-12-15T00:00:00Z").await.unwrap();
    fresh
        .meddle(
            "INSERT INTO leases (organization_id, period_start_ms, instance_id, granted_micros, granted_calls, charged_micros,
            charged_calls, epoch, expires_at_ms, yielded_at_ms, strikes, struck_at_ms)
            VALUES ('acme', 1793491200000, 'i', 15000000, 0, 5000000, 0, 1, 0, 0, 0, 0)",
        )
        .await;
    assert!(!moved(store, "2026-11", None, "2026-12-01T00:00:00Z").await);
    assert_eq!(open(store).await, [in_month("2026-11", 30)]);
    fresh.meddle("UPDATE leases SET granted_micros = charged_micros").await;
    assert!(moved(store, "2026-11", None, "2026-12-01T00:00:00Z").await);
    assert_eq!(open(store).await, [in_month("2026-12", 30)]);
    is_sound(store).await;
}

pub(super) async fn a_live_book_says_what_is_left_of_grants(fresh: Fresh) {
    with_acme(&fresh).await;
    let store = &*fresh.store;
    grant(store, "a", 30, "2027-12-15T00:00:00Z").await.unwrap();
    grant(store, "b", 50, "2027-12-16T00:00:00Z").await.unwrap();
    assert!(moved(store, "2026-11", Some(45), "2026-12-01T00:00:00Z").await);
    assert_eq!(open(store).await, [in_month("2026-12", 45)], "the one that ends first is spent first, to its end");
    assert_eq!((used(store, "2026-11").await, used(store, "2026-12").await), (-35, -45));
    is_sound(store).await;
}

pub(super) async fn a_grant_can_be_ended_and_there_are_so_many_at_most(fresh: Fresh) {
    with_acme(&fresh).await;
    let store = &*fresh.store;
    let first = grant(store, "0", 5, "2027-12-15T00:00:00Z").await.unwrap();
    let now = on("2026-11-24T08:00:00Z");
    assert!(!store.end_credit_grant(&id("acme"), UsageEventId::new(now.at), &now).await.unwrap());
    assert!(!store.end_credit_grant(&id("globex"), first, &now).await.unwrap());
    assert!(store.end_credit_grant(&id("acme"), first, &now).await.unwrap());
    assert!(!store.end_credit_grant(&id("acme"), first, &now).await.unwrap(), "it has ended");
    let entry = store.audit(&id("acme"), None, 1).await.unwrap().remove(0);
    assert_eq!((entry.action.as_str(), entry.target), ("credit_grant.end", format!("event:{first}")));
    assert!(moved(store, "2026-11", None, "2026-11-24T08:00:00Z").await);
    assert_eq!((open(store).await, used(store, "2026-11").await), (Vec::new(), 0));
    for number in 1..=CreditGrant::OPEN_MAX {
        grant(store, &format!("{number}"), 1, "2027-12-15T00:00:00Z").await.unwrap();
    }
    let over = grant(store, "more", 1, "2027-12-15T00:00:00Z").await;
    assert_eq!(over, Err(AdjustmentRefused::TooManyGrants));
    assert_eq!(used(store, "2026-11").await, -i64::try_from(CreditGrant::OPEN_MAX).unwrap());
}
