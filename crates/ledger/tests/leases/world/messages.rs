//! Between instances and the store: what is sent, lost, late, executed without an answer.

use ledger::{Credits, LeaseGrant, LeaseRequest};

use super::{STORMY_UNTIL, Step, World};
use crate::database::{ACCOUNTS, Account, Event, Life, PERIODS, user};
use crate::faults::Mutant;
use crate::instance::Up;

/// After how long without an answer a request is given up.
const GIVE_UP_AFTER: u64 = 600;

#[derive(Clone, Debug)]
pub(super) enum Message {
    Renew(u64, Vec<(Account, LeaseRequest)>),
    Begin(u64, Account, Credits, i64),
    Apply(u64, Vec<Event>),
    Asked,
    Reclaim,
    Retire(u64),
}

#[derive(Clone, Debug)]
pub(super) enum Answer {
    Renewed(u64, Vec<(Account, LeaseGrant)>),
    Begun(u64, Account, bool),
    Applied(u64, usize),
    Asked(Vec<Account>),
    Retired(u64),
}

impl World {
    pub(super) fn stormy(&self) -> bool {
        self.now < STORMY_UNTIL
    }

    /// One way of a message: how long it takes; `None` where it is lost.
    fn way(&mut self, instance: usize) -> Option<u64> {
        let now = self.now;
        let lost = self.stormy() && self.random.once_in(self.faults.lose_message);
        let late = self.stormy() && self.random.once_in(self.faults.delay_message);
        let it = &mut self.instances[instance];
        if lost || late {
            it.troubled_until = it.troubled_until.max(now + 4_000);
        }
        if lost || it.cut_until > now {
            return None;
        }
        Some(if late { self.random.between(200, 4_000) } else { self.random.between(1, 4) })
    }

    pub(super) fn send(&mut self, instance: usize, life: Life, message: Message) {
        if let Some(way) = self.way(instance) {
            self.at(self.now + way, Step::Arrives(instance, life, message));
        }
    }

    pub(super) fn number(&mut self, instance: usize) -> u64 {
        self.next += 1;
        let (number, life) = (self.next, self.instances[instance].life);
        self.at(self.now + GIVE_UP_AFTER, Step::GivesUp(instance, life, number));
        number
    }

    /// The store's side. A request that reaches a stopped store is lost, or executed when it goes on.
    pub(super) fn arrives(&mut self, instance: usize, life: Life, message: Message) {
        if self.down_until > self.now {
            if self.down_queues {
                self.at(self.down_until, Step::Arrives(instance, life, message));
            }
            return;
        }
        let answer = match message {
            Message::Renew(number, requests) => {
                self.database.statements += 1;
                let mut answers = Vec::new();
                for (account, request) in requests {
                    let needs = request.need;
                    if let Some(grant) = self.database.renew(life, account, &request) {
                        if !grant.reach().covers(needs) {
                            self.notify_others(instance);
                        }
                        answers.push((account, grant));
                    }
                }
                Some(Answer::Renewed(number, answers))
            }
            Message::Begin(number, account, captured, epoch) => {
                let made = self.database.begin(life, account, Self::captured_share(captured), epoch);
                Some(Answer::Begun(number, account, made))
            }
            Message::Apply(number, events) => {
                self.database.apply(life, &events);
                Some(Answer::Applied(number, events.len()))
            }
            Message::Asked => Some(Answer::Asked(self.database.asked(life))),
            Message::Retire(number) => {
                self.database.retire(life);
                Some(Answer::Retired(number))
            }
            Message::Reclaim => {
                self.database.reclaim();
                None
            }
        };
        let (Some(answer), Some(way)) = (answer, self.way(instance)) else { return };
        let current = self.instances[instance].life;
        let replaying = matches!(self.instances[instance].up, Up::Replaying { of, .. } if of == life);
        if current == life || replaying {
            self.at(self.now + way, Step::Returns(instance, current, answer));
        }
    }

    fn notify_others(&mut self, instance: usize) {
        for other in 0..self.instances.len() {
            if other != instance && !self.random.once_in(self.faults.lose_notification) && self.way(other).is_some() {
                let life = self.instances[other].life;
                self.at(self.now + 2, Step::Notified(other, life));
            }
        }
    }

    pub(super) fn notified(&mut self, instance: usize) {
        let it = &self.instances[instance];
        if it.up == Up::Running && self.mutant != Mutant::Deaf {
            self.send(instance, it.life, Message::Asked);
        }
    }

