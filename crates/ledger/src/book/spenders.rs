//! What each user spends of an organisation's book. It is counted for everybody, so that a limit which is set in the middle
//! of a month finds what was spent before it.
//!
//! A book counts what it captured itself. Where it may spend the whole limit, what a user's other events of the period add up
//! to is in the store, and the book is told: it must never be told less than there is, so that no limit is overrun because
//! something was on its way. Where it spends leases, a user with a limit has one too: `lease.rs` says how it begins.

use std::collections::HashMap;

use crate::lease::{Allowance, Turn, Verdict};
use crate::{Credits, Grant, LeaseKey, LeaseTerms, Limit, Share, Uptime, UserId};

/// Who calls, and what the user may spend in the period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spender {
    /// The user.
    pub user_id: UserId,
    /// The user's own limit, beside the organisation's.
    pub limit: Limit,
}

impl Spender {
    pub(super) const fn grant(&self) -> Grant {
        Grant { credits: self.limit, calls: None }
    }
}

/// One user's account in a book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    /// Captured by this book.
    pub captured: Credits,
    /// Held by calls on their way.
    pub held: Credits,
    /// What the user's other events add up to, as far as it was told.
    pub besides: Credits,
    /// Whether that was told, and is exact.
    pub is_known: bool,
    /// How many charges are being written down: found secure, and not captured yet.
    settling: u32,
    /// How often what was told was doubted: what was read before a doubt does not dispel it.
    doubts: u64,
}

impl Spending {
    /// What is used and held.
    fn committed(&self) -> Credits {
        self.besides.saturating_add(self.captured).saturating_add(self.held)
    }
}

/// An amount of a user's account: calls are not counted there.
pub(super) const fn share(credits: Credits) -> Share {
    Share { credits, calls: 0 }
}

#[derive(Debug, Default)]
struct Account {
    spending: Spending,
    /// Where the user has, or had, a limit in a book that spends leases.
    lease: Option<Box<Allowance>>,
}

/// The accounts of all who called.
#[derive(Debug, Default)]
pub(super) struct Spenders {
    by_user: HashMap<UserId, Account>,
    doubts: u64,
}

impl Spenders {
    pub(super) fn of(&self, user: &UserId) -> Spending {
        let spending = self.by_user.get(user).map(|account| account.spending).unwrap_or_default();
        Spending { doubts: self.doubts, ..spending }
    }

    /// What the user's limit leaves, where that is less than `amount`.
    pub(super) fn lacks(&self, by: &Spender, amount: Credits) -> Option<Credits> {
        by.limit.remaining(self.of(&by.user_id).committed()).filter(|left| *left < amount)
    }

    /// Decides on a user's call by the user's lease; `None` where there is a limit and the lease has not begun.
    pub(super) fn decide(
        &mut self,
        by: &Spender,
        amount: Credits,
        now: Uptime,
        after: Option<Turn>,
    ) -> Option<Verdict> {
        let unlimited = || (by.limit == Limit::Unlimited).then_some(Verdict::Open { leased: false });
        let Some(account) = self.by_user.get_mut(&by.user_id) else { return unlimited() };
        let Some(lease) = &mut account.lease else { return unlimited() };
        Some(lease.decide(share(amount), share(account.spending.held), by.grant(), now, after))
    }

    /// A call waits for others' credit that the user's lease has room for.
    pub(super) fn waits(&mut self, user: &UserId, amount: Credits, now: Uptime, after: Option<Turn>) -> Option<Turn> {
        let (lease, _) = self.lease(user)?;
        Some(lease.waits(share(amount), now, after))
    }

    /// A call waits no longer.
    pub(super) fn waited(&mut self, user: &UserId, amount: Credits, after: Option<Turn>) {
        if let Some((lease, _)) = self.lease(user) {
            lease.waited(share(amount), after);
        }
    }

    /// What a waiting call's user may still hold, if the store answered since its ticket was given.
    pub(super) fn left(&self, user: &UserId, turn: Turn) -> Option<Credits> {
        let account = self.by_user.get(user)?;
        Some(account.lease.as_ref()?.left(share(account.spending.held), turn)?.credits)
    }

