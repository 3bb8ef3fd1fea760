//! How long a lease takes: what a call waits for that finds none at its gateway.
#![expect(clippy::print_stdout, reason = "this is what a person at the terminal reads")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::TestDatabase;
use ledger::{Credits, InstanceId, LeaseKey, LeaseRequest, Period, Share, Timestamp};

use super::{Latencies, ORGANIZATIONS, events, open};

pub(super) async fn run(database: &TestDatabase, lasts: Duration) -> anyhow::Result<()> {
    let store = open(database).await?;
    let leases = Arc::clone(&store).leases().ok_or_else(|| anyhow::anyhow!("no leases"))?;
    let (instance, period) = (InstanceId::new(Timestamp::from_millis(0)), "2026-11".parse::<Period>()?);
    println!("\nA lease granted");
    for (what, at_once) in [("one account", 1_usize), ("100 accounts in one statement", 100)] {
        let mut latencies = Latencies::default();
        let until = Instant::now() + lasts;
        let mut turn = 0_usize;
        while Instant::now() < until {
            let mut requests = Vec::new();
            for _ in 0..at_once {
                turn += 1;
                let total = Share { credits: Credits::from_micros(i64::try_from(turn)? * 1_000_000), calls: 1 };
                requests.push(LeaseRequest {
                    key: LeaseKey::of(events::organization(turn.wrapping_mul(7_919) % ORGANIZATIONS)?, period),
                    epoch: i64::try_from(turn)?,
                    keep: Share::ZERO,
                    need: total,
                    want: total,
                    yields: false,
                });
            }
            let began = Instant::now();
            let granted = leases.renew(instance, &requests).await?;
            latencies.since(began);
            anyhow::ensure!(granted.len() == at_once, "{} of {at_once} leases were granted", granted.len());
        }
        println!("{what}: {}", latencies.told());
    }
    store.close().await;
    Ok(())
}
