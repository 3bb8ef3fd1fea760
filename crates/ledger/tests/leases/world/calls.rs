//! Calls: they come, wait, hold, and are charged or given back.

use ledger::{Credits, HoldRefused, NotOpened, Share, Ticket};

use super::{Step, World};
use crate::database::{Event, PERIODS, user};
use crate::faults::Mutant;
use crate::instance::{Call, State, Up};

/// How long a call waits for credit.
const WAIT_AT_MOST: u64 = 600;
/// How long it waits in all where nobody knows whether there is any.
const WAIT_FOR_ANSWER: u64 = 1_800;
/// How soon a call that waits for others tries again.
const TRY_AGAIN_AFTER: u64 = 40;

impl World {
    pub(super) fn new_calls(&mut self, instance: usize) {
        if !self.stormy() {
            return;
        }
        let pause = if self.random.once_in(6) { self.random.between(500, 3_500) } else { self.random.between(1, 400) };
        self.at(self.now + pause, Step::NewCalls(instance));
        if self.instances[instance].up != Up::Running {
            return;
        }
        let burst = if self.random.once_in(15) { self.random.between(2, 12) } else { 1 };
        for _ in 0..burst {
            self.new_call(instance);
        }
        self.send_requests(instance);
    }

    fn new_call(&mut self, instance: usize) {
        let micros = if self.random.once_in(3) { self.random.between(0, 999_999) } else { 0 };
        let micros = i64::try_from(self.random.between(1, 20) * 1_000_000 + micros).unwrap();
        self.next += 1;
        let number = self.next;
        let call = Call {
            account: self.account(),
            by_ann: self.random.once_in(2),
            amount: Credits::from_micros(micros),
            began: self.now,
            state: State::Waiting(Ticket::default()),
            tries_again: false,
            least: [Share { credits: Credits::MAX, calls: u64::MAX }; 2],
            troubled: false,
        };
        self.instances[instance].calls.insert(number, call);
        self.open(instance, number, None);
    }

    fn open(&mut self, instance: usize, number: u64, after: Option<Ticket>) {
        let it = &mut self.instances[instance];
        let uptime = it.uptime(self.now);
        let Some(call) = it.calls.get(&number) else { return };
        let by = it.spender(call.by_ann);
        let Some(call) = it.calls.get_mut(&number) else { return };
        let (account, by_ann, amount, grant) = (call.account, call.by_ann, call.amount, it.grants[0]);
        match it.books[account].open_by(by.as_ref(), amount, grant, uptime, after) {
            Ok(hold) => {
                call.state = State::Held(hold);
                self.tally.opened += 1;
                self.check_opened(instance, account);
                if by_ann {
                    self.check_opened(instance, account + PERIODS);
                }
                let long = self.random.once_in(8);
                let lasts = if long { self.random.between(500, 5_000) } else { self.random.between(1, 150) };
                let life = self.instances[instance].life;
                self.at(self.now + lasts, Step::Ends(instance, life, number));
            }
            Err(NotOpened::Refused(refused)) => self.refused(instance, number, refused),
            Err(not_opened) => {
                let waited = self.now - call.began;
                let ticket = match not_opened {
                    NotOpened::NeedsCredit(ticket) => ticket,
                    _ => Ticket::default(),
                };
                call.state = State::Waiting(ticket);
                let impatient = self.mutant == Mutant::Impatient && after.is_some();
                let gives_up = waited >= WAIT_AT_MOST || impatient;
                let refused = it.books[account].give_up(by.as_ref(), amount, grant, ticket).filter(|_| gives_up);
                if let Some(refused) = refused {
                    return self.refused(instance, number, refused);
                }
                // Nobody can say more than the newest answer, if there was one since this call came.
                if waited >= WAIT_FOR_ANSWER {
                    return self.not_answered(instance, number);
                }
                if !std::mem::replace(&mut call.tries_again, true) {
                    let life = it.life;
                    self.at(self.now + TRY_AGAIN_AFTER, Step::TriesAgain(instance, life, number));
                }
                if not_opened == NotOpened::NotBegun {
                    self.begins(instance, account);
                }
            }
        }
    }

