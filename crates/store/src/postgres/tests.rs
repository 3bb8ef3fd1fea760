//! What only this database does: partitions, and what happens when it fails.

mod stalled;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::TestDatabase;
use ledger::{Outcome, Period, PluginIdentity, Signals, StoreError, Timestamp, UsageEvent, UsageEventId};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::dialect::Dialect;
use crate::{Maintained, Occupancy, Options, Store, open};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn month(text: &str) -> Period {
    text.parse().unwrap()
}

pub(super) fn event(organization: &str, when: &str) -> UsageEvent {
    let occurred_at = at(when);
    UsageEvent {
        id: UsageEventId::new(occurred_at),
        organization_id: organization.parse().unwrap(),
        user_id: "alice".parse().unwrap(),
        event_type: "structuring_diagnose".parse().unwrap(),
        event_name: "Problem diagnosis".into(),
        category: "ai_analysis".into(),
        definition_version: 1,
        occurred_at,
        settled_at: occurred_at,
        outcome: Outcome::Captured,
        credits: ledger::Credits::from_micros(1),
        held: ledger::Credits::from_micros(1),
        items: Vec::new(),
        plugin: Arc::new(PluginIdentity { name: "standard".into(), version: "1.0.0".into(), sha256: "00".into() }),
        signals: Signals::default(),
        plan: None,
        answer: None,
        session_id: None,
        request_id: "req_1".parse().unwrap(),
        endpoint: "/x".into(),
        upstream_status: Some(200),
        adjustment: None,
    }
}

async fn opened(database: &TestDatabase, occupancy: Occupancy) -> Arc<dyn Store> {
    open(Options { url: database.url(), readers: 2, occupancy }).await.unwrap()
}

pub(super) async fn number(database: &TestDatabase, question: &str) -> i64 {
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(question.to_owned())).fetch_one(&mut connection).await.unwrap()
}