    /// Renews what is due and looks what is asked, as the background task does.
    pub(super) fn tick(&mut self, instance: usize) {
        self.at(self.now + super::TICK_EVERY, Step::Tick(instance));
        let life = self.instances[instance].life;
        match self.instances[instance].up {
            Up::Dead => {}
            Up::Replaying { .. } => self.replay(instance),
            Up::Running => {
                self.send_requests(instance);
                // Statements that would find nothing are left out, to have more schedules a second.
                if self.database.has_ask() {
                    self.notified(instance);
                }
                if self.database.has_expired() {
                    self.send(instance, life, Message::Reclaim);
                }
                self.applier(instance);
            }
        }
    }

    pub(super) fn send_requests(&mut self, instance: usize) {
        let it = &self.instances[instance];
        if it.renewing.is_some() || it.up != Up::Running {
            return;
        }
        let mut uptime = it.uptime(self.now);
        if self.mutant == Mutant::CountsFromAnswer {
            uptime = uptime.plus_ms(GIVE_UP_AFTER);
        }
        let request = |account: Account| it.books[account % PERIODS].request(user(account), uptime);
        let due = (0..ACCOUNTS).filter_map(|account| Some((account, request(account)?)));
        let requests: Vec<(Account, LeaseRequest)> = due.collect();
        if requests.is_empty() {
            return;
        }
        let (number, life) = (self.number(instance), self.instances[instance].life);
        let it = &mut self.instances[instance];
        it.renewing = Some(number);
        it.epochs = requests.iter().map(|(account, request)| (*account, request.epoch)).collect();
        self.send(instance, life, Message::Renew(number, requests));
    }

    /// Moves events from the journal to the store, in order, one batch at a time.
    pub(super) fn applier(&mut self, instance: usize) {
        let it = &self.instances[instance];
        if it.applying.is_some() || it.journal.is_empty() || it.applies_at > self.now || it.up == Up::Dead {
            return;
        }
        let life = match it.up {
            Up::Replaying { of, .. } => of,
            _ => it.life,
        };
        let events = it.journal.clone();
        let number = self.number(instance);
        self.instances[instance].applying = Some(number);
        self.send(instance, life, Message::Apply(number, events));
    }

    fn replay(&mut self, instance: usize) {
        let it = &self.instances[instance];
        let Up::Replaying { of, retiring } = it.up else { return };
        if !it.journal.is_empty() {
            self.applier(instance);
        } else if it.applying.is_none() && !retiring {
            let number = self.number(instance);
            self.instances[instance].up = Up::Replaying { of, retiring: true };
            self.instances[instance].applying = Some(number);
            self.send(instance, of, Message::Retire(number));
        }
    }

    pub(super) fn returns(&mut self, instance: usize, answer: Answer) {
        let uptime = self.instances[instance].uptime(self.now);
        let it = &mut self.instances[instance];
        match answer {
            Answer::Renewed(number, grants) if it.renewing == Some(number) => {
                it.renewing = None;
                for (account, grant) in &grants {
                    it.books[*account % PERIODS].answered(grant);
                }
                // A request that was too old for the store has no answer.
                for (account, epoch) in it.epochs.drain(..) {
                    it.books[account % PERIODS].unanswered(user(account), epoch);
                }
                self.wake(instance);
            }
            // One that comes after its request was given up says nothing: the book must not hear it.
            Answer::Renewed(_, grants) => {
                for (account, grant) in &grants {
                    it.books[*account % PERIODS].answered(grant);
                }
            }
            Answer::Begun(number, account, made) => self.begun(instance, number, account, made),
            Answer::Applied(number, count) if it.applying == Some(number) => {
                it.applying = None;
                it.journal.drain(..count);
                if it.up == Up::Running {
                    it.events.1 += u64::try_from(count).unwrap();
                }
                self.caught_up(instance);
            }
            Answer::Retired(number) if it.applying == Some(number) => {
                it.applying = None;
                it.up = Up::Running;
            }
            Answer::Asked(accounts) if !accounts.is_empty() => {
                for account in accounts {
                    it.books[account % PERIODS].asked(user(account), uptime);
                }
                self.send_requests(instance);
            }
            _ => {}
        }
    }

    pub(super) fn gives_up(&mut self, instance: usize, number: u64) {
        let now = self.now;
        let it = &mut self.instances[instance];
        if it.renewing == Some(number) {
            it.renewing = None;
            for (account, epoch) in it.epochs.drain(..) {
                it.books[account % PERIODS].unanswered(user(account), epoch);
            }
            self.wake(instance);
        } else if it.applying == Some(number) {
            it.applying = None;
            it.applies_at = now + 300;
            if let Up::Replaying { of, .. } = it.up {
                it.up = Up::Replaying { of, retiring: false };
            }
        } else {
            self.begins_no_more(instance, number);
        }
    }
}
