//! Arithmetic on credits and calls side by side. It saturates: a sum that leaves 64 bits must never come out small.

use crate::{Credits, Grant, Limit};

/// Credits and calls, counted side by side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// How many credits.
    pub credits: Credits,
    /// How many calls.
    pub calls: u64,
}

impl Share {
    /// Nothing.
    pub const ZERO: Self = Self { credits: Credits::ZERO, calls: 0 };

    /// What one call over `credits` takes.
    pub const fn of_call(credits: Credits) -> Self {
        Self { credits, calls: 1 }
    }

    /// Whether there is neither a credit nor a call.
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// The sum.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { credits: self.credits.saturating_add(other.credits), calls: self.calls.saturating_add(other.calls) }
    }

    /// The difference, nothing where it would be less.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        let credits = self.credits.saturating_sub(other.credits).max(Credits::ZERO);
        Self { credits, calls: self.calls.saturating_sub(other.calls) }
    }

    /// The smaller of each.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self { credits: self.credits.min(other.credits), calls: self.calls.min(other.calls) }
    }

    /// The larger of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { credits: self.credits.max(other.credits), calls: self.calls.max(other.calls) }
    }

    /// Whether `other` fits into this.
    pub fn covers(self, other: Self) -> bool {
        other.credits <= self.credits && other.calls <= self.calls
    }

    /// This many times as much, divided by `divisor` (one where it is nought).
    #[must_use]
    pub fn scaled(self, factor: u64, divisor: u64) -> Self {
        let divisor = divisor.max(1);
        let (times, by) = (i64::try_from(factor).unwrap_or(i64::MAX), i64::try_from(divisor).unwrap_or(i64::MAX));
        Self {
            credits: Credits::from_micros(self.credits.micros().saturating_mul(times) / by),
            calls: self.calls.saturating_mul(factor) / divisor,
        }
    }
}

/// How far a total may go: `None` is endless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// In credits; below zero where more is used than the limit allows.
    pub credits: Option<Credits>,
    /// In calls.
    pub calls: Option<u64>,
}

impl Reach {
    /// How far a total may go that is `own` now, where `used` and what others lease go against the same `grant`.
    pub fn new(grant: Grant, own: Share, used: Share, leased_elsewhere: Share) -> Self {
        let taken = used.plus(leased_elsewhere);
        Self {
            credits: match grant.credits {
                Limit::Unlimited => None,
                Limit::Credits(limit) => Some(own.credits.saturating_add(limit).saturating_sub(taken.credits)),
            },
            calls: grant.calls.map(|limit| own.calls.saturating_add(limit).saturating_sub(taken.calls)),
        }
    }

    /// Whether a total of `total` is within reach.
    pub fn covers(self, total: Share) -> bool {
        self.credits.is_none_or(|reach| total.credits <= reach) && self.calls.is_none_or(|reach| total.calls <= reach)
    }

    /// `total`, cut to what is within reach.
    #[must_use]
    pub fn cut(self, total: Share) -> Share {
        Share {
            credits: self.credits.map_or(total.credits, |reach| total.credits.min(reach.max(Credits::ZERO))),
            calls: self.calls.map_or(total.calls, |reach| total.calls.min(reach)),
        }
    }
}