    /// A hold was opened for a user: under the user's lease where it was given one at `leased`.
    pub(super) fn hold(&mut self, user: &UserId, amount: Credits, leased: Option<Uptime>) {
        // Most have called before: their name is not copied again.
        let Some(account) = self.by_user.get_mut(user) else {
            let spending = Spending { held: amount, ..Spending::default() };
            self.by_user.insert(user.clone(), Account { spending, lease: None });
            return;
        };
        account.spending.held = account.spending.held.saturating_add(amount);
        if let (Some(now), Some(lease)) = (leased, &mut account.lease) {
            lease.opened(share(amount), now);
        }
    }

    /// Whether a user's lease has room for a hold that was opened under it, and cannot have been reclaimed.
    pub(super) fn secures(&self, user: &UserId, amount: Credits, grant: Grant, now: Uptime) -> bool {
        let lease = self.by_user.get(user).and_then(|account| account.lease.as_ref());
        lease.is_none_or(|lease| lease.secures(share(amount), grant, now))
    }

    /// A hold was found secure: its charge is written down next.
    pub(super) fn secured(&mut self, user: &UserId, amount: Credits, is_leased: bool) {
        if let Some(account) = self.by_user.get_mut(user) {
            account.spending.settling = account.spending.settling.saturating_add(1);
            if let Some(lease) = account.lease.as_mut().filter(|_| is_leased) {
                lease.set_aside(share(amount));
            }
        }
    }

    /// A hold ended; `secured` is what was set aside of the user's lease, where it was found secure.
    pub(super) fn settle(&mut self, user: &UserId, held: Credits, charged: Credits, secured: Option<Credits>) {
        if let Some(account) = self.by_user.get_mut(user) {
            let spending = &mut account.spending;
            spending.held = spending.held.saturating_sub(held);
            spending.captured = spending.captured.saturating_add(charged);
            if secured.is_some() {
                spending.settling = spending.settling.saturating_sub(1);
            }
            if let Some(lease) = &mut account.lease {
                lease.settled(share(charged), share(secured.unwrap_or(Credits::ZERO)));
            }
        }
    }

    /// Takes over what the store had of the user, read after all that was captured when `seen` was looked at had reached
    /// it. What was captured since may be in it too: then it counts twice until it is told again.
    pub(super) fn told(&mut self, user: &UserId, seen: Spending, stored: Credits) {
        let spending = &mut self.by_user.entry(user.clone()).or_default().spending;
        // An event is on its way to the store from before its hold is settled.
        let was_quiet = spending.held == Credits::ZERO && seen.held == Credits::ZERO;
        let is_exact = was_quiet && spending.captured == seen.captured && seen.doubts == self.doubts;
        if is_exact || !spending.is_known {
            spending.besides = stored.saturating_sub(seen.captured);
            spending.is_known = is_exact;
        }
    }

    /// What was told of users may be old: adjustments were made.
    pub(super) fn doubt(&mut self) {
        self.doubts = self.doubts.wrapping_add(1);
        self.by_user.values_mut().for_each(|account| account.spending.is_known = false);
    }

    /// What a user's lease could begin with now; `None` where it has begun, or a charge is being written down.
    pub(super) fn may_begin(&self, user: &UserId) -> Option<Credits> {
        match self.by_user.get(user) {
            None => Some(Credits::ZERO),
            Some(account) if account.lease.is_some() || account.spending.settling > 0 => None,
            Some(account) => Some(account.spending.captured),
        }
    }

    /// Begins a user's lease with what was captured, all of it applied, when the store made its row; false where something
    /// was captured since.
    pub(super) fn begin(&mut self, key: &LeaseKey, user: &UserId, terms: LeaseTerms, captured: Credits) -> bool {
        let is_same = self.may_begin(user) == Some(captured);
        if is_same {
            let lease = Allowance::begun(key.of_member(user), terms, share(captured));
            self.by_user.entry(user.clone()).or_default().lease = Some(Box::new(lease));
        }
        is_same
    }

    /// A user's lease, and what is held in it.
    pub(super) fn lease(&mut self, user: &UserId) -> Option<(&mut Allowance, Share)> {
        let account = self.by_user.get_mut(user)?;
        Some((account.lease.as_deref_mut()?, share(account.spending.held)))
    }
}
