//! Events a second into PostgreSQL, as a gateway's applier brings them: balances, rollups and leases move with them.
#![expect(clippy::print_stdout, reason = "this is what a person at the terminal reads")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::TestDatabase;
use ledger::{InstanceId, LeaseStore, Timestamp};
use tokio::task::JoinSet;

use super::{a_second, events, open};

/// When the first event happened.
const BEGIN: &str = "2026-11-01T00:00:00Z";
/// Events that lie ready before the clock runs: making them is not what is measured.
const READY: u64 = 200_000;

pub(super) async fn run(database: &TestDatabase, lasts: Duration) -> anyhow::Result<()> {
    let store = open(database).await?;
    let leases = Arc::clone(&store).leases().ok_or_else(|| anyhow::anyhow!("no leases"))?;
    println!("\nUsage events applied, with balances, rollups and leases, over 1 000 organisations of 10 users");
    let mut number = 0;
    for (at_once, size) in [(1, 500), (1, 2_000), (2, 500), (2, 2_000), (2, 5_000)] {
        let (mut applied, mut took) = (0, Duration::ZERO);
        while took < lasts {
            let mut batches = Vec::new();
            for _ in 0..READY / size {
                batches.push(events::batch(number, size, BEGIN.parse()?)?);
                number += size;
            }
            let began = Instant::now();
            applied += apply(&leases, batches, at_once).await?;
            took += began.elapsed();
        }
        println!("{at_once} at once, {size} each: {} events/s", a_second(applied, took));
    }
    store.close().await;
    Ok(())
}

/// Applies batches, so many at once.
async fn apply(
    leases: &Arc<dyn LeaseStore>,
    batches: Vec<Vec<ledger::UsageEvent>>,
    at_once: usize,
) -> anyhow::Result<u64> {
    let instance = InstanceId::new(Timestamp::from_millis(0));
    let (mut applying, mut applied) = (JoinSet::new(), 0);
    for events in batches {
        while applying.len() >= at_once {
            applied += applying.join_next().await.transpose()?.transpose()?.unwrap_or(0);
        }
        let leases = Arc::clone(leases);
        applying.spawn(async move { leases.apply_leased(instance, &events).await });
    }
    while let Some(done) = applying.join_next().await {
        applied += done??;
    }
    Ok(applied)
}
