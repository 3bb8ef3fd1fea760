//! The book: what one organisation may still spend in one period, and the live holds on it.
//!
//! A [`Hold`] is a value that only the book can make. Settling consumes it, dropping it voids it, so what is held is
//! always the sum of the holds that exist: no caller keeps a counter, and a hold can be settled once at most.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::{Credits, Limit};

/// What a period grants: credits, and how many calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Credits of the period.
    pub credits: Limit,
    /// Metered calls of the period; `None` is unlimited.
    pub calls: Option<u64>,
}

/// One organisation's account for one period. It knows nothing of time: the caller keeps a book a period.
#[derive(Debug)]
pub struct Book(Mutex<BookSnapshot>);

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

impl Book {
    /// A book in which `used` credits and `calls_used` calls are captured already.
    pub fn new(used: Credits, calls_used: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(BookSnapshot { used, calls_used, ..BookSnapshot::default() })))
    }

    /// Holds `amount` for one call if `grant` allows it beside all that is used and held. One step, under one lock:
    /// no two calls can both take the last credit.
    pub fn open(self: &Arc<Self>, amount: Credits, grant: Grant) -> Result<Hold, HoldRefused> {
        if amount.is_negative() {
            return Err(HoldRefused::Amount(amount));
        }
        let mut book = self.0.lock();
        if let Some(limit) = grant.calls
            && book.calls_used.saturating_add(book.calls_held) >= limit
        {
            return Err(HoldRefused::Calls { limit });
        }
        if let Some(available) = book.available(grant.credits)
            && amount > available
        {
            return Err(HoldRefused::Credits { available, needed: amount });
        }
        let held = book.held.checked_add(amount);
        let held = held.filter(|held| held.checked_add(book.used).is_some()).ok_or(HoldRefused::Amount(amount))?;
        book.held = held;
        book.calls_held = book.calls_held.saturating_add(1);
        Ok(Hold { book: Arc::clone(self), amount, live: true })
    }

    /// The book as it is now.
    pub fn snapshot(&self) -> BookSnapshot {
        *self.0.lock()
    }
}

/// Credits set aside for one call. Settle it with [`Hold::capture`] or [`Hold::void`]; dropped, it voids itself.
#[derive(Debug)]
#[must_use = "a hold that is dropped is voided"]
pub struct Hold {
    book: Arc<Book>,
    amount: Credits,
    live: bool,
}

impl Hold {
    /// What is held.
    pub fn amount(&self) -> Credits {
        self.amount
    }

    /// The book that this hold is in, as it is now.
    pub fn book(&self) -> BookSnapshot {
        self.book.snapshot()
    }

    /// Charges `credits`, at most what is held; the rest returns. Answers the book after it.
    pub fn capture(mut self, credits: Credits) -> BookSnapshot {
        let captured = credits.clamp(Credits::ZERO, self.amount);
        debug_assert_eq!(captured, credits, "a capture is between zero and its hold");
        self.settle(captured, 1)
    }

    /// Gives everything back. Answers the book after it.
    pub fn void(mut self) -> BookSnapshot {
        self.settle(Credits::ZERO, 0)
    }

    fn settle(&mut self, captured: Credits, calls: u64) -> BookSnapshot {
        let mut book = self.book.0.lock();
        if self.live {
            self.live = false;
            book.held = book.held.saturating_sub(self.amount);
            book.calls_held = book.calls_held.saturating_sub(1);
            book.used = book.used.saturating_add(captured);
            book.calls_used = book.calls_used.saturating_add(calls);
        }
        *book
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.live {
            self.settle(Credits::ZERO, 0);
        }
    }
}

#[cfg(test)]
mod tests;
