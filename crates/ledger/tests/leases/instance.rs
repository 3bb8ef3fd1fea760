//! One gateway of the simulation: books, journal, calls. It drives its books as `gateway/src/leases.rs` does.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::{Book, Credits, Grant, Hold, Limit, Share, Ticket, Uptime};

use crate::database::{Account, Event, Life};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Up {
    Running,
    Dead,
    /// It applies the journal of the life before.
    Replaying {
        of: Life,
        retiring: bool,
    },
}

/// A call on its way.
pub(crate) struct Call {
    pub(crate) account: Account,
    pub(crate) amount: Credits,
    pub(crate) began: u64,
    pub(crate) state: State,
    /// A later try is planned.
    pub(crate) tries_again: bool,
    /// The least that was obtainable since it began.
    pub(crate) least: Share,
    /// Something was wrong at its instance or at the store while it waited.
    pub(crate) troubled: bool,
}

pub(crate) enum State {
    Waiting(Ticket),
    Held(Hold),
    /// Its backend is done; the hold is not secure and the store is asked.
    Securing(Hold, u64),
    /// Between the look at the lease and the record in the journal.
    Writing(Hold, u64),
}

pub(crate) struct Instance {
    pub(crate) up: Up,
    pub(crate) life: Life,
    pub(crate) paused_until: u64,
    pub(crate) cut_until: u64,
    pub(crate) troubled_until: u64,
    /// Thousandths.
    pub(crate) rate: u64,
    pub(crate) offset: u64,
    pub(crate) grant: Grant,
    pub(crate) books: [Arc<Book>; 2],
    pub(crate) journal: Vec<Event>,
    /// Journaled in this life.
    pub(crate) spent: [Share; 2],
    pub(crate) calls: BTreeMap<u64, Call>,
    pub(crate) renewing: Option<u64>,
    pub(crate) epochs: Vec<(Account, i64)>,
    pub(crate) applying: Option<u64>,
    pub(crate) applies_at: u64,
    /// The most that was committed in this and the last 150 milliseconds: what came free since then may not have been
    /// given back yet.
    pub(crate) peaks: [(u64, Share, Share); 2],
    /// The life whose journal is there to be replayed.
    pub(crate) replays: Option<Life>,
}

impl Instance {
    pub(crate) fn uptime(&self, now: u64) -> Uptime {
        Uptime::from_millis(self.offset + now * self.rate / 1_000)
    }

    pub(crate) fn held(&self, account: Account) -> Share {
        let book = self.books[account].snapshot();
        Share { credits: book.held, calls: book.calls_held }
    }

    /// Notes what is committed now.
    pub(crate) fn peak(&mut self, account: Account, now: u64) {
        let committed = self.spent[account].plus(self.held(account));
        let (tenth, this, last) = self.peaks[account];
        self.peaks[account] = match now / 150 {
            same if same == tenth => (tenth, this.max(committed), last),
            next if next == tenth + 1 => (next, committed, this),
            later => (later, committed, committed),
        };
    }

    /// Spent or held a moment ago and not yet applied, where `charged` is.
    pub(crate) fn recently_committed(&self, account: Account, charged: Share) -> Share {
        let (_, this, last) = self.peaks[account];
        this.max(last).max(self.spent[account].plus(self.held(account))).less(charged)
    }

    /// Spent or held and not yet applied, where `charged` is.
    pub(crate) fn committed(&self, account: Account, charged: Share) -> Share {
        self.spent[account].plus(self.held(account)).less(charged)
    }

    /// The part of a share that this instance knows to be limited.
    pub(crate) fn grant_cover(&self, share: Share) -> Share {
        let credits = if self.grant.credits == Limit::Unlimited { Credits::ZERO } else { share.credits };
        Share { credits, calls: self.grant.calls.map_or(0, |_| share.calls) }
    }

    pub(crate) fn is_well(&self, now: u64) -> bool {
        self.up == Up::Running && self.paused_until <= now && self.cut_until <= now && self.troubled_until <= now
    }
}