/// The partitions in the order of their months.
async fn partitions(database: &TestDatabase) -> Vec<String> {
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::query_scalar(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'usage_events'::regclass ORDER BY 1",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap()
}

#[tokio::test]
async fn months_are_made_ahead_and_old_ones_dropped() {
    let database = TestDatabase::new().await.unwrap();
    let store = opened(&database, Occupancy::Companion).await;
    let ahead = Maintained { made: ["2026-11", "2026-12", "2027-01"].map(month).to_vec(), dropped: Vec::new() };
    // Whoever only asks what would be done does nothing.
    for _ in 0..2 {
        assert_eq!(store.upkeep(at("2026-11-24T08:00:00Z"), None).await.unwrap(), ahead);
    }
    assert_eq!(store.maintain(at("2026-11-24T08:00:00Z"), None).await.unwrap(), ahead);
    assert_eq!(store.maintain(at("2026-11-25T08:00:00Z"), None).await.unwrap(), Maintained::default());
    let old = event("acme", "2026-08-31T23:59:59.999Z");
    let kept = event("acme", "2026-09-01T00:00:00Z");
    assert_eq!(store.apply(&[old.clone(), kept.clone()]).await.unwrap(), 2);
    let would = store.upkeep(at("2026-11-30T23:59:59Z"), Some(2)).await.unwrap();
    let done = store.maintain(at("2026-11-30T23:59:59Z"), Some(2)).await.unwrap();
    assert_eq!(would, done);
    assert_eq!(done, Maintained { made: Vec::new(), dropped: vec![month("2026-08")] });
    assert_eq!(store.event(&old.organization_id, old.id).await.unwrap(), None);
    assert_eq!(store.event(&kept.organization_id, kept.id).await.unwrap(), Some(kept.clone()));
    assert_eq!(store.balance(&old.organization_id, month("2026-08")).await.unwrap().events, 1, "sums stay");
    let page = ledger::PageRequest { page: 1, limit: 10 };
    let history = store.history(&kept.organization_id, &ledger::HistoryFilter::default(), page).await.unwrap();
    let summary = history.summary;
    assert_eq!((summary.total_events, summary.first), (1, Some(kept.occurred_at)), "what is gone does not count");
    let left = ["2026_09", "2026_11", "2026_12", "2027_01"].map(|month| format!("usage_events_{month}"));
    assert_eq!(partitions(&database).await, left);
}

#[tokio::test]
async fn a_month_that_retention_dropped_is_neither_compared_nor_repaired() {
    let database = TestDatabase::new().await.unwrap();
    let store = opened(&database, Occupancy::Companion).await;
    let (old, kept) = (event("acme", "2026-08-31T08:00:00Z"), event("acme", "2026-11-01T08:00:00Z"));
    store.apply(&[old.clone(), kept]).await.unwrap();
    store.maintain(at("2026-11-24T08:00:00Z"), Some(2)).await.unwrap();
    let mut told = Vec::new();
    for (when, events_kept) in [("2026-08", false), ("2026-11", true)] {
        let compared = store.compare(month(when), None, &mut |difference| told.push(difference)).await.unwrap();
        assert_eq!(compared.events_kept, events_kept, "{when}");
    }
    assert_eq!(told, []);
    let actor = ledger::Actor { user_id: "op".into(), role: "r".into(), remote_address: None, request_id: None };
    let change = ledger::Change { actor, at: at("2026-11-24T08:00:00Z") };
    let repaired = store.repair(&old.organization_id, month("2026-08"), &change).await.unwrap();
    assert_eq!(repaired, crate::Repaired::default());
    assert_eq!(store.balance(&old.organization_id, month("2026-08")).await.unwrap().events, 1, "sums stay");
    assert_eq!(number(&database, "SELECT SUM(events)::bigint FROM daily_rollups").await, 2);
}

/// How many sessions of this database wait for a lock.
const WAITING: &str =
    "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
/// What adds an event, in its two halves.
const ADD_EVENT: &str = "INSERT INTO usage_events SELECT 'evt_late', organization_id, user_id, event_type, category,
    session_id, occurred_at_ms, outcome, credits_micros, document FROM usage_events LIMIT 1";
const MOVE_SUMS: [&str; 2] = [
    "UPDATE balances SET used_micros = used_micros + 1, events = events + 1, calls = calls + 1",
    "UPDATE daily_rollups SET credits_micros = credits_micros + 1, events = events + 1",
];

#[tokio::test]
async fn a_repair_waits_for_whoever_has_moved_the_balance_and_for_nobody_else() {
    for has_moved in [true, false] {
        let database = TestDatabase::new().await.unwrap();
        let store = opened(&database, Occupancy::Companion).await;
        store.apply(&[event("acme", "2026-11-24T08:00:00Z")]).await.unwrap();
        let mut other = PgConnection::connect(&database.url()).await.unwrap();
        sqlx::query("UPDATE daily_rollups SET events = events + 5").execute(&mut other).await.unwrap();
        let mut adding = other.begin().await.unwrap();
        sqlx::query(ADD_EVENT).execute(&mut *adding).await.unwrap();
        if has_moved {
            sqlx::query(MOVE_SUMS[0]).execute(&mut *adding).await.unwrap();
        }
        let repairing = {
            let store = Arc::clone(&store);
            let actor =
                ledger::Actor { user_id: "op".into(), role: "r".into(), remote_address: None, request_id: None };
            let change = ledger::Change { actor, at: at("2026-11-24T08:00:00Z") };
            tokio::spawn(
                async move { store.repair(&"acme".parse().unwrap(), month("2026-11"), &change).await.unwrap() },
            )
        };
        if has_moved {
            while number(&database, WAITING).await == 0 {
                assert!(!repairing.is_finished(), "it did not wait");
            }
            sqlx::query(MOVE_SUMS[1]).execute(&mut *adding).await.unwrap();
            adding.commit().await.unwrap();
            assert_eq!(repairing.await.unwrap().rollups, 1);
        } else {
            assert_eq!(repairing.await.unwrap().rollups, 1);
            for text in MOVE_SUMS {
                sqlx::query(text).execute(&mut *adding).await.unwrap();
            }
            adding.commit().await.unwrap();
        }
        let mut told = Vec::new();
        let compared = store.compare(month("2026-11"), None, &mut |difference| told.push(difference)).await.unwrap();
        assert_eq!((told, compared.by_events.events), (Vec::new(), 2), "the balance was moved before: {has_moved}");
    }
}

#[tokio::test]
async fn an_event_whose_month_another_instance_dropped_is_not_lost() {
    let database = TestDatabase::new().await.unwrap();
    let (one, other) = (opened(&database, Occupancy::Companion).await, opened(&database, Occupancy::Companion).await);
    one.apply(&[event("acme", "2026-01-10T08:00:00Z")]).await.unwrap();
    other.maintain(at("2026-11-24T08:00:00Z"), Some(1)).await.unwrap();
    let late = event("acme", "2026-01-11T08:00:00Z");
    assert_eq!(one.apply(&[late.clone(), event("acme", "2026-11-24T08:00:00Z")]).await.unwrap(), 2);
    assert_eq!(one.event(&late.organization_id, late.id).await.unwrap(), Some(late));
}

#[tokio::test]
async fn instances_that_start_together_make_one_schema_and_one_partition() {
    let database = TestDatabase::new().await.unwrap();
    let starting: Vec<_> = (0..4)
        .map(|_| {
            let options = Options { url: database.url(), readers: 1, occupancy: Occupancy::Companion };
            tokio::spawn(async move {
                let store = open(options).await.unwrap();
                store.apply(&[event("acme", "2026-11-24T08:00:00Z")]).await.unwrap()
            })
        })
        .collect();
    for started in starting {
        assert_eq!(started.await.unwrap(), 1);
    }
    assert_eq!(number(&database, "SELECT events FROM balances").await, 4);
    assert_eq!(partitions(&database).await, ["usage_events_2026_11"]);
}

#[tokio::test]
async fn connections_cut_at_any_moment_lose_and_double_nothing() {
    let database = TestDatabase::new().await.unwrap();
    let store = opened(&database, Occupancy::Companion).await;
    let applying = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for _ in 0..60 {
                let events: Vec<_> = (0..20).map(|_| event("acme", "2026-11-24T08:00:00Z")).collect();
                // As the applier does: the same batch until it is taken.
                while store.apply(&events).await.is_err() {
                    tokio::task::yield_now().await;
                }
            }
        })
    };
    let mut cuts = 0;
    while !applying.is_finished() {
        database.cut().await.unwrap();
        cuts += 1;
    }
    applying.await.unwrap();
    assert!(cuts > 3, "{cuts}");
    assert_eq!(number(&database, "SELECT COUNT(*) FROM usage_events").await, 1_200);
    assert_eq!(number(&database, "SELECT events FROM balances").await, 1_200);
    assert_eq!(number(&database, "SELECT SUM(events)::bigint FROM daily_rollups").await, 1_200);
}

