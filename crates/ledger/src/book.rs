//! The book: what one organisation may still spend in one period, and the live holds on it.
//!
//! A [`Hold`] is a value that only the book can make. Settling consumes it, dropping it voids it, so what is held is
//! always the sum of the holds that exist: no caller keeps a counter, and a hold can be settled once at most.
//!
//! Where one gateway owns the database, the allowance is what the limit leaves. Where several share one, it is a lease:
//! `lease.rs` says how.

mod hold;
mod leasing;
mod spenders;

use std::sync::Arc;

use parking_lot::Mutex;

use crate::lease::{Allowance, Verdict};
use crate::{Balance, Credits, LeaseKey, LeaseTerms, Limit, Reach, Share, Ticket, Uptime, UserId};

pub use hold::Hold;
use spenders::Spenders;
pub use spenders::{Spender, Spending};

/// What a period grants: credits, and how many calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Credits of the period.
    pub credits: Limit,
    /// Metered calls of the period; `None` is unlimited.
    pub calls: Option<u64>,
}

impl Grant {
    /// Whether anything is limited.
    pub(crate) fn is_limited(self) -> bool {
        self.calls.is_some() || self.credits != Limit::Unlimited
    }

    /// Whether it gives less than `other`, of credits or of calls.
    pub(crate) fn is_below(self, other: Self) -> bool {
        let fewer_credits = match (self.credits, other.credits) {
            (Limit::Unlimited, _) => false,
            (Limit::Credits(_), Limit::Unlimited) => true,
            (Limit::Credits(limit), Limit::Credits(other)) => limit < other,
        };
        fewer_credits || self.calls.is_some_and(|calls| other.calls.is_none_or(|other| calls < other))
    }

    /// How far a total may go that `usable` covers: what is not limited needs no cover.
    pub(crate) fn within(self, usable: Share) -> Reach {
        let credits = (self.credits != Limit::Unlimited).then_some(usable.credits);
        Reach { credits, calls: self.calls.map(|_| usable.calls) }
    }
}

/// One organisation's account for one period. It knows nothing of time: the caller keeps a book a period.
#[derive(Debug)]
pub struct Book(Mutex<State>);

#[derive(Debug)]
struct State {
    book: BookSnapshot,
    /// The part of what is used that adjustments make, where the store does not say what is used with every answer.
    adjusted: Credits,
    spenders: Spenders,
    /// `None` where the whole limit is this book's to spend.
    lease: Option<Allowance>,
}

/// A book at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BookSnapshot {
    /// Captured so far.
    pub used: Credits,
    /// Held by calls on their way.
    pub held: Credits,
    /// Calls captured so far.
    pub calls_used: u64,
    /// Calls on their way.
    pub calls_held: u64,
}

impl BookSnapshot {
    /// What may still be held under `limit`; `None` where there is no limit.
    pub fn available(&self, limit: Limit) -> Option<Credits> {
        limit.remaining(self.used.saturating_add(self.held))
    }

    fn held(&self) -> Share {
        Share { credits: self.held, calls: self.calls_held }
    }

    /// The book with `amount` held beside the rest; `None` where the sums would leave 64 bits.
    fn holding(self, amount: Credits) -> Option<Self> {
        let held = self.held.checked_add(amount)?;
        held.checked_add(self.used)?;
        Some(Self { held, calls_held: self.calls_held.saturating_add(1), ..self })
    }
}

/// Why no hold was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoldRefused {
    /// Not enough credit.
    #[error("{needed} credits are needed and {available} are left")]
    Credits {
        /// What may still be held.
        available: Credits,
        /// What was asked for.
        needed: Credits,
    },
    /// Not enough of what the user may spend.
    #[error("{needed} credits are needed and {available} are left of the user's limit")]
    User {
        /// What the user may still hold.
        available: Credits,
        /// What was asked for.
        needed: Credits,
    },
    /// No call left.
    #[error("all {limit} calls of the period are used")]
    Calls {
        /// The period's calls.
        limit: u64,
    },
    /// The amount is below zero, or the sums would leave 64 bits.
    #[error("{0} credits cannot be held")]
    Amount(Credits),
}

