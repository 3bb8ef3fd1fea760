//! One gateway of the simulation: books, journal, calls. It drives its books as `gateway/src/leases.rs` does.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::{Book, Credits, Grant, Hold, Limit, Share, Spender, Ticket, Uptime};

use crate::database::{ACCOUNTS, Account, Event, Life, PERIODS, share_in, user, whose};

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
    pub(crate) by_ann: bool,
    pub(crate) amount: Credits,
    pub(crate) began: u64,
    pub(crate) state: State,
    /// A later try is planned.
    pub(crate) tries_again: bool,
    /// The least that was obtainable since it began, of the organisation's credit and of Ann's.
    pub(crate) least: [Share; 2],
    /// Something was wrong at its instance or at the store while it waited.
    pub(crate) troubled: bool,
}

/// How far the lease of Ann's account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// Nothing is under way.
    Idle,
    /// What was captured must be applied: that many events of this life.
    CatchingUp { captured: Credits, until: u64 },
    /// The store is asked, by the message of this number.
    Sent { captured: Credits, number: u64 },
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
    /// The organisation's and Ann's, as it knows them.
    pub(crate) grants: [Grant; 2],
    pub(crate) books: [Arc<Book>; PERIODS],
    pub(crate) journal: Vec<Event>,
    /// Journaled in this life.
    pub(crate) spent: [Share; ACCOUNTS],
    /// How many events were journaled in this life, and how many of them are known to be applied.
    pub(crate) events: (u64, u64),
    pub(crate) beginnings: [Beginning; PERIODS],
    pub(crate) begun: i64,
    pub(crate) calls: BTreeMap<u64, Call>,
    pub(crate) renewing: Option<u64>,
    pub(crate) epochs: Vec<(Account, i64)>,
    pub(crate) applying: Option<u64>,
    pub(crate) applies_at: u64,
    /// The most that was committed in this and the last 150 milliseconds: what came free since then may not have been
    /// given back yet.
    pub(crate) peaks: [(u64, Share, Share); ACCOUNTS],
    /// When a call of Ann's last waited.
    pub(crate) anns_wait_at: u64,
    /// The life whose journal is there to be replayed.
    pub(crate) replays: Option<Life>,
}

impl Instance {
    pub(crate) fn uptime(&self, now: u64) -> Uptime {
        Uptime::from_millis(self.offset + now * self.rate / 1_000)
    }

    pub(crate) fn held(&self, account: Account) -> Share {
        let book = &self.books[account % PERIODS];
        match user(account) {
            Some(ann) => Share { credits: book.spending(ann).held, calls: 0 },
            None => Share { credits: book.snapshot().held, calls: book.snapshot().calls_held },
        }
    }

    /// Whether an account has a lease.
    pub(crate) fn has_begun(&self, account: Account) -> bool {
        user(account).is_none_or(|ann| self.books[account % PERIODS].has_begun(ann))
    }

    /// What is journaled and not in the store, which has what `is_applied` says.
    pub(crate) fn unapplied(&self, account: Account, is_applied: impl Fn(u64) -> bool) -> Share {
        let events = self.journal.iter().filter(|event| !is_applied(event.id));
        let parts = events.flat_map(Event::parts).filter(|(of, _)| *of == account);
        parts.fold(Share::ZERO, |sum, (_, charge)| sum.plus(charge))
    }

    /// Who calls, as a book is told.
    pub(crate) fn spender(&self, by_ann: bool) -> Option<Spender> {
        let limit = self.grants[1].credits;
        by_ann.then(|| Spender { user_id: user(PERIODS).unwrap().clone(), limit })
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

    /// The part of an account's share that this instance knows to be limited.
    pub(crate) fn grant_cover(&self, account: Account, share: Share) -> Share {
        let grant = self.grants[whose(account)];
        let credits = if grant.credits == Limit::Unlimited { Credits::ZERO } else { share.credits };
        share_in(account, Share { credits, calls: grant.calls.map_or(0, |_| share.calls) })
    }

    pub(crate) fn is_well(&self, now: u64) -> bool {
        self.up == Up::Running && self.paused_until <= now && self.cut_until <= now && self.troubled_until <= now
    }
}
