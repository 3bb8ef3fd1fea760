mod directory;

use std::collections::BTreeSet;
use std::sync::Arc;

use ledger::{
    Actor, Change, Credits, HistoryFilter, Member, NewOrganization, OrganizationId, Outcome, PageRequest, Period,
    PluginIdentity, Role, Signals, SubscriptionStatus, Timestamp, UsageEvent, UsageEventId,
};

pub(super) use self::directory::{
    a_change_is_audited_with_old_and_new_values_and_numbered, a_change_that_changes_nothing_leaves_no_trace,
    a_definition_counts_its_versions, an_organisation_is_found_with_its_plan_and_members,
    an_organisation_needs_a_plan_that_exists, changes_at_once_are_numbered_in_their_order,
    the_price_list_is_there_from_the_start, thresholds_that_are_set_at_once_do_not_mix,
};
use super::Fresh;
use crate::Occupancy;

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub(super) fn change() -> Change {
    let actor = Actor {
        user_id: "op".into(),
        role: "platform_admin".into(),
        remote_address: Some("::1".into()),
        request_id: None,
    };
    Change { actor, at: at("2026-11-24T08:00:00Z") }
}

pub(super) fn acme(plan: &str) -> NewOrganization {
    NewOrganization {
        organization_id: id("acme"),
        name: "Acme".into(),
        plan: id(plan),
        subscription_status: SubscriptionStatus::Active,
        usage_limits: None,
    }
}

pub(super) fn event(organization: &str, user: &str, when: &str, credits: i64) -> UsageEvent {
    let occurred_at = at(when);
    UsageEvent {
        id: UsageEventId::new(occurred_at),
        organization_id: id(organization),
        user_id: id(user),
        event_type: id("structuring_diagnose"),
        event_name: "Problem diagnosis".into(),
        category: "ai_analysis".into(),
        definition_version: 1,
        occurred_at,
        settled_at: occurred_at,
        outcome: Outcome::Captured,
        credits: Credits::from_micros(credits),
        held: Credits::from_micros(credits),
        items: Vec::new(),
        plugin: Arc::new(PluginIdentity { name: "standard".into(), version: "1.0.0".into(), sha256: "00".into() }),
        signals: Signals::default(),
        plan: None,
        answer: None,
        session_id: None,
        request_id: id("req_1"),
        endpoint: "/x".into(),
        upstream_status: Some(200),
        adjustment: None,
    }
}

const FIRST_PAGE: PageRequest = PageRequest { page: 1, limit: 50 };

pub(super) async fn an_event_is_applied_once_however_often_it_comes(fresh: Fresh) {
    let one = event("acme", "alice", "2026-11-24T08:00:00Z", 28_000_000);
    let voided = UsageEvent {
        outcome: Outcome::Voided,
        credits: Credits::ZERO,
        ..event("acme", "bob", "2026-11-24T08:00:01Z", 5)
    };
    let batch = [one.clone(), one.clone(), voided];
    assert_eq!(fresh.store.apply(&batch).await.unwrap(), 2);
    assert_eq!(fresh.store.apply(&batch).await.unwrap(), 0);
    let balance = fresh.store.balance(&id("acme"), one.period()).await.unwrap();
    assert_eq!((balance.used, balance.events, balance.calls), (one.credits, 2, 1));
    let report = fresh.store.report(&id("acme"), one.period(), None).await.unwrap();
    assert_eq!((report.credits, report.count, report.by_user.len(), report.by_day.len()), (one.credits, 2, 2, 1));
    for (user, period, used) in [("alice", one.period(), 28), ("bob", one.period(), 0), ("alice", id("2026-10"), 0)] {
        let got = fresh.store.used_by(&id("acme"), period, &id(user)).await.unwrap();
        assert_eq!(got.micros(), used * 1_000_000, "{user}");
    }
    assert_eq!(fresh.store.event(&id("acme"), one.id).await.unwrap(), Some(one.clone()));
    assert_eq!(fresh.store.event(&id("other"), one.id).await.unwrap(), None);
}

