//! `bench database`: what PostgreSQL does for the gateways: events taken in, leases granted, statements sent, reports read.
//!
//! The server is a private one that syncs as one in use does, and lives as long as the bench. A figure must never come from a
//! server that does less than the real one.

mod apply;
mod events;
mod grants;
mod reports;
mod statements;

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use cluster::TestDatabase;
use ledger::{Actor, Change, NewOrganization, SubscriptionStatus, Timestamp};
use store::{Occupancy, Options, Store};

use crate::Plan;

/// Organisations, as many as the issue's load is spread over.
const ORGANIZATIONS: usize = 1_000;

/// What is measured.
#[derive(Args, Clone)]
pub(crate) struct DatabasePlan {
    /// Which parts, in this order; all but `reports` unless given.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["apply", "grants", "statements"])]
    parts: Vec<Part>,
    /// How many events there are when `reports` are read: some minutes to load, and 800 bytes of disk each.
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// How many gateways share the database in `statements`.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    gateways: u16,
    #[command(flatten)]
    plan: Plan,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Part {
    /// Usage events a second, with balances, rollups and leases.
    Apply,
    /// How long a lease takes to be granted.
    Grants,
    /// Statements a second for paid calls at three rates: none is on the path of a call.
    Statements,
    /// Dashboard and history while events come in.
    Reports,
}

/// Measures what was asked for and prints it.
pub(crate) async fn run(plan: &DatabasePlan) -> anyhow::Result<()> {
    let lasts = Duration::from_secs(plan.plan.seconds);
    for part in &plan.parts {
        let database = TestDatabase::new().await?;
        anyhow::ensure!(
            database.url().starts_with("postgres:///"),
            "TEST_DATABASE_URL is set: unset it, since the settings of the server that is measured are changed"
        );
        // A test's server does not sync; one that is measured must.
        for setting in ["fsync = on", "full_page_writes = on", "max_wal_size = '8GB'", "log_statement = 'none'"] {
            database.execute(&format!("ALTER SYSTEM SET {setting}")).await?;
        }
        database.execute("SELECT pg_reload_conf()").await?;
        match part {
            Part::Apply => apply::run(&database, lasts).await?,
            Part::Grants => grants::run(&database, lasts).await?,
            Part::Statements => statements::run(&database, plan, lasts).await?,
            Part::Reports => reports::run(&database, plan.events, lasts).await?,
        }
    }
    Ok(())
}

/// The store, with organisations that have credit for everything.
async fn open(database: &TestDatabase) -> anyhow::Result<Arc<dyn Store>> {
    let options = Options { url: database.url(), readers: 8, occupancy: Occupancy::Companion };
    let store = store::open(options).await?;
    let actor =
        Actor { user_id: "bench".into(), role: "platform_admin".into(), remote_address: None, request_id: None };
    let change = Change { actor, at: Timestamp::from_millis(0) };
    for number in 0..ORGANIZATIONS {
        let new = NewOrganization {
            organization_id: events::organization(number)?,
            name: "Bench".into(),
            plan: "enterprise".parse()?,
            subscription_status: SubscriptionStatus::Active,
            usage_limits: Some(serde_json::from_str(r#"{"monthlyCredits": 1000000000}"#)?),
        };
        store.put_organization(&new, &change).await?;
    }
    Ok(store)
}

/// Latencies, in the order in which they came.
#[derive(Debug, Default)]
struct Latencies(Vec<Duration>);

impl Latencies {
    fn since(&mut self, began: Instant) {
        self.0.push(began.elapsed());
    }

    /// `p50 / p99 / max`.
    fn told(&mut self) -> String {
        self.0.sort_unstable();
        let at = |percent: usize| {
            let rank = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
            self.0.get(rank).copied().unwrap_or_default()
        };
        format!("p50 {:.2?}, p99 {:.2?}, max {:.2?} of {}", at(50), at(99), at(100), self.0.len())
    }
}

/// How many a second.
fn a_second(count: u64, took: Duration) -> u64 {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    count.saturating_mul(1_000_000) / micros
}