    /// The store answered, or will not: calls that wait look again.
    pub(super) fn wake(&mut self, instance: usize) {
        let now = self.now;
        let waiting = self.instances[instance].calls.iter().filter_map(|(number, call)| match &call.state {
            State::Waiting(ticket) => Some((*number, Some(*ticket))),
            State::Securing(..) => Some((*number, None)),
            State::Held(_) | State::Writing(..) => None,
        });
        for (number, ticket) in waiting.collect::<Vec<_>>() {
            match ticket {
                Some(ticket) => self.open(instance, number, Some(ticket)),
                None => self.secure(instance, number, now),
            }
        }
        self.send_requests(instance);
    }

    pub(super) fn try_again(&mut self, instance: usize, number: u64) {
        if let Some(call) = self.instances[instance].calls.get_mut(&number) {
            call.tries_again = false;
        }
        match self.instances[instance].calls.get(&number).map(|call| &call.state) {
            Some(State::Waiting(ticket)) => {
                let ticket = *ticket;
                self.open(instance, number, Some(ticket));
            }
            Some(State::Securing(..)) => self.secure(instance, number, self.now),
            _ => {}
        }
        self.send_requests(instance);
    }

    fn refused(&mut self, instance: usize, number: u64, refused: HoldRefused) {
        self.tally.refused += 1;
        self.tally.refused_to_ann += u64::from(matches!(refused, HoldRefused::User { .. }));
        if let Some(call) = self.instances[instance].calls.remove(&number) {
            self.check_refused(instance, &call, refused);
        }
    }

    fn not_answered(&mut self, instance: usize, number: u64) {
        self.tally.unanswered += 1;
        let well = self.instances[instance].is_well(self.now) && self.store_troubled_until <= self.now;
        let call = self.instances[instance].calls.remove(&number);
        assert!(call.is_none_or(|call| call.troubled) || !well, "a call was not answered though all was well");
    }

    pub(super) fn call_ends(&mut self, instance: usize, number: u64) {
        let fails = self.random.once_in(5);
        let Some(call) = self.instances[instance].calls.remove(&number) else { return };
        let State::Held(hold) = call.state else { return };
        if fails {
            hold.void();
            return;
        }
        let state = State::Securing(hold, self.now);
        self.instances[instance].calls.insert(number, Call { state, ..call });
        self.secure(instance, number, self.now);
    }

    /// Looks whether the hold may be charged; asks the store where not; gives it back where that takes too long.
    fn secure(&mut self, instance: usize, number: u64, now: u64) {
        let it = &mut self.instances[instance];
        let (uptime, life) = (it.uptime(now), it.life);
        let Some(mut call) = it.calls.remove(&number) else { return };
        let State::Securing(mut hold, since) = call.state else { return };
        if hold.secure(uptime) || self.mutant == Mutant::SettlesUnsecured {
            call.state = State::Writing(hold, now);
            it.calls.insert(number, call);
            let writes = self.random.between(0, 3);
            return self.at(now + writes, Step::Written(instance, life, number));
        }
        if now - since >= WAIT_AT_MOST {
            self.tally.voided_unsecured += 1;
            hold.void();
            call.state = State::Waiting(Ticket::default());
            return self.check_given_free(instance, &call);
        }
        for account in [call.account, call.account + PERIODS] {
            it.books[call.account].limits_changed(user(account));
        }
        call.state = State::Securing(hold, since);
        let planned = std::mem::replace(&mut call.tries_again, true);
        it.calls.insert(number, call);
        if !planned {
            self.at(now + TRY_AGAIN_AFTER, Step::TriesAgain(instance, life, number));
        }
        self.send_requests(instance);
    }

    /// The event is in the journal: the hold is charged.
    pub(super) fn written(&mut self, instance: usize, number: u64) {
        let Some(call) = self.instances[instance].calls.remove(&number) else { return };
        let State::Writing(hold, secured_at) = call.state else { return };
        let part = i64::try_from(self.random.between(1, 4)).unwrap();
        let credits = Credits::from_micros(hold.amount().micros() / part);
        let charge = Share::of_call(credits);
        self.journal(instance, Event { id: number, account: call.account, by_ann: call.by_ann, charge, secured_at });
        hold.capture(credits);
        self.tally.charged += 1;
        let life = self.instances[instance].life;
        self.at(self.now + 20, Step::Applies(instance, life));
    }

    pub(super) fn journal(&mut self, instance: usize, event: Event) {
        let it = &mut self.instances[instance];
        it.journal.push(event);
        it.events.0 += 1;
        for (account, charge) in event.parts() {
            it.spent[account] = it.spent[account].plus(charge);
            self.journaled[account] = self.journaled[account].plus(charge);
        }
    }
}