#[tokio::test]
async fn a_change_waits_for_the_one_before_so_that_numbers_become_visible_in_their_order() {
    let database = TestDatabase::new().await.unwrap();
    let store = opened(&database, Occupancy::Companion).await;
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    let first = connection.begin_with(<sqlx::Postgres as Dialect>::BEGIN_CHANGE).await.unwrap();
    let second = {
        let (store, plan) = (Arc::clone(&store), store.plans().await.unwrap().remove(0));
        let dearer = ledger::Plan { display_name: "Other".into(), ..plan };
        let actor = ledger::Actor { user_id: "op".into(), role: "r".into(), remote_address: None, request_id: None };
        let change = ledger::Change { actor, at: at("2026-11-24T08:00:00Z") };
        tokio::spawn(async move { store.put_plan(&dearer, &change).await.unwrap() })
    };
    let waiting = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    while number(&database, waiting).await == 0 {
        assert!(!second.is_finished());
    }
    first.rollback().await.unwrap();
    second.await.unwrap();
    assert_eq!(store.revision().await.unwrap(), 1);
}

#[tokio::test]
async fn a_lock_that_somebody_keeps_is_not_waited_for_without_end() {
    let database = TestDatabase::new().await.unwrap();
    let store = opened(&database, Occupancy::Companion).await;
    store.maintain(at("2026-11-24T08:00:00Z"), None).await.unwrap();
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    let mut keeping = connection.begin().await.unwrap();
    sqlx::query("LOCK TABLE balances").execute(&mut *keeping).await.unwrap();
    let began = Instant::now();
    let events = [event("acme", "2026-11-24T08:00:00Z")];
    assert!(matches!(store.apply(&events).await, Err(StoreError::Unavailable(_))));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    keeping.rollback().await.unwrap();
    assert_eq!(store.apply(&events).await.unwrap(), 1);
}

#[tokio::test]
async fn a_visitor_makes_nothing_and_hears_what_is_wrong() {
    let database = TestDatabase::new().await.unwrap();
    let visit = |url: String| open(Options { url, readers: 1, occupancy: Occupancy::Visitor });
    let missing = visit(database.url()).await.err().unwrap();
    assert!(missing.to_string().contains("does not exist yet"), "{missing}");
    assert_eq!(number(&database, "SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public'").await, 0);
    let nowhere = visit("postgres://u:hush@127.0.0.1:1/db".to_owned()).await.err().unwrap();
    let told = format!("{nowhere} {nowhere:?}");
    assert!(told.contains("the PostgreSQL database db at 127.0.0.1:1 cannot be reached"), "{told}");
    assert!(!told.contains("hush"), "{told}");
}
