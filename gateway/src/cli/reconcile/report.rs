//! What reconciliation says: a line a difference, and the total at the end, for people or as JSON.

use std::fmt;

use journal::Look;
use ledger::{Balance, Credits, OrganizationId, Period};
use serde_json::{Value, json};
use store::{Compared, Difference, Repaired, RollupSum};

/// Something to be told.
pub(super) enum Line {
    Difference(Difference),
    /// Retention has dropped the events of this period.
    EventsGone(Period),
    Repaired {
        organization_id: OrganizationId,
        period: Period,
        repaired: Repaired,
    },
    Total(Total),
}

/// What was found in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Total {
    /// The first and the last period that was compared.
    pub(super) span: Option<(Period, Period)>,
    /// Periods whose events are gone.
    pub(super) without_events: u64,
    pub(super) by_events: Balance,
    /// Differences that are left.
    pub(super) differences: u64,
    /// Σ credits by which balances differ from the events, whichever is more.
    pub(super) unexplained_in_balances: Credits,
    /// The same of daily rollups.
    pub(super) unexplained_in_rollups: Credits,
    /// Organisations and periods that were repaired.
    pub(super) repaired: u64,
    pub(super) journal: Look,
}

impl Total {
    pub(super) fn compared(&mut self, period: Period, compared: &Compared) {
        if !compared.events_kept {
            self.without_events = self.without_events.saturating_add(1);
            return;
        }
        self.span = Some((self.span.map_or(period, |(first, _)| first), period));
        self.by_events.used = self.by_events.used.saturating_add(compared.by_events.used);
        self.by_events.events = self.by_events.events.saturating_add(compared.by_events.events);
        self.by_events.calls = self.by_events.calls.saturating_add(compared.by_events.calls);
        self.by_events.adjusted = self.by_events.adjusted.saturating_add(compared.by_events.adjusted);
    }

    pub(super) fn differs(&mut self, difference: &Difference) {
        self.differences = self.differences.saturating_add(1);
        let sum = match difference {
            Difference::Balance(_) => &mut self.unexplained_in_balances,
            Difference::Rollup(_) => &mut self.unexplained_in_rollups,
        };
        *sum = sum.saturating_add(difference.credits());
    }

    /// A balance and its rollups may be wrong by the same credits: the total has each on its own.
    fn unexplained(&self) -> Credits {
        self.unexplained_in_balances.saturating_add(self.unexplained_in_rollups)
    }

    /// Why the books are not sound, a line each; none where they are.
    pub(super) fn faults(&self) -> Vec<String> {
        if self.differences == 0 {
            return Vec::new();
        }
        vec![format!("BROKEN: {} differences; {} credits are unexplained", self.differences, self.unexplained())]
    }

    fn to_json(self) -> Value {
        let Look { owned, waiting, waiting_credits, holds, held, damaged } = self.journal;
        json!({
            "kind": "total",
            "from": self.span.map(|(first, _)| first),
            "to": self.span.map(|(_, last)| last),
            "periodsWithoutEvents": self.without_events,
            "byEvents": of_balance(self.by_events),
            "differences": self.differences,
            "unexplainedInBalances": self.unexplained_in_balances,
            "unexplainedInRollups": self.unexplained_in_rollups,
            "unexplained": self.unexplained(),
            "repaired": self.repaired,
            "journal": {
                "gatewayRuns": owned, "waitingEvents": waiting, "waitingCredits": waiting_credits,
                "openHolds": holds, "heldCredits": held, "damaged": damaged,
            },
        })
    }
}

impl Line {
    pub(super) fn to_json(&self) -> String {
        match self {
            Self::Difference(Difference::Balance(it)) => json!({
                "kind": "balance", "organizationId": it.organization_id, "period": it.period,
                "byEvents": of_balance(it.by_events), "stored": of_balance(it.stored),
            }),
            Self::Difference(Difference::Rollup(it)) => json!({
                "kind": "rollup", "organizationId": it.organization_id, "day": it.day, "eventType": it.event_type,
                "userId": it.user_id, "byEvents": of_rollup(it.by_events), "stored": of_rollup(it.stored),
            }),
            Self::EventsGone(period) => json!({"kind": "eventsGone", "period": period}),
            Self::Repaired { organization_id, period, repaired } => json!({
                "kind": "repaired", "organizationId": organization_id, "period": period, "rollups": repaired.rollups,
                "balance": repaired.balance.map(|(old, new)| json!({"from": of_balance(old), "to": of_balance(new)})),
            }),
            Self::Total(total) => total.to_json(),
        }
        .to_string()
    }
}

fn of_balance(balance: Balance) -> Value {
    json!({
        "used": balance.used, "events": balance.events, "calls": balance.calls, "adjusted": balance.adjusted,
    })
}

fn of_rollup(sum: RollupSum) -> Value {
    json!({"credits": sum.credits, "events": sum.events})
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Difference(Difference::Balance(it)) => write!(
                f,
                "{} {} balance: the events say {}; stored is {}",
                it.organization_id,
                it.period,
                Told(it.by_events),
                Told(it.stored)
            ),
            Self::Difference(Difference::Rollup(it)) => write!(
                f,
                "{} {} {} by {}: the events say {} credits, {} events; stored is {} credits, {} events",
                it.organization_id,
                it.day,
                it.event_type,
                it.user_id,
                it.by_events.credits,
                it.by_events.events,
                it.stored.credits,
                it.stored.events
            ),
            Self::EventsGone(period) => {
                write!(f, "{period} is not compared: retention has dropped its events, and its sums stay as they are")
            }
            Self::Repaired { organization_id, period, repaired: Repaired { balance: Some((old, new)), rollups } } => {
                write!(
                    f,
                    "{organization_id} {period} repaired: {rollups} rollups, and the BALANCE from {} to {}",
                    Told(*old),
                    Told(*new)
                )
            }
            Self::Repaired { organization_id, period, repaired: Repaired { balance: None, rollups } } => {
                write!(f, "{organization_id} {period} repaired: {rollups} rollups; the balance was right")
            }
            Self::Total(total) => total.fmt(f),
        }
    }
}

/// A balance in words.
struct Told(Balance);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} credits, {} events, {} calls", self.0.used, self.0.events, self.0.calls)
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.span {
            Some((first, last)) => writeln!(f, "compared          {first} to {last}")?,
            None => writeln!(f, "compared          nothing: no usage is recorded in this range")?,
        }
        writeln!(f, "the events say    {}", Told(self.by_events))?;
        let Look { owned, waiting, waiting_credits, holds, held, damaged } = self.journal;
        let running = if owned { "a gateway runs, so this is more or less so: " } else { "" };
        writeln!(
            f,
            "journal           {running}{waiting} events ({waiting_credits} credits) wait to be applied, {holds} holds \
             ({held} credits) are open, {damaged} stretches are damaged"
        )?;
        writeln!(f, "repaired          {}", self.repaired)?;
        writeln!(f, "differences       {}", self.differences)?;
        write!(
            f,
            "unexplained       {} credits ({} in balances, {} in daily rollups)",
            self.unexplained(),
            self.unexplained_in_balances,
            self.unexplained_in_rollups
        )
    }
}
