//! What goes wrong: crashes, pauses, cuts, outages, clocks, changed limits.

use ledger::{Grant, Share};

use super::{Step, World, some_grant, some_member_grant};
use crate::database::{ACCOUNTS, Event, PERIODS, user};
use crate::instance::{State, Up};

impl World {
    /// Throws the dice for each kind of fault, twice a second.
    pub(super) fn fault(&mut self) {
        if !self.stormy() {
            return;
        }
        self.at(self.now + 500, Step::Fault);
        let instance = usize::try_from(self.random.between(0, 3)).unwrap() % self.instances.len();
        if self.random.once_in(self.faults.crash) {
            self.crash(instance);
        }
        if self.random.once_in(self.faults.pause) {
            let until = self.now + self.random.between(100, 8_000);
            let it = &mut self.instances[instance];
            it.paused_until = it.paused_until.max(until);
            it.troubled_until = it.troubled_until.max(it.paused_until + 2_000);
        }
        if self.random.once_in(self.faults.cut) {
            let until = self.now + self.random.between(100, 8_000);
            let it = &mut self.instances[instance];
            it.cut_until = it.cut_until.max(until);
            it.troubled_until = it.troubled_until.max(it.cut_until + 2_000);
        }
        if self.random.once_in(self.faults.outage) {
            self.down_until = self.now + self.random.between(100, 8_000);
            self.down_queues = self.random.once_in(2);
            self.store_troubled_until = self.down_until + 3_000;
        }
        if self.random.once_in(self.faults.clock_jump) {
            let jump = i64::try_from(self.random.between(0, 7_200_000)).unwrap() - 3_600_000;
            self.clock_jumps += jump;
            self.set_clock();
            self.store_troubled_until = self.store_troubled_until.max(self.now + 6_000);
        }
        if self.random.once_in(self.faults.limit_change) {
            self.change_limit();
        }
    }

    fn change_limit(&mut self) {
        if self.random.once_in(2) {
            let grant = some_grant(&mut self.random);
            self.database.set_grant(0, grant);
        } else {
            let grant = some_member_grant(&mut self.random);
            self.database.set_grant(1, grant);
        }
        let grants = self.database.grants;
        self.limit_lowered_at = self.now;
        for instance in 0..self.instances.len() {
            let cut_until = self.instances[instance].cut_until.max(self.down_until);
            let seen = cut_until.max(self.now) + self.random.between(1, 250);
            self.at(seen, Step::LimitSeen(instance, grants));
        }
    }

    pub(super) fn limit_seen(&mut self, instance: usize, grants: [Grant; 2]) {
        let it = &mut self.instances[instance];
        if grants != self.database.grants {
            return;
        }
        it.grants = grants;
        (0..ACCOUNTS).for_each(|account| it.books[account % PERIODS].limits_changed(user(account)));
        self.send_requests(instance);
    }

    fn crash(&mut self, instance: usize) {
        if self.instances[instance].up == Up::Dead {
            return;
        }
        let lost = self.random.once_in(self.faults.journal_lost);
        let was = self.instances[instance].up;
        let grants = self.instances[instance].grants;
        let fresh = self.born(grants);
        let mut old = std::mem::replace(&mut self.instances[instance], fresh);
        let calls = std::mem::take(&mut old.calls);
        let of = match was {
            Up::Replaying { of, .. } => of,
            Up::Running | Up::Dead => old.life,
        };
        let it = &mut self.instances[instance];
        (it.up, it.cut_until) = (Up::Dead, old.cut_until);
        it.troubled_until = self.now + 60_000;
        if lost {
            for event in &old.journal {
                self.unjournal(event);
            }
        } else {
            it.journal = std::mem::take(&mut old.journal);
            for (number, call) in calls {
                let (State::Held(hold) | State::Securing(hold, _) | State::Writing(hold, _)) = &call.state else {
                    continue;
                };
                let credits = hold.amount();
                if self.faults.interrupted_charged {
                    let charge = Share { credits, calls: 0 };
                    // Its lease may be long gone: nobody looked.
                    let event = Event { id: number, account: call.account, by_ann: call.by_ann, charge, secured_at: 0 };
                    self.instances[instance].journal.push(event);
                    for (account, charge) in event.parts() {
                        self.journaled[account] = self.journaled[account].plus(charge);
                    }
                }
            }
        }
        self.instances[instance].replays = (!lost).then_some(of);
        let down = if self.random.once_in(2) { self.random.between(50, 500) } else { self.random.between(500, 9_000) };
        self.at(self.now + down, Step::Restarts(instance));
    }

    /// An event that was on its way to the store may have arrived even though its journal is lost.
    fn unjournal(&mut self, event: &Event) {
        if !self.database.has(event.id) {
            self.lost.push(*event);
        }
    }

    pub(super) fn restarts(&mut self, instance: usize) {
        let (grants, now) = (self.database.grants, self.now);
        let it = &mut self.instances[instance];
        it.grants = grants;
        it.up = it.replays.take().map_or(Up::Running, |of| Up::Replaying { of, retiring: false });
        it.troubled_until = now + 2_000;
    }
}
