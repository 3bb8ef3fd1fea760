//! Recorded calls, priced once more: by what they were priced under, not by what is in force now.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger::{Actor, Change, EventDefinition, Outcome, RequestId, Signals, Timestamp, UsageEvent, UsageEventId};
use pricing::{Call, Options};
use store::{Occupancy, Store};

use super::super::recorded::Which;
use super::super::report;
use super::*;

#[test]
fn a_sum_says_what_differs_and_leaves_what_has_no_price_as_it_was() {
    let credits = |whole| Credits::from_whole(whole).unwrap();
    let mut sum = Sum::default();
    sum.add(credits(10), Some((credits(10), false)));
    sum.add(credits(10), Some((credits(7), true)));
    sum.add(credits(5), None);
    let want = Sum { events: 3, old: credits(25), new: credits(22), differing: 1, unpriced: 1, estimated: 1 };
    assert_eq!(sum, want);
    assert_eq!(sum.difference(), credits(-3));
}

fn plugin(name: &str) -> Plugin {
    let file: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pricing-plugins").join(name);
    Plugin::load_untested(&Options::new(file)).unwrap()
}

fn at(moment: &str) -> Timestamp {
    moment.parse().unwrap()
}

fn event(plugin: &Plugin, definition: &EventDefinition, organization: &str, when: &str, text_units: u64) -> UsageEvent {
    let signals = Signals { text_units, ..Signals::default() };
    let plan: PlanName = "free".parse().unwrap();
    let quote = plugin.quote(&Call { definition, plan: &plan, signals: &signals }).unwrap();
    UsageEvent {
        id: UsageEventId::new(at(when)),
        organization_id: organization.parse().unwrap(),
        user_id: "ann".parse().unwrap(),
        event_type: definition.event_type.clone(),
        event_name: definition.name.clone(),
        category: definition.category.clone(),
        definition_version: definition.version,
        occurred_at: at(when),
        settled_at: at(when),
        outcome: Outcome::Captured,
        credits: quote.credits,
        held: quote.credits,
        items: quote.items,
        plugin: Arc::clone(plugin.identity()),
        signals,
        plan: Some(ledger::PricedPlan { name: plan, version: 1 }),
        answer: None,
        session_id: None,
        request_id: "req_1".parse::<RequestId>().unwrap(),
        endpoint: "/x/{orgId}".into(),
        upstream_status: Some(200),
        adjustment: None,
    }
}

/// Five calls of two months by two organisations, the definition changed after the third and again after the last.
async fn recorded(folder: &Path, standard: &Plugin) -> (Arc<dyn Store>, Vec<UsageEvent>) {
    let url = format!("sqlite:{}", folder.join("usage.db").display());
    let store = store::open(store::Options { url, readers: 1, occupancy: Occupancy::Companion }).await.unwrap();
    let mut definition = store.event_definitions().await.unwrap();
    definition.retain(|definition| definition.event_type.as_str() == "structuring_diagnose");
    let mut definition = definition.remove(0);
    let mut events = Vec::new();
    let actor = Actor { user_id: "op".to_owned(), role: "op".to_owned(), remote_address: None, request_id: None };
    let change = Change { actor, at: at("2026-11-24T00:00:00Z") };
    let calls = [
        ("acme", "2026-10-31T23:59:59.999Z", 50),
        ("acme", "2026-11-01T00:00:00Z", 150),
        ("beta", "2026-11-02T00:00:00Z", 700),
    ];
    events.extend(calls.map(|(of, when, units)| event(standard, &definition, of, when, units)));
    for (base, calls) in
        [(20, &[("acme", "2026-11-30T23:59:59.999Z", 700), ("beta", "2026-12-01T00:00:00Z", 0)][..]), (99, &[])]
    {
        let changed = EventDefinition { base_credits: Credits::from_whole(base).unwrap(), ..definition };
        definition = store.put_event_definition(&changed, &change).await.unwrap();
        events.extend(calls.iter().map(|(of, when, units)| event(standard, &definition, of, when, *units)));
    }
    let mut voided = event(standard, &definition, "acme", "2026-11-10T00:00:00Z", 0);
    (voided.outcome, voided.credits) = (Outcome::Voided, Credits::ZERO);
    store.apply(&[events.as_slice(), &[voided]].concat()).await.unwrap();
    (store, events)
}

#[tokio::test]
async fn recorded_calls_are_priced_by_what_they_were_priced_under() {
    let folder = tempfile::tempdir().unwrap();
    let (standard, faulty, tokens) = (plugin("standard.wasm"), plugin("faulty.wasm"), plugin("tokens.wasm"));
    let (store, events) = recorded(folder.path(), &standard).await;
    let Ok(recorded) = Recorded::of(store).await else { panic!("the database cannot be read") };
    let plan = "free".parse().unwrap();
    let replay = async |first: Option<&Plugin>, tried: &Plugin, months: (&str, &str)| {
        let mut replay = Replay::default();
        let which = Which { months: (months.0.parse().unwrap(), months.1.parse().unwrap()), organization: None };
        let read = recorded.each_charge(&which, |charge| {
            replay.take(charge, &recorded, first, tried, &plan);
            Ok(())
        });
        let read = read.await;
        assert!(read.is_ok());
        replay
    };
    let same = replay(None, &standard, ("2026-10", "2026-12")).await;
    let charged = Credits::checked_sum(events.iter().map(|event| event.credits)).unwrap();
    assert_eq!((same.total.events, same.total.differing, same.total.new), (5, 0, charged));
    // Both months' ends are exact: one call is of October, one of December.
    let november = replay(None, &faulty, ("2026-11", "2026-11")).await;
    let credits = |whole| Credits::from_whole(whole).unwrap();
    assert_eq!(
        (november.total.events, november.total.old, november.total.new),
        (3, credits(12 + 15 + 30), credits(10 + 10 + 20))
    );
    let rows = november.rows();
    assert_eq!((rows[0].organization_id.as_str(), rows[0].difference), ("acme", credits(-12)));
    assert_eq!((rows[1].organization_id.as_str(), rows[1].difference), ("beta", credits(-5)));
    let page = report::page(&november, "a <title>");
    assert!(
        page.contains("a &lt;title&gt;") && page.contains("<td>acme<td>structuring_diagnose<td>2<td>42<td>30<td>-12"),
        "{page}"
    );
    assert_eq!(report::to_json(&november)["difference"], -17);
    assert!(report::table(&november).iter().any(|line| line.contains("57 before, 40 now, -17 difference")));
    // What has no price stays as it was, and says why.
    let declined = replay(None, &tokens, ("2026-10", "2026-12")).await;
    assert_eq!(
        (declined.total.unpriced, declined.causes.get("declined"), declined.total.difference()),
        (5, Some(&5), Credits::ZERO)
    );
    // Two plugins beside each other.
    assert_eq!(replay(Some(&faulty), &standard, ("2026-11", "2026-11")).await.total.difference(), credits(17));
    let Ok(found) = recorded.event(events[0].id).await else { panic!("the event is there") };
    assert_eq!((found.id, recorded.definition(&found).map(|it| it.version)), (events[0].id, Some(1)));
    assert!(recorded.event(UsageEventId::new(at("2026-10-01T00:00:00Z"))).await.is_err());
}
