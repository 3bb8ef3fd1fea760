//! `gateway plugin replay` and `diff`: what recorded calls would cost by another plugin, and where two plugins differ.

use std::collections::BTreeMap;

use ledger::{Credits, EventType, OrganizationId, PlanName};
use pricing::{Plugin, rerate};
use serde::Serialize;

use super::recorded::{Charge, Recorded};

/// Rows that a table, a report and a chart show.
pub(super) const ROWS_MAX: usize = 20;

/// What calls of one organisation and event type cost, and would cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sum {
    pub(super) events: u64,
    /// As charged, or by the first plugin.
    pub(super) old: Credits,
    /// By the plugin that is tried.
    pub(super) new: Credits,
    /// Events whose price differs.
    pub(super) differing: u64,
    /// Events that get no price now; they stay at what they cost.
    pub(super) unpriced: u64,
    /// Events of which too little is known, so that their quote stands.
    pub(super) estimated: u64,
}

impl Sum {
    pub(super) fn difference(&self) -> Credits {
        self.new.saturating_sub(self.old)
    }

    fn add(&mut self, old: Credits, new: Option<(Credits, bool)>) {
        self.events = self.events.saturating_add(1);
        let (credits, estimated) = new.unwrap_or((old, false));
        self.old = self.old.saturating_add(old);
        self.new = self.new.saturating_add(credits);
        self.differing = self.differing.saturating_add(u64::from(credits != old));
        self.unpriced = self.unpriced.saturating_add(u64::from(new.is_none()));
        self.estimated = self.estimated.saturating_add(u64::from(estimated));
    }
}

/// The whole comparison.
#[derive(Debug, Default)]
pub(super) struct Replay {
    pub(super) total: Sum,
    sums: BTreeMap<(OrganizationId, EventType), Sum>,
    /// Why events got no price, and how many.
    pub(super) causes: BTreeMap<&'static str, u64>,
}

/// A row of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    pub(super) organization_id: OrganizationId,
    pub(super) event_type: EventType,
    #[serde(flatten)]
    pub(super) sum: Sum,
    pub(super) difference: Credits,
}

impl Replay {
    /// Prices a charge once more, and compares it with what it costs by now, or with what `first` makes of it. Answers what
    /// `tried` makes of it, and whether that is an estimate.
    pub(super) fn take(
        &mut self,
        charge: &Charge,
        of: &Recorded,
        first: Option<&Plugin>,
        tried: &Plugin,
        plan: &PlanName,
    ) -> Option<(Credits, bool)> {
        let event = &charge.event;
        let mut price = |plugin: &Plugin| {
            let definition = of.definition(event).ok_or("definition_unknown");
            let settled = definition.and_then(|it| rerate(plugin, event, it, plan).map_err(|error| error.cause()));
            settled.map_err(|cause| *self.causes.entry(cause).or_default() += 1).ok()
        };
        let old = match first {
            None => charge.credits,
            Some(first) => price(first).map_or(charge.credits, |settled| settled.quote.credits),
        };
        let new = price(tried).map(|settled| (settled.quote.credits, settled.estimated));
        self.total.add(old, new);
        self.sums.entry((event.organization_id.clone(), event.event_type.clone())).or_default().add(old, new);
        new
    }

    /// The rows, the largest differences first.
    pub(super) fn rows(&self) -> Vec<Row> {
        let row = |((organization_id, event_type), sum): (&(OrganizationId, EventType), &Sum)| Row {
            organization_id: organization_id.clone(),
            event_type: event_type.clone(),
            difference: sum.difference(),
            sum: sum.clone(),
        };
        let mut rows: Vec<Row> = self.sums.iter().map(row).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.difference.micros().unsigned_abs()));
        rows
    }
}

#[cfg(test)]
mod tests;
