//! `gateway plugin rerate`: recorded calls priced anew. First a plan, which only reads; then the plan is applied, as
//! adjustments beside the calls. It must never change what was settled.

mod plan;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use ledger::{
    AdjustmentRefused, Credits, NewPrice, OrganizationId, Period, PlanName, Rerated, Rerating, Reratings, UsageEventId,
};

use self::plan::{Head, Plan, PlanFile, Totals};
use super::super::run::runtime;
use super::super::{Failure, configuration, say};
use super::compare::in_order;
use super::recorded::{Recorded, Which, finish_progress, progress};
use super::replay::Replay;
use super::{report, rollout};

/// Adjustments made in one transaction. They may be of as many organisations, with some statements for each, and others wait
/// for their balances meanwhile.
const AT_ONCE: usize = 100;
/// Refused calls that are named.
const NAMED_MAX: usize = 20;

#[derive(Args)]
pub(in crate::cli) struct RerateArgs {
    /// The plugin that sets the new prices, a WebAssembly component.
    #[arg(required_unless_present = "apply", conflicts_with = "apply", requires_all = ["from", "to", "plan_file"])]
    file: Option<PathBuf>,
    /// The configuration that names the database.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// The first month.
    #[arg(long, value_name = "YYYY-MM", conflicts_with = "apply")]
    from: Option<Period>,
    /// The last month.
    #[arg(long, value_name = "YYYY-MM", conflicts_with = "apply")]
    to: Option<Period>,
    /// Calls of this organisation alone.
    #[arg(long, value_name = "ID", conflicts_with = "apply")]
    organization: Option<OrganizationId>,
    /// The plan of events that noted none.
    #[arg(long, default_value = "free", conflicts_with = "apply")]
    plan: PlanName,
    /// Where the plan of the re-rating is written: a line a call whose price differs, and the totals.
    #[arg(long, value_name = "FILE", conflicts_with = "apply")]
    plan_file: Option<PathBuf>,
    /// Apply this plan: an adjustment a line. Once for each call, however often it is applied.
    #[arg(long, value_name = "PLAN", requires = "reason")]
    apply: Option<PathBuf>,
    /// Why, for the adjustments and the audit trail.
    #[arg(long, requires = "apply")]
    reason: Option<String>,
    /// Who, for the audit trail; the system's user unless given.
    #[arg(long, value_name = "NAME", requires = "apply")]
    by: Option<String>,
}

pub(super) fn run(args: &RerateArgs) -> Result<(), Failure> {
    match (&args.file, args.from, args.to, &args.plan_file, &args.apply) {
        (Some(file), Some(from), Some(to), Some(plan_file), None) => {
            let which = Which { months: in_order(from, to)?, organization: args.organization.clone() };
            propose(args, file, &which, plan_file)
        }
        (None, None, None, None, Some(plan)) => apply(args, plan),
        _ => Err(Failure::Usage("either FILE with --from, --to and --plan-file, or --apply with --reason".to_owned())),
    }
}

/// Writes the plan, and changes nothing else.
fn propose(args: &RerateArgs, file: &Path, which: &Which, path: &Path) -> Result<(), Failure> {
    // What sets charges is loaded as a gateway loads it: signed, by its golden cases, within the configured limits.
    let settings = configuration::load(&args.config)?;
    let options =
        admin_api::pricing_options(&settings.pricing).map_err(|error| Failure::Usage(format!("{error:#}")))?;
    let tried = pricing::Plugin::load(&pricing::Options { path: file.to_owned(), ..options })
        .map_err(|error| Failure::Faults(vec![format!("{}: {}: {error}", file.display(), error.cause())]))?;
    let head = Head::new((**tried.identity()).clone(), which, args.plan.clone());
    let mut plan = PlanFile::create(path, &head)?;
    let replay = runtime(0)?.block_on(async {
        let recorded = Recorded::open(&args.config).await?;
        let mut replay = Replay::default();
        let read = recorded.each_charge(which, |charge| {
            // What was known when it was charged must not be replaced by an estimate.
            let known =
                |(price, estimated): (Credits, bool)| (!estimated || charge.event.is_estimated()).then_some(price);
            let priced = replay.take(charge, &recorded, None, &tried, &args.plan);
            match priced.and_then(known).filter(|price| *price != charge.credits) {
                Some(price) => plan.add(&NewPrice {
                    event_id: charge.event.id,
                    organization_id: charge.event.organization_id.clone(),
                    event_type: charge.event.event_type.clone(),
                    charged: charge.credits,
                    price,
                    difference: price.saturating_sub(charge.credits),
                }),
                None => Ok(()),
            }
        });
        read.await?;
        recorded.close().await;
        Ok::<_, Failure>(replay)
    })?;
    let totals = plan.finish(&replay.total)?;
    for line in report::table(&replay) {
        say(&line);
    }
    let Totals { differing, difference, .. } = totals;
    say(&format!("plan          {}: {differing} adjustments, {difference} credits in all", path.display()));
    Ok(())
}

