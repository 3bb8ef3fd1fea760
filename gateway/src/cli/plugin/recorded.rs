//! Recorded events out of the database that a configuration names, each with the definition that priced it. It must never
//! change anything: it opens the database as a visitor.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use ledger::{
    Credits, EventDefinition, EventType, OrganizationId, Outcome, Period, Timestamp, UsageEvent, UsageEventId,
};
use store::{Occupancy, Store};

use super::super::{Failure, configuration};
use crate::options::store_options;

/// Events read at once.
const PAGE: u32 = 2_000;

/// Which recorded calls.
pub(super) struct Which {
    /// The first and the last month.
    pub(super) months: (Period, Period),
    /// Whose; all organisations' where none is named.
    pub(super) organization: Option<OrganizationId>,
}

/// A call that was charged, and what it costs by now: its charge, and what re-ratings added to it.
pub(super) struct Charge {
    pub(super) event: UsageEvent,
    pub(super) credits: Credits,
}

/// An open database, and every definition there ever was.
pub(super) struct Recorded {
    store: Arc<dyn Store>,
    definitions: HashMap<(EventType, i64), EventDefinition>,
}

impl Recorded {
    pub(super) async fn open(config: &Path) -> Result<Self, Failure> {
        let settings = configuration::load(config)?;
        let options = store::Options { occupancy: Occupancy::Visitor, ..store_options(&settings.database) };
        Self::of(store::open(options).await.context("database.url")?).await
    }

    /// The same of a database that is open.
    pub(super) async fn of(store: Arc<dyn Store>) -> Result<Self, Failure> {
        let versions = store.definitions_ever().await.context("the event definitions")?;
        let definitions = versions.into_iter().map(|it| ((it.event_type.clone(), it.version), it)).collect();
        Ok(Self { store, definitions })
    }

    /// One event.
    pub(super) async fn event(&self, id: UsageEventId) -> Result<UsageEvent, Failure> {
        let event = self.store.recorded_event(id).await.context("database.url")?;
        event.ok_or_else(|| Failure::Faults(vec![format!("{id}: there is no such event")]))
    }

    /// The definition that priced it.
    pub(super) fn definition(&self, event: &UsageEvent) -> Option<&EventDefinition> {
        self.definitions.get(&(event.event_type.clone(), event.definition_version))
    }

    /// Hands over every charge of the months, in the order of their ids; the next ones are read meanwhile. Adjustments and
    /// what was given back have no price of a plugin's.
    pub(super) async fn each_charge(
        &self,
        which: &Which,
        mut take: impl FnMut(&Charge) -> anyhow::Result<()>,
    ) -> Result<(), Failure> {
        let range: (Timestamp, Timestamp) = (which.months.0.start(), which.months.1.end());
        // Only a bar wants the count, and to count months of events takes its time.
        let of = if std::io::stderr().is_terminal() {
            self.store.recorded_count(which.organization.as_ref(), range).await.context("database.url")?
        } else {
            0
        };
        let read = |after| tokio::spawn(page(Arc::clone(&self.store), which.organization.clone(), range, after));
        let (mut reading, mut done) = (read(None), 0_u64);
        loop {
            let Page { charges, events, last } = reading.await.context("reading")??;
            let Some(last) = last else { break };
            reading = read(Some(last));
            for charge in &charges {
                take(charge)?;
            }
            done = done.saturating_add(events);
            progress(done, of);
        }
        finish_progress(of);
        Ok(())
    }

    pub(super) async fn close(self) {
        self.store.close().await;
    }
}

/// What was read at once.
struct Page {
    charges: Vec<Charge>,
    /// All events that were read, those that are no charges too.
    events: u64,
    last: Option<UsageEventId>,
}

async fn page(
    store: Arc<dyn Store>,
    organization: Option<OrganizationId>,
    range: (Timestamp, Timestamp),
    after: Option<UsageEventId>,
) -> anyhow::Result<Page> {
    let events = store.recorded(organization.as_ref(), range, after, PAGE).await.context("database.url")?;
    let (Some(first), Some(last)) = (events.first().map(|event| event.id), events.last().map(|event| event.id)) else {
        return Ok(Page { charges: Vec::new(), events: 0, last: None });
    };
    let rerated: HashMap<_, _> = store.rerated(first, last).await.context("database.url")?.into_iter().collect();
    let read = u64::try_from(events.len()).unwrap_or(0);
    let charged = events.into_iter().filter(|it| it.outcome == Outcome::Captured && it.adjustment.is_none());
    let charges = charged.map(|event| {
        let added = rerated.get(&event.id).copied().unwrap_or_default();
        Charge { credits: event.credits.saturating_add(added), event }
    });
    Ok(Page { charges: charges.collect(), events: read, last: Some(last) })
}

/// A bar for whoever waits at a terminal.
#[expect(clippy::print_stderr, reason = "this is what a person at the terminal reads")]
pub(super) fn progress(done: u64, of: u64) {
    const CELLS: u64 = 30;
    if std::io::stderr().is_terminal() {
        let filled = usize::try_from(done.saturating_mul(CELLS) / of.max(1)).unwrap_or(0).min(30);
        eprint!("\r[{}{}] {done} of {of} events", "#".repeat(filled), " ".repeat(30 - filled));
    }
}

#[expect(clippy::print_stderr, reason = "this is what a person at the terminal reads")]
pub(super) fn finish_progress(of: u64) {
    if of > 0 && std::io::stderr().is_terminal() {
        eprintln!();
    }
}
