//! `gateway plugin replay` and `diff`: their arguments, and what they tell.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use ledger::{OrganizationId, Period, PlanName};
use pricing::{Cases, Plugin};

use super::super::run::runtime;
use super::super::{Failure, say};
use super::recorded::{Recorded, Which};
use super::replay::Replay;
use super::{load, report};

#[derive(Args)]
pub(in crate::cli) struct ReplayArgs {
    /// The plugin that is tried, a WebAssembly component.
    file: PathBuf,
    #[command(flatten)]
    over: Over,
    /// The configuration that names the database. It is only read.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Args)]
pub(in crate::cli) struct DiffArgs {
    /// One plugin.
    one: PathBuf,
    /// The other plugin.
    other: PathBuf,
    /// Golden cases whose calls both price; those beside the first one unless given.
    #[arg(long, conflicts_with = "config")]
    cases: Option<PathBuf>,
    /// The configuration that names the database: recorded calls are compared. It is only read.
    #[arg(long, short, value_name = "FILE", requires = "from", requires = "to")]
    config: Option<PathBuf>,
    /// The first month of the recorded calls.
    #[arg(long, value_name = "YYYY-MM", requires = "config")]
    from: Option<Period>,
    /// The last month of the recorded calls.
    #[arg(long, value_name = "YYYY-MM", requires = "config")]
    to: Option<Period>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Which recorded calls, and how they are shown.
#[derive(Args)]
struct Over {
    /// The first month.
    #[arg(long, value_name = "YYYY-MM")]
    from: Period,
    /// The last month.
    #[arg(long, value_name = "YYYY-MM")]
    to: Period,
    /// Calls of this organisation alone.
    #[arg(long, value_name = "ID")]
    organization: Option<OrganizationId>,
    /// The plan of events that noted none.
    #[arg(long, default_value = "free")]
    plan: PlanName,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Write a page with a chart.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(super) fn replay(args: &ReplayArgs) -> Result<(), Failure> {
    let Over { from, to, organization, plan, json, html } = &args.over;
    let which = Which { months: in_order(*from, *to)?, organization: organization.clone() };
    let tried = load(&args.file)?;
    let compared = runtime(0)?.block_on(compare(&args.config, &which, None, &tried, plan))?;
    if let Some(path) = html {
        let title = format!("{} {}, {from} to {to}", tried.identity().name, tried.identity().version);
        std::fs::write(path, report::page(&compared, &title)).with_context(|| path.display().to_string())?;
    }
    tell(&compared, *json);
    Ok(())
}

pub(super) fn diff(args: &DiffArgs) -> Result<(), Failure> {
    let (one, other) = (load(&args.one)?, load(&args.other)?);
    if let (Some(config), Some(from), Some(to)) = (&args.config, args.from, args.to) {
        let free = "free".parse().context("a plan")?;
        let which = Which { months: in_order(from, to)?, organization: None };
        let compared = runtime(0)?.block_on(compare(config, &which, Some(&one), &other, &free))?;
        tell(&compared, args.json);
        return if compared.total.differing == 0 { Ok(()) } else { Err(Failure::Faults(Vec::new())) };
    }
    let of = args.cases.clone().unwrap_or_else(|| Cases::path_for(&args.one));
    let text = std::fs::read_to_string(&of).with_context(|| format!("the golden cases {}", of.display()))?;
    let cases = Cases::parse(&text).map_err(|why| Failure::Usage(format!("{}: {why}", of.display())))?;
    let differences = cases.between(&one, &other);
    if differences.is_empty() {
        say(&format!("both price all {} calls of {} alike", cases.count(), of.display()));
        return Ok(());
    }
    let told = |it: &pricing::Difference| format!("{}\n  - {}\n  + {}", it.case, it.wanted, it.answered);
    Err(Failure::Faults(differences.iter().map(told).collect()))
}

async fn compare(
    config: &Path,
    which: &Which,
    first: Option<&Plugin>,
    tried: &Plugin,
    plan: &PlanName,
) -> Result<Replay, Failure> {
    let recorded = Recorded::open(config).await?;
    let mut compared = Replay::default();
    let read = recorded.each_charge(which, |charge| {
        compared.take(charge, &recorded, first, tried, plan);
        Ok(())
    });
    read.await?;
    recorded.close().await;
    Ok(compared)
}

fn tell(compared: &Replay, json: bool) {
    if json {
        return say(&report::to_json(compared).to_string());
    }
    for line in report::table(compared) {
        say(&line);
    }
}

pub(super) fn in_order(from: Period, to: Period) -> Result<(Period, Period), Failure> {
    if from > to {
        let why = format!("--from {from} is after --to {to}: allowed is the same month or an earlier one");
        return Err(Failure::Usage(why));
    }
    Ok((from, to))
}
