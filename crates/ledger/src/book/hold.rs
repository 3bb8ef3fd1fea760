//! A hold: credits set aside for one call, in the organisation's account and in the user's at once. It must never be
//! settled twice, nor be left behind.

use std::sync::Arc;

use super::{Book, BookSnapshot};
use crate::{Credits, Grant, Share, Uptime, UserId};

/// Credits set aside for one call. Settle it with [`Hold::capture`] or [`Hold::void`]; dropped, it voids itself.
#[derive(Debug)]
#[must_use = "a hold that is dropped is voided"]
pub struct Hold {
    pub(super) book: Arc<Book>,
    pub(super) amount: Credits,
    /// Who calls, where that is counted.
    pub(super) user: Option<UserId>,
    /// Opened under a lease, with this grant: what it limits must be covered by a lease when it is charged.
    pub(super) lease: Option<Grant>,
    /// Opened under a lease of the user's own, with this grant.
    pub(super) member_lease: Option<Grant>,
    pub(super) secured: bool,
    pub(super) live: bool,
}

impl Hold {
    /// What is held.
    pub fn amount(&self) -> Credits {
        self.amount
    }

    /// Whether it was opened under a lease.
    #[cfg(test)]
    pub(crate) fn is_leased(&self) -> bool {
        self.lease.is_some()
    }

    /// The book that this hold is in, as it is now.
    pub fn book(&self) -> BookSnapshot {
        self.book.snapshot()
    }

    /// Who calls, where the hold is under a lease of that user's own.
    pub fn leased_by(&self) -> Option<&UserId> {
        self.user.as_ref().filter(|_| self.member_lease.is_some())
    }

    /// Whether this hold may be charged: not where its lease may have been reclaimed in the meantime, unless a new one
    /// covers it. Ask right before the charge is written down; where the answer is no, ask the store or void the hold.
    pub fn secure(&mut self, now: Uptime) -> bool {
        if !self.secured {
            let mut state = self.book.0.lock();
            let state = &mut *state;
            let by_organization = match (&state.lease, self.lease) {
                (Some(lease), Some(grant)) => lease.secures(Share::of_call(self.amount), grant, now),
                _ => true,
            };
            let by_user = match (&self.user, self.member_lease) {
                (Some(user), Some(grant)) => state.spenders.secures(user, self.amount, grant, now),
                _ => true,
            };
            self.secured = by_organization && by_user;
            if self.secured {
                if let Some(lease) = state.lease.as_mut().filter(|_| self.lease.is_some()) {
                    lease.set_aside(Share::of_call(self.amount));
                }
                if let Some(user) = &self.user {
                    state.spenders.secured(user, self.amount, self.member_lease.is_some());
                }
            }
        }
        self.secured
    }

    /// Charges `credits`, at most what is held; the rest returns. Answers the book after it.
    pub fn capture(mut self, credits: Credits) -> BookSnapshot {
        let captured = credits.clamp(Credits::ZERO, self.amount);
        debug_assert_eq!(captured, credits, "a capture is between zero and its hold");
        self.settle(Share::of_call(captured))
    }

    /// Charges what an interrupted call costs, which is no call of the period. Answers the book after it.
    pub fn interrupt(mut self, credits: Credits) -> BookSnapshot {
        self.settle(Share { credits: credits.clamp(Credits::ZERO, self.amount), calls: 0 })
    }

    /// Gives everything back. Answers the book after it.
    pub fn void(mut self) -> BookSnapshot {
        self.settle(Share::ZERO)
    }

    fn settle(&mut self, charged: Share) -> BookSnapshot {
        let mut state = self.book.0.lock();
        let state = &mut *state;
        if self.live {
            self.live = false;
            if let Some(user) = &self.user {
                let set_aside = if self.member_lease.is_some() { self.amount } else { Credits::ZERO };
                state.spenders.settle(user, self.amount, charged.credits, self.secured.then_some(set_aside));
            }
            let book = &mut state.book;
            book.held = book.held.saturating_sub(self.amount);
            book.calls_held = book.calls_held.saturating_sub(1);
            book.used = book.used.saturating_add(charged.credits);
            book.calls_used = book.calls_used.saturating_add(charged.calls);
            if let Some(lease) = &mut state.lease {
                let secured =
                    if self.secured && self.lease.is_some() { Share::of_call(self.amount) } else { Share::ZERO };
                lease.settled(charged, secured);
            }
        }
        state.book
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.live {
            self.settle(Share::ZERO);
        }
    }
}
