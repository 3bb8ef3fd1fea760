//! `gateway reconcile`: what the usage events alone add up to, beside balances and daily rollups, and what the journal
//! still has. It must never change an event, nor anything else unless a repair is asked for.

mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use journal::{Look, Waiting};
use ledger::{Actor, Change, Clock as _, OrganizationId, Period, StoreError, SystemClock, UsageStore};
use store::{Difference, Occupancy, Reconciliation};

use self::report::{Line, Total};
use super::run::runtime;
use super::{Failure, configuration, say};
use crate::Options;

/// Whose repairs they are, in the audit trail.
const ACTOR: &str = "gateway-reconcile";
const ROLE: &str = "platform_admin";

#[derive(Args)]
pub(super) struct Reconcile {
    /// The configuration that names the database and the journal.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// The first month; the first of which anything is known unless given.
    #[arg(long, value_name = "YYYY-MM")]
    from: Option<Period>,
    /// The last month; the last of which anything is known unless given.
    #[arg(long, value_name = "YYYY-MM")]
    to: Option<Period>,
    /// One organisation only.
    #[arg(long, value_name = "ID")]
    organization: Option<OrganizationId>,
    /// Write the daily rollups that differ anew from the events, and the balances that differ. Events are never changed.
    #[arg(long)]
    repair_rollups: bool,
    /// Print a JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(reconcile: &Reconcile) -> Result<(), Failure> {
    if let (Some(from), Some(to)) = (reconcile.from, reconcile.to)
        && from > to
    {
        return Err(Failure::Usage(format!(
            "--from {from} is after --to {to}: allowed is the same month or an earlier one"
        )));
    }
    let settings = configuration::load(&reconcile.config)?;
    let options = Options::from_settings(&settings).map_err(|error| Failure::Usage(format!("{error:#}")))?;
    let total = runtime(0)?.block_on(carry_out(reconcile, &options))?;
    let faults = total.faults();
    if faults.is_empty() {
        return Ok(());
    }
    // Whoever asked for JSON has the total, and reads nothing else.
    Err(Failure::Faults(if reconcile.json { Vec::new() } else { faults }))
}

async fn carry_out(reconcile: &Reconcile, options: &Options) -> Result<Total, Failure> {
    // Somebody who only looks makes and changes nothing, not even the schema.
    let occupancy = if reconcile.repair_rollups { Occupancy::Companion } else { Occupancy::Visitor };
    let store = store::open(store::Options { occupancy, ..options.store.clone() }).await.context("database.url")?;
    let mut tell = |line: Line| say(&if reconcile.json { line.to_json() } else { line.to_string() });
    if let Some(id) = &reconcile.organization
        && store.organization(id).await.context("database.url")?.is_none()
    {
        return Err(Failure::word("--organization", format!("there is no organisation {id}")));
    }
    let mut total = books(reconcile, &*store, &mut tell).await?;
    let directory = options.journal.directory.clone();
    let looked = tokio::task::spawn_blocking(move || journal::look(&directory)).await.context("journal.directory")?;
    let (journal, waiting) = looked.context("journal.directory")?;
    total.journal = waits(journal, &waiting, &*store).await.context("database.url")?;
    store.close().await;
    tell(Line::Total(total));
    Ok(total)
}

/// What waits in truth: a journal keeps what was applied for up to half a minute. It is applied in the order in which it came, so
/// that the first one which the store lacks ends the search.
async fn waits(mut journal: Look, events: &[Waiting], store: &(impl UsageStore + ?Sized)) -> Result<Look, StoreError> {
    for event in events {
        if store.event(&event.organization_id, event.id).await?.is_none() {
            break;
        }
        journal.is_there(event);
    }
    Ok(journal)
}

/// Compares every period of the range, and repairs where that is asked for.
async fn books(
    reconcile: &Reconcile,
    store: &(impl Reconciliation + ?Sized),
    tell: &mut (dyn FnMut(Line) + Send),
) -> anyhow::Result<Total> {
    let of = reconcile.organization.as_ref();
    let mut total = Total::default();
    let Some((first, last)) = store.span(of).await.context("database.url")? else { return Ok(total) };
    // Nothing is known of what lies outside.
    let mut period = reconcile.from.map_or(first, |from| from.max(first));
    let to = reconcile.to.map_or(last, |to| to.min(last));
    while period <= to {
        one_period(reconcile, store, period, &mut total, tell).await.with_context(|| format!("{period}"))?;
        if period == period.next() {
            break;
        }
        period = period.next();
    }
    Ok(total)
}

async fn one_period(
    reconcile: &Reconcile,
    store: &(impl Reconciliation + ?Sized),
    period: Period,
    total: &mut Total,
    tell: &mut (dyn FnMut(Line) + Send),
) -> anyhow::Result<()> {
    let mut wrong = BTreeSet::new();
    let mut note = |difference: Difference| {
        if reconcile.repair_rollups {
            wrong.insert(difference.organization_id().clone());
        } else {
            total.differs(&difference);
        }
        tell(Line::Difference(difference));
    };
    let compared = store.compare(period, reconcile.organization.as_ref(), &mut note).await?;
    total.compared(period, &compared);
    if !compared.events_kept {
        tell(Line::EventsGone(period));
    }
    for id in wrong {
        let actor = Actor { user_id: ACTOR.to_owned(), role: ROLE.to_owned(), remote_address: None, request_id: None };
        let change = Change { actor, at: SystemClock.now() };
        let repaired = store.repair(&id, period, &change).await.with_context(|| format!("{id}"))?;
        total.repaired = total.repaired.saturating_add(1);
        // What counts is what is found afterwards, not what a repair says of itself.
        let mut left = |difference: Difference| {
            total.differs(&difference);
            tell(Line::Difference(difference));
        };
        store.compare(period, Some(&id), &mut left).await?;
        tell(Line::Repaired { organization_id: id, period, repaired });
    }
    Ok(())
}
