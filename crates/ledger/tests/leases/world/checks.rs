//! What must be true after every step, and when all is quiet.

use ledger::{Credits, HoldRefused, Limit, Reach, Share};

use super::World;
use crate::database::{ACCOUNTS, Account, Event, PERIODS, share_in, whose};
use crate::faults::Mutant;
use crate::instance::{Call, Instance, State, Up};

impl World {
    /// After every step: no instance has committed more than its row covers, every charge is known to both sides once, and
    /// no charge came late that was in time.
    pub(super) fn check(&mut self) {
        for it in &self.instances {
            if it.up != Up::Running {
                continue;
            }
            for account in (0..ACCOUNTS).filter(|account| it.has_begun(*account)) {
                let Some(row) = self.database.rows[account].get(&it.life) else { continue };
                let charged = row.charged.plus(it.unapplied(account, |event| self.database.has(event)));
                let forgets = self.mutant == Mutant::ChargesForgotten;
                assert!(forgets || charged == it.spent[account], "{charged:?} of {:?}: {row:?}", it.spent[account]);
                if row.reclaims > 0 {
                    continue;
                }
                let committed = self.database.limited(account, it.spent[account].plus(it.held(account)));
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
        let grant = it.grants[whose(account)];
        let unlimited = grant.credits == Limit::Unlimited && grant.calls.is_none();
        if unlimited || self.faults.clock_jump != 0 {
            return;
        }
        let row = self.database.rows[account].get(&it.life).expect("a hold without a lease");
        let (now, ends) = (self.database.clock, row.expires_at);
        assert!(now < ends, "a hold was opened {} ms after its lease expired", now - ends);
        // What was held while there was no limit needs no cover, nor what is held by an answer that knows of none.
        let committed = it.grant_cover(account, it.spent[account].plus(it.held(account)));
        let committed = self.database.limited(account, committed);
        assert!(row.granted.covers(committed), "a hold was opened beyond its lease: {committed:?}, {row:?}");
        let settled = self.now > self.limit_lowered_at + 1_000;
        if settled && self.instances.iter().all(|it| it.is_well(self.now)) && self.store_troubled_until <= self.now {
            let spent = it.grant_cover(account, self.committed(account));
            let (grant, late) = (self.database.grants[whose(account)], self.database.late[whose(account)]);
            let limit = Reach::new(grant, late, Share::ZERO, Share::ZERO);
            let spent = self.database.limited(account, spent);
            assert!(limit.covers(spent), "a hold was opened with {spent:?} spent of {limit:?}");
        }
    }

    /// Used, and spent or held on any instance.
    fn committed(&self, account: Account) -> Share {
        self.instances.iter().fold(self.database.used[account], |sum, it| {
            let charged = self.database.rows[account].get(&it.life).map_or(Share::ZERO, |row| row.charged);
            if it.has_begun(account) { sum.plus(it.committed(account, charged)) } else { sum }
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
            // What is ready for calls of hers that wait for the organisation's credit is set aside for them.
            let waits = owner.is_some_and(|it| whose(account) == 1 && self.now <= it.anns_wait_at + 150);
            let aside = if waits { row.amount() } else { Share::ZERO };
            taken = taken.plus(owner.map_or(row.amount(), committed).max(aside));
        }
        let most = Share { credits: Credits::MAX, calls: u64::MAX };
        share_in(account, Reach::new(self.database.grants[whose(account)], Share::ZERO, taken, Share::ZERO).cut(most))
    }

    /// Notes for every call that waits how little there was, and whether anything was wrong.
    fn watch_waiting(&mut self) {
        for it in &mut self.instances {
            (0..ACCOUNTS).for_each(|account| it.peak(account, self.now));
            if it.calls.values().any(|call| call.by_ann && matches!(call.state, State::Waiting(_))) {
                it.anns_wait_at = self.now;
            }
        }
        let obtainable: [Share; ACCOUNTS] = std::array::from_fn(|account| self.obtainable(account));
        let store_well = self.store_troubled_until <= self.now;
        for it in &mut self.instances {
            let well = store_well && it.is_well(self.now);
            for call in it.calls.values_mut() {
                call.troubled |= !well;
                if matches!(call.state, State::Waiting(_)) {
                    call.least[0] = call.least[0].min(obtainable[call.account]);
                    call.least[1] = call.least[1].min(obtainable[call.account + PERIODS]);
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
        let to_ann = matches!(refused, HoldRefused::User { .. });
        let account = if to_ann { call.account + PERIODS } else { call.account };
        let least = call.least[whose(account)].min(self.obtainable(account));
        let justified = !least.covers(share_in(account, Share::of_call(call.amount)));
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
        !self.stormy() && self.instances.iter().all(idle) && !(0..ACCOUNTS).any(leased)
    }

    /// When all is quiet: no hold, no journal, every charge applied once, and all the rest can be leased again.
    pub(super) fn check_quiet(&mut self) {
        for account in 0..ACCOUNTS {
            let used = self.database.used[account];
            let lost = self.lost.iter().filter(|event| !self.database.has(event.id)).flat_map(Event::parts);
            let lost = lost.filter(|(of, _)| *of == account).fold(Share::ZERO, |sum, (_, charge)| sum.plus(charge));
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
