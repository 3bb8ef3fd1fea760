//! Recorded events out of the database that a configuration names, each with the definition that priced it. It must never
//! change anything: it opens the database as a visitor.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use ledger::{EventDefinition, EventType, Outcome, Period, Timestamp, UsageEvent, UsageEventId};
use store::{Occupancy, Store};

use super::super::{Failure, configuration};
use crate::options::store_options;

/// Events read at once.
const PAGE: u32 = 1_000;

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

    /// Hands over every charge of the months, both in. Adjustments and what was given back have no price of a plugin's.
    pub(super) async fn each_charge(
        &self,
        months: (Period, Period),
        mut take: impl FnMut(&UsageEvent),
    ) -> Result<(), Failure> {
        let range: (Timestamp, Timestamp) = (months.0.start(), months.1.end());
        let of = self.store.recorded_count(range).await.context("database.url")?;
        let (mut after, mut done) = (None, 0_u64);
        loop {
            let page = self.store.recorded(range, after, PAGE).await.context("database.url")?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for event in &page {
                if event.outcome == Outcome::Captured && event.adjustment.is_none() {
                    take(event);
                }
            }
            done = done.saturating_add(u64::try_from(page.len()).unwrap_or(0));
            progress(done, of);
        }
        if of > 0 && std::io::stderr().is_terminal() {
            finish_progress();
        }
        Ok(())
    }

    pub(super) async fn close(self) {
        self.store.close().await;
    }
}

/// A bar for whoever waits at a terminal.
#[expect(clippy::print_stderr, reason = "this is what a person at the terminal reads")]
fn progress(done: u64, of: u64) {
    const CELLS: u64 = 30;
    if std::io::stderr().is_terminal() {
        let filled = usize::try_from(done.saturating_mul(CELLS) / of.max(1)).unwrap_or(0).min(30);
        eprint!("\r[{}{}] {done} of {of} events", "#".repeat(filled), " ".repeat(30 - filled));
    }
}

#[expect(clippy::print_stderr, reason = "this is what a person at the terminal reads")]
fn finish_progress() {
    eprintln!();
}