/// Why no hold was opened on a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOpened {
    /// The credit is not there.
    Refused(HoldRefused),
    /// The lease does not have it: try again with the ticket, once the store answered.
    NeedsCredit(Ticket),
    /// The user has a limit and no lease yet: [begin](Book::begin) it first.
    NotBegun,
}

impl Book {
    /// A book that may spend the whole limit, in which `used` credits and `calls_used` calls are captured already.
    pub fn new(used: Credits, calls_used: u64) -> Arc<Self> {
        Self::of(Balance { used, calls: calls_used, ..Balance::default() })
    }

    /// A book that goes on from what the store has.
    pub fn of(balance: Balance) -> Arc<Self> {
        let book = BookSnapshot { used: balance.used, calls_used: balance.calls, ..BookSnapshot::default() };
        Arc::new(Self(Mutex::new(State {
            book,
            adjusted: balance.adjusted,
            spenders: Spenders::default(),
            lease: None,
        })))
    }

    /// A book that may spend what it leases, which at first is nothing.
    pub fn leased(key: LeaseKey, terms: LeaseTerms) -> Arc<Self> {
        let lease = Some(Allowance::new(key, terms));
        let (book, adjusted) = (BookSnapshot::default(), Credits::ZERO);
        Arc::new(Self(Mutex::new(State { book, adjusted, spenders: Spenders::default(), lease })))
    }

    /// Holds `amount` for one call if `grant` allows it beside all that is used and held. One step, under one lock:
    /// no two calls can both take the last credit. On a leased book, what the lease lacks is refused.
    pub fn open(self: &Arc<Self>, amount: Credits, grant: Grant) -> Result<Hold, HoldRefused> {
        self.open_leased(amount, grant, Uptime::ZERO, None).map_err(|not_opened| match not_opened {
            NotOpened::Refused(refused) => refused,
            NotOpened::NeedsCredit(_) | NotOpened::NotBegun => {
                HoldRefused::Credits { available: Credits::ZERO, needed: amount }
            }
        })
    }

    /// [`Book::open`] with a lease that may have to grow first. A call that was told to wait comes again with its
    /// ticket `after` the store answered, until it has a hold, is refused, or [gives up](Self::give_up).
    pub fn open_leased(
        self: &Arc<Self>,
        amount: Credits,
        grant: Grant,
        now: Uptime,
        after: Option<Ticket>,
    ) -> Result<Hold, NotOpened> {
        self.open_by(None, amount, grant, now, after)
    }

    /// [`Book::open_leased`] for a user, in whose account it is held in the same step: in both or in neither. Where the
    /// user has a limit, what the user spent besides must have been [told](Self::told), or the user's lease have
    /// [begun](Self::begin).
    pub fn open_by(
        self: &Arc<Self>,
        by: Option<&Spender>,
        amount: Credits,
        grant: Grant,
        now: Uptime,
        after: Option<Ticket>,
    ) -> Result<Hold, NotOpened> {
        if amount.is_negative() {
            return Err(NotOpened::Refused(HoldRefused::Amount(amount)));
        }
        let after = after.unwrap_or_default();
        let mut state = self.0.lock();
        let state = &mut *state;
        // First, so that nobody waits for the organisation's credit who could not spend it.
        let member_leased = by.map_or(Ok(false), |by| state.decide_for(by, amount, now, after))?;
        let book = state.book;
        let verdict = match &mut state.lease {
            Some(lease) => lease.decide(Share::of_call(amount), book.held(), grant, now, after.organization),
            None => whole(book, amount, grant),
        };
        match verdict {
            Verdict::Wait(turn) => {
                // What the user has ready is not given away while the organisation's comes.
                let member = by.filter(|_| member_leased);
                let member = member.and_then(|by| state.spenders.waits(&by.user_id, amount, now, after.member));
                let ticket =
                    Ticket { organization: Some(turn), member: member.or(after.member), waits_for_member: false };
                Err(NotOpened::NeedsCredit(ticket))
            }
            Verdict::Refuse(left) => {
                state.waited(by, amount, after);
                Err(NotOpened::Refused(refusal(amount, left, grant)))
            }
            Verdict::Open { leased } => {
                state.waited(by, amount, after);
                state.book = book.holding(amount).ok_or(NotOpened::Refused(HoldRefused::Amount(amount)))?;
                if let Some(lease) = state.lease.as_mut().filter(|_| leased) {
                    lease.opened(Share::of_call(amount), now);
                }
                if let Some(by) = by {
                    state.spenders.hold(&by.user_id, amount, member_leased.then_some(now));
                }
                Ok(Hold {
                    book: Arc::clone(self),
                    amount,
                    user: by.map(|by| by.user_id.clone()),
                    lease: leased.then_some(grant),
                    member_lease: by.filter(|_| member_leased).map(Spender::grant),
                    secured: false,
                    live: true,
                })
            }
        }
    }

