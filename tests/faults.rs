//! The database fails in every way it can: paid calls go on as far as leases and journal allow, then get clean 503s, and
//! all goes on by itself when it is well again. Every world's end checks that nothing was lost, doubled or overspent.

use std::cell::Cell;
use std::time::{Duration, Instant};

use cluster::{Cut, Line, PrivateServer, TestDatabase};
use serde_json::json;

use crate::world::{Answered, World, until};

/// No call waits longer: for a lease a second, and for what must be read of an organisation as long as the database may
/// take in all.
const ANSWERED_WITHIN: Duration = Duration::from_secs(8);

/// Two gateways on a database, and an organisation with credit for so many calls.
async fn two_gateways(url: &str, calls: i64) -> World {
    let mut world = World::with(&[("DATABASE__URL", url)]).await;
    world.join().await;
    world.limit("acme", calls * 10).await;
    for gateway in 0..2 {
        assert_eq!(world.call_through(gateway, "acme", "ann").await.status, 200);
    }
    world
}

/// A call that is paid or cleanly refused, in time.
async fn tried(world: &World, call: usize) -> Answered {
    let (began, before) = (Instant::now(), world.backend.calls());
    let answer = world.call_through(call, "acme", "ann").await;
    assert!(began.elapsed() < ANSWERED_WITHIN, "an answer after {:?}: {}", began.elapsed(), answer.text());
    match answer.status {
        200 => {}
        503 => {
            assert_eq!(answer.refusal().1, "store_unavailable");
            assert_eq!(world.backend.calls(), before, "the backend heard of a call that was refused");
        }
        _ => panic!("{} {}", answer.status, answer.text()),
    }
    answer
}

/// Calls through both gateways until both refuse.
async fn calls_until_refused(world: &World) {
    for gateway in 0..2 {
        until("leased credit and time are used up", async || tried(world, gateway).await.status == 503).await;
    }
}

