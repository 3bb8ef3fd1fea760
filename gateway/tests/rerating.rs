//! A re-rating from the command line, on each database: the plan, what it says, its application, and once more.

#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it should be")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use ledger::{
    Actor, Change, Credits, Limit, NewOrganization, Outcome, Period, PluginIdentity, PricedPlan, Signals,
    SubscriptionStatus, UsageEvent, UsageEventId, UsageLimits,
};
use store::{Occupancy, Options, Store};

const SECRET: &str = "a secret of the tests, which is long enough";

/// Runs the program on a database; its status and all that it says.
fn run(folder: &Path, database: &str, words: &[&str]) -> (i32, String) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut program = Command::new(env!("CARGO_BIN_EXE_gateway"));
    program
        .current_dir(folder)
        .env("GATEWAY__AUTH__JWKS", "")
        .env("GATEWAY__AUTH__HS256_SECRET", SECRET)
        .env("GATEWAY__DATABASE__URL", database)
        .env("GATEWAY__JOURNAL__DIRECTORY", folder.join("journal"))
        .env("GATEWAY__PRICING__PLUGIN", repository.join("pricing-plugins/standard.wasm"));
    let config = repository.join("config/gateway.toml");
    program.args(words).arg("--config").arg(config);
    let ended = program.output().unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.code().unwrap(), String::from_utf8(said).unwrap())
}

fn call(organization: &str, when: &str, text_units: u64, credits: i64) -> UsageEvent {
    let occurred_at = when.parse().unwrap();
    let credits = Credits::from_whole(credits).unwrap();
    UsageEvent {
        id: UsageEventId::new(occurred_at),
        organization_id: organization.parse().unwrap(),
        user_id: "ann".parse().unwrap(),
        event_type: "structuring_diagnose".parse().unwrap(),
        event_name: "Problem diagnosis".into(),
        category: "ai_analysis".into(),
        definition_version: 1,
        occurred_at,
        settled_at: occurred_at,
        outcome: Outcome::Captured,
        credits,
        held: credits,
        items: Vec::new(),
        plugin: Arc::new(PluginIdentity { name: "standard".into(), version: "1".into(), sha256: "00".into() }),
        signals: Signals { text_units, ..Signals::default() },
        plan: Some(PricedPlan { name: "free".parse().unwrap(), version: 1 }),
        answer: None,
        session_id: None,
        request_id: "req_1".parse().unwrap(),
        endpoint: "/x/{orgId}".into(),
        upstream_status: Some(200),
        adjustment: None,
    }
}

/// Two organisations with calls of October, as the standard plugin priced them, and one of November.
async fn recorded(database: &str) -> Arc<dyn Store> {
    let options = Options { url: database.to_owned(), readers: 1, occupancy: Occupancy::Companion };
    let store = store::open(options).await.unwrap();
    let actor = Actor { user_id: "op".into(), role: "op".into(), remote_address: None, request_id: None };
    let change = Change { actor, at: "2026-11-24T00:00:00Z".parse().unwrap() };
    for id in ["acme", "globex"] {
        let limits = UsageLimits { monthly_credits: Some(Limit::Unlimited), ..UsageLimits::default() };
        let new = NewOrganization {
            organization_id: id.parse().unwrap(),
            name: id.into(),
            plan: "free".parse().unwrap(),
            subscription_status: SubscriptionStatus::Active,
            usage_limits: Some(limits),
        };
        store.put_organization(&new, &change).await.unwrap();
    }
    let calls = [
        call("acme", "2026-10-01T00:00:00Z", 700, 15),
        call("acme", "2026-10-15T00:00:00Z", 0, 10),
        call("globex", "2026-10-31T23:59:59.999Z", 2_000, 25),
        call("globex", "2026-11-01T00:00:00Z", 2_000, 25),
    ];
    store.apply(&calls).await.unwrap();
    store
}

/// What the present month has of adjustments.
async fn adjusted(store: &dyn Store, organization: &str) -> i64 {
    let now = Period::of(ledger::Clock::now(&ledger::SystemClock));
    store.balance(&organization.parse().unwrap(), now).await.unwrap().adjusted.micros() / 1_000_000
}

async fn a_plan_is_made_looked_at_and_applied_once(database: &str) {
    let folder = tempfile::tempdir().unwrap();
    let store = recorded(database).await;
    let run = |words: &[&str]| run(folder.path(), database, words);
    let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pricing-plugins/faulty.wasm").display().to_string();
    let propose = |path: &str, more: &[&str]| {
        let words = ["plugin", "rerate", &plugin, "--from", "2026-10", "--to", "2026-10", "--plan-file", path];
        run(&[&words[..], more].concat())
    };
    // The faulty plugin prices every plain call at its base of 10.
    let (status, said) = propose("october.plan", &[]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("october.plan: 2 adjustments, -20 credits in all"), "{said}");
    let text = std::fs::read_to_string(folder.path().join("october.plan")).unwrap();
    assert_eq!(text.lines().count(), 4);
    assert!(text.contains("\"charged\":15,\"price\":10,\"difference\":-5"), "{text}");
    assert_eq!((adjusted(&*store, "acme").await, adjusted(&*store, "globex").await), (0, 0), "a plan changes nothing");
    let (status, said) = propose("october.plan", &[]);
    assert!(status == 64 && said.contains("never overwritten"), "{said}");
    let (status, said) = propose("acme.plan", &["--organization", "acme"]);
    assert!(status == 0 && said.contains("1 adjustments, -5 credits"), "{said}");

    let apply = |path: &str| run(&["plugin", "rerate", "--apply", path, "--reason", "priced too high", "--by", "eve"]);
    let (status, said) = apply("october.plan");
    assert!(status == 0 && said.contains("2 calls, -20 credits in all"), "{said}");
    assert_eq!((adjusted(&*store, "acme").await, adjusted(&*store, "globex").await), (-5, -15));
    let (status, said) = apply("october.plan");
    assert!(status == 0 && said.contains("0 calls") && said.contains("2 calls: this plan was applied"), "{said}");
    let (status, said) = apply("acme.plan");
    assert!(
        status == 1 && said.contains("re-rated since the plan was made") && said.contains("costs 10 by now"),
        "{said}"
    );
    assert_eq!((adjusted(&*store, "acme").await, adjusted(&*store, "globex").await), (-5, -15));
    // Priced by the same plugin again, nothing differs any more.
    let (status, said) = propose("again.plan", &[]);
    assert!(status == 0 && said.contains("0 adjustments, 0 credits"), "{said}");
    let (status, said) = run(&["reconcile", "--from", "2026-10"]);
    assert_eq!(status, 0, "{said}");
    let (status, said) = run(&["plugin", "rerate", "--apply", "again.plan"]);
    assert!(status == 64 && said.contains("--reason"), "{said}");
    store.close().await;
}

#[tokio::test]
async fn on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    a_plan_is_made_looked_at_and_applied_once(&format!("sqlite:{}", folder.path().join("usage.db").display())).await;
}

#[tokio::test]
async fn on_postgres() {
    let database = cluster::TestDatabase::new().await.unwrap();
    a_plan_is_made_looked_at_and_applied_once(&database.url()).await;
}