pub(super) async fn an_event_belongs_to_one_period_at_the_months_end(fresh: Fresh) {
    let last = event("acme", "alice", "2026-11-30T23:59:59.999Z", 1);
    let first = event("acme", "alice", "2026-12-01T00:00:00Z", 10);
    fresh.store.apply(&[last.clone(), first.clone()]).await.unwrap();
    let months = fresh.store.monthly(&id("acme"), id::<Period>("2026-10"), id("2026-12")).await.unwrap();
    let shown: Vec<_> =
        months.iter().map(|month| (month.period.to_string(), month.credits.micros(), month.count)).collect();
    assert_eq!(shown, [("2026-10".into(), 0, 0), ("2026-11".into(), 1, 1), ("2026-12".into(), 10, 1)]);
    let report = fresh.store.report(&id("acme"), id("2026-12"), Some(&id("alice"))).await.unwrap();
    assert_eq!((report.credits.micros(), report.by_day[0].day.to_string()), (10, "2026-12-01".into()));
}

pub(super) async fn all_filters_hold_together(fresh: Fresh) {
    let mut events = Vec::new();
    for (number, user) in ["alice", "bob"].into_iter().cycle().take(20).enumerate() {
        let mut event =
            event("acme", user, &format!("2026-11-{:02}T10:00:00Z", number + 1), i64::try_from(number).unwrap());
        event.event_type = id(if number % 4 < 2 { "a" } else { "b" });
        event.category = if number < 10 { "early" } else { "late" }.into();
        event.session_id = (number % 5 == 0).then(|| id("s1"));
        events.push(event);
    }
    fresh.store.apply(&events).await.unwrap();
    let filters = [
        HistoryFilter { event_type: Some(id("a")), ..HistoryFilter::default() },
        HistoryFilter { user_id: Some(id("bob")), ..HistoryFilter::default() },
        HistoryFilter {
            from: Some(at("2026-11-05T10:00:00Z")),
            until: Some(at("2026-11-15T10:00:00Z")),
            ..HistoryFilter::default()
        },
        HistoryFilter { category: Some("late".into()), ..HistoryFilter::default() },
        HistoryFilter {
            credits_min: Some(Credits::from_micros(3)),
            credits_max: Some(Credits::from_micros(9)),
            ..HistoryFilter::default()
        },
        HistoryFilter { session_id: Some(id("s1")), ..HistoryFilter::default() },
        HistoryFilter {
            event_type: Some(id("a")),
            user_id: Some(id("alice")),
            from: Some(at("2026-11-01T10:00:00Z")),
            until: Some(at("2026-11-20T00:00:00Z")),
            category: Some("early".into()),
            credits_min: Some(Credits::ZERO),
            credits_max: Some(Credits::from_micros(8)),
            session_id: Some(id("s1")),
        },
        HistoryFilter::default(),
        // Whole days, whose sums are known without their events.
        HistoryFilter {
            from: Some(at("2026-11-05T00:00:00Z")),
            until: Some(at("2026-11-15T00:00:00Z")),
            ..HistoryFilter::default()
        },
        HistoryFilter {
            event_type: Some(id("b")),
            user_id: Some(id("bob")),
            until: Some(at("2026-11-09T00:00:00Z")),
            ..HistoryFilter::default()
        },
        HistoryFilter { user_id: Some(id("nobody")), ..HistoryFilter::default() },
        HistoryFilter { from: Some(at("2026-12-01T00:00:00Z")), ..HistoryFilter::default() },
    ];
    for filter in filters {
        let mut want: Vec<_> = events.iter().filter(|event| passes(&filter, event)).cloned().collect();
        want.reverse();
        let page = fresh.store.history(&id("acme"), &filter, FIRST_PAGE).await.unwrap();
        let got: Vec<_> = page.events.into_iter().map(|(event, _)| event).collect();
        assert_eq!(got, want, "{filter:?}");
        assert_eq!(page.summary.total_events, u64::try_from(want.len()).unwrap());
        assert_eq!(page.summary.total_credits.micros(), want.iter().map(|event| event.credits.micros()).sum::<i64>());
        assert_eq!(page.summary.last, want.first().map(|event| event.occurred_at));
        assert_eq!(page.summary.first, want.last().map(|event| event.occurred_at), "{filter:?}");
        let users: BTreeSet<_> = want.iter().map(|event| event.user_id.as_str()).collect();
        assert_eq!(page.summary.unique_users, u64::try_from(users.len()).unwrap());
        assert_eq!(page.sessions.is_empty(), want.iter().all(|event| event.session_id.is_none()));
    }
}

