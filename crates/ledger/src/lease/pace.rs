//! How fast an account spends, and so how much of a lease it needs. A guess: it must never be needed for correctness.

use super::share::Share;
use crate::Uptime;

/// Over how long a rate is taken.
const WINDOW_MS: u64 = 1_000;
/// How many seconds of the observed rate a lease is for.
const SECONDS_AHEAD: u64 = 3;
/// And for how many calls as large as the largest at least: the next call finds its credit there.
const CALLS_AHEAD: u64 = 2;

/// What was opened lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    window_began: Uptime,
    opened: Share,
    per_second: Share,
    largest: Share,
    last_opened: Option<Uptime>,
}

impl Pace {
    /// A hold was opened.
    pub(super) fn opened(&mut self, amount: Share, now: Uptime) {
        self.turn(now);
        self.opened = self.opened.plus(amount);
        self.largest = self.largest.max(amount);
        self.last_opened = Some(now);
    }

    /// Closes the window if it is long enough: the rate moves half-way to what it saw, the largest call fades.
    pub(super) fn turn(&mut self, now: Uptime) {
        let elapsed_ms = now.since_ms(self.window_began);
        if elapsed_ms < WINDOW_MS {
            return;
        }
        let seen = self.opened.scaled(1_000, elapsed_ms);
        self.per_second = self.per_second.plus(seen).scaled(1, 2);
        if !self.opened.is_zero() {
            self.largest = self.largest.scaled(7, 8).max(self.opened.min(self.largest));
        }
        self.opened = Share::ZERO;
        self.window_began = now;
    }

    /// How much should lie ready.
    pub(super) fn ahead(&self) -> Share {
        self.per_second.scaled(SECONDS_AHEAD, 1).max(self.largest.scaled(CALLS_AHEAD, 1))
    }

    /// As large as one call is now.
    pub(super) fn one_call(&self) -> Share {
        self.largest
    }

    /// When a hold was last opened; the start where none was.
    pub(super) fn last_opened(&self) -> Uptime {
        self.last_opened.unwrap_or(Uptime::ZERO)
    }

    /// For how long nothing was opened.
    pub(super) fn idle_ms(&self, now: Uptime) -> u64 {
        self.last_opened.map_or(u64::MAX, |last| now.since_ms(last))
    }
}
