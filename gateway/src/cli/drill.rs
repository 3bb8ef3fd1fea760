//! `gateway drill`: fires many calls at once at a balance for a few, through gateways that are running, and proves that
//! exactly the few were admitted and charged. It must never touch an organisation that somebody uses: it makes its own.

mod burst;
mod report;
mod target;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use http::Uri;
use ledger::{Clock as _, HistoryFilter, PageRequest, Period, SystemClock};

use self::report::{Books, Report};
use self::target::Target;
use super::run::runtime;
use super::{Failure, configuration, say};
use crate::Options;

/// How long charges may take to reach the database once the last answer is there.
const RECORDED_WITHIN: Duration = Duration::from_secs(15);
/// How often the database is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The most calls of one drill: each has a connection of its own.
const CALLS_MAX: u64 = 10_000;

#[derive(Args)]
pub(super) struct Drill {
    /// The configuration of a gateway that is running.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// How many calls are made at once.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=CALLS_MAX))]
    calls: u64,
    /// For how many of them there is credit. So many calls reach the backend.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=CALLS_MAX))]
    credit_for: u64,
    /// The configured path to call; the first metered route unless given.
    #[arg(long, value_name = "PATH")]
    route: Option<String>,
    /// The body of each call, as JSON.
    #[arg(long, default_value = r#"{"content":["A drill."]}"#)]
    body: String,
    /// A gateway to call, such as <http://10.0.0.2:8080>; repeatable, in turn. The configuration's own unless given.
    #[arg(long, value_name = "URL", value_parser = target::instance)]
    instance: Vec<Uri>,
    /// A file with the credential to call with. Without it one is signed with the configuration's HS256 secret.
    #[arg(long, value_name = "FILE")]
    credential_file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(drill: &Drill) -> Result<(), Failure> {
    let settings = configuration::load(&drill.config)?;
    let options = Options::from_settings(&settings).map_err(|error| Failure::Usage(format!("{error:#}")))?;
    let report = runtime(0)?.block_on(carry_out(drill, &options))?;
    say(&if drill.json { report.to_json() } else { report.to_string() });
    if report.faults().is_empty() { Ok(()) } else { Err(Failure::Faults(report.faults())) }
}

async fn carry_out(drill: &Drill, options: &Options) -> Result<Report, Failure> {
    let companion = store::Options { occupancy: store::Occupancy::Companion, ..options.store.clone() };
    let store = store::open(companion).await.context("database.url")?;
    let began = SystemClock.now();
    let target = Target::prepare(drill, options, &*store, began).await?;
    let report = prove(drill, &target, &*store, Period::of(began)).await;
    // Whatever came of it, nobody may spend what is left.
    target.retire(&*store, SystemClock.now()).await?;
    store.close().await;
    Ok(report?)
}

async fn prove(drill: &Drill, target: &Target, store: &dyn store::Store, period: Period) -> anyhow::Result<Report> {
    let started = Instant::now();
    let answers = burst::fire(target, drill.calls).await?;
    let took = started.elapsed();
    let books = settled_books(target, store, &answers, period).await?;
    Ok(Report::new(target, &answers, &books, took))
}

/// What the gateways and the database say once every charge has arrived, or when the wait is over.
async fn settled_books(
    target: &Target,
    store: &dyn store::Store,
    answers: &[burst::Answer],
    period: Period,
) -> anyhow::Result<Books> {
    let charged = u64::try_from(answers.iter().filter(|answer| answer.event.is_some()).count())?;
    let until = Instant::now() + RECORDED_WITHIN;
    loop {
        let balance = store.balance(&target.organization, period).await?;
        let counter = burst::counter(target).await?;
        let recorded = balance.events >= charged && counter.held == ledger::Credits::ZERO;
        if recorded || Instant::now() >= until {
            let page = PageRequest { page: 1, limit: 1 };
            let history = store.history(&target.organization, &HistoryFilter::default(), page).await?;
            return Ok(Books {
                used: balance.used,
                events: history.summary.total_events,
                sum_of_events: history.summary.total_credits,
                held: counter.held,
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
