//! How Ann's account begins at an instance, as `gateway/src/leases/members.rs` does it.

use ledger::{Credits, Share};

use super::World;
use super::messages::Message;
use crate::database::{Account, PERIODS, user};
use crate::faults::Mutant;
use crate::instance::Beginning;

impl World {
    /// A call found no lease: what was captured has to be applied first.
    pub(super) fn begins(&mut self, instance: usize, period: usize) {
        let it = &mut self.instances[instance];
        let Some(ann) = user(period + PERIODS) else { return };
        if it.beginnings[period] == Beginning::Idle
            && let Some(captured) = it.books[period].may_begin(ann)
        {
            it.beginnings[period] = Beginning::CatchingUp { captured, until: it.events.0 };
            self.caught_up(instance);
        }
    }

    /// Asks the store where all that was captured is applied.
    pub(super) fn caught_up(&mut self, instance: usize) {
        for period in 0..PERIODS {
            let it = &self.instances[instance];
            let Beginning::CatchingUp { captured, until } = it.beginnings[period] else { continue };
            if it.events.1 < until && self.mutant != Mutant::BeginsBehind {
                continue;
            }
            let number = self.number(instance);
            let it = &mut self.instances[instance];
            it.beginnings[period] = Beginning::Sent { captured, number };
            it.begun += 1;
            let (life, epoch) = (it.life, it.begun);
            self.send(instance, life, Message::Begin(number, period + PERIODS, captured, epoch));
        }
    }

    /// The store made the row, or had a newer one.
    pub(super) fn begun(&mut self, instance: usize, of: u64, account: Account, made: bool) {
        let period = account - PERIODS;
        let it = &mut self.instances[instance];
        let Beginning::Sent { captured, number } = it.beginnings[period] else { return };
        if number != of {
            return;
        }
        it.beginnings[period] = Beginning::Idle;
        let Some(ann) = user(account) else { return };
        let now = it.books[period].spending(ann).captured;
        let captured = if self.mutant == Mutant::BeginsBlindly { now } else { captured };
        if made && it.books[period].begin(ann, captured) {
            self.tally.begun += 1;
        }
        self.wake(instance);
    }

    /// A message of this number was given up.
    pub(super) fn begins_no_more(&mut self, instance: usize, of: u64) {
        for beginning in &mut self.instances[instance].beginnings {
            if matches!(beginning, Beginning::Sent { number, .. } if *number == of) {
                *beginning = Beginning::Idle;
            }
        }
    }

    /// What the store is told.
    pub(super) const fn captured_share(captured: Credits) -> Share {
        Share { credits: captured, calls: 0 }
    }
}