fn passes(filter: &HistoryFilter, event: &UsageEvent) -> bool {
    filter.event_type.as_ref().is_none_or(|wanted| *wanted == event.event_type)
        && filter.user_id.as_ref().is_none_or(|wanted| *wanted == event.user_id)
        && filter.from.is_none_or(|from| event.occurred_at >= from)
        && filter.until.is_none_or(|until| event.occurred_at < until)
        && filter.category.as_ref().is_none_or(|wanted| *wanted == event.category)
        && filter.credits_min.is_none_or(|min| event.credits >= min)
        && filter.credits_max.is_none_or(|max| event.credits <= max)
        && filter.session_id.as_ref().is_none_or(|wanted| Some(wanted) == event.session_id.as_ref())
}

pub(super) async fn pages_follow_each_other_without_gaps(fresh: Fresh) {
    fresh.store.put_organization(&acme("free"), &change()).await.unwrap();
    let alice = Member {
        user_id: id("alice"),
        role: Role::Owner,
        name: Some("Alice".into()),
        email: Some("a@x".into()),
        monthly_credits: None,
    };
    fresh.store.put_member(&id("acme"), &alice, &change()).await.unwrap();
    let events: Vec<_> = (0..7).map(|_| event("acme", "alice", "2026-11-24T08:00:00Z", 1)).collect();
    fresh.store.apply(&events).await.unwrap();
    let mut seen = Vec::new();
    for page in 1..=4 {
        let got =
            fresh.store.history(&id("acme"), &HistoryFilter::default(), PageRequest { page, limit: 3 }).await.unwrap();
        assert_eq!(got.summary.total_events, 7);
        assert!(got.events.iter().all(|(_, user)| user.name.as_deref() == Some("Alice")));
        seen.extend(got.events.into_iter().map(|(event, _)| event.id));
    }
    seen.sort_unstable();
    let mut want: Vec<_> = events.iter().map(|event| event.id).collect();
    want.sort_unstable();
    assert_eq!(seen, want);
}

pub(super) async fn one_organisation_sees_nothing_of_another(fresh: Fresh) {
    let mut ours = event("acme", "alice", "2026-11-24T08:00:00Z", 1);
    ours.session_id = Some(id("shared"));
    let mut theirs = event("globex", "alice", "2026-11-24T08:00:00Z", 100);
    theirs.session_id = Some(id("shared"));
    fresh.store.apply(&[ours.clone(), theirs]).await.unwrap();
    let page = fresh.store.history(&id("acme"), &HistoryFilter::default(), FIRST_PAGE).await.unwrap();
    assert_eq!((page.events.len(), page.summary.total_credits.micros(), page.sessions[0].credits.micros()), (1, 1, 1));
    assert_eq!(
        fresh.store.report(&id::<OrganizationId>("acme"), ours.period(), None).await.unwrap().credits.micros(),
        1
    );
    assert_eq!(fresh.store.balance(&id("nobody"), ours.period()).await.unwrap(), ledger::Balance::default());
}

