//! The leases of a book: the organisation's own, and those of its members who have a limit. What is asked of the store and
//! answered by it goes through here; it must never open or settle a hold.

use super::{Book, HoldRefused, NotOpened, Spender, State};
use crate::lease::{Allowance, Verdict};
use crate::{Credits, LeaseGrant, LeaseRequest, LeaseUsed, Share, Ticket, Uptime, UserId};

impl Book {
    /// What the lease of a user could begin with now: what this book captured of the user. `None` where it has begun, or
    /// where a charge of the user's is being written down.
    pub fn may_begin(&self, user: &UserId) -> Option<Credits> {
        self.0.lock().spenders.may_begin(user)
    }

    /// Begins the lease of a user, whose row the store made with `captured` once all of that was applied; false where
    /// something was captured since, so that it must be made anew.
    pub fn begin(&self, user: &UserId, captured: Credits) -> bool {
        let mut state = self.0.lock();
        let state = &mut *state;
        let Some(lease) = &state.lease else { return false };
        state.spenders.begin(lease.key(), user, lease.terms(), captured)
    }

    /// Whether the lease of a user has begun.
    pub fn has_begun(&self, user: &UserId) -> bool {
        self.0.lock().spenders.lease(user).is_some()
    }

    /// What to ask of the store for this book's account now, or for that of one of its users, if anything. Send it at
    /// once: the lease counts from `now`. Until it is [answered](Self::answered) or [given up](Self::unanswered) there is
    /// no other for the account.
    pub fn request(&self, of: Option<&UserId>, now: Uptime) -> Option<LeaseRequest> {
        let mut state = self.0.lock();
        let (lease, held) = state.account(of)?;
        lease.request(held, now)
    }

    /// Takes the store's answer to the request.
    pub fn answered(&self, answer: &LeaseGrant) {
        let mut state = self.0.lock();
        let of = answer.key.user_id.as_ref();
        let Some((lease, held)) = state.account(of) else { return };
        let sent = lease.answered(answer, held);
        if let Some(sent) = sent.filter(|_| of.is_none()) {
            state.all_used(&answer.all_used(), sent);
        }
    }

    /// Takes what all instances together used, as the store had it at some moment after `asked`.
    pub fn heard(&self, all: &LeaseUsed, asked: Uptime) {
        self.0.lock().all_used(all, asked);
    }

    /// What this instance charged since its lease began: what the others should hear of.
    pub fn spent(&self) -> Share {
        self.0.lock().lease.as_ref().map_or(Share::ZERO, |lease| lease.spent)
    }

    /// Gives the request with this number up: it failed, or nobody knows what became of it.
    pub fn unanswered(&self, of: Option<&UserId>, epoch: i64) {
        self.with_lease(of, |lease| lease.unanswered(epoch));
    }

    /// Another instance asks for what this one does not need.
    pub fn asked(&self, of: Option<&UserId>, now: Uptime) {
        self.with_lease(of, |lease| lease.asked(now));
    }

    /// The limits may have changed.
    pub fn limits_changed(&self, of: Option<&UserId>) {
        self.with_lease(of, Allowance::limits_changed);
    }

    fn with_lease(&self, of: Option<&UserId>, change: impl FnOnce(&mut Allowance)) {
        if let Some((lease, _)) = self.0.lock().account(of) {
            change(lease);
        }
    }
}

impl State {
    /// Decides on a call by the user's own account: whether it is under the user's lease.
    pub(super) fn decide_for(
        &mut self,
        by: &Spender,
        amount: Credits,
        now: Uptime,
        after: Ticket,
    ) -> Result<bool, NotOpened> {
        let refused = |available| NotOpened::Refused(HoldRefused::User { available, needed: amount });
        if self.lease.is_none() {
            return self.spenders.lacks(by, amount).map_or(Ok(false), |available| Err(refused(available)));
        }
        match self.spenders.decide(by, amount, now, after.member).ok_or(NotOpened::NotBegun)? {
            Verdict::Open { leased } => Ok(leased),
            Verdict::Wait(turn) => {
                Err(NotOpened::NeedsCredit(Ticket { member: Some(turn), waits_for_member: true, ..after }))
            }
            Verdict::Refuse(left) => {
                self.waited(Some(by), amount, after);
                Err(refused(left.credits))
            }
        }
    }

    /// A call has its hold or its refusal: no account waits for it any longer.
    pub(super) fn waited(&mut self, by: Option<&Spender>, amount: Credits, after: Ticket) {
        if let Some(lease) = &mut self.lease {
            lease.waited(Share::of_call(amount), after.organization);
        }
        if let Some(by) = by {
            self.spenders.waited(&by.user_id, amount, after.member);
        }
    }

    /// The lease of the book, or that of a user, and what is held in it.
    fn account(&mut self, of: Option<&UserId>) -> Option<(&mut Allowance, Share)> {
        match of {
            Some(user) => self.spenders.lease(user),
            None => Some((self.lease.as_mut()?, self.book.held())),
        }
    }

    fn all_used(&mut self, all: &LeaseUsed, asked: Uptime) {
        if let Some(used) = self.lease.as_mut().and_then(|lease| lease.all_used(all, asked)) {
            (self.book.used, self.book.calls_used) = (used.credits, used.calls);
        }
    }
}
