//! What each user spends of an organisation's book. It is counted for everybody, so that a limit which is set in the middle
//! of a month finds what was spent before it.
//!
//! A book counts what it captured itself. What a user's other events of the period add up to is in the store, and the book
//! is told: it must never be told less than there is, so that no limit is overrun because something was on its way.

use std::collections::HashMap;

use crate::{Credits, Limit, Uptime, UserId};

/// Who calls, and what the user may spend in the period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spender {
    /// The user.
    pub user_id: UserId,
    /// The user's own limit, beside the organisation's.
    pub limit: Limit,
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
    /// When it was told.
    pub told_at: Uptime,
    /// How often what was told was doubted: what was read before a doubt does not dispel it.
    doubts: u64,
}

/// After how long what was told may lack what other instances charged.
const OLD_AFTER_MS: u64 = 1_000;

impl Spending {
    /// Whether other instances, where there are any, may have charged much since it was told.
    pub fn is_old(&self, now: Uptime) -> bool {
        now.since_ms(self.told_at) >= OLD_AFTER_MS
    }

    /// What is used and held.
    fn committed(&self) -> Credits {
        self.besides.saturating_add(self.captured).saturating_add(self.held)
    }
}

/// The accounts of all who called.
#[derive(Debug, Default)]
pub(super) struct Spenders {
    by_user: HashMap<UserId, Spending>,
    doubts: u64,
}

impl Spenders {
    pub(super) fn of(&self, user: &UserId) -> Spending {
        Spending { doubts: self.doubts, ..self.by_user.get(user).copied().unwrap_or_default() }
    }

    /// What the user's limit leaves, where that is less than `amount`.
    pub(super) fn lacks(&self, by: &Spender, amount: Credits) -> Option<Credits> {
        by.limit.remaining(self.of(&by.user_id).committed()).filter(|left| *left < amount)
    }

    pub(super) fn hold(&mut self, user: &UserId, amount: Credits) {
        // Most have called before: their name is not copied again.
        match self.by_user.get_mut(user) {
            Some(spending) => spending.held = spending.held.saturating_add(amount),
            None => drop(self.by_user.insert(user.clone(), Spending { held: amount, ..Spending::default() })),
        }
    }

    pub(super) fn settle(&mut self, user: &UserId, held: Credits, charged: Credits) {
        if let Some(spending) = self.by_user.get_mut(user) {
            spending.held = spending.held.saturating_sub(held);
            spending.captured = spending.captured.saturating_add(charged);
        }
    }

    /// Takes over what the store had of the user, read after all that was captured when `seen` was looked at had reached
    /// it. What was captured since may be in it too: then it counts twice until it is told again.
    pub(super) fn told(&mut self, user: &UserId, seen: Spending, stored: Credits, now: Uptime) {
        let spending = self.by_user.entry(user.clone()).or_default();
        // An event is on its way to the store from before its hold is settled.
        let was_quiet = spending.held == Credits::ZERO && seen.held == Credits::ZERO;
        let is_exact = was_quiet && spending.captured == seen.captured && seen.doubts == self.doubts;
        if is_exact || !spending.is_known || spending.is_old(now) {
            spending.besides = stored.saturating_sub(seen.captured);
            spending.told_at = now;
            spending.is_known = is_exact;
        }
    }

    /// What was told of users may be old: adjustments were made.
    pub(super) fn doubt(&mut self) {
        self.doubts = self.doubts.wrapping_add(1);
        self.by_user.values_mut().for_each(|spending| spending.is_known = false);
    }
}