/// Calls until the rest of the balance is used, now that the database is well again.
async fn calls_to_the_last_credit(world: &World, credits: i64) {
    for gateway in 0..2 {
        until("paid calls go on", async || tried(world, gateway).await.status == 200).await;
    }
    let calls = Cell::new(0);
    until("the balance is used to its last credit", async || {
        calls.set(calls.get() + 1);
        let answer = world.call_through(calls.get(), "acme", "ann").await;
        assert!([200, 402, 503].contains(&answer.status), "{}", answer.text());
        let used = (0..2).map(|gateway| world.counter_through(gateway, "acme"));
        let used = futures_util::future::join_all(used).await;
        answer.status == 402 && used.iter().all(|counter| counter["used"] == credits && counter["remaining"] == 0)
    })
    .await;
    assert_eq!(i64::try_from(world.backend.calls()).unwrap() * 10, credits, "what was paid for went out, and no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_killed_and_comes_back() {
    let mut server = PrivateServer::start().unwrap();
    let world = two_gateways(&server.url(), 40).await;
    server.kill().unwrap();
    calls_until_refused(&world).await;
    server.restart().unwrap();
    calls_to_the_last_credit(&world, 400).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_stopped_and_goes_on() {
    let server = PrivateServer::start().unwrap();
    let world = two_gateways(&server.url(), 40).await;
    server.pause().unwrap();
    calls_until_refused(&world).await;
    server.resume().unwrap();
    calls_to_the_last_credit(&world, 400).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_takes_long_for_every_answer() {
    let database = TestDatabase::new().await.unwrap();
    let line = Line::to(&database.url()).await.unwrap();
    let world = two_gateways(line.url(), 60).await;
    line.delay(Duration::from_millis(500));
    let began = Instant::now();
    // Longer than any lease lasts.
    for call in 0.. {
        tried(&world, call).await;
        if began.elapsed() > Duration::from_secs(13) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    line.delay(Duration::ZERO);
    calls_to_the_last_credit(&world, 600).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_has_no_connection_left() {
    let database = TestDatabase::new().await.unwrap();
    let (user, url) = database.user(true).await.unwrap();
    let world = two_gateways(&url, 40).await;
    database.execute(&format!("ALTER ROLE {user} CONNECTION LIMIT 0")).await.unwrap();
    database.cut().await.unwrap();
    calls_until_refused(&world).await;
    // One connection for all pools of both gateways is too little for some, and enough for nothing to break.
    database.execute(&format!("ALTER ROLE {user} CONNECTION LIMIT 1")).await.unwrap();
    for call in 0..4 {
        tried(&world, call).await;
    }
    database.execute(&format!("ALTER ROLE {user} CONNECTION LIMIT -1")).await.unwrap();
    calls_to_the_last_credit(&world, 400).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_read_only() {
    let database = TestDatabase::new().await.unwrap();
    let world = two_gateways(&database.url(), 40).await;
    database.set("default_transaction_read_only", "on").await.unwrap();
    database.cut().await.unwrap();
    calls_until_refused(&world).await;
    database.set("default_transaction_read_only", "off").await.unwrap();
    database.cut().await.unwrap();
    calls_to_the_last_credit(&world, 400).await;
    world.end().await;
}

/// A table that fails as a statement says: a sequence counts, because what is rolled back does not count it down.
fn failing(table: &str, condition: &str, code: &str) -> String {
    format!(
        "CREATE SEQUENCE tries; CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         IF {condition} THEN RAISE EXCEPTION 'it is made to fail' USING ERRCODE = '{code}'; END IF; RETURN NULL; END $$;
         CREATE TRIGGER fails BEFORE INSERT OR UPDATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION fails()"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_disk_is_full() {
    for table in ["usage_events", "leases"] {
        let database = TestDatabase::new().await.unwrap();
        let world = two_gateways(&database.url(), 40).await;
        database.execute(&failing(table, "true", "53100")).await.unwrap();
        if table == "leases" {
            calls_until_refused(&world).await;
        } else {
            // Leases are still renewed: what is charged waits in the journal.
            for call in 0..20 {
                assert_eq!(tried(&world, call).await.status, 200);
            }
        }
        database.execute(&format!("DROP TRIGGER fails ON {table}")).await.unwrap();
        calls_to_the_last_credit(&world, 400).await;
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_cannot_be_serialized_are_tried_again() {
    for table in ["usage_events", "leases"] {
        let database = TestDatabase::new().await.unwrap();
        let world = two_gateways(&database.url(), 30).await;
        // A statement that inserts or updates counts twice.
        database.execute(&failing(table, "nextval('tries') % 5 < 2", "40001")).await.unwrap();
        calls_to_the_last_credit(&world, 300).await;
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_of_which_nobody_knows_what_became_charge_every_call_once() {
    for cut in [Cut::Before, Cut::After] {
        let database = TestDatabase::new().await.unwrap();
        let line = Line::to(&database.url()).await.unwrap();
        let world = two_gateways(line.url(), 30).await;
        line.cut_commits(12, cut);
        let calls = Cell::new(0);
        until("all commits are cut", async || {
            calls.set(calls.get() + 1);
            // The balance lasts for these.
            if calls.get() <= 10 {
                tried(&world, calls.get()).await;
            }
            line.commits_to_cut() == 0
        })
        .await;
        calls_to_the_last_credit(&world, 300).await;
        let sums = "SELECT (SELECT SUM(used_micros) FROM balances)::bigint";
        database.execute(&format!("DO $$ BEGIN ASSERT ({sums}) = 300000000; END $$")).await.unwrap();
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_reports_get_503_and_what_needs_none_goes_on() {
    let database = TestDatabase::new().await.unwrap();
    let world = two_gateways(&database.url(), 40).await;
    database.close_to_all().await.unwrap();
    let report = world.get("/api/organizations/acme/usage/dashboard", crate::world::OWNER).await;
    assert_eq!(report.refusal(), (503, "store_unavailable".to_owned()));
    assert_eq!(world.get("/health", "ann").await.status, 200, "what is not metered needs no database");
    let nobody = world.request("POST", "/api/organizations/acme/structuring/analyze-pain-points");
    assert_eq!(nobody.json(&json!({"content": ["x"]})).send().await.status, 401);
    database.open_to_all().await.unwrap();
    calls_to_the_last_credit(&world, 400).await;
    world.end().await;
}