    /// The refusal of a call that does not wait any longer; `None` where the store did not answer since its ticket was
    /// given, so that nobody knows, or where what it waits for is there by now.
    pub fn give_up(&self, by: Option<&Spender>, amount: Credits, grant: Grant, ticket: Ticket) -> Option<HoldRefused> {
        let state = self.0.lock();
        if let Some(by) = by.filter(|_| ticket.waits_for_member) {
            let available = state.spenders.left(&by.user_id, ticket.member?).filter(|left| *left < amount)?;
            return Some(HoldRefused::User { available, needed: amount });
        }
        let left = state.lease.as_ref()?.left(state.book.held(), ticket.organization?)?;
        (!left.covers(Share::of_call(amount))).then(|| refusal(amount, left, grant))
    }

    /// Takes over what the store says that adjustments make of what is used: told twice, it counts once. A leased book
    /// hears of them with its lease.
    pub fn adjusted(&self, adjusted: Credits) {
        let mut state = self.0.lock();
        if state.lease.is_none() {
            state.book.used = state.book.used.saturating_sub(state.adjusted).saturating_add(adjusted);
            state.adjusted = adjusted;
        }
    }

    /// A user's account as it is now.
    pub fn spending(&self, user: &UserId) -> Spending {
        self.0.lock().spenders.of(user)
    }

    /// Takes over what the store had of a user, which was read once all that was captured when `seen` was looked at had
    /// reached it.
    pub fn told(&self, user: &UserId, seen: Spending, stored: Credits) {
        self.0.lock().spenders.told(user, seen, stored);
    }

    /// What was told of users may be old: adjustments may have been made.
    pub fn doubt(&self) {
        self.0.lock().spenders.doubt();
    }

    /// The book as it is now. With a lease, `used` is what the store last said of all instances and this one's own since.
    pub fn snapshot(&self) -> BookSnapshot {
        self.0.lock().book
    }
}

/// Decides on a call where the whole limit is this book's.
fn whole(book: BookSnapshot, amount: Credits, grant: Grant) -> Verdict {
    let calls =
        grant.calls.map_or(u64::MAX, |limit| limit.saturating_sub(book.calls_used.saturating_add(book.calls_held)));
    let credits = book.available(grant.credits).unwrap_or(Credits::MAX);
    let left = Share { credits, calls };
    if left.covers(Share::of_call(amount)) { Verdict::Open { leased: false } } else { Verdict::Refuse(left) }
}

/// Why `left` does not do.
fn refusal(amount: Credits, left: Share, grant: Grant) -> HoldRefused {
    match grant.calls {
        Some(limit) if left.calls == 0 => HoldRefused::Calls { limit },
        _ if left.credits == Credits::MAX => HoldRefused::Amount(amount),
        _ => HoldRefused::Credits { available: left.credits, needed: amount },
    }
}

#[cfg(test)]
mod tests;
