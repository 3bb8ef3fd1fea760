//! What must be true after every step, and when all is quiet.

use ledger::{Credits, HoldRefused, Limit, Reach, Share};

use super::World;
use crate::database::Account;
use crate::instance::{Call, Instance, State, Up};

impl World {
    /// After every step: no instance has committed more than its row covers, and no charge came late that was in time.
    pub(super) fn check(&mut self) {
        for it in &self.instances {
            if it.up != Up::Running {
                continue;
            }
            for account in 0..2 {
                let Some(row) = self.database.rows[account].get(&it.life).filter(|row| row.reclaims == 0) else {
                    continue;
                };
                let committed = self.database.limited(it.spent[account].plus(it.held(account)));
                assert!(row.granted.covers(committed), "{committed:?} is committed under {row:?}");
            }
        }
        for event in std::mem::take(&mut self.database.late_events) {
            self.tally.late += 1;
            let took = self.now - event.secured_at;
            let in_time = took < self.terms.settle_margin_ms * 9 / 10;
            assert!(
                !in_time || self.faults.clock_jump != 0,
                "a charge of {took} ms ago found its lease reclaimed: {event:?}"
            );
        }
        self.watch_waiting();
    }

    /// A hold was opened: its lease is live by the store's clock and covers it; a limit lowered a second ago is kept.
    pub(super) fn check_opened(&self, instance: usize, account: Account) {
        let it = &self.instances[instance];
        let unlimited = it.grant.credits == Limit::Unlimited && it.grant.calls.is_none();
        if unlimited || self.faults.clock_jump != 0 {
            return;
        }
        let row = self.database.rows[account].get(&it.life).expect("a hold without a lease");
        let (now, ends) = (self.database.clock, row.expires_at);
        assert!(now < ends, "a hold was opened {} ms after its lease expired", now - ends);
        let committed = it.grant_cover(it.spent[account].plus(it.held(account)));
        assert!(row.granted.covers(committed), "a hold was opened beyond its lease: {committed:?}, {row:?}");
        let settled = self.now > self.limit_lowered_at + 1_000;
        if settled && self.instances.iter().all(|it| it.is_well(self.now)) && self.store_troubled_until <= self.now {
            let spent = it.grant_cover(self.committed(account));
            let limit = Reach::new(self.database.grant, self.database.late, Share::ZERO, Share::ZERO);
            let spent = self.database.limited(spent);
            assert!(limit.covers(spent), "a hold was opened with {spent:?} spent of {limit:?}");
        }
    }

    /// Used, and spent or held on any instance.
    fn committed(&self, account: Account) -> Share {
        self.instances.iter().fold(self.database.used[account], |sum, it| {
            let charged = self.database.rows[account].get(&it.life).map_or(Share::ZERO, |row| row.charged);
            sum.plus(it.committed(account, charged))
        })
    }

    /// What a call could get if everybody who can gave what they do not need.
    fn obtainable(&self, account: Account) -> Share {
        let mut taken = self.database.used[account];
        for (life, row) in &self.database.rows[account] {
            let owner = self.instances.iter().find(|it| it.life == *life && it.is_well(self.now));
            // What was granted to a call that waits is taken, even while the answer is on its way to it.
            let promised = row.promised.less(row.charged);
            let committed = |it: &Instance| match it.renewing {
                Some(_) => it.recently_committed(account, row.charged).max(promised),
                None => it.recently_committed(account, row.charged),
            };
            taken = taken.plus(owner.map_or(row.amount(), committed));
        }
        let most = Share { credits: Credits::MAX, calls: u64::MAX };
        Reach::new(self.database.grant, Share::ZERO, taken, Share::ZERO).cut(most)
    }

    /// Notes for every call that waits how little there was, and whether anything was wrong.
    fn watch_waiting(&mut self) {
        for it in &mut self.instances {
            (0..2).for_each(|account| it.peak(account, self.now));
        }
        let obtainable = [self.obtainable(0), self.obtainable(1)];
        let store_well = self.store_troubled_until <= self.now;
        for it in &mut self.instances {
            let well = store_well && it.is_well(self.now);
            for call in it.calls.values_mut() {
                call.troubled |= !well;
                if matches!(call.state, State::Waiting(_)) {
                    call.least = call.least.min(obtainable[call.account]);
                }
            }
        }
    }

    /// A call is given free only where something kept its instance from renewing its lease.
    pub(super) fn check_given_free(&self, instance: usize, call: &Call) {
        let well = self.instances[instance].is_well(self.now) && self.store_troubled_until <= self.now;
        let limits_changed = self.faults.limit_change != 0;
        assert!(
            call.troubled || !well || limits_changed,
            "a call of {} lost its lease though all was well",
            call.amount
        );
    }

    /// A refusal is justified where the credit was not there at some moment while the call waited.
    pub(super) fn check_refused(&self, instance: usize, call: &Call, refused: HoldRefused) {
        let well = self.instances[instance].is_well(self.now) && self.store_troubled_until <= self.now;
        let least = call.least.min(self.obtainable(call.account));
        let justified = !least.covers(Share::of_call(call.amount));
        assert!(
            justified || call.troubled || !well,
            "{refused} while {least:?} could be had, asked for {}",
            call.amount
        );
    }

    /// Whether nothing is left that could change anything.
    pub(super) fn is_quiet(&self) -> bool {
        let idle = |it: &Instance| it.up == Up::Running && it.calls.is_empty() && it.journal.is_empty();
        let leased = |account| !self.database.sum(account).less(self.database.used[account]).is_zero();
        !self.stormy() && self.instances.iter().all(idle) && !leased(0) && !leased(1)
    }

    /// When all is quiet: no hold, no journal, every charge applied once, and all the rest can be leased again.
    pub(super) fn check_quiet(&mut self) {
        for account in 0..2 {
            let used = self.database.used[account];
            let lost = self.lost.iter().filter(|event| event.account == account && !self.database.has(event.id));
            let lost = lost.fold(Share::ZERO, |sum, event| sum.plus(event.charge));
            assert_eq!(used.plus(lost), self.journaled[account], "used is not what was charged");
            let leased = self.database.sum(account).less(used);
            assert!(leased.is_zero(), "{leased:?} is leased though nobody calls: {:?}", self.database.rows[account]);
            for it in &self.instances {
                assert!(it.held(account).is_zero() && it.journal.is_empty(), "something is left over");
            }
        }
        self.tally.reclaims = self.database.rows.iter().flat_map(|rows| rows.values()).map(|row| row.reclaims).sum();
    }
}