/// Makes the adjustments of a plan that was looked at.
fn apply(args: &RerateArgs, path: &Path) -> Result<(), Failure> {
    let reason = args.reason.as_deref().unwrap_or_default();
    let mut change = rollout::change(reason, args.by.as_deref())?;
    let settings = configuration::load(&args.config)?;
    // Read to its end before anything is changed: half a plan is none.
    let Plan { head, totals, sha256 } = plan::verify(path)?;
    let request_id = format!("rerate-{}", sha256.get(..16).unwrap_or_default()).parse().context("a request id")?;
    let by = Rerating { plan: sha256, plugin: head.plugin, reason: reason.to_owned(), request_id };
    let done = runtime(0)?.block_on(async {
        let store = rollout::open(&settings).await?;
        let (mut done, mut prices) = (Done::default(), plan::prices(path, totals.differing)?);
        loop {
            let some: Vec<NewPrice> = prices.by_ref().take(AT_ONCE).collect::<anyhow::Result<_>>()?;
            if some.is_empty() {
                break;
            }
            change.at = ledger::Clock::now(&ledger::SystemClock);
            let rerated = Reratings::rerate(&*store, &by, &some, &change).await.context("database.url")?;
            for (price, rerated) in some.iter().zip(rerated) {
                done.note(price, rerated);
            }
            progress(done.all(), totals.differing);
        }
        finish_progress(totals.differing);
        store.close().await;
        Ok::<_, Failure>(done)
    })?;
    done.tell()
}

/// What became of a plan.
#[derive(Default)]
struct Done {
    made: u64,
    credits: Credits,
    repeated: u64,
    refused: BTreeMap<&'static str, u64>,
    named: Vec<(UsageEventId, AdjustmentRefused)>,
}

impl Done {
    fn note(&mut self, price: &NewPrice, rerated: Rerated) {
        match rerated {
            Rerated::Made => {
                self.made = self.made.saturating_add(1);
                self.credits = self.credits.saturating_add(price.difference);
            }
            Rerated::Repeated => self.repeated = self.repeated.saturating_add(1),
            Rerated::Refused(why) => {
                *self.refused.entry(cause(why)).or_default() += 1;
                if self.named.len() < NAMED_MAX {
                    self.named.push((price.event_id, why));
                }
            }
        }
    }

    fn all(&self) -> u64 {
        self.refused.values().fold(self.made.saturating_add(self.repeated), |sum, some| sum.saturating_add(*some))
    }

    fn tell(self) -> Result<(), Failure> {
        say(&format!("adjusted      {} calls, {} credits in all", self.made, self.credits));
        if self.repeated > 0 {
            say(&format!("before        {} calls: this plan was applied to them already", self.repeated));
        }
        if self.refused.is_empty() {
            return Ok(());
        }
        let mut faults: Vec<String> =
            self.refused.iter().map(|(cause, calls)| format!("{calls} calls are not adjusted: {cause}")).collect();
        faults.extend(self.named.iter().map(|(id, why)| format!("{id}: {}", detail(*why))));
        Err(Failure::Faults(faults))
    }
}

fn cause(why: AdjustmentRefused) -> &'static str {
    match why {
        AdjustmentRefused::NoOrganization => "there is no such organisation",
        AdjustmentRefused::NoEvent => "there is no such charge",
        AdjustmentRefused::OtherPrice { .. } => "they were re-rated since the plan was made: make another one",
        AdjustmentRefused::MoreThanCharged { .. } => "more would be given back than is left of the charge",
        AdjustmentRefused::OverLimit { .. } => "more would be taken than is left of this month's limit",
        AdjustmentRefused::KeyReused | AdjustmentRefused::TooManyGrants | AdjustmentRefused::OutOfRange => {
            "the month's sum would be too large to be counted"
        }
    }
}

fn detail(why: AdjustmentRefused) -> String {
    match why {
        AdjustmentRefused::OtherPrice { rated } => format!("it costs {rated} by now"),
        AdjustmentRefused::MoreThanCharged { left } => format!("{left} is left of its charge"),
        AdjustmentRefused::OverLimit { remaining } => format!("{remaining} is left of the limit"),
        other => cause(other).to_owned(),
    }
}

#[cfg(test)]
mod tests;
