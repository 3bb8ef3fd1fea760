//! Dashboard and history over many events, while others come in: what an owner waits for who looks at them.
#![expect(clippy::print_stdout, reason = "this is what a person at the terminal reads")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::TestDatabase;
use ledger::{Credits, HistoryFilter, InstanceId, PageRequest, Period, Timestamp};
use store::Store;
use tokio::time::{MissedTickBehavior, interval};

use super::{Latencies, ORGANIZATIONS, events, open};

/// Events that come in a second, and how often.
const INCOMING: u64 = 2_000;
const INCOMING_EVERY: Duration = Duration::from_millis(200);
/// Events that one statement loads.
const CHUNK: u64 = 500_000;

/// Fills the month evenly with copies of the document of one event. The rollups and balances are summed up from them.
fn load(first: u64, count: u64, of: u64, document: &str) -> String {
    format!(
        "INSERT INTO usage_events (event_id, organization_id, user_id, event_type, category, session_id, occurred_at_ms, outcome,
            credits_micros, document)
         SELECT id, 'org-' || o, 'user-' || turn % 10, t, 'ai_analysis',
            CASE WHEN turn % 3 = 0 THEN 'session-' || turn % 500 END, at, 'captured', 10000000 + n % 18 * 1000000,
            replace(replace(replace('{document}', '@ID', id), '@ORG', 'org-' || o), '@USER', 'user-' || turn % 10)
         FROM (SELECT n, n / {ORGANIZATIONS} AS turn, n * 7919 % {ORGANIZATIONS} AS o, at,
                CASE WHEN n / {ORGANIZATIONS} % 4 = 0 THEN 'text_enhance' ELSE 'structuring_diagnose' END AS t,
                'evt_' || substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-7000-8000-' || lpad(to_hex(n), 12, '0') AS id
            FROM (SELECT n, at, lpad(to_hex(at), 12, '0') AS h FROM (
                SELECT n, 1793491200000 + n * 2419200000 / {of} AS at
                FROM generate_series({first}::bigint, {first} + {count} - 1) AS n) AS a) AS b) AS c"
    )
}

const SUM_UP: &str = "INSERT INTO daily_rollups (organization_id, day_start_ms, event_type, user_id, credits_micros, events)
    SELECT organization_id, occurred_at_ms - occurred_at_ms % 86400000, event_type, user_id, SUM(credits_micros), COUNT(*)
    FROM usage_events GROUP BY 1, 2, 3, 4;
    INSERT INTO balances (organization_id, period_start_ms, used_micros, events, calls)
    SELECT organization_id, 1793491200000, SUM(credits_micros), COUNT(*), COUNT(*) FROM usage_events GROUP BY 1
    ON CONFLICT (organization_id, period_start_ms) DO UPDATE SET used_micros = excluded.used_micros,
        events = excluded.events, calls = excluded.calls";

pub(super) async fn run(database: &TestDatabase, events: u64, lasts: Duration) -> anyhow::Result<()> {
    let store = open(database).await?;
    store.maintain("2026-11-15T00:00:00Z".parse()?, None).await?;
    let began = Instant::now();
    let document = serde_json::to_string(&events::event(1, "2026-11-15T00:00:00Z".parse()?)?)?;
    let document = templated(&document)?;
    let mut first = 0;
    while first < events {
        let count = CHUNK.min(events - first);
        database.execute(&load(first, count, events, &document)).await?;
        first += count;
    }
    database.execute(SUM_UP).await?;
    database.execute("VACUUM ANALYZE").await?;
    println!(
        "\n{events} events over {ORGANIZATIONS} organisations, loaded in {:.0?}; {INCOMING} more a second",
        began.elapsed()
    );
    let coming = tokio::spawn(come(Arc::clone(&store), "2026-11-29T12:00:00Z".parse()?));
    for (what, filter) in filters()? {
        let mut latencies = Latencies::default();
        let until = Instant::now() + lasts;
        let mut turn = 0_usize;
        while Instant::now() < until {
            turn += 1;
            let of = events::organization(turn.wrapping_mul(7_919) % ORGANIZATIONS)?;
            let page = PageRequest { page: u32::try_from(turn % 3)? + 1, limit: PageRequest::LIMIT_DEFAULT };
            let began = Instant::now();
            match &filter {
                Some(filter) => drop(store.history(&of, filter, page).await?),
                None => dashboard(&store, &of).await?,
            }
            latencies.since(began);
        }
        println!("{what:<34}{}", latencies.told());
    }
    coming.abort();
    store.close().await;
    Ok(())
}

/// The document of an event with places for what differs. Every other part is the same in all of them.
fn templated(document: &str) -> anyhow::Result<String> {
    let mut value: serde_json::Value = serde_json::from_str(document)?;
    for (field, place) in [("id", "@ID"), ("organizationId", "@ORG"), ("userId", "@USER")] {
        let known = value.get_mut(field).ok_or_else(|| anyhow::anyhow!("an event has no {field}"))?;
        *known = place.into();
    }
    Ok(value.to_string().replace('\'', "''"))
}

/// What the dashboard asks of the store.
async fn dashboard(store: &Arc<dyn Store>, of: &ledger::OrganizationId) -> anyhow::Result<()> {
    let period: Period = "2026-11".parse()?;
    store.balance(of, period).await?;
    store.report(of, period, None).await?;
    store.monthly(of, "2026-06".parse()?, period).await?;
    Ok(())
}

fn filters() -> anyhow::Result<Vec<(&'static str, Option<HistoryFilter>)>> {
    let all = HistoryFilter::default();
    let week = (Some("2026-11-08T00:00:00Z".parse()?), Some("2026-11-15T00:00:00Z".parse()?));
    Ok(vec![
        ("dashboard", None),
        ("history, unfiltered", Some(all.clone())),
        ("history of a user", Some(HistoryFilter { user_id: Some("user-3".parse()?), ..all.clone() })),
        ("history of an event type", Some(HistoryFilter { event_type: Some("text_enhance".parse()?), ..all.clone() })),
        ("history of a week", Some(HistoryFilter { from: week.0, until: week.1, ..all.clone() })),
        ("history of a session", Some(HistoryFilter { session_id: Some("session-6".parse()?), ..all.clone() })),
        (
            "history by credits and category",
            Some(HistoryFilter {
                credits_min: Some(Credits::from_micros(20_000_000)),
                category: Some("ai_analysis".into()),
                ..all
            }),
        ),
    ])
}

/// Brings in events at a steady rate.
async fn come(store: Arc<dyn Store>, begin: Timestamp) -> anyhow::Result<()> {
    let leases = Arc::clone(&store).leases().ok_or_else(|| anyhow::anyhow!("no leases"))?;
    let instance = InstanceId::new(Timestamp::from_millis(0));
    let mut ticks = interval(INCOMING_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let size = INCOMING * u64::try_from(INCOMING_EVERY.as_millis())? / 1_000;
    for first in (0..).step_by(usize::try_from(size)?) {
        ticks.tick().await;
        leases.apply_leased(instance, &events::batch(first, size, begin)?).await?;
    }
    Ok(())
}