pub(super) async fn many_at_once_lose_nothing(fresh: Fresh) {
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let store = Arc::clone(&fresh.store);
            tokio::spawn(async move {
                let events: Vec<_> = (0..10).map(|_| event("acme", "alice", "2026-11-24T08:00:00Z", 7)).collect();
                store.apply(&events).await.unwrap()
            })
        })
        .collect();
    let mut applied = 0;
    for task in tasks {
        applied += task.await.unwrap();
    }
    assert_eq!(applied, 200);
    let balance = fresh.store.balance(&id("acme"), id("2026-11")).await.unwrap();
    assert_eq!((balance.used.micros(), balance.events), (1_400, 200));
}

pub(super) async fn everything_survives_a_restart(fresh: Fresh) {
    fresh.store.put_organization(&acme("free"), &change()).await.unwrap();
    let event = event("acme", "alice", "2026-11-24T08:00:00Z", 28_000_000);
    fresh.store.apply(std::slice::from_ref(&event)).await.unwrap();
    let fresh = fresh.reopened().await;
    assert!(fresh.store.organization(&id("acme")).await.unwrap().is_some());
    assert_eq!(fresh.store.event(&id("acme"), event.id).await.unwrap(), Some(event));
}

pub(super) async fn the_same_events_from_many_sides_count_once(fresh: Fresh) {
    let events: Vec<_> = (0..60)
        .map(|number| event(&format!("org{}", number % 7), &format!("u{}", number % 3), "2026-11-24T08:00:00Z", 1))
        .collect();
    let tasks: Vec<_> = (0..8)
        .map(|turn| {
            let (store, mut events) = (Arc::clone(&fresh.store), events.clone());
            events.rotate_left(turn * 7);
            if turn % 2 == 1 {
                events.reverse();
            }
            tokio::spawn(async move { store.apply(&events).await.unwrap() })
        })
        .collect();
    let mut applied = 0;
    for task in tasks {
        applied += task.await.unwrap();
    }
    assert_eq!(applied, 60);
    let mut used = 0;
    for number in 0..7 {
        let of: OrganizationId = id(&format!("org{number}"));
        let balance = fresh.store.balance(&of, id("2026-11")).await.unwrap();
        let report = fresh.store.report(&of, id("2026-11"), None).await.unwrap();
        assert_eq!((report.credits, report.count), (balance.used, balance.events));
        used += balance.used.micros();
    }
    assert_eq!(used, 60);
}

pub(super) async fn an_event_is_found_by_its_own_id_only(fresh: Fresh) {
    let one = event("acme", "alice", "2026-11-24T08:00:00.123Z", 1);
    fresh.store.apply(std::slice::from_ref(&one)).await.unwrap();
    assert_eq!(fresh.store.event(&id("acme"), one.id).await.unwrap(), Some(one.clone()));
    for strange in ["evt_6ba7b810-9dad-11d1-80b4-00c04fd430c8", &UsageEventId::new(one.occurred_at).to_string()] {
        assert_eq!(fresh.store.event(&id("acme"), id(strange)).await.unwrap(), None, "{strange}");
    }
    let false_time = UsageEvent { occurred_at: at("2026-12-24T08:00:00Z"), ..one };
    let refused = fresh.store.apply(&[false_time]).await.unwrap_err();
    assert!(refused.to_string().contains("the time in the id"), "{refused}");
}

pub(super) async fn a_second_gateway_comes_only_where_leases_are_and_a_companion_always(fresh: Fresh) {
    match fresh.beside(Occupancy::Gateway).await {
        Ok(second) => {
            assert!(second.clone().leases().is_some(), "two gateways would spend the same credit");
            second.close().await;
        }
        Err(refused) => {
            assert!(refused.to_string().contains("is owned by another gateway"), "{refused}");
            assert!(fresh.store.clone().leases().is_none(), "one that leases shares");
        }
    }
    for occupancy in [Occupancy::Companion, Occupancy::Visitor] {
        let beside = fresh.beside(occupancy).await.unwrap();
        assert_eq!(beside.plans().await.unwrap().len(), 4);
        beside.close().await;
    }
    fresh.reopened().await;
}
