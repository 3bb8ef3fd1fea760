//! Statements a second for paid calls. They are counted by the server itself, in its log, at three rates of calls: what is sent
//! per call would show in their difference.
#![expect(clippy::print_stdout, reason = "this is what a person at the terminal reads")]

use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cluster::TestDatabase;

use super::{DatabasePlan, ORGANIZATIONS};
use crate::load::{Load, Pace, Until};
use crate::world::World;

/// Calls a second.
const RATES: [u64; 3] = [250, 1_000, 2_000];
/// How long a rate lasts before statements are counted: leases grow to what it needs.
const SETTLES_FOR: Duration = Duration::from_secs(6);

pub(super) async fn run(database: &TestDatabase, plan: &DatabasePlan, lasts: Duration) -> anyhow::Result<()> {
    let world = World::on(&plan.plan, &database.url(), plan.gateways.into())?;
    let calls = world.organizations(ORGANIZATIONS).await?;
    world.check(&calls).await?;
    for setting in ["log_statement = 'all'", "log_line_prefix = ''"] {
        database.execute(&format!("ALTER SYSTEM SET {setting}")).await?;
    }
    database.execute("SELECT pg_reload_conf()").await?;
    let log = PathBuf::from(database.ask("SHOW data_directory").await?).join("../log");
    println!("\nStatements for paid calls over {ORGANIZATIONS} organisations, {} gateways", plan.gateways);
    for rate in RATES {
        let pace = Pace::Open(rate / u64::from(plan.gateways));
        let load = |lasts| Load { connections: 32, pace, until: Until::Elapsed(lasts) };
        world.load_all(&calls, load(SETTLES_FOR)).await?;
        let (from, began) = (log.metadata()?.len(), Instant::now());
        let made = world.load_all(&calls, load(lasts)).await?;
        let took = began.elapsed();
        let counted = count(&log, from)?;
        println!("{:>5} calls/s: {:>4} statements/s", super::a_second(made, took), super::a_second(counted, took));
    }
    Ok(())
}

/// The statements that the server wrote down from there on; those that end and begin transactions are among them.
fn count(log: &Path, from: u64) -> anyhow::Result<u64> {
    let mut file = std::fs::File::open(log)?;
    file.seek(SeekFrom::Start(from))?;
    let lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
    let is_one = |line: &Vec<u8>| line.starts_with(b"LOG:  execute ") || line.starts_with(b"LOG:  statement: ");
    Ok(u64::try_from(lines.filter(is_one).count())?)
}
